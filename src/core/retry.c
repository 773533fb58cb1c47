/* SPDX-License-Identifier: MIT
 *
 * Backoff. What may be tried again at all stands in errors.def; how often, in upload.c.
 */
#include "retry.h"

/* see retry.h; Steele, Lea, Flood: "Fast splittable pseudorandom number generators" */
uint64_t ph_random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t doubled(uint64_t base, uint32_t times, uint64_t cap)
{
    for (uint32_t i = 0; i < times && base < cap; i++)
        base *= 2;
    return base < cap ? base : cap;
}

/* see retry.h */
uint64_t ph_rest_until(uint64_t now_ms, uint32_t looks, uint64_t *random)
{
    uint64_t half = doubled(PH_REST_BASE_MS, looks, PH_REST_CAP_MS) / 2;
    return now_ms + half + 1 + ph_random_next(random) % half;
}

/* see retry.h */
uint64_t ph_retry_at(uint64_t now_ms, uint32_t tries, uint32_t retry_after_ms, uint64_t *random)
{
    uint64_t ceiling = doubled(PH_RETRY_BASE_MS, tries ? tries - 1 : 0, PH_RETRY_CAP_MS);
    uint64_t wait = 1 + ph_random_next(random) % ceiling;
    return now_ms + (wait > retry_after_ms ? wait : retry_after_ms);
}
