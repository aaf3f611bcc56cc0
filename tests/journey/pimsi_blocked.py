# SPDX-License-Identifier: Apache-2.0
"""P6 R6: a PIMSI is blocked wherever it is: detached, no vectors, no discover; unblocked, it goes on; a receipt that came meanwhile counts."""
import os, signal, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, BUILD, USHER

PIMSI = "901700000000001"

with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    w.world(devices=1)
    w.frequencies("vis1")
    show = lambda: w.json("pimsi", "show", PIMSI)
    told = lambda text: any(text in e["text"] for e in w.journey("acme:000001"))

    def start(how):
        return w.power_on(*how.split(), "fleet", log=open(w.path("equipment.log"), "a"))
    # kept out of orders, and given back
    w.usher("pimsi", "reserve", "901700000000002")
    assert [n["number"] for n in w.json("pimsi", "list", "--state", "reserved")] == ["901700000000002"]
    w.usher("pimsi", "release", "901700000000002")
    lines = w.usher("pimsi", "list").splitlines()
    assert len(lines) == 100 and lines[0].startswith(PIMSI + "  bound ") and "acme:000001" in lines[0], lines[0]
    # what is wrong is named
    for words, said in (("pimsi list --state lost", "never `lost`"), ("pimsi show 999990000000001", "is not of this operator's pool"),
                        ("pimsi fry " + PIMSI, "`fry`"), ("pimsi block 12x", "`12x` is no number"), ("pimsi list --at 901-71", "knows no registration 901-71"),
                        ("pimsi", "usage: usher pimsi list")):
        got = subprocess.run([USHER, *words.split()], cwd=w.dir, env=w.env, capture_output=True, text=True)
        assert got.returncode and said in got.stderr, (words, got)
    assert "usher --as alice pimsi block" in w.usher("help", "pimsi")
    # blocked: nobody can subscribe it, and no IMSI is burnt
    assert w.json("pimsi", "block", PIMSI, "--reason", "stolen")["state"] == "blocked"
    said = w.claim(code=1)
    assert "its PIMSI is blocked" in said, said
    assert w.sql("hss", "hss", "SELECT COUNT(*) FROM booking") == [(0,)]
    assert w.json("pimsi", "unblock", PIMSI)["state"] == "bound"
    assert w.claim("fleet/labels.csv", "--serial", "2").count("subscribed") == 1
    # blocked while it is attached: the network that holds it lets go, and it does not come in again
    pki = w.pids("pki")[0]
    os.kill(pki, signal.SIGSTOP)
    p = start("--fleet")
    try:
        w.wait("it waits for OCSP", lambda: told("its certificate is being asked about"), 40)
        assert show()["network"] == "001-01"
        assert w.json("pimsi", "block", PIMSI)["network"] == ""
        w.wait("LocationCancel is answered", lambda: show()["cancel"] == "")
        w.wait("detached", lambda: told("was detached"))
        w.wait("refused", lambda: told("GPRS services and non-GPRS services not allowed (cause 8)"), 40)
    finally:
        os.kill(pki, signal.SIGCONT)
        p.terminate()
        p.wait(10)
    assert w.json("pimsi", "unblock", PIMSI)["state"] == "routed"
    # blocked between its installation and its receipt: the receipt is taken, and the grace runs from there
    p = start("--fleet --until=install")
    assert p.wait(60) == 0
    w.usher("pimsi", "block", PIMSI)
    p = start("--fleet --until=operate")
    assert p.wait(60) == 0
    assert show()["state"] == "blocked"
    assert "has its own USIM of operator 262-42; PIMSI 901700000000001 is used, but blocked" in w.story("registration", "", "pimsi", PIMSI)
    assert w.json("pimsi", "unblock", PIMSI)["state"] == "used"
    w.usher("pimsi", "block", PIMSI)
    open(w.path("clock"), "w").write(str(80 * 3600))
    w.usher("pimsi", "unblock", PIMSI)
    w.wait("its grace is over", lambda: show()["state"] == "quarantine")
    assert ", 0 broken" in w.usher("audit", *w.dirs)
    # a grace that could leave an equipment without a USIM is refused
    w.stop()
    with open(w.path("reg/usher.yaml"), "a") as f:
        f.write("grace: 119m\n")
    p = subprocess.run([os.path.join(BUILD, "roles/registration/usher-registration"), "--check-config", w.path("reg")], capture_output=True, text=True)
    assert p.returncode == 1 and "at least 7200 s, twice the longest trial" in p.stderr, p
    with open(w.path("fleet/equipment.yaml"), "a") as f:
        f.write("trial: 61m\n")
    assert "trial: `61m` is out of range (10s to 1h)" in w.equipment("--check-config", "fleet", code=1)
print("ok")
