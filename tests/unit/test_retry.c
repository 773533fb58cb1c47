/* SPDX-License-Identifier: MIT
 *
 * Tests retry: that no wait leaves its bounds, that the jitter fills them evenly, and that a seed
 * gives the same waits again.
 */
#include "test.h"

#include "core/retry.h"

#define NOW UINT64_C(1700000000000)

/* The most that may be waited after so many tries. */
static const struct {
    uint32_t tries;
    uint64_t ceiling;
} ceilings[] = {
    {1, 250},    {2, 500},     {3, 1000},      {4, 2000},           {5, 4000},   {6, 8000},
    {7, 16000},  {8, 20000},   {9, 20000},     {31, 20000},         {32, 20000}, {33, 20000},
    {64, 20000}, {100, 20000}, {65536, 20000}, {UINT32_MAX, 20000}, {0, 250},
};

static void test_bounds(void)
{
    for (size_t i = 0; i < COUNT(ceilings); i++) {
        test_case("after %u tries", (unsigned)ceilings[i].tries);
        uint64_t random = i, shortest = UINT64_MAX, longest = 0;
        for (unsigned n = 0; n < 20000; n++) {
            uint64_t wait = ph_retry_at(NOW, ceilings[i].tries, 0, &random) - NOW;
            shortest = wait < shortest ? wait : shortest;
            longest = wait > longest ? wait : longest;
        }
        CHECK(shortest >= 1 && longest <= ceilings[i].ceiling);
        /* and both ends are reached, or nearly */
        CHECK(shortest <= 1 + ceilings[i].ceiling / 1000);
        CHECK(longest >= ceilings[i].ceiling - ceilings[i].ceiling / 1000);
    }
}

/* Full jitter: each tenth of the range gets about a tenth of the waits. */
static void test_distribution(void)
{
    for (size_t i = 0; i < 9; i++) {
        test_case("distribution after %u tries", (unsigned)ceilings[i].tries);
        uint64_t random = 42 + i;
        unsigned tenths[10] = {0};
        for (unsigned n = 0; n < 100000; n++) {
            uint64_t wait = ph_retry_at(NOW, ceilings[i].tries, 0, &random) - NOW;
            tenths[(wait - 1) * 10 / ceilings[i].ceiling]++;
        }
        for (size_t k = 0; k < 10; k++)
            CHECK(tenths[k] > 9600 && tenths[k] < 10400); /* four standard deviations */
    }
}

static void test_rest(void)
{
    static const uint64_t longest[] = {5000, 10000, 20000, 40000, 60000, 60000};
    for (uint32_t looks = 0; looks < 100; looks++) {
        test_case("rest after %u looks", (unsigned)looks);
        uint64_t most = longest[looks < COUNT(longest) ? looks : COUNT(longest) - 1],
                 random = looks;
        uint64_t low = UINT64_MAX, high = 0;
        for (unsigned n = 0; n < 5000; n++) {
            uint64_t wait = ph_rest_until(NOW, looks, &random) - NOW;
            low = wait < low ? wait : low;
            high = wait > high ? wait : high;
        }
        CHECK(low > most / 2 && low < most / 2 + most / 100);
        CHECK(high <= most && high > most - most / 100);
    }
}

static void test_seed(void)
{
    test_case("seed");
    uint64_t a = 1, b = 1, c = 2;
    unsigned differ = 0;
    for (uint32_t n = 1; n <= 100; n++) {
        uint64_t first = ph_retry_at(NOW, n, 0, &a);
        CHECK_U64(ph_retry_at(NOW, n, 0, &b), first);
        differ += ph_retry_at(NOW, n, 0, &c) != first;
    }
    CHECK_U64(a, b);
    CHECK(differ > 90);
    /* One number is drawn for each wait, whatever the server asks for: a replay stays in step. */
    uint64_t with = 9, without = 9;
    ph_retry_at(NOW, 1, 60000, &with);
    ph_retry_at(NOW, 1, 0, &without);
    CHECK_U64(with, without);
}

/* Published values of splitmix64 with the seed 1234567. */
static void test_sequence(void)
{
    static const uint64_t expected[] = {UINT64_C(6457827717110365317),
                                        UINT64_C(3203168211198807973),
                                        UINT64_C(9817491932198370423),
                                        UINT64_C(4593380528125082431),
                                        UINT64_C(16408922859458223821)};
    test_case("splitmix64");
    uint64_t state = 1234567;
    for (size_t i = 0; i < COUNT(expected); i++)
        CHECK_U64(ph_random_next(&state), expected[i]);
}

static void test_retry_after(void)
{
    test_case("Retry-After");
    uint64_t random = 5;
    for (unsigned n = 0; n < 1000; n++) {
        CHECK_U64(ph_retry_at(NOW, 1, 250, &random), NOW + 250); /* the most of a first wait */
        CHECK_U64(ph_retry_at(NOW, 8, 300000, &random), NOW + 300000); /* beyond the cap */
        uint64_t wait = ph_retry_at(NOW, 3, 600, &random) - NOW;
        CHECK(wait >= 600 && wait <= 1000); /* not before, and jitter stays */
    }
    CHECK_U64(ph_retry_at(0, 1, UINT32_MAX, &random), UINT32_MAX);
}

int main(void)
{
    test_bounds();
    test_distribution();
    test_rest();
    test_seed();
    test_sequence();
    test_retry_after();
    return test_end();
}
