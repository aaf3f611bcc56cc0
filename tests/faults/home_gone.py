# SPDX-License-Identifier: Apache-2.0
"""I7 P6: the home network is gone after the slot was committed: the receipt goes out over the PIMSI's bearer and is acknowledged; the
equipment alternates, and is operative when the home network is back. With and without a power cut in between."""
import os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=2)
    assert w.claim().count("subscribed") == 2
    # home is 001-09 only, which the PIMSI may not use; 001-01 has no agreement with the home operator
    peers = w.path("vis1/peers")
    [hss] = [f for f in os.listdir(peers) if "262-42" in f]
    os.unlink(os.path.join(peers, hss))
    os.kill(w.pids("vis1")[0], signal.SIGKILL)
    w.wait("vis1 is back", lambda: w.more().count(" is up") == len(w.dirs) + 1, 20)
    eqs = ("acme:000001", "acme:000002")
    for eq in eqs:
        with open(w.path("fleet", eq.replace(":", "_"), "equipment.yaml"), "w") as f:
            f.write("frequencies: [127.0.0.1:@../../vis9/run/ports#cell, 127.0.0.1:@../../vis1/run/ports#cell]\n")
    run = lambda eq: w.power_on("fleet/" + eq.replace(":", "_"))
    told = lambda eq, text: any(text in e["text"] for e in w.journey(eq))
    # the DLUSIM service is silent from before the installation, so that no receipt is taken while home is there
    dlusim, vis9, pki, dm = (w.pids(d)[0] for d in ("dlusim", "vis9", "pki", "dm"))
    os.kill(dm, signal.SIGSTOP)
    p = {eq: run(eq) for eq in eqs}
    try:
        for eq in eqs:
            w.wait("sealed", lambda: told(eq, "its package waits at DM service"), 40)
        os.kill(pki, signal.SIGSTOP)
        os.kill(dm, signal.SIGCONT)
        for eq in eqs:
            w.wait("delivered", lambda: told(eq, "still sealed"), 40)
        os.kill(dlusim, signal.SIGSTOP)
        os.kill(pki, signal.SIGCONT)
        for eq in eqs:
            w.wait("committed", lambda: told(eq, "is attached as itself through network 001-09; its slot is committed"), 40)
        os.kill(vis9, signal.SIGSTOP)
        p[eqs[1]].kill()
        p[eqs[1]].wait()
        p[eqs[1]] = run(eqs[1])
        os.kill(dlusim, signal.SIGCONT)
        for eq in reversed(eqs):
            w.wait("acknowledged over the PIMSI", lambda: told(eq, "its receipt is acknowledged, over the PIMSI's network"), 120)
        assert w.sql("hss", "hss", "SELECT state, COUNT(*) FROM imsi WHERE state <> 'allocated' GROUP BY state") == [("active", 2)]
        assert w.sql("reg", "registration", "SELECT state, COUNT(*) FROM pimsi WHERE state <> 'free' GROUP BY state") == [("used", 2)]
        for eq in eqs:
            assert not told(eq, "is operative")
            w.wait("it looks for its home again",
                   lambda: [e["text"] for e in w.journey(eq)][-1] != "its receipt is acknowledged, over the PIMSI's network; it goes home", 40)
        os.kill(vis9, signal.SIGCONT)
        for eq in eqs:
            w.wait("operative when home is back", lambda: told(eq, "is operative: attached as itself through network 001-09"), 90)
            w.wait("DM hears of it", lambda: ("active", 1200) in w.sql("dm", "dm", f"SELECT state, result FROM job WHERE equipment = '{eq}'"), 40)
        assert w.sql("hss", "hss", "SELECT MAX(counter) FROM sealed") == [(1,)], "nobody asked for a second package"
    except BaseException:
        for eq in eqs:
            print(eq, *(f"\n {e['step']:9} {e['text']}" for e in w.journey(eq)))
        raise
    finally:
        os.kill(vis9, signal.SIGCONT)
        for q in p.values():
            q.terminate()
            q.wait(10)
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
