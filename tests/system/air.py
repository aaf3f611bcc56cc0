# SPDX-License-Identifier: Apache-2.0
"""The air between equipments and one cell, for tests: it carries datagrams both ways, and hears what is said in clear. Not a test itself."""
import base64, select, socket, threading

CONTAINER = b"\xff\x00\x29"  # doc/wires.md 4: FF00H and its length; visited PLMN (3), IPv4 (4), port (2), token (32)


class Air:
    def __init__(self, cell, before_token=lambda: None):
        """cell: its UDP port. before_token is called before an equipment is given its token."""
        self.cell, self.before_token = ("127.0.0.1", cell), before_token
        self.down = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.down.bind(("127.0.0.1", 0))
        self.port = self.down.getsockname()[1]
        self.up, self.tokens = {}, []  # equipment's address -> socket to the cell; (user plane's address, token) as they were heard
        threading.Thread(target=self.carry, daemon=True).start()

    def carry(self):
        while True:
            for s in select.select([self.down, *self.up.values()], [], [], 1)[0]:
                data, at = s.recvfrom(2048)
                if s is self.down:
                    if at not in self.up:
                        self.up[at] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                        self.up[at].connect(self.cell)
                    self.up[at].send(data)
                else:
                    self.hear(data)
                    self.down.sendto(data, next(a for a, u in self.up.items() if u is s))

    def hear(self, data):
        i = data.find(CONTAINER)
        if i < 0:
            return
        c = data[i + 3:i + 44]
        user = (socket.inet_ntoa(c[3:7]), int.from_bytes(c[7:9], "big"))
        self.before_token()
        self.tokens.append((user, c[9:41]))


def connect(user, target, token):
    """A raw CONNECT through a visited operator's user door: (status, what it says, the socket)."""
    s = socket.create_connection(user, 20)
    bearer = f"Proxy-Authorization: Bearer {base64.urlsafe_b64encode(token).decode().rstrip('=')}\r\n" if token else ""
    s.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{bearer}\r\n".encode())
    said = b""
    while b"\r\n\r\n" not in said:
        more = s.recv(4096)
        assert more, "it hung up without an answer: " + said.decode()
        said += more
    status = int(said.split()[1])
    while status != 200 and (more := s.recv(4096)):
        said += more
    return status, said.decode(), s
