"""`parthaul put` that goes on: killed at any moment, stopped, with what it kept damaged or of another."""

import contextlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from checks import CLEAN, PROGRAM, ROOT, check, finish, run

sys.path.append(os.path.join(ROOT, "tests", "servers"))
sys.dont_write_bytecode = True
import faulty  # noqa: E402

PART = 5 << 20
PARTS = 12
DATA = random.Random(5).randbytes(PARTS * PART - 1000)
KEYS = {"AWS_ACCESS_KEY_ID": "KEYIDTHATISNOSECRET", "AWS_SECRET_ACCESS_KEY": "SECRETTHATISKEPTNOWHERE",
        "AWS_SESSION_TOKEN": "TOKENTHATISKEPTNOWHERE"}
KILLS = int(os.environ.get("KILLS", "20"))


class World:
    def __init__(self, folder):
        self.server = faulty.start()
        self.folder = pathlib.Path(folder)
        self.state = self.folder / "state"
        self.env = {**KEYS, "XDG_STATE_HOME": str(self.state)}
        self.file = self.folder / "file"
        self.file.write_bytes(DATA)

    def arguments(self, key, *options, file=None, checksum="crc32"):
        # CRC-32, which Python's server computes fast; None: as nobody asked for any.
        return ("put", "--endpoint", self.server.url, "--part-size", "5MiB", "--json",
                *(("--checksum", checksum) if checksum else ()), *options, str(file or self.file),
                f"s3://{faulty.BUCKET}/{key}")

    def put(self, key, *options, file=None, checksum="crc32", env=None, **more):
        done = run(*self.arguments(key, *options, file=file, checksum=checksum), env={**self.env, **(env or {})},
                   **more)
        return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr.decode()

    def start(self, key, *options, file=None):
        return subprocess.Popen([PROGRAM, *self.arguments(key, *options, file=file)],
                                env={**CLEAN, **self.env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def kept(self, end=""):
        """The files of the state, without locks."""
        folder = self.state / "parthaul"
        names = sorted(folder.iterdir()) if folder.exists() else []
        return [path for path in names if path.suffix == end]

    def uploads(self, key):
        with self.server.lock:
            return [upload for upload in self.server.uploads.values() if upload.key == key]

    def sent(self, key):
        with self.server.lock:
            return [number for name, op, number in self.server.log if name == key and op == "UploadPart"]

    def stored(self, key):
        return {number for upload in self.uploads(key) for number in upload.parts}

    def object(self, key):
        return self.server.objects.get(key, {}).get("data")

    def settle(self):
        """Wait until the server has dealt with what had arrived of a client that is gone."""
        end = time.monotonic() + 20
        with socket.create_connection(self.server.server_address) as last:  # those before are accepted first
            last.sendall(b"?\r\n\r\n")
            while last.recv(4096):
                pass
        while time.monotonic() < end and any("process_request" in t.name for t in threading.enumerate()):
            time.sleep(0.01)

    def begin(self, key, parts, *options):
        """An upload that was killed when S3 had some parts."""
        self.server.most[key] = parts
        running = self.start(key, *options)
        end = time.monotonic() + 20
        while len(self.stored(key)) < parts and time.monotonic() < end:
            time.sleep(0.005)
        running.kill()
        running.communicate()
        self.settle()
        del self.server.most[key]
        check(f"{key}: begun", (len(self.uploads(key)), len(self.kept())), (1, 1))


def try_kills(w):
    """SIGKILL, and now and then a signal that it may answer, at random moments, until it is done."""
    dice = random.Random()
    seed = int(os.environ.get("SEED", dice.randrange(1 << 32)))
    dice.seed(seed)
    killed = again = 0
    for round_ in range(1, 1000):
        key = f"faults/fine@kill-{round_}"
        done, begun, whole = False, killed, 0
        while not done:
            before, had = len(w.sent(key)), w.stored(key)
            running = w.start(key)
            with contextlib.suppress(subprocess.TimeoutExpired):
                # Few survive for long, so that all of its stages are met.
                running.wait(dice.choice((0.1, 0.3, 0.8)) * dice.random())
            number = dice.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT))
            alive = running.poll() is None
            if alive and killed < KILLS and killed - begun < 5:
                killed += 1
                running.send_signal(number)
            out, err = running.communicate(timeout=60)
            w.settle()
            repeated = set(w.sent(key)[before:]) & had
            check(f"kill {killed}, seed {seed}: no part that S3 had is sent again", repeated, set())
            if running.returncode not in (0, -number):
                check(f"kill {killed}, seed {seed}: it goes on", (running.returncode, err), (0, b""))
                return
            done = running.returncode == 0
            whole += not done and w.object(key) is not None and not w.kept()  # it had ended but for its exit
        check(f"{key}, seed {seed}: the object is the file", w.object(key) == DATA, True)
        check(f"{key}: verified", json.loads(out).get("verified"), "object")
        check(f"{key}: nothing is kept", w.kept(), [])
        check(f"{key}: no half snapshot, no lock stays", w.kept(".new") + w.kept(".lock"), [])
        again += len(w.sent(key)) - PARTS
        most = 8 * (killed - begun) + PARTS * whole  # the connections, at most
        check(f"{key}: sent again", len(w.sent(key)) - PARTS <= most, True)
        if killed >= KILLS:
            break
    print(f"{killed} kills, {again} parts of {round_ * PARTS} were sent again")
    # A kill before S3's answer to Create leaves an upload that nobody knows of; it has no parts.
    check("orphans are empty", [u.key for u in w.server.uploads.values() if u.parts], [])
    with w.server.lock:
        w.server.uploads.clear()


def try_two(w):
    running = w.start("faults/hold@two")
    check("two: a part is on its way", w.server.held.wait(20), True)
    link = w.folder / "link"
    link.symlink_to(w.file)
    for file in (w.file, link):
        code, failure, err = w.put("faults/hold@two", file=file)
        check("two: refused", (code, failure.get("code"), err.count("\n")), (1, "IN_USE", 1))
    check("two: another place is another upload", w.put("faults/fine@two")[0], 0)
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=20)
    w.server.go.set()
    check("two: stopped", (running.returncode, json.loads(out)["code"]), (-signal.SIGTERM, "STOPPED"))
    check("two: by the link it goes on", w.put("faults/hold@two", file=link)[0], 0)
    check("two: whole", w.object("faults/hold@two") == DATA, True)


def try_apis(w):
    """Two APIs may lend for two servers that have a bucket of the same name."""
    key = "faults/access-denied-part@apis"
    def put(api, *options):
        done = run("put", "--api", f"{w.server.url}/api/{api}", "--token", "a.b.c", "--part-size", "5MiB",
                   *options, str(w.file), f"s3://{faulty.BUCKET}/{key}", env=w.env)
        return done.returncode, len([1 for entry in w.server.log if entry[:2] == (key, "Create")])
    check("another API: another upload", (put("one"), put("two"), len(w.kept())), ((3, 1), (3, 2), 2))
    check("another API: each gives up its own", (put("one", "--abort")[0], put("two", "--abort")[0], w.kept()), (0, 0, []))


def try_frozen(w):
    """As a laptop's lid does it: what was under way is sent again at once, and no try is burnt."""
    key = "faults/hold@frozen"
    w.server.held.clear()
    w.server.go.clear()
    running = w.start(key, "--timeout", "4")
    check("frozen: a part is on its way", w.server.held.wait(20), True)
    running.send_signal(signal.SIGSTOP)
    time.sleep(5)
    running.send_signal(signal.SIGCONT)
    time.sleep(0.5)
    w.server.go.set()
    out, err = running.communicate(timeout=60)
    check("frozen: it arrives", (running.returncode, w.object(key) == DATA), (0, True))
    check("frozen: nothing failed", (json.loads(out).get("retries"), err), (0, b""))


def connecting(server):
    """How many connections to it have been asked for and not been answered (Linux)."""
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return len([1 for row in rows if row[3] == "02" and row[2].endswith(f":{server.server_port:04X}")])


def try_frozen_connecting(w):
    """So is what was being connected, though libcurl's clock for that goes on: any request."""
    server = faulty.start()
    server.shutdown()
    server.socket.listen(0)
    first = socket.create_connection(("127.0.0.1", server.server_port))  # the queue is full
    small = w.folder / "small"
    small.write_bytes(DATA[:3000])
    large = w.folder / "large"
    large.write_bytes(DATA[:PART + 3000])
    to = ("put", "--timeout", "3", "--part-size", "5MiB", "--checksum", "crc32", "--json", "--resume", "never")
    cases = {"PutObject": ("--endpoint", server.url, str(small), "s3://bucket/faults/fine@put"),
             "Create": ("--endpoint", server.url, str(large), "s3://bucket/faults/fine@create"),
             "credentials": ("--api", f"{server.url}/api/ok", "--token", "a.b.c", str(small),
                             "s3://bucket/faults/fine@lent")}
    running = {}
    for name, more in cases.items():
        running[name] = subprocess.Popen([PROGRAM, *to, *more], env={**CLEAN, **w.env}, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE)
        end = time.monotonic() + 20
        while connecting(server) < len(running) and time.monotonic() < end:
            time.sleep(0.005)
        running[name].send_signal(signal.SIGSTOP)
    check("frozen while connecting: all of them", connecting(server), len(cases))
    time.sleep(3.5)
    server.socket.accept()[0].close()
    server.socket.listen(128)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for each in running.values():
        each.send_signal(signal.SIGCONT)
    for name, each in running.items():
        out, err = each.communicate(timeout=60)
        check(f"frozen while connecting, {name}", (each.returncode, json.loads(out).get("retries"), err), (0, 0, b""))
    first.close()
    server.shutdown()


def try_secrets(w):
    w.begin("faults/fine@secrets", 2)
    [path] = w.kept()
    text = path.read_text()
    check("no secret is kept", [value for value in KEYS.values() if value in text], [])
    check("nobody else may read it", (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777),
          (0o600, 0o700))
    code, result, err = w.put("faults/fine@secrets", "--abort")
    check("given up", (code, result, err), (0, {"status": "aborted"}, ""))
    check("nothing is left", (w.kept(), w.uploads("faults/fine@secrets")), ([], []))
    code, failure, _ = w.put("faults/fine@secrets", "--abort")
    check("nothing to give up", (code, failure["code"]), (1, "NOT_KEPT"))


def try_orphans(w):
    """Killed before S3's answer to Create: who starts over is told of what nobody can abort."""
    for name, options, said in ("loud", (), 1), ("quiet", ("--quiet",), 0):
        key = f"faults/create-unanswered@{name}"
        running = w.start(key)
        end = time.monotonic() + 20
        while not w.uploads(key) and time.monotonic() < end:
            time.sleep(0.005)
        running.kill()
        running.communicate()
        w.settle()
        check(f"orphan {name}: begun", (len(w.uploads(key)), len(w.kept())), (1, 1))
        code, _, err = w.put(key, "--resume", "never", *options)
        check(f"orphan {name}: said", (code, err.count("\n"), err.count("`parthaul uploads`")), (0, said, said))
    with w.server.lock:
        w.server.uploads.clear()


def newer(text):
    text = text.replace('"parthaul":1', '"parthaul":2')
    body = text[:text.rindex(',"check":"')]
    return f'{body},"check":"{faulty.crc(0x9A6C9329AC4BC9B5, 8, body.encode()).hex()}"}}'


def try_denied_abort(w):
    """What may not be gone is kept, to be given up again."""
    key = "faults/abort-denied"
    w.begin(key, 2)
    code, failure, err = w.put(key, "--abort")
    check("abort denied: said", (code, failure.get("status"), "--abort" in err), (1, "failed", True))
    check("abort denied: kept", (len(w.kept()), len(w.uploads(key))), (1, 1))
    check("abort again", w.put(key, "--abort")[0], 0)
    w.begin("faults/page-404", 2)
    check("abort and a gateway's page", (w.put("faults/page-404", "--abort")[0], w.uploads("faults/page-404")), (0, []))
    check("abort again: nothing is left", (w.kept(), w.uploads(key)), ([], []))


def try_damaged(w):
    damages = {"flipped": lambda t: t[:40] + chr(ord(t[40]) ^ 1) + t[41:], "cut": lambda t: t[:-1],
               "empty": lambda t: "", "foreign": lambda t: '{"version":1}', "long": lambda t: t * 1000}
    for name, change in damages.items():
        key = f"faults/fine@{name}"
        w.begin(key, 2)
        [path] = w.kept()
        path.write_text(change(path.read_text()))
        code, failure, _ = w.put(key, "--abort")
        check(f"{name}: not given up by it", (code, failure.get("code")), (1, "SNAPSHOT_DAMAGED"))
        code, _, err = w.put(key)
        check(f"{name}: begun anew, and said", (code, err.count("\n"), ".damaged" in err), (0, 1, True))
        check(f"{name}: whole", w.object(key) == DATA, True)
        check(f"{name}: set aside", len(w.kept(".damaged")), 1)
        w.kept(".damaged")[0].unlink()
    key = "faults/fine@newer"
    w.begin(key, 2)
    [path] = w.kept()
    path.write_text(newer(path.read_text()))
    code, failure, _ = w.put(key)
    check("newer: refused", (code, failure.get("code"), w.kept()), (1, "SNAPSHOT_NEWER", [path]))
    check("newer: anew when asked", w.put(key, "--resume", "never")[0], 0)
    check("newer: set aside", [p.stem for p in w.kept(".damaged")], [path.name])
    w.kept(".damaged")[0].unlink()
    w.begin("faults/fine@folder", 2)
    [path] = w.kept()
    path.unlink()
    path.mkdir()
    code, failure, err = w.put("faults/fine@folder")
    check("unreadable: refused", (code, failure.get("code"), str(path) in err), (1, "NOT_KEPT", True))
    check("unreadable: anew when asked", w.put("faults/fine@folder", "--resume", "never")[0], 0)
    w.kept(".damaged")[0].rmdir()
    w.begin("faults/fine@other", 2)
    [path] = w.kept()
    other = path.read_text()
    path.unlink()
    w.begin("faults/fine@mine", 2)
    [path] = w.kept()
    path.write_text(other)
    code, _, err = w.put("faults/fine@mine")
    check("another upload's: not obeyed", (code, ".damaged" in err), (0, True))
    check("another upload's: it is as it was", len(w.uploads("faults/fine@other")), 1)
    w.kept(".damaged")[0].unlink()


def try_changed(w):
    key = "faults/fine@changed"
    w.begin(key, 6)
    number = min(w.stored(key))
    with open(w.file, "r+b") as file:
        file.seek((number - 1) * PART + 77)
        file.write(b"other")
    code, failure, err = w.put(key)
    check("changed: refused, naming the part", (code, failure["code"], failure.get("partNumber"),
                                                failure.get("resumable")), (5, "FILE_CHANGED", number, True))
    check("changed: says what to do", "--resume never" in err, True)
    check("changed: nothing is lost", (len(w.kept()), len(w.uploads(key))), (1, 1))
    w.file.write_bytes(DATA + b"longer")
    code, failure, err = w.put(key)
    check("longer: refused", (code, failure["code"], "--resume never" in err), (5, "FILE_CHANGED", True))
    w.file.write_bytes(DATA)
    before, had = len(w.sent(key)), w.stored(key)
    check("as it was: goes on", w.put(key)[0], 0)
    check("as it was: only what was missing", set(w.sent(key)[before:]) & had, set())
    w.begin("faults/fine@anew", 3)
    w.file.write_bytes(DATA[::-1])
    check("anew with the other file", w.put("faults/fine@anew", "--resume", "never")[0], 0)
    check("anew: whole", w.object("faults/fine@anew") == DATA[::-1], True)
    check("anew: nothing is left", (w.kept(), w.uploads("faults/fine@anew")), ([], []))
    w.begin("faults/fine@gone", 3)
    w.file.unlink()
    check("a file that is gone: given up", w.put("faults/fine@gone", "--abort")[0], 0)
    check("gone: nothing is left", (w.kept(), w.uploads("faults/fine@gone")), ([], []))
    w.file.write_bytes(DATA)


def try_mixed(w):
    """Somebody else sends to it, too: the same command would only say so again."""
    key = "faults/fine@mixed"
    w.begin(key, 2)
    [upload] = w.uploads(key)
    upload.parts[max(upload.parts)] = b"another's"
    code, failure, err = w.put(key)
    check("mixed: said, and what to do", (code, failure.get("code"), "--resume never" in err), (1, "PARTS_MIXED", True))
    check("mixed: begun anew", (w.put(key, "--resume", "never")[0], w.object(key) == DATA, w.uploads(key)),
          (0, True, []))


def try_lacks(w):
    """What a server does not know is asked once, and a week later again."""
    def creates(name, *options, checksum=None):
        key = f"faults/knows-no-checksums@{name}"
        code, receipt, err = w.put(key, *options, checksum=checksum)
        check(f"lacks {name}: done and said", (code, receipt.get("serverLacks"), "checksum headers" in err),
              (0, ["LACKS_CHECKSUM"], True))
        return len([1 for entry in w.server.log if entry[:2] == (key, "Create")])
    check("lacks: found out", creates("first"), 2)
    check("lacks: remembered", creates("second"), 1)
    check("lacks: one that was asked for is tried", creates("asked", checksum="crc32"), 2)
    check("lacks: not where nothing is to be kept", creates("never", "--resume", "never"), 2)
    [path] = w.kept(".server")
    check("lacks: what is kept", path.read_text(), "LACKS_CHECKSUM\n")
    then = time.time() - 8 * 86400
    os.utime(path, (then, then))
    check("lacks: asked again", creates("third"), 2)
    check("lacks: remembered anew", creates("fourth"), 1)
    path.write_text("LACKS_NOTHING\n\nLACKS")
    check("lacks: what makes no sense is nothing", creates("fifth"), 2)
    path.unlink()


def try_lacks_resumed(w):
    """What the server lacks is no other option than the one that the upload was begun with."""
    key, asked = "faults/knows-no-checksums@resumed", ("--checksum", "crc64nvme", "--checksum-type", "full-object")
    w.begin(key, 2, *asked)
    code, receipt, err = w.put(key, *asked)
    check("lacks resumed: done and said", (code, receipt.get("serverLacks"), "checksum headers" in err),
          (0, ["LACKS_CHECKSUM"], True))
    for path in w.kept(".server"):
        path.unlink()


def try_lacks_apis(w):
    """What one server lacks is not what the API's own server lacks."""
    small = w.folder / "small"
    small.write_bytes(DATA[:3000])
    def put(key, *options):
        done = run("put", "--api", f"{w.server.url}/api/lacks", "--token", "a.b.c", "--json", *options, str(small),
                   f"s3://{faulty.BUCKET}/{key}", env=w.env)
        return done.returncode, json.loads(done.stdout).get("serverLacks")
    check("lacks elsewhere: found out", put("faults/knows-no-checksums@elsewhere", "--endpoint", w.server.url),
          (0, ["LACKS_CHECKSUM"]))
    check("lacks elsewhere: remembered", w.put("faults/fine@elsewhere", file=small, checksum=None)[1].get("serverLacks"),
          ["LACKS_CHECKSUM"])
    check("lacks elsewhere: not of the API's server", put("faults/fine@api-place"), (0, None))
    for path in w.kept(".server"):
        path.unlink()


def try_lacks_guessed(w):
    """Where a server names no header, what it lacks is a guess: one that did not help is not remembered."""
    small, other = w.folder / "small", w.folder / "other"
    small.write_bytes(DATA[:3000])
    other.write_bytes(DATA[3000:6000])
    code, failure, _ = w.put("faults/501-unnamed", "--no-overwrite", file=small)
    check("lacks guessed: refused", (code, failure.get("code")), (1, "REFUSED"))
    check("lacks guessed: not remembered", w.kept(".server"), [])
    key = "faults/fine@guessed"
    check("lacks guessed: an object", w.put(key, file=small)[0], 0)
    code, failure, _ = w.put(key, "--no-overwrite", file=other)
    check("lacks guessed: it stays", (code, failure.get("code"), w.object(key) == DATA[:3000]), (1, "EXISTS", True))


def try_options(w):
    key = "faults/fine@options"
    w.begin(key, 2, "--metadata", "a=b", "--content-type", "a/b")
    for options, name in ((("--metadata", "a=b"), "content-type"), (("--content-type", "a/b"), "metadata"),
                          (("--metadata", "a=b", "--content-type", "a/b", "--part-size", "6MiB"),
                           "part-size"),
                          (("--metadata", "a=b", "--content-type", "a/b", "--checksum", "sha256"),
                           "checksum"),
                          (("--metadata", "a=b", "--content-type", "a/b", "--no-overwrite"),
                           "no-overwrite")):
        code, failure, err = w.put(key, *options)
        check(f"other options: {name}", (code, failure["code"], f"--{name};" in err), (2, "BAD_ARG", True))
    check("the same options", w.put(key, "--metadata", "a=b", "--content-type", "a/b")[0], 0)


def try_nowhere(w):
    """A place that cannot keep anything is a warning, never the end of an upload."""
    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    cases = {"no folder": ({"XDG_STATE_HOME": "/dev/null/x"}, {}),
             "no home": ({"XDG_STATE_HOME": "", "HOME": ""}, {}),
             "a long name": ({"XDG_STATE_HOME": "/x" * 300}, {}),
             "a full disk": ({}, {"preexec_fn": full})}
    for name, (env, more) in cases.items():
        key = f"faults/fine@{name.replace(' ', '-')}"
        code, result, err = w.put(key, env=env, **more)
        check(f"{name}: it arrives", (code, result.get("verified")), (0, "object"))
        check(f"{name}: with one warning", (err.count("\n"), err.startswith("parthaul: warning: ")), (1, True))
        check(f"{name}: which says why", "HOME is set" in err, name == "no home")
        code, result, err = w.put(key, "--quiet", env=env, **more)
        check(f"{name}: or without", (code, err), (0, ""))
    check("nothing is kept of them", (w.kept(), w.kept(".new")), ([], []))
    code, failure, _ = w.put("faults/fine@x", "--abort", env={"XDG_STATE_HOME": "/dev/null/x"})
    check("nothing to give up from", (code, failure["code"]), (1, "NOT_KEPT"))


def main():
    folder = tempfile.mkdtemp(prefix="resume-", dir=os.path.join(ROOT, "build"))
    try:
        w = World(folder)
        for part in (try_kills, try_two, try_apis, try_frozen, try_frozen_connecting, try_secrets,
                     try_denied_abort, try_orphans, try_damaged, try_changed, try_mixed, try_lacks, try_lacks_resumed,
                     try_lacks_apis, try_lacks_guessed, try_options, try_nowhere):
            part(w)
    finally:
        shutil.rmtree(folder)
    finish()


if __name__ == "__main__":
    main()
