/* SPDX-License-Identifier: MIT
 *
 * The CRCs are made the plain way: a table for bytes, and for a run of n zeros a multiplication by
 * x^(8n). Powers that were needed are remembered, since the parts of a file are all of one size.
 */
#include "bytes.h"

#include <string.h>

#include "core/retry.h"

#define MARK 16u

typedef struct crc_kind {
    uint64_t poly; /* reflected */
    uint64_t ones;
    size_t len;
} crc_kind;

static const crc_kind kinds[] = {
    [PH_ALG_CRC64NVME] = {UINT64_C(0x9a6c9329ac4bc9b5), UINT64_MAX, 8},
    [PH_ALG_CRC32C] = {0x82f63b78, 0xffffffff, 4},
    [PH_ALG_CRC32] = {0xedb88320, 0xffffffff, 4},
};

static bool is_crc(ph_alg alg)
{
    return alg == PH_ALG_CRC64NVME || alg == PH_ALG_CRC32C || alg == PH_ALG_CRC32;
}

static uint64_t highest(const crc_kind *k)
{
    return k->ones ^ (k->ones >> 1);
}

static uint64_t multiply(const crc_kind *k, uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = highest(k); bit; bit >>= 1) {
        product ^= b & (0 - (uint64_t)((a & bit) != 0));
        b = (b >> 1) ^ (k->poly & (0 - (b & 1)));
    }
    return product;
}

/* x^(8n) */
static uint64_t power(const crc_kind *k, uint64_t n)
{
    static struct {
        const crc_kind *kind;
        uint64_t n, power;
    } known[64];
    size_t at = (size_t)((n * UINT64_C(0x9e3779b97f4a7c15)) >> 58);
    if (known[at].kind == k && known[at].n == n)
        return known[at].power;
    uint64_t result = highest(k), square = highest(k) >> 8;
    for (uint64_t left = n; left; left >>= 1) {
        if (left & 1)
            result = multiply(k, result, square);
        square = multiply(k, square, square);
    }
    known[at].kind = k;
    known[at].n = n;
    known[at].power = result;
    return result;
}

static uint64_t add_byte(const crc_kind *k, uint64_t crc, uint8_t byte)
{
    static uint64_t table[PH_ALG_COUNT][256];
    uint64_t *t = table[k - kinds];
    for (unsigned i = 0; !t[255] && i < 256; i++) {
        uint64_t v = i;
        for (int bit = 0; bit < 8; bit++)
            v = (v >> 1) ^ (k->poly & (0 - (v & 1)));
        t[i] = v;
    }
    return t[(crc ^ byte) & 0xff] ^ (crc >> 8);
}

static uint64_t get(const ph_digest *d)
{
    uint64_t v = 0;
    for (size_t i = 0; i < d->len; i++)
        v = v << 8 | d->bytes[i];
    return v;
}

static void put(ph_digest *d, uint64_t v)
{
    for (size_t i = d->len; i > 0; v >>= 8)
        d->bytes[--i] = (uint8_t)v;
}

/* see bytes.h */
void sim_append(ph_digest *a, const ph_digest *b, uint64_t b_len)
{
    const crc_kind *k = &kinds[a->alg];
    put(a, multiply(k, get(a), power(k, b_len)) ^ get(b));
}

/* ---- What the file holds ------------------------------------------------------------------------ */

/* The last version up to `version` that changed the cell. */
static uint32_t version_of(const sim_file *f, uint32_t version, uint64_t cell)
{
    while (version > 0 && (cell < f->first[version] || cell > f->last[version]))
        version--;
    return version;
}

static void mark_of(const sim_file *f, uint32_t version, uint64_t cell, uint8_t out[MARK])
{
    uint64_t state = f->seed ^ (cell << 8) ^ version_of(f, version, cell);
    for (size_t i = 0; i < MARK; i += 8) {
        uint64_t v = ph_random_next(&state);
        memcpy(out + i, &v, 8);
    }
}

/* The part of a cell's mark that lies in the run; its length, 0 for none. */
static size_t piece(const sim_file *f, const sim_bytes *b, uint64_t cell, uint64_t *at,
                    uint8_t out[MARK])
{
    uint64_t from = cell * f->cell, to = from + MARK, end = b->offset + b->length;
    uint64_t first = from > b->offset ? from : b->offset, last = to < end ? to : end;
    if (first >= last)
        return 0;
    uint8_t mark[MARK];
    mark_of(f, b->version, cell, mark);
    memcpy(out, mark + (first - from), (size_t)(last - first));
    *at = first - b->offset;
    return (size_t)(last - first);
}

/* see bytes.h */
bool sim_can_flip(const sim_file *f, const sim_bytes *b)
{
    uint64_t at;
    uint8_t bytes[MARK];
    for (uint64_t c = b->offset / f->cell; c * f->cell < b->offset + b->length; c++)
        if (piece(f, b, c, &at, bytes))
            return true;
    return false;
}

/* see bytes.h */
bool sim_same(const sim_file *f, const sim_bytes *a, const sim_bytes *b)
{
    if (!a->length && !b->length)
        return true; /* nothing is like nothing, whoever wrote it */
    if (a->offset != b->offset || a->length != b->length || a->flipped != b->flipped)
        return false;
    for (uint64_t c = a->offset / f->cell; c * f->cell < a->offset + a->length; c++) {
        uint64_t at;
        uint8_t one[MARK], two[MARK];
        size_t n = piece(f, a, c, &at, one);
        if (n != piece(f, b, c, &at, two) || memcmp(one, two, n) != 0)
            return false;
    }
    return true;
}

static uint64_t crc_of(const sim_file *f, const sim_bytes *b, const crc_kind *k)
{
    uint64_t crc = k->ones, done = 0, at;
    uint8_t flip = b->flipped;
    uint8_t bytes[MARK];
    for (uint64_t c = b->offset / f->cell; c * f->cell < b->offset + b->length; c++) {
        size_t n = piece(f, b, c, &at, bytes);
        if (!n)
            continue;
        bytes[0] ^= flip;
        flip = 0;
        if (at > done)
            crc = multiply(k, crc, power(k, at - done));
        for (size_t i = 0; i < n; i++)
            crc = add_byte(k, crc, bytes[i]);
        done = at + n;
    }
    if (b->length > done)
        crc = multiply(k, crc, power(k, b->length - done));
    return crc ^ k->ones;
}

static uint64_t description_of(const sim_file *f, const sim_bytes *b)
{
    uint64_t state = b->length ? b->length ^ (b->offset << 24) ^ b->flipped : 0, at;
    for (uint64_t c = b->offset / f->cell; c * f->cell < b->offset + b->length; c++) {
        uint8_t bytes[MARK];
        size_t n = piece(f, b, c, &at, bytes);
        if (!n)
            continue;
        uint64_t v = 0;
        if (!n)
            continue;
        memcpy(&v, bytes, n < 8 ? n : 8);
        state = (ph_random_next(&state) ^ v) + at + n;
    }
    return state;
}

/* see bytes.h */
void sim_digest(const sim_file *f, const sim_bytes *b, ph_alg alg, ph_digest *out)
{
    static const size_t lengths[PH_ALG_COUNT] = {
        [PH_ALG_SHA256] = 32, [PH_ALG_SHA1] = 20, [PH_ALG_MD5] = 16};
    *out = (ph_digest){.alg = alg};
    if (is_crc(alg)) {
        out->len = kinds[alg].len;
        put(out, crc_of(f, b, &kinds[alg]));
        return;
    }
    out->len = lengths[alg];
    uint64_t state = description_of(f, b) + (uint64_t)alg;
    for (size_t i = 0; i < out->len; i++)
        out->bytes[i] = (uint8_t)(ph_random_next(&state) >> 32);
}
