# SPDX-License-Identifier: MIT
"""What is in the bucket, as an S3 client sees it that is not ours:  bucket_reader.py DIR

DIR is what tests/servers/seaweedfs.sh was given. Reads one question a line from standard input and
writes one answer a line, both JSON:

  {"do": "compare", "key", "file"}   the object against a local file, byte by byte
  {"do": "uploads"}                  multipart uploads that were neither completed nor aborted
  {"do": "keys", "prefix"}
  {"do": "attempt", "credentials", "operation", "arguments"}   with a user's credentials
"""

import json
import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../servers"))
import bucket  # noqa: E402

PIECE = 1 << 20
# The polynomial is CRC-64/NVME's, reflected.
TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = (byte >> 1) ^ (0x9A6C9329AC4BC9B5 if byte & 1 else 0)
    TABLE.append(byte)


def crc64nvme(path):
    crc = (1 << 64) - 1
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            for byte in piece:
                crc = TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return (crc ^ ((1 << 64) - 1)).to_bytes(8, "big")


def equal(body, path):
    with open(path, "rb") as file:
        while True:
            theirs, ours = body.read(PIECE), file.read(PIECE)
            if theirs != ours:
                return False
            if not ours:
                return True


def compare(s3, name, question):
    import base64

    path = question["file"]
    head = s3.head_object(Bucket=name, Key=question["key"], ChecksumMode="ENABLED")
    body = s3.get_object(Bucket=name, Key=question["key"])["Body"]
    small = os.path.getsize(path) <= 5 << 20
    return {
        "equal": equal(body, path),
        "size": head["ContentLength"],
        "etag": head["ETag"].strip('"'),
        "type": head.get("ContentType"),
        "cacheControl": head.get("CacheControl"),
        "checksum": head.get("ChecksumCRC64NVME"),
        "computed": base64.b64encode(crc64nvme(path)).decode() if small else None,
    }


def attempt(env, question):
    keys = question["credentials"]
    client = boto3.client(
        "s3",
        endpoint_url=env["S3_ENDPOINT"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=keys["accessKeyId"],
        aws_secret_access_key=keys["secretAccessKey"],
        aws_session_token=keys["sessionToken"],
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    try:
        getattr(client, question["operation"])(Bucket=env["BUCKET"], **question["arguments"])
        return {"code": "OK"}
    except ClientError as error:
        return {"code": error.response["Error"]["Code"]}


def main(folder):
    env = bucket.read_env(folder)
    s3, name = bucket.client(env), env["BUCKET"]
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if question["do"] == "compare":
                answer = compare(s3, name, question)
            elif question["do"] == "uploads":
                found = s3.list_multipart_uploads(Bucket=name).get("Uploads", [])
                answer = [upload["Key"] for upload in found]
            elif question["do"] == "parts":  # of unfinished uploads
                found = s3.list_multipart_uploads(Bucket=name).get("Uploads", [])
                answer = sum(len(s3.list_parts(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
                                 .get("Parts", [])) for upload in found
                             if upload["Key"].startswith(question["prefix"]))
            elif question["do"] == "keys":
                pages = s3.get_paginator("list_objects_v2").paginate(
                    Bucket=name, Prefix=question["prefix"])
                answer = [one["Key"] for page in pages for one in page.get("Contents", [])]
            else:
                answer = attempt(env, question)
        except ClientError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main(sys.argv[1])
