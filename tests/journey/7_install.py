# SPDX-License-Identifier: Apache-2.0
"""R16 I7 P4 P6 (first half): off the PIMSI, on as itself, slot commit, receipt, IMSI active, PIMSI used, acknowledgement."""
import os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=3)
    assert w.claim().count("subscribed") == 3
    w.frequencies("vis9", "vis1")
    log = open(w.path("equipment.log"), "w")
    fleet = w.power_on("--fleet", "--until=operate", "fleet", log=log)
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
            # last, over the home bearer: a session of its own tells DM, and the job's secrets die
            w.wait(eq + " has told DM", lambda: told(eq, "the session ends with result 1200") and "ended job" in w.story("dlusim", "", "equipment", eq), 20)
            story = w.story("dm", "", "equipment", eq)
            assert "says of the installation" in story and "says of the activation" in story and story.endswith(": 1200"), story
        assert fleet.wait(20) == 0
        w.wait("the jobs end", lambda: w.sql("dm", "dm", "SELECT state, COUNT(*) FROM errand GROUP BY state") == [("ended", 3)], 20)
        assert w.sql("dm", "dm", "SELECT state, client_hash, server_hash, LENGTH(package), LENGTH(client_nonce) FROM job GROUP BY 1, 2, 3, 4, 5") == [
            ("active", "", "", 0, 0)]
        assert w.sql("dlusim", "dlusim", "SELECT DISTINCT job, LENGTH(trigger_der) FROM verification") == [("", 0)]
        # the second attach is part of the installation; the step's column is not overwritten by it
        steps = [e["step"] for e in w.journey("acme:000001")]
        own = [n for n, e in enumerate(w.journey("acme:000001")) if "attaches as itself" in e["text"]][0]
        assert "attach" in steps[:own] and "attach" not in steps[own:] and "provision" not in steps[own:], steps
        assert w.sql("hss", "hss", "SELECT state, COUNT(*) FROM imsi WHERE state <> 'allocated' GROUP BY state") == [("active", 3)]
        assert w.sql("reg", "registration", "SELECT state, COUNT(*) FROM pimsi WHERE state <> 'free' GROUP BY state") == [("used", 3)]
        # the story, told by all roles in words that say whose turn it was; and every invariant over all databases
        story = w.usher("explain", "acme:000001")
        for text in ("issued PIMSI 901700000000001", "ordered a subscription", "prepared IMSI", "attached in network 001-01", "told acme:000001 to go to",
                     "it is the HSS's turn", "delivers package", "is active", "will be retired", "is operative"):
            assert text in story, (text, story)
        audited = w.usher("audit", *(d for d in w.dirs))
        assert ", 0 broken" in audited, audited
        # and the audit finds what is wrong: an entry changed, a key in clear
        import sqlite3
        db = sqlite3.connect(w.path("hss/hss.db"))
        db.execute("UPDATE audit SET text = text || '!' WHERE seq = 2")
        db.execute("UPDATE imsi SET k = x'00112233445566778899aabbccddeeff' WHERE state = 'active'")
        db.commit()
        db.close()
        told = __import__("json").loads(w.usher("--json", "audit", "hss", code=1))
        assert told["broken"] == 5 and [f["what"] for f in told["found"]].count("keys are wrapped") == 3 and told["found"][0]["role"] == "hss", told
        audited = w.usher("audit", "hss", code=1)
        assert "audit entry 2 was changed after it was written" in audited and audited.count("keys are wrapped") == 3, audited
    except BaseException:
        print(open(w.path("equipment.log")).read()[-5000:])
        raise
    finally:
        if fleet.poll() is None:
            fleet.send_signal(signal.SIGTERM)
            fleet.wait(10)
print("ok")
