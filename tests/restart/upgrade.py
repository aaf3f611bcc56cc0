# SPDX-License-Identifier: Apache-2.0
"""P6: databases of the first schema, with an equipment at home and one on its way, are upgraded; both go on, and the invariants hold."""
import os, sqlite3, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    w.world(devices=3)
    assert w.claim().count("subscribed") == 3
    for n in (1, 2, 3):
        open(w.path(f"fleet/acme_00000{n}/equipment.yaml"), "w").write("frequencies: [127.0.0.1:@../../vis1/run/ports#cell]\n")
    run = lambda how, n: w.equipment(*how.split(), f"fleet/acme_00000{n}")
    run("--until=operate", 1)
    run("--until=verify", 2)
    ports = {d: open(w.path(d, "run/ports")).read() for d in w.dirs}
    w.stop()
    # back to the first schema: what the second added is taken away again
    for dir, role, number, more in (("reg", "registration", "pimsi", "batch_item"), ("hss", "hss", "imsi", "sealed")):
        db = sqlite3.connect(w.path(dir, role + ".db"))
        for index in [i for (i,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND name IN (?, ?, ?, 'batch_item_life', 'sealed_imsi')",
                                               (f"{number}_first", f"{number}_issued", f"{number}_cancel"))]:
            db.execute(f"DROP INDEX {index}")
        for table in ("block", "receipt"):
            db.execute(f"DROP TABLE {table}")
        for column in ("before", "cancel", "life", "issued_at", "auc_since"):
            db.execute(f"ALTER TABLE {number} DROP COLUMN {column}")
        db.execute(f"ALTER TABLE {more} DROP COLUMN life")
        db.execute("ALTER TABLE auc DROP COLUMN rand_key")
        if dir == "reg":
            db.execute("DROP TABLE budget")
            db.execute("CREATE TABLE budget (pimsi TEXT PRIMARY KEY, day BIGINT NOT NULL, attempts BIGINT NOT NULL, octets BIGINT NOT NULL,"
                       " since BIGINT NOT NULL)")
            db.execute("INSERT INTO budget VALUES ('901700000000002', strftime('%s') / 86400, 99, 2000, strftime('%s') - 1700)")
        db.execute("DELETE FROM errand WHERE kind = 'expire'")
        db.execute("UPDATE schema_version SET version = 2")
        db.commit()
        db.close()
    # DM's and DLUSIM's: no sessions, and no end of a job that nobody came for
    for role, changes in (("dm", [f"DROP COLUMN {c}" for c in ("session", "msg", "said", "mac", "reply", "reply_mac")]
                           + ["ADD COLUMN failures BIGINT NOT NULL DEFAULT 0"]),
                          ("dlusim", [])):
        db = sqlite3.connect(w.path(role, role + ".db"))
        for index in {"dm": ["errand_fetching"], "dlusim": ["challenge_expires", "verification_equipment", "verification_discover", "receipt_equipment"]}[role]:
            db.execute(f"DROP INDEX {index}")
        for change in changes:
            db.execute(f"ALTER TABLE job {change}")
        for table, column in {"dm": [], "dlusim": [("verification", "expires_at"), ("receipt", "counter")]}[role]:
            db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        db.execute("UPDATE errand SET due = 0")
        db.execute("UPDATE schema_version SET version = 2")
        db.commit()
        db.close()
    # the attestation provider's: it did not know whose a key is
    db = sqlite3.connect(w.path("pki/attestation.db"))
    for index in ("certificate_key", "certificate_sha256"):
        db.execute(f"DROP INDEX {index}")
    db.execute("ALTER TABLE certificate DROP COLUMN key")
    db.execute("UPDATE schema_version SET version = 2")
    db.commit()
    db.close()
    # the same ports: equipments know the address of discover by their orders
    for d, text in ports.items():
        kept = open(w.path(d, "usher.yaml")).read()
        for name, at in (line.split() for line in text.splitlines()):
            kept = kept.replace(f'  {name}: "127.0.0.1:0"', f'  {name}: "{at}"')
        open(w.path(d, "usher.yaml"), "w").write(kept)
    w.start(*w.dirs)
    said = w.usher("audit", *w.dirs)
    assert ", 0 broken" in said, said
    assert w.json("pimsi", "show", "901700000000001")["state"] == "used" and "100 left" not in w.usher("status")
    for role, sql in (("dlusim", "SELECT COUNT(*) FROM errand e JOIN verification v ON v.id = e.id"
                                 " WHERE e.kind = 'verify' AND e.due = v.asked_at * 1000 + 30 * 86400000"),
                      ("dm", "SELECT COUNT(*) FROM errand WHERE kind = 'job' AND state = 'ended'")):
        assert w.sql(role, role, sql)[0][0] >= 1, role
    run("--until=operate", 2)
    run("--until=operate", 3)
    open(w.path("clock"), "w").write(str(73 * 3600))
    for n in (1, 2, 3):
        w.wait("retired", lambda: w.json("pimsi", "show", f"90170000000000{n}")["state"] == "quarantine")
    said = w.usher("audit", *w.dirs)
    assert ", 0 broken" in said, said
print("ok")
