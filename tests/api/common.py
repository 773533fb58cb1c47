"""What the API's tests share: checks, tokens, a parthaul-api with its log, an STS that misbehaves."""


import base64
import contextlib
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib

import boto3
import botocore.exceptions
from botocore.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[2]
API = ROOT / "build/tests/parthaul-api"
SEAWEEDFS = ROOT / "tests/servers/seaweedfs.sh"
sys.path.insert(0, str(ROOT / "tests/servers"))
sys.dont_write_bytecode = True
import bucket as servers  # noqa: E402, F401
import contract  # noqa: E402

ORIGIN = "https://app.example"
ISSUER, AUDIENCE = "https://issuer.example", "parthaul"
JWT_SECRET = secrets.token_bytes(40)
PUT_LIMIT = 1 << 20
MIB = 1 << 20
SECRETS = []  # what was given out or sent so far; none of it may be in a log
totals = {True: 0, False: 0}


def check(what, condition, detail=""):
    totals[bool(condition)] += 1
    if not condition:
        print(f"FAILED {what}: {detail}", flush=True)
    return condition


def equal(what, got, expected):
    return check(what, got == expected, f"got {got!r}, expected {expected!r}")


# ---- Tokens ---------------------------------------------------------------------------------------


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(sub="alice", secret=JWT_SECRET, header=None, **claims):
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "exp": int(time.time()) + 600}
    body.update(claims)
    head = header or {"alg": "HS256", "typ": "JWT"}
    text = base64url(json.dumps(head).encode()) + b"." + base64url(json.dumps(body).encode())
    mac = hmac.new(secret, text, hashlib.sha256).digest()
    made = (text + b"." + base64url(mac)).decode()
    SECRETS.append(made)
    SECRETS.append(made.rsplit(".", 1)[1])
    return made


# ---- Servers --------------------------------------------------------------------------------------


def free_ports():
    """A base whose neighbours, as SeaweedFS wants them, are free too; all below those that the
    kernel gives out by itself."""
    for _ in range(100):
        base = random.randrange(15000, 22000)
        with contextlib.ExitStack() as stack:
            try:
                for port in [*range(base, base + 9), base + 10008]:
                    s = stack.enter_context(socket.socket())
                    s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise SystemExit("no free ports")


def remember_secrets(answer):
    """Whatever an answer gives away must not be in a log."""
    if isinstance(answer, list):
        for each in answer:
            remember_secrets(each)
    if not isinstance(answer, dict):
        return
    for name, value in answer.items():
        if name.lower() in ("secretaccesskey", "sessiontoken", "x-amz-signature", "policy",
                            "x-amz-security-token"):
            SECRETS.append(value)
        elif name == "url" and "X-Amz-Signature=" in value:
            SECRETS.append(value.rsplit("X-Amz-Signature=", 1)[1][:64])
        else:
            remember_secrets(value)


class Api:
    """A parthaul-api with its log. Ends with the `with` block; `stop` says how it ended."""

    def __init__(self, folder, arguments=(), program=None, **settings):
        self.command = [program or API, *arguments]
        self.log_path = pathlib.Path(folder) / f"api-{secrets.token_hex(4)}.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            # A proxy that is not there: nothing on this machine may be asked through it.
            "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9",
            "ALL_PROXY": "http://127.0.0.1:9",
            "PARTHAUL_LISTEN": "127.0.0.1:0",
            "PARTHAUL_JWT_ISSUER": ISSUER, "PARTHAUL_JWT_AUDIENCE": AUDIENCE,
            "PARTHAUL_ORIGINS": ORIGIN, "PARTHAUL_PUT_LIMIT": str(PUT_LIMIT), **settings,
        }
        self.context = None  # of TLS

    def __enter__(self):
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=log)
        for _ in range(200):
            for line in self.lines():
                if line.get("event") == "listening":
                    self.port = int(line["detail"].rsplit(":", 1)[1])
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit("parthaul-api did not start:\n" + self.log())

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def lines(self):
        parsed = []
        for line in self.log().splitlines():
            with contextlib.suppress(ValueError):
                parsed.append(json.loads(line))
        return parsed

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def ask(self, method, path, bearer=None, body=None, headers=None, timeout=30):
        """(status, headers with lower-case names, body: JSON where it is JSON)"""
        if self.context:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout,
                                                     context=self.context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = dict(headers or {})
        if bearer is not None:
            sent["Authorization"] = f"Bearer {bearer}"
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        named = {name.lower(): value for name, value in answer.getheaders()}
        if raw and "json" in named.get("content-type", ""):
            raw = json.loads(raw)
            remember_secrets(raw)
        wrong = contract.complaint(method, path, answer.status, named, raw)
        check(f"{method} {path} is answered as described", wrong is None, wrong)
        return answer.status, named, raw


class FakeSts(http.server.BaseHTTPRequestHandler):
    """Does what `behaviour` says."""

    behaviour = None

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        FakeSts.behaviour(self)

    def do_GET(self):  # a redirect was followed
        FakeSts.followed = True
        self.reply(200, b"")

    followed = False

    def reply(self, status, body, **headers):
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def good_answer(life=3600):
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + life))
    return (f"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAFAKE</AccessKeyId>"
            f"<SecretAccessKey>fakesecret</SecretAccessKey><SessionToken>faketoken</SessionToken>"
            f"<Expiration>{end}</Expiration></Credentials></AssumeRoleResult>"
            f"</AssumeRoleResponse>").encode()


def raw(api, data, timeout=20):
    """Send these bytes, give all that comes."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=timeout) as s:
        with contextlib.suppress(OSError):
            s.sendall(data)
        answer = b""
        with contextlib.suppress(OSError):
            while piece := s.recv(65536):
                answer += piece
                if b"\r\n\r\n" in answer and b"connection: keep-alive" not in answer.lower():
                    head, _, body = answer.partition(b"\r\n\r\n")
                    lengths = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                               if line.startswith(b"content-length:")]
                    if lengths and len(body) >= lengths[0]:
                        break
        return answer


