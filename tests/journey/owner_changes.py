# SPDX-License-Identifier: Apache-2.0
"""I1 I7 P6: the owner chooses another operator while the package of the first is on its way. The equipment comes home at the first, and its PIMSI
still waits for the second: it is not retired, and when the first ends its service, the equipment comes home at the second."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, second_home

with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    open(w.path("clock"), "w").write("0")
    w.world(devices=1, more=second_home)
    w.usher("pool", "add", "hss", "262-43", "262430000000001", "10")
    with open(w.path("token2"), "w") as f:
        f.write(w.usher("people", "add", "dlusim.other.example", "waterworks"))
    w.frequencies("vis1")
    assert w.claim().count("subscribed") == 1
    eq, told = "acme:000001", lambda text: sum(text in e["text"] for e in w.journey("acme:000001"))
    pimsi = lambda: w.json("pimsi", "show", "901700000000001")["state"]
    w.equipment("--fleet", "--until=install", "fleet")
    w.usher("owner", "claim", "fleet/labels.csv", "--dlusim", "dlusim.other.example=127.0.0.1:@dlusim2/run/ports#owner", "--roots", "pki/roots.pem",
            "--token-file", "token2", "--serial", "2")
    w.equipment("--fleet", "--until=operate", "fleet")
    assert pimsi() == "routed"
    assert "has a USIM of operator 262-42, and its owner has chosen another since" in w.story("registration", "", "equipment", eq)
    [(old, state)] = w.sql("hss", "hss", f"SELECT imsi, state FROM imsi WHERE equipment = '{eq}'")
    assert state == "active"
    assert ", 0 broken" in w.usher("audit", *w.dirs)
    open(w.path("clock"), "w").write(str(80 * 3600)) # the grace is over
    p = w.power_on("--fleet", "fleet")
    try:
        w.wait("as itself", lambda: told("is operative: attached as itself"), 40)
        assert pimsi() == "routed"
        w.usher("imsi", "terminate", old, "--at", "262-42", "--yes")
        w.wait("home at the other", lambda: told("is operative: its receipt is acknowledged") == 2, 90)
        assert pimsi() == "used"
        assert w.sql("hss2", "hss", f"SELECT state FROM imsi WHERE equipment = '{eq}'") == [("active",)]
    except BaseException:
        print("\n".join(e["text"] for e in w.journey(eq)))
        raise
    finally:
        p.terminate()
        p.wait(10)
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
