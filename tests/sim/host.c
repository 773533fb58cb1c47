/* SPDX-License-Identifier: MIT
 *
 * The host: the loop at the top of parthaul.h. What it asks of the world is done as well as the
 * adversary lets it.
 */
#include <stdlib.h>
#include <string.h>

#include "core/checksum.h"
#include "core/date.h"
#include "core/str.h"
#include "world.h"

#define MINUTE UINT64_C(60000)

/* ---- What is under way -------------------------------------------------------------------------- */

live *host_live(world *w, uint32_t id)
{
    for (uint32_t i = 0; i < w->live_count; i++)
        if (w->live[i].id == id)
            return &w->live[i];
    return NULL;
}

void host_forget(world *w, live *l)
{
    if (l->kind == L_REQUEST) {
        w->ended_ms = w->now_ms;
        w->ended_limit_ms = l->limit_ms;
    }
    sim_release(l->x);
    *l = w->live[--w->live_count];
}

static live *begin(world *w, uint32_t id, live_kind kind)
{
    if (id <= w->last_id)
        sim_bug(w, "gives the id %u again", id);
    w->last_id = id;
    if (w->live_count == SIM_LIVE) {
        sim_bug(w, "has more than %u things under way", SIM_LIVE);
        return NULL;
    }
    live *l = &w->live[w->live_count++];
    *l = (live){.id = id,
                .kind = kind,
                .begun_ms = w->now_ms,
                .limit_ms = UINT64_MAX,
                .grant = w->given,
                .clock_fix = w->clock_fix,
                .rest = w->resting ? w->rests : 0};
    return l;
}

/* Tell the engine, again where its memory was short. */
void host_report(world *w, const ph_event *e)
{
    for (unsigned i = 0; i < 200; i++) {
        bool fallible = w->one_in[F_NOMEM] && i < 20;
        memory_enter(fallible, &w->random);
        int err = ph_upload_report(w->upload, sim_host_ms(w), e);
        bool short_of = memory_leave();
        if (err == PH_OK)
            break;
        if (err != PH_ERR_NOMEM || !short_of) {
            sim_bug(w, "takes an event with %s", ph_err_name(err));
            break;
        }
    }
    w->steps = w->idle = 0;
    judge_progress(w);
}

/* ---- Requests ----------------------------------------------------------------------------------- */

static void refuse(exchange *x, int status, const char *code, int err)
{
    x->status = status;
    x->code = code;
    x->err = err;
}

static void busy(world *w, exchange *x)
{
    static const struct {
        int status;
        const char *code;
        int err;
    } all[] = {
        {503, "SlowDown", PH_ERR_SLOW_DOWN},
        {503, "ServiceUnavailable", PH_ERR_SLOW_DOWN},
        {503, "", PH_ERR_SLOW_DOWN},
        {429, "TooManyRequests", PH_ERR_SLOW_DOWN},
        {500, "InternalError", PH_ERR_SERVER_ERROR},
        {502, "", PH_ERR_SERVER_ERROR},
        {409, "OperationAborted", PH_ERR_SERVER_ERROR},
        {400, "RequestTimeout", PH_ERR_REQUEST_TIMEOUT},
        {408, "", PH_ERR_REQUEST_TIMEOUT},
        {400, "IncompleteBody", PH_ERR_REQUEST_TIMEOUT},
    };
    size_t i = (size_t)sim_below(w, sizeof all / sizeof all[0]);
    refuse(x, all[i].status, all[i].code, all[i].err);
    /* HEAD has no body, so a code says nothing there. */
    if (x->rq.op == S3_HEAD && x->status < 500)
        refuse(x, 500, "", PH_ERR_SERVER_ERROR);
    if (sim_one_in(w, 3))
        x->an.retry_after_s = 1 + (uint32_t)sim_below(w, 30);
}

static void broken(world *w, exchange *x)
{
    static const int statuses[] = {500, 502, 504};
    int status = statuses[sim_below(w, 3)];
    refuse(x, status, status == 500 ? "InternalError" : "", PH_ERR_SERVER_ERROR);
    x->done_all_the_same = true;
}

static void refuse_for_good(world *w, exchange *x)
{
    static const struct {
        int status;
        const char *code;
        int err;
    } all[] = {
        {403, "AccessDenied", PH_ERR_ACCESS_DENIED},
        {403, "", PH_ERR_ACCESS_DENIED},
        {404, "NoSuchBucket", PH_ERR_NO_SUCH_BUCKET},
        {403, "SignatureDoesNotMatch", PH_ERR_BAD_SIGNATURE},
        {400, "AuthorizationHeaderMalformed", PH_ERR_BAD_SIGNATURE},
        {400, "InvalidRequest", PH_ERR_REFUSED},
        {400, "InvalidArgument", PH_ERR_REFUSED},
        {400, "MalformedXML", PH_ERR_REFUSED},
        {400, "MetadataTooLarge", PH_ERR_REFUSED},
        {400, "KeyTooLongError", PH_ERR_REFUSED},
        {405, "MethodNotAllowed", PH_ERR_REFUSED},
        {409, "ObjectParentIsFile", PH_ERR_REFUSED},
        {411, "MissingContentLength", PH_ERR_REFUSED},
        {400, "EntityTooSmall", PH_ERR_TOO_LARGE},
        {400, "EntityTooLarge", PH_ERR_TOO_LARGE},
        {413, "", PH_ERR_TOO_LARGE},
        {301, "PermanentRedirect", PH_ERR_REDIRECT},
        {307, "TemporaryRedirect", PH_ERR_REDIRECT},
        {409, "ConditionalRequestConflict", PH_ERR_CONFLICT},
        {400, "InvalidPart", PH_ERR_INVALID_PART},
        {400, "InvalidPartOrder", PH_ERR_INVALID_PART},
    };
    size_t i = (size_t)sim_below(w, sizeof all / sizeof all[0]);
    refuse(x, all[i].status, all[i].code, all[i].err);
    if (x->rq.op == S3_HEAD)
        refuse(x, 403, "", PH_ERR_ACCESS_DENIED);
}

static void refuse_creds(world *w, exchange *x)
{
    static const struct {
        int status;
        const char *code;
        int err;
    } all[] = {
        {400, "ExpiredToken", PH_ERR_EXPIRED_TOKEN},
        {400, "TokenRefreshRequired", PH_ERR_EXPIRED_TOKEN},
        {403, "InvalidAccessKeyId", PH_ERR_INVALID_TOKEN},
        {400, "InvalidToken", PH_ERR_INVALID_TOKEN},
    };
    size_t i = (size_t)sim_below(w, 4);
    refuse(x, all[i].status, all[i].code, all[i].err);
}

static void bad_digest(world *w, exchange *x)
{
    static const char *const codes[] = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"};
    refuse(x, 400, codes[sim_below(w, 3)], PH_ERR_BAD_DIGEST);
}

static void error_200(world *w, exchange *x)
{
    static const struct {
        const char *code;
        int err;
    } all[] = {
        {"InternalError", PH_ERR_SERVER_ERROR},
        {"SlowDown", PH_ERR_SLOW_DOWN},
        {"Unheard", PH_ERR_SERVER_ERROR},
    };
    size_t i = (size_t)sim_below(w, 3);
    refuse(x, 200, all[i].code, all[i].err);
}

/* What becomes of a request once it is there. */
static void choose_answer(world *w, exchange *x)
{
    s3_op op = x->rq.op;
    bool body = op == S3_PART || op == S3_PUT;
    if (sim_fault(w, F_BUSY))
        busy(w, x);
    else if (sim_fault(w, F_BROKEN))
        broken(w, x);
    else if (op == S3_COMPLETE && sim_fault(w, F_ERROR_200))
        error_200(w, x);
    else if (sim_fault(w, F_REFUSE))
        refuse_for_good(w, x);
    else if (!x->rq.presigned && op != S3_HEAD && sim_fault(w, F_CREDS))
        refuse_creds(w, x);
    else if (!x->rq.presigned && op != S3_HEAD && sim_fault(w, F_CLOCK))
        refuse(x, 403, "RequestTimeTooSkewed", PH_ERR_CLOCK_SKEW);
    else if (body && sim_fault(w, F_DIGEST))
        bad_digest(w, x);
    else if (sim_fault(w, F_MANGLE))
        x->mangle = true;
    else if (op == S3_COMPLETE && sim_fault(w, F_FALSE))
        x->falsely = 1 + (s3_lie)sim_below(w, S3_LIES - 1);
    else if (op != S3_HEAD && sim_fault(w, F_LIE))
        x->lie = true;
    x->named = x->falsely && sim_one_in(w, 2);
    x->hide = w->s3.quirks.hides_etag || sim_fault(w, F_HIDE);
    x->echo = sim_fault(w, F_ECHO);
    if (body && sim_can_flip(&w->file, &x->rq.body) && sim_fault(w, F_FLIP_WIRE))
        x->flip = true;
}

/* When it arrives, when the answer is back, and whether. */
static void choose_way(world *w, live *l, const ph_request *r)
{
    exchange *x = l->x;
    uint64_t there = w->now_ms + 1 + sim_below(w, w->latency_ms);
    uint64_t body = x->rq.body.length / w->rate;
    x->headers_ms = there;
    uint64_t arrives = there + body;
    x->answer_ms = arrives + 1 + sim_below(w, w->latency_ms);
    if (w->now_ms < w->down_until_ms) {
        x->lost = true;
        sim_later(w, w->now_ms + 1 + sim_below(w, 3000), H_LOST, l->id, PH_ERR_NETWORK, x);
        return;
    }
    bool from_file = l->op == S3_PART || l->op == S3_PUT;
    bool changed = w->began_version != w->file.version;
    if (from_file && (changed || sim_fault(w, F_UNREADABLE))) {
        x->lost = true;
        sim_later(w, w->now_ms + 1, H_LOST, l->id,
                  changed ? PH_ERR_FILE_CHANGED : PH_ERR_FILE_UNREADABLE, x);
        return;
    }
    choose_answer(w, x);
    bool arrive = true;
    if (sim_fault(w, F_LOSE_REQUEST)) {
        x->lost = true;
        arrive = false;
        sim_later(w, x->headers_ms, H_LOST, l->id, PH_ERR_NETWORK, x);
    } else if (sim_fault(w, F_LOSE_ANSWER)) {
        x->lost = true;
        sim_later(w, x->answer_ms, H_LOST, l->id, PH_ERR_NETWORK, x);
    } else if (sim_fault(w, F_HANG)) {
        x->lost = true;
        arrive = sim_one_in(w, 2);
        uint64_t end = w->blind ? w->now_ms + r->limit_ms
                       : arrive ? arrives + r->answer_ms
                                : w->now_ms + r->stall_ms;
        sim_later(w, end, H_LOST, l->id, PH_ERR_TIMEOUT, x);
    } else if (sim_fault(w, F_STRAY)) {
        x->lost = true;
        sim_later(w, x->answer_ms, H_LOST, l->id, PH_ERR_NETWORK, x);
        arrives += sim_below(w, 10 * MINUTE);
    } else if (sim_fault(w, F_SLOW)) {
        x->answer_ms += sim_below(w, r->answer_ms - w->latency_ms);
    } else if (x->answer_ms - w->now_ms > r->limit_ms) {
        sim_bug(w, "leaves no time for %s", s3_op_name(l->op));
    }
    if (w->blind && !x->lost && x->answer_ms - w->now_ms > r->limit_ms) {
        x->lost = true;
        sim_later(w, w->now_ms + r->limit_ms, H_LOST, l->id, PH_ERR_TIMEOUT, x);
    }
    if (arrive)
        sim_later(w, arrives, H_ARRIVE, 0, 0, x);
    x->resent = arrive && sim_fault(w, F_RESENT);
    if (arrive && sim_fault(w, F_TWICE))
        sim_later(w, arrives + sim_below(w, 5 * MINUTE), H_ARRIVE, 0, 0, x);
}

static ph_str path_of(ph_str url)
{
    for (int slashes = 0; url.len; url = ph_str_skip(url, 1))
        if (url.ptr[0] == '/' && ++slashes == 3)
            break;
    return url;
}

static void start_request(world *w, const ph_action *a)
{
    const ph_request *r = &a->u.request;
    live *l = begin(w, a->id, L_REQUEST);
    if (!l)
        return;
    exchange *x = l->x = calloc(1, sizeof *x);
    x->refs = 1;
    x->number = ++w->requests;
    ph_str path = path_of(r->url);
    sim_say(w, "> request %u %s %.*s", x->number, ph_method_name(r->method), (int)path.len,
            path.ptr);
    const char *why;
    if (!s3_request_read(r, &x->rq, &why))
        sim_bug(w, "sends %s: %.*s", why, (int)r->url.len, r->url.ptr);
    l->op = x->rq.op;
    l->part = x->rq.op == S3_PUT ? 1 : x->rq.part;
    x->grant = l->grant;
    x->rq.body.version = w->began_version;
    l->limit_ms = r->limit_ms;
    judge_request(w, l, r);
    if (!w->bug[0])
        choose_way(w, l, r);
}

/* see world.h */
uint32_t host_signer(const s3_request *r)
{
    return (uint32_t)strtoul(r->presigned ? r->url_id + 7 : r->access_key + 4, NULL, 10);
}

/* Who asks? Gives false, with the answer in `x`, when it is refused; without a word where the
 * browser hides it. */
static bool let_in(world *w, exchange *x, s3_answer *a)
{
    const s3_request *r = &x->rq;
    const s3_quirks *q = &w->s3.quirks;
    uint32_t number = host_signer(r);
    bool known = number > 0 && number <= w->grant_count;
    bool ended = known && w->grants[number].end_ms <= x->headers_ms;
    uint64_t apart =
        r->date_ms > x->headers_ms ? r->date_ms - x->headers_ms : x->headers_ms - r->date_ms;
    static const char region[] = "eu-west-1";
    if (r->presigned && ended) {
        s3_refuse(a, r->op, 403, "AccessDenied", PH_ERR_EXPIRED_TOKEN, x->headers_ms);
        ph_buf_clear(&a->body);
        ph_buf_cstr(&a->body, "<Error><Code>AccessDenied</Code><Message>Request has expired"
                              "</Message></Error>");
    } else if (r->presigned) {
        return true;
    } else if (!known || (ended && q->unknown_ends)) {
        s3_refuse(a, r->op, 403, "InvalidAccessKeyId", PH_ERR_INVALID_TOKEN, x->headers_ms);
    } else if (ended) {
        s3_refuse(a, r->op, 400, "ExpiredToken", PH_ERR_EXPIRED_TOKEN, x->headers_ms);
    } else if (apart > S3_HOUR / 4) {
        s3_refuse(a, r->op, 403, "RequestTimeTooSkewed", PH_ERR_CLOCK_SKEW, x->headers_ms);
    } else if (q->bad_region && strcmp(r->region, region) != 0) {
        memcpy(a->region, region, sizeof region);
        s3_refuse(a, r->op, 400, "AuthorizationHeaderMalformed", PH_ERR_REDIRECT, x->headers_ms);
        return false;
    } else {
        return true;
    }
    if (q->silent_auth)
        x->silent = true;
    else if (r->op == S3_HEAD)
        a->err = a->status == 403 ? PH_ERR_ACCESS_DENIED : PH_ERR_REFUSED;
    return false;
}

/* A part of an earlier session takes the place of a newer one: perhaps nobody can tell. */
static void note_stale(world *w, const exchange *x, bool done)
{
    const sim_bytes *b = &x->rq.body;
    sim_bytes now = {b->offset, b->length, w->began_version, b->flipped};
    if (done && x->rq.op == S3_PART && !x->of_twin && !sim_same(&w->file, b, &now))
        w->stale = w->may_differ = true;
}

/* Who heard S3's yes before cannot know that a late request wrote over it. */
static void note_write(world *w, const exchange *x, bool done, bool unheard)
{
    if (done && !x->of_twin && (x->rq.op == S3_PUT || x->rq.op == S3_COMPLETE))
        w->overwritten = unheard && !s3_holds_file(&w->s3, w->began_version);
}

/* Returns whether it was done. */
static bool do_unheard(world *w, exchange *x)
{
    s3_answer ignored = {0};
    s3_do(&w->s3, &x->rq, &ignored);
    bool done = ignored.done;
    if (x->rq.op == S3_CREATE && done)
        s3_find(&w->s3, ignored.created)->pardoned = true;
    s3_answer_clear(&ignored);
    return done;
}

/* see world.h */
void host_arrive(world *w, exchange *x)
{
    if (x->dropped)
        return;
    x->rq.came_ms = x->headers_ms;
    if (x->arrived) { /* the same once more; nobody hears the answer */
        s3_answer ignored = {0};
        bool refused = x->status && !x->done_all_the_same;
        bool done = let_in(w, x, &ignored) && !refused && do_unheard(w, x);
        note_stale(w, x, done);
        note_write(w, x, done, true);
        s3_answer_clear(&ignored);
        return;
    }
    x->arrived = true;
    if (x->flip) {
        x->rq.body.flipped = 2;
        w->may_differ = true; /* the judge looks whether anybody vouches for it */
    }
    uint32_t retry_after = x->an.retry_after_s;
    bool first = false; /* of the two that a browser sent */
    if (let_in(w, x, &x->an)) {
        if (x->rq.op == S3_LIST && !x->of_twin && !x->lost && !x->status)
            judge_list(w, &x->rq);
        if (x->falsely)
            s3_lie_completed(&w->s3, &x->rq, x->falsely, x->named, &x->an);
        else if (!x->status || x->done_all_the_same) {
            if (x->resent)
                first = do_unheard(w, x);
            s3_do(&w->s3, &x->rq, &x->an);
        }
        if (x->status) {
            bool done = x->an.done;
            s3_answer_clear(&x->an);
            x->an = (s3_answer){.done = done, .retry_after_s = retry_after};
            s3_refuse(&x->an, x->rq.op, x->status, x->code, x->err, w->now_ms);
        }
    }
    note_stale(w, x, first || x->an.done);
    note_write(w, x, first || x->an.done, x->lost);
}

static size_t headers_of(const world *w, const exchange *x, ph_header h[8], char length[24])
{
    const s3_answer *a = &x->an;
    const s3_quirks *q = &w->s3.quirks;
    static char quoted[64], digits[24];
    size_t n = 0;
    bool body_etag = x->rq.op == S3_COMPLETE;
    if (a->etag[0] && !x->hide && !body_etag) {
        snprintf(quoted, sizeof quoted, "\"%s\"", a->etag);
        h[n++] = (ph_header){PH_STR("etag"), ph_str_from(quoted)};
    }
    if (a->checksum[0] && !q->hides_checksums && !body_etag) {
        static char name[40];
        snprintf(name, sizeof name, "x-amz-checksum-%s", ph_alg_name_lower(a->alg));
        h[n++] = (ph_header){ph_str_from(name), ph_str_from(a->checksum)};
        if (a->type == PH_TYPE_COMPOSITE)
            h[n++] = (ph_header){PH_STR("x-amz-checksum-type"), PH_STR("COMPOSITE")};
    }
    if (a->version[0] && !q->hides_version)
        h[n++] = (ph_header){PH_STR("x-amz-version-id"), ph_str_from(a->version)};
    if (a->has_length) {
        snprintf(length, 24, "%llu", (unsigned long long)a->length);
        h[n++] = (ph_header){PH_STR("content-length"), ph_str_from(length)};
    }
    if (a->retry_after_s) {
        snprintf(digits, sizeof digits, "%u", a->retry_after_s);
        h[n++] = (ph_header){PH_STR("retry-after"), ph_str_from(digits)};
    }
    return n;
}

/* Spoil what S3 said. */
static void mangle(world *w, exchange *x)
{
    s3_answer *a = &x->an;
    bool has_body = x->rq.op == S3_CREATE || x->rq.op == S3_COMPLETE || x->rq.op == S3_LIST;
    if (a->status != 200 || x->rq.op == S3_HEAD)
        return;
    if (!has_body || sim_one_in(w, 4)) {
        ph_buf_reset(&a->body);
        ph_buf_cstr(&a->body, "<html><body>Please sign in to the network<br></body></html>");
        a->etag[0] = a->checksum[0] = a->version[0] = '\0'; /* it never was at S3 */
        a->err = PH_ERR_BAD_ANSWER;
        return;
    }
    a->err = PH_ERR_BAD_ANSWER;
    if (sim_one_in(w, 4)) {
        ph_buf_reset(&a->body);
        ph_buf_cstr(&a->body, sim_one_in(w, 2) ? "" : " \n\n ");
    } else {
        a->body.len = (size_t)sim_below(w, a->body.len);
    }
}

/* State another checksum, where the engine can see it. */
static void lie(const world *w, exchange *x)
{
    const s3_quirks *q = &w->s3.quirks;
    char *c = x->an.checksum;
    if (x->an.status != 200 || !c[0] || x->mangle ||
        (x->rq.op == S3_COMPLETE ? q->other_type : q->hides_checksums))
        return;
    if (x->rq.op == S3_COMPLETE) {
        char *at = x->an.body.ptr;
        size_t n = strlen(c);
        for (size_t i = 0; i + n <= x->an.body.len; i++)
            if (memcmp(at + i, c, n) == 0)
                at[i] = at[i] == 'A' ? 'B' : 'A';
    } else if (x->rq.op == S3_LIST) {
        return;
    }
    c[0] = c[0] == 'A' ? 'B' : 'A';
    x->an.err = PH_ERR_BAD_DIGEST;
}

static void say_answer(world *w, const exchange *x)
{
    const s3_answer *a = &x->an;
    if (a->status == 200 && a->err == PH_OK)
        sim_say(w, "< ok %u%s%s", x->number, x->hide ? " # without its ETag" : "",
                a->is_false ? " # which is a lie" : "");
    else if (a->body.len < 300)
        sim_say(w, "< response %u %d\n<   text %.*s", x->number, a->status, (int)a->body.len,
                a->body.len ? a->body.ptr : "");
    else
        sim_say(w, "< response %u %d # %zu bytes, %s", x->number, a->status, a->body.len,
                ph_err_name(a->err));
}

/* see world.h */
void host_answer(const world *w, const exchange *x, ph_header headers[8], char length[24],
                 ph_event *out)
{
    *out = (ph_event){.kind = PH_EVENT_RESPONSE, .id = out->id, .status = x->an.status};
    out->headers = headers;
    out->header_count = headers_of(w, x, headers, length);
    out->body = ph_buf_view(&x->an.body);
}

static void report_answer(world *w, live *l, exchange *x)
{
    ph_header h[8];
    char length[24];
    ph_event e = {.id = l ? l->id : 0};
    host_answer(w, x, h, length, &e);
    host_report(w, &e);
}

static void answered(world *w, const happening *h)
{
    live *l = host_live(w, h->id);
    exchange *x = h->x;
    if (!l) { /* it was cancelled; the answer may cross that */
        if (x->an.status && sim_one_in(w, 2)) {
            live gone = {.id = h->id};
            sim_say(w, "# late:");
            say_answer(w, x);
            report_answer(w, &gone, x);
        }
        return;
    }
    if (x->mangle)
        mangle(w, x);
    if (x->lie)
        lie(w, x);
    say_answer(w, x);
    judge_outcome(w, l, x->an.err, &x->an);
    live copy = *l;
    x->refs++;
    host_forget(w, l);
    report_answer(w, &copy, x);
    if (x->echo && !w->bug[0])
        report_answer(w, &copy, x);
    sim_release(x);
}

/* see world.h */
void host_unreadable(world *w, live *l, int err)
{
    judge_excuse(w, err);
    sim_say(w, "< unreadable %s # of %s %u", ph_err_name(err),
            l->kind == L_HASH ? "the digest of part" : "part", l->part);
    uint32_t id = l->id;
    if (l->x)
        l->x->dropped = true;
    host_forget(w, l);
    host_report(w, &(ph_event){.kind = PH_EVENT_UNREADABLE, .id = id, .err = err});
}

static void lost(world *w, const happening *h)
{
    live *l = host_live(w, h->id);
    if (!l)
        return;
    if (h->err == PH_ERR_FILE_CHANGED || h->err == PH_ERR_FILE_UNREADABLE) {
        host_unreadable(w, l, h->err);
        return;
    }
    sim_say(w, "< failed %u %s", h->x->number, ph_err_name(h->err));
    if (h->err == PH_ERR_TIMEOUT)
        w->last_fault_ms = w->now_ms;
    judge_outcome(w, l, h->err, NULL);
    host_forget(w, l);
    host_report(w, &(ph_event){.kind = PH_EVENT_FAILED, .id = h->id, .err = h->err});
}

/* ---- Digests ------------------------------------------------------------------------------------ */

static void start_hash(world *w, const ph_action *a)
{
    const ph_hash_job *job = &a->u.hash;
    live *l = begin(w, a->id, L_HASH);
    if (!l)
        return;
    l->part = job->part_number;
    l->bytes = (sim_bytes){job->offset, job->length, w->began_version, 0};
    l->alg[0] = job->alg[0];
    l->alg[1] = job->alg[1];
    if (job->offset > w->options.size || job->length > w->options.size - job->offset)
        sim_bug(w, "hashes what is not in the file");
    sim_later(w, w->now_ms + 1 + job->length / 1000000 + sim_below(w, 5), H_HASHED, a->id, 0, NULL);
}

static void hashed(world *w, const happening *h)
{
    live *l = host_live(w, h->id);
    if (!l)
        return;
    if (w->began_version != w->file.version) {
        host_unreadable(w, l, PH_ERR_FILE_CHANGED);
        return;
    }
    if (sim_fault(w, F_UNREADABLE)) {
        host_unreadable(w, l, PH_ERR_FILE_UNREADABLE);
        return;
    }
    ph_event e = {.kind = PH_EVENT_HASHED, .id = h->id};
    if (sim_can_flip(&w->file, &l->bytes) && sim_fault(w, F_FLIP_HASH)) {
        sim_say(w, "# a bit flips in memory: part %u gets a wrong digest", l->part);
        l->bytes.flipped = 1;
        part_record *p = &w->parts[l->part ? l->part : 1];
        p->flips++;
        ph_progress now;
        ph_upload_progress(w->upload, &now);
        bool verifying = now.state == PH_STATE_VERIFYING;
        if (p->restarts || (verifying && p->flips > 1)) /* it was read again, in vain */
            judge_excuse(w, PH_ERR_FILE_CHANGED);
        if (verifying && w->gone) /* an object that is there seems another's */
            judge_excuse(w, PH_ERR_NO_SUCH_UPLOAD);
        w->may_differ = true;
    }
    for (size_t i = 0; i < 2; i++)
        if (l->alg[i] != PH_ALG_NONE)
            sim_digest(&w->file, &l->bytes, l->alg[i], &e.digest[i]);
    w->parts[l->part].must_read = false;
    host_forget(w, l);
    host_report(w, &e);
}

/* ---- Credentials -------------------------------------------------------------------------------- */

/* A document with new ones. */
void host_grant_text(world *w, const ph_digest *checksum, char *out, size_t size)
{
    if (w->grant_count + 1 == SIM_GRANTS) {
        sim_bug(w, "asks for credentials too often");
        return;
    }
    uint32_t n = ++w->grant_count;
    grant *g = &w->grants[n];
    bool ends = w->life_ms && n < SIM_GRANTS / 2; /* there is an end to those that end, too */
    g->end_ms = ends ? w->now_ms + w->life_ms / 2 + sim_below(w, w->life_ms) : UINT64_MAX;
    char date[21], end[64] = "", time[64] = "", place[64] = "";
    if (g->end_ms != UINT64_MAX) {
        g->end_ms -= g->end_ms % 1000; /* what a date can say */
        ph_date_iso(g->end_ms, date);
        snprintf(end, sizeof end, ",\"Expiration\":\"%s\"", date);
    }
    if (w->says_time) {
        ph_date_iso(w->now_ms, date);
        snprintf(time, sizeof time, ",\"serverTime\":\"%s\"", date);
    }
    if (w->api_names_key)
        snprintf(place, sizeof place, ",\"bucket\":\"bkt\",\"key\":\"k\"");
    if (w->presigns) {
        char sum[128] = "";
        if (checksum && checksum->len) {
            ph_buf b;
            ph_buf_init(&b, 64);
            ph_digest_base64(&b, checksum);
            snprintf(sum, sizeof sum, ",\"%s\":\"%.*s\"", ph_alg_row(checksum->alg)->header,
                     (int)b.len, b.ptr);
            ph_buf_clear(&b);
        }
        snprintf(out, size,
                 "{\"uploadType\":\"put\",\"url\":\"https://bkt.s3.us-east-1.amazonaws.com/"
                 "k?X-Amz-Signature=pReSiGn%u\",\"headers\":{\"x-amz-meta-a\":\"b\"%s%s}%s%s%s}",
                 n, w->options.object.overwrite ? "" : ",\"if-none-match\":\"*\"", sum,
                 w->session == 1 ? ",\"newKey\":true" : "", time, place);
    } else
        snprintf(out, size,
                 "{\"Credentials\":{\"AccessKeyId\":\"AKID%u\",\"SecretAccessKey\":\"sEcReT%u\","
                 "\"SessionToken\":\"tOkEn%u\"%s}%s%s}",
                 n, n, n, end, time, place);
}

static void start_ask(world *w, const ph_action *a)
{
    static const char *const whys[] = {"first", "expiring", "refused", "look"};
    live *l = begin(w, a->id, L_ASK);
    if (!l)
        return;
    l->why = a->u.ask.why;
    l->checksum = a->u.ask.checksum;
    sim_say(w, "> credentials %s", whys[l->why]);
    judge_ask(w, l);
    for (uint32_t i = 0; i + 1 < w->live_count; i++)
        if (w->live[i].kind == L_ASK)
            sim_bug(w, "asks for credentials while it asks for credentials");
    if (a->u.ask.size != w->options.size)
        sim_bug(w, "asks for a file of %llu bytes", (unsigned long long)a->u.ask.size);
    uint64_t wait = 20 + sim_below(w, 200);
    if (sim_fault(w, F_SLOW_GRANT)) {
        wait += sim_below(w, 3 * MINUTE);
        w->disturbed = true;
    }
    sim_later(w, w->now_ms + wait, H_GRANT, a->id, 0, NULL);
}

static void deny(world *w, live *l, int err)
{
    sim_say(w, "< denied %s", ph_err_name(err));
    judge_denied(w, l, err);
    uint32_t id = l->id;
    host_forget(w, l);
    host_report(w, &(ph_event){.kind = PH_EVENT_DENIED, .id = id, .err = err});
}

static void granted(world *w, const happening *h)
{
    live *l = host_live(w, h->id);
    if (!l)
        return;
    if (w->now_ms < w->down_until_ms || sim_fault(w, F_NO_GRANT)) {
        deny(w, l, PH_ERR_NO_CREDENTIALS);
        return;
    }
    if (sim_fault(w, F_DENY)) {
        /* A host whose only credentials were refused says so in S3's words. */
        bool last = l->why == PH_WHY_REFUSED && w->options.unattended;
        deny(w, l,
             last               ? PH_ERR_EXPIRED_TOKEN
             : sim_one_in(w, 2) ? PH_ERR_SIGN_IN
                                : PH_ERR_FORBIDDEN);
        return;
    }
    char document[512];
    if (sim_fault(w, F_BAD_GRANT)) {
        snprintf(document, sizeof document, "%s", sim_one_in(w, 2) ? "<html>" : "{\"a\":1}");
        judge_denied(w, l, PH_ERR_BAD_CREDENTIALS);
        judge_denied(w, l, PH_ERR_BAD_JSON);
    } else {
        host_grant_text(w, w->presign_checks ? &l->checksum : NULL, document, sizeof document);
        judge_granted(w);
    }
    sim_say(w, "< granted %u # of %u", w->grant_count, w->grant_count);
    uint32_t id = l->id;
    host_forget(w, l);
    host_report(w, &(ph_event){.kind = PH_EVENT_GRANTED, .id = id, .body = ph_str_from(document)});
}

/* ---- The loop ----------------------------------------------------------------------------------- */

/* A request that was given up may have left already. */
static void cancel(world *w, uint32_t id)
{
    live *l = host_live(w, id);
    if (!l) {
        sim_bug(w, "cancels %u, which is not under way", id);
        return;
    }
    if (l->kind == L_REQUEST) {
        sim_say(w, "> cancel %u", l->x->number);
        if (l->op == S3_CREATE)
            sim_bug(w, "cancels Create, whose answer has the id");
        l->x->dropped = !l->x->arrived && sim_one_in(w, 2);
        l->x->lost = true; /* nobody hears it */
    }
    host_forget(w, l);
}

static void take_notice(world *w, const ph_notice *n)
{
    judge_text(w, "a notice", ph_str_from(n->message));
    judge_notice(w, n);
    if (n->kind == PH_NOTICE_STATE && n->err == PH_ERR_SIGN_IN) { /* somebody will, after a while */
        sim_say(w, "> notice state paused code=SIGN_IN");
        w->paused = true;
        sim_later(w, w->now_ms + 1 + sim_below(w, 2 * S3_HOUR), H_RESUME, 0, 0, NULL);
    } else if (n->kind == PH_NOTICE_RETRY) {
        w->retries++;
        sim_say(w, "> notice retry part=%u code=%s", n->part_number, ph_err_name(n->err));
    } else if (n->kind == PH_NOTICE_WARNING) {
        sim_say(w, "> notice warning \"%s\"", n->message);
    }
}

static void keep(world *w, ph_str snapshot)
{
    sim_say(w, "> save %.*s", (int)snapshot.len, snapshot.ptr);
    judge_save(w, snapshot);
    w->unsaved = sim_fault(w, F_UNSAVED);
    if (w->unsaved) {
        sim_say(w, "< notSaved");
        w->told_of_orphan = true; /* that it cannot go on, so whatever is lost with it */
        host_report(w, &(ph_event){.kind = PH_EVENT_NOT_SAVED, .body = PH_STR("full")});
        return;
    }
    ph_buf_reset(&w->kept);
    ph_buf_str(&w->kept, snapshot);
    w->has_kept = true;
}

static void forget(world *w)
{
    sim_say(w, "> forget");
    if (!w->has_kept)
        sim_bug(w, "forgets what was not kept");
    w->has_kept = false;
}

static void finish(world *w, const ph_action *a)
{
    w->over = true;
    w->done = a->kind == PH_ACTION_DONE;
    if (w->live_count)
        sim_bug(w, "is over with %u things under way", w->live_count);
    if (w->done) {
        w->receipt = a->u.receipt;
        sim_say(w, "> done etag=%.*s checksum=%.*s verified=%d retries=%u",
                (int)w->receipt.etag.len, w->receipt.etag.len ? w->receipt.etag.ptr : "",
                (int)w->receipt.checksum.len,
                w->receipt.checksum.len ? w->receipt.checksum.ptr : "", (int)w->receipt.verified,
                w->receipt.retries);
    } else {
        w->failure = a->u.failure;
        sim_say(w, "> failed %s status=%d part=%u", ph_err_name(w->failure.err),
                w->failure.http_status, w->failure.part_number);
        judge_text(w, "the failure", ph_str_from(w->failure.message));
    }
    judge_end(w);
}

static bool act(world *w, const ph_action *a)
{
    switch (a->kind) {
    case PH_ACTION_REQUEST: start_request(w, a); return true;
    case PH_ACTION_CANCEL: cancel(w, a->id); return true;
    case PH_ACTION_HASH: start_hash(w, a); return true;
    case PH_ACTION_CREDENTIALS: start_ask(w, a); return true;
    case PH_ACTION_NOTICE: take_notice(w, &a->u.notice); return true;
    case PH_ACTION_SAVE: keep(w, a->u.snapshot); return true;
    case PH_ACTION_FORGET: forget(w); return true;
    case PH_ACTION_WAIT: break;
    case PH_ACTION_DONE:
    case PH_ACTION_FAILED: finish(w, a); return false;
    }
    w->wait_until_ms = a->u.until_ms;
    judge_wait(w);
    if (a->u.until_ms <= sim_host_ms(w))
        sim_bug(w, "waits for a moment that has passed");
    bool held = w->held || w->paused || w->offline;
    if (a->u.until_ms == UINT64_MAX && !w->live_count && !held)
        sim_bug(w, "waits for nothing");
    return false;
}

/* The process is gone, and what it had sent may arrive yet. */
static bool kill_now(world *w)
{
    if (!w->options.keep || w->dead || w->over || !sim_fault(w, F_KILL))
        return w->dead;
    static const uint64_t most[] = {1000, 60000, 20 * MINUTE, 30 * S3_HOUR};
    sim_say(w, "# the host is killed");
    judge_kill(w);
    for (; w->live_count; host_forget(w, &w->live[0])) {
        exchange *x = w->live[0].x;
        if (x && !x->arrived)
            x->dropped = sim_one_in(w, 2);
        if (x)
            x->lost = true; /* nobody hears it */
    }
    memory_enter(false, NULL);
    ph_upload_free(w->upload);
    memory_leave();
    if (memory_held())
        sim_bug(w, "loses %zu bytes of memory", memory_held());
    w->upload = NULL;
    w->dead = true;
    w->dead_until_ms = w->now_ms + 1 + sim_below(w, most[sim_below(w, 4)]);
    return true;
}

/* A snapshot that was damaged is refused, not obeyed. */
static void damage(world *w)
{
    w->may_damage = true;
    sim_say(w, "# the snapshot is damaged");
    if (sim_one_in(w, 3))
        w->kept.len = (size_t)sim_below(w, w->kept.len);
    else
        w->kept.ptr[sim_below(w, w->kept.len)] ^= (char)(1u << sim_below(w, 7));
}

static int open_upload(world *w)
{
    ph_upload_options o = w->options;
    char document[512];
    o.seed += w->session;
    w->begun = w->has_kept || o.credentials.len;
    if (w->has_kept) { /* all else comes from the snapshot */
        o.snapshot = ph_buf_view(&w->kept);
        o.target.key = o.target.region = o.target.endpoint = (ph_str){NULL, 0};
        o.part_size = 0;
        o.alg = sim_one_in(w, 2) ? PH_ALG_CRC32C : w->options.alg;
        o.type = PH_TYPE_NONE;
        o.object.overwrite = sim_one_in(w, 2);
    }
    if (w->session > 1 && o.credentials.len) {
        host_grant_text(w, NULL, document, sizeof document);
        o.credentials = ph_str_from(document);
    }
    w->given = o.credentials.len ? w->grant_count : 0;
    memory_enter(false, NULL);
    int err = ph_upload_new(&o, sim_host_ms(w), &w->upload);
    memory_leave();
    return err;
}

/* see world.h */
void host_begin(world *w)
{
    w->session++;
    w->last_fault_ms = w->now_ms;
    w->dead = w->over = w->done = w->paused = w->aborted = false;
    w->last_id = w->live_count = w->steps = w->idle = 0;
    w->wait_until_ms = 0;
    w->began_version = w->file.version;
    if (w->session > 1)
        sim_say(w, "# session %u%s", w->session, w->has_kept ? ", from the snapshot" : "");
    judge_session(w);
    if (w->has_kept && sim_fault(w, F_DAMAGE))
        damage(w);
    int err = open_upload(w);
    if (err == PH_ERR_SNAPSHOT_DAMAGED && w->may_damage) {
        judge_kill(w);
        w->has_kept = w->lacks_checksum = false;
        w->told_of_orphan = true; /* what the damaged one knew nobody knows */
        for (uint32_t i = 0; i < w->s3.upload_count; i++)
            w->s3.uploads[i].pardoned = true;
        err = open_upload(w);
    } else if (w->may_damage) {
        sim_bug(w, "obeys a damaged snapshot");
    }
    w->may_damage = false;
    if (err != PH_OK) {
        sim_bug(w, "does not begin: %s", ph_err_name(err));
        return;
    }
    if (w->offline)
        host_report(w, &(ph_event){.kind = PH_EVENT_OFFLINE});
}

/* see world.h */
void host_drive(world *w)
{
    bool idle = true;
    while (!w->bug[0]) {
        ph_action a;
        memory_enter(w->one_in[F_NOMEM] && w->steps < 500, &w->random);
        int err = ph_upload_step(w->upload, sim_host_ms(w), !w->held, &a);
        bool short_of = memory_leave();
        w->steps++;
        if (w->steps > 1000)
            sim_bug(w, "never waits");
        if (err != PH_OK && (err != PH_ERR_NOMEM || !short_of))
            sim_bug(w, "a step fails with %s", ph_err_name(err));
        if (err != PH_OK)
            continue;
        if (kill_now(w) || !act(w, &a) || kill_now(w))
            break;
        idle = false;
    }
    w->idle = !idle ? 0 : w->idle + w->woken;
    if (w->idle > 20)
        sim_bug(w, "wakes up again and again for nothing");
    if (!w->over)
        w->steps = 0;
}

static void say_and_tell(world *w, const char *word, ph_event_kind kind)
{
    sim_say(w, "< %s", word);
    host_report(w, &(ph_event){.kind = kind});
}

/* see world.h */
void host_happens(world *w, const happening *h)
{
    bool own = !w->over && !w->dead && h->session == w->session;
    bool of_host = h->kind == H_RESUME || h->kind == H_ONLINE || h->kind == H_RELEASE;
    if (h->kind == H_TWIN)
        twin_happens(w, h);
    if (h->kind == H_TWIN || (h->kind != H_ARRIVE && !of_host && !own))
        return;
    switch (h->kind) {
    case H_ARRIVE:
        host_arrive(w, h->x);
        if (h->x->silent && !h->x->lost) {
            h->x->lost = true;
            live *l = NULL;
            for (uint32_t i = 0; i < w->live_count; i++)
                if (w->live[i].x == h->x)
                    l = &w->live[i];
            if (l)
                sim_later(w, w->now_ms + 5, H_LOST, l->id, PH_ERR_NETWORK, h->x);
        } else if (!h->x->lost && !h->x->dropped) {
            h->x->lost = true; /* its end is on its way */
            for (uint32_t i = 0; i < w->live_count; i++)
                if (w->live[i].x == h->x)
                    sim_later(w, h->x->answer_ms, H_ANSWER, w->live[i].id, 0, h->x);
        }
        return;
    case H_ANSWER: answered(w, h); return;
    case H_LOST: lost(w, h); return;
    case H_HASHED: hashed(w, h); return;
    case H_GRANT: granted(w, h); return;
    case H_RESUME:
        if (!own)
            return;
        w->paused = false;
        judge_hurry(w);
        say_and_tell(w, "resume", PH_EVENT_RESUME);
        return;
    case H_ONLINE:
        w->offline = false;
        judge_hurry(w);
        if (!w->over && !w->dead)
            say_and_tell(w, "online", PH_EVENT_ONLINE);
        return;
    case H_TWIN: return;
    case H_RELEASE:
        w->held = false;
        sim_say(w, "@ may-send yes");
        return;
    }
}
