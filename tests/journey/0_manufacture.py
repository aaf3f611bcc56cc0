# SPDX-License-Identifier: Apache-2.0
"""R8 R9 R14 P1: keys made in the equipment, certificates, PIMSI and K sealed to it, binding."""
import os, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, EQUIPMENT

with World() as w:
    w.world(devices=3)
    rows = w.sql("reg", "registration", "SELECT pimsi, equipment, state FROM pimsi WHERE state <> 'free' ORDER BY pimsi")
    assert rows == [(f"90170000000000{i}", f"acme:00000{i}", "bound") for i in (1, 2, 3)], rows
    # the same order again: the same PIMSIs, also after an interruption before they were loaded
    order = (*w.fab, "factory", "order", "fleet", "--registration", "901-70", "--order", "first")
    w.usher(*order)
    first = open(w.path("fleet/orders/first.0")).read()
    assert first == "acme_000001\nacme_000002\nacme_000003\nloaded\n", first
    open(w.path("fleet/orders/first.0"), "w").write(first.replace("loaded\n", ""))
    os.unlink(w.path("fleet/acme_000003/pimsi"))
    w.usher(*order)
    assert open(w.path("fleet/acme_000003/pimsi")).read() == rows[2][0] + " 901-70\n" and open(w.path("fleet/orders/first.0")).read() == first
    assert w.sql("reg", "registration", "SELECT COUNT(*) FROM pimsi WHERE state <> 'free'") == [(3,)]
    # further equipments under the same name: a PIMSI each for them, nothing new for the others; one that is half enrolled is named
    enrol = (*w.fab, "factory", "enrol", "fleet", "--maker", "acme", "--count", "1", "--first", "9")
    w.usher(*enrol)
    label = open(w.path("fleet/acme_000009/label")).read()
    os.unlink(w.path("fleet/acme_000009/label"))  # lost on its way: it is told again while there is no order
    w.usher(*enrol)
    assert len(label) == 26 and open(w.path("fleet/acme_000009/label")).read() == label
    os.mkdir(w.path("fleet/acme_000010"))
    err = w.usher(*order, code=1)
    assert "fleet/acme_000010 is not enrolled to its end" in err and "4 PIMSIs of 901-70 loaded" in err, err
    err = w.usher(*w.fab, "factory", "bind", "fleet", "--registration", "901-70", code=1)
    assert "fleet/acme_000010 has no PIMSI of 901-70 or no label" in err and "4 equipments bound" in err, err
    os.rmdir(w.path("fleet/acme_000010"))
    assert w.sql("reg", "registration", "SELECT pimsi, equipment FROM pimsi WHERE state <> 'free' ORDER BY pimsi") == \
        [r[:2] for r in rows] + [("901700000000004", "acme:000009")]
    # another set under the same id: refused
    import shutil
    shutil.rmtree(w.path("fleet/orders"))
    err = w.usher(*w.fab, "factory", "order", "fleet", "--registration", "901-70", "--order", "first", code=1)
    assert "order first.0 was given before with other equipments" in err, err
    # another maker's equipment is refused by the CA, by name
    err = w.usher(*w.fab, "factory", "enrol", "other", "--maker", "rival", "--count", "1", code=1)
    assert "may not have a certificate for equipment rival:000001" in err, err
    # two certificates of the devices CA per equipment, without end
    certs = w.json("ca", "list", "equipment", "acme:000001")["certificates"]
    assert sorted(c["use"] for c in certs) == ["deliver", "sign"] and {c["issuer"] for c in certs} == {"devices"}
    # the claim key is not told any more when there is an order
    p = subprocess.run([EQUIPMENT, "label", w.path("fleet/acme_000001")], capture_output=True, text=True)
    assert p.returncode == 1 and "has an order: its claim key is not told any more" in p.stderr, p
    # an order for another equipment does not load
    p = subprocess.run([EQUIPMENT, "load-order", w.path("fleet/acme_000009"),
                        w.path("fleet/acme_000001/order.der")], capture_output=True, text=True)
    assert p.returncode == 1 and "the order is for acme:000001, this is acme:000009" in p.stderr, p
    assert "issued PIMSI 901700000000001 to acme:000001" in w.story("registration", "901-70", "equipment", "acme:000001")
print("ok")
