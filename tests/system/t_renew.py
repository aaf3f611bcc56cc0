# SPDX-License-Identifier: Apache-2.0
"""Certificates end: `usher renew` fetches new ones for the same keys, by the old one while it holds, by an invite afterwards."""
import os, re, signal, subprocess
from usher import World

with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    at = ("--attestation", "pki.example=127.0.0.1:@pki/run/ports#peers")

    def shown(dir, name):
        out = subprocess.run(["openssl", "x509", "-in", f"{dir}/{name}.pem", "-noout", "-serial", "-enddate", "-pubkey"],
                             cwd=w.dir, capture_output=True, text=True, check=True)
        return re.search(r"serial=(\w+)", out.stdout)[1], re.search(r"notAfter=(.*)", out.stdout)[1], out.stdout[out.stdout.index("-----BEGIN"):]

    def clock(days):
        open(w.path("clock"), "w").write(str(days * 86400))

    def restarted(dir):
        up = w.more().count(" is up")
        os.kill(w.pids(dir)[0], signal.SIGTERM)
        w.wait(dir + " is up again", lambda: w.more().count(" is up") > up)

    w.attestation()
    w.enrol("registration", "reg", "901-70")
    w.usher("peer", "add", "reg", "staff", "alice")
    w.usher("peer", "add", "alice", "registration", "901-70", "--address", "127.0.0.1:@../reg/run/ports#peers")
    w.start("pki", "reg")
    folders = {"pki": ("tls",), "alice": ("tls",), "reg": ("sign", "tls")}
    before = {(d, n): shown(d, n) for d, names in folders.items() for n in names}
    soon = "ATTENTION: a certificate of its own ends on "
    assert soon not in w.usher("status")
    clock(80)
    said = w.usher("status")
    assert said.count(soon) == 2, said
    assert re.search(r"^usher_certificates_end_seconds \d{10}$", w.usher("metrics", "registration", "901-70"), re.M)
    for d in folders:
        assert "has certificates until " in w.usher("renew", d, *at), d
    for (d, n), (serial, end, key) in before.items():
        now = shown(d, n)
        assert now[0] != serial and now[1] != end and now[2] == key, (d, n, now)
    for d in ("pki", "reg"):
        restarted(d)
    assert soon not in w.usher("status")
    # beyond the first certificates' end all of them serve and ask; one that was not renewed again has ended, and says what helps
    clock(100)
    assert "DOWN" not in w.usher("status")
    for d in ("pki", "alice"):
        w.usher("renew", d, *at)
    restarted("pki")
    clock(171)
    os.kill(w.pids("reg")[0], signal.SIGTERM)
    ended = "registration 901-70 has expired; its holder asks for another by `usher renew`"
    w.wait("it says why it does not start", lambda: ended in open(w.path("reg/run/log")).read())
    said = w.usher("renew", "reg", *at, code=1)
    assert "reg/tls.pem ended on " in said and "`usher ca invite registration 901-70` gives an --invite-file" in said, said
    with open(w.path("again"), "w") as f:
        f.write(w.usher("ca", "invite", "registration", "901-70"))
    up = w.more().count("registration 901-70 is up")
    w.usher("renew", "reg", *at, "--invite-file", "again")
    w.wait("it comes up by itself", lambda: w.more().count("registration 901-70 is up") > up, 20)
    assert "DOWN" not in w.usher("status")
    assert "this invite is not for registration 901-70, was used" in w.usher("renew", "reg", *at, "--invite-file", "again", code=1)
    w.usher("ca", "revoke", "registration", "901-70", "--use", "tls")
    assert "is revoked; staff invites anew" in w.usher("renew", "reg", *at, code=1)
    for words, says in ((("renew", "reg"), "needed: --attestation ID=HOST:PORT"), (("renew", *at), "1 word expected")):
        assert says in w.usher(*words, code=2)
    assert "nowhere/tls.pem: No such file" in w.usher("renew", "nowhere", *at, code=1)
print("ok")
