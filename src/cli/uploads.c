/* SPDX-License-Identifier: MIT
 *
 * parthaul uploads: the multipart uploads of a bucket that nobody ended, whose parts cost money for
 * ever; listed, and those of some age given up. The engine is not needed for that: one request
 * after the other, each waited for.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "cli.h"
#include "core/date.h"
#include "core/json_out.h"
#include "core/reply.h"
#include "core/str.h"
#include "core/unfinished.h"
#include "report.h"

#define MAX_MARKER (64u << 10)
#define MAX_JSON (64u << 20) /* more than a page can make of a key */
#define MAX_PAGES 1000       /* a million uploads, where each page is as long as S3's */
#define MAX_PART_PAGES 100
#define ABORTS 3 /* a part that was on its way may land behind the first one */

/* see cli.h */
void cli_uploads_help(void)
{
    cli_print(
        PH_STR("usage: parthaul uploads [OPTION]... s3://BUCKET/PREFIX\n"
               "\n"
               "Lists the incomplete multipart uploads of a bucket whose keys start with PREFIX\n"
               "(all, if it is missing). S3 charges for their parts until they are completed or\n"
               "aborted. Prints a line for each: when it was started, its state (unfinished,\n"
               "would abort, aborted, gone, failed), its id and its key.\n"
               "\n"
               "  --abort-older-than AGE  abort uploads started so long ago: 7d, 12h, 90m or\n"
               "                      30s, even if a client is still sending parts\n"
               "  --dry-run           only show which uploads would be aborted\n"
               "  --sizes             show the number of parts and bytes of each\n"
               "  --json              one JSON object on standard output\n"
               "  --quiet             no summary\n"
               "\n"
               "Credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and\n"
               "AWS_SESSION_TOKEN. They need s3:ListBucketMultipartUploads; aborting also needs\n"
               "s3:AbortMultipartUpload and s3:ListMultipartUploadParts, --sizes the latter.\n"
               "\n"
               "  --endpoint URL      default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else AWS\n"
               "  --region NAME       default: AWS_REGION, AWS_DEFAULT_REGION, us-east-1\n"
               "  --path-style, --virtual-host   the bucket in the path, or in the host name\n"
               "  --tries N           attempts of each request; default 8\n"
               "  --timeout SECONDS   abort a request that is stalled for so long; default: 30\n"
               "\n"
               "Exit codes: 0 done, 2 usage, 3 denied, 4 network or server, 1 anything else;\n"
               "if an upload could not be aborted, the code of the first such error.\n"));
}

/* ---- Options --------------------------------------------------------------------------------- */

typedef struct arguments {
    ph_target target;
    ph_str prefix;
    ph_str region, endpoint;
    uint64_t age_ms, tries, timeout_s;
    bool abort, dry_run, sizes, json, quiet, help;
} arguments;

static const struct option options[] = {
    {"abort-older-than", required_argument, NULL, 'o'},
    {"dry-run", no_argument, NULL, 'd'},
    {"endpoint", required_argument, NULL, 'e'},
    {"json", no_argument, NULL, 'j'},
    {"path-style", no_argument, NULL, 'P'},
    {"quiet", no_argument, NULL, 'q'},
    {"region", required_argument, NULL, 'r'},
    {"sizes", no_argument, NULL, 's'},
    {"timeout", required_argument, NULL, 'T'},
    {"tries", required_argument, NULL, 'y'},
    {"virtual-host", no_argument, NULL, 'V'},
    CLI_HELP_OPTION,
};

/* A number and its unit. Without one it is refused: whether "7" is days or seconds matters here. */
static bool read_age(uint64_t *out_ms)
{
    static const struct {
        char unit;
        uint64_t ms;
    } units[] = {{'d', 86400000}, {'h', 3600000}, {'m', 60000}, {'s', 1000}};
    ph_str text = ph_str_from(optarg);
    uint64_t number;
    if (text.len < 2 || !ph_str_u64((ph_str){text.ptr, text.len - 1}, &number) || number > 1000000)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (text.ptr[text.len - 1] == units[i].unit) {
            *out_ms = number * units[i].ms;
            return true;
        }
    return false;
}

/* One option. False when its value is not what it wants. */
static bool take_option(int c, void *into)
{
    arguments *a = into;
    switch (c) {
    case 'd': a->dry_run = true; return true;
    case 'e': a->endpoint = ph_str_from(optarg); return a->endpoint.len > 0;
    case 'j': a->json = true; return true;
    case 'o': a->abort = true; return read_age(&a->age_ms);
    case 'P': a->target.addressing = PH_ADDRESSING_PATH; return true;
    case 'q': a->quiet = true; return true;
    case 'r': a->region = ph_str_from(optarg); return a->region.len > 0;
    case 's': a->sizes = true; return true;
    case 'T': return cli_number(1, 86400, &a->timeout_s);
    case 'V': a->target.addressing = PH_ADDRESSING_VIRTUAL; return true;
    case 'y': return cli_number(1, 100, &a->tries);
    case 'h': a->help = true; return true;
    default: return false;
    }
}

static int read_options(int argc, char **argv, arguments *out)
{
    *out = (arguments){.tries = 8};
    int code = cli_take_options(argc, argv, options, take_option, out);
    if (code != CLI_DONE)
        return code;
    if (out->help)
        return CLI_DONE;
    if (argc - optind != 1)
        return cli_usage(argv[0], "expected one s3://BUCKET/PREFIX");
    if (out->dry_run && !out->abort)
        return cli_usage(argv[0], "--dry-run requires --abort-older-than");
    cli_place(out->region, out->endpoint, &out->target);
    return cli_s3_url(argv[0], argv[optind], &out->target.bucket, &out->prefix);
}

/* ---- One request ----------------------------------------------------------------------------- */

typedef struct work {
    arguments *options;
    ph_creds creds;
    ph_endpoint endpoint;
    ph_sigv4_key key;
    char region[64];    /* where the bucket is, if the server said that it is elsewhere */
    uint64_t server_ms; /* the server's clock when it last answered ... */
    uint64_t at_ms;     /* ... and ours, which nobody sets, at that time */
    report report;
    ph_failure failure; /* of what failed last ... */
    char reason[256];   /* ... and what the transport said */
    int code;           /* to exit with */
    uint64_t listed, aborted, failed;
} work;

/* The server's time where it has told it: age is counted by who wrote the dates. */
static uint64_t now_ms(const work *w)
{
    return w->server_ms ? w->server_ms + (cli_running_ms() - w->at_ms) : cli_wall_ms();
}

static void note_failure(work *w, ph_operation op, const ask_answer *a, const ph_reply *r, int err)
{
    ph_failure *f = &w->failure;
    *f = (ph_failure){.err = err, .http_status = a->status};
    ph_text_copy(w->reason, sizeof w->reason, ph_str_from(a->reason));
    ph_text_copy(f->operation, sizeof f->operation, ph_str_from(ph_operation_name(op)));
    ph_text_copy(f->message, sizeof f->message, ph_str_from(ph_err_text(err)));
    ph_text_copy(f->request_id, sizeof f->request_id, ph_str_from(a->request_id));
    if (!r)
        return;
    ph_text_copy(f->s3_code, sizeof f->s3_code, ph_str_from(r->s3_code));
    ph_text_copy(f->host_id, sizeof f->host_id, ph_str_from(r->host_id));
    if (r->message[0])
        ph_text_copy(f->message, sizeof f->message, ph_str_from(r->message));
}

/* Lists that were cut off on the way, or are something else's, are asked for again, as `put` does. */
static int try_uploads(ph_str body)
{
    ph_unfinished_page page;
    int err = ph_unfinished_read(body, &page);
    if (err == PH_OK)
        ph_unfinished_clear(&page);
    return err;
}

static int try_parts(ph_str body)
{
    ph_event event = {.kind = PH_EVENT_RESPONSE, .status = 200, .body = body};
    ph_reply reply;
    int err = ph_reply_read(PH_OP_LIST_PARTS, PH_ALG_NONE, &event, &reply);
    err = err == PH_OK ? reply.err : err;
    ph_reply_clear(&reply);
    return err;
}

static ask_reader *reader_of(ph_operation op)
{
    return op == PH_OP_LIST_UPLOADS ? try_uploads : op == PH_OP_LIST_PARTS ? try_parts : NULL;
}

static int send_once(work *w, ph_call *call, ask_answer *answer, ph_reply *reply)
{
    ph_built built;
    call->endpoint = &w->endpoint;
    call->creds = &w->creds;
    call->time_ms = now_ms(w);
    memset(reply, 0, sizeof *reply);
    memset(answer, 0, sizeof *answer);
    int err = ph_request_build(call, &w->key, &built);
    if (err != PH_OK)
        return err;
    ph_request request = {.method = built.method,
                          .url = built.url,
                          .headers = built.header,
                          .header_count = built.header_count};
    err = ask_send(&request, (uint32_t)w->options->tries, (uint32_t)w->options->timeout_s * 1000,
                   &w->report, reader_of(call->op), answer);
    ph_built_clear(&built);
    if (err != PH_OK)
        return err;
    ph_event event = {.kind = PH_EVENT_RESPONSE,
                      .status = answer->status,
                      .body = ph_buf_view(&answer->body)};
    err = ph_reply_read(call->op, PH_ALG_NONE, &event, reply);
    if (err == PH_OK && reply->foreign && reply->err == PH_ERR_NOT_FOUND)
        reply->err = PH_ERR_NOT_S3; /* a gateway that does not find S3 says nothing of the upload */
    return err == PH_OK ? reply->err : err;
}

/* The bucket is elsewhere, and the server says where: false if that has led here. */
static bool move(work *w, const ph_reply *r)
{
    if (w->region[0] || !r->region[0])
        return false;
    ph_text_copy(w->region, sizeof w->region, ph_str_from(r->region));
    ph_target target = w->options->target;
    target.region = ph_str_from(w->region);
    ph_endpoint_clear(&w->endpoint);
    return ph_endpoint_make(&target, &w->endpoint) == PH_OK;
}

/* Send it, once more where the clock or the region was wrong. Release both in any case. */
static int ask(work *w, ph_call *call, ask_answer *answer, ph_reply *reply)
{
    static const ph_object nothing = {.overwrite = true};
    call->object = &nothing;
    for (bool again = true;; again = false) {
        int err = send_once(w, call, answer, reply);
        uint64_t told_ms = reply->server_time_ms ? reply->server_time_ms : answer->date_ms;
        if (told_ms) {
            w->server_ms = told_ms;
            w->at_ms = cli_running_ms();
        }
        if (err != PH_OK)
            note_failure(w, call->op, answer, answer->status ? reply : NULL, err);
        bool better =
            (err == PH_ERR_CLOCK_SKEW && told_ms) || (err == PH_ERR_REDIRECT && move(w, reply));
        if (err == PH_OK || !again || !better)
            return err;
        ph_reply_clear(reply);
        ask_clear(answer);
    }
}

/* The same where only its error matters. */
static int tell(work *w, ph_call *call)
{
    ask_answer answer;
    ph_reply reply;
    int err = ask(w, call, &answer, &reply);
    ph_reply_clear(&reply);
    ask_clear(&answer);
    return err;
}

/* ---- One upload ------------------------------------------------------------------------------ */

typedef struct found {
    const ph_unfinished *upload;
    const char *state;
    bool sized;
    uint64_t parts, size;
} found;

static int refuse_list(work *w, const char *why)
{
    w->failure = (ph_failure){.err = PH_ERR_BAD_ANSWER};
    ph_text_copy(w->failure.message, sizeof w->failure.message, ph_str_from(why));
    return PH_ERR_BAD_ANSWER;
}

static bool is_gone(int err)
{
    return err == PH_ERR_NO_SUCH_UPLOAD || err == PH_ERR_NOT_FOUND;
}

/* All pages of ListParts: S3's are eleven at most, others' may be shorter. */
static int measure(work *w, found *f)
{
    uint32_t marker = 0;
    bool more = true;
    int err = PH_OK;
    for (int pages = 0; err == PH_OK && more; pages++) {
        ask_answer answer;
        ph_reply reply;
        ph_call call = {.op = PH_OP_LIST_PARTS,
                        .key = f->upload->key,
                        .upload_id = f->upload->upload_id,
                        .part_number_marker = marker};
        err = ask(w, &call, &answer, &reply);
        for (size_t i = 0; err == PH_OK && i < reply.listed_count; i++) {
            f->parts++;
            f->size += reply.listed[i].size;
        }
        more = err == PH_OK && reply.truncated;
        if (more && (reply.next_marker <= marker || pages == MAX_PART_PAGES))
            err = refuse_list(w, "the server's list of parts does not go on, or has no end");
        marker = reply.next_marker;
        ph_reply_clear(&reply);
        ask_clear(&answer);
    }
    f->sized = err == PH_OK;
    return err;
}

/*
 * Abort it, and again until the server has forgotten it: a part that was on its way may land behind
 * the first Abort. Who may not look can only believe.
 */
static int give_up(work *w, found *f)
{
    for (int i = 0; i < ABORTS; i++) {
        ph_call call = {.op = PH_OP_ABORT,
                        .key = f->upload->key,
                        .upload_id = f->upload->upload_id};
        int err = tell(w, &call);
        bool gone = is_gone(err);
        if (gone && i == 0) {
            f->state = "gone"; /* somebody was faster */
            return PH_OK;
        }
        if (err != PH_OK && !gone)
            return err;
        f->state = "aborted";
        call.op = PH_OP_LIST_PARTS;
        if (!gone)
            err = tell(w, &call);
        if (is_gone(err) || err == PH_ERR_ACCESS_DENIED || err == PH_ERR_REFUSED)
            return PH_OK;
        if (err != PH_OK)
            return err;
    }
    w->failure = (ph_failure){.err = PH_ERR_CONFLICT};
    ph_text_copy(w->failure.message, sizeof w->failure.message,
                 PH_STR("it has parts again after each abort: a client is still sending parts"));
    return PH_ERR_CONFLICT;
}

static void print_line(const work *w, const found *f)
{
    char date[21] = "-", size[32];
    ph_str bucket = w->options->target.bucket, key = f->upload->key;
    if (f->upload->initiated_ms)
        ph_date_iso(f->upload->initiated_ms, date);
    printf("%s  %s  ", date, f->state);
    cli_print_text(f->upload->upload_id);
    if (f->sized) {
        report_size((double)f->size, size);
        printf("  %llu parts  %s", (unsigned long long)f->parts, size);
    }
    printf("  s3://%.*s/", (int)bucket.len, bucket.ptr);
    cli_print_text(key);
    printf("\n");
}

static void print_object(work *w, const found *f, int err)
{
    ph_buf b;
    char date[21] = "";
    ph_buf_init(&b, MAX_JSON);
    if (f->upload->initiated_ms)
        ph_date_iso(f->upload->initiated_ms, date);
    ph_json_open(&b, NULL);
    ph_json_add_text(&b, "key", f->upload->key);
    ph_json_add_text(&b, "uploadId", f->upload->upload_id);
    ph_json_add_cstr(&b, "initiated", date);
    if (f->sized) {
        ph_json_add_u64(&b, "parts", f->parts);
        ph_json_add_u64(&b, "size", f->size);
    }
    ph_json_add_cstr(&b, "state", f->state);
    if (err != PH_OK) {
        ph_json_open(&b, "failure");
        report_add_failure(&b, &w->failure);
        ph_json_close(&b);
    }
    ph_json_close(&b);
    printf("%s\n", w->listed > 1 ? "," : "");
    cli_print(ph_buf_view(&b));
    ph_buf_clear(&b);
}

static void handle(work *w, const ph_unfinished *u)
{
    const arguments *a = w->options;
    found f = {.upload = u, .state = "unfinished"};
    /* What is aborted is lost: it has to be old by the server's clock, and by ours. */
    uint64_t theirs = now_ms(w), ours = cli_wall_ms(), now = theirs < ours ? theirs : ours;
    uint64_t age = now > u->initiated_ms ? now - u->initiated_ms : 0;
    bool old = a->abort && u->initiated_ms && age >= a->age_ms;
    int err = a->sizes ? measure(w, &f) : PH_OK;
    if (is_gone(err)) {
        f.state = "gone";
        err = PH_OK;
    } else if (old && a->dry_run) {
        f.state = "would abort";
    } else if (old) {
        err = give_up(w, &f);
    }
    w->listed++;
    w->aborted += err == PH_OK && strcmp(f.state, "aborted") == 0;
    if (err != PH_OK) {
        f.state = "failed";
        w->failed++;
        if (w->code == CLI_DONE)
            w->code = cli_exit_of(err);
        w->failure.err = err;
        report_failure(&w->report, &w->failure, w->reason);
    }
    if (a->json)
        print_object(w, &f, err);
    else
        print_line(w, &f);
}

/* ---- All of them ----------------------------------------------------------------------------- */

/* Where the next page begins, in memory of its own. False when that is where this one began. */
static bool go_on(const ph_unfinished_page *p, ph_buf *key, ph_buf *id)
{
    bool same = ph_str_equal(ph_buf_view(key), p->key_marker) &&
                ph_str_equal(ph_buf_view(id), p->upload_id_marker);
    ph_buf_reset(key);
    ph_buf_reset(id);
    ph_buf_str(key, p->key_marker);
    ph_buf_str(id, p->upload_id_marker);
    return !same && key->err == PH_OK && id->err == PH_OK;
}

static int list_page(work *w, ph_buf *key, ph_buf *id, bool *more)
{
    ask_answer answer;
    ph_reply reply;
    ph_unfinished_page page;
    ph_call call = {.op = PH_OP_LIST_UPLOADS,
                    .key_prefix = w->options->prefix,
                    .key_marker = ph_buf_view(key),
                    .upload_id = ph_buf_view(id)};
    int err = ask(w, &call, &answer, &reply);
    if (err == PH_OK) {
        err = ph_unfinished_read(ph_buf_view(&answer.body), &page);
        if (err != PH_OK)
            note_failure(w, call.op, &answer, &reply, err);
    }
    ph_reply_clear(&reply);
    ask_clear(&answer);
    if (err != PH_OK)
        return err;
    /* Not every server knows of prefixes, and what is aborted is lost. */
    for (size_t i = 0; i < page.count; i++)
        if (ph_str_starts(page.uploads[i].key, w->options->prefix))
            handle(w, &page.uploads[i]);
    *more = page.truncated;
    if (page.truncated && !go_on(&page, key, id))
        err = refuse_list(w, "the server's list of uploads does not go on");
    ph_unfinished_clear(&page);
    return err;
}

static int list_all(work *w)
{
    ph_buf key, id;
    int err = PH_OK;
    bool more = true;
    ph_buf_init(&key, MAX_MARKER);
    ph_buf_init(&id, MAX_MARKER);
    for (int pages = 0; err == PH_OK && more; pages++)
        err = pages < MAX_PAGES ? list_page(w, &key, &id, &more)
                                : refuse_list(w, "the server's list of uploads has no end");
    ph_buf_clear(&key);
    ph_buf_clear(&id);
    return err;
}

static void close_document(work *w, int err)
{
    ph_buf b;
    ph_buf_init(&b, MAX_JSON);
    ph_json_open(&b, NULL);
    ph_json_add_cstr(&b, "status", w->code == CLI_DONE ? "done" : "failed");
    ph_json_add_u64(&b, "count", w->listed);
    ph_json_add_u64(&b, "aborted", w->aborted);
    ph_json_add_u64(&b, "failed", w->failed);
    if (err != PH_OK)
        report_add_failure(&b, &w->failure);
    ph_json_close(&b);
    printf("],\n");
    cli_print(ph_str_skip(ph_buf_view(&b), 1)); /* the document was opened before */
    printf("\n");
    ph_buf_clear(&b);
}

static int run(work *w)
{
    const arguments *a = w->options;
    int err = ph_endpoint_make(&a->target, &w->endpoint);
    if (err != PH_OK) {
        w->report.json = a->json; /* all of it: nothing was listed */
        return report_error(&w->report, err, NULL);
    }
    if (a->json)
        printf("{\"uploads\":[");
    err = list_all(w);
    if (err != PH_OK)
        w->code = report_failure(&w->report, &w->failure, w->reason);
    if (a->json)
        close_document(w, err);
    else if (err == PH_OK && !a->quiet)
        cli_say("%llu unfinished uploads, %llu aborted, %llu failed", (unsigned long long)w->listed,
                (unsigned long long)w->aborted, (unsigned long long)w->failed);
    ph_endpoint_clear(&w->endpoint);
    return w->code;
}

/* see cli.h */
int cli_uploads(int argc, char **argv)
{
    arguments a;
    work w = {.options = &a};
    int code = read_options(argc, argv, &a);
    if (code == CLI_DONE && a.help) {
        cli_uploads_help();
        return CLI_DONE;
    }
    if (code != CLI_DONE)
        return code;
    if (!cli_creds(&w.creds))
        return cli_usage(argv[0], CLI_NO_CREDS);
    report_init(&w.report, false, a.quiet, 0);
    code = run(&w);
    ph_wipe(&w.key, sizeof w.key);
    return code;
}
