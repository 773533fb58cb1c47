/* SPDX-License-Identifier: MIT
 *
 * The ledger of parts. A part is in it only when S3 said that it has it; parts under way live in
 * upload.c. ETags are opaque: they are compared as MD5 only where they look like one.
 */
#include "part.h"

#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "enc.h"
#include "str.h"

/* see part.h */
int ph_ledger_init(ph_ledger *l, const ph_plan *plan, ph_alg alg)
{
    *l = (ph_ledger){.plan = *plan, .alg = alg, .digest_len = ph_alg_row(alg)->len};
    l->parts = calloc(plan->part_count, sizeof *l->parts);
    return l->parts ? PH_OK : PH_ERR_NOMEM;
}

/* see part.h */
void ph_ledger_clear(ph_ledger *l)
{
    for (uint32_t i = 0; l->parts && i < l->plan.part_count; i++)
        ph_str_free(&l->parts[i].etag);
    free(l->parts);
    *l = (ph_ledger){0};
}

/* see part.h */
uint64_t ph_ledger_offset(const ph_ledger *l, uint32_t part_number)
{
    return (part_number - 1) * l->plan.part_size;
}

/* see part.h */
uint64_t ph_ledger_length(const ph_ledger *l, uint32_t part_number)
{
    uint64_t left = l->plan.size - ph_ledger_offset(l, part_number);
    return left < l->plan.part_size ? left : l->plan.part_size;
}

static void count_stored(ph_ledger *l, uint32_t part_number)
{
    ph_part *p = &l->parts[part_number - 1];
    p->stored = true;
    p->claimed = false;
    l->stored++;
    l->without_etag += !p->etag.len;
    l->unconfirmed += !p->confirmed;
    l->stored_bytes += ph_ledger_length(l, part_number);
}

/* see part.h */
int ph_ledger_store(ph_ledger *l, uint32_t part_number, ph_str etag, const ph_digest *digest,
                    bool confirmed)
{
    ph_part *p = &l->parts[part_number - 1];
    if (p->stored)
        return PH_OK;
    ph_str copy = {NULL, 0};
    int err = etag.len ? ph_str_copy(etag, &copy) : PH_OK;
    if (err != PH_OK)
        return err;
    ph_str_free(&p->etag);
    p->etag = copy;
    if (digest->len == l->digest_len)
        memcpy(p->digest, digest->bytes, digest->len);
    p->confirmed = confirmed;
    count_stored(l, part_number);
    return PH_OK;
}

static ph_digest digest_of(const ph_ledger *l, const ph_part *p)
{
    ph_digest d = {.alg = l->alg, .len = l->digest_len};
    memcpy(d.bytes, p->digest, d.len);
    return d;
}

static bool read_md5(ph_str etag, ph_digest *out)
{
    size_t len;
    *out = (ph_digest){.alg = PH_ALG_MD5, .len = 16};
    return etag.len == 32 && ph_dec_hex(etag, out->bytes, 16, &len) == PH_OK;
}

/* see part.h */
int ph_ledger_learn(ph_ledger *l, const ph_listed *listed)
{
    if (listed->part_number < 1 || listed->part_number > l->plan.part_count)
        return PH_OK;
    ph_part *p = &l->parts[listed->part_number - 1];
    bool known = p->etag.len > 0;
    if (!p->stored || !listed->etag.len || (known && !ph_str_equal(p->etag, listed->etag)))
        return PH_OK;
    ph_digest ours = digest_of(l, p);
    if (listed->size != ph_ledger_length(l, listed->part_number) ||
        (listed->checksum.len && !ph_digest_equal(&listed->checksum, &ours)))
        return PH_ERR_INVALID_PART;
    int err = known ? PH_OK : ph_str_copy(listed->etag, &p->etag);
    if (err != PH_OK)
        return err;
    l->without_etag -= !known;
    ph_digest md5;
    bool is_md5 = read_md5(p->etag, &md5) && ph_digest_equal(&md5, &ours);
    if ((listed->checksum.len || is_md5) && !p->confirmed) {
        p->confirmed = true;
        l->unconfirmed--;
    }
    return PH_OK;
}

/* see part.h */
void ph_ledger_mark(ph_ledger *l, const ph_listed *listed)
{
    uint32_t n = listed->part_number;
    if (n >= 1 && n <= l->plan.part_count && listed->size == ph_ledger_length(l, n))
        l->parts[n - 1].listed = ph_str_equal(l->parts[n - 1].etag, listed->etag);
}

/* see part.h */
uint32_t ph_ledger_drop_unlisted(ph_ledger *l, bool all)
{
    uint32_t dropped = 0;
    for (uint32_t n = 1; n <= l->plan.part_count; n++) {
        ph_part *p = &l->parts[n - 1];
        if (p->stored && !p->listed && (all || !p->etag.len)) {
            l->stored--;
            l->without_etag -= !p->etag.len;
            l->unconfirmed -= !p->confirmed;
            l->stored_bytes -= ph_ledger_length(l, n);
            ph_str_free(&p->etag);
            *p = (ph_part){0};
            dropped++;
        }
        p->listed = false;
    }
    return dropped;
}

/* see part.h */
int ph_ledger_claim(ph_ledger *l, const ph_listed *listed)
{
    uint32_t n = listed->part_number;
    if (n < 1 || n > l->plan.part_count || listed->size != ph_ledger_length(l, n))
        return PH_ERR_PARTS_MIXED;
    ph_part *p = &l->parts[n - 1];
    ph_str etag;
    if (p->stored)
        return PH_OK;
    int err = ph_str_copy(listed->etag, &etag);
    if (err != PH_OK)
        return err;
    ph_str_free(&p->etag);
    p->etag = etag;
    p->claimed = true;
    p->stated = l->digest_len && listed->checksum.len == l->digest_len;
    if (p->stated)
        memcpy(p->digest, listed->checksum.bytes, l->digest_len);
    return PH_OK;
}

/* see part.h */
ph_alg ph_ledger_proof(const ph_ledger *l, uint32_t part_number)
{
    const ph_part *p = &l->parts[part_number - 1];
    ph_digest md5;
    if (!p->claimed)
        return PH_ALG_NONE;
    return p->stated ? l->alg : read_md5(p->etag, &md5) ? PH_ALG_MD5 : PH_ALG_NONE;
}

/* see part.h */
bool ph_ledger_prove(ph_ledger *l, uint32_t part_number, const ph_digest *digest,
                     const ph_digest *proof)
{
    ph_part *p = &l->parts[part_number - 1];
    ph_digest claimed = digest_of(l, p);
    if ((!p->stated && !read_md5(p->etag, &claimed)) || !ph_digest_equal(&claimed, proof))
        return false;
    if (digest->len == l->digest_len)
        memcpy(p->digest, digest->bytes, digest->len);
    p->confirmed = true;
    count_stored(l, part_number);
    return true;
}

/* see part.h */
void ph_ledger_drop(ph_ledger *l, uint32_t part_number)
{
    ph_part *p = &l->parts[part_number - 1];
    if (!p->claimed)
        return;
    ph_str_free(&p->etag);
    *p = (ph_part){0};
}

/* see part.h */
void ph_ledger_whole(const ph_ledger *l, ph_checksum_type type, ph_whole *w)
{
    ph_whole_init(w, l->alg, type);
    for (uint32_t n = 1; l->digest_len && n <= l->plan.part_count; n++) {
        ph_digest d = digest_of(l, &l->parts[n - 1]);
        ph_whole_add(w, &d, ph_ledger_length(l, n));
    }
}

/* see part.h; an allocation that failed here would say of our object that it is not ours */
void ph_etag_text(const ph_digest *md5, uint32_t parts, char out[PH_ETAG_TEXT])
{
    for (size_t i = 0; i < md5->len; i++) {
        *out++ = "0123456789abcdef"[md5->bytes[i] >> 4];
        *out++ = "0123456789abcdef"[md5->bytes[i] & 15];
    }
    if (parts) {
        uint32_t unit = 1;
        while (parts / unit >= 10)
            unit *= 10;
        for (*out++ = '-'; unit; unit /= 10)
            *out++ = (char)('0' + parts / unit % 10);
    }
    *out = '\0';
}

/* see part.h */
bool ph_ledger_etag(const ph_ledger *l, char out[PH_ETAG_TEXT])
{
    ph_hash md5;
    ph_digest d;
    ph_hash_init(&md5, PH_ALG_MD5);
    for (uint32_t i = 0; i < l->plan.part_count; i++) {
        if (!read_md5(l->parts[i].etag, &d))
            return false;
        ph_hash_update(&md5, d.bytes, d.len);
    }
    ph_hash_digest(&md5, &d);
    ph_etag_text(&d, l->plan.part_count, out);
    return true;
}

/* see part.h */
void ph_ledger_document(const ph_ledger *l, ph_buf *b)
{
    const char *element = ph_alg_row(l->alg)->element;
    ph_buf_cstr(b, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (uint32_t n = 1; n <= l->plan.part_count; n++) {
        const ph_part *p = &l->parts[n - 1];
        ph_buf_cstr(b, "<Part><PartNumber>");
        ph_buf_u64(b, n);
        ph_buf_cstr(b, "</PartNumber><ETag>\"");
        ph_enc_xml(b, p->etag);
        ph_buf_cstr(b, "\"</ETag>");
        if (element) {
            ph_buf_char(b, '<');
            ph_buf_cstr(b, element);
            ph_buf_char(b, '>');
            ph_enc_base64(b, p->digest, l->digest_len);
            ph_buf_cstr(b, "</");
            ph_buf_cstr(b, element);
            ph_buf_char(b, '>');
        }
        ph_buf_cstr(b, "</Part>");
    }
    ph_buf_cstr(b, "</CompleteMultipartUpload>");
}
