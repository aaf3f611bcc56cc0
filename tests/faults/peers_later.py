# SPDX-License-Identifier: Apache-2.0
"""I5 I5' R4: the DLUSIM service does not know its attestation provider, or its DM service, when an equipment proves itself: it waits, says who has to
do what, and goes on by itself when an operator has added the peer."""
import glob, os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=1)
    assert w.claim().count("subscribed") == 1
    w.frequencies("vis1")
    told = lambda text: any(text in e["text"] for e in w.journey("acme:000001"))
    log = w.path("dlusim/run/log")
    [pki], [dm] = glob.glob(w.path("dlusim/peers/attestation_*")), glob.glob(w.path("dlusim/peers/dm_*"))

    def move(a, b):
        before = open(log).read().count(" reload peers=")
        os.rename(a, b)
        os.kill(w.pids("dlusim")[0], signal.SIGHUP)
        w.wait("peers are read again", lambda: open(log).read().count(" reload peers=") > before)

    os.rename(dm, dm + ".away")
    move(pki, pki + ".away")
    p = w.power_on("--fleet", "--until=operate", "fleet")
    try:
        says = "(503): dlusim dlusim.home.example knows no OCSP address of attestation pki.example or factory acme; `usher peer add` names it"
        w.wait("no OCSP address: said", lambda: told(says), 40)
        move(pki + ".away", pki)
        says = "waits: DM service dm.example is not known here; it is an operator's turn: `usher peer add`"
        w.wait("no DM service: in the story", lambda: says in w.story("dlusim", "", "equipment", "acme:000001"), 60)
        w.wait("the equipment waits", lambda: told("waits: its certificate is being asked about, or its package sealed"))
        assert w.sql("dlusim", "dlusim", "SELECT state FROM errand WHERE kind = 'verify'") == [("packed",)]
        move(dm + ".away", dm)
        w.wait("operative all the same", lambda: told("is operative: its receipt is acknowledged"), 60)
        assert p.wait(20) == 0
    finally:
        p.kill()
        p.wait()
    assert w.story("dlusim", "", "equipment", "acme:000001").count(says) == 1, "said once"
    assert w.sql("hss", "hss", "SELECT MAX(counter) FROM sealed") == [(1,)], "one package was enough"
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
