# SPDX-License-Identifier: Apache-2.0
"""R15 P4: usher-visited between parties that lie: answers nobody asked for, other operators' subscribers, silence, floods, impostors, moves;
and agreements that change while it runs."""
import base64, os, re, signal, socket, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, BUILD
from roaming import *

A, B, OTHER = "901700000000001", "901700000000002", "901710000000001"


def eq(got, want):
    hexed = lambda x: x.hex() if isinstance(x, bytes) else x
    assert got == want, f"got {hexed(got)}, want {hexed(want)}"


def connect(port, token):
    """What the user plane says to a CONNECT with this token."""
    s = socket.create_connection(("127.0.0.1", port), 5)
    s.sendall(f"CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer {base64.urlsafe_b64encode(token).decode().rstrip('=')}\r\n\r\n".encode())
    status = int(s.recv(200).split()[1])
    s.close()
    return status


def authenticated(phone, home, vector=None):
    """Attach Request to UpdateLocation; the home side's end of it."""
    vector = vector or Vector()
    phone.attach_request()
    eq(home.gsup(), message(SAI, phone.imsi, CN))
    home.say(message(SAI + RES, phone.imsi, vector.ie()))
    phone.answer(phone.hear(2, "0812"), vector.res)
    eq(home.gsup(), message(UL, phone.imsi, CN))


def located(phone, home):
    home.say(message(ISD, phone.imsi, apn("prov.usher") + CN))
    eq(home.gsup(), message(ISD + RES, phone.imsi, CN))
    home.say(message(UL + RES, phone.imsi))
    assert phone.hear(2, "0802")
    phone.send(b"\x08\x03")


def attach(phone, home):
    authenticated(phone, home)
    located(phone, home)
    return phone.token("prov.usher")


def sgsns(port, home, other):
    sgsn = SgsnEnd(port)
    # the greeting, octet for octet as osmo-hlr's
    eq([f.hex() for f in sgsn.heard], ["0011fe0401080107010201030104010501010100", "0001fe01", "0001fe06"])
    # what passes, passes as it came: elements that we do not read, too
    asked = message(UL, A, CN + b"\x2a\x01\x01")
    sgsn.say(asked)
    eq(home.gsup(), asked)
    isd = message(ISD, A, b"\x08\x06\x05\x88\x00\x00\x00\x02" + apn("prov.usher") + CN)
    home.say(isd)
    eq(sgsn.gsup(), isd)
    sgsn.say(message(ISD + RES, A, CN))
    eq(home.gsup(), message(ISD + RES, A, CN))
    home.say(message(UL + RES, A))
    eq(sgsn.gsup(), message(UL + RES, A))
    # answers that nobody asked for, another operator's answer, and what is not a home side's to say: nothing of it arrives
    home.say(message(SAI + RES, A, Vector().ie()))
    home.say(message(UL + ERR, A, cause(11)))
    home.say(message(SAI, A, CN))
    other.say(message(CANCEL, A, b"\x06\x01\x01"))
    other.say(message(ISD, A, apn("evil.example") + CN))
    # what is not an SGSN's to say does not arrive at the home side
    sgsn.say(message(CANCEL, A, b"\x06\x01\x01"))
    sgsn.say(message(SAI + RES, A, Vector().ie()))
    sgsn.say(message(ISD + RES, A, CN))
    sgsn.say(message(SAI, B, CN))
    eq(home.gsup(), message(SAI, B, CN))
    other.say(message(SAI + RES, B, Vector().ie()))
    good = message(SAI + RES, B, Vector().ie() + Vector().ie())
    home.say(good)
    eq(sgsn.gsup(), good)
    # causes that osmo-sgsn sits on become 17, the others pass
    for theirs, ours in ((1, 17), (2, 2), (8, 8), (14, 14), (15, 17), (16, 16), (22, 22), (23, 17), (96, 17), (255, 17)):
        sgsn.say(message(SAI, B, CN))
        eq(home.gsup(), message(SAI, B, CN))
        home.say(message(SAI + ERR, B, cause(theirs)))
        eq(sgsn.gsup(), message(SAI + ERR, B, cause(ours) + CN))
    # no agreement for the range
    sgsn.say(message(SAI, "310260000000001", CN))
    eq(sgsn.gsup(), message(SAI + ERR, "310260000000001", cause(11) + CN))
    return sgsn


def moves(port, home, sgsn):
    """A is in the first SGSN; it moves to a second one."""
    second = SgsnEnd(port, "SGSN-2")
    second.say(message(UL, A, CN))
    eq(home.gsup(), message(UL, A, CN))
    home.say(message(UL + RES, A))
    eq(second.gsup(), message(UL + RES, A))
    eq(sgsn.gsup(), message(CANCEL, A, b"\x06\x01\x00" + CN))
    sgsn.say(message(CANCEL + RES, A, CN))
    # the old place purges: the home side does not hear it, for A is still here
    sgsn.say(message(PURGE, A, b"\x09\x00" + CN))
    eq(sgsn.gsup(), message(PURGE + RES, A, CN))
    home.say(message(ISD, A, apn("prov.usher") + CN))
    eq(second.gsup(), message(ISD, A, apn("prov.usher") + CN))
    second.say(message(ISD + RES, A, CN))
    eq(home.gsup(), message(ISD + RES, A, CN))
    # thrown off: once, in the right SGSN
    home.say(message(CANCEL, A, b"\x06\x01\x01"))
    eq(second.gsup(), message(CANCEL, A, b"\x06\x01\x01"))
    second.say(message(CANCEL + RES, A, CN))
    eq(home.gsup(), message(CANCEL + RES, A, CN))
    # now nobody knows where it is: every SGSN is asked
    home.say(message(CANCEL, A, b"\x06\x01\x01"))
    eq(second.gsup(), message(CANCEL, A, b"\x06\x01\x01"))
    eq(sgsn.gsup(), message(CANCEL, A, b"\x06\x01\x01"))
    sgsn.say(message(CANCEL + ERR, A, cause(2)))
    eq(home.gsup(), message(CANCEL + ERR, A, cause(2)))
    second.say(message(CANCEL + ERR, A, cause(2)))
    # an SGSN whose link breaks while its UpdateLocation is open is where the identity is, once the home side said yes
    second.say(message(UL, A, CN))
    eq(home.gsup(), message(UL, A, CN))
    second.close()
    home.say(message(UL + RES, A))
    second = SgsnEnd(port, "SGSN-2")
    home.say(message(CANCEL, A, b"\x06\x01\x01"))
    while (got := second.gsup()) == message(UL + RES, A):  # it may have come late
        pass
    eq(got, message(CANCEL, A, b"\x06\x01\x01"))
    eq(sgsn.gsup(0.3), None)
    second.say(message(CANCEL + RES, A, CN))
    eq(home.gsup(), message(CANCEL + RES, A, CN))
    # a newer link of the same name ends the older one
    again = SgsnEnd(port, "SGSN-2")
    assert second.ended()
    again.say(message(SAI, B, CN))
    eq(home.gsup(), message(SAI, B, CN))
    home.say(message(SAI + ERR, B, cause(8)))
    eq(again.gsup(), message(SAI + ERR, B, cause(8) + CN))
    again.close()


def silence(w, home, listener, sgsn):
    """A home side that is silent, late, gone."""
    dropped = lambda: open(w.path("vis/run/log")).read().count('act="refuse SendAuthInfo res" why="nobody asked"')
    before = dropped()
    sgsn.say(message(SAI, B, CN))
    eq(home.gsup(), message(SAI, B, CN))
    eq(sgsn.gsup(20), message(SAI + ERR, B, cause(17) + CN))  # after how long: unit-visited-visitors
    home.say(message(SAI + RES, B, Vector().ie()))  # too late
    w.wait("the late answer is dropped", lambda: dropped() == before + 1)
    sgsn.say(message(SAI, B, CN))
    eq(home.gsup(), message(SAI, B, CN))
    good = message(SAI + RES, B, Vector().ie())
    home.say(good)
    eq(sgsn.gsup(), good)
    sgsn.say(message(UL, B, CN))
    eq(home.gsup(), message(UL, B, CN))
    home.close()
    sgsn.say(message(PURGE, B, CN))
    # who waits hears at once that the link is gone: it has, before the next one stands
    home = listener.accept()
    eq(sgsn.gsup(0.01), message(UL + ERR, B, cause(17) + CN))
    eq(sgsn.gsup(), message(PURGE + ERR, B, cause(17) + CN))
    return home


def impostors(cell, user, home):
    phone = Phone(cell, A)
    token = attach(phone, home)
    eq(len(token), 32)
    eq(connect(user, token), 502)  # known, and its operator has no gateway here
    eq(connect(user, os.urandom(32)), 403)
    # an impostor with the same IMSI gets a challenge and no further; whoever is attached stays
    thief = Phone(cell, A)
    thief.attach_request()
    eq(home.gsup(), message(SAI, A, CN))
    vector = Vector()
    home.say(message(SAI + RES, A, vector.ie()))
    challenge = thief.hear(2, "0812")
    eq(phone.token("prov.usher"), token)
    thief.send(b"\x08\x03")                                       # Attach Complete without Accept
    thief.activate("prov.usher")
    thief.answer(bytes([0, 0, 0, (challenge[3] ^ 0x10)]), vector.res)  # another reference: an old answer
    thief.send(bytes([0x08, 0x13, challenge[3] >> 4, 0x22]) + vector.res[:4])  # four octets only: a downgrade
    assert thief.hear(2, "0814") is not None, "Authentication Reject"
    thief.answer(challenge, vector.res)                           # after the reject it is worth nothing
    eq(phone.token("prov.usher"), token)
    eq(home.gsup(0.5), None)
    # one who does not hold K: RES as long as it should be, wrong in one bit of its first or last octet, whoever is named
    for imsi in (A, B):
        for n in (0, 7):
            guess, vector = Phone(cell, imsi), Vector()
            guess.attach_request()
            eq(home.gsup(), message(SAI, imsi, CN))
            home.say(message(SAI + RES, imsi, vector.ie()))
            guess.answer(guess.hear(2, "0812"), bytes(o ^ (i == n) for i, o in enumerate(vector.res)))
            eq(guess.hear(2), b"\x08\x14")                        # Authentication and Ciphering Reject, nothing else
            guess.send(b"\x08\x03")
            guess.activate("prov.usher")
            eq(guess.hear(0.3), None)                             # no context, no token
            eq(home.gsup(0.2), None)                              # no UpdateLocation
    eq(phone.token("prov.usher"), token)
    eq(connect(user, token), 502)
    # the same from the genuine one's own address: the attempt ends in a reject, the registration stands
    phone.attach_request()
    eq(home.gsup(), message(SAI, A, CN))
    home.say(message(SAI + RES, A, Vector().ie()))
    phone.answer(phone.hear(2, "0812"), os.urandom(8))
    assert phone.hear(2, "0814") is not None
    eq(phone.token("prov.usher"), token)
    # a genuine second attach, by AKA, from another address: the older link's token dies, the home side hears no Purge
    moved = Phone(cell, A)
    fresh = attach(moved, home)
    assert fresh != token
    eq((connect(user, token), connect(user, fresh)), (403, 502))
    eq(home.gsup(0.5), None)
    return moved, fresh


def ends(user, home, phone, token):
    # Deactivate of another transaction ends nothing, of this one it ends the token
    phone.send(b"\x1a\x46\x24")
    assert phone.hear(2, "9a47") is not None
    eq(connect(user, token), 502)
    phone.send(b"\x0a\x46\x24")
    assert phone.hear(2, "8a47") is not None
    eq(connect(user, token), 403)
    # an APN that was not granted, then one that is taken back
    eq(phone.token("m2m.home"), 33)
    token = phone.token("prov.usher", 1)
    home.say(message(ISD, A, apn("m2m.home") + CN))
    assert phone.hear(2, "9a46") is not None
    eq(home.gsup(), message(ISD + RES, A, CN))
    eq(connect(user, token), 403)
    eq(phone.token("prov.usher", 2), 33)
    token = phone.token("m2m.home", 3)
    # LocationCancel: answered, and the equipment is told until it says that it heard
    home.say(message(CANCEL, A, b"\x06\x01\x01"))
    eq(home.gsup(), message(CANCEL + RES, A, CN))
    eq(connect(user, token), 403)
    for _ in range(2):
        eq(phone.hear(4, "0805"), bytes.fromhex("0805") + b"\x03\x25\x0a")
    phone.send(b"\x08\x06")
    eq(phone.hear(2, "0805"), None)
    phone.activate("m2m.home", 3)
    eq(phone.hear(0.5), None)
    # DeleteSubscriberData does the same with cause 7; detach is a Purge
    attach(phone, home)
    home.say(message(DSD, A, b"\x10\x01\x01"))
    eq(home.gsup(), message(DSD + RES, A, CN))
    eq(phone.hear(4, "0805"), bytes.fromhex("0805") + b"\x03\x25\x07")
    token = attach(phone, home)
    phone.send(b"\x08\x05\x09")
    eq(home.gsup(), message(PURGE, A, CN))
    home.say(message(PURGE + RES, A))
    eq(connect(user, token), 403)
    # it leaves while its UpdateLocation is open: when that goes well all the same, a Purge follows
    authenticated(phone, home)
    phone.send(b"\x08\x05\x09")
    eq(home.gsup(0.5), None)
    home.say(message(UL + RES, A))
    eq(home.gsup(), message(PURGE, A, CN))
    home.say(message(PURGE + RES, A))
    # UpdateLocation refused after AKA: a reject, and nothing stays
    authenticated(phone, home)
    home.say(message(UL + ERR, A, cause(11)))
    eq(phone.hear(2, "0804"), b"\x08\x04\x0b")
    home.say(message(CANCEL, A, b"\x06\x01\x01"))
    eq(home.gsup(), message(CANCEL + RES, A, CN))


def challenges(cell, home):
    """T3360: the challenge is repeated, the same, four times in all; a repeated Attach Request meanwhile asks for no other vector."""
    phone = Phone(cell, B)
    phone.attach_request()
    eq(home.gsup(), message(SAI, B, CN))
    phone.attach_request()
    home.say(message(SAI + RES, B, Vector().ie()))
    first = phone.hear(2, "0812")
    phone.attach_request()
    eq([phone.hear(3, "0812") for _ in range(3)], [first] * 3)
    eq(phone.hear(2.5, "08"), None)
    eq(home.gsup(0.1), None)
    # T3350: the Attach Accept likewise; without its Complete the home side hears that nobody is here
    authenticated(phone, home)
    home.say(message(UL + RES, B, apn("prov.usher")))
    accept = phone.hear(2, "0802")
    eq([phone.hear(3, "0802") for _ in range(3)], [accept] * 3)
    eq(home.gsup(4), message(PURGE, B, CN))
    home.say(message(PURGE + RES, B))


def both_accesses(port, cell, user, home):
    """From the embedded cell to an SGSN, and back: the old place lets go."""
    phone, sgsn = Phone(cell, A), SgsnEnd(port, "SGSN-4")
    token = attach(phone, home)
    sgsn.say(message(UL, A, CN))
    eq(home.gsup(), message(UL, A, CN))
    eq(connect(user, token), 502)  # not before the home side says yes
    home.say(message(UL + RES, A))
    eq(sgsn.gsup(), message(UL + RES, A))
    eq(connect(user, token), 403)
    eq(home.gsup(0.3), None)
    token = attach(phone, home)
    eq(sgsn.gsup(), message(CANCEL, A, b"\x06\x01\x00" + CN))
    sgsn.say(message(CANCEL + RES, A, CN))
    eq(connect(user, token), 502)
    phone.send(b"\x08\x05\x09")
    eq(home.gsup(), message(PURGE, A, CN))
    home.say(message(PURGE + RES, A))
    sgsn.close()


def flood(cell, user, home):
    """contexts: 12. Whoever proved who he is stays; a newcomer gets in."""
    phone = Phone(cell, A)
    token = attach(phone, home)
    crowd = [Phone(cell, f"90170{n:010d}") for n in range(100, 160)]
    for c in crowd:
        c.raw(bytes.fromhex("02040800400000000000000000000000"))
    for c in crowd[:30]:
        c.attach_request()
        eq(home.gsup(), message(SAI, c.imsi, CN))
    eq(connect(user, token), 502)
    eq(phone.token("prov.usher"), token)
    other = Phone(cell, B)
    attach(other, home)
    # answers for those that the crowd pushed out go nowhere
    for c in crowd[:30]:
        home.say(message(SAI + RES, c.imsi, Vector().ie()))
    # frames cut at every length, octets changed at every place
    whole = bytes.fromhex("02040800400000000000000000000000") + crowd[0].llc(bytes.fromhex("080102610071" "0a0008" "9910070000000010" "fffffffffeff" "021918"))
    for n in range(len(whole)):
        crowd[0].raw(whole[:n])
        crowd[0].raw(whole[:n] + bytes([whole[n] ^ 0xff]) + whole[n + 1:])
        nas = whole[19:-3][:n]
        crowd[0].send(nas)
    while home.gsup(0.3):
        pass
    eq(phone.token("prov.usher"), token)


def too_many_questions(port, home):
    """An SGSN that asks about one identity again and again: eight are open, the next one hears 22."""
    C, sgsn = "901700000000003", SgsnEnd(port, "SGSN-3")
    for _ in range(9):
        sgsn.say(message(SAI, C, CN))
    eq([home.gsup() for _ in range(8)], [message(SAI, C, CN)] * 8)
    eq(sgsn.gsup(), message(SAI + ERR, C, cause(22) + CN))
    home.say(message(CANCEL, C, b"\x06\x01\x01"))  # what the home side asks is not kept out by that
    eq(sgsn.gsup(), message(CANCEL, C, b"\x06\x01\x01"))
    sgsn.say(message(CANCEL + RES, C, CN))
    eq(home.gsup(), message(CANCEL + RES, C, CN))
    sgsn.close()


def map_full(port, home):
    """visitors: 2. The identity longest unheard is forgotten, and looked for in every SGSN when it is needed."""
    one, two = SgsnEnd(port, "SGSN-5"), SgsnEnd(port, "SGSN-6")
    ids = [f"90170000000020{n}" for n in range(3)]
    for id in ids:
        one.say(message(UL, id, CN))
        eq(home.gsup(), message(UL, id, CN))
        home.say(message(UL + RES, id))
        eq(one.gsup(), message(UL + RES, id))
    for id, there in ((ids[0], [one, two]), (ids[2], [one])):
        home.say(message(CANCEL, id, b"\x06\x01\x01"))
        for sgsn in there:
            eq(sgsn.gsup(), message(CANCEL, id, b"\x06\x01\x01"))
        one.say(message(CANCEL + RES, id, CN))
        eq(home.gsup(), message(CANCEL + RES, id, CN))
    eq(two.gsup(0.3), None)
    one.close()
    two.close()


def agreements(w, port, cell, user, home, other):
    """SIGHUP: what peers/ says now counts, and nobody else notices."""
    log = lambda: open(w.path("vis/run/log")).read()
    file = lambda n: w.path(f"vis/peers/registration_901-7{n}.yaml")

    def again(expect=" reload peers="):
        said = log().count(expect)
        os.kill(w.pids("vis")[0], signal.SIGHUP)
        w.wait(expect, lambda: log().count(expect) > said)

    def gateway(token):
        s = socket.create_connection(("127.0.0.1", user), 5)
        s.sendall(f"CONNECT 127.0.0.1:9 HTTP/1.1\r\nProxy-Authorization: Bearer {base64.urlsafe_b64encode(token).decode().rstrip('=')}\r\n\r\n".encode())
        said = b"".join(iter(lambda: s.recv(4096), b""))
        s.close()
        return said.decode()

    sgsn, phone = SgsnEnd(port, "SGSN-7"), Phone(cell, "901700000000004")
    token = attach(phone, home)
    was = open(file(1)).read()
    # one agreement ends while a question is open there: its link too, and the question is answered with cause 17; from then on it is 11
    sgsn.say(message(SAI, OTHER, CN))
    eq(other.gsup(), message(SAI, OTHER, CN))
    os.unlink(file(1))
    again()
    eq(sgsn.gsup(), message(SAI + ERR, OTHER, cause(17) + CN))
    assert other.ended(), "the link stands"
    sgsn.say(message(SAI, OTHER, CN))
    eq(sgsn.gsup(), message(SAI + ERR, OTHER, cause(11) + CN))
    # it is back, at another address: that one is dialled
    moved = Home(w.path("reg2"))
    with open(file(1), "w") as f:
        f.write(re.sub(r"gsup: .*", f"gsup: 127.0.0.1:{moved.port}", was))
    again()
    other = moved.accept()
    sgsn.say(message(SAI, OTHER, CN))
    eq(other.gsup(), message(SAI, OTHER, CN))
    other.say(message(SAI + ERR, OTHER, cause(8)))
    eq(sgsn.gsup(), message(SAI + ERR, OTHER, cause(8) + CN))
    # the other operator has a gateway now: it counts for the next connection
    assert "no access gateway is known" in gateway(token)
    good = open(file(0)).read()
    with open(file(0), "w") as f:
        f.write(re.sub(r"access: .*\n", "", good) + "access: 127.0.0.1:9\n")
    again()
    assert "the access gateway does not answer" in gateway(token)
    # what does not read changes nothing, and the log says what it is; an item that needs a restart is named
    for text, why in ((good + "ranges: [1]\n", "registration_901-70.yaml:"), (re.sub("901-70", "901-71", good), "stands in another file too")):
        with open(file(0), "w") as f:
            f.write(text)
        again("nothing was changed")
        assert why in log()[log().rindex(" reload why="):], log()[-500:]
    with open(file(0), "w") as f:
        f.write(good)
    with open(w.path("vis/usher.yaml")) as f:
        yaml = f.read()
    for text, why in ((yaml + "lac: 0\n", "usher.yaml:"), (yaml.replace("001-01", "001-05"), "it is of visited 001-05, this is usher-visited 001-01")):
        with open(w.path("vis/usher.yaml"), "w") as f:
            f.write(text)
        again("nothing was changed")
        assert why in log()[log().rindex(" reload why="):], log()[-500:]
    with open(w.path("vis/usher.yaml"), "w") as f:
        f.write(yaml + "rac: 7\nlog: debug\n")
    again(" reload item=rac why=")
    with open(w.path("vis/usher.yaml"), "w") as f:
        f.write(yaml)
    sgsn.say(message(SAI, OTHER, CN))
    eq(other.gsup(), message(SAI, OTHER, CN))
    # the other operator's link was the same all the time, and who was attached is
    eq(phone.token("prov.usher"), token)
    phone.send(b"\x08\x05\x09")
    eq(home.gsup(), message(PURGE, phone.imsi, CN))
    home.say(message(PURGE + RES, phone.imsi))
    sgsn.close()


def addresses(w):
    """Plain GSUP leaves the loopback only if it is said that the wire is protected."""
    program = os.path.join(BUILD, "roles/visited/usher-visited")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        cell = free.getsockname()[1]
    w.enrol("visited", "open", "001-03", "--listen", "sgsn=0.0.0.0:0", "--listen", f"cell=127.0.0.1:{cell}", "--set", "per_address=3")
    p = subprocess.run([program, "open"], cwd=w.dir, env=w.env, capture_output=True, text=True, timeout=20)
    assert p.returncode != 0 and "is not the loopback" in p.stderr and "sgsn_protected: yes" in p.stderr, p
    with open(w.path("open/usher.yaml"), "a") as f:
        f.write("sgsn_protected: yes\n")
    p = subprocess.Popen([program, "open"], cwd=w.dir, env=w.env, stderr=open(w.path("open.log"), "w"))
    w.wait("it starts", lambda: "start version" in open(w.path("open.log")).read())
    # per_address: 3. A fourth link of one address hears nothing, another address does
    phones = [Phone(cell, A) for _ in range(4)] + [Phone(cell, A, "127.0.0.2")]
    for phone in phones:
        phone.raw(bytes.fromhex("02040800400000000000000000000000"))
    eq([phone.tuned() for phone in phones], [True, True, True, False, True])
    p.terminate()
    eq(p.wait(10), 0)
    assert "role visited has no listener `sgns" in w.usher("setup", "visited", "typo", "--id", "001-04", "--attestation", "pki.example=127.0.0.1:1", "--roots",
                                                 "pki/roots.pem", "--invite-file", "vis.invite", "--listen", "sgns=127.0.0.1:0", code=1)


with World() as w:
    w.attestation()
    w.enrol("registration", "reg", "901-70")
    w.enrol("registration", "reg2", "901-71")
    w.enrol("registration", "real", "901-72")
    home_listener, other_listener = Home(w.path("reg")), Home(w.path("reg2"))
    w.enrol("visited", "vis", "001-01", "--listen", "sgsn=127.0.0.1:0", "--set", "contexts=12", "--set", "visitors=2")
    w.usher("peer", "add", "vis", "registration", "901-70", "--gsup", f"127.0.0.1:{home_listener.port}", "--range", "90170")
    w.usher("peer", "add", "vis", "registration", "901-71", "--gsup", f"127.0.0.1:{other_listener.port}", "--range", "90171")
    w.start("pki", "vis", "real")
    pids = w.pids("vis") + w.pids("real")
    # connections that say nothing: ended after a while, and they end nobody
    mute = [socket.create_connection(("127.0.0.1", w.port(d, n)), 5) for d, n in (("real", "gsup"), ("vis", "sgsn"))]
    home, other = home_listener.accept(), other_listener.accept()
    port, cell, user = w.port("vis", "sgsn"), w.port("vis", "cell"), w.port("vis", "user")
    addresses(w)
    sgsn = sgsns(port, home, other)
    moves(port, home, sgsn)
    home = silence(w, home, home_listener, sgsn)
    sgsn.close()
    phone, token = impostors(cell, user, home)
    ends(user, home, phone, token)
    challenges(cell, home)
    both_accesses(port, cell, user, home)
    flood(cell, user, home)
    too_many_questions(port, home)
    map_full(port, home)
    agreements(w, port, cell, user, home, other)
    for s in mute:
        s.settimeout(25)
        while s.recv(100):
            pass
        s.close()
    assert w.pids("vis") + w.pids("real") == pids, "a process died"
print("ok")
