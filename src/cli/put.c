/* SPDX-License-Identifier: MIT
 *
 * parthaul put: from the command line to an upload's options. The upload itself is host.c's. The
 * options for what an object can be given come from the engine's own table, so that none is
 * missing here.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "core/request.h"
#include "core/snapshot.h"
#include "core/str.h"
#include "host.h"

#define MAX_METADATA 24 /* the engine's limit */
#define MAX_NAME 40

/* ---- The manual ------------------------------------------------------------------------------ */

/* "sseKmsKeyId" is --sse-kms-key-id. */
static void name_option(ph_property p, char out[MAX_NAME])
{
    size_t n = 0;
    for (const char *c = ph_property_option(p); *c && n + 2 < MAX_NAME; c++) {
        bool upper = *c >= 'A' && *c <= 'Z';
        if (upper)
            out[n++] = '-';
        out[n++] = upper ? (char)(*c + 32) : *c;
    }
    out[n] = '\0';
}

/* see cli.h */
void cli_put_help(void)
{
    cli_print(
        PH_STR("usage: parthaul put [OPTION]... FILE s3://BUCKET/KEY\n"
               "\n"
               "Uploads a file, in parts if it is larger than one part, and verifies the stored\n"
               "object. If KEY is missing or ends with /, the name of the file is appended.\n"
               "An existing object is overwritten unless --no-overwrite is given.\n"
               "\n"
               "Credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and\n"
               "AWS_SESSION_TOKEN, or from a credentials API:\n"
               "\n"
               "  --api URL           base URL of the API; GET URL/v1/credentials is requested\n"
               "  --token JWT         the user's token; default: PARTHAUL_TOKEN, which is hidden\n"
               "                      from other users of the machine, unlike an option\n"
               "  --api-key KEY       sent as x-api-key if the API requires one; default:\n"
               "                      PARTHAUL_API_KEY\n"
               "\n"
               "Location of the bucket:\n"
               "\n"
               "  --endpoint URL      default: the endpoint given by the API,\n"
               "                      AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS\n"
               "  --region NAME       default: the region given by the API, AWS_REGION,\n"
               "                      AWS_DEFAULT_REGION, us-east-1\n"
               "  --path-style, --virtual-host   the bucket in the path, or in the host name;\n"
               "                      default: host name for AWS, path for other servers and\n"
               "                      for bucket names with dots\n"
               "  --dualstack, --accelerate      use these endpoints of AWS\n"
               "\n"
               "Transfer:\n"
               "\n"
               "  --part-size SIZE    5MiB to 5GiB; default 16 to 32MiB, more over 156 GiB. A\n"
               "                      file of at most one part is sent by PutObject\n"
               "  --checksum NAME     crc64nvme (default), crc32c, crc32, sha256, sha1, md5 or\n"
               "                      none\n"
               "  --checksum-type T   full-object or composite; default: full-object if the\n"
               "                      algorithm supports it\n"
               "  --concurrency N     parts in flight, 1 to 32; default: 6, and up to 8 while\n"
               "                      that increases the throughput\n"
               "  --max-rate SIZE     rate limit in bytes per second, such as 500KiB or 10MiB;\n"
               "                      default: none\n"
               "  --polite            background mode: one part at a time, then a pause\n"
               "  --tries N           attempts of a request before the upload pauses and probes\n"
               "                      the server; default 8\n"
               "  --patience SECONDS  once it has paused: fail if requests have failed for so\n"
               "                      long without any success, 0: never; default: 600, with\n"
               "                      --tries at once\n"
               "  --timeout SECONDS   abort a request that is stalled for so long;\n"
               "                      default: 30 for parts, minutes for a response\n"
               "  --signed-payload    include the SHA-256 of each body in the signature;\n"
               "                      default: only over plain HTTP to another machine\n"
               "  --no-overwrite      fail with EXISTS if there is an object of that key, where\n"
               "                      the server supports If-None-Match; a file of one part\n"
               "                      succeeds if the object is identical to it\n"
               "\n"
               "An interrupted upload (a crash, Ctrl-C, a network outage) can be resumed: run\n"
               "the same command again. It finds its state in $XDG_STATE_HOME/parthaul\n"
               "(~/.local/state/parthaul), reads the file again, and sends the missing parts.\n"
               "\n"
               "  --resume auto       resume if there is an interrupted upload; the default\n"
               "  --resume never      abort an interrupted upload, start over, store no state\n"
               "  --abort             only abort the interrupted upload and delete its parts\n"
               "\n"
               "Output:\n"
               "\n"
               "  --json              the receipt or the error as one JSON object on standard\n"
               "                      output\n"
               "  --quiet             no progress, no warnings\n"
               "\n"
               "Properties of the object:\n"
               "\n"
               "  --metadata NAME=VALUE          may be repeated\n"));
    for (unsigned p = 0; p < PH_PROP_COUNT; p++) {
        char name[MAX_NAME];
        name_option((ph_property)p, name);
        printf("  --%s VALUE%*s%s\n", name, (int)(23 - strlen(name)), " ",
               ph_property_header((ph_property)p));
    }
    cli_print(
        PH_STR("\n"
               "AWS_CA_BUNDLE names a file of certificates to trust instead of the system's.\n"
               "SIGINT and SIGTERM stop the upload, so that it can be resumed, or abort it if\n"
               "its state is not stored; a second one ends the program at once.\n"
               "\n"
               "Exit codes: 0 done, 2 usage, 3 denied, 4 network or server, 5 integrity,\n"
               "1 anything else.\n"));
}

/* ---- Options --------------------------------------------------------------------------------- */

typedef struct arguments {
    ph_upload_options upload;
    ph_header metadata[MAX_METADATA];
    ph_str region; /* as given here; the environment's are in upload.target */
    ph_str endpoint;
    ph_str api;
    ph_str token;
    ph_str api_key;
    uint64_t timeout_s;
    bool patience_given;
    bool alg_given;
    bool never;
    bool abort;
    bool json;
    bool quiet;
    bool help;
} arguments;

enum { PROPERTY = 1000 };

#define PATIENCE_MS (600u * 1000)

static const struct option fixed_options[] = {
    {"abort", no_argument, NULL, 'X'},
    {"accelerate", no_argument, NULL, 'A'},
    {"api", required_argument, NULL, 'a'},
    {"api-key", required_argument, NULL, 'k'},
    {"checksum", required_argument, NULL, 'c'},
    {"checksum-type", required_argument, NULL, 'C'},
    {"concurrency", required_argument, NULL, 'n'},
    {"dualstack", no_argument, NULL, 'D'},
    {"endpoint", required_argument, NULL, 'e'},
    {"json", no_argument, NULL, 'j'},
    {"max-rate", required_argument, NULL, 'M'},
    {"metadata", required_argument, NULL, 'm'},
    {"no-overwrite", no_argument, NULL, 'o'},
    {"part-size", required_argument, NULL, 'p'},
    {"path-style", no_argument, NULL, 'P'},
    {"patience", required_argument, NULL, 'w'},
    {"polite", no_argument, NULL, 'l'},
    {"quiet", no_argument, NULL, 'q'},
    {"region", required_argument, NULL, 'r'},
    {"resume", required_argument, NULL, 'R'},
    {"signed-payload", no_argument, NULL, 'S'},
    {"timeout", required_argument, NULL, 'T'},
    {"token", required_argument, NULL, 't'},
    {"tries", required_argument, NULL, 'y'},
    {"virtual-host", no_argument, NULL, 'V'},
    CLI_HELP_OPTION,
};

#define FIXED (sizeof fixed_options / sizeof fixed_options[0])

static bool read_checksum(arguments *a)
{
    ph_upload_options *o = &a->upload;
    a->alg_given = true;
    o->alg = ph_alg_by_name(ph_str_from(optarg));
    return o->alg != PH_ALG_NONE || strcmp(optarg, "none") == 0;
}

static bool read_type(ph_checksum_type *out)
{
    ph_str s = ph_str_from(optarg);
    *out = ph_str_equal_nocase(s, PH_STR("composite")) ? PH_TYPE_COMPOSITE : PH_TYPE_FULL_OBJECT;
    return *out == PH_TYPE_COMPOSITE || ph_str_equal_nocase(s, PH_STR("full-object")) ||
           ph_str_equal_nocase(s, PH_STR("full_object"));
}

static bool read_metadata(arguments *a)
{
    ph_object *object = &a->upload.object;
    ph_str value = ph_str_from(optarg);
    ph_str name = ph_str_cut(&value, '=');
    if (!value.ptr || !name.len || object->metadata_count == MAX_METADATA)
        return false;
    a->metadata[object->metadata_count++] = (ph_header){name, value};
    object->metadata = a->metadata;
    return true;
}

/* One option. False when its value is not what it wants. */
static bool take_option(int c, void *into)
{
    arguments *a = into;
    ph_upload_options *o = &a->upload;
    uint64_t number = 0;
    bool ok = true;
    switch (c) {
    case 'A': o->target.accelerate = true; break;
    case 'a': a->api = ph_str_from(optarg); return a->api.len > 0;
    case 'c': return read_checksum(a);
    case 'C': return read_type(&o->type);
    case 'n':
        ok = cli_number(1, 32, &number);
        o->concurrency = (uint32_t)number;
        break;
    case 'D': o->target.dualstack = true; break;
    case 'e': a->endpoint = ph_str_from(optarg); return a->endpoint.len > 0;
    case 'j': a->json = true; break;
    case 'k': a->api_key = ph_str_from(optarg); break;
    case 'l': o->polite = true; break;
    case 'M': return cli_size(optarg, &o->max_rate) && o->max_rate > 0;
    case 'm': return read_metadata(a);
    case 'o': o->object.overwrite = false; break;
    case 'p': return cli_size(optarg, &o->part_size) && o->part_size > 0;
    case 'P': o->target.addressing = PH_ADDRESSING_PATH; break;
    case 'q': a->quiet = true; break;
    case 'r': a->region = ph_str_from(optarg); return a->region.len > 0;
    case 'R': a->never = strcmp(optarg, "never") == 0; return a->never || !strcmp(optarg, "auto");
    case 'S': o->payload = PH_PAYLOAD_SIGNED; break;
    case 'T': return cli_number(1, 86400, &a->timeout_s);
    case 't': a->token = ph_str_from(optarg); break;
    case 'y':
        ok = cli_number(1, 100, &number);
        o->tries = (uint32_t)number;
        break;
    case 'w':
        ok = cli_number(0, 30 * 86400, &number);
        o->patience_ms = number * 1000;
        a->patience_given = ok;
        break;
    case 'V': o->target.addressing = PH_ADDRESSING_VIRTUAL; break;
    case 'X': a->abort = true; break;
    case 'h': a->help = true; break;
    default:
        if (c < PROPERTY)
            return false;
        o->object.property[c - PROPERTY] = ph_str_from(optarg);
    }
    return ok;
}

/* Returns CLI_DONE, or the exit code after what was wrong has been said. */
static int read_options(int argc, char **argv, arguments *out)
{
    struct option table[FIXED + PH_PROP_COUNT];
    char names[PH_PROP_COUNT][MAX_NAME];
    for (unsigned p = 0; p < PH_PROP_COUNT; p++) {
        name_option((ph_property)p, names[p]);
        table[p] = (struct option){names[p], required_argument, NULL, PROPERTY + (int)p};
    }
    memcpy(table + PH_PROP_COUNT, fixed_options, sizeof fixed_options);
    *out = (arguments){.token = cli_env("PARTHAUL_TOKEN"), .api_key = cli_env("PARTHAUL_API_KEY")};
    out->upload.alg = PH_ALG_CRC64NVME;
    out->upload.object.overwrite = true;
    int code = cli_take_options(argc, argv, table, take_option, out);
    if (code != CLI_DONE)
        return code;
    if (!out->patience_given)
        out->upload.patience_ms = out->upload.tries ? 1 : PATIENCE_MS;
    return CLI_DONE;
}

/* ---- What follows from them ------------------------------------------------------------------ */

static ph_str base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return ph_str_from(slash ? slash + 1 : path);
}

/* Read s3://BUCKET/KEY; a key that is a folder, or none, gets the file's name. */
static int read_target(const char *command, const char *file, const char *text, ph_buf *key,
                       ph_target *out)
{
    ph_str rest;
    int code = cli_s3_url(command, text, &out->bucket, &rest);
    if (code != CLI_DONE)
        return code;
    ph_buf_str(key, rest);
    if (!rest.len || ph_str_ends(rest, PH_STR("/")))
        ph_buf_str(key, base_name(file));
    out->key = ph_buf_view(key);
    return CLI_DONE;
}

/* Name the option whose value cannot be a header; the engine would refuse it without a name. */
static int check_object(const char *command, const ph_object *object)
{
    for (unsigned p = 0; p < PH_PROP_COUNT; p++) {
        char name[MAX_NAME];
        ph_object one = {0};
        one.property[p] = object->property[p];
        name_option((ph_property)p, name);
        if (ph_object_check(&one) != PH_OK)
            return cli_usage(command, "the value of --%s is too long, or not printable ASCII",
                             name);
    }
    if (ph_object_check(object) != PH_OK)
        return cli_usage(command, "metadata are names of letters, digits, - _ . and values of "
                                  "printable ASCII, 2 KiB in all");
    return CLI_DONE;
}

static int open_file(const char *command, const char *path, report *r, source *out)
{
    char what[256];
    if (strcmp(path, "-") == 0)
        return cli_usage(command, "a file is read more than once, so - cannot be uploaded");
    int err = source_open(path, out);
    if (err == PH_ERR_BAD_ARG)
        return cli_usage(command, "%s is not a regular file", path);
    if (err != PH_OK) {
        snprintf(what, sizeof what, "%s: %s", path, strerror(errno));
        return report_error(r, err, what);
    }
    return CLI_DONE;
}

/* ---- The command ----------------------------------------------------------------------------- */

static int choose_credentials(const char *command, arguments *a, login *l, ph_buf *document)
{
    const ph_target *t = &a->upload.target;
    memset(l, 0, sizeof *l);
    if (!a->api.len && !login_environment(document))
        return cli_usage(command, CLI_NO_CREDS ", or use --api");
    if (!a->api.len) {
        a->upload.credentials = ph_buf_view(document);
        return CLI_DONE;
    }
    int code = login_start(l, command, a->api, "/v1/credentials", a->token, a->api_key);
    if (code != CLI_DONE)
        return code;
    l->bucket = t->bucket;
    l->key = t->key;
    l->region = a->region;
    l->endpoint = a->endpoint;
    return CLI_DONE;
}

/* Without an --endpoint it is the API that says where objects go, whatever the environment does. */
static bool is_api_place(const arguments *a)
{
    return a->api.len && !a->endpoint.len;
}

/* Where the object goes, as text: two uploads of one file to two places are two. */
static void name_destination(const arguments *a, ph_buf *b)
{
    const ph_target *t = &a->upload.target;
    ph_buf_str(b, is_api_place(a) ? a->api : t->endpoint);
    ph_buf_cstr(b, " s3://");
    ph_buf_str(b, t->bucket);
    ph_buf_char(b, '/');
    ph_buf_str(b, t->key);
}

/* An option that is another than when the upload began, which cannot be changed now; or NULL. */
static const char *find_change(const arguments *a, const ph_upload_options *was,
                               char name[MAX_NAME])
{
    const ph_upload_options *is = &a->upload;
    if (is->part_size && is->part_size != was->part_size)
        return "part-size";
    /* What the server lacks is not what was asked for. */
    unsigned lack = is->alg == PH_ALG_MD5 ? PH_LACK_CONTENT_MD5 : PH_LACK_CHECKSUM;
    bool lessened = was->server_lacks & lack;
    if (a->alg_given && is->alg != was->alg && !lessened)
        return "checksum";
    if (is->type != PH_TYPE_NONE && is->type != was->type && !lessened)
        return "checksum-type";
    if (is->object.overwrite != was->object.overwrite)
        return "no-overwrite";
    for (unsigned p = 0; p < PH_PROP_COUNT; p++) {
        name_option((ph_property)p, name);
        if (!ph_str_equal(is->object.property[p], was->object.property[p]))
            return name;
    }
    bool same = is->object.metadata_count == was->object.metadata_count;
    for (size_t i = 0; same && i < is->object.metadata_count; i++)
        same = ph_str_equal(is->object.metadata[i].name, was->object.metadata[i].name) &&
               ph_str_equal(is->object.metadata[i].value, was->object.metadata[i].value);
    return same ? NULL : "metadata";
}

static bool is_same_place(const ph_target *a, const ph_target *b)
{
    return ph_str_equal(a->bucket, b->bucket) && ph_str_equal(a->key, b->key);
}

/* What is kept, if anything is. */
typedef struct found {
    int err; /* PH_ERR_NOT_KEPT: nothing; SNAPSHOT_DAMAGED, SNAPSHOT_NEWER: nothing of use */
    ph_buf text;
    ph_snapshot snapshot; /* where err is PH_OK */
} found;

/* A snapshot is not obeyed before it is whole and of this place. Returns an exit code. */
static int look(const kept *k, const ph_target *place, bool never, report *r, found *out)
{
    bool there = false;
    ph_buf_init(&out->text, PH_SNAPSHOT_MAX + 8192);
    out->err = kept_read(k, &out->text, &there);
    if (out->err != PH_OK && never) { /* nobody wants to know what is in it */
        out->err = PH_ERR_SNAPSHOT_DAMAGED;
        return CLI_DONE;
    }
    if (out->err != PH_OK) {
        char what[640];
        snprintf(what, sizeof what, "%s: %s", k->where, strerror(errno));
        ph_buf_clear(&out->text);
        return report_error(r, out->err, what);
    }
    out->err = PH_ERR_NOT_KEPT;
    if (there)
        out->err = ph_snapshot_read(ph_buf_view(&out->text), &out->snapshot);
    if (out->err == PH_OK && !is_same_place(&out->snapshot.options.target, place)) {
        ph_snapshot_clear(&out->snapshot);
        out->err = PH_ERR_SNAPSHOT_DAMAGED;
    }
    return CLI_DONE;
}

static void found_clear(found *f)
{
    if (f->err == PH_OK)
        ph_snapshot_clear(&f->snapshot);
    ph_buf_clear(&f->text);
}

/* What is of no use to us stays for whoever can make something of it. */
static void set_aside(const arguments *a, const kept *k, int err)
{
    bool moved = kept_set_aside(k) == PH_OK;
    if (!a->quiet)
        cli_say("warning: %s: %s%s; the upload starts over; list what the earlier one may have "
                "left with `parthaul uploads`",
                k->where, ph_err_text(err), moved ? "; it is renamed to .damaged" : "");
}

/* The size is the one of then, whatever has become of the file. */
static int give_up(const arguments *a, const kept *k, const found *f, const host_options *host)
{
    ph_upload_options options = a->upload;
    host_options one = *host;
    options.size = f->snapshot.options.size;
    one.upload = &options;
    one.kept = k;
    one.snapshot = ph_buf_view(&f->text);
    one.abort = true;
    one.json = host->json && a->abort;
    one.quiet = host->quiet || !a->abort;
    return host_run(&one);
}

static int go_on(const arguments *a, const kept *k, const found *f, report *r, host_options *host)
{
    char name[MAX_NAME], what[256];
    const char *change = f->err == PH_OK ? find_change(a, &f->snapshot.options, name) : NULL;
    if (change) {
        snprintf(what, sizeof what,
                 "the upload was started with a different --%s; use the same again, or start over "
                 "with --resume never",
                 change);
        return report_error(r, PH_ERR_BAD_ARG, what);
    }
    if (f->err == PH_ERR_SNAPSHOT_NEWER)
        return report_error(
            r, f->err,
            "the upload was started by a newer parthaul; resume it with that version, or "
            "start over with --resume never");
    if (f->err == PH_OK && f->snapshot.options.size != a->upload.size)
        return report_error(r, PH_ERR_FILE_CHANGED,
                            "the size of the file has changed since the upload was started; start "
                            "over with --resume never");
    if (f->err == PH_ERR_SNAPSHOT_DAMAGED)
        set_aside(a, k, f->err);
    host->kept = k;
    if (f->err == PH_OK)
        host->snapshot = ph_buf_view(&f->text);
    return host_run(host);
}

/* Do what was asked for with what is kept. */
static int run_kept(const arguments *a, report *r, const kept *k, host_options *host)
{
    found f;
    int code = look(k, &a->upload.target, a->never, r, &f);
    if (code != CLI_DONE)
        return code;
    if (a->abort && f.err != PH_OK) {
        bool none = f.err == PH_ERR_NOT_KEPT;
        code = report_error(r, f.err,
                            none ? "there is no interrupted upload of this file to this destination"
                                 : NULL);
    } else if (a->abort) {
        code = give_up(a, k, &f, host);
    } else if (a->never) {
        if (f.err == PH_OK && !f.snapshot.upload_id.len && !a->quiet)
            cli_say(
                "warning: S3 may hold the interrupted upload, without parts and with an unknown "
                "id; list it with `parthaul uploads`");
        if (f.err == PH_OK)
            give_up(a, k, &f, host); /* if it cannot be, it was said, and is no reason to stop */
        else if (f.err != PH_ERR_NOT_KEPT)
            set_aside(a, k, f.err);
        code = host_signal() ? CLI_OTHER : host_run(host);
    } else {
        code = go_on(a, k, &f, r, host);
    }
    found_clear(&f);
    return code;
}

static int run(const arguments *a, const char *path, report *r, host_options *host)
{
    ph_buf destination;
    kept k;
    char what[640];
    ph_buf_init(&destination, 64u << 10);
    name_destination(a, &destination);
    int err = kept_open(path, ph_buf_view(&destination), &k);
    int why = errno;
    ph_buf_clear(&destination);
    const char *reason = why ? strerror(why) : "neither XDG_STATE_HOME nor HOME is set";
    if (err == PH_ERR_IN_USE)
        return report_error(r, err, "another process is uploading this file to this destination");
    if (err == PH_OK) {
        int code = run_kept(a, r, &k, host);
        kept_close(&k);
        return code;
    }
    snprintf(what, sizeof what, "%s%s%s", k.where, k.where[0] ? ": " : "", reason);
    if (a->abort)
        return report_error(r, err, what);
    if (!a->never && !a->quiet)
        cli_say("warning: the state of this upload cannot be stored, so it cannot be resumed "
                "(%s)",
                what);
    return host_run(host);
}

static int upload(const char *command, arguments *a, const char *path)
{
    report r;
    source file = {.fd = -1};
    login l;
    ph_buf document;
    report_init(&r, a->json, a->quiet, 0);
    int code = a->abort ? CLI_DONE : open_file(command, path, &r, &file);
    if (code != CLI_DONE)
        return code;
    a->upload.size = file.size;
    a->upload.name = base_name(path);
    ph_buf_init(&document, 64u << 10);
    code = choose_credentials(command, a, &l, &document);
    if (code == CLI_DONE) {
        host_options host = {.upload = &a->upload,
                             .file = &file,
                             .login = a->api.len ? &l : NULL,
                             .ca_bundle = cli_env("AWS_CA_BUNDLE").ptr,
                             .timeout_ms = (uint32_t)a->timeout_s * 1000,
                             .json = a->json,
                             .quiet = a->quiet};
        if (!a->never) {
            const ph_str *endpoint = &a->upload.target.endpoint;
            host.place = is_api_place(a) ? l.url : endpoint->len ? *endpoint : PH_STR("AWS");
            a->upload.server_lacks = kept_lacks(host.place);
            if (a->alg_given) /* what was asked for is tried: the server may have learned it */
                a->upload.server_lacks &= ~(unsigned)(PH_LACK_CHECKSUM | PH_LACK_CONTENT_MD5);
        }
        code = run(a, path, &r, &host);
    }
    login_clear(&l);
    ph_buf_clear(&document); /* wipes it */
    source_close(&file);
    return code;
}

/* So that whoever runs this in a loop sees that it was interrupted, not that one file failed. */
static void end_by_signal(int number)
{
    if (!number)
        return;
    fflush(stdout);
    signal(number, SIG_DFL);
    raise(number);
}

/* see cli.h */
int cli_put(int argc, char **argv)
{
    arguments a;
    ph_buf key;
    int code = read_options(argc, argv, &a);
    if (code == CLI_DONE && a.help) {
        cli_put_help();
        return CLI_DONE;
    }
    if (code != CLI_DONE)
        return code;
    if (argc - optind != 2)
        return cli_usage(argv[0], "expected a file and s3://BUCKET/KEY");
    const char *path = argv[optind];
    ph_buf_init(&key, 64u << 10);
    cli_place(a.region, a.endpoint, &a.upload.target);
    code = read_target(argv[0], path, argv[optind + 1], &key, &a.upload.target);
    if (code == CLI_DONE)
        code = check_object(argv[0], &a.upload.object);
    if (code == CLI_DONE)
        code = upload(argv[0], &a, path);
    ph_buf_clear(&key);
    end_by_signal(host_signal());
    return code;
}
