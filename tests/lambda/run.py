"""The credentials API as AWS Lambda runs it: parthaul-api (built with the sanitizers) between a
runtime API and an STS that are played here, on loopback. Run it by tests/lambda/run.

What is proven here and nowhere else: that events of all formats come back as answers, that hostile
ones neither end the process nor count as errors of the function, that a failing start is told to
Lambda, that the runtime API's own failures end as its rules say, and that nothing of an event or an
answer gets into the log. What is not proven: that AWS's runtime API does what is played here.
"""

import base64
import collections
import contextlib
import http.server
import json
import os
import pathlib
import re
import secrets
import shutil
import ssl
import subprocess
import sys
import threading
import time
import uuid
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import kit  # noqa: E402
from kit import (AUDIENCE, ISSUER, JWT_SECRET, ORIGIN, ROOT, SECRETS, Handler, check,  # noqa: E402
                 equal, secret, token)

API = ROOT / "build/tests/parthaul-api"
ZIP = ROOT / "build/parthaul-lambda.zip"
SANITIZER = 99  # the exit status that stands for a finding of the sanitizers


# ---- STS ------------------------------------------------------------------------------------------


class Sts(Handler):
    """Gives credentials; after `delay` seconds."""

    delay = 0
    session_secret = secret("sts-secret-" + secrets.token_hex(8))
    session_token = secret("sts-token-" + secrets.token_hex(8))

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(Sts.delay)
        self.reply(200, kit.assumed(secret_key=Sts.session_secret, session=Sts.session_token))


# ---- The runtime API ------------------------------------------------------------------------------

Told = collections.namedtuple("Told", "what headers body")


class Runtime(http.server.ThreadingHTTPServer):
    """A runtime API: gives what was queued, keeps what it is told. A request for the next event waits
    until there is one, as Lambda's does."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), RuntimeHandler)
        self.changed = threading.Condition()
        self.queue = collections.deque()
        self.told = {}  # by the request's id
        self.init_errors = []
        self.statuses = {}  # what to say to an answer, by the request's id; else 202
        self.connections = 0
        self.strange = []  # requests that are not as they have to be
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server_port}"

    def put(self, body, status=200, id=None, headers=None, hang_up=False):
        """Queue an event, or another answer to the question for the next one. Gives its id."""
        id = str(uuid.uuid4()) if id is None else id
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        sent = {"Lambda-Runtime-Aws-Request-Id": id,
                "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 15000),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:1:function:f",
                "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700"}
        sent.update(headers or {})
        with self.changed:
            self.queue.append((status, sent, body, hang_up))
            self.changed.notify_all()
        return id

    def wait(self, id, timeout=30):
        """What came of an event; None when nothing did."""
        with self.changed:
            self.changed.wait_for(lambda: id in self.told, timeout)
            return self.told.get(id)

    def wait_empty(self, timeout=30):
        with self.changed:
            return self.changed.wait_for(lambda: not self.queue, timeout)


class RuntimeHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is two small writes
    BASE = "/2018-06-01/runtime"

    def setup(self):
        super().setup()
        self.server.connections += 1

    def reply(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        server = self.server
        if self.path != self.BASE + "/invocation/next":
            server.strange.append(self.path)
        with server.changed:
            server.changed.wait_for(lambda: server.queue, 60)
            if not server.queue:
                return
            status, headers, body, hang_up = server.queue.popleft()
            server.changed.notify_all()
        with contextlib.suppress(OSError):
            if hang_up:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body) + 100))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()
                self.close_connection = True
                return
            self.reply(status, body, headers)

    def do_POST(self):
        server = self.server
        length = self.headers.get("Content-Length")
        if length is None or "Expect" in self.headers or "Transfer-Encoding" in self.headers:
            server.strange.append(str(self.headers))
        body = self.rfile.read(int(length or 0))
        parts = self.path.removeprefix(self.BASE + "/").split("/")
        with server.changed:
            if parts == ["init", "error"]:
                server.init_errors.append(Told("init", self.headers, body))
                status = 202
            elif len(parts) == 3 and parts[0] == "invocation" and parts[2] in ("response", "error"):
                server.told[parts[1]] = Told(parts[2], self.headers, body)
                status = server.statuses.get(parts[1], 202)
            else:
                server.strange.append(self.path)
                status = 404
            server.changed.notify_all()
        with contextlib.suppress(OSError):
            self.reply(status, b'{"status":"OK"}')

    def log_message(self, *_):
        pass


# ---- The function ---------------------------------------------------------------------------------


class Function:
    """parthaul-api as Lambda starts it, with its runtime API and its log."""

    def __init__(self, folder, settings, runtime=None, program=API):
        self.runtime = runtime or Runtime()
        self.log_path = pathlib.Path(folder) / f"{secrets.token_hex(4)}.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"AWS_LAMBDA_RUNTIME_API": self.runtime.address, **settings})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def end(self):
        """Say that the container is broken, which ends it; how it ended."""
        self.runtime.put("", status=500)
        return self.process.wait(timeout=30)

    def invoke(self, event, **more):
        return self.runtime.wait(self.runtime.put(event, **more))

    def ask(self, event, **more):
        """The status, the headers and the body that Lambda is told to answer."""
        told = self.invoke(event, **more)
        if not told or told.what != "response":
            return None, {}, told
        answer = json.loads(told.body)
        body = answer["body"]
        if "json" in answer["headers"].get("content-type", "") and body:
            body = json.loads(body)
        return answer["statusCode"], answer["headers"], body

    def log(self):
        return self.log_path.read_text(errors="replace")

    def lines(self):
        return [json.loads(line) for line in self.log().splitlines()]


# ---- Events ---------------------------------------------------------------------------------------


def url_event(method="GET", path="/healthz", headers=None, body=None, stage="$default", **more):
    """As a function URL and an HTTP API (payload format 2.0) make it."""
    event = {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "query=hidden",
        "cookies": ["authorization=Bearer x", "b=2"], "headers": {"host": "x", **(headers or {})},
        "queryStringParameters": {"query": "hidden"},
        "requestContext": {
            "accountId": "anonymous", "apiId": "x", "domainName": "x", "domainPrefix": "x",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1",
                     "sourceIp": "192.0.2.1", "userAgent": "curl"},
            "requestId": str(uuid.uuid4()), "routeKey": "$default", "stage": stage,
            "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1583348638390},
        "isBase64Encoded": False,
    }
    if body is not None:
        event["body"] = body
    return {**event, **more}


def rest_event(method="GET", path="/healthz", headers=None, body=None, stage="dev", **more):
    """As a REST API makes it."""
    headers = {"Host": "x", **(headers or {})}
    return {
        "resource": "/{proxy+}", "path": path, "httpMethod": method, "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {"query": "hidden"},
        "multiValueQueryStringParameters": {"query": ["hidden"]},
        "pathParameters": {"proxy": path[1:]}, "stageVariables": None,
        "requestContext": {
            "resourceId": "x", "resourcePath": "/{proxy+}", "httpMethod": method, "stage": stage,
            "path": f"/{stage}{path}", "accountId": "1", "protocol": "HTTP/1.1",
            "identity": {"sourceIp": "192.0.2.1", "apiKey": secret(secrets.token_hex(20))}},
        "body": body, "isBase64Encoded": False, **more,
    }


def http1_event(method="GET", path="/healthz", headers=None, body=None, stage="$default", **more):
    """As an HTTP API makes it when it is set to payload format 1.0."""
    event = rest_event(method, path, headers, body, stage, **more)
    event.update({"version": "1.0", "cookies": ["a=b"]})
    event["requestContext"]["path"] = path
    return event


FORMATS = {"function URL": url_event, "REST API": rest_event, "HTTP API 1.0": http1_event}


def with_token(**more):
    return {"authorization": f"Bearer {token()}", "origin": ORIGIN, **more}


def test_formats(function):
    for name, event in FORMATS.items():
        status, headers, body = function.ask(event())
        equal(f"{name}: health", (status, body.get("status")), (200, "ok"))
        equal(f"{name}: no-store", headers.get("cache-control"), "no-store")
        status, headers, body = function.ask(event("HEAD"))
        equal(f"{name}: HEAD", (status, body), (200, ""))

        status, headers, body = function.ask(event(path="/v1/credentials", headers=with_token()))
        equal(f"{name}: credentials", (status, body.get("prefix")), (200, "upload/alice/"))
        equal(f"{name}: they are STS's", body["credentials"]["sessionToken"], Sts.session_token)
        equal(f"{name}: the page can read it", headers.get("access-control-allow-origin"), ORIGIN)

        wanted = json.dumps({"name": "Ü.mp4", "size": 4,
                             "checksum": {"algorithm": "CRC32", "value": "AAAAAA=="}})
        for how, body, flag in (("text", wanted, False),
                                ("base64", base64.b64encode(wanted.encode()).decode(), True)):
            status, headers, answer = function.ask(event(
                "POST", "/v1/uploads", with_token(), body, isBase64Encoded=flag))
            equal(f"{name}: upload, {how}", (status, answer.get("uploadType")), (200, "put"))
            check(f"{name}: the name arrived, {how}", answer["key"].endswith("/Ü.mp4"), answer["key"])
            secret(answer["url"].rsplit("X-Amz-Signature=", 1)[1][:64])

        status, headers, body = function.ask(event("OPTIONS", "/v1/uploads", {
            "Origin": ORIGIN, "Access-Control-Request-Method": "POST"}))
        equal(f"{name}: preflight", (status, headers.get("access-control-allow-origin"), body),
              (204, ORIGIN, ""))
        status, headers, body = function.ask(event(path="/v1/credentials"))
        equal(f"{name}: no token (and no cookie is one)", (status, body.get("code")),
              (401, "TOKEN_MISSING"))
        equal(f"{name}: challenge", headers.get("www-authenticate"), "Bearer")
        status, headers, body = function.ask(event(path="/nothing"))
        equal(f"{name}: not found", (status, body.get("code")), (404, "NOT_FOUND"))
        status, headers, body = function.ask(event("DELETE", "/v1/uploads"))
        equal(f"{name}: wrong method", (status, headers.get("allow")), (405, "POST, OPTIONS"))
        status, _, body = function.ask(event("POST", "/v1/uploads", with_token(), "x" * 65537))
        equal(f"{name}: body over 64 KiB", (status, body.get("code")), (413, "BODY_TOO_LARGE"))

    twice = rest_event(path="/v1/credentials", headers=with_token())
    twice["multiValueHeaders"]["authorization"] *= 2
    equal("two tokens, REST API", function.ask(twice)[0], 401)
    joined = with_token()
    joined["authorization"] += "," + joined["authorization"]  # as function URLs join them
    equal("two tokens, function URL", function.ask(url_event(path="/v1/credentials",
                                                             headers=joined))[0], 401)
    for stage, path in (("dev", "/dev/healthz"), ("prod", "/prod/healthz")):
        equal(f"stage {stage}", function.ask(url_event(path=path, stage=stage))[0], 200)
        equal(f"stage {stage}, 1.0", function.ask(http1_event(path=path, stage=stage))[0], 200)
    equal("a stage of another name", function.ask(url_event(path="/dev/healthz"))[0], 404)
    status, headers, _ = function.ask(url_event(), id="8476a536-e9f4-11e8-9739-2dfe598c3fcd")
    equal("Lambda's id is the request's", headers.get("x-request-id"),
          "8476a536-e9f4-11e8-9739-2dfe598c3fcd")


def test_hostile(function):
    """Answers, not errors of the function: these are a client's doing, or could be."""
    good = json.dumps(url_event())
    deep = "[" * 100000
    answered = {
        "empty": ("", 400), "cut": (good[:-1], 400), "half": (good[:len(good) // 2], 400),
        "two": (good + good, 400), "not UTF-8": (good.replace("curl", "\udcff").encode(
            "utf-8", "surrogateescape"), 400),
        "NUL in the query": (json.dumps(url_event(queryStringParameters={"a": "\0"})), 400),
        "lone surrogate": (json.dumps(url_event(queryStringParameters={"a": "\ud800"})), 400),
        "300 headers": (url_event(headers={f"h{i}": "x" for i in range(300)}), 400),
        "deep": (deep, 400), "deep in an event": (good.replace('"curl"', deep), 400),
        "header of a wrong type": (url_event(headers={"authorization": ["x"]}), 400),
        "body of a wrong type": (url_event("POST", "/v1/uploads", body={"name": "x"}), 400),
        "bad base64": (url_event("POST", "/v1/uploads", with_token(), "%%%%", isBase64Encoded=True),
                       400),
        "cut base64": (url_event("POST", "/v1/uploads", with_token(), "e30", isBase64Encoded=True),
                       400),
        "binary body": (url_event("POST", "/v1/uploads", with_token(), base64.b64encode(
            bytes(range(256))).decode(), isBase64Encoded=True), 400),
        "no JSON in the body": (url_event("POST", "/v1/uploads", with_token(), "{"), 400),
        "2 MiB": (url_event("POST", "/v1/uploads", with_token(), "x" * (2 << 20)), 413),
        "6 MiB": (url_event("POST", "/v1/uploads", with_token(), "x" * (6 << 20)), 413),
        "900 KB of base64": (url_event("POST", "/v1/uploads", with_token(), "A" * 900000,
                                       isBase64Encoded=True), 413),
        "line break in the path": (url_event(path="/healthz\r\nx: y"), 404),
        "long path": (url_event(path="/" + "x" * 100000), 404),
        "strange method": (url_event(method="G\u00c9T"), 405),
        "line break in the origin": (url_event(headers={"origin": ORIGIN + "\r\nx: y"}), 200),
    }
    for name, (event, expected) in answered.items():
        status, headers, body = function.ask(event)
        equal(f"hostile, {name}", status, expected)
        if expected >= 400:
            equal(f"hostile, {name}: type", headers.get("content-type"), "application/problem+json")
            check(f"hostile, {name}: code", isinstance(body, dict) and body.get("code"), body)
        check(f"hostile, {name}: headers are one line each",
              not any("\n" in value for value in headers.values()), headers)

    foreign = {
        "{}": {}, "null": "null", "a number": "7", "a text": '"x"', "a list": [url_event()],
        "the console's test": {"key1": "value1"},
        "S3's": {"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": "x"}}}]},
        "EventBridge's": {"version": "0", "detail-type": "Scheduled Event", "detail": {}},
        "a method that is a number": {"httpMethod": 1, "path": "/healthz"},
        "a context that is a text": {"rawPath": "/healthz", "requestContext": "x"},
    }
    for name, event in foreign.items():
        told = function.invoke(event)
        if not equal(f"foreign, {name}", told and told.what, "error"):
            continue
        body = json.loads(told.body)
        equal(f"foreign, {name}: type", (body["errorType"], body["stackTrace"]), ("Event.NotHttp", []))
        equal(f"foreign, {name}: header", told.headers["Lambda-Runtime-Function-Error-Type"],
              "Event.NotHttp")
    equal("still serving", function.ask(url_event())[0], 200)


def test_runtime_failures(function):
    runtime = function.runtime
    for status in (413, 403, 400):
        id = str(uuid.uuid4())
        runtime.statuses[id] = status
        function.ask(url_event(), id=id)
        equal(f"goes on after {status} for an answer", function.ask(url_event())[0], 200)
    for id in ("", "../../x", "a" * 65, "a b", "x?y"):
        runtime.put(url_event(), id=id)
        equal(f"goes on after the id {id!r}", function.ask(url_event())[0], 200)
    for deadline in ("", "-1", "soon", "9" * 30, "0"):
        equal(f"deadline {deadline!r}", function.ask(
            url_event(), headers={"Lambda-Runtime-Deadline-Ms": deadline})[0], 200)
    runtime.put(url_event(), hang_up=True)
    equal("goes on after half an event", function.ask(url_event())[0], 200)
    for status in (503, 403, 302):
        runtime.put("", status=status, headers={"Location": f"http://{runtime.address}/followed"})
        equal(f"goes on after {status}", function.ask(url_event())[0], 200)


def test_many(function):
    before = function.runtime.connections
    start = time.monotonic()
    for _ in range(500):
        if function.ask(url_event())[0] != 200:
            check("one of many", False)
    check("500 events use one connection", function.runtime.connections == before,
          function.runtime.connections - before)
    return (time.monotonic() - start) / 500


def check_log(function):
    log = function.log()
    for line in log.splitlines():
        with contextlib.suppress(ValueError):
            if check("a line of the log", isinstance(json.loads(line), dict), line[:200]):
                continue
        check("each line of the log is JSON", False, line[:200])
    leaks = [each for each in SECRETS if each in log]
    check("nothing secret is logged", not leaks, leaks[:1])
    check("no query, no URL, no cookie is logged",
          not any(text in log for text in ("X-Amz-", "Bearer", "hidden", "cookie")))


def test_serving(folder, settings):
    with Function(folder, settings) as function:
        test_formats(function)
        test_hostile(function)
        test_runtime_failures(function)
        each = test_many(function)
        equal("the status after 500 from the runtime API", function.end(), 1)
        equal("every request was as it has to be", function.runtime.strange, [])
        check_log(function)
        ids = {line.get("id") for line in function.lines()}
        missing = [id for id, told in function.runtime.told.items()
                   if told.what == "response" and id not in ids]
        check("each answer has its line", not missing, missing[:3])
    return each


def test_deadline(folder, settings):
    """An answer of STS that would come too late is not waited for: 503 now, not silence then."""
    Sts.delay = 4
    try:
        with Function(folder, settings) as function:
            for seconds, least, most in ((2, 1, 2), (-60, 0, 1)):
                start = time.monotonic()
                status, headers, body = function.ask(
                    url_event(path="/v1/credentials", headers=with_token()),
                    headers={"Lambda-Runtime-Deadline-Ms": str(int((time.time() + seconds) * 1000))})
                took = time.monotonic() - start
                equal(f"{seconds} s left: answer", (status, body.get("code")),
                      (503, "STS_UNREACHABLE"))
                check(f"{seconds} s left: in time", least <= took < most, took)
            status, _, _ = function.ask(url_event(path="/v1/credentials", headers=with_token()))
            equal("and the next event has time again", status, 200)
            function.end()
    finally:
        Sts.delay = 0


def test_large(folder, settings):
    """As many files as can be asked for at once, with a long session token in each of their URLs."""
    short = Sts.session_token
    Sts.session_token = secret("+" * 1500 + secrets.token_hex(20))
    try:
        with Function(folder, {**settings, "PARTHAUL_MAX_FILES": "250"}) as function:
            file = {"name": "a", "size": 4, "checksum": {"algorithm": "CRC32", "value": "AAAAAA=="}}
            told = function.invoke(url_event("POST", "/v1/uploads", with_token(),
                                             json.dumps({"files": [file] * 250})))
            if check("250 files: an answer of more than a megabyte",
                     told and told.what == "response" and len(told.body) > 1 << 20, told and told.what):
                body = json.loads(json.loads(told.body)["body"])
                equal("250 files: as many URLs", sum("url" in each for each in body["files"]), 250)
            function.end()
    finally:
        Sts.session_token = short


def test_roots(folder, settings):
    """STS by TLS: trusted are the roots of SSL_CERT_FILE, as the zip has them, and no others."""
    key, certificate = f"{folder}/tls-key.pem", f"{folder}/tls.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                    certificate, "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    sts = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    sts.socket = context.wrap_socket(sts.socket, server_side=True)
    threading.Thread(target=sts.serve_forever, daemon=True).start()
    url = {"PARTHAUL_STS_ENDPOINT": f"https://127.0.0.1:{sts.server_port}"}
    for name, more, expected in (("these roots", {"SSL_CERT_FILE": certificate}, 200),
                                 ("the system's", {}, 503),
                                 ("no file", {"SSL_CERT_FILE": f"{folder}/nowhere"}, 503)):
        with Function(folder, {**settings, **url, **more}) as function:
            status, _, _ = function.ask(url_event(path="/v1/credentials", headers=with_token()))
            equal(f"TLS with {name}", status, expected)
            function.end()
    sts.shutdown()


def test_ends(folder, settings):
    with Function(folder, settings) as function:  # an answer that meets a 500
        id = str(uuid.uuid4())
        function.runtime.statuses[id] = 500
        function.runtime.put(url_event(), id=id)
        equal("500 for an answer", function.process.wait(timeout=30), 1)
    with Function(folder, settings) as function:  # for ever no event
        for _ in range(20):
            function.runtime.put("", status=503)
        equal("503 again and again", function.process.wait(timeout=30), 1)
        check("it does not ask for ever", len(function.runtime.queue) > 10)
    gone = Runtime()
    gone.shutdown()
    gone.server_close()
    with Function(folder, settings, gone) as function:
        equal("no runtime API", function.process.wait(timeout=30), 1)
    for address in ("user@127.0.0.1:1", "127.0.0.1:1/x", "x" * 200, "127.0.0.1:1?a", "a b"):
        done = subprocess.run([API], env={**settings, "AWS_LAMBDA_RUNTIME_API": address},
                              capture_output=True, timeout=30)
        equal(f"the address {address[:20]!r}", done.returncode, 1)
    done = subprocess.run([API, "--check"], env={**settings, "AWS_LAMBDA_RUNTIME_API": "x:1"},
                          capture_output=True, timeout=30)
    equal("--check asks no runtime API", done.returncode, 0)


def test_init_errors(folder, settings):
    cases = {
        "no bucket": ({"PARTHAUL_BUCKET": ""}, "PARTHAUL_BUCKET: is not set"),
        "two wrong": ({"PARTHAUL_BUCKET": "", "PARTHAUL_PUT_LIMIT": "x"}, "PARTHAUL_PUT_LIMIT"),
        "two hours": ({"PARTHAUL_SESSION_SECONDS": "7200"}, "PARTHAUL_SESSION_SECONDS"),
        "no key file": ({"PARTHAUL_JWT_HS256_SECRET_FILE": "nowhere"},
                        "PARTHAUL_JWT_HS256_SECRET_FILE"),
    }
    for name, (change, says) in cases.items():
        with Function(folder, {**settings, **change}) as function:
            equal(f"init, {name}: status", function.process.wait(timeout=30), 1)
            errors = function.runtime.init_errors
            if not equal(f"init, {name}: told once", len(errors), 1):
                continue
            body = json.loads(errors[0].body)
            check(f"init, {name}: message", says in body["errorMessage"], body)
            equal(f"init, {name}: type", body["errorType"], "Config.Invalid")
            equal(f"init, {name}: header", errors[0].headers["Lambda-Runtime-Function-Error-Type"],
                  "Config.Invalid")
            check(f"init, {name}: logged too", says in function.log(), function.log())
            check(f"init, {name}: no secret", not any(
                each in body["errorMessage"] + function.log() for each in SECRETS))
            check(f"init, {name}: no event was taken", not function.runtime.told)


def test_waiting(folder, settings):
    """Longer than any of our own limits: no time is too long for the next event."""
    with Function(folder, settings) as function:
        equal("before the wait", function.ask(url_event())[0], 200)
        connections = function.runtime.connections
        time.sleep(12)
        equal("after the wait", function.ask(url_event())[0], 200)
        equal("the connection is the same", function.runtime.connections, connections)
        equal("nobody complained", [line for line in function.lines() if line.get("event")
                                    not in ("serving Lambda", None)], [])
        function.end()


# ---- What is uploaded -----------------------------------------------------------------------------


def test_zip(folder, settings):
    """The zip of `make lambda`, unpacked and started as Lambda does, with nothing of this system's."""
    place = pathlib.Path(folder) / "task"
    with zipfile.ZipFile(ZIP) as packed:
        names = packed.namelist()
        check("bootstrap can be run", packed.getinfo("bootstrap").external_attr >> 16 & 0o111 == 0o111)
        check("it holds no links, no folders above", not any(
            name.startswith("/") or ".." in name for name in names), names)
        size = sum(row.file_size for row in packed.infolist())
    subprocess.run(["unzip", "-q", ZIP, "-d", place], check=True)
    check("within Lambda's 50 MB, and 250 MB unpacked",
          ZIP.stat().st_size < 50 << 20 and size < 250 << 20, (ZIP.stat().st_size, size))
    shutil.copy(settings["PARTHAUL_JWT_HS256_SECRET_FILE"], place / "jwt-secret")
    started = time.monotonic()
    with Function(folder, {**settings, "PARTHAUL_JWT_HS256_SECRET_FILE": "jwt-secret"},
                  program=place / "bootstrap") as function:
        equal("the zip's function", function.ask(url_event())[0], 200)
        cold = time.monotonic() - started
        status, _, _ = function.ask(url_event(path="/v1/credentials", headers=with_token()))
        equal("the zip's function asks STS", status, 200)
        maps = pathlib.Path(f"/proc/{function.process.pid}/maps").read_text()
        loaded = {line.split()[-1] for line in maps.splitlines() if ".so" in line}
        foreign = {path for path in loaded if not path.startswith(str(place))}
        check("only the zip's libraries are loaded", loaded and not foreign, foreign)
        resident = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(
            f"/proc/{function.process.pid}/status").read_text()).group(1)
        environment = pathlib.Path(f"/proc/{function.process.pid}/environ").read_text().split("\0")
        check("its roots of trust are the zip's",
              f"SSL_CERT_FILE={place}/ca-certificates.crt" in environment)
        function.end()
    print(f"zip {ZIP.stat().st_size / 1e6:.1f} MB, unpacked {size / 1e6:.1f} MB, "
          f"{cold * 1000:.0f} ms to the first answer, {int(resident) / 1024:.0f} MiB of memory")


# ---- All of it ------------------------------------------------------------------------------------


def main():
    with kit.scratch("lambda") as folder, kit.served(Sts) as sts:
        test(folder, sts)
    kit.finish()


def test(folder, sts):
    secret_file = pathlib.Path(folder) / "jwt-secret"
    secret_file.write_bytes(JWT_SECRET)
    settings = {
        "PATH": os.environ["PATH"], "ASAN_OPTIONS": f"exitcode={SANITIZER}",
        "UBSAN_OPTIONS": f"exitcode={SANITIZER}",
        # A proxy that is not there: nothing on this machine may be asked through it.
        "http_proxy": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9",
        "PARTHAUL_BUCKET": "uploads", "PARTHAUL_REGION": "eu-west-1", "PARTHAUL_ORIGINS": ORIGIN,
        "PARTHAUL_ROLE_ARN": "arn:aws:iam::123456789012:role/upload",
        "PARTHAUL_STS_ENDPOINT": sts.url,
        "PARTHAUL_JWT_HS256_SECRET_FILE": str(secret_file),
        "PARTHAUL_JWT_ISSUER": ISSUER, "PARTHAUL_JWT_AUDIENCE": AUDIENCE,
        # as Lambda sets them
        "AWS_ACCESS_KEY_ID": "ASIAOWN", "AWS_SECRET_ACCESS_KEY": secret(secrets.token_hex(20)),
        "AWS_SESSION_TOKEN": secret(secrets.token_hex(20)), "AWS_REGION": "eu-west-1",
        "_HANDLER": "bootstrap", "LAMBDA_TASK_ROOT": "/var/task",
    }
    waiting = threading.Thread(target=test_waiting, args=(folder, settings))
    waiting.start()
    each = test_serving(folder, settings)
    test_ends(folder, settings)
    test_deadline(folder, settings)
    test_large(folder, settings)
    test_roots(folder, settings)
    test_zip(folder, settings)
    test_init_errors(folder, settings)
    waiting.join()
    print(f"{each * 1000:.1f} ms for each event, under the sanitizers")


if __name__ == "__main__":
    main()
