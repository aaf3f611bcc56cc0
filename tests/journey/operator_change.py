# SPDX-License-Identifier: Apache-2.0
"""I2 I4 P6: the owner of an equipment that is home has chosen another operator, and the first one ends its service: the equipment comes back
with its PIMSI, hears where to go, and changes its operator over the air. Its first USIM is not tried again."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, second_home

with World() as w:
    w.world(devices=1, more=second_home)
    w.usher("pool", "add", "hss", "262-43", "262430000000001", "10")
    with open(w.path("token2"), "w") as f:
        f.write(w.usher("people", "add", "dlusim.other.example", "waterworks"))
    w.frequencies("vis1")
    assert w.claim().count("subscribed") == 1
    eq, texts = "acme:000001", lambda: [e["text"] for e in w.journey("acme:000001")]
    told = lambda text: any(text in t for t in texts())
    imsi = lambda hss: w.sql(hss, "hss", f"SELECT i.imsi, i.state FROM booking b JOIN imsi i ON i.imsi = b.imsi WHERE b.equipment = '{eq}'")
    run = lambda: w.power_on("--fleet", "fleet")
    p = run()
    try:
        w.wait("home", lambda: told("is operative: its receipt is acknowledged"), 40)
        w.wait("DM hears of the first, before its bearer ends", lambda: w.sql("dm", "dm", "SELECT state FROM job") == [("active",)], 20)
        [(old, state)] = imsi("hss")
        assert state == "active"
        w.usher("owner", "claim", "fleet/labels.csv", "--dlusim", "dlusim.other.example=127.0.0.1:@dlusim2/run/ports#owner", "--roots", "pki/roots.pem",
                "--token-file", "token2", "--serial", "2")
        # its old home serves on; the equipment stays where it has service
        assert len([t for t in texts() if "is to go to" in t]) == 1
        w.usher("imsi", "terminate", old, "--at", "262-42", "--yes")
        w.wait("it hears of the other operator", lambda: told("is to go to DLUSIM service dlusim.other.example of operator 262-43"), 60)
        w.wait("home at the other", lambda: texts()[-1:] and sum("is operative: its receipt is acknowledged" in t for t in texts()) == 2, 60)
        assert [s for _, s in imsi("hss2")] == ["active"]
        w.wait("DM hears of both", lambda: w.sql("dm", "dm", "SELECT state, COUNT(*) FROM job GROUP BY state") == [("active", 2)], 20)
        # its power is cut: it is itself with the new USIM, and does not try the old one
        p.kill()
        p.wait()
        before = len(texts())
        p = run()
        w.wait("itself", lambda: any("is operative: attached as itself" in t for t in texts()[before:]), 30)
        assert not any("attaches as itself" in t for t in texts()[before:]), texts()[before:]
    except BaseException:
        print("\n".join(texts()))
        raise
    finally:
        p.terminate()
        p.wait(10)
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
