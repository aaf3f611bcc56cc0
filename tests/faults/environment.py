# SPDX-License-Identifier: Apache-2.0
"""no_proxy=* in the environment dials nobody past the tunnel: every address of a journey is asked for at its gateway. (The other
tests run with proxies in their environment that nobody is at.)"""
import os, re, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World

with World() as w:
    w.env |= {"no_proxy": "*", "NO_PROXY": "*"}
    w.world(devices=1)
    assert w.claim().count("subscribed") == 1
    w.frequencies("vis1")
    w.equipment("--fleet", "--until=operate", "fleet")
    opened = lambda d: set(re.findall(r"access .*target=(\S+) act=open", open(w.path(d, "run/log")).read()))
    at = lambda d, name: re.search(rf"^{name} (\S+)", open(w.path(d, "run/ports")).read(), re.M).group(1)
    assert opened("reg") == {at("reg", "discover"), at("dlusim", "equipment"), at("dm", "equipment"), at("pki", "ocsp")}, opened("reg")
    assert opened("hss") == {at("dlusim", "equipment"), at("dm", "equipment")}, opened("hss")
print("ok")
