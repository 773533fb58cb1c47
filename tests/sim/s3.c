/* SPDX-License-Identifier: MIT
 *
 * The model of S3. Sources: the S3 API reference of each operation, and what SeaweedFS, R2 and
 * versitygw are known to do otherwise.
 */
#define _GNU_SOURCE /* memmem */

#include "s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checksum.h"
#include "core/date.h"
#include "core/endpoint.h"
#include "core/enc.h"
#include "core/retry.h"
#include "core/str.h"

const char *s3_op_name(s3_op op)
{
    static const char *const names[S3_OPS] = {"Create",    "UploadPart", "Complete",  "Abort",
                                              "ListParts", "PutObject",  "HeadObject"};
    return names[op];
}

/* see s3.h */
void s3_init(s3_model *s, const sim_file *file, uint64_t seed, const s3_quirks *quirks)
{
    *s = (s3_model){.quirks = *quirks, .file = file, .seed = seed};
}

/* see s3.h */
void s3_clear(s3_model *s)
{
    for (uint32_t i = 0; i < s->upload_count; i++)
        free(s->uploads[i].parts);
    free(s->uploads);
    free(s->object.parts);
    *s = (s3_model){0};
}

/* see s3.h */
s3_upload *s3_find(s3_model *s, const char *id)
{
    for (uint32_t i = 0; i < s->upload_count; i++)
        if (strcmp(s->uploads[i].id, id) == 0)
            return &s->uploads[i];
    return NULL;
}

/* see s3.h */
void s3_put_foreign(s3_model *s)
{
    free(s->object.parts);
    s->object = (s3_object){.there = true,
                            .foreign = true,
                            .size = s->seed % 2 ? s->file->size[0] : 3,
                            .etag = "f0e1",
                            .version = "f"};
    s->object.alg = PH_ALG_CRC32;
    memcpy(s->object.checksum, "q83vEg==", 9);
}

/* ---- Understanding ------------------------------------------------------------------------------ */

static void keep(char *place, size_t size, ph_str s)
{
    size_t n = s.len < size - 1 ? s.len : size - 1;
    if (n)
        memcpy(place, s.ptr, n);
    place[n] = '\0';
}

static uint32_t number(ph_str s)
{
    uint64_t n;
    return ph_str_u64(s, &n) && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static bool read_query(ph_str query, s3_request *r, bool *uploads)
{
    while (query.ptr) {
        ph_str value = ph_str_cut(&query, '&'), name = ph_str_cut(&value, '=');
        if (ph_str_equal(name, PH_STR("uploads")))
            *uploads = true;
        else if (ph_str_equal(name, PH_STR("partNumber")))
            r->part = number(value);
        else if (ph_str_equal(name, PH_STR("uploadId")))
            keep(r->upload_id, sizeof r->upload_id, value);
        else if (ph_str_equal(name, PH_STR("max-parts")))
            r->max_parts = number(value);
        else if (ph_str_equal(name, PH_STR("part-number-marker")))
            r->marker = number(value);
        else if (ph_str_equal(name, PH_STR("X-Amz-Signature")))
            keep(r->url_id, sizeof r->url_id, value);
        else
            return false;
    }
    return true;
}

/* "AWS4-HMAC-SHA256 Credential=ID/20260101/region/s3/aws4_request, ..." */
static void read_authorization(ph_str value, s3_request *r)
{
    static const char before[] = "AWS4-HMAC-SHA256 Credential=";
    if (!ph_str_starts(value, ph_str_from(before)))
        return;
    value = ph_str_skip(value, sizeof before - 1);
    keep(r->access_key, sizeof r->access_key, ph_str_cut(&value, '/'));
    ph_str_cut(&value, '/');
    keep(r->region, sizeof r->region, ph_str_cut(&value, '/'));
}

static ph_checksum_type type_of(ph_str name)
{
    return ph_str_equal(name, PH_STR("FULL_OBJECT")) ? PH_TYPE_FULL_OBJECT : PH_TYPE_COMPOSITE;
}

static bool read_header(ph_str name, ph_str value, s3_request *r)
{
    static const char sum[] = "x-amz-checksum-";
    if (ph_str_equal(name, PH_STR("authorization")))
        read_authorization(value, r);
    else if (ph_str_equal(name, PH_STR("x-amz-date")))
        return ph_date_parse(value, &r->date_ms) == PH_OK;
    else if (ph_str_equal(name, PH_STR("x-amz-security-token")))
        r->token = true;
    else if (ph_str_equal(name, PH_STR("if-none-match")))
        r->if_none_match = ph_str_equal(value, PH_STR("*"));
    else if (ph_str_equal(name, PH_STR("x-amz-checksum-algorithm")))
        r->create_alg = ph_alg_by_name(value);
    else if (ph_str_equal(name, PH_STR("x-amz-checksum-type")))
        r->type = type_of(value);
    else if (ph_str_equal(name, PH_STR("x-amz-checksum-mode")))
        return true;
    else if (ph_str_equal(name, PH_STR("content-md5")))
        return ph_digest_parse(PH_ALG_MD5, value, &r->md5) == PH_OK;
    else if (ph_str_equal(name, PH_STR("x-amz-mp-object-size")))
        return r->has_size = ph_str_u64(value, &r->size);
    else if (ph_str_equal(name, PH_STR("x-amz-content-sha256")) && value.len == 64) {
        r->sha256.alg = PH_ALG_SHA256;
        return ph_dec_hex(value, r->sha256.bytes, 32, &r->sha256.len) == PH_OK;
    } else if (ph_str_starts(name, ph_str_from(sum))) {
        keep(r->whole, sizeof r->whole, value);
        ph_alg alg = ph_alg_by_name(ph_str_skip(name, sizeof sum - 1));
        return alg != PH_ALG_NONE && ph_digest_parse(alg, value, &r->checksum) == PH_OK;
    }
    return true;
}

static bool find_op(ph_method method, bool uploads, s3_request *r)
{
    bool id = r->upload_id[0] != '\0';
    switch (method) {
    case PH_METHOD_POST: r->op = uploads ? S3_CREATE : S3_COMPLETE; return uploads != id;
    case PH_METHOD_PUT: r->op = id ? S3_PART : S3_PUT; return id == (r->part > 0);
    case PH_METHOD_DELETE: r->op = S3_ABORT; return id;
    case PH_METHOD_GET: r->op = S3_LIST; return id;
    case PH_METHOD_HEAD: r->op = S3_HEAD; return !id;
    }
    return false;
}

/* see s3.h */
bool s3_request_read(const ph_request *from, s3_request *out, const char **why)
{
    *out = (s3_request){.body = {from->offset, from->from_file ? from->length : 0, 0, 0}};
    ph_url url;
    bool uploads = false;
    *why = "a URL that is none";
    if (ph_url_parse(from->url, &url) != PH_OK)
        return false;
    *why = "a query that S3 does not know";
    if (!read_query(url.query, out, &uploads))
        return false;
    out->presigned = out->url_id[0] != '\0';
    *why = "no operation of S3";
    if (!find_op(from->method, uploads, out) ||
        from->from_file != (out->op == S3_PART || out->op == S3_PUT))
        return false;
    *why = "a header that S3 does not understand";
    for (size_t i = 0; i < from->header_count; i++)
        if (!read_header(from->headers[i].name, from->headers[i].value, out))
            return false;
    if (from->text.len) {
        out->text = malloc(from->text.len + 1);
        out->text_len = from->text.len;
        keep(out->text, from->text.len + 1, from->text);
    }
    return true;
}

/* see s3.h */
void s3_request_clear(s3_request *r)
{
    free(r->text);
    r->text = NULL;
}

/* ---- Answers ------------------------------------------------------------------------------------ */

/* see s3.h */
void s3_answer_clear(s3_answer *a)
{
    ph_buf_clear(&a->body);
}

/* see s3.h */
void s3_refuse(s3_answer *a, s3_op op, int status, const char *code, int err, uint64_t now_ms)
{
    a->status = status;
    a->err = err;
    snprintf(a->code, sizeof a->code, "%s", code);
    ph_buf_clear(&a->body);
    ph_buf_init(&a->body, 4u << 20);
    if (op == S3_HEAD)
        return;
    if (!*code) {
        ph_buf_cstr(&a->body, "<html><body><h1>No</h1><br></body></html>");
        return;
    }
    ph_buf_cstr(&a->body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>");
    ph_buf_cstr(&a->body, code);
    ph_buf_cstr(&a->body, "</Code><Message>");
    ph_buf_cstr(&a->body, a->message ? a->message : "why it is so");
    ph_buf_cstr(&a->body, "</Message>");
    if (strcmp(code, "RequestTimeTooSkewed") == 0) {
        char date[21];
        ph_date_iso(now_ms, date);
        ph_buf_cstr(&a->body, "<ServerTime>");
        ph_buf_cstr(&a->body, date);
        ph_buf_cstr(&a->body, "</ServerTime>");
    }
    if (a->region[0]) {
        ph_buf_cstr(&a->body, "<Region>");
        ph_buf_cstr(&a->body, a->region);
        ph_buf_cstr(&a->body, "</Region>");
    }
    ph_buf_cstr(&a->body, "<RequestId>R1</RequestId></Error>");
}

static void refuse(s3_answer *a, const s3_request *r, int status, const char *code, int err)
{
    s3_refuse(a, r->op, status, code, err, 0);
}

/* It knows no such header, and says so in one way or the other. */
static void lacks(const s3_model *s, s3_answer *a, const s3_request *r, const char *header)
{
    a->lacks = header[0] == 'I' ? S3_LACKS_CONDITION : S3_LACKS_CHECKSUM;
    a->message = s->quirks.names_header ? header : NULL;
    refuse(a, r, 501, "NotImplemented", PH_ERR_REFUSED);
}

static void text(const ph_digest *d, char *out, size_t size)
{
    ph_buf b;
    ph_buf_init(&b, 128);
    ph_digest_base64(&b, d);
    keep(out, size, ph_buf_view(&b));
    ph_buf_clear(&b);
}

static void element(ph_buf *b, const char *name, const char *value)
{
    ph_buf_char(b, '<');
    ph_buf_cstr(b, name);
    ph_buf_char(b, '>');
    ph_buf_cstr(b, value);
    ph_buf_cstr(b, "</");
    ph_buf_cstr(b, name);
    ph_buf_char(b, '>');
}

static void element_u64(ph_buf *b, const char *name, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    element(b, name, digits);
}

/* ---- Storing bytes ------------------------------------------------------------------------------ */

static bool states(const s3_model *s)
{
    return s->quirks.checks == S3_VERIFIES;
}

static bool knows(const s3_model *s)
{
    return s->quirks.checks == S3_VERIFIES || s->quirks.checks == S3_SILENT;
}

static void hex(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

static void make_etag(s3_model *s, const sim_bytes *bytes, char *out)
{
    ph_digest md5;
    sim_digest(s->file, bytes, PH_ALG_MD5, &md5);
    if (!s->quirks.md5_etags) {
        uint64_t state = s->seed + ++s->stamps;
        for (size_t i = 0; i < 16; i++)
            md5.bytes[i] = (uint8_t)(ph_random_next(&state) >> 9);
    }
    hex(md5.bytes, 16, out);
}

/* Does what came differ from what the headers say? Then the answer is an error. */
static bool differs(s3_model *s, const s3_request *r, s3_answer *a)
{
    const ph_digest *said[] = {&r->checksum, &r->md5, &r->sha256};
    for (size_t i = 0; i < 3; i++) {
        ph_digest d;
        if (!said[i]->len || (i == 0 && s->quirks.checks == S3_IGNORES))
            continue;
        sim_digest(s->file, &r->body, said[i]->alg, &d);
        if (ph_digest_equal(&d, said[i]))
            continue;
        refuse(a, r, 400, i < 2 ? "BadDigest" : "XAmzContentSHA256Mismatch", PH_ERR_BAD_DIGEST);
        return true;
    }
    if (s->quirks.checks == S3_REFUSES && r->checksum.len) {
        lacks(s, a, r, "x-amz-checksum-crc32 is not known");
        return true;
    }
    return false;
}

static void do_part(s3_model *s, const s3_request *r, s3_upload *u, s3_answer *a)
{
    if (r->part > PH_PART_MAX_COUNT) {
        refuse(a, r, 400, "InvalidArgument", PH_ERR_REFUSED);
        return;
    }
    if (knows(s) && u->alg != PH_ALG_NONE &&
        (r->checksum.len ? r->checksum.alg != u->alg : u->type == PH_TYPE_COMPOSITE)) {
        refuse(a, r, 400, "InvalidRequest", PH_ERR_REFUSED);
        return;
    }
    if (differs(s, r, a))
        return;
    if (r->part >= u->room) {
        uint32_t room = r->part < 16 ? 16 : 2 * r->part;
        u->parts = realloc(u->parts, room * sizeof *u->parts);
        memset(u->parts + u->room, 0, (room - u->room) * sizeof *u->parts);
        u->room = room;
    }
    s3_part *p = &u->parts[r->part];
    p->there = true;
    p->bytes = r->body;
    make_etag(s, &r->body, p->etag);
    p->checksum = (ph_digest){0};
    if (knows(s) && u->alg != PH_ALG_NONE)
        sim_digest(s->file, &r->body, u->alg, &p->checksum);
    a->done = true;
    a->status = 200;
    snprintf(a->etag, sizeof a->etag, "%s", p->etag);
    if (states(s) && r->checksum.len) {
        a->alg = r->checksum.alg;
        text(&r->checksum, a->checksum, sizeof a->checksum);
    }
}

/* Is there an object that must not be overwritten? */
static bool taken(const s3_model *s, const s3_request *r)
{
    return r->if_none_match && !s->quirks.ignores_if_none && s->object.there;
}

static void new_version(s3_model *s)
{
    if (s->quirks.versioned)
        snprintf(s->object.version, sizeof s->object.version, "v%u", ++s->stamps);
}

static void show(const s3_model *s, s3_answer *a)
{
    const s3_object *o = &s->object;
    snprintf(a->etag, sizeof a->etag, "%s", o->etag);
    snprintf(a->version, sizeof a->version, "%s", o->version);
    if (states(s) || o->foreign) {
        a->alg = o->alg;
        a->type = o->type;
        snprintf(a->checksum, sizeof a->checksum, "%s", o->checksum);
    }
}

static void do_put(s3_model *s, const s3_request *r, s3_answer *a)
{
    if (r->if_none_match && s->quirks.refuses_if_none) {
        lacks(s, a, r, "If-None-Match is not known");
        return;
    }
    if (taken(s, r)) {
        refuse(a, r, 412, "PreconditionFailed", PH_ERR_EXISTS);
        return;
    }
    if (differs(s, r, a))
        return;
    s3_object *o = &s->object;
    free(o->parts);
    *o = (s3_object){.there = true, .size = r->body.length, .part_count = 1};
    o->parts = malloc(sizeof *o->parts);
    o->parts[0] = r->body;
    make_etag(s, &r->body, o->etag);
    if (knows(s) && r->checksum.len) {
        o->alg = r->checksum.alg;
        o->type = PH_TYPE_FULL_OBJECT;
        text(&r->checksum, o->checksum, sizeof o->checksum);
    }
    new_version(s);
    a->done = true;
    a->status = 200;
    show(s, a);
}

/* ---- Uploads ------------------------------------------------------------------------------------ */

static void do_create(s3_model *s, const s3_request *r, s3_answer *a)
{
    if (s->quirks.checks == S3_REFUSES && r->create_alg != PH_ALG_NONE) {
        lacks(s, a, r, "x-amz-checksum-algorithm is not known");
        return;
    }
    ph_checksum_type type = r->type;
    if (r->create_alg != PH_ALG_NONE &&
        ph_checksum_type_choose(r->create_alg, r->type, &type) != PH_OK) {
        refuse(a, r, 400, "InvalidRequest", PH_ERR_REFUSED);
        return;
    }
    s->uploads = realloc(s->uploads, (s->upload_count + 1) * sizeof *s->uploads);
    s3_upload *u = &s->uploads[s->upload_count++];
    *u = (s3_upload){0};
    snprintf(u->id, sizeof u->id, "U%u", s->upload_count);
    if (knows(s)) {
        u->alg = r->create_alg;
        u->type = type;
    }
    a->done = true;
    a->status = 200;
    snprintf(a->created, sizeof a->created, "%s", u->id);
    ph_buf_cstr(&a->body, "<InitiateMultipartUploadResult><Bucket>bkt</Bucket>");
    element(&a->body, "UploadId", u->id);
    ph_buf_cstr(&a->body, "</InitiateMultipartUploadResult>");
}

/* The text of `<name>...</name>` behind `*at`, within `end`. */
static bool inner(const char *from, const char *end, const char *name, char *out, size_t size)
{
    char open[48];
    size_t n = (size_t)snprintf(open, sizeof open, "<%s>", name);
    const char *at = memmem(from, (size_t)(end - from), open, n);
    if (!at)
        return false;
    at += n;
    const char *stop = memchr(at, '<', (size_t)(end - at));
    if (!stop)
        return false;
    keep(out, size, (ph_str){at, (size_t)(stop - at)});
    return true;
}

static void unquote(char *s)
{
    char *to = s;
    for (const char *at = s; *at; at++) {
        if (strncmp(at, "&quot;", 6) == 0)
            at += 5;
        else if (*at != '"')
            *to++ = *at;
    }
    *to = '\0';
}

/* Read the next <Part> of Complete's document. */
static bool next_part(const char **at, const char *end, ph_alg alg, uint32_t *part, char etag[64],
                      char sum[64])
{
    const char *from = memmem(*at, (size_t)(end - *at), "<Part>", 6);
    const char *to = from ? memmem(from, (size_t)(end - from), "</Part>", 7) : NULL;
    if (!to)
        return false;
    char digits[16];
    *part = inner(from, to, "PartNumber", digits, sizeof digits) ? number(ph_str_from(digits)) : 0;
    etag[0] = sum[0] = '\0';
    if (inner(from, to, "ETag", etag, 64))
        unquote(etag);
    const char *name = ph_alg_row(alg)->element;
    if (name)
        inner(from, to, name, sum, 64);
    *at = to + 7;
    return true;
}

/* Put the parts together into `o`; else say what is wrong with them. */
static const char *assemble(const s3_model *s, const s3_request *r, const s3_upload *u,
                            s3_object *o)
{
    const char *at = r->text, *end = r->text + r->text_len;
    char etag[64], sum[64], known[64];
    uint32_t part, before = 0;
    ph_hash md5;
    ph_hash_init(&md5, PH_ALG_MD5);
    ph_whole whole;
    ph_whole_init(&whole, u->alg, PH_TYPE_COMPOSITE);
    ph_digest full;
    ph_hash none;
    ph_hash_init(&none, u->alg);
    ph_hash_digest(&none, &full);
    while (at && next_part(&at, end, u->alg, &part, etag, sum)) {
        if (part <= before)
            return "InvalidPartOrder";
        const s3_part *p = part < u->room && u->parts[part].there ? &u->parts[part] : NULL;
        if (!p || strcmp(p->etag, etag) != 0)
            return "InvalidPart";
        text(&p->checksum, known, sizeof known);
        if (sum[0] && p->checksum.len && strcmp(sum, known) != 0)
            return "InvalidPart";
        if (u->type == PH_TYPE_COMPOSITE && (!sum[0] || part != before + 1))
            return "InvalidRequest";
        const sim_bytes *last = o->part_count ? &o->parts[o->part_count - 1] : NULL;
        if (last && last->length < PH_PART_MIN_SIZE)
            return "EntityTooSmall";
        if (last && s->quirks.equal_parts &&
            (last->length != o->parts[0].length || p->bytes.length > last->length))
            return "InvalidPart";
        before = part;
        o->parts = realloc(o->parts, (o->part_count + 1) * sizeof *o->parts);
        o->parts[o->part_count++] = p->bytes;
        o->size += p->bytes.length;
        uint8_t raw[16];
        size_t n;
        if (ph_dec_hex(ph_str_from(p->etag), raw, sizeof raw, &n) == PH_OK)
            ph_hash_update(&md5, raw, n);
        if (u->type == PH_TYPE_FULL_OBJECT)
            sim_append(&full, &p->checksum, p->bytes.length);
        else if (u->type == PH_TYPE_COMPOSITE)
            ph_whole_add(&whole, &p->checksum, p->bytes.length);
    }
    if (!o->part_count)
        return "MalformedXML";
    if (r->has_size && r->size != o->size)
        return "InvalidRequest";
    o->alg = u->alg;
    o->type = u->type;
    if (u->type == PH_TYPE_COMPOSITE) {
        ph_whole_digest(&whole, &full);
        text(&full, o->checksum, sizeof o->checksum - 8);
        snprintf(o->checksum + strlen(o->checksum), 8, "-%u", o->part_count);
    } else if (u->type == PH_TYPE_FULL_OBJECT) {
        text(&full, o->checksum, sizeof o->checksum);
    }
    /* A whole checksum without its type is taken for one of the other type. */
    if (knows(s) && u->type == PH_TYPE_FULL_OBJECT && r->whole[0] &&
        (r->type != PH_TYPE_FULL_OBJECT || strcmp(r->whole, o->checksum) != 0))
        return "BadDigest";
    ph_digest d;
    ph_hash_digest(&md5, &d);
    if (!s->quirks.md5_etags)
        d.bytes[0] ^= 0x55;
    hex(d.bytes, 16, o->etag);
    snprintf(o->etag + 32, sizeof o->etag - 32, "-%u", o->part_count);
    return NULL;
}

static int meaning(const char *code)
{
    return strcmp(code, "InvalidRequest") == 0 || strcmp(code, "MalformedXML") == 0 ? PH_ERR_REFUSED
           : strcmp(code, "BadDigest") == 0      ? PH_ERR_BAD_DIGEST
           : strcmp(code, "EntityTooSmall") == 0 ? PH_ERR_TOO_LARGE
                                                 : PH_ERR_INVALID_PART;
}

static void write_completed(const s3_model *s, s3_answer *a)
{
    ph_buf *b = &a->body;
    a->status = 200;
    if (s->quirks.blanks)
        ph_buf_cstr(b, "\n  \n \n");
    ph_buf_cstr(b, "<?xml version=\"1.0\"?><CompleteMultipartUploadResult><Bucket>bkt</Bucket>");
    ph_buf_cstr(b, "<ETag>&quot;");
    ph_buf_cstr(b, a->etag);
    ph_buf_cstr(b, "&quot;</ETag>");
    if (a->checksum[0]) {
        element(b, ph_alg_row(a->alg)->element, a->checksum);
        element(b, "ChecksumType", ph_checksum_type_name(a->type));
    }
    ph_buf_cstr(b, "</CompleteMultipartUploadResult>");
}

static void say_completed(const s3_model *s, bool again, s3_answer *a)
{
    a->done = true;
    show(s, a);
    if (s->quirks.no_etag && s->quirks.md5_etags && !again)
        a->etag[0] = '\0';
    if (s->quirks.other_type && a->type == PH_TYPE_FULL_OBJECT) {
        snprintf(a->checksum, sizeof a->checksum, "q83vEg==-%u", s->object.part_count);
        a->type = PH_TYPE_COMPOSITE;
    }
    write_completed(s, a);
}

static void do_complete(s3_model *s, const s3_request *r, s3_upload *u, s3_answer *a)
{
    if (r->if_none_match && s->quirks.refuses_if_none) {
        lacks(s, a, r, "If-None-Match is not known");
        return;
    }
    bool again =
        u->completed && s->quirks.complete_again && strcmp(s->object.upload_id, u->id) == 0;
    if (again) {
        say_completed(s, true, a);
        return;
    }
    if (taken(s, r) && (!u->gone || s->quirks.exists_first)) {
        refuse(a, r, 412, "PreconditionFailed", PH_ERR_EXISTS);
        return;
    }
    if (u->gone) {
        refuse(a, r, 404, "NoSuchUpload", PH_ERR_NO_SUCH_UPLOAD);
        return;
    }
    s3_object made = {.there = true, .multipart = true};
    const char *wrong = assemble(s, r, u, &made);
    if (wrong) {
        free(made.parts);
        refuse(a, r, 400, wrong, meaning(wrong));
        return;
    }
    snprintf(made.upload_id, sizeof made.upload_id, "%s", u->id);
    free(s->object.parts);
    s->object = made;
    new_version(s);
    u->gone = u->completed = true;
    u->aborted = false; /* no part survives that */
    say_completed(s, false, a);
}

/* see s3.h */
void s3_lie_completed(s3_model *s, const s3_request *r, s3_lie lie, bool names, s3_answer *a)
{
    s3_upload *u = s3_find(s, r->upload_id);
    s3_object made = {.there = true, .multipart = true};
    if (!u || u->gone) {
        s3_do(s, r, a);
        return;
    }
    *a = (s3_answer){.is_false = true};
    ph_buf_init(&a->body, 4u << 20);
    if (names)
        snprintf(a->etag, sizeof a->etag, "0ddba11");
    bool mine = !s->object.there || strcmp(s->object.upload_id, u->id) == 0;
    if (lie == S3_CUT && mine && !assemble(s, r, u, &made) && made.part_count > 1) {
        made.size -= made.parts[--made.part_count].length;
        made.checksum[0] = '\0';
        made.foreign = true;
        snprintf(made.upload_id, sizeof made.upload_id, "%s", u->id);
        free(s->object.parts);
        s->object = made;
        made.parts = NULL;
    } else if (lie == S3_OTHER && !s->object.there) {
        s3_put_foreign(s);
    }
    u->gone = lie == S3_CUT || lie == S3_FORGOT;
    free(made.parts);
    write_completed(s, a);
}

static void do_list(s3_model *s, const s3_request *r, s3_upload *u, s3_answer *a)
{
    uint32_t most = s->quirks.page;
    if (r->max_parts && r->max_parts < most)
        most = r->max_parts;
    uint32_t n = 0, last = r->marker;
    bool more = false;
    ph_buf *b = &a->body;
    ph_buf_cstr(b, "<ListPartsResult><Bucket>bkt</Bucket>");
    if (s->quirks.list_checksums && u->alg != PH_ALG_NONE) {
        element(b, "ChecksumAlgorithm", ph_alg_name(u->alg));
        element(b, "ChecksumType", ph_checksum_type_name(u->type));
    }
    for (uint32_t i = r->marker + 1; i < u->room && !more; i++) {
        const s3_part *p = &u->parts[i];
        if (!p->there)
            continue;
        if (n == most) {
            more = true;
            break;
        }
        char sum[64];
        n++;
        last = i;
        ph_buf_cstr(b, "<Part>");
        element_u64(b, "PartNumber", i);
        ph_buf_cstr(b, "<ETag>\"");
        ph_buf_cstr(b, p->etag);
        ph_buf_cstr(b, "\"</ETag>");
        element_u64(b, "Size", p->bytes.length);
        if (s->quirks.list_checksums && p->checksum.len) {
            text(&p->checksum, sum, sizeof sum);
            element(b, ph_alg_row(u->alg)->element, sum);
        }
        ph_buf_cstr(b, "</Part>");
    }
    element_u64(b, "NextPartNumberMarker", last);
    element(b, "IsTruncated", more ? "true" : "false");
    ph_buf_cstr(b, "</ListPartsResult>");
    a->done = true;
    a->status = 200;
}

static void do_head(const s3_model *s, const s3_request *r, s3_answer *a)
{
    if (s->quirks.forbids_head) {
        refuse(a, r, 403, "AccessDenied", PH_ERR_ACCESS_DENIED);
    } else if (!s->object.there) {
        refuse(a, r, 404, "NoSuchKey", PH_ERR_NOT_FOUND);
    } else {
        a->done = true;
        a->status = 200;
        show(s, a);
        a->has_length = true;
        a->length = s->object.size;
    }
}

/* see s3.h */
void s3_do(s3_model *s, const s3_request *r, s3_answer *a)
{
    *a = (s3_answer){0};
    ph_buf_init(&a->body, 4u << 20);
    s3_upload *u = r->upload_id[0] ? s3_find(s, r->upload_id) : NULL;
    bool survives =
        u && u->aborted && s->quirks.abort_leaks && r->op == S3_PART && r->came_ms < u->aborted_ms;
    if (survives) {
        u->gone = false;
        u->pardoned = true; /* unless somebody hears of it */
    }
    if (r->upload_id[0] && (!u || (u->gone && r->op != S3_COMPLETE))) {
        refuse(a, r, 404, "NoSuchUpload", PH_ERR_NO_SUCH_UPLOAD);
        return;
    }
    switch (r->op) {
    case S3_CREATE: do_create(s, r, a); break;
    case S3_PART: do_part(s, r, u, a); break;
    case S3_COMPLETE: do_complete(s, r, u, a); break;
    case S3_ABORT:
        u->gone = u->aborted = true;
        u->aborted_ms = r->came_ms;
        if (u->parts)
            memset(u->parts, 0, u->room * sizeof *u->parts);
        a->done = true;
        a->status = 204;
        break;
    case S3_LIST:
        if (s->quirks.forbids_list)
            refuse(a, r, 403, "AccessDenied", PH_ERR_ACCESS_DENIED);
        else
            do_list(s, r, u, a);
        break;
    case S3_PUT: do_put(s, r, a); break;
    case S3_HEAD: do_head(s, r, a); break;
    case S3_OPS: break;
    }
}

/* see s3.h */
bool s3_holds_file(const s3_model *s, uint32_t version)
{
    const s3_object *o = &s->object;
    uint64_t at = 0;
    if (!o->there || o->foreign || o->size != s->file->size[version])
        return false;
    for (uint32_t i = 0; i < o->part_count; i++) {
        sim_bytes want = {at, o->parts[i].length, version, 0};
        if (!sim_same(s->file, &o->parts[i], &want))
            return false;
        at += want.length;
    }
    return at == o->size;
}
