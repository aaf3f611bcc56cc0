# SPDX-License-Identifier: Apache-2.0
"""R10: what clients do to the OMA DM server: credentials, stale nonces, replays, lost answers, wrong order, unknown commands, results of
others. The client is tests/system/syncml.py, which shares nothing with the server."""
import os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World
import syncml
from syncml import Account, Client, alert, devinfo, post, result, status

with World() as w:
    w.world(devices=2)
    assert w.claim().count("subscribed") == 2
    w.frequencies("vis1")
    w.equipment("--fleet", "--until=verify", "fleet")
    accounts = [Account(der) for (der,) in w.sql("dlusim", "dlusim", "SELECT trigger_der FROM verification ORDER BY equipment")]
    a, c = accounts[0], Client(accounts[0])
    job = lambda column: w.sql("dm", "dm", f"SELECT {column} FROM job WHERE job = '{a.job}'")[0][0]
    story = lambda: w.story("dm", "", "job", a.job)
    first = lambda id=1: alert(id, 1200) + devinfo(id + 1, a.device)

    # --- what is no message of ours never reaches a job ---
    body = c.build(first())
    for type, code in (("application/vnd.syncml.dm+wbxml", 415), ("application/json", 415), ("text/xml", 415)):
        assert post(a.address, body, c.headers(body, type=type))[0] == code, type
    for bad in (b"", b"<SyncML>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + body, body.replace(b"<CmdID>1</CmdID>", b""), body.replace(b"<MsgID>1</MsgID>", b""),
                c.build(first(), msg=1, version="1.1")):
        assert post(a.address, bad, c.headers(bad))[0] == 400, bad
    assert post(a.address, body + b" " * 66000, c.headers(body))[0] in (413, 0)
    # --- nobody, and somebody else ---
    assert post(a.address, c.build(first(), msg=1).replace(b"<LocName>", b"<LocNone>").replace(b"</LocName>", b"</LocNone>"),
                {"Content-Type": syncml.TYPE})[0] == 401
    for user, why in (("nobody.example/" + a.job, b"nobody.example is not known here"), ("dlusim.home.example/0000", b"there is no job 0000")):
        code, _, said = post(a.address, body, {"Content-Type": syncml.TYPE,
                                               "x-syncml-hmac": f'username="{user}", mac={syncml.mac(user, b"x", b"y", body)}'})
        assert code == 403 and why in said, said
    # --- 407 without credentials, 401 with wrong ones: a Status for each command, nothing else, and nothing changes, however often ---
    for n in range(5):
        r = c.send(body, {"Content-Type": "application/vnd.syncml+xml; charset=utf-8"})
        assert [s[2] for s in r.statuses] == ["407", "407", "407"] and not r.execs and r.nonce == a.client_nonce, r.octets
        r = c.send(body, dict(c.headers(body), **{"x-syncml-hmac": f'username="{a.user}", mac={syncml.b64(bytes(16))}'}))
        assert [s[2] for s in r.statuses] == ["401", "401", "401"] and not r.targets and r.nonce == a.client_nonce, r.octets
    bad = c.build(first(), msg=1, source="urn:usher:equipment:acme:000002")
    assert c.send(bad).header == "401"
    assert job("state") == "ready"
    # --- the session: the SyncHdr's 200 with a nonce, and the package in a Sequence ---
    c.msg = 0
    body = c.build(first())
    sent = c.headers(body)
    r = c.send(body, sent)
    assert r.header == "200" and len(r.nonce) == 16 and r.code(1) == r.code(2) == "200" and r.final
    package = job("package_id")
    assert r.execs == [f"./SCM/Inventory/Delivered/{package}/Operations/InstallInactive"] and r.targets[4].endswith("/Data"), r.octets
    assert r.root.find("SyncBody/Sequence/Exec") is not None and r.root.findtext("SyncBody/Sequence/Exec/Correlator") == a.job
    # --- its answer is lost: the same message again gets the same octets, also from a server that was killed; nothing happens twice ---
    for n in range(2):
        again = c.send(body, sent)
        assert again.octets == r.octets and again.http["x-syncml-hmac"] == r.http["x-syncml-hmac"]
        os.kill(w.pids("dm")[0], signal.SIGKILL)
        w.wait("dm is back", lambda: w.more().count(" is up") == len(w.dirs) + n + 1)
    assert story().count("delivers package") == 1, story()
    # the same nonce for another message: a replay, challenged with the nonce that counts
    other = c.build(first(), msg=1)
    other = other.replace(b"./DevInfo/DevId", b"./DevInfo/Man")
    r = c.send(other, c.headers(other, nonce=a.client_nonce))
    assert r.header == "401" and r.nonce == c.nonce
    # --- what a client may send, and what not ---
    next_nonce = b"0123456789abcdef"
    c.server, octets = next_nonce, c.build(
        status(1, 1, 0, "SyncHdr", 200, next_nonce) + status(2, 1, 9, "Exec", 405) + devinfo(3, "x", "./SCM/x") + "<Put><CmdID>4</CmdID></Put>"
        "<Copy><CmdID>5</CmdID><Item><Source><LocURI>./a</LocURI></Source></Item></Copy><Add><CmdID>6</CmdID><Item/></Add><Get><CmdID>7</CmdID><Item/></Get>"
        "<Exec><CmdID>8</CmdID><Item/></Exec><Delete><CmdID>9</CmdID><Item/></Delete>" + alert(10, 1100) + alert(11, 1224)
        + "<Replace><CmdID>12</CmdID></Replace>"
        "<Atomic><CmdID>13</CmdID><Add><CmdID>14</CmdID><Item/></Add></Atomic>" + alert(15, 9999) +
        "<Results><CmdID>16</CmdID><MsgRef>1</MsgRef><CmdRef>1</CmdRef><Item/></Results>")
    r = c.send(octets)
    want = {3: "405", 4: "406", 5: "406", 6: "405", 7: "405", 8: "405", 9: "405", 10: "406", 11: "200", 12: "412", 13: "405", 14: "405", 15: "406"}
    assert {n: r.code(n) for n in want} == want and len(r.statuses) == 1 + len(want), r.statuses
    assert ("Put", "4", "406") in r.statuses and ("Copy", "5", "406") in r.statuses
    assert r.final and not r.execs and "refuses to install package" in story()
    # --- results that are no results of ours change nothing ---
    c.session = "77"
    c.msg = 0
    r = c.say(alert(1, 1201) + result(2, package, "InstallInactive", 1200, a.job, type="org.example:x")
              + result(3, package, "InstallInactive", 1200, a.job, type="")
              + result(4, package, "InstallInactive", 1200, a.job, format="") + result(5, package, "InstallInactive", 1200, a.job, data="good")
              + result(6, package, "InstallInactive", 1200, "ffff") + result(7, package, "InstallInactive", 1200, "")
              + result(8, "other", "InstallInactive", 1200, a.job)
              + result(9, package, "Remove", 1200, a.job))
    assert [r.code(n) for n in range(2, 10)] == ["415", "412", "412", "412", "412", "412", "412", "412"], r.statuses
    assert job("state") == "delivered" and r.execs[0].endswith("/InstallInactive"), "a new session: delivered again"
    # --- order: MsgIDs count up, a session begins with 1200 or 1201, and has an end ---
    r = c.say(result(1, package, "InstallInactive", 1200, a.job), msg=1)
    assert r.header == "200" and r.code(1) == "215" and r.alerts == ["1223"] and r.final and not r.execs, r.octets
    r = c.say(result(1, package, "InstallInactive", 1200, a.job), session="99", msg=1)
    assert r.code(1) == "215" and r.alerts == ["1223"], r.octets
    r = c.say(first(), session="100", msg=33)
    assert r.alerts == ["1223"] and job("state") == "delivered"
    assert "a message of a session that was not begun" in story() and "its MsgID does not count up" in story() and "too many messages" in story()
    # --- another device's DevInfo; a client that takes small messages; one that breaks off ---
    r = c.say(alert(1, 1201) + devinfo(2, "urn:usher:equipment:acme:000002"), session="101", msg=1)
    assert r.code(2) == "403" and r.alerts == ["1223"] and not r.execs, r.octets
    r = c.say(first(), session="102", msg=1, max_msg="2000")
    assert r.alerts == ["1223"] and not r.execs and "it takes messages of 2000 octets" in story(), r.octets
    r = c.say(alert(1, 1201) + alert(2, 1223), session="103", msg=1)
    assert [s[2] for s in r.statuses] == ["200", "200", "200"] and not r.execs and not r.alerts, r.octets
    # --- a package in two messages: the next one is asked for, without Final ---
    r = c.say(alert(1, 1201), session="104", msg=1, final=False)
    assert r.alerts == ["1222"] and not r.final and not r.execs, r.octets
    r = c.say(result(1, package, "InstallInactive", 1200, a.job, type="org.openmobilealliance.dm.softwarecomponent.OperationComplete"), session="104", msg=2)
    assert r.code(1) == "200" and job("state") == "installed" and r.execs == [f"./SCM/Inventory/Deployed/{package}/Operations/Activate"], r.octets
    # told again: taken once, and not asked again in this session
    r = c.say(result(1, package, "InstallInactive", 1200, a.job), session="104", msg=3)
    assert r.code(1) == "200" and not r.execs and story().count("says of the installation") == 1, r.octets
    # --- another DM service can neither have this job nor end it ---
    w.enrol("dm", "dm2", "dm2.example")
    w.usher("peer", "add", "dlusim", "dm", "dm2.example", "--address", "127.0.0.1:1")
    os.kill(w.pids("dlusim")[0], signal.SIGKILL)  # it reads its peers when it starts
    w.wait("the new peer is known", lambda: w.more().count(" is up") == len(w.dirs) + 3, 20)
    for path, o in (("/v1/provision", {"job": a.job}), ("/v1/provision/done", {"job": a.job, "result": "1200"})):
        code, said = w.post("dm2", "dlusim", "peers", path, o)
        assert code == 403 and said["why"] == f"job {a.job} is for DM service dm.example", said
    # --- the end: the secrets die, the last answer does not; whoever comes later is told ---
    octets = c.build(alert(1, 1201) + result(2, package, "Activate", 1200, a.job), session="105", msg=1)
    sent = c.headers(octets)
    r = c.send(octets, sent)
    assert r.code(2) == "200" and r.final and not r.execs and not r.alerts and job("state") == "active", r.octets
    w.wait("the account dies", lambda: job("client_hash") == "", 20)
    assert w.sql("dlusim", "dlusim", f"SELECT COUNT(*) FROM verification WHERE job = '{a.job}'"
                 f" OR (equipment = '{a.equipment}' AND LENGTH(trigger_der) > 0)") == [(0,)]
    assert c.send(octets, sent).octets == r.octets
    body = c.build(first(), session="106", msg=1)
    code, _, said = post(a.address, body, c.headers(body))
    assert code == 410 and b"the account of job " in said and b"is dead: the job is active" in said, said
    # --- a failed installation ends the job as well, with its code ---
    a, c = accounts[1], Client(accounts[1])
    c.say(first())
    package = job("package_id")
    r = c.say(status(1, 1, 0, "SyncHdr", 200) + result(2, package, "InstallInactive", 1450, a.job, data="<ResultCode>1450</ResultCode>"))
    assert r.code(2) == "200" and not r.execs and (job("state"), job("result")) == ("failed", 1450), r.octets
    w.wait("DLUSIM is told", lambda: "DM service dm.example ended job" in w.story("dlusim", "", "job", a.job), 20)
    assert w.story("dlusim", "", "job", a.job).endswith(": 1450")
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
