# SPDX-License-Identifier: Apache-2.0
"""R16 I7 P4 P6 (first half): off the PIMSI, on as itself, slot commit, receipt, IMSI active, PIMSI used, acknowledgement."""
import os, signal, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, BUILD

with World() as w:
    w.world(devices=3)
    assert w.claim().count("subscribed") == 3
    w.frequencies("vis9", "vis1")
    log = open(w.path("equipment.log"), "w")
    fleet = subprocess.Popen([os.path.join(BUILD, "roles", "equipment", "usher-equipment"), "operate-fleet", "fleet"], cwd=w.dir, env=w.env, stderr=log)
    try:
        def told(eq, text):
            return any(text in e["text"] for e in w.journey(eq))
        for n in (1, 2, 3):
            eq = f"acme:00000{n}"
            w.wait(eq + " is operative", lambda: told(eq, "is operative: its receipt is acknowledged"), 25)
            # the PIMSI could not use 001-09; the operator's own USIM may
            assert told(eq, "is attached as itself through network 001-09"), w.journey(eq)
            assert "IMSI 26242000000000" in w.story("hss", "", "equipment", eq) and "is active" in w.story("hss", "", "equipment", eq)
            assert "is used, and will be retired" in w.story("registration", "", "equipment", eq)
            assert "is operative: the HSS and the registration operator have both taken its receipt" in w.story("dlusim", "", "equipment", eq)
        assert fleet.wait(20) == 0
        assert w.sql("hss", "hss", "SELECT state, COUNT(*) FROM imsi WHERE state <> 'allocated' GROUP BY state") == [("active", 3)]
        assert w.sql("reg", "registration", "SELECT state, COUNT(*) FROM pimsi WHERE state <> 'free' GROUP BY state") == [("used", 3)]
    except BaseException:
        print(open(w.path("equipment.log")).read()[-5000:])
        raise
    finally:
        if fleet.poll() is None:
            fleet.send_signal(signal.SIGTERM)
            fleet.wait(10)
print("ok")
