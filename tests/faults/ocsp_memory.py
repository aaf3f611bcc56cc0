# SPDX-License-Identifier: Apache-2.0
"""R12 I13: what OCSP answers from memory. A nonce is signed each time; without one an answer comes again for half its life, and no longer; a
revocation is told by the next answer of either kind; what was never issued (serial number 0 too, which has no digits) is known to nobody."""
import hashlib, os, re, sqlite3, subprocess, sys, urllib.request
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    w.attestation()
    w.enrol("hss", "hss", "262-42")
    port = [l for l in open(w.path("pki/run/ports")) if l.startswith("ocsp")][0].strip().rsplit(":", 1)[1]
    plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def openssl(*words):
        p = subprocess.run(["openssl", "ocsp", *words], cwd=w.dir, capture_output=True, text=True)
        assert p.returncode == 0, p.stderr
        return p.stdout + p.stderr

    def question(name, *words, ca="servers"):
        openssl("-issuer", f"pki/ca/{ca}.pem", "-sha256", *words, "-reqout", name)
        return open(w.path(name), "rb").read()

    def ask(body):
        return plain.open(urllib.request.Request(f"http://127.0.0.1:{port}/", body, {"Content-Type": "application/ocsp-request"}), timeout=20).read()

    def status(der, ca="servers"):
        open(w.path("answer"), "wb").write(der)
        said = openssl("-respin", "answer", "-resp_text", "-CAfile", "pki/roots.pem", "-verify_other", f"pki/ca/{ca}.pem")
        assert "Response verify OK" in said, said
        return re.search(r"Cert Status: (\w+)", said).group(1)

    fresh = question("fresh", "-cert", "hss/tls.pem")
    plain_one = question("plain", "-cert", "hss/tls.pem", "-no_nonce")
    zero = question("zero", "-serial", "0", ca="devices") # the first CA: an empty place is no certificate of it
    for _ in range(3):
        assert status(ask(zero), "devices") == "unknown"
        assert status(ask(fresh)) == "good"
    assert ask(fresh) != ask(fresh)
    first = ask(plain_one)
    assert ask(plain_one) == first and status(first) == "good"
    # another question in the same place of the memory has its own answer
    serial = bytes.fromhex(subprocess.run(["openssl", "x509", "-in", "hss/tls.pem", "-noout", "-serial"], cwd=w.dir, capture_output=True, text=True,
                                          check=True).stdout.split("=")[1])
    assert plain_one.count(serial) == 1
    others = (plain_one.replace(serial, serial[:1] + os.urandom(15)) for _ in range(1 << 16))
    assert status(ask(next(q for q in others if hashlib.sha256(q).digest()[0] == hashlib.sha256(plain_one).digest()[0]))) == "unknown"
    # unknown is for this once
    soon = question("soon", "-serial", "0x77", "-no_nonce")
    assert status(ask(soon)) == status(ask(soon)) == "unknown"
    db = sqlite3.connect(w.path("pki/attestation.db"))
    db.execute("INSERT INTO certificate (serial, issuer, role, id, use, sha256, der, issued_at, until, revoked_at, reason)"
               " SELECT '77', issuer, role, 'other', use, 'x', der, issued_at, until, 0, reason FROM certificate WHERE serial = ?", [serial.hex()])
    db.commit()
    assert status(ask(soon)) == "good"

    def later(seconds):
        open(w.path("clock"), "w").write(str(seconds))

    later(100)
    assert ask(plain_one) == first
    later(200)
    second = ask(plain_one)
    assert second != first and ask(plain_one) == second and status(second) == "good"
    w.usher("ca", "revoke", "hss", "262-42", "--use", "tls", "--reason", "keyCompromise")
    assert status(ask(fresh)) == status(ask(plain_one)) == "revoked"
print("ok")
