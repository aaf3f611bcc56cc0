# SPDX-License-Identifier: Apache-2.0
"""R16 I7: an IMSI is suspended, resumed, terminated and given to the next; expires with its package; is long on trial; LocationCancel is paid."""
import os, shutil, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

DAY = 86400

with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    w.world(devices=3)
    assert w.claim().count("subscribed") == 3
    clock = lambda days: open(w.path("clock"), "w").write(str(days * DAY))
    folder = lambda n: f"fleet/acme_00000{n}"
    for n in (1, 2, 3):
        open(w.path(folder(n), "equipment.yaml"), "w").write("frequencies: [127.0.0.1:@../../vis1/run/ports#cell]\n")

    def start(how, n, dir=None):
        return w.power_on(*how.split(), dir or folder(n), log=open(w.path("equipment.log"), "a"))

    def run(how, n, dir=None):
        p = start(how, n, dir)
        try:
            assert p.wait(60) == 0, (how, n)
        except BaseException:
            p.kill()
            p.wait()
            print(open(w.path("equipment.log")).read()[-4000:])
            raise

    def tells(how, n, text):
        """It lives until it tells the text once more than before."""
        count = lambda: sum(text in e["text"] for e in w.journey(f"acme:00000{n}"))
        before, p = count(), start(how, n)
        try:
            w.wait(f"acme:00000{n}: {text}", lambda: count() > before, 40)
        finally:
            p.terminate()
            p.wait(10)
    imsi = lambda n: w.sql("hss", "hss", f"SELECT imsi FROM booking WHERE equipment = 'acme:00000{n}'")[0][0]
    show = lambda number: w.json("imsi", "show", number)
    is_ = lambda number, state: w.wait(f"{number} is {state}", lambda: show(number)["state"] == state)
    key = lambda number: w.sql("hss", "hss", f"SELECT k FROM imsi WHERE imsi = '{number}'")
    counters = lambda n: [c for (c,) in w.sql("hss", "hss", f"SELECT counter FROM sealed WHERE equipment = 'acme:00000{n}' ORDER BY counter")]

    # on trial without a receipt: nothing by itself, and staff is shown it after 30 days
    run("--until=install", 3)
    shutil.copytree(w.path(folder(3)), w.path("fleet3/acme_000003"))
    dlusim = w.pids("dlusim")[0]
    os.kill(dlusim, signal.SIGSTOP)
    p = start("--until=operate", 3)
    try:
        is_(imsi(3), "trial")
    finally:
        p.kill()
        p.wait()
        os.kill(dlusim, signal.SIGCONT)
    # a package that nobody used expires: the same IMSI, a new key; before, a repeated verify keeps the key and raises the counter
    run("--until=verify", 2)
    assert show(imsi(2))["state"] == "released"
    first = key(imsi(2))
    run("--until=verify", 2)
    assert show(imsi(2))["state"] == "released" and key(imsi(2)) == first and counters(2) == [1, 2]
    clock(29)
    assert show(imsi(2))["state"] == "released" and "on trial" not in w.usher("status", "hss", "262-42")
    clock(31)
    is_(imsi(2), "prepared")
    assert key(imsi(2)) != first
    story = w.story("hss", "", "imsi", imsi(2))
    assert "the package of acme:000002 expired unused" in story, story
    assert show(imsi(3))["state"] == "trial"
    assert "1 IMSIs are on trial without a receipt for too long" in w.usher("status", "hss", "262-42")
    # its receipt comes all the same
    run("--until=operate", 3)
    assert show(imsi(3))["state"] == "active"
    run("--until=operate", 2)
    assert show(imsi(2))["state"] == "active" and counters(2) == [3], "older packages go with the receipt"

    # suspended: the network that holds it is told, however long that is away; no vectors until it is resumed
    run("--until=operate", 1)
    number = imsi(1)
    assert show(number)["state"] == "active"
    p = start("", 1)
    try:
        w.wait("it is back as itself", lambda: show(number)["network"] == "001-01")
        vis = w.pids("vis1")[0]
        os.kill(vis, signal.SIGSTOP)
        assert w.json("imsi", "suspend", number, "--reason", "bill of October")["cancel"] == "001-01"
        assert show(number)["network"] == ""
        os.kill(vis, signal.SIGKILL)
        w.wait("LocationCancel is paid when the network is back", lambda: show(number)["cancel"] == "")
    finally:
        p.terminate()
        p.wait(10)
    assert "is suspended by alice: bill of October" in w.story("hss", "", "imsi", number)
    tells("", 1, "network failure (cause 17)")
    said = w.usher("imsi", "release", number, "--yes", code=1)
    assert f"IMSI {number} is suspended" in said and "resume (staff), terminate (staff)" in said, said
    w.usher("imsi", "resume", number)
    tells("", 1, "is operative: attached as itself through network 001-01")
    given = [l for l in open(w.path("hss/run/log")) if f"id={number}" in l and "act=give" in l]
    assert "n=1" in given[0] and "n=5" in given[-1], "one vector on trial, five when active: " + "".join(given)

    # it vanishes from one network without a word and turns up in another: the first lets go, however long it is away
    p = start("", 1)
    w.wait("in the first", lambda: show(number)["network"] == "001-01")
    p.kill()
    p.wait()
    [vis] = w.pids("vis1")
    os.kill(vis, signal.SIGSTOP)
    open(w.path(folder(1), "equipment.yaml"), "w").write("frequencies: [127.0.0.1:@../../vis9/run/ports#cell]\n")
    p = start("", 1)
    try:
        w.wait("in the second", lambda: show(number)["network"] == "001-09")
        assert show(number)["cancel"] == "001-01"
        os.kill(vis, signal.SIGCONT)
        w.wait("the first has let go", lambda: show(number)["cancel"] == "")
        assert show(number)["network"] == "001-09"
        w.wait("the first network knows that it moved", lambda: f"id={number} act=moved" in open(w.path("vis1/run/log")).read())
    finally:
        os.kill(vis, signal.SIGCONT)
        p.terminate()
        p.wait(10)
    open(w.path(folder(1), "equipment.yaml"), "w").write("frequencies: [127.0.0.1:@../../vis1/run/ports#cell]\n")

    # terminated: cause 8, cancelled where it is, and in quarantine when that network has let go
    p = start("", 1)
    try:
        w.wait("it is back as itself", lambda: show(number)["network"] == "001-01")
        w.usher("imsi", "terminate", number)
        is_(number, "quarantine")
        w.wait("it is detached", lambda: f"id={number} act=cancelled" in open(w.path("vis1/run/log")).read())
    finally:
        p.terminate()
        p.wait(10)
    tells("", 1, "GPRS services and non-GPRS services not allowed (cause 8)")
    # a new claim gets a new IMSI; the old one stays out of it until staff releases it, and then has no key
    lines = open(w.path("fleet/labels.csv")).read().split()
    open(w.path("again.csv"), "w").write("\n".join([lines[0], lines[1] + ",2"]) + "\n")
    assert w.claim("again.csv").count("subscribed") == 1
    assert imsi(1) != number and show(imsi(1))["state"] == "prepared"
    assert "can never return with it" in w.usher("imsi", "release", number, code=1)
    w.usher("imsi", "release", number, "--yes")
    assert show(number)["state"] == "allocated" and key(number) == [(b"",)]
    # one that is prepared goes back the same way, with its booking
    w.usher("imsi", "release", imsi(1), "--yes")
    assert w.sql("hss", "hss", "SELECT COUNT(*) FROM booking WHERE equipment = 'acme:000001'") == [(0,)]
    # the HSS is killed and its clock steps, both ways: no USIM hears a sequence number that is not fresh
    for day in (30, 45, 20):
        clock(day)
        ups = w.more().count(" is up")
        os.kill(w.pids("hss")[0], signal.SIGKILL)
        w.wait("the HSS is back", lambda: w.more().count(" is up") > ups)
        assert show(imsi(3))["state"] == "active"
        tells("", 3, "is operative: attached as itself through network 001-01")
    clock(10) # and while it runs
    tells("", 3, "is operative: attached as itself through network 001-01")
    assert "resynchronised" not in w.story("hss", "", "imsi", imsi(3))
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
