"""The credentials API in front of Ceph's S3 gateway, whose session policies and forms are of another
make than SeaweedFS's: forms that carry a session's token it takes, too. Run by tests/api/run.

Its role may do everything (see tests/servers/ceph-rgw.sh), so what is forbidden here is forbidden by
the session policy and by nothing else."""

import os
import shutil
import subprocess
import time

import common
import run
from common import ROOT, SECRETS, Api, check, equal, refusal, s3_client, servers, token


def assume(env, key_id, secret_key, role, seconds=3600):
    sts = s3_client(env, env[key_id], env[secret_key], service="sts")
    return sts.assume_role(RoleArn=f"arn:aws:iam:::role/{role}", RoleSessionName="a-session",
                           DurationSeconds=seconds)["Credentials"]


def session(*arguments):
    """A client that is such a session."""
    c = assume(*arguments)
    return s3_client(arguments[0], c["AccessKeyId"], c["SecretAccessKey"], c["SessionToken"])


def test_sessions(api, env, operator):
    bucket = env["BUCKET"]
    run.test_credentials(api, operator, bucket)
    run.test_users(api, bucket)
    sts = run.session_client(api.ask("GET", "/v1/credentials", token())[2], "sts")
    run.refused("role hop", sts.assume_role, RoleArn="arn:aws:iam:::role/other", RoleSessionName="hop")
    run.refused("a session of the session", sts.get_session_token)
    if not refusal(sts.assume_role, RoleArn=env["ROLE_ARN"], RoleSessionName="again"):
        print("SKIP: role hop to the role itself: Ceph allows it, see tests/servers/README.md")
    mine = "upload/alice/one/key"
    status, _, answer = api.ask("GET", f"/v1/credentials?key={mine}", token())
    one = run.session_client(answer)
    equal("credentials of one key", (status, refusal(one.put_object, Bucket=bucket, Key=mine, Body=b"x")),
          (200, ""))
    for key in (mine + "x", mine + "/x", "upload/alice/one/", "upload/alice/x", "upload/bob/x"):
        run.refused(f"with them, {key}", one.put_object, Bucket=bucket, Key=key, Body=b"x")


def test_expired(env, operator):
    """Ceph lends for as short as one likes; the API does not, so it is asked here directly."""
    s3 = session(env, "API_ACCESS_KEY_ID", "API_SECRET_ACCESS_KEY", "uploader", 8)
    where = {"Bucket": env["BUCKET"], "Key": "upload/brief"}
    equal("before their end", refusal(s3.put_object, **where, Body=b"x"), "")
    time.sleep(9)
    for name, call, more in (("Put", s3.put_object, {"Body": b"y"}), ("Get", s3.get_object, {}),
                             ("Create", s3.create_multipart_upload, {}), ("Delete", s3.delete_object, {})):
        run.refused(f"expired: {name}", call, **where, **more)
    equal("it is as it was", operator.get_object(**where)["Body"].read(), b"x")


def test_presigned(api, operator, bucket):
    """Ceph 16 checks no checksum, so that is for SeaweedFS to show."""
    answer = run.ask_upload(api, b"data" * 1000)
    target = "/" + answer["url"].split("/", 3)[3]
    equal("presigned: another key", run.put(answer, b"data" * 1000, path=target.replace(
        "/upload/alice/", "/upload/bob/"))[0], 403)
    equal("presigned: a longer life", run.put(answer, b"data" * 1000, path=target.replace(
        "X-Amz-Expires=900", "X-Amz-Expires=9000"))[0], 403)
    equal("presigned: a body of another length", run.put(answer, b"data" * 1001)[0], 403)
    equal("presigned: the PUT", run.put(answer, b"data" * 1000)[0], 200)
    equal("presigned: stored", operator.get_object(Bucket=bucket, Key=answer["key"])["Body"].read(),
          b"data" * 1000)
    equal("presigned: it does not overwrite", run.put(answer, b"data" * 1000)[0], 412)


def test_command_line(api, folder, operator, bucket):
    """parthaul post: a folder by one form that a session signed."""
    site = folder / "site"
    (site / "img").mkdir(parents=True)
    files = {"index.html": b"<html>", "img/a b.png": os.urandom(100000), "empty": b"",
             "caf\u00e9.txt": b"x"}
    for name, data in files.items():
        (site / name).write_bytes(data)
    done = subprocess.run([ROOT / "build/tests/parthaul", "post", site, "--api",
                           f"http://127.0.0.1:{api.port}", "--folder", "site"], capture_output=True,
                          timeout=60, env={"PATH": os.environ["PATH"], "PARTHAUL_TOKEN": token()})
    equal("parthaul post", (done.returncode, b"4 of 4 files" in done.stdout), (0, True))
    for name, data in files.items():
        check(f"the object of {name}", operator.get_object(
            Bucket=bucket, Key=f"upload/alice/site/{name}")["Body"].read() == data)


def test_forms(folder, settings, env, operator):
    """Forms signed by a session that has no session policy: the service's own credentials where they
    are a role's, as on Lambda, EC2 and ECS."""
    c = assume(env, "API_ACCESS_KEY_ID", "API_SECRET_ACCESS_KEY", "uploader")
    own = {"PARTHAUL_POST_KEYS": "own", "AWS_ACCESS_KEY_ID": c["AccessKeyId"],
           "AWS_SECRET_ACCESS_KEY": c["SecretAccessKey"], "AWS_SESSION_TOKEN": c["SessionToken"]}
    SECRETS.extend([c["SecretAccessKey"], c["SessionToken"]])
    with Api(folder, **{**settings, **own}) as api:
        form = api.ask("POST", "/v1/post-policy", token(), {})[2]
        equal("the form carries the session", form["fields"]["x-amz-security-token"],
              c["SessionToken"])
        run.try_forms(api, operator, env["BUCKET"])
        test_command_line(api, folder, operator, env["BUCKET"])


def main():
    if not shutil.which("radosgw"):
        print("SKIP: Ceph's gateway: radosgw is not installed (tests/setup/deps.sh ceph)")
        return
    with common.scratch("rgw") as folder, common.ceph_rgw(folder / "s3") as env:
        bucket = env["BUCKET"]
        for each in (bucket, "another"):
            servers.client(env).create_bucket(Bucket=each)
        operator = session(env, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "other")
        SECRETS.append(env["AWS_SECRET_ACCESS_KEY"])
        settings = {**common.api_settings(folder, env), "PARTHAUL_ROLES": "uploader,other",
                    "PARTHAUL_ROLE_PREFIX": "arn:aws:iam:::role/"}
        with Api(folder, **settings) as api:
            test_sessions(api, env, operator)
            test_presigned(api, operator, bucket)
            # Signature, session and policy are checked and the answer is 204; but Ceph 16 stops there
            # when there is a session policy, and stores nothing: see tests/servers/README.md.
            run.try_forms(api, operator, bucket, stores=False)
            for path in ("/", "/dev/"):
                c = api.ask("GET", path, token())[2]["Credentials"]
                old = s3_client(env, c["AccessKeyId"], c["SecretAccessKey"], c["SessionToken"])
                equal(f"old client, GET {path}", refusal(
                    old.put_object, Bucket=bucket, Key="upload/alice/old", Body=b"x"), "")
                run.refused(f"old client, GET {path}, another's", old.put_object, Bucket=bucket,
                            Key="upload/bob/old", Body=b"x")
            c = api.ask("GET", "/get_key/uploader", token())[2]
            role = s3_client(env, c["AccessKeyId"], c["SecretAccessKey"], c["SessionToken"])
            equal("Ro2Key: the role as it is", refusal(
                role.put_object, Bucket=bucket, Key="anywhere", Body=b"x"), "")
            equal("Ro2Key: a role that does not trust us", api.ask(
                "GET", "/get_key/other", token())[::2], (403, "Access Denied"))
            run.check_log(api)
        test_forms(folder, settings, env, operator)
        test_expired(env, operator)
    common.finish()


if __name__ == "__main__":
    main()
