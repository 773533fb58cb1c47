/* SPDX-License-Identifier: MIT
 *
 * checksum - one table of S3's algorithms, and running, combined and composite digests over it.
 * The CRCs are crc's, the others crypto's; nobody else has to know which is which.
 */
#include "checksum.h"

#include "crc.h"
#include "crypto.h"
#include "enc.h"
#include "lanes.h"

#include <string.h>

_Static_assert(sizeof((ph_hash){0}.state.words) >= PH_MD_STATE,
               "ph_hash has no room for the states of crypto");

/* ---- The algorithms ---------------------------------------------------------------------------- */

static const ph_alg_info algorithms[PH_ALG_COUNT] = {
    [PH_ALG_NONE] = {PH_ALG_NONE, 0, "NONE", "none", NULL, NULL, false, false},
    [PH_ALG_CRC64NVME] = {PH_ALG_CRC64NVME, 8, "CRC64NVME", "crc64nvme", "x-amz-checksum-crc64nvme",
                          "ChecksumCRC64NVME", true, false},
    [PH_ALG_CRC32C] = {PH_ALG_CRC32C, 4, "CRC32C", "crc32c", "x-amz-checksum-crc32c",
                       "ChecksumCRC32C", true, true},
    [PH_ALG_CRC32] = {PH_ALG_CRC32, 4, "CRC32", "crc32", "x-amz-checksum-crc32", "ChecksumCRC32",
                      true, true},
    [PH_ALG_SHA256] = {PH_ALG_SHA256, 32, "SHA256", "sha256", "x-amz-checksum-sha256",
                       "ChecksumSHA256", false, true},
    [PH_ALG_SHA1] = {PH_ALG_SHA1, 20, "SHA1", "sha1", "x-amz-checksum-sha1", "ChecksumSHA1", false,
                     true},
    [PH_ALG_MD5] = {PH_ALG_MD5, 16, "MD5", "md5", "content-md5", NULL, false, false},
};

const ph_alg_info *ph_alg_row(ph_alg alg)
{
    size_t i = (size_t)alg;
    return &algorithms[i < PH_ALG_COUNT ? i : PH_ALG_NONE];
}

ph_alg ph_alg_by_name(ph_str name)
{
    for (size_t i = 0; i < PH_ALG_COUNT; i++) {
        if (ph_str_equal_nocase(name, ph_str_from(algorithms[i].name)))
            return algorithms[i].alg;
    }
    return PH_ALG_NONE;
}

const char *ph_alg_name(ph_alg alg)
{
    return ph_alg_row(alg)->name;
}

const char *ph_alg_name_lower(ph_alg alg)
{
    return ph_alg_row(alg)->lower;
}

static bool is_crc(ph_alg alg)
{
    return alg == PH_ALG_CRC64NVME || alg == PH_ALG_CRC32C || alg == PH_ALG_CRC32;
}

int ph_checksum_type_choose(ph_alg alg, ph_checksum_type wanted, ph_checksum_type *out)
{
    const ph_alg_info *row = ph_alg_row(alg);
    *out = wanted != PH_TYPE_NONE ? wanted
           : row->full_object     ? PH_TYPE_FULL_OBJECT
           : row->composite       ? PH_TYPE_COMPOSITE
                                  : PH_TYPE_NONE;
    if ((*out == PH_TYPE_FULL_OBJECT && !row->full_object) ||
        (*out == PH_TYPE_COMPOSITE && !row->composite)) {
        *out = PH_TYPE_NONE;
        return PH_ERR_BAD_ALGORITHM;
    }
    return PH_OK;
}

const char *ph_checksum_type_name(ph_checksum_type type)
{
    switch (type) {
    case PH_TYPE_FULL_OBJECT: return "FULL_OBJECT";
    case PH_TYPE_COMPOSITE: return "COMPOSITE";
    case PH_TYPE_NONE: break;
    }
    return "NONE";
}

/* ---- A running digest -------------------------------------------------------------------------- */

void ph_hash_init(ph_hash *h, ph_alg alg)
{
    memset(h, 0, sizeof *h);
    h->alg = ph_alg_row(alg)->alg;
    if (h->alg != PH_ALG_NONE && !is_crc(h->alg))
        ph_md_init(h->state.words, h->alg);
}

void ph_hash_update(ph_hash *h, const void *data, size_t len)
{
    ph_hash_update_all(&h, &data, 1, len);
}

/* The digests of one algorithm that goes side by side, as many at a time as there are lanes. */
static void update_lanes(ph_alg alg, ph_hash *const h[], const void *const data[], size_t count,
                         size_t len)
{
    for (size_t i = 0; i < count;) {
        void *state[PH_LANES];
        const uint8_t *from[PH_LANES];
        size_t n = 0;
        for (; i < count && n < PH_LANES; i++) {
            if (h[i]->alg != alg)
                continue;
            state[n] = h[i]->state.words;
            from[n++] = data[i];
        }
        if (n > 0)
            ph_md_update(alg, state, from, n, len);
    }
}

void ph_hash_update_all(ph_hash *const h[], const void *const data[], size_t count, size_t len)
{
    if (len == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        h[i]->length += len;
        if (is_crc(h[i]->alg))
            h[i]->state.crc = ph_crc_update(h[i]->alg, h[i]->state.crc, data[i], len);
    }
    update_lanes(PH_ALG_SHA256, h, data, count, len);
    update_lanes(PH_ALG_SHA1, h, data, count, len);
    update_lanes(PH_ALG_MD5, h, data, count, len);
}

/* A CRC as S3 writes it, highest byte first. */
static void put_crc(ph_digest *d, ph_alg alg, uint64_t crc)
{
    *d = (ph_digest){.alg = alg, .len = ph_alg_row(alg)->len};
    for (size_t i = d->len; i > 0; crc >>= 8)
        d->bytes[--i] = (uint8_t)crc;
}

static uint64_t crc_of(const ph_digest *d)
{
    uint64_t crc = 0;
    for (size_t i = 0; i < d->len; i++)
        crc = crc << 8 | d->bytes[i];
    return crc;
}

void ph_hash_digest(const ph_hash *h, ph_digest *out)
{
    *out = (ph_digest){.alg = h->alg};
    if (is_crc(h->alg))
        put_crc(out, h->alg, h->state.crc);
    else if (h->alg != PH_ALG_NONE)
        out->len = ph_md_out(h->state.words, out->bytes);
}

/* ---- Digests ----------------------------------------------------------------------------------- */

int ph_digest_combine(const ph_digest *a, const ph_digest *b, uint64_t b_len, ph_digest *out)
{
    size_t len = ph_alg_row(a->alg)->len;
    if (a->alg != b->alg || !is_crc(a->alg) || a->len != len || b->len != len)
        return PH_ERR_BAD_ALGORITHM;
    put_crc(out, a->alg, ph_crc_combine(a->alg, crc_of(a), crc_of(b), b_len));
    return PH_OK;
}

void ph_digest_base64(ph_buf *b, const ph_digest *d)
{
    ph_enc_base64(b, d->bytes, d->len);
}

int ph_digest_parse(ph_alg alg, ph_str base64, ph_digest *out)
{
    *out = (ph_digest){.alg = alg};
    int err = ph_dec_base64(base64, out->bytes, sizeof out->bytes, &out->len);
    if (err == PH_OK && out->len == ph_alg_row(alg)->len)
        return PH_OK;
    *out = (ph_digest){.alg = alg};
    return PH_ERR_BAD_ENCODING;
}

bool ph_digest_equal(const ph_digest *a, const ph_digest *b)
{
    return a->alg == b->alg && a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* ---- An object made of parts ------------------------------------------------------------------- */

void ph_whole_init(ph_whole *w, ph_alg alg, ph_checksum_type type)
{
    *w = (ph_whole){.type = type};
    ph_hash_init(&w->hash, alg);
    ph_hash_digest(&w->hash, &w->full); /* of nothing: combining begins with it */
}

int ph_whole_add(ph_whole *w, const ph_digest *part, uint64_t part_len)
{
    if (part->alg != w->hash.alg || part->len != w->full.len)
        return PH_ERR_BAD_ALGORITHM;
    if (w->type == PH_TYPE_FULL_OBJECT) {
        if (!is_crc(part->alg))
            return PH_ERR_BAD_ALGORITHM;
        if (!w->parts || w->shift_len != part_len)
            w->shift = ph_crc_shift(part->alg, part_len);
        w->shift_len = part_len;
        put_crc(&w->full, part->alg,
                ph_crc_join(part->alg, crc_of(&w->full), crc_of(part), w->shift));
    } else {
        ph_hash_update(&w->hash, part->bytes, part->len);
    }
    w->parts++;
    return PH_OK;
}

void ph_whole_digest(const ph_whole *w, ph_digest *out)
{
    if (w->type == PH_TYPE_FULL_OBJECT)
        *out = w->full;
    else
        ph_hash_digest(&w->hash, out);
}

void ph_whole_text(const ph_whole *w, ph_buf *b)
{
    ph_digest d;
    ph_whole_digest(w, &d);
    ph_digest_base64(b, &d);
    if (d.len > 0 && w->type != PH_TYPE_FULL_OBJECT) {
        ph_buf_char(b, '-');
        ph_buf_u64(b, w->parts);
    }
}
