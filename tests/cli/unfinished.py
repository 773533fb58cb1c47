"""`parthaul uploads` against a real S3, and against lists that are long, wrong or elsewhere."""

import email.utils
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from botocore.exceptions import ClientError

from checks import ROOT, check, finish, run
from services import scripted, says

sys.path += [os.path.join(ROOT, "tests", "servers"), os.path.join(ROOT, "tests", "api")]
sys.dont_write_bytecode = True
import bucket as servers  # noqa: E402
import kit  # noqa: E402

SEAWEEDFS = os.path.join(ROOT, "tests", "servers", "seaweedfs.sh")
KEYS = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}
ODD = ("upload/a b+c", "upload/\u00fc%2F&<x>", "upload/x")


def uploads(endpoint, url, *options, env=KEYS):
    done = run("uploads", "--endpoint", endpoint, "--json", *options, url, env=env)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr.decode()


# ---- A real S3 ------------------------------------------------------------------------------------


def begin(s3, bucket, key, parts):
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    for number in range(1, parts + 1):
        s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=b"x" * 100)
    return upload


def left(s3, bucket):
    return sorted(u["Key"] for u in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


def try_seaweedfs(env):
    s3 = servers.client(env)
    bucket = env["BUCKET"]
    servers.prepare(s3, bucket, ["http://127.0.0.1"])
    keys = {name: value for name, value in env.items() if name.startswith("AWS_")}
    ids = {key: begin(s3, bucket, key, 2) for key in ODD}
    other = begin(s3, bucket, "other/y", 0)

    def ask(path, *options):
        return uploads(env["S3_ENDPOINT"], f"s3://{bucket}/{path}", *options, env=keys)
    code, found, _ = ask("upload/", "--sizes")
    check("listed", (code, found["status"], found["count"]), (0, "done", 3))
    check("keys and ids", {u["key"]: u["uploadId"] for u in found["uploads"]}, ids)
    check("sizes", {(u["parts"], u["size"], u["state"]) for u in found["uploads"]},
          {(2, 200, "unfinished")})
    check("dates", all(abs(time.time() - email.utils.mktime_tz(email.utils.parsedate_tz(
        time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.strptime(u["initiated"], "%Y-%m-%dT%H:%M:%SZ"))
    ))) < 60 for u in found["uploads"]), True)
    check("the whole bucket", ask("")[1]["count"], 4)
    check("too young", ask("", "--abort-older-than", "1h")[1]["aborted"], 0)
    code, found, _ = ask("upload/", "--abort-older-than", "0s", "--dry-run")
    check("a dry run", (code, found["aborted"], {u["state"] for u in found["uploads"]}),
          (0, 0, {"would abort"}))
    check("all there still", left(s3, bucket), sorted([*ODD, "other/y"]))
    code, found, _ = ask("upload/", "--abort-older-than", "0s")
    check("aborted", (code, found["aborted"], found["failed"]), (0, 3, 0))
    check("the others stay", left(s3, bucket), ["other/y"])
    for key, upload in ids.items():
        try:
            s3.list_parts(Bucket=bucket, Key=key, UploadId=upload)
            check(f"{key}: forgotten", False, True)
        except ClientError as error:
            check(f"{key}: forgotten", error.response["Error"]["Code"], "NoSuchUpload")
    done = run("uploads", "--endpoint", env["S3_ENDPOINT"], "--sizes", f"s3://{bucket}", env=keys)
    words = done.stdout.decode().split("  ")
    check("for people", (words[1:], done.stderr.decode()), (
        ["unfinished", other, "0 parts", "0 B", f"s3://{bucket}/other/y\n"],
        "parthaul: 1 unfinished uploads, 0 aborted, 0 failed\n"))
    check("no such bucket", (lambda c, f, _: (c, f["code"], f["count"]))(
        *uploads(env["S3_ENDPOINT"], "s3://nobody/", env=keys)), (1, "NO_SUCH_BUCKET", 0))
    code, found, err = uploads(env["S3_ENDPOINT"], f"s3://{bucket}/", env=KEYS)
    check("denied", (code, found["status"], found["s3Code"], err.count("\n")),
          (3, "failed", "InvalidAccessKeyId", 1))
    s3.abort_multipart_upload(Bucket=bucket, Key="other/y", UploadId=other)


# ---- Lists that a real one does not give ----------------------------------------------------------


def page(entries, *, next_key="", next_id="", truncated=None):
    inner = "".join(f"<Upload><Key>{key}</Key><UploadId>{upload}</UploadId><Initiated>{date}</Initiated>"
                    "</Upload>" for key, upload, date in entries)
    if next_key or next_id or truncated:
        inner += (f"<IsTruncated>true</IsTruncated><NextKeyMarker>{next_key}</NextKeyMarker>"
                  f"<NextUploadIdMarker>{next_id}</NextUploadIdMarker>")
    return f"<ListMultipartUploadsResult>{inner}</ListMultipartUploadsResult>".encode()


def error(code, more=""):
    return f"<Error><Code>{code}</Code><Message>m</Message>{more}</Error>".encode()


OLD = "2020-01-01T00:00:00Z"


def try_pages():
    with scripted(says(200, page([("a", "1", OLD)], next_key="a", next_id="1")),
                  says(200, page([("b", "2", OLD)], next_key="b")),
                  says(200, page([("c", "3", OLD)]))) as server:
        code, found, _ = uploads(server.url, "s3://bucket/")
        check("three pages", (code, [u["uploadId"] for u in found["uploads"]]), (0, ["1", "2", "3"]))
        check("three markers", [path.partition("max-uploads=1000")[2] for path, _, _ in server.seen],
              ["", "&key-marker=a&upload-id-marker=1", "&key-marker=b"])
    with scripted(says(200, page([("a", "1", OLD)], next_key="a"))) as server:
        code, found, _ = uploads(server.url, "s3://bucket/")
        check("a list that goes round", (code, found["code"], found["count"], len(server.seen)),
              (1, "BAD_ANSWER", 2, 2))
    turn = [says(200, page([("a", "1", OLD)], next_key="a")), says(200, page([("b", "2", OLD)], next_key="b"))]
    with scripted(*turn * 600) as server:
        code, found, _ = uploads(server.url, "s3://bucket/")
        check("a list that goes round in two", (code, found["code"], found["count"]), (1, "BAD_ANSWER", 1000))
    endless = [says(200, f"<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>{n}"
                    "</NextPartNumberMarker></ListPartsResult>".encode()) for n in range(1, 200)]
    with scripted(says(200, page([("a", "1", OLD)])), *endless) as server:
        code, found, _ = uploads(server.url, "s3://bucket/", "--sizes")
        check("parts without an end", (code, found["uploads"][0]["failure"]["code"]), (1, "BAD_ANSWER"))
    with scripted(says(200, page([], truncated=True))) as server:
        code, found, _ = uploads(server.url, "s3://bucket/", "--tries", "2")
        check("a list that goes nowhere", (code, found["code"]), (1, "BAD_ANSWER"))
    with scripted(says(200, page([("x/1", "1", OLD), ("p/1", "2", OLD)])), says(204),
                  says(404, error("NoSuchUpload"))) as server:
        code, found, _ = uploads(server.url, "s3://bucket/p/", "--abort-older-than", "7d")
        check("a server that knows no prefix", (code, [u["key"] for u in found["uploads"]]),
              (0, ["p/1"]))
        check("its other uploads are left alone",
              [path for path, _, _ in server.seen if "x/1" in path], [])


def try_aborts():
    one = says(200, page([("k", "1", OLD)]))
    parts = b"<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>"
    with scripted(one, says(204), says(200, parts), says(204), says(404, error("NoSuchUpload"))) as server:
        code, found, _ = uploads(server.url, "s3://bucket/", "--abort-older-than", "7d")
        check("aborted until it is gone", (code, found["uploads"][0]["state"], len(server.seen)),
              (0, "aborted", 5))
    with scripted(one, says(204), says(200, parts), says(204), says(200, parts), says(204),
                  says(200, parts)) as server:
        code, found, _ = uploads(server.url, "s3://bucket/", "--abort-older-than", "7d")
        check("somebody sends to it", (code, found["uploads"][0]["failure"]["code"], found["aborted"]), (1, "CONFLICT", 0))
    with scripted(one, says(404, b"<html>404 Not Found</html>")) as server:
        code, found, _ = uploads(server.url, "s3://bucket/", "--abort-older-than", "7d")
        check("a gateway's page", (code, found["uploads"][0]["failure"]["code"]), (4, "NOT_S3"))
    # A portal's page to both questions is nobody's word.
    with scripted(one, says(200, b"<html>sign in to this network</html>")) as server:
        code, found, _ = uploads(server.url, "s3://bucket/", "--abort-older-than", "7d", "--tries", "2")
        check("a page instead of an abort", (code, found["aborted"], found["uploads"][0]["state"]), (1, 0, "failed"))
    with scripted(says(200, page([("k" * 70000, "1", OLD), ("l", "2", OLD)]))) as server:
        code, found, _ = uploads(server.url, "s3://bucket/")
        check("a key that is none", (code, [len(u["key"]) for u in found["uploads"]]), (0, [70000, 1]))
    with scripted(one, says(204), says(403, error("AccessDenied"))) as server:
        code, found, _ = uploads(server.url, "s3://bucket/", "--abort-older-than", "7d")
        check("who may not look believes", (code, found["aborted"]), (0, 1))
    with scripted(one, says(404, error("NoSuchUpload"))) as server:
        code, found, _ = uploads(server.url, "s3://bucket/", "--abort-older-than", "7d")
        check("somebody was faster", (code, found["aborted"], found["uploads"][0]["state"]),
              (0, 0, "gone"))
    with scripted(says(200, page([("k", "1", OLD), ("l", "2", OLD)])), says(403, error("AccessDenied")),
                  says(204), says(404, error("NoSuchUpload"))) as server:
        code, found, err = uploads(server.url, "s3://bucket/", "--abort-older-than", "7d")
        check("one may not be aborted, the next may", (code, found["status"], [u["state"] for u in found["uploads"]]),
              (3, "failed", ["failed", "aborted"]))
        check("and it is said", "ACCESS_DENIED" in err and "AbortMultipartUpload" in err, True)
    # AWS refers to the control characters of a key, which XML 1.0 forbids.
    with scripted(says(200, page([("a&#x1b;b&#x9b;", "1", OLD)])), says(204), says(404, error("NoSuchUpload"))) as server:
        done = run("uploads", "--endpoint", server.url, "--abort-older-than", "7d", "s3://bucket/", env=KEYS)
        check("a key with a control character", (done.returncode, b"a?b?\n" in done.stdout,
              [path.split("?")[0] for path, _, _ in server.seen[1:]]), (0, True, ["/bucket/a%1Bb%C2%9B"] * 2))
    with scripted(says(200, page([("k", "1", "")]))) as server:
        code, found, _ = uploads(server.url, "s3://bucket/", "--abort-older-than", "0s")
        check("no date is no age", (code, found["uploads"][0]["state"]), (0, "unfinished"))
    # The server's clock counts: on this machine's the upload would be years old.
    with scripted(says(200, page([("k", "1", OLD)]), date="Wed, 01 Jan 2020 01:00:00 GMT")) as server:
        code, found, _ = uploads(server.url, "s3://bucket/", "--abort-older-than", "1d")
        check("the server's clock counts", (code, found["uploads"][0]["state"]), (0, "unfinished"))
    # ... unless it is one that cannot be: an upload of today is not aborted.
    today = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
    with scripted(says(200, page([("k", "1", today)]), date="Fri, 31 Dec 9999 23:59:59 GMT")) as server:
        code, found, _ = uploads(server.url, "s3://bucket/", "--abort-older-than", "2d")
        check("a clock that cannot be", (code, found["uploads"][0]["state"], len(server.seen)), (0, "unfinished", 1))


def try_answers():
    skewed = error("RequestTimeTooSkewed", "<ServerTime>2030-01-01T00:00:00Z</ServerTime>")
    with scripted(says(403, skewed), says(200, page([]))) as server:
        check("the clock is set by the server's", uploads(server.url, "s3://bucket/")[0], 0)
        check("and signed with", server.seen[1][1].get("x-amz-date", "")[:8], "20300101")
    elsewhere = error("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")
    with scripted(says(400, elsewhere), says(200, page([]))) as server:
        check("another region", uploads(server.url, "s3://bucket/")[0], 0)
        check("is signed for", "/eu-west-1/" in server.seen[1][1].get("authorization", ""), True)
    with scripted(says(400, elsewhere)) as server:
        check("once", (uploads(server.url, "s3://bucket/")[0], len(server.seen)), (1, 2))
    with scripted(says(503, error("SlowDown")), says(200, page([]))) as server:
        check("too busy", uploads(server.url, "s3://bucket/")[0], 0)
    one, parts = page([("a", "1", OLD)]), b"<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>"
    with scripted(says(200, one[:-9]), says(200, b"<html>"), says(200, one), says(200, parts[:40]),
                  says(200, parts)) as server:
        code, found, err = uploads(server.url, "s3://bucket/", "--sizes")
        check("answers that are cut off", (code, [u.get("parts") for u in found["uploads"]], len(server.seen),
                                           err.count("BAD_XML")), (0, [0], 5, 3))
    with scripted(says(200, b"<html>sign in to this network</html>")) as server:
        check("a portal", (uploads(server.url, "s3://bucket/", "--tries", "2")[1]["code"], len(server.seen)), ("BAD_XML", 2))
    code, found, err = uploads("http://127.0.0.1:1", "s3://bucket/", "--tries", "1")
    check("nobody there", (code, found["code"], "127.0.0.1 port 1" in err), (4, "NETWORK", True))
    code, found, err = uploads("http://127.0.0.1:1", "s3://Not_a_bucket/")
    check("no bucket's name", (code, found.get("status"), found.get("code"), err.count("\n")),
          (2, "failed", "BAD_BUCKET", 1))
    for arguments in ((), ("bucket",), ("s3://",), ("s3://bucket/", "more"), ("--dry-run", "s3://bucket/"),
                      *(("--abort-older-than", age, "s3://bucket/") for age in
                        ("", "7", "d", "-1d", "7w", "7 d", "1.5d", "99999999d"))):
        done = run("uploads", *arguments, env=KEYS)
        check(f"refused: {arguments}", (done.returncode, done.stdout, done.stderr.count(b"\n")),
              (2, b"", 1))
    check("no credentials", run("uploads", "s3://bucket/").returncode, 2)


def main():
    try_pages()
    try_aborts()
    try_answers()
    folder = tempfile.mkdtemp(prefix="cli-", dir=os.path.join(ROOT, "build"))
    state = os.path.join(folder, "s3")
    subprocess.run([SEAWEEDFS, "start", state, str(kit.free_ports(*range(11), 10010))], check=True)
    try:
        try_seaweedfs(servers.read_env(state))
    finally:
        subprocess.run([SEAWEEDFS, "stop", state], check=False)
        shutil.rmtree(folder)
    finish()


if __name__ == "__main__":
    main()
