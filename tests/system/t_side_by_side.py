# SPDX-License-Identifier: Apache-2.0
"""R17: two registration operators and two home operators side by side: each pair works, and nobody speaks for another's range."""
import http.client, socket, ssl
from usher import Network, World

bound = lambda w, dir, name: next(l.split()[1] for l in open(w.path(dir, "run/ports")) if l.startswith(name + " "))


def owners_choose(w, rows, home, code=0):
    with open(w.path("some.csv"), "w") as f:
        f.write("equipment,registration,claim_key\n" + "".join(",".join(r) + "\n" for r in rows))
    return w.claim("some.csv", n=home, code=code)


def discover_as(w, dir, pimsi):
    """The first request of a PIMSI to a registration operator's discover."""
    host, port = bound(w, dir, "discover").split(":")
    c = http.client.HTTPSConnection(host, int(port), context=ssl._create_unverified_context(), timeout=20)
    c.request("GET", "/v1/discover",
              headers={"Authorization": f'Digest username="{pimsi}", realm="registration.usher", uri="/v1/discover", nonce="", response=""'})
    r = c.getresponse()
    return r.status, r.read().decode()


class Home(Network):
    """A registration operator's end of GSUP, with the key of its folder, for whoever dials next."""
    def __init__(self, w, dir, listener):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(w.path(dir, "tls.pem"), w.path(dir, "tls.key"))
        self.sock = tls.wrap_socket(listener.accept()[0], server_side=True)
        self.say(0xfe, b"\x04")
        while self.frame()[1][:1] != b"\x05":  # perhaps a ping first
            pass
        self.say(0xfe, b"\x06")


with World() as w:
    w.world(devices=0, operators=2)
    w.manufacture(2, "fleet", "901-70", first=1)
    w.manufacture(2, "fleet1", "901-71", first=3)
    label = {l.split(",")[0][-1]: l.strip().split(",") for f in ("fleet", "fleet1") for l in open(w.path(f, "labels.csv")) if l.startswith("acme:")}
    # a registration operator knows no equipment of the other's: its claim is refused, and burns no IMSI
    out = owners_choose(w, [[label["1"][0], "901-71", label["1"][2]]], 0, code=1)
    assert "no equipment acme:000001 is bound here" in out, out
    assert w.sql("hss", "hss", "SELECT COUNT(*) FROM booking") == [(0,)]
    # 1 and 3 go to the first home operator, 2 and 4 to the second
    for home, mine in ((0, "13"), (1, "24")):
        out = owners_choose(w, [label[n] + ["2"] for n in mine], home)
        assert out.count("subscribed") == 2, out
    for fleet in ("fleet", "fleet1"):
        w.frequencies("vis1", fleet=fleet)
    both = [w.power_on("--fleet", "--until=operate", fleet) for fleet in ("fleet", "fleet1")]
    try:
        assert [p.wait(60) for p in both] == [0, 0]
    finally:
        for p in both:
            p.kill()
            p.wait()
    used = lambda dir: w.sql(dir, "registration", "SELECT equipment, substr(pimsi, 1, 5) FROM pimsi WHERE state = 'used' ORDER BY equipment")
    assert used("reg") == [("acme:000001", "90170"), ("acme:000002", "90170")] and used("reg1") == [("acme:000003", "90171"), ("acme:000004", "90171")]
    active = lambda dir: w.sql(dir, "hss", "SELECT equipment, substr(imsi, 1, 5) FROM imsi WHERE state = 'active' ORDER BY equipment")
    assert active("hss") == [("acme:000001", "26242"), ("acme:000003", "26242")] and active("hss1") == [("acme:000002", "26243"), ("acme:000004", "26243")]
    assert ", 0 broken" in w.usher("audit", *w.dirs)
    # a PIMSI of the first operator is nobody at the second one: not at discover, and not over GSUP
    status, said = discover_as(w, "reg1", "901700000000001")
    assert status == 403 and "901700000000001 is no PIMSI that may ask here" in said, (status, said)
    assert discover_as(w, "reg", "901700000000001")[0] == 401
    with w.network("vis9", "reg1") as link:
        assert link.vectors("901700000000001") == 2 and link.vectors("901710000000050") == 17
    # the second registration operator, true key and all, says to the visited operator that another's subscriber is to be detached
    listener = socket.create_server(("127.0.0.1", 0))
    w.stop()
    with open(w.path("reg1/run/ports"), "w") as f:
        f.write("".join(f"{name} 127.0.0.1:{listener.getsockname()[1]}\n" for name in ("peers", "discover", "gsup", "access")))
    w.start(*(d for d in w.dirs if d not in ("reg1", "vis2", "vis9")))
    link = Home(w, "reg1", listener)
    eq = w.power_on("--fleet", "fleet")
    try:
        w.wait("it is attached as itself", lambda: "is operative: attached as itself" in w.journey("acme:000001")[-1]["text"])
        log = lambda: open(w.path("vis1/run/log")).read()
        for foreign in (w.sql("hss", "hss", "SELECT imsi FROM booking WHERE equipment = 'acme:000001'")[0][0], "901700000000001"):
            link.send(0x1c, foreign, b"\x06\x01\x01")  # LocationCancel, withdrawn
            w.wait("it is refused", lambda: f'id={foreign} peer=registration/901-71 act="refuse LocationCancel req" why="not its range"' in log())
        assert "act=cancelled" not in log() and "was detached" not in w.journey("acme:000001")[-1]["text"]
    finally:
        eq.terminate()
        eq.wait(10)
print("ok")
