# SPDX-License-Identifier: Apache-2.0
"""The command for people as somebody meets it who is new, or tired: wrong words, half-made folders, ports in use, roles that die, bad rows."""
import json, os, re, signal, socket, subprocess
from usher import World, BUILD, USHER

with World() as w:
    def fails(code, *words, says):
        out = w.usher(*words, code=code)
        assert says in out, (words, out)
        return out

    # --- words: the nearest name, and 2 ---
    fails(2, "stauts", says="did you mean `usher status`?")
    fails(2, "help", "expain", says="did you mean `usher explain`?")
    fails(2, "factory", "odrer", "fleet", says="factory order   order a PIMSI")
    fails(2, "--jsn", "status", says="no option `--jsn`")
    fails(2, "watch", "fleet", "--tmeout", "3", says="did you mean --timeout?")
    fails(2, "watch", "fleet", "--timeout", says="--timeout needs a value; usage: usher watch FLEET")
    fails(2, "watch", "fleet", "--quiet=1", says="--quiet takes no value")
    fails(2, "explain", says="1 word expected, 0 given; usage: usher explain EQUIPMENT")
    fails(2, "setup", "registraton", "reg", "--id", "901-70", says="`registraton` is no role; one of attestation registration")
    fails(2, "setup", "registration", "reg", "--id", "901-70", says="needed: --attestation ID=HOST:PORT --roots FILE")
    fails(2, "factory", "enrol", "fleet", "--maker", "acme", says="needed: --maker MAKER --count N")
    assert not os.path.exists(w.path("reg")) and not os.path.exists(w.path("fleet")), "wrong usage leaves nothing"
    assert w.usher("help").startswith("usher brings") and w.usher("--help") == w.usher("help")
    p = subprocess.run([USHER, "status"], cwd=w.dir, env={k: v for k, v in w.env.items() if k != "USHER_AS"}, capture_output=True, text=True)
    assert p.returncode == 1 and "say who you are: --as DIR or USHER_AS=DIR" in p.stderr, p

    # --- set-up: half-made goes on, what is in use is not touched ---
    w.attestation()
    fails(1, "setup", "attestation", "pki", "--id", "x", "--staff", "bob", "--invite-file", "bob.invite", says="pki is set up already; nothing was changed")
    assert not os.path.exists(w.path("bob.invite"))
    reg = ("setup", "registration", "reg", "--id", "901-70", "--attestation", "pki.example=127.0.0.1:@pki/run/ports#peers", "--roots", "pki/roots.pem",
           "--invite-file", "reg.invite")
    fails(1, *reg, says="reg.invite: No such file or directory; staff gets an invite by `usher ca invite registration 901-70`")
    open(w.path("reg.invite"), "w").write("wrong\n")
    fails(1, *reg, says="this invite is not for registration 901-70, was used, or has expired; ask staff for a new one")
    open(w.path("reg.invite"), "w").write(w.usher("ca", "invite", "registration", "901-70"))
    fails(1, *(x.replace("pki/roots", "nowhere/roots") for x in reg), says="nowhere/roots.pem: No such file or directory")
    fails(1, *reg, "--listen", "gusp=127.0.0.1:4222", says="role registration has no listener `gusp`")
    # an id has its role's form, asked for an invite or (with one from elsewhere) for a certificate
    for role, good, bad in (("registration", "901-70", ("90170", "901-7", "901-7000", "reg.example", "901-70.")),
                            ("hss", "310-260", ("262/42", "26242", "hss")),
                            ("visited", "001-01", ("00101", "0x1-01")), ("dlusim", "dlusim.example", ("dlusim:1", "a-.example", "a..b", "a.", "x" * 64)),
                            ("dm", "dm", ("d_m",)), ("attestation", "pki-2.example", ("pki:2",)), ("factory", "acme", ("acme:north", "imei"))):
        for id in bad:
            fails(2 if "/" in id else 1, "ca", "invite", role, id, says=f"`{id}` is no id; letters," if "/" in id else f"`{id}` is no id for {role}: it is ")
        assert len(w.usher("ca", "invite", role, good).strip()) == 43
    fails(1, "ca", "invite", "registration", "90170", says="a PLMN as <mcc>-<mnc>, like 901-70 or 310-260")
    fails(1, *(x.replace("901-70", "90170") for x in reg), says="refuses (400): `90170` is no id for registration: it is a PLMN as <mcc>-<mnc>, like 901-70")
    w.usher(*reg)
    before = open(w.path("reg/tls.pem")).read()
    fails(1, *reg, says="reg is set up already")
    assert open(w.path("reg/tls.pem")).read() == before
    assert w.json("ca", "list", "registration")["certificates"] and w.json("ca", "invite", "hss", "262-42")["invite"]
    fails(1, "ca", "revoke", "equipment", "acme:404", says="revoked 0 certificates of equipment acme:404; `usher ca list`")
    w.usher("peer", "add", "reg", "staff", "alice")
    w.usher("peer", "add", "reg", "staff", "alice")
    fails(1, "peer", "add", "reg", "staff", "alice", "--address", "127.0.0.1:1", says="exists with other content; --replace writes over it")
    fails(2, "peer", "add", "reg", "staf", "alice", says="`staf` is no role")

    # --- run: what is wrong has a name, a line and a next step ---
    fails(1, "run", "pki", says="pki: another `usher run` serves this folder")
    good = open(w.path("reg/usher.yaml")).read()

    def with_config(text, says):
        open(w.path("reg/usher.yaml"), "w").write(text)
        out = fails(1, "run", "reg", says=says)
        open(w.path("reg/usher.yaml"), "w").write(good)
        return out
    n = len(good.splitlines()) + 1
    with_config(good + "grce: 1h\n", f"reg/usher.yaml:{n}: unknown key `grce`; did you mean `grace`?")
    with_config(good + "grace: 1x\n", f"reg/usher.yaml:{n}: grace: `1x` is not a time like 90s")
    with_config(good + "a: [\n", "reg/usher.yaml:")
    with_config(good.replace("role: registration", "role: regis"), "`role: ...` is missing or no role of usher's")
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = f"127.0.0.1:{taken.getsockname()[1]}"
    with_config(re.sub(r"gsup: .*", f"gsup: {port}", good), f"listener gsup: cannot bind {port}: Address already in use")
    os.rename(w.path("reg/kek"), w.path("kek"))
    fails(1, "run", "reg", says="reg/kek: No such file or directory")
    os.rename(w.path("kek"), w.path("reg/kek"))
    fails(1, "run", "nowhere", says="nowhere/usher.yaml: No such file or directory; `usher setup ROLE nowhere` makes it")

    # --- a role that dies is said and comes back; SIGTERM ends all in order ---
    w.usher("peer", "add", "alice", "registration", "901-70", "--address", "127.0.0.1:@../reg/run/ports#peers")
    w.start("pki", "reg")
    os.kill(w.pids("reg")[0], signal.SIGKILL)
    w.wait("it is up again", lambda: w.more().count("registration 901-70 is up") == 2)
    assert "registration 901-70 ended (signal 9); again in 100 ms; its log: reg/run/log" in w.said, w.said
    assert [s["role"] for s in w.json("status")] == ["attestation", "registration"]
    # one that does not come up again (its file never ends) keeps the other from nothing, and nobody from stopping all
    os.rename(w.path("reg/usher.yaml"), w.path("yaml"))
    os.mkfifo(w.path("reg/usher.yaml"))
    os.kill(w.pids("reg")[0], signal.SIGKILL)
    w.wait("it is started again", lambda: w.more().count("registration 901-70 ended") == 2 and w.pids("reg"))
    os.kill(w.pids("pki")[0], signal.SIGKILL)
    w.wait("the other is up again meanwhile", lambda: w.more().count("attestation pki.example is up") == 2, 15)
    assert w.said.count("registration 901-70 is up") == 2, w.said
    pids = w.pids("reg") + w.pids("pki")
    assert len(pids) == 2
    w.run.send_signal(signal.SIGTERM)
    assert w.run.wait(10) == 0 and not any(os.path.exists(f"/proc/{p}") for p in pids)
    w.run = None
    out = fails(1, "status", says="DOWN at 127.0.0.1:")
    assert len(re.findall(r"DOWN at", out)) == 2, out
    down = json.loads(subprocess.run([USHER, "status", "--json"], cwd=w.dir, env=w.env, capture_output=True, text=True).stdout)
    assert [s["down"] for s in down] == [True, True]
    fails(1, "status", "hss", "262-42", says="this folder knows no hss 262-42 with an address")

def man_names_metrics(w):
    """Every counter that a role's desk tells stands in its program's man page."""
    for role, id in (("attestation", "pki.example"), ("registration", "901-70"), ("hss", "262-42"), ("dlusim", "dlusim.home.example"), ("dm", "dm.example"),
                     ("visited", "001-01")):
        page = subprocess.run([os.path.join(BUILD, "roles", role, f"usher-{role}"), "--man"], capture_output=True, text=True).stdout
        names = re.findall(r"^# TYPE (\w+)", w.usher("metrics", role, id), re.M)
        assert len(names) >= 3 and all(n in page for n in names), [n for n in names if n not in page]


with World() as w: # rows of owners: what is wrong is named with its line, the rest goes on
    w.world(devices=3)
    man_names_metrics(w)
    rows = open(w.path("fleet/labels.csv")).read().split("\n")[1:4]
    one = rows[0].split(",")
    open(w.path("rows.csv"), "wb").write(("\ufeffequipment,registration,claim_key,serial\r\n" + ",".join(f'"{x}"' for x in one) + ",7\r\n\r\n"
        + "acme:000002,901-70,TOOSHORT\r\n" + "x" * 500 + "\r\n" + rows[1] + ",nine\r\n acme:000002 , " + ",".join(rows[1].split(",")[1:]) + " \r\n"
        + rows[2]).encode())
    out = w.claim("rows.csv", code=1)
    for text in ("line 4: expected equipment,registration,claim_key (26 letters)[,serial]", "line 5: it is too long for a row",
                 "line 6: serial `nine` is not a number",
                 "3 subscribed, 0 refused, 0 not settled, 3 lines that are no row"):
        assert text in out, (text, out)
    assert w.sql("dlusim", "dlusim", "SELECT equipment, serial FROM subscription ORDER BY equipment") == [
        ("acme:000001", 7), ("acme:000002", 1), ("acme:000003", 1)]
    # without a header line no row is lost; the same rows again are the same subscriptions
    open(w.path("bare.csv"), "w").write(rows[1] + "\n" + rows[2] + "\n")
    told = json.loads(w.claim("bare.csv", "--json"))
    assert (told["subscribed"], told["refused"], told["open"], told["bad"]) == (2, 0, 0, 0) and len(told["rows"]) == 2, told
    # the DLUSIM service goes away in the middle of nothing: said, with the next step, and nothing hangs
    os.kill(w.pids("dlusim")[0], signal.SIGSTOP)
    try:
        p = subprocess.run([USHER, "owner", "claim", "bare.csv", "--dlusim", "dlusim.home.example=127.0.0.1:1", "--roots", "pki/roots.pem", "--token-file",
                            "token"], cwd=w.dir, env=w.env, capture_output=True, text=True, timeout=20)
        assert p.returncode == 1 and "connect" in p.stderr, p
    finally:
        os.kill(w.pids("dlusim")[0], signal.SIGCONT)
    # more than a batch: 600 lines that are nobody's, each named
    key = one[2]
    open(w.path("many.csv"), "w").write("".join(f"acme:9{i:05},901-70,{key}\n" for i in range(600)) + rows[1] + "\n")
    told = json.loads(subprocess.run([USHER, "--json", "owner", "claim", "many.csv", "--dlusim", "dlusim.home.example=127.0.0.1:@dlusim/run/ports#owner",
                                      "--roots", "pki/roots.pem", "--token-file", "token"], cwd=w.dir, env=w.env, capture_output=True, text=True,
                                     timeout=120).stdout)
    assert (told["subscribed"], told["refused"]) == (1, 600) and "no equipment acme:900000 is bound here" in told["rows"][0]["why"], told["rows"][0]
print("ok")
