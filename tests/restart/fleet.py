# SPDX-License-Identifier: Apache-2.0
"""kill -9 of every role, twice, at counted points of a whole fleet's journeys at the same time: all arrive, nothing twice."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

# how many points a role passes before it dies, the first time and again (core/fault.h)
DEATHS = {"registration": (12, 30), "dlusim": (25, 40), "hss": (6, 10), "dm": (15, 20), "attestation": (3, 4), "visited": (30, 50)}

with World() as w:
    w.env["USHER_FAULTS"] = w.path()
    w.world(devices=6)
    assert w.claim().count("subscribed") == 6
    w.frequencies("vis1")
    for role, (first, _) in DEATHS.items():
        w.arm(role, first)
    fleet = w.power_on("--fleet", "--until=operate", "fleet")
    try:
        left = dict(DEATHS)

        def all_died_twice():
            for role in [r for r in left if not w.armed(r)]:
                again = left.pop(role)[1:]
                if again:
                    left[role] = again[1:]
                    w.arm(role, again[0])
            return not left
        w.wait("every role dies twice", all_died_twice, 120)
        assert fleet.wait(150) == 0
        assert w.sql("hss", "hss", "SELECT state, COUNT(*) FROM imsi WHERE state <> 'allocated' GROUP BY state") == [("active", 6)]
        assert w.sql("reg", "registration", "SELECT state, COUNT(*) FROM pimsi WHERE state <> 'free' GROUP BY state") == [("used", 6)]
        assert w.sql("hss", "hss", "SELECT COUNT(*) FROM booking") == [(6,)]
        assert w.more().count("(signal 9)") == 12, w.said
        assert ", 0 broken" in w.usher("audit", *w.dirs)
    finally:
        fleet.kill()
        fleet.wait()
print("ok")
