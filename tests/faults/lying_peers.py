# SPDX-License-Identifier: Apache-2.0
"""R10 R11 R3: peers that answer nonsense: wrong types, numbers that no time has, texts without end, no JSON at all. Each letter ends refused, with a
sentence that names the field, and the role lives on. A DLUSIM service lies to DM, an HSS to the DLUSIM service."""
import base64, glob, http.server, json, os, signal, ssl, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World
from syncml import TYPE, alert, message, post

b64 = lambda octets: base64.b64encode(octets).decode()


class Liar(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    lies = {}

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = Liar.lies[self.path](body)
        said = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *args):
        pass


def serve(w, folder):
    """In the place of the role of this folder, with its certificate: the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(w.path(folder, "tls.pem"), w.path(folder, "tls.key"))
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


def lies_of(good, changes):
    """A good answer with one field changed each, and what is no object at all."""
    return [(name, dict(good, **{name: value})) for name, value in changes] + [
        (next(iter(good)), x) for x in (b"", b"[" * 100000, [], "text", None, {"x": "y"})]


with World() as w:
    w.world(devices=1)

    def instead(of, role, folder):
        """The role `of` calls us instead of the one in folder."""
        [peer] = glob.glob(w.path(of, "peers", role + "_*"))
        w.usher("peer", "add", of, role, os.path.basename(peer)[len(role) + 1:-5], "--replace", "--address", serve(w, folder))
        log = w.path(of, "run/log")
        before = open(log).read().count(" reload peers=")
        os.kill(w.pids(of)[0], signal.SIGHUP)
        w.wait("peers are read again", lambda: open(log).read().count(" reload peers=") > before)

    # DM: each job's account is made of lies, but for one
    instead("dm", "dlusim", "dlusim")
    address = dict(line.split() for line in open(w.path("dm/run/ports")))["equipment"]
    good = dict(user="", job="", equipment="acme:000001", client_hash="x" * 24, server_hash="y" * 24, client_nonce=b64(bytes(16)), server_nonce=b64(bytes(16)),
                package=b64(bytes(3000)), package_id="1122", expires_at=2000000000)
    changes = [("user", 7), ("user", "dlusim.home.example/other"), ("job", None), ("equipment", "e" * 5000), ("client_hash", ["x"]), ("server_hash", "y" * 500),
               ("client_nonce", b64(bytes(100))), ("server_nonce", "no base64!"), ("package", b64(bytes(60000))), ("package_id", {}),
               ("expires_at", "2000000000"), ("expires_at", 10 ** 15), ("expires_at", 2 ** 63 - 1), ("expires_at", -1), ("expires_at", 1e9)]

    def first(n, lie):
        """A first message of job n, whose account this is: status and what is said."""
        user = f"dlusim.home.example/{n:016}"
        mine = {"user": user, "job": f"{n:016}"}
        whole = isinstance(lie, dict) and "user" in lie
        Liar.lies["/v1/provision"] = lambda body: dict(lie, **{k: v for k, v in mine.items() if lie.get(k) == ""}) if whole else lie
        code, _, said = post(address, message("1", 1, "dm.example", "urn:usher:equipment:acme:000001", user, alert(1, 1201)), {"Content-Type": TYPE})
        return code, said.decode()

    lies = lies_of(good, changes) + [("user", dict(good, expires_at=2 ** 70))] # which is no JSON number for jansson
    for n, (name, lie) in enumerate(lies):
        code, said = first(n, lie)
        assert code == 403 and (f"field `{name}`" in said or "the account of another job" in said), (name, lie if len(str(lie)) < 200 else "", code, said)
    assert first(99, good)[0] == 200, "the truth is taken: it is challenged"
    assert w.sql("dm", "dm", "SELECT COUNT(*) FROM job") == [(1,)]

    # the DLUSIM service: an order is refused by what the HSS says of itself, and taken when it says what it should
    instead("dlusim", "hss", "hss")
    for serial, (name, lie) in enumerate(lies_of({"signer": "ab" * 32}, [("signer", 5), ("signer", "ab" * 5000)]), 2):
        Liar.lies["/v1/signer"] = lambda body: lie
        said = w.claim("fleet/labels.csv", "--serial", str(serial), code=1)
        assert "field `signer`" in said, (lie, said)
    assert w.all_up() and len(w.pids("dm")) == len(w.pids("dlusim")) == 1
    assert " ended" not in w.more().replace("is up", ""), w.more()
print("ok")
