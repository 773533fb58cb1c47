/* SPDX-License-Identifier: MIT
 *
 * See jwks.h. `mutex` is held for moments only; `fetching` by the one that asks the URL, while the
 * others go on with what is there or wait for it.
 */
#define _POSIX_C_SOURCE 200809L

#include "jwks.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/str.h"
#include "fetch.h"
#include "log.h"

#define TIMEOUT_MS 5000

struct api_jwks {
    ph_str url;
    const char *rsa;
    uint64_t max_age_ms, guard_ms;
    pthread_mutex_t mutex;
    pthread_mutex_t fetching;
    api_keyset *keys; /* the rest is under `mutex` with it */
    uint64_t fresh_until_ms;
    uint64_t tried_ms; /* when the URL was last asked; 0: never */
};

/* see jwks.h */
api_jwks *api_jwks_new(ph_str url, const char *rsa, uint32_t max_age_seconds,
                       uint32_t guard_seconds)
{
    api_jwks *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->url = url;
    j->rsa = rsa;
    j->max_age_ms = (uint64_t)max_age_seconds * 1000;
    j->guard_ms = (uint64_t)guard_seconds * 1000;
    pthread_mutex_init(&j->mutex, NULL);
    pthread_mutex_init(&j->fetching, NULL);
    return j;
}

/* see jwks.h */
void api_jwks_free(api_jwks *j)
{
    if (!j)
        return;
    api_keyset_free(j->keys);
    pthread_mutex_destroy(&j->mutex);
    pthread_mutex_destroy(&j->fetching);
    free(j);
}

/* Should the URL be asked? Under `mutex`. A clock that was put back counts as time gone by. */
static bool is_due(const api_jwks *j, bool unknown_kid, uint64_t now_ms)
{
    bool guarded = j->tried_ms != 0 && now_ms >= j->tried_ms && now_ms < j->tried_ms + j->guard_ms;
    return !guarded && (!j->keys || unknown_kid || now_ms >= j->fresh_until_ms);
}

static void log_failure(const api_jwks *j, uint64_t now_ms, const char *why)
{
    ph_buf text;
    ph_buf_init(&text, 1024);
    ph_buf_str(&text, j->url);
    ph_buf_cstr(&text, " ");
    ph_buf_cstr(&text, why);
    api_log_event(now_ms, "keys were not fetched", ph_buf_view(&text));
    ph_buf_clear(&text);
}

/* Ask the URL; what comes replaces the keys only if it is good. Under `fetching`. */
static void fetch(api_jwks *j, uint64_t now_ms)
{
    static const ph_header accept = {{"accept", 6}, {"application/json", 16}};
    api_fetch ask = {.method = "GET",
                     .url = j->url,
                     .headers = &accept,
                     .header_count = 1,
                     .timeout_ms = TIMEOUT_MS};
    api_fetched got;
    int err = api_fetch_ask(&ask, &got);
    api_keyset *keys = api_keyset_new();
    const char *wrong = !keys               ? "out of memory"
                        : err != PH_OK      ? ph_err_text(err)
                        : got.status != 200 ? "answers with another status than 200"
                                            : api_keyset_add_text(keys, ph_buf_view(&got.body),
                                                                  NULL, j->rsa, false);
    uint64_t age_ms = (uint64_t)got.max_age_seconds * 1000;
    if (age_ms > j->max_age_ms)
        age_ms = j->max_age_ms;
    if (age_ms < API_JWKS_MIN_SECONDS * 1000u)
        age_ms = API_JWKS_MIN_SECONDS * 1000u;
    ph_buf_clear(&got.body);
    if (wrong)
        log_failure(j, now_ms, wrong);

    pthread_mutex_lock(&j->mutex);
    j->tried_ms = now_ms;
    api_keyset *old = keys;
    if (!wrong) {
        old = j->keys;
        j->keys = keys;
        j->fresh_until_ms = now_ms + age_ms;
    }
    pthread_mutex_unlock(&j->mutex);
    api_keyset_free(old);
}

/* see jwks.h */
api_keyset *api_jwks_keys(api_jwks *j, bool unknown_kid, uint64_t now_ms, bool may_wait,
                          bool *would_wait)
{
    *would_wait = false;
    pthread_mutex_lock(&j->mutex);
    bool due = is_due(j, unknown_kid, now_ms);
    bool needed = !j->keys || unknown_kid;
    pthread_mutex_unlock(&j->mutex);
    if (due && !may_wait) {
        *would_wait = true;
        return NULL;
    }
    if (due && needed)
        pthread_mutex_lock(&j->fetching);
    else if (due) /* aged keys will do while another thread asks for new ones */
        due = pthread_mutex_trylock(&j->fetching) == 0;
    if (due) {
        pthread_mutex_lock(&j->mutex);
        due = is_due(j, unknown_kid, now_ms); /* somebody may have done it meanwhile */
        pthread_mutex_unlock(&j->mutex);
        if (due)
            fetch(j, now_ms);
        pthread_mutex_unlock(&j->fetching);
    }
    pthread_mutex_lock(&j->mutex);
    api_keyset *keys = api_keyset_hold(j->keys);
    pthread_mutex_unlock(&j->mutex);
    return keys;
}
