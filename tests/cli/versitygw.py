"""`parthaul put` against a second real S3 (versitygw), which is stricter in checksums and in its words."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from checks import CLEAN, PROGRAM, ROOT, check, finish, run
from seaweedfs import MIB, RANDOM, World, try_abort, try_algorithms, try_sizes

sys.path.insert(0, os.path.join(ROOT, "tests"))
import kit  # noqa: E402


def uploads(w):
    """The unfinished uploads, each as the numbers of its parts. Without those of one part: this server stores a
    part that it has read whole even if its upload is completed or aborted by then, and lists the upload again."""
    found = w.s3.list_multipart_uploads(Bucket=w.bucket).get("Uploads", [])
    parts = [w.s3.list_parts(Bucket=w.bucket, Key=one["Key"], UploadId=one["UploadId"]).get("Parts", [])
             for one in found]
    return [[part["PartNumber"] for part in each] for each in parts if len(each) != 1]


def try_keys(w):
    small, large = w.file("name", b"data"), w.file("name-large", RANDOM[:6 * MIB])
    longest = "/".join(["k" * 203] * 5)
    longest += "\u00fc" * ((1024 - len(longest)) // 2)
    check("the longest key", len(longest.encode()), 1023)
    for key in ("a b", "it's \"quoted\"", "\U0001f4e6/\u00fc", "a+b=c&d;e", "100%", "%41%2f", "a?b#c",
                "~!*'();:@$,", "<tag>&amp;", longest, longest + "x"):
        for path, data in (small, b"data"), (large, RANDOM[:6 * MIB]):
            code, receipt, err = w.put(path, key, "--part-size", "5MiB")
            check(f"key {key[-20:]}: done", (code, err, receipt.get("key")), (0, b"", key))
            check(f"key {key[-20:]}: read back", w.read(key)["Body"].read() == data, True)
    check("a key too long", w.put(small, longest + "xx")[1].get("code"), "BAD_KEY")


def try_overwriting(w):
    small, large = w.file("there", b"data"), w.file("there-large", RANDOM[:6 * MIB])
    check("an object is there", w.put(small, "there")[0], 0)
    for path in w.file("there-other", b"other"), large:
        code, failure, _ = w.put(path, "there", "--no-overwrite", "--part-size", "5MiB")
        check("--no-overwrite", (code, failure.get("code")), (1, "EXISTS"))
    check("--no-overwrite of the same file", w.put(small, "there", "--no-overwrite")[0], 0)
    check("it is as it was", w.read("there")["Body"].read(), b"data")
    for path in small, large:
        code, failure, _ = w.put(path, "there/below", "--part-size", "5MiB")
        check("a key below an object", (code, failure.get("code"), failure.get("s3Code")),
              (1, "REFUSED", "ObjectParentIsFile"))
    check("nothing is left", uploads(w), [])
    for path in small, large:
        code, failure, _ = w.put(path, "new", env={"AWS_SECRET_ACCESS_KEY": "wrong"})
        check("wrong secret", (code, failure.get("code")), (3, "BAD_SIGNATURE"))
        code, failure, _ = w.put(path, "new", bucket="no-such-bucket")
        check("no such bucket", (code, failure.get("code")), (1, "NO_SUCH_BUCKET"))


def try_resume(w):
    """Killed in the middle; what the server has is compared by its own checksums, and not sent again."""
    path = w.file("resumed", RANDOM)
    for name in "crc64nvme", "sha256", "md5":
        arguments = ("put", "--endpoint", w.env["S3_ENDPOINT"], "--part-size", "5MiB", "--checksum", name,
                     "--json", path, f"s3://{w.bucket}/resumed-{name}")
        running = subprocess.Popen([PROGRAM, *arguments, "--max-rate", "10MiB", "--concurrency", "1"],
                                   env={**CLEAN, **w.keys}, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while not any(uploads(w)) and time.monotonic() < end:
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
        running.wait()
        begun = uploads(w)
        check(f"{name}: begun", (len(begun), len(begun) == 1 and 2 <= len(begun[0]) < 8), (1, True))
        done = run(*arguments, env=w.keys)
        receipt = json.loads(done.stdout)
        check(f"{name}: goes on", (done.returncode, done.stderr, receipt.get("verified")),
              (0, b"", "object"))
        check(f"{name}: read back", w.read(f"resumed-{name}")["Body"].read() == RANDOM, True)
        check(f"{name}: nothing is left", uploads(w), [])


def main():
    if not (kit.ROOT / "build/deps/go/bin/versitygw").exists():
        print("SKIP: no versitygw; run tests/setup/deps.sh strict")
        return
    # Its state wants extended attributes, which /tmp may not have.
    folder = tempfile.mkdtemp(prefix="strict-", dir=os.path.join(ROOT, "build"))
    with kit.s3_server("versitygw.sh", os.path.join(folder, "s3"), [0]) as env:
        w = World(folder, env)
        w.s3.create_bucket(Bucket=w.bucket)
        for part in try_sizes, try_algorithms, try_keys, try_overwriting, try_resume, try_abort:
            begun = time.monotonic()
            part(w)
            print(f"{part.__name__}: {time.monotonic() - begun:.1f} s")
        # Two parts were on their way when try_abort stopped, and both may have come late.
        check("no uploads are left", [parts for parts in uploads(w) if len(parts) > 2], [])
    subprocess.run(["rm", "-rf", folder], check=False)
    finish()


if __name__ == "__main__":
    main()
