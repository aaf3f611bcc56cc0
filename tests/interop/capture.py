# SPDX-License-Identifier: Apache-2.0
"""tshark, which is nobody's of ours, decodes a journey: System Information, GMM and SM in GSMTAP, and OCSP, counted."""
import os, re, shutil, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, BUILD

if not shutil.which("tshark") or os.geteuid() != 0:
    print("tshark as root is needed to capture on loopback")
    sys.exit(77)

with World() as w:
    w.world(devices=1)
    assert w.claim().count("subscribed") == 1
    w.frequencies("vis1")
    port = lambda d, name: int(re.search(rf"^{name} .*:(\d+)$", open(w.path(d, "run/ports")).read(), re.M).group(1))
    cell, ocsp = port("vis1", "cell"), port("pki", "ocsp")
    pcap = w.path("journey.pcap")
    shark = subprocess.Popen(["tshark", "-q", "-i", "lo", "-w", pcap, "-f", f"udp port {cell} or tcp port {ocsp}"], stderr=subprocess.PIPE, text=True)
    w.wait("tshark captures", lambda: os.path.exists(pcap) and os.path.getsize(pcap) > 0, 20)
    time.sleep(1)
    w.equipment("operate-fleet", "fleet")
    time.sleep(1)
    shark.terminate()
    shark.wait(20)
    out = subprocess.run(["tshark", "-r", pcap, "-d", f"udp.port=={cell},gsmtap", "-d", f"tcp.port=={ocsp},http", "-T", "fields", "-e", "frame.protocols",
                          "-e", "_ws.col.Info", "-e", "_ws.malformed"], capture_output=True, text=True).stdout.split("\n")
    count = lambda text: sum(text in line for line in out)
    # two attaches: with the PIMSI, and as itself; each message once
    want = {"Attach Request": 2, "Authentication and Ciphering Req": 2, "Authentication and Ciphering Resp": 2, "Attach Accept": 2, "Attach Complete": 2,
            "Activate PDP Context Request": 2, "Activate PDP Context Accept": 2, "Detach Request": 2}
    got = {k: count(k) for k in want}
    assert got == want, (got, "\n".join(out))
    assert count("System Information Type 3") >= 2 and count("System Information Type 13") >= 2, "\n".join(out)
    # one request of the DLUSIM service and one of the equipment (which its gateway dials), each answered
    assert sum("ocsp" in line.split("\t")[0] for line in out) == 4, "\n".join(out)
    # a tune-in is a GSMTAP header without a frame, which tshark calls malformed; nothing else is
    assert not any("malformed" in line.lower() and not line.startswith("eth:ethertype:ip:udp:gsmtap:llcgprs\t") for line in out), "\n".join(out)
print("ok")
