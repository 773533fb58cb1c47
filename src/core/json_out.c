/* SPDX-License-Identifier: MIT
 *
 * Writing JSON needs no library: it is putting commas between members, and the escapes of enc.
 */
#include "json_out.h"

#include "checksum.h"
#include "enc.h"
#include "str.h"

static void begin(ph_buf *b, const char *name)
{
    char last = b->len ? b->ptr[b->len - 1] : '{';
    if (last != '{' && last != '[' && last != ':')
        ph_buf_char(b, ',');
    if (name) {
        ph_enc_json(b, ph_str_from(name));
        ph_buf_char(b, ':');
    }
}

/* see json_out.h */
void ph_json_open(ph_buf *b, const char *name)
{
    begin(b, name);
    ph_buf_char(b, '{');
}

/* see json_out.h */
void ph_json_close(ph_buf *b)
{
    ph_buf_char(b, '}');
}

/* see json_out.h */
void ph_json_open_array(ph_buf *b, const char *name)
{
    begin(b, name);
    ph_buf_char(b, '[');
}

/* see json_out.h */
void ph_json_close_array(ph_buf *b)
{
    ph_buf_char(b, ']');
}

/* see json_out.h */
void ph_json_add_text(ph_buf *b, const char *name, ph_str utf8)
{
    if (!utf8.ptr)
        return;
    begin(b, name);
    ph_enc_json(b, utf8);
}

/* see json_out.h */
void ph_json_add_cstr(ph_buf *b, const char *name, const char *utf8)
{
    if (utf8 && *utf8)
        ph_json_add_text(b, name, ph_str_from(utf8));
}

/* see json_out.h */
void ph_json_add_u64(ph_buf *b, const char *name, uint64_t value)
{
    begin(b, name);
    ph_buf_u64(b, value);
}

/* see json_out.h */
void ph_json_add_int(ph_buf *b, const char *name, int64_t value)
{
    begin(b, name);
    if (value < 0)
        ph_buf_char(b, '-');
    ph_buf_u64(b, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* see json_out.h */
void ph_json_add_bool(ph_buf *b, const char *name, bool value)
{
    begin(b, name);
    ph_buf_cstr(b, value ? "true" : "false");
}

/* see json_out.h */
const char *ph_verified_name(ph_verified v)
{
    static const char *const names[] = {"object", "parts", "sent", "size"};
    return names[v];
}

/* see json_out.h */
void ph_json_add_lacks(ph_buf *b, const char *name, unsigned lacks)
{
    if (!lacks)
        return;
    ph_json_open_array(b, name);
    for (unsigned i = 0; i < PH_LACK_COUNT; i++)
        if (lacks & 1u << i)
            ph_json_add_cstr(b, NULL, ph_err_name(ph_lack_err(i)));
    ph_json_close_array(b);
}

/* see json_out.h */
void ph_json_add_receipt(ph_buf *b, const ph_receipt *r)
{
    ph_json_add_text(b, "bucket", r->bucket);
    ph_json_add_text(b, "key", r->key);
    ph_json_add_text(b, "etag", r->etag);
    ph_json_add_text(b, "versionId", r->version_id);
    ph_json_add_text(b, "uploadId", r->upload_id);
    ph_json_add_u64(b, "size", r->size);
    ph_json_add_u64(b, "partSize", r->part_size);
    ph_json_add_u64(b, "partCount", r->part_count); /* 0: one PutObject */
    if (r->alg != PH_ALG_NONE) {
        ph_json_add_cstr(b, "algorithm", ph_alg_name(r->alg));
        ph_json_add_cstr(b, "type", ph_checksum_type_name(r->type));
        ph_json_add_text(b, "checksum", r->checksum);
    }
    ph_json_add_cstr(b, "verified", ph_verified_name(r->verified));
    if (r->unseen)
        ph_json_add_bool(b, "unseen", true);
    ph_json_add_lacks(b, "serverLacks", r->server_lacks);
    ph_json_add_u64(b, "retries", r->retries);
}

/* see json_out.h */
void ph_json_add_failure(ph_buf *b, const ph_failure *f)
{
    ph_json_add_cstr(b, "code", ph_err_name(f->err));
    if (f->http_status)
        ph_json_add_int(b, "status", f->http_status);
    ph_json_add_cstr(b, "operation", f->operation);
    ph_json_add_cstr(b, "s3Code", f->s3_code);
    ph_json_add_cstr(b, "requestId", f->request_id);
    ph_json_add_cstr(b, "hostId", f->host_id);
    if (f->part_number)
        ph_json_add_u64(b, "partNumber", f->part_number);
    ph_json_add_u64(b, "tries", f->tries);
    ph_json_add_bool(b, "retryable", f->retryable);
    if (f->resumable)
        ph_json_add_bool(b, "resumable", true);
    ph_json_add_cstr(b, "message", f->message);
}
