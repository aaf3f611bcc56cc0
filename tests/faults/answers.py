# SPDX-License-Identifier: Apache-2.0
"""R4 R16: what one equipment may make others work, and keep. A challenge takes one answer; the HSS seals a few packages a day, and keeps
those that may still come home. A second answer is refused, the same one never; no package's counter is given twice."""
import http.client, os, signal, sqlite3, ssl, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, BUILD

DAY, EQ = 86400, "acme:000001"
with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    open(w.path("clock"), "w").write("0")
    w.world(devices=1)
    with open(w.path("hss/usher.yaml"), "a") as f:
        f.write("packages_a_day: 2\n")
    ups = w.more().count(" is up")
    os.kill(w.pids("hss")[0], signal.SIGKILL)
    w.wait("the HSS is back", lambda: w.more().count(" is up") > ups)
    assert w.claim().count("subscribed") == 1
    w.frequencies("vis1")
    counters = lambda: [n for (n,) in w.sql("hss", "hss", "SELECT counter FROM sealed ORDER BY counter")]

    def say(path, der):
        """To the DLUSIM service, as an equipment: status and answer."""
        c = http.client.HTTPSConnection("127.0.0.1", w.port("dlusim", "equipment"), context=ssl._create_unverified_context(), timeout=20)
        c.request("POST", path, der, {"Content-Type": "application/cms"})
        r = c.getresponse()
        return r.status, r.read()

    def proves(until="verify"):
        w.equipment("--fleet", f"--until={until}", "fleet")

    def other(was, id):
        """The answer that was given stands in the DLUSIM service's books under another hash."""
        with sqlite3.connect(w.path("dlusim/dlusim.db"), timeout=20) as db:
            for table in ("verification", "errand"):
                db.execute(f"UPDATE {table} SET id = ? WHERE id = ?", (id, was))

    # the same answer again: the same trigger; beside one that was given before it, it is a second one
    proves()
    assert counters() == [1]
    [(id, answer, trigger)] = w.sql("dlusim", "dlusim", "SELECT id, answer, trigger_der FROM verification")
    assert say("/v1/verify", answer) == (200, trigger)
    other(id, "0" * 64)
    status, said = say("/v1/verify", answer)
    assert status == 409 and b"acme:000001 has answered this challenge otherwise before; begin with a new discover answer" in said, (status, said)
    other("0" * 64, id)
    assert say("/v1/verify", answer) == (200, trigger)

    # it proves itself anew, as after a power cut: a new challenge. Two packages a day, and no third
    proves()
    assert counters() == [1, 2]
    p = subprocess.Popen([os.path.join(BUILD, "roles/equipment/usher-equipment"), "--fleet", "--until=verify", "fleet"],
                         cwd=w.dir, env=w.env, stderr=subprocess.DEVNULL)
    try:
        w.wait("it is too early for a third", lambda: any("refuses: acme:000001 has had 2 packages within a day: it is too early for another" in e["text"]
                                                         for e in w.journey(EQ)), 60)
    finally:
        p.terminate()
        p.wait(20)
    assert counters() == [1, 2] and "it is too early for another" in w.story("dlusim", "", "equipment", EQ)
    open(w.path("clock"), "w").write(str(DAY + 60))
    proves()
    assert counters() == [1, 2, 3]

    # a month later all three are over; the last of them is remembered, and with the receipt of a later one goes
    open(w.path("clock"), "w").write(str(33 * DAY))
    proves()
    assert counters() == [3, 4]
    proves("operate")
    assert counters() == [5]
    assert w.sql("hss", "hss", "SELECT state FROM imsi WHERE equipment = 'acme:000001'") == [("active",)]
    w.wait("no letter waits", lambda: not any(w.sql(r, r, "SELECT id FROM outbox") for r in ("dlusim", "dm")))
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
