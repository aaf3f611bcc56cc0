# SPDX-License-Identifier: Apache-2.0
"""I2 I3 R6 R15: Debian's osmo-sgsn in front of usher-visited: our equipment attaches through it, its NAS judged by Osmocom's code; wrong K; AUTS."""
import os, signal, sqlite3, sys
from collections import Counter
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, BUILD
import gb

root = gb.unpacked(BUILD)
if not root:
    print("osmo-sgsn of Debian 12 cannot be downloaded (apt-get download)")
    sys.exit(77)
ATTACH_REQUEST, ATTACH_ACCEPT, ATTACH_COMPLETE, AUTH_REQUEST, AUTH_RESPONSE, AUTH_REJECT, AUTH_FAILURE, IDENTITY_REQUEST, IDENTITY_RESPONSE = (
    bytes([8, n]) for n in (1, 2, 3, 0x12, 0x13, 0x14, 0x1c, 0x15, 0x16))
DETACH, ACTIVATE, MAC_FAILURE, SYNCH_FAILURE = b"\x08\x05", b"\x0a\x41", b"\x08\x1c\x14", b"\x08\x1c\x15\x30\x0e"


def change(w, sql):
    db = sqlite3.connect(w.path("reg/registration.db"), timeout=20)
    db.execute(sql)
    db.commit()
    db.close()


def run_until(w, what, check, seconds=30):
    log = open(w.path("equipment.log"), "a")
    p = w.power_on("--fleet", "fleet", log=log)
    try:
        w.wait(what, check, seconds)
    finally:
        p.send_signal(signal.SIGTERM)
        p.wait(10)


with World() as w:
    w.world(devices=0)
    conf = open(w.path("vis1/usher.yaml")).read()
    with open(w.path("vis1/usher.yaml"), "w") as f:
        f.write(conf.replace("listen:\n", 'listen:\n  sgsn: "127.0.0.1:0"\n', 1))
    w.start(*w.dirs)
    w.manufacture(2)
    assert w.claim().count("subscribed") == 2
    sgsn = gb.Sgsn(root, w.dir, w.port("vis1", "sgsn"))
    cell = gb.Cell(sgsn)
    told = lambda eq, text: any(text in e["text"] for e in w.journey(eq))
    try:
        w.wait("its GSUP client is greeted", lambda: "peer=sgsn/SGSN-visited-001 up" in open(w.path("vis1/run/log")).read(), 20)
        cell.open()
        # sequence numbers start far ahead, so that they can go back later
        change(w, "UPDATE pimsi SET auc_offset = auc_offset + 200000 WHERE state = 'routed'")
        # both equipments attach through it, with UMTS AKA against the registration operator; there is no GGSN, so they detach again
        w.frequencies(cell.port)
        story = lambda n: w.story("registration", "", "pimsi", f"90170000000000{n}")
        run_until(w, "attached and gone through osmo-sgsn", lambda: all(
            f"90170000000000{n} attached in network 001-01" in story(n) and "detached from network 001-01" in story(n) for n in (1, 2)))
        assert told("acme:000001", "attached in 001-01") and told("acme:000002", "attached in 001-01"), w.journey("acme:000001")
        for direction, head in (("up", ATTACH_REQUEST), ("down", IDENTITY_REQUEST), ("up", IDENTITY_RESPONSE), ("down", AUTH_REQUEST), ("up", AUTH_RESPONSE),
                                ("down", ATTACH_ACCEPT), ("up", ATTACH_COMPLETE), ("up", ACTIVATE), ("up", DETACH)):
            assert cell.count(direction, head) >= 2, (direction, head.hex(), [(d, n.hex()) for d, _, n in cell.seen])
        assert all(b"\x28\x10" in nas for d, _, nas in cell.seen if nas[:2] == AUTH_REQUEST), "an Authentication Request without AUTN"
        assert cell.count("up", AUTH_FAILURE) == 0
        # an equipment that comes again counts its frames from 0 again (TS 44.064 8.4.1): to osmo-sgsn it is a new logical link
        cell.first.clear()
        run_until(w, "attached twice in one life", lambda: max(Counter(e for e, _ in cell.first).values(), default=0) >= 2)
        assert all(nu == 0 for _, nu in cell.first), cell.first
        # answers lost on the air until osmo-sgsn repeats its challenges (T3360): the same RES, under the reference of the repetition
        cell.seen.clear()
        cell.hold = lambda direction, nas: direction == "up" and nas[:2] == AUTH_RESPONSE and cell.count("down", AUTH_REQUEST) < 4
        rand = lambda nas: nas[nas.index(b"\x21") + 1:][:16]
        asked = lambda: Counter(rand(nas) for d, _, nas in list(cell.seen) if nas[:2] == AUTH_REQUEST)
        run_until(w, "two attaches after a repeated challenge", lambda: (
            sum(n >= 2 for n in asked().values()) >= 2 and cell.count("up", ATTACH_COMPLETE) >= 2))
        cell.hold = lambda direction, nas: False
        assert cell.count("up", AUTH_FAILURE) == 0, asked()
        # a stale sequence number: AUTS goes through osmo-sgsn to the AuC, and the attach succeeds
        change(w, "UPDATE pimsi SET auc_offset = auc_offset - 100000 WHERE pimsi = '901700000000001'")
        w.restart_registration()
        cell.seen.clear()
        resynchronised = "resynchronised the sequence number of 901700000000001, asked by network 001-01"
        run_until(w, "AUTS through osmo-sgsn", lambda: resynchronised in story(1) and cell.count("down", ATTACH_ACCEPT) >= 2)
        assert cell.count("up", SYNCH_FAILURE) >= 1
        assert told("acme:000001", "our sequence number is ahead of 001-01: resynchronising")
        # another PIMSI's key: MAC failure, and osmo-sgsn rejects it
        change(w, "UPDATE pimsi SET k = (SELECT k FROM pimsi WHERE pimsi = '901700000000002') WHERE pimsi = '901700000000001'")
        w.restart_registration()
        cell.seen.clear()
        run_until(w, "MAC failure through osmo-sgsn", lambda: told("acme:000001", "network 001-01 does not prove that it knows our key")
                  and cell.count("up", MAC_FAILURE) >= 1 and cell.count("down", AUTH_REJECT) >= 1)
        assert told("acme:000001", "does not accept our answer"), w.journey("acme:000001")
        # both accesses at once: without a context over Gb (there is no GGSN) the other one goes on in the embedded cell of the same operator
        cell.seen.clear()
        w.frequencies(cell.port, "vis1")
        run_until(w, "on the way by the embedded access", lambda: told("acme:000002", "is to go to DLUSIM service dlusim.home.example"), 40)
        assert cell.count("down", ATTACH_ACCEPT) >= 1
        assert "id=901700000000002 act=\"PDP active\"" in open(w.path("vis1/run/log")).read()
    except BaseException:
        print(open(w.path("equipment.log")).read()[-3000:])
        print("".join(open(sgsn.log).readlines()[-30:]))
        print([(d, n.hex()) for d, _, n in cell.seen][-30:])
        raise
    finally:
        cell.close()
        sgsn.stop()
print("ok")
