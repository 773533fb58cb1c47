/* SPDX-License-Identifier: MIT
 *
 * parthaul post: a folder by the forms of browsers. The credentials API signs one form for a whole
 * prefix; with it goes file after file, several at once, each in one request that stores all of it
 * or nothing. So there is nothing to abort, and what was sent already does no harm when it is sent
 * again. Files that a form cannot hold are for `parthaul put`.
 *
 * S3 checks no checksum of a form's file. Its ETag is the MD5 of what it got, unless the object is
 * encrypted by KMS: that is compared with the MD5 of what was read.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "cli.h"
#include "core/checksum.h"
#include "core/date.h"
#include "core/enc.h"
#include "core/endpoint.h"
#include "core/err.h"
#include "core/json.h"
#include "core/json_out.h"
#include "core/reply.h"
#include "core/retry.h"
#include "core/str.h"
#include "folder.h"
#include "login.h"
#include "report.h"
#include "transfer.h"

#define MAX_FIELDS 64
#define MAX_AT_ONCE 32
#define TURN_MS 200
#define STALL_MS 30000u
#define ANSWER_MS 300000u /* the answer comes when gigabytes have been stored */
#define DEFAULT_LIFE_MS 600000u
#define RENEW_AGAIN_MS 5000u

/* see cli.h */
void cli_post_help(void)
{
    cli_print(
        PH_STR("usage: parthaul post DIR --api URL [OPTION]...\n"
               "\n"
               "Uploads all files of a folder and its subfolders with one presigned POST form,\n"
               "which a credentials API issues for a prefix. The key of a file is the prefix and\n"
               "its path below DIR. Symbolic links and other files that are not regular are\n"
               "skipped. Existing objects are overwritten. Nothing is sent if the form does not\n"
               "allow one of the files: its name is not a valid key, it is too large (5 GiB at\n"
               "most), or of another type.\n"
               "\n"
               "  --api URL           base URL of the API; POST URL/v1/post-policy is requested\n"
               "  --token JWT         the user's token; default: PARTHAUL_TOKEN, which is hidden\n"
               "                      from other users of the machine, unlike an option\n"
               "  --api-key KEY       sent as x-api-key, with a token or alone; default:\n"
               "                      PARTHAUL_API_KEY\n"
               "  --folder NAME       below the prefix of the user;\n"
               "                      default: none\n"
               "  --type TYPE         the type of all files, such as text/html, or a prefix\n"
               "                      such as image/; default: any, derived from each name\n"
               "\n"
               "  --concurrency N     files in flight, 1 to 32; default 8\n"
               "  --tries N           attempts of each request; default 6\n"
               "  --timeout SECONDS   abort a request that is stalled for so long;\n"
               "                      default: 30, and 5 minutes for a response\n"
               "  --json              the result of each file, as one JSON object on standard\n"
               "                      output\n"
               "  --quiet             no progress, no warnings\n"
               "\n"
               "AWS_CA_BUNDLE names a file of certificates to trust instead of the system's.\n"
               "\n"
               "Exit codes: 0 done, else that of the first file that failed: 2 usage or an\n"
               "invalid name, 3 denied, 4 network or server, 5 integrity, 1 anything else.\n"));
}

/* ---- Options --------------------------------------------------------------------------------- */

typedef struct arguments {
    const char *dir;
    ph_str api, token, api_key, folder, type;
    uint64_t at_once, tries, timeout_s;
    bool json, quiet, help;
} arguments;

static const struct option options[] = {
    {"api", required_argument, NULL, 'a'},
    {"api-key", required_argument, NULL, 'k'},
    {"concurrency", required_argument, NULL, 'n'},
    {"folder", required_argument, NULL, 'f'},
    {"json", no_argument, NULL, 'j'},
    {"quiet", no_argument, NULL, 'q'},
    {"timeout", required_argument, NULL, 'T'},
    {"token", required_argument, NULL, 't'},
    {"tries", required_argument, NULL, 'y'},
    {"type", required_argument, NULL, 'm'},
    CLI_HELP_OPTION,
};

/* One option. False when its value is not what it wants. */
static bool take_option(int c, void *into)
{
    arguments *a = into;
    ph_str value = ph_str_from(optarg);
    switch (c) {
    case 'a': a->api = value; return value.len > 0;
    case 'f': a->folder = value; return ph_str_is_utf8(value);
    case 'j': a->json = true; return true;
    case 'k': a->api_key = value; return true;
    case 'm': a->type = value; return value.len > 0 && ph_str_is_utf8(value);
    case 'n': return cli_number(1, MAX_AT_ONCE, &a->at_once);
    case 'q': a->quiet = true; return true;
    case 't': a->token = value; return true;
    case 'T': return cli_number(1, 86400, &a->timeout_s);
    case 'y': return cli_number(1, 100, &a->tries);
    case 'h': a->help = true; return true;
    default: return false;
    }
}

static int read_options(int argc, char **argv, arguments *out)
{
    *out = (arguments){.token = cli_env("PARTHAUL_TOKEN"),
                       .api_key = cli_env("PARTHAUL_API_KEY"),
                       .at_once = 8,
                       .tries = 6};
    int code = cli_take_options(argc, argv, options, take_option, out);
    if (code != CLI_DONE)
        return code;
    if (out->help)
        return CLI_DONE;
    if (argc - optind != 1)
        return cli_usage(argv[0], "expected one folder");
    if (!out->api.len)
        return cli_usage(argv[0], "expected --api, which issues the form");
    out->dir = argv[optind];
    return CLI_DONE;
}

/* ---- What is known --------------------------------------------------------------------------- */

/* The API's answer. */
typedef struct form {
    ph_json *doc; /* the texts below lie in it */
    ph_str url, bucket, prefix;
    ph_header fields[MAX_FIELDS]; /* `key` and `type` are replaced for each file */
    size_t count, key_at, type_at;
    uint64_t max_size;
    uint64_t renew_ms; /* when another is asked for, ... */
    uint64_t end_ms;   /* ... and until when this one is good */
} form;

typedef struct outcome {
    bool done, verified;
    char etag[65];
    ph_failure *failure; /* NULL: none, or it was not tried */
} outcome;

/* A place for one file that is under way. */
typedef struct slot {
    bool used, sending;
    bool renewed; /* another form was asked for, since this file was refused with one */
    size_t file;
    source source;
    ph_hash hash;
    uint32_t tries;
    uint64_t sent, again_ms;
} slot;

typedef struct post {
    const arguments *a;
    login login;
    folder folder;
    form form;
    report report;
    transfers *transfers;
    outcome *outcomes;
    slot slots[MAX_AT_ONCE];
    size_t next, done, failed, verified;
    uint64_t bytes_done, random;
    uint32_t retries;
    int first_err; /* of the first file that failed */
    bool stop;     /* nothing more is begun: it would fail too */
} post;

/* A path as it can be shown: names of files are any bytes. */
static void show_path(const char *path, char out[512])
{
    bool text = ph_str_is_utf8(ph_str_from(path));
    ph_text_copy(out, 512, ph_str_from(path));
    for (char *c = out; !text && *c; c++)
        if ((unsigned char)*c > 0x7e)
            *c = '?';
}

static int fail_file(post *p, size_t file, const ph_failure *f)
{
    ph_failure *copy = malloc(sizeof *copy);
    if (!copy)
        return PH_ERR_NOMEM;
    *copy = *f;
    p->outcomes[file].failure = copy;
    p->failed++;
    if (p->first_err == PH_OK)
        p->first_err = f->err;
    char path[512];
    show_path(p->folder.files[file].path, path);
    report_clear(&p->report);
    cli_say("%s: %s: %s%s%s", ph_err_name(f->err), path, f->message, f->s3_code[0] ? ", " : "",
            f->s3_code);
    return PH_OK;
}

static int refuse_file(post *p, size_t file, int err, const char *why)
{
    ph_failure f = {.err = err};
    ph_text_copy(f.message, sizeof f.message, ph_str_from(why ? why : ph_err_text(err)));
    return fail_file(p, file, &f);
}

/* ---- The form -------------------------------------------------------------------------------- */

static void form_clear(form *f)
{
    ph_json_free(f->doc);
    *f = (form){.doc = NULL};
}

static bool read_fields(const ph_json *from, form *f)
{
    bool key = false;
    f->type_at = MAX_FIELDS;
    for (const ph_json *j = ph_json_first(from); j; j = ph_json_next(j)) {
        ph_header h = {ph_json_name(j), ph_json_text(j)};
        if (f->count == MAX_FIELDS || !h.name.len || !h.value.ptr ||
            ph_str_equal_nocase(h.name, PH_STR("file")))
            return false;
        if (ph_str_equal_nocase(h.name, PH_STR("key"))) {
            key = true;
            f->key_at = f->count;
        } else if (ph_str_equal_nocase(h.name, PH_STR("content-type"))) {
            f->type_at = f->count;
        }
        f->fields[f->count++] = h;
    }
    return key;
}

/* How long the form holds, by the API's own clock: ours may be off. */
static uint64_t read_life_ms(const ph_json *doc)
{
    uint64_t now = 0, end = 0;
    if (ph_date_parse(ph_json_member_text(doc, "expires"), &end) != PH_OK ||
        ph_date_parse(ph_json_member_text(doc, "serverTime"), &now) != PH_OK || end <= now)
        return DEFAULT_LIFE_MS;
    return end - now;
}

static int read_form(ph_str body, uint64_t now_ms, form *f)
{
    ph_url url;
    memset(f, 0, sizeof *f);
    int err = ph_json_parse(body, &f->doc);
    if (err != PH_OK)
        return err;
    f->url = ph_json_member_text(f->doc, "url");
    f->bucket = ph_json_member_text(f->doc, "bucket");
    f->prefix = ph_json_member_text(f->doc, "prefix");
    const ph_json *max = ph_json_member(f->doc, "maxSize");
    f->max_size = UINT64_C(5) << 30;
    if (ph_url_parse(f->url, &url) != PH_OK || !f->prefix.ptr ||
        (!ph_json_is_null(max) && !ph_json_u64(max, &f->max_size)) ||
        !read_fields(ph_json_member(f->doc, "fields"), f)) {
        form_clear(f);
        return PH_ERR_BAD_ANSWER;
    }
    uint64_t life_ms = read_life_ms(f->doc);
    f->renew_ms = now_ms + life_ms / 5 * 4;
    f->end_ms = now_ms + life_ms;
    return PH_OK;
}

static bool is_same_place(const form *a, const form *b)
{
    return ph_str_equal(a->bucket, b->bucket) && ph_str_equal(a->prefix, b->prefix);
}

/* There is none now: when to ask again, while the present one is good. */
static void put_off(form *f, uint64_t wait_ms)
{
    f->renew_ms = cli_running_ms() + (wait_ms > RENEW_AGAIN_MS ? wait_ms : RENEW_AGAIN_MS);
    if (f->renew_ms > f->end_ms)
        f->renew_ms = f->end_ms;
}

/* Ask for a form; the failure is in `out`. A second one has to be for the same place. */
static int get_form(post *p, uint64_t tries, ph_failure *out)
{
    form f;
    ask_answer answer;
    ph_buf body, why;
    ph_header headers[LOGIN_HEADERS + 1];
    size_t count = login_headers(&p->login, headers);
    headers[count++] = (ph_header){PH_STR("content-type"), PH_STR("application/json")};
    ph_buf_init(&body, 64u << 10);
    ph_buf_init(&why, 1024);
    ph_json_open(&body, NULL);
    if (p->a->folder.len)
        ph_json_add_text(&body, "folder", p->a->folder);
    if (p->a->type.len)
        ph_json_add_text(&body, "type", p->a->type);
    ph_json_close(&body);
    ph_request request = {.method = PH_METHOD_POST,
                          .url = p->login.url,
                          .headers = headers,
                          .header_count = count,
                          .text = ph_buf_view(&body)};
    int err = ask_send(&request, (uint32_t)tries, (uint32_t)p->a->timeout_s * 1000, &p->report,
                       NULL, &answer);
    if (err == PH_OK)
        err = login_refusal(&p->login, answer.status, ph_buf_view(&answer.body), &why);
    if (err == PH_OK)
        err = read_form(ph_buf_view(&answer.body), cli_running_ms(), &f);
    if (err == PH_OK && p->form.doc && !is_same_place(&f, &p->form)) {
        form_clear(&f);
        err = PH_ERR_FORBIDDEN;
        ph_buf_cstr(&why,
                    "the credentials API has another bucket or prefix for the same folder now");
    }
    if (err == PH_ERR_BAD_CREDENTIALS)
        err = PH_ERR_REFUSED; /* a status that no form comes with */
    if (err == PH_OK) {
        form_clear(&p->form);
        p->form = f;
    } else {
        put_off(&p->form, answer.retry_after_ms);
    }
    *out = (ph_failure){.err = err, .http_status = answer.status, .operation = "POST policy"};
    ph_text_copy(out->message, sizeof out->message,
                 why.len            ? ph_buf_view(&why)
                 : answer.reason[0] ? ph_str_from(answer.reason)
                                    : ph_str_from(ph_err_text(err)));
    ph_text_copy(out->request_id, sizeof out->request_id, ph_str_from(answer.request_id));
    ask_clear(&answer);
    ph_buf_clear(&body);
    ph_buf_clear(&why);
    return err;
}

/* ---- Names and types ------------------------------------------------------------------------- */

/* What the web's files are; S3 shows it to browsers. */
static ph_str type_of(const char *path)
{
    static const struct {
        const char *end, *type;
    } types[] = {
        {".avif", "image/avif"},
        {".bz2", "application/x-bzip2"},
        {".css", "text/css"},
        {".csv", "text/csv"},
        {".eot", "application/vnd.ms-fontobject"},
        {".gif", "image/gif"},
        {".gz", "application/gzip"},
        {".htm", "text/html"},
        {".html", "text/html"},
        {".ico", "image/x-icon"},
        {".jpeg", "image/jpeg"},
        {".jpg", "image/jpeg"},
        {".js", "text/javascript"},
        {".json", "application/json"},
        {".map", "application/json"},
        {".md", "text/markdown"},
        {".mjs", "text/javascript"},
        {".mp3", "audio/mpeg"},
        {".mp4", "video/mp4"},
        {".otf", "font/otf"},
        {".pdf", "application/pdf"},
        {".png", "image/png"},
        {".rst", "text/x-rst"},
        {".svg", "image/svg+xml"},
        {".tar", "application/x-tar"},
        {".tif", "image/tiff"},
        {".tiff", "image/tiff"},
        {".ttf", "font/ttf"},
        {".txt", "text/plain"},
        {".wasm", "application/wasm"},
        {".webm", "video/webm"},
        {".webp", "image/webp"},
        {".woff", "font/woff"},
        {".woff2", "font/woff2"},
        {".xml", "application/xml"},
        {".zip", "application/zip"},
    };
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++)
        if (ph_str_equal_nocase(ph_str_from(dot), ph_str_from(types[i].end)))
            return ph_str_from(types[i].type);
    return PH_STR("application/octet-stream");
}

static bool is_family(ph_str type)
{
    return ph_str_ends(type, PH_STR("/"));
}

static ph_str type_for(const post *p, const char *path)
{
    return p->a->type.len && !is_family(p->a->type) ? p->a->type : type_of(path);
}

/* Does S3 put the name of the file there? Then the key would not be the one that was meant. */
static bool has_variable(const char *path)
{
    return strstr(path, "${filename}") != NULL;
}

static int check_file(post *p, size_t i)
{
    ph_buf key;
    const folder_file *file = &p->folder.files[i];
    ph_str type = type_for(p, file->path);
    ph_buf_init(&key, 1024);
    ph_buf_str(&key, p->form.prefix);
    ph_buf_cstr(&key, file->path);
    int bad = key.err == PH_ERR_TOO_LONG ? PH_ERR_BAD_KEY
              : key.err != PH_OK         ? key.err
                                         : ph_key_check(ph_buf_view(&key));
    ph_buf_clear(&key);
    if (bad != PH_OK)
        return refuse_file(p, i, bad, NULL);
    if (has_variable(file->path))
        return refuse_file(p, i, PH_ERR_BAD_KEY, "S3 would replace ${filename} in the key");
    if (strchr(file->path, '\\')) /* then two files could become one object */
        return refuse_file(p, i, PH_ERR_BAD_KEY, "some servers take \\ in a key for /");
    if (file->size > p->form.max_size)
        return refuse_file(p, i, PH_ERR_TOO_LARGE, "the file is larger than the form allows");
    if (p->a->type.len && is_family(p->a->type) && !ph_str_starts(type, p->a->type))
        return refuse_file(p, i, PH_ERR_BAD_ARG, "by its name the file is not of the --type");
    return PH_OK;
}

/* All of them before any is sent: half a folder helps nobody. */
static int check_files(post *p)
{
    for (size_t i = 0; i < p->folder.count; i++) {
        int err = check_file(p, i);
        if (err != PH_OK)
            return err;
    }
    return PH_OK;
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void free_slot(slot *s)
{
    if (s->used)
        source_close(&s->source);
    *s = (slot){.used = false};
}

static int send_slot(post *p, slot *s)
{
    ph_header fields[MAX_FIELDS + 1];
    const form *f = &p->form;
    const char *path = p->folder.files[s->file].path;
    const char *slash = strrchr(path, '/');
    ph_str type = type_for(p, path);
    ph_buf key;
    size_t count = f->count;
    ph_buf_init(&key, 1024);
    ph_buf_str(&key, f->prefix);
    ph_buf_cstr(&key, path);
    memcpy(fields, f->fields, count * sizeof fields[0]);
    fields[f->key_at].value = ph_buf_view(&key);
    if (f->type_at < MAX_FIELDS)
        fields[f->type_at].value = type;
    ph_hash_init(&s->hash, PH_ALG_MD5);
    transfer_form request = {.url = f->url,
                             .fields = fields,
                             .field_count = count,
                             .file = &s->source,
                             .file_name = slash ? slash + 1 : path,
                             .file_type = type,
                             .hash = &s->hash,
                             .stall_ms = STALL_MS,
                             .answer_ms = ANSWER_MS};
    int err = key.err;
    if (err == PH_OK)
        err = transfers_post(p->transfers, (uint32_t)(s - p->slots) + 1, &request);
    ph_buf_clear(&key);
    s->sending = err == PH_OK;
    s->sent = 0;
    s->tries++;
    return err;
}

/* Take the next file that can be opened. */
static int fill_slot(post *p, slot *s)
{
    while (p->next < p->folder.count) {
        size_t i = p->next++;
        *s = (slot){.file = i};
        int err = folder_file_open(&p->folder, &p->folder.files[i], &s->source);
        if (err == PH_OK) {
            s->used = true;
            return PH_OK;
        }
        char why[256];
        snprintf(why, sizeof why, "%s (%s)", ph_err_text(err), strerror(errno));
        err = refuse_file(p, i, err, err == PH_ERR_FILE_UNREADABLE ? why : NULL);
        if (err != PH_OK)
            return err;
    }
    return PH_OK;
}

/*
 * A form whose life ends is replaced. Files that are on their way meanwhile wait a moment. An API that is
 * away for now is asked again later: until the form's end nothing has to wait for it.
 */
static int keep_form(post *p)
{
    ph_failure f;
    while (!p->stop && cli_running_ms() >= p->form.renew_ms) {
        bool good = cli_running_ms() < p->form.end_ms;
        int err = get_form(p, good ? 1 : p->a->tries, &f);
        if (err == PH_OK || err == PH_ERR_NOMEM)
            return err;
        if (good && ph_err_retry(err) == PH_RETRY_BACKOFF) {
            ph_notice n = {.kind = PH_NOTICE_RETRY,
                           .err = err,
                           .until_ms = p->form.renew_ms,
                           .message = f.message};
            report_notice(&p->report, &n, "", cli_running_ms());
            continue;
        }
        report_clear(&p->report);
        cli_say("%s: %s", ph_err_name(err), f.message);
        if (p->first_err == PH_OK)
            p->first_err = err;
        p->stop = true;
    }
    return PH_OK;
}

static int begin(post *p)
{
    uint64_t now = cli_running_ms();
    int err = PH_OK;
    for (size_t i = 0; err == PH_OK && i < p->a->at_once; i++) {
        slot *s = &p->slots[i];
        if (s->sending || (s->used && s->again_ms > now))
            continue;
        if (p->stop && !s->used)
            continue;
        if (!s->used)
            err = fill_slot(p, s);
        if (err == PH_OK && s->used)
            err = keep_form(p);
        if (err == PH_OK && s->used)
            err = send_slot(p, s);
    }
    return err;
}

/* ---- What came of it ------------------------------------------------------------------------- */

static bool is_kms(const ph_event *e)
{
    for (size_t i = 0; i < e->header_count; i++)
        if (ph_str_equal(e->headers[i].name, PH_STR("x-amz-server-side-encryption")) &&
            ph_str_starts(e->headers[i].value, PH_STR("aws:")))
            return true;
    return false;
}

/* Is the ETag the MD5 of what was read? An ETag of another form says nothing. */
static int compare_etag(const slot *s, const ph_event *e, ph_str etag, bool *verified)
{
    ph_digest digest;
    uint8_t theirs[16];
    size_t len;
    *verified = false;
    if (is_kms(e) || etag.len != 32 || ph_dec_hex(etag, theirs, sizeof theirs, &len) != PH_OK)
        return PH_OK;
    ph_hash_digest(&s->hash, &digest);
    *verified = s->hash.length == s->source.size && memcmp(theirs, digest.bytes, len) == 0;
    return *verified ? PH_OK : PH_ERR_BAD_DIGEST;
}

static void succeed(post *p, slot *s, ph_str etag, bool verified)
{
    outcome *o = &p->outcomes[s->file];
    o->done = true;
    o->verified = verified;
    ph_text_copy(o->etag, sizeof o->etag, etag);
    p->done++;
    p->verified += verified ? 1 : 0;
    p->bytes_done += s->source.size;
    free_slot(s);
}

/* Would every other file meet the same? A server that failed all tries is not asked for more. */
static bool is_common(int err)
{
    switch (err) {
    case PH_ERR_TLS:
    case PH_ERR_ACCESS_DENIED:
    case PH_ERR_BAD_SIGNATURE:
    case PH_ERR_CLOCK_SKEW:
    case PH_ERR_EXPIRED_TOKEN:
    case PH_ERR_INVALID_TOKEN:
    case PH_ERR_NO_SUCH_BUCKET:
    case PH_ERR_REDIRECT: return true;
    default: return ph_err_retry(err) == PH_RETRY_BACKOFF;
    }
}

/* Another try, or the end of this file. */
static int give_back(post *p, slot *s, ph_failure *f, uint32_t retry_after_ms)
{
    enum ph_retry_class class = ph_err_retry(f->err);
    uint64_t now = cli_running_ms();
    f->tries = s->tries;
    s->sending = false;
    if (class == PH_RETRY_REFRESH_CREDS ||
        (f->err == PH_ERR_ACCESS_DENIED && strstr(f->message, "expired"))) {
        p->form.renew_ms = p->form.end_ms = now; /* its life is over earlier than it said */
        class = s->renewed ? PH_RETRY_NEVER : PH_RETRY_BACKOFF;
        s->renewed = true;
    }
    bool again = class == PH_RETRY_BACKOFF || class == PH_RETRY_RESTART_PART;
    f->retryable = again;
    if (again && s->tries < p->a->tries && !p->stop) {
        p->retries++;
        s->again_ms = ph_retry_at(now, s->tries, retry_after_ms, &p->random);
        char path[512];
        ph_notice n = {.kind = PH_NOTICE_RETRY,
                       .err = f->err,
                       .until_ms = s->again_ms,
                       .message = f->message};
        show_path(p->folder.files[s->file].path, path);
        report_notice(&p->report, &n, path, now);
        return PH_OK;
    }
    size_t file = s->file;
    free_slot(s);
    p->stop = p->stop || is_common(f->err);
    return fail_file(p, file, f);
}

/* S3 quotes the condition of the policy that failed. */
static bool quotes_token(const form *f, ph_str message)
{
    for (size_t i = 0; i < f->count; i++)
        if (ph_str_equal_nocase(f->fields[i].name, PH_STR("x-amz-security-token")))
            return cli_quotes(message, f->fields[i].value);
    return false;
}

static int take_response(post *p, slot *s, const ph_event *e)
{
    ph_reply r;
    bool verified = false;
    int err = ph_reply_read(PH_OP_PUT_OBJECT, PH_ALG_NONE, e, &r);
    if (err != PH_OK)
        return err;
    if (r.err == PH_OK)
        r.err = compare_etag(s, e, r.etag, &verified);
    if (r.err == PH_OK) {
        succeed(p, s, r.etag, verified);
    } else {
        ph_failure f = {.err = r.err, .http_status = e->status, .operation = "PostObject"};
        ph_text_copy(f.s3_code, sizeof f.s3_code, ph_str_from(r.s3_code));
        ph_text_copy(f.request_id, sizeof f.request_id, ph_str_from(r.request_id));
        ph_text_copy(f.host_id, sizeof f.host_id, ph_str_from(r.host_id));
        bool told = r.message[0] && !quotes_token(&p->form, ph_str_from(r.message));
        ph_text_copy(f.message, sizeof f.message,
                     ph_str_from(told ? r.message : ph_err_text(r.err)));
        err = give_back(p, s, &f, r.retry_after_ms);
    }
    ph_reply_clear(&r);
    return err;
}

static int take_event(post *p, const ph_event *e)
{
    slot *s = &p->slots[e->id - 1];
    if (e->kind == PH_EVENT_SENT) {
        s->sent = e->bytes < s->source.size ? e->bytes : s->source.size;
        return PH_OK;
    }
    if (e->kind == PH_EVENT_RESPONSE)
        return take_response(p, s, e);
    ph_failure f = {.err = e->err, .operation = "PostObject"};
    const char *reason = transfers_reason(p->transfers);
    bool local = e->kind == PH_EVENT_UNREADABLE || !*reason;
    ph_text_copy(f.message, sizeof f.message, ph_str_from(local ? ph_err_text(e->err) : reason));
    return give_back(p, s, &f, 0);
}

static bool is_busy(const post *p)
{
    for (size_t i = 0; i < p->a->at_once; i++)
        if (p->slots[i].used)
            return true;
    return !p->stop && p->next < p->folder.count;
}

/* How long nothing has to be done but to wait for the network. */
static int wait_ms(const post *p)
{
    uint64_t now = cli_running_ms(), wait = TURN_MS;
    for (size_t i = 0; i < p->a->at_once; i++) {
        const slot *s = &p->slots[i];
        if (s->used && !s->sending)
            wait = s->again_ms <= now ? 0 : s->again_ms - now < wait ? s->again_ms - now : wait;
    }
    return (int)wait;
}

static void show_progress(post *p)
{
    report_folder f = {.files = p->folder.count,
                       .files_done = p->done,
                       .bytes = p->folder.bytes,
                       .bytes_done = p->bytes_done};
    for (size_t i = 0; i < p->a->at_once; i++)
        f.bytes_done += p->slots[i].sending ? p->slots[i].sent : 0;
    report_folder_progress(&p->report, &f, cli_running_ms());
}

static int run(post *p)
{
    ph_event e;
    int err = transfers_new(NULL, cli_env("AWS_CA_BUNDLE").ptr, (uint32_t)p->a->timeout_s * 1000,
                            &p->transfers);
    while (err == PH_OK && is_busy(p)) {
        err = begin(p);
        show_progress(p);
        if (err == PH_OK && is_busy(p))
            transfers_turn(p->transfers, wait_ms(p));
        while (err == PH_OK && transfers_take(p->transfers, &e))
            err = take_event(p, &e);
    }
    return err;
}

/* ---- The end --------------------------------------------------------------------------------- */

static void add_file(ph_buf *b, const post *p, size_t i)
{
    const outcome *o = &p->outcomes[i];
    ph_str path = ph_str_from(p->folder.files[i].path);
    ph_buf key;
    ph_json_open(b, NULL);
    if (ph_str_is_utf8(path)) { /* else there is no way to write it */
        ph_buf_init(&key, 1u << 20);
        ph_buf_str(&key, p->form.prefix);
        ph_buf_str(&key, path);
        ph_json_add_text(b, "file", path);
        if (o->done)
            ph_json_add_text(b, "key", ph_buf_view(&key));
        ph_buf_clear(&key);
    }
    ph_json_add_u64(b, "size", p->folder.files[i].size);
    ph_json_add_cstr(b, "status", o->done ? "done" : o->failure ? "failed" : "not sent");
    if (o->done) {
        ph_json_add_cstr(b, "etag", o->etag);
        ph_json_add_bool(b, "verified", o->verified);
    }
    if (o->failure)
        report_add_failure(b, o->failure);
    ph_json_close(b);
}

static int print_json(const post *p)
{
    ph_buf b;
    ph_buf_init(&b, (size_t)1 << 30);
    ph_json_open(&b, NULL);
    ph_json_add_cstr(&b, "status", p->first_err == PH_OK ? "done" : "failed");
    if (p->first_err != PH_OK) {
        ph_json_add_cstr(&b, "code", ph_err_name(p->first_err));
        ph_json_add_cstr(&b, "message", ph_err_text(p->first_err));
    }
    ph_json_add_text(&b, "bucket", p->form.bucket);
    ph_json_add_text(&b, "prefix", p->form.prefix);
    ph_json_add_u64(&b, "fileCount", p->folder.count);
    ph_json_add_u64(&b, "doneCount", p->done);
    ph_json_add_u64(&b, "failedCount", p->failed);
    ph_json_add_u64(&b, "verifiedCount", p->verified);
    ph_json_add_u64(&b, "leftOutCount", p->folder.left_count);
    ph_json_add_u64(&b, "size", p->bytes_done);
    ph_json_add_u64(&b, "retries", p->retries);
    ph_json_open_array(&b, "files");
    for (size_t i = 0; i < p->folder.count; i++)
        add_file(&b, p, i);
    ph_json_close_array(&b);
    ph_json_close(&b);
    ph_buf_char(&b, '\n');
    return cli_print_buf(&b);
}

static void print_summary(const post *p)
{
    char size[32];
    const form *f = &p->form;
    report_size((double)p->bytes_done, size);
    printf("s3://");
    cli_print_text(f->bucket);
    printf("/");
    cli_print_text(f->prefix);
    printf("  %zu of %zu files, %s, %zu verified by their MD5", p->done, p->folder.count, size,
           p->verified);
    if (p->failed)
        printf(", %zu failed", p->failed);
    if (p->folder.left_count)
        printf(", %zu left out", p->folder.left_count);
    if (p->retries)
        printf(", %u requests retried", (unsigned)p->retries);
    printf("\n");
}

static void say_left_out(const post *p)
{
    char path[512];
    for (size_t i = 0; !p->a->quiet && i < p->folder.left_count; i++) {
        show_path(p->folder.left_out[i], path);
        cli_say("skipped: %s is not a regular file", path);
    }
}

static int upload(post *p)
{
    ph_failure f;
    if (get_form(p, p->a->tries, &f) != PH_OK)
        return report_failure(&p->report, &f, "");
    p->outcomes = calloc(p->folder.count ? p->folder.count : 1, sizeof *p->outcomes);
    int err = p->outcomes ? check_files(p) : PH_ERR_NOMEM;
    if (err == PH_OK && p->first_err == PH_OK)
        err = run(p);
    report_clear(&p->report);
    if (err == PH_OK && p->a->json)
        err = print_json(p);
    else if (err == PH_OK)
        print_summary(p);
    return err == PH_OK ? cli_exit_of(p->first_err) : report_error(&p->report, err, NULL);
}

static void post_clear(post *p)
{
    transfers_free(p->transfers); /* before the files that it reads */
    for (size_t i = 0; i < MAX_AT_ONCE; i++)
        free_slot(&p->slots[i]);
    for (size_t i = 0; p->outcomes && i < p->folder.count; i++)
        free(p->outcomes[i].failure);
    free(p->outcomes);
    form_clear(&p->form);
    folder_close(&p->folder);
    login_clear(&p->login);
}

/* see cli.h */
int cli_post(int argc, char **argv)
{
    arguments a;
    char why[512];
    int code = read_options(argc, argv, &a);
    if (code == CLI_DONE && a.help) {
        cli_post_help();
        return CLI_DONE;
    }
    if (code != CLI_DONE)
        return code;
    post *p = calloc(1, sizeof *p);
    if (!p)
        return CLI_OTHER;
    p->a = &a;
    p->folder.fd = -1;
    p->random = cli_running_ms() << 20 ^ (uint64_t)getpid();
    report_init(&p->report, a.json, a.quiet, cli_running_ms());
    code = login_start(&p->login, argv[0], a.api, "/v1/post-policy", a.token, a.api_key);
    int err = code == CLI_DONE ? folder_open(a.dir, &p->folder, why) : PH_OK;
    if (err != PH_OK) {
        code = report_error(&p->report, err, why);
    } else if (code == CLI_DONE) {
        say_left_out(p);
        code = upload(p);
    }
    post_clear(p);
    free(p);
    return code;
}
