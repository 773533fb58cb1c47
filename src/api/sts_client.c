/* SPDX-License-Identifier: MIT
 *
 * See sts_client.h. What is asked and how it is signed is the core's. A loan is found again by the
 * SHA-256 of the whole wish; what is remembered is bounded (see table.h).
 */
#define _POSIX_C_SOURCE 200809L

#include "sts_client.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/date.h"
#include "core/enc.h"
#include "core/str.h"
#include "fetch.h"
#include "table.h"

#define REMEMBERED 4096
#define FORM "application/x-www-form-urlencoded; charset=utf-8"

/* What is remembered of a wish: the loan, or how asking for it failed. */
typedef struct entry {
    api_loan loan;
    uint64_t until_ms; /* lent again until then */
    int err;
    ph_sts_error said;
    uint64_t failure; /* the how many-th of all failures it was */
} entry;

/* A question to STS under way; it lives on the stack of who asks. */
typedef struct flight {
    uint8_t digest[PH_SHA256_LEN];
    struct flight *next;
} flight;

struct api_sts {
    const api_config *config;
    api_own *own;
    api_table *loans;
    pthread_mutex_t mutex; /* for `flights` */
    pthread_cond_t landed;
    flight *flights;
    uint64_t failures; /* so far */
    atomic_ullong asked, lent_again;
};

/* ---- Loans ----------------------------------------------------------------------------------- */

static void loan_init(api_loan *l)
{
    memset(l, 0, sizeof *l);
    ph_buf_init(&l->arn, 4096);
    ph_buf_init(&l->id, 1024);
}

/* see sts_client.h */
void api_loan_clear(api_loan *l)
{
    ph_creds_clear(&l->creds);
    ph_buf_clear(&l->arn);
    ph_buf_clear(&l->id);
    ph_wipe(&l->key, sizeof l->key);
}

static int loan_copy(const api_loan *from, api_loan *out)
{
    loan_init(out);
    int err = ph_creds_copy(&from->creds, &out->creds);
    ph_buf_str(&out->arn, ph_buf_view(&from->arn));
    ph_buf_str(&out->id, ph_buf_view(&from->id));
    out->key = from->key;
    if (err == PH_OK && (out->arn.err != PH_OK || out->id.err != PH_OK))
        err = PH_ERR_NOMEM;
    if (err != PH_OK)
        api_loan_clear(out);
    return err;
}

static void clear_entry(void *value)
{
    api_loan_clear(&((entry *)value)->loan);
}

/* see sts_client.h */
api_sts *api_sts_new(const api_config *config, api_own *own)
{
    api_sts *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->config = config;
    s->own = own;
    s->loans = api_table_new(REMEMBERED, sizeof(entry), clear_entry);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->landed, NULL);
    if (s->loans)
        return s;
    api_sts_free(s);
    return NULL;
}

/* see sts_client.h */
void api_sts_free(api_sts *s)
{
    if (!s)
        return;
    api_table_free(s->loans);
    pthread_cond_destroy(&s->landed);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

/* see sts_client.h */
void api_sts_counts(const api_sts *s, uint64_t *asked, uint64_t *lent_again)
{
    *asked = atomic_load(&s->asked);
    *lent_again = atomic_load(&s->lent_again);
}

/* ---- The request ----------------------------------------------------------------------------- */

static int make_policy(const api_config *config, const api_wish *wish, ph_buf *policy)
{
    if (wish->key.ptr)
        return ph_sts_key_policy(wish->role_arn, config->bucket, wish->key, policy);
    if (wish->prefix.ptr)
        return ph_sts_prefix_policy(wish->role_arn, config->bucket, wish->prefix, policy);
    return PH_OK;
}

static int make_body(const api_config *config, const api_wish *wish, ph_buf *body)
{
    ph_buf name, policy;
    ph_buf_init(&name, 64);
    ph_buf_init(&policy, 2048);
    ph_sts_session_name(wish->user, &name);
    int err = name.err;
    if (err == PH_OK)
        err = make_policy(config, wish, &policy);
    if (err == PH_OK) {
        ph_assume_role role = {
            .role_arn = wish->role_arn,
            .session_name = ph_buf_view(&name),
            .duration_seconds = config->session_seconds,
        };
        if (policy.len > 0)
            role.policy = ph_buf_view(&policy);
        err = ph_sts_assume_role_body(&role, body);
    }
    ph_buf_clear(&name);
    ph_buf_clear(&policy);
    return err;
}

/* Sign a POST of `body` to STS and send it. */
static int post(const api_config *config, const ph_creds *own, ph_str body, uint64_t now_ms,
                api_fetched *got)
{
    ph_url url;
    int err = ph_url_parse(config->sts_endpoint, &url);
    if (err != PH_OK)
        return err;
    uint8_t hash[PH_SHA256_LEN];
    char hex[2 * PH_SHA256_LEN];
    ph_sha256(body.ptr, body.len, hash);
    for (size_t i = 0; i < sizeof hash; i++) {
        hex[2 * i] = "0123456789abcdef"[hash[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[hash[i] & 15];
    }
    const ph_header form = {PH_STR("content-type"), PH_STR(FORM)};
    ph_sigv4 request = {
        .method = PH_STR("POST"),
        .host = url.host,
        .path = url.path,
        .headers = &form,
        .header_count = 1,
        .payload = {hex, sizeof hex},
        .region = config->region,
        .service = PH_STR("sts"),
        .time_ms = now_ms,
        .creds = own,
    };
    ph_sigv4_result signature;
    err = ph_sigv4_sign(&request, NULL, &signature);
    if (err != PH_OK)
        return err;
    ph_header headers[1 + sizeof signature.headers / sizeof signature.headers[0]];
    size_t count = 0;
    headers[count++] = form;
    for (size_t i = 0; i < signature.header_count; i++)
        headers[count++] = signature.headers[i];
    api_fetch ask = {.method = "POST",
                     .url = config->sts_endpoint,
                     .headers = headers,
                     .header_count = count,
                     .body = body};
    err = api_fetch_ask(&ask, got);
    ph_sigv4_result_clear(&signature);
    return err;
}

/* ---- The answer ------------------------------------------------------------------------------ */

static void keep_first_sentence(char *message)
{
    for (char *c = message; *c; c++)
        if (c[0] == '.' && (c[1] == ' ' || c[1] == '\0')) {
            c[0] = '\0';
            return;
        }
}

static int why_refused(int status, const ph_sts_error *said)
{
    if (strstr(said->code, "Throttl") || status == 429)
        return PH_ERR_SLOW_DOWN;
    return status >= 500 ? PH_ERR_SERVER_ERROR : PH_ERR_REFUSED;
}

static int read_answer(const api_config *config, ph_str answer, uint64_t now_ms, api_loan *out)
{
    int err = ph_sts_assume_role_answer(answer, &out->creds);
    if (err != PH_OK)
        return err;
    /* Only the old routes show it, and they do without: what is odd about it is not held against
     * credentials that are good. */
    if (ph_sts_assumed_user(answer, &out->arn, &out->id) == PH_ERR_NOMEM)
        return PH_ERR_NOMEM;
    char date[17];
    ph_date_basic(now_ms, date);
    return ph_sigv4_key_find((ph_str){date, 8}, config->bucket_at.region, PH_STR("s3"),
                             out->creds.secret_access_key, NULL, &out->key);
}

/* Ask STS and wait. */
static int ask(api_sts *s, const api_wish *wish, uint64_t now_ms, api_loan *out, ph_sts_error *said)
{
    ph_creds own;
    bool would_wait;
    int err = api_own_take(s->own, now_ms, true, &would_wait, &own);
    if (err != PH_OK)
        return err == PH_ERR_NOMEM ? err : PH_ERR_NO_CREDENTIALS;
    atomic_fetch_add(&s->asked, 1);
    ph_buf body;
    ph_buf_init(&body, 65536);
    api_fetched got;
    ph_buf_init(&got.body, 0);
    loan_init(out);
    err = make_body(s->config, wish, &body);
    if (err == PH_OK)
        err = post(s->config, &own, ph_buf_view(&body), now_ms, &got);
    if (err == PH_OK && got.status == 200) {
        err = read_answer(s->config, ph_buf_view(&got.body), now_ms, out);
    } else if (err == PH_OK) {
        ph_sts_error_read(ph_buf_view(&got.body), said);
        keep_first_sentence(said->message);
        err = why_refused(got.status, said);
    }
    if (err != PH_OK)
        api_loan_clear(out);
    ph_creds_clear(&own);
    ph_buf_clear(&body);
    ph_buf_clear(&got.body);
    return err;
}

/* ---- Once for many --------------------------------------------------------------------------- */

/* Each text behind its length, so that no two wishes look alike. */
static int digest_of(const api_wish *wish, uint8_t digest[PH_SHA256_LEN])
{
    const ph_str texts[] = {wish->role_arn, wish->user, wish->prefix, wish->key};
    ph_buf all;
    ph_buf_init(&all, 16384);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ph_buf_u64(&all, texts[i].len);
        ph_buf_char(&all, ':');
        ph_buf_str(&all, texts[i]);
    }
    if (all.err == PH_OK)
        ph_sha256(all.ptr, all.len, digest);
    int err = all.err;
    ph_buf_clear(&all);
    return err;
}

static bool lend_again(api_sts *s, const uint8_t digest[PH_SHA256_LEN], uint64_t now_ms,
                       api_loan *out)
{
    const entry *e = api_table_lock(s->loans, digest, false);
    bool good = e && now_ms < e->until_ms && loan_copy(&e->loan, out) == PH_OK;
    api_table_unlock(s->loans);
    if (good)
        atomic_fetch_add(&s->lent_again, 1);
    return good;
}

static void remember(api_sts *s, const uint8_t digest[PH_SHA256_LEN], uint64_t now_ms,
                     const api_loan *loan)
{
    api_loan copy;
    if (loan->creds.expires_ms <= now_ms || loan_copy(loan, &copy) != PH_OK)
        return;
    entry *e = api_table_lock(s->loans, digest, true);
    clear_entry(e);
    *e = (entry){.loan = copy};
    e->until_ms = now_ms + (loan->creds.expires_ms - now_ms) / 3;
    api_table_unlock(s->loans);
}

static bool is_flying(const api_sts *s, const uint8_t digest[PH_SHA256_LEN])
{
    for (const flight *f = s->flights; f; f = f->next)
        if (memcmp(f->digest, digest, PH_SHA256_LEN) == 0)
            return true;
    return false;
}

/* How the question ended that somebody else asked while we waited; PH_OK: it did not fail. */
static int failed_meanwhile(api_sts *s, const uint8_t digest[PH_SHA256_LEN], uint64_t since,
                            ph_sts_error *said)
{
    int err = PH_OK;
    const entry *e = api_table_lock(s->loans, digest, false);
    if (e && e->err != PH_OK && e->failure > since) {
        err = e->err;
        *said = e->said;
    }
    api_table_unlock(s->loans);
    return err;
}

/*
 * Wait while somebody asks the same, and have what comes of it, be it a failure. True: nobody does,
 * and it is on us now.
 */
static bool take_off(api_sts *s, flight *mine, uint64_t now_ms, api_loan *out, ph_sts_error *said,
                     int *err)
{
    pthread_mutex_lock(&s->mutex);
    uint64_t since = s->failures;
    while (is_flying(s, mine->digest))
        pthread_cond_wait(&s->landed, &s->mutex);
    *err = PH_OK;
    bool done = lend_again(s, mine->digest, now_ms, out);
    if (!done) {
        *err = failed_meanwhile(s, mine->digest, since, said);
        done = *err != PH_OK;
    }
    if (!done) {
        mine->next = s->flights;
        s->flights = mine;
    }
    pthread_mutex_unlock(&s->mutex);
    return !done;
}

static void land(api_sts *s, const flight *mine, int err, const ph_sts_error *said)
{
    pthread_mutex_lock(&s->mutex);
    if (err != PH_OK) { /* for those who wait; later ones ask again */
        entry *e = api_table_lock(s->loans, mine->digest, true);
        clear_entry(e);
        *e = (entry){.err = err, .said = *said, .failure = ++s->failures};
        api_table_unlock(s->loans);
    }
    flight **at = &s->flights;
    while (*at != mine)
        at = &(*at)->next;
    *at = mine->next;
    pthread_cond_broadcast(&s->landed);
    pthread_mutex_unlock(&s->mutex);
}

/* see sts_client.h */
int api_sts_borrow(api_sts *s, const api_wish *wish, uint64_t now_ms, bool may_wait,
                   bool *would_wait, api_loan *out, ph_sts_error *said)
{
    *said = (ph_sts_error){.code = ""};
    *would_wait = false;
    loan_init(out);
    flight mine = {.next = NULL};
    int err = digest_of(wish, mine.digest);
    if (err != PH_OK || lend_again(s, mine.digest, now_ms, out))
        return err;
    if (!may_wait) {
        *would_wait = true;
        return PH_OK;
    }
    if (!take_off(s, &mine, now_ms, out, said, &err))
        return err;
    err = ask(s, wish, now_ms, out, said);
    if (err == PH_OK)
        remember(s, mine.digest, now_ms, out);
    land(s, &mine, err, said);
    return err;
}
