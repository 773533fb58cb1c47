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

/* see retry.h */
uint64_t ph_retry_at(uint64_t now_ms, uint32_t tries, uint32_t retry_after_ms, uint64_t *random)
{
    uint64_t ceiling = PH_RETRY_BASE_MS;
    for (uint32_t i = 1; i < tries && ceiling < PH_RETRY_CAP_MS; i++)
        ceiling *= 2;
    if (ceiling > PH_RETRY_CAP_MS)
        ceiling = PH_RETRY_CAP_MS;
    uint64_t wait = 1 + ph_random_next(random) % ceiling;
    return now_ms + (wait > retry_after_ms ? wait : retry_after_ms);
}
