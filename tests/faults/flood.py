# SPDX-License-Identifier: Apache-2.0
"""R6 R7: floods of challenges for one PIMSI, and of requests by one network, end at a bucket; who waits comes home all the same."""
import base64, http.client, os, signal, ssl, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

PIMSI = "901700000000001"

with World() as w:
    w.world(devices=3)
    assert w.claim().count("subscribed") == 3
    w.frequencies("vis1")
    open(w.path("fleet/acme_000001/equipment.yaml"), "w").write("frequencies: [127.0.0.1:@../../vis1/run/ports#cell]\n")
    # a stranger at discover, who has nothing but the digits of a PIMSI: 30 challenges, and then one in a second
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    host, port = dict(l.split() for l in open(w.path("reg/run/ports")))["discover"].rsplit(":", 1)
    c = http.client.HTTPSConnection(host, int(port), context=tls, timeout=20)
    seen, refused = set(), 0
    while not refused:
        c.request("GET", "/v1/discover",
                  headers={"Authorization": f'Digest username="{PIMSI}", realm="registration.usher", uri="/v1/discover", nonce="", response=""'})
        a = c.getresponse()
        a.read()
        if a.status == 401:
            nonce = base64.b64decode(a.headers["WWW-Authenticate"].split('nonce="')[1].split('"')[0])
            assert nonce[:16] not in seen, "a RAND twice"
            seen.add(nonce[:16])
            assert len(seen) < 50, "no end of it"
        else:
            assert a.status == 503, a.status
            refused += 1
    assert len(seen) >= 30, len(seen)
    w.equipment("--until=discover", "fleet/acme_000001") # he took nothing from the network: it attaches, and waits a moment at discover
    # one network may ask once in a second: the others hear of congestion, and try again
    with open(w.path("reg/usher.yaml"), "a") as f:
        f.write("vectors_rate: 1\n")
    ups = w.more().count(" is up")
    os.kill(w.pids("reg")[0], signal.SIGKILL)
    w.wait("reg is back", lambda: w.more().count(" is up") > ups)
    # a network that says again and again where somebody is, and that he has left, writes no more than its rate
    with w.network("vis2", "reg") as n:
        answers = []
        for kind in (0x04, 0x04, 0x04, 0x0c, 0x0c):
            n.send(kind, "901700000000003")
            answers.append(n.hear((0x10, 0x05, 0x0d, 0x0e)))
        causes = [dict(elements).get(2) for kind, elements in answers if kind in (0x05, 0x0d)]
        assert len(causes) >= 3 and set(causes) == {b"\x16"}, answers
        given = [n.vectors("901700000000003") for _ in range(4)] # vectors have a bucket of their own
        assert isinstance(given[0], list) and given.count(22) >= 2, given
    told = lambda eq, text: any(text in e["text"] for e in w.journey(eq))
    fleet = w.power_on("--fleet", "--until=operate", "fleet", log=open(w.path("equipment.log"), "w"))
    try:
        w.wait("one hears of congestion", lambda: any(told(f"acme:00000{n}", "congestion (cause 22)") for n in (1, 2, 3)), 30)
        assert fleet.wait(120) == 0
    finally:
        if fleet.poll() is None:
            fleet.terminate()
            fleet.wait(10)
    assert w.sql("hss", "hss", "SELECT state, COUNT(*) FROM imsi WHERE state <> 'allocated' GROUP BY state") == [("active", 3)]
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
