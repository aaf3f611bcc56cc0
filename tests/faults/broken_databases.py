# SPDX-License-Identifier: Apache-2.0
"""P1 P5 P6: every invariant of `usher audit` is broken once, in databases of a world at rest, and named."""
import os, sqlite3, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

REG, HSS, DLUSIM, DM = "reg/registration.db", "hss/hss.db", "dlusim/dlusim.db", "dm/dm.db"
P1, P2, I1, I2 = ("901700000000001", "901700000000002", "262420000000001", "262420000000002")
# database, what breaks it, the sentence, which
BROKEN = [
    (REG, f"UPDATE pimsi SET state = 'lost' WHERE pimsi = '{P1}'", "every PIMSI has a known state", P1),
    (REG, "DELETE FROM pimsi WHERE state = 'free' AND pimsi LIKE '%5'", "pool sums add up", "100 added"),
    (REG, f"UPDATE pimsi SET equipment = '' WHERE pimsi = '{P1}'", "a PIMSI that was issued has an equipment", P1),
    (REG, f"UPDATE pimsi SET state = 'free' WHERE pimsi = '{P1}'", "a free PIMSI has neither equipment nor key", P1),
    (REG, f"UPDATE pimsi SET equipment = 'acme:000002' WHERE pimsi = '{P1}'", "one PIMSI, one equipment, from its issue to its release", P1),
    (REG, f"DROP INDEX batch_item_life; UPDATE batch_item SET pimsi = '{P1}'", "one PIMSI, one equipment, from its issue to its release", P1),
    (REG, "DELETE FROM equipment WHERE equipment = 'acme:000001'", "has its equipment's certificate and claim key", P1),
    (REG, "DELETE FROM route WHERE equipment = 'acme:000001'", "a routed or used PIMSI has a route", P1),
    (REG, "DELETE FROM receipt WHERE equipment = 'acme:000001'", "no PIMSI is used or retired without a receipt", P1),
    (REG, f"UPDATE receipt SET life = 2; UPDATE pimsi SET state = 'retired' WHERE pimsi = '{P1}'", "no PIMSI is used or retired without a receipt", P1),
    (REG, f"DELETE FROM errand WHERE id = '{P1}'", "a used PIMSI waits for its retirement", P1),
    (REG, f"UPDATE pimsi SET state = 'blocked', visited = '001-01' WHERE pimsi = '{P1}'", "no network holds a PIMSI that is barred", P1 + " in 001-01"),
    (REG, f"UPDATE pimsi SET opc = x'00112233445566778899aabbccddeeff' WHERE pimsi = '{P1}'", "keys are wrapped", P1),
    (REG, f"UPDATE pimsi SET k = (SELECT k FROM pimsi WHERE pimsi = '{P1}') WHERE pimsi = '{P2}'", "no two PIMSIs have the same key", "90170000000000"),
    (HSS, f"UPDATE imsi SET state = 'aktive' WHERE imsi = '{I1}'", "every IMSI has a known state", I1 + " aktive"),
    (HSS, "UPDATE block SET count = 99", "pool sums add up", "99 added, 100 there"),
    (HSS, f"DELETE FROM booking WHERE imsi = '{I1}'", "an IMSI in use is booked", I1),
    (HSS, f"UPDATE booking SET equipment = 'acme:000009' WHERE imsi = '{I1}'", "the booking and the IMSI name the same equipment", I1),
    (HSS, f"UPDATE sealed SET equipment = 'acme:000009' WHERE imsi = '{I1}'", "one IMSI is never given to two equipments", I1),
    (HSS, f"UPDATE sealed SET imsi = '{I1}'", "one IMSI is never given to two equipments", I1),
    (HSS, "UPDATE imsi SET equipment = 'acme:000001' WHERE equipment <> ''", "an equipment has one IMSI", "acme:000001"),
    (HSS, f"UPDATE imsi SET k = x'00112233445566778899aabbccddeeff' WHERE imsi = '{I1}'", "keys are wrapped", I1),
    (HSS, f"UPDATE imsi SET k = (SELECT k FROM imsi WHERE imsi = '{I1}') WHERE imsi = '{I2}'", "no two IMSIs have the same key", "26242000000000"),
    (HSS, f"DELETE FROM sealed WHERE imsi = '{I1}'", "nothing is released without a sealed package", I1),
    (HSS, f"DELETE FROM receipt WHERE imsi = '{I1}'", "no IMSI is active without a receipt", I1),
    (HSS, f"UPDATE imsi SET state = 'released' WHERE imsi = '{I1}'; DELETE FROM errand", "a released IMSI waits for its package's expiry", I1),
    (HSS, f"UPDATE imsi SET state = 'suspended', visited = '001-01' WHERE imsi = '{I1}'", "no network holds an IMSI that is barred", I1 + " in 001-01"),
    (HSS, "UPDATE sealed SET equipment = 'acme:000001'", "package counters of an equipment never repeat", "acme:000001"),
    (HSS, f"UPDATE imsi SET imsi = '{P1}' WHERE imsi = '262420000000050'", "a number is a PIMSI or an IMSI, never both", P1),
    (DLUSIM, "UPDATE verification SET ocsp = x''", "what is sealed has its OCSP answer", ""),
    (DLUSIM, "UPDATE receipt SET ack = x''", "an acknowledged receipt has its acknowledgement", ""),
    (DLUSIM, "DELETE FROM receipt WHERE equipment = 'acme:000001'", "a receipt that the HSS took came through the DLUSIM service of its package",
     "acme:000001"),
    (REG, "UPDATE route SET serial = 0 WHERE equipment = 'acme:000001'", "a subscribed equipment is routed where its subscription says", "acme:000001"),
    (REG, "DELETE FROM receipt WHERE equipment = 'acme:000001'", "an acknowledged receipt is known to the registration operator", "acme:000001"),
    (REG, "DELETE FROM receipt WHERE equipment = 'acme:000001'", "a receipt that the HSS took, the registration operator took", "acme:000001"),
    (HSS, "DELETE FROM receipt WHERE equipment = 'acme:000001'", "a receipt that the registration operator took, the HSS took", "acme:000001"),
] + [(d, "UPDATE audit SET text = text || '!' WHERE seq = 2", "every audit entry follows from the one before it", "audit entry 2 was changed")
     for d in (REG, HSS, DLUSIM)]

with World() as w:
    w.world(devices=2)
    assert w.claim().count("subscribed") == 2
    w.frequencies("vis1")
    w.equipment("--fleet", "--until=operate", "fleet")
    w.stop()
    assert ", 0 broken" in w.usher("audit", *w.dirs)
    files = [os.path.join(d, f) for d in w.dirs for f in os.listdir(w.path(d)) if f.endswith(".db")]
    whole = {f: open(w.path(f), "rb").read() for f in files}

    def broken(file, sql):
        db = sqlite3.connect(w.path(file))
        db.executescript(sql)
        db.close()
        said = w.usher("audit", *w.dirs, code=1)
        for f in files:
            for more in ("-wal", "-shm"):
                if os.path.exists(w.path(f + more)):
                    os.unlink(w.path(f + more))
            open(w.path(f), "wb").write(whole[f])
        return said
    for file, sql, what, which in BROKEN:
        lines = [l for l in broken(file, sql).splitlines() if what in l and l.startswith("BROKEN")]
        assert lines and any(which in l for l in lines), (sql, what, which, lines)
    for file in (REG, HSS, DLUSIM, DM):
        db = sqlite3.connect(w.path(file))
        columns = [c[1:3] for c in db.execute("PRAGMA table_info(outbox)")]
        db.close()
        values = ", ".join("1" if kind == "BIGINT" else "x'00'" if kind == "BLOB" else "'stuck'" for _, kind in columns)
        said = broken(file, f"INSERT INTO outbox VALUES ({values})")
        assert "every letter to another role is delivered: stuck to stuck" in said, said
    # no sentence of the program is without its break here
    source = open(os.path.join(os.path.dirname(__file__), "..", "..", "people", "audit.c")).read()
    import re
    sentences = set(re.findall(r'^\t\{ (?:"\w+"|NULL), (?:"\w+"|NULL), "([^"]+)"', source.split("notes[] =")[0], re.M))
    untested = [s for s in sentences if not any(what in s for _, _, what, _ in BROKEN) and "every letter" not in s]
    assert len(sentences) > 25 and not untested, untested
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
