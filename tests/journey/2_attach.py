# SPDX-License-Identifier: Apache-2.0
"""R6 R7 R15 R17 I2 I3 I4 P4: PLMN selection, AKA, limited access, discover; networks that refuse; nobody subscribed it."""
import os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=3)
    lines = open(w.path("fleet/labels.csv")).read().split()
    open(w.path("two.csv"), "w").write("\n".join(lines[:3]) + "\n")
    assert w.claim("two.csv").count("subscribed") == 2
    # one network is not on the allowed list, one has no agreement for the PIMSI, the third takes it
    w.frequencies("vis9", "vis2", "vis1")
    log = open(w.path("equipment.log"), "w")
    fleet = w.power_on("--fleet", "fleet", log=log)
    try:
        def told(eq, text):
            return any(text in e["text"] for e in w.journey(eq))
        for n in (1, 2):
            eq = f"acme:00000{n}"
            w.wait(eq + " discovers", lambda: told(eq, "is to go to DLUSIM service dlusim.home.example of operator 262-42"), 40)
            assert told(eq, "001-09: is not on the order's list"), w.journey(eq)
            assert told(eq, "001-02: refuses to attach us: PLMN not allowed (cause 11)"), w.journey(eq)
            last = w.journey(eq)[-1]
            assert last["sent"] > 1000 and last["received"] > 1000 and last["turns"] > 5, last
        # nobody subscribed the third: attached, refused at discover, and it hears why
        w.wait("the third hears why", lambda: told("acme:000003", "nobody has subscribed acme:000003 yet"), 20)
        story = w.story("registration", "", "equipment", "acme:000003")
        assert "901700000000003 attached in network 001-01" in story and "it is its owner's turn" in story, story
        # each PIMSI is where the registration operator believes it to be
        assert w.sql("reg", "registration", "SELECT visited FROM pimsi WHERE pimsi IN ('901700000000001', '901700000000002')") == [("001-01",), ("001-01",)]
        # its owner subscribes it: it is still attached, asks again when it was told to, and spends no further attach
        assert w.claim().count("subscribed") == 3
        w.wait("the third discovers", lambda: told("acme:000003", "is to go to DLUSIM service dlusim.home.example"), 60)
        assert sum("has limited access" in e["text"] for e in w.journey("acme:000003")) == 1, w.journey("acme:000003")
    except BaseException:
        print(open(w.path("equipment.log")).read()[-3000:])
        raise
    finally:
        fleet.send_signal(signal.SIGTERM)
        assert fleet.wait(10) == 0
print("ok")
