/* SPDX-License-Identifier: MIT
 *
 * See policy.h. The policy is written compactly and in ASCII but for what UTF-8 stands in values;
 * S3 compares it after parsing, and checks the signature over the base64 as it came.
 */
#include "policy.h"

#include <string.h>

#include "date.h"
#include "enc.h"
#include "json_out.h"
#include "str.h"

#define MAX_FORM 20480

/* {"name":"value"} as an element of the conditions. */
static void add_exact(ph_buf *b, const char *name, ph_str value)
{
    ph_json_open(b, NULL);
    ph_json_add_text(b, name, value);
    ph_json_close(b);
}

/* ["eq" or "starts-with","$field","value"]; an absent value must still be written. */
static void add_condition(ph_buf *b, const ph_condition *c)
{
    ph_buf field;
    ph_buf_init(&field, 1024);
    ph_buf_char(&field, '$');
    ph_buf_str(&field, c->field);
    ph_json_open_array(b, NULL);
    ph_json_add_cstr(b, NULL, c->begins ? "starts-with" : "eq");
    ph_json_add_text(b, NULL, ph_buf_view(&field));
    ph_json_add_text(b, NULL, c->value.ptr ? c->value : PH_STR(""));
    ph_json_close_array(b);
    if (field.err != PH_OK)
        b->err = field.err;
    ph_buf_clear(&field);
}

static void add_document(const ph_policy *in, const ph_policy_form *form, ph_buf *b)
{
    char expiration[21];
    ph_date_iso(in->expires_ms, expiration);
    ph_json_open(b, NULL);
    ph_json_add_cstr(b, "expiration", expiration);
    ph_json_open_array(b, "conditions");
    add_exact(b, "bucket", in->bucket);
    for (size_t i = 0; i < in->condition_count; i++)
        add_condition(b, &in->conditions[i]);
    ph_json_open_array(b, NULL);
    ph_json_add_cstr(b, NULL, "content-length-range");
    ph_json_add_u64(b, NULL, in->min_size);
    ph_json_add_u64(b, NULL, in->max_size);
    ph_json_close_array(b);
    add_exact(b, "x-amz-algorithm", PH_STR("AWS4-HMAC-SHA256"));
    add_exact(b, "x-amz-credential", form->credential);
    add_exact(b, "x-amz-date", (ph_str){form->date, 16});
    if (in->creds->session_token.len > 0)
        add_exact(b, "x-amz-security-token", in->creds->session_token);
    ph_json_close_array(b);
    ph_json_close(b);
}

/* see policy.h */
void ph_policy_signature(const ph_sigv4_key *key, ph_str base64, char out[65])
{
    uint8_t mac[PH_SHA256_LEN];
    ph_hmac_with(&key->key, base64.ptr, base64.len, mac);
    for (size_t i = 0; i < sizeof mac; i++) {
        out[2 * i] = "0123456789abcdef"[mac[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[mac[i] & 15];
    }
    out[64] = '\0';
}

static int sign(const ph_policy *in, ph_sigv4_key *cached, ph_policy_form *out)
{
    ph_buf *credential = &out->buf[0];
    ph_date_basic(in->now_ms, out->date);
    ph_buf_str(credential, in->creds->access_key_id);
    ph_buf_char(credential, '/');
    ph_buf_add(credential, out->date, 8);
    ph_buf_char(credential, '/');
    ph_buf_str(credential, in->region);
    ph_buf_cstr(credential, "/s3/aws4_request");
    out->credential = ph_buf_view(credential);

    ph_buf document;
    ph_buf_init(&document, MAX_FORM);
    add_document(in, out, &document);
    ph_enc_base64(&out->buf[1], document.ptr, document.len);
    int err = document.err != PH_OK ? document.err : out->buf[1].err;
    if (err == PH_OK)
        err = credential->err;
    ph_buf_clear(&document);
    out->policy = ph_buf_view(&out->buf[1]);

    ph_sigv4_key key;
    if (err == PH_OK)
        err = ph_sigv4_key_find((ph_str){out->date, 8}, in->region, PH_STR("s3"),
                                in->creds->secret_access_key, cached, &key);
    if (err == PH_OK) {
        ph_policy_signature(&key, out->policy, out->signature);
        ph_wipe(&key, sizeof key);
    }
    return err;
}

/* see policy.h */
int ph_policy_sign(const ph_policy *in, ph_sigv4_key *key, ph_policy_form *out)
{
    memset(out, 0, sizeof *out);
    ph_buf_init(&out->buf[0], 1024);
    ph_buf_init(&out->buf[1], MAX_FORM);
    const ph_creds *creds = in->creds;
    if (!creds || creds->access_key_id.len == 0 || creds->secret_access_key.len == 0 ||
        in->bucket.len == 0 || in->region.len == 0 || in->min_size > in->max_size ||
        in->expires_ms <= in->now_ms)
        return PH_ERR_BAD_ARG;
    int err = sign(in, key, out);
    if (err != PH_OK)
        ph_policy_form_clear(out);
    return err;
}

/* see policy.h */
void ph_policy_form_clear(ph_policy_form *f)
{
    ph_buf_clear(&f->buf[0]);
    ph_buf_clear(&f->buf[1]);
    ph_wipe(f, sizeof *f);
}
