# SPDX-License-Identifier: Apache-2.0
"""The parties around usher-visited, made of octets: a home side and an SGSN that speak IPA/GSUP, an equipment that speaks LLC in GSMTAP. Nothing
here checks what it sends: tests let them lie. Not a test itself."""
import os, socket, ssl, struct, time

SAI, UL, PURGE, ISD, DSD, CANCEL = 0x08, 0x04, 0x0c, 0x10, 0x14, 0x1c
ERR, RES = 1, 2
CN = b"\x28\x01\x01"


def bcd(imsi):
    d = imsi + "f" * (len(imsi) % 2)
    return bytes.fromhex("".join(d[i + 1] + d[i] for i in range(0, len(d), 2)))


def message(kind, imsi, more=b""):
    return bytes([kind, 1, len(bcd(imsi))]) + bcd(imsi) + more


def cause(n):
    return bytes([2, 1, n])


def apn(text):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in text.split("."))
    return b"\x04\x00\x05" + bytes([9 + len(labels)]) + b"\x10\x01\x01\x11\x02\xf1\x21\x12" + bytes([len(labels)]) + labels


class Vector:
    """RAND, AUTN and so on that no algorithm made: whoever knows res passes."""

    def __init__(self):
        self.rand, self.autn, self.res = os.urandom(16), os.urandom(16), os.urandom(8)

    def ie(self):
        parts = ((0x20, self.rand), (0x21, os.urandom(4)), (0x22, os.urandom(8)), (0x23, os.urandom(16)), (0x24, os.urandom(16)), (0x25, self.autn),
                 (0x27, self.res))
        body = b"".join(bytes([t, len(v)]) + v for t, v in parts)
        return bytes([3, len(body)]) + body


class Ipa:
    def __init__(self, sock):
        self.sock, self.buf = sock, b""

    def send(self, proto, payload):
        self.sock.sendall(struct.pack(">HB", len(payload), proto) + payload)

    def frame(self, seconds=3):
        """The next frame's octets, or None: nothing came, or the link is gone."""
        end = time.time() + seconds
        while len(self.buf) < 3 or len(self.buf) < 3 + struct.unpack(">H", self.buf[:2])[0]:
            self.sock.settimeout(max(0.01, end - time.time()))
            try:
                got = self.sock.recv(4096)
            except (TimeoutError, ssl.SSLWantReadError, OSError):
                return None
            if not got:
                return None
            self.buf += got
        n = 3 + struct.unpack(">H", self.buf[:2])[0]
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def gsup(self, seconds=3):
        """The next GSUP message, pings answered and acknowledgements passed over; None: nothing came."""
        end = time.time() + seconds
        while time.time() < end:
            f = self.frame(end - time.time())
            if f is None:
                return None
            if f[2] == 0xfe and f[3] == 0:
                self.send(0xfe, b"\x01")
            elif f[2] == 0xee:
                return f[4:]
        return None

    def ended(self, seconds=3):
        """The other side closed the link."""
        self.sock.settimeout(seconds)
        try:
            while self.sock.recv(4096):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True

    def say(self, payload):
        self.send(0xee, b"\x05" + payload)

    def close(self):
        self.sock.close()


class Home:
    """A home side's GSUP listener with the certificate of folder dir; accept() waits for usher-visited to dial."""

    def __init__(self, dir):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.load_cert_chain(os.path.join(dir, "tls.pem"), os.path.join(dir, "tls.key"))
        self.context.load_verify_locations(os.path.join(dir, "roots.pem"))
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(20)
        self.port = self.listener.getsockname()[1]

    def accept(self):
        link = Ipa(self.context.wrap_socket(self.listener.accept()[0], server_side=True))
        link.send(0xfe, bytes.fromhex("0401080107010201030104010501010100"))
        while True:
            f = link.frame(10)
            assert f, "usher-visited does not greet"
            if f[2:4] == b"\xfe\x00":
                link.send(0xfe, b"\x01")
            elif f[2:4] == b"\xfe\x05":
                link.send(0xfe, b"\x06")
            elif f[2:4] == b"\xfe\x06":
                return link


class SgsnEnd(Ipa):
    """An SGSN's GSUP client; the octets of its greeting are osmo-sgsn's. heard: what the server greeted with."""

    def __init__(self, port, name="SGSN-visited-001"):
        super().__init__(socket.create_connection(("127.0.0.1", port)))
        self.send(0xfe, b"\x00")
        self.heard = [self.frame(), self.frame()]
        tlvs = [(8, b"0/0/0"), (7, b"00:00:00:00:00:00"), (1, b"SGSN-00-00-00-00-00-00"), (0, name.encode())]
        self.send(0xfe, b"\x05" + b"".join(struct.pack(">HB", len(v) + 2, t) + v + b"\0" for t, v in tlvs))
        self.send(0xfe, b"\x06")
        self.heard.append(self.frame())


def fcs(octets):
    crc = 0xffffff
    for b in octets:
        crc ^= b
        for _ in range(8):
            crc = crc >> 1 ^ (0xad85dd if crc & 1 else 0)
    return struct.pack("<I", ~crc & 0xffffff)[:3]


class Phone:
    """An equipment's radio and NAS without a USIM."""

    def __init__(self, port, imsi, address="127.0.0.1"):
        self.sock, self.imsi, self.nu = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), imsi, 0
        self.sock.bind((address, 0))
        self.sock.connect(("127.0.0.1", port))

    def raw(self, octets):
        self.sock.send(octets)

    def llc(self, nas):
        head = bytes([1, 0xc0 | self.nu >> 6, (self.nu << 2 | 1) & 255]) + nas
        self.nu = (self.nu + 1) % 512
        return head + fcs(head)

    def send(self, nas):
        self.raw(bytes.fromhex("02040800400000000000000000000000") + self.llc(nas))

    def hear(self, seconds=2, want=None):
        """The next NAS message (of type want, hex) of the network, System Information passed over; None: nothing came."""
        end = time.time() + seconds
        while time.time() < end:
            self.sock.settimeout(max(0.01, end - time.time()))
            try:
                d = self.sock.recv(2048)
            except (TimeoutError, ConnectionRefusedError):
                return None
            nas = d[19:-3]
            if d[2] == 8 and (not want or nas.hex().startswith(want) or (want[0] == "x" and nas.hex()[1:].startswith(want[1:]))):
                assert fcs(d[16:-3]) == d[-3:]
                return nas
        return None

    def tuned(self, seconds=1):
        """Whether System Information comes."""
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(2048)[2] == 1
        except (TimeoutError, ConnectionRefusedError):
            return False

    def attach_request(self):
        identity = bytes.fromhex(self.imsi[0] + "9" + "".join(self.imsi[i + 1] + self.imsi[i] for i in range(1, 15, 2)))
        self.send(bytes.fromhex("08010261007" + "1" + "0a0008") + identity + bytes.fromhex("fffffffffeff" + "02" + "1918"))

    def answer(self, challenge, res):
        ref = challenge[3] >> 4
        self.send(bytes([0x08, 0x13, ref, 0x22]) + res[:4] + b"\x29\x04" + res[4:])

    def activate(self, name, ti=0):
        labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
        self.send(bytes([ti << 4 | 0x0a, 0x41, 5, 3]) + bytes.fromhex("0b23621f7296404074030000" + "020121") + b"\x28" + bytes([len(labels)]) + labels)

    def token(self, name, ti=0):
        """Activates a context; its token, or the cause of the reject."""
        self.activate(name, ti)
        nas = self.hear(2, "xa4")
        assert nas, "no answer to Activate PDP Context Request"
        at = nas.find(b"\xff\x00\x29")
        return nas[at + 12:at + 44] if nas[1] == 0x42 else nas[2]
