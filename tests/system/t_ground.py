# SPDX-License-Identifier: Apache-2.0
"""The ground: folders, enrolment by invite, peers, run, status, restart, and that nothing outlives `usher run`."""
import os, signal, subprocess
from usher import World, BUILD, USHER

with World() as w:
    w.attestation()
    # staff asks; a stranger's certificate of the right role does not suffice
    assert "attestation   pki.example" in w.usher("status")
    w.enrol("staff", "mallory", "mallory")
    w.usher("peer", "add", "mallory", "attestation", "pki.example", "--address", "127.0.0.1:@../pki/run/ports#peers")
    assert "is not a peer here" in w.usher("--as", "mallory", "status", code=1)
    # SIGHUP: peers are read again, while connections stay; an id names no file elsewhere
    assert "is no id" in w.usher("peer", "add", "pki", "staff", "../mallory", code=2)
    w.usher("peer", "add", "pki", "staff", "mallory")
    os.kill(w.pids("pki")[0], signal.SIGHUP)
    asks = lambda: subprocess.run([USHER, "--as", "mallory", "status"], cwd=w.dir, capture_output=True).returncode
    w.wait("mallory is a peer", lambda: asks() == 0, 5)
    os.unlink(w.path("pki/peers/staff_mallory.yaml"))
    os.kill(w.pids("pki")[0], signal.SIGHUP)
    w.wait("mallory is none any more", lambda: asks() == 1, 5)
    # a folder has one process
    p = subprocess.run([os.path.join(BUILD, "roles/attestation/usher-attestation"), "pki"], cwd=w.dir, capture_output=True, text=True, timeout=20)
    assert p.returncode == 1 and "is served by another process" in p.stderr, p
    # an invite is for one party and one use
    invite = w.usher("ca", "invite", "registration", "901-70")
    open(w.path("reg.invite"), "w").write(invite)
    w.enrol("registration", "reg", "901-70", invite="reg.invite")
    err = subprocess.run([USHER, "setup", "registration", "again", "--id", "901-70", "--attestation",
        "pki.example=127.0.0.1:@pki/run/ports#peers", "--roots", "pki/roots.pem", "--invite-file", "reg.invite"], cwd=w.dir,
        capture_output=True, text=True)
    assert err.returncode == 1 and "was used" in err.stderr, err
    kinds = [(c["role"], c["use"]) for c in w.json("ca", "list", "registration")["certificates"]]
    assert sorted(kinds) == [("registration", "sign"), ("registration", "tls")], kinds
    # kill -9 of a role: it is back, on the same port, with its database
    before = open(w.path("pki/run/ports")).read()
    os.kill(w.pids("pki")[0], signal.SIGKILL)
    w.wait("restart", lambda: w.more().count(" is up") == 2)
    assert open(w.path("pki/run/ports")).read() == before
    assert "staff" in w.usher("ca", "list")
    # a wrong key in usher.yaml is named with its line and the nearest name
    with open(w.path("reg/usher.yaml"), "a") as f:
        f.write("lisen: x\n")
    # kill -9 of `usher run`: no process is left
    pids = w.pids("pki")
    w.run.kill()
    w.run.wait()
    w.run = None
    w.wait("roles end with their parent", lambda: not [p for p in pids if os.path.exists(f"/proc/{p}")], 2)
    # --temporary: no file is left either
    p = subprocess.Popen([USHER, "run", "--temporary", "pki"], cwd=w.dir, stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    p.kill()
    p.wait()
    w.wait("the folder is gone", lambda: not os.path.exists(w.path("pki")), 2)
print("ok")
