# SPDX-License-Identifier: Apache-2.0
"""A world of usher's real processes in a temporary folder, for tests. Not a test itself (test files begin with t_)."""
import json, os, shutil, signal, subprocess, sys, tempfile, time

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
        return p.stdout if code == 0 else p.stderr

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
