"""Tokens in every way in which they can be wrong, shown to a running parthaul-api, beside as many that
are right: forged, confused about their algorithm, bringing their own keys, written so that two readers
would disagree (RFC 7515, 7518, 7519, 7797, 8037, 8725)."""

import base64
import hashlib
import hmac
import json
import pathlib
import secrets
import subprocess
import time

from common import (API, AUDIENCE, ISSUER, JWT_SECRET, SECRETS, Api, base64url, check, equal, raw,
                    served)
from identity import Fake, Key, without_keys

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# The points of Ed25519 whose order is 8 or less, and their other spellings: by such a key anybody's
# signature is good. Each also with its highest bit.
SMALL_ORDER = [
    "00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]


class Secret:
    """A symmetric key, with the manners of Key."""

    alg, kid = "HS256", "h"

    def __init__(self, value=JWT_SECRET):
        self.value = value
        self.jwk = {"kty": "oct", "kid": self.kid, "alg": self.alg, "k": base64url(value).decode()}

    def sign(self, text):
        return hmac.new(self.value, text, hashlib.sha256).digest()


def claims(**changes):
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 600, **changes}
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def head(key, **changes):
    header = {"alg": key.alg, "kid": key.kid, "typ": "JWT", **changes}
    return json.dumps({name: value for name, value in header.items() if value is not None}).encode()


def made(key, header=None, body=None, sign=None, encode=base64url):
    """A token, signed by `key` whatever it says; `sign` may do something to the signature."""
    text = encode(header if header is not None else head(key)) + b"." + encode(
        body if body is not None else claims())
    signature = key.sign(text)
    if sign:
        signature = sign(signature)
    token = (text + b"." + base64url(signature)).decode("latin-1")
    SECRETS.append(token)
    return token


def flip(data, at):
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def number(value, size=32):
    return value.to_bytes(size, "big")


def der(signature):
    """r and s as OpenSSL and X.509 write them."""
    def integer(data):
        data = data.lstrip(b"\0") or b"\0"
        data = b"\0" + data if data[0] & 0x80 else data
        return b"\x02" + bytes([len(data)]) + data
    half = len(signature) // 2
    body = integer(signature[:half]) + integer(signature[half:])
    return b"\x30" + bytes([len(body)]) + body


# ---- What is wrong, for each algorithm -------------------------------------------------------------


def of_signatures(key, others):
    """{name: token}: not this key's signature of this text."""
    token = made(key)
    header, payload, signature = token.split(".")
    other_claims = base64url(claims(sub="bob")).decode()
    wrong = {
        "another payload": f"{header}.{other_claims}.{signature}",
        "another header": f"{base64url(head(key, x=1)).decode()}.{payload}.{signature}",
        "no signature": f"{header}.{payload}.",
        "no signature and no dot": f"{header}.{payload}",
        "a part more": token + "." + signature,
        "five parts": ".".join([header, "", payload, payload, signature]),
        "no header": f".{payload}.{signature}",
        "no payload": f"{header}..{signature}",
        "halves changed": f"{payload}.{header}.{signature}",
        "its first bit": made(key, sign=lambda s: flip(s, 0)),
        "its last bit": made(key, sign=lambda s: flip(s, -1)),
        "a byte less": made(key, sign=lambda s: s[:-1]),
        "a byte more": made(key, sign=lambda s: s + b"\0"),
        "a byte before": made(key, sign=lambda s: b"\0" + s),
        "zeros": made(key, sign=lambda s: bytes(len(s))),
        "ones": made(key, sign=lambda s: b"\xff" * len(s)),
        "twice": made(key, sign=lambda s: s + s),
        "of an unencoded payload": made(key, encode=lambda data: data),
        "as JSON": json.dumps({"protected": header, "payload": payload, "signature": signature}),
    }
    for other in others:
        if other is not key:
            wrong[f"by {other.alg}, as {key.alg}"] = made(other, head(key))
            wrong[f"by {key.alg}, as {other.alg}"] = made(key, head(other))
            wrong[f"by {key.alg}, alg {other.alg}"] = made(key, head(key, alg=other.alg))
    for alg in ("none", "None", "NONE", "nOnE", "", " " + key.alg, key.alg + " ", key.alg.swapcase(),
                "HS384", "HS512", "RS1", "PS512", "ES256K", "ES512", "Ed448", "RSA-OAEP", "dir"):
        wrong[f"alg {alg!r}, signed"] = made(key, head(key, alg=alg))
        wrong[f"alg {alg!r}, not signed"] = made(key, head(key, alg=alg)).rsplit(".", 1)[0] + "."
    for alg in (None, 7, [key.alg], {"alg": key.alg}, True):
        wrong[f"alg is {alg!r}"] = made(key, head(key, alg=alg))
    return wrong


def of_headers(key):
    good = head(key)
    wrong = {
        "crit": head(key, crit=["exp"]), "crit of what is known": head(key, crit=["alg"]),
        "an empty crit": head(key, crit=[]), "crit that is a text": head(key, crit="exp"),
        "crit and b64": head(key, crit=["b64"], b64=False),
        "b64 alone (RFC 7797, 7)": head(key, b64=False),
        "another kid": head(key, kid="nobody"), "a kid of a path": head(key, kid="../../dev/null"),
        "an empty kid": head(key, kid=""), "a kid with NUL": head(key, kid=key.kid + "\0"),
        "a kid that is a number": head(key, kid=1), "a kid that is a list": head(key, kid=[key.kid]),
        "alg twice": good[:-1] + b', "alg": "none"}', "kid twice": good[:-1] + b', "kid": "x"}',
        "alg twice, escaped": good[:-1] + b', "\\u0061lg": "none"}',
        "a list": b"[" + good + b"]", "a text": json.dumps(good.decode()).encode(),
        "something behind it": good + b"{}", "a comment": good[:-1] + b"/**/}",
        "a comma too many": good[:-1] + b",}", "a BOM": b"\xef\xbb\xbf" + good,
        "single quotes": good.replace(b'"', b"'"), "no JSON": b"alg=HS256",
        "half": good[:len(good) // 2], "no UTF-8": good[:-1] + b', "x": "\xff"}',
        "UTF-16": good.decode().encode("utf-16"), "very deep": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    }
    return {what: made(key, header) for what, header in wrong.items()}


def of_claims(key):
    """{name: (token, code)}: signed as it should be."""
    now = int(time.time())
    good = claims()
    cases = {
        "expired": (claims(exp=now - 61), "TOKEN_EXPIRED"), "long ago": (claims(exp=0), "TOKEN_EXPIRED"),
        "no end": (claims(exp=None), "TOKEN_INVALID"), "an end in text": (claims(exp="9999999999"), "TOKEN_INVALID"),
        "an endless end": (good.replace(b'"exp": ', b'"exp": 9e999, "x": '), "TOKEN_INVALID"),
        "a negative end": (claims(exp=-1), "TOKEN_INVALID"), "not yet": (claims(nbf=now + 3600), "TOKEN_NOT_YET"),
        "from the future": (claims(iat=now + 3600), "TOKEN_NOT_YET"),
        "another's issuer": (claims(iss=ISSUER + "/"), "TOKEN_WRONG_ISSUER"),
        "a list of issuers": (claims(iss=[ISSUER]), "TOKEN_WRONG_ISSUER"),
        "no issuer": (claims(iss=None), "TOKEN_WRONG_ISSUER"),
        "for others": (claims(aud=["x", AUDIENCE + "2"]), "TOKEN_WRONG_AUDIENCE"),
        "for nobody": (claims(aud=[]), "TOKEN_WRONG_AUDIENCE"), "nobody's": (claims(sub=None), "TOKEN_INVALID"),
        "a number's": (claims(sub=7), "TOKEN_INVALID"), "a list's": (claims(sub=["alice"]), "TOKEN_INVALID"),
        "sub twice": (good[:-1] + b', "sub": "bob"}', "TOKEN_INVALID"),
        "exp twice": (good[:-1] + b', "exp": 9999999999}', "TOKEN_INVALID"),
        "sub twice, escaped": (good[:-1] + b', "s\\u0075b": "bob"}', "TOKEN_INVALID"),
        "sub twice, deeper": (good[:-1] + b', "x": {"a": 1, "a": 2}}', "TOKEN_INVALID"),
        "NUL in sub": (claims(sub="alice\0"), "TOKEN_INVALID"),
        "half a pair in sub": (good.replace(b'"alice"', b'"\\ud800"'), "TOKEN_INVALID"),
        "no UTF-8": (good.replace(b"alice", b"\xff"), "TOKEN_INVALID"),
        "too long (UTF-8)": (good.replace(b"alice", b"\xc0\x80"), "TOKEN_INVALID"),
        "a list": (b"[" + good + b"]", "TOKEN_INVALID"), "nothing in it": (b"{}", "TOKEN_WRONG_ISSUER"),
        "two": (good + good, "TOKEN_INVALID"), "a token in it": (made(key).encode(), "TOKEN_INVALID"),
    }
    return {what: (made(key, body=body), code) for what, (body, code) in cases.items()}


def of_spelling(key):
    """The same bytes, or nearly so, in base64 that is not base64url's one spelling of them."""
    token = made(key, body=claims(x="\u00ff\u00fe?>~"))
    wrong = {}
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place, name in enumerate(("header", "payload", "signature")):
        parts = token.split(".")
        part = parts[place]

        def put(what, text, parts=parts, place=place, name=name):
            wrong[f"{name}: {what}"] = ".".join(parts[:place] + [text] + parts[place + 1:])

        put("padded", part + "=" * (-len(part) % 4 or 4))
        put("one sign of padding", part + "=")
        if "-" in part or "_" in part:
            put("the other alphabet", part.replace("-", "+").replace("_", "/"))
        put("a space in it", part[:8] + " " + part[8:])
        put("a tab in it", part[:8] + "\t" + part[8:])
        put("percent", part[:8] + "%41" + part[8:])
        put("a sign more", part + "A")
        put("a NUL's escape", part + "%00")
        put("a comma", part + ",")
        if len(part) % 4:  # the last sign has bits that mean nothing
            last = alphabet.index(part[-1])
            put("stray bits", part[:-1] + alphabet[last ^ 1])
    # What is signed with its odd spelling is odd all the same.
    for what, encode in {
            "padded, and signed so": lambda data: base64.urlsafe_b64encode(data + b" " * (2 - len(data) % 3)),
            "hex": lambda data: data.hex().encode(),
            "base64 of base64": lambda data: base64url(base64url(data))}.items():
        wrong[what] = made(key, encode=encode)
    return wrong


def of_keys_it_brings(key, mallory, url):
    """Signed by somebody else, who shows a key that fits."""
    mallory.kid = key.kid
    shown = {**mallory.jwk, "kid": key.kid}
    cert = base64.b64encode(b"0" * 300).decode()
    brings = {
        "jwk": {"jwk": shown}, "jku": {"jku": url + "/jwks"}, "x5u": {"x5u": url + "/cert"},
        "x5c": {"x5c": [cert]}, "x5t": {"x5t": base64url(b"0" * 20).decode()},
        "all": {"jwk": shown, "jku": url, "x5u": url, "x5c": [cert]},
        "a kid of a URL": {"kid": url + "/jwks"}, "jwk, no kid": {"jwk": shown, "kid": None},
    }
    return {f"brings {what}": made(mallory, head(mallory, **more)) for what, more in brings.items()}


def of_public_halves(keys):
    """HMAC with what everybody knows (RFC 8725, 2.1), called HS256 and by the key's own name."""
    wrong = {}
    for key in keys:
        if isinstance(key, Secret):
            continue
        pem, der_form = key.public("PEM"), key.public("DER")
        known = {"PEM": pem, "PEM, one line": pem.strip(), "DER": der_form,
                 "JWK": json.dumps(key.jwk).encode(),
                 "JWK, compact": json.dumps(key.jwk, separators=(",", ":")).encode(),
                 "the kid": key.kid.encode(), "nothing": b""}
        for name in ("n", "x"):
            if name in key.jwk:
                known[name] = key.jwk[name].encode()
                known[name + ", decoded"] = base64.urlsafe_b64decode(key.jwk[name] + "==")
        for what, value in known.items():
            for alg in ("HS256", key.alg):
                for kid in (key.kid, None, "h"):
                    wrong[f"HMAC by {key.alg}'s {what}, {alg}, kid {kid}"] = made(
                        Secret(value), head(key, alg=alg, kid=kid))
    return wrong


def of_numbers(keys):
    """Signatures whose numbers are at the edges of what they may be."""
    wrong = {}
    for key in keys:
        if key.alg in ("ES256", "ES384"):
            size = 32 if key.alg == "ES256" else 48
            zero, one = bytes(size), number(1, size)
            edges = {"DER": der, "r = 0": lambda s: zero + s[size:], "s = 0": lambda s: s[:size] + zero,
                     "both 0": lambda _: zero + zero, "both 1": lambda _: one + one,
                     "swapped": lambda s: s[size:] + s[:size], "r alone": lambda s: s[:size],
                     "a byte more in each": lambda s: b"\0" + s[:size] + b"\0" + s[size:]}
            if key.alg == "ES256":
                edges["r = n"] = lambda s: number(P256_ORDER) + s[size:]
                edges["s + n"] = lambda s: s[:size] + number(
                    (int.from_bytes(s[size:], "big") + P256_ORDER) % 2**256)
                edges["s = n"] = lambda s: s[:size] + number(P256_ORDER)
            wrong |= {f"{key.alg}, {what}": made(key, sign=change) for what, change in edges.items()}
        elif key.alg == "EdDSA":
            def more(s):  # S + L is congruent; RFC 8032 wants the least
                return s[:32] + (int.from_bytes(s[32:], "little") + ED25519_ORDER).to_bytes(32, "little")
            wrong["EdDSA, S + L"] = made(key, sign=more)
            for point in SMALL_ORDER:
                wrong[f"EdDSA, R = {point[:8]}"] = made(
                    key, sign=lambda s, p=point: bytes.fromhex(p) + s[32:])
                wrong[f"EdDSA, R = {point[:8]}, S = 0"] = made(
                    key, sign=lambda s, p=point: bytes.fromhex(p) + bytes(32))
        elif key.alg[1:] == "S256" and key.alg != "HS256":
            n = base64.urlsafe_b64decode(key.jwk["n"] + "==")
            for what, value in {"0": 0, "1": 1, "n - 1": int.from_bytes(n, "big") - 1,
                                "n": int.from_bytes(n, "big"),
                                "n + 1": int.from_bytes(n, "big") + 1}.items():
                wrong[f"{key.alg}, signature {what}"] = made(
                    key, sign=lambda _, v=value: number(v, len(n)))
    return wrong


# ---- The running API --------------------------------------------------------------------------------


def refuse_all(api, wrong, code="TOKEN_INVALID"):
    for what, token in wrong.items():
        status, headers, problem = api.ask("GET", "/v1/credentials", token)
        got = problem.get("code") if isinstance(problem, dict) else problem
        equal(f"JWS: {what}", (status, got), (401, code))
        check(f"JWS: {what}: nothing is lent", "credentials" not in str(problem), problem)


def test_keys_of_nobody(folder, settings):
    """A key by which anybody's signature is good is no key."""
    for point in SMALL_ORDER:
        for high in (0, 0x80):
            raw = bytearray.fromhex(point)
            raw[31] |= high
            jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(bytes(raw)).decode()}
            path = pathlib.Path(folder) / "small-order.json"
            path.write_text(json.dumps(jwk))
            mine = {**without_keys(settings), "PARTHAUL_JWT_KEY_FILES": str(path)}
            done = subprocess.run([API, "--check"], env=Api(folder, **mine).environment,
                                  capture_output=True, text=True, timeout=30)
            check(f"a key of small order: {raw.hex()[:8]}...{raw.hex()[-2:]}",
                  done.returncode == 2 and "JWT_KEY_FILES" in done.stderr, done.stderr)


def test(folder, settings):
    keys = [Key(folder, "RS256", "r"), Key(folder, "PS256", "p"), Key(folder, "ES256", "e"),
            Key(folder, "ES384", "f"), Key(folder, "EdDSA", "d"), Secret()]
    path = pathlib.Path(folder) / "all-keys.json"
    stated = [dict(key.jwk) for key in keys]
    del stated[1]["alg"]  # the setting says it
    path.write_text(json.dumps({"keys": stated}))
    SECRETS.append(keys[-1].jwk["k"])
    settings = {**settings, "PARTHAUL_USER_RATE": "0"}
    mine = {**without_keys(settings), "PARTHAUL_JWT_KEY_FILES": str(path),
            "PARTHAUL_JWT_RSA_ALGORITHM": "PS256"}
    with served(Fake, requests=[], answer=lambda *_: (200, b"{}", {})) as bait, \
            Api(folder, **mine) as api:
        mallory = [Key(folder, "RS256", "m"), Key(folder, "ES256", "m"), Key(folder, "EdDSA", "m"),
                   Secret(secrets.token_bytes(40))]
        for key in keys:
            # What is right has to be taken, or refusing the rest would prove nothing.
            right = {
                "as it should be": made(key), "without a kid": made(key, head(key, kid=None)),
                "without a typ": made(key, head(key, typ=None)),
                "with a header of its own": made(key, head(key, x="y", b=[1])),
                "with spaces": made(key, b" " + head(key) + b"\n", b"\t" + claims() + b" "),
                "with others' keys, by ours": made(key, head(
                    key, jku=bait.url, x5u=bait.url, jwk=mallory[1].jwk, x5c=["AAAA"])),
                "a moment over": made(key, body=claims(exp=int(time.time()) - 30)),
                "7 KiB": made(key, body=claims(x="y" * 5000)),
            }
            for what, token in right.items():
                equal(f"JWS: {key.alg}, {what}", api.ask("GET", "/v1/credentials", token)[0], 200)
            refuse_all(api, of_signatures(key, keys))
            for other in mallory:
                if other.alg[0] == key.alg[0]:
                    refuse_all(api, of_keys_it_brings(key, other, bait.url))
            if key.alg not in ("RS256", "EdDSA", "HS256"):  # one for each library is enough
                continue
            refuse_all(api, of_headers(key))
            refuse_all(api, of_spelling(key))
            for what, (token, code) in of_claims(key).items():
                refuse_all(api, {f"{key.alg}, {what}": token}, code)
            for size in (8193, 12000, 16000):
                refuse_all(api, {f"{key.alg}, {size} bytes": made(key, body=claims(x="y" * size))})
            for size in (40000, 1000000):
                answer = raw(api, b"GET /v1/credentials HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                             + made(key, body=claims(x="y" * size)).encode() + b"\r\n\r\n")
                check(f"JWS: {size} bytes", b" 200 " not in answer[:20], answer[:60])
        refuse_all(api, of_public_halves(keys))
        refuse_all(api, of_numbers(keys))
        equal("JWS: nobody was asked for a key", bait.requests, [])
        equal("JWS: and it is still there", api.ask("GET", "/v1/credentials", made(keys[0]))[0], 200)
        leaks = [each for each in SECRETS if each in api.log()]
        check("JWS: no token is logged", not leaks, leaks[:1])
    test_keys_of_nobody(folder, settings)
