# SPDX-License-Identifier: Apache-2.0
"""A disk that is full is named, with the file: a tmpfs of 16 KiB in a mount namespace of the test's own."""
import os, subprocess, sys
from usher import World, USHER

FULL = """mount -t tmpfs -o size=16k,mode=0700 small small 2>/dev/null || exit 77
head -c 1048576 /dev/zero >small/filler 2>/dev/null
exec "$@"
"""
with World() as w:
    os.mkdir(w.path("small"))
    own = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    p = subprocess.run([*own, "sh", "-c", FULL, "sh", USHER, "setup", "attestation", "small/pki", "--id", "x.example", "--staff", "bob",
                        "--invite-file", "bob.invite"], cwd=w.dir, env=w.env, capture_output=True, text=True, timeout=60)
    if p.returncode == 77 or "unshare:" in p.stderr:
        print("no mount namespace here: " + p.stderr.strip())
        sys.exit(77)
    assert p.returncode == 1 and "small/" in p.stderr and "No space left on device" in p.stderr and "Sanitizer" not in p.stderr, p
print("ok")
