# SPDX-License-Identifier: Apache-2.0
"""I2 I3: a wrong K is a MAC failure that keeps the equipment out and says so; a sequence number gone back is resynchronised."""
import os, sqlite3, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World


def change(w, sql):
    db = sqlite3.connect(w.path("reg/registration.db"), timeout=20)
    db.execute(sql)
    db.commit()
    db.close()


with World() as w:
    w.world(devices=2)
    lines = open(w.path("fleet/labels.csv")).read().split()
    assert w.claim().count("subscribed") == 2
    w.frequencies("vis1")
    told = lambda eq, text: any(text in e["text"] for e in w.journey(eq))
    # sequence numbers far ahead, a first attach, then back: the USIM answers AUTS, the AuC follows, the attach goes on
    change(w, "UPDATE pimsi SET auc_offset = auc_offset + 200000 WHERE state = 'routed'")
    w.equipment("--fleet", "--until=discover", "fleet")
    change(w, "UPDATE pimsi SET auc_offset = auc_offset - 100000 WHERE state = 'routed'")
    w.restart_registration()  # its IND counters begin anew: the same array elements are met again
    w.equipment("--fleet", "--until=discover", "fleet")
    for eq in ("acme:000001", "acme:000002"):
        assert told(eq, "our sequence number is ahead of 001-01: resynchronising"), w.journey(eq)
        assert "resynchronised the sequence number" in w.story("registration", "", "equipment", eq)
    # another PIMSI's key: neither side accepts the other, and the equipment says why it has no network
    change(w, "UPDATE pimsi SET k = (SELECT k FROM pimsi WHERE pimsi = '901700000000002') WHERE pimsi = '901700000000001'")
    w.restart_registration()
    p = w.power_on("--fleet", "fleet")
    try:
        w.wait("MAC failure", lambda: told("acme:000001", "network 001-01 does not prove that it knows our key"), 20)
        w.wait("no network", lambda: told("acme:000001", "has no network: 001-01: does not accept our answer"), 20)
        w.wait("the network heard why", lambda: "the equipment refuses our network: MAC failure" in open(w.path("vis1/run/log")).read())
        # its own neighbour, whose key is the one that was taken, is served; the other is not attached anywhere, and nothing was resynchronised
        w.wait("the other goes on", lambda: told("acme:000002", "is operative"), 40)
        assert w.sql("reg", "registration", "SELECT visited FROM pimsi WHERE equipment = 'acme:000001'") == [("",)]
        assert w.story("registration", "", "equipment", "acme:000001").count("resynchronised the sequence number") == 1
    finally:
        p.terminate()
        p.wait(10)
print("ok")
