# SPDX-License-Identifier: Apache-2.0
"""R4 R10: a job that nobody comes for ends with its package: its secrets die at the DLUSIM service and at DM; the equipment gets another."""
import os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World
from syncml import Account, Client, alert, devinfo, post

with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    open(w.path("clock"), "w").write("0")
    w.world(devices=2)
    with open(w.path("hss/usher.yaml"), "a") as f:
        f.write("package_life: 1h\n")
    os.kill(w.pids("hss")[0], signal.SIGKILL)
    w.wait("the HSS is back", lambda: w.more().count(" is up") == len(w.dirs) + 1)
    assert w.claim().count("subscribed") == 2
    w.frequencies("vis1")
    w.equipment("--fleet", "--until=verify", "fleet")
    # one has begun its session, the other never came to DM
    a = Account(w.sql("dlusim", "dlusim", "SELECT trigger_der FROM verification WHERE equipment = 'acme:000001'")[0][0])
    c = Client(a)
    first = alert(1, 1200) + devinfo(2, a.device)
    assert c.say(first).execs
    assert w.sql("dm", "dm", "SELECT state FROM job") == [("delivered",)]
    assert w.sql("dlusim", "dlusim", "SELECT COUNT(*) FROM verification WHERE LENGTH(trigger_der) > 0 AND job <> ''") == [(2,)]
    open(w.path("clock"), "w").write("90000")  # the next day, with a new budget of limited access
    w.wait("the secrets die", lambda: w.sql("dlusim", "dlusim", "SELECT COUNT(*) FROM verification WHERE LENGTH(trigger_der) > 0 OR job <> ''") == [(0,)]
           and w.sql("dm", "dm", "SELECT state, client_hash, server_hash, LENGTH(package) FROM job") == [("expired", "", "", 0)], 20)
    body = c.build(first, session="77", msg=1)
    code, _, said = post(a.address, body, c.headers(body))
    assert code == 410 and b"the job is expired" in said, said
    for n in (1, 2):
        assert "has expired" in w.story("dlusim", "", "equipment", f"acme:00000{n}")
    assert f"job {a.job} of acme:000001 has expired in state delivered" in w.story("dm", "", "equipment", "acme:000001")
    # they are not lost: each verifies again, and gets another package
    w.equipment("--fleet", "--until=operate", "fleet", timeout=100)
    assert w.sql("hss", "hss", "SELECT state, COUNT(*) FROM imsi WHERE state <> 'allocated' GROUP BY state") == [("active", 2)]
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
