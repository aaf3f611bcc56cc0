# SPDX-License-Identifier: Apache-2.0
"""R12 R13 P2: whatever is not the attestation provider's own fresh answer is no verdict: DLUSIM service and tre wait for one. And evidence has its time."""
import base64, hashlib, http.client, http.server, json, os, ssl, subprocess, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

UNAUTHORIZED = bytes((0x30, 3, 10, 1, 6))


def ports(w, dir):
    return dict(line.split(None, 1) for line in open(w.path(dir, "run/ports")).read().replace("=", " ").splitlines())


def address(w, dir, name):
    return ports(w, dir)[name].strip().rsplit("/", 1)[-1].rsplit(":", 1)


class Between(http.server.BaseHTTPRequestHandler):
    """On the way to the responder: spoils what each asker is answered, in every way in turn, before it lets an answer through."""
    protocol_version = "HTTP/1.1"
    asked, old, responder = {}, {}, None

    def do_POST(self):
        q = self.rfile.read(int(self.headers["Content-Length"]))
        c = http.client.HTTPConnection(*Between.responder, timeout=10)
        c.request("POST", "/", q, {"Content-Type": "application/ocsp-request"})
        answer = c.getresponse().read()
        n = Between.asked[q] = Between.asked.get(q, 0) + 1
        flipped = bytearray(answer)
        flipped[len(flipped) // 2] ^= 1
        status, body = {1: (404, b"no"), 2: (200, b"<html>"), 3: (200, UNAUTHORIZED), 4: (200, bytes(flipped)),
                        5: (200, next((a for k, a in Between.old.items() if k != q), b""))}.get(n, (200, answer))
        Between.old[q] = answer  # 5: of another asker
        self.send_response(status)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def tlv(tag, body):
    n = len(body)
    return bytes((tag,)) + (bytes((n,)) if n < 128 else bytes((0x81, n)) if n < 256 else bytes((0x82, n >> 8, n & 255))) + body


def ocsp_request(w, certificate, issuer, nonce):
    """The openssl command's request, and our nonce in it."""
    for name, der in (("leaf.der", certificate), ("issuer.der", issuer)):
        open(w.path(name), "wb").write(der)
        subprocess.run(["openssl", "x509", "-inform", "DER", "-in", name, "-out", name + ".pem"], cwd=w.dir, check=True)
    subprocess.run(["openssl", "ocsp", "-sha256", "-no_nonce", "-issuer", "issuer.der.pem", "-cert", "leaf.der.pem", "-reqout", "req.der"], cwd=w.dir,
                   check=True)
    req = open(w.path("req.der"), "rb").read()
    assert req[0] == 0x30 and req[2] == 0x30 and req[1] < 128
    extension = tlv(0x30, bytes.fromhex("06092b0601050507300102") + tlv(4, tlv(4, nonce)))
    return tlv(0x30, tlv(0x30, req[4:] + tlv(0xa2, tlv(0x30, extension))))


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Between)
threading.Thread(target=server.serve_forever, daemon=True).start()
with World() as w:
    clock = w.path("clock")
    open(clock, "w").write("0")
    w.env["USHER_CLOCK"] = clock
    w.world(devices=1, more=lambda w: w.usher("peer", "add", "dlusim", "attestation", "pki.example", "--replace", "--ocsp",
                                            f"127.0.0.1:{server.server_port}") and [])
    Between.responder = address(w, "pki", "ocsp")
    assert w.claim().count("subscribed") == 1
    w.frequencies("vis9", "vis1")
    p = w.power_on("--fleet", "--until=operate", "fleet")
    try:
        w.wait("operative all the same", lambda: any("is operative" in e["text"] for e in w.journey("acme:000001")), 90)
        assert p.wait(20) == 0
    except BaseException:
        print("\n".join(e["text"] for e in w.journey("acme:000001")))
        raise
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
    assert sorted(Between.asked.values()) == [6, 6], Between.asked.values()
    # nothing was refused: one answer of the equipment, one package
    assert w.sql("dlusim", "dlusim", "SELECT COUNT(*) FROM verification") == [(1,)]
    assert w.sql("hss", "hss", "SELECT COUNT(*), MAX(counter) FROM sealed") == [(1, 1)]

    # the evidence, given again by its DLUSIM service with a new OCSP answer about it: the same package while it is young, nothing later
    discover, challenge, answer = w.sql("dlusim", "dlusim",
                                        "SELECT c.evidence, c.der, v.answer FROM verification v JOIN challenge c ON c.discover = v.discover")[0]
    leaf = w.sql("pki", "attestation", "SELECT der FROM certificate WHERE role = 'equipment' AND use = 'sign'")[0][0]
    issuer = ssl.PEM_cert_to_DER_cert(open(w.path("pki/ca/devices.pem")).read())

    def present():
        q = ocsp_request(w, leaf, issuer, hashlib.sha256(answer).digest())
        c = http.client.HTTPConnection(*Between.responder, timeout=10)
        c.request("POST", "/", q, {"Content-Type": "application/ocsp-request"})
        ocsp = c.getresponse().read()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        tls.load_cert_chain(w.path("dlusim/tls.pem"), w.path("dlusim/tls.key"))
        c = http.client.HTTPSConnection(*address(w, "hss", "peers"), context=tls, timeout=10)
        b64 = lambda b: base64.b64encode(b).decode()
        c.request("POST", "/v1/verify", json.dumps({"discover": b64(discover), "challenge": b64(challenge), "answer": b64(answer), "ocsp": b64(ocsp)}),
                  {"Content-Type": "application/json"})
        r = c.getresponse()
        return r.status, r.read().decode()

    status, text = present()
    assert status == 200, text
    for later in ("400", "660"):  # the challenge's end, a whole challenge after the discover answer's
        open(clock, "w").write(later)
        status, text = present()
        assert status == 403 and "too old" in text, (later, status, text)
server.shutdown()
print("ok")
