# SPDX-License-Identifier: Apache-2.0
"""P6 P1: a PIMSI is used, retired after the grace, in quarantine, released by command, and brings another equipment home with another key."""
import base64, os, shutil, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

PIMSI = "901700000000001"


def lives(w, fleet, words, until, seconds=40):
    """Equipments of a folder live until they told `until`; then they are switched off."""
    at = lambda d: f"127.0.0.1:@../{d}/run/ports#cell"
    open(w.path(fleet, "equipment.yaml"), "w").write(f"frequencies: [{at('vis1')}]\n")
    log = open(w.path(fleet + ".log"), "w")
    p = w.power_on(*words.split(), fleet, log=log)

    def told():
        return any(until in open(os.path.join(d, "journey")).read() for d, _, files in os.walk(w.path(fleet)) if "journey" in files)
    try:
        w.wait(f"{fleet} tells: {until}", told, seconds)
    except BaseException:
        print(open(w.path(fleet + ".log")).read()[-3000:])
        raise
    finally:
        p.send_signal(signal.SIGTERM)
        p.wait(10)


with World() as w:
    w.env["USHER_CLOCK"] = w.path("clock")
    w.world(devices=1, pimsis=1)
    state = lambda: w.json("pimsi", "show", PIMSI)["state"]
    key = lambda: w.sql("reg", "registration", f"SELECT k FROM pimsi WHERE pimsi = '{PIMSI}'")
    claim = lambda file, code=0: w.claim(file, code=code)
    assert claim("fleet/labels.csv").count("subscribed") == 1
    for copy in ("old", "older"): # the same equipment, as it was before it had a USIM of its own
        shutil.copytree(w.path("fleet"), w.path(copy))
    lives(w, "fleet", "--fleet --until=operate", "is operative: its receipt is acknowledged")
    assert state() == "used"
    status = w.usher("status", "registration", "901-70")
    assert "pimsi: 1 used" in status and "0 left, for 0 days at the rate of the last 1 (1 went)" in status, status
    first = key()
    # within the grace it may come back; after it, never, by itself; and no network holds it
    lives(w, "old", "--fleet", "is to go to DLUSIM service")
    open(w.path("clock"), "w").write(str(71 * 3600))
    assert state() == "used"
    open(w.path("clock"), "w").write(str(73 * 3600))
    w.wait("quarantine", lambda: state() == "quarantine")
    story = w.story("registration", "", "pimsi", PIMSI)
    assert f"PIMSI {PIMSI} is retired: its grace is over\nPIMSI {PIMSI} is in quarantine: no network holds it any more" in story, story
    lives(w, "older", "--fleet", "GPRS services and non-GPRS services not allowed (cause 8)")
    # the same receipt again, from whoever lost the answer: the same answer, and nothing moves
    [(receipt,)] = w.sql("dlusim", "dlusim", "SELECT der FROM receipt")
    again = lambda: w.post("dlusim", "reg", "peers", "/v1/install", {"receipt": base64.b64encode(receipt).decode()})
    assert again() == (200, {"state": "used"}) and state() == "quarantine"
    # the pool is empty, and says what can be done
    w.usher("--as", "fab", "factory", "enrol", "second", "--maker", "acme", "--count", "1", "--first", "2")
    said = w.usher("--as", "fab", "factory", "order", "second", "--registration", "901-70", "--order", "second", code=1)
    assert "no PIMSI is free" in said and "usher pimsi release" in said, said
    # released by command only, and after a warning that names the equipment; who names another one is refused
    said = w.usher("pimsi", "release", PIMSI, code=1)
    assert "acme:000001 can never return with it" in said and "--yes" in said and state() == "quarantine", said
    said = w.usher("pimsi", "unblock", PIMSI, code=1)
    assert f"PIMSI {PIMSI} is quarantine" in said and "release (staff)" in said, said
    status, answer = w.post("alice", "reg", "peers", "/v1/pool/" + PIMSI, {"event": "release", "equipment": "acme:000777"})
    assert status == 409 and "is of acme:000001" in answer["why"] and state() == "quarantine", answer
    status, answer = w.post("alice", "reg", "peers", "/v1/pool/" + PIMSI, {"event": "issue"})
    assert status == 400 and "nothing that staff does" in answer["why"], answer
    assert w.post("dlusim", "reg", "peers", "/v1/pool/" + PIMSI, {"event": "release", "equipment": "acme:000001"})[0] == 403
    assert "free" in w.usher("pimsi", "release", PIMSI, "--yes")
    assert key() == [(b"",)], "the key of the old equipment is gone"
    # issued again: another equipment, another key
    w.usher("--as", "fab", "factory", "order", "second", "--registration", "901-70", "--order", "second")
    w.usher("--as", "fab", "factory", "bind", "second", "--registration", "901-70")
    assert w.sql("reg", "registration", "SELECT equipment, life FROM pimsi") == [("acme:000002", 2)] and key() != first
    assert claim("second/labels.csv").count("subscribed") == 1
    lives(w, "second", "--fleet --until=operate", "is operative: its receipt is acknowledged")
    assert w.sql("hss", "hss", "SELECT equipment, state FROM imsi WHERE state <> 'allocated' ORDER BY imsi") == [
        ("acme:000001", "active"), ("acme:000002", "active")]
    assert again() == (200, {"state": "used"}) and w.sql("reg", "registration", "SELECT equipment, life, state FROM pimsi") == [("acme:000002", 2, "used")]
    # the old equipment does not come in under it: the network does not know its key
    lives(w, "old", "--fleet", "does not prove that it knows our key")
    # nor may its owner send it anywhere with it
    lines = open(w.path("fleet/labels.csv")).read().split()
    open(w.path("again.csv"), "w").write("\n".join([lines[0], lines[1] + ",2"]) + "\n")
    claim("again.csv") # to the same operator, where its IMSI is: that it may
    assert w.sql("hss", "hss", "SELECT COUNT(*) FROM booking") == [(2,)]
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
