# SPDX-License-Identifier: Apache-2.0
"""R16 I7: the acknowledgement is lost after all sides have committed: the same receipt comes again, and gets the same acknowledgement."""
import http.client, os, ssl, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, BUILD

with World() as w:
    w.env["USHER_FAULTS"] = w.path()
    w.world(devices=1)
    assert w.claim().count("subscribed") == 1
    w.frequencies("vis1")
    receipts = lambda: w.sql("dlusim", "dlusim", "SELECT der, ack FROM receipt")
    # the DLUSIM service dies when the acknowledgement is on its disk, before its answer leaves (core/fault.h)
    w.arm("dlusim", 1, "outbox+receipt+errand after")
    eq = subprocess.Popen([os.path.join(BUILD, "roles/equipment/usher-equipment"), "--fleet", "--until=operate", "fleet"], cwd=w.dir, env=w.env, stderr=subprocess.DEVNULL)
    try:
        w.wait("it died there", lambda: not w.armed("dlusim"), 40)
        (receipt, ack), = receipts()
        assert ack and w.sql("hss", "hss", "SELECT COUNT(*) FROM imsi WHERE state = 'active'") == [(1,)]
        assert w.sql("reg", "registration", "SELECT COUNT(*) FROM pimsi WHERE state = 'used'") == [(1,)]
        assert eq.wait(40) == 0
    finally:
        eq.kill()
        eq.wait()
    texts = [e["text"] for e in w.journey("acme:000001")]
    assert any("its receipt is not acknowledged yet" in t for t in texts) and "is operative: its receipt is acknowledged" in texts, texts
    assert receipts() == [(receipt, ack)], "one receipt, one acknowledgement"
    # whoever sends the very bytes again gets the very bytes
    host, port = next(l.split()[1] for l in open(w.path("dlusim/run/ports")) if l.startswith("equipment ")).split(":")
    for _ in range(2):
        c = http.client.HTTPSConnection(host, int(port), context=ssl._create_unverified_context(), timeout=20)
        c.request("POST", "/v1/install", receipt, {"Content-Type": "application/cms"})
        r = c.getresponse()
        assert (r.status, r.read()) == (200, ack)
    assert w.story("hss", "", "equipment", "acme:000001").count(" is active: ") == 1
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
