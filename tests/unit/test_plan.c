/* SPDX-License-Identifier: MIT
 *
 * Tests plan: S3's limits from both sides, and that the parts of any size add up to the file.
 */
#include "test.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define MAX UINT64_C(53687091200000) /* 10,000 x 5 GiB: 48.8 TiB */

static void test_limits(void)
{
    test_case("limits");
    CHECK_U64(PH_PART_MIN_SIZE, 5 * MIB);
    CHECK_U64(PH_PART_MAX_SIZE, 5 * GIB);
    CHECK_U64(PH_OBJECT_MAX_SIZE, MAX);
}

static void test_table(void)
{
    static const struct {
        uint64_t size;
        uint64_t part_size; /* asked for */
        int err;
        uint64_t chosen;
        uint32_t count;
    } cases[] = {
        {0, 0, PH_OK, 16 * MIB, 1},
        {1, 0, PH_OK, 16 * MIB, 1},
        {16 * MIB - 1, 0, PH_OK, 16 * MIB, 1},
        {16 * MIB, 0, PH_OK, 16 * MIB, 1},
        {16 * MIB + 1, 0, PH_OK, 16 * MIB, 2},
        {96 * MIB - 1, 0, PH_OK, 16 * MIB, 6},
        {96 * MIB, 0, PH_OK, 16 * MIB, 6},
        {96 * MIB + 1, 0, PH_OK, 16 * MIB + 64 * 1024, 6}, /* full rounds from here */
        {192 * MIB - 1, 0, PH_OK, 32 * MIB, 6},
        {192 * MIB, 0, PH_OK, 16 * MIB, 12},
        {256 * MIB, 0, PH_OK, 342 * 64 * 1024, 12},
        {2 * GIB, 0, PH_OK, 261 * 64 * 1024, 126},
        {9600 * MIB - 1, 0, PH_OK, 259 * 64 * 1024, 594},
        {9600 * MIB, 0, PH_OK, 16 * MIB, 600}, /* and no longer here */
        {9600 * MIB + 1, 0, PH_OK, 16 * MIB, 601},
        {10000 * 16 * MIB - 1, 0, PH_OK, 16 * MIB, 10000},
        {10000 * 16 * MIB, 0, PH_OK, 16 * MIB, 10000},
        {10000 * 16 * MIB + 1, 0, PH_OK, 17 * MIB, 9412},
        {10000 * 17 * MIB, 0, PH_OK, 17 * MIB, 10000},
        {10000 * 17 * MIB + 1, 0, PH_OK, 18 * MIB, 9445},
        {UINT64_C(5) << 40, 0, PH_OK, 525 * MIB, 9987}, /* S3's former limit */
        {MAX - 1, 0, PH_OK, 5 * GIB, 10000},
        {MAX, 0, PH_OK, 5 * GIB, 10000},
        {MAX + 1, 0, PH_ERR_FILE_TOO_BIG, 0, 0},
        {UINT64_MAX, 0, PH_ERR_FILE_TOO_BIG, 0, 0},

        {0, 5 * MIB, PH_OK, 5 * MIB, 1},
        {5 * MIB, 5 * MIB, PH_OK, 5 * MIB, 1},
        {5 * MIB + 1, 5 * MIB, PH_OK, 5 * MIB, 2},
        {10 * MIB, 5 * MIB, PH_OK, 5 * MIB, 2},
        {10 * MIB, 5 * MIB + 1, PH_OK, 5 * MIB + 1, 2}, /* no need for whole MiB */
        {10000 * 5 * MIB, 5 * MIB, PH_OK, 5 * MIB, 10000},
        {10000 * 5 * MIB + 1, 5 * MIB, PH_ERR_FILE_TOO_BIG, 0, 0},
        {10000 * (5 * MIB + 1), 5 * MIB + 1, PH_OK, 5 * MIB + 1, 10000},
        {1, 5 * GIB, PH_OK, 5 * GIB, 1},
        {MAX, 5 * GIB, PH_OK, 5 * GIB, 10000},
        {MAX + 1, 5 * GIB, PH_ERR_FILE_TOO_BIG, 0, 0},
        {MAX, 5 * GIB - 1, PH_ERR_FILE_TOO_BIG, 0, 0},

        {1, 1, PH_ERR_BAD_PART_SIZE, 0, 0},
        {0, 5 * MIB - 1, PH_ERR_BAD_PART_SIZE, 0, 0},
        {100 * MIB, 5 * MIB - 1, PH_ERR_BAD_PART_SIZE, 0, 0},
        {100 * MIB, 5 * GIB + 1, PH_ERR_BAD_PART_SIZE, 0, 0},
        {100 * MIB, UINT64_MAX, PH_ERR_BAD_PART_SIZE, 0, 0},
        {MAX, 5 * GIB + 1, PH_ERR_BAD_PART_SIZE, 0, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("%llu bytes in parts of %llu", (unsigned long long)cases[i].size,
                  (unsigned long long)cases[i].part_size);
        ph_plan plan = {7, 7, 7};
        CHECK_INT(ph_plan_make(cases[i].size, cases[i].part_size, &plan), cases[i].err);
        bool made = cases[i].err == PH_OK;
        CHECK_U64(plan.size, made ? cases[i].size : 7);
        CHECK_U64(plan.part_size, made ? cases[i].chosen : 7);
        CHECK_U64(plan.part_count, made ? cases[i].count : 7);
    }
}

/* Full parts and a last one of 1 byte up to a full part; only an empty file has an empty one. */
static void check_sum(const ph_plan *plan, uint64_t size)
{
    CHECK_U64(plan->size, size);
    CHECK(plan->part_count >= 1 && plan->part_count <= PH_PART_MAX_COUNT);
    CHECK(plan->part_size >= PH_PART_MIN_SIZE && plan->part_size <= PH_PART_MAX_SIZE);
    uint64_t full = (plan->part_count - 1) * plan->part_size;
    CHECK(full <= size && size - full <= plan->part_size);
    CHECK((size - full > 0) == (size > 0));
}

static void test_property(void)
{
    uint64_t state = 20130524;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t size = test_random(&state);
        size >>= test_random(&state) % 64;
        if (i % 4 == 0) /* right at where the count changes */
            size = test_random(&state) % 10001 * (i % 8 ? 16 * MIB : 23 * MIB) + i % 3 - 1;
        test_case("property: %llu bytes", (unsigned long long)size);
        ph_plan plan;
        int err = ph_plan_make(size, 0, &plan);
        CHECK_INT(err, size > MAX ? PH_ERR_FILE_TOO_BIG : PH_OK);
        if (err != PH_OK)
            continue;
        check_sum(&plan, size);
        CHECK(plan.part_size >= PH_PART_DEFAULT_SIZE);
        if (size >= 96 * MIB && size < 9600 * MIB) { /* full rounds, but for what 64 KiB make */
            uint32_t rounds = (uint32_t)(size / (96 * MIB));
            CHECK(plan.part_size % (64 * 1024) == 0 && plan.part_size <= 32 * MIB);
            CHECK(plan.part_count <= 6 * rounds && plan.part_count > 6 * rounds - 6);
        } else { /* no MiB more than is needed */
            CHECK(plan.part_size % MIB == 0);
            CHECK(plan.part_size == PH_PART_DEFAULT_SIZE ||
                  (plan.part_size - MIB) * PH_PART_MAX_COUNT < size);
        }

        uint64_t asked = PH_PART_MIN_SIZE + test_random(&state) % (64 * MIB);
        err = ph_plan_make(size, asked, &plan);
        CHECK_INT(err, size > asked * PH_PART_MAX_COUNT ? PH_ERR_FILE_TOO_BIG : PH_OK);
        if (err == PH_OK) {
            CHECK_U64(plan.part_size, asked);
            check_sum(&plan, size);
        }
    }
}

int main(void)
{
    test_limits();
    test_table();
    test_property();
    return test_end();
}
