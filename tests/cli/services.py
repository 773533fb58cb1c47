"""`parthaul creds` and `parthaul post` against a real S3 and STS (SeaweedFS) and the real parthaul-api,
and against servers that misbehave. What is printed is read back by what it is made for: botocore,
and sh."""

import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import boto3
import botocore.exceptions
import botocore.session
from botocore.config import Config

from checks import CLEAN, PROGRAM, ROOT, check, finish, run

sys.path += [os.path.join(ROOT, "tests", "servers"), os.path.join(ROOT, "tests", "api")]
sys.dont_write_bytecode = True
import bucket as servers  # noqa: E402
import run as api_tests  # noqa: E402

SEAWEEDFS = os.path.join(ROOT, "tests", "servers", "seaweedfs.sh")
NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
         "AWS_CREDENTIAL_EXPIRATION")
API_KEY = "the-key-of-the-tests-0123456789"
GOOD_STS = api_tests.good_answer()


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers by the server's list of functions, one for each request; the last one stays."""

    protocol_version = "HTTP/1.1"

    def handle_one(self):
        length = int(self.headers.get("content-length") or 0)
        self.body = self.rfile.read(length) if length else b""
        with self.server.lock:
            self.server.seen.append((self.path, dict(self.headers), self.body))
            script = self.server.script
            step = script.pop(0) if len(script) > 1 else script[0]
        step(self)

    do_GET = do_POST = handle_one

    def reply(self, status, body=b"", **headers):
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def scripted(*script):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.script, server.seen, server.lock = list(script), [], threading.Lock()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def says(status, body=b"", **headers):
    return lambda handler: handler.reply(status, body, **headers)


def hang_up(handler):
    handler.close_connection = True
    handler.connection.close()


# ---- creds ----------------------------------------------------------------------------------------


def client(env, creds):
    return boto3.client("s3", endpoint_url=env["S3_ENDPOINT"], region_name=env["AWS_REGION"],
                        aws_access_key_id=creds["AccessKeyId"],
                        aws_secret_access_key=creds["SecretAccessKey"],
                        aws_session_token=creds.get("SessionToken"),
                        config=Config(s3={"addressing_style": "path"}, proxies={},
                                      retries={"max_attempts": 1}))


def may_write(what, s3, bucket, key, expected):
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=b"lent")
        got = True
    except botocore.exceptions.ClientError as error:
        got = error.response["Error"]["Code"]
    check(what, got, expected)


def by_shell(text, env):
    """What a shell makes of the lines."""
    script = 'eval "$1"; for name in ' + " ".join(NAMES) + \
        '; do eval "printf \'%s\\0\' \\"\\${$name-unset}\\""; done'
    done = subprocess.run(["sh", "-euc", script, "sh", text], env={**CLEAN, **env}, check=True,
                          capture_output=True)
    return dict(zip(NAMES, done.stdout.decode().split("\0")))


def failed(what, done, code, *words, secrets=()):
    """A refusal: its exit code, one line on stderr with these words, nothing on stdout."""
    err = done.stderr.decode()
    check(f"{what}: exit code, output", (done.returncode, done.stdout, err.count("\n")), (code, b"", 1))
    for word in words:
        check(f"{what}: says {word!r}", word in err, True)
    for secret in secrets:
        check(f"{what}: nothing secret", secret in err, False)


def try_creds_api(w, folder, settings):
    keys = pathlib.Path(folder, "api-keys")
    keys.write_text(hashlib.sha256(API_KEY.encode()).hexdigest() + " tests\n")
    with api_tests.Api(folder, **settings) as api:
        base = ["creds", "--api", f"http://127.0.0.1:{api.port}"]
        alice = api_tests.token("alice")
        done = run(*base, "--token", alice)
        check("creds: API", (done.returncode, done.stderr), (0, b""))
        answer = json.loads(done.stdout)
        check("creds: API: members", sorted(answer),
              sorted(["Credentials", "bucket", "prefix", "region", "endpoint"]))
        check("creds: API: prefix", answer["prefix"], "upload/alice/")
        s3 = client(w.env, answer["Credentials"])
        may_write("creds: API: own prefix", s3, w.bucket, "upload/alice/lent", True)
        may_write("creds: API: another's", s3, w.bucket, "upload/bob/lent", "AccessDenied")
        done = run(*base, "--format", "env", env={"PARTHAUL_TOKEN": alice})
        got = by_shell(done.stdout.decode(), {})
        check("creds: env lines", done.stdout.count(b"\n"), 4)
        s3 = client(w.env, {"AccessKeyId": got[NAMES[0]], "SecretAccessKey": got[NAMES[1]],
                            "SessionToken": got[NAMES[2]]})
        may_write("creds: env: own prefix", s3, w.bucket, "upload/alice/env", True)
        # parthaul put takes them as they are.
        path = pathlib.Path(folder, "by-env")
        path.write_bytes(b"by env")
        done = run("put", "--endpoint", w.env["S3_ENDPOINT"], str(path),
                   f"s3://{w.bucket}/upload/alice/by-env", env=got)
        check("creds: env: parthaul put", (done.returncode, done.stderr), (0, b""))

        # The SDK runs the program by itself.
        config = pathlib.Path(folder, "aws-config")
        command = shlex.join([PROGRAM, *base, "--token", alice, "--format", "process"])
        config.write_text(f"[profile lent]\ncredential_process = {command}\n")
        session = botocore.session.Session(profile="lent")
        session.set_config_variable("config_file", str(config))
        found = session.get_credentials()
        check("creds: process: botocore", found.method, "custom-process")
        frozen = found.get_frozen_credentials()
        s3 = client(w.env, {"AccessKeyId": frozen.access_key, "SecretAccessKey": frozen.secret_key,
                            "SessionToken": frozen.token})
        may_write("creds: process: own prefix", s3, w.bucket, "upload/alice/process", True)

        failed("creds: wrong token", run(*base, "--token", alice + "x"), 3, "SIGN_IN", "401",
               secrets=[alice])
        failed("creds: expired token", run(*base, "--token", api_tests.token("alice", exp=1)), 3,
               "SIGN_IN", "expired")
        failed("creds: no token", run(*base), 2, "PARTHAUL_TOKEN")
        failed("creds: token with a line end", run(*base, "--token", alice + "\nX: y"), 2,
               secrets=[alice])
    with api_tests.Api(folder, **settings, PARTHAUL_API_KEYS_FILE=str(keys),
                       PARTHAUL_AUTH="key") as api:
        base = ["creds", "--api", f"http://127.0.0.1:{api.port}/"]
        done = run(*base, "--api-key", API_KEY)
        check("creds: API key", (done.returncode, done.stderr), (0, b""))
        done = run(*base, env={"PARTHAUL_API_KEY": API_KEY})
        check("creds: API key of the environment", (done.returncode, done.stderr), (0, b""))
        failed("creds: wrong API key", run(*base, "--api-key", API_KEY + "x"), 3, "FORBIDDEN",
               "Forbidden", secrets=[API_KEY])


def try_creds_sts(w):
    own = {"AWS_ACCESS_KEY_ID": w.env["API_ACCESS_KEY_ID"],
           "AWS_SECRET_ACCESS_KEY": w.env["API_SECRET_ACCESS_KEY"]}
    secret = own["AWS_SECRET_ACCESS_KEY"]
    role = w.env["ROLE_ARN"]
    base = ["creds", "--role-arn", role, "--sts-endpoint", w.env["STS_ENDPOINT"]]
    done = run(*base, env=own)
    check("creds: STS", (done.returncode, done.stderr), (0, b""))
    answer = json.loads(done.stdout)
    check("creds: STS: who", "assumed-role" in answer["AssumedRoleUser"]["Arn"] and
          answer["AssumedRoleUser"]["Arn"].endswith("/parthaul"), True)
    may_write("creds: STS: the role's rights", client(w.env, answer["Credentials"]), w.bucket,
              "upload/anybody/x", True)
    end = time.mktime(time.strptime(answer["Credentials"]["Expiration"], "%Y-%m-%dT%H:%M:%SZ")) \
        - time.timezone - time.time()
    check("creds: STS: an hour", 3500 < end < 3700, True)

    done = run(*base, "--prefix", f"s3://{w.bucket}/upload/carol/", "--session-name", "carol@home",
               "--duration", "900", "--region", "us-east-1", env=own)
    check("creds: STS with a prefix", (done.returncode, done.stderr), (0, b""))
    answer = json.loads(done.stdout)
    check("creds: STS with a prefix: members", (answer["bucket"], answer["prefix"]),
          (w.bucket, "upload/carol/"))
    check("creds: session's name", answer["AssumedRoleUser"]["Arn"].endswith("/carol@home"), True)
    s3 = client(w.env, answer["Credentials"])
    may_write("creds: STS: the prefix", s3, w.bucket, "upload/carol/x", True)
    may_write("creds: STS: beside the prefix", s3, w.bucket, "upload/carol2/x", "AccessDenied")
    may_write("creds: STS: above the prefix", s3, w.bucket, "upload/x", "AccessDenied")
    done = run(*base[:3], "--format", "process",
               env={**own, "AWS_ENDPOINT_URL_STS": w.env["STS_ENDPOINT"]})
    check("creds: STS of the environment", json.loads(done.stdout).get("Version"), 1)

    failed("creds: wrong secret", run(*base, env={**own, "AWS_SECRET_ACCESS_KEY": "x" + secret}), 3,
           "AssumeRole", "HTTP 403", secrets=[secret])
    failed("creds: unknown key", run(*base, env={**own, "AWS_ACCESS_KEY_ID": "NOBODY"}), 3,
           "AssumeRole", secrets=[secret])
    failed("creds: unknown role", run("creds", "--role-arn", role + "-other", *base[3:], env=own), 3,
           "AssumeRole", secrets=[secret])
    failed("creds: no credentials", run(*base), 2, "AWS_ACCESS_KEY_ID")
    failed("creds: nobody there", run(*base[:3], "--sts-endpoint", "http://127.0.0.1:1", "--tries",
                                      "2", env=own), 4, "NETWORK", secrets=[secret])


def try_creds_usage():
    own = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
    role = "arn:aws:iam::123456789012:role/upload"
    for arguments in ([], ["more"], ["--role-arn", role, "more"], ["--api", "nowhere", "--token", "t"],
                      ["--api", "https://a.example", "--role-arn", role, "--token", "t"],
                      ["--api", "https://a.example", "--duration", "900", "--token", "t"],
                      ["--api", "http://a.example", "--token", "t"], ["--api", ""],
                      ["--role-arn", "upload"], ["--role-arn", role, "--duration", "899"],
                      ["--role-arn", role, "--duration", "43201"],
                      ["--role-arn", role, "--session-name", "a"],
                      ["--role-arn", role, "--session-name", "a b"],
                      ["--role-arn", role, "--session-name", "x" * 65],
                      ["--role-arn", role, "--prefix", "upload/"],
                      ["--role-arn", role, "--prefix", "s3://bucket"],
                      ["--role-arn", role, "--prefix", "s3://bucket/"],
                      ["--role-arn", role, "--prefix", "s3://bucket/a"],
                      ["--role-arn", role, "--prefix", "s3://B/a/"],
                      ["--role-arn", role, "--prefix", "s3://bucket/*/"],
                      ["--role-arn", role, "--prefix", "s3://bucket/${aws:username}/"],
                      ["--role-arn", role, "--prefix", "s3://bucket/" + "a" * 1100 + "/"],
                      ["--role-arn", role, "--sts-endpoint", "http://sts.example"],
                      ["--role-arn", role, "--sts-endpoint", "nowhere"],
                      ["--role-arn", role, "--region", "a b"],
                      ["--role-arn", role, "--format", "xml"], ["--role-arn", role, "--tries", "0"],
                      ["--colour"], ["--role-arn"]):
        failed(f"creds: refused: {arguments}", run("creds", *arguments, env=own), 2, "parthaul: ",
               "help creds")
    done = run("help", "creds")
    check("help creds", (done.returncode, b"--role-arn" in done.stdout, done.stderr), (0, True, b""))
    check("creds --help", run("creds", "--help").stdout, done.stdout)


def try_creds_faults():
    own = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "topsecret",
           "AWS_SESSION_TOKEN": "sessiontoken"}
    role = ["creds", "--role-arn", "arn:aws:iam::123456789012:role/upload", "--tries", "3"]
    error = ("<ErrorResponse><Error><Code>{}</Code><Message>{}</Message></Error>"
             "<RequestId>R</RequestId></ErrorResponse>")

    def sts(*script, options=()):
        with scripted(*script) as server:
            done = run(*role, "--sts-endpoint", server.url, *options, env=own)
        return done, server.seen

    done, seen = sts(says(503), hang_up, says(200, GOOD_STS))
    check("creds: tried again", (done.returncode, len(seen)), (0, 3))
    check("creds: signed with the session", (seen[0][1].get("X-Amz-Security-Token") or
          seen[0][1].get("x-amz-security-token")), "sessiontoken")
    done, seen = sts(says(500))
    failed("creds: 500", done, 4, "HTTP 500", secrets=own.values())
    check("creds: 500: tries", len(seen), 3)
    leak = "No. The Canonical String should have been\nx-amz-security-token:sessiontoken"
    for status, code, exit_code, name in (
            (403, "SignatureDoesNotMatch", 3, "BAD_SIGNATURE"), (403, "AccessDenied", 3, "ACCESS_DENIED"),
            (403, "ExpiredToken", 3, "EXPIRED_TOKEN"), (400, "RequestExpired", 3, "CLOCK_SKEW"),
            (403, "InvalidClientTokenId", 3, "INVALID_TOKEN"), (400, "Throttling", 4, "SLOW_DOWN"),
            (400, "MalformedPolicyDocument", 1, "REFUSED")):
        done, seen = sts(says(status, error.format(code, leak).encode(), x_amzn_RequestId="REQ-1"))
        failed(f"creds: {code}", done, exit_code, name, "STS refused: No (", "REQ-1", code,
               secrets=["sessiontoken", "topsecret", "Canonical"])
        check(f"creds: {code}: once", len(seen), 1)
    for what, body in {"nothing": b"", "a page": b"<html><body>hello</body></html>",
                       "half": GOOD_STS[:200], "a bomb": b"<!DOCTYPE x>" + GOOD_STS,
                       "no token": GOOD_STS.replace(b"SessionToken", b"Other")}.items():
        done, _ = sts(says(200, body))
        failed(f"creds: {what} for an answer", done, 1, secrets=["fakesecret"])
    done, _ = sts(says(200, b"x" * 300000))
    failed("creds: an endless answer", done, 4)
    done, _ = sts(says(302, Location="http://127.0.0.1:1/"))
    failed("creds: a redirect is not followed", done, 1, "HTTP 302")
    done, _ = sts(lambda handler: time.sleep(2), options=["--timeout", "1", "--tries", "1"])
    failed("creds: no answer", done, 4, "TIMEOUT")

    # Values that a shell could obey, and credentials without token and end.
    odd = "a'b\"c$(echo x)`y`\\ \n;z"
    document = json.dumps({"credentials": {"accessKeyId": "AKID'1", "secretAccessKey": odd}}).encode()
    with scripted(says(200, document)) as server:
        base = ["creds", "--api", server.url, "--token", "t"]
        got = by_shell(run(*base, "--format", "env").stdout.decode(), own)
        check("creds: env: odd values", got, {"AWS_ACCESS_KEY_ID": "AKID'1",
              "AWS_SECRET_ACCESS_KEY": odd, "AWS_SESSION_TOKEN": "unset",
              "AWS_CREDENTIAL_EXPIRATION": "unset"})
        got = json.loads(run(*base, "--format", "process").stdout)
        check("creds: process: no token, no end", got,
              {"Version": 1, "AccessKeyId": "AKID'1", "SecretAccessKey": odd})
        check("creds: what the API sees", (server.seen[0][0], server.seen[0][1].get("authorization")),
              ("/v1/credentials", "Bearer t"))
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([PROGRAM, *base], env=CLEAN, stdout=full, stderr=subprocess.PIPE,
                                  check=False)
        check("creds: a full disk", (done.returncode, b"AKID" in done.stderr), (1, False))
    for what, (script, code) in {
            "no JSON": (says(200, b"hello"), 1), "no credentials": (says(200, b"{}"), 3),
            "a road": (says(200, b'{"road":"put","url":"https://a.example/","headers":{}}'), 3),
            "a Lambda's 403": (says(403, b'{"message":"Forbidden"}'), 3), "401": (says(401), 3),
            "404": (says(404), 3), "429": (says(429), 4), "503": (says(503), 4)}.items():
        with scripted(script) as server:
            failed(f"creds: API: {what}", run("creds", "--api", server.url, "--token", "tttoken",
                                              "--tries", "2"), code, secrets=["tttoken"])


# ---- The whole ------------------------------------------------------------------------------------


class World:
    def __init__(self, env):
        self.env = env
        self.s3 = servers.client(env)
        self.bucket = env["BUCKET"]


def main():
    try_creds_usage()
    try_creds_faults()
    folder = tempfile.mkdtemp(prefix="cli-", dir=os.path.join(ROOT, "build"))
    state = os.path.join(folder, "s3")
    subprocess.run([SEAWEEDFS, "start", state, str(api_tests.free_ports())], check=True)
    try:
        env = servers.read_env(state)
        w = World(env)
        servers.prepare(w.s3, w.bucket, ["http://127.0.0.1"])
        secret = pathlib.Path(folder, "jwt-secret")
        secret.write_bytes(api_tests.JWT_SECRET)
        settings = {
            "PARTHAUL_BUCKET": w.bucket, "PARTHAUL_REGION": env["AWS_REGION"],
            "PARTHAUL_S3_ENDPOINT": env["S3_ENDPOINT"], "PARTHAUL_STS_ENDPOINT": env["STS_ENDPOINT"],
            "PARTHAUL_ROLE_ARN": env["ROLE_ARN"], "PARTHAUL_JWT_HS256_SECRET_FILE": str(secret),
            "AWS_ACCESS_KEY_ID": env["API_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": env["API_SECRET_ACCESS_KEY"]}
        try_creds_sts(w)
        try_creds_api(w, folder, settings)
    finally:
        subprocess.run([SEAWEEDFS, "stop", state], check=False)
        shutil.rmtree(folder)
    finish()


if __name__ == "__main__":
    main()
