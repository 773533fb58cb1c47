/* SPDX-License-Identifier: MIT
 *
 * Tests crc: every way through the kernels (shifts, table, lanes, fold) against a bitwise CRC that
 * is as plain as the definition, at every length up to 4,096 and around each border between them.
 */
#include "test.h"
#include "core/crc.h"

#include <stdlib.h>
#include <string.h>

#define SIZE 140000

static const struct {
    ph_alg alg;
    const char *name;
    uint64_t poly; /* reflected */
    unsigned bits;
    uint64_t check;   /* of "123456789" */
    uint64_t zeros;   /* of 32 zero bytes */
    uint64_t residue; /* of anything followed by its CRC, low byte first */
} kinds[] = {
    {PH_ALG_CRC64NVME, "CRC64NVME", UINT64_C(0x9a6c9329ac4bc9b5), 64, UINT64_C(0xae8b14860a799888),
     UINT64_C(0xcf3473434d4ecf3b), ~UINT64_C(0xf310303b2b6f6e42)},
    {PH_ALG_CRC32C, "CRC32C", 0x82f63b78, 32, 0xe3069283, 0x8a9136aa, ~UINT32_C(0xb798b438)},
    {PH_ALG_CRC32, "CRC32", 0xedb88320, 32, 0xcbf43926, 0x190a55ad, ~UINT32_C(0xdebb20e3)},
};

typedef uint64_t update(ph_alg alg, uint64_t crc, const void *data, size_t len);

/* What this CPU uses, and what it would use without its special instructions. */
static update *const updates[] = {ph_crc_update, ph_crc_update_portable};

static uint64_t ones(size_t k)
{
    return UINT64_MAX >> (64 - kinds[k].bits);
}

static uint64_t reference(size_t k, uint64_t crc, const uint8_t *p, size_t len)
{
    crc ^= ones(k);
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ kinds[k].poly : crc >> 1;
    }
    return crc ^ ones(k);
}

static void test_known(update *crc_update, size_t k)
{
    static const uint8_t zeros[32];
    ph_alg alg = kinds[k].alg;
    test_case("%s", kinds[k].name);
    CHECK_U64(crc_update(alg, 0, "123456789", 9), kinds[k].check);
    CHECK_U64(crc_update(alg, 0, zeros, 32), kinds[k].zeros);
    CHECK_U64(crc_update(alg, 0, NULL, 0), 0);
    CHECK_U64(crc_update(alg, 42, NULL, 0), 42);
}

static void test_lengths(update *crc_update, size_t k, const uint8_t *data)
{
    ph_alg alg = kinds[k].alg;
    uint64_t *want = malloc((SIZE + 1) * sizeof *want); /* of each beginning */
    want[0] = 0;
    for (size_t i = 0; i < SIZE; i++)
        want[i + 1] = reference(k, want[i], data + i, 1);

    for (size_t len = 0; len <= 4096; len++) {
        const uint8_t *p = test_guard(data, len);
        test_case("%s of %zu bytes", kinds[k].name, len);
        CHECK_U64(crc_update(alg, 0, p, len), want[len]);
    }

    /* around whole windows, whole blocks and the length from which on inputs are folded */
    static const size_t borders[] = {4096, 6144, 8192, 16384, 24576, 32768, 40960, 65536, 131072};
    for (size_t i = 0; i < COUNT(borders); i++) {
        for (size_t off = 0; off <= 1040;
             off += off < 20 || off > 1020 || off % 256 > 250 ? 1 : 7) {
            size_t len = borders[i] + off - 520;
            const uint8_t *p = test_guard(data, len);
            test_case("%s of %zu bytes", kinds[k].name, len);
            CHECK_U64(crc_update(alg, 0, p, len), want[len]);
        }
    }

    for (size_t start = 0; start < 64; start++) {
        test_case("%s from %zu", kinds[k].name, start);
        for (size_t len = 60; len <= SIZE - 64; len = len * 3 + 1) {
            uint64_t got = crc_update(alg, want[start], data + start, len);
            CHECK_U64(got, want[start + len]);
        }
    }

    uint64_t seed = k;
    for (size_t i = 0; i < 400; i++) {
        size_t a = test_random(&seed) % SIZE, b = a + test_random(&seed) % (SIZE - a);
        test_case("%s split at %zu and %zu", kinds[k].name, a, b);
        uint64_t crc = crc_update(alg, 0, data, a);
        CHECK_U64(crc, want[a]);
        crc = crc_update(alg, crc, data + a, b - a);
        CHECK_U64(crc, want[b]);
        CHECK_U64(crc_update(alg, crc, data + b, SIZE - b), want[SIZE]);
        uint64_t second = crc_update(alg, 0, data + a, SIZE - a);
        CHECK_U64(ph_crc_combine(alg, want[a], second, SIZE - a), want[SIZE]);
    }

    test_case("%s byte by byte", kinds[k].name);
    uint64_t crc = 0;
    for (size_t i = 0; i < 4096; i++)
        crc = crc_update(alg, crc, data + i, 1);
    CHECK_U64(crc, want[4096]);

    for (size_t len = 0; len < 40000; len = len * 2 + 1) {
        test_case("%s's residue after %zu bytes", kinds[k].name, len);
        uint8_t tail[8];
        for (size_t i = 0; i < 8; i++)
            tail[i] = (uint8_t)(want[len] >> (8 * i));
        CHECK_U64(crc_update(alg, want[len], tail, kinds[k].bits / 8), kinds[k].residue);
    }
    free(want);
}

/* A single bit, at every place of a long input that could be left out or counted twice. */
static void test_single_bits(update *crc_update, size_t k)
{
    enum { LEN = 50000 };
    uint8_t *data = calloc(1, LEN);
    static const uint8_t bit[1] = {0x10};
    uint64_t zeros = crc_update(kinds[k].alg, 0, data, LEN);
    for (size_t at = 0; at < LEN; at += at < 300 || at > LEN - 300 ? 1 : 97) {
        test_case("%s of one bit at %zu", kinds[k].name, at);
        data[at] = bit[0];
        uint64_t head = ph_crc_combine(kinds[k].alg, crc_update(kinds[k].alg, 0, data, at),
                                       reference(k, 0, bit, 1), 1);
        uint64_t tail = crc_update(kinds[k].alg, 0, data + at + 1, LEN - at - 1);
        uint64_t got = crc_update(kinds[k].alg, 0, data, LEN);
        CHECK_U64(got, ph_crc_combine(kinds[k].alg, head, tail, LEN - at - 1));
        CHECK(got != zeros);
        data[at] = 0;
    }
    free(data);
}

static void test_combine(size_t k)
{
    ph_alg alg = kinds[k].alg;
    test_case("%s combined", kinds[k].name);
    uint64_t a = ph_crc_update(alg, 0, "12345", 5), b = ph_crc_update(alg, 0, "6789", 4);
    CHECK_U64(ph_crc_combine(alg, a, b, 4), kinds[k].check);
    CHECK_U64(ph_crc_combine(alg, a, 0, 0), a);
    CHECK_U64(ph_crc_combine(alg, 0, a, 5), a);

    /* (a, b), c and a, (b, c) with lengths that no buffer has */
    static const uint64_t lengths[] = {1, 255, UINT64_C(5) << 30, UINT64_C(53687091200000),
                                       (UINT64_C(1) << 63) - 1};
    uint64_t seed = 7;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        for (size_t j = 0; j < COUNT(lengths); j++) {
            uint64_t x = test_random(&seed) & ones(k), y = test_random(&seed) & ones(k),
                     z = test_random(&seed) & ones(k);
            uint64_t left =
                ph_crc_combine(alg, ph_crc_combine(alg, x, y, lengths[i]), z, lengths[j]);
            uint64_t right = ph_crc_combine(alg, x, ph_crc_combine(alg, y, z, lengths[j]),
                                            lengths[i] + lengths[j]);
            CHECK_U64(left, right);
            CHECK((left & ~ones(k)) == 0);
        }
    }
}

int main(void)
{
    uint8_t *data = malloc(SIZE);
    uint64_t seed = 42;
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)test_random(&seed);
    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (size_t i = 0; i < COUNT(updates); i++) {
            test_known(updates[i], k);
            test_lengths(updates[i], k, data);
            test_single_bits(updates[i], k);
        }
        test_combine(k);
    }
    free(data);
    return test_end();
}
