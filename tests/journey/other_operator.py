# SPDX-License-Identifier: Apache-2.0
"""R1 R3 R5 I1 P6: an owner chooses another operator, before and after the equipment is home: nothing is lost, nothing is there twice."""
import os, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, EQUIPMENT, second_home

with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    w.world(devices=2, more=second_home)
    w.usher("pool", "add", "hss", "262-43", "262430000000001", "10")
    with open(w.path("token2"), "w") as f:
        f.write(w.usher("people", "add", "dlusim.other.example", "waterworks"))
    for n in (1, 2):
        open(w.path(f"fleet/acme_00000{n}", "equipment.yaml"), "w").write(f"frequencies: [127.0.0.1:@../../vis1/run/ports#cell]\n")
    lines = open(w.path("fleet/labels.csv")).read().split()
    only = lambda n: open(w.path("one.csv"), "w").write("\n".join([lines[0], lines[n]]) + "\n")

    def other(n, serial, code=0):
        only(n)
        return w.usher("owner", "claim", "one.csv", "--dlusim", "dlusim.other.example=127.0.0.1:@dlusim2/run/ports#owner", "--roots", "pki/roots.pem",
                       "--token-file", "token2", "--serial", str(serial), code=code)

    def run(how, n):
        assert subprocess.run([EQUIPMENT, *how.split(), f"fleet/acme_00000{n}"], cwd=w.dir, env=w.env, stderr=subprocess.DEVNULL,
                              timeout=60).returncode == 0, (how, n)
    pimsi = lambda n: w.json("pimsi", "show", f"90170000000000{n}")["state"]
    imsi = lambda hss, n: w.sql(hss, "hss", f"SELECT i.imsi, i.state FROM booking b JOIN imsi i ON i.imsi = b.imsi WHERE b.equipment = 'acme:00000{n}'")
    assert w.claim().count("subscribed") == 2

    # before it is home: released at the first operator, then the owner chooses the second
    run("--until=verify", 1)
    [(old, state)] = imsi("hss", 1)
    assert state == "released"
    assert other(1, 2).count("subscribed") == 1
    run("--until=operate", 1)
    assert imsi("hss2", 1) == [("262430000000001", "active")] and imsi("hss", 1) == [(old, "released")] and pimsi(1) == "used"
    said = w.usher("audit", *w.dirs)
    assert f"acme:000001 IMSI {old} released" in said and "chosen another operator" in said and ", 0 broken" in said, said

    # after it is home: the first operator's USIM serves on, the PIMSI is not retired, and the IMSI of the second is ready for it
    run("--until=operate", 2)
    assert pimsi(2) == "used"
    assert other(2, 2).count("subscribed") == 1
    assert pimsi(2) == "routed"
    assert "acme:000002 is to go to operator 262-43 now: PIMSI 901700000000002 is not retired" in w.story("registration", "", "equipment", "acme:000002")
    assert [s for _, s in imsi("hss", 2)] == ["active"] and [s for _, s in imsi("hss2", 2)] == ["prepared"]
    open(w.path("clock"), "w").write(str(73 * 3600))
    w.wait("the first is in quarantine", lambda: pimsi(1) == "quarantine")
    assert pimsi(2) == "routed"

    # too late: no PIMSI that could bring it there; refused, and no IMSI is burnt
    left = w.sql("hss", "hss", "SELECT COUNT(*) FROM imsi WHERE state = 'allocated'")
    only(1)
    said = w.claim("one.csv", "--serial", "3", code=1)
    assert "acme:000001 cannot come to operator 262-42: its PIMSI is quarantine" in said, said
    assert w.sql("hss", "hss", "SELECT COUNT(*) FROM imsi WHERE state = 'allocated'") == left
    assert w.sql("reg", "registration", "SELECT operator, serial FROM route WHERE equipment = 'acme:000001'") == [("262-43", 2)]

    # the first operator gets its IMSI back: its package expires unused, and staff releases it
    open(w.path("clock"), "w").write(str(31 * 86400))
    w.wait("expired", lambda: imsi("hss", 1) == [(old, "prepared")])
    w.usher("imsi", "release", old, "--at", "262-42", "--yes")
    assert imsi("hss", 1) == [] and w.json("imsi", "show", old, "--at", "262-42")["state"] == "allocated"
    said = w.usher("audit", *w.dirs)
    assert "acme:000001 IMSI" not in said and ", 0 broken" in said, said
print("ok")
