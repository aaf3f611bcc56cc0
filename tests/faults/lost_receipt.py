# SPDX-License-Identifier: Apache-2.0
"""R16 I7: the acknowledgement is lost after all sides have committed: the same receipt comes again, and gets the same acknowledgement."""
import http.client, os, ssl, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.env["USHER_FAULTS"] = w.path()
    w.world(devices=4)
    assert w.claim().count("subscribed") == 4
    receipts = lambda: w.sql("dlusim", "dlusim", f"SELECT der, ack FROM receipt WHERE equipment = '{name}'")
    # the DLUSIM service dies when the acknowledgement is on its disk, before its answer leaves (core/fault.h); now and then the answers of
    # HSS and registration operator are committed together, which is another point: then the next equipment's turn
    w.arm("dlusim", 1, "outbox+receipt+errand after")
    for n in range(1, 5):
        name, folder = f"acme:00000{n}", f"fleet/acme_00000{n}"
        open(w.path(folder, "equipment.yaml"), "w").write("frequencies: [127.0.0.1:@../../vis1/run/ports#cell]\n")
        eq = w.power_on("--until=operate", folder)
        try:
            w.wait("it died there, or its equipment is home", lambda: not w.armed("dlusim") or eq.poll() is not None, 40)
            if w.armed("dlusim"):
                continue
            (receipt, ack), = receipts()
            assert ack and w.sql("hss", "hss", f"SELECT state FROM imsi WHERE equipment = '{name}'") == [("active",)]
            assert w.sql("reg", "registration", f"SELECT state FROM pimsi WHERE equipment = '{name}'") == [("used",)]
            assert eq.wait(40) == 0
            break
        finally:
            eq.kill()
            eq.wait()
    assert not w.armed("dlusim"), "it never died there"
    texts = [e["text"] for e in w.journey(name)]
    assert any("its receipt is not acknowledged yet" in t for t in texts) and "is operative: its receipt is acknowledged" in texts, texts
    assert receipts() == [(receipt, ack)], "one receipt, one acknowledgement"
    # whoever sends the very bytes again gets the very bytes
    host, port = next(l.split()[1] for l in open(w.path("dlusim/run/ports")) if l.startswith("equipment ")).split(":")
    for _ in range(2):
        c = http.client.HTTPSConnection(host, int(port), context=ssl._create_unverified_context(), timeout=20)
        c.request("POST", "/v1/install", receipt, {"Content-Type": "application/cms"})
        r = c.getresponse()
        assert (r.status, r.read()) == (200, ack)
    assert w.story("hss", "", "equipment", name).count(" is active: ") == 1
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
