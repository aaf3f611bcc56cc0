# SPDX-License-Identifier: Apache-2.0
"""I2 I3 R15: who speaks as a visited operator: vectors and limited access are for the networks known here, each for whom it holds."""
import os, signal, socket, ssl, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

PIMSI = "901700000000001"


def vectors(w, me, home, number):
    try:
        with w.network(me, home) as n:
            return n.vectors(number)
    except (AssertionError, OSError):
        return "closed"


def tunnel(w, me, home, number, target):
    """CONNECT at the access gateway with the certificate of folder `me`: the connection, the answer's head and words."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.load_cert_chain(w.path(me, "tls.pem"), w.path(me, "tls.key"))
    host, port = dict(line.split() for line in open(w.path(home, "run/ports")))["access"].rsplit(":", 1)
    s = tls.wrap_socket(socket.create_connection((host, int(port)), 20))
    s.sendall(f"CONNECT {target} HTTP/1.1\r\nUsher-Identity: {number}\r\n\r\n".encode())
    said = b""
    while b"\r\n\r\n" not in said or (b"Refused" in said and not said.endswith(b"}")):
        got = s.recv(4096)
        if not got:
            break
        said += got
    return s, said.decode()


def connect(*words):
    s, said = tunnel(*words)
    s.close()
    return said


with World() as w:
    w.world(devices=1)
    w.enrol("visited", "vis8", "001-77")  # a good certificate, and no peer of anybody
    listens = lambda d, name: dict(line.split() for line in open(w.path(d, "run/ports")))[name]
    discover, dlusim = listens("reg", "discover"), listens("dlusim", "equipment")
    for home, number, target in (("reg", PIMSI, discover), ("hss", "262420000000001", dlusim)):
        for stranger in ("vis8", "dm"):
            assert vectors(w, stranger, home, number) == "closed", (stranger, home)
            assert "is not a visited operator known here" in connect(w, stranger, home, number, target), (stranger, home)
        assert "is not attached in network 001-01" in connect(w, "vis1", home, number, target), home
    assert "this operator does not open" in connect(w, "vis1", "hss", "262420000000001", discover)
    # a network that dials and dials takes nobody else's place: its oldest link leaves
    many = [w.network("vis2", "reg") for _ in range(17)]
    many[0].sock.settimeout(10)
    assert many[0].sock.recv(100) == b"", "its 17th link stands beside the first"
    assert isinstance(many[-1].vectors("901700000000002"), int)
    for link in many:
        link.sock.close()
    with w.network("vis2", "reg") as n:
        assert isinstance(n.vectors(PIMSI), list)
        n.send(0x04, PIMSI)  # UpdateLocation: it is at 001-02 now
        n.hear((0x10,))
        assert "is not attached in network 001-01" in connect(w, "vis1", "reg", PIMSI, discover)
        assert "limited access does not open 127.0.0.1:9" in connect(w, "vis2", "reg", PIMSI, "127.0.0.1:9")
        for n in range(10, 25):
            assert "403" in connect(w, "vis2", "reg", PIMSI, f"127.0.0.1:{n}")
        told = w.story("registration", "", "pimsi", PIMSI).count("refused: limited access does not open ")
        assert told == 10, f"{told} refusals of one attach stand in the story"
        assert connect(w, "vis2", "reg", PIMSI, discover).startswith("HTTP/1.1 200 ")
        assert "400" in connect(w, "vis2", "reg", "x", discover)
    # a network holds no more tunnels than it leaves free: another one's find their place
    for home in ("reg", "hss"):
        with open(w.path(home, "usher.yaml"), "a") as f:
            f.write("tunnels: 4\n")
    ups = w.more().count(" is up")
    os.kill(w.pids("reg")[0], signal.SIGKILL)
    w.wait("it is back", lambda: w.more().count(" is up") > ups)
    with w.network("vis2", "reg") as n:
        n.send(0x04, PIMSI)
        n.hear((0x10,))
        held = [tunnel(w, "vis2", "reg", PIMSI, discover) for _ in range(2)]
        assert [said[:13] for _, said in held] == ["HTTP/1.1 200 "] * 2, held
        said = connect(w, "vis2", "reg", PIMSI, discover)
        assert "503" in said and "network 001-02 holds 2 of 4 tunnels, its share" in said, said
        assert "is not attached in network 001-01" in connect(w, "vis1", "reg", PIMSI, discover)
        held.pop()[0].close()
        w.wait("its place is free again", lambda: connect(w, "vis2", "reg", PIMSI, discover).startswith("HTTP/1.1 200 "))
        held.pop()[0].close()
print("ok")
