# SPDX-License-Identifier: Apache-2.0
"""R12 R13 I7: registration operator and equipments are certified by one attestation provider, home operator and DLUSIM service by another; an equipment
that holds the roots of both goes home. While one is silent it waits; what either has revoked is not installed."""
import json, os, re, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, second_home

AT = "127.0.0.1:@../{}/run/ports#{}".format


class Two(World):
    def attestation(self):
        super().attestation()
        super().attestation("pki2", "bob", beside=("pki",))
        both = open(self.path("pki", "roots.pem")).read() + open(self.path("pki2", "roots.pem")).read()
        for d in ("pki", "pki2", "alice"):  # everybody who enrols from here on believes both
            open(self.path(d, "roots.pem"), "w").write(both)


def home(w):
    dirs = second_home(w, pki="pki2", staff="bob")
    # by default a DLUSIM service asks its attestation provider, and names it: here that of registration operator and equipments
    w.usher("peer", "add", "dlusim2", "hss", "262-43", "--replace", "--address", AT("hss2", "peers"), "--ocsp", AT("pki2", "ocsp"))
    w.usher("peer", "add", "dlusim2", "dlusim", "dlusim.other.example", "--ocsp", AT("pki2", "ocsp"))
    return ["pki2", *dirs]


with Two() as w:
    w.world(devices=3, more=home)
    w.usher("pool", "add", "hss", "262-43", "262430000000001", "10")
    open(w.path("token2"), "w").write(w.usher("people", "add", "dlusim.other.example", "waterworks"))
    said = w.usher("owner", "claim", "fleet/labels.csv", "--dlusim", "dlusim.other.example=127.0.0.1:@dlusim2/run/ports#owner", "--roots", "pki/roots.pem",
                   "--token-file", "token2")
    assert said.count("subscribed") == 3, said
    port = {pki: f"127.0.0.1:{w.port(pki, 'ocsp')}" for pki in ("pki", "pki2")}
    [(route,)] = w.sql("reg", "registration", "SELECT DISTINCT ocsp FROM route")
    assert json.loads(route) == [port["pki2"], port["pki2"], port["pki"]], route
    told = lambda eq, text: any(text in e["text"] for e in w.journey(eq))
    answers = lambda staff: int(re.search(r"usher_attestation_ocsp_total\S* (\d+)", w.usher("--as", staff, "metrics")).group(1))

    def run(eq):
        with open(w.path("fleet", eq.replace(":", "_"), "equipment.yaml"), "w") as f:
            f.write(f"ocsp_wait: 1s\nfrequencies: [{AT('../vis1', 'cell')}]\n")
        return w.power_on("--until=operate", "fleet/" + eq.replace(":", "_"))

    def to_all(d, sig):
        for pid in w.pids(d):
            os.kill(pid, sig)

    def lives(eq, story):
        p = run(eq)
        try:
            story(eq, p)
        finally:
            to_all("pki2", signal.SIGCONT)
            if p.poll() is None:
                p.kill()
                p.wait()

    # home, by both: each is asked once about its own, and one of them about the equipment before (step 5)
    def goes_home(eq, p):
        w.wait("home", lambda: told(eq, "is operative: its receipt is acknowledged"), 60)
        assert p.wait(20) == 0
        assert told(eq, "has asked about all signers: all good; the USIM of operator 262-43 is installed")
        assert (answers("alice"), answers("bob")) == (2, 1)
    lives("acme:000001", goes_home)

    # the other one is silent for a while: what the first has said is not enough, and the package waits
    def one_is_silent(eq, p):
        w.wait("waits", lambda: told(eq, "waits: the attestation provider does not say"), 60)
        w.wait("the first has spoken", lambda: answers("alice") >= 4, 60)
        assert told(eq, "still sealed") and not told(eq, "is installed, inactive")
        to_all("pki2", signal.SIGCONT)
        w.wait("home", lambda: told(eq, "is operative: its receipt is acknowledged"), 60)
        assert w.sql("hss2", "hss", f"SELECT MAX(counter) FROM sealed WHERE equipment = '{eq}'") == [(1,)], "one package was enough"
    to_all("pki2", signal.SIGSTOP)
    lives("acme:000002", one_is_silent)

    # the home operator's signing certificate is revoked by its own provider; the other one's word does not help
    w.usher("--as", "bob", "ca", "revoke", "hss", "262-43", "--use", "sign", "--reason", "keyCompromise")
    def revoked(eq, p):
        w.wait("destroyed", lambda: told(eq, "does not install: the certificate of hss 262-43 is revoked: the package is destroyed"), 60)
        w.wait("DM hears of it", lambda: w.sql("dm", "dm", f"SELECT state, result FROM job WHERE equipment = '{eq}' AND state = 'failed' LIMIT 1") == [
            ("failed", 1450)], 60)
        assert not told(eq, "is installed, inactive")
    lives("acme:000003", revoked)
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
