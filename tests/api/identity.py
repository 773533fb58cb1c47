"""Who are you, and who are we: issuers of tokens and sources of the service's own credentials, all of
them ours and on loopback, with parthaul-api between them and a real STS."""

import base64
import hashlib
import json
import os
import pathlib
import secrets
import signal
import ssl
import subprocess
import threading
import time
import urllib.parse

from common import (API, AUDIENCE, ISSUER, SECRETS, Api, Handler, base64url, check, equal,
                    good_answer, served, token)


class Fake(Handler):
    """Answers by a function of (method, path, headers, body); remembers the requests."""

    protocol_version = "HTTP/1.1"

    def handle_any(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        server = self.server
        with server.lock:
            server.requests.append((self.command, self.path, dict(self.headers.items()), body))
        status, answer, headers = server.answer(self.command, self.path, self.headers, body)
        self.reply(status, answer, **headers)

    do_GET = do_POST = do_PUT = handle_any


def serving(answer):
    return served(Fake, requests=[], answer=answer)


def as_json(value, status=200, **headers):
    return status, json.dumps(value).encode(), headers


# ---- Keys and tokens, by openssl ------------------------------------------------------------------


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


class Key:
    """A key pair of an algorithm; `jwk` is its public half."""

    def __init__(self, folder, alg, kid):
        self.alg, self.kid = alg, kid
        self.path = pathlib.Path(folder) / f"key-{secrets.token_hex(4)}.pem"
        self.curve, self.size = ("P-384", 48) if alg == "ES384" else ("P-256", 32)
        rsa = ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        options = {"RS": rsa, "PS": rsa, "ES": ["EC", "-pkeyopt", f"ec_paramgen_curve:{self.curve}"],
                   "Ed": ["ED25519"]}[alg[:2]]
        openssl("genpkey", "-algorithm", *options, "-out", str(self.path))
        der = self.public("DER")
        named = {"kid": kid, "use": "sig", "alg": alg}
        if alg[1] == "S" and alg[0] != "E":
            modulus = openssl("rsa", "-in", str(self.path), "-noout", "-modulus").split(b"=")[1]
            n = bytes.fromhex(modulus.strip().decode())
            self.jwk = {**named, "kty": "RSA", "n": base64url(n).decode(), "e": "AQAB"}
        elif alg[:2] == "ES":
            x, y = der[-2 * self.size:-self.size], der[-self.size:]
            self.jwk = {**named, "kty": "EC", "crv": self.curve, "x": base64url(x).decode(),
                        "y": base64url(y).decode()}
        else:
            self.jwk = {**named, "kty": "OKP", "crv": "Ed25519", "x": base64url(der[-32:]).decode()}

    def public(self, form):
        return openssl("pkey", "-in", str(self.path), "-pubout", "-outform", form)

    def sign(self, text):
        if self.alg == "EdDSA":
            with open(self.path.with_suffix(".in"), "wb") as file:
                file.write(text)
            return openssl("pkeyutl", "-sign", "-inkey", str(self.path), "-rawin", "-in",
                           str(self.path.with_suffix(".in")))
        pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]
        signature = openssl("dgst", f"-sha{self.alg[2:]}", "-sign", str(self.path),
                            *(pss if self.alg == "PS256" else []), data=text)
        if self.alg[0] != "E":
            return signature
        at, numbers = 2, []
        for _ in range(2):  # DER: SEQUENCE of two INTEGERs
            length = signature[at + 1]
            numbers.append(int.from_bytes(signature[at + 2:at + 2 + length], "big"))
            at += 2 + length
        return b"".join(n.to_bytes(self.size, "big") for n in numbers)

    def token(self, sub="alice", header=None, **claims):
        body = {"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "exp": int(time.time()) + 600, **claims}
        head = {"alg": self.alg, "kid": self.kid, "typ": "JWT", **(header or {})}
        text = base64url(json.dumps(head).encode()) + b"." + base64url(json.dumps(body).encode())
        made = (text + b"." + base64url(self.sign(text))).decode()
        SECRETS.append(made)
        return made


def without_keys(settings, *more):
    gone = ("PARTHAUL_JWT_HS256_SECRET_FILE", *more)
    return {name: value for name, value in settings.items() if name not in gone}


# ---- JWKS -----------------------------------------------------------------------------------------


def test_jwks(folder, settings):
    rsa, curve, edwards = (Key(folder, "RS256", "r"), Key(folder, "ES256", "e"),
                           Key(folder, "EdDSA", "d"))
    later = Key(folder, "ES256", "later")
    for key in curve, edwards:
        del key.jwk["alg"]  # their curves say it
    published = {"keys": [rsa.jwk, curve.jwk, edwards.jwk, {"kty": "new", "kid": "n"}]}
    state = {"up": True}

    def answer(*_):
        return as_json(published) if state["up"] else (500, b"", {})

    with serving(answer) as issuer:
        mine = {**without_keys(settings), "PARTHAUL_JWT_JWKS_URL": issuer.url + "/jwks",
                "PARTHAUL_JWT_JWKS_GUARD_SECONDS": "2"}
        with Api(folder, **mine) as api:
            for key in (rsa, curve, edwards):
                equal(f"JWKS: {key.alg}", api.ask("GET", "/v1/credentials", key.token())[0], 200)
            equal("JWKS: fetched once", len(issuer.requests), 1)
            wrong = {
                "another algorithm than the key's": rsa.token(header={"kid": "e"}),
                "no such key": rsa.token(header={"kid": "x"}),
                "alg none": rsa.token(header={"alg": "none"}),
                "a key of its own": later.token(header={"kid": "e", "jwk": later.jwk}),
                "its own URL": later.token(header={"kid": "e", "jku": issuer.url}),
                "HMAC by the public key": token(
                    by=json.dumps(rsa.jwk).encode(), header={"alg": "HS256", "kid": "r"}),
            }
            for what, made in wrong.items():
                status, _, problem = api.ask("GET", "/v1/credentials", made)
                equal(f"JWKS: {what}", (status, problem.get("code")), (401, "TOKEN_INVALID"))

            time.sleep(2.1)
            before, began = len(issuer.requests), time.monotonic()
            flood = later.token()  # its kid is not published yet
            threads = [threading.Thread(target=lambda: [
                api.ask("GET", "/v1/credentials", flood) for _ in range(10)]) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            most = 2 + int((time.monotonic() - began) / 2)
            check("JWKS: a flood of unknown keys is one or two requests",
                  len(issuer.requests) - before <= most, len(issuer.requests) - before)
            published["keys"].append(later.jwk)
            time.sleep(2.1)
            equal("JWKS: a new key is found", api.ask("GET", "/v1/credentials", flood)[0], 200)
            state["up"] = False
            time.sleep(2.1)
            equal("JWKS: unknown key while the URL is down",
                  api.ask("GET", "/v1/credentials", rsa.token(header={"kid": "x"}))[0], 401)
            equal("JWKS: known keys go on", api.ask("GET", "/v1/credentials",
                                                    rsa.token("carol"))[0], 200)
            check("JWKS: the log says why",
                  any(line.get("event") == "keys were not fetched" for line in api.lines()))
        with Api(folder, **mine) as api:
            status, headers, problem = api.ask("GET", "/v1/credentials", rsa.token())
            equal("JWKS: never had keys", (status, problem.get("code"), headers.get("retry-after")),
                  (503, "ISSUER_UNREACHABLE", "5"))


# ---- Introspection and tokeninfo ------------------------------------------------------------------


def test_introspection(folder, settings):
    known, seen = {}, []

    def answer(_, __, headers, body):
        form = urllib.parse.parse_qs(body.decode())
        seen.append(headers.get("authorization"))
        return as_json(known.get(form["token"][0], {"active": False}))

    auth = pathlib.Path(folder) / "introspection"
    auth.write_text("api:1:s cret\n")  # the id ends at the first ":"
    with serving(answer) as issuer:
        mine = {**without_keys(settings), "PARTHAUL_INTROSPECTION_URL": issuer.url + "/introspect",
                "PARTHAUL_INTROSPECTION_AUTH_FILE": str(auth), "PARTHAUL_SCOPE": "upload"}
        now = int(time.time())
        good = {"active": True, "sub": "alice", "scope": "upload other", "exp": now + 600}
        opaque = {"good": good, "no-scope": {**good, "scope": "other"},
                  "over": {**good, "exp": now - 600}, "theirs": {**good, "aud": "other"},
                  "false": {"active": False}, "nobody": {"active": True, "scope": "upload"},
                  "truth": {**good, "active": "true"}}
        made = {name: f"{name}-{secrets.token_hex(8)}" for name in [*opaque, "unknown"]}
        SECRETS.extend(made.values())
        known.update({made[name]: value for name, value in opaque.items()})
        with Api(folder, **mine) as api:
            for name, status in {"good": 200, "no-scope": 403, "over": 401, "theirs": 401,
                                 "false": 401, "unknown": 401, "nobody": 403, "truth": 401}.items():
                equal(f"introspection: {name}",
                      api.ask("GET", "/v1/credentials", made[name])[0], status)
            equal("introspection: asked as who we are", seen[-1],
                  "Basic " + base64.b64encode(b"api:1%3As%20cret").decode())
            before = len(issuer.requests)
            for _ in range(5):
                api.ask("GET", "/v1/credentials", made["good"])
            equal("introspection: a good answer is remembered", len(issuer.requests), before)
            check("introspection: nothing secret is logged",
                  not any(secret in api.log() for secret in made.values()))
        fresh = {f"fresh-{secrets.token_hex(8)}": good for _ in range(11)}
        known.update(fresh)
        SECRETS.extend(fresh)
        with Api(folder, **{**mine, "PARTHAUL_USER_RATE": "1"}) as api:
            statuses = [api.ask("GET", "/v1/credentials", name)[0] for name in fresh]
            equal("introspection: users known only by asking are counted", statuses,
                  [200] * 10 + [429])


def test_tokeninfo(folder, settings):
    known = {}

    def answer(_, path, *__):
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)["access_token"][0]
        return as_json(known[asked]) if asked in known else as_json({"error": "x"}, 400)

    with serving(answer) as issuer:
        good, less = "ti+/=" + secrets.token_hex(8), "ti-" + secrets.token_hex(8)
        known[good] = {"uid": "jdoe", "scope": ["uid", "x"], "expires_in": 600, "realm": "/services"}
        known[less] = {"uid": "jdoe", "scope": ["x"], "expires_in": 600}
        mine = {**without_keys(settings), "PARTHAUL_TOKENINFO_URL": issuer.url + "/tokeninfo",
                "PARTHAUL_SCOPE": "uid", "PARTHAUL_USER_CLAIM": "uid",
                "PARTHAUL_ROLES": settings["PARTHAUL_ROLE_ARN"].rsplit("/", 1)[1],
                "PARTHAUL_ROLE_PREFIX": settings["PARTHAUL_ROLE_ARN"].rsplit("/", 1)[0] + "/"}
        with Api(folder, **mine) as api:
            status, _, answer = api.ask("GET", "/get_key/uploader", good)
            equal("Ro2Key: its answer", (status, sorted(answer)),
                  (200, ["AccessKeyId", "Expiration", "SecretAccessKey", "SessionToken"]))
            equal("Ro2Key: no scope", api.ask("GET", "/get_key/uploader", less)[0], 403)
            equal("Ro2Key: another role", api.ask("GET", "/get_key/admin", good)[0], 403)
            equal("Ro2Key: unknown token", api.ask("GET", "/get_key/uploader", "nothing")[0], 401)
            equal("tokeninfo: the prefix", api.ask("GET", "/v1/credentials", good)[2].get("prefix"),
                  "upload/jdoe/")


# ---- API keys, templates, TLS, accounts, a file ---------------------------------------------------


def test_api_keys(folder, settings):
    keys = {name: secrets.token_hex(16) for name in ("web", "ci")}
    SECRETS.extend(keys.values())
    path = pathlib.Path(folder) / "api-keys"
    path.write_text("".join(f"{hashlib.sha256(key.encode()).hexdigest()} {name}\n"
                            for name, key in keys.items()))
    with Api(folder, **{**settings, "PARTHAUL_API_KEYS_FILE": str(path)}) as api:
        for name, key in keys.items():
            equal(f"API key {name}", api.ask("GET", "/dev/", token(), headers={"x-api-key": key})[0],
                  200)
        for what, headers in {"none": {}, "wrong": {"x-api-key": "x"}, "empty": {"x-api-key": ""},
                              "a hash": {"x-api-key": path.read_text()[:64]}}.items():
            for where in ("/dev/", "/v1/credentials"):
                status, named, body = api.ask("GET", where, token(), headers=headers)
                equal(f"API key: {what} at {where}",
                      (status, named["content-type"], json.dumps(body, separators=(",", ":"))),
                      (403, "application/json", '{"message":"Forbidden"}'))
    mine = {**without_keys(settings), "PARTHAUL_API_KEYS_FILE": str(path),
            "PARTHAUL_PREFIX": "builds/{sub}/"}
    with Api(folder, **mine) as api:
        equal("a key alone", api.ask("GET", "/.well-known/parthaul")[2]["auth"], "key")
        _, _, answer = api.ask("POST", "/v1/uploads", body={"name": "a", "size": 1, "uploadType": "post"},
                               headers={"x-api-key": keys["ci"]})
        check("the key's name is the user", answer["key"].startswith("builds/ci/"), answer)
    with Api(folder, **{**settings, "PARTHAUL_PREFIX": "upload/{product}/{build}/"}) as api:
        equal("template", api.ask("GET", "/v1/credentials", token(product="docs", build="7"))[2]
              .get("prefix"), "upload/docs/7/")
        for claims in ({}, {"product": "docs"}, {"product": "docs", "build": 7},
                       {"product": "docs", "build": ""}):
            equal(f"template without all claims {claims}",
                  api.ask("GET", "/v1/credentials", token(**claims))[0], 403)


def make_certificate(cert, key):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=IP:127.0.0.1")


def shown_certificate(api):
    """The certificate that a new connection is shown, in PEM."""
    return ssl.get_server_certificate(("127.0.0.1", api.port), timeout=10)


def test_certificate(folder, settings):
    """It is renewed by SIGHUP, under load, without a connection that fails; and a bad one is not."""
    cert, key = pathlib.Path(folder) / "renewed.pem", pathlib.Path(folder) / "renewed-key.pem"
    other_cert, other_key = pathlib.Path(folder) / "other.pem", pathlib.Path(folder) / "other-key.pem"
    make_certificate(cert, key)
    make_certificate(other_cert, other_key)
    mine = {**settings, "PARTHAUL_TLS_CERT_FILE": str(cert), "PARTHAUL_TLS_KEY_FILE": str(key)}
    garbage = pathlib.Path(folder) / "garbage.pem"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for what, change, says in (
            ("no key", {"PARTHAUL_TLS_KEY_FILE": ""}, "TLS_KEY_FILE: is not set"),
            ("no certificate", {"PARTHAUL_TLS_CERT_FILE": ""}, "TLS_CERT_FILE: is not set"),
            ("another's key", {"PARTHAUL_TLS_KEY_FILE": str(other_key)}, "is not that of the key"),
            ("garbage", {"PARTHAUL_TLS_CERT_FILE": str(garbage)}, "is not PEM, or"),
            ("no key in it", {"PARTHAUL_TLS_KEY_FILE": str(cert)}, "has a key that is not PEM"),
            ("no file", {"PARTHAUL_TLS_KEY_FILE": "/nonexistent"}, "cannot be read")):
        done = subprocess.run([API, "--check"], env=Api(folder, **{**mine, **change}).environment,
                              capture_output=True, text=True, timeout=30)
        check(f"TLS: {what}", done.returncode == 2 and says in done.stderr
              and done.stderr.count("\n") == 1, done.stderr)

    first, second = cert.read_text(), other_cert.read_text()
    with Api(folder, **mine) as api:
        api.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        api.context.check_hostname, api.context.verify_mode = False, ssl.CERT_NONE
        equal("TLS: the certificate", shown_certificate(api), first)
        statuses, done = [], threading.Event()

        def load():
            while not done.is_set():
                statuses.append(api.ask("GET", "/healthz")[0])

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()

        def hang_up_and_see(event):
            before = len(api.events(event))
            api.process.send_signal(signal.SIGHUP)
            for _ in range(100):
                if len(api.events(event)) > before:
                    return True
                time.sleep(0.05)
            return check(f"the log says {event!r}", False, api.log()[-300:])

        cert.write_text(second)  # and not yet its key
        hang_up_and_see("certificate was not renewed")
        equal("TLS: half of a pair changes nothing", shown_certificate(api), first)
        key.write_text(other_key.read_text())
        hang_up_and_see("certificate renewed")
        equal("TLS: the new certificate", shown_certificate(api), second)
        for _ in range(20):  # the same again costs nothing
            hang_up_and_see("certificate renewed")
        key.unlink()
        hang_up_and_see("certificate was not renewed")
        equal("TLS: it stays without its file", shown_certificate(api), second)
        done.set()
        for thread in threads:
            thread.join()
        check("TLS: all requests meanwhile are answered", set(statuses) == {200} and
              len(statuses) > 20, (len(statuses), set(statuses)))
        check("TLS: nothing of a key is logged", "PRIVATE" not in api.log())
        equal("exit status", api.stop(), 0)
    with Api(folder, **settings) as api:
        api.process.send_signal(signal.SIGHUP)
        equal("SIGHUP without TLS", api.ask("GET", "/healthz")[0], 200)
        equal("exit status", api.stop(), 0)


def test_running(folder, settings):
    cert, key = pathlib.Path(folder) / "cert.pem", pathlib.Path(folder) / "tls.pem"
    make_certificate(cert, key)
    file = pathlib.Path(folder) / "api.conf"
    lines = {**settings, "PARTHAUL_TLS_CERT_FILE": str(cert), "PARTHAUL_TLS_KEY_FILE": str(key)}
    if os.getuid() == 0:
        lines["PARTHAUL_RUN_AS"] = "nobody"
    file.write_text("# all of it\n\n" + "".join(f"{n} = {v}\n" for n, v in lines.items()))
    file.chmod(0o600)
    with Api(folder, arguments=["--config", str(file)]) as api:
        api.context = ssl.create_default_context(cafile=str(cert))
        equal("TLS, by a file", api.ask("GET", "/v1/credentials", token())[0], 200)
        if os.getuid() == 0:
            status = pathlib.Path(f"/proc/{api.process.pid}/status").read_text()
            ids = [line.split()[1:] for line in status.splitlines()
                   if line.startswith(("Uid:", "Gid:"))]
            check("root is given up", all(each != "0" for four in ids for each in four), ids)
            groups = [line for line in status.splitlines() if line.startswith("Groups:")][0]
            equal("and its groups", groups.split()[1:], [])
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        api.context = old
        try:
            api.ask("GET", "/healthz")
            check("TLS 1.1 is refused", False)
        except OSError:
            check("TLS 1.1 is refused", True)
        equal("exit status", api.stop(), 0)


# ---- The service's own credentials ----------------------------------------------------------------


def test_own_credentials(folder, settings):
    key_id, secret = settings["AWS_ACCESS_KEY_ID"], settings["AWS_SECRET_ACCESS_KEY"]
    bare = {name: value for name, value in settings.items() if not name.startswith("AWS_")}
    life = {"seconds": 3600}

    def document():
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + life["seconds"]))
        return as_json({"AccessKeyId": key_id, "SecretAccessKey": secret, "Token": "",
                        "Expiration": end})

    def agent(_, path, headers, __):
        if path not in ("/creds", "/v2/creds") or headers.get("authorization") != "agent token":
            return 403, b"", {}
        return document()

    token_file = pathlib.Path(folder) / "agent-token"
    token_file.write_text("agent token\n")
    with serving(agent) as server:
        ways = {
            "full URI": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url + "/creds"},
            "relative URI": {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/creds",
                             "PARTHAUL_CONTAINER_ENDPOINT": server.url},
        }
        for name, way in ways.items():
            with Api(folder, **{**bare, **way,
                                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token_file)}) as api:
                equal(f"container, {name}", api.ask("GET", "/v1/credentials", token())[0], 200)
        life["seconds"] = 5
        with Api(folder, **{**bare, **ways["full URI"],
                            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "agent token"}) as api:
            before = len(server.requests)
            time.sleep(4.2)
            equal("renewed before its end", api.ask("GET", "/v1/credentials", token())[0], 200)
            equal("by one request", len(server.requests), before + 1)

    def ec2(method, path, headers, _):
        if path == "/latest/api/token":
            good = method == "PUT" and headers.get("x-aws-ec2-metadata-token-ttl-seconds") == "21600"
            return (200, b"the token", {}) if good else (400, b"", {})
        if headers.get("x-aws-ec2-metadata-token") != "the token":
            return 401, b"", {}
        if path == "/latest/meta-data/iam/security-credentials/":
            return 200, b"a role", {}
        return document() if path.endswith("/security-credentials/a%20role") else (404, b"", {})

    life["seconds"] = 3600
    with serving(ec2) as server:
        with Api(folder, **{**bare, "AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url}) as api:
            equal("EC2", api.ask("GET", "/v1/credentials", token())[0], 200)

    web = pathlib.Path(folder) / "web-token"
    web.write_text("eyJ.web.identity")

    def sts(_, __, headers, body):
        form = urllib.parse.parse_qs(body.decode())
        if form["Action"] == ["AssumeRoleWithWebIdentity"]:
            good = (form["WebIdentityToken"] == ["eyJ.web.identity"]
                    and form["RoleArn"] == ["arn:aws:iam::1:role/own"]
                    and "authorization" not in headers)
            if not good:
                return 403, b"", {}
            return 200, good_answer().replace(b"AssumeRole", b"AssumeRoleWithWebIdentity"), {}
        good = "Credential=ASIAFAKE/" in headers.get("authorization", "")
        return (200, good_answer(), {}) if good else (403, b"", {})

    with serving(sts) as server:
        with Api(folder, **{**bare, "PARTHAUL_STS_ENDPOINT": server.url,
                            "AWS_WEB_IDENTITY_TOKEN_FILE": str(web),
                            "AWS_ROLE_ARN": "arn:aws:iam::1:role/own"}) as api:
            equal("web identity", api.ask("GET", "/v1/credentials", token())[0], 200)


def test_one_for_many(folder, settings):
    def slowly(*_):
        time.sleep(1)
        return 200, good_answer(), {}

    with serving(slowly) as sts:
        with Api(folder, **{**settings, "PARTHAUL_STS_ENDPOINT": sts.url}) as api:
            got = []
            made = {user: token(user) for user in ("alice", "bob")}
            threads = [threading.Thread(target=lambda user=user: got.append(
                api.ask("GET", "/v1/credentials", made[user])[0])) for user in made for _ in range(30)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            equal("sixty that wait all get theirs", set(got), {200})
            equal("STS was asked once for each user", len(sts.requests), 2)
            metrics = api.ask("GET", "/metrics")[2].decode()
            check("metrics tell it", "parthaul_api_sts_requests_total 2\n" in metrics
                  and "parthaul_api_sts_cached_total 58\n" in metrics, metrics)


def test_one_failure_for_many(folder, settings):
    def slowly(*_):
        time.sleep(1)
        return 500, b"", {}

    with serving(slowly) as sts:
        with Api(folder, **{**settings, "PARTHAUL_STS_ENDPOINT": sts.url}) as api:
            got, bearer, began = [], token(), time.time()
            threads = [threading.Thread(target=lambda: got.append(
                api.ask("GET", "/v1/credentials", bearer)[0])) for _ in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            equal("all that wait learn of the failure", set(got), {503})
            check("and not one after the other", time.time() - began < 10 and len(sts.requests) <= 8,
                  len(sts.requests))
            equal("the next one asks again", (api.ask("GET", "/v1/credentials", bearer)[0],
                                              len(sts.requests) >= 2), (503, True))


def test(folder, settings):
    test_one_failure_for_many(folder, settings)
    test_jwks(folder, settings)
    test_introspection(folder, settings)
    test_tokeninfo(folder, settings)
    test_api_keys(folder, settings)
    test_certificate(folder, settings)
    test_running(folder, settings)
    test_own_credentials(folder, settings)
    test_one_for_many(folder, settings)
