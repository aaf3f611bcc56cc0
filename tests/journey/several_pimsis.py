# SPDX-License-Identifier: Apache-2.0
"""R9 R17 P1: an equipment with two PIMSIs of one registration operator: both are its own, one route leads both, and either brings it home."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=2)
    w.usher(*w.fab, "factory", "order", "fleet", "--registration", "901-70", "--order", "second")
    w.usher(*w.fab, "factory", "order", "fleet", "--registration", "901-70", "--order", "second")  # again: the same
    w.usher(*w.fab, "factory", "bind", "fleet", "--registration", "901-70")
    assert w.sql("reg", "registration", "SELECT equipment, COUNT(*) FROM pimsi WHERE state = 'bound' GROUP BY equipment ORDER BY equipment") == [
        ("acme:000001", 2), ("acme:000002", 2)]
    for order in ("third", "fourth"):
        w.usher(*w.fab, "factory", "order", "fleet", "--registration", "901-70", "--order", order)
    w.usher(*w.fab, "factory", "bind", "fleet", "--registration", "901-70")
    assert w.sql("reg", "registration", "SELECT equipment, COUNT(*) FROM pimsi WHERE state = 'bound' GROUP BY equipment ORDER BY equipment") == [
        ("acme:000001", 4), ("acme:000002", 4)]
    # a fifth does not fit: the factory asks before it orders, and no number is issued for nothing
    err = w.usher(*w.fab, "factory", "order", "fleet", "--registration", "901-70", "--order", "fifth", code=1)
    assert all(f"fleet/acme_00000{n} has no slot left for another PIMSI" in err for n in (1, 2)), err
    assert w.sql("reg", "registration", "SELECT COUNT(*) FROM pimsi WHERE state <> 'free'") == [(8,)]
    assert w.claim().count("subscribed") == 2
    # the first PIMSI is barred at its operator: the equipment alternates, and comes home with the second
    first = w.sql("reg", "registration", "SELECT MIN(pimsi) FROM pimsi WHERE equipment = 'acme:000001'")[0][0]
    import sqlite3
    db = sqlite3.connect(w.path("reg/registration.db"), timeout=20)
    db.execute("UPDATE pimsi SET state = 'blocked' WHERE pimsi = ?", (first,))
    db.commit()
    db.close()
    w.frequencies("vis1")
    fleet = w.power_on("--fleet", "--until=operate", "fleet")
    try:
        for n in (1, 2):
            w.wait(f"{n} is operative", lambda: any("is operative" in e["text"] for e in w.journey(f"acme:00000{n}")), 60)
        assert fleet.wait(20) == 0
    except BaseException:
        print("\n".join(e["text"] for e in w.journey("acme:000001")))
        raise
    finally:
        if fleet.poll() is None:
            fleet.kill()
            fleet.wait()
    # the receipt names the PIMSI that came home; all that waited on the same route are used, and can be retired (P6)
    assert first not in [p for (p,) in w.sql("reg", "registration", "SELECT pimsi FROM receipt")], first
    states = w.sql("reg", "registration",
                   "SELECT equipment, state, COUNT(*) FROM pimsi WHERE equipment <> '' GROUP BY equipment, state ORDER BY equipment, state")
    assert states == [("acme:000001", "blocked", 1), ("acme:000001", "used", 3), ("acme:000002", "used", 4)], states
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
