/* SPDX-License-Identifier: MIT
 *
 * The judge. An upload may fail only with what was done to it: each fault that no engine could
 * survive excuses one code, when it is one too many and not before. What is called done must be the
 * file, and each word of the receipt true.
 */
#define _GNU_SOURCE /* memmem */

#include <stdlib.h>
#include <string.h>

#include "core/checksum.h"
#include "core/str.h"
#include "world.h"

#define ABORT_TRIES 3u

static uint32_t tries_of(const world *w)
{
    return w->options.tries ? w->options.tries : 8;
}

/* see world.h */
void judge_excuse(world *w, int err)
{
    w->excused[-err] = true;
}

/* see world.h */
bool judge_of_two(int err)
{
    return err == PH_ERR_EXISTS || err == PH_ERR_NO_SUCH_UPLOAD || err == PH_ERR_INVALID_PART ||
           err == PH_ERR_FILE_CHANGED || err == PH_ERR_OBJECT_DIFFERS;
}

/* see world.h */
void judge_text(world *w, const char *where, ph_str text)
{
    static const char *const secrets[] = {"sEcReT", "tOkEn", "pReSiGn"};
    for (size_t i = 0; i < 3; i++)
        if (text.len && memmem(text.ptr, text.len, secrets[i], strlen(secrets[i])))
            sim_bug(w, "tells a secret in %s", where);
}

/* Could the engine find out by HEAD that the object is the one that it sent? */
static bool provable(const world *w)
{
    const s3_quirks *q = &w->s3.quirks;
    const s3_object *o = &w->s3.object;
    if (q->forbids_head || !s3_holds_file(&w->s3, w->began_version))
        return false;
    if (o->checksum[0] && q->checks == S3_VERIFIES && !q->hides_checksums &&
        o->alg == w->options.alg)
        return true;
    if (!q->md5_etags || q->hides_etag || w->one_in[F_HIDE])
        return false;
    /* A part that came with other bytes has another ETag than what the twin sent in its place. */
    if (w->twin.was && w->happened[F_FLIP_WIRE])
        return false;
    return o->multipart || w->options.alg == PH_ALG_MD5;
}

/* Complete's answer shows nothing of our object. Of parts that a twin sent in their place the ETag is another. */
static bool is_bare(const world *w)
{
    return w->bare || w->twin.was;
}

/*
 * A twin's Abort, or a late one of the session before, may have taken parts that were stored; so may
 * a part of an older file, which came late, have taken one's place.
 */
static bool loses_parts(world *w, const s3_request *r)
{
    const s3_upload *u = s3_find(&w->s3, r->upload_id);
    return w->twin.was || w->stale || (u && u->aborted);
}

/* ---- Requests ----------------------------------------------------------------------------------- */

static bool names(const ph_buf *kept, const char *id)
{
    char quoted[32];
    size_t n = (size_t)snprintf(quoted, sizeof quoted, "\"%s\"", id);
    return memmem(kept->ptr, kept->len, quoted, n) != NULL;
}

/* Does the snapshot name this upload? */
static bool kept_has(const world *w, const char *id)
{
    return w->has_kept && names(&w->kept, id);
}

/* How long it has tried in vain: so much and no more tries its patience. */
static uint64_t in_vain_ms(const world *w)
{
    return w->failing ? w->now_ms - w->failing_ms + w->turned_ms : 0;
}

/* It did not work, which counts from the first time since it did. */
static void fails_now(world *w)
{
    if (!w->failing) {
        w->failing = true;
        w->failing_ms = w->now_ms;
        w->turned_ms = 0;
    }
}

/* Nothing waits any longer for what hindered it. */
static void no_waiting(world *w)
{
    memset(w->not_before_ms, 0, sizeof w->not_before_ms);
    w->rest_until_ms = 0;
    w->hurried_ms = w->now_ms;
    w->paced_ms = w->quiet_ms = 0;
    w->in_a_row = 0;
    for (uint32_t n = 1; n <= w->plan.part_count; n++)
        w->parts[n].not_before_ms = 0;
}

/* After so many failures of one request, the upload has to have rested since the last. */
static bool must_rest(const world *w, uint32_t fails, uint32_t rests)
{
    bool spent = fails && fails % tries_of(w) == 0 && w->in_a_row >= fails;
    return spent && !w->resting && w->rests == rests;
}

static ph_state state_of(const world *w)
{
    ph_progress p;
    ph_upload_progress(w->upload, &p);
    return p.state;
}

/* While it rests, one request at a time looks whether S3 is there. */
static void judge_rest(world *w, const live *l)
{
    if (state_of(w) == PH_STATE_ABORTING)
        return;
    uint32_t most = 8 + 5 * (w->options.concurrency ? w->options.concurrency : 8);
    if (w->in_a_row > most + 2 && !w->resting)
        sim_bug(w, "does not rest after %u failures", w->in_a_row);
    if (!w->resting)
        return;
    if (sim_host_ms(w) < w->rest_until_ms)
        sim_bug(w, "sends %s while it rests", s3_op_name(l->op));
    for (uint32_t i = 0; i < w->live_count; i++) {
        const live *other = &w->live[i];
        if (other != l && other->kind == L_REQUEST && other->rest == w->rests)
            sim_bug(w, "sends %s beside %s while it rests", s3_op_name(l->op),
                    s3_op_name(other->op));
    }
}

/* see world.h; what may be left behind in S3 is known when it was told */
void judge_warning(world *w, ph_str message)
{
    w->told_of_orphan =
        w->told_of_orphan ||
        ph_str_starts(message, PH_STR("the response to CreateMultipartUpload was lost"));
    bool left = ph_str_starts(message, PH_STR("S3 did not confirm that the uploaded parts"));
    w->told_of_parts = w->told_of_parts || left;
    for (uint32_t i = 0; left && i < w->s3.upload_count; i++)
        w->s3.uploads[i].pardoned = w->s3.uploads[i].pardoned || w->s3.uploads[i].delivered;
}

/* see world.h */
void judge_notice(world *w, const ph_notice *n)
{
    if (n->kind == PH_NOTICE_RETRY && n->err == PH_ERR_INVALID_PART)
        w->inquiries++; /* ListParts lacks some: one notice for all of them */
    if (n->kind == PH_NOTICE_WARNING)
        judge_warning(w, ph_str_from(n->message));
    if (n->kind != PH_NOTICE_STATE)
        return;
    bool rests = n->paused && n->err && n->err != PH_ERR_SIGN_IN;
    if (rests && !w->resting && !w->counted && n->err != PH_ERR_NO_CREDENTIALS)
        sim_bug(w, "rests, and nothing failed");
    if (rests)
        w->counted = 0;
    else if (w->resting && n->paused)
        w->counted = 1; /* it goes on to rest when it is resumed */
    if (w->resting && !rests)
        no_waiting(w); /* S3 is there again; since when, its answer said */
    w->rests += rests;
    w->resting = rests;
    w->rests_for_creds = rests && n->err == PH_ERR_NO_CREDENTIALS;
    w->rest_until_ms = w->hurried_ms == w->now_ms ? 0 : n->until_ms; /* it was said before */
}

static bool busy(const world *w, uint32_t part)
{
    for (uint32_t i = 0; i < w->live_count; i++)
        if (w->live[i].kind == L_REQUEST && w->live[i].part == part)
            return true;
    return false;
}

/* A bandwidth that was asked for is kept, and the line is left to others half of the time. */
static void judge_pace(world *w, uint64_t length, uint32_t sending, bool again)
{
    uint64_t now_ms = sim_host_ms(w);
    if (w->options.polite && (sending > 1 || now_ms < w->quiet_ms))
        sim_bug(w, "is not polite");
    if (!w->options.max_rate)
        return;
    if (now_ms < w->paced_ms && !again)
        sim_bug(w, "sends more than was asked for");
    uint64_t from = now_ms > w->paced_ms ? now_ms : w->paced_ms;
    w->paced_ms = from + length * 1000 / w->options.max_rate;
}

/* see world.h */
void judge_request(world *w, const live *l, const ph_request *r)
{
    uint32_t sending = 0, same = 0;
    bool lost = loses_parts(w, &l->x->rq), sure = !w->inquiries && !lost; /* of what is stored */
    for (uint32_t i = 0; i < w->live_count; i++) {
        const live *other = &w->live[i];
        bool part = other->kind == L_REQUEST && (other->op == S3_PART || other->op == S3_PUT);
        sending += part;
        if (other != l && other->kind == L_REQUEST && other->op == l->op && other->part == l->part)
            same++;
    }
    /* The last one may be sent a second time, when it is late. */
    bool last = l->op == S3_PART && same == 1;
    for (uint32_t n = 1; last && sure && n <= w->plan.part_count; n++)
        last = n == l->part || w->parts[n].stored || w->parts[n].listed || busy(w, n);
    if (same && !last)
        sim_bug(w, "sends %s %u while it is being sent", s3_op_name(l->op), l->part);
    uint32_t most = w->options.concurrency ? w->options.concurrency : 8;
    if (sending > most)
        sim_bug(w, "sends %u parts at once", sending);
    bool aborting = state_of(w) == PH_STATE_ABORTING;
    if (w->paused && !aborting)
        sim_bug(w, "sends %s while it is paused", s3_op_name(l->op));
    if (w->offline && !aborting)
        sim_bug(w, "sends %s while it is offline", s3_op_name(l->op));
    if (!r->stall_ms || !r->answer_ms)
        sim_bug(w, "sets no time limit");
    if (l->op == S3_PART || l->op == S3_PUT) {
        uint32_t n = l->part;
        uint64_t from = (n - 1) * w->plan.part_size, left = w->plan.size - from;
        uint64_t length = left < w->plan.part_size ? left : w->plan.part_size;
        if (l->op == S3_PUT)
            length = w->plan.size;
        if (n > w->plan.part_count || r->offset != from || r->length != length)
            sim_bug(w, "sends other bytes as part %u", n);
        else if ((w->parts[n].stored || w->parts[n].listed) && !lost)
            sim_bug(w, "sends part %u again, which is stored", n);
        else if (!w->parts[n].restarts && !same && !w->parts[n].twice &&
                 must_rest(w, w->parts[n].fails, w->parts[n].rests))
            sim_bug(w, "tries part %u without a rest", n);
        w->parts[n].twice = w->parts[n].twice || same;
        if (w->parts[n].must_read)
            sim_bug(w, "sends part %u again without reading it again", n);
        if (w->now_ms < w->parts[n].not_before_ms && !w->parts[n].twice)
            sim_bug(w, "sends part %u again too early", n);
        if (w->held)
            sim_bug(w, "sends a part without a connection");
        if (l->op == S3_PART && strcmp(l->x->rq.upload_id, w->known_id) != 0)
            sim_bug(w, "sends a part before it asks what S3 has");
        judge_pace(w, length, sending, same);
    } else if (aborting ? w->fails[l->op] >= ABORT_TRIES
                        : must_rest(w, w->fails[l->op], w->rested[l->op])) {
        sim_bug(w, "tries %s too often", s3_op_name(l->op));
    } else if (w->now_ms < w->not_before_ms[l->op]) {
        sim_bug(w, "sends %s again too early", s3_op_name(l->op));
    }
    if (l->op == S3_LIST)
        snprintf(w->known_id, sizeof w->known_id, "%s", l->x->rq.upload_id);
    judge_rest(w, l);
    if (l->op == S3_HEAD && w->word && !is_bare(w))
        sim_bug(w, "looks though Complete's answer showed the object");
    if (host_signer(&l->x->rq) != w->given)
        sim_bug(w, "signs with other credentials than the newest");
    bool forbids = !w->options.object.overwrite && !w->presigns;
    if ((l->op == S3_PUT || l->op == S3_COMPLETE) &&
        (forbids && !w->lacks_condition) != l->x->rq.if_none_match && !w->presigns)
        sim_bug(w, "%s an object", forbids ? "may overwrite" : "does not overwrite");
    for (uint32_t n = 1; l->op == S3_COMPLETE && n <= w->plan.part_count; n++)
        if (!w->parts[n].stored && !w->parts[n].listed && sure)
            sim_bug(w, "completes without part %u", n);
    w->aborting = w->aborting || l->op == S3_ABORT;
    for (s3_op op = 0; op < S3_OPS; op++)
        if (op != l->op)
            w->not_before_ms[op] = w->fails[op] = 0; /* each stands for itself */
    if (w->options.keep && l->op == S3_CREATE && !w->has_kept && !w->unsaved)
        sim_bug(w, "begins an upload before that is kept");
    if (w->options.keep && l->op == S3_PART && !kept_has(w, l->x->rq.upload_id) && !w->unsaved)
        sim_bug(w, "sends a part of an upload that is not kept");
    /* Where nothing got in the way, credentials are renewed before they end. */
    if (!w->disturbed && !l->x->rq.presigned && w->given && w->life_ms >= 10 * 60000 &&
        w->grants[w->given].end_ms <= w->now_ms)
        sim_bug(w, "sends %s with credentials that have ended", s3_op_name(l->op));
}

static bool counts(int err)
{
    switch (err) {
    case PH_ERR_NETWORK:
    case PH_ERR_TIMEOUT:
    case PH_ERR_SLOW_DOWN:
    case PH_ERR_SERVER_ERROR:
    case PH_ERR_REQUEST_TIMEOUT:
    case PH_ERR_NOT_S3:
    case PH_ERR_BAD_XML:
    case PH_ERR_BAD_ANSWER: return true;
    default: return false;
    }
}

static void excuse_doubt(world *w)
{
    judge_excuse(w, PH_ERR_EXISTS);
    judge_excuse(w, PH_ERR_NO_SUCH_UPLOAD);
}

/* This one cannot be survived. Abort's failing ends the matter, another error stays the reason. */
static void fatal(world *w, const live *l, int err)
{
    if (l->op == S3_ABORT || state_of(w) == PH_STATE_ABORTING)
        return; /* another error stays the reason; what is left behind has to be told */
    if (l->op == S3_HEAD) {
        excuse_doubt(w);
        judge_excuse(w, err);
    } else {
        judge_excuse(w, err);
        if (err == PH_ERR_BAD_ANSWER)
            judge_excuse(w, PH_ERR_BAD_XML);
    }
}

static void count(world *w, const live *l, int err, const s3_answer *answer)
{
    bool part = l->op == S3_PART || l->op == S3_PUT;
    bool unsent = err == PH_ERR_NETWORK || err == PH_ERR_TIMEOUT;
    if (w->offline && unsent && l->op != S3_ABORT)
        return;
    bool aborting = state_of(w) == PH_STATE_ABORTING;
    uint16_t *fails = part ? &w->parts[l->part].fails : &w->fails[l->op];
    *(part ? &w->parts[l->part].rests : &w->rested[l->op]) = w->rests - w->resting;
    ++*fails;
    w->in_a_row++;
    w->counted++;
    uint64_t wait = answer && answer->retry_after_s ? answer->retry_after_s * 1000u : 1;
    uint64_t patience = w->options.patience_ms;
    if (!aborting)
        fails_now(w);
    bool spent = patience && in_vain_ms(w) + 1 >= patience;
    /* Its looks have their own time; the last one is when its patience ends. */
    if (w->resting || (patience && in_vain_ms(w) + wait > patience))
        wait = w->resting && sim_host_ms(w) >= w->rest_until_ms
                   ? 0
                   : 1; /* by a clock that was turned */
    if (part)
        w->parts[l->part].not_before_ms = w->now_ms + wait;
    else
        w->not_before_ms[l->op] = w->now_ms + wait;
    if (aborting ? *fails >= ABORT_TRIES : spent)
        fatal(w, l, err);
}

static void part_succeeded(world *w, const live *l, const s3_answer *a)
{
    part_record *p = &w->parts[l->part];
    const s3_quirks *q = &w->s3.quirks;
    p->stored = true;
    p->fails = 0;
    p->vouched = a->checksum[0] && !q->hides_checksums && l->x->rq.checksum.len;
    p->etag_vouched = q->md5_etags && !l->x->hide;
    /* If it was sent twice, the other one is cancelled. */
    for (uint32_t i = 0; i < w->live_count; i++)
        if (w->live[i].kind == L_REQUEST && w->live[i].part == l->part && &w->live[i] != l)
            w->live[i].given_up = true;
}

/* A session that goes on learns from ListParts what S3 has, another one only what was hidden. */
static void list_succeeded(world *w, const live *l)
{
    const s3_quirks *q = &w->s3.quirks;
    bool claims = w->session > 1 && !w->inquiries;
    if (w->word && w->bare && w->false_200) /* the parts that it should be made of are there yet */
        judge_excuse(w, PH_ERR_NOT_FOUND);
    if (state_of(w) == PH_STATE_CHECKING)
        return; /* it asks for S3's words, not for the parts */
    for (uint32_t n = 1; n <= w->plan.part_count; n++)
        claims = claims && !w->parts[n].stored;
    w->last_stored = 0;
    if (loses_parts(w, &l->x->rq)) /* those that are missing are sent again once, and not twice */
        judge_excuse(w, PH_ERR_INVALID_PART);
    for (uint32_t n = 1; n <= w->plan.part_count; n++)
        if (w->parts[n].seen && claims)
            w->parts[n].vouched = w->parts[n].etag_vouched = w->parts[n].listed = true;
    for (uint32_t n = 1; n <= w->plan.part_count; n++) {
        part_record *p = &w->parts[n];
        bool sum = q->list_checksums && q->checks <= S3_SILENT;
        p->vouched = p->vouched || (sum && ph_alg_row(w->options.alg)->element);
        p->etag_vouched = p->etag_vouched || q->md5_etags;
    }
}

static void succeeded(world *w, const live *l, const s3_answer *a)
{
    const s3_quirks *q = &w->s3.quirks;
    w->refusals = w->late_refusals = w->refused_grant = w->clock_fixes = w->in_a_row = 0;
    w->failing = false;
    if (l->op != S3_ABORT)
        w->fails[l->op] = 0;
    w->heard = true;
    if (l->op == S3_CREATE) {
        w->word = false;
        s3_upload *u = s3_find(&w->s3, a->created);
        u->delivered = true;
        memset(w->parts, 0, (w->plan.part_count + 1) * sizeof *w->parts);
        w->last_stored = 0;
        snprintf(w->known_id, sizeof w->known_id, "%s", a->created);
    }
    if (l->op == S3_PART || l->op == S3_PUT) {
        part_succeeded(w, l, a);
        uint64_t took = w->now_ms - l->begun_ms; /* what is longer than it may be was sleep */
        w->quiet_ms = sim_host_ms(w) + (took < l->limit_ms ? took : l->limit_ms) / 2;
    }
    if (l->op == S3_LIST && state_of(w) != PH_STATE_ABORTING)
        list_succeeded(w, l);
    if (l->op != S3_COMPLETE && l->op != S3_PUT && l->op != S3_HEAD)
        return;
    bool etag = (!l->x->hide || l->op == S3_COMPLETE) && a->etag[0];
    bool sum = a->checksum[0] && (!q->hides_checksums || l->op == S3_COMPLETE);
    w->final_shown = true;
    w->looked = l->op == S3_HEAD;
    if (etag || l->op != S3_HEAD || !w->word)
        snprintf(w->final_etag, sizeof w->final_etag, "%s", etag ? a->etag : "");
    snprintf(w->final_version, sizeof w->final_version, "%s", q->hides_version ? "" : a->version);
    w->final_vouched =
        sum && a->alg == w->options.alg && strcmp(a->checksum, w->s3.object.checksum) == 0;
    w->final_etag_vouched = etag && q->md5_etags && !a->is_false;
    w->final_etag_md5 = l->op == S3_HEAD && etag && q->md5_etags;
    if (l->op == S3_HEAD && !provable(w))
        excuse_doubt(w);
    /* The same file, called otherwise: a Complete that was late wrote it, perhaps after this HEAD. */
    bool renamed = strcmp(a->etag, w->s3.object.etag) != 0 ||
                   (w->false_200 ? !provable(w) : strcmp(w->s3.object.upload_id, w->word_id) != 0);
    if (l->op == S3_HEAD && w->word && (renamed || !s3_holds_file(&w->s3, w->began_version)))
        judge_excuse(w, PH_ERR_OBJECT_DIFFERS);
    if (l->op == S3_HEAD)
        w->unlooked =
            !etag && !(w->final_vouched && !w->s3.object.foreign) && a->length == w->plan.size;
    if (l->op != S3_COMPLETE)
        return;
    w->word = true;
    snprintf(w->word_id, sizeof w->word_id, "%s", l->x->rq.upload_id);
    w->bare = a->is_false || !(w->final_vouched || w->final_etag_vouched);
    w->false_200 = a->is_false;
}

/* The upload is gone: by its completion, or it begins again, once. */
static void gone(world *w, const live *l)
{
    const char *id = l->x->rq.upload_id;
    for (uint32_t i = 0; i < w->live_count; i++)
        w->live[i].given_up = w->live[i].given_up || w->live[i].kind == L_REQUEST;
    if (strcmp(w->gone_id, id) != 0)
        w->gone++;
    snprintf(w->gone_id, sizeof w->gone_id, "%s", id);
    if (w->gone > 1)
        judge_excuse(w, PH_ERR_NO_SUCH_UPLOAD);
    if (w->s3.object.there && !provable(w))
        excuse_doubt(w);
}

/* Those that are the newest, or, of the older ones, the second in a row that nobody knew to be bad. */
static void creds_refused(world *w, const live *l, int err)
{
    bool late = l->grant != w->given;
    if (w->refused || (late && l->grant <= w->refused_grant))
        return;
    w->refused_grant = l->grant;
    w->refused = !late || ++w->late_refusals > 1;
    if (late ? w->late_refusals > 3 : ++w->refusals > (err == PH_ERR_INVALID_TOKEN ? 1 : 3))
        fatal(w, l, err);
    if (!w->refused)
        return;
    for (uint32_t i = 0; i < w->live_count; i++)
        w->live[i].refused_since = true;
    w->denials = 0;
}

/* Was a Complete of this session done, whose answer nobody heard? */
static bool conflicts_with_itself(world *w, const live *l)
{
    const s3_upload *u = s3_find(&w->s3, l->x->rq.upload_id);
    return l->op == S3_COMPLETE && u && u->completed && w->session == 1 && !w->inquiries &&
           !w->twin.was;
}

/* see world.h */
void judge_outcome(world *w, const live *l, int err, const s3_answer *a)
{
    bool part = l->op == S3_PART, put = l->op == S3_PUT;
    bool calm = !w->disturbed;
    if (l->op == S3_HEAD && err != PH_OK && err != PH_ERR_NOT_FOUND)
        w->unlooked = true;
    if (err != PH_OK)
        w->disturbed = w->disturbed || !l->x->silent;
    if (l->given_up) /* the engine knows, and has not said so yet */
        return;
    if (a && a->lacks) {
        /* Where it does not say which one, the checksum is left out first. */
        bool sum =
            l->op != S3_COMPLETE && !w->lacks_checksum && ph_alg_row(w->options.alg)->element;
        if (w->s3.quirks.names_header ? a->lacks == S3_LACKS_CHECKSUM : sum)
            w->lacks_checksum = true;
        else
            w->lacks_condition = true;
        w->retries++;
        for (uint32_t n = 1; n <= w->plan.part_count; n++)
            w->parts[n].fails = 0; /* they begin anew */
        if (l->x->rq.presigned)
            fatal(w, l, err);
        return;
    }
    if (err == PH_OK) {
        succeeded(w, l, a);
        return;
    }
    if (counts(err)) {
        count(w, l, err, a);
        return;
    }
    /* A page is not S3's word, once S3 was heard: an upload id is its word, too. */
    bool page = a && a->body.len && a->status >= 300 && memcmp(a->body.ptr, "<html>", 6) == 0;
    if (page && (w->heard || s3_find(&w->s3, l->x->rq.upload_id))) {
        count(w, l, PH_ERR_NOT_S3, a);
        return;
    }
    switch (err) {
    case PH_ERR_EXPIRED_TOKEN:
    case PH_ERR_INVALID_TOKEN:
        creds_refused(w, l, err);
        if (l->op == S3_ABORT) /* more is not asked of an engine that fails for that very reason */
            fatal(w, l, err);
        return;
    case PH_ERR_CLOCK_SKEW:
        if (l->clock_fix == w->clock_fix) {
            w->clock_fix++;
            w->skews += l->x->status != 0;
            /* Where it was turned, or the host slept, another refusal than here is the first. */
            uint32_t most = w->happened[F_JUMP] || w->happened[F_FREEZE] ? 1 : 2;
            if (++w->clock_fixes > most && w->skews >= 2)
                fatal(w, l, err);
        }
        if (llabs(w->skew_ms) > SIM_FAR_MS)
            fatal(w, l, err); /* no clock is believed that is so far off */
        return;
    case PH_ERR_BAD_DIGEST:
        if (put && a->status == 200 && !w->options.object.overwrite)
            judge_excuse(w, PH_ERR_OBJECT_DIFFERS);
        if (a->status == 200 && l->op == S3_COMPLETE)
            judge_excuse(w, PH_ERR_OBJECT_DIFFERS);
        if (a->status == 200 && l->op == S3_COMPLETE)
            w->lied = true;
        if (!part && !put && !l->x->status && a->status != 200 && !w->may_differ)
            sim_bug(w, "states another checksum of the whole");
        if (!(part || put) || ++w->parts[l->part].restarts > 2)
            fatal(w, l, err);
        if (part || put) {
            w->parts[l->part].fails++;
            w->parts[l->part].must_read = w->options.alg != PH_ALG_NONE || l->x->rq.sha256.len;
        }
        if (w->parts[l->part].flips)
            judge_excuse(w, PH_ERR_FILE_CHANGED);
        return;
    case PH_ERR_REDIRECT:
        if (w->redirected || !a->region[0])
            fatal(w, l, err);
        w->redirected = true;
        return;
    case PH_ERR_CONFLICT:
        count(w, l, err, a);
        if (!put && !conflicts_with_itself(w, l))
            fatal(w, l, err);
        return;
    case PH_ERR_EXISTS:
    case PH_ERR_NO_SUCH_UPLOAD:
        /* After a lost answer the object is perhaps ours, and that is to be found out. */
        w->last_stored = 0;
        if (l->op == S3_ABORT)
            return;
        if (state_of(w) == PH_STATE_ABORTING)
            return;
        if (err == PH_ERR_NO_SUCH_UPLOAD && l->op != S3_HEAD) {
            gone(w, l);
            return;
        }
        if (put && w->session > 1) /* nothing is kept of it */
            fatal(w, l, err);
        /* Here an earlier session's object is in the way; an API names another key each time. */
        w->may_differ = w->may_differ || (l->x->rq.presigned && w->session > 1);
        /* Another upload made it: a twin, or one whose snapshot was lost. */
        if (w->s3.object.there && strcmp(w->s3.object.upload_id, l->x->rq.upload_id) != 0)
            fatal(w, l, err);
        if ((put || l->op == S3_COMPLETE) && w->s3.object.there && !w->s3.object.foreign &&
            provable(w))
            return;
        fatal(w, l, err);
        return;
    case PH_ERR_INVALID_PART:
        w->last_stored = 0;
        for (uint32_t n = 1; n <= w->plan.part_count; n++) {
            w->parts[n].stored = w->parts[n].listed = false;
            calm = calm && !w->parts[n].twice; /* the other one may have come later */
        }
        if (calm && !w->happened[F_TWICE])
            sim_bug(w, "completes with parts that S3 does not have");
        if (l->op != S3_COMPLETE || w->inquiries++ || l->x->status)
            fatal(w, l, err);
        return;
    case PH_ERR_NOT_FOUND:
        if (l->op != S3_HEAD || w->gone != 1 || w->word)
            fatal(w, l, err);
        w->fails[l->op] = 0;
        return;
    case PH_ERR_ACCESS_DENIED:
    case PH_ERR_REFUSED: fatal(w, l, err); return;
    default: fatal(w, l, err);
    }
}

/* see world.h */
void judge_woke(world *w)
{
    judge_hurry(w);
    for (uint32_t i = 0; i < w->live_count; i++)
        if (w->live[i].kind == L_REQUEST && w->live[i].op != S3_CREATE)
            w->live[i].given_up = w->live[i].slept = true;
}

/* see world.h */
void judge_hurry(world *w)
{
    no_waiting(w);
    w->failing = false;
}

/* see world.h */
void judge_turned(world *w, uint64_t ms)
{
    uint64_t silence_ms = 600000; /* so long a request may take without a word */
    for (uint32_t i = 0; i < w->live_count; i++)
        if (w->live[i].kind == L_REQUEST && w->live[i].limit_ms > silence_ms)
            silence_ms = w->live[i].limit_ms;
    /* What ends at this moment was under way when the engine looked at the clock last. */
    if (w->ended_ms == w->now_ms && w->ended_limit_ms > silence_ms)
        silence_ms = w->ended_limit_ms;
    /* So long it said that it would wait, before the clock was turned. */
    uint64_t before_ms = sim_host_ms(w) - ms;
    if (w->wait_until_ms != UINT64_MAX && w->wait_until_ms > before_ms + silence_ms)
        silence_ms = w->wait_until_ms - before_ms;
    silence_ms += 20000;
    no_waiting(w);
    w->turned_ms += ms < silence_ms ? ms : silence_ms;
}

/* see world.h */
void judge_give_up(world *w)
{
    for (uint32_t i = 0; i < w->live_count; i++) {
        live *l = &w->live[i];
        if (l->kind == L_REQUEST && (l->op == S3_PART || l->op == S3_PUT))
            l->given_up = true;
    }
}

/* see world.h */
void judge_ask(world *w, const live *l)
{
    if ((l->why == PH_WHY_FIRST) != !w->given || (l->why == PH_WHY_REFUSED && !w->refused))
        sim_bug(w, "asks for credentials for another reason");
}

/* see world.h */
void judge_granted(world *w)
{
    w->given = w->grant_count;
    w->refused = false;
    w->begun = true;
    w->in_a_row = w->denials = 0;
    if (w->rests_for_creds)
        judge_hurry(w);
    else if (w->resting)
        no_waiting(w);
    w->rest_until_ms = 0;         /* they may end before the next look: it is taken at once */
    w->clock_fix += w->says_time; /* whatever was signed before says nothing any more */
}

/* see world.h */
void judge_denied(world *w, const live *l, int err)
{
    /* Those that are there live on, whatever any clock says, until S3 refuses them. */
    bool needed = !w->given || w->refused || l->refused_since;
    w->disturbed = true;
    if (err == PH_ERR_NO_CREDENTIALS) {
        if (!w->offline)
            w->denials++;
        uint64_t patience = w->options.patience_ms;
        if (needed)
            fails_now(w);
        if (needed && patience && in_vain_ms(w) + 1 >= patience)
            judge_excuse(w, err);
        return;
    }
    if (err == PH_ERR_SIGN_IN && w->begun && !w->options.unattended &&
        state_of(w) != PH_STATE_ABORTING) {
        if (needed)
            judge_give_up(w); /* it is paused until somebody signs in */
        return;
    }
    if (needed)
        judge_excuse(w, err);
}

/* see world.h */
void judge_list(world *w, const s3_request *r)
{
    const s3_quirks *q = &w->s3.quirks;
    const s3_upload *u = s3_find(&w->s3, r->upload_id);
    if (!u || u->gone || q->forbids_list)
        return;
    bool sums = q->list_checksums && u->alg != PH_ALG_NONE;
    bool lost = loses_parts(w, r);
    for (uint32_t n = r->marker + 1; n <= w->plan.part_count; n++) {
        w->parts[n].seen = false; /* an answer that got lost had other pages */
        if (lost && (n >= u->room || !u->parts[n].there))
            w->parts[n].stored = w->parts[n].listed = false;
    }
    for (uint32_t n = r->marker + 1, left = q->page; n <= w->plan.part_count && n < u->room; n++) {
        const s3_part *p = &u->parts[n];
        sim_bytes now = {p->bytes.offset, p->bytes.length, w->began_version, 0};
        if (!p->there || !left || !left-- || !(sums || q->md5_etags))
            continue;
        w->parts[n].seen = sim_same(&w->file, &p->bytes, &now);
        if (!w->parts[n].seen && w->session > 1) /* from another file, or corrupted on its way */
            judge_excuse(w, PH_ERR_FILE_CHANGED);
    }
}

/* S3 said that it made the object, and did not: that the parts are there yet nobody could know. */
static void pardon_lie(world *w)
{
    for (uint32_t i = 0; w->false_200 && i < w->s3.upload_count; i++)
        w->s3.uploads[i].pardoned = true;
}

/* ---- Sessions ----------------------------------------------------------------------------------- */

/* see world.h */
void judge_session(world *w)
{
    memset(w->excused, 0, sizeof w->excused);
    memset(w->parts, 0, (w->plan.part_count + 1) * sizeof *w->parts);
    memset(w->fails, 0, sizeof w->fails);
    memset(w->not_before_ms, 0, sizeof w->not_before_ms);
    w->failing = false;
    w->resting = w->rests_for_creds = w->lacks_condition = w->told_of_parts = w->unsaved = false;
    w->in_a_row = 0;
    w->paced_ms = w->quiet_ms = 0;
    w->lacks_checksum = kept_has(w, "LACKS_CHECKSUM");
    w->refusals = w->late_refusals = w->refused_grant = 0;
    w->clock_fixes = w->denials = w->retries = w->gone = w->inquiries = 0;
    w->lied = w->refused = w->redirected = w->heard = w->aborting = w->final_shown =
        w->final_vouched = w->final_etag_vouched = w->final_etag_md5 = false;
    if (!w->has_kept) /* it was killed when all that was left to do was to say that it is done */
        pardon_lie(w);
    w->word = w->bare = w->false_200 = w->unlooked = w->stale = w->overwritten = w->looked = false;
    w->gone_id[0] = w->known_id[0] = '\0';
    w->last_stored = 0;
    if (w->session == 1)
        return;
    w->disturbed = true;
    const s3_quirks *q = &w->s3.quirks;
    bool sums = q->list_checksums && q->checks <= S3_SILENT && ph_alg_row(w->options.alg)->element;
    /* ETags that look like MD5s and are none cannot be told from those of another file. */
    if (!sums && !q->md5_etags)
        judge_excuse(w, PH_ERR_FILE_CHANGED);
    /* Made by the upload that is gone on with, it is to be known. */
    const s3_object *o = &w->s3.object;
    if (o->there && (!kept_has(w, o->upload_id) || !s3_holds_file(&w->s3, w->began_version)))
        excuse_doubt(w);
}

/* see world.h */
void judge_kill(world *w)
{
    for (uint32_t i = 0; i < w->s3.upload_count; i++) {
        s3_upload *u = &w->s3.uploads[i];
        if (!kept_has(w, u->id))
            u->delivered = false; /* it was to be kept in the very next step */
    }
}

/* see world.h */
void judge_save(world *w, ph_str snapshot)
{
    judge_text(w, "a snapshot", snapshot);
    if (!w->options.keep)
        sim_bug(w, "saves what nobody keeps");
    if (snapshot.len > 2048)
        sim_bug(w, "saves %zu bytes", snapshot.len);
    if (w->has_kept && !w->unsaved && ph_str_equal(snapshot, ph_buf_view(&w->kept)))
        sim_bug(w, "saves the same again");
}

/* see world.h */
void judge_wait(world *w)
{
    for (uint32_t i = 0; i < w->live_count; i++)
        if (w->live[i].slept)
            sim_bug(w, "waits for what was sent before it slept");
    for (uint32_t i = 0; w->options.keep && !w->unsaved && i < w->s3.upload_count; i++) {
        const s3_upload *u = &w->s3.uploads[i];
        if (u->delivered && !u->gone && !u->pardoned && !kept_has(w, u->id) && !w->aborting &&
            !w->twin.was)
            sim_bug(w, "waits while nobody keeps the upload %s", u->id);
    }
}

/* ---- At every step ------------------------------------------------------------------------------ */

/* see world.h */
void judge_progress(world *w)
{
    ph_progress p;
    ph_upload_progress(w->upload, &p);
    if (p.stored < w->last_stored && p.state == PH_STATE_SENDING)
        sim_bug(w, "has stored less than before");
    if (p.stored > p.size || p.sent > p.size || p.parts_stored > w->plan.part_count)
        sim_bug(w, "has sent more than there is");
    w->last_stored = p.stored;
    size_t most = (512u << 10) + w->plan.part_count * 1024u;
    if (memory_peak() > most)
        sim_bug(w, "holds %zu bytes of memory", memory_peak());
}

/* ---- In the end --------------------------------------------------------------------------------- */

/* see world.h */
void judge_left(world *w)
{
    for (uint32_t i = 0; !w->twin.upload && i < w->s3.upload_count; i++) {
        const s3_upload *u = &w->s3.uploads[i];
        bool twins = w->twin.keeps && names(&w->twin.kept, u->id);
        if (u->gone || u->pardoned || kept_has(w, u->id) || twins)
            continue;
        if (u->delivered)
            sim_bug(w, "leaves the upload %s behind", u->id);
        else if (!w->told_of_orphan && !w->has_kept) /* whoever goes on from that will tell */
            sim_bug(w, "leaves the upload %s behind, whose id was lost", u->id);
    }
}

/* What of it does the server vouch for? */
static ph_verified deserved(const world *w)
{
    bool md5 = w->receipt.alg == PH_ALG_MD5;
    if (w->receipt.alg == PH_ALG_NONE)
        return PH_VERIFIED_SIZE;
    if (md5 ? w->final_etag_vouched : w->final_vouched)
        return PH_VERIFIED_OBJECT;
    bool parts = w->plan.part_count > 1;
    for (uint32_t n = 1; parts && n <= w->plan.part_count; n++)
        if (!(md5 ? w->parts[n].etag_vouched : w->parts[n].vouched))
            parts = false;
    if (parts && !w->presigns)
        return PH_VERIFIED_PARTS;
    return w->presigns && !w->presign_checks ? PH_VERIFIED_SIZE : PH_VERIFIED_SENT;
}

static bool is_text(ph_str s, const char *text)
{
    return ph_str_equal(s, ph_str_from(text));
}

static void judge_receipt(world *w)
{
    const ph_receipt *r = &w->receipt;
    const s3_object *o = &w->s3.object;
    bool multi = w->plan.part_count > 1 && !w->presigns;
    if (!is_text(r->bucket, "bkt") || !is_text(r->key, "k"))
        sim_bug(w, "a receipt for another object");
    if (r->size != w->plan.size || r->part_count != (multi ? w->plan.part_count : 0) ||
        r->part_size != (multi ? w->plan.part_size : 0))
        sim_bug(w, "a receipt over other bytes");
    bool bare_put = !multi && w->final_shown && !w->final_etag[0] && !w->final_vouched;
    if (r->unseen && !bare_put && !(w->word && is_bare(w) && w->unlooked))
        sim_bug(w, "says that nobody saw the object");
    bool other_writer = w->twin.was || w->overwritten;
    if ((r->unseen || other_writer) && !s3_holds_file(&w->s3, w->began_version))
        return; /* S3's 200 was all that it had to go by, or it was written over */
    if (w->final_shown ? !is_text(r->etag, w->final_etag)
                       : r->etag.len && !is_text(r->etag, o->etag))
        sim_bug(w, "a receipt with the ETag %.*s", (int)r->etag.len, r->etag.ptr);
    if (w->final_shown && !r->unseen && !is_text(r->version_id, w->final_version))
        sim_bug(w, "a receipt with another version");
    /* An upload may find its object there, put by an earlier one or by its twin. */
    bool other = w->session > 1 || w->twin.was;
    if (multi != (r->upload_id.len > 0) ||
        (multi && !other && !is_text(r->upload_id, o->upload_id)))
        sim_bug(w, "a receipt with another upload id");
    if (o->checksum[0] && o->alg == r->alg && !w->may_differ && !is_text(r->checksum, o->checksum))
        sim_bug(w, "a receipt with the checksum %.*s for %s", (int)r->checksum.len, r->checksum.ptr,
                o->checksum);
    bool lacks = w->s3.quirks.checks == S3_REFUSES || w->s3.quirks.refuses_if_none;
    bool instead = lacks && r->alg == PH_ALG_MD5 && ph_alg_row(w->options.alg)->element;
    if ((r->alg != w->options.alg && !instead) || !r->checksum.len != (r->alg == PH_ALG_NONE))
        sim_bug(w, "a receipt with another algorithm");
    ph_checksum_type type = PH_TYPE_NONE;
    if (r->alg != PH_ALG_NONE)
        type = !multi ? PH_TYPE_FULL_OBJECT : PH_TYPE_COMPOSITE;
    if (multi && r->alg != PH_ALG_MD5)
        ph_checksum_type_choose(r->alg, w->options.type, &type);
    if (r->type != type)
        sim_bug(w, "a receipt with another type");
    bool without = r->server_lacks & PH_LACK_IF_NONE_MATCH;
    if (w->lacks_condition ? !without : without && !w->s3.quirks.refuses_if_none)
        sim_bug(w, "a receipt that is wrong about If-None-Match");
    if (w->lacks_checksum && !(r->server_lacks & PH_LACK_CHECKSUM))
        sim_bug(w, "a receipt without the lack of checksums");
    if (w->inquiries || lacks ? r->retries < w->retries : r->retries != w->retries)
        sim_bug(w, "a receipt over %u retries, not %u", r->retries, w->retries);
    /* An object that was found was compared with the MD5 of all parts' MD5s. */
    bool found = w->gone && w->final_etag_md5 && r->verified == PH_VERIFIED_PARTS;
    /* Parts that a twin sent again are called otherwise, and what an upload begun anew finds was made
     * of others: less is known of them. */
    bool less = (w->twin.was || w->gone) && r->verified > deserved(w);
    if (r->verified != deserved(w) && !w->may_differ && !found && !less)
        sim_bug(w, "claims to be verified to %d, it is %d", (int)r->verified, (int)deserved(w));
}

static void judge_done(world *w)
{
    bool same = s3_holds_file(&w->s3, w->began_version);
    bool said = w->false_200 && w->receipt.unseen;
    /* It completed the same upload with a newer file, of which this server has nothing that tells. */
    bool twins = w->twin.was && s3_holds_file(&w->s3, w->twin.version) &&
                 (w->receipt.verified >= PH_VERIFIED_SENT ||
                  /* or it made the object anew, after ours was there */
                  !is_text(w->receipt.upload_id, w->s3.object.upload_id));
    pardon_lie(w);
    bool over = w->overwritten && !w->looked;
    if (!same && !said && !twins && !over &&
        !(w->may_differ && w->receipt.verified >= PH_VERIFIED_SENT))
        sim_bug(w, "is done, but the object is not the file");
    ph_progress p;
    ph_upload_progress(w->upload, &p);
    if (p.stored != w->plan.size)
        sim_bug(w, "is done with %llu bytes", (unsigned long long)p.stored);
    judge_receipt(w);
    if (w->has_kept)
        sim_bug(w, "is done, and the snapshot stays");
    if (w->lied)
        sim_bug(w, "is done, and S3 stated another checksum");
}

/* What may pass keeps the upload and its snapshot; what does not leaves nothing behind. */
static void judge_resumable(world *w)
{
    const ph_failure *f = &w->failure;
    bool id = false;
    for (uint32_t i = 0; i < w->s3.upload_count; i++)
        id = id || (w->s3.uploads[i].room && w->aborting) ||
             (!w->s3.uploads[i].gone && kept_has(w, w->s3.uploads[i].id));
    if (f->resumable != w->has_kept)
        sim_bug(w,
                f->resumable ? "can go on, and nothing is kept" : "cannot go on, and it is kept");
    if (f->resumable && w->aborting && !w->told_of_parts)
        sim_bug(w, "can go on, and was aborted");
    switch (f->err) {
    case PH_ERR_NETWORK:
    case PH_ERR_TIMEOUT:
    case PH_ERR_SLOW_DOWN:
    case PH_ERR_SERVER_ERROR:
    case PH_ERR_NO_CREDENTIALS:
    case PH_ERR_SIGN_IN:
    case PH_ERR_EXPIRED_TOKEN:
    case PH_ERR_FILE_UNREADABLE:
    case PH_ERR_FILE_CHANGED:
        if (id && w->options.keep && !f->resumable && !w->unsaved)
            sim_bug(w, "gives up what could go on later");
        return;
    case PH_ERR_ABORTED:
        if (f->resumable && !w->told_of_parts)
            sim_bug(w, "keeps what was aborted");
        return;
    default: return;
    }
}

static void judge_failed(world *w)
{
    int err = w->failure.err;
    if (!w->excused[-err] && !(w->twin.was && judge_of_two(err)))
        sim_bug(w, "fails with %s for no reason", ph_err_name(err));
    bool seen = err == PH_ERR_NOT_FOUND || err == PH_ERR_OBJECT_DIFFERS;
    if (w->word && !seen && err != PH_ERR_ABORTED)
        sim_bug(w, "fails with %s, though S3 said that it made the object", ph_err_name(err));
    judge_resumable(w);
}

/* see world.h */
void judge_end(world *w)
{
    if (w->done)
        judge_done(w);
    else
        judge_failed(w);
    judge_left(w);
}
