# SPDX-License-Identifier: Apache-2.0
"""R10 I6 I7: what OMA DM servers do to the equipment: lost answers, wrong secrets, stale nonces, half packages, unknown commands, other
packages, an end in the middle. The server is written here, from the specification, and shares nothing with ours; it has the DM
service's certificate and knows the job as the DLUSIM service knows it."""
import os, queue, signal, socket, ssl, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World
import syncml
from syncml import Account, Read, alert, mac, message, status


CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<"


class Asked:
    def __init__(self, body, headers):
        self.body, self.headers, self.out = body, headers, queue.Queue()


class Server:
    """One request after the other, each answered by the test."""
    def __init__(self, w):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(w.path("dm/tls.pem"), w.path("dm/tls.key"))
        self.asked, self.account = queue.Queue(), None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(c,), daemon=True).start()

    def accept(self, context):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(context, s), daemon=True).start()

    def serve(self, context, plain):
        try:
            with context.wrap_socket(plain, server_side=True) as s:
                f = s.makefile("rb")
                while f.readline():
                    headers = dict((k.strip().lower(), v.strip()) for k, _, v in (line.decode().partition(":") for line in iter(f.readline, b"\r\n")))
                    asked = Asked(f.read(int(headers["content-length"])), headers)
                    self.asked.put(asked)
                    said = asked.out.get()
                    if said is None:
                        return
                    s.sendall(said)
                    if said == CUT:
                        return
        except (OSError, ValueError, KeyError):
            pass

    def take(self, seconds=60):
        """The next message, under the client's secret and the nonce that it was given."""
        asked = self.asked.get(timeout=seconds)
        a, r = self.account, Read(asked.body)
        right = f'algorithm=MD5, username="{a.user}", mac={mac(a.user, a.client_secret, self.client_nonce, asked.body)}'
        assert asked.headers["x-syncml-hmac"] == right, (asked.headers, right)
        assert asked.headers["content-type"] == syncml.TYPE and r.root.findtext("SyncHdr/Source/LocURI") == a.device
        assert r.root.findtext("SyncHdr/Source/LocName") == a.user and r.root.findtext("SyncHdr/VerProto") == "DM/1.2"
        if r.nonce:
            self.server_nonce = r.nonce
        r.asked = asked
        return r

    def drop(self, r):
        r.asked.out.put(None)

    def cut(self, r):
        """An answer that ends too early: no HTTP library sends a request again by itself after that."""
        r.asked.out.put(CUT)

    def reply(self, r, body, nonce=None, code=200, secret=None, session=None, final=True):
        """Status of the header with a nonce, then body."""
        a = self.account
        nonce = nonce or os.urandom(16)
        octets = message(session or r.session, r.msg, a.device, a.dm, "", status(1, r.msg, 0, "SyncHdr", code, nonce) + body, final=final)
        m = mac(a.dm, secret or a.server_secret, self.server_nonce, octets)
        if not secret and not session:
            self.client_nonce = nonce
        r.asked.out.put(f'HTTP/1.1 200 OK\r\nContent-Type: {syncml.TYPE}\r\nx-syncml-hmac: algorithm=MD5, username="{a.dm}", mac={m}\r\n'
                        f"Content-Length: {len(octets)}\r\n\r\n".encode() + octets)

    def begin(self, account):
        self.account, self.client_nonce, self.server_nonce = account, account.client_nonce, account.server_nonce


def item(uri, data="", more=False):
    return f"<Item><Target><LocURI>{uri}</LocURI></Target><Data>{data}</Data>{'<MoreData/>' if more else ''}</Item>"


def command(kind, id, inside="", correlator=""):
    return f"<{kind}><CmdID>{id}</CmdID>{'<Correlator>' + correlator + '</Correlator>' if correlator else ''}{inside}</{kind}>"


with World() as w:
    w.world(devices=1)
    server = Server(w)
    eq = "acme:000001"
    w.usher("peer", "add", "dlusim", "dm", "dm.example", "--address", server.address, "--replace")
    conf = open(w.path("hss/usher.yaml")).read()
    assert "../dm/run/ports#equipment" in conf
    open(w.path("hss/usher.yaml"), "w").write(conf.replace("127.0.0.1:@../dm/run/ports#equipment", server.address))
    for d in ("dlusim", "hss"):
        os.kill(w.pids(d)[0], signal.SIGKILL)
    w.wait("they are back", lambda: w.more().count(" is up") == len(w.dirs) + 2)
    assert w.claim().count("subscribed") == 1
    w.frequencies("vis1")
    told = lambda text: any(text in e["text"] for e in w.journey(eq))
    fleet = lambda how: w.power_on(*how.split(), "fleet")
    p = fleet("--fleet")
    try:
        w.wait("the trigger", lambda: told("its package waits at DM service"), 40)
        server.begin(Account(w.sql("dlusim", "dlusim", "SELECT trigger_der FROM verification")[0][0]))
        package_der, package = w.sql("dlusim", "dlusim", "SELECT package, package_id FROM verification")[0]
        # package 1, in the session of package #0; its answer is lost: the very message again
        r = server.take()
        assert (r.session, r.msg, r.alerts, r.final) == (server.account.session, "1", ["1200"], True), r.octets
        assert {i.findtext("Source/LocURI").split("/")[-1]: i.findtext("Data") for i in r.root.iter("Item")}["DevId"] == server.account.device
        server.drop(r)
        again = server.take()
        assert again.octets == r.octets and again.asked.headers == r.asked.headers
        # an answer under another secret is not believed; the session is held again
        server.reply(again, "", secret=b"x" * 32)
        w.wait("not believed", lambda: told("the answer is not under the server's secret"), 20)
        r = server.take()
        assert (r.session, r.msg) == (server.account.session, "1")
        # its nonce is stale: package 1 again in the same session, counted up, with the nonce of the challenge
        server.reply(r, status(2, 1, 1, "Alert", 401) + status(3, 1, 2, "Replace", 401), code=401)
        r = server.take()
        assert (r.session, r.msg, r.alerts) == (server.account.session, "2", ["1200"]) and r.root.find("SyncBody/Replace") is not None
        # every command has its Status, and what is not for this client is refused
        delivered = "./SCM/Inventory/Delivered/"
        server.reply(r, command("Get", 2, item("./DevInfo/DevId")) + command("Delete", 3, item("./SCM")) + command("Replace", 4, item("./DevInfo/Man", "x"))
                     + command("Copy", 5, item("./a")) + command("Put", 6) + command("Add", 7, item("./DevInfo/x", "y"))
                     + command("Add", 8, item(delivered + "p") + item(delivered + "q")) + command("Add", 9, item(delivered + "p/Data", "QUJD", more=True))
                     + command("Exec", 10, item(delivered + "p/Operations/Remove")) + command("Exec", 11, item(delivered + "p/Operations/InstallInactive"), "c")
                     + command("Exec", 12, item("./SCM/Inventory/Deployed/p/Operations/Activate"))
                     + command("Atomic", 13, command("Add", 14, item(delivered + "p")))
                     + alert(15, 1100) + alert(16, 1222) + command("Sequence", 17, command("Add", 18, item(delivered + "p/../../x"))) + command("Exec", 19))
        r = server.take()
        want = {2: "405", 3: "405", 4: "405", 5: "406", 6: "406", 7: "405", 8: "406", 9: "406", 10: "405", 11: "404", 12: "404", 13: "406", 14: "215",
                15: "406", 16: "200", 17: "200", 18: "405", 19: "405"}
        assert {n: r.code(n) for n in want} == want and len(r.statuses) == 1 + len(want) and r.header == "200" and len(r.nonce) == 16, r.statuses
        assert not r.alerts and r.final
        # its answer is lost: the very message again, in the same session
        server.cut(r)
        again = server.take()
        assert again.octets == r.octets and again.asked.headers == r.asked.headers and again.msg == "3", again.octets
        r = again
        # a package that is not whole: the next message is asked for, without Final; and an end in the middle
        server.reply(r, "", final=False)
        r = server.take()
        assert r.alerts == ["1222"] and not r.final and r.header == "200", r.octets
        server.reply(r, alert(2, 1223))
        w.wait("broken off", lambda: told("the server breaks it off"), 20)
        # the whole way, with a Correlator of the server's own
        r = server.take()
        assert r.alerts == ["1200"] and r.msg == "1"
        leaves = [("", ""), ("/PkgID", package), ("/Data", syncml.b64(package_der))]
        adds = "".join(command("Add", 3 + n, item(delivered + package + leaf, data)) for n, (leaf, data) in enumerate(leaves))
        server.reply(r, command("Sequence", 2, adds + command("Exec", 9, item(delivered + package + "/Operations/InstallInactive"), "corr-7")))
        r = server.take()
        assert [r.code(n) for n in (2, 3, 4, 5, 9)] == ["200", "200", "200", "200", "202"] and r.alerts == ["1226"], r.octets
        told_1226 = r.root.find("SyncBody/Alert")
        assert told_1226.findtext("Correlator") == "corr-7" and told_1226.findtext("Item/Source/LocURI") == delivered + package + "/Operations/InstallInactive"
        assert "<ResultCode>1200</ResultCode>" in told_1226.findtext("Item/Data")
        server.reply(r, status(2, r.msg, told_1226.findtext("CmdID"), "Alert", 200)
                     + command("Exec", 3, item("./SCM/Inventory/Deployed/other/Operations/Activate")))
        r = server.take()
        assert r.code(3) == "404" and not told("is asked to activate")
        server.reply(r, command("Exec", 2, item(f"./SCM/Inventory/Deployed/{package}/Operations/Activate")))
        r = server.take()
        assert r.code(2) == "202" and not r.alerts
        server.reply(r, "")
        # the receipt goes first; then a session of its own, whose 1226 has no Correlator, because that Exec had none
        w.wait("operative", lambda: told("is operative: its receipt is acknowledged"), 40)
        r = server.take()
        a = r.root.findall("SyncBody/Alert")
        assert r.alerts == ["1201", "1226"] and r.msg == "1" and r.session != server.account.session, r.octets
        assert a[1].find("Correlator") is None and a[1].findtext("Item/Source/LocURI") == f"./SCM/Inventory/Deployed/{package}/Operations/Activate"
        # an answer of another session is not one: later again, in a new session; power is cut in between, and the nonces still fit
        server.reply(r, status(2, r.msg, a[1].findtext("CmdID"), "Alert", 200), session="BAD")
        w.wait("not taken for an answer", lambda: told("the answer is not to our message"), 20)
        p.kill()
        p.wait()
        p = fleet("--fleet --until=operate")
        r = server.take()
        a = r.root.findall("SyncBody/Alert")
        assert r.alerts == ["1201", "1226"], r.octets
        server.reply(r, status(2, r.msg, a[0].findtext("CmdID"), "Alert", 200) + status(3, r.msg, 2, "Replace", 200)
                     + status(4, r.msg, a[1].findtext("CmdID"), "Alert", 200))
        assert p.wait(20) == 0
        # it was told: nothing more is said, at the next power-on neither
        p = fleet("--fleet --until=operate")
        assert p.wait(20) == 0 and server.asked.empty()
        assert w.sql("hss", "hss", "SELECT state FROM imsi WHERE state <> 'allocated'") == [("active",)]
    except BaseException:
        print(*(f"\n {e['step']:9} {e['text']}" for e in w.journey(eq)))
        raise
    finally:
        if p.poll() is None:
            p.terminate()
            p.wait(10)
print("ok")
