# SPDX-License-Identifier: Apache-2.0
"""R15 R16: a home operator is founded, and makes its agreements, while everybody else serves: by `usher peer add` and a SIGHUP its first subscriber
comes home through a visited operator that goes on serving the others."""
import os, signal, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, USHER, second_home

with World() as w:
    w.world(devices=2)
    w.frequencies("vis1")
    fleet = lambda: w.power_on("--fleet", "fleet")
    home = lambda n: any("is operative: its receipt is acknowledged" in e["text"] for e in w.journey(f"acme:00000{n}"))
    log = lambda d: open(w.path(d, "run/log")).read() if os.path.exists(w.path(d, "run/log")) else ""
    with open(w.path("first.csv"), "w") as f, open(w.path("fleet/labels.csv")) as labels:
        f.write("".join(labels.readlines()[:2]))
    assert w.claim("first.csv").count("subscribed") == 1
    eq = fleet()
    late = subprocess.Popen(["true"])
    try:
        w.wait("the first is home", lambda: home(1), 40)
        pids = w.pids("vis1"), w.pids("reg"), w.pids("dm")
        new = second_home(w)
        late = subprocess.Popen([USHER, "run", *new], cwd=w.dir, env=w.env, stdout=subprocess.DEVNULL)
        w.wait("the new operator serves", lambda: all("start version" in log(d) for d in new))
        for (pid,), d in zip(pids, ("vis1", "reg", "dm")):
            os.kill(pid, signal.SIGHUP)
            w.wait("peers are read again", lambda: " reload peers=" in log(d))
        w.wait("the agreement is a link", lambda: "peer=hss/262-43 up" in log("vis1"))
        w.usher("pool", "add", "hss", "262-43", "262430000000001", "10")
        with open(w.path("token2"), "w") as f:
            f.write(w.usher("people", "add", "dlusim.other.example", "waterworks"))
        with open(w.path("second.csv"), "w") as f, open(w.path("fleet/labels.csv")) as labels:
            lines = labels.readlines()
            f.write(lines[0] + lines[2])
        assert w.usher("owner", "claim", "second.csv", "--dlusim", "dlusim.other.example=127.0.0.1:@dlusim2/run/ports#owner", "--roots", "pki/roots.pem",
                       "--token-file", "token2").count("subscribed") == 1
        w.wait("the second is home, with the new operator", lambda: home(2), 60)
        assert w.sql("hss2", "hss", "SELECT equipment, state, visited FROM imsi WHERE equipment <> ''") == [("acme:000002", "active", "001-01")]
        assert pids == (w.pids("vis1"), w.pids("reg"), w.pids("dm")), "somebody was restarted"
        assert log("vis1").count("peer=hss/262-42 up") == 1 and not any("was detached" in e["text"] for e in w.journey("acme:000001"))
    finally:
        for p in (eq, late):
            p.terminate()
            p.wait(20)
    assert ", 0 broken" in w.usher("audit", *w.dirs, *new)
print("ok")
