# SPDX-License-Identifier: Apache-2.0
"""P3 R13 I7: a package with a flipped bit is refused and a new one asked for; a revoked operator's package is destroyed."""
import os, signal, sqlite3, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=2)
    assert w.claim().count("subscribed") == 2
    told = lambda eq, text: any(text in e["text"] for e in w.journey(eq))
    run = lambda how, eq: w.power_on(*how.split(), "fleet/" + eq.replace(":", "_"))
    for n in (1, 2):  # paths in equipment.yaml count from its folder
        open(w.path(f"fleet/acme_00000{n}/equipment.yaml"), "w").write("frequencies: [127.0.0.1:@../../vis1/run/ports#cell]\n")
    # 1: one bit of the package is flipped where it is carried
    dm = w.pids("dm")[0]
    os.kill(dm, signal.SIGSTOP)
    p = run("--until=operate", "acme:000001")
    w.wait("sealed", lambda: w.sql("dlusim", "dlusim", "SELECT 1 FROM verification WHERE equipment = 'acme:000001' AND package_id <> ''"), 30)
    db = sqlite3.connect(w.path("dlusim/dlusim.db"), timeout=20)
    der = bytearray(db.execute("SELECT package FROM verification WHERE equipment = 'acme:000001'").fetchone()[0])
    der[len(der) // 2] ^= 1
    db.execute("UPDATE verification SET package = ? WHERE equipment = 'acme:000001'", (bytes(der),))
    db.commit()
    db.close()
    os.kill(dm, signal.SIGCONT)
    w.wait("refused", lambda: told("acme:000001", "refuses the package"), 30)
    w.wait("a new one is taken", lambda: told("acme:000001", "is operative"), 60)
    assert p.wait(10) == 0
    assert w.sql("hss", "hss", "SELECT MAX(counter) FROM sealed WHERE equipment = 'acme:000001'") == [(2,)]
    # 2: the operator's signing certificate is revoked: the package is destroyed, and the story names the certificate
    w.usher("ca", "revoke", "hss", "262-42", "--use", "sign", "--reason", "keyCompromise")
    p = run("", "acme:000002")
    try:
        w.wait("destroyed", lambda: told("acme:000002", "the certificate of hss 262-42 is revoked: the package is destroyed"), 40)
        w.wait("DM is told", lambda: w.sql("dm", "dm", "SELECT 1 FROM job WHERE equipment = 'acme:000002' AND result = 1450"), 20)
    finally:
        p.terminate()
        p.wait(10)
    assert not told("acme:000002", "is installed, inactive") and not told("acme:000002", "attaches as itself"), w.journey("acme:000002")
    story = w.usher("explain", "acme:000002")
    assert ": 1450" in story and "acme:000002 could not install package" in story and "it attaches as itself" not in story, story
    assert w.sql("hss", "hss", "SELECT i.state FROM imsi i JOIN booking b ON b.imsi = i.imsi WHERE b.equipment = 'acme:000002'") == [("released",)]
print("ok")
