# SPDX-License-Identifier: Apache-2.0
"""P2 P3: the HSS believes no DLUSIM. With its certificate, evidence that is mixed, another's, or of a revoked equipment releases nothing."""
import base64, http.client, os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World


def port(w, dir, name):
    return int(dict(line.split() for line in open(w.path(dir, "run/ports")))[name].rsplit(":", 1)[1])


def seal(w, who, evidence):
    return w.post(who, "hss", "peers", "/v1/verify", {k: base64.b64encode(v).decode() for k, v in evidence.items()})


with World() as w:
    w.world(devices=3)
    assert w.claim().count("subscribed") == 3
    w.frequencies("vis1")
    w.usher("ca", "revoke", "equipment", "acme:000003", "--use", "sign", "--reason", "keyCompromise")
    pki = w.pids("pki")[0]
    os.kill(pki, signal.SIGSTOP)
    fleet = w.power_on("--fleet", "fleet")
    try:
        w.wait("all three have answered", lambda: len(w.sql("dlusim", "dlusim", "SELECT 1 FROM outbox WHERE word = 'ocsp'")) == 3, 40)
        evidence = {}
        for n in (1, 2, 3):
            eq = f"acme:00000{n}"
            (discover, challenge, answer, ask), = w.sql("dlusim", "dlusim", "SELECT c.evidence, c.der, v.answer, o.body FROM verification v"
                f" JOIN challenge c ON c.discover = v.discover JOIN outbox o ON o.id = v.id AND o.word = 'ocsp' WHERE v.equipment = '{eq}'")
            evidence[n] = {"discover": discover, "challenge": challenge, "answer": answer, "ocsp": ask}
        for p in w.pids("dlusim"):  # the DLUSIM is us from here on
            os.kill(p, signal.SIGSTOP)
        os.kill(pki, signal.SIGCONT)
        for n in (1, 2, 3):
            c = http.client.HTTPConnection("127.0.0.1", port(w, "pki", "ocsp"), timeout=20)
            c.request("POST", "/", evidence[n]["ocsp"], {"Content-Type": "application/ocsp-request"})
            evidence[n]["ocsp"] = c.getresponse().read()
        released = lambda: w.sql("hss", "hss", "SELECT COUNT(*) FROM sealed")[0][0]
        one, two = evidence[1], evidence[2]
        status, said = seal(w, "dlusim", evidence[3])
        assert status == 403 and "the certificate of equipment acme:000003 is revoked" in said["why"], said
        for part in ("discover", "challenge", "answer", "ocsp"):
            status, said = seal(w, "dlusim", dict(one, **{part: two[part]}))
            assert status == 403, (part, said)
            status, said = seal(w, "dlusim", dict(one, **{part: one[part][:-1] + bytes([one[part][-1] ^ 1])}))
            assert status == 403, (part, said)
        status, said = seal(w, "dm", one)
        assert status == 403, said
        assert released() == 0
        # of a booking that is another's by now, or of another claim
        import sqlite3
        db = sqlite3.connect(w.path("hss/hss.db"), timeout=20)
        for column, other in (("serial", 7), ("registration", "'901-71'"), ("dlusim", "'other.example'"), ("certificate", "'00'")):
            (was,), = db.execute(f"SELECT {column} FROM booking WHERE equipment = 'acme:000001'").fetchall()
            db.execute(f"UPDATE booking SET {column} = {other} WHERE equipment = 'acme:000001'")
            db.commit()
            status, said = seal(w, "dlusim", one)
            assert status == 403 and "not of its present booking" in said["why"], (column, said)
            db.execute(f"UPDATE booking SET {column} = ? WHERE equipment = 'acme:000001'", (was,))
            db.commit()
        db.close()
        assert released() == 0
        # whole, and its own: sealed; again: the same package
        status, said = seal(w, "dlusim", one)
        assert status == 200, said
        assert seal(w, "dlusim", one) == (200, said)
        assert released() == 1
    finally:
        for p in (pki, *w.pids("dlusim")):
            os.kill(p, signal.SIGCONT)
        fleet.terminate()
        fleet.wait(10)
print("ok")
