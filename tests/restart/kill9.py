# SPDX-License-Identifier: Apache-2.0
"""kill -9 of every role, one after the other, while a fleet travels from power-on to its operative USIM: all arrive, nothing twice."""
import os, signal, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, BUILD

with World() as w:
    w.world(devices=6)
    assert w.claim().count("subscribed") == 6
    w.frequencies("vis1")
    log = open(w.path("equipment.log"), "w")
    fleet = subprocess.Popen([os.path.join(BUILD, "roles", "equipment", "usher-equipment"), "operate-fleet", "fleet"], cwd=w.dir, env=w.env, stderr=log)
    try:
        for round in range(2):
            for d in ("reg", "dlusim", "hss", "dm", "pki", "vis1"):
                time.sleep(0.35)
                for pid in w.pids(d):
                    os.kill(pid, signal.SIGKILL)
        arrived = lambda eq: any("is operative: its receipt is acknowledged" in e["text"] for e in w.journey(eq))
        w.wait("all are operative", lambda: all(arrived(f"acme:00000{n}") for n in range(1, 7)), 150)
        assert fleet.wait(20) == 0
        assert w.sql("hss", "hss", "SELECT state, COUNT(*) FROM imsi WHERE state <> 'allocated' GROUP BY state") == [("active", 6)]
        assert w.sql("reg", "registration", "SELECT state, COUNT(*) FROM pimsi WHERE state <> 'free' GROUP BY state") == [("used", 6)]
        assert w.sql("hss", "hss", "SELECT COUNT(*) FROM booking") == [(6,)]
        assert ", 0 broken" in w.usher("audit", *w.dirs)
    except BaseException:
        print(open(w.path("equipment.log")).read()[-6000:])
        raise
    finally:
        if fleet.poll() is None:
            fleet.send_signal(signal.SIGTERM)
            fleet.wait(10)
print("ok")
