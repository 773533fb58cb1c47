/* SPDX-License-Identifier: MIT
 *
 * See auth.h. What is remembered of a good token is what came out of it: user, prefix and scopes,
 * under the token's SHA-256. So the many requests of one page cost one verification a minute, and a
 * key that is withdrawn stops to count within that minute.
 */
#include "auth.h"

#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/json_out.h"
#include "core/str.h"
#include "introspect.h"
#include "jwks.h"
#include "prefix.h"
#include "table.h"

#define REMEMBER_MS (UINT64_C(60) * 1000)
#define REMEMBERED 8192
#define TEXT_MAX 10240 /* of a user's name, prefix and scopes together */

/* A good token's outcome: three texts one after the other. */
typedef struct known {
    char *texts;
    size_t user_len, prefix_len, scopes_len;
    uint64_t until_ms;
} known;

struct api_auth {
    const api_config *config;
    api_jwks *jwks; /* NULL: no URL is configured */
    api_issuer issuer;
    api_claim_rules rules;
    api_table *tokens;
};

static api_verdict refuse(api_problem problem, const char *detail)
{
    return (api_verdict){problem, detail};
}

/* ---- Identities ------------------------------------------------------------------------------ */

/* see auth.h */
void api_identity_init(api_identity *i)
{
    ph_buf_init(&i->user, API_USER_MAX);
    ph_buf_init(&i->prefix, 1024);
    ph_buf_init(&i->scopes, API_TOKEN_MAX);
}

/* see auth.h */
void api_identity_clear(api_identity *i)
{
    ph_buf_clear(&i->user);
    ph_buf_clear(&i->prefix);
    ph_buf_clear(&i->scopes);
}

static api_verdict fill(const api_config *config, const ph_json *claims, api_identity *out)
{
    ph_str name = ph_json_member_text(claims, config->user_claim);
    if (name.len == 0)
        return refuse(API_FORBIDDEN, "the token lacks the claim with the user's id");
    if (name.len > API_USER_MAX)
        return refuse(API_FORBIDDEN, "the user's id is longer than 1,024 bytes");
    ph_buf_str(&out->user, name);
    api_claims_scopes(claims, &out->scopes);
    api_verdict verdict = api_prefix_make(config->prefix, claims, &out->prefix);
    if (verdict.problem == API_NO_PROBLEM && (out->user.err != PH_OK || out->scopes.err != PH_OK))
        verdict = refuse(API_INTERNAL, NULL);
    return verdict;
}

/* ---- What is remembered ---------------------------------------------------------------------- */

static void forget(void *value)
{
    known *k = value;
    free(k->texts);
    k->texts = NULL;
}

static bool recall(api_auth *a, const uint8_t digest[PH_SHA256_LEN], uint64_t now_ms,
                   api_identity *out)
{
    const known *k = api_table_lock(a->tokens, digest, false);
    /* A clock that was put back must not prolong anything. */
    bool fresh = k && now_ms < k->until_ms && k->until_ms <= now_ms + REMEMBER_MS;
    if (fresh) {
        const char *text = k->texts;
        ph_buf_add(&out->user, text, k->user_len);
        ph_buf_add(&out->prefix, text + k->user_len, k->prefix_len);
        ph_buf_add(&out->scopes, text + k->user_len + k->prefix_len, k->scopes_len);
    }
    api_table_unlock(a->tokens);
    return fresh && out->user.err == PH_OK && out->prefix.err == PH_OK && out->scopes.err == PH_OK;
}

static void remember(api_auth *a, const uint8_t digest[PH_SHA256_LEN], uint64_t now_ms,
                     uint64_t expires_ms, const api_identity *who)
{
    ph_buf texts; /* its memory is handed over */
    ph_buf_init(&texts, TEXT_MAX);
    ph_buf_str(&texts, ph_buf_view(&who->user));
    ph_buf_str(&texts, ph_buf_view(&who->prefix));
    ph_buf_str(&texts, ph_buf_view(&who->scopes));
    if (texts.err != PH_OK) {
        ph_buf_clear(&texts);
        return;
    }
    uint64_t until_ms = now_ms + REMEMBER_MS;
    known *k = api_table_lock(a->tokens, digest, true);
    forget(k);
    *k = (known){texts.ptr, who->user.len, who->prefix.len, who->scopes.len,
                 until_ms < expires_ms ? until_ms : expires_ms};
    api_table_unlock(a->tokens);
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

/* see auth.h */
api_auth *api_auth_new(const api_config *config)
{
    api_auth *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->config = config;
    a->rules = (api_claim_rules){
        .issuer = config->issuer,
        .audience = config->audience,
        .type = config->token_type,
        .scope = config->scope,
        .required = config->required_claims,
        .leeway_ms = (uint64_t)config->leeway_seconds * 1000,
    };
    a->issuer =
        (api_issuer){config->introspection_url, config->introspection_auth, config->tokeninfo_url};
    a->tokens = api_table_new(REMEMBERED, sizeof(known), forget);
    if (config->jwks_url.ptr)
        a->jwks = api_jwks_new(config->jwks_url, config->rsa_alg, config->jwks_seconds,
                               config->jwks_guard_seconds);
    if (a->tokens && (a->jwks || !config->jwks_url.ptr))
        return a;
    api_auth_free(a);
    return NULL;
}

/* see auth.h */
void api_auth_free(api_auth *a)
{
    if (!a)
        return;
    api_table_free(a->tokens);
    api_jwks_free(a->jwks);
    free(a);
}

/* By the keys of the files, else by those of the URL, which are fetched anew where need be. */
static api_verdict verify(api_auth *a, const api_token *t, uint64_t now_ms, bool may_wait)
{
    bool unknown = true;
    api_verdict verdict = refuse(API_TOKEN_INVALID, NULL);
    if (a->config->keys)
        verdict = api_token_verify(t, a->config->keys, &unknown);
    if (verdict.problem == API_NO_PROBLEM || !a->jwks)
        return verdict;
    for (int again = 0; again < 2; again++) {
        bool would_wait;
        api_keyset *keys = api_jwks_keys(a->jwks, again > 0, now_ms, may_wait, &would_wait);
        if (would_wait)
            return refuse(API_WOULD_WAIT, NULL);
        if (!keys)
            return refuse(API_ISSUER_UNREACHABLE, NULL);
        verdict = api_token_verify(t, keys, &unknown);
        api_keyset_free(keys);
        if (verdict.problem == API_NO_PROBLEM || !unknown)
            break;
    }
    return verdict;
}

static api_verdict check_jwt(api_auth *a, ph_str text, uint64_t now_ms, bool may_wait,
                             uint64_t *expires_ms, ph_json **claims)
{
    api_token t;
    api_verdict verdict = api_token_open(text, &t);
    if (verdict.problem == API_NO_PROBLEM)
        verdict = verify(a, &t, now_ms, may_wait);
    if (verdict.problem == API_NO_PROBLEM)
        verdict = api_type_check(&a->rules, t.type);
    if (verdict.problem == API_NO_PROBLEM)
        verdict = api_token_claims(&t, claims);
    api_token_close(&t);
    if (verdict.problem == API_NO_PROBLEM)
        verdict = api_claims_check(&a->rules, *claims, true, now_ms, expires_ms);
    return verdict;
}

static bool is_visible(ph_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    return true;
}

static api_verdict check_opaque(api_auth *a, ph_str text, uint64_t now_ms, bool may_wait,
                                uint64_t *expires_ms, ph_json **claims)
{
    if (text.len > API_TOKEN_MAX || !is_visible(text))
        return refuse(API_TOKEN_INVALID, "the token has an invalid form");
    if (!may_wait)
        return refuse(API_WOULD_WAIT, NULL);
    api_verdict verdict = api_issuer_ask(&a->issuer, text, claims);
    if (verdict.problem == API_NO_PROBLEM)
        verdict = api_claims_check(&a->rules, *claims, false, now_ms, expires_ms);
    uint64_t end_ms = api_issuer_expires_ms(*claims, now_ms);
    if (end_ms < *expires_ms)
        *expires_ms = end_ms;
    return verdict;
}

static api_verdict check_token(api_auth *a, ph_str text, uint64_t now_ms, bool may_wait,
                               api_identity *out)
{
    uint8_t digest[PH_SHA256_LEN];
    ph_sha256(text.ptr, text.len, digest);
    if (recall(a, digest, now_ms, out))
        return refuse(API_NO_PROBLEM, NULL);
    const api_config *c = a->config;
    ph_json *claims = NULL;
    uint64_t expires_ms = UINT64_MAX;
    bool jwt = c->keys || a->jwks;
    bool opaque = c->introspection_url.ptr || c->tokeninfo_url.ptr;
    if (jwt && opaque) /* two dots are in every JWT and in hardly any other token */
        jwt = ph_str_find(text, '.') < text.len;
    api_verdict verdict = jwt ? check_jwt(a, text, now_ms, may_wait, &expires_ms, &claims)
                              : check_opaque(a, text, now_ms, may_wait, &expires_ms, &claims);
    if (verdict.problem == API_NO_PROBLEM)
        verdict = fill(c, claims, out);
    if (verdict.problem == API_NO_PROBLEM)
        remember(a, digest, now_ms, expires_ms, out);
    ph_json_free(claims);
    return verdict;
}

/* The bearer token of an Authorization header; absent if it is of another scheme. */
static ph_str bearer(ph_str authorization)
{
    ph_str rest = authorization;
    ph_str scheme = ph_str_cut(&rest, ' ');
    return ph_str_equal_nocase(scheme, PH_STR("Bearer")) ? ph_str_trim(rest) : (ph_str){NULL, 0};
}

/* ---- Both ------------------------------------------------------------------------------------ */

/* Who has only a key is called by the key's name, in the place of every claim that is a user's. */
static api_verdict fill_from_key(const api_config *config, ph_str name, api_identity *out)
{
    ph_buf text;
    ph_json *claims = NULL;
    ph_buf_init(&text, 1024);
    ph_json_open(&text, NULL);
    ph_json_add_text(&text, config->user_claim, name);
    ph_json_close(&text);
    api_verdict verdict = refuse(API_INTERNAL, NULL);
    if (text.err == PH_OK && ph_json_parse(ph_buf_view(&text), &claims) == PH_OK)
        verdict = fill(config, claims, out);
    ph_json_free(claims);
    ph_buf_clear(&text);
    return verdict;
}

/* see auth.h */
api_verdict api_auth_check(api_auth *a, const api_presented *what, uint64_t now_ms, bool may_wait,
                           api_identity *out)
{
    const api_config *c = a->config;
    ph_str token = bearer(what->authorization);
    ph_str name = {NULL, 0};
    if (c->api_keys && what->api_key.ptr)
        name = api_keys_find(c->api_keys, what->api_key);
    bool wrong_key = c->api_keys && what->api_key.ptr && !name.ptr;
    switch (c->auth) {
    case API_AUTH_TOKEN: break;
    case API_AUTH_TOKEN_AND_KEY:
        if (!name.ptr)
            return refuse(API_KEY_REFUSED, NULL);
        break;
    case API_AUTH_KEY:
        return name.ptr ? fill_from_key(c, name, out) : refuse(API_KEY_REFUSED, NULL);
    case API_AUTH_ANY:
        if (wrong_key)
            return refuse(API_KEY_REFUSED, NULL);
        if (name.ptr && token.len == 0)
            return fill_from_key(c, name, out);
        break;
    }
    if (what->authorization_twice)
        return refuse(API_TOKEN_INVALID, "there is more than one Authorization header");
    if (token.len == 0)
        return refuse(API_TOKEN_MISSING, NULL);
    return check_token(a, token, now_ms, may_wait, out);
}
