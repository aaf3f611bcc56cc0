# SPDX-License-Identifier: Apache-2.0
"""R15 I2: the network detaches an equipment while its request is under way: the answer that comes afterwards begins no second life, and
once it is taken again it goes on with the first."""
import os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=1)
    assert w.claim().count("subscribed") == 1
    w.frequencies("vis1")
    eq, pimsi = "acme:000001", "901700000000001"
    texts = lambda: [e["text"] for e in w.journey(eq)]
    at = lambda text: [n for n, t in enumerate(texts()) if text in t]
    p = None
    dlusim = w.pids("dlusim")[0]
    os.kill(dlusim, signal.SIGSTOP)  # the challenge is asked for, and does not come
    try:
        p = w.power_on("--fleet", "--until=operate", "fleet")
        way = f"target=127.0.0.1:{w.port('dlusim', 'equipment')} act=open"
        w.wait("it asks for a challenge", lambda: at("is to go to DLUSIM service") and way in open(w.path("reg/run/log")).read(), 30)
        w.usher("pimsi", "block", pimsi)
        w.wait("it is detached", lambda: at("was detached"), 20)
        os.kill(dlusim, signal.SIGCONT)
        w.wait("nobody takes it", lambda: at("refuses to attach us"), 40)
        assert not at("answers the challenge"), texts()
        w.usher("pimsi", "unblock", pimsi)
        w.wait("operative", lambda: at("is operative: its receipt is acknowledged"), 90)
        assert p.wait(20) == 0
        said = texts()
        assert len(at("has limited access")) == 2 and len(at("answers the challenge")) == 1 and len(at("still sealed")) == 1, said
        assert at("answers the challenge")[0] > at("has limited access")[1], said
        assert w.sql("hss", "hss", "SELECT MAX(counter) FROM sealed") == [(1,)]
    except BaseException:
        print("\n".join(texts()))
        raise
    finally:
        os.kill(dlusim, signal.SIGCONT)
        if p and p.poll() is None:
            p.terminate()
            p.wait(10)
print("ok")
