# SPDX-License-Identifier: Apache-2.0
"""R13 R16 I7: OCSP that the equipment cannot reach is waited for; a home network that is silent in the trial costs only the trial."""
import os, signal, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, USHER


def pki_runs(w):
    """The attestation provider in a run of its own, so that it can be away."""
    run = subprocess.Popen([USHER, "run", "pki"], cwd=w.dir, env=w.env, stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT)
    line = run.stdout.readline()
    assert " is up" in line, line
    return run


def held_at_dm(w, n, then):
    """Switches the n-th equipment on, and calls then() while its sealed package waits at a DM service that does not answer yet."""
    sealed = lambda: len(w.sql("dlusim", "dlusim", "SELECT 1 FROM verification WHERE length(trigger_der) > 0"))
    dm, before = w.pids("dm")[0], sealed()
    os.kill(dm, signal.SIGSTOP)
    try:
        open(w.path(f"fleet/acme_00000{n}/equipment.yaml"), "w").write("frequencies: [127.0.0.1:@../../vis1/run/ports#cell]\n")
        p = w.power_on("--until=operate", f"fleet/acme_00000{n}")
        w.wait("its package is sealed", lambda: sealed() > before, 40)
        then()
    finally:
        os.kill(dm, signal.SIGCONT)
    return p


with World() as w:
    w.world(devices=0)
    conf = open(w.path("pki/usher.yaml")).read()
    for name, bound in map(str.split, open(w.path("pki/run/ports"))):  # the ports that it has now, for good
        conf = conf.replace(f'{name}: "127.0.0.1:0"', f'{name}: "{bound}"')
    open(w.path("pki/usher.yaml"), "w").write(conf)
    w.start(*w.dirs[1:])
    pki = pki_runs(w)
    w.manufacture(2)
    assert w.claim().count("subscribed") == 2
    told = lambda eq, text: any(text in e["text"] for e in w.journey(eq))
    times = lambda text: sum(text in e["text"] for e in w.journey("acme:000002"))
    try:
        def away():
            pki.terminate()
            pki.wait(10)
        p = held_at_dm(w, 1, away)
        w.wait("it waits", lambda: told("acme:000001", "waits: the attestation provider does not say whether its package's signers are good"))
        assert not told("acme:000001", "installed"), w.journey("acme:000001")
        pki = pki_runs(w)
        w.wait("it installs", lambda: told("acme:000001", "all good; the USIM of operator 262-42 is installed, inactive"))
        assert p.wait(20) == 0 and told("acme:000001", "is operative")
        # the HSS is silent from the moment in which the package is sealed: the trial cannot succeed
        hss = w.pids("hss")[0]
        p = held_at_dm(w, 2, lambda: os.kill(hss, signal.SIGSTOP))
        try:
            w.wait("the trial fails", lambda: told("acme:000002", "the trial of its USIM failed: 001-01: refuses to attach us: network failure (cause 17)"), 30)
            w.wait("it is back on its PIMSI", lambda: times("has limited access through network 001-01") == 2, 20)
            w.wait("it tries again", lambda: times("leaves the PIMSI and attaches as itself") == 2, 20)
            assert not told("acme:000002", "committed")
            assert w.sql("hss", "hss", "SELECT state FROM imsi WHERE equipment = 'acme:000002'") == [("released",)]
        finally:
            os.kill(hss, signal.SIGCONT)
        w.wait("operative all the same", lambda: told("acme:000002", "is operative"), 60)
        assert times("is to go to DLUSIM service") == 1 and times("has its package") == 1, "neither discover nor DM again: the USIM is installed"
        assert p.wait(10) == 0
        assert w.sql("hss", "hss", "SELECT MAX(counter) FROM sealed WHERE equipment = 'acme:000002'") == [(1,)], "the package that it had was good"
    finally:
        pki.terminate()
        pki.wait(10)
print("ok")
