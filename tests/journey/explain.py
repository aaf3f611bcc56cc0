# SPDX-License-Identifier: Apache-2.0
"""`usher explain` and `usher watch`: whose turn it is, for one that is home, one nobody subscribed, one revoked, one that waits for OCSP."""
import fcntl, os, pty, re, signal, struct, sys, termios
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, USHER

with World() as w:
    w.world(devices=4)
    lines = open(w.path("fleet/labels.csv")).read().split("\n")
    open(w.path("two.csv"), "w").write("\n".join((lines[0], lines[1], lines[3])) + "\n")
    open(w.path("fourth.csv"), "w").write("\n".join((lines[0], lines[4])) + "\n")
    assert w.claim("two.csv").count("subscribed") == 2
    w.usher(*w.fab, "factory", "enrol", "blank", "--maker", "acme", "--count", "1", "--first", "5")
    assert "now: it is the turn of the factory: `usher factory order`" in w.usher("explain", "acme:000005")
    w.usher("ca", "revoke", "equipment", "acme:000003", "--use", "sign", "--reason", "keyCompromise")
    w.frequencies("vis9", "vis1")
    os.mkdir(w.path("late"))
    os.rename(w.path("fleet/acme_000004"), w.path("late/acme_000004")) # switched on later
    os.link(w.path("fleet/equipment.yaml"), w.path("late/equipment.yaml"))
    log = open(w.path("equipment.log"), "w")
    power_on = lambda d: w.power_on("--fleet", d, log=log)
    fleets = [power_on("fleet")]
    pki = w.pids("pki")[0]

    def told(eq, text):
        return any(text in e["text"] for e in w.journey(f"acme:00000{eq}"))

    try:
        w.wait("the first is home", lambda: told(1, "is operative"), 40)
        w.wait("the second is told", lambda: told(2, "nobody has subscribed"), 20)
        w.wait("the third is refused twice", lambda: re.search(r" is refused: [^\n]*\(\d+ times since ", w.usher("explain", "acme:000003")), 30)
        home = w.json("explain", "acme:000001")
        assert home["now"]["turn"] == "nobody" and "operative; nothing is left" in home["now"]["next"] and not home["not_heard"], home["now"]
        at = [e["at_ms"] for e in home["entries"]]
        assert at == sorted(at) and {e["from"].split()[0] for e in home["entries"]} == {"attestation", "registration", "dlusim", "hss", "dm"}
        # the same story by every name that it has
        imsi = w.sql("hss", "hss", "SELECT imsi FROM booking WHERE equipment = 'acme:000001'")[0][0]
        certificate = w.sql("reg", "registration", "SELECT certificate FROM equipment WHERE equipment = 'acme:000001'")[0][0]
        for name in ("901700000000001", imsi, certificate):
            assert [e["text"] for e in w.json("explain", name)["entries"]] == [e["text"] for e in home["entries"]], name
        mine = w.usher("explain", "waterworks")
        assert "ordered a subscription for acme:000001" in mine and "ordered a subscription for acme:000003" in mine and "now:" not in mine, mine
        # nobody subscribed it: its owner's turn, and how
        text = w.usher("explain", "acme:000002")
        assert "now: it is the turn of its owner: `usher owner claim`" in text and "nobody has subscribed it" in text, text
        # refused again and again stands once, and stays refused while it tries anew
        text = w.usher("explain", "acme:000003")
        assert re.search(r"is refused: the certificate of equipment acme:000003 is revoked.*\(\d+ times since ", text), text
        assert text.count("is refused: ") == 2 and "the factory has to make the equipment anew" in text, text
        assert w.usher("explain", "acme:000003", "--all").count("is refused: ") > 2
        # one in the middle: who is waited for, that he cannot be reached, and that he was not heard
        assert w.claim("fourth.csv").count("subscribed") == 1
        os.kill(pki, signal.SIGSTOP)
        os.symlink("../late/acme_000004", w.path("fleet/acme_000004"))
        fleets.append(power_on("late"))
        w.wait("it waits for OCSP", lambda: "is being asked about" in str(w.journey("acme:000004")), 60)
        waits = w.json("explain", "acme:000004")
        assert waits["now"]["turn"] == "the attestation provider" and "answered our challenge" in waits["now"]["said"], waits["now"]
        silent = waits["not_heard"]
        assert [(s["role"], s["id"]) for s in silent] == [("attestation", "pki.example")] and "Timeout" in silent[0]["why"], silent
        w.wait("the DLUSIM service says whom it cannot reach", lambda: "Timeout was reached" in w.json("explain", "acme:000004")["now"]["cannot_reach"], 60)
        # a role that is down: status says so, and exits 1
        os.kill(w.pids("dm")[0], signal.SIGSTOP)
        down = w.usher("status", "dm", "dm.example", code=1)
        assert re.search(r"^dm +dm.example +DOWN at 127.0.0.1:", down, re.M), down
        os.kill(w.pids("dm")[0], signal.SIGCONT)
        os.kill(pki, signal.SIGCONT)
        # watch, in a pipe: a line per event, then when each step was first reached; not all are home, so 1
        w.wait("the fourth is home", lambda: told(4, "is operative"), 60)
        lines = w.usher("watch", "fleet", "--timeout", "1", code=1).split("\n")
        assert any(re.match(r" +\d+\.\d\ds  acme:000001 +install +is operative", l) for l in lines)
        rows = {r["equipment"]: r for r in __import__("json").loads(w.usher("--json", "watch", "fleet", "--quiet", "--timeout", "1", code=1))["equipments"]}
        ms = rows["acme:000001"]["reached_ms"]
        assert list(ms) == ["attach", "discover", "verify", "provision", "install"] and list(ms.values()) == sorted(ms.values()), ms
        assert rows["acme:000001"]["done"] and list(rows["acme:000003"]["reached_ms"]) == ["attach", "discover"] and not rows["acme:000003"]["done"]
        tries = w.journey("acme:000003")
        first = next(e["at_ms"] for e in tries if "has limited access" in e["text"]) - tries[0]["at_ms"]
        assert rows["acme:000003"]["reached_ms"]["attach"] == max(first, 1), (rows["acme:000003"], first)
        assert rows["acme:000001"]["sent"] > 5000 and rows["acme:000001"]["turns"] > 10
        # on a terminal: in place, a line per equipment, and no colour
        pid, fd = pty.fork()
        if not pid:
            os.chdir(w.dir)
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
            os.execve(USHER, [USHER, "watch", "fleet", "--timeout", "2"], dict(w.env, TERM="xterm"))
        screen = b""
        try:
            while True:
                screen += os.read(fd, 4096)
        except OSError:
            pass
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        assert b"\033[5A\r\033[J2 of 4 reached install" in screen and not re.search(rb"\033\[[0-9;]*m", screen), screen[:2000]
    except BaseException:
        print(open(w.path("equipment.log")).read()[-3000:])
        raise
    finally:
        os.kill(pki, signal.SIGCONT)
        for f in fleets:
            f.send_signal(signal.SIGTERM)
            assert f.wait(10) == 0
print("ok")
