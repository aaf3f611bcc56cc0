# SPDX-License-Identifier: Apache-2.0
"""OMA DM in Python, for both ends of tests: written from the specification, sharing nothing with proto/. Not a test itself."""
import base64, hashlib, re, socket, ssl, subprocess
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

TYPE = "application/vnd.syncml.dm+xml"
b64 = lambda octets: base64.b64encode(octets).decode()
md5 = lambda octets: hashlib.md5(octets).digest()


def mac(user, secret, nonce, body):
    """DM Security 5.3: B64(H(B64(H(user:password)) ":" nonce ":" B64(H(body))))."""
    return b64(md5(b64(md5(user.encode() + b":" + secret)).encode() + b":" + nonce + b":" + b64(md5(body)).encode()))


def der(octets):
    """The elements of a DER SEQUENCE, as (tag, content)."""
    def head(at):
        n, at = octets[at + 1], at + 2
        if n & 0x80:
            n, at = int.from_bytes(octets[at:at + (n & 0x7f)], "big"), at + (n & 0x7f)
        return n, at
    n, at = head(0)
    end, out = at + n, []
    while at < end:
        tag = octets[at]
        n, at = head(at)
        out.append((tag, octets[at:at + n]))
        at += n
    return out


class Account:
    """The DM account in a trigger, as openssl takes it out of the CMS."""
    def __init__(self, trigger_der):
        p = subprocess.run(["openssl", "cms", "-verify", "-noverify", "-inform", "DER"], input=trigger_der, capture_output=True)
        f = [content for tag, content in der(p.stdout)]
        self.equipment, self.job, self.dm, self.address, self.user = (f[i].decode() for i in (2, 4, 5, 6, 7))
        self.client_secret, self.client_nonce, self.server_secret, self.server_nonce, self.notice = f[8:13]
        self.session = "%X" % int.from_bytes(self.notice[21:23], "big")
        self.device = "urn:usher:equipment:" + self.equipment


def message(session, msg, target, source, user, body, final=True, max_msg="65536", version="1.2"):
    name = f"<LocName>{escape(user)}</LocName>" if user else ""
    return (f"<?xml version='1.0'?><SyncML xmlns='SYNCML:SYNCML1.2'><SyncHdr><VerDTD>{version}</VerDTD><VerProto>DM/{version}</VerProto>"
            f"<SessionID>{session}</SessionID><MsgID>{msg}</MsgID><Target><LocURI>{target}</LocURI></Target><Source><LocURI>{source}</LocURI>{name}</Source>"
            f"<Meta><MaxMsgSize xmlns='syncml:metinf'>{max_msg}</MaxMsgSize></Meta></SyncHdr><SyncBody>{body}{'<Final/>' if final else ''}</SyncBody></SyncML>"
            ).encode()


def alert(id, code, items="", correlator=""):
    return f"<Alert><CmdID>{id}</CmdID><Data>{code}</Data>{'<Correlator>' + correlator + '</Correlator>' if correlator else ''}{items}</Alert>"


def result(id, package, operation, code, correlator, type="urn:oma:at:scomo:1.0:OperationComplete", format="xml", data=None):
    root = "Deployed" if operation == "Activate" else "Delivered"
    data = f"<ResultCode>{code}</ResultCode><Identifier>{package}</Identifier>" if data is None else data
    meta = f"<Meta>{'<Type xmlns=' + chr(39) + 'syncml:metinf' + chr(39) + '>' + type + '</Type>' if type else ''}" \
           f"{'<Format xmlns=' + chr(39) + 'syncml:metinf' + chr(39) + '>' + format + '</Format>' if format else ''}</Meta>"
    return alert(id, 1226, f"<Item><Source><LocURI>./SCM/Inventory/{root}/{package}/Operations/{operation}</LocURI></Source>"
                           f"<Target><LocURI>./SCM/Inventory/Deployed/{package}</LocURI></Target>{meta}<Data>{escape(data)}</Data></Item>", correlator)


def devinfo(id, device, node="./DevInfo/DevId"):
    return f"<Replace><CmdID>{id}</CmdID><Item><Source><LocURI>{node}</LocURI></Source><Data>{device}</Data></Item></Replace>"


def status(id, msg_ref, cmd_ref, cmd, code, next_nonce=None):
    chal = f"<Chal><Meta><Type xmlns='syncml:metinf'>syncml:auth-MAC</Type><Format xmlns='syncml:metinf'>b64</Format><NextNonce xmlns='syncml:metinf'>" \
           f"{b64(next_nonce)}</NextNonce></Meta></Chal>" if next_nonce else ""
    return f"<Status><CmdID>{id}</CmdID><MsgRef>{msg_ref}</MsgRef><CmdRef>{cmd_ref}</CmdRef><Cmd>{cmd}</Cmd>{chal}<Data>{code}</Data></Status>"


class Read:
    """A message, as ElementTree reads it."""
    def __init__(self, octets):
        self.octets = octets
        self.root = ET.fromstring(octets)
        for e in self.root.iter():
            e.tag = e.tag.split("}")[-1]
        self.body = self.root.find("SyncBody")
        self.session, self.msg = self.root.findtext("SyncHdr/SessionID"), self.root.findtext("SyncHdr/MsgID")
        self.final = self.body.find("Final") is not None
        self.statuses = [(s.findtext("Cmd"), s.findtext("CmdRef"), s.findtext("Data")) for s in self.body.findall("Status")]
        self.header = next((d for c, r, d in self.statuses if c == "SyncHdr"), None)
        nonce = next((s.findtext("Chal/Meta/NextNonce") for s in self.body.findall("Status") if s.findtext("Cmd") == "SyncHdr"), None)
        self.nonce = base64.b64decode(nonce) if nonce else None
        self.alerts = [a.findtext("Data") for a in self.body.findall("Alert")]
        self.execs = [e.findtext("Item/Target/LocURI") for e in self.body.iter("Exec")]
        self.targets = [e.findtext("Item/Target/LocURI") for e in self.body.iter("Add")]

    def code(self, cmd_ref):
        return next((d for c, r, d in self.statuses if r == str(cmd_ref) and c != "SyncHdr"), None)


def post(address, body, headers):
    """POST over TLS; (status, headers, body); status 0: no answer."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    host, port = address.rsplit(":", 1)
    with c.wrap_socket(socket.create_connection((host, int(port)), timeout=20)) as s:
        lines = ["POST /v1/provision HTTP/1.1", f"Host: {address}", "Connection: close", f"Content-Length: {len(body)}",
                 *(f"{k}: {v}" for k, v in headers.items())]
        try:
            s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        except OSError:
            pass
        said = b""
        while True:
            try:
                more = s.recv(65536)
            except OSError:
                more = b""
            said += more
            head, _, rest = said.partition(b"\r\n\r\n")
            n = re.search(rb"(?i)content-length: *(\d+)", head)
            if not more or (n and len(rest) >= int(n.group(1))):
                break
    if not head:
        return 0, {}, b""  # closed before an answer
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}, rest


class Client:
    """A DM client that keeps its nonces, and says what it is told to."""
    def __init__(self, account):
        self.a, self.nonce, self.server, self.msg, self.session = account, account.client_nonce, account.server_nonce, 0, account.session

    def headers(self, body, nonce=None, type=TYPE):
        by = mac(self.a.user, self.a.client_secret, nonce or self.nonce, body)
        return {"Content-Type": type, "x-syncml-hmac": f'algorithm=MD5, username="{self.a.user}", mac={by}'}

    def build(self, body, **how):
        self.msg = how.pop("msg", self.msg + 1)
        return message(how.pop("session", self.session), self.msg, self.a.dm, how.pop("source", self.a.device), self.a.user, body, **how)

    def send(self, octets, headers=None):
        """Posts; the answer must be under the server's secret. Its nonce is kept."""
        code, h, said = post(self.a.address, octets, headers or self.headers(octets))
        assert code == 200, (code, said)
        right = mac(self.a.dm, self.a.server_secret, self.server, said)
        assert h["x-syncml-hmac"] == f'algorithm=MD5, username="{self.a.dm}", mac={right}', (h, right)
        r = Read(said)
        r.http = h
        self.nonce = r.nonce or self.nonce
        return r

    def say(self, body, **how):
        return self.send(self.build(body, **how))
