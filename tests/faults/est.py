# SPDX-License-Identifier: Apache-2.0
"""R14: EST as the openssl command and curl speak it: who asks for what is not his own, or with a key that is another's, gets no certificate."""
import base64, os, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

ARC = "2.25.226043161425502714859437820940311663248"
ROLES = {"hss": 4, "equipment": 7, "factory": 8}
USES = {"sign": ("", "digitalSignature"), "deliver": ("", "keyAgreement"), "tls": (",serverAuth,clientAuth", "digitalSignature")}


def request(w, key, role, id, use):
    """A PKCS#10 with this key, which is made if it is not there."""
    if not os.path.exists(w.path(key)):
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], cwd=w.dir, check=True, capture_output=True)
    more, usage = USES[use]
    open(w.path("req.cnf"), "w").write(f"[req]\nprompt=no\ndistinguished_name=dn\nreq_extensions=x\n[dn]\nserialNumber={id}\n[x]\nkeyUsage=critical,{usage}\n"
                                       f"subjectAltName=URI:urn:usher:{role}:{id}\nextendedKeyUsage={ARC}.2.{ROLES[role]}{more}\n")
    return subprocess.run(["openssl", "req", "-new", "-key", key, "-config", "req.cnf", "-outform", "DER"], cwd=w.dir, check=True, capture_output=True).stdout


def enroll(w, me, der):
    """What the provider answers whoever has the certificate of folder `me`: its text and status; status 000: it did not come to that."""
    open(w.path("req.b64"), "wb").write(base64.b64encode(der))
    who = ["--cert", f"{me}/tls.pem", "--key", f"{me}/tls.key"] if me else []
    return subprocess.run(["curl", "-sk", "--noproxy", "*", *who, "-H", "Content-Type: application/pkcs10", "--data-binary", "@req.b64", "-w", "%{http_code}",
                           f"https://127.0.0.1:{w.port('pki', 'peers')}/.well-known/est/simpleenroll"], cwd=w.dir, capture_output=True, text=True,
                          timeout=20).stdout


with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    open(w.path("clock"), "w").write("0")
    w.attestation()
    for role, dir, id in (("factory", "fab", "acme"), ("factory", "rival", "rival"), ("hss", "hss", "262-42")):
        w.enrol(role, dir, id)
    for maker in ("acme", "rival"):
        w.usher("peer", "add", "pki", "factory", maker)
    w.start("pki")

    def refused(me, key, role, id, use, code, says):
        said = enroll(w, me, request(w, key, role, id, use))
        assert said.endswith(str(code)) and says in said, (me, role, id, use, said)

    first = request(w, "one.key", "equipment", "acme:000001", "sign")
    for _ in range(2):  # and again: whoever did not hear the answer repeats his request
        said = enroll(w, "fab", first)
        assert said.endswith("200"), said
    # the key is acme:000001's, for signing; nobody else gets it certified, nor is it for another use
    taken = "is certified for equipment acme:000001 (sign); make a new one"
    refused("fab", "one.key", "equipment", "acme:000002", "sign", 409, taken)
    refused("fab", "one.key", "equipment", "acme:000001", "deliver", 409, taken)
    refused("rival", "one.key", "equipment", "rival:000001", "sign", 409, taken)
    refused("hss", "one.key", "hss", "262-42", "tls", 409, taken)
    refused("hss", "hss/tls.key", "hss", "262-42", "sign", 409, "is certified for hss 262-42 (tls)")
    # other makers' equipments, also where one name begins as the other; IMEIs that are not listed; itself is for servers
    for id in ("rival:000001", "acme2:000001", "acm:000001", "imei:350000000000017"):
        refused("fab", "two.key", "equipment", id, "sign", 403, f"may not have a certificate for equipment {id}")
    refused("fab", "two.key", "factory", "rival", "tls", 403, "may not have a certificate for factory rival")
    # another role's certificate, and none
    for id in ("acme:000003", "262-42:000003"):
        refused("hss", "two.key", "equipment", id, "sign", 403, f"hss 262-42 may not have a certificate for equipment {id}")
    refused(None, "two.key", "equipment", "acme:000003", "sign", 401, "nobody may not have a certificate")
    # who does not hold the key that he asks for
    der = bytearray(request(w, "two.key", "equipment", "acme:000003", "sign"))
    der[-1] ^= 1
    said = enroll(w, "fab", bytes(der))
    assert said.endswith("403") and "not signed by the key that it names" in said, said
    # a factory whose certificate has ended
    open(w.path("clock"), "w").write(str(91 * 86400))
    said = enroll(w, "fab", request(w, "two.key", "equipment", "acme:000003", "sign"))
    assert said == "000", said
    assert w.sql("pki", "attestation", "SELECT id, COUNT(*) FROM certificate WHERE role = 'equipment' GROUP BY id") == [("acme:000001", 2)]
print("ok")
