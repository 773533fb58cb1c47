"""An S3 look-alike that misbehaves as it is told:  faulty.py [PORT]

The key of an object says what shall go wrong: `faults/503-twice`, `faults/lost-complete`, ... (the
table is at the end of this file). Everything else is done as S3 does it, in memory: parts and objects
are kept, lengths, MD5s and checksums are compared with the bytes by implementations that are not ours,
and every x-amz- header has to be signed. Signatures are not computed: the real servers do that.

A test starts it with `start()` and reads `server.objects`, `server.uploads` and `server.log`. The
credentials API is played too, below /api/NAME.
"""

import base64
import contextlib
import datetime
import functools
import gzip
import hashlib
import http.server
import io
import itertools
import json
import re
import socket
import struct
import sys
import threading
import time
import traceback
import urllib.parse
import zlib

BUCKET = "bucket"
REGION = "us-east-1"
NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
BIG = 9 << 20

# ---- Checksums ------------------------------------------------------------------------------------


@functools.lru_cache(None)
def crc_table(polynomial):
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (polynomial if byte & 1 else 0)
        table.append(byte)
    return table


@functools.lru_cache(64)
def crc(polynomial, size, data):
    """A reflected CRC, all ones before and after, byte by byte: slow, and hard to get wrong."""
    table = crc_table(polynomial)
    value = ones = (1 << 8 * size) - 1
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 255]
    return (value ^ ones).to_bytes(size, "big")


ALGORITHMS = {
    "crc64nvme": lambda data: crc(0x9A6C9329AC4BC9B5, 8, data),
    "crc32c": lambda data: crc(0x82F63B78, 4, data),
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "sha1": lambda data: hashlib.sha1(data).digest(),
}


def checksum(algorithm, data):
    return base64.b64encode(ALGORITHMS[algorithm](data)).decode()


def composite(algorithm, parts):
    digests = b"".join(ALGORITHMS[algorithm](part) for part in parts)
    return checksum(algorithm, digests) + f"-{len(parts)}"


def etag_of_parts(parts):
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    return f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"


# ---- S3 -------------------------------------------------------------------------------------------


class Refused(Exception):
    def __init__(self, status, code, message="", **members):
        super().__init__(code)
        self.status, self.code, self.message, self.members = status, code, message, members


class Gone(Exception):
    """The connection is closed; there is nobody to answer."""


class Upload:
    def __init__(self, key, headers):
        self.key = key
        self.headers = headers
        self.algorithm = headers.get("x-amz-checksum-algorithm", "").lower()
        self.type = headers.get("x-amz-checksum-type", "")
        self.parts = {}  # number: bytes
        self.let_in = set()  # numbers


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def serve(self):
        self.left = int(self.headers.get("content-length", 0))  # of the body, not read yet
        for changed in "answer", "send_header":  # by a fault, for the last request
            self.__dict__.pop(changed, None)
        url = urllib.parse.urlsplit(self.path)
        self.path_only = urllib.parse.unquote(url.path)
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        try:
            if self.path_only.startswith("/api/"):
                self.serve_api()
            else:
                self.serve_s3()
        except Refused as refused:
            self.drain()
            self.refuse(refused)
        except (Gone, ConnectionError):
            self.close_connection = True
        except Exception:
            self.server.bugs.append(traceback.format_exc())
            self.answer(500)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve

    def operation(self):
        if "uploads" in self.query:
            return "Create"
        if "partNumber" in self.query:
            return "UploadPart"
        table = {"PUT": "PutObject", "HEAD": "Head"}
        if "uploadId" in self.query:
            table = {"POST": "Complete", "DELETE": "Abort", "GET": "ListParts"}
        if self.command not in table:
            raise Refused(405, "MethodNotAllowed")
        return table[self.command]

    def serve_s3(self):
        _, bucket, self.key = self.path_only.split("/", 2)
        self.op = self.operation()
        self.number = int(self.query.get("partNumber", 0))
        with self.server.lock:
            self.server.log.append((self.key, self.op, self.number))
            self.nth = self.server.log.count((self.key, self.op, self.number))
        self.check_signed()
        if bucket != BUCKET:
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist")
        fault = FAULTS.get(self.key.removeprefix("faults/").partition("@")[0])
        if not fault or not fault(self):
            getattr(self, "do_" + self.op)()

    def check_signed(self):
        signed = re.search("SignedHeaders=([^,]*)", self.headers.get("authorization", ""))
        names = set(signed[1].split(";") if signed else [])
        for name in self.headers:
            name = name.lower()
            if (name.startswith("x-amz-") or name in ("host", "content-md5")) and name not in names:
                raise Refused(403, "AccessDenied", "There were headers present in the request which "
                              "were not signed", HeadersNotSigned=name)
            if name in ("expect", "transfer-encoding"):
                raise Refused(501, "NotImplemented", f"nobody asked for {name}")

    # ---- What goes in and out ----

    def read_body(self, size=None):
        size = self.left if size is None else min(size, self.left)
        data = b""
        while len(data) < size:
            piece = self.rfile.read(min(size - len(data), 1 << 20))
            if not piece:
                raise Gone
            data += piece
        self.left -= size
        return data

    def drain(self):
        """What was not read yet has to be, or the next request begins in the middle of it."""
        self.read_body()

    def answer(self, status=200, body=b"", **headers):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("x-amz-request-id", "REQUEST-1")
        self.send_header("x-amz-id-2", "HOST-1")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "content_length" not in headers:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        return True

    def refuse(self, refused):
        members = "".join(f"<{n}>{v}</{n}>" for n, v in refused.members.items())
        self.answer(refused.status, '<?xml version="1.0" encoding="UTF-8"?>\n'
                    f"<Error><Code>{refused.code}</Code><Message>{refused.message}</Message>{members}"
                    "<RequestId>REQUEST-1</RequestId><HostId>HOST-1</HostId></Error>",
                    content_type="application/xml")
        return True

    def hang_up(self, reset=False):
        """Close without an answer; with `reset` in a way that throws away what is under way."""
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        raise Gone

    # ---- The operations, as S3 does them ----

    def find_upload(self):
        upload = self.server.uploads.get(self.query["uploadId"])
        if not upload or upload.key != self.key:
            raise Refused(404, "NoSuchUpload", "The specified upload does not exist.")
        return upload

    def check_body(self, data, algorithm=None):
        """Compare what the headers promise; returns the checksums to state in the answer."""
        sha256 = self.headers.get("x-amz-content-sha256")
        if sha256 != "UNSIGNED-PAYLOAD" and sha256 != hashlib.sha256(data).hexdigest():
            raise Refused(400, "XAmzContentSHA256Mismatch")
        md5 = self.headers.get("content-md5")
        if md5 and md5 != base64.b64encode(hashlib.md5(data).digest()).decode():
            raise Refused(400, "BadDigest")
        stated = {}
        for name in ALGORITHMS:
            value = self.headers.get("x-amz-checksum-" + name)
            if not value:
                continue
            if algorithm and name != algorithm:
                raise Refused(400, "InvalidRequest", "Checksum Type mismatch occurred")
            if value != checksum(name, data):
                raise Refused(400, "BadDigest", f"The {name} you specified did not match")
            stated["x_amz_checksum_" + name] = value
        if algorithm and not stated:
            raise Refused(400, "InvalidRequest", "Checksum Type mismatch occurred")
        return stated

    def do_PutObject(self):
        data = self.read_body()
        stated = self.check_body(data)
        self.store(data, hashlib.md5(data).hexdigest(), stated, dict(self.headers))
        self.answer(ETag=f'"{self.server.objects[self.key]["etag"]}"', **stated)

    def store(self, data, etag, stated, headers):
        with self.server.lock:
            if self.headers.get("if-none-match") == "*" and self.key in self.server.objects:
                raise Refused(412, "PreconditionFailed", Condition="If-None-Match")
            self.server.objects[self.key] = {"data": data, "etag": etag, "stated": stated,
                                             "headers": {n.lower(): v for n, v in headers.items()}}

    def do_Create(self):
        self.drain()
        with self.server.lock:
            upload_id = f"ID+/={next(self.server.ids)}"
            headers = {n.lower(): v for n, v in self.headers.items()}
            self.server.uploads[upload_id] = Upload(self.key, headers)
        self.answer(body=f"<InitiateMultipartUploadResult{NAMESPACE}><Bucket>{BUCKET}</Bucket>"
                    f"<UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>")

    def wait_for_room(self):
        """Until the client gives up, if its key has all the parts that the test wants to see stored."""
        most = self.server.most.get(self.key)
        if most is None:
            return
        with self.server.lock:
            let_in = self.find_upload().let_in
            full = len(let_in) >= most and self.number not in let_in
            if not full:
                let_in.add(self.number)
        if full:
            stall(self, None)

    def take_part(self):
        """Returns ETag and checksums; they are not answered yet."""
        self.wait_for_room()
        data = self.read_body()
        upload = self.find_upload()
        stated = self.check_body(data, upload.algorithm)
        upload.parts[self.number] = data
        return f'"{hashlib.md5(data).hexdigest()}"', stated

    def do_UploadPart(self):
        etag, stated = self.take_part()
        self.answer(ETag=etag, **stated)

    def do_ListParts(self, page=1000):
        self.drain()
        upload = self.find_upload()
        after = int(self.query.get("part-number-marker", 0))
        numbers = [n for n in sorted(upload.parts) if n > after]
        more = len(numbers) > page
        numbers = numbers[:page]
        parts = "".join(
            f"<Part><PartNumber>{n}</PartNumber><Size>{len(upload.parts[n])}</Size>"
            f"<ETag>&quot;{hashlib.md5(upload.parts[n]).hexdigest()}&quot;</ETag></Part>"
            for n in numbers)
        self.answer(body=f"<ListPartsResult{NAMESPACE}><IsTruncated>{str(more).lower()}</IsTruncated>"
                    f"<NextPartNumberMarker>{numbers[-1] if numbers else 0}</NextPartNumberMarker>"
                    f"{parts}</ListPartsResult>")
        return True

    def check_complete(self, upload, document):
        """The document and the headers, against the parts."""
        listed = re.findall(r"<Part>(.*?)</Part>", document)
        for text, number in zip(listed, sorted(upload.parts)):
            etag = hashlib.md5(upload.parts[number]).hexdigest()
            if f"<PartNumber>{number}</PartNumber>" not in text or f'"{etag}"' not in text:
                raise Refused(400, "InvalidPart")
            value = re.search(r"<Checksum\w+>([^<]*)<", text)
            if upload.algorithm and (not value or value[1] !=
                                     checksum(upload.algorithm, upload.parts[number])):
                raise Refused(400, "InvalidPart")
        size = sum(map(len, upload.parts.values()))
        if len(listed) != len(upload.parts) or self.headers.get("x-amz-mp-object-size") != str(size):
            raise Refused(400, "InvalidRequest")
        if self.headers.get("x-amz-checksum-type", "") != upload.type:
            raise Refused(400, "InvalidRequest", "another checksum type than at Create")

    def complete(self):
        """Returns the document of the answer, which is not sent yet."""
        document = self.read_body().decode()
        upload = self.find_upload()
        self.check_complete(upload, document)
        parts = [upload.parts[n] for n in sorted(upload.parts)]
        data = b"".join(parts)
        etag, stated, value = etag_of_parts(parts), {}, ""
        if upload.algorithm:
            full = upload.type == "FULL_OBJECT"
            value = checksum(upload.algorithm, data) if full else composite(upload.algorithm, parts)
            sent = self.headers.get("x-amz-checksum-" + upload.algorithm)
            if full and sent != value:
                raise Refused(400, "BadDigest", "not the checksum of the whole object")
            stated["x_amz_checksum_" + upload.algorithm] = value
            stated["x_amz_checksum_type"] = upload.type
        self.store(data, etag, stated, upload.headers)
        del self.server.uploads[self.query["uploadId"]]
        element = "Checksum" + upload.algorithm.upper()
        return (f"<CompleteMultipartUploadResult{NAMESPACE}><Location>http://h/</Location>"
                f"<Bucket>{BUCKET}</Bucket><ETag>&quot;{etag}&quot;</ETag>" +
                (f"<{element}>{value}</{element}><ChecksumType>{upload.type}</ChecksumType>"
                 if value else "") + "</CompleteMultipartUploadResult>")

    def do_Complete(self):
        self.answer(body=self.complete())

    def do_Abort(self):
        self.drain()
        self.find_upload()
        del self.server.uploads[self.query["uploadId"]]
        self.answer(204)

    def do_Head(self):
        found = self.server.objects.get(self.key)
        if not found:
            return self.answer(404)
        return self.answer(ETag=f'"{found["etag"]}"', content_length=str(len(found["data"])),
                           **found["stated"])

    # ---- The credentials API ----

    def serve_api(self):
        _, _, name, rest = self.path_only.split("/", 3)
        with self.server.lock:
            self.server.log.append((name, "credentials", 0))
            nth = self.server.log.count((name, "credentials", 0))
        if self.command != "GET" or rest != "v1/credentials":
            return self.answer(404)
        if name.isdigit():
            return self.answer(int(name), json.dumps({"detail": "said the API"}))
        if name == "quotes":
            return self.answer(403, json.dumps({"message": "what is " + self.headers["authorization"]}))
        if name == "wordy":
            return self.answer(403, json.dumps({"detail": "word " * 500}))
        if name == "once-500" and nth == 1:
            return self.answer(500, "<html>")
        if name == "html" or name == "then-html" and nth == 2:
            return self.answer(200, "<html>")
        if name in ("then-403", "then-404") and nth == 2:
            return self.answer(int(name[-3:]), "<html>")
        if name == "then-forbidden" and nth > 1:
            return self.answer(403, json.dumps({"detail": "not any more"}))
        if name == "then-307" and nth == 2:
            return self.answer(307, location=f"{self.server.url}/api/ok/v1/credentials")
        if name == "long":
            return self.answer(200, json.dumps({"credentials": "x" * (2 << 20)}))
        if name == "huge":
            return self.answer(200, b'{"credentials":"' + b"x" * BIG)
        if name == "nested":
            return self.answer(200, "[" * 100_000)
        if name == "silent":
            stall(self, None)
        if self.headers.get("authorization") != "Bearer a.b.c":
            return self.answer(401, "{}")
        now = datetime.datetime.now(datetime.timezone.utc)
        text = "%Y-%m-%dT%H:%M:%SZ"
        return self.answer(body=json.dumps({
            "credentials": {"accessKeyId": f"LENT{nth}", "secretAccessKey": "s", "sessionToken": "t",
                            "expiration": (now + datetime.timedelta(hours=1)).strftime(text)},
            "bucket": "elsewhere" if name == "other-bucket" else BUCKET,
            "prefix": "upload/alice/" if name == "other-prefix" else "faults/",
            "region": REGION, "endpoint": self.server.url, "serverTime": now.strftime(text)}))


# ---- What goes wrong ------------------------------------------------------------------------------
#
# A fault gets the request and says whether it has answered it. `r.nth` counts from 1 how often this
# operation (of this part) came for this key.

FAULTS = {}


def fault(name):
    def register(function):
        FAULTS[name] = function
        return function
    return register


def refuse_when(name, op, times, status, code, message="", **members):
    """The common case: an operation is refused the first `times` times (None: always)."""
    def refuse(r):
        if r.op != op or (times and r.nth > times):
            return False
        raise Refused(status, code, message, **members)
    FAULTS[name] = refuse


refuse_when("503-twice", "UploadPart", 2, 503, "ServiceUnavailable", "Please reduce your rate")
refuse_when("503-always", "UploadPart", None, 503, "ServiceUnavailable")
refuse_when("slowdown-then-ok", "Create", 2, 503, "SlowDown", "Please reduce your request rate.")
refuse_when("500-create", "Create", None, 500, "InternalError")
refuse_when("429-once", "UploadPart", 1, 429, "TooManyRequests")
refuse_when("request-timeout", "UploadPart", 1, 400, "RequestTimeout")
refuse_when("incomplete-body", "UploadPart", 1, 400, "IncompleteBody")
refuse_when("bad-digest-once", "UploadPart", 1, 400, "BadDigest")
refuse_when("bad-digest-always", "UploadPart", None, 400, "BadDigest")
refuse_when("abort-denied", "Abort", 1, 403, "AccessDenied")
refuse_when("operation-aborted", "Complete", 1, 409, "OperationAborted")
refuse_when("conflict", "Complete", None, 409, "ConditionalRequestConflict")
refuse_when("expired-token", "UploadPart", None, 400, "ExpiredToken")
refuse_when("invalid-key-id", "Create", None, 403, "InvalidAccessKeyId")
refuse_when("access-denied", "Create", None, 403, "AccessDenied", "Access Denied")
refuse_when("access-denied-part", "UploadPart", None, 403, "AccessDenied")
refuse_when("bad-signature", "Create", None, 403, "SignatureDoesNotMatch")
refuse_when("no-such-upload", "UploadPart", None, 404, "NoSuchUpload")
refuse_when("invalid-part", "Complete", None, 400, "InvalidPart")
refuse_when("entity-too-small", "Complete", None, 400, "EntityTooSmall")
refuse_when("no-such-code", "Create", None, 418, "Teapot\u001b]0;", "short &amp; stout")
refuse_when("skewed-hopeless", "Create", None, 403, "RequestTimeTooSkewed",
            ServerTime="2099-01-01T00:00:00Z")
refuse_when("put-503-once", "PutObject", 1, 503, "SlowDown")
refuse_when("put-access-denied", "PutObject", None, 403, "AccessDenied")
refuse_when("501-unnamed", "PutObject", None, 501, "NotImplemented", "and it does not say which header")


@fault("answer")
def _(r):
    """answer@OPERATION.TIMES.STATUS.CODE: any refusal; 0 times: always."""
    op, times, status, code = r.key.partition("@")[2].split(".")
    if r.op == op and (times == "0" or r.nth <= int(times)):
        raise Refused(int(status), code, "as the key says")
    return False


@fault("retry-after")
def _(r):
    if r.op == "UploadPart" and r.nth == 1:
        r.drain()
        return r.answer(503, retry_after="1")
    return False


@fault("html-502")
def _(r):
    if r.op in ("Create", "UploadPart", "Complete") and r.nth == 1:
        r.drain()
        return r.answer(502, "<html><body><h1>502 Bad Gateway</h1><br></body></html>",
                        content_type="text/html")
    return False


@fault("html-200")
def _(r):
    """A hotel's sign-in page."""
    r.drain()
    return r.op != "Abort" and r.answer(200, "<!DOCTYPE html><html><p>Welcome!</html>")


@fault("bare-200")
def _(r):
    """Yes, says something on the way, and nothing is stored: once, or always."""
    if r.op == "PutObject" and (r.nth == 1 or "@always" in r.key):
        r.drain()
        r.send_response(200)
        body = b" \n" if "@blank" in r.key else b""
        r.send_header("content-length", str(len(body)))
        r.end_headers()
        r.wfile.write(body)
        return True
    return False


@fault("page-200")
def _(r):
    """A page of a file server, which has an ETag of its own: once."""
    return r.op == "PutObject" and r.nth == 1 and (r.drain(), r.answer(
        200, "<!DOCTYPE html><html><p>Welcome!</html>", ETag='"5f3c-1a2b"'))


@fault("early-200")
def _(r):
    """Yes, before the body was read, and the connection goes: once."""
    if r.op != "PutObject" or r.nth > 1:
        return False
    r.left = 0
    r.close_connection = True
    return r.answer(ETag='"' + "0" * 32 + '"', connection="close")


@fault("early-403")
def _(r):
    """The answer comes before the body was read, and the connection goes."""
    if r.op != "UploadPart":
        return False
    r.refuse(Refused(403, "AccessDenied"))
    r.wfile.flush()
    with contextlib.suppress(OSError):  # who has read it may be gone
        r.connection.shutdown(socket.SHUT_WR)
    time.sleep(0.3)
    raise Gone


@fault("reset-mid-body")
def _(r):
    if r.op == "UploadPart" and r.nth == 1:
        r.read_body(100000)
        r.hang_up(reset=True)
    return False


@fault("close-always")
def _(r):
    return r.op == "UploadPart" and r.hang_up()


@fault("lost-part")
def _(r):
    """It is stored, but nobody learns of it."""
    if r.op == "UploadPart" and r.nth == 1:
        r.take_part()
        r.hang_up()
    return False


@fault("dead-connections")
def _(r):
    """Each connection is good for one request, and nobody says so."""
    getattr(r, "do_" + r.op)()
    r.wfile.flush()
    r.hang_up()


@fault("stall")
def _(r):
    return r.op == "UploadPart" and stall(r, 65536)


@fault("stall-once")
def _(r):
    return r.op == "UploadPart" and r.nth == 1 and stall(r, 65536)


@fault("no-answer")
def _(r):
    return r.op == "UploadPart" and stall(r, None)


@fault("hold")
def _(r):
    """Until the test says go."""
    if r.op == "UploadPart":
        hold(r)
    return False


@fault("hold-lost")
def _(r):
    """What comes before the test says go is given up then."""
    if r.op == "UploadPart" and not r.server.go.is_set():
        hold(r)
        r.hang_up()
    return False


@fault("hold-answer")
def _(r):
    """It is done, and nobody learns of it before the test says go."""
    if r.op != "Complete":
        return False
    text = r.complete()
    hold(r)
    return r.answer(body=text)


def hold(r):
    if r.query["uploadId"] not in r.server.old:
        r.server.held.set()
    r.server.go.wait(30)


def stall(r, size):
    r.read_body(size)
    r.connection.settimeout(20)
    try:
        while r.connection.recv(1):  # its end is the client's to choose
            time.sleep(0.2)
    except OSError:
        pass
    raise Gone


@fault("cut")
def _(r):
    """cut@OPERATION.N: it is done, but the first answer ends behind N of its bytes, head and all."""
    op, size = r.key.partition("@")[2].split(".")
    if r.op != op or r.nth > 1:
        return False
    wfile, r.wfile = r.wfile, io.BytesIO()
    getattr(r, "do_" + op)()
    whole, r.wfile = r.wfile.getvalue(), wfile
    r.wfile.write(whole[:int(size)])
    r.wfile.flush()
    if int(size) < len(whole):
        r.hang_up()
    return True


@fault("reset-in-head")
def _(r):
    if r.op == "UploadPart" and r.nth == 1:
        r.take_part()
        r.wfile.write(b"HTTP/1.1 200 OK\r\nETag: \"0123")
        r.wfile.flush()
        time.sleep(0.1)
        r.hang_up(reset=True)
    return False


def creeps(r):
    """Whether this request meets a server that is slow for ever: each part, or its first try."""
    return r.op == "UploadPart" and (r.nth == 1 or "@once" not in r.key)


def drip(r, piece):
    """Write this now and then, until nobody listens any more."""
    with contextlib.suppress(OSError):
        while True:
            r.wfile.write(piece)
            r.wfile.flush()
            time.sleep(0.1)
    raise Gone


@fault("creep")
def _(r):
    """It takes a body by the byte, and never stops."""
    if not creeps(r):
        return False
    r.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with contextlib.suppress(OSError):
        while r.rfile.read(1):
            time.sleep(0.1)
    raise Gone


@fault("drip")
def _(r):
    """The answer's body comes by the byte, in chunks, and never ends."""
    if not creeps(r):
        return False
    r.take_part()
    r.send_response(200)
    r.send_header("transfer-encoding", "chunked")
    r.end_headers()
    drip(r, b"1\r\n \r\n")


@fault("drip-head")
def _(r):
    """The same of the answer's head."""
    if not creeps(r):
        return False
    r.take_part()
    r.wfile.write(b"HTTP/1.1 200 OK\r\nx-filler: ")
    drip(r, b"x")


@fault("longer-than-said")
def _(r):
    """A body behind the answer's end, which looks like the next answer: in one write, for nobody could tell it
    from the next answer if it came later."""
    if r.op != "UploadPart":
        return False
    etag, stated = r.take_part()
    wire, r.wfile = r.wfile, io.BytesIO()
    r.answer(body=b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", content_length="0", ETag=etag, **stated)
    together, r.wfile = r.wfile, wire
    r.wfile.write(together.getvalue())
    return True


@fault("nonsense")
def _(r):
    """No HTTP at all, once."""
    if r.nth > 1 or r.op not in ("UploadPart", "Complete"):
        return False
    r.drain()
    r.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    r.wfile.flush()
    r.hang_up()


@fault("unlisted-encoding")
def _(r):
    """Compressed, though nobody asked for it."""
    if r.op != "Complete" or r.nth > 1:
        return False
    return r.answer(body=gzip.compress(r.complete().encode()), content_encoding="gzip")


@fault("status")
def _(r):
    """status@N: no code and no body."""
    if r.op == "UploadPart" and r.nth == 1:
        r.drain()
        return r.answer(int(r.key.partition("@")[2]))
    return False


@fault("huge-body")
def _(r):
    return r.op == "UploadPart" and (r.drain(), r.answer(body=b" " * BIG))


@fault("huge-headers")
def _(r):
    return r.op == "UploadPart" and (r.drain(), r.answer(
        **{f"x-filler-{i}": "x" * 1000 for i in range(300)}))


@fault("slow-headers")
def _(r):
    if r.op != "UploadPart":
        return False
    etag, _ = r.take_part()
    for letter in f"HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Length: 0\r\n\r\n":
        r.wfile.write(letter.encode())
        r.wfile.flush()
        time.sleep(0.02)
    return True


@fault("continue")
def _(r):
    """An interim answer that nobody asked for."""
    r.wfile.write(b"HTTP/1.1 100 Continue\r\nETag: \"wrong\"\r\n\r\n")
    return False


@fault("continue-slow")
def _(r):
    """One after which the answer takes longer than an answer that has begun may pause: 30 seconds."""
    r.wfile.write(b"HTTP/1.1 102 Processing\r\nX-Interim: yes\r\n\r\n")
    r.wfile.flush()
    time.sleep(33)
    return False


@fault("switch")
def _(r):
    """To another protocol, which nobody asked for, and silence: once."""
    if r.op != "UploadPart" or r.nth > 1:
        return False
    r.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
    r.wfile.flush()
    return stall(r, None)


@fault("http-1.0")
def _(r):
    """No connection is kept, and the status line is of another age."""
    r.protocol_version = "HTTP/1.0"
    r.close_connection = True
    return False


@fault("latin-1")
def _(r):
    r.send_header = lambda name, value: Handler.send_header(
        r, name, value.replace("REQUEST-1", "R\u00e4QUEST"))
    if r.op == "UploadPart":
        raise Refused(403, "AccessDenied")
    return False


@fault("no-etag-header")
def _(r):
    if r.op == "UploadPart":
        _, stated = r.take_part()
        return r.answer(**stated)
    return False


@fault("list-two-pages")
def _(r):
    return r.do_ListParts(page=1) if r.op == "ListParts" else FAULTS["no-etag-header"](r)


@fault("list-forgets")
def _(r):
    """ETags are hidden, and the list lacks a part."""
    if r.op == "ListParts":
        r.find_upload().parts.pop(2, None)
    return FAULTS["no-etag-header"](r)


@fault("list-endless")
def _(r):
    """ETags are hidden, and each page of the list, which is the same, has another behind it."""
    if r.op != "ListParts":
        return FAULTS["no-etag-header"](r)
    answer, marker = r.answer, int(r.query.get("part-number-marker", 0)) + 1
    r.query["part-number-marker"] = "0"
    r.answer = lambda body: answer(body=body.replace("false", "true").replace(
        "Marker>2<", f"Marker>{marker}<"))
    return r.do_ListParts()


@fault("version-escapes")
def _(r):
    """A version id that would set the title of a terminal."""
    r.store(r.read_body(), "0" * 32, {}, {})
    return r.answer(ETag='"' + "0" * 32 + '"', x_amz_version_id="v1\x1b]0;title\x07")


@fault("version-long")
def _(r):
    """A version id as long as a header may be."""
    r.store(r.read_body(), "0" * 32, {}, {})
    return r.answer(ETag='"' + "0" * 32 + '"', x_amz_version_id="v" * 70000)


@fault("bare-etag")
def _(r):
    if r.op == "UploadPart":
        etag, stated = r.take_part()
        return r.answer(ETag=etag.strip('"'), **stated)
    return r.op == "Complete" and r.answer(body=r.complete().replace("&quot;", ""))


@fault("entity-etag")
def _(r):
    return r.op == "Complete" and r.answer(body=r.complete().replace("&quot;", "&#34;"))


@fault("no-checksums")
def _(r):
    """A server that knows none of them, as older ones."""
    if r.op == "UploadPart":
        return r.answer(ETag=r.take_part()[0])
    return r.op == "Complete" and r.answer(
        body=re.sub(r"<Checksum(\w+)>.*</Checksum\1>|<ChecksumType>\w+</ChecksumType>", "",
                    r.complete()))


@fault("wrong-part-checksum-echo")
def _(r):
    if r.op != "UploadPart" or (r.nth > 1 and "@always" not in r.key):
        return False
    etag, stated = r.take_part()
    return r.answer(ETag=etag, **{name: checksum("crc64nvme", b"other") for name in stated})


@fault("other-object-checksum")
def _(r):
    return r.op == "Complete" and r.answer(
        body=re.sub(r"<ChecksumCRC64NVME>[^<]*", "<ChecksumCRC64NVME>AAAAAAAAAAA=", r.complete()))


@fault("knows-no-checksums")
def _(r):
    """It refuses what it does not know, and says which."""
    name = next((n for n in r.headers if n.lower().startswith("x-amz-checksum-")), None)
    if not name or r.op == "Complete":
        return False
    raise Refused(501, "NotImplemented", "A header you provided implies functionality that is not "
                  "implemented", Header=name)


@fault("no-namespace")
def _(r):
    NO_NAMESPACE = re.compile(r' xmlns="[^"]*"')
    if r.op == "Complete":
        return r.answer(body=NO_NAMESPACE.sub("", r.complete()))
    if r.op == "Create":
        return create_as(r, lambda text: NO_NAMESPACE.sub("", text))
    return False


@fault("prefixed-namespace")
def _(r):
    return r.op == "Create" and create_as(r, lambda text: re.sub(
        r"<(/?)(\w)", r"<\1s3:\2", text).replace("xmlns=", "xmlns:s3="))


@fault("declaration-and-comment")
def _(r):
    return r.op == "Create" and create_as(
        r, lambda text: '\ufeff<?xml version="1.0" encoding="UTF-8"?>\n<!-- hi -->' + text + "\n")


@fault("create-doctype")
def _(r):
    return r.op == "Create" and create_as(
        r, lambda text: '<!DOCTYPE x [<!ENTITY a "aaaa">]>' + text)


@fault("create-without-id")
def _(r):
    return r.op == "Create" and create_as(r, lambda text: re.sub("<UploadId>.*</UploadId>", "", text))


@fault("create-unanswered")
def _(r):
    """There is an upload, and whoever wanted it does not learn of it."""
    if r.op == "Create" and r.nth == 1:
        r.answer = lambda **_: stall(r, 0)
    return False


def create_as(r, change):
    """Create, with its answer changed."""
    answer = r.answer
    r.answer = lambda body: answer(body=change(body))
    r.do_Create()
    return True


@fault("region-malformed")
def _(r):
    if "/eu-west-7/s3/" in r.headers["authorization"]:
        return False
    raise Refused(400, "AuthorizationHeaderMalformed", "the region is wrong", Region="eu-west-7")


@fault("region-301")
def _(r):
    if "/eu-west-7/s3/" in r.headers["authorization"]:
        return False
    r.drain()
    return r.answer(301, "<Error><Code>PermanentRedirect</Code></Error>",
                    x_amz_bucket_region="eu-west-7", location="http://127.0.0.1:1/")


@fault("redirect-307")
def _(r):
    r.drain()
    return r.answer(307, location=f"{r.server.url}/{BUCKET}/faults/fine@stolen")


def skewed(r, server_time):
    """A server whose clock is two hours ahead."""
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=2)
    signed = datetime.datetime.strptime(r.headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
    r.date_time_string = lambda *_: now.strftime("%a, %d %b %Y %H:%M:%S GMT")
    if abs(signed - now) < datetime.timedelta(minutes=15):
        return False
    raise Refused(403, "RequestTimeTooSkewed", **(
        {"ServerTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")} if server_time else {}))


FAULTS["skewed"] = lambda r: skewed(r, True)
FAULTS["skewed-date-header"] = lambda r: skewed(r, False)


@fault("renewed-token")
def _(r):
    """The first credentials end after Create."""
    if r.op != "Create" and "Credential=LENT1/" in r.headers["authorization"]:
        raise Refused(400, "ExpiredToken")
    return False


@fault("complete-200-error-once")
def _(r):
    if r.op == "Complete" and (r.nth == 1 or "@always" in r.key):
        r.drain()
        return r.answer(body='<?xml version="1.0"?>\n   <Error><Code>InternalError</Code></Error>')
    return False


@fault("complete-keepalive-blanks")
def _(r):
    """As S3 does it: the head at once, blanks while it works, then the document."""
    if r.op != "Complete":
        return False
    text = r.complete()
    r.send_response(200)
    r.send_header("transfer-encoding", "chunked")
    r.end_headers()
    for piece in ['<?xml version="1.0" encoding="UTF-8"?>\n'] + [" "] * 8 + ["\n\n", text]:
        r.wfile.write(f"{len(piece):x}\r\n{piece}\r\n".encode())
        r.wfile.flush()
        time.sleep(0.15)
    r.wfile.write(b"0\r\n\r\n")
    return True


@fault("complete-no-length")
def _(r):
    """The end of the connection is the end of the answer."""
    if r.op != "Complete":
        return False
    r.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + r.complete().encode())
    r.close_connection = True
    return True


@fault("complete-empty-200")
def _(r):
    """It is done, but the answer does not say so."""
    return r.op == "Complete" and (r.complete(), r.answer(body=" \n "))


@fault("complete-truncated")
def _(r):
    """Half the document, and the length of all of it."""
    if r.op != "Complete":
        return False
    text = r.complete()
    r.answer(body=text[:len(text) // 2], content_length=str(len(text)))
    r.wfile.flush()
    r.hang_up()


@fault("complete-cut-document")
def _(r):
    """Half the document, and its length: only the XML shows it."""
    if r.op != "Complete":
        return False
    text = r.complete()
    return r.answer(body=text[:len(text) // 2])


@fault("lost-complete")
def _(r):
    if r.op == "Complete" and r.nth == 1:
        r.complete()
        r.hang_up()
    return False


@fault("lost-complete-no-head")
def _(r):
    if r.op == "Head":
        return r.answer(403)
    return FAULTS["lost-complete"](r)


@fault("lost-complete-bare-head")
def _(r):
    """... and the first look at the object meets something else, which says yes to everything."""
    if r.op == "Head" and r.nth == 1:
        return r.answer()
    return FAULTS["lost-complete"](r)


@fault("lost-complete-then-other")
def _(r):
    """The answer is lost, and somebody else's object is there afterwards."""
    if r.op == "Complete" and r.nth == 1:
        r.complete()
        r.server.objects[r.key].update(data=b"other", etag="0" * 32, stated={})
        r.hang_up()
    return False


@fault("unconfirmed")
def _(r):
    """unconfirmed@WHAT: Complete's 200 states nothing of the object, and may be a lie."""
    what = r.key.partition("@")[2].partition(",")[0]
    no = {"refused": 403, "kept-parts": 403, "late": 404, "busy": 503}.get(what)
    if r.op == "Head" and no and (no == 403 or r.nth == 1):
        return r.answer(no)
    if r.op != "Complete":
        return False
    if what in ("none", "kept-parts"):
        r.drain()
    else:
        r.complete()
    stored = r.server.objects.get(r.key)
    if what == "other":
        stored.update(data=bytes(len(stored["data"])), etag="0" * 32, stated={})
    elif what == "cut":
        stored.update(data=stored["data"][:-1])
    return r.answer(body=f"<CompleteMultipartUploadResult{NAMESPACE}/>")


@fault("put-lost-answer")
def _(r):
    if r.op == "PutObject" and r.nth == 1:
        data = r.read_body()
        stated = r.check_body(data)
        r.store(data, hashlib.md5(data).hexdigest(), stated, dict(r.headers))
        r.hang_up()
    return False


@fault("page-404")
def _(r):
    """A gateway before S3 that does not find it, once."""
    if r.op != "Abort" or r.nth > 1:
        return False
    page = b"<html>404 Not Found</html>"
    r.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
    return True


@fault("abort-fails")
def _(r):
    if r.op == "UploadPart":
        raise Refused(403, "AccessDenied")
    if r.op == "Abort":
        raise Refused(500, "InternalError")
    return False


@fault("abort-503-once")
def _(r):
    if r.op == "UploadPart":
        raise Refused(403, "AccessDenied")
    if r.op == "Abort" and r.nth == 1:
        raise Refused(503, "SlowDown")
    return False


# ---- The server -----------------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port=0, context=None):
        super().__init__(("127.0.0.1", port), Handler)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server_port}"
        self.lock = threading.Lock()
        self.log = []  # (key, operation, part number), in the order in which they came
        self.objects = {}
        self.uploads = {}
        self.ids = itertools.count(1)
        self.bugs = []  # of this file
        self.held, self.go = threading.Event(), threading.Event()
        self.most = {}  # key: how many parts are let in
        self.old = set()  # uploads whose last request may still be on its way

    def handle_error(self, request, client_address):
        pass  # broken connections are what this server is for


def start(context=None):
    """In the background, on a free port. `context` is an ssl.SSLContext for TLS."""
    server = Server(0, context)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    by_hand = Server(int(sys.argv[1]) if len(sys.argv) > 1 else 9090)
    print(by_hand.url, "faults:", " ".join(sorted(FAULTS)))
    by_hand.serve_forever()
