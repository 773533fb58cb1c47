"""examples/aws: is the template one that CloudFormation takes, and do its policies allow what they
have to and nothing else? Run it by tests/examples/run.

The policies are taken from the template, resolved, and asked about a table of requests (policy.py
says by which rules); the session policies are those that parthaul-api really sends to STS, started
with the very environment that the template gives the function. The role's policy and the bucket's
are then tried on SeaweedFS too, as far as it knows their words. What is not proven: that AWS deploys
it, and that IAM decides as policy.py does.
"""

import contextlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request


sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import kit  # noqa: E402
from kit import ROOT, check, equal, refusal, s3_client  # noqa: E402
import bucket as servers  # noqa: E402
import policy  # noqa: E402
from policy import Caller, Request  # noqa: E402
from template import Template  # noqa: E402

# The runtime API and the events that the Lambda tests play with.
spec = importlib.util.spec_from_file_location("played", ROOT / "tests/lambda/run.py")
played = importlib.util.module_from_spec(spec)
spec.loader.exec_module(played)

TEMPLATE = ROOT / "examples/aws/parthaul.yaml"
ACCOUNT = "123456789012"
ROLES = f"arn:aws:iam::{ACCOUNT}:role"
EXECUTION, UPLOAD = f"{ROLES}/parthaul-ExecutionRole-1A", f"{ROLES}/parthaul-UploadRole-2B"
DISTRIBUTION = f"arn:aws:cloudfront::{ACCOUNT}:distribution/E1"
LOG = f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/aws/lambda/parthaul-api"
BUCKET, PAGES = "uploads", "parthaul-pagebucket-3c"
DOMAIN = "d111.cloudfront.net"

PARAMETERS = {
    "BucketName": BUCKET, "CodeBucket": "code", "JwtIssuer": kit.ISSUER,
    "JwtAudience": kit.AUDIENCE, "JwtKeyFile": "jwt-key.pem",
    "MoreOrigins": "https://app.example,http://127.0.0.1:8080",
}
NAMES = {
    "ExecutionRole": "parthaul-ExecutionRole-1A", "ExecutionRole.Arn": EXECUTION,
    "UploadRole.Arn": UPLOAD, "Log": "/aws/lambda/parthaul-api", "Log.Arn": LOG + ":*",
    "UploadBucket": BUCKET, "UploadBucket.Arn": f"arn:aws:s3:::{BUCKET}",
    "PageBucket": PAGES, "PageBucket.Arn": f"arn:aws:s3:::{PAGES}",
    "PageBucket.RegionalDomainName": f"{PAGES}.s3.eu-west-1.amazonaws.com",
    "Distribution": "E1", "Distribution.DomainName": DOMAIN, "PageAccess.Id": "A1",
    "PageHeaders": "H1", "Function.Arn": f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:parthaul-api",
    "FunctionUrl.FunctionUrl": "https://abc.lambda-url.eu-west-1.on.aws/",
}


def template(**changes):
    return Template(TEMPLATE, {**PARAMETERS, **changes}, NAMES)


# ---- Is it a template? ----------------------------------------------------------------------------


def test_lint():
    for path in sorted((ROOT / "examples").rglob("*.yaml")):
        done = subprocess.run(
            [sys.executable, "-c", "import sys, cfnlint.runner.cli as c; sys.exit(c.main())",
             "--non-zero-exit-code", "informational", "--include-checks", "I", "--regions",
             "us-east-1", "eu-west-1", "eu-central-1", "ap-southeast-2", "-t", str(path)],
            capture_output=True, text=True, timeout=300)
        check(f"cfn-lint of {path.name}", done.returncode == 0 and not done.stdout.strip(),
              done.stdout + done.stderr)


def test_parameters():
    t = template()
    equal("the rules hold", t.broken_rules(), [])
    for name in t.document["Parameters"]:
        check(f"{name} is described", len(t.document["Parameters"][name]["Description"]) > 10)
    wrong = {
        "BucketName": ["", "ab", "Uploads", "a.b", "-ab", "ab-", "a" * 64, "a*b", "a/b"],
        "Prefix": ["", "/", "upload", "a//", "*/", "${aws:username}/", "../", "up?/", "a b/",
                   "x/" * 5],
        "Overwriting": ["", "yes"], "LostAnswers": ["", "yes"], "PutLimit": ["-1", "5368709121", "x"],
        "JwksUrl": ["http://x/", "https://", "https://a b"],
        "JwtKeyFile": ["/etc/passwd", "../x", "a b"], "CodeBucket": ["", "A"], "LogDays": ["2"],
        "UserClaim": ["", "a b"], "JwtIssuer": [""], "JwtAudience": [""],
        "PageDomain": ["https://x.example", "x", "X.example", "x.example/"],
        "CertificateArn": ["x", f"arn:aws:acm:eu-west-1:{ACCOUNT}:certificate/ab"],
        "MoreOrigins": ["*", "https://x/", "https://x, https://y", "x.example", "https://X"],
        "Architecture": ["arm"],
    }
    for name, values in wrong.items():
        for value in values:
            check(f"{name} {value!r} is refused", t.why_not(name, value), "it is taken")
    certificate = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/ab-12"
    broken = {"no key": {"JwtKeyFile": ""}, "two keys": {"JwksUrl": "https://x.example/jwks"},
              "no certificate": {"PageDomain": "up.example"},
              "no domain": {"CertificateArn": certificate}}
    for name, change in broken.items():
        equal(f"a rule refuses {name}", len(template(**change).broken_rules()), 1)
    good = {"PageDomain": "up.example", "CertificateArn": certificate}
    equal("a domain with its certificate", template(**good).broken_rules(), [])
    config = template(**good).properties("Distribution")["DistributionConfig"]
    equal("the domain is the distribution's", config["Aliases"], ["up.example"])
    check("and none without", "Aliases" not in t.properties("Distribution")["DistributionConfig"])
    origins = cors(template(**good, MoreOrigins=""))["AllowedOrigins"]
    equal("and CORS knows it", origins, ["https://up.example"])


# ---- Does it say what README.md and the demo say? -------------------------------------------------


def cors(t):
    rules = t.properties("UploadBucket")["CorsConfiguration"]["CorsRules"]
    equal("one CORS rule", len(rules), 1)
    return rules[0]


def test_bucket(t):
    bucket = t.properties("UploadBucket")
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (wanted,), = [json.loads(block) for block in blocks if '"AllowedOrigins"' in block]
    rule = cors(t)
    equal("CORS origins", rule["AllowedOrigins"],
          [f"https://{DOMAIN}", "https://app.example", "http://127.0.0.1:8080"])
    equal("CORS methods are README's", sorted(rule["AllowedMethods"]),
          sorted(wanted["AllowedMethods"]))
    equal("CORS request headers are README's", rule["AllowedHeaders"], wanted["AllowedHeaders"])
    equal("CORS answer headers are README's", rule["ExposedHeaders"], wanted["ExposeHeaders"])
    equal("CORS age is README's", rule["MaxAge"], wanted["MaxAgeSeconds"])
    for name in ("UploadBucket", "PageBucket"):
        properties = t.properties(name)
        equal(f"{name}: no public access", set(properties["PublicAccessBlockConfiguration"].values()),
              {True})
        equal(f"{name}: all four ways", len(properties["PublicAccessBlockConfiguration"]), 4)
        equal(f"{name}: no ACLs", properties["OwnershipControls"]["Rules"],
              [{"ObjectOwnership": "BucketOwnerEnforced"}])
        check(f"{name}: encrypted", properties["BucketEncryption"])
        equal(f"{name}: versioned", properties["VersioningConfiguration"]["Status"], "Enabled")
        equal(f"{name}: outlives the stack", t.document["Resources"][name]["DeletionPolicy"], "Retain")
    rule, = bucket["LifecycleConfiguration"]["Rules"]
    equal("incomplete uploads end after a week",
          (rule["Status"], rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]),
          ("Enabled", 7))
    check("and nothing else expires", not any("Expiration" in key for key in rule))


def directives(text):
    return {d.split()[0]: set(d.split()[1:]) for d in text.split(";")}


def test_page(t, folder):
    """The headers that CloudFront adds are those that the demo's server sends."""
    secret = pathlib.Path(folder) / "demo-secret"
    secret.write_text("x" * 40)
    port = kit.free_ports(0)
    endpoint = f"https://{BUCKET}.s3.eu-west-1.amazonaws.com"
    server = subprocess.Popen(
        ["node", str(ROOT / "tests/setup/serve.mjs")], stdin=subprocess.DEVNULL,
        # The API is the page's own origin here.
        env={"PATH": os.environ["PATH"], "PORT": str(port), "PARTHAUL_API": "'self'",
             "S3_ENDPOINT": endpoint, "JWT_SECRET_FILE": str(secret), "JWT_ISSUER": "x",
             "JWT_AUDIENCE": "x"})
    try:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(100):
            try:
                demo = direct.open(f"http://127.0.0.1:{port}/", timeout=10).headers
                break
            except OSError:
                time.sleep(0.1)
    finally:
        server.terminate()
        server.wait(timeout=10)
    headers = t.properties("PageHeaders")["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]
    ours = headers["ContentSecurityPolicy"]["ContentSecurityPolicy"]
    equal("the Content-Security-Policy is the demo's", directives(ours),
          directives(demo["content-security-policy"]))
    check("no line breaks in it", "\n" not in ours and len(ours) < 2048)
    equal("so is nosniff", "ContentTypeOptions" in headers, demo["x-content-type-options"] == "nosniff")
    equal("and the referrer policy", headers["ReferrerPolicy"]["ReferrerPolicy"],
          demo["referrer-policy"])
    check("TLS is remembered", headers["StrictTransportSecurity"]["AccessControlMaxAgeSec"] > 1 << 24)
    for name, row in headers.items():
        equal(f"{name} counts before the bucket's own", row["Override"], True)

    config = t.properties("Distribution")["DistributionConfig"]
    page, api = config["Origins"]
    equal("the API's host", api["DomainName"], "abc.lambda-url.eu-west-1.on.aws")
    equal("the page's headers", config["DefaultCacheBehavior"]["ResponseHeadersPolicyId"], "H1")
    equal("what is the API's", {row["PathPattern"] for row in config["CacheBehaviors"]},
          {"/v1/*", "/.well-known/parthaul"})
    for row in config["CacheBehaviors"]:
        equal(f"{row['PathPattern']} goes there, by TLS, and is not cached",
              (row["TargetOriginId"], row["ViewerProtocolPolicy"], row["CachePolicyId"]),
              (api["Id"], "https-only", "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"))
    check("no plain HTTP",
          config["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https" and
          api["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only")


# ---- The function ---------------------------------------------------------------------------------


class RecordingSts(played.Sts):
    """Keeps what it was asked."""

    asked = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        RecordingSts.asked.append(dict(urllib.parse.parse_qsl(body.decode())))
        self.rfile.read = lambda _: b""
        super().do_POST()


@contextlib.contextmanager
def running_function(t, folder, sts_url):
    """parthaul-api as Lambda would start it, with the template's environment. What is added is what
    Lambda adds, and what keeps it on this machine: STS's address, and tokens that we can make."""
    environment = dict(t.properties("Function")["Environment"]["Variables"])
    del environment["PARTHAUL_JWT_RS256_KEY_FILE"]
    secret_file = pathlib.Path(folder) / "jwt-secret"
    secret_file.write_bytes(kit.JWT_SECRET)
    environment.update({
        "PARTHAUL_JWT_HS256_SECRET_FILE": str(secret_file), "PARTHAUL_STS_ENDPOINT": sts_url,
        "PATH": os.environ["PATH"], "ASAN_OPTIONS": f"exitcode={played.SANITIZER}",
        "AWS_ACCESS_KEY_ID": "ASIAOWN", "AWS_SECRET_ACCESS_KEY": "s" * 40,
        "AWS_SESSION_TOKEN": "t" * 40})
    with played.Function(folder, environment) as function:
        yield function
        equal("the function ends as it should", function.end(), 1)


def test_environment(t, folder):
    """Settings by names that the program does not know would be silently without effect."""
    known = subprocess.run([played.API, "--help"], capture_output=True, text=True, check=True).stdout
    aws = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    for case in (t, template(Prefix="a/b_c/", PutLimit="0", MoreOrigins="")):
        environment = case.properties("Function")["Environment"]["Variables"]
        for name in environment:
            check(f"the program knows {name}", re.search(rf"^  {name}\b", known, re.MULTILINE), known)
        key = pathlib.Path(folder) / environment["PARTHAUL_JWT_RS256_KEY_FILE"]
        subprocess.run(["openssl", "genrsa", "-out", f"{key}.private", "2048"], check=True,
                       capture_output=True)
        subprocess.run(["openssl", "rsa", "-in", f"{key}.private", "-pubout", "-out", key], check=True,
                       capture_output=True)
        done = subprocess.run([played.API, "--check"], env={**environment, **aws}, cwd=folder,
                              capture_output=True, text=True)
        equal("--check of the function's environment", done.returncode, 0)
    jwks = template(JwtKeyFile="", JwksUrl="https://issuer.example/jwks")
    environment = jwks.properties("Function")["Environment"]["Variables"]
    equal("JwksUrl arrives", (environment.get("PARTHAUL_JWT_JWKS_URL"),
                              "PARTHAUL_JWT_RS256_KEY_FILE" in environment),
          ("https://issuer.example/jwks", False))
    if "PARTHAUL_JWT_JWKS_URL" in known:
        done = subprocess.run([played.API, "--check"], env={**environment, **aws},
                              capture_output=True, text=True)
        equal("--check with JwksUrl", (done.returncode, done.stderr), (0, ""))
    else:
        print("SKIP: JwksUrl: this parthaul-api has no PARTHAUL_JWT_JWKS_URL")
    properties = t.properties("Function")
    check("the function outlasts STS's limit of ten seconds", properties["Timeout"] > 10)
    equal("runtime", (properties["Runtime"], properties["Handler"]), ("provided.al2023", "bootstrap"))
    equal("the URL is open, the token decides", t.properties("FunctionUrl")["AuthType"], "NONE")
    check("no second CORS", "Cors" not in t.properties("FunctionUrl"))
    equal("called by the URL only", t.properties("FunctionInvokePermission")["InvokedViaFunctionUrl"],
          True)


# Names that mean something in a key, an ARN, a policy or JSON, and what is nearly somebody else's.
HOSTILE = ["*", "?", "**", "bob*", "bo?", "${aws:username}", "${*}", "$", "%2a", "%62ob", "..", ".",
           "../bob", "bob/", "/bob", "bob/../alice", "a/b", "\\", "bob\\", '"', '"]}]}', "\n", "bob\n",
           " bob", "bob ", "BOB", "Bob", "b\u00f6b", "\u0432\u043e\u0431", "\u202ebob", "bob\u200b",
           "~bob", "bob~", "x" * 64, "x" * 65, "x" * 900, "arn:aws:s3:::uploads", "bob,alice", "-",
           "\U0001f600", "bob:", "#", "bob#x"]


def session_policies(t, folder):
    """{user: (prefix, policy)} as the function asks STS for them."""
    found = {}
    with kit.served(RecordingSts) as sts, running_function(t, folder, sts.url) as function:
        for user in ["alice", "bob", *HOSTILE]:
            status, _, answer = function.ask(played.url_event(
                path="/v1/credentials", headers={"authorization": f"Bearer {kit.token(user)}"}))
            if not equal(f"credentials of {user[:20]!r}", status, 200):
                continue
            asked = RecordingSts.asked[-1]
            equal("the role", asked["RoleArn"], UPLOAD)
            most = t.properties("UploadRole")["MaxSessionDuration"]
            check("no longer than the role allows", int(asked["DurationSeconds"]) <= most)
            check("nothing that needs sts:TagSession or sts:SetSourceIdentity",
                  not any(name.startswith(("Tags", "Transitive", "SourceIdentity")) for name in asked))
            check("STS's limit of a policy", len(asked["Policy"]) <= 2048, len(asked["Policy"]))
            found[user] = (answer["prefix"], json.loads(asked["Policy"]))
    return found


def test_container(folder):
    """There is no container engine here; what can be said of the Containerfile without one."""
    text = (ROOT / "examples/aws/Containerfile").read_text()
    place = pathlib.Path(folder) / "container"
    for source, target in re.findall(r"^COPY (?!--from)(\S+) (\S+)$", text, re.MULTILINE):
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        (place / target).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / source, place / target)
    # Not fetched again; dates kept, or make would do so.
    subprocess.run(["cp", "-a", ROOT / "build/deps", place / "build.deps"], check=True)
    (place / "build").mkdir()
    (place / "build.deps").rename(place / "build/deps")
    (place / "build/deps/build.ok").touch()
    wanted, = re.findall(r"^RUN make (\S+)", text, re.MULTILINE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", "-j4", wanted], cwd=place, capture_output=True, text=True,
                          env=environment)
    if not check("what is copied is enough to build", done.returncode == 0, done.stderr[-500:]):
        return
    said = subprocess.run(["objdump", "-p", place / wanted], capture_output=True, text=True).stdout
    needed = set(re.findall(r"NEEDED\s+(\S+)", said)) - {"libc.so.6"}
    paths = dict(re.findall(r"(\S+) => (\S+)", subprocess.run(
        ["ldd", place / wanted], capture_output=True, text=True).stdout))
    for library in sorted(needed):
        # dpkg may know the library by the path without the link from /lib to /usr/lib, or with it.
        known = [subprocess.run(["dpkg", "-S", path], capture_output=True, text=True).stdout
                 for path in (paths[library], os.path.realpath(paths[library]),
                              "/usr" + paths[library])]
        packages = {line.split(":")[0] for each in known for line in each.splitlines()}
        check(f"the image has {library}", any(re.search(rf"\s{re.escape(name)}\s", text)
                                             for name in packages), packages)


# ---- Policies -------------------------------------------------------------------------------------


def session(role, name="alice"):
    account, role_name = role.split(":")[4], role.rsplit("/", 1)[1]
    return Caller(role, f"arn:aws:sts::{account}:assumed-role/{role_name}/{name}")


TLS = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
ONCE = {**TLS, "s3:if-none-match": "*", "s3:ObjectCreationOperation": "true"}  # Put, Complete
PLAIN = {**TLS, "s3:ObjectCreationOperation": "true"}  # the same without If-None-Match
STEP = {**TLS, "s3:ObjectCreationOperation": "false"}  # Create, UploadPart


def arn(key, bucket=BUCKET):
    return f"arn:aws:s3:::{bucket}/{key}"


# (action, resource, context): what an upload of alice's needs ...
OF_UPLOAD = [
    ("s3:PutObject", arn("upload/alice/1/video.mp4"), ONCE),
    ("s3:PutObject", arn("upload/alice/a b+c%2F\u00fc*?"), ONCE),
    ("s3:PutObject", arn("upload/alice/1/video.mp4"), STEP),
    ("s3:AbortMultipartUpload", arn("upload/alice/1/video.mp4"), TLS),
    ("s3:ListMultipartUploadParts", arn("upload/alice/1/video.mp4"), TLS),
]
# ... and what nobody with her credentials may do.
FORBIDDEN = [
    *[("s3:PutObject", arn(key), ONCE) for key in (
        "upload/bob/x", "upload/alice", "upload/alice2/x", "upload/Alice/x", "upload/", "upload", "x",
        "other/alice/x", "xupload/alice/x", "upload/x/alice/y", "upload//alice/x", "")],
    ("s3:PutObject", arn("upload/alice/x", "other"), ONCE),
    ("s3:PutObject", arn("upload/alice/x", BUCKET + "2"), ONCE),
    ("s3:PutObject", arn("index.html", PAGES), ONCE),
    ("s3:PutObject", arn("upload/alice/x", PAGES), ONCE),
    *[(action, arn("upload/alice/1/video.mp4"), ONCE) for action in (
        "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes", "s3:GetObjectTagging",
        "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectAcl", "s3:PutObjectVersionAcl",
        "s3:PutObjectTagging", "s3:PutObjectRetention", "s3:PutObjectLegalHold", "s3:RestoreObject",
        "s3:BypassGovernanceRetention", "s3:ReplicateObject", "s3:ObjectOwnerOverrideToBucketOwner")],
    *[(action, f"arn:aws:s3:::{BUCKET}", TLS) for action in (
        "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetBucketCORS",
        "s3:PutBucketCORS", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:GetBucketPolicy",
        "s3:PutBucketAcl", "s3:PutLifecycleConfiguration", "s3:PutBucketVersioning",
        "s3:PutBucketPublicAccessBlock", "s3:PutEncryptionConfiguration", "s3:DeleteBucket")],
    ("s3:ListAllMyBuckets", "*", TLS),
    ("s3:CreateBucket", "arn:aws:s3:::new", TLS),
    ("s3:AbortMultipartUpload", arn("upload/bob/x"), TLS),
    ("s3:ListMultipartUploadParts", arn("upload/bob/x"), TLS),
    *[("sts:AssumeRole", role, {}) for role in (UPLOAD, EXECUTION, f"{ROLES}/Admin")],
    ("sts:TagSession", UPLOAD, {}),
    ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x", {}),
    ("iam:PassRole", UPLOAD, {}),
    ("lambda:InvokeFunction", NAMES["Function.Arn"], {}),
    ("lambda:UpdateFunctionCode", NAMES["Function.Arn"], {}),
    ("logs:PutLogEvents", LOG + ":log-stream:x", {}),
    ("kms:Decrypt", f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/x", {}),
]


class Policies:
    """Those of a template."""

    def __init__(self, t):
        self.upload = [p["PolicyDocument"] for p in t.properties("UploadRole")["Policies"]]
        self.upload_trust = t.properties("UploadRole")["AssumeRolePolicyDocument"]
        execution = t.properties("ExecutionRole")
        self.execution = [p["PolicyDocument"] for p in execution["Policies"]]
        self.execution_trust = execution["AssumeRolePolicyDocument"]
        assume = t.properties("AssumeUploadRole")
        equal("whose the policy is", assume["Roles"], [NAMES["ExecutionRole"]])
        self.execution.append(assume["PolicyDocument"])
        self.bucket = t.properties("UploadBucketPolicy")["PolicyDocument"]
        self.pages = t.properties("PageBucketPolicy")["PolicyDocument"]
        for name, row in t.document["Resources"].items():
            text = json.dumps(row)
            check(f"{name}: no policies of other people's", "ManagedPolicyArns" not in text)

    def of(self, resource):
        bucket = resource.removeprefix("arn:aws:s3:::").split("/")[0]
        return {BUCKET: self.bucket, PAGES: self.pages}.get(bucket)

    def user(self, action, resource, context, session_policy):
        request = Request(action, resource, session(UPLOAD), context)
        return policy.is_allowed(request, self.upload, session_policy, self.of(resource))


def expect(what, got, wanted):
    check(f"{what}: {'allowed' if wanted else 'forbidden'}", got == wanted)


def test_users(policies, sessions):
    alice = sessions["alice"][1]
    for action, resource, context in OF_UPLOAD:
        expect(f"alice, {action} {resource}", policies.user(action, resource, context, alice), True)
    for action, resource, context in FORBIDDEN:
        expect(f"alice, {action} {resource}", policies.user(action, resource, context, alice), False)
    for action, resource, context in OF_UPLOAD:
        for name, change in {"no TLS": {"aws:SecureTransport": "false"},
                             "TLS 1.1": {"s3:TlsVersion": "1.1"}}.items():
            expect(f"{action} with {name}",
                   policies.user(action, resource, {**context, **change}, alice), False)
    mine = arn("upload/alice/1/video.mp4")
    expect("overwriting", policies.user("s3:PutObject", mine, PLAIN, alice), False)
    loose = Policies(template(Overwriting="allowed"))
    expect("overwriting where it is allowed", loose.user("s3:PutObject", mine, PLAIN, alice), True)
    for action, resource, context in OF_UPLOAD:
        expect(f"{action} there too", loose.user(action, resource, context, alice), True)
    for action, resource, context in FORBIDDEN:
        expect(f"{action} {resource} there too", loose.user(action, resource, context, alice), False)

    looking = Policies(template(LostAnswers="checked"))
    one_key = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Resource": mine,
        "Action": [*alice["Statement"][0]["Action"], "s3:GetObject"]}]}
    expect("reading the key of the credentials", looking.user("s3:GetObject", mine, TLS, one_key), True)
    expect("reading it where nobody may", policies.user("s3:GetObject", mine, TLS, one_key), False)
    for name, key in {"another key": "upload/alice/1/video.mp4x", "another's": "upload/bob/x"}.items():
        expect(f"reading {name}", looking.user("s3:GetObject", arn(key), TLS, one_key), False)
    for action, resource, context in FORBIDDEN:
        expect(f"{action} {resource} with a prefix's, where a key's may read",
               looking.user(action, resource, context, alice), False)
        if (action, resource) != ("s3:GetObject", mine):
            expect(f"{action} {resource} with a key's", looking.user(action, resource, context, one_key), False)

    # Should a session policy ever be forgotten: the role alone still only uploads, below the prefix.
    expect("the role alone, bob's", policies.user("s3:PutObject", arn("upload/bob/x"), ONCE, None), True)
    for action, resource, context in FORBIDDEN:
        if not resource.startswith(arn("upload/")) or action not in (
                "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"):
            expect(f"the role alone, {action} {resource}",
                   policies.user(action, resource, context, None), False)
    # And should one ever be too wide: it gains nothing.
    wide = {"Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    for action, resource, context in FORBIDDEN:
        if not resource.startswith(arn("upload/")):
            expect(f"a wide session policy, {action} {resource}",
                   policies.user(action, resource, context, wide), False)


def test_hostile_users(policies, sessions):
    prefixes = {user: prefix for user, (prefix, _) in sessions.items()}
    lower = [prefix.lower() for prefix in prefixes.values()]
    equal("no two users share a prefix, whatever the capitals", len(set(lower)), len(lower))
    for user, (prefix, document) in sessions.items():
        name = user[:20]
        expect(f"{name!r} uploads", policies.user("s3:PutObject", arn(prefix + "x"), ONCE, document), True)
        for other, theirs in prefixes.items():
            if other != user:
                for key in (theirs, theirs + "x"):
                    expect(f"{name!r} uploads for {other[:20]!r}",
                           policies.user("s3:PutObject", arn(key), ONCE, document), False)
        for key in ("upload/x", "upload/zoe/x", "upload/" + "y" * 200, "x", "upload/alice-2/x"):
            expect(f"{name!r} uploads {key[:20]}",
                   policies.user("s3:PutObject", arn(key), ONCE, document), False)
        expect(f"{name!r} reads", policies.user("s3:GetObject", arn(prefix + "x"), TLS, document), False)


def test_execution_role(policies):
    function = session(EXECUTION, "parthaul-api")

    def may(action, resource, context=TLS):
        return policy.is_allowed(Request(action, resource, function, context), policies.execution, None,
                                 policies.of(resource))

    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        expect(f"function, {action}", may(action, f"{LOG}:log-stream:2026/11/22/[$LATEST]x"), True)
        expect(f"function, {action} elsewhere", may(
            action, LOG.replace("parthaul-api", "other") + ":log-stream:x"), False)
    for action, resource, context in OF_UPLOAD:
        expect(f"function, {action}", may(action, resource, context), False)
    for action, resource in (
            ("logs:CreateLogGroup", LOG), ("logs:DeleteLogGroup", LOG), ("iam:PassRole", UPLOAD),
            ("logs:GetLogEvents", LOG + ":log-stream:x"), ("iam:UpdateAssumeRolePolicy", UPLOAD),
            ("iam:PutRolePolicy", UPLOAD), ("sts:AssumeRole", EXECUTION), ("sts:TagSession", UPLOAD),
            ("sts:AssumeRole", f"{ROLES}/Admin"), ("sts:AssumeRole", UPLOAD + "2"),
            ("sts:AssumeRole", UPLOAD.replace(ACCOUNT, "210987654321")),
            ("lambda:InvokeFunction", NAMES["Function.Arn"]), ("s3:ListAllMyBuckets", "*"),
            ("s3:GetObject", arn("index.html", PAGES))):
        expect(f"function, {action} {resource}", may(action, resource), False)


def test_trust(policies):
    callers = {
        "the function": (session(EXECUTION), True),
        "a user": (session(UPLOAD), False),
        "another role": (session(f"{ROLES}/Admin"), False),
        "a role of nearly the name": (session(EXECUTION + "x"), False),
        "the same name elsewhere": (session(EXECUTION.replace(ACCOUNT, "210987654321")), False),
        "Lambda itself": (Caller(service="lambda.amazonaws.com"), False),
        "EC2": (Caller(service="ec2.amazonaws.com"), False),
        "nobody": (Caller(), False),
    }
    everything = [{"Version": "2012-10-17",
                   "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}]
    for name, (caller, wanted) in callers.items():
        request = Request("sts:AssumeRole", UPLOAD, caller)
        own = policies.execution if name == "the function" else everything
        expect(f"{name} becomes the upload role", policy.may_assume(
            request, own, policies.upload_trust), wanted)
        for action in ("sts:AssumeRoleWithWebIdentity", "sts:AssumeRoleWithSAML", "sts:TagSession",
                       "sts:SetSourceIdentity"):
            expect(f"{name}, {action}", policy.may_assume(
                Request(action, UPLOAD, caller), everything, policies.upload_trust), False)
        expect(f"{name} becomes the execution role", policy.may_assume(
            Request("sts:AssumeRole", EXECUTION, caller), everything, policies.execution_trust),
            name == "Lambda itself")


def test_pages(policies):
    front = Caller(service="cloudfront.amazonaws.com")
    ours = {**TLS, "aws:SourceArn": DISTRIBUTION}

    def may(action, caller, context, resource=arn("index.html", PAGES)):
        return policy.is_allowed(Request(action, resource, caller, context), [], None, policies.pages)

    expect("CloudFront reads the page", may("s3:GetObject", front, ours), True)
    expect("without TLS", may("s3:GetObject", front, {**ours, "aws:SecureTransport": "false"}), False)
    expect("another distribution", may("s3:GetObject", front, {
        **TLS, "aws:SourceArn": DISTRIBUTION + "2"}), False)
    expect("no distribution", may("s3:GetObject", front, TLS), False)
    expect("another service", may("s3:GetObject", Caller(service="logging.s3.amazonaws.com"), ours), False)
    expect("anybody", may("s3:GetObject", Caller(), TLS), False)
    expect("a user", may("s3:GetObject", session(UPLOAD), TLS), False)
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:GetObjectVersion"):
        expect(f"CloudFront, {action}", may(action, front, ours), False)
    expect("CloudFront lists", may("s3:ListBucket", front, ours, f"arn:aws:s3:::{PAGES}"), False)
    for action in ("s3:GetObject", "s3:ListBucket", "s3:PutObject"):
        expect(f"anybody, uploads, {action}", policy.is_allowed(
            Request(action, arn("upload/alice/x"), Caller(), ONCE), [], None, policies.bucket), False)


def test_evaluator():
    """The rules themselves, lest a table above passes because nothing is ever allowed."""
    def document(*statements):
        return {"Version": "2012-10-17", "Statement": list(statements)}

    def allow(action="s3:*", resource="*", **more):
        return {"Effect": "Allow", "Action": action, "Resource": resource, **more}

    deny = {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"}
    get = Request("s3:GetObject", arn("a/b"), session(UPLOAD), {"k": "v", "n": "5"})
    rest = {"Effect": "Allow", "NotAction": "s3:Get*", "Resource": "*"}
    other = {"Effect": "Allow", "Action": "*", "NotResource": arn("a/*")}
    cases = [
        (True, document(allow())), (True, document(allow("S3:getobject"))),
        (True, document(allow(["s3:X", "s3:G?tObject"]))), (False, document(allow("s3:GetObjectAcl"))),
        (True, document(allow(resource=arn("a/*")))), (False, document(allow(resource=arn("A/*")))),
        (False, document(allow(resource=arn("a")))), (True, document(allow(resource=arn("a/?")))),
        (False, document(allow(resource=arn("a/${*}")))), (True, document(allow(), deny)),
        (False, document(allow(), {**deny, "Action": "*"})), (False, document(rest)),
        (False, document(other)), (False, document(deny)),
        (True, document(allow(Condition={"StringEquals": {"K": ["x", "v"]}}))),
        (False, document(allow(Condition={"StringEquals": {"k": "v", "j": "v"}}))),
        (False, document(allow(Condition={"StringEquals": {"k": "V"}}))),
        (True, document(allow(Condition={"NumericLessThan": {"n": "10"}}))),
        (True, document(allow(Condition={"Null": {"j": "true", "k": "false"}}))),
        (False, document(allow(Condition={"Null": {"k": "true"}}))),
    ]
    for i, (wanted, each) in enumerate(cases):
        equal(f"evaluator, case {i}", policy.is_allowed(get, [each]), wanted)
    nothing = document(deny)
    everything = document(allow())
    equal("both have to allow", [policy.is_allowed(get, [a], b) for a, b in (
        (everything, everything), (everything, nothing), (nothing, everything))], [True, False, False])
    by_role = document({**allow(), "Principal": {"AWS": UPLOAD}})
    by_session = document({**allow(), "Principal": {"AWS": get.caller.session}})
    equal("a bucket policy for the role is narrowed by the session, one for the session is not",
          [policy.is_allowed(get, [], nothing, p) for p in (by_role, by_session)], [False, True])
    for strange in (allow(Condition={"StringEqualsIfExists": {"k": "v"}}), allow(Foo=1),
                    allow(resource="${aws:username}"), {"Effect": "Allow", "Resource": "*"}):
        try:
            policy.is_allowed(get, [document(strange)])
            check("what is not understood is an error", False, strange)
        except policy.NotUnderstood:
            check("what is not understood is an error", True)


# ---- On SeaweedFS ---------------------------------------------------------------------------------


def test_live(policies, sessions, folder):
    """The same policies, the same questions, answered by a real S3. It takes no If-None-Match for a
    condition (see tests/servers/README.md), so that part stays with the evaluator."""
    with kit.seaweedfs(folder / "s3", ROLE_POLICY=json.dumps(policies.upload[0])) as env:
        operator = servers.client(env)
        servers.prepare(operator, BUCKET, ["https://app.example"])
        operator.create_bucket(Bucket="other")
        operator.put_object(Bucket=BUCKET, Key="upload/alice/there", Body=b"x")
        operator.put_object(Bucket=BUCKET, Key="upload/bob/there", Body=b"x")
        for name, (session_policy, reaches_bob) in {
                "role and session policy": (sessions["alice"][1], False),
                "role alone": (None, True)}.items():
            live_session(name, session_policy, reaches_bob, env, operator)
        by_tls = {"Version": "2012-10-17",
                  "Statement": [s for s in policies.bucket["Statement"] if s["Sid"] == "OnlyByTls"]}
        operator.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(by_tls))
        alice = as_user(env, sessions["alice"][1])
        code = refusal(alice.put_object, Bucket=BUCKET, Key="upload/alice/plain", Body=b"x")
        equal("SeaweedFS: the TLS-only policy refuses plain HTTP", code, "AccessDenied")


def as_user(env, session_policy):
    sts = s3_client(env, env["API_ACCESS_KEY_ID"], env["API_SECRET_ACCESS_KEY"], service="sts")
    more = {"Policy": json.dumps(session_policy)} if session_policy else {}
    c = sts.assume_role(RoleArn=env["ROLE_ARN"], RoleSessionName="alice", **more)["Credentials"]
    return s3_client(env, c["AccessKeyId"], c["SecretAccessKey"], c["SessionToken"])


def live_session(name, session_policy, reaches_bob, env, operator):
    s3 = as_user(env, session_policy)

    def expect_live(what, call, wanted, **arguments):
        code = refusal(call, **arguments)
        good = code == "" if wanted else code in ("AccessDenied", "403")
        check(f"SeaweedFS, {name}, {what}: {'allowed' if wanted else 'forbidden'}", good, code)

    def key(k, bucket=BUCKET):
        return {"Bucket": bucket, "Key": k}

    expect_live("PutObject", s3.put_object, True, **key("upload/alice/x"), Body=b"x")
    upload = s3.create_multipart_upload(**key("upload/alice/y"))["UploadId"]
    expect_live("UploadPart", s3.upload_part, True, **key("upload/alice/y"), UploadId=upload,
                PartNumber=1, Body=b"x")
    expect_live("ListParts", s3.list_parts, True, **key("upload/alice/y"), UploadId=upload)
    expect_live("Abort", s3.abort_multipart_upload, True, **key("upload/alice/y"), UploadId=upload)
    expect_live("PutObject for bob", s3.put_object, reaches_bob, **key("upload/bob/x"), Body=b"x")
    expect_live("Create for bob", s3.create_multipart_upload, reaches_bob, **key("upload/bob/y"))
    for k in ("x", "upload", "other/x", "xupload/alice/x"):
        expect_live(f"PutObject {k}", s3.put_object, False, **key(k), Body=b"x")
    expect_live("another bucket", s3.put_object, False, **key("upload/alice/x", "other"), Body=b"x")
    for k in ("upload/alice/there", "upload/bob/there"):
        expect_live(f"GetObject {k}", s3.get_object, False, **key(k))
        expect_live(f"DeleteObject {k}", s3.delete_object, False, **key(k))
        expect_live(f"PutObjectAcl {k}", s3.put_object_acl, False, **key(k), ACL="public-read")
        expect_live(f"PutObjectTagging {k}", s3.put_object_tagging, False, **key(k),
                    Tagging={"TagSet": []})
    expect_live("ListBucket", s3.list_objects_v2, False, Bucket=BUCKET)
    expect_live("ListMultipartUploads", s3.list_multipart_uploads, False, Bucket=BUCKET)
    expect_live("PutBucketCors", s3.put_bucket_cors, False, Bucket=BUCKET, CORSConfiguration={
        "CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]})
    expect_live("PutBucketPolicy", s3.put_bucket_policy, False, Bucket=BUCKET, Policy=json.dumps({
        "Version": "2012-10-17", "Statement": []}))
    equal(f"SeaweedFS, {name}: nothing is gone",
          refusal(operator.head_object, **key("upload/bob/there")), "")


# ---- All of it ------------------------------------------------------------------------------------


def main():
    with kit.scratch("examples") as folder:
        test(folder)
    kit.finish()


def test(folder):
    t = template()
    test_evaluator()
    test_lint()
    test_parameters()
    test_bucket(t)
    test_page(t, folder)
    test_environment(t, folder)
    test_container(folder)
    sessions = session_policies(t, folder)
    policies = Policies(t)
    test_users(policies, sessions)
    test_hostile_users(policies, sessions)
    test_execution_role(policies)
    test_trust(policies)
    test_pages(policies)
    test_live(policies, sessions, folder)


if __name__ == "__main__":
    main()
