/* SPDX-License-Identifier: MIT
 *
 * Tokens, checked in this order: form, header, signature, claims. Nothing in a payload is looked at
 * before its signature was found good. Follows RFC 7515, 7519 and 8725; the JSON of header and
 * claims is read by the core's strict reader (a member given twice is refused), libjose only does
 * the signature. Header members that name a key (jku, jwk, x5c, kid) are not looked at.
 */
#include "jwt.h"

#include <jose/b64.h>
#include <jose/jwk.h>
#include <jose/jws.h>
#include <jose/openssl.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/json.h"
#include "core/str.h"

#define MIN_SECRET 32
#define MIN_RSA_BYTES (2048 / 8)

struct api_key {
    const char *alg;
    json_t *jwk; /* read-only from its making on, so threads may share it */
};

/* ---- Keys ------------------------------------------------------------------------------------ */

/* libjose says on stderr what it thinks of a key or token; that is nobody's business there. */
static void say_nothing(void *misc, const char *file, int line, uint64_t err, const char *format,
                        va_list args)
{
    (void)misc, (void)file, (void)line, (void)err, (void)format, (void)args;
}

/* One for each use: its count of references is not safe to share between threads. */
static jose_cfg_t *quiet(void)
{
    jose_cfg_t *cfg = jose_cfg();
    if (cfg)
        jose_cfg_set_err_func(cfg, say_nothing, NULL);
    return cfg;
}

static const char *make_key(const char *alg, json_t *jwk, api_key **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out || json_object_set_new(jwk, "alg", json_string(alg)) != 0) {
        free(*out);
        *out = NULL;
        json_decref(jwk);
        return "out of memory";
    }
    **out = (api_key){alg, jwk};
    return NULL;
}

/* see jwt.h */
const char *api_key_hs256(ph_str secret, api_key **out)
{
    *out = NULL;
    if (secret.len < MIN_SECRET)
        return "holds less than 32 bytes, which HS256 needs";
    json_t *jwk = json_pack("{s:s, s:o}", "kty", "oct", "k", jose_b64_enc(secret.ptr, secret.len));
    return jwk ? make_key("HS256", jwk, out) : "out of memory";
}

/* A JWK as an issuer publishes it; NULL and a sentence when it is not an RSA key for RS256. */
static const char *read_jwk(ph_str text, json_t **out)
{
    *out = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!*out)
        return "is neither PEM nor JSON";
    const char *kty = json_string_value(json_object_get(*out, "kty"));
    const char *alg = json_string_value(json_object_get(*out, "alg"));
    const char *use = json_string_value(json_object_get(*out, "use"));
    if (!kty || strcmp(kty, "RSA") != 0)
        return "is not a JWK of the type RSA";
    if (alg && strcmp(alg, "RS256") != 0)
        return "is a JWK for another algorithm than RS256";
    if (use && strcmp(use, "sig") != 0)
        return "is a JWK that is not for signatures";
    return NULL;
}

static const char *read_pem(jose_cfg_t *cfg, ph_str text, json_t **out)
{
    *out = NULL;
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    if (pkey && EVP_PKEY_base_id(pkey) == EVP_PKEY_RSA)
        *out = jose_openssl_jwk_from_EVP_PKEY(cfg, pkey);
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    return *out ? NULL : "is not an RSA key in PEM (-----BEGIN PUBLIC KEY-----)";
}

/* see jwt.h */
const char *api_key_rs256(ph_str text, api_key **out)
{
    *out = NULL;
    text = ph_str_trim(text);
    if (text.len > 65536)
        return "is larger than any key";
    jose_cfg_t *cfg = quiet();
    if (!cfg)
        return "out of memory";
    json_t *jwk = NULL;
    bool pem = ph_str_starts(text, PH_STR("-----BEGIN"));
    const char *wrong = pem ? read_pem(cfg, text, &jwk) : read_jwk(text, &jwk);
    if (!wrong) {
        size_t bytes = jose_b64_dec(json_object_get(jwk, "n"), NULL, 0);
        if (bytes == SIZE_MAX || bytes < MIN_RSA_BYTES)
            wrong = "is an RSA key of less than 2048 bits";
        else if (!jose_jwk_pub(cfg, jwk)) /* a private key has no business in this process */
            wrong = "is not a usable key";
    }
    jose_cfg_decref(cfg);
    if (!wrong)
        return make_key("RS256", jwk, out);
    json_decref(jwk);
    return wrong;
}

/* see jwt.h */
void api_key_free(api_key *key)
{
    if (!key)
        return;
    json_t *secret = json_object_get(key->jwk, "k");
    if (secret)
        ph_wipe((void *)json_string_value(secret), json_string_length(secret));
    json_decref(key->jwk);
    free(key);
}

/* ---- Form and signature ---------------------------------------------------------------------- */

typedef struct token {
    ph_str header, payload, signature; /* as they came: base64url */
} token;

static bool split(ph_str text, token *out)
{
    ph_str rest = text;
    out->header = ph_str_cut(&rest, '.');
    out->payload = rest.ptr ? ph_str_cut(&rest, '.') : rest;
    out->signature = rest;
    return out->header.len > 0 && out->payload.len > 0 && out->signature.len > 0 &&
           ph_str_find(out->signature, '.') == out->signature.len;
}

/* Decode what has to be a JSON object. libjose takes no padding, white space or stray bits. */
static bool decode_object(ph_str base64url, ph_json **out)
{
    *out = NULL;
    char bytes[API_TOKEN_MAX];
    size_t len = jose_b64_dec_buf(base64url.ptr, base64url.len, bytes, sizeof bytes);
    if (len <= sizeof bytes && ph_json_parse((ph_str){bytes, len}, out) == PH_OK &&
        !ph_json_is_object(*out)) {
        ph_json_free(*out);
        *out = NULL;
    }
    ph_wipe(bytes, sizeof bytes);
    return *out != NULL;
}

static api_verdict refuse(api_problem problem, const char *detail)
{
    return (api_verdict){problem, detail};
}

static api_verdict check_header(const api_key *key, ph_str base64url)
{
    ph_json *header;
    if (!decode_object(base64url, &header))
        return refuse(API_TOKEN_INVALID, "the token's header is not a JSON object in base64url");
    api_verdict verdict = {API_NO_PROBLEM, NULL};
    if (!ph_str_equal(ph_json_member_text(header, "alg"), ph_str_from(key->alg)))
        verdict = refuse(API_TOKEN_INVALID, "the token is signed by an algorithm that is not "
                                            "the configured key's");
    else if (ph_json_member(header, "crit")) /* RFC 7515, 4.1.11: we understand no extension */
        verdict = refuse(API_TOKEN_INVALID, "the token needs an extension that is not known here");
    ph_json_free(header);
    return verdict;
}

static bool signature_is_good(const api_key *key, const token *t)
{
    jose_cfg_t *cfg = quiet();
    json_t *jws = cfg ? json_pack("{s:s%, s:s%, s:s%}", "protected", t->header.ptr, t->header.len,
                                  "payload", t->payload.ptr, t->payload.len, "signature",
                                  t->signature.ptr, t->signature.len)
                      : NULL;
    bool good = jws && jose_jws_ver(cfg, jws, NULL, key->jwk, false);
    json_decref(jws);
    if (cfg)
        jose_cfg_decref(cfg);
    return good;
}

/* ---- Claims ---------------------------------------------------------------------------------- */

static bool has_audience(const ph_json *aud, ph_str wanted)
{
    if (!ph_json_is_array(aud))
        return ph_str_equal(ph_json_text(aud), wanted);
    for (const ph_json *a = ph_json_first(aud); a; a = ph_json_next(a))
        if (ph_str_equal(ph_json_text(a), wanted))
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

static api_verdict check_times(const ph_json *claims, uint64_t now_ms)
{
    uint64_t exp = 0, nbf = 0, iat = 0;
    if (!ph_json_member(claims, "exp"))
        return refuse(API_TOKEN_INVALID, "the token has no end (exp)");
    if (!read_time(ph_json_member(claims, "exp"), &exp) ||
        !read_time(ph_json_member(claims, "nbf"), &nbf) ||
        !read_time(ph_json_member(claims, "iat"), &iat))
        return refuse(API_TOKEN_INVALID, "a date of the token is not a number of seconds");
    if (now_ms >= exp + API_LEEWAY_MS)
        return refuse(API_TOKEN_EXPIRED, NULL);
    if (nbf > now_ms + API_LEEWAY_MS || iat > now_ms + API_LEEWAY_MS)
        return refuse(API_TOKEN_NOT_YET, NULL);
    return refuse(API_NO_PROBLEM, NULL);
}

static api_verdict check_claims(const api_token_rules *rules, const ph_json *claims,
                                uint64_t now_ms, ph_buf *user)
{
    if (!ph_str_equal(ph_json_member_text(claims, "iss"), rules->issuer))
        return refuse(API_TOKEN_WRONG_ISSUER, NULL);
    if (!has_audience(ph_json_member(claims, "aud"), rules->audience))
        return refuse(API_TOKEN_WRONG_AUDIENCE, NULL);
    api_verdict verdict = check_times(claims, now_ms);
    if (verdict.problem != API_NO_PROBLEM)
        return verdict;
    if (ph_json_member_text(claims, "sub").len == 0)
        return refuse(API_TOKEN_INVALID, "the token does not say whose it is (sub)");
    ph_str name = ph_json_member_text(claims, rules->user_claim);
    if (name.len == 0)
        return refuse(API_FORBIDDEN, "the token lacks the claim that names the user here");
    if (name.len > API_USER_MAX)
        return refuse(API_FORBIDDEN, "the user's name is longer than 1,024 bytes");
    ph_buf_str(user, name);
    return refuse(user->err == PH_OK ? API_NO_PROBLEM : API_INTERNAL, NULL);
}

/* see jwt.h */
api_verdict api_token_check(const api_token_rules *rules, ph_str text, uint64_t now_ms,
                            ph_buf *user)
{
    token t;
    if (text.len > API_TOKEN_MAX)
        return refuse(API_TOKEN_INVALID, "the token is longer than 8 KiB");
    if (!split(text, &t))
        return refuse(API_TOKEN_INVALID, "the token does not have three parts with dots between");
    api_verdict verdict = check_header(rules->key, t.header);
    if (verdict.problem != API_NO_PROBLEM)
        return verdict;
    if (!signature_is_good(rules->key, &t))
        return refuse(API_TOKEN_INVALID, "the token's signature is not that of the configured key");
    ph_json *claims;
    if (!decode_object(t.payload, &claims))
        return refuse(API_TOKEN_INVALID, "the token's claims are not a JSON object in base64url");
    verdict = check_claims(rules, claims, now_ms, user);
    ph_json_free(claims);
    return verdict;
}
