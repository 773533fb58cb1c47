"""`parthaul creds` and `parthaul post` against a real S3 and STS (SeaweedFS) and the real parthaul-api,
and against servers that misbehave. What is printed is read back by what it is made for: botocore,
and sh."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import botocore.exceptions
import botocore.session

from checks import CLEAN, PROGRAM, ROOT, check, finish, run

sys.path.insert(0, os.path.join(ROOT, "tests"))
import kit  # noqa: E402
import bucket as servers  # noqa: E402
import common as api_tests  # noqa: E402

NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
         "AWS_CREDENTIAL_EXPIRATION")
API_KEY = "the-key-of-the-tests-0123456789"
GOOD_STS = api_tests.good_answer()


class Scripted(kit.Handler):
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

    do_GET = do_POST = do_DELETE = handle_one

    def handle(self):
        with contextlib.suppress(OSError):
            super().handle()


def scripted(*script):
    return kit.served(Scripted, script=list(script), seen=[])


def says(status, body=b"", **headers):
    return lambda handler: handler.reply(status, body, **headers)


def hang_up(handler):
    handler.close_connection = True
    handler.connection.close()


# ---- creds ----------------------------------------------------------------------------------------


def client(env, creds):
    return kit.s3_client(env, creds["AccessKeyId"], creds["SecretAccessKey"],
                         creds.get("SessionToken"))


def may_write(what, s3, bucket, key, expected):
    code = kit.refusal(s3.put_object, Bucket=bucket, Key=key, Body=b"lent")
    check(what, code or True, expected)


def by_shell(text, env):
    """What a shell makes of the lines."""
    script = 'eval "$1"; for name in ' + " ".join(NAMES) + \
        '; do eval "printf \'%s\\0\' \\"\\${$name-unset}\\""; done'
    done = subprocess.run(["sh", "-euc", script, "sh", text], env={**CLEAN, **env}, check=True,
                          capture_output=True)
    return dict(zip(NAMES, done.stdout.decode().split("\0")))


def failed(what, done, code, *words, secrets=()):
    """A refusal: its exit code, one line on stderr with these words, nothing on stdout."""
    err = re.sub(r"(?m)^parthaul: retrying in .*\n", "", done.stderr.decode())
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
                      ["--role-arn", "arn:a*s:iam::1:role/upload", "--prefix", "s3://bucket/a/"],
                      ["--role-arn", role, "--external-id", "a b"],
                      ["--role-arn", role, "--token-code", "123456"],
                      ["--role-arn", role, "--serial-number", "GAHT12345678"],
                      ["--role-arn", role, "--serial-number", "GAHT12345678", "--token-code", "12345x"],
                      ["--api", "https://a.example", "--external-id", "ab", "--token", "t"],
                      ["--role-arn", role, "--format", "xml"], ["--role-arn", role, "--tries", "0"],
                      ["--colour"], ["--role-arn"]):
        failed(f"creds: refused: {arguments}", run("creds", *arguments, env=own), 2, "parthaul: ",
               "help creds")
    done = run("help", "creds")
    check("help creds", (done.returncode, b"--role-arn" in done.stdout, done.stderr), (0, True, b""))
    check("creds --help", run("creds", "--help").stdout, done.stdout)


def try_creds_faults():
    own = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "topsecret",
           "AWS_SESSION_TOKEN": "sessiontoken" * 60}
    role = ["creds", "--role-arn", "arn:aws:iam::123456789012:role/upload", "--tries", "3"]
    error = ("<ErrorResponse><Error><Code>{}</Code><Message>{}</Message></Error>"
             "<RequestId>R</RequestId></ErrorResponse>")

    def sts(*script, options=()):
        with scripted(*script) as server:
            done = run(*role, "--sts-endpoint", server.url, *options, env=own)
        return done, server.seen

    done, seen = sts(says(503), hang_up, says(200, GOOD_STS))
    check("creds: tried again", (done.returncode, len(seen)), (0, 3))
    check("creds: says so", re.findall(r"retrying in [0-9.]+ s: (.*)\n", done.stderr.decode()),
          ["SERVER_ERROR: HTTP 503", "NETWORK: Empty reply from server"])
    check("creds: signed with the session", (seen[0][1].get("X-Amz-Security-Token") or
          seen[0][1].get("x-amz-security-token")), "sessiontoken" * 60)
    done, seen = sts(says(200, GOOD_STS), options=(
        "--external-id", "ours:1/2", "--serial-number", "arn:aws:iam::1:mfa/me",
        "--token-code", "012345", "--prefix", "s3://bucket/a/", "--role-arn",
        "arn:aws-cn:iam::123456789012:role/upload"))
    form = dict(urllib.parse.parse_qsl(seen[0][2].decode()))
    check("creds: external id and MFA", (done.returncode, form.get("ExternalId"),
          form.get("SerialNumber"), form.get("TokenCode")),
          (0, "ours:1/2", "arn:aws:iam::1:mfa/me", "012345"))
    check("creds: the policy is of the role's partition",
          json.loads(form["Policy"])["Statement"][0]["Resource"], "arn:aws-cn:s3:::bucket/a/*")
    done, seen = sts(says(500))
    failed("creds: 500", done, 4, "HTTP 500", secrets=own.values())
    check("creds: 500: tries", len(seen), 3)
    leak = "No. The Canonical String should have been\nx-amz-security-token:" + "sessiontoken" * 60
    for status, code, exit_code, name in (
            (403, "SignatureDoesNotMatch", 3, "BAD_SIGNATURE"), (403, "AccessDenied", 3, "ACCESS_DENIED"),
            (403, "ExpiredToken", 3, "EXPIRED_TOKEN"), (400, "RequestExpired", 3, "CLOCK_SKEW"),
            (403, "InvalidClientTokenId", 3, "INVALID_TOKEN"), (400, "Throttling", 4, "SLOW_DOWN"),
            (400, "MalformedPolicyDocument", 1, "REFUSED")):
        done, seen = sts(says(status, error.format(code, leak).encode(), x_amzn_RequestId="REQ-1"))
        failed(f"creds: {code}", done, exit_code, name, "STS refused: No (", "REQ-1", code,
               secrets=["sessiontoken", "topsecret", "Canonical"])
        check(f"creds: {code}: once", len(seen), 1)
    done, _ = sts(says(403, error.format("AccessDenied", f"The token {'sessiontoken' * 60} is another's").encode()))
    failed("creds: a token quoted", done, 3, "ACCESS_DENIED: STS refused (", secrets=["sessiontoken"])
    for what, body in {"nothing": b"", "a page": b"<html><body>hello</body></html>",
                       "half": GOOD_STS[:200], "a bomb": b"<!DOCTYPE x>" + GOOD_STS,
                       "no token": GOOD_STS.replace(b"SessionToken", b"Other")}.items():
        done, _ = sts(says(200, body))
        failed(f"creds: {what} for an answer", done, 1, secrets=["fakesecret"])
    done, _ = sts(says(200, b"x" * (9 << 20)))
    failed("creds: an endless answer", done, 4)
    done, _ = sts(says(302, Location="http://127.0.0.1:1/"))
    failed("creds: a redirect is not followed", done, 1, "HTTP 302")
    done, _ = sts(lambda handler: time.sleep(5), options=["--timeout", "1", "--tries", "1"])
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
            "an upload type": (says(200, b'{"uploadType":"put","url":"https://a.example/","headers":{}}'), 3),
            "a Lambda's 403": (says(403, b'{"message":"Forbidden"}'), 3), "401": (says(401), 3),
            "404": (says(404), 3), "429": (says(429), 4), "503": (says(503), 4)}.items():
        with scripted(script) as server:
            failed(f"creds: API: {what}", run("creds", "--api", server.url, "--token", "tttoken",
                                              "--tries", "2"), code, secrets=["tttoken"])


# ---- post -----------------------------------------------------------------------------------------


FILES = {
    "index.html": b"<html>", "empty": b"", "a b.css": b"body{}", "img/x.PNG": b"png" * 1000,
    "img/deep/er/\u00fc \U0001f4e6.txt": b"text", "quote\".js": b"js",
    "100%/+&=?#;~!.json": b"{}", "${x}*": b"variable", "large.bin": os.urandom(3 << 20),
    ".hidden": b"dot", "...": b"three",
}


def make_tree(root, files):
    for name, data in files.items():
        path = pathlib.Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(root)


def post(directory, url, *options, token="t", env=None):
    done = run("post", "--api", url, "--token", token, "--json", *options, str(directory), env=env)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr.decode()


def try_post(w, folder, settings):
    tree = pathlib.Path(folder, "tree")
    make_tree(tree, FILES)
    for i in range(60):
        make_tree(tree, {f"many/{i:02}.txt": str(i).encode() * i})
    files = {**FILES, **{f"many/{i:02}.txt": str(i).encode() * i for i in range(60)}}
    (tree / "link").symlink_to("index.html")
    (tree / "out").symlink_to("/etc")
    os.mkfifo(tree / "pipe")
    own = {"PARTHAUL_POST_KEYS": "own", "AWS_ACCESS_KEY_ID": w.env["AWS_ACCESS_KEY_ID"],
           "AWS_SECRET_ACCESS_KEY": w.env["AWS_SECRET_ACCESS_KEY"]}
    alice = api_tests.token("alice")
    with api_tests.Api(folder, **{**settings, **own}) as api:
        url = f"http://127.0.0.1:{api.port}"
        code, got, err = post(tree, url, "--folder", "docs/v1", token=alice)
        check("post: exit code", (code, got.get("status")), (0, "done"))
        check("post: numbers", (got["fileCount"], got["doneCount"], got["verifiedCount"],
                                got["leftOutCount"], got["size"], got["prefix"]),
              (len(files), len(files), len(files), 3, sum(map(len, files.values())),
               "upload/alice/docs/v1/"))
        check("post: sorted", [f["file"] for f in got["files"]],
              sorted(files, key=lambda name: name.encode()))
        check("post: what is left out is said", [name in err for name in ("link", "out", "pipe")],
              [True] * 3)
        listed = [o["Key"] for page in w.s3.get_paginator("list_objects_v2").paginate(
            Bucket=w.bucket, Prefix="upload/alice/docs/") for o in page.get("Contents", [])]
        check("post: the objects", sorted(listed),
              sorted("upload/alice/docs/v1/" + name for name in files))
        for name, data in files.items():
            stored = w.s3.get_object(Bucket=w.bucket, Key="upload/alice/docs/v1/" + name)
            check(f"post: {name}", stored["Body"].read() == data, True)
        for name, kind in {"index.html": "text/html", "img/x.PNG": "image/png",
                           "empty": "application/octet-stream", "quote\".js": "text/javascript"}.items():
            check(f"post: type of {name}", w.s3.head_object(
                Bucket=w.bucket, Key="upload/alice/docs/v1/" + name)["ContentType"], kind)
        code, got, _ = post(tree / "many", url, "--type", "text/x-note", "--concurrency", "1",
                            token=alice)
        check("post: one at a time", (code, got.get("doneCount")), (0, 60))
        check("post: --type", w.s3.head_object(Bucket=w.bucket, Key="upload/alice/07.txt")
              ["ContentType"], "text/x-note")
        done = run("post", "--api", url, str(tree / "img"), env={"PARTHAUL_TOKEN": alice})
        check("post: summary", (done.returncode, done.stderr, done.stdout.decode().split("  ")),
              (0, b"", [f"s3://{w.bucket}/upload/alice/", "2 of 2 files, 2.9 KiB, "
                        "2 verified by their MD5\n"]))
        (tree / "none").mkdir()
        code, got, _ = post(tree / "none", url, token=alice)
        check("post: an empty folder", (code, got.get("status"), got.get("fileCount")),
              (0, "done", 0))
        code, got, _ = post(tree, url, token=alice + "x")
        check("post: wrong token", (code, got.get("code"), got.get("httpStatus")), (3, "SIGN_IN", 401))
        code, got, _ = post(tree, url, "--type", "image/", token=alice)
        check("post: files of another type", (code, got.get("doneCount")), (2, 0))
        code, got, _ = post(tree, url, "--type", "no type", token=alice)
        check("post: a type that is none", (code, got.get("httpStatus")), (1, 400))
    # A form by another's key: S3 refuses, and the other files are not tried.
    wrong = {**settings, **own, "AWS_SECRET_ACCESS_KEY": "wrong"}
    with api_tests.Api(folder, **wrong) as api:
        code, got, err = post(tree, f"http://127.0.0.1:{api.port}", "--concurrency", "1", token=alice)
        check("post: S3 refuses", (code, got.get("status"), got.get("failedCount")), (3, "failed", 1))
        check("post: nothing secret", alice in err, False)
    with api_tests.Api(folder, **{**settings, **own, "PARTHAUL_MAX_SIZE": "1000"}) as api:
        code, got, err = post(tree, f"http://127.0.0.1:{api.port}", "--folder", "none", token=alice)
        check("post: too large", (code, got.get("code"), got.get("doneCount"),
                                  got.get("failedCount"), "large.bin" in err),
              (1, "TOO_LARGE", 0, 2, True))


TOKEN = "THE/TOKEN+OF=THE/FORM/" * 20
ERROR = b"<Error><Code>%s</Code><Message>No</Message><RequestId>R</RequestId></Error>"


def form_for(server, **more):
    document = {"uploadType": "post", "bucket": "b", "prefix": "p/", "url": server.url + "/b/",
                "fields": {"key": "p/${filename}", "acl": "private", "Content-Type": "x/y",
                           "policy": "POLICY", "x-amz-security-token": TOKEN}, "expires": "2030-01-01T00:10:00Z",
                "serverTime": "2030-01-01T00:00:00Z", **more}
    return lambda handler: handler.reply(200, json.dumps(document).encode())


def stores(handler, status=204, answer=b""):
    """As S3: the ETag is the MD5 of the file in the form."""
    kind = handler.headers["content-type"]
    edge = b"\r\n--" + kind.split("boundary=")[1].encode()
    part = (b"\r\n" + handler.body).split(edge)[-2]
    data = part.split(b"\r\n\r\n", 1)[1]
    handler.reply(status, answer, ETag=f'"{hashlib.md5(data).hexdigest()}"')


def try_form_kept(folder):
    """A form is good until its end, though the API has no other one for now."""
    tree = make_tree(pathlib.Path(folder, "kept"), {"a.txt": b"aaa", "b.txt": b"bbbb"})
    life_s, asked = 15, []
    def slow(handler):
        time.sleep(life_s * 0.82)
        stores(handler)
    def away(handler):
        asked.append(time.monotonic())
        handler.reply(503)
    with scripted(says(500)) as server:
        issued = time.monotonic()
        server.script[:] = [form_for(server, expires=f"2030-01-01T00:00:{life_s}Z"), slow, away, stores]
        code, got, err = post(tree, server.url, "--concurrency", "1", "--tries", "1")
    late = asked and asked[0] - issued > life_s - 2  # a machine so slow shows nothing
    check("post: an API that is away at the renewal", late or (code, got.get("doneCount"), len(asked), err.count("\n")),
          late or (0, 2, 1, 1))
    # Past the form's end it is waited for, for as long as it says.
    with scripted(says(500)) as server:
        back = says(503, Retry_After="1")
        server.script[:] = [form_for(server), says(400, ERROR % b"ExpiredToken"), back, back, form_for(server), stores]
        begun = time.monotonic()
        code, got, err = post(tree, server.url, "--concurrency", "1", "--tries", "3")
    check("post: an API that says when it is back", (code, got.get("doneCount"), time.monotonic() - begun > 2),
          (0, 2, True))


def try_post_faults(folder):
    tree = make_tree(pathlib.Path(folder, "small"), {"a.txt": b"aaa", "d/b.txt": b"bbbb"})
    one = make_tree(pathlib.Path(folder, "one"), {"a.txt": b"aaa"})
    def ask(what, directory, expected, *script, options=(), form=None):
        with scripted(says(500)) as server:
            server.script[:] = [form_for(server, **(form or {})), *script]
            code, got, err = post(directory, server.url, "--concurrency", "1", *options)
        check(f"post: {what}", (code, got.get("code"), got.get("retries")), expected)
        check(f"post: {what}: text", [c for c in err if ord(c) < 32 and c != "\n"], [])
        return got, server.seen

    got, seen = ask("as it should be", tree, (0, None, 0), stores)
    check("post: the folder is asked for", (seen[0][0], json.loads(seen[0][2])), ("/v1/post-policy", {}))
    body = seen[2][2]
    check("post: fields, the file last", [name in body for name in (
        b'name="key"\r\n\r\np/d/b.txt\r\n', b'name="Content-Type"\r\n\r\ntext/plain\r\n',
        b'name="policy"\r\n\r\nPOLICY\r\n')] + [body.rindex(b'; name="') == body.index(b'; name="file"')],
        [True] * 4)
    # A kept connection that dies is replaced by libcurl without a word.
    ask("503 and a broken line", tree, (0, None, 2), says(503), hang_up, says(500), stores)
    ask("503 for ever", tree, (4, "SLOW_DOWN", 2), says(503), options=["--tries", "3"])
    ask("other bytes, once", one, (0, None, 1), says(204, ETag='"' + "0" * 32 + '"'), stores)
    got, _ = ask("other bytes", one, (5, "BAD_DIGEST", 1), says(204, ETag='"' + "0" * 32 + '"'),
                 options=["--tries", "2"])
    ask("a bare yes, once", one, (0, None, 1), says(200), stores)
    ask("a bare yes", one, (4, "NOT_S3", 1), says(204), options=["--tries", "2"])
    got, _ = ask("no ETag", one, (0, None, 0), says(204, x_amz_request_id="R"))
    check("post: no ETag: not verified", got.get("verifiedCount"), 0)
    got, _ = ask("KMS", one, (0, None, 0), says(204, ETag='"' + "0" * 32 + '"',
                                               x_amz_server_side_encryption="aws:kms"))
    check("post: KMS: not verified", got.get("verifiedCount"), 0)
    got, seen = ask("denied", tree, (3, "ACCESS_DENIED", 0), says(403, ERROR % b"AccessDenied"))
    check("post: denied: the other is not tried", (len(seen), [f["status"] for f in got["files"]],
                                                  got["files"][0].get("httpStatus")),
          (2, ["failed", "not sent"], 403))
    ask("no bucket", tree, (1, "NO_SUCH_BUCKET", 0), says(404, ERROR % b"NoSuchBucket"))
    quoted = f'Policy Condition failed: ["eq", "$x-amz-security-token", "{TOKEN}"]'.encode()
    got, _ = ask("a token quoted", one, (3, "ACCESS_DENIED", 0),
                 says(403, b"<Error><Code>AccessDenied</Code><Message>" + quoted + b"</Message></Error>"))
    check("post: a token quoted: not shown", TOKEN[:16] in json.dumps(got), False)
    ask("a document beside the ETag", one, (0, None, 0), lambda handler: stores(handler, 201,
        b"<PostResponse><Bucket>b</Bucket><Key>k</Key></PostResponse>"))
    ask("a page beside an ETag, once", one, (0, None, 1), says(200, b"<html>", ETag='"5f3c-1a2b"'), stores)
    ask("a redirect", tree, (1, "REDIRECT", 0), says(307, Location="http://127.0.0.1:1/"))
    got, seen = ask("one is too large", tree, (1, "TOO_LARGE", 0),
                    says(400, ERROR % b"EntityTooLarge"), stores)
    check("post: the other goes", [f["status"] for f in got["files"]], ["failed", "done"])
    ask("no answer", one, (4, "TIMEOUT", 0), lambda handler: time.sleep(15),
        options=["--timeout", "5", "--tries", "1"])
    ask("an endless answer", one, (4, "NETWORK", 0), says(204 + 1, b"x" * (9 << 20)),
        options=["--tries", "1"])

    # A form whose life is short is renewed; one for another place is not taken.
    for prefix, expected in (("p/", (0, 2)), ("q/", (3, 1))):
        with scripted(says(500)) as server:
            short = {"expires": "2030-01-01T00:00:03Z"}
            slow = lambda handler: (time.sleep(2.5), stores(handler))
            server.script[:] = [form_for(server, **short), slow, form_for(server, prefix=prefix), stores]
            code, got, _ = post(tree, server.url, "--concurrency", "1")
        check(f"post: a second form for {prefix}", (code, [r[0] for r in server.seen].count(
            "/v1/post-policy")), (expected[0], 2))
    with scripted(says(500)) as server:
        server.script[:] = [form_for(server), says(403, ERROR % b"ExpiredToken"), form_for(server), stores]
        code, got, _ = post(one, server.url)
    check("post: expired early", (code, got.get("retries")), (0, 1))
    for what, again, expected in (("once more", {}, (0, 2)), ("for another bucket", {"bucket": "c"}, (3, 2))):
        with scripted(says(500)) as server:
            server.script[:] = [form_for(server), says(503), says(403, ERROR % b"ExpiredToken"),
                                form_for(server, **again), stores]
            code, got, _ = post(one, server.url)
        check(f"post: a file that is tried again, and a form {what}", (code, got.get("retries")), expected)
    with scripted(says(500)) as server:
        server.script[:] = [form_for(server), says(403, ERROR % b"ExpiredToken"), form_for(server),
                            says(403, ERROR % b"ExpiredToken")]
        code, got, _ = post(one, server.url)
    check("post: a new form that has expired, too", (code, got.get("code"), len(server.seen)), (3, "EXPIRED_TOKEN", 4))

    # What the API may answer.
    for what, (step, code) in {
            "no JSON": (says(200, b"hello"), 1), "nothing": (says(200, b"{}"), 1),
            "403": (says(403, b'{"message":"Forbidden"}'), 3), "429": (says(429), 4),
            "404": (says(404), 1), "413": (says(413), 1)}.items():
        with scripted(step) as server:
            got = post(one, server.url, "--tries", "2")
        check(f"post: API: {what}", (got[0], got[1].get("status")), (code, "failed"))
    for what, change in {"no key": {"fields": {"policy": "P"}}, "a number": {"fields": {"key": 1}},
                         "a file": {"fields": {"key": "k", "File": "x"}}, "no URL": {"url": "file:///x"},
                         "many": {"fields": {"key": "k", **{f"x{i}": "" for i in range(64)}}}}.items():
        with scripted(says(500)) as server:
            server.script[:] = [form_for(server, **change)]
            check(f"post: a form with {what}", post(one, server.url)[0], 1)

    # Names that can be no keys: nothing is sent.
    for name in (b"a\nb", b"a\x1b[2Jb", b"\xff\xfe", b"%2e%2E", b"a\\b", b"x${filename}y"):
        bad = os.path.join(folder, "bad").encode()
        os.makedirs(bad)
        for each in (name, b"good"):
            with open(os.path.join(bad, each), "wb") as file:
                file.write(b"x")
        code = "KEY_DOT_SEGMENT" if b"%2e" in name else "BAD_KEY"
        got, seen = ask(f"the name {name!r}", bad.decode(), (2, code, 0), stores)
        check(f"post: {name!r}: nothing is sent", (len(seen), got.get("doneCount")), (1, 0))
        shutil.rmtree(bad)
    long = make_tree(pathlib.Path(folder, "long"), {"/".join(["d" * 200] * 6): b"x"})
    ask("a name that is too long", long, (2, "BAD_KEY", 0), stores)

    # Files that change, vanish or become links while others are sent.
    def while_first(change, expected, what):
        tree2 = pathlib.Path(folder, "changing")
        make_tree(tree2, {"a": b"a", "b/c": b"c"})
        def first(handler):
            change(tree2)
            stores(handler)
        ask(what, str(tree2), expected, first, stores)
        shutil.rmtree(tree2)
    while_first(lambda t: (t / "b/c").unlink(), (1, "FILE_UNREADABLE", 0), "a file that vanishes")
    while_first(lambda t: (t / "b/c").write_bytes(b"longer"), (5, "FILE_CHANGED", 0), "a file that grows")
    def swap(t):
        shutil.rmtree(t / "b")
        (t / "b").symlink_to("/etc")
    while_first(swap, (1, "FILE_UNREADABLE", 0), "a folder that becomes a link")

    for arguments in ([], [one], ["--api", "https://a.example"], ["--api", "nowhere", "--token", "t", one],
                      ["--api", "https://a.example", one], ["--api", "", one],
                      ["--api", "https://a.example", "--token", "t", one, one],
                      ["--api", "https://a.example", "--concurrency", "33", one],
                      ["--api", "https://a.example", "--tries", "0", one], ["--colour"]):
        failed(f"post: refused: {arguments}", run("post", *arguments), 2, "help post")
    for path in ("/nonexistent", os.path.join(one, "a.txt")):
        code, got, _ = post(path, "http://127.0.0.1:1")
        check(f"post: no folder: {os.path.basename(path)}", (code, got.get("code")),
              (1, "FILE_UNREADABLE"))
    code, got, _ = post(one, "http://127.0.0.1:1", "--tries", "2")
    check("post: nobody there", (code, got.get("code")), (4, "NETWORK"))
    done = run("help", "post")
    check("help post", (done.returncode, b"--folder" in done.stdout, done.stderr), (0, True, b""))
    check("post --help", run("post", "--help").stdout, done.stdout)
    overview = run("help").stdout
    check("help lists both", (b"\n  post " in overview, b"\n  creds " in overview), (True, True))


# ---- The whole ------------------------------------------------------------------------------------


class World:
    def __init__(self, env):
        self.env = env
        self.s3 = servers.client(env)
        self.bucket = env["BUCKET"]


def main():
    folder = tempfile.mkdtemp(prefix="cli-", dir=os.path.join(ROOT, "build"))
    apart = threading.Thread(target=try_form_kept, args=(folder,))  # it mostly waits
    apart.start()
    try_creds_usage()
    try_creds_faults()
    try_post_faults(folder)
    apart.join()
    with kit.seaweedfs(os.path.join(folder, "s3")) as env:
        w = World(env)
        servers.prepare(w.s3, w.bucket, ["http://127.0.0.1"])
        settings = kit.api_settings(folder, env)
        try_creds_sts(w)
        try_creds_api(w, folder, settings)
        try_post(w, folder, settings)
    shutil.rmtree(folder)
    finish()


if __name__ == "__main__":
    main()
