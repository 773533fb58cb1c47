/* SPDX-License-Identifier: MIT
 *
 * parthaul sign: one request's signature, stage by stage and byte for byte, with the signer that
 * uploads use. What S3 says it computed can be laid beside it, and any signing test suite can be
 * run against it. It sends nothing.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "core/date.h"
#include "core/enc.h"
#include "core/endpoint.h"
#include "core/sigv4.h"
#include "core/str.h"

#define MAX_HEADERS 60
#define MAX_URL (1u << 20)

/* see cli.h */
void cli_sign_help(void)
{
    cli_print(
        PH_STR("usage: parthaul sign [OPTION]... METHOD URL\n"
               "\n"
               "Signs a request with AWS Signature Version 4 and prints one stage of it.\n"
               "Credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if set,\n"
               "AWS_SESSION_TOKEN.\n"
               "\n"
               "  -H, --header 'NAME: VALUE'\n"
               "                     a header to be signed; may be repeated, also with the same\n"
               "                     name; a value may have folded lines.\n"
               "                     Host, X-Amz-Date, X-Amz-Content-Sha256 and\n"
               "                     X-Amz-Security-Token replace the derived values\n"
               "  --service NAME     s3 (default). For any other the general rules apply: the\n"
               "                     path is normalized and encoded once more, and\n"
               "                     x-amz-content-sha256 is signed only if given with -H\n"
               "  --region NAME      default: AWS_REGION, AWS_DEFAULT_REGION, us-east-1\n"
               "  --time TIME        20130524T000000Z, or 2013-05-24T00:00:00Z; default:\n"
               "                     X-Amz-Date if given with -H, else now\n"
               "  --payload WHAT     the body: empty, unsigned, its SHA-256 in hex, @FILE (@-\n"
               "                     is standard input), or a literal such as\n"
               "                     STREAMING-AWS4-HMAC-SHA256-PAYLOAD. Default:\n"
               "                     X-Amz-Content-Sha256 if given with -H; unsigned for a\n"
               "                     presigned S3 URL; else empty\n"
               "  --presign SECONDS  sign the query instead of headers, for 1 to 604800 seconds\n"
               "  --stage STAGE      canonical   the canonical request\n"
               "                     string      the string to sign\n"
               "                     signature   in hex\n"
               "                     headers     the headers to add (default), one per line\n"
               "                     url         the URL (default with --presign)\n"
               "\n"
               "The output is exactly the text of the stage, followed by a line feed that is not\n"
               "part of it. The URL is signed as given; it may contain spaces and UTF-8, which\n"
               "--stage url prints encoded.\n"));
}

typedef enum stage { STAGE_NONE, CANONICAL, STRING, SIGNATURE, HEADERS, URL } stage;

typedef struct arguments {
    ph_str service;
    ph_str region;
    const char *time;
    const char *payload;
    uint64_t presign;
    stage stage;
    ph_header header[MAX_HEADERS];
    size_t header_count;
} arguments;

static stage stage_by_name(const char *name)
{
    static const char *const names[] = {"", "canonical", "string", "signature", "headers", "url"};
    for (int i = CANONICAL; i <= URL; i++)
        if (strcmp(name, names[i]) == 0)
            return (stage)i;
    return STAGE_NONE;
}

static bool read_header(const char *text, arguments *out)
{
    ph_str rest = ph_str_from(text);
    ph_str name = ph_str_cut(&rest, ':');
    if (!rest.ptr || out->header_count == MAX_HEADERS)
        return false;
    out->header[out->header_count++] = (ph_header){name, rest};
    return true;
}

static ph_str given(const arguments *a, const char *name)
{
    for (size_t i = 0; i < a->header_count; i++)
        if (ph_str_equal_nocase(a->header[i].name, ph_str_from(name)))
            return ph_str_trim(a->header[i].value);
    return (ph_str){NULL, 0};
}

/* Returns CLI_DONE, or the exit code after what was wrong has been said. */
static int read_options(int argc, char **argv, arguments *out, bool *help)
{
    static const struct option table[] = {
        {"service", required_argument, NULL, 's'}, {"region", required_argument, NULL, 'r'},
        {"time", required_argument, NULL, 't'},    {"payload", required_argument, NULL, 'p'},
        {"presign", required_argument, NULL, 'x'}, {"stage", required_argument, NULL, 'g'},
        {"header", required_argument, NULL, 'H'},  CLI_HELP_OPTION};
    *out = (arguments){.service = PH_STR("s3"), .region = cli_region()};
    for (int c; (c = cli_option(argc, argv, ":hH:", table)) != -1;) {
        switch (c) {
        case 's': out->service = ph_str_from(optarg); break;
        case 'r': out->region = ph_str_from(optarg); break;
        case 't': out->time = optarg; break;
        case 'p': out->payload = optarg; break;
        case 'x':
            if (!ph_str_u64(ph_str_from(optarg), &out->presign) || out->presign < 1 ||
                out->presign > 604800)
                return cli_usage(argv[0], "--presign requires 1 to 604800 seconds, not %s", optarg);
            break;
        case 'g':
            out->stage = stage_by_name(optarg);
            if (out->stage == STAGE_NONE)
                return cli_usage(argv[0], "unknown stage %s", optarg);
            break;
        case 'H':
            if (!read_header(optarg, out))
                return cli_usage(argv[0],
                                 "'%s' is not a header of the form 'Name: value', or one too "
                                 "many",
                                 optarg);
            break;
        case 'h': *help = true; return CLI_DONE;
        default: return CLI_USAGE;
        }
    }
    if (out->stage == STAGE_NONE)
        out->stage = out->presign ? URL : HEADERS;
    if (out->presign && out->stage == HEADERS)
        return cli_usage(argv[0], "a presigned request has no headers to add");
    return CLI_DONE;
}

/*
 * Uploads refuse a URL that a browser would send otherwise than it stands there. Here it is signed
 * as it stands there, dots, blanks and all; only its beginning has to be right.
 */
static bool split_url(ph_str text, ph_url *out)
{
    size_t at = ph_str_starts(text, PH_STR("https://")) ? 8 : 7;
    while (at < text.len && text.ptr[at] != '/' && text.ptr[at] != '?')
        at++;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f || text.ptr[i] == '#')
            return false;
    ph_str rest = ph_str_skip(text, at < text.len ? at : text.len);
    if (ph_url_parse((ph_str){text.ptr, text.len - rest.len}, out) != PH_OK)
        return false;
    if (rest.len == 0)
        return true;
    ph_str path = ph_str_cut(&rest, '?');
    if (path.len)
        out->path = path;
    out->query = rest;
    return true;
}

/* ---- What follows from the arguments ---------------------------------------------------------- */

static int find_time(const char *command, const arguments *a, uint64_t *out_ms)
{
    ph_str header = given(a, "x-amz-date");
    uint64_t header_ms = 0;
    if (header.ptr && ph_date_parse(header, &header_ms) != PH_OK)
        return cli_usage(command, "the header X-Amz-Date is not a time");
    if (a->time && ph_date_parse(ph_str_from(a->time), out_ms) != PH_OK)
        return cli_usage(command, "%s is not a time", a->time);
    if (a->time && header.ptr && header_ms != *out_ms)
        return cli_usage(command, "--time and the header X-Amz-Date differ");
    if (!a->time && header.ptr)
        *out_ms = header_ms;
    else if (!a->time)
        *out_ms = (uint64_t)time(NULL) * 1000;
    return CLI_DONE;
}

static int hash_file(const char *name, char hex[65])
{
    char piece[65536];
    bool is_stdin = strcmp(name, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : 0;
    ph_hash hash;
    ph_hash_init(&hash, PH_ALG_SHA256);
    while (fd >= 0) {
        n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        ph_hash_update(&hash, piece, (size_t)n);
    }
    if (n < 0)
        cli_say("%s: %s", name, strerror(errno));
    if (fd >= 0 && !is_stdin)
        close(fd);
    ph_digest d;
    ph_hash_digest(&hash, &d);
    for (size_t i = 0; i < d.len; i++)
        snprintf(hex + 2 * i, 3, "%02x", d.bytes[i]);
    return n < 0 ? CLI_OTHER : CLI_DONE;
}

/* `hex` holds what the result may point to. */
static int find_payload(const char *command, const arguments *a, char hex[65], ph_str *out)
{
    ph_str header = given(a, "x-amz-content-sha256");
    bool s3 = ph_str_equal(a->service, PH_STR("s3"));
    ph_str text = a->payload ? ph_str_from(a->payload) : header;
    uint8_t raw[PH_SHA256_LEN];
    size_t len;
    int code = CLI_DONE;
    if (!text.ptr)
        text = s3 && a->presign ? PH_STR("unsigned") : PH_STR("empty");
    if (ph_str_equal(text, PH_STR("unsigned"))) {
        *out = PH_UNSIGNED_PAYLOAD;
    } else if (ph_str_equal(text, PH_STR("empty"))) {
        *out = PH_EMPTY_SHA256;
    } else if (ph_str_starts(text, PH_STR("@"))) {
        code = hash_file(text.ptr + 1, hex);
        *out = (ph_str){hex, 64};
    } else if (ph_str_starts(text, PH_STR("STREAMING-")) ||
               ph_str_equal(text, PH_UNSIGNED_PAYLOAD)) {
        *out = text;
    } else if (ph_dec_hex(text, raw, sizeof raw, &len) == PH_OK && len == sizeof raw) {
        *out = text;
    } else {
        return cli_usage(command, "the payload is not empty, unsigned, a SHA-256 in hex or @FILE");
    }
    if (code == CLI_DONE && header.ptr && !ph_str_equal(header, *out))
        return cli_usage(command, "--payload and the header X-Amz-Content-Sha256 differ");
    return code;
}

/* ---- The stages ------------------------------------------------------------------------------ */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Encode what may not stand in a URL, and leave all else as it is. */
static void add_encoded(ph_buf *b, ph_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool lone = c == '%' && !(i + 2 < s.len && is_hex(s.ptr[i + 1]) && is_hex(s.ptr[i + 2]));
        if (c <= 0x20 || c >= 0x7f || strchr("\"<>\\^`{|}", c) || lone)
            ph_enc_percent(b, (ph_str){s.ptr + i, 1}, false);
        else
            ph_buf_char(b, s.ptr[i]);
    }
}

static void add_url(ph_buf *b, const ph_url *url, ph_str query)
{
    ph_buf_cstr(b, url->tls ? "https://" : "http://");
    ph_buf_str(b, url->host);
    add_encoded(b, url->path);
    if (query.ptr) {
        ph_buf_char(b, '?');
        add_encoded(b, query);
    }
}

/* In the spelling of S3's documentation. */
static void add_headers(ph_buf *b, const ph_sigv4_result *r)
{
    for (size_t i = 0; i < r->header_count; i++) {
        ph_header h = r->headers[i];
        if (b->len)
            ph_buf_char(b, '\n');
        bool is_result = ph_str_equal(h.name, PH_STR("authorization"));
        ph_buf_str(b, is_result ? PH_STR("Authorization") : h.name);
        ph_buf_cstr(b, ": ");
        ph_buf_str(b, h.value);
    }
}

static int print_stage(const arguments *a, const ph_url *url, const ph_sigv4_result *r)
{
    ph_buf b;
    ph_buf_init(&b, 2 * MAX_URL);
    switch (a->stage) {
    case CANONICAL: ph_buf_str(&b, r->canonical); break;
    case STRING: ph_buf_str(&b, r->string); break;
    case SIGNATURE: ph_buf_cstr(&b, r->signature); break;
    case HEADERS: add_headers(&b, r); break;
    case URL: add_url(&b, url, a->presign ? r->query : url->query); break;
    case STAGE_NONE: break;
    }
    ph_buf_char(&b, '\n');
    return cli_print_buf(&b);
}

/* ---- The command ----------------------------------------------------------------------------- */

/* see cli.h */
int cli_sign(int argc, char **argv)
{
    arguments a;
    bool help = false;
    int code = read_options(argc, argv, &a, &help);
    if (help)
        cli_sign_help();
    if (help || code != CLI_DONE)
        return code;
    if (argc - optind != 2)
        return cli_usage(argv[0], "expected a method and a URL");
    ph_url url;
    ph_creds creds;
    uint64_t time_ms = 0;
    char hex[65];
    ph_str payload;
    if (!split_url(ph_str_from(argv[optind + 1]), &url))
        return cli_usage(argv[0], "%s is not an http or https URL (encode # as %%23)",
                         argv[optind + 1]);
    if (!cli_creds(&creds))
        return cli_usage(argv[0], CLI_NO_CREDS);
    code = find_time(argv[0], &a, &time_ms);
    if (code == CLI_DONE)
        code = find_payload(argv[0], &a, hex, &payload);
    if (code != CLI_DONE)
        return code;
    ph_sigv4 in = {.method = ph_str_from(argv[optind]),
                   .host = url.host,
                   .path = url.path,
                   .query = url.query,
                   .headers = a.header,
                   .header_count = a.header_count,
                   .payload = payload,
                   .region = a.region,
                   .service = a.service,
                   .time_ms = time_ms,
                   .presign_seconds = (uint32_t)a.presign,
                   .creds = &creds};
    ph_sigv4_result result;
    int err = ph_sigv4_sign(&in, NULL, &result);
    if (err == PH_OK) {
        err = print_stage(&a, &url, &result);
        ph_sigv4_result_clear(&result);
    }
    if (err != PH_OK)
        cli_say("%s: %s", ph_err_name(err), ph_err_text(err));
    return cli_exit_of(err);
}
