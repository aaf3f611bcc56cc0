# SPDX-License-Identifier: Apache-2.0
"""An equipment whose power is cut: with its package sealed it asks OCSP again, and verifies anew only if its owner has; with its USIM
installed it tries it; with its slot committed it is itself, and owes its receipt."""
import os, shutil, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=3)
    assert w.claim().count("subscribed") == 3
    for n in (1, 2, 3):
        open(w.path(f"fleet/acme_00000{n}/equipment.yaml"), "w").write("ocsp_wait: 1s\nfrequencies: [127.0.0.1:@../../vis1/run/ports#cell]\n")
    told = lambda text: any(text in e["text"] for e in w.journey(eq))
    folder = lambda: "fleet/" + eq.replace(":", "_")
    run = lambda: w.power_on("--until=operate", folder())
    steps = lambda since: {e["step"] for e in w.journey(eq)[since:]}
    count = lambda dir, table: w.sql(dir, dir, f"SELECT COUNT(*) FROM {table} WHERE equipment = '{eq}'")[0][0]
    sealed = lambda: w.sql("hss", "hss", f"SELECT MAX(counter) FROM sealed WHERE equipment = '{eq}'")[0][0]
    dm, pki, hss = (w.pids(d)[0] for d in ("dm", "pki", "hss"))

    def cut_while_sealed():
        """OCSP is silent from when the package is sealed at the HSS: the power is cut in the DM session that has brought it."""
        os.kill(dm, signal.SIGSTOP)
        p = run()
        w.wait("sealed", lambda: told("its package waits at DM service"), 40)
        for copy in ("tre.a", "tre.b"):
            shutil.copy(w.path(folder(), copy), w.path(copy))
        os.kill(pki, signal.SIGSTOP)
        os.kill(dm, signal.SIGCONT)
        w.wait("delivered", lambda: told("still sealed"), 40)
        p.kill()
        p.wait()

    eq = "acme:000001"
    cut_while_sealed()
    os.kill(hss, signal.SIGSTOP)  # the trial cannot succeed before the power is cut again
    before = len(w.journey(eq))
    p = run()
    w.wait("it asks", lambda: any("does not say whether its package's signers are good" in e["text"] for e in w.journey(eq)[before:]), 40)
    p.kill()
    p.wait()
    os.kill(pki, signal.SIGCONT)
    p = run()
    w.wait("installed", lambda: told("is installed, inactive"), 40)
    w.wait("the 1226 is brought, and Activate asked for", lambda: told("is asked to activate package"), 40)
    assert not {"discover", "verify"} & steps(before), w.journey(eq)[before:]
    p.kill()
    p.wait()
    os.kill(hss, signal.SIGCONT)
    # now the DLUSIM service is silent: the slot is committed, the receipt is not acknowledged, and the power is cut again
    dlusim = w.pids("dlusim")[0]
    os.kill(dlusim, signal.SIGSTOP)
    before = len(w.journey(eq))
    p = run()
    w.wait("committed", lambda: any("slot is committed" in e["text"] or "as itself through" in e["text"] for e in w.journey(eq)[before:]), 40)
    p.kill()
    p.wait()
    os.kill(dlusim, signal.SIGCONT)
    before = len(w.journey(eq))
    p = run()
    w.wait("operative", lambda: any("is operative: its receipt is acknowledged" in e["text"] for e in w.journey(eq)[before:]), 40)
    assert p.wait(10) == 0
    # once more: nothing is owed, it is simply itself
    before = len(w.journey(eq))
    assert run().wait(20) == 0
    assert any("is operative: attached as itself" in e["text"] for e in w.journey(eq)[before:]), w.journey(eq)[before:]
    assert (sealed(), count("dlusim", "verification")) == (1, 1), "it verified once, and one package was enough"
    assert w.story("dm", "", "equipment", eq).count("delivers package") == 1, "nor was it fetched twice"
    w.wait("DM has heard of the activation", lambda: w.sql("dm", "dm", "SELECT state, result FROM job") == [("active", 1200)], 20)
    # the owner claims anew while a package waits sealed: limited access opens OCSP no more, discover says where to go, and it verifies again
    eq = "acme:000002"
    cut_while_sealed()
    os.kill(pki, signal.SIGCONT)
    w.claim("fleet/labels.csv", "--serial", "2")
    before = len(w.journey(eq))
    p = run()
    w.wait("operative", lambda: told("is operative: its receipt is acknowledged"), 60)
    assert p.wait(10) == 0
    texts = " | ".join(e["text"] for e in w.journey(eq)[before:])
    assert "cannot ask about its package" in texts and {"discover", "verify"} <= steps(before), texts
    assert (sealed(), count("dlusim", "verification")) == (2, 2)
    # the account was written, and the power was cut before the package was: it verifies again, and DM is told nothing of the first
    eq = "acme:000003"
    cut_while_sealed()
    os.kill(pki, signal.SIGCONT)
    for copy in ("tre.a", "tre.b"):
        shutil.copy(w.path(copy), w.path(folder(), copy))
    p = run()
    w.wait("operative", lambda: told("is operative: its receipt is acknowledged"), 60)
    assert p.wait(10) == 0
    w.wait("DM has heard of the second", lambda: w.sql("dm", "dm", f"SELECT state FROM job WHERE equipment = '{eq}' ORDER BY state") == [
        ("active",), ("delivered",)], 20)
    assert w.sql("hss", "hss", "SELECT state, COUNT(*) FROM imsi WHERE state <> 'allocated' GROUP BY state") == [("active", 3)]
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
