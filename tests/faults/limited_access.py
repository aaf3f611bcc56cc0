# SPDX-License-Identifier: Apache-2.0
"""R15: with an equipment's own token and a raw CONNECT, limited access opens what provisioning needs, while it lasts, and nothing else."""
import os, signal, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, BUILD
from air import Air, connect

PIMSI, OUTSIDE = "901700000000001", "192.0.2.1:443"


def reborn(w, item):
    """The registration operator with one budget made small."""
    path = w.path("reg/usher.yaml")
    lines = [l for l in open(path) if not l.startswith("budget_")]
    open(path, "w").write("".join(lines) + item + "\n")
    ups = open(w.path("vis1/run/log")).read().count("peer=registration/901-70 up")
    os.kill(w.pids("reg")[0], signal.SIGKILL)
    w.wait("the link is back", lambda: open(w.path("vis1/run/log")).read().count("peer=registration/901-70 up") > ups)


def spend(user, target, token):
    """A kibioctet that is no TLS, to the end of the connection."""
    status, _, s = connect(user, target, token)
    if status == 200:
        s.sendall(bytes(1024))
        while s.recv(1024):
            pass
    return status


with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    w.world(devices=2)
    assert w.claim().count("subscribed") == 2
    address = lambda d, name: next(l.split()[1] for l in open(w.path(d, "run/ports")) if l.startswith(name + " "))
    discover, dlusim = address("reg", "discover"), address("dlusim", "equipment")
    air = Air(int(address("vis1", "cell").split(":")[-1]), before_token=lambda: os.kill(eq.pid, signal.SIGSTOP))
    for n in (1, 2):
        open(w.path(f"fleet/acme_00000{n}/equipment.yaml"), "w").write(f"frequencies: [127.0.0.1:{air.port}]\n")
    start = lambda n: subprocess.Popen([os.path.join(BUILD, "roles/equipment/usher-equipment"), f"fleet/acme_00000{n}"], cwd=w.dir, env=w.env,
                                       stderr=subprocess.DEVNULL)
    refusals = lambda: w.story("registration", "", "pimsi", PIMSI)
    eq = start(1)
    w.wait("its token is heard", lambda: air.tokens)
    user, token = air.tokens[0]
    try:
        # attached, and frozen: what it may open is discover
        status, said, _ = connect(user, OUTSIDE, token)
        assert status == 403 and f"limited access does not open {OUTSIDE} for {PIMSI}" in refusals(), (said, refusals())
        assert connect(user, dlusim, token)[0] == 403, "its DLUSIM service, before it was told to go there"
        status, said, s = connect(user, discover, token)
        assert status == 200, said
        s.close()
        for wrong in (bytes(32), token[::-1], b"", token[:31]):
            assert connect(user, discover, wrong)[0] == 403, wrong
        # the budget of attempts, of octets, of time: each is told by name
        reborn(w, "budget_attempts: 2")
        assert [connect(user, discover, token)[0] for _ in range(2)] == [200, 429]
        assert f"the 2 connections a day of {PIMSI} are used up" in refusals(), refusals()
        reborn(w, "budget_octets: 2KiB")
        w.wait("the octets are used up", lambda: spend(user, discover, token) == 429)
        assert f"the budget of 2048 octets a day of {PIMSI} is used up" in refusals(), refusals()
        reborn(w, "budget_seconds: 600")
        assert connect(user, discover, token)[0] == 200
        open(w.path("clock"), "w").write("601")
        assert connect(user, discover, token)[0] == 429
        assert f"the time of 600 s a day of {PIMSI} is used up" in refusals(), refusals()
        open(w.path("clock"), "w").write("0")
        # another PIMSI: its own token does not open for the first one's sake, and the first one's is dead once it is detached
        first, eq = eq, start(2)
        w.wait("the second token is heard", lambda: len(air.tokens) == 2)
        assert connect(user, discover, air.tokens[1][1])[0] == 200
        first.send_signal(signal.SIGCONT)
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0
        w.wait("its token is dead", lambda: connect(user, discover, token)[0] == 403)
        assert connect(user, discover, air.tokens[1][1])[0] == 200
    finally:
        for p in {eq, locals().get("first", eq)}:
            p.kill()
            p.wait()
print("ok")
