# SPDX-License-Identifier: Apache-2.0
"""tshark, which is nobody's of ours, decodes a journey, counted: System Information, GMM and SM in GSMTAP, OCSP; with the test build's key log
SyncML on the equipment's own link (TLS inside CONNECT), and GSUP taken out of TLS."""
import os, re, shutil, signal, subprocess, sys
from collections import Counter
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, dies_with_us

if not shutil.which("tshark") or os.geteuid() != 0:
    print("tshark as root is needed to capture on loopback")
    sys.exit(77)


def tshark(*words):
    p = subprocess.run(["tshark", *words], capture_output=True, text=True)
    assert p.returncode == 0, (words, p.stderr)
    return p.stdout


def rows(pcap, fields, *words):
    """One row of texts per packet; values that stand several times are separated by |."""
    out = tshark("-r", pcap, *words, "-T", "fields", "-E", "aggregator=|", *(x for f in fields for x in ("-e", f)))
    return [line.split("\t") for line in out.split("\n") if line]


def radio(pcap, cell):
    out = rows(pcap, ["frame.protocols", "_ws.col.Info", "_ws.malformed"], "-d", f"udp.port=={cell},gsmtap", "-Y", f"udp.port=={cell}")
    count = lambda text: sum(text in row[1] for row in out)
    # two attaches: with the PIMSI, and as itself; each message once
    want = {"Attach Request": 2, "Authentication and Ciphering Req": 2, "Authentication and Ciphering Resp": 2, "Attach Accept": 2, "Attach Complete": 2,
            "Activate PDP Context Request": 2, "Activate PDP Context Accept": 2, "Detach Request": 2}
    got = {k: count(k) for k in want}
    assert got == want, (got, out)
    assert count("System Information Type 3") >= 2 and count("System Information Type 13") >= 2, out
    # a tune-in is a GSMTAP header without a frame, which tshark calls malformed; nothing else is
    bad = [row for row in out if len(row) > 2 and row[2] and row[0] != "eth:ethertype:ip:udp:gsmtap:llcgprs"]
    assert not bad, bad


def ocsp(pcap, port):
    out = rows(pcap, ["ocsp.responseStatus", "ocsp.certStatus", "ocsp.ReOcspNonce", "_ws.malformed"], "-d", f"tcp.port=={port},http",
               "-Y", f"ocsp && tcp.port=={port}")
    # one request of the DLUSIM service and one of the equipment (which its gateway dials), each answered: successful, with its nonce
    assert len(out) == 4 and [r[0] for r in out].count("0") == 2 and not any(r[3] for r in out), out
    nonces = Counter(r[2] for r in out)
    assert len(nonces) == 2 and set(nonces.values()) == {2}, nonces


def syncml(pcap, keys, user, dm):
    """Both OMA DM sessions on the equipment's own link (doc/wires.md 8): packages 1, 3, 5 up and 2, 4, 6 down with the PIMSI, 1 and 2 as itself."""
    out = rows(pcap, ["tcp.dstport", "xml.tag", "xml.cdata", "frame.protocols", "_ws.malformed"], "-o", f"tls.keylog_file:{keys}",
               "-d", f"tcp.port=={user},http", "-d", f"tcp.port=={dm},tls", "-d", f"tls.port=={dm},http",
               "-d", "media_type==application/vnd.syncml.dm+xml,xml", "-Y", f"tcp.port=={user} && xml.tag contains SyncHdr")
    up, down = ([r for r in out if (r[0] == str(user)) == u] for u in (True, False))
    assert len(up) == 4 and len(down) == 4, out
    assert all(r[3].endswith("tcp:http:tls:http:xml") and not r[4] and r[1].split("|").count("<SyncHdr>") == 1 and r[1].endswith("<Final/>") for r in out), out
    # VerDTD, VerProto, SessionID, MsgID, Target, Source: numbered in each direction of a session
    head = [r[2].split("|")[:6] for r in out]
    assert [h[3] for h in head] == ["1", "1", "2", "2", "3", "3", "1", "1"] and all(h[:2] == ["1.2", "DM/1.2"] for h in head), head
    assert {h[2] for h in head[:6]} == {head[0][2]} and {h[2] for h in head[6:]} == {head[6][2]} and head[0][2] != head[6][2], head
    for n, h in enumerate(head):
        assert ("dm.example", "urn:usher:equipment:acme:000001") == (tuple(h[4:6]) if n % 2 == 0 else tuple(h[5:3:-1])), h
    tags, data = [r[1].split("|") for r in out], [r[2].split("|") for r in out]
    assert "<Replace>" in tags[0] and "1200" in data[0] and "./DevInfo/DevId" in data[0]
    assert tags[1].count("<Add>") == 5 and tags[1].count("<Exec>") == 1 and any(d.endswith("/Operations/InstallInactive") for d in data[1])
    assert "1226" in data[2] and "urn:oma:at:scomo:1.0:OperationComplete" in data[2] and "202" in data[2]
    assert tags[3].count("<Exec>") == 1 and any(d.endswith("/Operations/Activate") for d in data[3])
    assert "202" in data[4] and "<Exec>" not in tags[5] and "<Status>" in tags[5]
    assert "1201" in data[6] and "1226" in data[6] and any("1200</ResultCode>" in d or "ResultCode&gt;1200" in d for d in data[6])
    assert any(d.endswith("/Operations/Activate") for d in data[6]) and "<Exec>" not in tags[7] and "<Status>" in tags[7]


FIELDS = {"type": "gsup.msg_type", "imsi": "e212.imsi", "rand": "gsup.rand", "autn": "gsup.autn", "res": "gsup.res", "sres": "gsup.sres", "kc": "gsup.kc",
          "ck": "gsup.ck", "ik": "gsup.ik", "apn": "gsup.apn", "cn": "gsup.cn_domain", "to": "tcp.dstport", "octets": "tcp.payload", "bad": "_ws.malformed"}
UP, DOWN = "4222", "40000"


def gsup_decoded(w, name, lines):
    """IPA frames (towards the home side or not, hex) as tshark decodes them on Osmocom's port."""
    text, plain = w.path(name + ".txt"), w.path(name + ".pcap")
    with open(text, "w") as f:
        for up, octets in lines:
            f.write(("I" if up else "O") + "\n000000 " + " ".join(re.findall("..", octets)) + "\n")
    subprocess.run(["text2pcap", "-q", "-D", "-4", "127.0.0.1,127.0.0.2", "-T", f"{DOWN},{UP}", text, plain], check=True, capture_output=True)
    return [dict(zip(FIELDS, r)) for r in rows(plain, FIELDS.values(), "-Y", "gsup")]


def gsup(w, pcap, keys, port, name):
    """One GSUP link out of TLS; tshark's dissector does not look inside it."""
    stream = tshark("-r", pcap, "-Y", f"tcp.flags.syn==1 && tcp.flags.ack==0 && tcp.dstport=={port}", "-T", "fields", "-e", "tcp.stream").split()
    assert len(stream) == 1, stream  # only the network that was restarted during the capture
    text = tshark("-r", pcap, "-o", f"tls.keylog_file:{keys}", "-d", f"tcp.port=={port},tls", "-q", "-z", f"follow,tls,raw,{stream[0]}")
    server_first = re.search(r"Node 0: \S*:(\d+)", text).group(1) == str(port)
    lines = [line for line in text.split("\n") if re.fullmatch(r"\t?([0-9a-f]{2})+", line)]
    return gsup_decoded(w, name, [(line.startswith("\t") == server_first, line.strip()) for line in lines])


def gsup_judge(w, link, imsi, apn):
    """SendAuthInfo, UpdateLocation, InsertSubscriberData, Purge: each asked once, by whom it should, and answered once."""
    want = {("8", UP): 1, ("10", DOWN): 1, ("4", UP): 1, ("16", DOWN): 1, ("18", UP): 1, ("6", DOWN): 1, ("12", UP): 1, ("14", DOWN): 1}
    assert Counter((m["type"], m["to"]) for m in link) == want, link
    assert all(m["imsi"] == imsi and (m["type"] == "16" or not m["bad"] and m["cn"] == "1") for m in link), link
    # tshark 4.0 wants a value of element 04, PDP information complete, which is empty by definition: without it, it reads to the end
    [isd] = [m["octets"] for m in link if m["type"] == "16"]
    whole = re.fullmatch(r"00(..)(ee0510.*)0400(05.*)", isd)
    [isd] = gsup_decoded(w, "isd", [(False, f"00{int(whole[1], 16) - 2:02x}" + whole[2] + whole[3])])
    assert (isd["imsi"], isd["apn"], isd["cn"], isd["bad"]) == (imsi, apn, "1", ""), isd
    [v] = [m for m in link if m["type"] == "10"]
    assert [len(v[k]) for k in ("rand", "autn", "res", "sres", "kc", "ck", "ik")] == [32, 32, 16, 8, 16, 32, 32], v
    # with the SRES of TS 33.102 6.8.1.2 (c2) an SGSN would take less than AKA: it is four random octets
    assert v["sres"] != f"{int(v['res'][:8], 16) ^ int(v['res'][8:], 16):08x}" and v["sres"] != v["res"][:8], v
    return v


with World() as w:
    keys, pcap = w.path("keys.log"), w.path("journey.pcap")
    w.env["SSLKEYLOGFILE"] = keys
    w.world(devices=1)
    assert w.claim().count("subscribed") == 1
    w.frequencies("vis1")
    port = {name: w.port(*name.split(".")) for name in ("vis1.cell", "vis1.user", "pki.ocsp", "dm.equipment", "reg.gsup", "hss.gsup")}
    shark = subprocess.Popen(["tshark", "-q", "-i", "lo", "-w", pcap, "-f", " or ".join(f"port {p}" for p in port.values())],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=dies_with_us)
    try:
        w.wait("tshark captures", lambda: os.path.exists(pcap) and os.path.getsize(pcap) > 0, 20)
        # the network's GSUP links begin anew, so that their handshakes are in the capture
        log = w.path("vis1/run/log")
        ups = open(log).read().count(" up\n")
        os.kill(w.pids("vis1")[0], signal.SIGKILL)
        w.wait("both links are up again", lambda: open(log).read().count(" up\n") == ups + 2)
        w.equipment("--fleet", "--until=operate", "fleet")
        purged = lambda d, role, kind: "detached from network 001-01" in "".join(t for (t,) in w.sql(d, role, "SELECT text FROM audit"))
        w.wait("the last message: it is switched off", lambda: purged("hss", "hss", "imsi"))

        def captured():
            try:
                return any(m["type"] == "14" for m in gsup(w, pcap, keys, port["hss.gsup"], "hss"))
            except AssertionError:  # the file is being written
                return False
        w.wait("it is in the capture", captured, 30)
    finally:
        shark.terminate()
        shark.wait(20)
    radio(pcap, port["vis1.cell"])
    ocsp(pcap, port["pki.ocsp"])
    syncml(pcap, keys, port["vis1.user"], port["dm.equipment"])
    a = gsup_judge(w, gsup(w, pcap, keys, port["reg.gsup"], "reg"), "901700000000001", "prov.usher")
    b = gsup_judge(w, gsup(w, pcap, keys, port["hss.gsup"], "hss"), "262420000000001", "m2m.home")
    assert not {a[k] for k in ("rand", "autn", "res", "sres")} & {b[k] for k in ("rand", "autn", "res", "sres")}
print("ok")
