/* SPDX-License-Identifier: MIT
 *
 * See limits.h. A bucket counts in thousandths of a request. Who is forgotten, since there are more
 * others than places, starts with a full bucket again.
 */
#include "limits.h"

#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "table.h"

#define PLACES 16384
#define UNIT 1000u
#define BURST_SECONDS 10u
#define BURST_MIN 10u
#define LATE_MS 60000 /* more than a request waits before it is counted */

struct api_limits {
    api_table *buckets;
    uint8_t seed[32];
};

typedef struct bucket {
    uint64_t level; /* in UNITs */
    uint64_t at_ms;
    bool used;
} bucket;

/* see limits.h */
api_limits *api_limits_new(const uint8_t seed[32])
{
    api_limits *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    memcpy(l->seed, seed, sizeof l->seed);
    l->buckets = api_table_new(PLACES, sizeof(bucket), NULL);
    if (l->buckets)
        return l;
    free(l);
    return NULL;
}

/* see limits.h */
void api_limits_free(api_limits *l)
{
    if (l)
        api_table_free(l->buckets);
    free(l);
}

static void digest_of(const api_limits *l, char kind, ph_str who, uint8_t out[PH_SHA256_LEN])
{
    uint8_t hash[PH_SHA256_LEN + 1];
    ph_sha256(who.ptr, who.len, hash);
    hash[PH_SHA256_LEN] = (uint8_t)kind;
    ph_hmac_sha256(l->seed, sizeof l->seed, hash, sizeof hash, out);
}

static void fill(bucket *b, uint64_t capacity, uint32_t per_minute, uint64_t now_ms)
{
    if (!b->used) {
        *b = (bucket){capacity, now_ms, true};
        return;
    }
    if (b->at_ms > now_ms + LATE_MS) /* the clock was put back */
        b->at_ms = now_ms;
    uint64_t passed_ms = now_ms > b->at_ms ? now_ms - b->at_ms : 0;
    if (passed_ms > 60000)
        passed_ms = 60000; /* full by then, and the product below stays small */
    uint64_t more = passed_ms * per_minute * UNIT / 60000;
    if (more == 0) /* not yet: the time that passed must not get lost */
        return;
    b->level = b->level + more < capacity ? b->level + more : capacity;
    b->at_ms = now_ms;
}

/* see limits.h */
bool api_limits_take(api_limits *l, char kind, ph_str who, uint32_t per_minute, uint64_t now_ms,
                     uint32_t *wait_seconds)
{
    *wait_seconds = 0;
    if (per_minute == 0)
        return true;
    uint64_t burst = (uint64_t)per_minute * BURST_SECONDS / 60;
    uint64_t capacity = (burst < BURST_MIN ? BURST_MIN : burst) * UNIT;
    uint8_t digest[PH_SHA256_LEN];
    digest_of(l, kind, who, digest);
    bucket *b = api_table_lock(l->buckets, digest, true);
    fill(b, capacity, per_minute, now_ms);
    bool good = b->level >= UNIT;
    if (good)
        b->level -= UNIT;
    else
        *wait_seconds = (uint32_t)((UNIT - b->level) * 60 / UNIT / per_minute) + 1;
    api_table_unlock(l->buckets);
    return good;
}
