# SPDX-License-Identifier: Apache-2.0
"""R10 R11 R13 I6 I7 (first half) P3: OMA DM delivers the sealed package; the tre asks OCSP about every signer; installed, inactive."""
import os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=3)
    assert w.claim().count("subscribed") == 3
    w.frequencies("vis1")
    log = open(w.path("equipment.log"), "w")
    fleet = w.power_on("--fleet", "--until=install", "fleet", log=log)
    try:
        def told(eq, text):
            return any(text in e["text"] for e in w.journey(eq))
        for n in (1, 2, 3):
            eq = f"acme:00000{n}"
            w.wait(eq + " has its package", lambda: told(eq, "still sealed"), 40)
            w.wait(eq + " installs", lambda: told(eq, "all good; the USIM of operator 262-42 is installed, inactive"), 40)
            w.wait(eq + " is asked to activate", lambda: told(eq, "is asked to activate package"), 40)
            story = w.story("dm", "", "equipment", eq)
            assert "of the installation of package" in story and ": 1200" in story, story
        assert fleet.wait(20) == 0
        assert w.sql("dm", "dm", "SELECT state, COUNT(*) FROM job GROUP BY state") == [("installed", 3)]
        # the tre's memory holds no key in clear, and DM never had one
        for n in (1, 2, 3):
            imsi = w.sql("hss", "hss", f"SELECT imsi FROM booking WHERE equipment = 'acme:00000{n}'")[0][0].encode()
            for f in ("tre.a", "tre.b", "journey"):
                assert imsi not in open(w.path("fleet", f"acme_00000{n}", f), "rb").read(), f
            for f in os.listdir(w.path("dm")):
                if os.path.isfile(w.path("dm", f)):
                    assert imsi not in open(w.path("dm", f), "rb").read(), f
    except BaseException:
        print(open(w.path("equipment.log")).read()[-4000:])
        raise
    finally:
        if fleet.poll() is None:
            fleet.send_signal(signal.SIGTERM)
            fleet.wait(10)
print("ok")
