# SPDX-License-Identifier: Apache-2.0
"""R15: with an equipment's own token and a raw CONNECT, limited access opens what provisioning needs, while it lasts, and nothing else."""
import os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World
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


def swallow(user, target, token, n):
    """A tunnel with n octets under way, the beginning of a TLS record that never gets whole: the far side waits for more."""
    status, said, s = connect(user, target, token)
    assert status == 200, said
    s.sendall(b"\x16\x03\x01\x40\x00" + bytes(n - 5))
    return s


def over(s):
    """It ends. What the far side says before is read."""
    try:
        while s.recv(4096):
            pass
    except ConnectionResetError:
        pass


with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    w.world(devices=2)
    assert w.claim().count("subscribed") == 2
    address = lambda d, name: next(l.split()[1] for l in open(w.path(d, "run/ports")) if l.startswith(name + " "))
    discover, dlusim = address("reg", "discover"), address("dlusim", "equipment")
    air = Air(int(address("vis1", "cell").split(":")[-1]), before_token=lambda: os.kill(eq.pid, signal.SIGSTOP))
    for n in (1, 2):
        open(w.path(f"fleet/acme_00000{n}/equipment.yaml"), "w").write(f"frequencies: [127.0.0.1:{air.port}]\n")
    start = lambda n: w.power_on(f"fleet/acme_00000{n}")
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
        # attaches: further connections of one attach are not counted
        row = lambda: w.sql("reg", "registration", f"SELECT attempts, octets, used_ms FROM budget WHERE pimsi = '{PIMSI}'")[0]
        reborn(w, "budget_attempts: 2")
        assert [connect(user, discover, token)[0] for _ in range(3)] == [200] * 3 and row()[0] == 1, row()
        for n, status in ((2, 200), (3, 429)):
            eq.kill()
            eq.wait()
            open(w.path("clock"), "w").write(str(n))  # an attach is told from another by its second
            eq = start(1)
            w.wait("its next token is heard", lambda: len(air.tokens) == n)
            user, token = air.tokens[-1]
            assert connect(user, discover, token)[0] == status, n
        assert f"the budget of 2 attaches a day of {PIMSI} is used up; try again after 00:00 UTC, or raise `budget_attempts`" in refusals(), refusals()
        # the next day it is open again, also for the attach that was refused
        open(w.path("clock"), "w").write("86400")
        assert connect(user, discover, token)[0] == 200 and row()[0] == 1, row()
        # octets: two tunnels at once share them, both end; each is told by name
        ends = lambda what: open(w.path("reg/run/log")).read().count(f'why="the budget of {what} is used up"')
        left = row()[1] + 16 * 1024
        reborn(w, f"budget_octets: {left}")
        two = [swallow(user, discover, token, 9000) for _ in range(2)]
        w.wait("the octets of both end both", lambda: ends("octets") == 1)
        for s in two:
            over(s)
        w.wait("what they used is saved", lambda: row()[1] >= left)
        assert connect(user, discover, token)[0] == 429
        assert f"the budget of {left} octets a day of {PIMSI} is used up; try again after 00:00 UTC, or raise `budget_octets`" in refusals(), refusals()
        # a killed process has saved what open tunnels used, but for the last 64 KiB
        reborn(w, "budget_octets: 1MiB")
        before = row()[1]
        held = [swallow(user, discover, token, 15000) for _ in range(5)]
        w.wait("it is saved while they are open", lambda: row()[1] >= before + 65536)
        reborn(w, "budget_octets: 1MiB")
        assert row()[1] >= before + 65536, row()
        # time: only that in which a tunnel is open, and it ends an open tunnel
        reborn(w, f"budget_seconds: {row()[2] // 1000 + 3}")
        assert connect(user, discover, token)[0] == 200
        open(w.path("clock"), "w").write("87600")
        status, said, s = connect(user, discover, token)
        assert status == 200, said
        w.wait("the time ends it", lambda: ends("time") == 1)
        over(s)
        w.wait("the time is saved", lambda: connect(user, discover, token)[0] == 429)
        assert "raise `budget_seconds`" in refusals(), refusals()
        reborn(w, "budget_seconds: 30m")
        # another PIMSI: its own token does not open for the first one's sake, and the first one's is dead once it is detached
        first, eq = eq, start(2)
        w.wait("the second token is heard", lambda: len(air.tokens) == 4)
        assert connect(user, discover, air.tokens[3][1])[0] == 200
        first.send_signal(signal.SIGCONT)
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0
        w.wait("its token is dead", lambda: connect(user, discover, token)[0] == 403)
        assert connect(user, discover, air.tokens[3][1])[0] == 200
        # days later: the first one's row says nothing any more, and goes when another's is written
        pimsis = lambda: [p for (p,) in w.sql("reg", "registration", "SELECT pimsi FROM budget ORDER BY pimsi")]
        assert pimsis() == [PIMSI, "901700000000002"]
        open(w.path("clock"), "w").write(str(4 * 86400))
        swallow(user, discover, air.tokens[3][1], 100).close()
        w.wait("old days are gone", lambda: pimsis() == ["901700000000002"])
    finally:
        for p in {eq, locals().get("first", eq)}:
            p.kill()
            p.wait()
print("ok")
