# SPDX-License-Identifier: Apache-2.0
"""I4 R7: discover tells nobody anything who does not answer the PIMSI's own challenge, with AKA."""
import base64, http.client, os, re, ssl, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from usher import World


def ask(w, **fields):
    """GET /v1/discover with this Authorization: status, challenge or "", body."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = dict(line.split() for line in open(w.path("reg/run/ports")))["discover"]
    c = http.client.HTTPSConnection("127.0.0.1", int(address.rsplit(":", 1)[1]), context=context, timeout=20)
    bare = ("nc", "qop")
    line = "Digest " + ", ".join(f"{k}={v}" if k in bare else f'{k}="{v}"' for k, v in fields.items())
    c.request("GET", "/v1/discover", headers={"Authorization": line} if fields else {})
    r = c.getresponse()
    return r.status, r.getheader("WWW-Authenticate") or "", r.read().decode()


with World() as w:
    w.world(devices=2)
    assert w.claim().count("subscribed") == 2
    realm = re.search(r'realm="([^"]*)"', ask(w, username="901700000000001", realm="x", uri="/v1/discover", nonce="", response="")[1]).group(1)
    first = lambda n: dict(username=f"90170000000000{n}", realm=realm, uri="/v1/discover", nonce="", response="")

    def challenged(n):
        status, line, _ = ask(w, **first(n))
        assert status == 401 and "AKAv2-SHA-256" in line, line
        return re.search(r'nonce="([^"]*)"', line).group(1)

    def answer(n, nonce, response="0" * 64, **more):
        return ask(w, **dict(first(n), nonce=nonce, algorithm="AKAv2-SHA-256", qop="auth", nc="00000001", cnonce="00" * 16, response=response, **more))

    one, two = challenged(1), challenged(2)
    assert one != two and len(base64.b64decode(one)) == 32
    for n, nonce in ((1, one), (1, two), (1, base64.b64encode(bytes(32)).decode()), (2, one)):
        status, line, body = answer(n, nonce)
        assert status == 401 and nonce not in line, (status, line, body)  # refused, and the next challenge is another
    # AUTS belongs to the challenge that was given to this PIMSI, and its MAC-S must be right
    one = challenged(1)
    for n, nonce in ((1, two), (2, one), (1, one)):
        status, line, body = answer(n, nonce, auts=base64.b64encode(bytes(14)).decode())
        assert status == 403 and "does not belong" in body, (status, body)
    assert w.sql("reg", "registration", "SELECT COUNT(*) FROM audit WHERE text LIKE '%resynchronised%'") == [(0,)]
    # a blocked one, one that is not issued, one that is bound to nobody, no credentials, other schemes
    w.usher("pimsi", "block", "901700000000002")
    for status, line, body in (ask(w, **first(2)), ask(w, **dict(first(1), username="901700000000099")), ask(w, **dict(first(1), username="262420000000001"))):
        assert status == 403 and not line, (status, body)
    assert ask(w)[0] == 401 and ask(w, username="x")[0] == 401
    assert w.sql("reg", "registration", "SELECT COUNT(*) FROM route WHERE discovered = 1") == [(0,)]
print("ok")
