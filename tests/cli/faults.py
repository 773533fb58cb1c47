"""`parthaul put` against a server that misbehaves (../servers/faulty.py), one row for each way.

A row says which exit code and code come of it, and what else is known; for every row hold: an object
that is done has the file's bytes, nothing else is there, no multipart upload is left behind, standard
output is one JSON object, and standard error is clean text in which the last line is the failure.
"""

import concurrent.futures
import http.server
import itertools
import json
import os
import pty
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from checks import CLEAN, PROGRAM, ROOT, check, finish, run

sys.path.insert(0, os.path.join(ROOT, "tests", "servers"))
sys.dont_write_bytecode = True
import faulty  # noqa: E402

MIB = 1 << 20
PART = 5 * MIB
DATA = random.Random(1).randbytes(PART + 4000)  # two parts
SMALL = DATA[:3000]
KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}

ROWS = []
ORPHAN = "the response to CreateMultipartUpload was lost"
PERHAPS = "S3 may have the object nevertheless"


def row(fault, exit_code, code=None, *options, small=False, verified="object", left=0, **more):
    """`code` is the failure's; without one the upload is done. `more` are members of the JSON, but `said` is
    in the last line."""
    ROWS.append((fault, exit_code, code, options, small, verified, left, more))


row("continue-slow", 0, small=True, retries=0)  # first, since it takes longest
row("fine", 0, retries=0)
row("fine@sha256", 0, None, "--checksum", "sha256", type="COMPOSITE")
row("fine@sha1", 0, None, "--checksum", "sha1")
row("fine@crc32", 0, None, "--checksum", "crc32", type="FULL_OBJECT")
row("fine@crc32c", 0, None, "--checksum", "crc32c", "--checksum-type", "composite", type="COMPOSITE")
row("fine@md5", 0, None, "--checksum", "md5")
row("fine@none", 0, None, "--checksum", "none", verified="size")
row("fine@signed", 0, None, "--signed-payload")
row("fine@properties", 0, None, "--content-type", "a/b", "--sse-kms-key-id", "k", "--metadata", "a=b",
    "--metadata", "C= d  e ", "--expected-bucket-owner", "1")
row("fine@small", 0, small=True, partCount=0)

# Asked for patience.
row("503-twice", 0, retries=4)
row("503-always", 4, "SLOW_DOWN", "--tries", "3", tries=3, httpStatus=503, operation="UploadPart",
    retryable=True)
row("slowdown-then-ok", 0, retries=2)
row("500-create", 4, "SERVER_ERROR", "--tries", "2", s3Code="InternalError", requestId="REQUEST-1",
    hostId="HOST-1", warning=ORPHAN)
row("429-once", 0, retries=2)
row("retry-after", 0, retries=2)
row("request-timeout", 0, retries=2)
row("incomplete-body", 0, retries=2)
row("operation-aborted", 0, retries=1)
row("html-502", 0, retries=4, warning=ORPHAN)
row("put-503-once", 0, small=True, retries=1)

# Connections that break.
row("reset-mid-body", 0)
row("close-always", 4, "NETWORK", "--tries", "2")
row("lost-part", 0)
row("dead-connections", 0, retries=0)
# Create keeps this limit, too: for a test that is about parts it should not be short.
row("stall", 4, "TIMEOUT", "--tries", "2", "--timeout", "4")
row("stall-once", 0, None, "--timeout", "4")
row("no-answer", 4, "TIMEOUT", "--tries", "2", "--timeout", "4")
row("early-403", 3, "ACCESS_DENIED")

row("reset-in-head", 0, retries=2)
row("creep", 4, "TIMEOUT", "--tries", "2", "--timeout", "4")
row("creep@once", 0, None, "--timeout", "4")

# Answers that are too much, too slow or of another shape.
row("drip@once", 0, None, "--timeout", "2")
row("drip-head@once", 0, None, "--timeout", "2")
row("longer-than-said", 0, retries=0)
row("nonsense", 0, retries=3)
row("unlisted-encoding", 0, retries=1)
for op in "Create", "UploadPart", "Complete", "PutObject":
    # All of an answer that names the upload has 317 bytes: of what is cut off S3 alone knows.
    for at in range(0, 450, 41):
        lost = op == "Create" and at < 317
        row(f"cut@{op}.{at}", 0, small=op == "PutObject", left=int(lost), warning=ORPHAN if lost else None)
row("http-1.0", 0, retries=0)
row("latin-1", 3, "ACCESS_DENIED", requestId="REQUEST-1")
row("huge-body", 4, "NETWORK", "--tries", "2", said="longer than 8 MiB")
row("huge-headers", 4, "NETWORK", "--tries", "2", said="too many headers")
row("slow-headers", 0, retries=0)
row("continue", 0, retries=0)
row("switch", 0, retries=2)
row("html-200", 1, "BAD_XML", "--tries", "2", warning=ORPHAN)
row("html-200@small", 1, "BAD_ANSWER", "--tries", "2", small=True, warning=PERHAPS)
row("bare-200", 0, small=True, retries=1)
row("bare-200@blank", 0, small=True, retries=1)
row("bare-200@always", 4, "NOT_S3", "--tries", "2", small=True, warning=PERHAPS)
row("page-200", 0, small=True, retries=1)
row("early-200", 0, None, "--part-size", "6MiB", retries=1)
row("no-etag-header", 0, warning="ETag")
row("list-two-pages", 0, warning="ETag")
row("list-forgets", 5, "INVALID_PART", warning="ETag")
row("list-endless", 0, warning="ETag")
row("bare-etag", 0, retries=0)
row("entity-etag", 0, retries=0)
row("no-checksums", 0, verified="sent")
row("no-checksums@md5", 0, None, "--checksum", "md5")
row("no-namespace", 0, retries=0)
row("prefixed-namespace", 0, retries=0)
row("declaration-and-comment", 0, retries=0)
row("create-doctype", 1, "BAD_XML", "--tries", "2", left=2, warning=ORPHAN)
row("create-without-id", 1, "BAD_ANSWER", "--tries", "2", left=2, warning=ORPHAN)
row("no-such-code", 1, "REFUSED")

# Bytes that are not the file's.
row("bad-digest-once", 0, retries=2)
row("bad-digest-always", 5, "BAD_DIGEST")
row("wrong-part-checksum-echo", 0, retries=2)
row("wrong-part-checksum-echo@always", 5, "BAD_DIGEST")
row("other-object-checksum", 5, "OBJECT_DIFFERS", stored=True)
row("invalid-part", 5, "INVALID_PART", operation="CompleteMultipartUpload")

# Complete, which is not success until its body says so.
row("complete-200-error-once", 0, retries=1)
row("complete-200-error-once@always", 4, "SERVER_ERROR", "--tries", "2", s3Code="InternalError",
    warning=PERHAPS)
row("complete-keepalive-blanks", 0, retries=0)
row("complete-no-length", 0, retries=0)
row("complete-empty-200", 0, retries=1)
row("complete-truncated", 0, retries=1)
row("complete-cut-document", 0, retries=1)
row("lost-complete", 0, retries=1)
row("lost-complete@once", 0, None, "--no-overwrite", retries=1)
row("lost-complete-no-head", 1, "NO_SUCH_UPLOAD", stored=True, warning=PERHAPS)
row("lost-complete-bare-head", 0, retries=2)
row("lost-complete-then-other", 1, "NO_SUCH_UPLOAD", stored=True)
# ... nor is an unconfirmed one: a result that states nothing of the object.
UNSEEN = "no checksum or ETag that confirms"
row("unconfirmed@true", 0, retries=0, unseen=None)
row("unconfirmed@late", 0, retries=1, unseen=None)
row("unconfirmed@busy", 0, retries=1, unseen=None)
row("unconfirmed@none", 1, "NOT_FOUND", "--tries", "2", tries=2, httpStatus=404)
row("unconfirmed@other", 5, "OBJECT_DIFFERS", stored=True)
row("unconfirmed@cut", 5, "OBJECT_DIFFERS", stored=True)
row("unconfirmed@refused", 0, verified="parts", unseen=True, warning=UNSEEN)
row("unconfirmed@kept-parts", 1, "NOT_FOUND", "--tries", "2", operation="ListParts")
row("entity-too-small", 1, "TOO_LARGE")
row("conflict", 1, "CONFLICT")
row("put-lost-answer", 0, None, "--no-overwrite", small=True, retries=1)

# No.
row("access-denied", 3, "ACCESS_DENIED", operation="CreateMultipartUpload", tries=1, httpStatus=403,
    retryable=False)
row("access-denied-part", 3, "ACCESS_DENIED", operation="UploadPart")
# Each of S3's words, once. One that may pass is tried again, whatever was asked for.
for status, code in ((500, "InternalError"), (502, "InternalError"), (504, "InternalError"), (599, "Other"),
                     (503, "ServiceUnavailable"), (503, "SlowDown"), (429, "SlowDown"),
                     (400, "RequestTimeout"), (400, "IncompleteBody"), (409, "OperationAborted")):
    for op in "Create", "UploadPart", "Complete", "PutObject":
        row(f"answer@{op}.1.{status}.{code}", 0, small=op == "PutObject", warning=op == "Create" and ORPHAN)
for op, status, code, exit_code, ours in (
        ("Create", 400, "TokenRefreshRequired", 3, "EXPIRED_TOKEN"),
        ("Complete", 400, "ExpiredToken", 3, "EXPIRED_TOKEN"),
        ("PutObject", 400, "InvalidToken", 3, "INVALID_TOKEN"),
        ("Complete", 403, "InvalidAccessKeyId", 3, "INVALID_TOKEN"),
        ("Complete", 403, "AccessDenied", 3, "ACCESS_DENIED"),
        ("UploadPart", 403, "SignatureDoesNotMatch", 3, "BAD_SIGNATURE"),
        ("UploadPart", 400, "XAmzContentSHA256Mismatch", 0, None),
        ("PutObject", 400, "InvalidDigest", 0, None), ("Complete", 400, "BadDigest", 5, "BAD_DIGEST"),
        ("Complete", 400, "InvalidPart", 0, None), ("Complete", 400, "InvalidPartOrder", 0, None),
        ("PutObject", 400, "EntityTooLarge", 1, "TOO_LARGE"),
        ("UploadPart", 400, "InvalidArgument", 1, "REFUSED"),
        ("Complete", 400, "MalformedXML", 1, "REFUSED"),
        ("PutObject", 411, "MissingContentLength", 1, "REFUSED"),
        ("Create", 400, "MetadataTooLarge", 1, "REFUSED"),
        ("Create", 400, "KeyTooLongError", 1, "REFUSED"),
        ("Create", 404, "NoSuchBucket", 1, "NO_SUCH_BUCKET"),
        ("Create", 301, "PermanentRedirect", 1, "REDIRECT"),
        ("UploadPart", 307, "TemporaryRedirect", 1, "REDIRECT"),
        ("Complete", 412, "PreconditionFailed", 1, "EXISTS"),
        ("PutObject", 409, "ConditionalRequestConflict", 0, None),
        ("Complete", 409, "ConditionalRequestConflict", 1, "CONFLICT"),
        ("PutObject", 409, "XMinioParentIsObject", 1, "REFUSED"),
        ("UploadPart", 417, "ExpectationFailed", 1, "REFUSED")):
    row(f"answer@{op}.1.{status}.{code}", exit_code, ours, small=op == "PutObject")
# A number says less; those of a proxy that is in trouble pass.
for status, exit_code, ours in ((204, 0, None), (206, 0, None), (300, 1, "REFUSED"),
                                (304, 1, "REFUSED"), (401, 3, "ACCESS_DENIED"), (404, 1, "NOT_FOUND"),
                                (408, 0, None), (413, 1, "TOO_LARGE"), (431, 1, "REFUSED"), (503, 0, None)):
    row(f"status@{status}", exit_code, ours, warning="ETag" if 200 < status < 300 else None)
row("put-access-denied", 3, "ACCESS_DENIED", small=True, operation="PutObject")
row("bad-signature", 3, "BAD_SIGNATURE")
row("expired-token", 3, "EXPIRED_TOKEN", operation="UploadPart", s3Code="ExpiredToken")
row("invalid-key-id", 3, "INVALID_TOKEN", httpStatus=403)
# S3 says that the first upload is gone, so nobody aborts it; the second one is.
row("no-such-upload", 1, "NO_SUCH_UPLOAD", left=1)
row("skewed", 0)
row("skewed-date-header", 0)
row("skewed-hopeless", 3, "CLOCK_SKEW")
row("region-malformed", 0, retries=1)
row("region-301", 0, retries=1)
row("redirect-307", 1, "REDIRECT")
row("abort-fails", 3, "ACCESS_DENIED", left=1, warning="S3 did not confirm that the uploaded parts")
row("abort-503-once", 3, "ACCESS_DENIED")


def put(server, key, *options, path, env=None, **more):
    return run("put", "--endpoint", server.url, "--part-size", "5MiB", "--json", "--resume", "never",
               *options, path, f"s3://{faulty.BUCKET}/{key}", env={**KEYS, **(env or {})}, **more)


def json_of(what, out, err):
    """What was said with --json; whatever else it was is shown."""
    try:
        return json.loads(out)
    except ValueError:
        check(f"{what}: JSON", out + err, None)
        return {}


def code_of(done):
    return json_of("a failure", done.stdout, done.stderr).get("code")


def read_result(what, done):
    """The JSON of a run, after looking at its form."""
    lines = done.stderr.decode().splitlines()
    check(f"{what}: clean text", [b for b in done.stderr if b < 32 and b != 10 or b == 127], [])
    result = json_of(what, done.stdout, done.stderr)
    if not result:
        return {}, lines
    check(f"{what}: status", result.get("status"), "failed" if done.returncode else "done")
    if done.returncode:
        last = lines[-1] if lines else ""
        check(f"{what}: last line", last.startswith(f"parthaul: {result.get('code')}: "), True)
    return result, lines


def run_row(server, files, case):
    fault, exit_code, code, options, small, verified, left, more = case
    key = f"faults/{fault}"
    done = put(server, key, *options, path=files[small])
    check(f"{fault}: exit code", done.returncode, exit_code)
    result, lines = read_result(fault, done)
    check(f"{fault}: code", result.get("code"), code)
    if exit_code == 0:
        stored = server.objects.get(key, {}).get("data")
        check(f"{fault}: bytes", stored == (SMALL if small else DATA), True)
        check(f"{fault}: verified", result.get("verified"), verified)
        check(f"{fault}: key", result.get("key"), key)
    else:
        check(f"{fault}: nothing stored", key in server.objects, more.pop("stored", False))
    warning = more.pop("warning", None)
    check(f"{fault}: warnings", [w for w in lines if "warning" in w and (warning or "\0") not in w], [])
    said = more.pop("said", "")
    check(f"{fault}: said", said in (lines[-1] if lines else ""), True)
    for member, value in more.items():
        check(f"{fault}: {member}", result.get(member), value)
    with server.lock:
        behind = [upload for upload in server.uploads.values() if upload.key == key]
    check(f"{fault}: multipart uploads left behind", len(behind), left)


# ---- What is no row -------------------------------------------------------------------------------


def try_headers(server):
    """What was given arrived, at Create and nowhere else."""
    got = server.objects["faults/fine@properties"]["headers"]
    check("properties", [got.get(name) for name in (
        "content-type", "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-meta-a",
        "x-amz-meta-c", "x-amz-expected-bucket-owner")], ["a/b", "k", "b", "d  e ", "1"])
    check("no redirect was followed", "faults/fine@stolen" in server.objects, False)
    check("no query was sent twice", server.log.count(("faults/lost-complete", "Complete", 0)), 2)


def try_retry_line(server, path):
    done = run("put", "--endpoint", server.url, path, "s3://bucket/faults/put-503-once@line", env=KEYS)
    check("a retry is one line", (done.returncode, done.stderr.count(b"\n"),
                                  b"SLOW_DOWN" in done.stderr), (0, 1, True))
    check("a receipt for people", done.stdout.startswith(b"s3://bucket/faults/put-503-once@line\n"),
          True)
    done = run("put", "--endpoint", server.url, "--quiet", path,
               "s3://bucket/faults/put-503-once@quiet", env=KEYS)
    check("--quiet", (done.returncode, done.stderr), (0, b""))


def try_api(server, files):
    """The credentials API, as it grants and as it does not."""
    def ask(name, key, *options, token="a.b.c"):
        done = run("put", "--api", f"{server.url}/api/{name}/", "--token", token, "--part-size", "5MiB",
                   "--json", "--resume", "never", *options, files[False], f"s3://bucket/{key}")
        return done, *read_result(f"API {name}", done)
    done, result, _ = ask("ok", "faults/renewed-token")
    check("API: renewed", (done.returncode, result.get("verified")), (0, "object"))
    check("API: asked twice", server.log.count(("ok", "credentials", 0)), 2)
    done, result, _ = ask("once-500", "faults/fine@api")
    check("API: one failure", (done.returncode, result.get("retries")), (0, 1))
    for name in "then-html", "then-307", "then-403", "then-404":  # a portal or balancer comes between, once
        done, result, _ = ask(name, f"faults/renewed-token@{name}")
        check(f"API {name}", (done.returncode, server.log.count((name, "credentials", 0))), (0, 3))
    done, result, _ = ask("then-forbidden", "faults/renewed-token@then-forbidden")
    check("API: its own no", (done.returncode, result.get("code"), "not any more" in result.get("message", "")),
          (3, "FORBIDDEN", True))
    for name, options, exit_code, code in (
            ("401", (), 3, "SIGN_IN"), ("403", (), 3, "FORBIDDEN"), ("404", (), 3, "BAD_CREDENTIALS"),
            ("503", ("--tries", "2"), 4, "NO_CREDENTIALS"), ("html", (), 1, "BAD_JSON"),
            ("307", (), 3, "BAD_CREDENTIALS"), ("nested", (), 1, "BAD_JSON"),
            ("long", (), 1, "BAD_JSON"), ("huge", ("--tries", "2"), 4, "NO_CREDENTIALS"),
            ("silent", ("--tries", "2", "--timeout", "1"), 4, "NO_CREDENTIALS"),
            ("other-bucket", (), 3, "FORBIDDEN"), ("other-prefix", (), 3, "FORBIDDEN")):
        done, result, _ = ask(name, "faults/never", *options)
        check(f"API {name}", (done.returncode, result.get("code")), (exit_code, code))
    check("API: its words", "said the API" in ask("403", "faults/never")[1].get("message", ""), True)
    check("API: its many words", "(word word" in ask("wordy", "faults/never")[1].get("message", ""), True)
    done, result, _ = ask("quotes", "faults/never")
    check("API: a gateway that quotes the token", (done.returncode, b"a.b.c" in done.stdout + done.stderr,
                                                   "HTTP 403" in result.get("message", "")), (3, False, True))
    done, result, _ = ask("ok", "faults/never", token="wrong")
    check("API: wrong token", (done.returncode, result.get("code")), (3, "SIGN_IN"))
    check("API: nothing was sent", "faults/never" in [entry[0] for entry in server.log], False)
    done = run("put", "--api", "http://127.0.0.1:1", "--token", "x", "--tries", "2", "--json",
               files[True], "s3://bucket/k")
    check("API: nobody there", (done.returncode, code_of(done)),
          (4, "NO_CREDENTIALS"))


def start_held(server, key, path, *options):
    server.old = set(server.uploads)
    server.held.clear()
    server.go.clear()
    running = subprocess.Popen([PROGRAM, "put", "--endpoint", server.url, "--part-size", "5MiB",
                                "--json", *options, path, f"s3://bucket/{key}"],
                               env={**CLEAN, **KEYS}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               # nohup has it ignored
                               preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
    check(f"{key}: a part is on its way", server.held.wait(20), True)
    return running


def try_signals(server, path):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        key = f"faults/hold@{number}"
        for options, code, left in ((), "STOPPED", 1), (("--resume", "never"), "ABORTED", 0):
            running = start_held(server, key, path, *options)
            running.send_signal(number)
            out, err = running.communicate(timeout=20)
            result = json_of(f"signal {number}", out, err)
            check(f"signal {number}: it ends by it", (running.returncode, result.get("code")),
                  (-number, code))
            check(f"signal {number}: resumable", result.get("resumable", False), bool(left))
            check(f"signal {number}: one line, which says how to go on",
                  (err.count(b"\n"), b"--abort" in err), (1, bool(left)))
            check(f"signal {number}: left", len([u for u in server.uploads.values() if u.key == key]), left)
            server.go.set()
    check("signals: nothing left", [u.key for u in server.uploads.values() if "hold" in u.key], [])


def try_changing_file(server, folder):
    """It grows, shrinks or is written to while its first part is on the way."""
    def append(path):
        with open(path, "ab") as file:
            file.write(b"more")
    def overwrite(path):
        with open(path, "r+b") as file:
            file.write(b"other")
    def overwrite_unseen(path):
        st = os.stat(path)
        with open(path, "r+b") as file:
            file.seek(-9, os.SEEK_END)
            file.write(b"other")
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    changes = {"grows": append, "shrinks": lambda path: os.truncate(path, PART - 1),
               "differs": overwrite, "differs, and its time is set back": overwrite_unseen}
    for name, change in changes.items():
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            # The last parts are read only when the first ones are out.
            file.write(DATA[:PART] * 8)
        running = start_held(server, f"faults/hold@{name}", path)
        change(path)
        server.go.set()
        out, err = running.communicate(timeout=30)
        result = json_of(f"file {name}", out, err)
        check(f"file {name}", (running.returncode, result.get("code"), result.get("resumable")),
              (5, "FILE_CHANGED", True))
        done = run("put", "--endpoint", server.url, "--abort", path, f"s3://bucket/faults/hold@{name}",
                   env=KEYS)
        check(f"file {name}: given up", (done.returncode, done.stdout), (0, b""))
    # Whoever has it open has all of it.
    def replace(path):
        with open(path + ".new", "wb") as file:
            file.write(DATA[::-1])
        os.replace(path + ".new", path)
    keeps = {"unlinked": os.unlink, "renamed": lambda path: os.rename(path, path + ".old"), "replaced": replace,
             "linked": lambda path: os.link(path, path + ".link"), "mode": lambda path: os.chmod(path, 0o400)}
    for name, change in keeps.items():
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(DATA)
        running = start_held(server, f"faults/hold@{name}", path)
        change(path)
        server.go.set()
        running.communicate(timeout=30)
        check(f"file {name}", (running.returncode, server.objects[f"faults/hold@{name}"]["data"] == DATA), (0, True))
    check("files: nothing left", [u.key for u in server.uploads.values() if "hold" in u.key], [])


def make_context(folder, name):
    """A server's TLS, and its certificate, which nobody trusts who does not know it."""
    key, cert = os.path.join(folder, f"{name}.key"), os.path.join(folder, f"{name}.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   capture_output=True, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


def try_tls(folder, path, large):
    if not shutil.which("openssl"):
        print("SKIP: no openssl to make a certificate with")
        return
    context, cert = make_context(folder, "trusted")
    server = faulty.start(context)
    done = put(server, "faults/fine", path=path)
    check("TLS: unknown issuer", (done.returncode, code_of(done)), (4, "TLS"))
    done = put(server, "faults/fine", path=path, env={"AWS_CA_BUNDLE": cert})
    check("TLS: trusted", done.returncode, 0)
    server.shutdown()
    # One server of many has another certificate, or a portal comes between: the third connection meets it.
    other, _ = make_context(folder, "other")
    connections = itertools.count(1)
    def choose(connection, *_):
        if next(connections) == 3:
            connection.context = other
    context.sni_callback = choose
    server = faulty.start(context)
    done = put(server, "faults/dead-connections", path=large, env={"AWS_CA_BUNDLE": cert})
    check("TLS: another certificate, once", (done.returncode, b"TLS: " in done.stderr,
                                             json_of("TLS", done.stdout, done.stderr).get("retries")), (0, True, 1))
    server.shutdown()


def try_progress(server, path):
    """The line that moves, where standard error is a terminal."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen([PROGRAM, "put", "--endpoint", server.url, "--part-size", "5MiB", path,
                                "s3://bucket/faults/complete-keepalive-blanks@progress"],
                               env={**CLEAN, **KEYS}, stdout=subprocess.PIPE, stderr=theirs)
    out, _ = running.communicate(timeout=30)
    os.write(theirs, b"!")  # the end of what there is to read, which comes in pieces
    shown = b""
    while not shown.endswith(b"!"):
        shown += os.read(ours, 1 << 16)
    shown = shown[:-1]
    os.close(theirs)
    os.close(ours)
    check("progress", (running.returncode, b"100 %  5.0 MiB of 5.0 MiB" in shown,
                       shown.endswith(b"\r\x1b[K")), (0, True, True))
    check("progress: not in the receipt", b"\r" in out, False)


def try_outputs(server, files):
    done = run("put", "--endpoint", server.url, files[True], "s3://bucket/faults/version-escapes", env=KEYS)
    check("what the server says is clean text", (done.returncode, b"  version    v1?]0;title?\n" in done.stdout),
          (0, True))
    done = put(server, "faults/version-long", path=files[True])
    check("a receipt however long", (done.returncode, len(json_of("a long version", done.stdout, done.stderr).get(
        "versionId", ""))), (0, 70000))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PROGRAM, "put", "--endpoint", server.url, files[True],
                               "s3://bucket/faults/fine@full"], env={**CLEAN, **KEYS}, stdout=full,
                              stderr=subprocess.PIPE, check=False)
    check("standard output is full", (done.returncode, done.stderr.count(b"\n")), (1, 1))
    done = run("put", "--endpoint", server.url, "--part-size", "5MiB", "--resume", "never", files[False],
               "s3://bucket/faults/unconfirmed@refused,told", env=KEYS)
    check("nobody saw the object", (done.returncode, b"could not be checked" in done.stdout), (0, True))
    done = run("put", "--endpoint", server.url, files[True], "s3://bucket/faults/fine@a\u009bb", env=KEYS)
    check("so is the key", (done.returncode, done.stdout.startswith(b"s3://bucket/faults/fine@a?b\n")), (0, True))
    done = run("put", "--endpoint", server.url, "/nonexistent/\u009b", "s3://bucket/k", env=KEYS)
    check("and the file's name", (done.returncode, b"\x9b" in done.stderr), (1, False))
    done = run("put", "--tokn=SECRET", "--endpoint", server.url, files[True], "s3://bucket/k", env=KEYS)
    check("a mistyped option's value", (done.returncode, b"option --tokn is" in done.stderr, b"SECRET" in done.stderr),
          (2, True, False))
    done = run("put", "--api", "", "--endpoint", server.url, files[True], "s3://bucket/k", env=KEYS)
    check("an --api that is empty", (done.returncode, b"--api cannot be" in done.stderr), (2, True))
    done = put(server, "faults/fine", path=b"/nonexistent/\xff")
    check("a name that is not UTF-8", (done.returncode, code_of(done)),
          (1, "FILE_UNREADABLE"))


def try_no_files(server, folder):
    """What has no size, or no end."""
    pipe = os.path.join(folder, "pipe")
    os.mkfifo(pipe)
    for path in pipe, folder, "/dev/zero", "/dev/null", "/proc/cpuinfo":
        done = run("put", "--endpoint", server.url, path, "s3://bucket/faults/fine@no-file", env=KEYS)
        check(f"{path} is no file", (done.returncode, b"not a regular file" in done.stderr), (2, True))


def try_nobody(path):
    """No such host, and one that does not speak TLS."""
    plain = faulty.start()
    for url in "http://no-such-host.invalid", plain.url.replace("http:", "https:"):
        done = run("put", "--endpoint", url, "--tries", "2", "--json", path, "s3://bucket/k", env=KEYS)
        check(f"{url}", (done.returncode, code_of(done) in ("NETWORK", "TIMEOUT")), (4, True))
    plain.shutdown()


def freeze(fault, path):
    """Stop the process while it waits for the server, for longer than a turn can take, and let it go on."""
    server = faulty.start()
    running = start_held(server, f"faults/{fault}", path)
    running.send_signal(signal.SIGSTOP)
    server.go.set()
    time.sleep(11)
    running.send_signal(signal.SIGCONT)
    out, err = running.communicate(timeout=30)
    server.shutdown()
    return server.log, running.returncode, err, json_of("stopped", out, err)


def try_stopped(path):
    """The process is frozen while the answer to Complete comes: it counts all the same, once."""
    log, code, err, result = freeze("hold-answer", path)
    check("stopped: done", (code, err, result.get("verified")), (0, b"", "object"))
    check("stopped: Complete", log.count(("faults/hold-answer", "Complete", 0)), 1)


def try_stopped_lost(path):
    """Connections that end while the process is frozen are nobody's failure."""
    _, code, err, result = freeze("hold-lost", path)
    check("stopped, lost: done", (code, err, result.get("retries")), (0, b"", 0))


def try_line_ends(server, path):
    """What a file with the line ends of Windows makes of the environment is no wrong secret."""
    for name in (*KEYS, "AWS_SESSION_TOKEN"):
        done = put(server, "faults/fine@line-ends", path=path, env={name: "value\r"})
        check(f"a line end in {name}", (done.returncode, b"without line ends" in done.stderr), (2, True))


def try_proxy(server, path):
    """What is on this machine is not reached through a proxy."""
    done = put(server, "faults/fine@proxy", path=path, env={"http_proxy": "http://127.0.0.1:1"})
    check("no proxy for loopback", done.returncode, 0)


class Lookout(http.server.BaseHTTPRequestHandler):
    """S3 with our object, though the answer was lost, and an API whose credentials for one key may read it."""

    protocol_version = "HTTP/1.1"

    def reply(self, status, body=b"", **headers):
        key = self.headers.get("authorization", "").rpartition("Credential=")[2].partition("/")[0]
        self.server.seen.append((self.command, self.path, key))
        if self.command == "HEAD" and key == "READER":
            status, headers = 200, {"content-length": str(len(SMALL)), "etag": '"e"',
                                    "x-amz-checksum-sha256": self.server.checksum}
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        key = "READER" if "?key=" in self.path else "WRITER"
        self.reply(200, json.dumps({"accessKeyId": key, "secretAccessKey": "s", "sessionToken": "t"}).encode())

    def do_PUT(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.checksum = self.headers["x-amz-checksum-sha256"]
        self.reply(412, b"<Error><Code>PreconditionFailed</Code></Error>")

    def do_HEAD(self):
        self.reply(403)

    def log_message(self, *_):
        pass


def try_looking(path):
    """The API lends credentials for one key to whoever has to look at the object."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lookout)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    done = run("put", path, "s3://bkt/up/a b", "--no-overwrite", "--endpoint", url, "--path-style",
               "--checksum", "sha256", "--api", url, "--token", "t", "--json")
    server.shutdown()
    result = json_of("a key's credentials", done.stdout, done.stderr)
    check("an object that only a key's credentials show", (done.returncode, result.get("verified")),
          (0, "object"))
    check("what was asked", server.seen, [
        ("GET", "/v1/credentials", "Bearer t"), ("PUT", "/bkt/up/a%20b", "WRITER"),
        ("HEAD", "/bkt/up/a%20b", "WRITER"), ("GET", "/v1/credentials?key=up%2Fa%20b", "Bearer t"),
        ("HEAD", "/bkt/up/a%20b", "READER")])


def main():
    with tempfile.TemporaryDirectory() as folder:
        files = {False: os.path.join(folder, "two parts"), True: os.path.join(folder, "small")}
        for small, path in files.items():
            with open(path, "wb") as file:
                file.write(SMALL if small else DATA)
        for piece in (DATA, DATA[:PART]):  # slow in Python: once for all rows
            for algorithm in ("crc64nvme", "crc32c"):
                faulty.checksum(algorithm, piece)
        server = faulty.start()
        # Most rows wait most of the time.
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            begun = time.monotonic()
            for done in [pool.submit(run_row, server, files, case) for case in ROWS]:
                done.result()
            apart = [threading.Thread(target=try_tls, args=(folder, files[True], files[False])),
                     threading.Thread(target=try_nobody, args=(files[True],)),
                     threading.Thread(target=try_stopped, args=(files[False],)),
                     threading.Thread(target=try_stopped_lost, args=(files[False],))]
            for thread in apart:
                thread.start()
            try_headers(server)
            try_retry_line(server, files[True])
            try_api(server, files)
            try_signals(server, files[False])
            try_changing_file(server, folder)
            try_progress(server, files[False])
            try_outputs(server, files)
            try_line_ends(server, files[True])
            try_proxy(server, files[True])
            try_no_files(server, folder)
            try_looking(files[True])
            for thread in apart:
                thread.join()
            print(f"{len(ROWS)} rows, {time.monotonic() - begun:.1f} s")
        server.shutdown()
        check("the server itself", server.bugs, [])
    finish()


if __name__ == "__main__":
    main()
