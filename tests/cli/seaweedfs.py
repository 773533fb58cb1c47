"""`parthaul put` against a real S3 (SeaweedFS), read back with a client that is not ours (boto3)."""

import base64
import concurrent.futures
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from checks import CLEAN, PROGRAM, ROOT, check, finish, run

sys.path.insert(0, os.path.join(ROOT, "tests"))
import kit  # noqa: E402
import bucket as servers  # noqa: E402
import common as api_tests  # noqa: E402  (starts parthaul-api)

MIB = 1 << 20
RANDOM = random.Random(3).randbytes(40 * MIB)


class World:
    def __init__(self, folder, env):
        self.folder = folder
        self.env = env
        self.s3 = servers.client(env)
        self.bucket = env["BUCKET"]
        self.keys = {name: value for name, value in env.items() if name.startswith("AWS_")}

    def file(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def put(self, path, key, *options, bucket=None, env=None):
        done = run("put", "--endpoint", self.env["S3_ENDPOINT"], "--json", *options, path,
                   f"s3://{bucket or self.bucket}/{key}", env={**self.keys, **(env or {})})
        return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr

    def read(self, key, **more):
        return self.s3.get_object(Bucket=self.bucket, Key=key, **more)


def try_sizes(w):
    """Nothing, a byte, one part, one part and a byte, many parts."""
    def one(size, parts):
        path = w.file(f"size-{size}", RANDOM[:size])
        key = f"upload/sizes/{size}"
        code, receipt, _ = w.put(path, key, "--part-size", "5MiB")
        check(f"{size} bytes: exit code", code, 0)
        check(f"{size} bytes: read back", w.read(key)["Body"].read() == RANDOM[:size], True)
        check(f"{size} bytes: receipt", (receipt.get("size"), receipt.get("partCount"),
                                         receipt.get("verified")), (size, parts, "object"))
        head = w.s3.head_object(Bucket=w.bucket, Key=key, ChecksumMode="ENABLED")
        check(f"{size} bytes: ETag", head["ETag"].strip('"'), receipt.get("etag"))
        check(f"{size} bytes: stored checksum", head.get("ChecksumCRC64NVME"), receipt.get("checksum"))
        for arguments, value in (((), receipt.get("checksum")), (("--etag",), receipt.get("etag"))):
            parts = ("--part-size", "5MiB") if receipt.get("partCount") else ()
            shown = run("checksum", *parts, *arguments, path).stdout.decode()
            check(f"{size} bytes: parthaul checksum {arguments}", shown.split("  ")[0], value)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(one, (0, 1, 5 * MIB, 5 * MIB + 1, 40 * MIB), (0, 0, 0, 2, 8)))
    path = w.file("polite", RANDOM[:11 * MIB])
    for options in (("--polite",), ("--max-rate", "50MiB")):
        code, receipt, err = w.put(path, "upload/polite", "--part-size", "5MiB", *options)
        check(f"{options}", (code, err, receipt.get("verified")), (0, b"", "object"))
        check(f"{options}: read back", w.read("upload/polite")["Body"].read() == RANDOM[:11 * MIB], True)


def try_algorithms(w):
    path = w.file("algorithms", RANDOM[:11 * MIB])
    md5 = base64.b64encode(hashlib.md5(b"".join(
        hashlib.md5(RANDOM[at:min(at + 5 * MIB, 11 * MIB)]).digest()
        for at in range(0, 11 * MIB, 5 * MIB))).digest()).decode() + "-3"
    def one(name, *options):
        key = f"upload/algorithms/{name}{len(options)}"
        code, receipt, err = w.put(path, key, "--part-size", "5MiB", "--checksum", name, *options)
        check(f"{key}: exit code", (code, err), (0, b""))
        check(f"{key}: read back", w.read(key)["Body"].read() == RANDOM[:11 * MIB], True)
        if name == "none":
            check(f"{key}: verified", receipt.get("verified"), "size")
        elif name == "md5":
            check(f"{key}: checksum", (receipt.get("checksum"), receipt.get("verified")),
                  (md5, "object"))
        else:
            head = w.s3.head_object(Bucket=w.bucket, Key=key, ChecksumMode="ENABLED")
            check(f"{key}: checksum", (head.get("Checksum" + name.upper()), receipt.get("verified")),
                  (receipt.get("checksum"), "object"))
            size = ("--part-size", "5MiB") if receipt.get("type") == "COMPOSITE" else ()
            shown = run("checksum", "--algorithm", name, *size, path).stdout.decode()
            check(f"{key}: parthaul checksum", shown.split("  ")[:2],
                  [receipt.get("checksum"), f"{name.upper()}/{receipt.get('type')}"])
    for name in ("crc64nvme", "crc32c", "crc32", "sha256", "sha1", "md5", "none"):
        one(name)
    one("crc32", "--checksum-type", "composite")
    one("crc64nvme", "--signed-payload")
    code, failure, _ = w.put(path, "k", "--checksum", "sha256", "--checksum-type", "full-object")
    check("sha256 has no full-object value", (code, failure.get("code")), (2, "BAD_ALGORITHM"))


def try_objects(w):
    """What an object is given, in one request and in parts."""
    for name, data in (("small", b"x" * 10), ("large", RANDOM[:6 * MIB])):
        key = f"upload/objects/{name}"
        code, _, err = w.put(
            w.file(name, data), key, "--part-size", "5MiB", "--content-type", "text/x; a=\"b c\"",
            "--cache-control", "no-store", "--content-disposition", "attachment; filename=a",
            "--content-language", "de", "--metadata", "Colour=dark  blue", "--metadata", "n-1=%20=+",
            "--tagging", "a=b%20c&d=1")
        check(f"{name}: exit code", (code, err), (0, b""))
        got = w.read(key)
        check(f"{name}: read back", got["Body"].read() == data, True)
        check(f"{name}: properties", (got["ContentType"], got["CacheControl"],
                                      got["ContentDisposition"], got["ContentLanguage"]),
              ("text/x; a=\"b c\"", "no-store", "attachment; filename=a", "de"))
        check(f"{name}: metadata", (" ".join(got["Metadata"].get("colour", "").split()),
                                    got["Metadata"].get("n-1")), ("dark blue", "%20=+"))
        tags = w.s3.get_object_tagging(Bucket=w.bucket, Key=key)["TagSet"]
        check(f"{name}: tags", sorted((t["Key"], t["Value"]) for t in tags), [("a", "b c"), ("d", "1")])


def try_keys(w):
    path = w.file("name of file.bin", b"data")
    for key in ("a b", "it's \"quoted\"", "\U0001f4e6/\u00fc", "a+b=c&d", "100%", "%41%2f", "a?b#c",
                "~!*'();:@$,", "x" * 200, "<tag>&amp;"):
        key = "upload/keys/" + key
        code, receipt, err = w.put(path, key)
        check(f"key {key}: exit code", (code, err), (0, b""))
        check(f"key {key}: receipt", receipt.get("key"), key)
        check(f"key {key}: read back", w.read(key)["Body"].read(), b"data")
    for key in ("upload/keys/", "upload/keys/folder/"):
        check(f"key {key}: the file's name", w.put(path, key)[1].get("key"), key + "name of file.bin")
    done = run("put", "--endpoint", w.env["S3_ENDPOINT"], "--json", path, f"s3://{w.bucket}", env=w.keys)
    check("no key: the file's name", json.loads(done.stdout).get("key"), "name of file.bin")
    for key, code in (("a/../b", "KEY_DOT_SEGMENT"), ("a/./b", "KEY_DOT_SEGMENT"),
                      ("x" * 1025, "BAD_KEY"), ("a\nb", "BAD_KEY")):
        exit_code, failure, _ = w.put(path, key)
        check(f"key {key[:10]!r} is refused", (exit_code, failure.get("code")), (2, code))


def try_refusals(w):
    small, large = w.file("refused", b"data"), w.file("refused-large", RANDOM[:6 * MIB])
    key = "upload/refusals/there"
    check("an object is there", w.put(small, key)[0], 0)
    other = w.file("refused-other", b"other")
    for path in other, large:
        code, failure, _ = w.put(path, key, "--no-overwrite", "--part-size", "5MiB")
        check("--no-overwrite", (code, failure.get("code")), (1, "EXISTS"))
    # Only HEAD tells another's object from one of ours whose answer was lost: the same file is no failure.
    check("--no-overwrite of the same file", w.put(small, key, "--no-overwrite")[0], 0)
    check("it is as it was", w.read(key)["Body"].read(), b"data")
    check("without, it is replaced", w.put(large, key, "--part-size", "5MiB")[0], 0)
    for path in small, large:
        code, failure, _ = w.put(path, key, env={"AWS_SECRET_ACCESS_KEY": "wrong"})
        check("wrong secret", (code, failure.get("code"), failure.get("httpStatus")),
              (3, "BAD_SIGNATURE", 403))
        code, failure, _ = w.put(path, key, env={"AWS_ACCESS_KEY_ID": "NOBODY"})
        check("unknown key", (code, failure.get("s3Code")), (3, "InvalidAccessKeyId"))
        code, failure, _ = w.put(path, key, bucket="no-such-bucket")
        check("no such bucket", (code, failure.get("code")), (1, "NO_SUCH_BUCKET"))
        code, failure, _ = w.put(path, key, "--endpoint", "http://127.0.0.1:1", "--tries", "2")
        check("nobody there", (code, failure.get("code"), failure.get("tries")), (4, "NETWORK", 2))
    code, failure, _ = w.put("/nonexistent", key)
    check("no such file", (code, failure.get("code")), (1, "FILE_UNREADABLE"))
    for arguments in (["-", "s3://b/k"], [w.folder, "s3://b/k"], ["/dev/null", "s3://b/k"], [small],
                      [small, "k"], [small, "s3://"], [small, "s3://b/k", "more"],
                      ["--part-size", "1MB", small, "s3://b/k"], ["--checksum", "crc", small, "s3://b/k"],
                      ["--concurrency", "0", small, "s3://b/k"], ["--metadata", "a", small, "s3://b/k"],
                      ["--max-rate", "0", small, "s3://b/k"], ["--max-rate", "fast", small, "s3://b/k"],
                      ["--content-type", "\u00e4", small, "s3://b/k"], ["--colour", small, "s3://b/k"],
                      ["--token", "t", "--api", "nowhere", small, "s3://b/k"]):
        done = run("put", *arguments, env=w.keys)
        check(f"refused: {arguments}", (done.returncode, done.stdout, done.stderr.count(b"\n")),
              (2, b"", 1))
    for arguments in (["--part-size", "1M", small, "s3://bucket/k"], [small, "s3://B/k"],
                      ["--endpoint", "nowhere", small, "s3://bucket/k"],
                      ["--accelerate", "--path-style", small, "s3://bucket/k"]):
        done = run("put", *arguments, env=w.keys)
        check(f"refused: {arguments}", (done.returncode, done.stdout, done.stderr.count(b"\n")),
              (2, b"", 1))
    check("no credentials", run("put", small, "s3://bucket/k").returncode, 2)


def try_abort(w):
    """A signal while parts are on their way."""
    path = w.file("aborted", RANDOM)
    for wait in (0.05, 0.2, 0.4):
        running = subprocess.Popen(
            [PROGRAM, "put", "--endpoint", w.env["S3_ENDPOINT"], "--part-size", "5MiB", "--json",
             "--concurrency", "2", "--resume", "never", path, f"s3://{w.bucket}/upload/aborted"],
            env={**CLEAN, **w.keys}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            running.wait(wait)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGINT)
        result = json.loads(running.communicate(timeout=30)[0] or b"{}")
        check("aborted, or done before", (running.returncode, result.get("code")) in
              ((-signal.SIGINT, "ABORTED"), (0, None), (-signal.SIGINT, None)), True)


def try_api(w, settings):
    """With credentials that a credentials API lends for one user's prefix."""
    if not api_tests.API.exists():
        print("SKIP: no", api_tests.API)
        return
    path = w.file("lent", RANDOM[:12 * MIB])
    with api_tests.Api(w.folder, **settings) as api:
        base = ["--api", f"http://127.0.0.1:{api.port}", "--json", "--part-size", "5MiB", path]
        def put(key, *options, env=None):
            done = run("put", *options, *base, f"s3://{w.bucket}/{key}", env=env)
            return done.returncode, json.loads(done.stdout) if done.stdout else {}
        alice = api_tests.token("alice")
        code, receipt = put("upload/alice/lent", "--token", alice)
        check("API: done", (code, receipt.get("verified")), (0, "object"))
        check("API: read back", w.read("upload/alice/lent")["Body"].read() == RANDOM[:12 * MIB], True)
        code, receipt = put("upload/alice/folder/", env={"PARTHAUL_TOKEN": alice})
        check("API: token from the environment", (code, receipt.get("key")),
              (0, "upload/alice/folder/lent"))
        code, failure = put("upload/bob/lent", "--token", alice)
        check("API: somebody else's prefix", (code, failure.get("code")), (3, "FORBIDDEN"))
        code, failure = put("upload/alice/lent", "--token", alice + "x")
        check("API: wrong token", (code, failure.get("code")), (3, "SIGN_IN"))
        expired = api_tests.token("alice", exp=1)
        check("API: expired token", put("upload/alice/lent", "--token", expired)[0], 3)
        check("API: no token", put("upload/alice/lent")[0], 2)


class Lender(kit.Handler):
    """A credentials API that gives what the server's list says, the last one for ever."""

    def do_GET(self):
        lent = self.server.lent
        self.server.asked += 1
        self.reply(200, lent.pop(0) if len(lent) > 1 else lent[0], content_type="application/json")


def try_expired(w, settings):
    """Credentials that end earlier than they say: without others it is over, with others it goes on."""
    path = w.file("expired", RANDOM[:12 * MIB])
    with api_tests.Api(w.folder, **settings) as api:
        grant = api.ask("GET", "/v1/credentials", api_tests.token())[2]
    creds = grant["credentials"]
    over = {**creds, "sessionToken": kit.resigned(os.path.join(w.folder, "s3"), creds["sessionToken"],
                                                  exp=int(time.time()) - 1)}
    env = {"AWS_ACCESS_KEY_ID": over["accessKeyId"], "AWS_SECRET_ACCESS_KEY": over["secretAccessKey"],
           "AWS_SESSION_TOKEN": over["sessionToken"]}
    for size in ("small", "large"):
        small = w.file("expired-small", b"data") if size == "small" else path
        code, failure, _ = w.put(small, "upload/alice/over", "--part-size", "5MiB", env=env)
        check(f"expired, {size}: denied", (code, failure.get("s3Code")), (3, "InvalidAccessKeyId"))
    check("expired: nothing is stored", kit.refusal(
        w.s3.head_object, Bucket=w.bucket, Key="upload/alice/over"), "404")
    expired, good = (json.dumps({**grant, "credentials": each}).encode() for each in (over, creds))
    for what, lent, wanted in (("then good ones", [expired, good], 0), ("for ever", [expired], 3)):
        with kit.served(Lender, lent=lent, asked=0) as lender:
            done = run("put", "--token", "t", "--api", lender.url, "--json", "--part-size", "5MiB", path,
                       f"s3://{w.bucket}/upload/alice/lent-{wanted}")
            check(f"API: expired, {what}", done.returncode, wanted)
            check(f"API: expired, {what}: asked again, a few times", 2 <= lender.asked <= 6, True)
    check("API: expired, then good: read back",
          w.read("upload/alice/lent-0")["Body"].read() == RANDOM[:12 * MIB], True)


def main():
    folder = tempfile.mkdtemp(prefix="cli-", dir=os.path.join(ROOT, "build"))
    with kit.seaweedfs(os.path.join(folder, "s3")) as env:
        w = World(folder, env)
        servers.prepare(w.s3, w.bucket, ["http://127.0.0.1"])
        try_sizes(w)
        try_algorithms(w)
        try_objects(w)
        try_keys(w)
        try_refusals(w)
        try_abort(w)
        settings = kit.api_settings(folder, env)
        try_api(w, settings)
        try_expired(w, settings)
        left = w.s3.list_multipart_uploads(Bucket=w.bucket).get("Uploads", [])
        check("multipart uploads left behind", [upload["Key"] for upload in left], [])
    shutil.rmtree(folder)
    finish()


if __name__ == "__main__":
    main()
