# SPDX-License-Identifier: Apache-2.0
"""An equipment whose power is cut: with its USIM installed it tries it; with its slot committed it is itself, and owes its receipt."""
import os, signal, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, BUILD

with World() as w:
    w.world(devices=1)
    assert w.claim().count("subscribed") == 1
    eq = "acme:000001"
    open(w.path("fleet/acme_000001/equipment.yaml"), "w").write("frequencies: [127.0.0.1:@../../vis1/run/ports#cell]\n")
    told = lambda text: any(text in e["text"] for e in w.journey(eq))
    run = lambda: subprocess.Popen([os.path.join(BUILD, "roles/equipment/usher-equipment"), "--until=operate", "fleet/acme_000001"], cwd=w.dir, env=w.env,
                                   stderr=subprocess.DEVNULL)
    # the HSS is silent from the moment the package is sealed: the trial cannot succeed before the power is cut
    p = run()
    w.wait("installed", lambda: told("is installed, inactive"), 40)
    os.kill(w.pids("hss")[0], signal.SIGSTOP)
    p.kill()
    p.wait()
    os.kill(w.pids("hss")[0], signal.SIGCONT)
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
    assert w.sql("hss", "hss", "SELECT state, COUNT(*) FROM imsi WHERE state <> 'allocated' GROUP BY state") == [("active", 1)]
    assert w.sql("hss", "hss", "SELECT COUNT(*) FROM sealed") == [(1,)], "no second package was needed"
print("ok")
