# SPDX-License-Identifier: Apache-2.0
"""R1 R2 R3 R5 R17 I1: the owner's rows, the route at the registration operator, IMSI and key at the HSS; safe to resend."""
import os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=3)
    # a wrong label (another equipment's claim key): refused by name, and no IMSI is burnt
    lines = open(w.path("fleet/labels.csv")).read().split()
    key2 = lines[2].split(",")[2]
    open(w.path("wrong.csv"), "w").write("\n".join([lines[0], "acme:000001,901-70," + key2, "acme:000777,901-70," + key2]) + "\n")
    out = w.usher("--json", "owner", "claim", "wrong.csv", "--dlusim", "dlusim.home.example=127.0.0.1:@dlusim/run/ports#owner", "--roots",
                  "pki/roots.pem", "--token-file", "token", code=1)
    assert w.sql("hss", "hss", "SELECT COUNT(*) FROM booking") == [(0,)]
    story = w.story("dlusim", "", "equipment", "acme:000001")
    assert "the claim proof for acme:000001 is wrong" in story, story
    assert "no equipment acme:000777 is bound here" in w.story("dlusim", "", "equipment", "acme:000777")
    # another owner's orders without the claim key, one with a high serial, one with the serial that comes next: they take nothing away
    open(w.path("mallory"), "w").write(w.usher("people", "add", "dlusim.home.example", "mallory"))
    open(w.path("theirs.csv"), "w").write("\n".join([lines[0], f"acme:000003,901-70,{key2},{10 ** 18}", "acme:000001,901-70," + key2 + ",2"]) + "\n")
    assert "2 refused" in w.usher("owner", "claim", "theirs.csv", "--dlusim", "dlusim.home.example=127.0.0.1:@dlusim/run/ports#owner", "--roots",
                                "pki/roots.pem", "--token-file", "mallory", code=1)
    # octets that no id has: a row is refused, and told all the same
    import http.client, json, ssl
    host, port = dict(line.split() for line in open(w.path("dlusim/run/ports")))["owner"].rsplit(":", 1)
    c = http.client.HTTPSConnection(host, int(port), context=ssl._create_unverified_context(), timeout=20)
    c.request("POST", "/v1/subscribe", b"equipment,registration,serial,proof\nacme:\xff\x1b[1m,901-70,1," + b"0" * 64 + b"\n",
              {"Content-Type": "text/csv", "Authorization": "Bearer " + open(w.path("token")).read().strip()})
    r = c.getresponse()
    told = json.loads(r.read())["rows"]
    assert [x["state"] for x in told] == ["refused"] and "is not <maker>:<serial>" in told[0]["why"], told
    # the HSS is away: the rows wait, and complete by themselves
    hss = w.pids("hss")[0]
    os.kill(hss, signal.SIGSTOP)
    good = w.path("good.csv")
    open(good, "w").write("\n".join([lines[0]] + [l + ",2" for l in lines[1:]]) + "\n")
    waiting = w.owner("good.csv")
    asking = lambda: w.sql("dlusim", "dlusim", "SELECT COUNT(*) FROM errand WHERE kind = 'subscribe' AND state = 'asking'") == [(3,)]
    w.wait("the HSS is asked about all three", asking)
    assert waiting.poll() is None
    os.kill(hss, signal.SIGCONT)
    out = waiting.communicate(timeout=60)[0]
    assert waiting.returncode == 0 and out.count("subscribed") >= 3, out
    # safe to resend: same answer, nothing twice
    assert w.claim("good.csv").count("subscribed") == 3
    assert w.sql("hss", "hss", "SELECT imsi, equipment FROM booking ORDER BY imsi") == [(f"26242000000000{i}", f"acme:00000{i}") for i in (1, 2, 3)]
    assert w.sql("reg", "registration", "SELECT state, COUNT(*) FROM pimsi WHERE state <> 'free' GROUP BY state") == [("routed", 3)]
    # a lower serial is refused, in its row
    out = w.claim("fleet/labels.csv", code=1)
    assert "was ordered with serial 2; use a higher one" in out, out
    # kill -9 of each role while rows wait for the HSS: what was taken completes after the restart, and nobody has to ask again
    open(good, "w").write("\n".join([lines[0]] + [l + ",3" for l in lines[1:]]) + "\n")
    os.kill(hss, signal.SIGSTOP)
    gone = w.owner("good.csv")
    w.wait("the HSS is asked again", asking)
    gone.kill()
    gone.wait()
    for d in ("reg", "dlusim", "hss"):
        os.kill(w.pids(d)[0], signal.SIGKILL)
    w.wait("all are back", lambda: w.more().count(" is up") == 11)
    w.wait("all are subscribed", lambda: w.sql("hss", "hss", "SELECT serial, COUNT(*) FROM booking GROUP BY serial") == [(3, 3)], 40)
    assert w.claim("good.csv").count("subscribed") == 3
    assert w.sql("hss", "hss", "SELECT COUNT(*) FROM booking") == [(3,)], "an equipment has one IMSI"
    # no K of anybody is in a database in clear, and no claim key
    key = lines[1].split(",")[2]
    import base64
    raw = base64.b32decode(key + "======")
    for d, role in (("reg", "registration"), ("hss", "hss"), ("dlusim", "dlusim")):
        for f in os.listdir(w.path(d)):
            if f.startswith(role + ".db"):
                data = open(w.path(d, f), "rb").read()
                assert raw not in data and key.encode() not in data and raw.hex().encode() not in data, (d, f)
    # the wrong token
    open(w.path("token"), "w").write("wrong")
    assert "the token is not known" in w.claim("good.csv", code=1)
print("ok")
