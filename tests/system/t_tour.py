# SPDX-License-Identifier: Apache-2.0
"""doc/tour.md, exactly as it is printed: every command from an empty folder to an operative equipment."""
import os, re, shutil, subprocess, tempfile
from usher import BUILD

text = open(os.path.join(os.path.dirname(__file__), "..", "..", "doc", "tour.md")).read()
script = "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S))
assert script.count("\nusher ") > 40
# before it is looked at: the DM service has heard of the activation, in a session of its own over the home bearer
script = script.replace("usher explain", "until [ $(grep -c 'ends with result 1200' fleet/acme_000001/journey) = 2 ]; do sleep 0.1; done\nusher explain", 1)
dir = tempfile.mkdtemp(prefix="usher-tour-")
try:
    path = ":".join(os.path.join(os.path.abspath(BUILD), d) for d in ("people", "roles/equipment")) + ":" + os.environ["PATH"]
    p = subprocess.run(["sh", "-eu", "-c", script], cwd=dir, env={"PATH": path, "HOME": dir}, capture_output=True, text=True, timeout=200)
    said = p.stdout + p.stderr
    for words in ("registration  901-70", "1 PIMSIs of 901-70 loaded", "1 equipments bound", "acme:000001              subscribed", "1 of 1 reached: install",
                  "now: operative; nothing is left to do", "jobs: 1 active", " 0 broken"):
        assert words in said, (words, said)
    assert p.returncode == 0, (p.returncode, said)
    assert "not heard" not in said and "DOWN" not in said, said
finally:
    shutil.rmtree(dir)
print("ok")
