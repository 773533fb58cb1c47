/* SPDX-License-Identifier: MIT
 *
 * The engine, second half: what came of an action. Each event finds the attempt it belongs to by
 * its id; an answer to something that was cancelled finds none and is dropped.
 */
#include <string.h>

#include "str.h"
#include "upload.h"

#define ABORT_TRIES 3u
#define MAX_REFUSALS 3u
#define MAX_CLOCK_FIXES 2u
#define MAX_BAD_DIGESTS 2u
#define SUSPICIOUS 3u
#define TRY_TO_KEEP 8 /* after so many parts each time */
#define ABSENT_LOOKS 5u

/* A clock that is further off than this is not corrected: whoever answers could otherwise have
 * requests signed for a far future. */
#define MAX_CLOCK_OFFSET_MS (INT64_C(24) * 60 * 60 * 1000)

#define MIN_RENEWAL_MS (UINT64_C(10) * 1000)
#define SIGN_IN_AGAIN_MS (UINT64_C(60) * 1000)

/* ---- After a failed request: again, later, or never ---------------------------------------------- */

typedef enum verdict {
    AGAIN_NOW,
    AGAIN_LATER, /* attempt->at_ms says when */
    GIVE_UP,
    NO_MEMORY, /* nothing was changed: the event is reported again */
} verdict;

/* see upload.h */
void ph_upload_plan_renewal(ph_upload *u, uint64_t now_ms)
{
    uint64_t now = ph_upload_true_ms(u, now_ms), end = u->grant.creds.expires_ms;
    uint64_t renew = ph_creds_renew_ms(&u->grant.creds, now);
    /* Whoever grants the same credentials again and again is not asked all the time. Where they
     * seem to have ended before they came, some clock is wrong: S3 will say. */
    if (renew != UINT64_MAX && renew < now + MIN_RENEWAL_MS)
        renew = now + MIN_RENEWAL_MS;
    u->renew_ms = end && end <= now ? UINT64_MAX : renew;
}

/* see upload.h */
bool ph_upload_set_clock(ph_upload *u, uint64_t now_ms, uint64_t server_ms)
{
    int64_t offset = (int64_t)server_ms - (int64_t)now_ms;
    if (offset > MAX_CLOCK_OFFSET_MS || offset < -MAX_CLOCK_OFFSET_MS)
        return false;
    u->clock_offset_ms = offset;
    u->clock_serial++;
    ph_upload_plan_renewal(u, now_ms);
    return true;
}

static verdict fix_clock(ph_upload *u, uint64_t now_ms, const ph_attempt *a, const ph_reply *reply)
{
    if (a->clock_serial != u->clock_serial)
        return AGAIN_NOW; /* it was signed before the clock was set */
    if (!reply || !reply->server_time_ms || u->clock_fixes >= MAX_CLOCK_FIXES)
        return GIVE_UP;
    u->clock_fixes++;
    return ph_upload_set_clock(u, now_ms, reply->server_time_ms) ? AGAIN_NOW : GIVE_UP;
}

static ph_operation part_operation(const ph_upload *u)
{
    return u->single ? PH_OP_PUT_OBJECT : PH_OP_UPLOAD_PART;
}

static verdict refresh_creds(ph_upload *u, int err, const ph_attempt *a, uint32_t part_number,
                             const ph_reply *reply)
{
    bool late = a->creds_serial != u->creds_serial;
    if (u->creds_refused || (late && a->creds_serial <= u->refused_serial))
        return AGAIN_NOW; /* that is known: newer ones are there, or on their way */
    u->refused_serial = a->creds_serial;
    /* Newer ones came meanwhile. Twice in a row, and those have ended unseen, too: the clock is off. */
    if (late && ++u->late_refusals == 1)
        return AGAIN_NOW;
    /* Tokens end, also new ones; but who grants unknown ones twice, grants them for another S3. */
    if (late ? u->late_refusals > MAX_REFUSALS
             : ++u->refusals > (err == PH_ERR_INVALID_TOKEN ? 1 : MAX_REFUSALS))
        return GIVE_UP;
    u->creds_refused = true;
    u->ask.tries = u->ask.id != 0; /* what was tried to renew them early does not count */
    /* Not before they can be used: they may live no longer than max_rate lets a part wait. */
    u->ask.at_ms = u->state == PH_STATE_SENDING ? u->pace_ms : 0;
    ph_operation op = u->state == PH_STATE_SENDING ? part_operation(u) : ph_upload_control(u);
    ph_upload_describe(&u->refusal, err, op, part_number, a->tries, reply);
    return AGAIN_NOW;
}

/* The bucket says where it is: believe it once. */
static bool is_elsewhere(const ph_upload *u, const ph_reply *reply)
{
    return reply->region[0] && !u->region_fixed && !ph_upload_is_presigned(u) &&
           !ph_str_equal(ph_str_from(reply->region), u->endpoint.region);
}

static verdict fix_region(ph_upload *u, int err, const ph_reply *reply)
{
    if (err != PH_ERR_REDIRECT || !reply || !is_elsewhere(u, reply))
        return GIVE_UP;
    ph_str region, old_region = u->grant.region;
    ph_endpoint old = u->endpoint;
    int failed = ph_str_copy(ph_str_from(reply->region), &region);
    if (failed == PH_OK) {
        u->grant.region = region;
        failed = ph_upload_locate(u);
    }
    if (failed != PH_OK) {
        ph_str_free(&region);
        u->grant.region = old_region;
        u->endpoint = old;
        return failed == PH_ERR_NOMEM ? NO_MEMORY : GIVE_UP;
    }
    ph_str_free(&old_region);
    ph_endpoint_clear(&old);
    u->region_fixed = true;
    u->save = u->save || u->kept;
    return AGAIN_NOW;
}

#define FASTER 1.1 /* by so much it must be, or one connection less does the same */

static void begin_round(ph_upload *u, uint64_t now_ms)
{
    u->round_ms = now_ms;
    u->round_bytes = u->round_parts = 0;
}

/* A part is stored: how fast does one go, and do more at the same time make it faster in all? */
static void measure(ph_upload *u, uint64_t now_ms, const ph_slot *slot)
{
    uint64_t begun_ms = slot->begun_ms, length = ph_ledger_length(&u->ledger, slot->part_number);
    /* What took longer than it may was asleep, or the clock was turned. */
    uint64_t ms = now_ms > begun_ms ? ph_least(now_ms - begun_ms, slot->limit_ms) : 1;
    double rate = (double)length / (double)ms;
    /* Or what the others had would not have been too short for it. */
    bool slower = slot->timeouts > 0;
    if (length * 2 >= u->ledger.plan.part_size)
        u->rate = u->rate > 0 && !slower ? (3 * u->rate + rate) / 4 : rate;
    uint64_t quiet_ms = now_ms + ms / 2;
    if (u->options.polite && quiet_ms > u->pace_ms)
        u->pace_ms = quiet_ms;
    if (!u->round_ms)
        begin_round(u, begun_ms);
    u->round_bytes += length;
    if (++u->round_parts < 2 * u->ceiling || u->settled || u->limit < u->ceiling)
        return;
    double round = now_ms > u->round_ms ? (double)(now_ms - u->round_ms) : 1;
    double goodput = (double)u->round_bytes / round;
    u->settled = goodput < FASTER * u->goodput;
    if (u->settled)
        u->ceiling--;
    else if (u->ceiling < u->options.concurrency)
        u->ceiling++;
    else
        u->settled = true;
    u->limit = u->ceiling;
    u->goodput = goodput;
    begin_round(u, now_ms);
}

static bool is_congestion(int err)
{
    return err == PH_ERR_SLOW_DOWN || err == PH_ERR_TIMEOUT || err == PH_ERR_REQUEST_TIMEOUT;
}

/*
 * Some servers refuse an ended token or a wrong clock without CORS headers, and a page sees no more
 * than a request that failed. New credentials come with the API's time, so they help against both;
 * where nobody gives any, nothing is lost.
 */
static void suspect_creds(ph_upload *u, uint64_t now_ms, int err, const ph_attempt *a)
{
    u->silent += err == PH_ERR_NETWORK;
    if (u->silent < SUSPICIOUS || a->tries < SUSPICIOUS || u->suspected)
        return;
    /* Another URL is for another key, and what was perhaps stored under this one would stay. */
    if (u->grant.url_expires_ms > ph_upload_true_ms(u, now_ms))
        return;
    u->suspected = true;
    /* Not before they can be used, as in refresh_creds. */
    u->renew_ms = u->pace_ms > now_ms ? ph_upload_true_ms(u, u->pace_ms) : 0;
}

/* Silence is counted anew: S3 spoke, or the API did, with new credentials or without. */
static void end_suspicion(ph_upload *u)
{
    u->suspected = false;
    u->silent = 0;
}

/* ---- Resting: a dead server is not hammered, and does not end the upload ---- */

/* Wait for the next look at the server, which `a` takes. Gives up when patience is over. */
static verdict rest(ph_upload *u, uint64_t now_ms, int err, ph_attempt *a, const ph_reply *reply)
{
    uint64_t patience = u->options.patience_ms;
    uint64_t end = patience ? u->failing_ms + patience : UINT64_MAX;
    if (now_ms + 1 >= end) /* a patience of 1 ms is none */
        return GIVE_UP;
    if (!u->rest_err)
        u->probe = 0;
    u->rest_err = err;
    uint64_t look = ph_rest_until(now_ms, u->looks++, &u->random);
    uint64_t asked = now_ms + (reply ? reply->retry_after_ms : 0);
    uint64_t at = look > asked ? look : asked;
    /* Credentials that are asked for with it may live no longer than a part has to wait. */
    u->rest_until_ms = ph_least(at > u->pace_ms ? at : u->pace_ms, end);
    a->at_ms = u->rest_until_ms;
    ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_STATE});
    return AGAIN_LATER;
}

/* Whatever hindered the upload is over, or may be: nothing waits for the end of its backoff. */
static void hurry(ph_upload *u, uint64_t now_ms)
{
    for (size_t i = 0; i < u->slot_end; i++)
        if (u->slots[i].state == PH_PART_BACKOFF)
            u->slots[i].attempt.at_ms = now_ms;
    u->control.at_ms = now_ms;
    u->ask.at_ms = now_ms;
    u->rest_until_ms = now_ms;
    u->pace_ms = 0;
    u->looks = 0;
    begin_round(u, now_ms);
    u->failing_ms = UINT64_MAX;
}

/* What waits for the next look, and for nothing else, has it now. */
static void look_now(ph_upload *u, uint64_t now_ms)
{
    for (size_t i = 0; i < u->slot_end; i++)
        if (u->slots[i].attempt.at_ms == u->rest_until_ms)
            u->slots[i].attempt.at_ms = now_ms;
    if (u->control.at_ms == u->rest_until_ms)
        u->control.at_ms = now_ms;
    u->rest_until_ms = now_ms;
}

static void end_rest(ph_upload *u, uint64_t now_ms)
{
    if (!u->rest_err)
        return;
    u->rest_err = PH_OK;
    u->budget = ph_upload_budget(u) / 2;
    hurry(u, now_ms);
    ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_STATE});
}

/* `tries` UINT32_MAX: it is tried for ever, and is no sign of a dead server. */
static verdict back_off(ph_upload *u, uint64_t now_ms, int err, uint32_t tries, ph_attempt *a,
                        const ph_reply *reply)
{
    bool aborting = u->state == PH_STATE_ABORTING, minor = aborting || tries == UINT32_MAX;
    bool unsent = err == PH_ERR_NETWORK || err == PH_ERR_TIMEOUT || err == PH_ERR_NO_CREDENTIALS;
    if (u->offline && unsent && u->state != PH_STATE_ABORTING) {
        a->tries--; /* no try is burnt on a network that is known to be away */
        return AGAIN_NOW;
    }
    if (!minor)
        u->failing_ms = ph_least(u->failing_ms, now_ms);
    suspect_creds(u, now_ms, err, a);
    if (is_congestion(err))
        u->limit = u->limit > 2 ? u->limit / 2 : 1;
    if (aborting && a->tries >= tries)
        return GIVE_UP;
    if (u->rest_err && !minor && a->id != u->probe) {
        a->at_ms = u->rest_until_ms; /* it had begun before */
        return AGAIN_LATER;
    }
    bool spent = !minor && (u->budget == 0 || --u->budget == 0);
    if (!minor && (u->rest_err || spent || a->tries % tries == 0))
        return rest(u, now_ms, err, a, reply);
    uint32_t in_a_row = (a->tries - 1) % tries + 1;
    a->at_ms = ph_retry_at(now_ms, in_a_row, reply ? reply->retry_after_ms : 0, &u->random);
    return AGAIN_LATER;
}

/* What failed may have been done all the same, unless S3 said that it did nothing. */
static bool may_be_done(int err, const ph_reply *reply)
{
    bool turned_away =
        reply && reply->status >= 300 &&
        (err == PH_ERR_SLOW_DOWN || err == PH_ERR_REQUEST_TIMEOUT || err == PH_ERR_CONFLICT);
    return ph_err_retry(err) == PH_RETRY_BACKOFF && !turned_away;
}

/* Once S3 was heard, a certificate that nobody trusts is that of a portal, or of one bad server of many. */
static enum ph_retry_class retry_of(const ph_upload *u, int err)
{
    return err == PH_ERR_TLS && u->heard ? PH_RETRY_BACKOFF : ph_err_retry(err);
}

/* Decide on a request that failed with `err`; where it is sent again, say so. */
static verdict decide(ph_upload *u, uint64_t now_ms, int err, uint32_t tries, ph_attempt *a,
                      uint32_t part_number, const ph_reply *reply)
{
    verdict v = GIVE_UP;
    enum ph_retry_class retry = retry_of(u, err);
    /* The conflict may be with our own request whose answer was lost; a PUT may always go again. */
    if (err == PH_ERR_CONFLICT && (u->single || a->maybe_done))
        retry = PH_RETRY_BACKOFF;
    switch (retry) {
    case PH_RETRY_BACKOFF:
        a->maybe_done = a->maybe_done || may_be_done(err, reply);
        v = back_off(u, now_ms, err, tries, a, reply);
        break;
    case PH_RETRY_REFRESH_CREDS:
        v = refresh_creds(u, err, a, part_number, reply);
        a->tries--;
        break;
    case PH_RETRY_FIX_CLOCK:
        a->tries--;
        v = fix_clock(u, now_ms, a, reply);
        break;
    case PH_RETRY_NEVER:
    case PH_RETRY_RESTART_PART:
        v = fix_region(u, err, reply);
        a->tries -= v == AGAIN_NOW;
        break;
    }
    if (v == NO_MEMORY)
        return v;
    a->id = 0;
    if (v == GIVE_UP)
        return v;
    u->retries++;
    ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_RETRY,
                                   .part_number = part_number,
                                   .part_state = PH_PART_BACKOFF,
                                   .err = err,
                                   .until_ms = v == AGAIN_LATER ? a->at_ms : now_ms,
                                   .message = ph_err_text(err)});
    return v;
}

/* Something worked: S3 knows these credentials and bears this load. */
static void note_success(ph_upload *u, uint64_t now_ms)
{
    u->heard = true;
    u->failing_ms = UINT64_MAX;
    u->budget += u->budget < ph_upload_budget(u);
    end_rest(u, now_ms);
    u->refusals = u->late_refusals = u->refused_serial = 0;
    u->clock_fixes = 0;
    if (u->limit < u->ceiling)
        u->limit = u->limit + 1 / u->limit < u->ceiling ? u->limit + 1 / u->limit : u->ceiling;
}

/* ---- The end --------------------------------------------------------------------------------- */

static int learn_name(ph_str name, ph_str *out)
{
    ph_str copy;
    if (!name.len || ph_str_equal(name, *out))
        return PH_OK;
    int err = ph_str_copy(name, &copy);
    if (err != PH_OK)
        return err;
    ph_str_free(out);
    *out = copy;
    return PH_OK;
}

/* How S3 calls the object that it made; what HEAD shows of it is newer than what Complete said. */
static int learn_names(ph_upload *u, const ph_reply *reply)
{
    int err = learn_name(reply->etag, &u->etag);
    return err == PH_OK ? learn_name(reply->version_id, &u->version_id) : err;
}

static void succeed(ph_upload *u, ph_verified verified)
{
    u->verified = verified;
    u->paused = false;
    u->rest_err = PH_OK;
    ph_upload_cancel(u, &u->ask);
    /* The object was there already, and nobody may know whether the parts still are. */
    bool left = u->doubt == PH_ERR_EXISTS && !u->single;
    ph_upload_enter(u, left ? PH_STATE_ABORTING : PH_STATE_DONE);
}

static int finish(ph_upload *u, const ph_reply *reply, ph_verified verified)
{
    int err = learn_names(u, reply);
    if (err == PH_OK)
        succeed(u, verified);
    return err;
}

static ph_verified weaker_proof(const ph_upload *u)
{
    if (u->options.alg == PH_ALG_NONE)
        return PH_VERIFIED_SIZE;
    return u->ledger.unconfirmed ? PH_VERIFIED_SENT : PH_VERIFIED_PARTS;
}

/* CHECKING: S3 said that it made the object, and nothing that shows it. */
static bool has_word_only(const ph_upload *u)
{
    return u->state == PH_STATE_CHECKING && u->doubt == PH_ERR_OBJECT_DIFFERS;
}

#define WORD_WARNING                                                                               \
    "S3 reported success, but its response has no checksum or ETag that confirms the object, and " \
    "the object could not be checked (HeadObject needs s3:GetObject)"

/* ... and nobody can look, or compare what there is to see: an upload does not fail by that. */
static void take_word(ph_upload *u)
{
    u->unseen = true;
    ph_upload_warn(u, WORD_WARNING);
    succeed(u, weaker_proof(u));
}

/* Is this ETag the one that S3 makes of our MD5s? Only where MD5 is the algorithm. */
static bool etag_is_md5(const ph_upload *u, ph_str etag, const ph_digest *md5, bool composite)
{
    char text[PH_ETAG_TEXT];
    if (u->options.alg != PH_ALG_MD5 || md5->len != 16)
        return false;
    ph_etag_text(md5, composite ? u->ledger.plan.part_count : 0, text);
    return ph_str_equal(ph_str_from(text), etag);
}

/* The rule has to show what this upload looks for: each algorithm has its own header. */
static void warn_hidden_etag(ph_upload *u)
{
    ph_alg alg = u->options.alg;
    bool sum = ph_alg_row(alg)->element;
    const char *words[] = {
        "the bucket's CORS rule hides the ETag; add \"ExposeHeaders\": [\"ETag\", \"",
        sum ? ph_alg_row(alg)->header : "", sum ? "\", \"" : "", "x-amz-version-id\"] to it"};
    size_t len = 0;
    if (u->warned_etag)
        return;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        ph_text_copy(u->cors_warning + len, sizeof u->cors_warning - len, ph_str_from(words[i]));
        len += strlen(words[i]);
    }
    ph_upload_warn(u, u->cors_warning);
    u->warned_etag = true;
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static uint32_t blamed_part(const ph_upload *u, const ph_slot *slot)
{
    return u->single ? 0 : slot->part_number;
}

/* A page instead of S3's words means nothing once S3 was heard: a portal or a proxy came between. */
static int err_of(const ph_upload *u, const ph_reply *reply)
{
    bool final = ph_err_retry(reply->err) == PH_RETRY_NEVER;
    bool heard = u->heard || u->upload_id.len; /* an upload id is S3's, of whatever session */
    return reply->foreign && heard && final ? PH_ERR_NOT_S3 : reply->err;
}

static bool says(const ph_reply *reply, const char *word)
{
    const char *texts[] = {reply->s3_code, reply->header, reply->message};
    size_t len = strlen(word);
    for (size_t i = 0; i < 3; i++)
        for (ph_str t = ph_str_from(texts[i]); t.len >= len; t = ph_str_skip(t, 1))
            if (ph_str_equal_nocase((ph_str){t.ptr, len}, ph_str_from(word)))
                return true;
    return false;
}

/*
 * What was sent that the server does not know, as it says, or where it names nothing, probably? R2
 * says 501 "Header 'x-amz-checksum-algorithm' with value ... not implemented", B2 400 "Unsupported
 * header", AWS names it in <Header>. A part that was taken with its checksum proves that it is known.
 */
static unsigned lack_of(const ph_upload *u, ph_operation op, int err, const ph_reply *reply)
{
    if (err != PH_ERR_REFUSED || !reply || reply->foreign || ph_upload_is_presigned(u))
        return 0;
    bool whole = op == PH_OP_PUT_OBJECT || op == PH_OP_COMPLETE;
    bool body = op == PH_OP_PUT_OBJECT || op == PH_OP_UPLOAD_PART;
    bool condition = whole && !u->options.object.overwrite && !(u->lacks & PH_LACK_IF_NONE_MATCH);
    bool checksum = (body || op == PH_OP_CREATE) && ph_alg_row(u->options.alg)->element &&
                    !u->ledger.stored && !says(reply, "mismatch");
    bool md5 = body && u->options.alg == PH_ALG_MD5 && !u->ledger.stored;
    if (condition && says(reply, "if-none-match"))
        return PH_LACK_IF_NONE_MATCH;
    if (checksum && says(reply, "checksum"))
        return PH_LACK_CHECKSUM;
    if (md5 && says(reply, "content-md5"))
        return PH_LACK_CONTENT_MD5;
    bool names_another = reply->header[0] || says(reply, "x-amz-");
    if (names_another || (reply->status != 501 && !says(reply, "NotImplemented")))
        return 0;
    return checksum ? PH_LACK_CHECKSUM : condition ? PH_LACK_IF_NONE_MATCH : 0;
}

/* S3's lifecycle or somebody gave the parts away: one new upload is worth a try. */
static bool is_worth_a_restart(const ph_upload *u, int err)
{
    return !u->single && !u->restarted && err == PH_ERR_NO_SUCH_UPLOAD;
}

/* S3 got other bytes: read them again, since memory, disk or the way there may be bad. */
static verdict restart_part(ph_upload *u, uint64_t now_ms, ph_slot *slot)
{
    if (++slot->bad_digests > MAX_BAD_DIGESTS)
        return GIVE_UP;
    slot->attempt.id = 0;
    u->retries++;
    slot->hashed = !slot->digest.len && !ph_upload_signs_payload(u);
    ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_RETRY,
                                   .part_number = blamed_part(u, slot),
                                   .part_state = PH_PART_BACKOFF,
                                   .err = PH_ERR_BAD_DIGEST,
                                   .until_ms = now_ms,
                                   .message = ph_err_text(PH_ERR_BAD_DIGEST)});
    return AGAIN_NOW;
}

/* Fail with S3's earlier word, which has the code and the ids, unless another refusal came since. */
static void quote_refusal(ph_upload *u)
{
    bool resumable = u->failure.resumable;
    if (u->refusal.err != u->failure.err)
        return;
    u->failure = u->refusal;
    u->failure.resumable = resumable;
}

/* Say in the failure what the code alone does not. */
static void explain(ph_upload *u, const char *text)
{
    ph_text_copy(u->failure.message, sizeof u->failure.message, ph_str_from(text));
}

/* An upload of an earlier session is gone: perhaps it was completed, there or in another tab. */
static void go_looking(ph_upload *u)
{
    for (uint32_t n = 1; n <= u->ledger.plan.part_count; n++)
        ph_ledger_drop(&u->ledger, n);
    u->doubt = PH_ERR_NO_SUCH_UPLOAD;
    ph_upload_cancel_parts(u, true);
    memset(u->slots, 0, sizeof u->slots);
    ph_upload_enter(u, PH_STATE_CHECKING);
}

static int part_failed(ph_upload *u, uint64_t now_ms, ph_slot *slot, int err, const ph_reply *reply)
{
    if (slot->second.id && ph_err_retry(err) == PH_RETRY_BACKOFF) {
        slot->attempt = slot->second; /* which goes on */
        slot->begun_ms = slot->second_begun_ms;
        slot->second = (ph_attempt){0};
        slot->no_second = true;
        return PH_OK;
    }
    ph_upload_cancel(u, &slot->second);
    slot->timeouts += err == PH_ERR_TIMEOUT;
    if (u->resumed && is_worth_a_restart(u, err)) {
        go_looking(u);
        return PH_OK;
    }
    if (is_worth_a_restart(u, err))
        return ph_upload_restart(u, err);
    unsigned lack = lack_of(u, part_operation(u), err, reply);
    if (lack) {
        int failed = ph_upload_do_without(u, lack);
        if (failed != PH_OK)
            return failed;
        if (slot->part_number) { /* the same digest, in another request */
            slot->attempt.id = 0;
            slot->attempt.tries--;
            slot->sent = 0;
            ph_upload_set_part(u, slot, PH_PART_READY);
        }
        u->retries++;
        return PH_OK;
    }
    uint32_t tries = slot->attempt.tries;
    verdict v =
        ph_err_retry(err) == PH_RETRY_RESTART_PART
            ? restart_part(u, now_ms, slot)
            : decide(u, now_ms, err, u->options.tries, &slot->attempt, blamed_part(u, slot), reply);
    switch (v) {
    case AGAIN_NOW: ph_upload_set_part(u, slot, slot->hashed ? PH_PART_READY : PH_PART_TODO); break;
    case AGAIN_LATER: ph_upload_set_part(u, slot, PH_PART_BACKOFF); break;
    case GIVE_UP:
        ph_upload_fail(u, err, part_operation(u), blamed_part(u, slot), tries, reply);
        if (err == PH_ERR_BAD_DIGEST)
            explain(u, "S3 received other bytes each time, although the file did not change: this "
                       "machine's memory is faulty, or something on the way modifies the data");
        break;
    case NO_MEMORY: return PH_ERR_NOMEM;
    }
    slot->sent = 0;
    return PH_OK;
}

/* Ask S3 which parts it has, and how it calls them. */
static void enter_listing(ph_upload *u)
{
    u->list_marker = 0;
    ph_buf_reset(&u->document);
    ph_upload_enter(u, PH_STATE_LISTING);
}

/* All parts are stored: what comes next. */
static void parts_done(ph_upload *u)
{
    if (u->ledger.stored < u->ledger.plan.part_count || u->state != PH_STATE_SENDING)
        return;
    if (u->ledger.without_etag) {
        warn_hidden_etag(u);
        enter_listing(u);
    } else {
        ph_upload_enter(u, PH_STATE_COMPLETING);
    }
}

static void note_whole(ph_upload *u, const ph_digest *digest)
{
    u->whole = *digest;
    ph_buf_reset(&u->whole_text);
    ph_digest_base64(&u->whole_text, digest);
}

/* Whoever presigned a PUT chose its headers: did they let the checksum go with it? */
static bool sent_checksum(const ph_upload *u, const ph_slot *slot)
{
    const char *header = ph_alg_row(u->options.alg)->header;
    if (!slot->digest.len || !ph_upload_is_presigned(u))
        return slot->digest.len > 0;
    for (size_t i = 0; i < u->grant.header_count; i++)
        if (ph_str_equal_nocase(u->grant.headers[i].name, ph_str_from(header)))
            return true;
    return false;
}

static int single_done(ph_upload *u, const ph_slot *slot, const ph_reply *reply, bool confirmed)
{
    note_whole(u, &slot->digest);
    if (u->whole_text.err)
        return u->whole_text.err;
    if (reply->err == PH_OK && !reply->etag.len && !u->etag.len) {
        warn_hidden_etag(u);
        u->unseen = !confirmed; /* a bare yes: somebody on the way may have said it */
    }
    return finish(u, reply,
                  confirmed                ? PH_VERIFIED_OBJECT
                  : sent_checksum(u, slot) ? PH_VERIFIED_SENT
                                           : PH_VERIFIED_SIZE);
}

static int part_stored(ph_upload *u, uint64_t now_ms, ph_slot *slot, const ph_reply *reply,
                       bool confirmed)
{
    int err = ph_ledger_store(&u->ledger, slot->part_number, reply->etag, &slot->digest, confirmed);
    if (err == PH_OK && u->single)
        err = single_done(u, slot, reply, confirmed);
    if (err != PH_OK)
        return err;
    note_success(u, now_ms);
    /* Perhaps it can be kept by now: a lock or a disk may only have been slow. */
    u->save = u->save || (u->unsaved && u->ledger.stored % TRY_TO_KEEP == 0);
    ph_upload_cancel(u, &slot->second);
    measure(u, now_ms, slot);
    ph_upload_set_part(u, slot, PH_PART_SENT);
    *slot = (ph_slot){0};
    parts_done(u);
    return PH_OK;
}

/* There is an object where this one was to be put. */
static int doubt_object(ph_upload *u, ph_slot *slot, const ph_reply *reply)
{
    note_whole(u, &slot->digest);
    int err = u->whole_text.err;
    if (err == PH_OK)
        err = ph_ledger_store(&u->ledger, 1, (ph_str){NULL, 0}, &slot->digest, false);
    if (err != PH_OK)
        return err;
    ph_upload_describe(&u->refusal, reply->err, PH_OP_PUT_OBJECT, 0, slot->attempt.tries, reply);
    u->doubt = reply->err;
    u->spent = slot->attempt.maybe_done;
    *slot = (ph_slot){0};
    ph_upload_enter(u, PH_STATE_CHECKING);
    return PH_OK;
}

static int part_answered(ph_upload *u, uint64_t now_ms, ph_slot *slot, const ph_event *e)
{
    ph_reply reply;
    int err = ph_reply_read(part_operation(u), u->options.alg, e, &reply);
    if (err != PH_OK)
        return err;
    ph_digest stated;
    bool states = reply.err == PH_OK && slot->digest.len && reply.checksum.len &&
                  ph_digest_parse(u->options.alg, reply.checksum, &stated) == PH_OK;
    /* Where nothing may be overwritten, a wrong object cannot be mended by sending it again. */
    if (states && !ph_digest_equal(&stated, &slot->digest))
        reply.err =
            u->single && !u->options.object.overwrite ? PH_ERR_OBJECT_DIFFERS : PH_ERR_BAD_DIGEST;
    bool confirmed = states || etag_is_md5(u, reply.etag, &slot->digest, false);
    /* A PUT that must not overwrite: is the object ours? Also browsers send a request twice. */
    bool exists = reply.err == PH_ERR_EXISTS && u->single, lost = slot->attempt.maybe_done;
    /* Where it may overwrite, what has another checksum may be stored. */
    bool sent_twice = u->grant.new_key && !(slot->bad_digests && u->options.object.overwrite);
    if (reply.err == PH_OK) {
        err = part_stored(u, now_ms, slot, &reply, confirmed);
    } else if (exists && ph_upload_is_presigned(u) && reply.s3_code[0] && (lost || sent_twice)) {
        /* S3 says so, and only this URL can write this key, and only with this checksum. */
        err = part_stored(u, now_ms, slot, &reply, false);
    } else if (exists && !ph_upload_is_presigned(u)) {
        err = doubt_object(u, slot, &reply);
    } else {
        err = part_failed(u, now_ms, slot, err_of(u, &reply), &reply);
    }
    ph_reply_clear(&reply);
    return err;
}

static void send_rest(ph_upload *u)
{
    u->next_part = 1;
    ph_upload_enter(u, PH_STATE_SENDING);
    parts_done(u);
}

/* A host may be wrong: is this the digest that was asked for? */
static bool is_digest(const ph_digest *d, ph_alg alg)
{
    return d->alg == alg && d->len == ph_alg_row(alg)->len;
}

/* VERIFYING: a part was read again. Is it what S3 has, or, for an upload that is gone, might have? */
static int part_read(ph_upload *u, ph_slot *slot, const ph_event *e)
{
    ph_alg algs[2];
    uint32_t n = slot->part_number;
    ph_alg by = ph_upload_proof(u, n, algs);
    for (int i = 0; i < 2; i++)
        if (!is_digest(&e->digest[i], algs[i]))
            return PH_ERR_BAD_ARG;
    const ph_digest *proof = &e->digest[by == algs[0] ? 0 : 1];
    if (ph_upload_is_gone(u)) {
        char etag[PH_ETAG_TEXT];
        ph_etag_text(proof, 0, etag);
        int err = ph_ledger_store(&u->ledger, n, ph_str_from(etag), &e->digest[0], true);
        if (err == PH_OK && u->unproven == 1)
            err = ph_upload_make_whole(u);
        if (err != PH_OK)
            return err;
    } else if (!ph_ledger_prove(&u->ledger, n, &e->digest[0], proof)) {
        if (!slot->bad_digests++) { /* a bit may have flipped in memory: once more */
            slot->attempt.id = 0;
            ph_upload_set_part(u, slot, PH_PART_TODO);
            return PH_OK;
        }
        ph_upload_fail(u, PH_ERR_FILE_CHANGED, PH_OP_NONE, n, 0, NULL);
        return PH_OK;
    }
    slot->attempt.id = 0;
    ph_upload_set_part(u, slot, PH_PART_SENT);
    *slot = (ph_slot){0};
    if (--u->unproven == 0 && ph_upload_is_gone(u))
        ph_upload_enter(u, PH_STATE_CHECKING);
    else if (u->unproven == 0)
        send_rest(u);
    return PH_OK;
}

static int part_hashed(ph_upload *u, ph_slot *slot, const ph_event *e)
{
    if (u->state == PH_STATE_VERIFYING)
        return part_read(u, slot, e);
    const ph_digest *d = &e->digest[0], *body = &e->digest[1];
    bool signs = ph_upload_signs_payload(u) && u->options.alg != PH_ALG_SHA256;
    if (!is_digest(d, u->options.alg) || (signs && !is_digest(body, PH_ALG_SHA256)))
        return PH_ERR_BAD_ARG;
    if ((slot->digest.len && !ph_digest_equal(d, &slot->digest)) ||
        (slot->sha256.len && !ph_digest_equal(body, &slot->sha256))) {
        /* It was read again because S3 got other bytes, and gave other bytes here too. */
        ph_upload_fail(u, PH_ERR_FILE_CHANGED, PH_OP_NONE, slot->part_number, slot->attempt.tries,
                       NULL);
        explain(u, "a part was read a second time and had other bytes: the file changed, or the "
                   "disk or this machine's memory is faulty");
        return PH_OK;
    }
    slot->digest = *d;
    slot->sha256 = *body;
    slot->hashed = true;
    slot->attempt.id = 0;
    ph_upload_set_part(u, slot, PH_PART_READY);
    return PH_OK;
}

/* ---- The requests that states stand for ----------------------------------------------------------- */

static int created(ph_upload *u, const ph_reply *reply)
{
    int err = ph_str_copy(reply->upload_id, &u->upload_id);
    if (err != PH_OK)
        return err;
    u->opaque_etags = reply->kms;
    u->save = u->options.keep;
    ph_upload_enter(u, PH_STATE_SENDING);
    return PH_OK;
}

/* The ETag of a part under KMS is none of its bytes'. */
static bool etags_are_md5(const ph_upload *u)
{
    return !u->opaque_etags &&
           !ph_str_starts(u->options.object.property[PH_PROP_SSE], PH_STR("aws:kms"));
}

/* All claims are there: compare those that can be proven; the others are sent again. */
static void verify_claims(ph_upload *u)
{
    u->unproven = 0;
    u->next_part = 1;
    for (uint32_t n = 1; n <= u->ledger.plan.part_count; n++) {
        ph_alg proof = ph_ledger_proof(&u->ledger, n);
        if (proof == PH_ALG_NONE || (!u->ledger.parts[n - 1].stated && !etags_are_md5(u)))
            ph_ledger_drop(&u->ledger, n);
        else
            u->unproven++;
    }
    if (u->unproven)
        ph_upload_enter(u, PH_STATE_VERIFYING);
    else
        send_rest(u);
}

/*
 * Go to the next page of the list. One that leads nowhere ends, and so does one that goes on behind
 * the last part: what it lacks is sent again.
 */
static bool turn_page(ph_upload *u, const ph_reply *reply)
{
    bool more = reply->truncated && reply->next_marker > u->list_marker &&
                u->list_marker < u->ledger.plan.part_count;
    if (more)
        u->list_marker = reply->next_marker;
    return more;
}

/* What an earlier session has sent. */
static int listed_claims(ph_upload *u, const ph_reply *reply)
{
    for (size_t i = 0; i < reply->listed_count; i++) {
        int err = ph_ledger_claim(&u->ledger, &reply->listed[i]);
        if (err == PH_ERR_NOMEM)
            return err;
        if (err != PH_OK) {
            ph_upload_fail(u, err, PH_OP_LIST_PARTS, reply->listed[i].part_number, 1, reply);
            return PH_OK;
        }
    }
    u->control = (ph_attempt){0};
    if (!turn_page(u, reply))
        verify_claims(u);
    return PH_OK;
}

/*
 * Complete must not overwrite, and there is an object: made by a Complete of ours whose answer nobody
 * heard (also browsers send a request twice), or by somebody else. While our parts are there, it is
 * not ours; but they say nothing of an upload of ours before this one.
 */
static void whose_object(ph_upload *u, bool perhaps_ours)
{
    if (perhaps_ours) {
        ph_upload_enter(u, PH_STATE_CHECKING);
        return;
    }
    ph_upload_fail(u, u->doubt, PH_OP_COMPLETE, 0, 0, NULL);
    quote_refusal(u);
}

/* LISTING has three reasons: parts of an earlier session, hidden ETags, or an object that is there. */
static bool lists_claims(const ph_upload *u)
{
    return u->state == PH_STATE_LISTING && u->ledger.stored < u->ledger.plan.part_count;
}

static int listed(ph_upload *u, const ph_reply *reply)
{
    if (lists_claims(u))
        return listed_claims(u, reply);
    if (u->doubt == PH_ERR_EXISTS) {
        whose_object(u, reply->listed_count == 0 || u->restarted);
        return PH_OK;
    }
    for (size_t i = 0; i < reply->listed_count; i++) {
        int err = ph_ledger_learn(&u->ledger, &reply->listed[i]);
        if (err == PH_ERR_NOMEM)
            return err;
        if (err == PH_OK)
            ph_ledger_mark(&u->ledger, &reply->listed[i]);
    }
    u->control = (ph_attempt){0};
    if (turn_page(u, reply))
        return PH_OK;
    bool refused = u->doubt == PH_ERR_INVALID_PART;
    uint32_t missing = ph_ledger_drop_unlisted(&u->ledger, refused);
    u->doubt = PH_OK;
    if (missing && !u->inquired) {
        u->inquired = true;
        u->next_part = 1;
        u->retries += missing;
        ph_upload_enter(u, PH_STATE_SENDING);
        ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_RETRY,
                                       .err = PH_ERR_INVALID_PART,
                                       .message = ph_err_text(PH_ERR_INVALID_PART)});
    } else if (missing) {
        ph_upload_fail(u, PH_ERR_INVALID_PART, PH_OP_LIST_PARTS, 0, 1, reply);
    } else {
        u->inquired = u->inquired || refused; /* it has them all: perhaps it sees so now */
        u->retries += refused;
        ph_upload_enter(u, PH_STATE_COMPLETING);
    }
    return PH_OK;
}

/* Does the server state another checksum than ours for the whole object, or the same, or none? */
typedef enum statement { STATES_NONE, STATES_OURS, STATES_OTHER } statement;

static statement compare_whole(const ph_upload *u, const ph_reply *reply)
{
    ph_str ours = ph_buf_view(&u->whole_text);
    if (etag_is_md5(u, reply->etag, &u->whole, !u->single))
        return STATES_OURS;
    if (!reply->checksum.len || !ours.len)
        return STATES_NONE;
    if (ph_str_equal(reply->checksum, ours))
        return STATES_OURS;
    /* Some servers answer with a checksum of another type than was asked for: it says nothing. */
    bool composite = ph_str_find(reply->checksum, '-') < reply->checksum.len;
    bool other_type = composite != (u->type == PH_TYPE_COMPOSITE) ||
                      (reply->type != PH_TYPE_NONE && reply->type != u->type);
    return other_type ? STATES_NONE : STATES_OTHER;
}

/* Is it the ETag that S3 makes of those that it gave our parts? */
static bool is_of_parts(const ph_upload *u, ph_str etag)
{
    char ours[PH_ETAG_TEXT];
    return !u->single && ph_ledger_etag(&u->ledger, ours) && ph_str_equal(etag, ph_str_from(ours));
}

static int completed(ph_upload *u, const ph_reply *reply)
{
    int err;
    switch (compare_whole(u, reply)) {
    case STATES_OURS: return finish(u, reply, PH_VERIFIED_OBJECT);
    case STATES_NONE:
        if (is_of_parts(u, reply->etag))
            return finish(u, reply, weaker_proof(u));
        err = learn_names(u, reply);
        if (err != PH_OK)
            return err;
        u->doubt = PH_ERR_OBJECT_DIFFERS;
        ph_upload_enter(u, PH_STATE_CHECKING);
        return PH_OK;
    case STATES_OTHER: break;
    }
    ph_upload_fail(u, PH_ERR_OBJECT_DIFFERS, PH_OP_COMPLETE, 0, u->control.tries, reply);
    return PH_OK;
}

/* After an unconfirmed 200 to Complete, HEAD shows an object of our size: what of its ETag? */
static statement compare_etag(const ph_upload *u, ph_str etag)
{
    char ours[PH_ETAG_TEXT];
    if (!etag.len)
        return STATES_NONE;
    if (u->etag.len)
        return ph_str_equal(etag, u->etag) ? STATES_OURS : STATES_OTHER;
    return etags_are_md5(u) && ph_ledger_etag(&u->ledger, ours) ? STATES_OTHER : STATES_NONE;
}

#define ABORT_WARNING                                                                      \
    "S3 did not confirm that the uploaded parts are deleted; the bucket's lifecycle rule " \
    "AbortIncompleteMultipartUpload removes them"

/* The answer to Complete or PutObject was lost, or said too little, and now S3 shows an object: is it
 * this one? */
static int checked(ph_upload *u, const ph_reply *reply)
{
    bool comparable = reply->checksum.len || reply->etag.len;
    if (u->ledger.stored < u->ledger.plan.part_count && comparable &&
        (!reply->has_size || reply->size == u->options.size)) {
        u->unproven = u->ledger.plan.part_count - u->ledger.stored;
        u->next_part = 1;
        ph_upload_enter(u, PH_STATE_VERIFYING);
        return PH_OK;
    }
    statement s = compare_whole(u, reply);
    bool sized = !reply->has_size || reply->size == u->options.size;
    bool ours = s == STATES_OURS;
    if (s == STATES_NONE)
        ours = is_of_parts(u, reply->etag);
    if (s == STATES_NONE && sized && !ours && has_word_only(u)) {
        statement named = compare_etag(u, reply->etag);
        ours = named == STATES_OURS;
        if (named == STATES_NONE) {
            take_word(u);
            return PH_OK;
        }
    }
    if (ours && sized)
        return finish(u, reply, s == STATES_OURS ? PH_VERIFIED_OBJECT : weaker_proof(u));
    /* After a lost answer of ours, it is newer than ours: that is not to be overwritten. */
    if (u->resumed && u->options.object.overwrite && is_worth_a_restart(u, u->doubt))
        return ph_upload_restart(u, u->doubt);
    ph_upload_fail(u, u->doubt, PH_OP_HEAD, 0, u->control.tries, reply);
    quote_refusal(u);
    return PH_OK;
}

/* Whose parts S3 may have kept, that can be aborted again from its snapshot. */
static void end_abort(ph_upload *u, bool kept)
{
    u->unconfirmed = kept;
    u->failure.resumable = kept && u->options.keep;
    u->save = u->save || u->unsaved;
    if (kept)
        ph_upload_warn(u, ABORT_WARNING);
    ph_upload_enter(u, u->failure.err ? PH_STATE_FAILED : PH_STATE_DONE);
}

/* A part that was in flight can arrive after Abort, and then its bytes stay until the next one. */
static void abort_again(ph_upload *u, uint64_t now_ms)
{
    u->aborted = false;
    u->control = (ph_attempt){.at_ms = ph_retry_at(now_ms, ++u->aborts, 0, &u->random)};
    if (u->aborts == ABORT_TRIES)
        end_abort(u, true);
}

/* CHECKING: whatever stood in HEAD's way may be gone. */
static void look_again(ph_upload *u)
{
    u->look = PH_LOOK_HEAD;
    u->control = (ph_attempt){0};
}

/* S3 said that it made the object, and has none, or its parts yet: some servers take a moment. */
static void miss_object(ph_upload *u, uint64_t now_ms, ph_operation op, const ph_reply *reply)
{
    if (++u->absent >= ph_least(ABSENT_LOOKS, u->options.tries)) {
        ph_upload_fail(u, PH_ERR_NOT_FOUND, op, 0, u->absent, reply);
        explain(u, op == PH_OP_HEAD ? "S3 said that it made the object, and has none of this key"
                                    : "S3 said that it made the object, and has its parts yet");
        return;
    }
    uint64_t at_ms = ph_retry_at(now_ms, u->absent, reply->retry_after_ms, &u->random);
    u->control = (ph_attempt){.at_ms = at_ms}; /* it was an answer: what failed before it is over */
    u->retries++;
    ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_RETRY,
                                   .err = PH_ERR_NOT_FOUND,
                                   .until_ms = at_ms,
                                   .message = ph_err_text(PH_ERR_NOT_FOUND)});
}

/*
 * HEAD is refused, without a word: the credentials may not read, or have ended, or the clock is wrong.
 * Others are asked for, then S3 for its words, before that is believed.
 */
static bool find_out(ph_upload *u)
{
    static const ph_look next[] = {PH_LOOK_CREDS, PH_LOOK_WORDS};
    if (u->refused == sizeof next / sizeof next[0])
        return false;
    u->control = (ph_attempt){0};
    u->list_marker = 0;
    u->look = next[u->refused++];
    if (u->look == PH_LOOK_CREDS) {
        ph_upload_cancel(u, &u->ask);
        u->ask = (ph_attempt){0};
    }
    return true;
}

static int control_succeeded(ph_upload *u, uint64_t now_ms, ph_operation op, const ph_reply *reply)
{
    note_success(u, now_ms);
    switch (op) {
    case PH_OP_CREATE: return created(u, reply);
    case PH_OP_LIST_PARTS:
        if (u->state == PH_STATE_LISTING)
            return listed(u, reply);
        if (u->state == PH_STATE_ABORTING)
            abort_again(u, now_ms);
        else if (has_word_only(u) && reply->listed_count)
            miss_object(u, now_ms, op, reply);
        else
            look_again(u);
        return PH_OK;
    case PH_OP_COMPLETE: return completed(u, reply);
    case PH_OP_HEAD: return checked(u, reply);
    case PH_OP_ABORT:
        u->aborted = true;
        u->list_marker = 0;
        u->control = (ph_attempt){0};
        return PH_OK;
    case PH_OP_LIST_UPLOADS:
    case PH_OP_NONE:
    case PH_OP_PUT_OBJECT:
    case PH_OP_UPLOAD_PART: break;
    }
    return PH_OK;
}

/*
 * The credentials may have ended while the upload was paused, and
 * are asked for once more, unless that is what it failed for.
 */
static bool is_worth_another_abort(const ph_upload *u, int err)
{
    bool creds = u->failure.err <= PH_ERR_EXPIRED_TOKEN && u->failure.err > PH_ERR_ABORTED;
    enum ph_retry_class retry = ph_err_retry(err);
    return retry == PH_RETRY_BACKOFF || retry == PH_RETRY_FIX_CLOCK ||
           (retry == PH_RETRY_REFRESH_CREDS && !creds);
}

#define LIST_WARNING                                                                           \
    "these credentials may not list the uploaded parts (s3:ListMultipartUploadParts), so all " \
    "parts are sent again"

#define HEAD_WARNING                                                                           \
    "an object with this key exists, probably this file, because the response to the request " \
    "that creates it was lost. These credentials may not read it to check (s3:GetObject)"

static void control_given_up(ph_upload *u, ph_operation op, int err, uint32_t tries,
                             const ph_reply *reply)
{
    bool refused = err == PH_ERR_ACCESS_DENIED || err == PH_ERR_REFUSED;
    /* A HEAD that is refused leaves the doubt as it was; one that may pass can be asked later. */
    bool later = u->kept && retry_of(u, err) == PH_RETRY_BACKOFF;
    if (has_word_only(u)) {
        take_word(u);
        return;
    }
    if (op == PH_OP_LIST_PARTS && u->doubt == PH_ERR_EXISTS && refused) {
        whose_object(u, true);
        return;
    }
    if (op == PH_OP_HEAD && u->spent && refused) {
        ph_upload_warn(u, HEAD_WARNING);
        ph_upload_fail(u, PH_ERR_EXISTS, PH_OP_COMPLETE, 0, tries, reply);
        quote_refusal(u);
        return;
    }
    if (lists_claims(u) && refused) {
        ph_upload_warn(u, LIST_WARNING);
        u->list_marker = 0;
        verify_claims(u);
    } else {
        ph_upload_fail(u, op == PH_OP_HEAD && !later ? u->doubt : err, op, 0, tries, reply);
        if (u->failure.err == PH_ERR_EXISTS)
            quote_refusal(u);
    }
}

/* ABORTING: that nothing is there any more is what was wanted. */
static int abort_failed(ph_upload *u, uint64_t now_ms, int err, const ph_reply *reply)
{
    bool gone = err == PH_ERR_NO_SUCH_UPLOAD || err == PH_ERR_NOT_FOUND;
    bool again = !gone && is_worth_another_abort(u, err);
    /* Gone before this session asked for it: the one before may have completed it, and not have heard so. */
    if (gone && !u->aborted && u->resumed && u->failure.err == PH_ERR_ABORTED && u->aborts == 0 &&
        u->control.tries == 1 && !u->control.maybe_done)
        ph_upload_warn_object(u);
    verdict v = again ? decide(u, now_ms, err, ABORT_TRIES, &u->control, 0, reply) : GIVE_UP;
    switch (v) {
    case AGAIN_NOW: u->control.at_ms = now_ms; break;
    case AGAIN_LATER: break;
    case GIVE_UP: end_abort(u, !gone); break;
    case NO_MEMORY: return PH_ERR_NOMEM;
    }
    return PH_OK;
}

static int control_failed(ph_upload *u, uint64_t now_ms, ph_operation op, int err,
                          const ph_reply *reply)
{
    if (u->state == PH_STATE_ABORTING)
        return abort_failed(u, now_ms, err, reply);
    ph_attempt *a = &u->control;
    uint32_t tries = a->tries;
    bool refused = err == PH_ERR_ACCESS_DENIED || err == PH_ERR_REFUSED;
    bool gone = err == PH_ERR_NO_SUCH_UPLOAD || err == PH_ERR_NOT_FOUND;
    if (op == PH_OP_HEAD && refused && reply && is_elsewhere(u, reply))
        err = PH_ERR_REDIRECT;
    else if (op == PH_OP_HEAD && refused && find_out(u))
        return PH_OK;
    if (u->look == PH_LOOK_WORDS && (refused || gone)) { /* nothing against us */
        look_again(u);
        return PH_OK;
    }
    if (lists_claims(u) && gone) {
        go_looking(u);
        return PH_OK;
    }
    /* Some proxies and browsers send a request twice: NoSuchUpload may be our own Complete's doing. */
    if (op == PH_OP_COMPLETE && gone) { /* also where a 404 has no words */
        u->doubt = PH_ERR_NO_SUCH_UPLOAD;
        ph_upload_enter(u, PH_STATE_CHECKING);
        return PH_OK;
    }
    if (op == PH_OP_LIST_PARTS && u->doubt == PH_ERR_EXISTS && gone) {
        u->doubt = PH_ERR_NO_SUCH_UPLOAD;
        u->spent = true;
        whose_object(u, true);
        return PH_OK;
    }
    if (op == PH_OP_COMPLETE &&
        (err == PH_ERR_EXISTS || (err == PH_ERR_INVALID_PART && !u->inquired))) {
        u->doubt = err;
        ph_upload_describe(&u->refusal, err, op, 0, tries, reply);
        enter_listing(u);
        return PH_OK;
    }
    unsigned lack = lack_of(u, op, err, reply);
    if (lack) {
        int failed = ph_upload_do_without(u, lack);
        if (failed != PH_OK)
            return failed;
        a->id = 0;
        a->tries--;
        u->retries++;
        return PH_OK;
    }
    /* It was completed, perhaps, before S3 said that a part is invalid. */
    if (op == PH_OP_LIST_PARTS && u->doubt == PH_ERR_INVALID_PART && err == PH_ERR_NO_SUCH_UPLOAD) {
        u->doubt = err;
        ph_upload_enter(u, PH_STATE_CHECKING);
        return PH_OK;
    }
    bool no_object = op == PH_OP_HEAD && err == PH_ERR_NOT_FOUND;
    if ((op == PH_OP_LIST_PARTS || no_object) && is_worth_a_restart(u, no_object ? u->doubt : err))
        return ph_upload_restart(u, PH_ERR_NO_SUCH_UPLOAD);
    if (no_object && has_word_only(u)) {
        miss_object(u, now_ms, op, reply);
        return PH_OK;
    }
    verdict v = decide(u, now_ms, err, u->options.tries, a, 0, reply);
    if (op == PH_OP_CREATE && a->maybe_done && v != NO_MEMORY)
        ph_upload_warn_orphan(u);
    switch (v) {
    case AGAIN_NOW: a->at_ms = now_ms; break;
    case AGAIN_LATER: break;
    case GIVE_UP: control_given_up(u, op, err, tries, reply); break;
    case NO_MEMORY: return PH_ERR_NOMEM;
    }
    return PH_OK;
}

static int control_answered(ph_upload *u, uint64_t now_ms, const ph_event *e)
{
    /* While aborting, the answer may still be that of Create, which was waited for. */
    bool late_create = u->state == PH_STATE_ABORTING && !u->upload_id.len;
    ph_operation op = late_create ? PH_OP_CREATE : ph_upload_control(u);
    ph_reply reply;
    int err = ph_reply_read(op, u->options.alg, e, &reply);
    if (err != PH_OK)
        return err;
    if (late_create) {
        err = reply.err == PH_OK ? ph_str_copy(reply.upload_id, &u->upload_id) : PH_OK;
        u->save = u->options.keep; /* where Abort is in vain */
        if (may_be_done(reply.err, &reply))
            ph_upload_warn_orphan(u);
        if (err == PH_OK)
            ph_upload_enter(u, u->upload_id.len ? PH_STATE_ABORTING : PH_STATE_FAILED);
    } else if (reply.err == PH_OK) {
        err = control_succeeded(u, now_ms, op, &reply);
    } else {
        err = control_failed(u, now_ms, op, err_of(u, &reply), &reply);
    }
    ph_reply_clear(&reply);
    return err;
}

static int control_unanswered(ph_upload *u, uint64_t now_ms, int err)
{
    if (u->state != PH_STATE_ABORTING || u->upload_id.len)
        return control_failed(u, now_ms, ph_upload_control(u), err, NULL);
    ph_upload_warn_orphan(u);
    ph_upload_enter(u, PH_STATE_FAILED); /* Create's answer was waited for in vain */
    return PH_OK;
}

/* ---- Credentials ------------------------------------------------------------------------------- */

static bool needs_creds(const ph_upload *u)
{
    return !ph_upload_has_grant(u) || u->creds_refused;
}

/*
 * No new credentials come. The present ones live on, if S3 did not refuse them, whatever the clock
 * says: when it does, it is asked again, and then the answer counts.
 */
static void ask_failed(ph_upload *u, int err, ph_str reason)
{
    bool needed = needs_creds(u);
    uint32_t tries = u->ask.tries;
    u->ask = (ph_attempt){0};
    if (!needed) {
        if (u->look == PH_LOOK_CREDS)
            find_out(u);
        else
            u->renew_ms = UINT64_MAX;
        end_suspicion(u);
        return;
    }
    if (u->state == PH_STATE_ABORTING) {
        end_abort(u, u->upload_id.len > 0);
        return;
    }
    if (has_word_only(u)) {
        take_word(u);
        return;
    }
    /* Who denies with S3's own word has no other credentials: then it is S3 that is to be quoted. */
    bool quote = u->creds_refused && err == u->refusal.err;
    ph_upload_fail(u, err, PH_OP_NONE, 0, tries, NULL);
    if (quote)
        quote_refusal(u);
    if (reason.len)
        ph_text_copy(u->failure.message, sizeof u->failure.message, reason);
}

#define OTHER_KEY_WARNING                                                                        \
    "the new URL is for another key, and the response to the request for the old one was lost: " \
    "S3 may have the object under both"

static ph_str pick_key(const ph_upload *u, const ph_grant *grant)
{
    return grant->key.len ? grant->key : u->options.target.key;
}

/* A presigned PUT goes to another key from now on: what was perhaps done under the old one is left. */
static void leave_key(ph_upload *u)
{
    bool perhaps = false;
    ph_upload_cancel_parts(u, false); /* the answer would be taken for one about the new key */
    for (size_t i = 0; i < u->slot_end; i++) {
        perhaps = perhaps || (u->slots[i].part_number && u->slots[i].attempt.maybe_done);
        u->slots[i].attempt.maybe_done = false;
    }
    if (perhaps)
        ph_upload_warn(u, OTHER_KEY_WARNING);
}

/* Later grants renew the secrets; where the object goes stays as it was. */
static void renew(ph_upload *u, ph_grant *fresh)
{
    if (fresh->url.len) {
        ph_grant old = u->grant;
        if (!ph_str_equal(pick_key(u, fresh), pick_key(u, &old)))
            leave_key(u);
        u->grant = *fresh;
        *fresh = old;
        return;
    }
    ph_creds old = u->grant.creds;
    u->grant.creds = fresh->creds;
    fresh->creds = old;
}

static int granted(ph_upload *u, uint64_t now_ms, const ph_event *e)
{
    ph_grant fresh;
    int err = ph_grant_parse(e->body, &fresh);
    if (err == PH_ERR_NOMEM)
        return err;
    bool first = u->state == PH_STATE_NEW;
    if (err == PH_OK && !first && !fresh.url.len != !u->grant.url.len)
        err = PH_ERR_BAD_CREDENTIALS; /* the upload type cannot change during an upload */
    if (err == PH_OK) {
        if (fresh.server_time_ms)
            ph_upload_set_clock(u, now_ms, fresh.server_time_ms);
        if (first)
            err = ph_upload_begin(u, &fresh);
        else
            renew(u, &fresh);
    }
    ph_grant_clear(&fresh);
    if (err == PH_ERR_NOMEM)
        return err;
    if (err != PH_OK) {
        ask_failed(u, err, (ph_str){NULL, 0});
        return PH_OK;
    }
    u->ask = (ph_attempt){0};
    if (u->look == PH_LOOK_CREDS)
        look_again(u);
    u->creds_refused = false;
    end_suspicion(u); /* these may end unseen, too */
    u->warned_sign_in = false;
    u->creds_serial++;
    /* A silence may be of the old ones, and these end before the next look. */
    if (u->rest_err == PH_ERR_NO_CREDENTIALS)
        end_rest(u, now_ms);
    else if (u->rest_err == PH_ERR_NETWORK)
        look_now(u, now_ms);
    ph_upload_plan_renewal(u, now_ms);
    return PH_OK;
}

/* `err` says what an upload waits for that nobody paused. */
static void set_paused(ph_upload *u, uint64_t now_ms, bool paused, int err)
{
    if (ph_upload_is_over(u) || u->state == PH_STATE_ABORTING)
        return;
    if (!paused && u->rest_err)
        hurry(u, now_ms);
    if (!paused)
        u->failing_ms = UINT64_MAX; /* the user's pause is no test of patience */
    if (u->paused == paused)
        return;
    u->paused = paused;
    if (paused)
        ph_upload_cancel_parts(u, true);
    ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_STATE,
                                   .err = err,
                                   .message = err ? ph_err_text(err) : NULL});
}

#define SIGN_IN_WARNING                                                                         \
    "the credentials API no longer accepts the user's token: sign in again before the current " \
    "credentials expire"

/* The user's session ended, and somebody can sign in again. What is under way waits for that. */
static void signed_out(ph_upload *u, uint64_t now_ms)
{
    bool needed = needs_creds(u);
    u->ask = (ph_attempt){0};
    if (needed) {
        set_paused(u, now_ms, true, PH_ERR_SIGN_IN);
        return;
    }
    end_suspicion(u);
    u->renew_ms =
        u->grant.creds.expires_ms ? ph_upload_true_ms(u, now_ms) + SIGN_IN_AGAIN_MS : UINT64_MAX;
    if (!u->warned_sign_in)
        ph_upload_note(u, &(ph_notice){.kind = PH_NOTICE_WARNING,
                                       .err = PH_ERR_SIGN_IN,
                                       .message = SIGN_IN_WARNING});
    u->warned_sign_in = true;
}

static void denied(ph_upload *u, uint64_t now_ms, const ph_event *e)
{
    bool away = u->offline && e->err == PH_ERR_NO_CREDENTIALS;
    if (u->look == PH_LOOK_CREDS && !needs_creds(u) && !away) {
        ask_failed(u, e->err, e->body);
        return;
    }
    bool begun = u->state != PH_STATE_NEW || u->resumed;
    if (e->err == PH_ERR_SIGN_IN && begun && !u->options.unattended &&
        u->state != PH_STATE_ABORTING && !has_word_only(u)) {
        signed_out(u, now_ms);
        return;
    }
    uint32_t tries = u->state == PH_STATE_ABORTING ? ABORT_TRIES
                     : needs_creds(u)              ? u->options.tries
                                                   : UINT32_MAX;
    if (e->err != PH_ERR_NO_CREDENTIALS ||
        decide(u, now_ms, e->err, tries, &u->ask, 0, NULL) == GIVE_UP)
        ask_failed(u, e->err, e->body);
}

/* ---- Events ------------------------------------------------------------------------------------ */

static ph_slot *slot_of(ph_upload *u, uint32_t id)
{
    for (size_t i = 0; i < u->slot_end; i++)
        if (u->slots[i].part_number &&
            (u->slots[i].attempt.id == id || (id && u->slots[i].second.id == id)))
            return &u->slots[i];
    return NULL;
}

/* The second send of a part is the one that ended. */
static void swap_attempts(ph_slot *slot)
{
    ph_attempt first = slot->attempt;
    uint64_t first_begun_ms = slot->begun_ms;
    slot->attempt = slot->second;
    slot->begun_ms = slot->second_begun_ms;
    slot->second = first;
    slot->second_begun_ms = first_begun_ms;
}

/* What an event that bears an id belongs to. */
static int take_outcome(ph_upload *u, uint64_t now_ms, const ph_event *e)
{
    ph_slot *slot = slot_of(u, e->id);
    bool control = u->control.id == e->id;
    bool answer = e->kind == PH_EVENT_RESPONSE, lost = e->kind == PH_EVENT_FAILED;
    if (slot && slot->state == PH_PART_SENDING) {
        if (slot->second.id == e->id && (answer || lost))
            swap_attempts(slot);
        if (answer)
            return part_answered(u, now_ms, slot, e);
        if (lost)
            return part_failed(u, now_ms, slot, e->err, NULL);
        if (e->kind == PH_EVENT_SENT && slot->attempt.id == e->id)
            slot->sent = ph_least(e->bytes, ph_ledger_length(&u->ledger, slot->part_number));
    } else if (slot && slot->state == PH_PART_HASHING && e->kind == PH_EVENT_HASHED) {
        return part_hashed(u, slot, e);
    } else if (control && answer) {
        return control_answered(u, now_ms, e);
    } else if (control && lost) {
        return control_unanswered(u, now_ms, e->err);
    } else if (u->file_hash.id == e->id && e->kind == PH_EVENT_HASHED) {
        if (!is_digest(&e->digest[0], u->options.alg))
            return PH_ERR_BAD_ARG;
        u->file_digest = e->digest[0];
        u->file_hash.id = 0;
    } else if (u->ask.id == e->id && e->kind == PH_EVENT_GRANTED) {
        return granted(u, now_ms, e);
    } else if (u->ask.id == e->id && e->kind == PH_EVENT_DENIED) {
        denied(u, now_ms, e);
    }
    if (e->kind == PH_EVENT_UNREADABLE && (slot || u->file_hash.id == e->id))
        ph_upload_fail(u, e->err, PH_OP_NONE, slot ? slot->part_number : 0, 0, NULL);
    return PH_OK;
}

static int report_outcome(ph_upload *u, uint64_t now_ms, const ph_event *e)
{
    bool has_err =
        e->kind == PH_EVENT_FAILED || e->kind == PH_EVENT_UNREADABLE || e->kind == PH_EVENT_DENIED;
    if (e->id == 0 || (has_err && e->err >= PH_OK))
        return PH_ERR_BAD_ARG;
    int err = take_outcome(u, now_ms, e);
    if (err == PH_OK && e->kind == PH_EVENT_RESPONSE)
        end_suspicion(u);
    if (err == PH_OK && e->kind != PH_EVENT_SENT)
        ph_upload_uncancel(u, e->id); /* it has ended by itself, whatever that led to */
    return err;
}

static void set_online(ph_upload *u, uint64_t now_ms)
{
    u->offline = false;
    hurry(u, now_ms);
}

/*
 * The host slept or was frozen. Connections do not survive that, though nobody may say so for long:
 * what is under way is sent again, uncounted. Only the answer to Create is waited for, it alone has
 * the upload's id. The clock may have moved, credentials may have ended: where they have an end, new
 * ones are asked for, and the API's time comes with them.
 */
static void wake(ph_upload *u, uint64_t now_ms)
{
    if (ph_upload_is_over(u))
        return;
    ph_upload_cancel_parts(u, false);
    bool creating =
        u->state == PH_STATE_CREATING || (u->state == PH_STATE_ABORTING && !u->upload_id.len);
    ph_attempt *asked[] = {&u->ask, creating ? &u->ask : &u->control};
    for (size_t i = 0; i < 2; i++)
        if (asked[i]->id) {
            asked[i]->maybe_done = true;
            asked[i]->tries--;
            ph_upload_cancel(u, asked[i]);
        }
    hurry(u, now_ms);
    u->clock_serial++; /* an answer that comes now has the time of before */
    if (u->grant.creds.expires_ms && u->state != PH_STATE_ABORTING)
        u->renew_ms = 0;
}

/* see parthaul.h */
int ph_upload_report(ph_upload *u, uint64_t now_ms, const ph_event *e)
{
    ph_upload_note_time(u, now_ms);
    switch (e->kind) {
    case PH_EVENT_RESPONSE:
    case PH_EVENT_FAILED:
    case PH_EVENT_SENT:
    case PH_EVENT_HASHED:
    case PH_EVENT_UNREADABLE:
    case PH_EVENT_GRANTED:
    case PH_EVENT_DENIED: return report_outcome(u, now_ms, e);
    case PH_EVENT_PAUSE: set_paused(u, now_ms, true, PH_OK); return PH_OK;
    case PH_EVENT_RESUME: set_paused(u, now_ms, false, PH_OK); return PH_OK;
    case PH_EVENT_ABORT:
        u->paused = false;
        ph_upload_fail(u, PH_ERR_ABORTED, PH_OP_NONE, 0, 0, NULL);
        return PH_OK;
    case PH_EVENT_OFFLINE: u->offline = true; return PH_OK;
    case PH_EVENT_ONLINE: set_online(u, now_ms); return PH_OK;
    case PH_EVENT_WOKE: wake(u, now_ms); return PH_OK;
    case PH_EVENT_NOT_SAVED: ph_upload_not_saved(u, e->body); return PH_OK;
    }
    return PH_ERR_BAD_ARG;
}
