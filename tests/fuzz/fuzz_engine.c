/* SPDX-License-Identifier: MIT
 *
 * Fuzzes the engine: the input is a world. Its first bytes are the options, each of the others is
 * something that happens: an answer, right or wrong, to whatever is under way; what the user does;
 * time that passes; a host that is killed and goes on from its snapshot. When the input ends, the
 * world is kind, and the upload has to end.
 *
 * What must hold whatever happens is in take(): no id twice, nothing cancelled that is not under way,
 * a bounded number of things at a time, no wait for a moment that has passed, snapshots that can be
 * read and are forgotten at the right time. Whether what is called done is the file is asked in
 * tests/transcripts/world.mjs.
 */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#include "core/checksum.h"
#include "core/part.h"
#include "core/snapshot.h"
#include "core/str.h"

#define MIB (UINT64_C(1) << 20)
#define NOW UINT64_C(1767225600000)
#define MAX_LIVE 128
#define MAX_PARTS 4
#define MAX_STEPS 20000

#define PRESIGNED                                                               \
    "{\"uploadType\":\"put\",\"url\":\"https://bkt.s3.us-east-1.amazonaws.com/" \
    "k?X-Amz-Signature=1\","                                                    \
    "\"headers\":{}}"
#define CREDENTIALS "\"accessKeyId\":\"AKID\",\"secretAccessKey\":\"secret\""

typedef struct job {
    ph_action_kind kind;
    uint32_t id;
    char operation[32];
    uint32_t part_number;
    ph_alg alg[2];
} job;

typedef struct world {
    const uint8_t *at, *end; /* of the input */
    ph_upload_options options;
    ph_upload *upload;
    uint64_t now_ms;
    uint32_t last_id;
    job live[MAX_LIVE];
    size_t live_count;
    bool stored[MAX_PARTS + 1]; /* what S3 has */
    bool created, completed;
    bool kind; /* the input has ended */
    char saved[8192];
    size_t saved_len;
    bool over;
    unsigned long steps;
    char text[4096]; /* the answer's body */
    char etag[64];
    char sum[64];
} world;

static uint8_t byte(world *w)
{
    return w->at < w->end ? *w->at++ : 0;
}

/* ---- The engine's side --------------------------------------------------------------------------- */

static void open_upload(world *w, bool again)
{
    ph_upload_options o = w->options;
    if (again)
        o.snapshot = (ph_str){w->saved, w->saved_len};
    MUST(ph_upload_new(&o, w->now_ms, &w->upload) == PH_OK);
    w->last_id = 0;
    w->live_count = 0;
}

static job *find(world *w, uint32_t id)
{
    for (size_t i = 0; i < w->live_count; i++)
        if (w->live[i].id == id)
            return &w->live[i];
    return NULL;
}

static void drop(world *w, uint32_t id)
{
    job *j = find(w, id);
    if (j)
        *j = w->live[--w->live_count];
}

/* Whatever S3 is told, a host that is killed now can go on from. */
static void check_saved(const world *w, const job *j)
{
    bool creates = strcmp(j->operation, "CreateMultipartUpload") == 0;
    if (!w->options.keep || (!creates && strcmp(j->operation, "UploadPart") != 0))
        return;
    ph_snapshot s;
    MUST(ph_snapshot_read((ph_str){w->saved, w->saved_len}, &s) == PH_OK);
    MUST(creates || s.upload_id.len);
    ph_snapshot_clear(&s);
}

static void remember(world *w, const ph_action *a)
{
    MUST(a->id > w->last_id && w->live_count < MAX_LIVE);
    w->last_id = a->id;
    job *j = &w->live[w->live_count++];
    *j = (job){.kind = a->kind, .id = a->id};
    if (a->kind == PH_ACTION_REQUEST) {
        snprintf(j->operation, sizeof j->operation, "%s", a->u.request.operation);
        j->part_number = a->u.request.part_number;
        check_saved(w, j);
        MUST(a->u.request.url.len && a->u.request.header_count <= 64);
        MUST(!a->u.request.from_file ||
             a->u.request.offset + a->u.request.length <= w->options.size);
    } else if (a->kind == PH_ACTION_HASH) {
        memcpy(j->alg, a->u.hash.alg, sizeof j->alg);
        j->part_number = a->u.hash.part_number;
        MUST(a->u.hash.offset + a->u.hash.length <= w->options.size);
        MUST(j->alg[0] != PH_ALG_NONE || j->alg[1] != PH_ALG_NONE);
    }
}

static void save(world *w, ph_str text)
{
    ph_snapshot s;
    MUST(w->options.keep && text.len <= sizeof w->saved);
    memcpy(w->saved, text.ptr, text.len);
    w->saved_len = text.len;
    MUST(ph_snapshot_read(text, &s) == PH_OK);
    ph_snapshot_clear(&s);
}

/* How many of an operation's requests, "" for hashes, are under way? */
static size_t count(const world *w, const char *operation)
{
    size_t n = 0;
    for (size_t i = 0; i < w->live_count; i++)
        n += strcmp(w->live[i].operation, operation) == 0;
    return n;
}

/* Take actions until the engine waits or is over. */
static void take(world *w)
{
    ph_action a;
    while (!w->over) {
        MUST(w->steps++ < MAX_STEPS);
        MUST(ph_upload_step(w->upload, w->now_ms, true, &a) == PH_OK);
        switch (a.kind) {
        case PH_ACTION_REQUEST:
        case PH_ACTION_HASH:
        case PH_ACTION_CREDENTIALS: remember(w, &a); break;
        case PH_ACTION_CANCEL:
            MUST(find(w, a.id));
            drop(w, a.id);
            break;
        case PH_ACTION_NOTICE: break;
        case PH_ACTION_SAVE: save(w, a.u.snapshot); break;
        case PH_ACTION_FORGET:
            MUST(w->options.keep && w->saved_len);
            w->saved_len = 0;
            break;
        case PH_ACTION_WAIT:
            MUST(a.u.until_ms > w->now_ms);
            MUST(count(w, "UploadPart") <= 2 * w->options.concurrency && w->live_count <= 40);
            if (w->kind && !w->live_count && a.u.until_ms != UINT64_MAX)
                w->now_ms = a.u.until_ms;
            return;
        case PH_ACTION_DONE:
            MUST(w->live_count == 0 && w->saved_len == 0);
            w->over = true;
            break;
        case PH_ACTION_FAILED:
            MUST(w->live_count == 0 && a.u.failure.err < 0);
            MUST(a.u.failure.resumable == (w->saved_len != 0));
            w->over = true;
            break;
        }
    }
}

static void tell(world *w, const ph_event *e)
{
    int err = ph_upload_report(w->upload, w->now_ms, e);
    MUST(err == PH_OK || err == PH_ERR_BAD_ARG);
}

/* ---- The world's side ---------------------------------------------------------------------------- */

/* The digest of a file that nobody has: any will do, if it is always the same. */
static ph_digest digest_of(ph_alg alg, uint32_t part_number)
{
    ph_digest d = {.alg = alg, .len = ph_alg_row(alg)->len};
    memset(d.bytes, (int)part_number, d.len);
    return d;
}

static void make_etag(world *w, uint32_t part_number)
{
    ph_digest md5 = digest_of(PH_ALG_MD5, part_number);
    w->etag[0] = '"';
    ph_etag_text(&md5, 0, w->etag + 1);
    strcat(w->etag, "\"");
}

static ph_str list_parts(world *w, bool states)
{
    ph_buf b;
    ph_buf_init(&b, sizeof w->text);
    ph_buf_cstr(&b, "<ListPartsResult>");
    for (uint32_t n = 1; n <= MAX_PARTS; n++) {
        if (!w->stored[n])
            continue;
        uint64_t left = w->options.size - (n - 1) * 5 * MIB;
        const char *element = ph_alg_row(w->options.alg)->element;
        make_etag(w, n);
        ph_buf_cstr(&b, "<Part><PartNumber>");
        ph_buf_u64(&b, n);
        ph_buf_cstr(&b, "</PartNumber><ETag>");
        ph_buf_cstr(&b, w->etag);
        ph_buf_cstr(&b, "</ETag><Size>");
        ph_buf_u64(&b, left < 5 * MIB ? left : 5 * MIB);
        ph_buf_cstr(&b, "</Size>");
        if (states && element) {
            ph_digest d = digest_of(w->options.alg, n);
            ph_buf_char(&b, '<');
            ph_buf_cstr(&b, element);
            ph_buf_char(&b, '>');
            ph_digest_base64(&b, &d);
            ph_buf_cstr(&b, "</");
            ph_buf_cstr(&b, element);
            ph_buf_char(&b, '>');
        }
        ph_buf_cstr(&b, "</Part>");
    }
    ph_buf_cstr(&b, "</ListPartsResult>");
    MUST(b.err == PH_OK);
    memcpy(w->text, b.ptr, b.len);
    ph_str s = {w->text, b.len};
    ph_buf_clear(&b);
    return s;
}

/* What S3 does and says when all is well. */
static void obey(world *w, const job *j, ph_event *e, ph_header *header, bool hides)
{
    bool is_part = strcmp(j->operation, "UploadPart") == 0;
    e->status = 200;
    if (strcmp(j->operation, "CreateMultipartUpload") == 0) {
        memset(w->stored, 0, sizeof w->stored);
        w->created = true;
        e->body = PH_STR("<InitiateMultipartUploadResult><UploadId>U</UploadId>"
                         "</InitiateMultipartUploadResult>");
    } else if (strcmp(j->operation, "AbortMultipartUpload") == 0) {
        w->created = false;
        e->status = 204;
    } else if (strcmp(j->operation, "HeadObject") == 0) {
        e->status = w->completed ? 200 : 404;
    } else if (strcmp(j->operation, "PutObject") != 0 && !w->created) {
        e->status = 404;
        e->body = PH_STR("<Error><Code>NoSuchUpload</Code></Error>");
    } else if (strcmp(j->operation, "CompleteMultipartUpload") == 0) {
        w->created = false;
        w->completed = true;
        e->body = PH_STR("<CompleteMultipartUploadResult><ETag>\"e-n\"</ETag>"
                         "</CompleteMultipartUploadResult>");
    } else if (strcmp(j->operation, "ListParts") == 0) {
        e->body = list_parts(w, byte(w) & 1);
    }
    if (is_part && w->created && j->part_number <= MAX_PARTS)
        w->stored[j->part_number] = true;
    if (e->status == 200 && (is_part || strcmp(j->operation, "PutObject") == 0) && !hides) {
        make_etag(w, is_part ? j->part_number : 1);
        *header = (ph_header){PH_STR("etag"), ph_str_from(w->etag)};
        e->headers = header;
        e->header_count = 1;
    }
}

static const char *const codes[] = {
    "SlowDown",       "InternalError",        "RequestTimeout", "ExpiredToken",
    "InvalidToken",   "RequestTimeTooSkewed", "BadDigest",      "AccessDenied",
    "NoSuchUpload",   "InvalidPart",          "NotImplemented", "PreconditionFailed",
    "InvalidRequest", "PermanentRedirect",    "NoSuchBucket",   "ConditionalRequestConflict",
};

static void refuse(world *w, ph_event *e)
{
    static const int statuses[] = {400, 403, 404, 409, 412, 500, 503, 200};
    uint8_t how = byte(w);
    e->status = statuses[how >> 5];
    snprintf(w->text, sizeof w->text,
             "<Error><Code>%s</Code><ServerTime>2026-01-01T00:%02u:00Z</ServerTime></Error>",
             codes[how % 16], how % 60u);
    e->body = ph_str_from(w->text);
}

/* Whatever the input says. */
static void babble(world *w, ph_event *e, ph_header headers[2])
{
    size_t len = byte(w) % 48;
    e->status = 100 + byte(w) * 2;
    if (len > (size_t)(w->end - w->at))
        len = (size_t)(w->end - w->at);
    e->body = (ph_str){(const char *)w->at, len};
    headers[0] = (ph_header){PH_STR("etag"), e->body};
    headers[1] = (ph_header){PH_STR("x-amz-checksum-crc64nvme"), e->body};
    e->headers = headers;
    e->header_count = byte(w) % 3;
    w->at += len < (size_t)(w->end - w->at) ? len : (size_t)(w->end - w->at);
}

static void answer_request(world *w, const job *j, unsigned how)
{
    static const int errors[] = {PH_ERR_NETWORK, PH_ERR_TIMEOUT, PH_ERR_TLS};
    ph_event e = {.kind = PH_EVENT_RESPONSE, .id = j->id};
    ph_header headers[2];
    switch (how) {
    default: obey(w, j, &e, headers, how == 1); break;
    case 2: refuse(w, &e); break;
    case 3: babble(w, &e, headers); break;
    case 4: /* it was done, but nobody heard */
        obey(w, j, &e, headers, false);
        e = (ph_event){.kind = PH_EVENT_FAILED, .id = j->id, .err = errors[byte(w) % 3]};
        break;
    case 5: e = (ph_event){.kind = PH_EVENT_FAILED, .id = j->id, .err = errors[byte(w) % 3]}; break;
    case 6:
        e = (ph_event){.kind = PH_EVENT_UNREADABLE, .id = j->id, .err = PH_ERR_FILE_CHANGED};
        break;
    }
    uint32_t id = j->id;
    if (e.kind != PH_EVENT_UNREADABLE || j->part_number || strcmp(j->operation, "PutObject") == 0)
        drop(w, id);
    tell(w, &e);
}

static void answer_hash(world *w, const job *j, unsigned how)
{
    ph_event e = {.kind = PH_EVENT_HASHED, .id = j->id};
    uint32_t of = j->part_number ? j->part_number : 1;
    for (int i = 0; i < 2; i++)
        e.digest[i] = digest_of(j->alg[i], of + (how == 2));
    if (how == 3)
        e = (ph_event){.kind = PH_EVENT_UNREADABLE, .id = j->id, .err = PH_ERR_FILE_UNREADABLE};
    drop(w, j->id);
    tell(w, &e);
}

static void answer_ask(world *w, const job *j, unsigned how)
{
    static const char *const grants[] = {
        "{" CREDENTIALS "}",
        "{" CREDENTIALS ",\"expiration\":\"2026-01-01T00:10:00Z\"}",
        "{" CREDENTIALS ",\"key\":\"other\",\"serverTime\":\"2026-01-01T00:20:00Z\"}",
        PRESIGNED,
        "{\"accessKeyId\":\"A\"}",
    };
    static const int errors[] = {PH_ERR_SIGN_IN, PH_ERR_FORBIDDEN, PH_ERR_NO_CREDENTIALS,
                                 PH_ERR_EXPIRED_TOKEN};
    ph_event e = {.kind = PH_EVENT_GRANTED, .id = j->id};
    if (how < sizeof grants / sizeof grants[0])
        e.body = ph_str_from(grants[how]);
    else
        e = (ph_event){.kind = PH_EVENT_DENIED, .id = j->id, .err = errors[byte(w) % 4]};
    drop(w, j->id);
    tell(w, &e);
}

static void answer(world *w, size_t which, unsigned how)
{
    if (!w->live_count)
        return;
    job j = w->live[which % w->live_count];
    if (j.kind == PH_ACTION_REQUEST)
        answer_request(w, &j, how);
    else if (j.kind == PH_ACTION_HASH)
        answer_hash(w, &j, how);
    else
        answer_ask(w, &j, how);
}

/* The host is killed, and starts again with what it kept. */
static void crash(world *w)
{
    if (!w->saved_len)
        return;
    ph_upload_free(w->upload);
    w->over = false;
    open_upload(w, true);
}

/* An event that belongs to nothing, or to something else. */
static void confuse(world *w)
{
    uint8_t how = byte(w);
    ph_event e = {.kind = (ph_event_kind)(how % 8), .id = how >> 4, .err = -(int)byte(w)};
    const job *j = find(w, e.id);
    if (!j || e.kind == PH_EVENT_SENT) {
        e.bytes = how * MIB;
        tell(w, &e);
    }
}

static void happen(world *w)
{
    uint8_t what = byte(w);
    ph_event e = {.kind = PH_EVENT_PAUSE};
    if (what < 200) {
        answer(w, what & 7, what / 8 % 8);
        return;
    }
    switch (what % 16) {
    case 0: e.kind = PH_EVENT_PAUSE; break;
    case 1: e.kind = PH_EVENT_RESUME; break;
    case 2: e.kind = PH_EVENT_OFFLINE; break;
    case 3: e.kind = PH_EVENT_ONLINE; break;
    case 4: e.kind = PH_EVENT_ABORT; break;
    case 5:
    case 6: crash(w); return;
    case 7: w->completed = !w->completed; return;
    case 8: w->created = !w->created; return;
    case 9:
    case 10: confuse(w); return;
    case 11: w->now_ms += 3600 * 1000; return;
    default: w->now_ms += UINT64_C(1) << byte(w) % 20; return;
    }
    tell(w, &e);
}

/* ---- The whole ------------------------------------------------------------------------------------ */

static void choose(world *w)
{
    static const uint64_t sizes[] = {0, 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 20 * MIB - 1};
    uint8_t a = byte(w), b = byte(w);
    w->options = (ph_upload_options){
        .target = {.bucket = PH_STR("bkt"), .key = PH_STR("k")},
        .object.overwrite = a & 64,
        .size = sizes[a % 8 < 6 ? a % 8 : 5],
        .part_size = 5 * MIB,
        .name = PH_STR("file"),
        .alg = (ph_alg)(b % PH_ALG_COUNT),
        .payload = b & 64 ? PH_PAYLOAD_SIGNED : PH_PAYLOAD_AUTO,
        .concurrency = 1 + (a >> 3) % 3,
        .tries = 1 + (b >> 3) % 4,
        .presign_limit = a & 128 ? 5 * MIB : 0,
        .seed = a,
        .unattended = b & 32,
        .keep = b & 128,
    };
    if (a & 32)
        w->options.credentials = PH_STR("{" CREDENTIALS "}");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world w;
    if (size > 512)
        return 0;
    memset(&w, 0, sizeof w);
    w.at = data;
    w.end = data + size;
    w.now_ms = NOW;
    choose(&w);
    open_upload(&w, false);
    take(&w);
    while (w.at < w.end) {
        happen(&w);
        take(&w);
    }
    w.kind = true;
    while (!w.over) {
        /* Whatever paused it, and whatever it waits for, is over now. */
        tell(&w, &(ph_event){.kind = PH_EVENT_RESUME});
        tell(&w, &(ph_event){.kind = PH_EVENT_ONLINE});
        take(&w);
        answer(&w, 0, 0);
        take(&w);
    }
    ph_progress p;
    ph_upload_progress(w.upload, &p);
    MUST(p.state == PH_STATE_DONE || p.state == PH_STATE_FAILED);
    ph_upload_free(w.upload);
    return 0;
}
