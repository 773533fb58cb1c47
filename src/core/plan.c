/* SPDX-License-Identifier: MIT
 *
 * How a file is cut into parts: pure arithmetic in 64 bits. Limits: "Amazon S3 multipart upload
 * limits" of the S3 user guide.
 */
#include "../parthaul.h"

#define MIB (UINT64_C(1) << 20)
#define STEP (UINT64_C(64) << 10)
#define ROUNDS 100 /* from here on a last round that is half empty costs half a per cent */

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

/*
 * A few parts more or less than full rounds of all connections leave most of them idle at the end:
 * 16 parts by 6 connections take as long as 18. Where that matters, cut for full rounds.
 */
static uint64_t in_full_rounds(uint64_t size, uint64_t part_size)
{
    uint64_t rounds = size / (part_size * PH_CONCURRENCY_DEFAULT);
    if (rounds == 0 || rounds >= ROUNDS)
        return part_size;
    return divide_up(divide_up(size, rounds * PH_CONCURRENCY_DEFAULT), STEP) * STEP;
}

/* see parthaul.h */
int ph_plan_make(uint64_t size, uint64_t part_size, ph_plan *out)
{
    if (size > PH_OBJECT_MAX_SIZE)
        return PH_ERR_FILE_TOO_BIG;
    if (part_size == 0) {
        uint64_t needed = divide_up(divide_up(size, PH_PART_MAX_COUNT), MIB) * MIB;
        part_size = needed > PH_PART_DEFAULT_SIZE ? needed : PH_PART_DEFAULT_SIZE;
        part_size = in_full_rounds(size, part_size);
    }
    if (part_size < PH_PART_MIN_SIZE || part_size > PH_PART_MAX_SIZE)
        return PH_ERR_BAD_PART_SIZE;
    uint64_t count = size == 0 ? 1 : divide_up(size, part_size);
    if (count > PH_PART_MAX_COUNT)
        return PH_ERR_FILE_TOO_BIG;
    *out = (ph_plan){.size = size, .part_size = part_size, .part_count = (uint32_t)count};
    return PH_OK;
}
