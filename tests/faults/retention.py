# SPDX-License-Identifier: Apache-2.0
"""R4 R10 R16: nothing is kept for ever (doc/retention.md), and what goes changes no answer: an answer that is over stays over, the last receipt
has its very acknowledgement a year later, a replaced claim and a refused order go, the present subscription stays."""
import http.client, os, ssl, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World
from syncml import TYPE, alert, message, post

DAY = 86400
with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    open(w.path("clock"), "w").write("0")
    w.world(devices=3)
    assert w.claim().count("subscribed") == 3
    for n in (1, 2, 3):
        open(w.path(f"fleet/acme_00000{n}/equipment.yaml"), "w").write("frequencies: [127.0.0.1:@../../vis1/run/ports#cell]\n")
    count = lambda role, what: w.sql(role, role, "SELECT COUNT(*) FROM " + what)[0][0]
    address = lambda name: dict(line.split() for line in open(w.path("dlusim/run/ports")))[name]

    def days(n):
        open(w.path("clock"), "w").write(str(n * DAY))

    def say(path, der):
        """To the DLUSIM service, as an equipment: status and answer."""
        host, port = address("equipment").rsplit(":", 1)
        c = http.client.HTTPSConnection(host, int(port), context=ssl._create_unverified_context(), timeout=20)
        c.request("POST", path, der, {"Content-Type": "application/cms"})
        r = c.getresponse()
        return r.status, r.read()

    # who is no owner of theirs orders them with the highest serials, and is refused: nothing is taken from anybody
    open(w.path("mallory"), "w").write(w.usher("people", "add", "dlusim.home.example", "mallory"))
    lines = open(w.path("fleet/labels.csv")).read().split()
    open(w.path("theirs.csv"), "w").write("\n".join([lines[0]] + [f"acme:00000{n},901-70,{lines[n % 3 + 1].split(',')[2]},{10 ** 18}" for n in (1, 2, 3)])
                                          + "\n")
    assert "3 refused" in w.usher("owner", "claim", "theirs.csv", "--dlusim", "dlusim.home.example=127.0.0.1:@dlusim/run/ports#owner", "--roots",
                                "pki/roots.pem", "--token-file", "mallory", code=1)
    # two come home; the third proves itself, and nothing more is heard of it
    w.equipment("--until=operate", "fleet/acme_000001")
    w.equipment("--until=operate", "fleet/acme_000002")
    w.equipment("--until=verify", "fleet/acme_000003")
    w.wait("DM is told", lambda: count("dm", "errand WHERE state = 'ended'") == 2)
    assert (count("dlusim", "challenge"), count("dlusim", "verification"), count("dlusim", "receipt")) == (3, 3, 2)
    [(answer,)] = w.sql("dlusim", "dlusim", "SELECT answer FROM verification WHERE equipment = 'acme:000001'")
    [(discover,)] = w.sql("dlusim", "dlusim", "SELECT evidence FROM challenge WHERE equipment = 'acme:000001'")
    [(receipt, ack)] = w.sql("dlusim", "dlusim", "SELECT der, ack FROM receipt WHERE equipment = 'acme:000001'")
    assert say("/v1/verify", answer)[0] == 410, "its job has ended"

    # somebody names a job that there is none of: an errand, until it is forgotten
    user = "dlusim.home.example/0000000000000000"
    dm = dict(line.split() for line in open(w.path("dm/run/ports")))["equipment"]
    strange = message("1", 1, "dm.home.example", "urn:usher:equipment:acme:000009", user, alert(1, 1201))
    assert post(dm, strange, {"Content-Type": TYPE})[0] == 403
    assert count("dm", "errand WHERE state = 'refused'") == 1
    open(w.path("clock"), "w").write("700")
    w.wait("it is forgotten", lambda: count("dm", "errand WHERE state = 'refused'") == 0)

    # the owner claims the second again: the first claim is history
    open(w.path("again.csv"), "w").write("\n".join([lines[0], lines[2] + ",2"]) + "\n")
    assert w.claim("again.csv").count("subscribed") == 1
    assert count("dlusim", "subscription") == 7

    days(8) # DM's ended jobs are past their last answer
    w.wait("DM's jobs are gone", lambda: count("dm", "job") == 0 and count("dm", "errand") == 0)
    assert count("dlusim", "verification") == 3

    days(31) # the packages have expired
    w.wait("what was proved is gone, but for what no receipt came of",
           lambda: w.sql("dlusim", "dlusim", "SELECT equipment, job, LENGTH(package) FROM verification") == [
        ("acme:000003", "", 0)])
    assert count("dlusim", "errand WHERE kind = 'verify'") == 1
    status, said = say("/v1/verify", answer)
    assert status == 410, said
    assert say("/v1/verify", discover)[0] == 410
    assert say("/v1/install", receipt) == (200, ack), "the same receipt, the same acknowledgement"
    assert count("dlusim", "receipt") == 2
    # the replaced claim goes with them if what was proved under it went before it, else when it is looked at again
    w.wait("refused orders are gone", lambda: count("dlusim", f"subscription WHERE serial = {10 ** 18}") == 0)

    days(62) # what was looked at a month ago
    w.wait("the replaced claim is gone", lambda: w.sql("dlusim", "dlusim", "SELECT equipment, serial FROM subscription ORDER BY equipment") == [
        ("acme:000001", 1), ("acme:000002", 2), ("acme:000003", 1)])
    assert count("dlusim", "errand WHERE kind = 'subscribe'") == 3
    # the third comes on again: it proves itself anew, which takes its old rows and old challenges away
    w.equipment("--until=operate", "fleet/acme_000003", timeout=100)
    assert count("dlusim", "challenge") == 2, "whoever adds one takes away two"
    assert say("/v1/install", receipt) == (200, ack)
    days(93)
    w.wait("its first answer is gone", lambda: count("dlusim", "verification") == 0 and count("dlusim", "errand WHERE kind = 'verify'") == 0)
    days(365)
    w.wait("every errand was looked at", lambda: count("dlusim", f"errand WHERE due < (strftime('%s') + {365 * DAY}) * 1000") == 0)
    assert (count("dlusim", "receipt"), count("dlusim", "subscription"), count("dlusim", "errand")) == (3, 3, 6)
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
