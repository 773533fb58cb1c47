"""What the tests in Python share: checks and how a program of them ends, tokens, free ports, a real S3
and STS with a parthaul-api in front of it. Needs nothing but Python, but for what talks to S3."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests/servers"), str(ROOT / "tests/api")]

ORIGIN = "https://app.example"
ISSUER, AUDIENCE = "https://issuer.example", "parthaul"
JWT_SECRET = secrets.token_bytes(40)
SECRETS = []  # what was given out or sent so far; none of it may be in a log
totals = {True: 0, False: 0}


# ---- Checks ---------------------------------------------------------------------------------------


def check(what, condition, detail=""):
    totals[bool(condition)] += 1
    if not condition:
        print(f"FAILED {what}: {detail}", flush=True)
    return bool(condition)


def equal(what, got, expected):
    return check(what, got == expected, f"got {got!r}, expected {expected!r}")


def secret(text):
    """Say that a text must never be in a log; gives it back."""
    SECRETS.append(text)
    return text


@contextlib.contextmanager
def scratch(name):
    """A folder under build/, which stays when something failed."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=ROOT / "build"))
    try:
        yield folder
    except BaseException:
        print(f"logs are in {folder}")
        raise
    if totals[False]:
        print(f"logs are in {folder}")
    else:
        shutil.rmtree(folder)


def finish():
    """Say how it went, and end the program; a run without a single check has failed."""
    print(f"{totals[True]} passed, {totals[False]} failed")
    sys.exit(1 if totals[False] or not totals[True] else 0)


# ---- Tokens ---------------------------------------------------------------------------------------


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(sub="alice", by=JWT_SECRET, header=None, **claims):
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "exp": int(time.time()) + 600, **claims}
    head = header or {"alg": "HS256", "typ": "JWT"}
    text = base64url(json.dumps(head).encode()) + b"." + base64url(json.dumps(body).encode())
    mac = base64url(hmac.new(by, text, hashlib.sha256).digest())
    secret(mac.decode())
    return secret((text + b"." + mac).decode())


# ---- Servers --------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """Says nothing, and does not mind a client that is gone."""

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


def assumed(key_id="ASIAFAKE", secret_key="fakesecret", session="faketoken", life=3600):
    """An answer of STS."""
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + life))
    return (f"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{key_id}</AccessKeyId>"
            f"<SecretAccessKey>{secret_key}</SecretAccessKey><SessionToken>{session}</SessionToken>"
            f"<Expiration>{end}</Expiration></Credentials></AssumeRoleResult>"
            f"</AssumeRoleResponse>").encode()


@contextlib.contextmanager
def served(handler, **attributes):
    """An HTTP server on loopback; its `url` says where."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.lock = threading.Lock()
    server.url = f"http://127.0.0.1:{server.server_port}"
    for name, value in attributes.items():
        setattr(server, name, value)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def free_ports(*offsets):
    """A base so that the ports that lie `offsets` behind it are free; all below those that the kernel
    gives out by itself."""
    for _ in range(100):
        base = random.randrange(15000, 22000)
        with contextlib.ExitStack() as stack:
            try:
                for offset in offsets:
                    s = stack.enter_context(socket.socket())
                    s.bind(("127.0.0.1", base + offset))
            except OSError:
                continue
            return base
    raise SystemExit("no free ports")


@contextlib.contextmanager
def s3_server(script, state, ports, **environment):
    """One of tests/servers with its state in that folder; gives what its file `env` says."""
    import bucket
    script = ROOT / "tests/servers" / script
    try:
        subprocess.run([script, "start", state, str(free_ports(*ports))], check=True,
                       env={**os.environ, **environment})
        yield bucket.read_env(state)
    finally:
        subprocess.run([script, "stop", state], check=False)


def seaweedfs(state, **environment):
    return s3_server("seaweedfs.sh", state, [*range(9), 10008], **environment)


def ceph_rgw(state):
    return s3_server("ceph-rgw.sh", state, [0, 1, *range(10, 30)])


def resigned(state, session, **claims):
    """A session token of the SeaweedFS in that folder with other claims, signed by its own key."""
    secrets_of = dict(line.split("=", 1) for line in
                      (pathlib.Path(state) / "secrets").read_text().splitlines())
    head, body, _ = session.split(".")
    body = {**json.loads(base64.urlsafe_b64decode(body + "==")), **claims}
    text = head.encode() + b"." + base64url(json.dumps(body).encode())
    mac = hmac.new(secrets_of["signing_key"].encode(), text, hashlib.sha256).digest()
    return secret((text + b"." + base64url(mac)).decode())


def api_settings(folder, env):
    """Those of a parthaul-api in front of it that takes the tokens of `token`."""
    path = pathlib.Path(folder) / "jwt-secret"
    path.write_bytes(JWT_SECRET)
    secret(env["API_SECRET_ACCESS_KEY"])
    return {
        "PARTHAUL_BUCKET": env["BUCKET"], "PARTHAUL_REGION": env["AWS_REGION"],
        "PARTHAUL_S3_ENDPOINT": env["S3_ENDPOINT"], "PARTHAUL_STS_ENDPOINT": env["STS_ENDPOINT"],
        "PARTHAUL_ROLE_ARN": env["ROLE_ARN"], "PARTHAUL_JWT_HS256_SECRET_FILE": str(path),
        "AWS_ACCESS_KEY_ID": env["API_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": env["API_SECRET_ACCESS_KEY"],
    }


def s3_client(env, key_id, secret_key, session=None, service="s3"):
    """An S3 client that is not ours, which asks once and does not think for the server."""
    import boto3
    from botocore.config import Config
    return boto3.client(service, endpoint_url=env["S3_ENDPOINT"], region_name=env["AWS_REGION"],
                        aws_access_key_id=key_id, aws_secret_access_key=secret_key,
                        aws_session_token=session,
                        config=Config(s3={"addressing_style": "path"}, proxies={},
                                      parameter_validation=service == "s3",
                                      retries={"max_attempts": 1}))


def refusal(call, **arguments):
    """The code of S3's refusal; "" when it did as it was told."""
    import botocore.exceptions
    try:
        call(**arguments)
        return ""
    except botocore.exceptions.ClientError as error:
        said = error.response
        return said.get("Error", said).get("Code")  # Ceph's STS says it without <Error>
