# SPDX-License-Identifier: Apache-2.0
"""Debian's osmo-sgsn, unpacked and never installed, and a cell in front of it: LLC frames of usher-equipment (GSMTAP) to and
from Gb (NS over UDP and BSSGP: TS 48.016, 48.018). Not a test itself."""
import glob, os, random, select, socket, struct, subprocess, threading, time
from usher import dies_with_us

# osmo-sgsn and those of its libraries that Debian does not have on every machine
PACKAGES = """osmo-sgsn libgtp6 libosmo-gsup-client0 libosmo-ranap5 libosmo-sigtran7 libosmocore19 libosmoctrl0 libosmogb14 libosmogsm18 libosmovty9
 libosmoabis10 libosmonetif8 osmo-libasn1c1 libtalloc2 libsctp1 libmnl0 libc-ares2""".split()


def unpacked(build):
    """The folder that osmo-sgsn is unpacked in, or None."""
    cache = os.path.join(build, "osmocom")
    root = os.path.join(cache, "root")
    os.makedirs(cache, exist_ok=True)
    if not os.path.exists(os.path.join(root, "whole")):
        got = subprocess.run(["apt-get", "download", *PACKAGES], cwd=cache, capture_output=True, text=True)
        debs = glob.glob(os.path.join(cache, "*.deb"))
        if got.returncode or len(debs) < len(PACKAGES):
            return None
        for deb in debs:
            subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
        open(os.path.join(root, "whole"), "w").close()
    return root


class Sgsn:
    """osmo-sgsn on a loopback address of its own; its GSUP client dials the given port of 127.0.0.1."""

    def __init__(self, root, dir, gsup_port, name="SGSN-visited-001"):
        self.ip = f"127.{random.randrange(64, 127)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        self.log = os.path.join(dir, name + ".log")
        config = os.path.join(dir, name + ".cfg")
        with open(config, "w") as f:
            f.write(f"""log stderr
 logging level set-all notice
 logging level mm info
line vty
 no login
 bind {self.ip}
ctrl
 bind {self.ip}
sgsn
 gtp local-ip {self.ip}
 gtp state-dir {dir}
 authentication required
 auth-policy remote
 encryption gea 0
 gsup ipa-name {name}
 gsup remote-ip 127.0.0.1
 gsup remote-port {gsup_port}
ns
 bind udp local
  listen {self.ip} 23000
  accept-ipaccess
bssgp
""")
        env = dict(os.environ, LD_LIBRARY_PATH=glob.glob(os.path.join(root, "usr/lib/*-linux-gnu"))[0])
        self.process = subprocess.Popen([os.path.join(root, "usr/bin/osmo-sgsn"), "-c", config], cwd=dir, env=env, stdout=subprocess.DEVNULL,
                                        stderr=open(self.log, "w"), stdin=subprocess.DEVNULL, preexec_fn=dies_with_us)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def plmn_octets(plmn):
    mcc, mnc = plmn.split("-")
    mnc += "f" * (3 - len(mnc))
    return bytes.fromhex(mcc[1] + mcc[0] + mnc[2] + mcc[2] + mnc[1] + mnc[0])


def system_information(plmn, lac, rac, cell, nmo):
    """SI 3 and SI 13 of TS 44.018 9.1.35 and 9.1.43a; the bits of the rest octets by 10.5.2.34 and 10.5.2.37b, over padding 2B."""
    si3 = bytes([0x49, 0x06, 0x1b]) + struct.pack(">H", cell) + plmn_octets(plmn) + struct.pack(">H", lac) + bytes.fromhex("490000 05 0000 400000")
    si3 += bytes([0b00101100, 0x2b, 0x2b, 0x2b])  # L L L L L, H: GPRS indicator, RA colour 0, SI 13 on BCCH Norm
    bits = "1" + "000" + "0000" + "0" + "0" + f"{rac:08b}" + "0" + "110" + "00" + f"{nmo - 1:02b}" + "000" + "010" + "000" + "001" + "0000" + "1" + "1111" + "0"
    pad = f"{0x2b:08b}" * 20
    bits += pad[len(bits):]
    si13 = bytes([0x01, 0x06, 0x00]) + bytes(int(bits[i:i + 8], 2) for i in range(0, 160, 8))
    return si3, si13


def tlv(tag, value):
    return bytes([tag]) + (bytes([0x80 | len(value)]) if len(value) < 128 else struct.pack(">H", len(value))) + value


class Cell(threading.Thread):
    """A cell: GSMTAP on self.port towards equipments, Gb towards an SGSN. One TLLI per equipment, random until a P-TMSI is given."""

    def __init__(self, sgsn, plmn="001-01", lac=1, rac=1, cell=1, nsei=101):
        super().__init__(daemon=True)
        self.sgsn, self.nsei, self.ci = (sgsn.ip, 23000), nsei, plmn_octets(plmn) + struct.pack(">HBH", lac, rac, cell)
        self.si = system_information(plmn, lac, rac, cell, 2)
        self.gb, self.um = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.gb.bind(("127.0.0.1", 0))
        self.um.bind(("127.0.0.1", 0))
        self.port = self.um.getsockname()[1]
        self.tlli, self.at = {}, {}       # equipment -> TLLI, TLLI -> equipment
        self.seen = []                    # (up or down, equipment, GMM or SM octets)
        self.tuned, self.first = set(), []  # who tuned in and has not sent a frame yet; (equipment, N(U) of its first frame after that)
        self.ready, self.ending = threading.Event(), False
        self.hold = lambda direction, nas: False  # True: this message is lost on the air

    def open(self, seconds=20):
        """Until the SGSN has taken NS-VC and BVCs."""
        self.start()
        end = time.time() + seconds
        while not self.ready.is_set():
            assert time.time() < end, "osmo-sgsn does not take the cell"
            self.ns(b"\x02" + tlv(0x00, b"\x01") + tlv(0x01, struct.pack(">H", self.nsei)) + tlv(0x04, struct.pack(">H", self.nsei)))
            self.ready.wait(0.3)

    def close(self):
        self.ending = True
        self.join(5)

    def ns(self, pdu):
        self.gb.sendto(pdu, self.sgsn)

    def bssgp(self, bvci, pdu):
        self.ns(b"\x00\x00" + struct.pack(">H", bvci) + pdu)

    def run(self):
        while not self.ending:
            for s in select.select([self.gb, self.um], [], [], 0.2)[0]:
                data, peer = s.recvfrom(4096)
                self.from_sgsn(data) if s is self.gb else self.from_equipment(data, peer)

    def from_sgsn(self, d):
        if d[0] == 0x03:                  # NS-RESET-ACK
            self.ns(b"\x06")
        elif d[0] == 0x0a:                # NS-ALIVE
            self.ns(b"\x0b")
        elif d[0] == 0x07:                # NS-UNBLOCK-ACK
            self.bssgp(0, b"\x22" + tlv(0x04, b"\x00\x00") + tlv(0x07, b"\x08"))
        elif d[0] == 0x00 and d[4] == 0x23 and d[5:9] == b"\x04\x82\x00\x00":
            self.bssgp(0, b"\x22" + tlv(0x04, b"\x00\x02") + tlv(0x07, b"\x08") + tlv(0x08, self.ci))
        elif d[0] == 0x00 and d[4] == 0x23:  # BVC-RESET-ACK of the cell's own
            self.bssgp(2, b"\x26" + tlv(0x1e, b"\x01") + tlv(0x05, b"\xff\xff") + tlv(0x03, b"\xff\xff") + tlv(0x01, b"\xff\xff") + tlv(0x1c, b"\xff\xff"))
        elif d[0] == 0x00 and d[4] == 0x27:  # FLOW-CONTROL-BVC-ACK
            self.ready.set()
        elif d[0] == 0x00 and d[4] == 0x00:  # DL-UNITDATA
            self.down(struct.unpack(">I", d[5:9])[0], d[12:])

    def down(self, tlli, rest):
        while rest:
            tag, n, at = rest[0], rest[1] & 0x7f, 2
            if not rest[1] & 0x80:
                n, at = struct.unpack(">H", rest[1:3])[0], 3
            value, rest = rest[at:at + n], rest[at + n:]
            if tag == 0x0e and tlli in self.at:
                self.frame(self.at[tlli], value)

    def frame(self, equipment, llc):
        nas = llc[3:-3]
        if llc[0] & 15 == 1:
            self.seen.append(("down", equipment, nas))
            at = nas.find(b"\x18\x05\xf4")
            if nas[:2] == b"\x08\x02" and at > 0:  # Attach Accept: from now on the TLLI is the P-TMSI's (TS 23.003 2.6)
                self.tlli[equipment] = struct.unpack(">I", nas[at + 3:at + 7])[0] | 0xc0000000
                self.at[self.tlli[equipment]] = equipment
            if self.hold("down", nas):
                return
        self.um.sendto(bytes.fromhex("02040800000000000000000000000000") + llc, equipment)

    def from_equipment(self, d, equipment):
        if d[:3] != b"\x02\x04\x08":
            return
        if len(d) == 16:                  # tunes in
            self.tuned.add(equipment)
            for si in self.si:
                self.um.sendto(bytes.fromhex("02040100000000000000000001000000") + si, equipment)
            return
        llc = d[16:]
        nas = llc[3:-3]
        if equipment in self.tuned:
            self.tuned.discard(equipment)
            self.first.append((equipment, (llc[1] & 7) << 6 | llc[2] >> 2))
        if nas[:2] == b"\x08\x01" and llc[1:3] == b"\xc0\x01":  # Attach Request with N(U) 0: a random TLLI
            self.tlli[equipment] = random.randrange(0x78000000, 0x80000000)
            self.at[self.tlli[equipment]] = equipment
        self.seen.append(("up", equipment, nas))
        if equipment in self.tlli and not self.hold("up", nas):
            self.bssgp(2, b"\x01" + struct.pack(">I", self.tlli[equipment]) + b"\x00\x00\x04" + tlv(0x08, self.ci) + tlv(0x00, b"\x00\x00") + tlv(0x0e, llc))

    def count(self, direction, head):
        return sum(d == direction and nas.startswith(head) for d, _, nas in list(self.seen))
