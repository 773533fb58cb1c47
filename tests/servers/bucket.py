"""Makes a bucket ready for uploads from a page:  bucket.py DIR ORIGIN...

DIR is what the script that starts a server was given; its file `env` says where the server is and which bucket.
The bucket gets the CORS rule that a page needs and the rule that clears unfinished uploads away
after a week. Doing it again changes nothing.
"""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# What the engine sends. `authorization` has to be named: a "*" does not cover it in browsers.
REQUEST_HEADERS = [
    "authorization", "cache-control", "content-disposition", "content-encoding", "content-language",
    "content-md5", "content-type", "expires", "if-match", "if-none-match", "x-amz-*",
]
# What the engine reads. A page sees no other header of an answer from another origin.
ANSWER_HEADERS = [
    "ETag", "Date", "x-amz-request-id", "x-amz-id-2", "x-amz-version-id", "x-amz-bucket-region",
    "x-amz-abort-date", "x-amz-abort-rule-id", "x-amz-checksum-crc32", "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme", "x-amz-checksum-sha1", "x-amz-checksum-sha256",
    "x-amz-checksum-type", "x-amz-server-side-encryption",
]


def read_env(folder):
    with open(f"{folder}/env", encoding="utf-8") as lines:
        return dict(line.rstrip("\n").split("=", 1) for line in lines)


def client(env, service="s3"):
    """A client of the operator, who may do everything."""
    return boto3.client(
        service,
        endpoint_url=env["S3_ENDPOINT"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )


def prepare(s3, bucket, origins):
    try:
        s3.create_bucket(Bucket=bucket)
    except (s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
        pass
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [{
        "AllowedOrigins": origins,
        "AllowedMethods": ["GET", "HEAD", "PUT", "POST", "DELETE"],
        "AllowedHeaders": REQUEST_HEADERS,
        "ExposeHeaders": ANSWER_HEADERS,
        "MaxAgeSeconds": 7200,
    }]})
    try:
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [{
            "ID": "abort-incomplete-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": "upload/"},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }]})
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotImplemented":
            raise


def main(folder, *origins):
    env = read_env(folder)
    prepare(client(env), env["BUCKET"], list(origins))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: bucket.py DIR ORIGIN...")
    main(*sys.argv[1:])
