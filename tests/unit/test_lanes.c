/* SPDX-License-Identifier: MIT
 *
 * Tests lanes, and how crypto and checksum feed them: SHA-256, SHA-1 and MD5 of one to nine messages
 * at once against BearSSL's of each alone; every length up to 4,096, every alignment, digests that
 * stand in the middle of a block when they meet.
 */
#include "test.h"
#include "core/checksum.h"
#include "core/lanes.h"

#include <bearssl_hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH 4096
#define MESSAGES (PH_LANES + 1)

static const struct {
    ph_alg alg;
    const br_hash_class *class;
    size_t words; /* of the chaining value */
} algs[] = {
    {PH_ALG_SHA256, &br_sha256_vtable, 8},
    {PH_ALG_SHA1, &br_sha1_vtable, 5},
    {PH_ALG_MD5, &br_md5_vtable, 4},
};

static const char *const ways[PH_LANES_WAYS] = {"vectors", "AVX2", "SHA"};

static uint8_t *data;

static br_hash_compat_context reference_of(size_t alg, const uint8_t *from, size_t len)
{
    br_hash_compat_context c;
    algs[alg].class->init(&c.vtable);
    algs[alg].class->update(&c.vtable, from, len);
    return c;
}

static void chaining_value(size_t alg, const uint8_t *from, size_t blocks, uint32_t out[8])
{
    br_hash_compat_context c = reference_of(alg, from, 64 * blocks);
    uint8_t bytes[64];
    uint64_t count = algs[alg].class->state(&c.vtable, bytes);
    CHECK_U64(count, 64 * blocks);
    for (size_t i = 0; i < algs[alg].words; i++) {
        const uint8_t *b = bytes + 4 * i;
        out[i] = algs[alg].alg == PH_ALG_MD5
                     ? b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24
                     : b[3] | (uint32_t)b[2] << 8 | (uint32_t)b[1] << 16 | (uint32_t)b[0] << 24;
    }
}

/* Each way, for each number of messages and blocks, each message from another alignment. */
static void test_kernels(void)
{
    unsigned used[PH_LANES_WAYS] = {0};
    for (size_t way = 0; way < COUNT(ways); way++)
        for (size_t alg = 0; alg < COUNT(algs); alg++)
            for (size_t blocks = 1; blocks <= LENGTH / 64; blocks += blocks < 4 ? 1 : 15)
                for (size_t start = 0; start < 64; start++) {
                    size_t count = 1 + (start + blocks) % PH_LANES;
                    uint32_t got[PH_LANES][8], want[8], *value[PH_LANES];
                    const uint8_t *from[PH_LANES];
                    test_case("%s, %s of %zu x %zu blocks from %zu", ways[way],
                              ph_alg_name(algs[alg].alg), count, blocks, start);
                    for (size_t i = 0; i < count; i++) {
                        from[i] = data + i * 2 * LENGTH + (start + 9 * i) % 64;
                        value[i] = got[i];
                        chaining_value(alg, from[i], 0, got[i]);
                    }
                    if (!ph_lanes_digest_by((ph_lanes_way)way, algs[alg].alg, value, from, count,
                                            blocks))
                        continue;
                    used[way]++;
                    for (size_t i = 0; i < count; i++) {
                        chaining_value(alg, from[i], blocks, want);
                        CHECK_MEM(got[i], want, 4 * algs[alg].words);
                    }
                }
    for (size_t way = 0; way < COUNT(ways); way++)
        if (!used[way])
            printf("SKIP: this CPU has no %s\n", ways[way]);
    test_case("lanes are used");
    CHECK(used[PH_LANES_VECTORS] > 1000);
}

static void check_digest(size_t alg, const ph_hash *h, const uint8_t *from)
{
    br_hash_compat_context c = reference_of(alg, from, (size_t)h->length);
    uint8_t want[32];
    ph_digest d;
    algs[alg].class->out(&c.vtable, want);
    ph_hash_digest(h, &d);
    CHECK_U64(d.len, ph_alg_row(algs[alg].alg)->len);
    CHECK_MEM(d.bytes, want, d.len);
}

/* Digests at different places of their blocks go on together, by every length. */
static void test_lengths(size_t alg)
{
    uint64_t seed = 5;
    for (size_t len = 0; len <= LENGTH; len++) {
        ph_hash hash[MESSAGES], *all[MESSAGES];
        const void *from[MESSAGES];
        size_t count = 1 + len % MESSAGES;
        test_case("%s of %zu x %zu bytes", ph_alg_name(algs[alg].alg), count, len);
        for (size_t i = 0; i < count; i++) {
            size_t before = len % 3 == 0 ? 0 : test_random(&seed) % 200;
            const uint8_t *start = data + i * 2 * LENGTH + test_random(&seed) % 64;
            ph_hash_init(&hash[i], algs[alg].alg);
            ph_hash_update(&hash[i], start, before);
            all[i] = &hash[i];
            from[i] = start + before;
        }
        ph_hash_update_all(all, from, count, len);
        for (size_t i = 0; i < count; i++)
            check_digest(alg, &hash[i], (const uint8_t *)from[i] + len - hash[i].length);
    }
}

/* One input in ever other pieces, in company that comes and goes. */
static void test_splits(size_t alg)
{
    uint64_t seed = 6;
    for (size_t run = 0; run < 300; run++) {
        ph_hash hash[MESSAGES];
        const uint8_t *start[MESSAGES];
        test_case("%s in pieces, %zu", ph_alg_name(algs[alg].alg), run);
        for (size_t i = 0; i < MESSAGES; i++) {
            ph_hash_init(&hash[i], algs[alg].alg);
            start[i] = data + i * 2 * LENGTH + test_random(&seed) % 64;
        }
        for (size_t piece = 0; piece < 12; piece++) {
            ph_hash *all[MESSAGES];
            const void *from[MESSAGES];
            size_t n = 0, len = test_random(&seed) % (run % 2 ? 65 : 340);
            uint64_t who = test_random(&seed);
            for (size_t i = 0; i < MESSAGES; i++) {
                if (who >> i & 1)
                    continue;
                all[n] = &hash[i];
                from[n++] = start[i] + hash[i].length;
            }
            ph_hash_update_all(all, from, n, len);
        }
        for (size_t i = 0; i < MESSAGES; i++)
            check_digest(alg, &hash[i], start[i]);
    }
}

/* All algorithms at once: each digest gets its own. */
static void test_mixed(void)
{
    ph_hash hash[3 * PH_ALG_COUNT], *all[3 * PH_ALG_COUNT];
    const void *from[3 * PH_ALG_COUNT];
    for (size_t i = 0; i < COUNT(hash); i++) {
        ph_hash_init(&hash[i], (ph_alg)(i % PH_ALG_COUNT));
        all[i] = &hash[i];
        from[i] = data + 77 * i;
    }
    ph_hash_update_all(all, from, COUNT(hash), 1000);
    for (size_t i = 0; i < COUNT(hash); i++) {
        ph_hash alone;
        ph_digest got, want;
        test_case("%s among all", ph_alg_name(hash[i].alg));
        ph_hash_init(&alone, hash[i].alg);
        ph_hash_update(&alone, from[i], 1000);
        ph_hash_digest(&alone, &want);
        ph_hash_digest(&hash[i], &got);
        CHECK(ph_digest_equal(&got, &want));
    }
}

int main(void)
{
    size_t size = MESSAGES * 2 * LENGTH + 64;
    uint64_t seed = 4;
    data = malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)test_random(&seed);
    test_kernels();
    for (size_t alg = 0; alg < COUNT(algs); alg++) {
        test_lengths(alg);
        test_splits(alg);
    }
    test_mixed();
    free(data);
    return test_end();
}
