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
    l->parts = calloc(plan->part_count, sizeof *l->parts + l->digest_len);
    if (!l->parts)
        return PH_ERR_NOMEM;
    l->digests = (uint8_t *)(l->parts + plan->part_count);
    return PH_OK;
}

/* ---- ETags ------------------------------------------------------------------------------------ */

static bool has_etag(const ph_part *p)
{
    return p->is_hex || p->etag.text.len;
}

static void clear_etag(ph_part *p)
{
    if (!p->is_hex)
        ph_str_free(&p->etag.text);
    memset(&p->etag, 0, sizeof p->etag);
    p->is_hex = false;
}

/* Another spelling of the digits would be another ETag. */
static bool is_lower_hex(ph_str etag)
{
    for (size_t i = 0; i < etag.len; i++)
        if (etag.ptr[i] >= 'A' && etag.ptr[i] <= 'F')
            return false;
    return true;
}

/* Take the place of the one before. Errors: NOMEM; then nothing was changed. */
static int set_etag(ph_part *p, ph_str etag)
{
    ph_str copy = {NULL, 0};
    uint8_t hex[16];
    size_t len;
    bool is_hex =
        etag.len == 32 && is_lower_hex(etag) && ph_dec_hex(etag, hex, sizeof hex, &len) == PH_OK;
    int err = is_hex || !etag.len ? PH_OK : ph_str_copy(etag, &copy);
    if (err != PH_OK)
        return err;
    clear_etag(p);
    p->is_hex = is_hex;
    if (is_hex)
        memcpy(p->etag.hex, hex, sizeof hex);
    else
        p->etag.text = copy;
    return PH_OK;
}

/* see part.h */
ph_str ph_ledger_part_etag(const ph_ledger *l, uint32_t part_number, char place[PH_ETAG_TEXT])
{
    const ph_part *p = &l->parts[part_number - 1];
    ph_digest d = {.len = sizeof p->etag.hex};
    if (!p->is_hex)
        return p->etag.text;
    memcpy(d.bytes, p->etag.hex, d.len);
    ph_etag_text(&d, 0, place);
    return (ph_str){place, 2 * d.len};
}

static bool is_etag(const ph_ledger *l, uint32_t part_number, ph_str etag)
{
    char place[PH_ETAG_TEXT];
    return ph_str_equal(ph_ledger_part_etag(l, part_number, place), etag);
}

static bool read_md5(const ph_part *p, ph_digest *out)
{
    size_t len;
    *out = (ph_digest){.alg = PH_ALG_MD5, .len = 16};
    if (p->is_hex)
        memcpy(out->bytes, p->etag.hex, out->len);
    return p->is_hex ||
           (p->etag.text.len == 32 && ph_dec_hex(p->etag.text, out->bytes, 16, &len) == PH_OK);
}

/* ---- Parts ------------------------------------------------------------------------------------ */

static uint8_t *digest_at(const ph_ledger *l, uint32_t part_number)
{
    return l->digests + (part_number - 1) * l->digest_len;
}

static ph_digest digest_of(const ph_ledger *l, uint32_t part_number)
{
    ph_digest d = {.alg = l->alg, .len = l->digest_len};
    memcpy(d.bytes, digest_at(l, part_number), d.len);
    return d;
}

static void set_digest(ph_ledger *l, uint32_t part_number, const ph_digest *d)
{
    if (d->len == l->digest_len)
        memcpy(digest_at(l, part_number), d->bytes, d->len);
}

static void clear_part(ph_ledger *l, uint32_t part_number)
{
    ph_part *p = &l->parts[part_number - 1];
    clear_etag(p);
    *p = (ph_part){.stored = false};
    memset(digest_at(l, part_number), 0, l->digest_len);
}

/* see part.h */
void ph_ledger_clear(ph_ledger *l)
{
    for (uint32_t i = 0; l->parts && i < l->plan.part_count; i++)
        clear_etag(&l->parts[i]);
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
    l->without_etag += !has_etag(p);
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
    int err = set_etag(p, etag);
    if (err != PH_OK)
        return err;
    set_digest(l, part_number, digest);
    p->confirmed = confirmed;
    count_stored(l, part_number);
    return PH_OK;
}

/* see part.h */
int ph_ledger_learn(ph_ledger *l, const ph_listed *listed)
{
    if (listed->part_number < 1 || listed->part_number > l->plan.part_count)
        return PH_OK;
    ph_part *p = &l->parts[listed->part_number - 1];
    bool known = has_etag(p);
    if (!p->stored || !listed->etag.len ||
        (known && !is_etag(l, listed->part_number, listed->etag)))
        return PH_OK;
    ph_digest ours = digest_of(l, listed->part_number);
    if (listed->size != ph_ledger_length(l, listed->part_number) ||
        (listed->checksum.len && !ph_digest_equal(&listed->checksum, &ours)))
        return PH_ERR_INVALID_PART;
    int err = known ? PH_OK : set_etag(p, listed->etag);
    if (err != PH_OK)
        return err;
    l->without_etag -= !known;
    ph_digest md5;
    bool is_md5 = read_md5(p, &md5) && ph_digest_equal(&md5, &ours);
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
        l->parts[n - 1].listed = is_etag(l, n, listed->etag);
}

/* see part.h */
uint32_t ph_ledger_drop_unlisted(ph_ledger *l, bool all)
{
    uint32_t dropped = 0;
    bool md5s = false; /* the server's ETags are MD5s */
    for (uint32_t i = 0; i < l->plan.part_count; i++) {
        const ph_part *p = &l->parts[i];
        md5s = md5s || (l->alg == PH_ALG_MD5 && p->stored && p->confirmed);
        all = all || (p->stored && !p->listed && !has_etag(p));
    }
    for (uint32_t n = 1; n <= l->plan.part_count; n++) {
        ph_part *p = &l->parts[n - 1];
        bool other = md5s && p->is_hex && !p->confirmed; /* bytes: a late request brought them */
        if (p->stored && (other || (all && !p->listed))) {
            l->stored--;
            l->without_etag -= !has_etag(p);
            l->unconfirmed -= !p->confirmed;
            l->stored_bytes -= ph_ledger_length(l, n);
            clear_part(l, n);
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
    if (p->stored)
        return PH_OK;
    int err = set_etag(p, listed->etag);
    if (err != PH_OK)
        return err;
    p->claimed = true;
    p->stated = l->digest_len && listed->checksum.len == l->digest_len;
    if (p->stated)
        set_digest(l, n, &listed->checksum);
    return PH_OK;
}

/* see part.h */
ph_alg ph_ledger_proof(const ph_ledger *l, uint32_t part_number)
{
    const ph_part *p = &l->parts[part_number - 1];
    ph_digest md5;
    if (!p->claimed)
        return PH_ALG_NONE;
    return p->stated ? l->alg : read_md5(p, &md5) ? PH_ALG_MD5 : PH_ALG_NONE;
}

/* see part.h */
bool ph_ledger_prove(ph_ledger *l, uint32_t part_number, const ph_digest *digest,
                     const ph_digest *proof)
{
    ph_part *p = &l->parts[part_number - 1];
    ph_digest claimed = digest_of(l, part_number);
    if ((!p->stated && !read_md5(p, &claimed)) || !ph_digest_equal(&claimed, proof))
        return false;
    set_digest(l, part_number, digest);
    p->confirmed = true;
    count_stored(l, part_number);
    return true;
}

/* see part.h */
void ph_ledger_drop(ph_ledger *l, uint32_t part_number)
{
    if (l->parts[part_number - 1].claimed)
        clear_part(l, part_number);
}

/* see part.h */
void ph_ledger_whole(const ph_ledger *l, ph_checksum_type type, ph_whole *w)
{
    ph_whole_init(w, l->alg, type);
    for (uint32_t n = 1; l->digest_len && n <= l->plan.part_count; n++) {
        ph_digest d = digest_of(l, n);
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
        if (!read_md5(&l->parts[i], &d))
            return false;
        ph_hash_update(&md5, d.bytes, d.len);
    }
    ph_hash_digest(&md5, &d);
    ph_etag_text(&d, l->plan.part_count, out);
    return true;
}

/* All memory at once: it is the largest thing that an upload has, and moving it takes it twice. */
static void reserve_document(const ph_ledger *l, ph_buf *b)
{
    const char *element = ph_alg_row(l->alg)->element;
    size_t each = sizeof "<Part><PartNumber></PartNumber><ETag>\"\"</ETag></Part>";
    if (element)
        each += sizeof "<></>" + 2 * strlen(element) + (l->digest_len + 2) / 3 * 4;
    size_t size = 128 + l->plan.part_count * each;
    for (uint32_t n = 1; n <= l->plan.part_count; n++) {
        const ph_part *p = &l->parts[n - 1];
        size += p->is_hex ? 32 : 6 * p->etag.text.len;
        for (uint32_t digits = n; digits; digits /= 10)
            size++;
    }
    ph_buf_reserve(b, size < b->limit ? size : b->limit);
}

/* see part.h */
void ph_ledger_document(const ph_ledger *l, ph_buf *b)
{
    const char *element = ph_alg_row(l->alg)->element;
    reserve_document(l, b);
    ph_buf_cstr(b, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (uint32_t n = 1; n <= l->plan.part_count; n++) {
        char etag[PH_ETAG_TEXT];
        ph_buf_cstr(b, "<Part><PartNumber>");
        ph_buf_u64(b, n);
        ph_buf_cstr(b, "</PartNumber><ETag>\"");
        ph_enc_xml(b, ph_ledger_part_etag(l, n, etag));
        ph_buf_cstr(b, "\"</ETag>");
        if (element) {
            ph_buf_char(b, '<');
            ph_buf_cstr(b, element);
            ph_buf_char(b, '>');
            ph_enc_base64(b, digest_at(l, n), l->digest_len);
            ph_buf_cstr(b, "</");
            ph_buf_cstr(b, element);
            ph_buf_char(b, '>');
        }
        ph_buf_cstr(b, "</Part>");
    }
    ph_buf_cstr(b, "</CompleteMultipartUpload>");
}
