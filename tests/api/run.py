"""The credentials API as its users meet it: parthaul-api (built with the sanitizers) in front of a
real S3 and STS (SeaweedFS), and in front of an STS that misbehaves. Run it by tests/api/run.

What is proven here and nowhere else: that the bytes of a presigned PUT really lie in the bucket, that
credentials can do inside their prefix what an upload needs and nothing anywhere else, that requests
which run when the server is told to stop still get their answers, and that nothing secret is logged.
"""

import base64
import contextlib
import hashlib
import http.client
import json
import pathlib
import secrets
import socket
import subprocess
import threading
import time
import zlib

import abuse
import common
import contract
import identity
import jws
from common import (API, AUDIENCE, MIB, ORIGIN, PUT_LIMIT, ROOT, SECRETS, Api, FakeSts, check, equal,
                    good_answer, raw, refusal, s3_client, servers, token)


# ---- The start ------------------------------------------------------------------------------------


def run(arguments, environment):
    done = subprocess.run([API, *arguments], env=environment, capture_output=True, text=True,
                          timeout=30)
    return done.returncode, done.stdout, done.stderr


def test_command_line(folder, settings):
    good = Api(folder, **settings).environment
    code, out, _ = run(["--version"], {})
    check("--version", code == 0 and out.startswith("parthaul-api "), out)
    code, out, _ = run(["--help"], {})
    check("--help lists the settings", code == 0 and "PARTHAUL_JWT_AUDIENCE" in out, out)
    names = {line.split()[0] for line in out.splitlines()
             if line.startswith(("  PARTHAUL_", "  AWS_"))}
    example = ROOT / "src/api/parthaul-api.conf"
    shown = {line.lstrip("#").partition("=")[0] for line in example.read_text().splitlines()
             if line.lstrip("#").startswith(("PARTHAUL_", "AWS_"))}
    equal("the commented file shows all settings", shown, names)
    code, out, err = run(["--config", str(example), "--check"],
                         {n: good[n] for n in good if "JWT" in n})
    check("the commented file is a configuration", code == 0, err)
    wrong = pathlib.Path(folder) / "wrong.conf"
    wrong.write_text("PARTHAUL_BUCKIT=x\n")
    code, _, err = run(["--config", str(wrong)], good)
    check("a setting that does not exist", code == 2 and "PARTHAUL_BUCKIT" in err, err)
    wrong.write_text("# x\nhello\n")
    code, _, err = run(["--config", str(wrong)], good)
    check("a line that is none", code == 2 and "line 2" in err, err)
    code, _, err = run(["--config", "/nonexistent"], good)
    check("no such file", code == 2 and err.count("\n") == 1, err)
    code, _, err = run(["--what"], {})
    check("an unknown argument", code == 2 and err.count("\n") == 1, err)
    code, out, err = run(["--check"], good)
    check("--check", code == 0 and not err, err)
    code, _, err = run(["--check"], {**good, "PARTHAUL_BUCKET": ""})
    check("a missing setting", code == 2 and err == "parthaul-api: PARTHAUL_BUCKET: is not set\n", err)
    code, _, err = run([], {**good, "PARTHAUL_PUT_LIMIT": "6000000000"})
    check("a wrong setting", code == 2 and "PARTHAUL_PUT_LIMIT" in err and err.count("\n") == 1, err)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        code, _, err = run([], {**good, "PARTHAUL_LISTEN": f"127.0.0.1:{busy.getsockname()[1]}"})
        check("a busy port", code == 1 and "PARTHAUL_LISTEN" in err and err.count("\n") == 1, err)


# ---- HTTP -----------------------------------------------------------------------------------------


def test_tokens(api):
    now = int(time.time())
    cases = {
        "no token": (None, "TOKEN_MISSING"),
        "empty token": ("", "TOKEN_MISSING"),
        "garbage": ("garbage", "TOKEN_INVALID"),
        "alg none": (token(header={"alg": "none"}).rsplit(".", 1)[0] + ".", "TOKEN_INVALID"),
        "another secret": (token(by=secrets.token_bytes(40)), "TOKEN_INVALID"),
        "expired": (token(exp=now - 3600), "TOKEN_EXPIRED"),
        "not yet": (token(nbf=now + 3600), "TOKEN_NOT_YET"),
        "wrong audience": (token(aud="other"), "TOKEN_WRONG_AUDIENCE"),
        "wrong issuer": (token(iss="other"), "TOKEN_WRONG_ISSUER"),
        "no subject": (token(sub=""), "TOKEN_INVALID"),
        "9 KiB": (token(filler="x" * 9000), "TOKEN_INVALID"),
    }
    for name, (bearer, code) in cases.items():
        for method, path in (("GET", "/v1/credentials"), ("POST", "/v1/uploads")):
            status, headers, problem = api.ask(method, path, bearer, headers={"Origin": ORIGIN})
            equal(f"{name}: status", status, 401)
            equal(f"{name}: code", problem.get("code"), code)
            check(f"{name}: detail", len(problem.get("detail", "")) > 10, problem)
            equal(f"{name}: type", headers.get("content-type"), "application/problem+json")
            check(f"{name}: challenge", headers["www-authenticate"].startswith("Bearer"), headers)
            equal(f"{name}: the page can read it", headers.get("access-control-allow-origin"), ORIGIN)
    status, _, answer = api.ask("GET", "/v1/credentials", token(aud=["x", AUDIENCE]))
    equal("audience in an array", status, 200)


def test_cors(api):
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": "authorization,content-type"}
    status, headers, _ = api.ask("OPTIONS", "/v1/uploads", headers=asked)
    equal("preflight", status, 204)
    equal("preflight: origin", headers.get("access-control-allow-origin"), ORIGIN)
    equal("preflight: methods", headers.get("access-control-allow-methods"), "GET, POST, OPTIONS")
    equal("preflight: headers", headers.get("access-control-allow-headers"),
          "authorization, content-type, x-api-key")
    equal("preflight: age", headers.get("access-control-max-age"), "7200")
    equal("preflight: vary", headers.get("vary"), "Origin")
    for origin in ("https://evil.example", ORIGIN + ".evil", "null", ORIGIN.upper()):
        for method in ("OPTIONS", "GET"):
            _, headers, _ = api.ask(method, "/v1/credentials", headers={**asked, "Origin": origin})
            check(f"{method} from {origin}",
                  not any(name.startswith("access-control") for name in headers), headers)


def test_http(api):
    status, headers, body = api.ask("GET", "/healthz")
    equal("health", (status, body.get("status")), (200, "ok"))
    equal("no-store", headers.get("cache-control"), "no-store")
    check("request id", len(headers.get("x-request-id", "")) == 16, headers)
    check("the id is logged", any(line.get("id") == headers["x-request-id"] for line in api.lines()))
    equal("query is no part of the path", api.ask("GET", "/healthz?query=hidden")[0], 200)
    equal("HEAD", api.ask("HEAD", "/healthz")[0], 200)
    equal("unknown path", api.ask("GET", "/nothing")[2].get("code"), "NOT_FOUND")
    status, headers, body = api.ask("DELETE", "/v1/uploads", token())
    equal("wrong method", (status, body.get("code"), headers.get("allow")),
          (405, "METHOD_NOT_ALLOWED", "POST, OPTIONS"))

    bearer = token()
    status, _, body = api.ask("POST", "/v1/uploads", bearer, b"x" * 65537)
    equal("body over 64 KiB", (status, body.get("code")), (413, "BODY_TOO_LARGE"))
    status, _, body = api.ask("POST", "/v1/uploads", bearer,
                              b'{"name":"a","size":1}'.ljust(65536))
    equal("body of 64 KiB", status, 200)
    head = f"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n".encode()
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    answer = raw(api, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3 + b"0\r\n\r\n")
    check("chunked body over 64 KiB", answer.startswith(b"HTTP/1.1 413"), answer[:100])
    answer = raw(api, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 200 + b"0\r\n\r\n")
    check("chunked body without end", answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:100])
    answer = raw(api, head + b"Content-Length: -5\r\n\r\n")
    check("negative length", b" 200 " not in answer[:20], answer[:100])
    answer = raw(api, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200000 + b"\r\n\r\n")
    check("header over 64 KiB", answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:100])
    answer = raw(api, head + b"Authorization: Bearer x\r\nContent-Length: 2\r\n\r\n{}")
    check("two Authorization headers", answer.startswith(b"HTTP/1.1 401"), answer[:100])
    answer = raw(api, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", timeout=3)
    check("TLS to a port without it", b" 200 " not in answer[:20], answer[:100])
    answer = raw(api, b"GET /%0d%0aX:%20y\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    check("hostile path", b" 404 " in answer[:20] or b" 400 " in answer[:20], answer[:100])
    equal("still alive", api.ask("GET", "/healthz")[0], 200)


@contextlib.contextmanager
def slow_sender(api):
    """Beside what is tested meanwhile: a client that takes longer to send its body than a request may
    stand in line for STS. Its user is nobody else's, so STS has to be asked."""
    body = b'{"name":"a","size":1}'
    got = []

    def send():
        connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
        connection.putrequest("POST", "/v1/uploads")
        connection.putheader("Authorization", f"Bearer {token('slow-sender')}")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        for at in range(11):
            connection.send(body[at:at + 1])
            time.sleep(1)
        connection.send(body[11:])
        answer = connection.getresponse()
        document = json.loads(answer.read())
        common.remember_secrets(document)
        got.append((answer.status, document.get("code")))
        connection.close()

    thread = threading.Thread(target=send)
    thread.start()
    yield
    thread.join()
    equal("a body that takes 11 s is no wait", got, [(200, None)])


# ---- Uploads --------------------------------------------------------------------------------------


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def put(answer, data, headers=None, path=None):
    """Send a presigned PUT as a page would: (status, body)"""
    scheme, _, rest = answer["url"].partition("://")
    host, _, target = rest.partition("/")
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.putrequest("PUT", path or "/" + target, skip_accept_encoding=True)
    for name, value in (answer["headers"] if headers is None else headers).items():
        connection.putheader(name, value)
    connection.putheader("content-length", str(len(data)))
    connection.endheaders()
    connection.send(data)
    got = connection.getresponse()
    body = got.read()
    connection.close()
    return got.status, body


def ask_upload(api, data, name="video.mp4", bearer=None, **more):
    body = {"name": name, "size": len(data), "type": "video/mp4",
            "checksum": {"algorithm": "CRC32", "value": crc32(data)}, **more}
    status, _, answer = api.ask("POST", "/v1/uploads", bearer or token(), body)
    equal(f"upload of {name!r}", status, 200)
    return answer


def test_presigned(api, operator, bucket):
    data = secrets.token_bytes(300000)
    answer = ask_upload(api, data)
    equal("uploadType", answer["uploadType"], "put")
    check("key", answer["key"].startswith("upload/alice/") and answer["key"].endswith("/video.mp4"),
          answer["key"])
    check("no credentials beside a URL", "credentials" not in answer)
    damaged = data[:-1] + bytes([data[-1] ^ 1])
    status, body = put(answer, damaged)
    check("another body is refused", status == 400 and b"BadDigest" in body, (status, body))
    for name in answer["headers"]:
        changed = {**answer["headers"], name: "AAAAAA==" if "checksum" in name else "x/y"}
        equal(f"another {name} is refused", put(answer, data, changed)[0], 403)
        missing = {n: v for n, v in answer["headers"].items() if n != name}
        equal(f"PUT without {name} is refused", put(answer, data, missing)[0], 403)
    target = "/" + answer["url"].split("/", 3)[3]
    other = target.replace("/upload/alice/", "/upload/bob/")
    equal("another key is refused", put(answer, data, path=other)[0], 403)
    longer = target.replace("X-Amz-Expires=900", "X-Amz-Expires=9000")
    check("the URL says how long it lives", longer != target)
    equal("a longer life is refused", put(answer, data, path=longer)[0], 403)
    check("nothing is stored so far", not operator.list_objects_v2(Bucket=bucket).get("Contents"))

    equal("the PUT", put(answer, data)[0], 200)
    stored = operator.get_object(Bucket=bucket, Key=answer["key"], ChecksumMode="ENABLED")
    check("the stored bytes are the file's", stored["Body"].read() == data)
    equal("the stored checksum", stored.get("ChecksumCRC32"), crc32(data))
    equal("the stored type", stored["ContentType"], "video/mp4")
    equal("it does not overwrite", put(answer, data)[0], 412)

    for name, end in {"": "/file", "..": "/file", "../../bob/x.txt": "/x.txt",
                      "\u202egpj.exe": "/gpj.exe", "a b+c%2F&?#.txt": "/a b+c_2F&_#.txt",
                      "Übersicht 😀.pdf": "/Übersicht 😀.pdf", "x" * 300 + ".tar": "x.tar"}.items():
        answer = ask_upload(api, b"data", name)
        check(f"key of {name!r}", answer["key"].startswith("upload/alice/")
              and answer["key"].endswith(end) and answer["key"].count("/") == 3, answer["key"])
        equal(f"PUT of {name!r}", put(answer, b"data")[0], 200)
        equal(f"object of {name!r}",
              operator.get_object(Bucket=bucket, Key=answer["key"])["Body"].read(), b"data")

    empty = ask_upload(api, b"", "empty", type="")
    equal("an empty file", put(empty, b"")[0], 200)
    for algorithm, digest in {"SHA256": hashlib.sha256(data), "SHA1": hashlib.sha1(data),
                              "MD5": hashlib.md5(data)}.items():
        value = base64.b64encode(digest.digest()).decode()
        answer = ask_upload(api, data, algorithm,
                            checksum={"algorithm": algorithm, "value": value})
        equal(f"{algorithm}: another body", put(answer, damaged)[0], 400)
        equal(f"{algorithm}: PUT", put(answer, data)[0], 200)

    status, _, answer = api.ask("POST", "/v1/uploads", token(),
                                {"name": "a", "size": PUT_LIMIT + 1,
                                 "checksum": {"algorithm": "CRC32", "value": "AAAAAA=="}})
    equal("over the limit", (status, answer.get("uploadType")), (200, "multipart"))
    status, _, answer = api.ask("POST", "/v1/uploads", token(), {"name": "a", "size": 1})
    equal("without a checksum", (status, answer.get("uploadType")), (200, "multipart"))
    status, _, answer = api.ask("POST", "/v1/uploads", token(), {"name": "a", "size": 2**46})
    equal("over 48.8 TiB", (status, answer.get("code")), (413, "TOO_LARGE"))


def session_client(answer, service="s3"):
    c = answer["credentials"]
    where = {"S3_ENDPOINT": answer["endpoint"], "AWS_REGION": answer["region"]}
    return s3_client(where, c["accessKeyId"], c["secretAccessKey"], c["sessionToken"], service)


def refused(what, call, **arguments):
    code = refusal(call, **arguments)
    check(what, code in ("AccessDenied", "403"), code or "it was allowed")  # HEAD has no body


def multipart(s3, bucket, key, data):
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    where = {"Bucket": bucket, "Key": key, "UploadId": upload}
    parts = []
    for number, start in enumerate(range(0, len(data), 5 * MIB), 1):
        part = s3.upload_part(**where, PartNumber=number, Body=data[start:start + 5 * MIB])
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    listed = s3.list_parts(**where)["Parts"]
    equal("ListParts shows the parts", [p["PartNumber"] for p in listed],
          [p["PartNumber"] for p in parts])
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})


def test_credentials(api, operator, bucket):
    status, _, answer = api.ask("GET", "/v1/credentials", token())
    equal("credentials", status, 200)
    equal("prefix", answer["prefix"], "upload/alice/")
    equal("bucket", answer["bucket"], bucket)
    skew = abs(time.time() - time.mktime(time.strptime(answer["serverTime"], "%Y-%m-%dT%H:%M:%SZ"))
               + time.timezone)
    check("serverTime", skew < 5, answer["serverTime"])
    alice, prefix = session_client(answer), answer["prefix"]
    bob = session_client(api.ask("GET", "/v1/credentials", token("bob"))[2])
    bob.put_object(Bucket=bucket, Key="upload/bob/secret", Body=b"bob's")

    alice.put_object(Bucket=bucket, Key=prefix + "a/small", Body=b"small")
    equal("PutObject inside",
          operator.get_object(Bucket=bucket, Key=prefix + "a/small")["Body"].read(), b"small")
    data = secrets.token_bytes(11 * MIB)
    multipart(alice, bucket, prefix + "a/large", data)
    check("multipart inside",
          operator.get_object(Bucket=bucket, Key=prefix + "a/large")["Body"].read() == data)
    upload = alice.create_multipart_upload(Bucket=bucket, Key=prefix + "a/x")["UploadId"]
    alice.abort_multipart_upload(Bucket=bucket, Key=prefix + "a/x", UploadId=upload)
    check("abort leaves nothing",
          not operator.list_multipart_uploads(Bucket=bucket).get("Uploads"))

    for key in ("upload/bob/x", "upload/alice", "upload/alice2/x", "upload/x", "x", "other/alice/x",
                "upload/alice~/x"):
        refused(f"PutObject of {key}", alice.put_object, Bucket=bucket, Key=key, Body=b"")
        refused(f"Create of {key}", alice.create_multipart_upload, Bucket=bucket, Key=key)
    inside = {"Bucket": bucket, "Key": prefix + "a/small"}
    others = {"Bucket": bucket, "Key": "upload/bob/secret"}
    for name, where in {"own": inside, "another's": others}.items():
        refused(f"GetObject of {name}", alice.get_object, **where)
        refused(f"HeadObject of {name}", alice.head_object, **where)
        refused(f"DeleteObject of {name}", alice.delete_object, **where)
        refused(f"PutObjectTagging of {name}", alice.put_object_tagging, **where,
                Tagging={"TagSet": []})
    refused("Copy of another's", alice.copy_object, Bucket=bucket, Key=prefix + "copy",
            CopySource=others)
    for prefix_asked in (prefix, "upload/bob/", ""):
        refused(f"List of {prefix_asked!r}", alice.list_objects_v2, Bucket=bucket,
                Prefix=prefix_asked)
    refused("ListMultipartUploads", alice.list_multipart_uploads, Bucket=bucket)
    refused("PutBucketCors", alice.put_bucket_cors, Bucket=bucket, CORSConfiguration={
        "CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]})
    refused("another bucket", alice.put_object, Bucket="another", Key=prefix + "x", Body=b"")
    upload = bob.create_multipart_upload(Bucket=bucket, Key="upload/bob/y")["UploadId"]
    theirs = {"Bucket": bucket, "Key": "upload/bob/y", "UploadId": upload}
    refused("ListParts of another's", alice.list_parts, **theirs)
    refused("UploadPart of another's", alice.upload_part, **theirs, PartNumber=1, Body=b"x")
    refused("Abort of another's", alice.abort_multipart_upload, **theirs)
    equal("bob's object is untouched", operator.get_object(**others)["Body"].read(), b"bob's")


def test_role_hop(api, role):
    """What the page holds is of no use to become somebody else, or the role without its limits."""
    sts = session_client(api.ask("GET", "/v1/credentials", token())[2], "sts")
    for what, more in {"the role": {"RoleArn": role}, "another role": {"RoleArn": role + "2"}}.items():
        code = refusal(sts.assume_role, **more, RoleSessionName="hop")
        check(f"role hop to {what}", code, "it was allowed")
    code = refusal(sts.get_federation_token, Name="hop")
    check("no federation either", code, "it was allowed")


def test_expired(api, state, operator, bucket):
    """Credentials whose end is over: the same as those that work, but for the end in their session."""
    answer = api.ask("GET", "/v1/credentials", token())[2]
    session = answer["credentials"]["sessionToken"]
    where = {"Bucket": bucket, "Key": "upload/alice/expired"}

    def client_until(end):
        answer["credentials"]["sessionToken"] = common.resigned(state, session, exp=end)
        return session_client(answer)

    live, over = client_until(int(time.time()) + 60), client_until(int(time.time()) - 1)
    equal("before their end: Put", refusal(live.put_object, **where, Body=b"x"), "")
    where["UploadId"] = live.create_multipart_upload(**where)["UploadId"]
    key = {name: where[name] for name in ("Bucket", "Key")}
    for name, call, arguments in (
            ("Put", over.put_object, {**key, "Body": b"y"}), ("Get", over.get_object, key),
            ("Create", over.create_multipart_upload, key), ("ListParts", over.list_parts, where),
            ("UploadPart", over.upload_part, {**where, "PartNumber": 1, "Body": b"y"}),
            ("Abort", over.abort_multipart_upload, where), ("Delete", over.delete_object, key),
            ("List", over.list_objects_v2, {"Bucket": bucket})):
        code = refusal(call, **arguments)
        check(f"expired: {name}", code in ("ExpiredToken", "InvalidAccessKeyId", "AccessDenied", "403"),
              code or "it was allowed")
    equal("it is as it was", operator.get_object(**key)["Body"].read(), b"x")
    equal("the upload goes on with fresh ones", refusal(
        live.upload_part, **where, PartNumber=1, Body=b"y"), "")
    live.abort_multipart_upload(**where)


def test_users(api, bucket):
    """Names that would mean something in a key or a policy, and pairs that are nearly the same."""
    users = ["*", "?", "${aws:username}", "..", ".", "a/b", "../bob", "bob/", "bob/../alice", "%62ob",
             "BOB", "Bob", "bob ", "b\u00f6b", "bo?", "bob\n", "x" * 300, "~bob", "b*", '"}]}']
    prefixes = {"bob": "upload/bob/"}
    for user in users:
        status, _, answer = api.ask("GET", "/v1/credentials", token(user))
        if not equal(f"user {user!r}", status, 200):
            continue
        prefix = answer["prefix"]
        check(f"prefix of {user!r}", prefix.lower() not in [p.lower() for p in prefixes.values()]
              and prefix.count("/") == 2 and not set(prefix) & set("*?$\"%\\"), prefix)
        prefixes[user] = prefix
        s3 = session_client(answer)
        s3.put_object(Bucket=bucket, Key=prefix + "x", Body=b"x")
        refused(f"{user!r} writes for bob", s3.put_object, Bucket=bucket, Key="upload/bob/x", Body=b"")
        refused(f"{user!r} writes elsewhere", s3.put_object, Bucket=bucket, Key="upload/z/x", Body=b"")


# ---- Many files, properties, forms, the old routes -----------------------------------------------


def post_form(answer, name, data, **changes):
    """Send a form as a browser would: (status, body)"""
    boundary = secrets.token_hex(16)
    fields = {**answer["fields"], **changes}
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
             for field, value in fields.items() if value is not None]
    body = "".join(parts).encode() + (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n").encode() + data + (
        f"\r\n--{boundary}--\r\n").encode()
    scheme, _, rest = answer["url"].partition("://")
    host, _, path = rest.partition("/")
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("POST", "/" + path, body,
                       {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    got = connection.getresponse()
    text = got.read()
    connection.close()
    return got.status, text


def test_forms(folder, settings, operator, bucket, operator_keys):
    """SeaweedFS takes forms that are signed by long-term keys only; so `own`. By `role` the form
    carries the session token, and that is all that can be seen here."""
    with Api(folder, **settings) as api:
        _, _, answer = api.ask("POST", "/v1/post-policy", token(), {"folder": "docs"})
        check("a form by the role carries its session", "x-amz-security-token" in answer["fields"])
        equal("old answer", sorted(api.ask("GET", "/", token())[2]),
              ["AssumedRoleUser", "Credentials"])
        status, _, old = api.ask("GET", "/dev/", token())
        check("old clients' credentials work", status == 200
              and "assumed-role" in old["AssumedRoleUser"]["Arn"], old)
        equal("no role is given that is not listed",
              api.ask("GET", "/get_key/uploader", token())[::2], (403, "Access Denied"))

        data = secrets.token_bytes(1000)
        answer = ask_upload(api, data, cacheControl="max-age=60", contentDisposition="attachment",
                            metadata={"camera": "x 100", "a": "1"})
        equal("PUT with properties", put(answer, data)[0], 200)
        stored = operator.head_object(Bucket=bucket, Key=answer["key"])
        equal("stored properties", (stored["CacheControl"], stored["ContentDisposition"],
                                    stored["Metadata"]),
              ("max-age=60", "attachment", {"camera": "x 100", "a": "1"}))
        answer = ask_upload(api, data)
        equal("a longer body than was said is refused", put(answer, data + b"x")[0], 403)

        files = [{"name": f"{i}.bin", "size": len(data), "checksum":
                  {"algorithm": "CRC32", "value": crc32(data)}} for i in range(50)]
        files.append({"name": "large", "size": PUT_LIMIT + 1})
        files.append({"name": 7, "size": 1})
        status, _, answer = api.ask("POST", "/v1/uploads", token(), {"files": files})
        equal("many files", (status, len(answer["files"])), (200, 52))
        equal("their upload types", {f.get("uploadType", f.get("problem", {}).get("code"))
                              for f in answer["files"]}, {"put", "multipart", "BAD_REQUEST"})
        equal("their keys differ", len({f["key"] for f in answer["files"] if "key" in f}), 51)
        equal("all can be sent", {put(f, data)[0] for f in answer["files"] if "url" in f}, {200})
        session_client({**answer, "endpoint": answer["endpoint"]}).put_object(
            Bucket=bucket, Key=answer["files"][50]["key"], Body=b"large")

        files_of_mine = [f["key"] for f in answer["files"] if "url" in f]
        mine = files_of_mine[0]
        status, _, answer = api.ask("GET", f"/v1/credentials?key={mine}", token())
        equal("credentials of one key", (status, answer.get("key")), (200, mine))
        session_client(answer).put_object(Bucket=bucket, Key=mine, Body=b"again")
        refused("another key with them", session_client(answer).put_object, Bucket=bucket,
                Key=mine + "x", Body=b"")
        equal("what they wrote can be looked at",
              session_client(answer).head_object(Bucket=bucket, Key=mine)["ContentLength"], 5)
        for name, key in {"another of the user's": files_of_mine[1], "another's": "upload/bob/secret"}.items():
            refused(f"HeadObject of {name} with them", session_client(answer).head_object,
                    Bucket=bucket, Key=key)
            refused(f"GetObject of {name} with them", session_client(answer).get_object,
                    Bucket=bucket, Key=key)
        refused("DeleteObject with them", session_client(answer).delete_object, Bucket=bucket, Key=mine)
        equal("another's key", api.ask("GET", "/v1/credentials?key=upload/bob/x", token())[0], 403)
        check_log(api)

    # An identity that is confined to a prefix may send no form at all there: the check comes before
    # the form's key is read. So it is the policy alone that confines these.
    own = {"PARTHAUL_POST_KEYS": "own", "AWS_ACCESS_KEY_ID": operator_keys[0],
           "AWS_SECRET_ACCESS_KEY": operator_keys[1]}
    with Api(folder, **{**settings, **own}) as api:
        try_forms(api, operator, bucket)
        check_log(api)


def try_forms(api, operator, bucket, stores=True):
    """What a form can do, and what its policy forbids."""
    _, _, answer = api.ask("POST", "/v1/post-policy", token(),
                           {"folder": "docs/v1", "maxSize": 1000})
    for name in ("index.html", "a b.css"):
        status, text = post_form(answer, name, b"<html>")
        check(f"form for {name}", status == 204, (status, text))
        if stores:
            equal(f"object of {name}", operator.get_object(
                Bucket=bucket, Key=f"upload/alice/docs/v1/{name}")["Body"].read(), b"<html>")
    deeper = answer["prefix"] + "img/${filename}"
    equal("a folder beneath", post_form(answer, "x.png", b"x", key=deeper)[0], 204)
    for what, changes in {"another prefix": {"key": "upload/bob/${filename}"},
                          "the prefix's own begin": {"key": "upload/alice/${filename}"},
                          "public": {"acl": "public-read"},
                          "a field more": {"x-amz-meta-x": "y"},
                          "another signature": {"x-amz-signature": "0" * 64},
                          "a wider policy": {"policy": answer["fields"]["policy"][:-8] + "AAAAfV19"}
                          }.items():
        equal(f"form: {what}", post_form(answer, "x", b"x", **changes)[0], 403)
    if "x-amz-security-token" in answer["fields"]:
        equal("form: another session", post_form(
            answer, "x", b"x", **{"x-amz-security-token": "AAAA"})[0], 403)
    if stores:
        equal("form: too large", post_form(answer, "x", b"x" * 1001)[0], 400)
    status, _, answer = api.ask("POST", "/v1/uploads", token(),
                                {"name": "one.png", "size": 5, "type": "image/png",
                                 "uploadType": "post"})
    equal("form for one", (status, post_form(answer, "one.png", b"12345")[0]), (200, 204))
    if stores:
        equal("form for one, larger", post_form(answer, "one.png", b"123456")[0], 400)


# ---- An STS that misbehaves -----------------------------------------------------------------------


def test_sts_failures(folder, settings):
    with common.served(FakeSts) as server:
        try_sts_failures(folder, settings, server.url)


def try_sts_failures(folder, settings, url):
    leak = "x-amz-security-token:" + secrets.token_hex(20)
    SECRETS.append(leak[-40:])
    error = "<ErrorResponse><Error><Code>{}</Code><Message>{}</Message></Error></ErrorResponse>"
    cases = {
        "refused": (lambda h: h.reply(403, error.format("AccessDenied", "Not you. " + leak).encode()),
                    502, "STS_FAILED"),
        "throttled": (lambda h: h.reply(400, error.format("Throttling", "Slow").encode()),
                      503, "STS_UNREACHABLE"),
        "broken": (lambda h: h.reply(500, b"oops"), 503, "STS_UNREACHABLE"),
        "not XML": (lambda h: h.reply(200, b"hello"), 502, "STS_FAILED"),
        "empty": (lambda h: h.reply(200, b""), 502, "STS_FAILED"),
        "endless": (lambda h: h.reply(200, b"<a>" + b"x" * (1 << 20)), 502, "STS_FAILED"),
        "half": (lambda h: h.reply(200, good_answer()[:200]), 502, "STS_FAILED"),
        "expired": (lambda h: h.reply(200, good_answer(life=-10)), 502, "STS_FAILED"),
        "redirect": (lambda h: h.reply(302, b"", location=url + "/followed"), 502, "STS_FAILED"),
        "hangs up": (lambda h: h.connection.close(), 503, "STS_UNREACHABLE"),
        "good": (lambda h: h.reply(200, good_answer()), 200, None),
    }
    with Api(folder, **{**settings, "PARTHAUL_STS_ENDPOINT": url}) as api:
        for name, (behaviour, status, code) in cases.items():
            FakeSts.behaviour = staticmethod(behaviour)
            got, headers, answer = api.ask("GET", "/v1/credentials", token())
            equal(f"STS {name}: status", got, status)
            equal(f"STS {name}: code", answer.get("code"), code)
            check(f"STS {name}: nothing leaks", leak not in json.dumps(answer), answer)
            equal(f"STS {name}: retry-after", headers.get("retry-after"), "5" if got == 503 else None)
        check("no redirect is followed", not FakeSts.followed)
        check("the log says what STS said",
              any(line.get("sts") == "AccessDenied" and line.get("stsMessage") == "Not you"
                  for line in api.lines()))

        # While STS takes its time, others are served; and the one that waits gets its answer even
        # if the server is told to stop meanwhile.
        def slowly(handler):
            time.sleep(4)
            handler.reply(200, good_answer())

        FakeSts.behaviour = staticmethod(slowly)
        waiting = []
        threads = [threading.Thread(target=lambda: waiting.append(
            api.ask("GET", "/v1/credentials", token("slow"))[0])) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        for _ in range(5):
            equal("health while STS is slow", api.ask("GET", "/healthz", timeout=5)[0], 200)
        check("health does not wait for STS", not waiting, waiting)
        code = api.stop()
        for thread in threads:
            thread.join()
        equal("requests that run end well", waiting, [200, 200, 200])
        equal("exit status after SIGTERM", code, 0)
        check("the log says so", api.lines()[-1].get("event") == "stopped", api.log()[-300:])
        check_log(api)

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with Api(folder, **{**settings, "PARTHAUL_STS_ENDPOINT": nowhere}) as api:
            status, headers, answer = api.ask("GET", "/v1/credentials", token())
            equal("no STS", (status, answer.get("code"), headers.get("retry-after")),
                  (503, "STS_UNREACHABLE", "5"))
            equal("exit status", api.stop(), 0)
    with Api(folder, **{**settings, "AWS_SECRET_ACCESS_KEY": "wrong" * 8}) as api:
        status, _, answer = api.ask("GET", "/v1/credentials", token())
        equal("wrong secret", (status, answer.get("code")), (502, "STS_FAILED"))
        check("the log says why", any(line.get("sts") for line in api.lines()), api.log())
    with Api(folder, **{**settings, "PARTHAUL_ROLE_ARN": settings["PARTHAUL_ROLE_ARN"] + "x"}) as api:
        status, _, answer = api.ask("GET", "/v1/credentials", token())
        equal("unknown role", (status, answer.get("code")), (502, "STS_FAILED"))


def check_log(api):
    log = api.log()
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            check("each line of the log is JSON", False, line[:200])
            continue
        if "path" in entry:
            check("a line has what it should", {"time", "id", "method", "path", "status", "ms"}
                  <= entry.keys(), line[:200])
    leaks = [secret for secret in SECRETS if secret and secret in log]
    check("nothing secret is logged", not leaks, leaks[:1])
    check("no signed URL and no query is logged",
          not any(text in log for text in ("X-Amz-", "Bearer", "query=hidden")))


# ---- All of it ------------------------------------------------------------------------------------


def main():
    with common.scratch("api") as folder, common.seaweedfs(folder / "s3") as env:
        settings = common.api_settings(folder, env)
        operator = servers.client(env)
        servers.prepare(operator, env["BUCKET"], [ORIGIN])
        operator.create_bucket(Bucket="another")
        SECRETS.append(env["AWS_SECRET_ACCESS_KEY"])
        contract.test(check)
        test_command_line(folder, settings)
        with Api(folder, **settings) as api:
            test_tokens(api)
            test_cors(api)
            test_http(api)
            test_presigned(api, operator, env["BUCKET"])
            test_credentials(api, operator, env["BUCKET"])
            test_expired(api, folder / "s3", operator, env["BUCKET"])
            test_role_hop(api, env["ROLE_ARN"])
            test_users(api, env["BUCKET"])
            equal("exit status after SIGTERM", api.stop(), 0)
            check_log(api)
        test_sts_failures(folder, settings)
        test_forms(folder, settings, operator, env["BUCKET"],
                   (env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]))
        with Api(folder, **settings) as api, slow_sender(api):
            identity.test(folder, settings)
            jws.test(folder, settings)
        abuse.test(folder, settings)
    common.finish()


if __name__ == "__main__":
    main()
