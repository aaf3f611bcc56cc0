# SPDX-License-Identifier: Apache-2.0
"""A world of usher's real processes in a temporary folder, for tests. Not a test itself (test files begin with t_)."""
import ctypes, glob, json, os, select, shutil, signal, socket, struct, subprocess, sys, tempfile, time

BUILD = os.environ.get("USHER_BUILD") or sys.exit("USHER_BUILD names the build folder")
USHER = os.path.join(BUILD, "people", "usher")
EQUIPMENT = os.path.join(BUILD, "roles", "equipment", "usher-equipment")


def dies_with_us():
    """For preexec_fn: a program that is none of ours does not outlive a test that is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class World:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="usher-test-")
        self.run = None
        # proxies that nobody is at: what goes by the environment's word instead of its own goes nowhere
        self.env = dict({k: v for k, v in os.environ.items() if k.lower() != "no_proxy"}, USHER_AS=os.path.join(self.dir, "alice"),
                        **{name: "http://127.0.0.1:9" for p in ("http_proxy", "https_proxy", "all_proxy") for name in (p, p.upper())})

    def __enter__(self):
        return self

    def copy(self):
        """The same world at rest in a folder of its own; its ports are found when it is started."""
        w = World()
        shutil.copytree(self.dir, w.dir, dirs_exist_ok=True)
        w.dirs, w.fab = self.dirs, self.fab
        return w

    def __exit__(self, kind, *rest):
        self.stop()
        wrong = "" if kind else self.sanitizers()
        if kind:
            for d in sorted(os.listdir(self.dir)):
                log = os.path.join(self.dir, d, "run", "log")
                if os.path.exists(log):
                    print("---", d)
                    print("".join(open(log, errors="replace").readlines()[-30:]))
            for journey in glob.glob(self.path("*", "*_*", "journey")):
                print("---", journey)
                print("".join(open(journey).readlines()[-12:]))
        shutil.rmtree(self.dir, ignore_errors=True)
        assert not wrong, wrong

    def sanitizers(self):
        """What ASan and UBSan wrote into the roles' logs, to the end of their processes."""
        out = ""
        for log in glob.glob(self.path("*", "run", "log")):
            text = open(log, errors="replace").read()
            for mark in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer"):
                if mark in text:
                    out += f"{log}: {text[text.rfind(chr(10), 0, text.index(mark)) + 1:][:3000]}\n"
        return out

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
        self.said, self.started, end = "", len(dirs), time.time() + 60
        while self.more().count(" is up") < len(dirs):
            assert self.run.poll() is None and time.time() < end, "usher run: " + self.said
            select.select([self.run.stdout], [], [], 1)

    def more(self):
        self.said += (self.run.stdout.read() or b"").decode(errors="replace")
        return self.said

    def restart_registration(self):
        """kill -9, and vis1's link is back. A registration operator keeps subscribers in memory (auc/cache.h): what a test writes
        into its database counts from its next start."""
        linked = lambda: open(self.path("vis1/run/log")).read().count("gsup peer=registration/901-70 up")
        before = linked()
        os.kill(self.pids("reg")[0], signal.SIGKILL)
        self.wait("the link is back", lambda: linked() > before, 20)

    def all_up(self):
        """Every role that ended is up again."""
        ended, failed = self.more().count("; again in "), self.said.count(" did not start")
        return self.said.count(" is up") == self.started + ended - failed

    def stop(self):
        if self.run:
            self.run.send_signal(signal.SIGTERM)
            self.run.wait(15)
            self.run = None

    def pids(self, dir, run=None):
        """Processes whose folder this is, started by our `usher run`. (Where they run a role tells only root: they are not dumpable.)"""
        out, parent = [], (run or self.run).pid
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = open(f"/proc/{pid}/cmdline").read().split("\0")
                ppid = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
                if words[0].split("/")[-1].startswith("usher-") and words[1] == dir and ppid == parent:
                    out.append(int(pid))
            except OSError:
                pass
        return out

    # --- kill points (core/fault.h), in the folder that env["USHER_FAULTS"] names ---
    def fuse(self, role):
        return os.path.join(self.env["USHER_FAULTS"], f"usher-{role}.at")

    def arm(self, role, n, name=""):
        """The role dies at its n-th point from now on (of that name)."""
        with open(self.fuse(role) + ".new", "w") as f:
            f.write(f"{n} {name}\n")
        os.rename(self.fuse(role) + ".new", self.fuse(role))

    def armed(self, role):
        """It has not died of it yet."""
        return os.path.exists(self.fuse(role))

    def disarm(self, role):
        if self.armed(role):
            os.unlink(self.fuse(role))

    def wait(self, what, check, seconds=20):
        end = time.time() + seconds
        while True:
            got = check()
            if got:
                return got
            assert time.time() < end, "waited in vain for: " + what
            time.sleep(0.05)

    # --- the first folders, as the README makes them ---
    def attestation(self, pki="pki", staff="alice", beside=()):
        self.usher("setup", "attestation", pki, "--id", pki + ".example", "--staff", staff, "--invite-file", staff + ".invite")
        self.start(pki, *beside)
        self.enrol("staff", staff, staff, invite=staff + ".invite", pki=pki)
        self.usher("peer", "add", staff, "attestation", pki + ".example", "--address", f"127.0.0.1:@../{pki}/run/ports#peers")

    def enrol(self, role, dir, id, *more, invite=None, pki="pki", staff="alice"):
        if not invite:
            invite = dir + ".invite"
            with open(self.path(invite), "w") as f:
                f.write(self.usher("--as", staff, "ca", "invite", role, id))
        self.usher("setup", role, dir, "--id", id, "--attestation", f"{pki}.example=127.0.0.1:@{pki}/run/ports#peers", "--roots",
                   f"{pki}/roots.pem", "--invite-file", invite, *more)

    # --- a whole world: registration operators, home operators, visited operators, a factory, an owner ---
    @staticmethod
    def operator(n):
        """Folder and id of the n-th registration operator, HSS and DLUSIM service."""
        s = str(n or "")
        return ("reg" + s, f"901-7{n}"), ("hss" + s, f"262-4{n + 2}"), ("dlusim" + s, f"dlusim{s}.home.example")

    def world(self, devices=2, operators=1, pimsis=100, more=None):
        """more(world): makes further roles before all start; their folders."""
        everybody = [self.operator(n) for n in range(operators)]
        self.dirs = ["pki", *(d for parties in everybody for d, _ in parties), "dm", "vis1", "vis2", "vis9"]
        self.fab = ("--as", "fab")
        # ./check keeps each world that was founded, at rest; a test begins with a copy
        kept = os.path.join(os.environ.get("USHER_WORLDS", ""), f"{operators}-{pimsis}") if "USHER_WORLDS" in os.environ and not more else ""
        if os.path.exists(kept):
            shutil.copytree(kept, self.dir, dirs_exist_ok=True)
        else:
            self.found(everybody, pimsis, more)
        if kept and not os.path.exists(kept):
            self.stop()
            shutil.copytree(self.dir, kept + f".{os.getpid()}", ignore=shutil.ignore_patterns("run"))
            try:
                os.rename(kept + f".{os.getpid()}", kept)  # whole or not at all; another test may have been first
            except OSError:
                shutil.rmtree(kept + f".{os.getpid()}")
        if not self.run:
            self.start(*self.dirs)
        if devices:
            self.manufacture(devices)

    def found(self, everybody, pimsis, more):
        at = lambda d, name: f"127.0.0.1:@../{d}/run/ports#{name}"
        add = lambda *words: self.usher("peer", "add", *words)
        known = lambda role, d, id: add("alice", role, id, "--address", at(d, "peers"))
        # 001-01 takes PIMSIs, 001-02 has no roaming agreement, 001-09 is not on the allowed list
        visited = (("vis1", "001-01"), ("vis2", "001-02"), ("vis9", "001-09"))
        self.attestation()
        self.enrol("factory", "fab", "acme")
        self.enrol("dm", "dm", "dm.example")
        add("pki", "factory", "acme")
        add("fab", "attestation", "pki.example", "--address", at("pki", "peers"))
        add("dm", "staff", "alice")
        known("dm", "dm", "dm.example")
        for i, (d, plmn) in enumerate(visited):
            self.enrol("visited", d, plmn, "--set", f"lac={i + 1}")
            add(d, "staff", "alice")
            known("visited", d, plmn)
        for (reg, r), (hss, h), (dlusim, id) in everybody:
            self.enrol("registration", reg, r, "--set", "allowed=[001-01, 001-02]")
            self.enrol("hss", hss, h, "--set", f"open=[{at(dlusim, 'equipment')}, {at('dm', 'equipment')}]")
            self.enrol("dlusim", dlusim, id, "--set", f"operator={h}", "--set", "dm=dm.example", "--set", "attestation=pki.example")
            for role, d, who in (("registration", reg, r), ("hss", hss, h), ("dlusim", dlusim, id)):
                add(d, "staff", "alice")
                known(role, d, who)
            add("fab", "registration", r, "--address", at(reg, "peers"))
            add(reg, "factory", "acme")
            add(hss, "dlusim", id)
            add(dlusim, "hss", h, "--address", at(hss, "peers"))
            add(dlusim, "dm", "dm.example", "--address", at("dm", "equipment"))
            add(dlusim, "attestation", "pki.example", "--ocsp", at("pki", "ocsp"))
            add("dm", "dlusim", id, "--address", at(dlusim, "peers"))
            for (other, o), _, (_, service) in everybody:  # every home operator works with every registration operator
                add(reg, "dlusim", service)
                add(dlusim, "registration", o, "--address", at(other, "peers"))
            for d, plmn in visited:
                add(reg, "visited", plmn)
                add(hss, "visited", plmn)
                add(d, "hss", h, "--gsup", at(hss, "gsup"), "--access", at(hss, "access"), "--range", h.replace("-", ""))
                if d != "vis2":
                    add(d, "registration", r, "--gsup", at(reg, "gsup"), "--access", at(reg, "access"), "--range", r.replace("-", ""))
        self.dirs += more(self) if more else []
        self.start(*self.dirs)
        for n, ((_, r), (_, h), (_, id)) in enumerate(everybody):
            self.usher("pool", "add", "registration", r, r.replace("-", "") + "0000000001", str(pimsis))
            self.usher("pool", "add", "hss", h, h.replace("-", "") + "0000000001", "100")
            with open(self.path("token" + str(n or "")), "w") as f:
                f.write(self.usher("people", "add", id, "waterworks"))

    def manufacture(self, devices, fleet="fleet", registration="901-70", first=1):
        self.usher(*self.fab, "factory", "enrol", fleet, "--maker", "acme", "--count", str(devices), "--first", str(first))
        self.usher(*self.fab, "factory", "order", fleet, "--registration", registration, "--order", "first")
        self.usher(*self.fab, "factory", "bind", fleet, "--registration", registration)

    def port(self, dir, name):
        return next(int(line.rsplit(":", 1)[1]) for line in open(self.path(dir, "run/ports")) if line.startswith(name + " "))

    def frequencies(self, *cells, fleet="fleet"):
        """Which cells the fleet's modems listen to, in order: folders of visited operators, or port numbers of others."""
        with open(self.path(fleet, "equipment.yaml"), "w") as f:
            f.write("frequencies: [" + ", ".join(f"127.0.0.1:{c}" if isinstance(c, int) else f"127.0.0.1:@../{c}/run/ports#cell" for c in cells) + "]\n")

    def equipment(self, *words, code=0, timeout=60):
        p = subprocess.run([EQUIPMENT, *words], cwd=self.dir, env=self.env, capture_output=True, text=True, timeout=timeout)
        assert p.returncode == code, f"usher-equipment {' '.join(words)}: exit {p.returncode}\n{p.stdout}{p.stderr}"
        return p.stdout + p.stderr

    def power_on(self, *words, log=subprocess.DEVNULL):
        """An equipment or a fleet, as a process that goes on by itself."""
        return subprocess.Popen([EQUIPMENT, *words], cwd=self.dir, env=self.env, stderr=log)

    def journey(self, equipment):
        try:
            with open(self.path("fleet", equipment.replace(":", "_"), "journey")) as f:
                return [json.loads(line) for line in f]
        except FileNotFoundError:
            return []

    def claim(self, file="fleet/labels.csv", *more, n=0, code=0):
        """The owner orders from the n-th home operator."""
        dlusim, id = self.operator(n)[2]
        return self.usher("owner", "claim", file, "--dlusim", f"{id}=127.0.0.1:@{dlusim}/run/ports#owner", "--roots", "pki/roots.pem", "--token-file",
                          "token" + str(n or ""), *more, code=code)

    def owner(self, file):
        """The same, under way."""
        return subprocess.Popen([USHER, "owner", "claim", file, "--dlusim", "dlusim.home.example=127.0.0.1:@dlusim/run/ports#owner", "--roots", "pki/roots.pem",
                                 "--token-file", "token"], cwd=self.dir, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

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


def second_home(w, **by):
    """Another home operator beside the first: 262-43, with a DLUSIM service of its own; DM is shared, and PKI, if it is not certified by another."""
    at = lambda d, name: f"127.0.0.1:@../{d}/run/ports#{name}"
    add = lambda *words: w.usher("peer", "add", *words)
    w.enrol("hss", "hss2", "262-43", "--set", f"open=[{at('dlusim2', 'equipment')}, {at('dm', 'equipment')}]", **by)
    w.enrol("dlusim", "dlusim2", "dlusim.other.example", "--set", "operator=262-43", "--set", "dm=dm.example", "--set", "attestation=pki.example", **by)
    for d in ("hss2", "dlusim2"):
        add(d, "staff", "alice")
    add("reg", "dlusim", "dlusim.other.example")
    add("hss2", "dlusim", "dlusim.other.example")
    add("hss2", "visited", "001-01")
    add("dlusim2", "registration", "901-70", "--address", at("reg", "peers"))
    add("dlusim2", "hss", "262-43", "--address", at("hss2", "peers"))
    add("dlusim2", "dm", "dm.example", "--address", at("dm", "equipment"))
    add("dlusim2", "attestation", "pki.example", "--ocsp", at("pki", "ocsp"))
    add("dm", "dlusim", "dlusim.other.example", "--address", at("dlusim2", "peers"))
    add("vis1", "hss", "262-43", "--gsup", at("hss2", "gsup"), "--access", at("hss2", "access"), "--range", "26243")
    add("alice", "hss", "262-43", "--address", at("hss2", "peers"))
    add("alice", "dlusim", "dlusim.other.example", "--address", at("dlusim2", "peers"))
    return ["hss2", "dlusim2"]
