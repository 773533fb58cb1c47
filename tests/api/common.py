"""What the API's tests share: a parthaul-api with its log, an STS that misbehaves."""

import contextlib
import http.client
import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from kit import (AUDIENCE, ISSUER, JWT_SECRET, ORIGIN, ROOT, SECRETS, Handler, api_settings,  # noqa: E402, F401
                 assumed as good_answer, base64url, ceph_rgw, check, equal, finish, refusal, resigned, s3_client, scratch,
                 seaweedfs, served, token, totals)
import bucket as servers  # noqa: E402, F401
import contract  # noqa: E402

API = ROOT / "build/tests/parthaul-api"
PUT_LIMIT = 1 << 20
MIB = 1 << 20


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

    def events(self, name):
        return [line for line in self.lines() if line.get("event") == name]

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


class FakeSts(Handler):
    """Does what `behaviour` says."""

    behaviour = None

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        FakeSts.behaviour(self)

    def do_GET(self):  # a redirect was followed
        FakeSts.followed = True
        self.reply(200)

    followed = False


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


