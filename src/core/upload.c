/* SPDX-License-Identifier: MIT
 *
 * The engine, first half: the life of an upload, and what to do next. Each call of ph_upload_step
 * looks at the state anew and picks the first thing that can be done; nothing is planned ahead, so
 * there is no plan that could be wrong.
 */
#include "upload.h"

#include <stdlib.h>
#include <string.h>

#include "snapshot.h"
#include "lanes.h"
#include "str.h"

#define DEFAULT_CEILING 8u /* a browser has but six connections, others have more */
#define DEFAULT_TRIES 8u

#define SECOND 1000u

/* The slowest line that is worth waiting for, in bytes/ms, while no part was measured. */
#define SLOWEST 64.0

/* What no part is sent a second time before, however fast the others were. */
#define LATE_MS (10 * SECOND)

/* What takes longer has its own limit; and how late a timer may be. */
#define SILENCE_MS (600 * SECOND)
#define LATE_TIMER_MS (10 * SECOND)

/* By so much no timer is late: what S3 said of its clock before that is no longer true. */
#define STALE_MS (300 * SECOND)

/* ---- Beginning and end ------------------------------------------------------------------------ */

/* Copy each text of the options; those that failed are absent, so that freeing is always right. */
static int copy_texts(ph_upload *u)
{
    ph_upload_options *o = &u->options;
    ph_str *texts[] = {&o->target.bucket, &o->target.key, &o->target.region, &o->target.endpoint,
                       &o->name};
    int err = PH_OK;
    o->credentials = o->snapshot = (ph_str){NULL, 0};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int one = ph_str_copy(*texts[i], texts[i]);
        err = err ? err : one;
    }
    for (size_t i = 0; i < PH_PROP_COUNT; i++) {
        int one = ph_str_copy(o->object.property[i], &o->object.property[i]);
        err = err ? err : one;
    }
    size_t n = o->object.metadata_count;
    u->metadata = n ? calloc(n, sizeof *u->metadata) : NULL;
    if (n && !u->metadata) {
        o->object.metadata_count = 0;
        err = PH_ERR_NOMEM;
    }
    for (size_t i = 0; i < o->object.metadata_count; i++) {
        int one = ph_str_copy(o->object.metadata[i].name, &u->metadata[i].name);
        int two = ph_str_copy(o->object.metadata[i].value, &u->metadata[i].value);
        err = err ? err : one ? one : two;
    }
    o->object.metadata = u->metadata;
    return err;
}

static int check_options(const ph_upload_options *o)
{
    ph_plan plan;
    ph_checksum_type type;
    int err = ph_plan_make(o->size, o->part_size, &plan);
    if (err == PH_OK)
        err = ph_checksum_type_choose(o->alg, o->type, &type);
    if (err == PH_OK)
        err = ph_object_check(&o->object);
    if (err == PH_OK && o->target.key.len)
        err = ph_key_check(o->target.key);
    if (err == PH_OK && o->target.bucket.len)
        err = ph_bucket_check(o->target.bucket);
    if (err == PH_OK && o->concurrency > PH_CONCURRENCY_MAX)
        err = PH_ERR_BAD_ARG;
    return err;
}

/* A presigned PUT carries a type and a checksum; whatever else an object is given needs credentials. */
static bool fits_presigned_put(const ph_object *o)
{
    for (size_t i = 0; i < PH_PROP_COUNT; i++)
        if (o->property[i].len && i != PH_PROP_CONTENT_TYPE)
            return false;
    return o->metadata_count == 0;
}

/* What was granted wins over the options: the key is the API's to choose. */
static ph_str pick(ph_str granted, ph_str option)
{
    return granted.len ? granted : option;
}

static ph_target target_of(const ph_upload *u)
{
    ph_target t = u->options.target;
    t.bucket = pick(u->grant.bucket, t.bucket);
    t.key = pick(u->grant.key, t.key);
    t.region = pick(u->grant.region, t.region);
    t.endpoint = pick(u->grant.endpoint, t.endpoint);
    return t;
}

/* see upload.h */
int ph_upload_locate(ph_upload *u)
{
    ph_target target = target_of(u);
    return ph_endpoint_make(&target, &u->endpoint);
}

/* Let a snapshot say which upload this is. */
static int go_on_from(const ph_snapshot *s, ph_upload_options *o)
{
    const ph_upload_options *kept = &s->options;
    if (o->size != kept->size)
        return PH_ERR_FILE_CHANGED;
    o->target = kept->target;
    o->object = kept->object;
    o->part_size = kept->part_size;
    o->alg = kept->alg;
    o->type = kept->type;
    o->payload = kept->payload;
    o->server_lacks = kept->server_lacks | (o->server_lacks & PH_LACK_IF_NONE_MATCH);
    o->presign_limit = 0;
    if (!o->name.len)
        o->name = kept->name;
    return PH_OK;
}

/* Find out where the object goes and how it is cut. On error nothing is held. */
static int prepare(ph_upload *u)
{
    ph_plan plan;
    int err = ph_plan_make(u->options.size, u->options.part_size, &plan);
    if (err != PH_OK)
        return err;
    if (ph_upload_is_presigned(u)) {
        plan.part_count = 1;
        plan.part_size = plan.size ? plan.size : 1;
    } else {
        err = ph_key_check(target_of(u).key);
        if (err == PH_OK)
            err = ph_upload_locate(u);
        if (err != PH_OK)
            return err;
    }
    err = ph_ledger_init(&u->ledger, &plan, u->options.alg);
    if (err != PH_OK) {
        ph_endpoint_clear(&u->endpoint);
        return err;
    }
    u->single = plan.part_count == 1;
    u->next_part = 1;
    if (!u->single)
        ph_checksum_type_choose(u->options.alg, u->options.type, &u->type);
    else if (u->options.alg != PH_ALG_NONE)
        u->type = PH_TYPE_FULL_OBJECT;
    return PH_OK;
}

static int prepare_resumed(ph_upload *u, const ph_snapshot *kept)
{
    u->resumed = true;
    u->opaque_etags = kept->opaque_etags;
    u->kept = u->options.keep;
    int err = ph_str_copy(kept->upload_id, &u->upload_id);
    if (err == PH_OK)
        err = prepare(u);
    return err == PH_OK || err == PH_ERR_NOMEM ? err : PH_ERR_SNAPSHOT_DAMAGED;
}

/* What can be sent in the place of this algorithm to a server that lacks these. */
static ph_alg alg_without(ph_alg alg, unsigned lacks)
{
    if ((lacks & PH_LACK_CHECKSUM) && ph_alg_row(alg)->element)
        alg = PH_ALG_MD5;
    return (lacks & PH_LACK_CONTENT_MD5) && alg == PH_ALG_MD5 ? PH_ALG_NONE : alg;
}

static void warn_lacks(ph_upload *u, unsigned lacks)
{
    u->lacks |= lacks;
    for (unsigned i = 0; i < PH_LACK_COUNT; i++)
        if (lacks & 1u << i)
            ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_WARNING,
                                           .err = ph_lack_err(i),
                                           .message = ph_err_text(ph_lack_err(i))});
}

/* What is known of the server from earlier uploads, as far as it matters to this one. */
static void note_known_lacks(ph_upload *u)
{
    ph_upload_options *o = &u->options;
    unsigned known = o->server_lacks,
             lacks = u->resumed ? known & ~(unsigned)PH_LACK_IF_NONE_MATCH : 0;
    ph_alg alg = u->resumed ? o->alg : alg_without(o->alg, known);
    if (alg != o->alg)
        lacks = known & (o->alg == PH_ALG_MD5 ? PH_LACK_CONTENT_MD5
                         : alg == PH_ALG_NONE ? PH_LACK_CHECKSUM | PH_LACK_CONTENT_MD5
                                              : PH_LACK_CHECKSUM);
    if (!o->object.overwrite)
        lacks |= known & PH_LACK_IF_NONE_MATCH;
    if (alg != o->alg)
        o->type = PH_TYPE_NONE;
    o->alg = alg;
    warn_lacks(u, lacks);
}

/* `kept` is NULL for a new upload. */
static int new_upload(const ph_upload_options *options, const ph_snapshot *kept, uint64_t now_ms,
                      ph_upload **out)
{
    int err = check_options(options);
    if (err != PH_OK)
        return err;
    ph_upload *u = malloc(sizeof *u);
    if (!u)
        return PH_ERR_NOMEM;
    memset(u, 0, sizeof *u); /* calloc of small C libraries goes byte by byte: this is 30 KiB */
    u->options = *options;
    u->random = options->seed;
    u->next_id = u->creds_serial = 1;
    u->renew_ms = UINT64_MAX;
    u->limit = u->ceiling =
        u->options.concurrency ? u->options.concurrency : PH_CONCURRENCY_DEFAULT;
    if (!u->options.concurrency)
        u->options.concurrency = DEFAULT_CEILING;
    if (!u->options.tries)
        u->options.tries = DEFAULT_TRIES;
    u->budget = ph_upload_budget(u);
    u->failing_ms = UINT64_MAX;
    u->seen_ms = now_ms;
    u->due_ms = now_ms + SILENCE_MS;
    if (!fits_presigned_put(&options->object))
        u->options.presign_limit = 0;
    ph_buf_init(&u->document, PH_DOCUMENT_MAX);
    ph_buf_init(&u->whole_text, 64);
    ph_buf_init(&u->snapshot, PH_SNAPSHOT_MAX);
    err = copy_texts(u);
    if (err == PH_OK && kept)
        err = prepare_resumed(u, kept);
    /* Before anything can come, also an abort before there are credentials. */
    if (u->resumed && !u->upload_id.len)
        ph_upload_warn_orphan(u);
    note_known_lacks(u);
    if (err == PH_OK && options->credentials.len) {
        ph_grant grant;
        err = ph_grant_parse(options->credentials, &grant);
        if (err == PH_OK && grant.server_time_ms)
            ph_upload_set_clock(u, now_ms, grant.server_time_ms);
        if (err == PH_OK)
            err = ph_upload_begin(u, &grant);
        if (err == PH_OK)
            ph_upload_plan_renewal(u, now_ms);
        ph_grant_clear(&grant);
    }
    if (err != PH_OK) {
        ph_upload_free(u);
        return err;
    }
    *out = u;
    return PH_OK;
}

/* see parthaul.h */
int ph_upload_new(const ph_upload_options *options, uint64_t now_ms, ph_upload **out)
{
    *out = NULL;
    if (!options->snapshot.ptr)
        return new_upload(options, NULL, now_ms, out);
    ph_upload_options o = *options;
    ph_snapshot kept;
    int err = ph_snapshot_read(options->snapshot, &kept);
    if (err != PH_OK)
        return err;
    err = go_on_from(&kept, &o);
    if (err == PH_OK)
        err = new_upload(&o, &kept, now_ms, out);
    ph_snapshot_clear(&kept);
    return err;
}

/* see parthaul.h */
void ph_upload_free(ph_upload *u)
{
    if (!u)
        return;
    ph_upload_options *o = &u->options;
    ph_str_free(&o->target.bucket);
    ph_str_free(&o->target.key);
    ph_str_free(&o->target.region);
    ph_str_free(&o->target.endpoint);
    ph_str_free(&o->name);
    for (size_t i = 0; i < PH_PROP_COUNT; i++)
        ph_str_free(&o->object.property[i]);
    for (size_t i = 0; i < o->object.metadata_count; i++) {
        ph_str_free(&u->metadata[i].name);
        ph_str_free(&u->metadata[i].value);
    }
    free(u->metadata);
    ph_grant_clear(&u->grant);
    ph_endpoint_clear(&u->endpoint);
    ph_ledger_clear(&u->ledger);
    ph_str_free(&u->upload_id);
    ph_str_free(&u->etag);
    ph_str_free(&u->version_id);
    ph_buf_clear(&u->document);
    ph_buf_clear(&u->whole_text);
    ph_buf_clear(&u->snapshot);
    ph_built_clear(&u->built);
    ph_wipe(u, sizeof *u);
    free(u);
}

/* see upload.h */
int ph_upload_begin(ph_upload *u, ph_grant *first)
{
    if (u->resumed) { /* the object goes where it always went, by the same upload type */
        if (first->url.len)
            return PH_ERR_BAD_CREDENTIALS;
        ph_str_free(&first->bucket);
        ph_str_free(&first->key);
        ph_str_free(&first->region);
        ph_str_free(&first->endpoint);
    }
    u->grant = *first;
    int err = u->resumed ? PH_OK : prepare(u);
    if (err != PH_OK) {
        u->grant = (ph_grant){0};
        return err;
    }
    *first = (ph_grant){0};
    u->save = u->options.keep && !u->single && !u->kept;
    ph_upload_enter(u, u->single          ? PH_STATE_SENDING
                       : u->upload_id.len ? PH_STATE_LISTING
                                          : PH_STATE_CREATING);
    return PH_OK;
}

/* Forget all parts. Errors: NOMEM; then nothing was changed. */
static int clear_parts(ph_upload *u, ph_alg alg)
{
    ph_ledger fresh;
    int err = ph_ledger_init(&fresh, &u->ledger.plan, alg);
    if (err != PH_OK)
        return err;
    ph_upload_cancel_parts(u, true);
    memset(u->slots, 0, sizeof u->slots);
    ph_ledger_clear(&u->ledger);
    u->ledger = fresh;
    ph_buf_reset(&u->document);
    u->next_part = 1;
    return PH_OK;
}

/* see upload.h */
int ph_upload_do_without(ph_upload *u, unsigned lacks)
{
    ph_alg alg = alg_without(u->options.alg, u->lacks | lacks);
    if (alg != u->options.alg) {
        int err = clear_parts(u, alg);
        if (err != PH_OK)
            return err;
        u->options.alg = alg;
        u->type = u->single && alg != PH_ALG_NONE ? PH_TYPE_FULL_OBJECT : PH_TYPE_NONE;
        u->file_digest = (ph_digest){0};
        u->save = u->save || u->kept;
    }
    warn_lacks(u, lacks);
    return PH_OK;
}

/* see upload.h */
int ph_upload_restart(ph_upload *u, int err)
{
    int failed = clear_parts(u, u->options.alg);
    if (failed != PH_OK)
        return failed;
    ph_str_free(&u->upload_id);
    u->restarted = true;
    u->resumed = false;
    u->doubt = PH_OK;
    u->spent = false;
    u->save = u->options.keep;
    u->inquired = false;
    u->retries++;
    ph_upload_enter(u, PH_STATE_CREATING);
    ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_RETRY,
                                   .err = err,
                                   .message = "the upload is gone: all parts are sent again"});
    return PH_OK;
}

/* ---- Small questions --------------------------------------------------------------------------- */

/* see upload.h */
bool ph_upload_is_over(const ph_upload *u)
{
    return u->state == PH_STATE_DONE || u->state == PH_STATE_FAILED;
}

/* see upload.h */
bool ph_upload_is_presigned(const ph_upload *u)
{
    return u->grant.url.len > 0;
}

/* see upload.h */
bool ph_upload_signs_payload(const ph_upload *u)
{
    if (ph_upload_is_presigned(u) || u->options.payload == PH_PAYLOAD_UNSIGNED)
        return false;
    return u->options.payload == PH_PAYLOAD_SIGNED || (!u->endpoint.tls && !u->endpoint.loopback);
}

/* see upload.h */
uint64_t ph_upload_true_ms(const ph_upload *u, uint64_t now_ms)
{
    return now_ms + (uint64_t)u->clock_offset_ms;
}

/* see upload.h */
ph_operation ph_upload_control(const ph_upload *u)
{
    switch (u->state) {
    case PH_STATE_CREATING: return PH_OP_CREATE;
    case PH_STATE_LISTING: return PH_OP_LIST_PARTS;
    case PH_STATE_COMPLETING: return PH_OP_COMPLETE;
    case PH_STATE_CHECKING:
        return u->look == PH_LOOK_HEAD    ? PH_OP_HEAD
               : u->look == PH_LOOK_WORDS ? PH_OP_LIST_PARTS
                                          : PH_OP_NONE;
    case PH_STATE_ABORTING: return u->aborted ? PH_OP_LIST_PARTS : PH_OP_ABORT;
    case PH_STATE_NEW:
    case PH_STATE_SENDING:
    case PH_STATE_VERIFYING:
    case PH_STATE_DONE:
    case PH_STATE_FAILED: break;
    }
    return PH_OP_NONE;
}

/* see upload.h */
bool ph_upload_is_gone(const ph_upload *u)
{
    return u->doubt == PH_ERR_NO_SUCH_UPLOAD;
}

/* see upload.h; an object shows its checksum or the MD5 of its parts' MD5s, nobody knows before */
ph_alg ph_upload_proof(const ph_upload *u, uint32_t part_number, ph_alg out_algs[2])
{
    ph_alg alg = u->options.alg;
    ph_alg proof = ph_upload_is_gone(u) ? PH_ALG_MD5 : ph_ledger_proof(&u->ledger, part_number);
    out_algs[0] = alg != PH_ALG_NONE ? alg : proof;
    out_algs[1] = proof != out_algs[0] ? proof : PH_ALG_NONE;
    return proof;
}

/* see upload.h */
bool ph_upload_has_grant(const ph_upload *u)
{
    return ph_upload_is_presigned(u) || u->grant.creds.access_key_id.len;
}

/* Is the one request under way that an upload sends while it rests? */
static bool is_probing(const ph_upload *u)
{
    bool found = u->probe && (u->control.id == u->probe || u->ask.id == u->probe);
    for (size_t i = 0; !found && i < u->slot_end; i++)
        found = u->probe && u->slots[i].attempt.id == u->probe;
    return found;
}

/* see upload.h */
uint32_t ph_upload_budget(const ph_upload *u)
{
    return 8 + 4 * u->options.concurrency;
}

/* While the upload rests, one request at a time looks whether S3 is there. */
static bool may_try(const ph_upload *u, uint64_t now_ms)
{
    return !u->rest_err || (now_ms >= u->rest_until_ms && !is_probing(u));
}

/* Whoever aborts does not wait for the network to come back; what cannot be sent, fails. */
static bool has_network(const ph_upload *u)
{
    return !u->offline || u->state == PH_STATE_ABORTING;
}

/* see upload.h; it slept, or somebody turned its clock forward */
void ph_upload_note_time(ph_upload *u, uint64_t now_ms)
{
    if (now_ms > u->due_ms && u->failing_ms != UINT64_MAX)
        u->failing_ms += now_ms - u->seen_ms;
    if (now_ms > u->due_ms + STALE_MS) {
        u->clock_serial++; /* an answer that comes now has the time of before */
        u->due_ms = now_ms + SILENCE_MS;
    }
    u->seen_ms = now_ms;
}

/* ---- What waits to be given out ---------------------------------------------------------------- */

/* see upload.h; when nobody takes them, the oldest are lost: they only inform */
void ph_upload_note(ph_upload *u, const ph_notice *notice)
{
    if (u->notice_count == PH_QUEUE) {
        u->notice_first = (u->notice_first + 1) % PH_QUEUE;
        u->notice_count--;
    }
    ph_notice *n = &u->notices[(u->notice_first + u->notice_count++) % PH_QUEUE];
    *n = *notice;
    n->state = u->state;
    n->paused = u->paused || u->rest_err;
    if (n->kind == PH_NOTICE_STATE && u->rest_err && !u->paused) {
        n->err = u->rest_err;
        n->until_ms = u->rest_until_ms;
    }
}

/* see upload.h */
void ph_upload_warn(ph_upload *u, const char *message)
{
    ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_WARNING, .message = message});
}

#define ORPHAN_WARNING                                                                             \
    "the response to CreateMultipartUpload was lost: S3 may hold an empty upload with an unknown " \
    "id; the bucket's lifecycle rule AbortIncompleteMultipartUpload removes it"

/* see upload.h */
void ph_upload_warn_orphan(ph_upload *u)
{
    if (!u->warned_orphan)
        ph_upload_warn(u, ORPHAN_WARNING);
    u->warned_orphan = true;
}

#define OBJECT_WARNING                                                                            \
    "S3 may have the object nevertheless: the response to the request that creates it was lost, " \
    "or was not waited for"

/* see upload.h */
void ph_upload_warn_object(ph_upload *u)
{
    ph_upload_warn(u, OBJECT_WARNING);
}

/* see upload.h */
void ph_upload_enter(ph_upload *u, ph_state state)
{
    u->state = state;
    u->look = PH_LOOK_HEAD;
    u->refused = 0;
    u->control = (ph_attempt){0};
    ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_STATE});
}

/* see upload.h */
void ph_upload_set_part(ph_upload *u, ph_slot *slot, ph_part_state state)
{
    slot->state = state;
    ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_PART,
                                   .part_number = slot->part_number,
                                   .part_state = state});
}

/* see upload.h; no more can be under way than there are slots, so the queue cannot overflow */
void ph_upload_cancel(ph_upload *u, ph_attempt *attempt)
{
    if (attempt->id && u->cancel_count < PH_QUEUE)
        u->cancels[u->cancel_count++] = attempt->id;
    attempt->id = 0;
}

/* see upload.h */
void ph_upload_uncancel(ph_upload *u, uint32_t id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < u->cancel_count; i++)
        if (u->cancels[i] != id)
            u->cancels[kept++] = u->cancels[i];
    u->cancel_count = kept;
}

/* see upload.h */
void ph_upload_cancel_parts(ph_upload *u, bool digests)
{
    for (size_t i = 0; i < u->slot_end; i++) {
        ph_slot *slot = &u->slots[i];
        bool sending = slot->state == PH_PART_SENDING;
        if (!slot->part_number || (!sending && !(digests && slot->state == PH_PART_HASHING)))
            continue;
        if (sending && slot->attempt.id) {
            slot->attempt.maybe_done = slot->attempt.maybe_done || u->single;
            slot->attempt.tries--;
        }
        ph_upload_cancel(u, &slot->attempt);
        ph_upload_cancel(u, &slot->second);
        slot->sent = 0;
        ph_upload_set_part(u, slot, slot->hashed ? PH_PART_READY : PH_PART_TODO);
    }
}

/* see upload.h */
void ph_upload_describe(ph_failure *f, int err, ph_operation op, uint32_t part_number,
                        uint32_t tries, const ph_reply *reply)
{
    *f = (ph_failure){.err = err, .part_number = part_number, .tries = tries};
    f->retryable =
        ph_err_retry(err) != PH_RETRY_NEVER || err == PH_ERR_SIGN_IN || err == PH_ERR_CONFLICT;
    ph_text_copy(f->operation, sizeof f->operation, ph_str_from(ph_operation_name(op)));
    ph_text_copy(f->message, sizeof f->message, ph_str_from(ph_err_text(err)));
    if (reply) {
        f->http_status = reply->status;
        ph_text_copy(f->s3_code, sizeof f->s3_code, ph_str_from(reply->s3_code));
        ph_text_copy(f->request_id, sizeof f->request_id, ph_str_from(reply->request_id));
        ph_text_copy(f->host_id, sizeof f->host_id, ph_str_from(reply->host_id));
    }
}

/* Is it worth keeping what S3 has for a later session? What S3 itself calls wrong stays wrong. */
static bool may_pass(int err, const ph_reply *reply)
{
    switch (err) {
    case PH_ERR_ABORTED:
    case PH_ERR_EXISTS:
    case PH_ERR_NO_SUCH_BUCKET:
    case PH_ERR_NO_SUCH_UPLOAD:
    case PH_ERR_OBJECT_DIFFERS:
    case PH_ERR_TOO_LARGE: return false;
    case PH_ERR_REFUSED: return !reply || !reply->s3_code[0];
    default: return true;
    }
}

/*
 * Could it be that the object is there, though nobody will know? `err` is what ends the upload, after
 * the answer `reply` to `op`.
 */
static bool may_be_object(const ph_upload *u, int err, ph_operation op, const ph_reply *reply)
{
    bool aborted = err == PH_ERR_ABORTED, found = false;
    bool seen = reply && (reply->err == PH_OK || reply->err == PH_ERR_NOT_FOUND);
    if (u->state == PH_STATE_COMPLETING)
        found = u->control.maybe_done || (aborted && u->control.id);
    else if (u->state == PH_STATE_CHECKING || u->doubt == PH_ERR_EXISTS)
        found = aborted || (op == PH_OP_HEAD && !seen);
    for (size_t i = 0; i < u->slot_end && u->single && u->state == PH_STATE_SENDING; i++) {
        const ph_slot *s = &u->slots[i];
        bool sending = s->state == PH_PART_SENDING && s->attempt.id;
        found = found || (s->part_number && (s->attempt.maybe_done || (aborted && sending)));
    }
    return found;
}

/* see upload.h */
void ph_upload_fail(ph_upload *u, int err, ph_operation op, uint32_t part_number, uint32_t tries,
                    const ph_reply *reply)
{
    if (ph_upload_is_over(u) || u->state == PH_STATE_ABORTING)
        return;
    ph_upload_describe(&u->failure, err, op, part_number, tries, reply);
    bool perhaps = may_be_object(u, err, op, reply);
    u->paused = false;
    u->rest_err = PH_OK;
    ph_upload_cancel_parts(u, true);
    ph_upload_cancel(u, &u->ask);
    ph_upload_cancel(u, &u->file_hash);
    u->ask = (ph_attempt){0};
    /* A Create that is under way must be waited for: only its answer has the id to abort. */
    uint32_t creating = u->state == PH_STATE_CREATING ? u->control.id : 0;
    if (!creating)
        ph_upload_cancel(u, &u->control);
    bool completed = err == PH_ERR_OBJECT_DIFFERS && u->state == PH_STATE_COMPLETING;
    bool gone = ph_upload_is_gone(u);
    u->save = u->save || u->unsaved; /* perhaps it can be kept by now */
    u->failure.resumable = !creating && (u->kept || u->save) && may_pass(err, reply);
    if (perhaps && !u->failure.resumable)
        ph_upload_warn_object(u);
    if (creating || (u->upload_id.len && !completed && !gone && !u->failure.resumable)) {
        ph_upload_enter(u, PH_STATE_ABORTING);
        u->control.id = creating;
        u->creds_refused = false;
    } else {
        ph_upload_enter(u, PH_STATE_FAILED);
    }
}

#define UNSAVED_WARNING "what is needed to go on after a stop cannot be kept here"

/* see upload.h */
void ph_upload_not_saved(ph_upload *u, ph_str why)
{
    const char *words[] = {UNSAVED_WARNING, why.len ? ": " : ""};
    if (!u->kept || u->unsaved)
        return;
    u->unsaved = true;
    u->kept = u->had;
    if (!u->warned_unsaved) {
        size_t len = 0, size = sizeof u->unsaved_warning;
        for (size_t i = 0; i < 2; i++) {
            ph_text_copy(u->unsaved_warning + len, size - len, ph_str_from(words[i]));
            len += strlen(words[i]);
        }
        ph_text_copy(u->unsaved_warning + len, size - len, why);
        ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_WARNING,
                                       .err = PH_ERR_NOT_KEPT,
                                       .message = u->unsaved_warning});
    }
    u->warned_unsaved = true;
    if (u->state != PH_STATE_FAILED)
        return;
    /* It was to go on later, and cannot. */
    u->failure.resumable = false;
    if (u->upload_id.len && !u->unconfirmed)
        ph_upload_enter(u, PH_STATE_ABORTING);
}

/* ---- What to do next --------------------------------------------------------------------------- */

static void start(ph_upload *u, ph_attempt *attempt, ph_action_kind kind, ph_action *out)
{
    attempt->id = u->next_id++;
    attempt->tries++;
    attempt->creds_serial = u->creds_serial;
    attempt->clock_serial = u->clock_serial;
    out->kind = kind;
    out->id = attempt->id;
}

static bool give_queued(ph_upload *u, ph_action *out)
{
    if (u->cancel_count) {
        out->kind = PH_ACTION_CANCEL;
        out->id = u->cancels[0];
        memmove(u->cancels, u->cancels + 1, --u->cancel_count * sizeof u->cancels[0]);
        return true;
    }
    if (u->notice_count) {
        out->kind = PH_ACTION_NOTICE;
        out->u.notice = u->notices[u->notice_first];
        u->notice_first = (u->notice_first + 1) % PH_QUEUE;
        u->notice_count--;
        return true;
    }
    return false;
}

/* Whoever keeps snapshots has to know the key before S3 does, and the upload id before any part. */
static int give_snapshot(ph_upload *u, ph_action *out)
{
    ph_upload_options o = u->options;
    o.target = target_of(u);
    o.part_size = u->ledger.plan.part_size;
    o.type = u->type;
    /* What keeps objects from being overwritten is tried again. */
    o.server_lacks = u->lacks & ~(unsigned)PH_LACK_IF_NONE_MATCH;
    ph_buf_reset(&u->snapshot);
    ph_snapshot_write(&o, u->upload_id, u->opaque_etags, &u->snapshot);
    if (u->snapshot.err != PH_OK)
        return u->snapshot.err;
    u->save = u->unsaved = false;
    u->had = u->kept;
    u->kept = true;
    out->kind = PH_ACTION_SAVE;
    out->u.snapshot = ph_buf_view(&u->snapshot);
    return PH_OK;
}

/* Will what a snapshot says be of use to anybody? */
static bool has_future(const ph_upload *u)
{
    return u->state == PH_STATE_FAILED ? u->failure.resumable
                                       : u->state != PH_STATE_DONE && u->state != PH_STATE_ABORTING;
}

static void give_receipt(const ph_upload *u, ph_action *out)
{
    ph_target t = target_of(u);
    out->kind = PH_ACTION_DONE;
    out->u.receipt = (ph_receipt){
        .bucket = t.bucket,
        .key = t.key,
        .etag = u->etag,
        .version_id = u->version_id,
        .upload_id = u->upload_id,
        .size = u->options.size,
        .part_size = u->single ? 0 : u->ledger.plan.part_size,
        .part_count = u->single ? 0 : u->ledger.plan.part_count,
        .alg = u->options.alg,
        .type = u->options.alg == PH_ALG_MD5 && !u->single ? PH_TYPE_COMPOSITE : u->type,
        .checksum = ph_buf_view(&u->whole_text),
        .verified = u->verified,
        .unseen = u->unseen,
        .server_lacks = u->lacks,
        .retries = u->retries,
    };
}

/* ---- Credentials ---- */

static bool wants_file_hash(const ph_upload *u)
{
    return u->state == PH_STATE_NEW && u->options.alg != PH_ALG_NONE && !u->file_digest.len &&
           u->options.size <= u->options.presign_limit && u->options.presign_limit > 0;
}

static bool needs_grant(const ph_upload *u, uint64_t now_ms, ph_why *why)
{
    bool content = u->state == PH_STATE_ABORTING && ph_upload_has_grant(u) && !u->creds_refused;
    if (u->ask.id || now_ms < u->ask.at_ms || wants_file_hash(u) || content)
        return false;
    *why = !ph_upload_has_grant(u)    ? PH_WHY_FIRST
           : u->creds_refused         ? PH_WHY_REFUSED
           : u->look == PH_LOOK_CREDS ? PH_WHY_LOOK
                                      : PH_WHY_EXPIRING;
    return *why != PH_WHY_EXPIRING || ph_upload_true_ms(u, now_ms) >= u->renew_ms;
}

static void give_ask(ph_upload *u, ph_why why, ph_action *out)
{
    start(u, &u->ask, PH_ACTION_CREDENTIALS, out);
    u->probe = out->id;
    out->u.ask = (ph_ask){.why = why,
                          .name = u->options.name,
                          .content_type = u->options.object.property[PH_PROP_CONTENT_TYPE],
                          .size = u->options.size,
                          .checksum = u->file_digest,
                          .key = target_of(u).key};
}

static void give_file_hash(ph_upload *u, ph_action *out)
{
    start(u, &u->file_hash, PH_ACTION_HASH, out);
    out->u.hash = (ph_hash_job){.length = u->options.size, .alg = {u->options.alg, PH_ALG_NONE}};
}

/*
 * Nothing is signed with credentials that S3 refused, nor, while others are on their way, with those
 * that have ended by this clock or seem to be refused in silence. The clock may be wrong: if no others
 * come, S3 decides.
 */
static bool holds_back(const ph_upload *u, uint64_t now_ms)
{
    uint64_t end = u->grant.creds.expires_ms;
    bool ended = end && end <= ph_upload_true_ms(u, now_ms);
    return u->creds_refused || (u->ask.id && (ended || u->suspected));
}

/* ---- Requests ---- */

static void fill_request(const ph_upload *u, ph_operation op, ph_action *out)
{
    ph_request *r = &out->u.request;
    *r = (ph_request){.method = u->built.method,
                      .operation = ph_operation_name(op),
                      .url = u->built.url,
                      .headers = u->built.header,
                      .header_count = u->built.header_count,
                      .stall_ms = 60 * SECOND,
                      .answer_ms = 60 * SECOND,
                      .limit_ms = 60 * SECOND};
    if (ph_upload_is_presigned(u)) {
        r->method = PH_METHOD_PUT;
        r->url = u->grant.url;
        r->headers = u->grant.headers;
        r->header_count = u->grant.header_count;
    }
}

/* S3 may take minutes to put a large object together, and sends blanks meanwhile. */
static void fill_complete(const ph_upload *u, ph_action *out)
{
    out->u.request.text = ph_buf_view(&u->document);
    out->u.request.stall_ms = 300 * SECOND;
    out->u.request.answer_ms = 600 * SECOND;
    out->u.request.limit_ms = 600 * SECOND;
}

static ph_call call_of(const ph_upload *u, uint64_t now_ms, ph_operation op)
{
    return (ph_call){.op = op,
                     .endpoint = &u->endpoint,
                     .key = target_of(u).key,
                     .object = &u->options.object,
                     .upload_id = u->upload_id,
                     .alg = u->options.alg,
                     .type = u->type,
                     .object_size = u->options.size,
                     .unconditional = (u->lacks & PH_LACK_IF_NONE_MATCH) != 0,
                     .creds = &u->grant.creds,
                     .time_ms = ph_upload_true_ms(u, now_ms)};
}

/* see upload.h */
int ph_upload_make_whole(ph_upload *u)
{
    ph_whole w;
    /* MD5 has no type at S3; its digest of digests is what the ETag shows. */
    ph_ledger_whole(&u->ledger, u->options.alg == PH_ALG_MD5 ? PH_TYPE_COMPOSITE : u->type, &w);
    ph_whole_digest(&w, &u->whole);
    ph_buf_reset(&u->whole_text);
    ph_whole_text(&w, &u->whole_text);
    return u->whole_text.err;
}

/* The document of Complete and the object's checksum are made once, when all parts are stored. */
static int make_document(ph_upload *u)
{
    if (u->document.len)
        return PH_OK;
    int err = ph_upload_make_whole(u);
    ph_ledger_document(&u->ledger, &u->document);
    err = err ? err : u->document.err;
    if (err != PH_OK)
        ph_buf_reset(&u->document);
    return err;
}

static int give_control(ph_upload *u, uint64_t now_ms, ph_operation op, ph_action *out)
{
    ph_call call = call_of(u, now_ms, op);
    call.part_number_marker = u->list_marker;
    if (u->look == PH_LOOK_WORDS && !u->upload_id.len)
        call.upload_id = PH_STR("none");
    int err = PH_OK;
    if (op == PH_OP_COMPLETE) {
        err = make_document(u);
        call.text = ph_buf_view(&u->document);
        call.checksum = &u->whole;
    }
    if (err == PH_OK)
        err = ph_request_build(&call, &u->key, &u->built);
    if (err != PH_OK)
        return err;
    start(u, &u->control, PH_ACTION_REQUEST, out);
    u->probe = out->id;
    fill_request(u, op, out);
    if (op == PH_OP_COMPLETE)
        fill_complete(u, out);
    return PH_OK;
}

/* How long a part of this length takes, as the others did. */
static uint64_t usual_ms(const ph_upload *u, uint64_t length)
{
    return (uint64_t)((double)length / (u->rate > 0 ? u->rate : SLOWEST));
}

/* `attempt` is the slot's first or second. */
static int give_part(ph_upload *u, uint64_t now_ms, ph_slot *slot, ph_attempt *attempt,
                     ph_action *out)
{
    ph_operation op = u->single ? PH_OP_PUT_OBJECT : PH_OP_UPLOAD_PART;
    if (!ph_upload_is_presigned(u)) {
        ph_call call = call_of(u, now_ms, op);
        call.part_number = slot->part_number;
        call.checksum = slot->digest.len ? &slot->digest : NULL;
        if (ph_upload_signs_payload(u))
            call.body_sha256 = u->options.alg == PH_ALG_SHA256 ? &slot->digest : &slot->sha256;
        int err = ph_request_build(&call, &u->key, &u->built);
        if (err != PH_OK)
            return err;
    }
    start(u, attempt, PH_ACTION_REQUEST, out);
    u->probe = out->id;
    *(attempt == &slot->attempt ? &slot->begun_ms : &slot->second_begun_ms) = now_ms;
    if (attempt == &slot->attempt) {
        slot->no_second = false;
        ph_upload_set_part(u, slot, PH_PART_SENDING);
    }
    fill_request(u, op, out);
    ph_request *r = &out->u.request;
    r->from_file = true;
    r->offset = ph_ledger_offset(&u->ledger, slot->part_number);
    r->length = ph_ledger_length(&u->ledger, slot->part_number);
    r->part_number = u->single ? 0 : slot->part_number;
    r->stall_ms = 30 * SECOND;
    r->answer_ms = 120 * SECOND;
    uint64_t usual = usual_ms(u, r->length) * (u->rate > 0 ? 4 : 1);
    uint64_t slowest = (uint64_t)((double)r->length / SLOWEST * 8);
    for (uint32_t i = 0; i < slot->timeouts && (i < 3 || usual < slowest); i++)
        usual *= 2; /* a line that became slower gets more each time */
    slot->limit_ms = r->answer_ms + usual;
    r->limit_ms = slot->limit_ms;
    if (u->options.max_rate) {
        uint64_t from = u->pace_ms > now_ms ? u->pace_ms : now_ms;
        u->pace_ms = from + r->length * 1000 / u->options.max_rate;
    }
    return PH_OK;
}

static void give_part_hash(ph_upload *u, ph_slot *slot, ph_action *out)
{
    start(u, &slot->attempt, PH_ACTION_HASH, out);
    slot->attempt.tries--; /* only requests count */
    ph_upload_set_part(u, slot, PH_PART_HASHING);
    bool sign = ph_upload_signs_payload(u) && u->options.alg != PH_ALG_SHA256;
    out->u.hash = (ph_hash_job){.offset = ph_ledger_offset(&u->ledger, slot->part_number),
                                .length = ph_ledger_length(&u->ledger, slot->part_number),
                                .part_number = slot->part_number,
                                .alg = {u->options.alg, sign ? PH_ALG_SHA256 : PH_ALG_NONE}};
    if (u->state == PH_STATE_VERIFYING)
        ph_upload_proof(u, slot->part_number, out->u.hash.alg);
}

/* ---- Parts ---- */

static uint32_t count_slots(const ph_upload *u, ph_part_state state)
{
    uint32_t n = 0;
    for (size_t i = 0; i < u->slot_end; i++)
        n += u->slots[i].part_number && u->slots[i].state == state;
    return n;
}

static uint32_t used_slots(const ph_upload *u)
{
    uint32_t n = 0;
    for (size_t i = 0; i < u->slot_end; i++)
        n += u->slots[i].part_number != 0;
    return n;
}

static uint32_t limit_now(const ph_upload *u)
{
    if (u->options.polite)
        return 1;
    return u->limit < 1 ? 1 : (uint32_t)u->limit;
}

/* The first part in this state. While the upload rests, the one that failed least: should one of
 * them alone be bad, the others do not wait for it. */
static ph_slot *lowest(ph_upload *u, ph_part_state state)
{
    ph_slot *found = NULL;
    for (size_t i = 0; i < u->slot_end; i++) {
        ph_slot *s = &u->slots[i];
        if (!s->part_number || s->state != state)
            continue;
        bool better = !found || s->part_number < found->part_number;
        if (found && u->rest_err && s->attempt.tries != found->attempt.tries)
            better = s->attempt.tries < found->attempt.tries;
        if (better)
            found = s;
    }
    return found;
}

/* How many digests are asked for at the same time: as many as cost little more than one. */
static uint32_t hashes_at_once(const ph_upload *u)
{
    ph_alg alg = u->options.alg;
    bool lanes = alg == PH_ALG_SHA256 || alg == PH_ALG_SHA1 || alg == PH_ALG_MD5;
    return lanes || ph_upload_signs_payload(u) ? PH_LANES : 2;
}

/* Parts that are hashed before a connection is free for them: with lanes, while others fill them. */
static uint32_t hash_ahead(const ph_upload *u)
{
    return hashes_at_once(u) == PH_LANES ? 2 * PH_LANES : 2;
}

/* Lanes are filled first, unless a connection would wait for it or no more parts come. */
static bool may_hash(const ph_upload *u)
{
    uint32_t todo = count_slots(u, PH_PART_TODO), hashing = count_slots(u, PH_PART_HASHING);
    uint32_t most = hashes_at_once(u);
    return hashing < most &&
           (most < PH_LANES || todo + hashing >= most || count_slots(u, PH_PART_READY) == 0 ||
            u->next_part > u->ledger.plan.part_count);
}

static bool is_due(const ph_upload *u, uint32_t part_number)
{
    const ph_part *p = &u->ledger.parts[part_number - 1];
    return u->state == PH_STATE_VERIFYING ? p->claimed || (ph_upload_is_gone(u) && !p->stored)
                                          : !p->stored;
}

/* Put the next part of the file into a free slot, hashed already where that is known. */
static bool open_slot(ph_upload *u)
{
    while (u->next_part <= u->ledger.plan.part_count && !is_due(u, u->next_part))
        u->next_part++;
    if (u->next_part > u->ledger.plan.part_count || used_slots(u) >= limit_now(u) + hash_ahead(u))
        return false;
    ph_slot *slot = NULL;
    for (size_t i = 0; !slot && i < PH_SLOTS; i++)
        if (!u->slots[i].part_number)
            slot = &u->slots[i];
    if (!slot)
        return false;
    if (u->slot_end == (size_t)(slot - u->slots))
        u->slot_end++;
    *slot = (ph_slot){.part_number = u->next_part++};
    bool sign = ph_upload_signs_payload(u);
    if (u->state == PH_STATE_VERIFYING) {
        slot->hashed = false;
    } else if (u->options.alg == PH_ALG_NONE && !sign) {
        slot->hashed = true;
    } else if (u->single && u->file_digest.len && (!sign || u->options.alg == PH_ALG_SHA256)) {
        slot->digest = u->file_digest;
        slot->hashed = true;
    }
    slot->state = slot->hashed ? PH_PART_READY : PH_PART_TODO;
    return true;
}

static void wake_slots(ph_upload *u, uint64_t now_ms)
{
    for (size_t i = 0; i < u->slot_end; i++) {
        ph_slot *s = &u->slots[i];
        if (s->part_number && s->state == PH_PART_BACKOFF && s->attempt.at_ms <= now_ms)
            ph_upload_set_part(u, s, s->hashed ? PH_PART_READY : PH_PART_TODO);
    }
}

/*
 * The part that the upload waits for at last, when all others are stored or under way: it is sent a
 * second time when it takes three times as long as the others did. `at_ms` says when that is. One at
 * a time, and never an object itself: its second answer would be a refusal of the first.
 */
static ph_slot *late_slot(ph_upload *u, uint64_t *at_ms)
{
    ph_slot *late = NULL;
    if (u->single || u->rate <= 0 || u->rest_err || u->options.polite ||
        count_slots(u, PH_PART_SENDING) >= limit_now(u) ||
        u->next_part <= u->ledger.plan.part_count)
        return NULL;
    for (size_t i = 0; i < u->slot_end; i++) {
        ph_slot *s = &u->slots[i];
        if (!s->part_number)
            continue;
        if (s->state != PH_PART_SENDING || s->second.id || s->no_second)
            return NULL;
        uint64_t usual = usual_ms(u, ph_ledger_length(&u->ledger, s->part_number));
        uint64_t at = s->begun_ms + (3 * usual > LATE_MS ? 3 * usual : LATE_MS);
        if (!late || at < *at_ms) {
            late = s;
            *at_ms = at;
        }
    }
    return late;
}

static int give_second(ph_upload *u, uint64_t now_ms, ph_slot *slot, ph_action *out)
{
    slot->second = slot->attempt;
    slot->second.id = 0;
    int err = give_part(u, now_ms, slot, &slot->second, out);
    if (err != PH_OK)
        return err;
    u->retries++;
    ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_RETRY,
                                   .part_number = slot->part_number,
                                   .part_state = PH_PART_SENDING,
                                   .err = PH_ERR_TIMEOUT,
                                   .until_ms = now_ms,
                                   .message = "this part takes much longer than the others: it is "
                                              "sent a second time, and the first response counts"});
    return PH_OK;
}

/* Returns whether an action was given, or an error. */
static int give_sending(ph_upload *u, uint64_t now_ms, bool may_send, bool *given, ph_action *out)
{
    while (open_slot(u))
        ;
    ph_slot *slot = lowest(u, PH_PART_READY);
    uint32_t in_flight = count_slots(u, PH_PART_SENDING);
    *given = true;
    bool free = in_flight < (u->rest_err ? u->options.concurrency : limit_now(u));
    bool ready = may_send && !u->offline && !holds_back(u, now_ms) && free && may_try(u, now_ms);
    if (slot && ready && now_ms >= u->pace_ms)
        return give_part(u, now_ms, slot, &slot->attempt, out);
    uint64_t late_ms;
    slot = ready ? late_slot(u, &late_ms) : NULL;
    if (slot && late_ms <= now_ms)
        return give_second(u, now_ms, slot, out);
    slot = lowest(u, PH_PART_TODO);
    if (slot && may_hash(u)) {
        give_part_hash(u, slot, out);
        return PH_OK;
    }
    *given = false;
    return PH_OK;
}

/* ---- Waiting ---- */

/* The next moment at which a step could do more than now, if nothing happens before. */
static uint64_t next_moment(ph_upload *u, uint64_t now_ms)
{
    uint64_t at = UINT64_MAX, late_ms;
    bool sending = u->state == PH_STATE_SENDING;
    if (u->paused)
        return at;
    for (size_t i = 0; i < u->slot_end; i++)
        if (sending && u->slots[i].part_number && u->slots[i].state == PH_PART_BACKOFF)
            at = ph_least(at, u->slots[i].attempt.at_ms);
    if (!has_network(u))
        return at;
    if (u->rest_err && is_probing(u))
        return at;
    if (u->rest_err && u->rest_until_ms > now_ms)
        return ph_least(at, u->rest_until_ms);
    if (sending && u->pace_ms > now_ms && lowest(u, PH_PART_READY))
        at = ph_least(at, u->pace_ms);
    if (sending && late_slot(u, &late_ms) && late_ms > now_ms)
        at = ph_least(at, late_ms);
    if (!u->control.id && u->control.at_ms > now_ms)
        at = ph_least(at, u->control.at_ms);
    if (!u->ask.id) {
        if (u->ask.at_ms > now_ms)
            at = ph_least(at, u->ask.at_ms);
        else if (u->renew_ms != UINT64_MAX && u->state != PH_STATE_ABORTING)
            at = ph_least(at, u->renew_ms - (uint64_t)u->clock_offset_ms);
    }
    return at;
}

static bool is_idle(const ph_upload *u)
{
    bool idle = !u->control.id && !u->ask.id && !u->file_hash.id;
    for (size_t i = 0; idle && i < u->slot_end; i++)
        idle = !u->slots[i].part_number || (!u->slots[i].attempt.id && !u->slots[i].second.id);
    return idle;
}

/* When, at the latest, something of what is under way has ended. */
static uint64_t last_due(const ph_upload *u, uint64_t now_ms)
{
    uint64_t due = now_ms + SILENCE_MS;
    for (size_t i = 0; i < u->slot_end; i++) {
        const ph_slot *s = &u->slots[i];
        bool sending = s->part_number && s->state == PH_PART_SENDING;
        uint64_t begun = s->second.id ? s->second_begun_ms : s->begun_ms;
        if (sending && begun + s->limit_ms > due)
            due = begun + s->limit_ms;
    }
    return due;
}

static void give_wait(ph_upload *u, uint64_t now_ms, bool may_send, ph_action *out)
{
    uint64_t until = next_moment(u, now_ms), due = now_ms;
    bool idle = is_idle(u);
    /* What waits for its turn among other uploads is not in vain, however long it takes. */
    bool queues = idle && !may_send && lowest(u, PH_PART_READY);
    out->kind = PH_ACTION_WAIT;
    out->u.until_ms = until;
    if (!idle)
        due = last_due(u, now_ms);
    if (until != UINT64_MAX && !queues && (idle || until < due))
        due = until; /* whatever comes or not, it is here again by then */
    u->due_ms = due + LATE_TIMER_MS;
}

/* Returns whether an action was given, or an error. */
static int give_work(ph_upload *u, uint64_t now_ms, bool may_send, bool *given, ph_action *out)
{
    ph_why why;
    ph_operation control = ph_upload_control(u);
    *given = false;
    if (u->paused)
        return PH_OK;
    if (wants_file_hash(u) && !u->file_hash.id) {
        give_file_hash(u, out);
        *given = true;
        return PH_OK;
    }
    if (has_network(u) && may_try(u, now_ms) && needs_grant(u, now_ms, &why)) {
        give_ask(u, why, out);
        *given = true;
        return PH_OK;
    }
    if (control != PH_OP_NONE && !u->control.id && u->control.at_ms <= now_ms &&
        ph_upload_has_grant(u) && !holds_back(u, now_ms) && has_network(u) && may_try(u, now_ms)) {
        *given = true;
        return give_control(u, now_ms, control, out);
    }
    if (u->state == PH_STATE_SENDING || u->state == PH_STATE_VERIFYING)
        return give_sending(u, now_ms, may_send, given, out);
    return PH_OK;
}

/* see parthaul.h */
int ph_upload_step(ph_upload *u, uint64_t now_ms, bool may_send, ph_action *out)
{
    memset(out, 0, sizeof *out);
    ph_upload_note_time(u, now_ms);
    if (!u->paused && u->state == PH_STATE_SENDING)
        wake_slots(u, now_ms);
    if (u->save && has_future(u))
        return give_snapshot(u, out);
    if (give_queued(u, out))
        return PH_OK;
    if (u->kept && ph_upload_is_over(u) && !has_future(u)) {
        u->kept = false;
        out->kind = PH_ACTION_FORGET;
        return PH_OK;
    }
    if (u->state == PH_STATE_DONE) {
        give_receipt(u, out);
        return PH_OK;
    }
    if (u->state == PH_STATE_FAILED) {
        out->kind = PH_ACTION_FAILED;
        out->u.failure = u->failure;
        return PH_OK;
    }
    if (u->built.text.ptr)
        ph_built_clear(&u->built);
    bool given;
    int err = give_work(u, now_ms, may_send, &given, out);
    if (err != PH_OK && err != PH_ERR_NOMEM) { /* a request that cannot be written */
        if (u->state == PH_STATE_ABORTING)
            ph_upload_enter(u, PH_STATE_FAILED);
        ph_upload_fail(u, err, PH_OP_NONE, 0, 0, NULL);
        memset(out, 0, sizeof *out);
        give_queued(u, out);
        return PH_OK;
    }
    if (err == PH_OK && !given)
        give_wait(u, now_ms, may_send, out);
    return err;
}

/* see parthaul.h */
void ph_upload_progress(const ph_upload *u, ph_progress *out)
{
    *out = (ph_progress){.state = u->state,
                         .paused = u->paused || u->rest_err,
                         .size = u->options.size,
                         .stored = u->ledger.stored_bytes,
                         .part_count = u->ledger.plan.part_count,
                         .parts_stored = u->ledger.stored};
    for (size_t i = 0; i < u->slot_end; i++)
        if (u->slots[i].part_number && u->slots[i].state == PH_PART_SENDING) {
            out->sent += u->slots[i].sent;
            out->in_flight++;
        }
}
