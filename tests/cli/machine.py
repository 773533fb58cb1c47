"""`parthaul put` on a machine that fails: system calls that are made to fail or slow (strace), streams that are closed.

Whatever fails, the object is the file or there is none, what is said has a stable code, and what was kept
is good enough for the same command to go on once the machine works again.
"""

import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time

from checks import CLEAN, PROGRAM, ROOT, STATE, check, finish, run

sys.path.insert(0, os.path.join(ROOT, "tests", "servers"))
sys.dont_write_bytecode = True
import faulty  # noqa: E402

PART = 5 << 20
DATA = bytes(range(256)) * (PART // 256) + b"the end"  # two parts
KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
FILE, EMPTY, LOCK, STORE = "two parts", "empty", "lock", "folder of what is kept"

# What fails: the call, how, the how manyeth (and all that follow), of which file; what comes of it.
ROWS = [
    ("pread64", "EIO", "1", FILE, 1, "FILE_UNREADABLE"),
    ("pread64", "EIO", "4", FILE, 1, "FILE_UNREADABLE"),  # in the middle of a part that is digested
    ("pread64", "ENOMEM", "7+", FILE, 1, "FILE_UNREADABLE"),
    ("pread64", "EINTR", "2", FILE, 0, None),
    ("pread64", "EIO", "1", EMPTY, 1, "FILE_UNREADABLE"),
    ("newfstatat", "EIO", "1", FILE, 1, "FILE_UNREADABLE"),
    ("newfstatat", "EIO", "1+", LOCK, 0, "warning"),
    ("flock", "ENOLCK", "1+", LOCK, 0, "warning"),
    ("mkdir", "EACCES", "1+", None, 0, "warning"),
    ("fsync", "EIO", "1+", None, 0, "warning"),
    ("fsync", "ENOSPC", "3+", None, 0, "warning"),
    ("fsync", "EINVAL", "1+", STORE, 0, None),  # it knows no such thing
    ("fsync", "EOPNOTSUPP", "1+", STORE, 0, None),
    ("renameat", "EDQUOT", "2", None, 0, "warning"),
    ("unlinkat", "EROFS", "1+", None, 0, "warning"),
    ("clone3", "EAGAIN", "1+", None, 1, "NOMEM"),
    ("socket", "EMFILE", "1+", None, 4, "NETWORK"),
    ("connect", "ENETUNREACH", "1", None, 0, "retrying"),
    ("sendto", "ENOBUFS", "6+", None, 4, "NETWORK"),
    ("recvfrom", "ECONNRESET", "1+", None, 4, "NETWORK"),
    ("getrandom", "ENOSYS", "1+", None, 0, None),
]


def lock_of(path, server, key):
    """Where the lock of an upload lies."""
    name = os.path.realpath(path) + f"\0{server.url} s3://{faulty.BUCKET}/{key}"
    return os.path.join(STATE, "parthaul", hashlib.sha256(name.encode()).hexdigest()[:32] + ".lock")


def try_row(server, folder, case):
    call, error, when, where, exit_code, said = case
    what = f"{call} {error} {when} {where or ''}"
    key = f"faults/fine@{call}-{error}-{when}-{where}"
    path = os.path.join(folder, where if where == EMPTY else FILE)
    command = [PROGRAM, "put", "--endpoint", server.url, "--part-size", "5MiB", "--json", "--tries", "2",
               path, f"s3://{faulty.BUCKET}/{key}"]
    paths = {LOCK: lock_of(path, server, key), STORE: os.path.join(STATE, "parthaul")}
    only = [] if not where else ["-P", paths.get(where, path)]
    # LeakSanitizer cannot look while somebody else traces.
    env = {**CLEAN, **KEYS, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(["strace", "-f", "-o", "/dev/null", *only, "-e", f"trace={call}", "-e",
                           f"inject={call}:error={error}:when={when}", *command],
                          env=env, capture_output=True, timeout=60, check=False)
    result, err = json.loads(done.stdout or b"{}"), done.stderr.decode()
    check(f"{what}: exit code", done.returncode, exit_code)
    stored = server.objects.get(key, {}).get("data")
    if exit_code:
        check(f"{what}: code", (result.get("code"), f"parthaul: {said}: " in err), (said, True))
        check(f"{what}: nothing is stored", stored, None)
        again = run(*command[1:], env=KEYS)
        check(f"{what}: the same command goes on", again.returncode, 0)
        stored = server.objects.get(key, {}).get("data")
    else:
        check(f"{what}: said", said in err if said else err, True if said else "")
    check(f"{what}: the object is the file", stored == (b"" if where == EMPTY else DATA), True)
    # An upload whose Create was never answered has no parts; that was said.
    check(f"{what}: nothing is left", [u for u in server.uploads.values() if u.key == key and u.parts], [])


def may_trace():
    try:
        return subprocess.run(["strace", "-o", "/dev/null", "-e", "inject=getppid:error=EIO", "true"],
                              capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def try_streams(server, folder):
    """Files and sockets get the lowest free numbers: nothing that is said may go into one of them."""
    path = os.path.join(folder, FILE)
    for closed, exit_code in ((2,), 0), ((0, 1, 2), 1):
        key = f"faults/503-twice@closed-{len(closed)}-{closed[-1]}"
        done = subprocess.run(
            [PROGRAM, "put", "--endpoint", server.url, "--part-size", "5MiB", "--checksum", "none",
             "--resume", "never", path, f"s3://{faulty.BUCKET}/{key}"], env={**CLEAN, **KEYS}, timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
            preexec_fn=lambda numbers=closed: [os.close(number) for number in numbers])
        check(f"closed {closed}: exit code", done.returncode, exit_code)
        check(f"closed {closed}: the object is the file", server.objects[key]["data"] == DATA, True)


def try_dead_names(path):
    """A name server that is slower than the limit holds up nobody for longer than that."""
    begun = time.monotonic()
    with subprocess.Popen(["strace", "-f", "-o", "/dev/null", "-e", "trace=sendmmsg", "-e",
                           "inject=sendmmsg:delay_enter=20000000", PROGRAM, "put", "--endpoint",
                           "http://s3.nobody.invalid", "--path-style", "--timeout", "1", "--tries", "2", path,
                           "s3://bucket/k"], env={**CLEAN, **KEYS}, stderr=subprocess.PIPE) as running:
        last = next((line for line in running.stderr if line.startswith(b"parthaul: TIMEOUT: ")), b"")
        check("no name server: what is said, and when", (b"Resolving" in last, time.monotonic() - begun < 15),
              (True, True))
        running.kill()


def try_slow_file(server, path):
    """A read that takes longer than any turn does is no sleep: nothing is sent twice for it."""
    key = "faults/fine@slow-file"
    done = subprocess.run(["strace", "-f", "-o", "/dev/null", "-P", path, "-e", "trace=pread64", "-e",
                           "inject=pread64:delay_enter=11000000:when=3", PROGRAM, "put", "--endpoint",
                           server.url, "--part-size", "5MiB", "--checksum", "none", "--resume", "never", path,
                           f"s3://{faulty.BUCKET}/{key}"], timeout=90, check=False, capture_output=True,
                          env={**CLEAN, **KEYS, "ASAN_OPTIONS": "detect_leaks=0"})
    check("a slow file: it arrives", (done.returncode, done.stderr, server.objects[key]["data"] == DATA),
          (0, b"", True))
    check("a slow file: each part once", [server.log.count((key, "UploadPart", n)) for n in (1, 2)], [1, 1])


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (FILE, DATA), (EMPTY, b""):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        os.makedirs(os.path.join(STATE, "parthaul"), 0o700)
        for piece in (DATA, DATA[:PART]):  # slow in Python: once for all rows
            faulty.checksum("crc64nvme", piece)
        server = faulty.start()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            apart = [pool.submit(try_streams, server, folder)]
            if may_trace():
                apart.append(pool.submit(try_slow_file, server, os.path.join(folder, FILE)))
                apart.append(pool.submit(try_dead_names, os.path.join(folder, FILE)))
                list(pool.map(lambda case: try_row(server, folder, case), ROWS))
            else:
                print("SKIP: strace may not trace here, so no system call was made to fail")
            for each in apart:
                each.result()
        server.shutdown()
        check("the server itself", server.bugs, [])
    finish()


if __name__ == "__main__":
    main()
