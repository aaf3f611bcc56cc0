# SPDX-License-Identifier: Apache-2.0
"""R4 R12 R16 I5 P1 P2 P3 P5: challenge, answer, OCSP with hard fail, evidence at the HSS, sealed package, signed trigger."""
import os, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.world(devices=3)
    assert w.claim().count("subscribed") == 3
    w.frequencies("vis1")
    w.usher("ca", "revoke", "equipment", "acme:000003", "--use", "sign", "--reason", "keyCompromise")
    # the attestation provider is silent: everybody waits, nobody is released
    pki = w.pids("pki")[0]
    os.kill(pki, signal.SIGSTOP)
    log = open(w.path("equipment.log"), "w")
    fleet = w.power_on("--fleet", "fleet", log=log)
    try:
        def told(eq, text):
            return any(text in e["text"] for e in w.journey(eq))
        for n in (1, 2, 3):
            w.wait("it waits for OCSP", lambda: told(f"acme:00000{n}", "its certificate is being asked about"), 40)
        assert w.sql("hss", "hss", "SELECT COUNT(*) FROM sealed") == [(0,)]
        assert w.sql("hss", "hss", "SELECT state, COUNT(*) FROM imsi WHERE state <> 'allocated' GROUP BY state") == [("prepared", 3)]
        # it is back: two are released, and the third hears that its certificate is revoked
        os.kill(pki, signal.SIGCONT)
        for n in (1, 2):
            w.wait("verified", lambda: told(f"acme:00000{n}", "has proved itself; its package waits at DM service dm.example"), 60)
        w.wait("refused", lambda: told("acme:000003", "(403): the certificate of equipment acme:000003 is revoked"), 60)
        # (two are released, or on trial by now)
        assert w.sql("hss", "hss", "SELECT state = 'prepared', COUNT(*) FROM imsi WHERE state <> 'allocated' GROUP BY 1 ORDER BY 1") == [(0, 2), (1, 1)]
        assert [r[0] for r in w.sql("hss", "hss", "SELECT equipment FROM sealed ORDER BY equipment")] == ["acme:000001", "acme:000002"]
        # the package that DLUSIM carries is the one that the HSS sealed, and opens for neither of them (P3, R11)
        carried = dict(w.sql("dlusim", "dlusim", "SELECT equipment, package FROM verification WHERE package_id <> ''"))
        for eq, der in w.sql("hss", "hss", "SELECT equipment, der FROM sealed"):
            assert carried[eq] == der and b"2624200000" not in der, eq
        story = w.story("dlusim", "", "equipment", "acme:000001")
        for text in ("challenged acme:000001", "it is the attestation provider's turn", "it is the HSS's turn", "it is the equipment's turn to fetch it"):
            assert text in story, (text, story)
    except BaseException:
        print(open(w.path("equipment.log")).read()[-3000:])
        raise
    finally:
        os.kill(pki, signal.SIGCONT)
        fleet.send_signal(signal.SIGTERM)
        assert fleet.wait(10) == 0
print("ok")
