# SPDX-License-Identifier: Apache-2.0
"""I7 R16: a registration operator that refuses a receipt, because it does not know the DLUSIM service for a while, is told again when the
equipment repeats it: the refusal of a minute does not leave an equipment without its acknowledgement for ever."""
import os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=1)
    assert w.claim().count("subscribed") == 1
    w.frequencies("vis1")
    w.equipment("--fleet", "--until=install", "fleet")
    peer = w.path("reg/peers/dlusim_dlusim.home.example.yaml")

    def reload():
        log, before = w.path("reg/run/log"), open(w.path("reg/run/log")).read().count(" reload peers=")
        os.kill(w.pids("reg")[0], signal.SIGHUP)
        w.wait("peers are read again", lambda: open(log).read().count(" reload peers=") > before)

    os.rename(peer, peer + ".away")
    reload()
    eq = w.power_on("--fleet", "--until=operate", "fleet")
    told = lambda text: any(text in e["text"] for e in w.journey("acme:000001"))
    try:
        w.wait("it is refused", lambda: told("registration 901-70 refuses: "), 40)
        os.rename(peer + ".away", peer)
        reload()
        w.wait("acknowledged after all", lambda: told("is operative: its receipt is acknowledged"), 60)
        assert eq.wait(20) == 0
    finally:
        if eq.poll() is None:
            eq.kill()
            eq.wait()
    assert w.sql("reg", "registration", "SELECT state FROM pimsi WHERE equipment <> ''") == [("used",)]
    assert w.sql("hss", "hss", "SELECT state FROM imsi WHERE state <> 'allocated'") == [("active",)]
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
