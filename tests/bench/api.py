"""How much one processor of parthaul-api answers, beside nginx that serves a constant. Run it by
`make bench-api`; it writes build/bench/api.md. Needs nginx and wrk, Debian packages both.

STS is ours and answers at once, so what is measured is the service. It runs on the first processor
alone, wrk on the last. Answers per second of processor time count what the server's own processor
spent; answers per second are what came out at the other end, with wrk perhaps in the way.
"""

import json
import os
import pathlib
import platform
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/api"))
import abuse  # noqa: E402
import identity  # noqa: E402
from common import JWT_SECRET, Api, good_answer, token  # noqa: E402

SECONDS = int(os.environ.get("T", "5"))
CONNECTIONS = 32
# Longer than SeaweedFS's and about as long as AWS's: it stands in each URL.
SESSION_TOKEN = b"FwoGZXIvYXdzE" + secrets.token_urlsafe(700).encode()


def cpu_seconds(pids):
    """Of these processes, all threads of them."""
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def pin(pids, processor):
    for pid in pids:
        subprocess.run(["taskset", "-acp", str(processor), str(pid)], check=True,
                       stdout=subprocess.DEVNULL)


def load(folder, pids, url, method="GET", headers=(), body=None):
    """(answers per second, per second of processor time, 99th percentile)"""
    script = pathlib.Path(folder) / "wrk.lua"
    lines = [f'wrk.method = "{method}"']
    lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers]
    if body:
        lines.append(f"wrk.body = {json.dumps(body)}")
    script.write_text("\n".join(lines))
    command = ["taskset", "-c", str(os.cpu_count() - 1), "wrk", "-t1", f"-c{CONNECTIONS}",
               "--latency", "-s", str(script)]
    subprocess.run([*command, "-d1", url], check=True, stdout=subprocess.DEVNULL)
    before, began = cpu_seconds(pids), time.time()
    out = subprocess.run([*command, f"-d{SECONDS}", url], check=True, capture_output=True,
                         text=True).stdout
    spent, took = cpu_seconds(pids) - before, time.time() - began
    requests = int(re.search(r"(\d+) requests in", out)[1])
    if re.search(r"Non-2xx|Socket errors", out):
        raise SystemExit(f"{url} failed:\n{out}")
    return (requests / took, requests / spent if spent else 0, re.search(r"99%\s+(\S+)", out)[1])


def nginx(folder):
    """One worker that serves a constant of the length of an answer of ours."""
    conf = pathlib.Path(folder) / "nginx.conf"
    port = 18181
    conf.write_text(f"""
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; location / {{
    default_type application/json; return 200 '{"x" * 1900}'; }} }}
}}""")
    process = subprocess.Popen(["nginx", "-c", str(conf), "-e", f"{folder}/nginx.log"])
    time.sleep(0.7)
    workers = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], check=True,
                             capture_output=True, text=True).stdout.split()
    return process, [int(pid) for pid in workers], f"http://127.0.0.1:{port}/"


def main():
    for program in ("nginx", "wrk", "taskset"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"):
            raise SystemExit(f"bench-api: {program} is missing (apt-get install nginx-light wrk)")
    os.environ["PATH"] += ":/usr/sbin"
    folder = tempfile.mkdtemp(prefix="bench-", dir=ROOT / "build")
    secret = pathlib.Path(folder) / "jwt-secret"
    secret.write_bytes(JWT_SECRET)
    rows = []

    def sts(*_):
        return 200, good_answer().replace(b"faketoken", SESSION_TOKEN), {}

    with identity.serving(sts) as server:
        rsa = identity.Key(folder, "RS256", "k")
        keys = pathlib.Path(folder) / "jwks"
        keys.write_text(json.dumps({"keys": [rsa.jwk]}))
        settings = {
            "PARTHAUL_BUCKET": "uploads", "PARTHAUL_REGION": "eu-west-1",
            "PARTHAUL_STS_ENDPOINT": server.url,
            "PARTHAUL_ROLE_ARN": "arn:aws:iam::123456789012:role/upload",
            "PARTHAUL_JWT_HS256_SECRET_FILE": str(secret), "PARTHAUL_JWT_KEY_FILES": str(keys),
            "PARTHAUL_USER_RATE": "0", "PARTHAUL_THREADS": "1",
            "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret",
        }
        program = ROOT / "build/parthaul-api"
        with Api(folder, program=program, **settings) as api:
            pids = [api.process.pid]
            pin(pids, 0)
            base = f"http://127.0.0.1:{api.port}"
            headers = [("Authorization", f"Bearer {token('a-user', exp=int(time.time()) + 9999)}"),
                       ("Content-Type", "application/json")]
            rs256 = [("Authorization", f"Bearer {rsa.token('a-user', exp=int(time.time()) + 9999)}")]
            file = {"name": "a photo.jpg", "size": 1234567, "type": "image/jpeg",
                    "checksum": {"algorithm": "CRC64NVME", "value": "AAAAAAAAAAA="}}
            rows += [
                ("presigned PUT, one in a request",
                 load(folder, pids, base + "/v1/uploads", "POST", headers, json.dumps(file)), 1),
                ("presigned PUT, fifty in a request",
                 load(folder, pids, base + "/v1/uploads", "POST", headers,
                      json.dumps({"files": [file] * 50})), 50),
                ("credentials, STS's answer remembered",
                 load(folder, pids, base + "/v1/credentials", headers=headers), 1),
                ("the same, token by RS256",
                 load(folder, pids, base + "/v1/credentials", headers=rs256), 1),
                ("healthz", load(folder, pids, base + "/healthz"), 1),
            ]
        per_connection = abuse.test_many(folder, settings, program=program)
    process, workers, url = nginx(folder)
    try:
        pin(workers, 0)
        rows.append(("nginx, a constant of 1,900 bytes", load(folder, workers, url), 1))
    finally:
        process.terminate()
        process.wait()
    shutil.rmtree(folder)

    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                  if line.startswith("model name")), platform.machine())
    text = [f"# parthaul-api, one thread on one processor ({model})", "",
            f"wrk, {CONNECTIONS} connections, {SECONDS} s each. Session tokens of "
            f"{len(SESSION_TOKEN)} bytes.", "",
            "| what | a second | a second of its processor | 99 % within |", "|---|---|---|---|"]
    text += [f"| {what} | {rate * each:,.0f} | {per_cpu * each:,.0f} | {latency} |"
             for what, (rate, per_cpu, latency), each in rows]
    text += ["", f"Memory: {per_connection:.1f} KiB for each connection that stays."]
    out = ROOT / "build/bench/api.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(text) + "\n")
    print(out.read_text(), end="")


if __name__ == "__main__":
    main()
