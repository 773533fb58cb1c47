/* SPDX-License-Identifier: MIT
 *
 * S3's upload operations as requests. What is signed is exactly what is sent: all headers, and the
 * URL as it is built here. Sources: the S3 API reference of each operation.
 */
#include "request.h"

#include <string.h>

#include "checksum.h"
#include "enc.h"
#include "str.h"

#define MAX_TEXT (32u << 10)

static const struct {
    const char *name;
    ph_method method;
} operations[] = {
    [PH_OP_NONE] = {"", PH_METHOD_GET},
    [PH_OP_PUT_OBJECT] = {"PutObject", PH_METHOD_PUT},
    [PH_OP_CREATE] = {"CreateMultipartUpload", PH_METHOD_POST},
    [PH_OP_UPLOAD_PART] = {"UploadPart", PH_METHOD_PUT},
    [PH_OP_COMPLETE] = {"CompleteMultipartUpload", PH_METHOD_POST},
    [PH_OP_ABORT] = {"AbortMultipartUpload", PH_METHOD_DELETE},
    [PH_OP_LIST_PARTS] = {"ListParts", PH_METHOD_GET},
    [PH_OP_LIST_UPLOADS] = {"ListMultipartUploads", PH_METHOD_GET},
    [PH_OP_HEAD] = {"HeadObject", PH_METHOD_HEAD},
};

static const struct {
    const char *option;
    const char *header;
} properties[PH_PROP_COUNT] = {
#define X(name, option, header) {option, header},
#include "properties.def"
#undef X
};

/* see request.h */
const char *ph_operation_name(ph_operation op)
{
    return operations[op].name;
}

/* see parthaul.h */
const char *ph_method_name(ph_method method)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE"};
    return names[method];
}

/* see request.h */
const char *ph_property_header(ph_property p)
{
    return properties[p].header;
}

/* see request.h */
const char *ph_property_option(ph_property p)
{
    return properties[p].option;
}

/* see request.h */
ph_property ph_property_by_option(ph_str option)
{
    unsigned p = 0;
    while (p < PH_PROP_COUNT && !ph_str_equal(option, ph_str_from(properties[p].option)))
        p++;
    return (ph_property)p;
}

static bool is_header_value(ph_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e)
            return false;
    return true;
}

static bool is_metadata_name(ph_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && c != '-' && c != '_' && c != '.')
            return false;
    }
    return s.len > 0;
}

/* Two of a name would be joined, by S3 with "," and by browsers with ", ": another signature. */
static bool is_repeated(const ph_object *o, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (ph_str_equal_nocase(o->metadata[k].name, o->metadata[i].name))
            return true;
    return false;
}

/* see request.h; 2 KB is S3's limit for all user metadata */
int ph_object_check(const ph_object *o)
{
    size_t metadata = 0;
    if (o->metadata_count > 24)
        return PH_ERR_BAD_HEADER;
    for (size_t i = 0; i < PH_PROP_COUNT; i++)
        if (o->property[i].len > 2048 || !is_header_value(o->property[i]))
            return PH_ERR_BAD_HEADER;
    for (size_t i = 0; i < o->metadata_count; i++) {
        if (!is_metadata_name(o->metadata[i].name) || !is_header_value(o->metadata[i].value) ||
            is_repeated(o, i))
            return PH_ERR_BAD_HEADER;
        metadata += o->metadata[i].name.len + o->metadata[i].value.len;
    }
    return metadata <= 2048 ? PH_OK : PH_ERR_BAD_HEADER;
}

/* ---- Building -------------------------------------------------------------------------------- */

static void add_header(ph_built *b, ph_str name, ph_str value)
{
    if (b->header_count < PH_REQUEST_HEADERS)
        b->header[b->header_count++] = (ph_header){name, value};
    else
        b->text.err = PH_ERR_TOO_LONG;
}

/*
 * Values that are made here go into `text`, which must not move while views point into it: it gets
 * all its memory at once, `text_size` at most.
 */
static ph_str made(ph_built *b, size_t from)
{
    return ph_buf_view_from(&b->text, from);
}

static void add_digest_header(ph_built *b, const ph_digest *d)
{
    size_t from = b->text.len;
    ph_digest_base64(&b->text, d);
    add_header(b, ph_str_from(ph_alg_row(d->alg)->header), made(b, from));
}

static void add_object_headers(ph_built *b, const ph_object *o)
{
    for (size_t i = 0; i < PH_PROP_COUNT; i++)
        if (o->property[i].len && i != PH_PROP_BUCKET_OWNER)
            add_header(b, ph_str_from(properties[i].header), o->property[i]);
    for (size_t i = 0; i < o->metadata_count; i++) {
        size_t from = b->text.len;
        ph_buf_cstr(&b->text, "x-amz-meta-");
        for (size_t k = 0; k < o->metadata[i].name.len; k++) {
            char c = o->metadata[i].name.ptr[k];
            ph_buf_char(&b->text, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
        }
        add_header(b, made(b, from), o->metadata[i].value);
    }
}

static void add_condition(const ph_call *in, ph_built *b)
{
    if (!in->object->overwrite && !in->unconditional)
        add_header(b, PH_STR("if-none-match"), PH_STR("*"));
}

static void add_operation_headers(const ph_call *in, ph_built *b)
{
    switch (in->op) {
    case PH_OP_PUT_OBJECT:
        add_object_headers(b, in->object);
        add_condition(in, b);
        if (in->checksum)
            add_digest_header(b, in->checksum);
        break;
    case PH_OP_CREATE:
        add_object_headers(b, in->object);
        if (in->type != PH_TYPE_NONE) {
            add_header(b, PH_STR("x-amz-checksum-algorithm"),
                       ph_str_from(ph_alg_row(in->alg)->name));
            add_header(b, PH_STR("x-amz-checksum-type"),
                       ph_str_from(ph_checksum_type_name(in->type)));
        }
        break;
    case PH_OP_UPLOAD_PART:
        if (in->checksum)
            add_digest_header(b, in->checksum);
        break;
    case PH_OP_COMPLETE: {
        add_header(b, PH_STR("content-type"), PH_STR("application/xml"));
        add_condition(in, b);
        if (in->type == PH_TYPE_FULL_OBJECT && in->checksum)
            add_digest_header(b, in->checksum);
        if (in->type != PH_TYPE_NONE)
            add_header(b, PH_STR("x-amz-checksum-type"),
                       ph_str_from(ph_checksum_type_name(in->type)));
        size_t from = b->text.len;
        ph_buf_u64(&b->text, in->object_size);
        add_header(b, PH_STR("x-amz-mp-object-size"), made(b, from));
        break;
    }
    case PH_OP_HEAD: add_header(b, PH_STR("x-amz-checksum-mode"), PH_STR("ENABLED")); break;
    case PH_OP_NONE:
    case PH_OP_ABORT:
    case PH_OP_LIST_PARTS:
    case PH_OP_LIST_UPLOADS: break;
    }
    if (in->object->property[PH_PROP_BUCKET_OWNER].len)
        add_header(b, ph_str_from(properties[PH_PROP_BUCKET_OWNER].header),
                   in->object->property[PH_PROP_BUCKET_OWNER]);
}

static void add_number(ph_buf *b, const char *name, uint32_t number)
{
    ph_buf_cstr(b, name);
    ph_buf_u64(b, number);
    ph_buf_char(b, '&');
}

static void add_query(ph_buf *b, const char *name, ph_str value)
{
    if (!value.len)
        return;
    ph_buf_cstr(b, name);
    ph_enc_percent(b, value, false);
}

static void add_uploads_url(const ph_call *in, ph_buf *b)
{
    ph_buf_cstr(b, "?uploads=&max-uploads=1000"); /* S3's page; SeaweedFS would send more */
    add_query(b, "&prefix=", in->key_prefix);
    add_query(b, "&key-marker=", in->key_marker);
    add_query(b, "&upload-id-marker=", in->upload_id);
}

static void add_url(const ph_call *in, ph_buf *b)
{
    ph_buf_str(b, in->endpoint->base);
    if (in->op == PH_OP_LIST_UPLOADS) {
        add_uploads_url(in, b);
        return;
    }
    ph_enc_percent(b, in->key, true);
    switch (in->op) {
    case PH_OP_CREATE: ph_buf_cstr(b, "?uploads="); return;
    case PH_OP_NONE:
    case PH_OP_LIST_UPLOADS:
    case PH_OP_PUT_OBJECT:
    case PH_OP_HEAD: return; /* of the object: an upload id would make another operation of it */
    case PH_OP_UPLOAD_PART:
    case PH_OP_COMPLETE:
    case PH_OP_ABORT:
    case PH_OP_LIST_PARTS: break;
    }
    ph_buf_char(b, '?');
    if (in->op == PH_OP_UPLOAD_PART)
        add_number(b, "partNumber=", in->part_number);
    if (in->op == PH_OP_LIST_PARTS) /* S3's page; SeaweedFS would send ten times as much */
        add_number(b, "max-parts=", PH_LISTED_MAX);
    if (in->op == PH_OP_LIST_PARTS && in->part_number_marker)
        add_number(b, "part-number-marker=", in->part_number_marker);
    ph_buf_cstr(b, "uploadId=");
    ph_enc_percent(b, in->upload_id, false);
}

static ph_str payload_of(const ph_call *in, ph_built *b)
{
    if (in->op == PH_OP_PUT_OBJECT || in->op == PH_OP_UPLOAD_PART) {
        if (!in->body_sha256)
            return PH_UNSIGNED_PAYLOAD;
        size_t from = b->text.len;
        ph_enc_hex(&b->text, in->body_sha256->bytes, in->body_sha256->len);
        return made(b, from);
    }
    if (!in->text.len)
        return PH_EMPTY_SHA256;
    uint8_t hash[PH_SHA256_LEN];
    ph_sha256(in->text.ptr, in->text.len, hash);
    size_t from = b->text.len;
    ph_enc_hex(&b->text, hash, sizeof hash);
    return made(b, from);
}

static size_t text_size(const ph_call *in)
{
    size_t encoded = in->key.len + in->upload_id.len + in->key_prefix.len + in->key_marker.len;
    size_t size = 512 + in->endpoint->base.len + 3 * encoded;
    for (size_t i = 0; i < in->object->metadata_count; i++)
        size += 11 + in->object->metadata[i].name.len;
    return size;
}

/* see request.h */
int ph_request_build(const ph_call *in, ph_sigv4_key *key, ph_built *out)
{
    memset(out, 0, sizeof *out);
    out->method = operations[in->op].method;
    size_t size = text_size(in);
    ph_buf_init(&out->text, size < MAX_TEXT ? size : MAX_TEXT);
    ph_buf_reserve(&out->text, out->text.limit);
    add_url(in, &out->text);
    size_t url_len = out->text.len;
    add_operation_headers(in, out);
    ph_str payload = payload_of(in, out);
    int err = out->text.err;
    out->url = (ph_str){out->text.ptr, url_len};
    if (err == PH_OK) {
        /* "https://", the host, the path, "?", the query: it was made so, and the base was checked */
        ph_str path = ph_str_skip(out->url, ph_str_find(out->url, ':') + 3);
        ph_str host = ph_str_cut(&path, '/');
        path = (ph_str){host.ptr + host.len, path.len + 1};
        ph_str query = path;
        path = ph_str_cut(&query, '?');
        ph_sigv4 sign = {.method = ph_str_from(ph_method_name(out->method)),
                         .host = host,
                         .path = path,
                         .query = query,
                         .headers = out->header,
                         .header_count = out->header_count,
                         .payload = payload,
                         .region = in->endpoint->region,
                         .service = PH_STR("s3"),
                         .time_ms = in->time_ms,
                         .creds = in->creds};
        err = ph_sigv4_sign(&sign, key, &out->signature);
    }
    for (size_t i = 0; err == PH_OK && i < out->signature.header_count; i++) {
        if (out->header_count == PH_REQUEST_HEADERS)
            err = PH_ERR_TOO_LONG;
        else
            out->header[out->header_count++] = out->signature.headers[i];
    }
    if (err != PH_OK)
        ph_built_clear(out);
    return err;
}

/* see request.h */
void ph_built_clear(ph_built *b)
{
    ph_buf_clear(&b->text);
    ph_sigv4_result_clear(&b->signature);
    b->header_count = 0;
    b->url = (ph_str){NULL, 0};
}
