/* SPDX-License-Identifier: MIT
 *
 * See introspect.h. The tokeninfo URL wants the token in its query, where servers log it; that is
 * its protocol, and a reason to prefer RFC 7662 where there is a choice.
 */
#include "introspect.h"

#include <string.h>

#include "core/enc.h"
#include "core/str.h"
#include "fetch.h"

#define TIMEOUT_MS 5000

static api_verdict refuse(api_problem problem, const char *detail)
{
    return (api_verdict){problem, detail};
}

static int ask_introspection(const api_issuer *issuer, ph_str token, api_fetched *got)
{
    ph_header headers[3] = {
        {PH_STR("content-type"), PH_STR("application/x-www-form-urlencoded")},
        {PH_STR("accept"), PH_STR("application/json")},
        {PH_STR("authorization"), issuer->introspection_auth},
    };
    ph_buf body;
    ph_buf_init(&body, 65536);
    ph_enc_form(&body, "token", token);
    ph_enc_form(&body, "token_type_hint", PH_STR("access_token"));
    api_fetch ask = {.method = "POST",
                     .url = issuer->introspection_url,
                     .headers = headers,
                     .header_count = issuer->introspection_auth.ptr ? 3 : 2,
                     .body = ph_buf_view(&body),
                     .timeout_ms = TIMEOUT_MS};
    int err = body.err;
    if (err == PH_OK)
        err = api_fetch_ask(&ask, got);
    ph_buf_clear(&body);
    return err;
}

static int ask_tokeninfo(const api_issuer *issuer, ph_str token, api_fetched *got)
{
    ph_buf url;
    ph_buf_init(&url, 65536);
    ph_buf_str(&url, issuer->tokeninfo_url);
    bool query = ph_str_find(issuer->tokeninfo_url, '?') < issuer->tokeninfo_url.len;
    ph_buf_cstr(&url, query ? "&access_token=" : "?access_token=");
    ph_enc_percent(&url, token, false);
    api_fetch ask = {.method = "GET", .url = ph_buf_view(&url), .timeout_ms = TIMEOUT_MS};
    int err = url.err;
    if (err == PH_OK)
        err = api_fetch_ask(&ask, got);
    ph_buf_clear(&url);
    return err;
}

/* A 4xx of tokeninfo is about the token; of introspection it is about our own right to ask. */
static api_verdict read_answer(const api_issuer *issuer, const api_fetched *got, ph_json **claims)
{
    bool tokeninfo = !issuer->introspection_url.ptr;
    if (tokeninfo && got->status >= 400 && got->status < 500 && got->status != 429)
        return refuse(API_TOKEN_INVALID, "the token's issuer does not know it");
    if (got->status != 200)
        return refuse(API_ISSUER_UNREACHABLE, NULL);
    if (ph_json_parse(ph_buf_view(&got->body), claims) != PH_OK || !ph_json_is_object(*claims))
        return refuse(API_ISSUER_UNREACHABLE,
                      "the token's issuer sent a response that is not JSON");
    if (!tokeninfo && !ph_json_is_true(ph_json_member(*claims, "active")))
        return refuse(API_TOKEN_INVALID, "the token's issuer says that it is not active");
    return refuse(API_NO_PROBLEM, NULL);
}

/* see introspect.h */
api_verdict api_issuer_ask(const api_issuer *issuer, ph_str token, ph_json **claims)
{
    *claims = NULL;
    api_fetched got;
    memset(&got, 0, sizeof got);
    int err = issuer->introspection_url.ptr ? ask_introspection(issuer, token, &got)
                                            : ask_tokeninfo(issuer, token, &got);
    api_verdict verdict = refuse(API_ISSUER_UNREACHABLE, NULL);
    if (err == PH_OK)
        verdict = read_answer(issuer, &got, claims);
    ph_buf_clear(&got.body);
    if (verdict.problem != API_NO_PROBLEM) {
        ph_json_free(*claims);
        *claims = NULL;
    }
    return verdict;
}

/* see introspect.h */
uint64_t api_issuer_expires_ms(const ph_json *claims, uint64_t now_ms)
{
    uint64_t seconds;
    if (!ph_json_floor(ph_json_member(claims, "expires_in"), &seconds) || seconds > UINT32_MAX)
        return UINT64_MAX;
    return now_ms + seconds * 1000;
}

/* see introspect.h */
int api_issuer_auth(ph_str text, ph_buf *out)
{
    text = ph_str_trim(text);
    if (ph_str_starts(text, PH_STR("Bearer "))) {
        ph_buf_str(out, text);
        return out->err;
    }
    ph_str secret = text;
    ph_str id = ph_str_cut(&secret, ':');
    if (id.len == 0 || !secret.ptr)
        return PH_ERR_BAD_CREDENTIALS;
    ph_buf pair;
    ph_buf_init(&pair, 4096);
    ph_enc_percent(&pair, id, false);
    ph_buf_char(&pair, ':');
    ph_enc_percent(&pair, secret, false);
    ph_buf_cstr(out, "Basic ");
    ph_enc_base64(out, pair.ptr, pair.len);
    int err = pair.err != PH_OK ? pair.err : out->err;
    ph_buf_clear(&pair);
    return err;
}
