/* SPDX-License-Identifier: MIT
 *
 * The documents in which credentials come, and their end. Whatever was copied is wiped when it is
 * released; json.c wipes the parsed document.
 */
#include "creds.h"

#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "endpoint.h"
#include "json.h"
#include "str.h"

#define MAX_DOCUMENT (64u << 10)
#define MAX_HEADERS 32

/* Printable ASCII: what becomes a header must not be able to end it and begin another. */
static bool is_printable(ph_str s, char first)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < first || s.ptr[i] > '~')
            return false;
    return true;
}

/* see creds.h */
int ph_creds_copy(const ph_creds *from, ph_creds *out)
{
    memset(out, 0, sizeof *out);
    if (!from->access_key_id.len || !from->secret_access_key.len ||
        !is_printable(from->access_key_id, '!') || !is_printable(from->session_token, '!'))
        return PH_ERR_BAD_CREDENTIALS;
    out->expires_ms = from->expires_ms;
    int err = ph_str_copy(from->access_key_id, &out->access_key_id);
    if (err == PH_OK)
        err = ph_str_copy(from->secret_access_key, &out->secret_access_key);
    if (err == PH_OK)
        err = ph_str_copy(from->session_token, &out->session_token);
    if (err != PH_OK)
        ph_creds_clear(out);
    return err;
}

/* see creds.h */
void ph_creds_clear(ph_creds *c)
{
    ph_str_free(&c->access_key_id);
    ph_str_free(&c->secret_access_key);
    ph_str_free(&c->session_token);
    c->expires_ms = 0;
}

/* see creds.h */
uint64_t ph_creds_renew_ms(const ph_creds *c, uint64_t now_ms)
{
    if (c->expires_ms == 0)
        return UINT64_MAX;
    if (c->expires_ms <= now_ms)
        return now_ms;
    return now_ms + (c->expires_ms - now_ms) / 5 * 4;
}

/* ---- Documents ------------------------------------------------------------------------------- */

/* The first of the two spellings that is there. */
static const ph_json *either(const ph_json *in, const char *upper, const char *lower)
{
    const ph_json *found = ph_json_member(in, upper);
    return ph_json_is_null(found) ? ph_json_member(in, lower) : found;
}

/* Numbers below 10^11 (the year 5138 in seconds, 1973 in milliseconds) are seconds. */
static int read_date(const ph_json *value, uint64_t *out_ms)
{
    if (ph_json_is_null(value))
        return PH_OK;
    uint64_t number;
    if (ph_json_floor(value, &number)) {
        *out_ms = number < UINT64_C(100000000000) ? number * 1000 : number;
        return PH_OK;
    }
    return ph_date_parse(ph_json_text(value), out_ms);
}

/* A text that may be left out, but not be something else: a bucket of the wrong type must not lead
 * into the bucket of the options. */
static bool read_text(const ph_json *value, ph_str *out)
{
    *out = ph_json_text(value);
    return out->ptr || ph_json_is_null(value);
}

static int read_creds(const ph_json *from, ph_creds *out)
{
    ph_creds c = {0};
    if (!read_text(either(from, "AccessKeyId", "accessKeyId"), &c.access_key_id) ||
        !read_text(either(from, "SecretAccessKey", "secretAccessKey"), &c.secret_access_key) ||
        !read_text(either(from, "SessionToken", "sessionToken"), &c.session_token) ||
        read_date(either(from, "Expiration", "expiration"), &c.expires_ms) != PH_OK)
        return PH_ERR_BAD_CREDENTIALS;
    return ph_creds_copy(&c, out);
}

/* May this be a header of the presigned request? */
static bool is_header(ph_str name, ph_str value)
{
    return name.len && is_printable(name, '!') && ph_str_find(name, ':') == name.len && value.ptr &&
           is_printable(value, ' ');
}

static int read_headers(const ph_json *from, ph_grant *out)
{
    if (ph_json_is_null(from))
        return PH_OK;
    if (!ph_json_is_object(from))
        return PH_ERR_BAD_CREDENTIALS;
    out->headers = calloc(MAX_HEADERS, sizeof *out->headers);
    if (!out->headers)
        return PH_ERR_NOMEM;
    for (const ph_json *h = ph_json_first(from); h; h = ph_json_next(h)) {
        ph_header *to = &out->headers[out->header_count];
        ph_str name = ph_json_name(h), value = ph_json_text(h);
        if (out->header_count == MAX_HEADERS || !is_header(name, value))
            return PH_ERR_BAD_CREDENTIALS;
        out->header_count++;
        int err = ph_str_copy(name, &to->name);
        if (err == PH_OK)
            err = ph_str_copy(value, &to->value);
        if (err != PH_OK)
            return err;
    }
    return PH_OK;
}

static int read_grant(const ph_json *doc, ph_grant *out)
{
    int err = PH_OK;
    if (ph_str_equal(ph_json_member_text(doc, "uploadType"), PH_STR("put"))) {
        ph_str url = ph_json_member_text(doc, "url");
        ph_url parts;
        if (ph_url_parse(url, &parts) != PH_OK)
            return PH_ERR_BAD_CREDENTIALS;
        err = ph_str_copy(url, &out->url);
        if (err == PH_OK)
            err = read_headers(ph_json_member(doc, "headers"), out);
        /* What is no date says nothing. */
        read_date(ph_json_member(doc, "expires"), &out->url_expires_ms);
        out->new_key = ph_json_is_true(ph_json_member(doc, "newKey"));
    } else {
        const ph_json *inner = either(doc, "Credentials", "credentials");
        err = read_creds(ph_json_is_null(inner) ? doc : inner, &out->creds);
    }
    const struct {
        const char *name;
        ph_str *to;
    } texts[] = {{"bucket", &out->bucket},
                 {"key", &out->key},
                 {"region", &out->region},
                 {"endpoint", &out->endpoint}};
    for (size_t i = 0; err == PH_OK && i < sizeof texts / sizeof texts[0]; i++) {
        ph_str text;
        err = read_text(ph_json_member(doc, texts[i].name), &text) ? ph_str_copy(text, texts[i].to)
                                                                   : PH_ERR_BAD_CREDENTIALS;
    }
    if (err == PH_OK && read_date(ph_json_member(doc, "serverTime"), &out->server_time_ms) != PH_OK)
        err = PH_ERR_BAD_CREDENTIALS;
    return err;
}

/* see creds.h */
int ph_grant_parse(ph_str text, ph_grant *out)
{
    memset(out, 0, sizeof *out);
    if (text.len > MAX_DOCUMENT)
        return PH_ERR_BAD_JSON;
    ph_json *doc;
    int err = ph_json_parse(text, &doc);
    if (err != PH_OK)
        return err;
    err = ph_json_is_object(doc) ? read_grant(doc, out) : PH_ERR_BAD_CREDENTIALS;
    ph_json_free(doc);
    if (err != PH_OK)
        ph_grant_clear(out);
    return err;
}

/* see creds.h */
void ph_grant_clear(ph_grant *g)
{
    ph_creds_clear(&g->creds);
    ph_str_free(&g->url);
    for (size_t i = 0; i < g->header_count; i++) {
        ph_str_free(&g->headers[i].name);
        ph_str_free(&g->headers[i].value);
    }
    free(g->headers);
    g->headers = NULL;
    g->header_count = 0;
    ph_str_free(&g->bucket);
    ph_str_free(&g->key);
    ph_str_free(&g->region);
    ph_str_free(&g->endpoint);
    g->server_time_ms = 0;
}
