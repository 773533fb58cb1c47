/* SPDX-License-Identifier: MIT
 *
 * Tokens, checked in this order: form, header, signature, claims. Nothing in a payload is looked at
 * before its signature was found good. Follows RFC 7515, 7519 and 8725; the JSON of header and
 * claims is read by the core's strict reader, which refuses a member given twice. Of the header
 * members that name a key only `kid` is looked at, and only compared: jku, jwk, x5u and x5c would
 * let a token bring its own (RFC 8725, 3.10).
 */
#include "jwt.h"

#include <string.h>

#include "core/str.h"

/* ---- Form and header ------------------------------------------------------------------------- */

static api_verdict refuse(api_problem problem, const char *detail)
{
    return (api_verdict){problem, detail};
}

static bool split(ph_str text, api_token *out)
{
    ph_str rest = text;
    out->header = ph_str_cut(&rest, '.');
    out->payload = rest.ptr ? ph_str_cut(&rest, '.') : rest;
    out->signature = rest;
    return out->header.len > 0 && out->payload.len > 0 && out->signature.len > 0 &&
           ph_str_find(out->signature, '.') == out->signature.len;
}

/* Decode what has to be a JSON object. */
static bool decode_object(ph_str base64url, ph_json **out)
{
    *out = NULL;
    char bytes[API_TOKEN_MAX];
    size_t len = api_base64url_decode(base64url, bytes, sizeof bytes);
    if (len != SIZE_MAX && ph_json_parse((ph_str){bytes, len}, out) == PH_OK &&
        !ph_json_is_object(*out)) {
        ph_json_free(*out);
        *out = NULL;
    }
    if (len != SIZE_MAX)
        ph_wipe(bytes, len);
    return *out != NULL;
}

/* see jwt.h */
api_verdict api_token_open(ph_str text, api_token *out)
{
    memset(out, 0, sizeof *out);
    if (text.len > API_TOKEN_MAX)
        return refuse(API_TOKEN_INVALID, "the token is longer than 8 KiB");
    if (!split(text, out))
        return refuse(API_TOKEN_INVALID, "the token does not have three parts separated by dots");
    if (!decode_object(out->header, &out->head))
        return refuse(API_TOKEN_INVALID, "the token's header is not a JSON object in base64url");
    const ph_json *kid = ph_json_member(out->head, "kid");
    out->alg = ph_json_member_text(out->head, "alg");
    out->type = ph_json_member_text(out->head, "typ");
    out->kid = ph_json_text(kid);
    if (kid && !out->kid.ptr)
        return refuse(API_TOKEN_INVALID, "the token's key id is not a string");
    /* RFC 7515, 4.1.11: we understand no extension; RFC 7797, 7: this one is in no JWT. */
    if (ph_json_member(out->head, "crit") || ph_json_member(out->head, "b64"))
        return refuse(API_TOKEN_INVALID,
                      "the token requires an extension that is not supported (crit)");
    return refuse(API_NO_PROBLEM, NULL);
}

/* see jwt.h */
void api_token_close(api_token *t)
{
    ph_json_free(t->head);
    t->head = NULL;
}

/* see jwt.h */
api_verdict api_token_verify(const api_token *t, const api_keyset *keys, bool *unknown_kid)
{
    *unknown_kid = !t->kid.ptr;
    switch (api_keyset_verify(keys, t->alg, t->kid, t->header, t->payload, t->signature)) {
    case API_SIGNED: *unknown_kid = false; return refuse(API_NO_PROBLEM, NULL);
    case API_NOT_SIGNED:
        return refuse(API_TOKEN_INVALID, "the token's signature is not that of a configured key");
    case API_OTHER_ALG:
        return refuse(API_TOKEN_INVALID, "the token is signed by an algorithm that is not the "
                                         "configured key's");
    case API_NO_SUCH_KEY: break;
    }
    *unknown_kid = true;
    return refuse(API_TOKEN_INVALID, "the token is signed with an unknown key");
}

/* see jwt.h */
api_verdict api_token_claims(const api_token *t, ph_json **out)
{
    if (decode_object(t->payload, out))
        return refuse(API_NO_PROBLEM, NULL);
    return refuse(API_TOKEN_INVALID, "the token's claims are not a JSON object in base64url");
}

/* see jwt.h */
api_verdict api_type_check(const api_claim_rules *rules, ph_str type)
{
    if (!rules->type.ptr)
        return refuse(API_NO_PROBLEM, NULL);
    static const ph_str media = {"application/", 12}; /* RFC 7515, 4.1.9: may be left away */
    if (type.len > media.len && ph_str_equal_nocase((ph_str){type.ptr, media.len}, media))
        type = ph_str_skip(type, media.len);
    if (type.ptr && ph_str_equal_nocase(type, rules->type))
        return refuse(API_NO_PROBLEM, NULL);
    return refuse(API_TOKEN_INVALID, "the token's type (typ) is not accepted");
}

/* ---- Claims ---------------------------------------------------------------------------------- */

/* Is `value` this text, or an array that holds it? */
static bool holds(const ph_json *value, ph_str wanted)
{
    if (!ph_json_is_array(value))
        return ph_json_text(value).ptr && ph_str_equal(ph_json_text(value), wanted);
    for (const ph_json *v = ph_json_first(value); v; v = ph_json_next(v))
        if (ph_json_text(v).ptr && ph_str_equal(ph_json_text(v), wanted))
            return true;
    return false;
}

/* A NumericDate; false when it is there and is none. An absent one leaves `*out_ms` as it is. */
static bool read_time(const ph_json *value, uint64_t *out_ms)
{
    uint64_t seconds;
    if (!value)
        return true;
    if (!ph_json_floor(value, &seconds))
        return false;
    *out_ms = seconds * 1000; /* at most 2^53 * 1000: fits */
    return true;
}

static api_verdict check_times(const api_claim_rules *rules, const ph_json *claims, bool issued,
                               uint64_t now_ms, uint64_t *expires_ms)
{
    uint64_t exp = UINT64_MAX, nbf = 0, iat = 0;
    if (issued && !ph_json_member(claims, "exp"))
        return refuse(API_TOKEN_INVALID, "the token has no expiry (exp)");
    if (!read_time(ph_json_member(claims, "exp"), &exp) ||
        !read_time(ph_json_member(claims, "nbf"), &nbf) ||
        !read_time(ph_json_member(claims, "iat"), &iat))
        return refuse(API_TOKEN_INVALID, "a date of the token is not a number of seconds");
    *expires_ms = exp == UINT64_MAX ? exp : exp + rules->leeway_ms;
    if (now_ms >= *expires_ms)
        return refuse(API_TOKEN_EXPIRED, NULL);
    if (nbf > now_ms + rules->leeway_ms || iat > now_ms + rules->leeway_ms)
        return refuse(API_TOKEN_NOT_YET, NULL);
    return refuse(API_NO_PROBLEM, NULL);
}

/* One of the required claims: "name" has to be there, "name=value" to be or to hold the value. */
static bool has_required(const ph_json *claims, ph_str requirement)
{
    char name[128];
    ph_str value = requirement;
    ph_str key = ph_str_trim(ph_str_cut(&value, '='));
    if (key.len >= sizeof name)
        return false;
    memcpy(name, key.ptr, key.len);
    name[key.len] = '\0';
    const ph_json *claim = ph_json_member(claims, name);
    if (!value.ptr)
        return claim != NULL;
    value = ph_str_trim(value);
    return holds(claim, value) || (ph_json_is_true(claim) && ph_str_equal(value, PH_STR("true")));
}

static void add_scope(ph_buf *out, ph_str scope)
{
    if (scope.len == 0)
        return;
    if (out->len > 0)
        ph_buf_char(out, ' ');
    ph_buf_str(out, scope);
}

/* see jwt.h */
void api_claims_scopes(const ph_json *claims, ph_buf *out)
{
    const ph_json *scope = ph_json_member(claims, "scope");
    if (!scope)
        scope = ph_json_member(claims, "scp");
    if (!ph_json_is_array(scope)) {
        add_scope(out, ph_json_text(scope));
        return;
    }
    for (const ph_json *s = ph_json_first(scope); s; s = ph_json_next(s))
        if (ph_str_find(ph_json_text(s), ' ') == ph_json_text(s).len)
            add_scope(out, ph_json_text(s));
}

static bool has_scope(ph_str scopes, ph_str wanted)
{
    while (scopes.ptr)
        if (ph_str_equal(ph_str_cut(&scopes, ' '), wanted))
            return true;
    return false;
}

/* see jwt.h */
bool api_scopes_cover(ph_str scopes, ph_str wanted)
{
    while (wanted.ptr) {
        ph_str one = ph_str_cut(&wanted, ' ');
        if (one.len > 0 && !has_scope(scopes, one))
            return false;
    }
    return true;
}

static api_verdict check_rights(const api_claim_rules *rules, const ph_json *claims)
{
    for (ph_str rest = rules->required; rest.ptr;)
        if (!has_required(claims, ph_str_cut(&rest, ',')))
            return refuse(API_FORBIDDEN, "the token lacks a required claim");
    ph_buf scopes;
    ph_buf_init(&scopes, API_TOKEN_MAX);
    api_claims_scopes(claims, &scopes);
    bool covered = api_scopes_cover(ph_buf_view(&scopes), rules->scope);
    int err = scopes.err;
    ph_buf_clear(&scopes);
    if (err == PH_ERR_NOMEM)
        return refuse(API_INTERNAL, NULL);
    return refuse(covered ? API_NO_PROBLEM : API_SCOPE_MISSING, NULL);
}

/* see jwt.h */
api_verdict api_claims_check(const api_claim_rules *rules, const ph_json *claims, bool issued,
                             uint64_t now_ms, uint64_t *expires_ms)
{
    *expires_ms = UINT64_MAX;
    const ph_json *iss = ph_json_member(claims, "iss"), *aud = ph_json_member(claims, "aud");
    ph_str issuer = ph_json_text(iss);
    if ((issued || (iss && rules->issuer.ptr)) &&
        (!issuer.ptr || !ph_str_equal(issuer, rules->issuer)))
        return refuse(API_TOKEN_WRONG_ISSUER, NULL);
    if ((issued || (aud && rules->audience.ptr)) && !holds(aud, rules->audience))
        return refuse(API_TOKEN_WRONG_AUDIENCE, NULL);
    api_verdict verdict = check_times(rules, claims, issued, now_ms, expires_ms);
    if (verdict.problem != API_NO_PROBLEM)
        return verdict;
    if (issued && ph_json_member_text(claims, "sub").len == 0)
        return refuse(API_TOKEN_INVALID, "the token has no subject (sub)");
    return check_rights(rules, claims);
}
