"""`parthaul checksum` against values that S3 gave, and against Python's own digests."""

import base64
import hashlib
import os
import random
import sys
import tempfile

from checks import ROOT, check, finish, run

sys.path.insert(0, os.path.join(ROOT, "tests", "servers"))
sys.dont_write_bytecode = True
import faulty  # noqa: E402  (for its checksums, which are not ours)

MIB = 1 << 20

# (algorithm, bytes, value); those of "a" are recorded answers of S3, the CRCs of "123456789" are their
# check values.
KNOWN = [
    ("crc64nvme", b"123456789", "rosUhgp5mIg="), ("crc64nvme", b"", "AAAAAAAAAAA="),
    ("crc64nvme", b"aaa", "Rnr2/5P7Gsk="), ("crc64nvme", b"aaaa", "GC2rW8VclPA="),
    ("crc64nvme", b"a" * 10, "DBqAA21lxVU="), ("crc64nvme", b"a" * 5242881, "Kg7TOs6algM="),
    ("crc32", b"123456789", "y/Q5Jg=="), ("crc32", b"a" * 5242881, "NRU+Sw=="),
    ("crc32c", b"123456789", "4waSgw=="), ("crc32c", b"abc", "Nks/tw=="),
    ("crc32c", b"a" * 66560, "sOO8/Q=="),
    ("sha256", b"", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    ("sha1", b"abc", "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="), ("md5", b"", "1B2M2Y8AsgTpgAmY7PhCfg=="),
]

# An upload in three parts that S3 answered: 5,242,881 a, again, and 10 a.
PARTS = b"a" * (2 * 5242881 + 10)
RECORDED = [
    (("--algorithm", "crc64nvme"), "ZMNX55lZurA=", "CRC64NVME/FULL_OBJECT"),
    (("--algorithm", "crc32"), "5FRUiw==-3", "CRC32/COMPOSITE"),
    (("--algorithm", "SHA256"), "9o++y6AejqboiJ7MZCx0fahK2Vu5YC/qnNhhYsCLciI=-3", "SHA256/COMPOSITE"),
    (("--etag",), "4d45984fc3feb2ac9b22683c49674b56-3", "MD5/ETAG"),
]


def line(what, *arguments, **more):
    done = run("checksum", *arguments, **more)
    check(f"{what}: exit code", (done.returncode, done.stderr), (0, b""))
    return done.stdout.decode()


def write(folder, name, data):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def try_known(folder):
    for algorithm, data, value in KNOWN:
        path = write(folder, "known", data)
        check(f"{algorithm} of {len(data)} bytes", line(algorithm, "--algorithm", algorithm, path),
              f"{value}  {algorithm.upper()}/FULL_OBJECT  {path}\n")
    path = write(folder, "parts", PARTS)
    for arguments, value, kind in RECORDED:
        check(f"parts {arguments}", line(kind, "--part-size", "5242881", *arguments, path),
              f"{value}  {kind}  {path}\n")
    check("full object", line("crc32", "--algorithm", "crc32", path),
          f"qSEQSA==  CRC32/FULL_OBJECT  {path}\n")


def try_random(folder):
    whole = random.Random(2).randbytes(5 * MIB + 1)
    for size in (0, 1, 5 * MIB, 5 * MIB + 1):
        data = whole[:size]
        path = write(folder, f"random {size}", data)
        for algorithm in faulty.ALGORITHMS:
            value = faulty.checksum(algorithm, data)
            check(f"{algorithm} of {size} random bytes",
                  line(algorithm, "--algorithm", algorithm, path).split("  ")[0], value)
        check(f"etag of {size} random bytes", line("etag", "--etag", path).split("  ")[0],
              hashlib.md5(data).hexdigest())
        # A multipart upload has at least one part, if an empty one.
        pieces = [data[at:at + 5 * MIB] for at in range(0, size, 5 * MIB)] or [b""]
        check(f"etag of {size} random bytes in parts",
              line("etag", "--etag", "--part-size", "5MiB", path).split("  ")[0],
              faulty.etag_of_parts(pieces))
        check(f"sha1 of {size} random bytes in parts",
              line("sha1", "--algorithm", "sha1", "--part-size", "5M", path).split("  ")[0],
              faulty.composite("sha1", pieces))
    path = write(folder, "small parts", whole[:1000])
    pieces = [whole[at:at + 7] for at in range(0, 1000, 7)]
    pieces[-1] = whole[994:1000]
    check("parts of seven bytes",
          line("crc32c", "--algorithm", "crc32c", "--part-size", "7", path).split("  ")[0],
          faulty.composite("crc32c", pieces))


def try_lines(folder):
    check("standard input", line("stdin", "-", input=b"123456789"),
          "rosUhgp5mIg=  CRC64NVME/FULL_OBJECT  -\n")
    odd = write(folder, "back\\slash and\nline", b"")
    shown = odd.replace("\\", "\\\\").replace("\n", "\\n")
    check("an odd name", line("odd", odd), f"\\AAAAAAAAAAA=  CRC64NVME/FULL_OBJECT  {shown}\n")
    plain = write(folder, "plain", b"")
    done = run("checksum", plain, folder, "/nonexistent/x", plain)
    check("errors are per file", (done.returncode, done.stdout.count(b"\n"),
                                  done.stderr.count(b"\n")), (1, 2, 2))
    many = write(folder, "many", b"x" * 10001)
    done = run("checksum", "--algorithm", "sha256", "--part-size", "1", many)
    check("too many parts", (done.returncode, done.stdout), (1, b""))
    value = base64.b64decode(line("md5", "--algorithm", "md5", plain).split("  ")[0]).hex()
    check("md5 is the ETag's", value, hashlib.md5(b"").hexdigest())
    for arguments in ([], ["--algorithm", "crc16", plain], ["--part-size", "5MB", plain],
                      ["--part-size", "0", plain], ["--etag", "--algorithm", "sha1", plain],
                      ["--etags", plain, "--nothing"]):
        done = run("checksum", *arguments)
        check(f"refused: {arguments}", (done.returncode, done.stdout, done.stderr.count(b"\n")),
              (2, b"", 1))


def main():
    with tempfile.TemporaryDirectory() as folder:
        try_known(folder)
        try_random(folder)
        try_lines(folder)
    finish()


if __name__ == "__main__":
    main()
