# SPDX-License-Identifier: Apache-2.0
"""R6 R16 I3: what a network is given in each state of a number: one vector, five, or the cause; and who must let go before quarantine."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

PIMSI = "901700000000001"

with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    w.world(devices=1)
    w.frequencies("vis1")
    state = lambda kind, number: w.json(kind, "show", number)["state"]
    rands = []

    def one(network, number):
        got = network.vectors(number)
        assert isinstance(got, list) and len(got) == 1 and got[0] not in rands, (number, got)
        rands.extend(got)
    with w.network("vis2", "reg") as n: # 001-02: it may ask, and no equipment is there
        assert n.vectors("999990000000001") == 2, "unknown"
        assert n.vectors("901700000000050") == 17, "free"
        w.usher("pimsi", "reserve", "901700000000050")
        assert n.vectors("901700000000050") == 17, "reserved"
        w.usher("--as", "fab", "factory", "enrol", "second", "--maker", "acme", "--count", "1", "--first", "2")
        w.usher("--as", "fab", "factory", "order", "second", "--registration", "901-70", "--order", "second")
        assert state("pimsi", "901700000000002") == "issued" and n.vectors("901700000000002") == 17
        assert state("pimsi", PIMSI) == "bound"
        one(n, PIMSI)
        w.usher("pimsi", "block", PIMSI)
        assert n.vectors(PIMSI) == 8, "blocked, and nothing from memory"
        w.usher("pimsi", "unblock", PIMSI)
        assert w.claim().count("subscribed") == 1 and state("pimsi", PIMSI) == "routed"
        one(n, PIMSI)
    number = w.sql("hss", "hss", "SELECT imsi FROM booking")[0][0]
    with w.network("vis2", "hss") as n:
        assert n.vectors("262420000000050") == 17, "allocated"
        assert state("imsi", number) == "prepared" and n.vectors(number) == 17
        w.equipment("--fleet", "--until=verify", "fleet")
        assert state("imsi", number) == "released"
        one(n, number)
        w.equipment("--fleet", "--until=operate", "fleet")
        assert state("imsi", number) == "active"
        five = n.vectors(number)
        assert len(set(five)) == 5 and not set(five) & set(rands), five
        w.usher("imsi", "suspend", number)
        assert n.vectors(number) == 17, "suspended, and nothing from memory"
        w.usher("imsi", "resume", number)
        assert len(n.vectors(number)) == 5
        w.usher("imsi", "terminate", number)
        assert n.vectors(number) == 8, "terminated"
    with w.network("vis2", "reg") as n:
        assert state("pimsi", PIMSI) == "used"
        one(n, PIMSI)
        n.send(0x04, PIMSI) # UpdateLocation, and the network goes away with it
        n.hear((0x10,))
    open(w.path("clock"), "w").write(str(73 * 3600))
    w.wait("retired", lambda: state("pimsi", PIMSI) == "retired")
    assert w.json("pimsi", "show", PIMSI)["cancel"] == "001-02"
    with w.network("vis2", "reg") as n: # it is back: asked to let go, refused vectors, and when it has let go, quarantine
        kind, elements = n.hear((0x1c,))
        assert dict(elements)[6] == b"\x01", "cancel type: withdraw"
        assert n.vectors(PIMSI) == 8 and state("pimsi", PIMSI) == "retired"
        n.send(0x1e, PIMSI)
        w.wait("quarantine", lambda: state("pimsi", PIMSI) == "quarantine")
        assert n.vectors(PIMSI) == 8
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
