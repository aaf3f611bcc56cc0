# SPDX-License-Identifier: Apache-2.0
"""kill -9 of each role at each of its durable writes, from the factory to the operative USIM: the journey ends, nothing is lost or twice.

The points are counted, not timed (core/fault.h): before a write, torn in the middle of a cell's copy, after it and before anybody is
told, after a letter's answer and before it is noted. The visited operator has no database: it dies at each message that it hears or
says. One journey is counted; then each is travelled by a new equipment with one role killed at one point, and every role once more
at each point of its start. Without USHER_LONG every kind of point is met once, with it each one."""
import multiprocessing, os, shutil, signal, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, EQUIPMENT

FOLDER = {"attestation": "pki", "registration": "reg", "hss": "hss", "dlusim": "dlusim", "dm": "dm", "visited": "vis1"}
LONG, WORLDS = os.environ.get("USHER_LONG"), 4


def again(w, act):
    """People and production lines try again when the other side is back."""
    for tries in range(8):
        try:
            return act()
        except AssertionError as e:
            why = e
            w.wait("all roles are up", w.all_up, 40)
    raise why


def journey(w, k):
    """From nothing to its operative USIM, whatever is killed on the way."""
    fleet, reg = f"f{k}", ("--registration", "901-70")
    again(w, lambda: w.usher(*w.fab, "factory", "enrol", fleet, "--maker", "acme", "--count", "1", "--first", str(k)))
    again(w, lambda: w.usher(*w.fab, "factory", "order", fleet, *reg, "--order", fleet))
    again(w, lambda: w.usher(*w.fab, "factory", "bind", fleet, *reg))
    again(w, lambda: w.claim(f"{fleet}/labels.csv"))
    with open(w.path(fleet, "equipment.yaml"), "w") as f:
        f.write("frequencies: [127.0.0.1:@../vis1/run/ports#cell]\n")
    for power in range(3):
        with open(w.path(fleet, "log"), "a") as log:
            code = subprocess.run([EQUIPMENT, "--fleet", "--until=operate", fleet], cwd=w.dir, env=w.env, stderr=log, timeout=100).returncode
        if code != -signal.SIGKILL:
            break
    assert code == 0, f"the equipment ends with {code}"
    w.wait("all roles are up", w.all_up, 40)


def proved(w, k):
    """The k-th journey of this world left one equipment more, once, everywhere."""
    eq = f"acme:{k:06d}"
    one = lambda dir, role, query: w.sql(dir, role, query.replace("EQ", f"'{eq}'"))
    assert one("hss", "hss", "SELECT i.state FROM booking b JOIN imsi i ON i.imsi = b.imsi AND i.equipment = b.equipment WHERE b.equipment = EQ") == [
        ("active",)]
    assert w.sql("hss", "hss", "SELECT state, COUNT(*) FROM imsi WHERE state <> 'allocated' GROUP BY state") == [("active", k)]
    assert one("reg", "registration", "SELECT state FROM pimsi WHERE equipment = EQ") == [("used",)]
    assert w.sql("reg", "registration", "SELECT state, COUNT(*) FROM pimsi WHERE state <> 'free' GROUP BY state") == [("used", k)]
    assert one("dlusim", "dlusim", "SELECT e.state FROM receipt r JOIN errand e ON e.kind = 'install' AND e.id = r.id WHERE r.equipment = EQ") == [
        ("acknowledged",)]
    for role, told in (("registration", "issued PIMSI "), ("registration", " is used, and will be retired"), ("hss", " is active: "),
                       ("dlusim", " is operative: ")):
        story = w.story(role, "", "equipment", eq)
        assert story.count(told) == 1, (role, told, story)
    letters = lambda: [w.sql(FOLDER[r], r, "SELECT errand, id, word FROM outbox") for r in FOLDER if r != "visited"]
    w.wait("no letter waits", lambda: not any(letters()), 20)
    audited = w.usher("audit", *w.dirs)
    assert ", 0 broken" in audited, audited


def points(w, role):
    """The names of the points that the role passed, in order; begins to count anew."""
    path = w.path("faults", f"usher-{role}.log")
    names = open(path).read().split("\n")[:-1] if os.path.exists(path) else []
    open(path, "w").close()
    return names


def restarted(w, role):
    """It is killed where it waits, and comes up again."""
    ended = w.more().count("; again in ")
    os.kill(w.pids(FOLDER[role])[0], signal.SIGKILL)
    w.wait(f"{role} is back", lambda: w.more().count("; again in ") > ended and w.all_up(), 20)


def counted(w):
    """One journey without a kill, and a restart of each role: what points there are. [(role, n, name, at its start)]"""
    w.env["USHER_FAULTS"] = w.path("faults")
    os.mkdir(w.path("faults"))
    w.dirs = [d for d in w.dirs if d not in ("vis2", "vis9")]
    w.start(*w.dirs)
    roles, found = [*FOLDER, "equipment"], []
    for role in roles:
        points(w, role)
    journey(w, 1)
    proved(w, 1)
    for role in roles:
        found += [(role, n, name, False) for n, name in enumerate(points(w, role), 1)]
    for role in FOLDER:
        restarted(w, role)
        found += [(role, n, name, True) for n, name in enumerate(points(w, role), 1)]
    w.stop()
    return found


def sampled(found):
    """Each kind of point once: the first of its name. Of the equipment's cell, whose names say nothing, every fourth."""
    return [j for i, j in enumerate(found)
            if (j[1] % 4 == 1 if j[0] == "equipment" else (j[0], j[2]) not in [(o[0], o[2]) for o in found[:i]])]


def travel(rest, jobs, told):
    """One world's share of the kills; a broken world is thrown away."""
    w, k = None, 1
    for job in jobs:
        role, n, name, at_start = job
        begun, why, reached = time.time(), "", False
        try:
            if not w:
                w, k = rest.copy(), 1
                w.env["USHER_FAULTS"] = w.path("faults")
                w.start(*w.dirs)
            k += 1
            if LONG or at_start or role == "equipment":
                w.arm(role, n)
            else:
                w.arm(role, 1, name)  # the first of its name, wherever it comes this time
            if at_start:
                restarted(w, role)
            journey(w, k)
            reached = not w.armed(role)
            w.disarm(role)
            proved(w, k)
            assert not w.sanitizers(), w.sanitizers()
        except BaseException as e:
            why = f"{type(e).__name__}: {e}"
            w.stop()
            if os.environ.get("USHER_KEEP"):  # for who wants to look
                shutil.copytree(w.dir, os.path.join(os.environ["USHER_KEEP"], f"{role}-{n}-{name}".replace(" ", "_")), dirs_exist_ok=True)
            shutil.rmtree(w.dir, ignore_errors=True)
            w = None
        told.put((job, reached, time.time() - begun, why))
    if w:
        w.stop()
        shutil.rmtree(w.dir, ignore_errors=True)


def main():
    with World() as rest:
        rest.world(devices=0)
        rest.stop()
        found = counted(rest)
        jobs = found if LONG else sampled(found)
        per = {r: sum(j[0] == r for j in found) for r in [*FOLDER, "equipment"]}
        print(f"{len(found)} points: " + ", ".join(f"{r} {n}" for r, n in per.items()) + f"; {len(jobs)} kills", flush=True)
        jobs = sorted(jobs, key=lambda j: sum(i[0] == j[0] for i in jobs[:jobs.index(j)]))  # a role is not killed twice in a row
        told, begun = multiprocessing.Queue(), time.time()
        workers = [multiprocessing.Process(target=travel, args=(rest, jobs[i::WORLDS], told)) for i in range(WORLDS)]
        for p in workers:
            p.start()
        bad, missed = 0, 0
        for _ in jobs:
            (role, n, name, at_start), reached, took, why = told.get(timeout=200)
            bad += bool(why)
            missed += not reached
            print(f"{'FAIL' if why else 'ok' if reached else 'not reached':12}{role:13}{n:3} {name}{' (start)' if at_start else ''} {took:.1f} s {why}",
                  flush=True)
        for p in workers:
            p.join()
        print(f"{len(jobs)} journeys with a kill in {time.time() - begun:.0f} s, {bad} failed, {missed} points not reached")
        assert not bad and missed * 10 <= len(jobs)


main()
print("ok")
