# SPDX-License-Identifier: Apache-2.0
"""I6 I7 R10 R13: OCSP that is silent during the DM session: message 3 carries Status 202 alone, and a later session (1201) brings the 1226
and gets Activate. A USIM that no home network takes: five trials, and 1409 over the PIMSI. DM silent at the end: the receipt does not wait."""
import os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=2)
    assert w.claim().count("subscribed") == 2
    told = lambda eq, text: any(text in e["text"] for e in w.journey(eq))
    count = lambda eq, text: sum(text in e["text"] for e in w.journey(eq))
    state = lambda eq: w.sql("dm", "dm", f"SELECT state, result, said FROM job WHERE equipment = '{eq}' ORDER BY expires_at DESC LIMIT 1")
    pid = lambda d: w.pids(d)[0]

    def run(eq, *cells):
        with open(w.path("fleet", eq.replace(":", "_"), "equipment.yaml"), "w") as f:
            f.write("ocsp_wait: 1s\nfrequencies: [" + ", ".join(f"127.0.0.1:@../../{d}/run/ports#cell" for d in cells) + "]\n")
        return w.power_on("fleet/" + eq.replace(":", "_"))

    # 1: the attestation provider stops when the package is sealed, and goes on when the session is over
    eq = "acme:000001"
    os.kill(pid("dm"), signal.SIGSTOP)
    p = run(eq, "vis1")
    try:
        w.wait("sealed", lambda: told(eq, "its package waits at DM service"), 40)
        os.kill(pid("pki"), signal.SIGSTOP)
        os.kill(pid("dm"), signal.SIGCONT)
        w.wait("the session goes on without OCSP", lambda: told(eq, "the session ends; its result is told when OCSP has spoken"), 40)
        assert state(eq) == [("delivered", 0, "install")], state(eq)
        assert not told(eq, "installed, inactive")
        os.kill(pid("pki"), signal.SIGCONT)
        w.wait("installed", lambda: told(eq, "is installed, inactive"), 60)
        w.wait("the later session brings it", lambda: told(eq, "is asked to activate package"), 40)
        story = w.story("dm", "", "equipment", eq)
        assert story.count("delivers package") == 1 and "says of the installation" in story and story.index("delivers") < story.index("says of"), story
        w.wait("operative", lambda: told(eq, "is operative: its receipt is acknowledged"), 40)
        w.wait("DM hears of the activation", lambda: state(eq)[0][:2] == ("active", 1200), 40)
        assert w.sql("hss", "hss", f"SELECT MAX(counter) FROM sealed WHERE equipment = '{eq}'") == [(1,)], "one package was enough"
    finally:
        p.terminate()
        p.wait(10)
    # 2: no network takes its IMSI: vis2 has no agreement with the registration operator, vis1 none with the home operator any more
    eq = "acme:000002"
    peers = w.path("vis1/peers")
    [hss] = [f for f in os.listdir(peers) if "262-42" in f]
    os.rename(os.path.join(peers, hss), w.path("hss.yaml"))
    os.kill(pid("vis1"), signal.SIGKILL)
    w.wait("vis1 is back", lambda: "gsup peer=registration/901-70 up" in open(w.path("vis1/run/log")).read().split("act=stop")[-1] and w.pids("vis1"), 20)
    p = run(eq, "vis1")
    try:
        w.wait("five trials", lambda: told(eq, "gives its USIM up after 5 trials"), 150)
        assert count(eq, "the trial of its USIM failed") == 5 and count(eq, "has limited access") >= 5, "its slots take turns"
        w.wait("DM hears of it over the PIMSI", lambda: w.sql("dm", "dm", f"SELECT state, result FROM job WHERE equipment = '{eq}' AND state = 'failed'") == [
            ("failed", 1409)], 60)
        w.wait("it asks for another", lambda: w.sql("hss", "hss", f"SELECT MAX(counter) FROM sealed WHERE equipment = '{eq}'") == [(2,)], 60)
        # 3: the home operator is back, and DM stops for good: nothing of the equipment's waits for it
        w.wait("the second is installed", lambda: count(eq, "is installed, inactive") == 2, 60)
        os.kill(pid("dm"), signal.SIGSTOP)
        os.rename(w.path("hss.yaml"), os.path.join(peers, hss))
        os.kill(pid("vis1"), signal.SIGKILL)
        w.wait("operative all the same", lambda: told(eq, "is operative: its receipt is acknowledged"), 150)
        # its power is cut; what it owes DM it still knows, and tells when DM is there again
        p.kill()
        p.wait()
        os.kill(pid("dm"), signal.SIGCONT)
        p = run(eq, "vis1")
        w.wait("told after the power cut", lambda: state(eq)[0][:2] == ("active", 1200), 60)
        assert told(eq, "is operative: attached as itself")
    except BaseException:
        print(state(eq), *(f"\n {e['step']:9} {e['text']}" for e in w.journey(eq)))
        raise
    finally:
        p.terminate()
        p.wait(10)
    assert ", 0 broken" in w.usher("audit", *w.dirs)
print("ok")
