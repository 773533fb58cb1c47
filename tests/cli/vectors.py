"""Runs `parthaul sign` over the published signing suites: aws-c-auth's, and S3's own examples.

The suites lie beside the repository (PH_VECTORS names another folder); without them this says SKIP.
What of them cannot apply:

- aws-c-auth's *-unnormalized cases ask for S3's rule (the path stays as it is) and for a service that
  is not S3. Where normalising would change their path, only that path is compared, signed as for S3.
- S3's two chunked uploads: the signatures of chunks and trailers are not requests; their first
  signature, of the request itself, is compared.
"""

import concurrent.futures
import json
import os

from checks import VECTORS, check, finish, run

SUITE = os.path.join(VECTORS, "sigv4-suite-aws-c-auth", "v4")
EXAMPLES = os.path.join(VECTORS, "sigv4-s3-doc-examples", "s3-doc-examples.json")


def stage(name, arguments, env):
    """One stage's text, without the line feed that the program puts behind it."""
    done = run("sign", "--stage", name, *arguments, env=env)
    if done.returncode != 0 or not done.stdout.endswith(b"\n"):
        return f"exit code {done.returncode}: {done.stderr.decode()}"
    return done.stdout[:-1].decode()


def compare(case, arguments, env, expected):
    for name, text in expected.items():
        check(f"{case}, {name}", stage(name, arguments, env), text)


# ---- aws-c-auth -----------------------------------------------------------------------------------


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8", newline="") as file:
        return file.read().replace("\r\n", "\n")


def read_request(folder):
    """Method, target, headers with their folded lines, body."""
    head, _, body = read(folder, "request.txt").partition("\n\n")
    lines = head.rstrip("\n").split("\n")
    method, _, target = lines[0].partition(" ")
    headers = []
    for line in lines[1:]:
        if line.startswith((" ", "\t")):
            headers[-1] += "\n" + line
        else:
            headers.append(line)
    return method, target.rpartition(" HTTP/")[0], headers, body


def sign_case(case):
    folder = os.path.join(SUITE, case)
    context = json.loads(read(folder, "context.json"))
    method, target, headers, body = read_request(folder)
    creds = context["credentials"]
    env = {"AWS_ACCESS_KEY_ID": creds["access_key_id"],
           "AWS_SECRET_ACCESS_KEY": creds["secret_access_key"]}
    # "omit_session_token": it is added when all is signed, so the signer must not see it.
    if "token" in creds and not context.get("omit_session_token"):
        env["AWS_SESSION_TOKEN"] = creds["token"]
    host = next(h for h in headers if h.lower().startswith("host:")).partition(":")[2].strip()
    arguments = ["--region", context["region"], "--time", context["timestamp"]]
    for header in headers:
        arguments += ["-H", header]
    url = f"https://{host}{target}"

    for kind in "header", "query":
        expected = {
            "canonical": read(folder, f"{kind}-canonical-request.txt"),
            "string": read(folder, f"{kind}-string-to-sign.txt"),
            "signature": read(folder, f"{kind}-signature.txt"),
        }
        path = expected["canonical"].split("\n")[1]
        own = ["--service", context["service"]]
        if context["sign_body"]:
            payload = expected["canonical"].rpartition("\n")[2]
            # Headers carry the body's hash although the service is not S3; queries do not.
            own += ["-H", f"x-amz-content-sha256:{payload}"] if kind == "header" else \
                   ["--payload", payload]
        else:
            check(f"{case}: no body", body, "")
        if kind == "query":
            own += ["--presign", str(context["expiration_in_seconds"])]
        if not context["normalize"] and changes_when_normalised(path):
            as_s3 = stage("canonical", [*arguments, "--service", "s3", method, url], env)
            check(f"{case}, {kind}: S3's path", as_s3.split("\n")[1], path)
        else:
            compare(f"{case}, {kind}", [*arguments, *own, method, url], env, expected)


def changes_when_normalised(path):
    return "//" in path or any(segment in (".", "..") for segment in path.split("/"))


# ---- S3's examples --------------------------------------------------------------------------------


def sign_example(suite, case):
    env = {"AWS_ACCESS_KEY_ID": suite["credentials"]["access_key_id"],
           "AWS_SECRET_ACCESS_KEY": suite["credentials"]["secret_access_key"]}
    arguments = ["--service", suite["service"], "--region", suite["region"],
                 "--time", suite["date"]]
    if "expires" in case:
        arguments += ["--presign", str(case["expires"])]
    for name, value in case["headers"].items():
        arguments += ["-H", f"{name}: {value}"]
    url = f"https://{case['headers']['host']}{case['path']}"
    if case.get("query"):
        url += "?" + case["query"]
    expected = {
        "canonical": case["canonical_request"],
        "string": case["string_to_sign"],
        "signature": case.get("signature") or case["seed_signature"],
    }
    if "url" in case:
        expected["url"] = case["url"]
    compare(case["name"], [*arguments, case["method"], url], env, expected)


# ---- Not from any suite ---------------------------------------------------------------------------

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "a/token+="}
AT = ["--time", "20130524T000000Z"]


def sign_by_hand():
    """What the help promises and no suite asks for."""
    headers = stage("headers", [*AT, "PUT", "http://127.0.0.1:9000/b/k"], KEYS).split("\n")
    check("headers: names", [line.partition(": ")[0] for line in headers],
          ["x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "Authorization"])
    given = stage("headers", ["-H", "X-Amz-Date: 20130524T000000Z", "PUT", "http://h/b"], KEYS)
    check("headers: a given one is not repeated", "x-amz-date:" in given, False)
    canonical = stage("canonical", [*AT, "-H", "Host: proxy:8080", "GET", "https://h/"], KEYS)
    check("canonical: a given Host", "host:proxy:8080\n" in canonical, True)
    check("canonical: the scheme's port is left out",
          "host:h\n" in stage("canonical", [*AT, "GET", "https://h:443/"], KEYS), True)
    check("canonical: another port is kept",
          "host:h:444\n" in stage("canonical", [*AT, "GET", "https://h:444/"], KEYS), True)
    check("canonical: S3 keeps // and /../",
          stage("canonical", [*AT, "GET", "https://h//a/../b%2fc"], KEYS).split("\n")[1],
          "//a/../b%2Fc")
    check("canonical: others encode twice",
          stage("canonical", [*AT, "--service", "sts", "GET", "https://h/a%20b/../c%2Fd"],
                KEYS).split("\n")[1], "/c%252Fd")
    url = stage("url", [*AT, "--presign", "60", "GET", "https://h/a b/\u00e9?x=\u00fc"], KEYS)
    check("url: raw bytes are encoded", url.partition("&")[0], "https://h/a%20b/%C3%A9?x=%C3%BC")
    check("url: the token goes with it", "X-Amz-Security-Token=a%2Ftoken%2B%3D" in url, True)
    check("url: unsigned, nothing added",
          stage("url", [*AT, "GET", "https://h/a%20b?c"], KEYS), "https://h/a%20b?c")
    body = run("sign", *AT, "--payload", "@-", "--stage", "canonical", "PUT", "https://h/",
               env=KEYS, input=b"Welcome to Amazon S3.").stdout.decode()
    check("payload: standard input", body.strip().rpartition("\n")[2],
          "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")


def refuse():
    """Each is said in one line, with exit code 2."""
    for arguments in (["GET"], ["GET", "ftp://h/"], ["GET", "https://h/#f"],
                      ["--presign", "0", "GET", "https://h/"],
                      ["--presign", "604801", "GET", "https://h/"],
                      ["--stage", "all", "GET", "https://h/"], ["--time", "noon", "GET", "https://h/"],
                      ["-H", "no colon", "GET", "https://h/"],
                      ["-H", "bad name: x", "GET", "https://h/"],
                      ["--payload", "abc", "GET", "https://h/"],
                      ["--payload", "empty", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
                       "GET", "https://h/"],
                      [*AT, "-H", "x-amz-date: 20130525T000000Z", "GET", "https://h/"],
                      ["--presign", "60", "--stage", "headers", "GET", "https://h/"]):
        done = run("sign", *arguments, env=KEYS)
        check(f"refused: {arguments}", (done.returncode, done.stdout, done.stderr.count(b"\n")),
              (2, b"", 1))
    done = run("sign", "GET", "https://h/")
    check("refused: no credentials", (done.returncode, done.stderr.count(b"\n")), (2, 1))
    done = run("sign", "--payload", "@/nonexistent", "GET", "https://h/", env=KEYS)
    check("refused: no such file", (done.returncode, done.stderr.count(b"\n")), (1, 1))


def main():
    if os.path.isdir(SUITE):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() * 2) as pool:
            list(pool.map(sign_case, sorted(os.listdir(SUITE))))
    else:
        print(f"SKIP: no vectors at {SUITE}")
    if os.path.isfile(EXAMPLES):
        with open(EXAMPLES, encoding="utf-8") as file:
            suite = json.load(file)
        for case in suite["cases"]:
            sign_example(suite, case)
    else:
        print(f"SKIP: no vectors at {EXAMPLES}")
    sign_by_hand()
    refuse()
    finish()


if __name__ == "__main__":
    main()
