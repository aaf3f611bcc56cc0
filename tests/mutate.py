# SPDX-License-Identifier: Apache-2.0
"""Takes each check of tests/mutants out of a scratch copy of the tree and sees the test go red that is named beside it.

An entry: `@ FILE TEST  what is checked`, then lines `-TEXT` (stands exactly once in FILE) and `+TEXT` (takes its place; none: nothing).
TEST: a unit or fuzz target (unit-core-tls), or a path (tests/journey/2_attach.py). Words on the command line choose entries: a part of file, test or words."""
import os, shutil, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def entries():
    out = []
    for line in open(os.path.join(ROOT, "tests", "mutants")):
        line = line.rstrip("\n")
        if line.startswith("@ "):
            file, test, words = line[2:].split(None, 2)
            out.append({"file": file, "test": test, "words": words, "-": [], "+": []})
        elif line[:1] in ("-", "+"):
            out[-1][line[0]].append(line[1:])
        elif line and not line.startswith("#"):
            sys.exit(f"tests/mutants: what is this? {line}")
    return out


class Tree:
    """A copy with a build folder of its own; no sanitizers: a mutant dies by its test."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="usher-mutants-")
        os.chmod(self.dir, 0o755)  # tests/faults/canaries.py runs what is built as another user
        self.build = os.path.join(self.dir, "build")
        for f in subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split():
            if os.path.exists(os.path.join(ROOT, f)):
                os.makedirs(os.path.join(self.dir, os.path.dirname(f)), exist_ok=True)
                shutil.copy2(os.path.join(ROOT, f), os.path.join(self.dir, f))
        self.run("meson", "setup", self.build, "-Dtest_hooks=true", "-Dtests=enabled", "-Dbuildtype=debug")
        # the programs, which tests between processes need together
        listed = self.run("ninja", "-C", self.build, "-t", "targets", "all").stdout
        self.programs = [w.split(":")[0] for w in listed.split("\n") if w.split("/")[-1].startswith("usher") and "LINKER" in w]

    def run(self, *words):
        p = subprocess.run(words, cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if p.returncode:
            sys.exit(f"{' '.join(words)}: {p.stdout[-3000:]}")
        return p

    def build_for(self, test):
        """The compiler's words, or None when it is built."""
        targets = self.programs if test.endswith(".py") else ["tests/" + test]
        p = subprocess.run(["ninja", "-C", self.build, *targets], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return p.stdout if p.returncode else None

    def red(self, test):
        """What a failed test says, or None."""
        words, env = [os.path.join(self.build, "tests", test)], os.environ
        if test.startswith("fuzz-"):
            words.append(os.path.join(self.dir, "tests/fuzz/corpus", test[5:]))
        if test.endswith(".py"):
            words, env = ["python3", os.path.join(self.dir, test)], dict(os.environ, USHER_BUILD=self.build)
        said = tempfile.TemporaryFile("w+", errors="replace")
        p = subprocess.Popen(words, cwd=self.dir, env=env, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            if p.wait(150 if test.endswith(".py") else 40) == 0:
                return None
            said.seek(0)
            lines = [line.strip() for line in said if "Error" in line or line.startswith(("[  ERROR", "[   LINE", "[  FAILED"))]
            return (lines[0] if lines else f"exit {p.returncode}")[:120]
        except subprocess.TimeoutExpired:
            return "no end"
        finally:
            try:
                os.killpg(p.pid, 9)
            except ProcessLookupError:
                pass


def change(path, old, new):
    text = open(path).read()
    if text.count(old) != 1:
        return f"`{old}` stands {text.count(old)} times in it"
    with open(path, "w") as f:
        f.write(text.replace(old, new))


def main(words):
    chosen = [e for e in entries() if not words or any(w in " ".join((e["file"], e["test"], e["words"])) for w in words)]
    tree, killed, broken = Tree(), 0, []
    try:
        for test in sorted({e["test"] for e in chosen}):
            why = tree.build_for(test) or tree.red(test)
            if why:
                broken.append(f"{test} is red without any mutant: {why[-600:]}")
        for e in chosen:
            path, start = os.path.join(tree.dir, e["file"]), time.time()
            whole = open(path).read()
            bad = change(path, "\n".join(e["-"]), "\n".join(e["+"])) or tree.build_for(e["test"])
            dead = not bad and tree.red(e["test"])
            with open(path, "w") as f:
                f.write(whole)
            killed += bool(dead)
            if bad:
                broken.append(f"{e['file']}: {e['words']}: {bad[-600:]}")
            end, by = "killed" if dead else "BROKEN" if bad else "ALIVE ", f": {dead}" if dead else ""
            print(f"{end} {time.time() - start:5.1f} s  {e['file']}: {e['words']}  ({e['test']}{by})", flush=True)
    finally:
        shutil.rmtree(tree.dir, ignore_errors=True)
    for b in broken:
        print("BROKEN " + b)
    print(f"{len(chosen)} mutants, {killed} killed")
    return 0 if chosen and killed == len(chosen) and not broken else 1


sys.exit(main(sys.argv[1:]))
