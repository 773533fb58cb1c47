/* SPDX-License-Identifier: MIT
 *
 * Fuzzes the kernels: what they digest is made of the input, long enough for every fold; alignment,
 * pieces and the number of messages at once are the input's too. CRCs have to equal a bitwise one,
 * SHA-256, SHA-1 and MD5 BearSSL's of each message alone.
 */
#include "fuzz.h"

#include <bearssl_hash.h>
#include <string.h>

#include "core/crc.h"
#include "core/lanes.h"

#define LONGEST 60000u
#define MOST (PH_LANES + 2)

/* What decides, in front of the input. */
typedef struct choice {
    uint8_t alg, start, count, piece[2], len[2];
} choice;

static uint64_t bitwise(ph_alg alg, const uint8_t *p, size_t len)
{
    static const uint64_t poly[] = {UINT64_C(0x9a6c9329ac4bc9b5), 0x82f63b78, 0xedb88320};
    uint64_t ones = alg == PH_ALG_CRC64NVME ? UINT64_MAX : UINT32_MAX, crc = ones;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ poly[alg - PH_ALG_CRC64NVME] : crc >> 1;
    }
    return crc ^ ones;
}

static void check_crc(ph_alg alg, const uint8_t *p, size_t len, size_t piece)
{
    uint64_t want = bitwise(alg, p, len), fast = 0, portable = 0;
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        fast = ph_crc_update(alg, fast, p + at, n);
        portable = ph_crc_update_portable(alg, portable, p + at, n);
    }
    MUST(fast == want && portable == want);
    uint64_t first = ph_crc_update(alg, 0, p, len - len / 3);
    uint64_t second = ph_crc_update(alg, 0, p + (len - len / 3), len / 3);
    MUST(ph_crc_combine(alg, first, second, len / 3) == want);
}

/* Message i leaves out the first i bytes of what there is, so that no two are the same. */
static void check_lanes(ph_alg alg, const uint8_t *p, size_t len, size_t piece, size_t count)
{
    const br_hash_class *class = alg == PH_ALG_SHA256 ? &br_sha256_vtable
                                 : alg == PH_ALG_SHA1 ? &br_sha1_vtable
                                                      : &br_md5_vtable;
    ph_hash hash[MOST], *all[MOST];
    for (size_t i = 0; i < count; i++) {
        ph_hash_init(all[i] = &hash[i], alg);
        ph_hash_update(&hash[i], p + i, i % (piece + 1)); /* they meet at different places */
    }
    for (size_t at = 0; at < len; at += piece) {
        const void *from[MOST];
        for (size_t i = 0; i < count; i++)
            from[i] = p + i + at;
        ph_hash_update_all(all, from, count, len - at < piece ? len - at : piece);
    }
    for (size_t i = 0; i < count; i++) {
        br_hash_compat_context c;
        uint8_t want[PH_DIGEST_MAX];
        ph_digest got;
        class->init(&c.vtable);
        class->update(&c.vtable, p + i, i % (piece + 1));
        class->update(&c.vtable, p + i, len);
        class->out(&c.vtable, want);
        ph_hash_digest(&hash[i], &got);
        MUST(memcmp(got.bytes, want, got.len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    choice c;
    if (size <= sizeof c)
        return 0;
    memcpy(&c, data, sizeof c);
    data += sizeof c;
    size -= sizeof c;
    ph_alg alg = (ph_alg)(PH_ALG_CRC64NVME + c.alg % (PH_ALG_COUNT - 1));
    size_t start = c.start % 64, count = 1 + c.count % MOST;
    size_t len = (c.len[0] | (size_t)c.len[1] << 8) % LONGEST;
    size_t piece = 1 + (c.piece[0] | (size_t)c.piece[1] << 8);
    if (alg >= PH_ALG_SHA256)
        len %= 4096;
    uint8_t *p = malloc(start + len + 2 * MOST);
    if (!p)
        return 0;
    for (size_t i = 0; i < len + 2 * MOST; i++)
        p[start + i] = (uint8_t)(data[i % size] + i / size);
    if (alg < PH_ALG_SHA256)
        check_crc(alg, p + start, len, piece < 200 ? 200 : piece);
    else
        check_lanes(alg, p + start, len, piece, count);
    free(p);
    return 0;
}
