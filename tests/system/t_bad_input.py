# SPDX-License-Identifier: Apache-2.0
"""What bad input gets: every command, given a file, name or number that is wrong, names it and says what to do next."""
import os, subprocess
from usher import World, BUILD, EQUIPMENT, USHER

with World() as w:
    w.world(devices=1)

    def fails(words, *says, code=1, program=USHER):
        p = subprocess.run([program, *words], cwd=w.dir, env=w.env, capture_output=True, text=True, timeout=60)
        assert p.returncode == code and all(text in p.stderr for text in says) and "Sanitizer" not in p.stderr, (words, says, p)

    def file(name, content):
        with open(w.path(name), "wb") as f:
            f.write(content)
        return name

    # --- who and what there is none of ---
    for words, says in (
            ("explain acme:404", ("acme:404", "`usher status` shows the roles that are asked")),
            ("pimsi show 901709999999999", ("901709999999999 is not of this operator's pool", "`usher pimsi list`")),
            ("imsi suspend 262420000000001", ("262420000000001 is allocated", "what may come: book")),
            ("watch nowhere", ("nowhere: no equipment in it; `usher factory enrol`",)),
            ("audit nowhere", ("nowhere: no role's database in it",)),
            ("--as fab factory order nowhere --registration 901-70 --order x", ("nowhere: no equipment in it; `usher factory enrol`",)),
            ("--as fab factory order fleet --registration 901-99 --order x", ("no registration 901-99; `usher peer add",)),
            ("--as fab factory bind fleet --registration 901-99", ("no registration 901-99; `usher peer add",)),
            ("people add none.example x", ("no dlusim none.example; `usher peer add`",)),
            ("people add dlusim.home.example Water", ("an owner's name is 1 to 64 of a-z 0-9 . -",)),
            ("pool add registration 901-99 901700000000001 5", ("no registration 901-99; `usher peer add`",)),
            ("pool add registration 901-70 262420000000001 5", ("262420000000001 is no PIMSI of operator 901-70: they begin with 90170; give such a number",)),
            ("pool add registration 901-70 901709999999999 2", ("end with 901710000000000, which is none of operator 901-70", "give a smaller `count`")),
            ("pool add hss 262-42 99999 2", ("99999 is no IMSI of operator 262-42",)),
            ("status hss 262-99", ("no hss 262-99 with an address; `usher peer add DIR hss 262-99",)),
            ("metrics hss 262-99", ("no hss 262-99 with an address; `usher peer add DIR hss 262-99",)),
            ("ca revoke equipment acme:000001 --reason bored", ("keyCompromise",)),
            ("ca invite equipment acme:1", ("a factory enrols those",)),
            ("peer add nowhere staff alice", ("nowhere: No such file or directory; `usher setup`",)),
            ("peer add reg dm x.example --address 127.0.0.1", ("`127.0.0.1` is not host:port",)),
            ("peer add reg dm x.example --address 127.0.0.1:99999", ("`127.0.0.1:99999` is not host:port",)),
            ("--as nowhere status", ("nowhere/roots.pem: No such file or directory; `usher setup`",))):
        fails(words.split(), *says)
    for words, says in (
            ("imsi show abc", ("`abc` is no number of 5 to 15 digits",)),
            ("status hss", ("2 words expected, 1 given", "usage: usher status [ROLE ID]")),
            ("pool add hss 262-42 262420000000001 x", ("COUNT 1 to 100000",)),
            ("--as fab factory enrol fleet --maker acme --count many", ("--count N (1 to 100000)",)),
            ("ca revoke equipmnt acme:000001", ("`equipmnt` is no role; one of attestation",)),
            ("ca revoke equipment acme:000001 --use all", ("--use `all` is none of tls, sign, deliver",)),
            ("ca list equipment a&role=hss", ("`a&role=hss` is no id",)),
            ("watch fleet --timeout soon", ("--timeout `soon` is not a number of seconds",)),
            ("watch fleet --until home", ("--until `home` is none of attach",)),
            ("peer add reg dm a/b", ("`a/b` is no id",))):
        fails(words.split(), *says, code=2)
    fails(("ca", "list", "equipment", "acme:404"), "no certificate of equipment acme:404", code=0)
    fails(("--as", "fab", "factory", "enrol", "fleet", "--maker", "ac me", "--count", "1"), "`ac me` is no maker's name", code=2)
    assert not any(" " in name for name in os.listdir(w.path("fleet"))), "wrong usage leaves nothing"

    # --- an owner's files and addresses ---
    at = "dlusim.home.example=127.0.0.1:@dlusim/run/ports#owner"
    rows = {"": "fleet/labels.csv", "missing": "missing.csv", "folder": "fleet", "empty": file("empty.csv", b""),
            "json": file("rows.json", b'{"equipment": "acme:000001"}\n'),
            "binary": file("rows.bin", bytes(range(1, 256)))}
    claim = lambda rows, dlusim=at, roots="pki/roots.pem", token="token": ("owner", "claim", rows, "--dlusim", dlusim, "--roots", roots, "--token-file", token)
    fails(claim(rows["missing"]), "missing.csv: No such file or directory; `usher factory bind` writes labels.csv")
    for which in ("folder", "empty"):
        fails(claim(rows[which]), f"{rows[which]}: no line of text in it; `usher factory bind` writes labels.csv")
    for which in ("json", "binary"):
        fails(claim(rows[which]), "line 1: expected equipment,registration,claim_key (26 letters)[,serial]", "0 subscribed")
    fails(claim(rows[""], token="missing"), "missing: No such file or directory; staff makes a token by `usher people add DLUSIM OWNER`")
    fails(claim(rows[""], token=file("other", b"another\n")), "the token is not known; staff gives a new one by `usher people add`")
    fails(claim(rows[""], roots=file("empty.pem", b"")), "empty.pem: no PEM certificate in it")
    fails(claim(rows[""], dlusim="dlusim.home.example"), "needed: --dlusim ID=HOST:PORT", code=2)
    fails(claim(rows[""], dlusim=at.replace("home", "other")), "expected dlusim dlusim.other.example, found dlusim dlusim.home.example")
    fails(claim(rows[""], dlusim=at.replace("@dlusim", "@nowhere")), "nowhere/run/ports is not there yet; start that role by `usher run`")
    fails(claim(rows[""], dlusim=at.replace("#owner", "#ownr")), "dlusim/run/ports has no listener `ownr`")

    # --- JSON that is none, to a role's own door ---
    for me, dir, path, body, says in (
            ("dm", "dlusim", "/v1/provision", {}, "field `job` is missing"),
            ("dm", "dlusim", "/v1/provision", [], ""),
            ("dm", "dlusim", "/v1/provision", "x", ""),
            ("dm", "dlusim", "/v1/provision", {"job": "x" * 5000}, "field `job` is longer than"),
            ("dm", "dlusim", "/v1/provision/done", {"job": 5}, "field `job`"),
            ("fab", "reg", "/v1/manufacture/bind", {"bindings": [{}] * 101}, "1 to 100 bindings"),
            ("fab", "reg", "/v1/manufacture/order", {"order": "x"}, "`issuer`"),
            ("dlusim", "hss", "/v1/subscribe", {"equipment": "acme:1"}, "field `registration` is missing")):
        status, said = w.post(me, dir, "peers", path, body)
        assert status == 400 and says in said["why"] and len(said["why"]) > 10, (path, body, status, said)
    status, said = w.post("dlusim", "hss", "peers", "/v1/verify", {})  # no evidence is evidence that does not hold
    assert status == 403 and "field `discover` is missing" in said["why"], (status, said)

    # --- an equipment's files ---
    fails(("nowhere",), "nowhere/equipment.yaml is missing; write `frequencies: [host:port, ...]` into it", program=EQUIPMENT)
    fails(("--until=heaven", "fleet/acme_000001"), "`heaven`: discover, verify, install or operate", program=EQUIPMENT, code=2)
    fails(("load-order", "fleet/acme_000001", "missing"), "missing: cannot be read", program=EQUIPMENT)
    fails(("load-order", "fleet/acme_000001", "fleet/labels.csv"), "fleet/labels.csv: ", program=EQUIPMENT)
    fails(("make", "new", "acme"), "`acme` is no equipment's id: <maker>:<serial>", program=EQUIPMENT)
    assert not os.path.exists(w.path("new"))
    fails(("load-order", "fleet/acme_000001"), "usage: usher-equipment load-order DIR FILE", program=EQUIPMENT, code=2)
    fails(("label",), "usage: usher-equipment label DIR", program=EQUIPMENT, code=2)
    for text, says in ((b"frequencies: [127.0.0.1]\n", "fleet/equipment.yaml:1: item: `127.0.0.1` is not host:port"),
                       (b"frequences: [127.0.0.1:1]\n", "unknown key `frequences`; did you mean `frequencies`?")):
        file("fleet/equipment.yaml", text)
        fails(("--fleet", "fleet"), says, program=EQUIPMENT)

    # --- a role's folder that is none ---
    fails(("nowhere",), "nowhere/usher.yaml: No such file or directory; `usher setup hss nowhere` makes it", program=os.path.join(BUILD, "roles/hss/usher-hss"))

    # --- a peer's file and a database that are spoiled: the role does not start, and says which ---
    w.stop()
    file("reg/peers/broken.yaml", b"role: hss\nid: [\n")
    fails(("run", "reg"), "reg: usher-registration did not start", "reg/peers/broken.yaml:3: not YAML")
    os.unlink(w.path("reg/peers/broken.yaml"))
    with open(w.path("pki/attestation.db"), "r+b") as f:
        f.write(b"this is no database")
    fails(("run", "pki"), "pki: usher-attestation did not start", "pki/attestation.db: file is not a database")
print("ok")
