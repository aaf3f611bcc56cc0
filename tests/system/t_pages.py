# SPDX-License-Identifier: Apache-2.0
"""Man pages and example configurations: complete, clean, installed; and an installation in which usher finds its roles."""
import os, re, shutil, subprocess, tempfile
from usher import BUILD, USHER

ROLES = ("attestation", "registration", "visited", "hss", "dlusim", "dm", "equipment")


def said(*words, code=0, **more):
    p = subprocess.run(words, capture_output=True, text=True, timeout=60, **more)
    assert p.returncode == code, (words, p.returncode, p.stdout, p.stderr)
    return p.stdout if code == 0 else p.stderr


def plain(page):
    """As a reader sees it, lines joined."""
    return re.sub(r"\s+", " ", said("groff", "-man", "-Tascii", "-P-cbou", "-rLL=400n", page))


def commands():
    return [m[1].strip() for m in re.finditer(r"^  ([a-z]+(?: [a-z]+)?)  ", said(USHER, "help"), re.M)]


def keys(example):
    """Items of an example configuration, nested ones with their parents' names."""
    out, path = [], []
    for line in example.splitlines():
        m = re.match(r"( *)(?:# )?([a-z_]+):(?: |$)", line)
        if not m or line.lstrip().startswith("# -"):
            continue
        if line.lstrip().startswith("#") and "(must be given)" not in line:
            continue
        path[len(m[1]) // 2:] = [m[2]]
        out.append(".".join(path))
    return out


dir = tempfile.mkdtemp(prefix="usher-pages-")
try:
    said("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", dir)
    found = {}
    for top, _, files in os.walk(dir):
        for f in files:
            found.setdefault(f, os.path.join(top, f))
    pages = ["usher.1", "usher.yaml.5"] + [f"usher-{r}.8" for r in ROLES]
    for page in pages:
        p = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", found[page]], capture_output=True, text=True)
        assert p.returncode == 0 and not p.stderr, (page, p.stderr)
        text = open(found[page]).read()
        for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"):
            assert f"\n.SH {section}\n" in text, (page, section)
    # every command with every option, and every item of every configuration
    page = plain(found["usher.1"])
    assert len(commands()) >= 16, commands()
    for c in commands():
        helped = said(USHER, "help", *c.split())
        assert helped == said(USHER, *c.split(), "--help"), c
        assert f"usher {c} " in page and re.search(rf"^  usher .*{c}", helped, re.M), (c, "an example is missing")
        for option in re.findall(r"--[a-z-]+", re.search(r"^usage: (.*)$", helped, re.M)[1]):
            assert option in page, (c, option)
    for r in ROLES:
        example = open(found[f"{r}.yaml"]).read()
        assert len(keys(example)) >= 1
        for key in keys(example):
            assert re.search(rf"^\.B {re.escape(key)}$", open(found[f"usher-{r}.8"]).read(), re.M), (r, key)
        # the example is a configuration once what must be given is given
        given = {"role": r, "id": "901-70" if r in ("registration", "visited", "hss") else "one.example", "operator": "262-42"}
        folder = os.path.join(dir, r)
        os.makedirs(os.path.join(folder, "peers"))
        text = re.sub(r"^( *)# ([a-z_]+): +\(must be given\)$", lambda m: f"{m[1]}{m[2]}: {given.get(m[2], 'one.example')}", example, flags=re.M)
        name = "equipment.yaml" if r == "equipment" else "usher.yaml"
        open(os.path.join(folder, name), "w").write(text)
        assert ": good, " in said(found[f"usher-{r}"], "--check-config", folder)
        open(os.path.join(folder, name), "a").write("lissen: x\n")
        wrong = said(found[f"usher-{r}"], "--check-config", folder, code=1)
        assert f"{name}:{len(text.splitlines()) + 1}: unknown key `lissen`" in wrong, wrong
        if r != "equipment":
            assert "did you mean `listen`?" in wrong, wrong
    for f in ("README.md", "wires.md"):
        assert f in found, f
    # from where it is installed, with nothing in PATH, usher finds the roles
    env = {"PATH": "/nonexistent", "HOME": dir}
    said(found["usher"], "setup", "attestation", "pki", "--id", "pki.example", "--staff", "alice", "--invite-file", "alice.invite", cwd=dir, env=env)
    run = subprocess.Popen([found["usher"], "run", "pki"], cwd=dir, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert run.stdout.readline().startswith("attestation pki.example is up"), "usher run"
        exe = [os.path.realpath(open(f"/proc/{p}/cmdline").read().split("\0")[0]) for p in open(f"/proc/{run.pid}/task/{run.pid}/children").read().split()]
        assert exe == [os.path.realpath(found["usher-attestation"])], exe
    finally:
        run.terminate()
        assert run.wait(15) == 0
finally:
    shutil.rmtree(dir)
print("ok")
