/* SPDX-License-Identifier: MIT
 *
 * Credentials. The API's answer is not passed on as it is: it may say where objects go, and here
 * the command line has said that already. What it lends must reach as far as the object's key,
 * which is better known before the bytes are sent than after.
 */
#include "login.h"

#include <string.h>

#include "cli.h"
#include "core/endpoint.h"
#include "core/json.h"
#include "core/json_out.h"
#include "core/str.h"

#define MAX_DOCUMENT (64u << 10)
#define MAX_DETAIL 192 /* a failure's message has 256 */
#define BEARER "Bearer "

/* ---- Asking ---------------------------------------------------------------------------------- */

static bool is_header_value(ph_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= 0x20 || s.ptr[i] > 0x7e)
            return false;
    return s.len > 0;
}

static int join(const char *before, ph_str text, const char *behind, ph_str *out)
{
    ph_buf b;
    ph_buf_init(&b, MAX_DOCUMENT);
    ph_buf_cstr(&b, before);
    ph_buf_str(&b, text);
    ph_buf_cstr(&b, behind);
    int err = b.err == PH_OK ? ph_str_copy(ph_buf_view(&b), out) : b.err;
    ph_buf_clear(&b);
    return err;
}

static int fill(login *l, ph_str base, const char *path, ph_str token, ph_str api_key)
{
    ph_url url;
    if (ph_url_parse(base, &url) != PH_OK || url.query.ptr || ph_str_find(base, ' ') < base.len)
        return PH_ERR_BAD_ENDPOINT;
    if ((token.len && !is_header_value(token)) || (api_key.len && !is_header_value(api_key)))
        return PH_ERR_BAD_HEADER;
    while (ph_str_ends(base, PH_STR("/")))
        base.len--;
    int err = join("", base, path, &l->url);
    if (err == PH_OK && token.len)
        err = join(BEARER, token, "", &l->bearer);
    if (err == PH_OK && api_key.len)
        err = ph_str_copy(api_key, &l->api_key);
    if (err != PH_OK)
        login_clear(l);
    return err;
}

/* see login.h */
int login_start(login *l, const char *command, ph_str base, const char *path, ph_str token,
                ph_str api_key)
{
    memset(l, 0, sizeof *l);
    if (!token.len && !api_key.len)
        return cli_usage(command, "--api requires a --token, or PARTHAUL_TOKEN in the "
                                  "environment, or an API key");
    int err = fill(l, base, path, token, api_key);
    if (err == PH_ERR_BAD_ENDPOINT)
        return cli_usage(command, "the --api is not an http or https URL");
    if (err != PH_OK)
        return cli_usage(command, "the --token is not a JWT, or the API key is invalid");
    return CLI_DONE;
}

/* see login.h */
void login_clear(login *l)
{
    ph_str_free(&l->url);
    ph_str_free(&l->bearer);
    ph_str_free(&l->api_key);
}

/* see login.h */
size_t login_headers(const login *l, ph_header out[LOGIN_HEADERS])
{
    size_t n = 0;
    out[n++] = (ph_header){PH_STR("accept"), PH_STR("application/json")};
    if (l->bearer.len)
        out[n++] = (ph_header){PH_STR("authorization"), l->bearer};
    if (l->api_key.len)
        out[n++] = (ph_header){PH_STR("x-api-key"), l->api_key};
    return n;
}

/* ---- Documents for the engine ---------------------------------------------------------------- */

static void open_document(ph_buf *b, const ph_creds *c)
{
    ph_json_open(b, NULL);
    ph_json_add_text(b, "accessKeyId", c->access_key_id);
    ph_json_add_text(b, "secretAccessKey", c->secret_access_key);
    ph_json_add_text(b, "sessionToken", c->session_token);
    if (c->expires_ms)
        ph_json_add_u64(b, "expiration", c->expires_ms);
}

/* see login.h */
bool login_environment(ph_buf *document)
{
    ph_creds creds;
    if (!cli_creds(&creds))
        return false;
    open_document(document, &creds);
    ph_json_close(document);
    return true;
}

/* ---- Answers --------------------------------------------------------------------------------- */

static int err_of_status(int status)
{
    switch (status) {
    case 200: return PH_OK;
    case 401: return PH_ERR_SIGN_IN;
    case 403: return PH_ERR_FORBIDDEN;
    case 408:
    case 429: return PH_ERR_NO_CREDENTIALS;
    default: return status >= 500 ? PH_ERR_NO_CREDENTIALS : PH_ERR_BAD_CREDENTIALS;
    }
}

/*
 * Our API gives its reasons as RFC 9457's problem details; others may not. Some gateways quote the
 * header that they do not like.
 */
static void explain(const login *l, int err, int status, const ph_json *doc, ph_buf *why)
{
    ph_str token = ph_str_skip(l->bearer, l->bearer.len ? sizeof BEARER - 1 : 0);
    ph_str detail = ph_json_member_text(doc, "detail");
    if (!detail.len) /* gateways say no more than this */
        detail = ph_json_member_text(doc, "message");
    if (cli_quotes(detail, token) || cli_quotes(detail, l->api_key))
        detail.len = 0;
    ph_buf_cstr(why, ph_err_text(err));
    ph_buf_cstr(why, " (");
    if (detail.len) {
        char text[MAX_DETAIL];
        ph_text_copy(text, sizeof text, detail);
        ph_buf_cstr(why, text);
    } else {
        ph_buf_cstr(why, "HTTP ");
        ph_buf_u64(why, (uint64_t)status);
    }
    ph_buf_cstr(why, ")");
}

/* see login.h */
int login_refusal(const login *l, int status, ph_str body, ph_buf *why)
{
    ph_json *doc = NULL;
    int err = err_of_status(status);
    if (err == PH_OK)
        return PH_OK;
    if (ph_json_parse(body, &doc) != PH_OK)
        doc = NULL;
    explain(l, err, status, doc, why);
    ph_json_free(doc);
    return err;
}

static bool reaches(const login *l, const ph_grant *g, ph_str prefix, ph_buf *why)
{
    if (g->bucket.len && !ph_str_equal(g->bucket, l->bucket)) {
        ph_buf_cstr(why, "the credentials API lends credentials for the bucket ");
        ph_buf_str(why, g->bucket);
        ph_buf_cstr(why, ", not for ");
        ph_buf_str(why, l->bucket);
        return false;
    }
    if (!ph_str_starts(l->key, prefix)) {
        ph_buf_cstr(why, "the credentials API lends credentials for keys that begin with ");
        ph_buf_str(why, prefix);
        return false;
    }
    return true;
}

static int make_document(const login *l, const ph_grant *g, ph_buf *b)
{
    if (!g->creds.access_key_id.len)
        return PH_ERR_BAD_CREDENTIALS;
    open_document(b, &g->creds);
    if (g->server_time_ms)
        ph_json_add_u64(b, "serverTime", g->server_time_ms);
    if (!l->region.len)
        ph_json_add_text(b, "region", g->region);
    if (!l->endpoint.len)
        ph_json_add_text(b, "endpoint", g->endpoint);
    ph_json_close(b);
    return b->err;
}

/* see login.h */
int login_answer(const login *l, int status, ph_str body, ph_buf *document, ph_buf *why)
{
    ph_json *doc = NULL;
    ph_grant grant;
    int err = login_refusal(l, status, body, why);
    if (err != PH_OK)
        return err;
    err = ph_json_parse(body, &doc);
    if (err != PH_OK)
        return err == PH_ERR_NOMEM ? err : PH_ERR_BAD_JSON;
    err = ph_grant_parse(body, &grant);
    if (err == PH_OK) {
        err = reaches(l, &grant, ph_json_member_text(doc, "prefix"), why)
                  ? make_document(l, &grant, document)
                  : PH_ERR_FORBIDDEN;
        ph_grant_clear(&grant);
    }
    ph_json_free(doc);
    return err;
}
