# SPDX-License-Identifier: Apache-2.0
"""P5: the test knows every K and OPc, and finds none of them in any byte that a journey leaves, prints or sends; nor can a role leave a core."""
import base64, ctypes, ctypes.util, glob, os, re, shutil, socket, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World, BUILD, USHER

crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
NOBODY = 65534
missed = []  # what this machine did not let us look at


def unwrapped(kek, wrapped):
    """RFC 3394, by OpenSSL's own function and none of ours."""
    key, out = ctypes.create_string_buffer(256), ctypes.create_string_buffer(32)
    assert crypto.AES_set_decrypt_key(kek, 256, key) == 0
    assert crypto.AES_unwrap_key(key, None, out, wrapped, len(wrapped)) == 16, "this key file does not open this database"
    return out.raw[:16]


def keys_of(w, dir, role, table):
    kek = bytes.fromhex(open(w.path(dir, "kek")).read().strip())
    return {f"{what} of {who}": unwrapped(kek, der) for who, k, opc in w.sql(dir, role, f"SELECT {table}, k, opc FROM {table} WHERE length(k) > 0")
            for what, der in (("K", k), ("OPc", opc))}


def forms(key):
    """How a key may stand somewhere; base64 at each of its three places in a longer text."""
    swapped = bytes((b >> 4 | b << 4) & 255 for b in key)
    out = {"raw": key, "swapped": swapped, "backwards": key[::-1]}
    for name, b in list(out.items()):
        out["hex " + name], out["HEX " + name] = b.hex().encode(), b.hex().upper().encode()
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + key)
        out[f"base64/{shift}"] = whole[(0, 2, 3)[shift]:(21, 22, 24)[shift]]  # without the letters that its neighbours share
        out[f"base64url/{shift}"] = out[f"base64/{shift}"].replace(b"+", b"-").replace(b"/", b"_")
    return out


def found(place, data, keys):
    return [f"{who} as {form} in {place}" for who, key in keys.items() for form, text in forms(key).items() if text in data]


def everything(w):
    for root, _, files in os.walk(w.dir):
        for name in files:
            yield os.path.join(root, name), open(os.path.join(root, name), "rb").read()


class Telling(World):
    """A world whose commands' words are kept."""
    words = b""

    def usher(self, *words, **how):
        out = super().usher(*words, **how)
        self.words += out.encode()
        return out


def captured(w):
    """All that goes over loopback between our processes, if this user may see it."""
    if not shutil.which("dumpcap") or os.geteuid() != 0:
        missed.append("the wires were not searched: dumpcap as root is needed to capture on loopback")
        return None
    ports = {int(p) for d in w.dirs for p in re.findall(r":(\d+)$", open(w.path(d, "run/ports")).read(), re.M)}
    shark = subprocess.Popen(["dumpcap", "-q", "-i", "lo", "-w", w.path("all.pcap"), "-f", " or ".join(f"port {p}" for p in sorted(ports))],
                             stderr=subprocess.PIPE, text=True)
    w.wait("dumpcap captures", lambda: os.path.exists(w.path("all.pcap")) and os.path.getsize(w.path("all.pcap")) > 0)
    return shark


def journey(w):
    w.manufacture(2)
    assert w.claim().count("subscribed") == 2
    w.frequencies("vis1")
    w.words += w.equipment("--fleet", "--until=operate", "fleet").encode()
    w.usher("status")
    w.usher("explain", "acme:000001")
    w.usher("audit", *w.dirs)


def no_core(w):
    """Each role's process: no core file by its limit, and none by a handler either, because it is not dumpable. For root every
    process looks like that, so there they run as nobody; a sleep of the same user shows that the look can tell."""
    user = NOBODY if os.geteuid() == 0 else os.geteuid()
    w.stop()
    os.mkdir(w.path("bin"))  # the build may lie where nobody may not go
    for program in [USHER, *(p for p in glob.glob(os.path.join(BUILD, "roles", "*", "usher-*")) if os.path.isfile(p) and os.access(p, os.X_OK))]:
        shutil.copy(program, w.path("bin"))
    if user == NOBODY:
        for root, dirs, files in os.walk(w.dir):
            for name in [root, *(os.path.join(root, f) for f in files)]:
                os.chown(name, NOBODY, NOBODY)
    run = subprocess.Popen([w.path("bin", "usher"), "run", *w.dirs], cwd=w.dir, env=w.env, user=user, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True)
    plain = subprocess.Popen(["sleep", "60"], user=user)
    try:
        for _ in w.dirs:
            line = run.stdout.readline()
            assert " is up" in line, line
        owner = lambda pid: os.stat(f"/proc/{pid}/environ").st_uid
        assert owner(plain.pid) == user
        for dir in w.dirs:
            pid, = w.pids(dir, run)
            assert re.search(r"^Max core file size\s+0\s+0\s", open(f"/proc/{pid}/limits").read(), re.M), dir
            assert owner(pid) == 0, f"{dir} is dumpable"
    finally:
        plain.kill()
        run.terminate()
        run.wait(15)
        plain.wait()


with Telling() as w:
    w.world(devices=0)
    shark = captured(w)
    journey(w)
    if shark:
        last = os.urandom(16)  # what is captured stands in the file in its order: with this, all before it
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(last, ("127.0.0.1", w.port("vis1", "cell")))
        w.wait("dumpcap has written all", lambda: last in open(w.path("all.pcap"), "rb").read())
        shark.terminate()
        shark.wait(20)
        assert os.path.getsize(w.path("all.pcap")) > 50000
    keys = keys_of(w, "reg", "registration", "pimsi") | keys_of(w, "hss", "hss", "imsi")
    assert len(keys) == 8 and len(set(keys.values())) == 8, keys.keys()
    # the search finds what is there, in every form
    for who, key in keys.items():
        for form, text in forms(key).items():
            assert any(form in f for f in found("a test", b"x" + text + b"y", {who: key})), form
    at_work = [f for place, data in everything(w) for f in found(place, data, keys)]
    w.stop()  # the last words, and what was in the -wal files
    at_rest = [f for place, data in everything(w) for f in found(place, data, keys)]
    printed = found("what the commands print", w.words, keys)
    assert not at_work + at_rest + printed, "\n".join(at_work + at_rest + printed)
    no_core(w)
print("; ".join(missed) or "ok")
sys.exit(77 if missed else 0)
