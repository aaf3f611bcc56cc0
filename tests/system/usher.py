# SPDX-License-Identifier: Apache-2.0
"""A world of usher's real processes in a temporary folder, for tests. Not a test itself (test files begin with t_)."""
import json, os, shutil, signal, socket, struct, subprocess, sys, tempfile, time

BUILD = os.environ.get("USHER_BUILD") or sys.exit("USHER_BUILD names the build folder")
USHER = os.path.join(BUILD, "people", "usher")


class World:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="usher-test-")
        self.run = None
        self.env = dict(os.environ, USHER_AS=os.path.join(self.dir, "alice"), no_proxy="*")

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        self.stop()
        if kind:
            for d in sorted(os.listdir(self.dir)):
                log = os.path.join(self.dir, d, "run", "log")
                if os.path.exists(log):
                    print("---", d)
                    print("".join(open(log, errors="replace").readlines()[-30:]))
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def usher(self, *words, code=0, stdin=None):
        """Runs the command for people in the world's folder; its standard output."""
        p = subprocess.run([USHER, *words], cwd=self.dir, env=self.env, capture_output=True, text=True, input=stdin, timeout=60)
        assert p.returncode == code, f"usher {' '.join(words)}: exit {p.returncode}, expected {code}\n{p.stdout}{p.stderr}"
        return p.stdout if code == 0 else p.stdout + p.stderr

    def json(self, *words):
        return json.loads(self.usher("--json", *words))

    def start(self, *dirs):
        self.stop()
        self.run = subprocess.Popen([USHER, "run", *dirs], cwd=self.dir, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                    start_new_session=True)
        os.set_blocking(self.run.stdout.fileno(), False)
        self.said, end = "", time.time() + 60
        while self.more().count(" is up") < len(dirs):
            assert self.run.poll() is None and time.time() < end, "usher run: " + self.said
            time.sleep(0.02)

    def more(self):
        self.said += (self.run.stdout.read() or b"").decode(errors="replace")
        return self.said

    def stop(self):
        if self.run:
            self.run.send_signal(signal.SIGTERM)
            self.run.wait(15)
            self.run = None

    def pids(self, dir):
        """Processes whose folder this is."""
        out = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = open(f"/proc/{pid}/cmdline").read().split("\0")
                if words[0].split("/")[-1].startswith("usher-") and words[1] == dir and os.readlink(f"/proc/{pid}/cwd") == self.dir:
                    out.append(int(pid))
            except OSError:
                pass
        return out

    def wait(self, what, check, seconds=20):
        end = time.time() + seconds
        while True:
            got = check()
            if got:
                return got
            assert time.time() < end, "waited in vain for: " + what
            time.sleep(0.05)

    # --- the first folders, as the README makes them ---
    def attestation(self):
        self.usher("setup", "attestation", "pki", "--id", "pki.example", "--staff", "alice", "--invite-file", "alice.invite")
        self.start("pki")
        self.enrol("staff", "alice", "alice", invite="alice.invite")
        self.usher("peer", "add", "alice", "attestation", "pki.example", "--address", "127.0.0.1:@../pki/run/ports#peers")

    def enrol(self, role, dir, id, *more, invite=None):
        if not invite:
            invite = dir + ".invite"
            with open(self.path(invite), "w") as f:
                f.write(self.usher("ca", "invite", role, id))
        self.usher("setup", role, dir, "--id", id, "--attestation", "pki.example=127.0.0.1:@pki/run/ports#peers", "--roots",
                   "pki/roots.pem", "--invite-file", invite, *more)

    # --- a whole world: registration operator, home operator, factory, owner ---
    def world(self, devices=2, pimsis=100, more=None):
        """more(world): makes further roles before all start; their folders."""
        self.attestation()
        self.enrol("factory", "fab", "acme")
        self.enrol("registration", "reg", "901-70", "--set", "allowed=[001-01, 001-02]")
        self.enrol("hss", "hss", "262-42", "--set", "open=[127.0.0.1:@../dlusim/run/ports#equipment]")
        self.enrol("dlusim", "dlusim", "dlusim.home.example", "--set", "operator=262-42", "--set", "dm=dm.example",
                   "--set", "attestation=pki.example")
        at = lambda d, name: f"127.0.0.1:@../{d}/run/ports#{name}"
        add = lambda *words: self.usher("peer", "add", *words)
        add("pki", "factory", "acme")
        add("fab", "attestation", "pki.example", "--address", at("pki", "peers"))
        add("fab", "registration", "901-70", "--address", at("reg", "peers"))
        for d in ("reg", "hss", "dlusim"):
            add(d, "staff", "alice")
        add("reg", "factory", "acme")
        add("reg", "dlusim", "dlusim.home.example")
        add("hss", "dlusim", "dlusim.home.example")
        add("dlusim", "registration", "901-70", "--address", at("reg", "peers"))
        add("dlusim", "hss", "262-42", "--address", at("hss", "peers"))
        self.enrol("dm", "dm", "dm.example")
        add("dm", "staff", "alice")
        add("dm", "dlusim", "dlusim.home.example", "--address", at("dlusim", "peers"))
        add("dlusim", "dm", "dm.example", "--address", at("dm", "equipment"))
        add("alice", "dm", "dm.example", "--address", at("dm", "peers"))
        add("dlusim", "attestation", "pki.example", "--ocsp", at("pki", "ocsp"))
        add("alice", "registration", "901-70", "--address", at("reg", "peers"))
        add("alice", "hss", "262-42", "--address", at("hss", "peers"))
        add("alice", "dlusim", "dlusim.home.example", "--address", at("dlusim", "peers"))
        # three visited operators: 001-01 takes PIMSIs, 001-02 has no roaming agreement, 001-09 is not on the allowed list
        for n, (d, plmn) in enumerate((("vis9", "001-09"), ("vis2", "001-02"), ("vis1", "001-01"))):
            self.enrol("visited", d, plmn, "--set", f"lac={n + 1}")
            add(d, "staff", "alice")
            add("reg", "visited", plmn)
            add("hss", "visited", plmn)
            add(d, "hss", "262-42", "--gsup", at("hss", "gsup"), "--access", at("hss", "access"), "--range", "26242")
            add("alice", "visited", plmn, "--address", at(d, "peers"))
            if d != "vis2":
                add(d, "registration", "901-70", "--gsup", at("reg", "gsup"), "--access", at("reg", "access"), "--range", "90170")
        self.dirs = ["pki", "reg", "hss", "dlusim", "dm", "vis1", "vis2", "vis9"]
        self.dirs += more(self) if more else []
        self.start(*self.dirs)
        self.usher("pool", "add", "registration", "901-70", "901700000000001", str(pimsis))
        self.usher("pool", "add", "hss", "262-42", "262420000000001", "100")
        self.fab = ("--as", "fab")
        self.usher(*self.fab, "factory", "enrol", "fleet", "--maker", "acme", "--count", str(devices))
        self.usher(*self.fab, "factory", "order", "fleet", "--registration", "901-70", "--order", "first")
        self.usher(*self.fab, "factory", "bind", "fleet", "--registration", "901-70")
        with open(self.path("token"), "w") as f:
            f.write(self.usher("people", "add", "dlusim.home.example", "waterworks"))

    def frequencies(self, *dirs):
        """Which cells the fleet's modems listen to, in order."""
        with open(self.path("fleet/equipment.yaml"), "w") as f:
            f.write("frequencies: [" + ", ".join(f"127.0.0.1:@../{d}/run/ports#cell" for d in dirs) + "]\n")

    def equipment(self, *words, code=0, timeout=60):
        p = subprocess.run([os.path.join(BUILD, "roles", "equipment", "usher-equipment"), *words], cwd=self.dir, env=self.env,
                           capture_output=True, text=True, timeout=timeout)
        assert p.returncode == code, f"usher-equipment {' '.join(words)}: exit {p.returncode}\n{p.stdout}{p.stderr}"
        return p.stdout + p.stderr

    def journey(self, equipment):
        try:
            with open(self.path("fleet", equipment.replace(":", "_"), "journey")) as f:
                return [json.loads(line) for line in f]
        except FileNotFoundError:
            return []

    def claim(self, file="fleet/labels.csv", *more, code=0):
        return self.usher("owner", "claim", file, "--dlusim", "dlusim.home.example=127.0.0.1:@dlusim/run/ports#owner", "--roots",
                          "pki/roots.pem", "--token-file", "token", *more, code=code)

    def sql(self, dir, role, query):
        import sqlite3
        db = sqlite3.connect(f"file:{self.path(dir, role + '.db')}?mode=ro", uri=True)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()

    def network(self, me, dir):
        """A visited operator's GSUP link, with the certificate of folder `me`."""
        import ssl
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        tls.load_cert_chain(self.path(me, "tls.pem"), self.path(me, "tls.key"))
        host, port = dict(line.split() for line in open(self.path(dir, "run", "ports")))["gsup"].rsplit(":", 1)
        return Network(tls.wrap_socket(socket.create_connection((host, int(port)), 20)))

    def post(self, me, dir, listener, path, body):
        """A request with the certificate of folder `me`, as its role would make it: status and answer."""
        import http.client, ssl
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        tls.load_cert_chain(self.path(me, "tls.pem"), self.path(me, "tls.key"))
        host, port = dict(line.split() for line in open(self.path(dir, "run", "ports")))[listener].rsplit(":", 1)
        c = http.client.HTTPSConnection(host, int(port), context=tls, timeout=20)
        c.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = c.getresponse()
        return answer.status, json.loads(answer.read())

    def story(self, role, id, kind, value):
        """What a role's audit says, as one text."""
        dirs = {"registration": "reg", "hss": "hss", "dlusim": "dlusim", "attestation": "pki", "dm": "dm"}
        return "\n".join(t for (t,) in self.sql(dirs[role], role, f"SELECT text FROM audit JOIN audit_about USING (seq) WHERE kind = '{kind}' "
                                                f"AND value = '{value}' ORDER BY seq"))


class Network:
    """A network's end of GSUP over IPA (Osmocom's manual), written apart from the program's."""
    def __init__(self, sock):
        self.sock = sock
        while self.frame() != (0xfe, b"\x06"): # asked who we are, told, and acknowledged
            pass
        self.say(0xfe, b"\x06")

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        self.sock.close()

    def octets(self, n):
        out = b""
        while len(out) < n:
            got = self.sock.recv(n - len(out))
            assert got, "the link is closed"
            out += got
        return out

    def say(self, proto, payload):
        self.sock.sendall(struct.pack("!HB", len(payload), proto) + payload)

    def frame(self):
        n, proto = struct.unpack("!HB", self.octets(3))
        payload = self.octets(n)
        if proto == 0xfe and payload[:1] in (b"\x00", b"\x04"): # PING; ID_GET
            self.say(0xfe, b"\x01" if payload[:1] == b"\x00" else b"\x05\x00\x06\x01test\x00")
        return proto, payload

    def send(self, kind, imsi, more=b""):
        digits = imsi + "f" * (len(imsi) % 2)
        bcd = bytes(int(digits[i + 1] + digits[i], 16) for i in range(0, len(digits), 2))
        self.say(0xee, bytes([5, kind, 1, len(bcd)]) + bcd + more + b"\x28\x01\x01")

    def hear(self, kinds):
        """The next message of these types: type, its elements."""
        while True:
            proto, p = self.frame()
            if proto == 0xee and p[1] in kinds:
                elements, at = [], 2
                while at < len(p):
                    elements.append((p[at], p[at + 2:at + 2 + p[at + 1]]))
                    at += 2 + p[at + 1]
                return p[1], elements

    def vectors(self, imsi):
        """SendAuthInfo: a list of RANDs, or the cause."""
        self.send(0x08, imsi)
        kind, elements = self.hear((0x09, 0x0a))
        if kind == 0x09:
            return dict(elements)[2][0]
        return [v[v.index(b"\x20\x10") + 2:][:16] for t, v in elements if t == 3]
