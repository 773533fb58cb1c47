/* SPDX-License-Identifier: MIT
 *
 * parthaul creds: temporary credentials for the shell, for the AWS SDKs or for a script. They come
 * from the credentials API, or from STS's AssumeRole with the caller's own. Nothing is kept: a
 * command that needs them for long is given this one as its credential_process.
 *
 * Standard output has the credentials or nothing, so that what reads it cannot take half of it for
 * the whole. No copy stays in memory.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "cli.h"
#include "core/crypto.h"
#include "core/date.h"
#include "core/enc.h"
#include "core/endpoint.h"
#include "core/json.h"
#include "core/json_out.h"
#include "core/sigv4.h"
#include "core/str.h"
#include "core/sts.h"
#include "login.h"
#include "report.h"

#define MAX_TEXT (64u << 10)
#define FORM "application/x-www-form-urlencoded; charset=utf-8"

/* see cli.h */
void cli_creds_help(void)
{
    cli_print(
        PH_STR("usage: parthaul creds --api URL [OPTION]...\n"
               "       parthaul creds --role-arn ARN [OPTION]...\n"
               "\n"
               "Gets temporary credentials and prints them on standard output: from a\n"
               "credentials API, which identifies the user by a token, or from STS with\n"
               "AssumeRole and the credentials in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and\n"
               "AWS_SESSION_TOKEN.\n"
               "\n"
               "From an API:\n"
               "\n"
               "  --api URL           base URL of the API; GET URL/v1/credentials is requested\n"
               "  --token JWT         the user's token; default: PARTHAUL_TOKEN, which is hidden\n"
               "                      from other users of the machine, unlike an option\n"
               "  --api-key KEY       sent as x-api-key, with a token or alone; default:\n"
               "                      PARTHAUL_API_KEY\n"
               "\n"
               "From STS:\n"
               "\n"
               "  --role-arn ARN      the role to assume\n"
               "  --session-name NAME default: parthaul\n"
               "  --prefix s3://BUCKET/PREFIX/   restrict the credentials to uploads below it\n"
               "  --duration SECONDS  900 to 43200; default 3600\n"
               "  --external-id ID    if the role's trust policy requires one\n"
               "  --serial-number ARN of the caller's MFA device, and\n"
               "  --token-code CODE   its current six-digit code\n"
               "  --sts-endpoint URL  default: AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, else AWS\n"
               "                      by region\n"
               "  --region NAME       default: AWS_REGION, AWS_DEFAULT_REGION, us-east-1\n"
               "\n"
               "Output:\n"
               "\n"
               "  --format json       the format of `aws sts assume-role`; the default\n"
               "  --format env        shell commands: eval \"$(parthaul creds ...)\"\n"
               "  --format process    for credential_process in ~/.aws/config\n"
               "\n"
               "  --tries N           attempts of each request; default 4\n"
               "  --timeout SECONDS   abort a request that is stalled for so long; default: 30\n"
               "\n"
               "Secrets are sent over https only, except to this machine. AWS_CA_BUNDLE names a\n"
               "file of certificates to trust instead of the system's.\n"
               "\n"
               "Exit codes: 0 done, 2 usage, 3 denied, 4 network or server, 1 anything else.\n"));
}

/* ---- Options --------------------------------------------------------------------------------- */

typedef enum format { FORMAT_JSON, FORMAT_ENV, FORMAT_PROCESS } format;

typedef struct arguments {
    ph_str api, token, api_key;
    ph_str role_arn, session_name, prefix, sts_endpoint, region;
    ph_str external_id, serial_number, token_code;
    uint64_t duration_s, tries, timeout_s;
    format format;
    bool for_sts; /* an option was given that only STS has a use for */
    bool help;
} arguments;

static const struct option options[] = {
    {"api", required_argument, NULL, 'a'},           {"api-key", required_argument, NULL, 'k'},
    {"duration", required_argument, NULL, 'd'},      {"external-id", required_argument, NULL, 'x'},
    {"format", required_argument, NULL, 'f'},        {"prefix", required_argument, NULL, 'p'},
    {"region", required_argument, NULL, 'r'},        {"role-arn", required_argument, NULL, 'R'},
    {"serial-number", required_argument, NULL, 's'}, {"session-name", required_argument, NULL, 'n'},
    {"sts-endpoint", required_argument, NULL, 'e'},  {"timeout", required_argument, NULL, 'T'},
    {"token", required_argument, NULL, 't'},         {"token-code", required_argument, NULL, 'c'},
    {"tries", required_argument, NULL, 'y'},         CLI_HELP_OPTION,
};

static bool read_format(format *out)
{
    static const char *const names[] = {
        [FORMAT_JSON] = "json", [FORMAT_ENV] = "env", [FORMAT_PROCESS] = "process"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(optarg, names[i]) == 0) {
            *out = (format)i;
            return true;
        }
    return false;
}

/* One option. False when its value is not what it wants. */
static bool take_option(int c, void *into)
{
    arguments *a = into;
    ph_str value = ph_str_from(optarg);
    a->for_sts = a->for_sts || strchr("cdenpRsx", c) != NULL;
    switch (c) {
    case 'a': a->api = value; return value.len > 0;
    case 'c': a->token_code = value; return true;
    case 'd': return cli_number(900, 43200, &a->duration_s);
    case 'e': a->sts_endpoint = value; return value.len > 0;
    case 'f': return read_format(&a->format);
    case 'k': a->api_key = value; return true;
    case 'n': a->session_name = value; return true;
    case 'p': a->prefix = value; return value.len > 0;
    case 'r': a->region = value; return value.len > 0;
    case 'R': a->role_arn = value; return true;
    case 's': a->serial_number = value; return true;
    case 't': a->token = value; return true;
    case 'T': return cli_number(1, 86400, &a->timeout_s);
    case 'x': a->external_id = value; return true;
    case 'y': return cli_number(1, 100, &a->tries);
    case 'h': a->help = true; return true;
    default: return false;
    }
}

static int read_options(int argc, char **argv, arguments *out)
{
    *out = (arguments){.token = cli_env("PARTHAUL_TOKEN"),
                       .api_key = cli_env("PARTHAUL_API_KEY"),
                       .session_name = PH_STR("parthaul"),
                       .duration_s = 3600,
                       .tries = 4};
    int code = cli_take_options(argc, argv, options, take_option, out);
    if (code != CLI_DONE)
        return code;
    if (out->help)
        return CLI_DONE;
    if (optind < argc)
        return cli_usage(argv[0], "unexpected argument");
    if (out->api.len && out->for_sts)
        return cli_usage(argv[0], "--api cannot be combined with the options for STS");
    if (!out->api.len && !out->role_arn.len)
        return cli_usage(argv[0], "expected --api or --role-arn");
    return CLI_DONE;
}

/* ---- What is printed ------------------------------------------------------------------------- */

/* All that is known of what was lent. The texts that are not part of `grant` come from STS. */
typedef struct loan {
    ph_grant grant;
    ph_str prefix;
    ph_buf arn, id; /* of the role's session */
} loan;

static void loan_clear(loan *l)
{
    ph_grant_clear(&l->grant);
    ph_str_free(&l->prefix);
    ph_buf_clear(&l->arn);
    ph_buf_clear(&l->id);
}

static void add_members(ph_buf *b, const ph_creds *c)
{
    char date[21] = "";
    if (c->expires_ms)
        ph_date_iso(c->expires_ms, date);
    ph_json_add_text(b, "AccessKeyId", c->access_key_id);
    ph_json_add_text(b, "SecretAccessKey", c->secret_access_key);
    ph_json_add_text(b, "SessionToken", c->session_token);
    ph_json_add_cstr(b, "Expiration", date);
}

static void add_json(ph_buf *b, const loan *l)
{
    ph_json_open(b, NULL);
    if (l->arn.len) {
        ph_json_open(b, "AssumedRoleUser");
        ph_json_add_text(b, "AssumedRoleId", ph_buf_view(&l->id));
        ph_json_add_text(b, "Arn", ph_buf_view(&l->arn));
        ph_json_close(b);
    }
    ph_json_open(b, "Credentials");
    add_members(b, &l->grant.creds);
    ph_json_close(b);
    ph_json_add_text(b, "bucket", l->grant.bucket);
    ph_json_add_text(b, "prefix", l->prefix);
    ph_json_add_text(b, "region", l->grant.region);
    ph_json_add_text(b, "endpoint", l->grant.endpoint);
    ph_json_close(b);
}

static void add_process(ph_buf *b, const loan *l)
{
    ph_json_open(b, NULL);
    ph_json_add_u64(b, "Version", 1);
    add_members(b, &l->grant.creds);
    ph_json_close(b);
}

/* Between apostrophes a shell reads everything as it is, but for the apostrophe itself. */
static void add_export(ph_buf *b, const char *name, ph_str value)
{
    ph_buf_cstr(b, "export ");
    ph_buf_cstr(b, name);
    ph_buf_cstr(b, "='");
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\'')
            ph_buf_cstr(b, "'\\''");
        else
            ph_buf_char(b, value.ptr[i]);
    }
    ph_buf_cstr(b, "'\n");
}

/* What is not there must not stay as it was: an old token beside a new key signs nothing good. */
static void add_env(ph_buf *b, const loan *l)
{
    const ph_creds *c = &l->grant.creds;
    char date[21];
    add_export(b, "AWS_ACCESS_KEY_ID", c->access_key_id);
    add_export(b, "AWS_SECRET_ACCESS_KEY", c->secret_access_key);
    if (c->session_token.len)
        add_export(b, "AWS_SESSION_TOKEN", c->session_token);
    else
        ph_buf_cstr(b, "unset AWS_SESSION_TOKEN\n");
    if (c->expires_ms) {
        ph_date_iso(c->expires_ms, date);
        add_export(b, "AWS_CREDENTIAL_EXPIRATION", ph_str_from(date));
    } else {
        ph_buf_cstr(b, "unset AWS_CREDENTIAL_EXPIRATION\n");
    }
}

static int print_loan(const loan *l, format f, report *r)
{
    ph_buf b;
    ph_buf_init(&b, 4 * MAX_TEXT);
    switch (f) {
    case FORMAT_JSON: add_json(&b, l); break;
    case FORMAT_ENV: add_env(&b, l); break;
    case FORMAT_PROCESS: add_process(&b, l); break;
    }
    if (f != FORMAT_ENV)
        ph_buf_char(&b, '\n');
    setvbuf(stdout, NULL, _IONBF, 0); /* the library keeps no copy of it */
    int err = cli_print_buf(&b);
    return err == PH_OK ? CLI_DONE : report_error(r, err, NULL);
}

/* ---- From the API ---------------------------------------------------------------------------- */

static int say_failure(report *r, int err, const char *operation, const ask_answer *a,
                       const char *code, ph_str message)
{
    ph_failure f = {.err = err, .http_status = a->status};
    ph_text_copy(f.operation, sizeof f.operation, ph_str_from(operation));
    ph_text_copy(f.s3_code, sizeof f.s3_code, ph_str_from(code));
    ph_text_copy(f.request_id, sizeof f.request_id, ph_str_from(a->request_id));
    ph_text_copy(f.message, sizeof f.message,
                 message.len ? message : ph_str_from(ph_err_text(err)));
    return report_failure(r, &f, a->reason);
}

static int read_grant(const login *l, const ask_answer *a, loan *out, ph_buf *why)
{
    ph_json *doc;
    ph_str body = ph_buf_view(&a->body);
    int err = login_refusal(l, a->status, body, why);
    if (err == PH_OK)
        err = ph_grant_parse(body, &out->grant);
    if (err == PH_OK && !out->grant.creds.access_key_id.len)
        err = PH_ERR_BAD_CREDENTIALS; /* a presigned URL, or whatever it may be */
    if (err != PH_OK || ph_json_parse(body, &doc) != PH_OK)
        return err;
    err = ph_str_copy(ph_json_member_text(doc, "prefix"), &out->prefix);
    ph_json_free(doc);
    return err;
}

static int ask_api(const char *command, const arguments *a, report *r, loan *out)
{
    login l;
    ask_answer answer;
    ph_header headers[LOGIN_HEADERS];
    ph_buf why;
    int code = login_start(&l, command, a->api, "/v1/credentials", a->token, a->api_key);
    if (code != CLI_DONE)
        return code;
    if (!ask_is_private(a->api)) {
        login_clear(&l);
        return cli_usage(command, "the --api URL must be https: its response is secret");
    }
    ph_request request = {.method = PH_METHOD_GET,
                          .url = l.url,
                          .headers = headers,
                          .header_count = login_headers(&l, headers)};
    ph_buf_init(&why, 1024);
    int err =
        ask_send(&request, (uint32_t)a->tries, (uint32_t)a->timeout_s * 1000, r, NULL, &answer);
    if (err == PH_OK)
        err = read_grant(&l, &answer, out, &why);
    if (err != PH_OK)
        code = say_failure(r, err, "GET /v1/credentials", &answer, "", ph_buf_view(&why));
    ph_buf_clear(&why);
    ask_clear(&answer);
    login_clear(&l);
    return code;
}

/* ---- From STS -------------------------------------------------------------------------------- */

/* Where STS is: what was said, or AWS's by its region. */
static int find_sts(const arguments *a, ph_str region, ph_buf *url)
{
    ph_url parsed;
    ph_str given = a->sts_endpoint;
    if (!given.len)
        given = cli_env("AWS_ENDPOINT_URL_STS");
    if (!given.len)
        given = cli_env("AWS_ENDPOINT_URL");
    if (given.len) {
        ph_buf_str(url, given);
    } else {
        ph_buf_cstr(url, "https://sts.");
        ph_buf_str(url, region);
        ph_buf_cstr(url, ".amazonaws.com");
        ph_buf_cstr(url, ph_str_starts(region, PH_STR("cn-")) ? ".cn/" : "/");
    }
    if (url->err != PH_OK)
        return url->err;
    return ph_url_parse(ph_buf_view(url), &parsed) == PH_OK && !parsed.query.ptr
               ? PH_OK
               : PH_ERR_BAD_ENDPOINT;
}

/* The session policy for s3://BUCKET/PREFIX/; returns an exit code. */
static int make_policy(const char *command, const arguments *a, loan *l, ph_buf *policy)
{
    ph_str prefix = a->prefix;
    if (!ph_str_starts(a->role_arn, PH_STR("arn:")) || a->role_arn.len < 20 ||
        a->role_arn.len > 2048)
        return cli_usage(command, "the --role-arn is not the ARN of a role, such as "
                                  "arn:aws:iam::123456789012:role/upload");
    if (!prefix.len)
        return CLI_DONE;
    if (!ph_str_starts(prefix, PH_STR("s3://")))
        return cli_usage(command, "the --prefix is not of the form s3://BUCKET/PREFIX/");
    ph_str rest = ph_str_skip(prefix, 5);
    ph_str bucket = ph_str_cut(&rest, '/');
    if (!rest.len || !ph_str_ends(rest, PH_STR("/")))
        return cli_usage(command, "the --prefix is not of the form s3://BUCKET/PREFIX/, which ends "
                                  "in /");
    int err = ph_sts_prefix_policy(a->role_arn, bucket, rest, policy);
    if (err == PH_ERR_BAD_ARG)
        return cli_usage(command, "the --role-arn names no partition, as arn:aws:iam:: does");
    if (err == PH_ERR_BAD_BUCKET)
        return cli_usage(command, "the --prefix names no bucket: %s", ph_err_text(err));
    if (err != PH_OK)
        return cli_usage(command, "the --prefix is too long, or has what a policy would not take "
                                  "literally (* ? ${) or no key may have");
    err = ph_str_copy(bucket, &l->grant.bucket);
    if (err == PH_OK)
        err = ph_str_copy(rest, &l->prefix);
    return err == PH_OK ? CLI_DONE : CLI_OTHER;
}

static int make_body(const char *command, const arguments *a, ph_str policy, ph_buf *body)
{
    ph_assume_role role = {.role_arn = a->role_arn,
                           .session_name = a->session_name,
                           .policy = policy,
                           .duration_seconds = (uint32_t)a->duration_s,
                           .external_id = a->external_id,
                           .serial_number = a->serial_number,
                           .token_code = a->token_code};
    int err = ph_sts_assume_role_body(&role, body);
    if (err == PH_ERR_BAD_ARG)
        return cli_usage(command, "the --session-name has to be 2 to 64 letters, digits or "
                                  "_+=,.@-, the --external-id 2 to 1224 of these or : /, the "
                                  "--serial-number 9 to 256 of them with a --token-code of six "
                                  "digits, and the --role-arn visible ASCII");
    return err == PH_OK ? CLI_DONE : CLI_OTHER;
}

/* Sign and send. */
static int send_sts(const arguments *a, const ph_creds *own, ph_str url, ph_str region, ph_str body,
                    report *r, ask_answer *out)
{
    ph_url parsed;
    ph_buf hex;
    uint8_t hash[PH_SHA256_LEN];
    ph_sigv4_result signature;
    const ph_header form = {PH_STR("content-type"), PH_STR(FORM)};
    ph_header headers[1 + sizeof signature.headers / sizeof signature.headers[0]] = {form};
    memset(out, 0, sizeof *out);
    ph_buf_init(&hex, 2 * PH_SHA256_LEN);
    ph_sha256(body.ptr, body.len, hash);
    ph_enc_hex(&hex, hash, sizeof hash);
    int err = ph_url_parse(url, &parsed);
    ph_sigv4 in = {.method = PH_STR("POST"),
                   .host = parsed.host,
                   .path = parsed.path,
                   .headers = &form,
                   .header_count = 1,
                   .payload = ph_buf_view(&hex),
                   .region = region,
                   .service = PH_STR("sts"),
                   .time_ms = cli_wall_ms(),
                   .creds = own};
    if (err == PH_OK && hex.err != PH_OK)
        err = hex.err;
    if (err == PH_OK)
        err = ph_sigv4_sign(&in, NULL, &signature);
    ph_request request = {.method = PH_METHOD_POST, .url = url, .headers = headers, .text = body};
    if (err == PH_OK) {
        request.header_count = 1 + signature.header_count;
        memcpy(headers + 1, signature.headers, signature.header_count * sizeof headers[0]);
        err = ask_send(&request, (uint32_t)a->tries, (uint32_t)a->timeout_s * 1000, r, NULL, out);
        ph_sigv4_result_clear(&signature);
    }
    ph_buf_clear(&hex);
    return err;
}

static int err_of_sts(int status, const char *code)
{
    static const struct {
        const char *code;
        int err;
    } codes[] = {
        {"ExpiredToken", PH_ERR_EXPIRED_TOKEN},
        {"ExpiredTokenException", PH_ERR_EXPIRED_TOKEN},
        {"InvalidAccessKeyId", PH_ERR_INVALID_TOKEN},
        {"InvalidClientTokenId", PH_ERR_INVALID_TOKEN},
        {"UnrecognizedClientException", PH_ERR_INVALID_TOKEN},
        {"IncompleteSignature", PH_ERR_BAD_SIGNATURE},
        {"SignatureDoesNotMatch", PH_ERR_BAD_SIGNATURE},
        {"RequestExpired", PH_ERR_CLOCK_SKEW},
        {"RequestTimeTooSkewed", PH_ERR_CLOCK_SKEW},
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(code, codes[i].code) == 0)
            return codes[i].err;
    if (status == 429 || strncmp(code, "Throttl", 7) == 0)
        return PH_ERR_SLOW_DOWN;
    if (status == 401 || status == 403)
        return PH_ERR_ACCESS_DENIED;
    return status >= 500 ? PH_ERR_SERVER_ERROR : PH_ERR_REFUSED;
}

/*
 * The first sentence of STS's reason: what comes behind it shows the request as STS saw it, with
 * the caller's session token.
 */
static int refuse(report *r, const ask_answer *a)
{
    ph_sts_error said;
    char text[sizeof said.message + 32];
    ph_sts_error_read(ph_buf_view(&a->body), &said);
    for (char *c = said.message; *c; c++)
        if (c[0] == '.' && (c[1] == ' ' || c[1] == '\0')) {
            *c = '\0';
            break;
        }
    if (cli_quotes(ph_str_from(said.message), cli_env("AWS_SESSION_TOKEN")))
        said.message[0] = '\0';
    snprintf(text, sizeof text, "STS refused%s%s", said.message[0] ? ": " : "", said.message);
    return say_failure(r, err_of_sts(a->status, said.code), "AssumeRole", a, said.code,
                       ph_str_from(text));
}

static int read_sts(report *r, const ask_answer *a, loan *out)
{
    ph_str body = ph_buf_view(&a->body);
    if (a->status != 200)
        return refuse(r, a);
    int err = ph_sts_assume_role_answer(body, &out->grant.creds);
    /* What is odd about the session's name is not held against credentials that are good. */
    if (err == PH_OK && ph_sts_assumed_user(body, &out->arn, &out->id) == PH_ERR_NOMEM)
        err = PH_ERR_NOMEM;
    if (err != PH_OK)
        return say_failure(r, err, "AssumeRole", a, "", PH_STR("this is no answer of an STS"));
    return CLI_DONE;
}

static int ask_sts(const char *command, const arguments *a, report *r, loan *out)
{
    ph_creds own;
    ph_buf url, policy, body;
    ask_answer answer;
    ph_str region = a->region.len ? a->region : cli_region();
    if (!cli_creds(&own))
        return cli_usage(command, CLI_NO_CREDS ", or use --api");
    ph_buf_init(&url, MAX_TEXT);
    ph_buf_init(&policy, 2048);
    ph_buf_init(&body, MAX_TEXT);
    int code = make_policy(command, a, out, &policy);
    if (code == CLI_DONE)
        code = make_body(command, a, policy.len ? ph_buf_view(&policy) : (ph_str){NULL, 0}, &body);
    if (code == CLI_DONE && find_sts(a, region, &url) != PH_OK)
        code = cli_usage(command, "the URL of STS is not http or https, or the region is invalid");
    if (code == CLI_DONE && !ask_is_private(ph_buf_view(&url)))
        code = cli_usage(command, "the URL of STS must be https: its response is secret");
    if (code == CLI_DONE) {
        int err = send_sts(a, &own, ph_buf_view(&url), region, ph_buf_view(&body), r, &answer);
        code = err == PH_OK ? read_sts(r, &answer, out)
                            : say_failure(r, err, "AssumeRole", &answer, "", (ph_str){NULL, 0});
        ask_clear(&answer);
    }
    ph_buf_clear(&url);
    ph_buf_clear(&policy);
    ph_buf_clear(&body);
    return code;
}

/* ---- The command ----------------------------------------------------------------------------- */

/* see cli.h */
int cli_creds_command(int argc, char **argv)
{
    arguments a;
    report r;
    loan l = {.prefix = {NULL, 0}};
    int code = read_options(argc, argv, &a);
    if (code == CLI_DONE && a.help) {
        cli_creds_help();
        return CLI_DONE;
    }
    if (code != CLI_DONE)
        return code;
    report_init(&r, false, false, 0);
    ph_buf_init(&l.arn, 4096);
    ph_buf_init(&l.id, 1024);
    code = a.api.len ? ask_api(argv[0], &a, &r, &l) : ask_sts(argv[0], &a, &r, &l);
    if (code == CLI_DONE)
        code = print_loan(&l, a.format, &r);
    loan_clear(&l);
    return code;
}
