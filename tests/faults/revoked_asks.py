# SPDX-License-Identifier: Apache-2.0
"""R14: a revoked certificate gets no successor, neither for its holder nor, if it is a factory's, for equipments; a new invite does."""
import os, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.attestation()
    w.enrol("factory", "fab", "acme")
    w.enrol("hss", "hss", "262-42")
    w.usher("peer", "add", "pki", "factory", "acme")
    w.usher("peer", "add", "fab", "attestation", "pki.example", "--address", "127.0.0.1:@../pki/run/ports#peers")
    w.start("pki")
    fab = ("--as", "fab")
    w.usher(*fab, "factory", "enrol", "fleet", "--maker", "acme", "--count", "1")
    w.usher("ca", "revoke", "factory", "acme", "--use", "tls", "--reason", "keyCompromise")
    err = w.usher(*fab, "factory", "enrol", "fleet", "--maker", "acme", "--count", "1", "--first", "2", code=1)
    assert "the certificate that asks for equipment acme:000002 is revoked" in err, err

    def again(*more):
        """The holder of hss's TLS certificate asks for another: EST as curl speaks it."""
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "new.key"], cwd=w.dir, check=True, capture_output=True)
        arc = "2.25.226043161425502714859437820940311663248.2.4"
        open(w.path("req.cnf"), "w").write("[req]\nprompt=no\ndistinguished_name=dn\nreq_extensions=x\n[dn]\nCN=262-42\n[x]\n"
                                           f"subjectAltName=URI:urn:usher:hss:262-42\nextendedKeyUsage={arc},serverAuth,clientAuth\n"
                                           "keyUsage=critical,digitalSignature\n")
        der = subprocess.run(["openssl", "req", "-new", "-key", "new.key", "-config", "req.cnf", "-outform", "DER"], cwd=w.dir, check=True,
                             capture_output=True).stdout
        import base64
        open(w.path("req.b64"), "wb").write(base64.b64encode(der))
        port = [l for l in open(w.path("pki/run/ports")) if "peers" in l][0].strip().rsplit(":", 1)[1]
        p = subprocess.run(["curl", "-sk", "--noproxy", "*", "--cert", "hss/tls.pem", "--key", "hss/tls.key", *more, "-H", "Content-Type: application/pkcs10",
                            "--data-binary", "@req.b64", "-w", "%{http_code}", f"https://127.0.0.1:{port}/.well-known/est/simplereenroll"],
                           cwd=w.dir, capture_output=True, text=True, timeout=20)
        return p.stdout

    said = again()
    assert said.endswith("200"), said
    w.usher("ca", "revoke", "hss", "262-42", "--reason", "keyCompromise")
    said = again()
    assert said.endswith("403") and "is revoked; staff invites anew" in said, said
    # by invite, once
    invite = w.usher("ca", "invite", "hss", "262-42").strip()
    said = again("-u", f"hss/262-42:{invite}")
    assert said.endswith("200"), said
    said = again("-u", f"hss/262-42:{invite}")
    assert said.endswith("403") and "was used" in said, said
print("ok")
