/* SPDX-License-Identifier: MIT
 *
 * What transcripts cannot show of the engine: memory that runs short in any step, secrets that are
 * wiped, calls that are repeated or make no sense, and that 10,000 parts cost ten times what 1,000
 * do. What the engine says to whom is tests/transcripts' subject.
 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "core/checksum.h"
#include "core/json_out.h"
#include "core/str.h"

#define MIB (UINT64_C(1) << 20)
#define NOW UINT64_C(1767225600000)
#define MAX_LIVE 64

#define SECRET "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"
#define TOKEN "FwoGZXIvYXdzEXAMPLETOKEN"
#define SIGNATURE "0123456789abcdefEXAMPLESIGNATURE"
#define CREDENTIALS \
    "{\"accessKeyId\":\"AKID\",\"secretAccessKey\":\"" SECRET "\",\"sessionToken\":\"" TOKEN "\"}"
#define PRESIGNED                                                               \
    "{\"uploadType\":\"put\",\"url\":\"https://bkt.s3.us-east-1.amazonaws.com/" \
    "k?X-Amz-Signature=" SIGNATURE                                              \
    "\",\"headers\":{\"if-none-match\":\"*\"},\"serverTime\":\"2026-01-01T00:00:01Z\"}"

/* ---- A host, and an S3 that says what the story wants --------------------------------------- */

/* The answer to the nth request (from 1) of an operation; all others are answered with success. */
typedef struct line {
    const char *operation;
    unsigned nth;
    int status; /* 0: no answer comes */
    const char *body;
    const char *header, *value; /* one header; NULL: none */
} line;

typedef struct story {
    const char *name;
    ph_upload_options options;
    const char *grant; /* what an ask for credentials gets */
    const char *end;   /* what stands in its receipt or failure */
    line lines[6];
    bool hides_etags;
} story;

typedef struct job {
    ph_action_kind kind;
    uint32_t id;
    char operation[32];
    uint32_t part_number;
    ph_alg alg[2];
} job;

typedef struct host {
    const story *story;
    ph_upload *upload;
    uint64_t now_ms;
    job live[MAX_LIVE]; /* the oldest first */
    size_t live_count;
    struct {
        char operation[32];
        unsigned count;
    } seen[8];
    unsigned long steps, reports;
    bool short_of_memory; /* did an allocation fail? */
    unsigned marker;      /* of the last page of ListParts */
    char list[1 << 19];
    ph_buf end; /* receipt or failure as JSON */
} host;

static host h;

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* A step that memory fails is asked again, and then succeeds. */
static void step(ph_action *a)
{
    int err = ph_upload_step(h.upload, h.now_ms, true, a);
    if (err != PH_OK) {
        CHECK_INT(err, PH_ERR_NOMEM);
        CHECK(h.short_of_memory = test_alloc_end());
        CHECK_INT(ph_upload_step(h.upload, h.now_ms, true, a), PH_OK);
    }
    h.steps++;
}

static void report(const ph_event *e)
{
    int err = ph_upload_report(h.upload, h.now_ms, e);
    if (err != PH_OK) {
        CHECK_INT(err, PH_ERR_NOMEM);
        CHECK(h.short_of_memory = test_alloc_end());
        CHECK_INT(ph_upload_report(h.upload, h.now_ms, e), PH_OK);
    }
    h.reports++;
}

static void open_upload(void)
{
    int err = ph_upload_new(&h.story->options, h.now_ms, &h.upload);
    if (err != PH_OK) {
        CHECK_INT(err, PH_ERR_NOMEM);
        CHECK(h.upload == NULL);
        CHECK(h.short_of_memory = test_alloc_end());
        CHECK_INT(ph_upload_new(&h.story->options, h.now_ms, &h.upload), PH_OK);
    }
}

static void remember(const ph_action *a)
{
    job j = {.kind = a->kind, .id = a->id};
    if (a->kind == PH_ACTION_REQUEST) {
        snprintf(j.operation, sizeof j.operation, "%s", a->u.request.operation);
        j.part_number = a->u.request.part_number;
        if (is(j.operation, "ListParts")) {
            char url[512];
            snprintf(url, sizeof url, "%.*s", (int)a->u.request.url.len, a->u.request.url.ptr);
            const char *marker = strstr(url, "part-number-marker=");
            h.marker = 0;
            if (marker)
                sscanf(marker, "part-number-marker=%u", &h.marker);
        }
    } else if (a->kind == PH_ACTION_HASH) {
        memcpy(j.alg, a->u.hash.alg, sizeof j.alg);
        j.part_number = a->u.hash.part_number;
    }
    if (CHECK(h.live_count < MAX_LIVE))
        h.live[h.live_count++] = j;
}

static bool forget(uint32_t id, job *out)
{
    for (size_t i = 0; i < h.live_count; i++)
        if (h.live[i].id == id) {
            *out = h.live[i];
            memmove(h.live + i, h.live + i + 1, (--h.live_count - i) * sizeof h.live[0]);
            return true;
        }
    return false;
}

static unsigned count(const char *operation)
{
    size_t i = 0;
    while (i < COUNT(h.seen) && h.seen[i].count && !is(h.seen[i].operation, operation))
        i++;
    if (!CHECK(i < COUNT(h.seen)))
        return 0;
    snprintf(h.seen[i].operation, sizeof h.seen[i].operation, "%s", operation);
    return ++h.seen[i].count;
}

/* A page of at most 1,000 parts, all of 5 MiB: stories with hidden ETags have full parts only. */
static const char *list_parts(void)
{
    unsigned total = (unsigned)(h.story->options.size / (5 * MIB));
    unsigned last = h.marker + 1000 < total ? h.marker + 1000 : total;
    int n = snprintf(h.list, sizeof h.list,
                     "<ListPartsResult><IsTruncated>%s</IsTruncated>"
                     "<NextPartNumberMarker>%u</NextPartNumberMarker>",
                     last < total ? "true" : "false", last);
    for (unsigned i = h.marker + 1; i <= last; i++)
        n += snprintf(h.list + n, sizeof h.list - (size_t)n,
                      "<Part><PartNumber>%u</PartNumber><ETag>&quot;e%u&quot;</ETag>"
                      "<Size>5242880</Size></Part>",
                      i, i);
    snprintf(h.list + n, sizeof h.list - (size_t)n, "</ListPartsResult>");
    return h.list;
}

static void succeed(const job *j, ph_event *e, ph_header *header, char etag[32])
{
    e->status = 200;
    e->headers = header;
    if (is(j->operation, "CreateMultipartUpload"))
        e->body = PH_STR("<InitiateMultipartUploadResult><UploadId>U</UploadId>"
                         "</InitiateMultipartUploadResult>");
    if (is(j->operation, "CompleteMultipartUpload"))
        e->body = PH_STR("<CompleteMultipartUploadResult><ETag>\"e-n\"</ETag>"
                         "</CompleteMultipartUploadResult>");
    if (is(j->operation, "ListParts"))
        e->body = ph_str_from(list_parts());
    if ((is(j->operation, "UploadPart") || is(j->operation, "PutObject")) &&
        !h.story->hides_etags) {
        snprintf(etag, 32, "\"e%u\"", j->part_number);
        *header = (ph_header){PH_STR("etag"), ph_str_from(etag)};
        e->header_count = 1;
    }
}

static void answer_request(const job *j)
{
    ph_event e = {.kind = PH_EVENT_RESPONSE, .id = j->id};
    ph_header header;
    char etag[32];
    unsigned nth = count(j->operation);
    const line *l = NULL;
    for (size_t i = 0; i < COUNT(h.story->lines) && h.story->lines[i].operation; i++)
        if (is(h.story->lines[i].operation, j->operation) && h.story->lines[i].nth == nth)
            l = &h.story->lines[i];
    if (!l) {
        succeed(j, &e, &header, etag);
    } else if (l->status == 0) {
        e.kind = PH_EVENT_FAILED;
        e.err = PH_ERR_NETWORK;
    } else {
        e.status = l->status;
        header = (ph_header){ph_str_from(l->header), ph_str_from(l->value)};
        e.headers = &header;
        e.header_count = l->header != NULL;
        e.body = ph_str_from(l->body);
    }
    report(&e);
}

/* The digest of a file that nobody has: any will do, if it is always the same. */
static ph_digest digest_of(ph_alg alg, uint32_t part_number)
{
    ph_digest d = {.alg = alg, .len = ph_alg_row(alg)->len};
    memset(d.bytes, (int)(part_number & 0xff), d.len);
    return d;
}

/* A digest of another algorithm, or not whole, is refused wherever one is awaited, and changes nothing. */
static void answer_wrong(const ph_event *right)
{
    for (int i = 0; i < 4; i++) {
        ph_event e = *right;
        ph_digest *d = &e.digest[i / 2];
        if (d->alg == PH_ALG_NONE)
            continue;
        if (i % 2)
            d->len--;
        else
            d->alg = d->alg == PH_ALG_SHA1 ? PH_ALG_MD5 : PH_ALG_SHA1;
        CHECK_INT(ph_upload_report(h.upload, h.now_ms, &e), PH_ERR_BAD_ARG);
    }
}

static void answer(const job *j)
{
    ph_event e = {.id = j->id};
    if (j->kind == PH_ACTION_REQUEST) {
        answer_request(j);
    } else if (j->kind == PH_ACTION_HASH) {
        uint32_t of = j->part_number ? j->part_number : 1; /* the whole file is its only part */
        e.kind = PH_EVENT_HASHED;
        e.digest[0] = digest_of(j->alg[0], of);
        e.digest[1] = digest_of(j->alg[1], of);
        answer_wrong(&e);
        report(&e);
    } else {
        e.kind = PH_EVENT_GRANTED;
        e.body = ph_str_from(h.story->grant);
        report(&e);
    }
}

static void note_end(const ph_action *a)
{
    ph_buf_reset(&h.end);
    ph_json_open(&h.end, NULL);
    if (a->kind == PH_ACTION_DONE)
        ph_json_add_receipt(&h.end, &a->u.receipt);
    else
        ph_json_add_failure(&h.end, &a->u.failure);
    ph_json_close(&h.end);
}

/* Play a story to its end; what came of it stands in h.end. */
static void play(const story *s)
{
    ph_action a;
    job j;
    memset(&h, 0, sizeof h);
    h.story = s;
    h.now_ms = NOW;
    ph_buf_init(&h.end, 4096);
    open_upload();
    for (;;) {
        step(&a);
        switch (a.kind) {
        case PH_ACTION_REQUEST:
        case PH_ACTION_HASH:
        case PH_ACTION_CREDENTIALS: remember(&a); continue;
        case PH_ACTION_CANCEL: CHECK(forget(a.id, &j)); continue;
        case PH_ACTION_NOTICE:
        case PH_ACTION_SAVE:
        case PH_ACTION_FORGET: continue;
        case PH_ACTION_WAIT:
            if (h.live_count) {
                forget(h.live[0].id, &j);
                answer(&j);
            } else if (CHECK(a.u.until_ms != UINT64_MAX)) {
                h.now_ms = a.u.until_ms;
            } else {
                break;
            }
            continue;
        case PH_ACTION_DONE:
        case PH_ACTION_FAILED: break;
        }
        break;
    }
    if (test_alloc_end()) /* the story is told; what follows is ours */
        h.short_of_memory = true;
    note_end(&a);
    ph_upload_free(h.upload);
}

/* ---- Stories -------------------------------------------------------------------------------- */

#define TARGET                                                                  \
    {                                                                           \
        .bucket = BYTES("bkt"), .key = BYTES("k"), .region = BYTES("us-east-1") \
    }
#define ERROR(code) "<Error><Code>" code "</Code><RequestId>R</RequestId></Error>"

#define ANSWER(operation, nth, status, body)     \
    {                                            \
        operation, nth, status, body, NULL, NULL \
    }

#define SNAPSHOT                                                                                   \
    "{\"parthaul\":1,\"size\":10485760,\"bucket\":\"bkt\",\"key\":\"k\",\"region\":\"us-east-1\"," \
    "\"addressing\":\"auto\",\"partSize\":5242880,\"checksum\":\"CRC64NVME\",\"checksumType\":"    \
    "\"FULL_OBJECT\",\"payload\":\"auto\",\"object\":{},\"metadata\":[],\"uploadId\":\"U\","       \
    "\"check\":"                                                                                   \
    "\"7a297b1424a8bcc8\"}"
#define LISTED(number, etag)                                                                 \
    "<Part><PartNumber>" number "</PartNumber><ETag>\"" etag "\"</ETag><Size>5242880</Size>" \
    "</Part>"
#define MD5_1 "01010101010101010101010101010101" /* of the first part, see digest_of */

static const ph_header metadata[] = {{BYTES("owner"), BYTES("ann")}, {BYTES("camera"), BYTES("x")}};

/* The CRC-64 of the lost object: of the digests of its two parts. */
static char whole[13];

static void compute_whole(void)
{
    ph_digest first = digest_of(PH_ALG_CRC64NVME, 1), second = digest_of(PH_ALG_CRC64NVME, 2), both;
    ph_buf text;
    ph_buf_init(&text, sizeof whole);
    CHECK_INT(ph_digest_combine(&first, &second, 5 * MIB, &both), PH_OK);
    ph_digest_base64(&text, &both);
    if (CHECK_U64(text.len, 12))
        memcpy(whole, text.ptr, 12);
    ph_buf_clear(&text);
}

/* Between them they walk through every state and every way of trying again. */
static const story stories[] = {
    {.name = "three parts",
     .end = "\"verified\":\"sent\",\"retries\":0",
     .options = {.target = TARGET,
                 .size = 10 * MIB + 1,
                 .part_size = 5 * MIB,
                 .alg = PH_ALG_CRC64NVME,
                 .name = BYTES("file.bin"),
                 .object = {.metadata = metadata, .metadata_count = COUNT(metadata)},
                 .credentials = BYTES(CREDENTIALS)},
     .lines = {{"HeadObject", 1, 200, NULL, "etag", "\"e-n\""}}},
    {.name = "an unconfirmed 200",
     .end = "\"verified\":\"sent\",\"unseen\":true,\"retries\":0",
     .options = {.target = TARGET,
                 .size = 10 * MIB,
                 .part_size = 5 * MIB,
                 .alg = PH_ALG_CRC64NVME,
                 .credentials = BYTES(CREDENTIALS)}},
    {.name = "asked for credentials, refused, another region, retries",
     .end = "\"retries\":5",
     .options = {.target = TARGET,
                 .size = 10 * MIB,
                 .part_size = 5 * MIB,
                 .alg = PH_ALG_CRC32C,
                 .concurrency = 2},
     .grant = CREDENTIALS,
     .lines = {ANSWER("CreateMultipartUpload", 1, 400, ERROR("ExpiredToken")),
               {"CreateMultipartUpload", 2, 301, ERROR("PermanentRedirect"), "x-amz-bucket-region",
                "eu-west-1"},
               ANSWER("UploadPart", 1, 503, ERROR("SlowDown")),
               ANSWER("UploadPart", 3, 400, ERROR("BadDigest")),
               ANSWER("CompleteMultipartUpload", 1, 200, ERROR("InternalError"))}},
    {.name = "hidden ETags, signed payloads",
     .end = "\"verified\":\"sent\"",
     .options = {.target = {.bucket = BYTES("bkt"),
                            .key = BYTES("k"),
                            .endpoint = BYTES("http://s3.example")},
                 .size = 15 * MIB,
                 .part_size = 5 * MIB,
                 .alg = PH_ALG_SHA1,
                 .credentials = BYTES(CREDENTIALS)},
     .hides_etags = true},
    {.name = "a lost Complete",
     .end = "\"verified\":\"object\",\"retries\":1",
     .options = {.target = TARGET,
                 .size = 10 * MIB,
                 .part_size = 5 * MIB,
                 .alg = PH_ALG_CRC64NVME,
                 .credentials = BYTES(CREDENTIALS)},
     .lines = {ANSWER("CompleteMultipartUpload", 1, 0, NULL),
               ANSWER("CompleteMultipartUpload", 2, 404, ERROR("NoSuchUpload")),
               {"HeadObject", 1, 200, NULL, "x-amz-checksum-crc64nvme", whole}}},
    {.name = "a lost PUT of MD5",
     .end = "\"verified\":\"object\",\"retries\":1",
     .options = {.target = TARGET, .size = 1, .alg = PH_ALG_MD5, .credentials = BYTES(CREDENTIALS)},
     .lines = {ANSWER("PutObject", 1, 0, NULL),
               ANSWER("PutObject", 2, 412, ERROR("PreconditionFailed")),
               {"HeadObject", 1, 200, NULL, "etag", "\"01010101010101010101010101010101\""}}},
    {.name = "a presigned PUT whose URL ended",
     .end = "\"retries\":1",
     .options = {.target = TARGET,
                 .size = 5,
                 .alg = PH_ALG_CRC32,
                 .presign_limit = 100,
                 .object.property[PH_PROP_CONTENT_TYPE] = BYTES("text/plain")},
     .grant = PRESIGNED,
     .lines = {ANSWER(
         "PutObject",
         1, 403,
         "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")}},
    {.name = "kept, and a failure that may pass",
     .end = "\"resumable\":true",
     .options = {.target = TARGET,
                 .size = 10 * MIB,
                 .part_size = 5 * MIB,
                 .alg = PH_ALG_CRC64NVME,
                 .credentials = BYTES(CREDENTIALS),
                 .keep = true},
     .lines = {ANSWER("UploadPart", 2, 403, ERROR("AccessDenied"))}},
    {.name = "gone on with: a part that is proven, one that cannot be",
     .end = "\"verified\":\"sent\"",
     .options = {.size = 10 * MIB, .keep = true, .snapshot = BYTES(SNAPSHOT)},
     .grant = CREDENTIALS,
     .lines = {ANSWER("ListParts", 1, 200,
                      "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>1"
                      "</NextPartNumberMarker>" LISTED("1", MD5_1) "</ListPartsResult>"),
               ANSWER("ListParts", 2, 200,
                      "<ListPartsResult>" LISTED("2", "opaque") "</ListPartsResult>")}},
    {.name = "gone on with, and it was completed",
     .end = "\"verified\":\"object\"",
     .options = {.size = 10 * MIB,
                 .keep = true,
                 .snapshot = BYTES(SNAPSHOT),
                 .credentials = BYTES(CREDENTIALS)},
     .lines = {ANSWER("ListParts", 1, 404, ERROR("NoSuchUpload")),
               {"HeadObject", 1, 200, NULL, "x-amz-checksum-crc64nvme", whole},
               {"HeadObject", 2, 200, NULL, "x-amz-checksum-crc64nvme", whole}}},
    {.name = "refused, and given back",
     .end = "\"code\":\"ACCESS_DENIED\"",
     .options = {.target = TARGET,
                 .size = 10 * MIB,
                 .part_size = 5 * MIB,
                 .alg = PH_ALG_NONE,
                 .credentials = BYTES(CREDENTIALS)},
     .lines = {ANSWER("UploadPart", 2, 403, ERROR("AccessDenied")),
               ANSWER("AbortMultipartUpload", 1, 500, NULL)}},
};

/* Each story has the same end, whichever allocation fails once. */
static void test_short_memory(void)
{
    for (size_t i = 0; i < COUNT(stories); i++) {
        test_case("%s", stories[i].name);
        play(&stories[i]);
        ph_buf wanted = h.end;
        ph_buf_char(&wanted, '\0');
        if (!CHECK(strstr(wanted.ptr, stories[i].end)))
            printf("    %s\n", wanted.ptr);
        wanted.len--;
        for (unsigned n = 0; n == 0 || h.short_of_memory; n++) {
            test_case("%s, allocation %u fails", stories[i].name, n);
            test_alloc_fail_after(n);
            play(&stories[i]);
            if (CHECK_U64(h.end.len, wanted.len))
                CHECK_MEM(h.end.ptr, wanted.ptr, wanted.len);
            ph_buf_clear(&h.end);
        }
        ph_buf_clear(&wanted);
    }
}

/* (Where memory fails while cJSON builds a tree, it gives back what it had without wiping it.) */
static void test_secrets(void)
{
    static const char *const secrets[] = {SECRET, TOKEN, SIGNATURE};
    for (size_t i = 0; i < COUNT(stories); i++)
        for (size_t k = 0; k < COUNT(secrets); k++) {
            test_case("%s keeps %s", stories[i].name, secrets[k]);
            test_watch_secret(secrets[k]);
            play(&stories[i]);
            CHECK_U64(test_watch_secret(NULL), 0);
            ph_buf_clear(&h.end);
        }
}

/* ---- Calls that are repeated, and those that make no sense ------------------------------------ */

static ph_upload *open_plain(const ph_upload_options *options)
{
    ph_upload *u;
    CHECK_INT(ph_upload_new(options, NOW, &u), PH_OK);
    return u;
}

static uint32_t next_id(ph_upload *u, ph_action_kind kind)
{
    ph_action a;
    do {
        CHECK_INT(ph_upload_step(u, NOW, true, &a), PH_OK);
    } while (a.kind == PH_ACTION_NOTICE);
    CHECK_INT(a.kind, kind);
    return a.id;
}

static void test_repeats(void)
{
    test_case("steps and reports repeated");
    ph_upload *u = open_plain(&stories[0].options);
    ph_event e = {.kind = PH_EVENT_RESPONSE, .id = next_id(u, PH_ACTION_REQUEST), .status = 200};
    for (int i = 0; i < 5; i++)
        next_id(u, PH_ACTION_WAIT);
    e.status = 403;
    for (int i = 0; i < 5; i++)
        CHECK_INT(ph_upload_report(u, NOW, &e), PH_OK);
    for (int i = 0; i < 5; i++)
        next_id(u, PH_ACTION_FAILED);
    ph_event abort = {.kind = PH_EVENT_ABORT};
    CHECK_INT(ph_upload_report(u, NOW, &abort), PH_OK);
    ph_action a;
    CHECK_INT(ph_upload_step(u, NOW, true, &a), PH_OK);
    CHECK_INT(a.u.failure.err, PH_ERR_ACCESS_DENIED);
    ph_upload_free(u);
    ph_upload_free(NULL);
}

static void test_no_sense(void)
{
    test_case("events that make no sense");
    ph_upload_options options = stories[0].options;
    options.payload = PH_PAYLOAD_SIGNED;
    options.size = 1;
    ph_upload *u = open_plain(&options);
    uint32_t id = next_id(u, PH_ACTION_HASH);
    ph_digest crc = digest_of(PH_ALG_CRC64NVME, 1), sha = digest_of(PH_ALG_SHA256, 1);
    const ph_event refused[] = {
        {.kind = PH_EVENT_RESPONSE, .status = 200},
        {.kind = PH_EVENT_FAILED, .id = id},
        {.kind = PH_EVENT_UNREADABLE, .id = id},
        {.kind = PH_EVENT_DENIED, .id = id, .err = 7},
        {.kind = PH_EVENT_HASHED, .id = id},
        {.kind = PH_EVENT_HASHED, .id = id, .digest = {sha, sha}},
        {.kind = PH_EVENT_HASHED, .id = id, .digest = {crc, crc}},
        {.kind = PH_EVENT_HASHED, .id = id, .digest = {crc}},
        {.kind = (ph_event_kind)99},
    };
    for (size_t i = 0; i < COUNT(refused); i++)
        CHECK_INT(ph_upload_report(u, NOW, &refused[i]), PH_ERR_BAD_ARG);
    ph_event e = {.kind = PH_EVENT_HASHED, .id = id, .digest = {crc, sha}};
    CHECK_INT(ph_upload_report(u, NOW, &e), PH_OK);
    next_id(u, PH_ACTION_REQUEST);
    ph_upload_free(u);
}

static void test_unheard_notices(void)
{
    test_case("more notices than anybody takes");
    ph_upload *u = open_plain(&stories[0].options);
    next_id(u, PH_ACTION_REQUEST);
    for (int i = 0; i < 1001; i++) {
        ph_event e = {.kind = i % 2 ? PH_EVENT_RESUME : PH_EVENT_PAUSE};
        CHECK_INT(ph_upload_report(u, NOW, &e), PH_OK);
    }
    ph_action a;
    bool paused = false;
    for (CHECK_INT(ph_upload_step(u, NOW, true, &a), PH_OK); a.kind == PH_ACTION_NOTICE;
         CHECK_INT(ph_upload_step(u, NOW, true, &a), PH_OK))
        paused = a.u.notice.paused;
    CHECK(paused); /* the newest are kept */
    CHECK_INT(a.kind, PH_ACTION_WAIT);
    ph_upload_free(u);
}

static void test_options_are_copied(void)
{
    test_case("options are copied");
    char text[][32] = {"bkt",  "k",          "us-east-1", "https://s3.example",
                       "file", "text/plain", "a",         "b"};
    ph_header meta = {ph_str_from(text[6]), ph_str_from(text[7])};
    ph_upload_options o = {.target = {.bucket = ph_str_from(text[0]),
                                      .key = ph_str_from(text[1]),
                                      .region = ph_str_from(text[2]),
                                      .endpoint = ph_str_from(text[3])},
                           .object = {.metadata = &meta, .metadata_count = 1},
                           .size = 1,
                           .alg = PH_ALG_NONE,
                           .name = ph_str_from(text[4])};
    o.object.property[PH_PROP_CONTENT_TYPE] = ph_str_from(text[5]);
    char credentials[] = CREDENTIALS;
    o.credentials = ph_str_from(credentials);
    ph_upload *u = open_plain(&o);
    memset(text, '#', sizeof text);
    memset(credentials, '#', sizeof credentials);
    memset(&meta, 0, sizeof meta);
    memset(&o, 0, sizeof o);
    ph_action a;
    do {
        CHECK_INT(ph_upload_step(u, NOW, true, &a), PH_OK);
    } while (a.kind == PH_ACTION_NOTICE);
    CHECK_STR(a.u.request.url, "https://s3.example/bkt/k");
    CHECK_STR(a.u.request.headers[0].value, "text/plain");
    CHECK_STR(a.u.request.headers[1].name, "x-amz-meta-a");
    CHECK_STR(a.u.request.headers[1].value, "b");
    ph_upload_free(u);
}

/* ---- Size -------------------------------------------------------------------------------------- */

typedef struct cost {
    unsigned long steps, reports, allocations;
} cost;

static cost cost_of(unsigned parts, bool hides_etags)
{
    story s = {.name = "many parts", .options = stories[0].options, .hides_etags = hides_etags};
    s.options.size = parts * 5 * MIB;
    unsigned before = test_alloc_count();
    play(&s);
    cost c = {h.steps, h.reports, test_alloc_count() - before};
    ph_buf_char(&h.end, '\0');
    CHECK(strstr(h.end.ptr, "\"verified\""));
    ph_buf_clear(&h.end);
    return c;
}

static void test_many_parts(void)
{
    for (int hides = 0; hides < 2; hides++) {
        test_case("10,000 parts, ETags %s", hides ? "hidden" : "shown");
        cost one = cost_of(1000, hides), ten = cost_of(PH_PART_MAX_COUNT, hides);
        /* A part is digested and sent, with a notice for each of its states. */
        CHECK(ten.steps <= 10 * one.steps && ten.steps < 12 * PH_PART_MAX_COUNT);
        CHECK(ten.reports <= 10 * one.reports && ten.reports < 2 * PH_PART_MAX_COUNT + 20);
        CHECK(ten.allocations <= 10 * one.allocations + 20);
    }
}

int main(void)
{
    compute_whole();
    test_short_memory();
    test_secrets();
    test_repeats();
    test_no_sense();
    test_unheard_notices();
    test_options_are_copied();
    test_many_parts();
    return test_end();
}
