/* SPDX-License-Identifier: MIT
 *
 * The border: the engine's actions and events as a few numbers and texts, its options as JSON. See
 * README.md beside this file for them and for the memory rules. It decides nothing. The only file
 * with state of its own (the staging buffer and what was said last), since an instance of the module
 * is one world.
 */
#include <stdlib.h>
#include <string.h>

#include "core/checksum.h"
#include "core/creds.h"
#include "core/crypto.h"
#include "core/err.h"
#include "core/json.h"
#include "core/json_out.h"
#include "core/request.h"
#include "core/str.h"

#define STAGE_SIZE (512u << 10) /* as much is in the processor's cache */
#define TEXT_MAX (1u << 20)
#define FEED_MAX 16u /* digests that are fed at once */
#define OUT_MAX (16u << 20)
#define MAX_HEADERS 64
#define MAX_METADATA 24

typedef struct digests {
    ph_hash hash[2];
} digests;

/*
 * An upload, and the action that it was about to say when memory ran out: the engine gives each one
 * once, so it is kept until it has crossed.
 */
typedef struct job {
    ph_upload *upload;
    ph_action action;
    bool unsaid;
} job;

static _Alignas(64) unsigned char stage[TEXT_MAX];
static digests *fed[FEED_MAX];
static ph_buf out_text;

/* What ph_step says in numbers: first KIND and ID, then those of the kind in the order of README.md. */
enum { KIND, ID, FIRST, MORE = 10, MORE_LEN, SAID };
static double said[SAID];

static const char *const states[] = {"new",        "creating", "sending",  "listing", "verifying",
                                     "completing", "checking", "aborting", "done",    "failed"};
static const char *const part_states[] = {"todo", "hashing", "ready", "sending", "backoff", "sent"};
static const char *const notice_kinds[] = {"state", "part", "retry", "warning"};
static const char *const action_kinds[] = {"request", "cancel", "hash", "credentials", "notice",
                                           "save",    "forget", "wait", "done",        "failed"};
static const char *const event_kinds[] = {"response", "failed", "sent",  "hashed",  "unreadable",
                                          "granted",  "denied", "pause", "resume",  "abort",
                                          "offline",  "online", "woke",  "notSaved"};
static const char *const whys[] = {"first", "expiring", "refused", "look"};

/* ---- Memory ----------------------------------------------------------------------------------- */

void *ph_stage(void)
{
    return stage;
}

size_t ph_stage_size(void)
{
    return STAGE_SIZE;
}

size_t ph_text_max(void)
{
    return sizeof stage;
}

double *ph_said(void)
{
    return said;
}

digests **ph_fed(void)
{
    return fed;
}

const char *ph_out(void)
{
    return out_text.ptr;
}

static ph_buf *begin_out(void)
{
    if (out_text.limit == 0)
        ph_buf_init(&out_text, OUT_MAX);
    ph_buf_reset(&out_text);
    return &out_text;
}

static int end_out(void)
{
    return out_text.err ? out_text.err : (int)out_text.len;
}

/* ---- Constants ---------------------------------------------------------------------------------- */

static void add_names(ph_buf *b, const char *name, const char *const *list, size_t count)
{
    ph_json_open_array(b, name);
    for (size_t i = 0; i < count; i++)
        ph_json_add_cstr(b, NULL, list[i]);
    ph_json_close_array(b);
}

static void add_errors(ph_buf *b)
{
    static const short numbers[] = {
#define X(name, number, sentence, retry) number,
#include "core/errors.def"
#undef X
    };
    static const char *const retries[] = {[PH_RETRY_NEVER] = "NEVER",
                                          [PH_RETRY_BACKOFF] = "BACKOFF",
                                          [PH_RETRY_REFRESH_CREDS] = "REFRESH_CREDS",
                                          [PH_RETRY_FIX_CLOCK] = "FIX_CLOCK",
                                          [PH_RETRY_RESTART_PART] = "RESTART_PART"};
    ph_json_open_array(b, "errors");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        ph_json_open(b, NULL);
        ph_json_add_cstr(b, "name", ph_err_name(numbers[i]));
        ph_json_add_int(b, "number", numbers[i]);
        ph_json_add_cstr(b, "text", ph_err_text(numbers[i]));
        ph_json_add_cstr(b, "retry", retries[ph_err_retry(numbers[i])]);
        ph_json_close(b);
    }
    ph_json_close_array(b);
}

int ph_tables(void)
{
    ph_buf *b = begin_out();
    ph_json_open(b, NULL);
    ph_json_add_cstr(b, "version", PH_VERSION);
    add_errors(b);
    add_names(b, "states", states, sizeof states / sizeof states[0]);
    add_names(b, "partStates", part_states, sizeof part_states / sizeof part_states[0]);
    add_names(b, "actions", action_kinds, sizeof action_kinds / sizeof action_kinds[0]);
    add_names(b, "events", event_kinds, sizeof event_kinds / sizeof event_kinds[0]);
    add_names(b, "notices", notice_kinds, sizeof notice_kinds / sizeof notice_kinds[0]);
    ph_json_open_array(b, "algorithms");
    for (int alg = 1; alg < PH_ALG_COUNT; alg++) {
        ph_json_open(b, NULL);
        ph_json_add_cstr(b, "name", ph_alg_name((ph_alg)alg));
        ph_json_add_int(b, "number", alg);
        ph_json_add_bool(b, "lanes", alg >= PH_ALG_SHA256);
        ph_json_close(b);
    }
    ph_json_close_array(b);
    ph_json_open(b, "limits");
    ph_json_add_u64(b, "partMaxCount", PH_PART_MAX_COUNT);
    ph_json_add_u64(b, "partMinSize", PH_PART_MIN_SIZE);
    ph_json_add_u64(b, "partMaxSize", PH_PART_MAX_SIZE);
    ph_json_add_u64(b, "partDefaultSize", PH_PART_DEFAULT_SIZE);
    ph_json_add_u64(b, "objectMaxSize", PH_OBJECT_MAX_SIZE);
    ph_json_close(b);
    ph_json_close(b);
    return end_out();
}

/* ---- Options ------------------------------------------------------------------------------------ */

static uint64_t number(const ph_json *doc, const char *name)
{
    uint64_t n = 0;
    ph_json_u64(ph_json_member(doc, name), &n);
    return n;
}

/* Find a text in a list; `fallback` where the member is missing, -1 where it is none of them. */
static int choice(ph_str text, const char *const *list, int count, int fallback)
{
    if (!text.ptr)
        return fallback;
    for (int i = 0; i < count; i++)
        if (ph_str_equal_nocase(text, ph_str_from(list[i])))
            return i;
    return -1;
}

static int read_object(const ph_json *doc, ph_upload_options *o, ph_header *metadata)
{
    for (const ph_json *p = ph_json_first(ph_json_member(doc, "object")); p; p = ph_json_next(p)) {
        ph_property property = ph_property_by_option(ph_json_name(p));
        if (property == PH_PROP_COUNT || !ph_json_text(p).ptr)
            return PH_ERR_BAD_ARG;
        o->object.property[property] = ph_json_text(p);
    }
    const ph_json *m = ph_json_first(ph_json_member(doc, "metadata"));
    for (; m; m = ph_json_next(m)) {
        if (o->object.metadata_count == MAX_METADATA || !ph_json_text(m).ptr)
            return PH_ERR_BAD_HEADER;
        metadata[o->object.metadata_count++] = (ph_header){ph_json_name(m), ph_json_text(m)};
    }
    o->object.metadata = metadata;
    o->object.overwrite = ph_json_is_true(ph_json_member(doc, "overwrite"));
    return PH_OK;
}

static int read_choices(const ph_json *doc, ph_upload_options *o)
{
    static const char *const addressings[] = {"auto", "virtual", "path"};
    static const char *const types[] = {"NONE", "FULL_OBJECT", "COMPOSITE"};
    static const char *const payloads[] = {"auto", "unsigned", "signed"};
    int addressing = choice(ph_json_member_text(doc, "addressing"), addressings, 3, 0);
    int type = choice(ph_json_member_text(doc, "checksumType"), types, 3, 0);
    int payload = choice(ph_json_member_text(doc, "payload"), payloads, 3, 0);
    if (addressing < 0 || type < 0 || payload < 0)
        return PH_ERR_BAD_ARG;
    o->target.addressing = (ph_addressing)addressing;
    o->type = (ph_checksum_type)type;
    o->payload = (ph_payload)payload;
    ph_str alg = ph_json_member_text(doc, "checksum");
    o->alg = alg.ptr ? ph_alg_by_name(alg) : PH_ALG_CRC64NVME;
    if (o->alg == PH_ALG_NONE && !ph_str_equal_nocase(alg, PH_STR("NONE")))
        return PH_ERR_BAD_ALGORITHM;
    return PH_OK;
}

/* The codes of warnings that the host kept of this server; others may be among them. */
static unsigned read_lacks(const ph_json *list)
{
    unsigned lacks = 0;
    for (const ph_json *code = ph_json_first(list); code; code = ph_json_next(code))
        lacks |= ph_lack_named(ph_json_text(code));
    return lacks;
}

static int open_upload(const ph_json *doc, uint64_t now_ms, ph_upload **out)
{
    ph_header metadata[MAX_METADATA];
    ph_upload_options o = {
        .target = {.bucket = ph_json_member_text(doc, "bucket"),
                   .key = ph_json_member_text(doc, "key"),
                   .region = ph_json_member_text(doc, "region"),
                   .endpoint = ph_json_member_text(doc, "endpoint"),
                   .dualstack = ph_json_is_true(ph_json_member(doc, "dualstack")),
                   .accelerate = ph_json_is_true(ph_json_member(doc, "accelerate"))},
        .server_lacks = read_lacks(ph_json_member(doc, "serverLacks")),
        .part_size = number(doc, "partSize"),
        .name = ph_json_member_text(doc, "name"),
        .concurrency = (uint32_t)number(doc, "concurrency"),
        .max_rate = number(doc, "maxRate"),
        .polite = ph_json_is_true(ph_json_member(doc, "polite")),
        .tries = (uint32_t)number(doc, "tries"),
        .patience_ms = number(doc, "patienceMs"),
        .presign_limit = number(doc, "presignLimit"),
        .seed = number(doc, "seed"),
        .credentials = ph_json_member_text(doc, "credentials"),
        .unattended = ph_json_is_true(ph_json_member(doc, "unattended")),
        .keep = ph_json_is_true(ph_json_member(doc, "keep")),
        .snapshot = ph_json_member_text(doc, "snapshot"),
    };
    if (!ph_json_u64(ph_json_member(doc, "size"), &o.size))
        return PH_ERR_BAD_ARG;
    int err = read_choices(doc, &o);
    if (err == PH_OK)
        err = read_object(doc, &o, metadata);
    return err == PH_OK ? ph_upload_new(&o, now_ms, out) : err;
}

/* The first bytes of the staging buffer. A text may hold secrets: whoever has read it, wipes it. */
static ph_str staged(size_t len)
{
    return (ph_str){(const char *)stage, len};
}

intptr_t ph_open(size_t len, double now_ms)
{
    ph_json *doc;
    if (len > sizeof stage)
        return PH_ERR_TOO_LONG;
    int err = ph_json_parse(staged(len), &doc);
    ph_wipe(stage, len);
    if (err != PH_OK)
        return err;
    job *j = calloc(1, sizeof *j);
    err = j ? open_upload(doc, (uint64_t)now_ms, &j->upload) : PH_ERR_NOMEM;
    ph_json_free(doc);
    if (err == PH_OK)
        return (intptr_t)j;
    free(j);
    return err;
}

void ph_close(job *j)
{
    if (j)
        ph_upload_free(j->upload);
    free(j);
}

/* ---- Actions ------------------------------------------------------------------------------------ */

/* Another text behind those that are there, with a NUL between; none of them has one. */
static void add_field(ph_buf *b, ph_str text)
{
    if (b->len)
        ph_buf_char(b, '\0');
    ph_buf_str(b, text);
}

static void add_request(ph_buf *b, const ph_request *r)
{
    const double numbers[] = {r->from_file,        (double)r->offset, (double)r->length,
                              r->part_number,      r->stall_ms,       r->answer_ms,
                              (double)r->limit_ms, r->text.ptr != 0};
    memcpy(said + FIRST, numbers, sizeof numbers);
    if (!r->from_file) {
        said[MORE] = (double)(uintptr_t)r->text.ptr;
        said[MORE_LEN] = (double)r->text.len;
    }
    add_field(b, ph_str_from(ph_method_name(r->method)));
    add_field(b, ph_str_from(r->operation));
    add_field(b, r->url);
    for (size_t i = 0; i < r->header_count; i++) {
        add_field(b, r->headers[i].name);
        add_field(b, r->headers[i].value);
    }
}

static void add_hash(const ph_hash_job *h)
{
    const double numbers[] = {(double)h->offset, (double)h->length, h->part_number, h->alg[0],
                              h->alg[1]};
    memcpy(said + FIRST, numbers, sizeof numbers);
}

static void add_digest_text(ph_buf *b, const char *name, const ph_digest *d)
{
    ph_buf text;
    ph_buf_init(&text, 64);
    ph_digest_base64(&text, d);
    ph_json_add_text(b, name, text.len ? ph_buf_view(&text) : PH_STR(""));
    if (text.err)
        b->err = text.err;
    ph_buf_clear(&text);
}

static void add_ask(ph_buf *b, const ph_ask *a)
{
    ph_json_add_cstr(b, "why", whys[a->why]);
    ph_json_add_text(b, "name", a->name);
    ph_json_add_text(b, "contentType", a->content_type);
    ph_json_add_u64(b, "size", a->size);
    if (a->checksum.len) {
        ph_json_open(b, "checksum");
        ph_json_add_cstr(b, "algorithm", ph_alg_name(a->checksum.alg));
        add_digest_text(b, "value", &a->checksum);
        ph_json_close(b);
    }
    ph_json_add_text(b, "key", a->key);
}

static void add_notice(ph_buf *b, const ph_notice *n)
{
    const double numbers[] = {n->kind,       n->state, n->paused,          n->part_number,
                              n->part_state, n->err,   (double)n->until_ms};
    memcpy(said + FIRST, numbers, sizeof numbers);
    ph_buf_str(b, ph_str_from(n->message));
}

static void add_action(ph_buf *b, const ph_action *a)
{
    memset(said, 0, sizeof said);
    said[KIND] = a->kind;
    said[ID] = a->id;
    switch (a->kind) {
    case PH_ACTION_REQUEST: add_request(b, &a->u.request); return;
    case PH_ACTION_HASH: add_hash(&a->u.hash); return;
    case PH_ACTION_NOTICE: add_notice(b, &a->u.notice); return;
    case PH_ACTION_SAVE: ph_buf_str(b, a->u.snapshot); return;
    case PH_ACTION_WAIT:
        said[FIRST] = a->u.until_ms != UINT64_MAX ? (double)a->u.until_ms : -1;
        return;
    case PH_ACTION_CANCEL:
    case PH_ACTION_FORGET: return;
    case PH_ACTION_CREDENTIALS:
    case PH_ACTION_DONE:
    case PH_ACTION_FAILED: break;
    }
    ph_json_open(b, NULL);
    if (a->kind == PH_ACTION_CREDENTIALS)
        add_ask(b, &a->u.ask);
    else if (a->kind == PH_ACTION_DONE)
        ph_json_add_receipt(b, &a->u.receipt);
    else
        ph_json_add_failure(b, &a->u.failure);
    ph_json_close(b);
}

int ph_step(job *j, double now_ms, int may_send)
{
    if (!j->unsaid) {
        int err = ph_upload_step(j->upload, (uint64_t)now_ms, may_send != 0, &j->action);
        if (err != PH_OK)
            return err;
    }
    add_action(begin_out(), &j->action);
    int len = end_out();
    j->unsaid = len < 0;
    return len;
}

int ph_progress_of(const job *j)
{
    ph_progress p;
    ph_upload_progress(j->upload, &p);
    ph_buf *b = begin_out();
    ph_json_open(b, NULL);
    ph_json_add_cstr(b, "state", states[p.state]);
    ph_json_add_bool(b, "paused", p.paused);
    ph_json_add_u64(b, "size", p.size);
    ph_json_add_u64(b, "sent", p.sent);
    ph_json_add_u64(b, "stored", p.stored);
    ph_json_add_u64(b, "partCount", p.part_count);
    ph_json_add_u64(b, "partsStored", p.parts_stored);
    ph_json_add_u64(b, "inFlight", p.in_flight);
    ph_json_close(b);
    return end_out();
}

/* ---- Events ------------------------------------------------------------------------------------- */

/* The headers of an answer: `count` names and values, alternating. */
static size_t read_headers(ph_str *text, unsigned count, ph_header headers[MAX_HEADERS])
{
    size_t n = 0;
    for (unsigned i = 0; i + 1 < count; i += 2) {
        ph_str name = ph_str_cut(text, '\0'), value = ph_str_cut(text, '\0');
        if (n < MAX_HEADERS)
            headers[n++] = (ph_header){name, value};
    }
    return n;
}

/* "ALGORITHM:base64", as ph_hash_close writes it; or nothing */
static int read_digest(ph_str text, ph_digest *out)
{
    ph_str name = ph_str_cut(&text, ':');
    return name.len ? ph_digest_parse(ph_alg_by_name(name), text, out) : PH_OK;
}

static int report(ph_upload *u, uint64_t now_ms, ph_event *e, double value, ph_str text,
                  unsigned count)
{
    ph_header headers[MAX_HEADERS];
    switch (e->kind) {
    case PH_EVENT_RESPONSE:
        e->status = (int)value;
        e->header_count = read_headers(&text, count, headers);
        e->headers = headers;
        break;
    case PH_EVENT_SENT: e->bytes = (uint64_t)value; break;
    case PH_EVENT_HASHED:
        for (unsigned i = 0; i < count && i < 2; i++) {
            int err = read_digest(ph_str_cut(&text, '\0'), &e->digest[i]);
            if (err != PH_OK)
                return err;
        }
        break;
    case PH_EVENT_FAILED:
    case PH_EVENT_UNREADABLE:
    case PH_EVENT_DENIED:
        e->err = (int)value;
        if (e->err >= 0)
            return PH_ERR_BAD_ARG;
        break;
    case PH_EVENT_GRANTED:
    case PH_EVENT_PAUSE:
    case PH_EVENT_RESUME:
    case PH_EVENT_ABORT:
    case PH_EVENT_OFFLINE:
    case PH_EVENT_ONLINE:
    case PH_EVENT_WOKE:
    case PH_EVENT_NOT_SAVED: break;
    }
    if (ph_str_find(text, '\0') < text.len)
        return PH_ERR_BAD_ENCODING;
    e->body = text.len ? text : (ph_str){NULL, 0};
    return ph_upload_report(u, now_ms, e);
}

/* see README.md */
int ph_report(job *j, double now_ms, int kind, uint32_t id, double value, unsigned count,
              size_t len)
{
    if (kind < 0 || kind > PH_EVENT_NOT_SAVED)
        return PH_ERR_BAD_ARG;
    if (len > sizeof stage)
        return PH_ERR_TOO_LONG;
    ph_event e = {.kind = (ph_event_kind)kind, .id = id};
    /* An event could take away what an action that is still to be said points to. */
    int err = j->unsaid ? PH_ERR_NOMEM
                        : report(j->upload, (uint64_t)now_ms, &e, value, staged(len), count);
    ph_wipe(stage, len);
    return err;
}

/* ---- Digests ------------------------------------------------------------------------------------ */

intptr_t ph_hash_open(int first, int second)
{
    if (first < 0 || first >= PH_ALG_COUNT || second < 0 || second >= PH_ALG_COUNT)
        return PH_ERR_BAD_ALGORITHM;
    digests *d = malloc(sizeof *d);
    if (!d)
        return PH_ERR_NOMEM;
    ph_hash_init(&d->hash[0], (ph_alg)first);
    ph_hash_init(&d->hash[1], (ph_alg)second);
    return (intptr_t)d;
}

int ph_hash_feed(size_t count, size_t len)
{
    ph_hash *hash[2 * FEED_MAX];
    const void *from[2 * FEED_MAX];
    size_t n = 0;
    if (count > FEED_MAX || (count > 0 && len > sizeof stage / count))
        return PH_ERR_BAD_ARG;
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < 2; k++) {
            hash[n] = &fed[i]->hash[k];
            from[n] = stage + i * len;
            n += hash[n]->alg != PH_ALG_NONE;
        }
    ph_hash_update_all(hash, from, n, len);
    return PH_OK;
}

/* The name goes with the value, so that a digest cannot be taken for one of another algorithm. */
int ph_hash_close(digests *d)
{
    ph_buf *b = begin_out();
    for (int i = 0; i < 2; i++) {
        ph_digest digest;
        ph_hash_digest(&d->hash[i], &digest);
        if (i > 0)
            ph_buf_char(b, '\0');
        if (digest.len) {
            ph_buf_cstr(b, ph_alg_name(digest.alg));
            ph_buf_char(b, ':');
            ph_digest_base64(b, &digest);
        }
    }
    free(d);
    return end_out();
}
