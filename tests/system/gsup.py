# SPDX-License-Identifier: Apache-2.0
"""GSUP over IPA and mutual TLS as a peer speaks it that is not ours, with a role's own key: for tests that say what no role of ours would say."""
import socket, ssl, struct

SAI_REQ, SAI_ERR, CANCEL_REQ, IMSI, CAUSE, CANCEL_TYPE = 0x08, 0x09, 0x1c, 0x01, 0x02, 0x06
PING, PONG, ID_GET, ID_RESP, ID_ACK = b"\x00", b"\x01", b"\x04", b"\x05", b"\x06"


def bcd(digits):
    """TS 29.002's TBCD: two digits an octet, the first one low."""
    digits += "f" * (len(digits) % 2)
    return bytes(int(digits[i + 1] + digits[i], 16) for i in range(0, len(digits), 2))


def message(kind, imsi, *ies):
    out = bytes([kind])
    for tag, value in ((IMSI, bcd(imsi)), *ies):
        out += bytes([tag, len(value)]) + value
    return out


class Link:
    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(20)

    def frame(self):
        data = b""
        while len(data) < 3 or len(data) < 3 + struct.unpack(">H", data[:2])[0]:
            more = self.sock.recv(1 if len(data) < 3 else 3 + struct.unpack(">H", data[:2])[0] - len(data))
            assert more, "the other side hung up"
            data += more
        return data[2], data[3:]

    def ccm(self, payload):
        self.sock.sendall(struct.pack(">HB", len(payload), 0xfe) + payload)

    def send(self, gsup):
        self.sock.sendall(struct.pack(">HBB", len(gsup) + 1, 0xee, 5) + gsup)

    def hear(self):
        """The next GSUP message; greetings and pings are answered on the way."""
        while True:
            proto, payload = self.frame()
            if proto == 0xee:
                return payload[1:]
            answer = {PING: PONG, ID_GET: ID_RESP}.get(payload[:1])
            if answer:
                self.ccm(answer)
            elif payload[:1] == ID_ACK:
                self.ccm(ID_ACK)
                return b""


def context(w, dir, server):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    c.load_cert_chain(w.path(dir, "tls.pem"), w.path(dir, "tls.key"))
    return c


def client(w, dir, address):
    """A visited operator's link, with the key of its folder; greeted."""
    host, port = address.split(":")
    link = Link(context(w, dir, False).wrap_socket(socket.create_connection((host, int(port)), 20)))
    assert link.hear() == b""
    return link


def server(w, dir, listener):
    """A home side's link, with the key of its folder, to whom dials next; greeted."""
    link = Link(context(w, dir, True).wrap_socket(listener.accept()[0], server_side=True))
    link.ccm(ID_GET)
    while link.frame()[1][:1] != ID_RESP:  # perhaps a ping first
        pass
    link.ccm(ID_ACK)
    return link
