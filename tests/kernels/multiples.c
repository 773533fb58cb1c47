/* SPDX-License-Identifier: MIT
 *
 * Where the numbers in src/core/crc.def come from.
 *
 *     multiples                                verifies each of them, from the polynomials alone
 *     multiples find CRC64NVME 6 1000 7800     finds sets of 6 distances between 1000 and 7800
 *
 * A set of distances is right when the sum of x^-d is 1 modulo the polynomial. To find one, the
 * powers are taken two at a time, sorted, and joined to halves whose low bits are as guessed, one
 * guess after the other (Schroeppel and Shamir's way, which needs little memory). Those of CRC-32
 * and CRC-32C take seconds, those of CRC-64/NVME some minutes until the first one comes.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc.def"

typedef struct crc {
    const char *name;
    unsigned bits;
    uint64_t poly; /* as in the catalogues: the highest power first, that of x^bits left out */
} crc;

static const crc crcs[] = {
    {"CRC64NVME", 64, UINT64_C(0xad93d23594c93659)},
    {"CRC32C", 32, 0x1edc6f41},
    {"CRC32", 32, 0x04c11db7},
};

/* ---- Polynomials, bit i standing for x^i ------------------------------------------------------- */

static uint64_t top(const crc *c)
{
    return UINT64_C(1) << (c->bits - 1);
}

static uint64_t times_x(const crc *c, uint64_t v)
{
    uint64_t mask = top(c) | (top(c) - 1);
    return ((v << 1) & mask) ^ (v & top(c) ? c->poly : 0);
}

/* Every polynomial here ends in + 1, so x divides exactly one of v and v + P. */
static uint64_t over_x(const crc *c, uint64_t v)
{
    return v & 1 ? (v ^ c->poly) >> 1 | top(c) : v >> 1;
}

static uint64_t power(const crc *c, long exponent)
{
    uint64_t v = 1;
    for (; exponent > 0; exponent--)
        v = times_x(c, v);
    for (; exponent < 0; exponent++)
        v = over_x(c, v);
    return v;
}

/* ---- Verifying ---------------------------------------------------------------------------------- */

static int passed, failed;

static void check(bool good, const char *what, const char *name)
{
    good ? passed++ : failed++;
    if (!good)
        printf("FAIL: %s of %s\n", what, name);
}

static const crc *crc_of(const char *name)
{
    for (size_t i = 0; i < sizeof crcs / sizeof crcs[0]; i++)
        if (strcmp(crcs[i].name, name) == 0)
            return &crcs[i];
    return NULL;
}

/* As the core has it: the highest bit is x^0. */
static uint64_t reflected(const crc *c, uint64_t v)
{
    uint64_t r = 0;
    for (unsigned i = 0; i < c->bits; i++)
        r |= (v >> i & 1) << (c->bits - 1 - i);
    return r;
}

/* `distance` ends with 0. x^-8d is what counts; that x^-d will do is the theorem behind it. */
static void check_distances(const crc *c, const int *distance, int window)
{
    uint64_t bits = 0, bytes = 0;
    for (int i = 0; distance[i]; i++) {
        bits ^= power(c, -distance[i]);
        bytes ^= power(c, -8L * distance[i]);
        check(distance[i] >= 256 && distance[i] <= window, "a distance", c->name);
    }
    check(bits == 1 && bytes == 1, "a sum of distances", c->name);
}

/* By n bytes, in the high bits of 64. */
static void check_move(const crc *c, const uint64_t by[2], int n)
{
    unsigned shift = 64 - c->bits;
    check(by[0] == reflected(c, power(c, 8 * n + 63)) << shift, "a move's first half", c->name);
    check(by[1] == reflected(c, power(c, 8 * n - 1)) << shift, "a move's second half", c->name);
}

static void check_all(void)
{
    const crc *c;
#define LISTED(d) d,
#define CRC(crc_name, crc_bits, crc_poly, lane, far, near, ...)                            \
    c = crc_of(#crc_name);                                                                 \
    check((int)c->bits == crc_bits && crc_poly == reflected(c, c->poly), "the polynomial", \
          #crc_name);                                                                      \
    check(lane == reflected(c, power(c, 2 * near)), "the lane", #crc_name);                \
    check_distances(c, (int[]){crc_name##_FAR(LISTED) 0}, far);                            \
    check_distances(c, (int[]){crc_name##_NEAR(LISTED) 0}, near);                          \
    check_move(c, ((uint64_t[2][2]){__VA_ARGS__})[0], 16);                                 \
    check_move(c, ((uint64_t[2][2]){__VA_ARGS__})[1], 128);
    CRC_KINDS(CRC)
}

/* ---- Finding ------------------------------------------------------------------------------------ */

#define BUCKETS (1u << 20)

typedef struct pair {
    uint64_t sum;
    int a, b;
} pair;

typedef struct half {
    uint64_t sum;
    int distance[4];
} half;

static struct {
    const crc *crc;
    int terms, low, high, bits; /* bits of the guess */
    uint64_t *power;            /* power[d] is x^-d */
    pair *pairs;                /* sorted by their low bits */
    size_t count, *begin;
    half *halves; /* one side's, ... */
    size_t halves_count, room;
    uint32_t head[BUCKETS], *next; /* ... chained by their sums; 0 ends a chain */
} s;

static uint64_t low_bits(uint64_t v)
{
    return v & ((UINT64_C(1) << s.bits) - 1);
}

static int by_low_bits(const void *x, const void *y)
{
    uint64_t a = low_bits(((const pair *)x)->sum), b = low_bits(((const pair *)y)->sum);
    return (a > b) - (a < b);
}

static void *need(void *memory)
{
    if (!memory) {
        puts("out of memory");
        exit(1);
    }
    return memory;
}

static void make_pairs(void)
{
    size_t n = (size_t)(s.high - s.low + 1), total = n * (n - 1) / 2;
    s.power = need(malloc(((size_t)s.high + 1) * sizeof *s.power));
    s.power[0] = 1;
    for (int d = 1; d <= s.high; d++)
        s.power[d] = over_x(s.crc, s.power[d - 1]);
    while (total >> (s.bits + 1) && s.bits < 26 && s.bits < (int)s.crc->bits)
        s.bits++;
    s.pairs = need(malloc(total * sizeof *s.pairs));
    for (int a = s.low; a <= s.high; a++)
        for (int b = a + 1; b <= s.high; b++)
            s.pairs[s.count++] = (pair){s.power[a] ^ s.power[b], a, b};
    qsort(s.pairs, s.count, sizeof *s.pairs, by_low_bits);
    size_t guesses = (size_t)1 << s.bits;
    s.begin = need(calloc(guesses + 1, sizeof *s.begin));
    for (size_t i = 0, at = 0; at <= guesses; at++) {
        while (i < s.count && low_bits(s.pairs[i].sum) < at)
            i++;
        s.begin[at] = i;
    }
}

static bool print_set(const half *x, const half *y);

static size_t bucket_of(uint64_t sum)
{
    return (sum * UINT64_C(0x9e3779b97f4a7c15)) >> 44;
}

/* The first side is kept, the second looked up in it. Gives how many sets were found. */
static int use_half(bool keep, half h)
{
    int found = 0;
    if (!keep) {
        for (uint32_t i = s.head[bucket_of(h.sum ^ 1)]; i; i = s.next[i])
            if (s.halves[i].sum == (h.sum ^ 1))
                found += print_set(&s.halves[i], &h);
        return found;
    }
    if (s.halves_count + 1 >= s.room) {
        s.room = s.room ? 2 * s.room : 1 << 16;
        s.halves = need(realloc(s.halves, s.room * sizeof *s.halves));
        s.next = need(realloc(s.next, s.room * sizeof *s.next));
    }
    uint32_t at = (uint32_t)++s.halves_count;
    s.halves[at] = h;
    s.next[at] = s.head[bucket_of(h.sum)];
    s.head[bucket_of(h.sum)] = at;
    return found;
}

/* The pairs whose low bits are `guess`, added to what there is. */
static int join(bool keep, uint64_t guess, uint64_t sum, int c, int d)
{
    int found = 0;
    guess = low_bits(guess ^ sum);
    for (size_t i = s.begin[guess]; i < s.begin[guess + 1]; i++)
        found += use_half(keep, (half){s.pairs[i].sum ^ sum, {s.pairs[i].a, s.pairs[i].b, c, d}});
    return found;
}

/* All sums of `terms` powers with these low bits. */
static int make_halves(bool keep, int terms, uint64_t guess)
{
    int found = 0;
    if (terms == 2)
        found += join(keep, guess, 0, 0, 0);
    for (int d = s.low; d <= s.high && terms == 1; d++)
        if (low_bits(s.power[d]) == low_bits(guess))
            found += use_half(keep, (half){s.power[d], {d, 0, 0, 0}});
    for (int d = s.low; d <= s.high && terms == 3; d++)
        found += join(keep, guess, s.power[d], d, 0);
    for (size_t i = 0; i < s.count && terms == 4; i++)
        found += join(keep, guess, s.pairs[i].sum, s.pairs[i].a, s.pairs[i].b);
    return found;
}

static int by_value(const void *x, const void *y)
{
    return *(const int *)x - *(const int *)y;
}

/* False where a distance is in both halves: it cancels out. */
static bool print_set(const half *x, const half *y)
{
    int all[8], terms = s.terms;
    memcpy(all, x->distance, sizeof x->distance);
    memcpy(all + 4, y->distance, sizeof y->distance);
    qsort(all, 8, sizeof all[0], by_value); /* those that are not used are 0, in front */
    for (int i = 8 - terms + 1; i < 8; i++)
        if (all[i] == all[i - 1])
            return false;
    for (int i = 8 - terms; i < 8; i++)
        printf("%d%c", all[i], i < 7 ? ' ' : '\n');
    fflush(stdout);
    return true;
}

static int find(const char *name, int terms, int low, int high)
{
    s.crc = crc_of(name);
    if (!s.crc || terms < 2 || terms > 8 || low < 1 || high <= low || high > 200000) {
        puts("usage: multiples find CRC TERMS(2..8) LOWEST HIGHEST");
        return 2;
    }
    s.terms = terms;
    s.low = low;
    s.high = high;
    make_pairs();
    int found = 0;
    for (uint64_t guess = 0; guess >> s.bits == 0; guess++) {
        memset(s.head, 0, sizeof s.head);
        s.halves_count = 0;
        make_halves(true, (terms + 1) / 2, guess);
        found += make_halves(false, terms / 2, guess ^ 1);
    }
    printf("%d found; each as often as it has halves\n", found);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "find") == 0)
        return find(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
    check_all();
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
