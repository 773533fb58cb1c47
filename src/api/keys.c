/* SPDX-License-Identifier: MIT
 *
 * See keys.h. libjose does the signatures; EdDSA (RFC 8037) is not in it, so Ed25519 goes to
 * libcrypto, which libjose itself stands on.
 */
#define _POSIX_C_SOURCE 200809L

#include "keys.h"

#include <jose/b64.h>
#include <jose/jwk.h>
#include <jose/jws.h>
#include <jose/openssl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/enc.h"
#include "core/str.h"

#define MIN_SECRET 32
#define MIN_RSA_BYTES (2048 / 8)
#define MAX_RSA_BYTES (8192 / 8) /* a larger one would make each verification a small attack */
#define MAX_TEXT 65536
#define ED25519_LEN 32
#define ED25519_SIGNATURE 64

typedef struct key {
    const char *alg;
    json_t *jwk;       /* read-only from its making on */
    EVP_PKEY *ed25519; /* instead, for EdDSA */
    const char *kid;   /* in jwk or `kid_text`; NULL: none */
    char *kid_text;
} key;

struct api_keyset {
    atomic_uint holders;
    size_t count;
    key keys[API_MAX_KEYS];
};

static const struct algorithm {
    const char *name;
    const char *kty;
    const char *crv; /* NULL: has none */
} algorithms[] = {
    {"HS256", "oct", NULL},   {"RS256", "RSA", NULL},      {"RS384", "RSA", NULL},
    {"RS512", "RSA", NULL},   {"PS256", "RSA", NULL},      {"ES256", "EC", "P-256"},
    {"ES384", "EC", "P-384"}, {"EdDSA", "OKP", "Ed25519"},
};

/* see keys.h */
const char *api_alg_name(ph_str name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        if (ph_str_equal(name, ph_str_from(algorithms[i].name)))
            return algorithms[i].name;
    return NULL;
}

/* ---- libjose --------------------------------------------------------------------------------- */

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

/* see keys.h */
size_t api_base64url_decode(ph_str text, void *out, size_t cap)
{
    size_t len = jose_b64_dec_buf(text.ptr, text.len, out, cap);
    return len <= cap ? len : SIZE_MAX;
}

/* ---- Sets ------------------------------------------------------------------------------------ */

/* see keys.h */
api_keyset *api_keyset_new(void)
{
    api_keyset *set = calloc(1, sizeof *set);
    if (set)
        atomic_init(&set->holders, 1);
    return set;
}

/* see keys.h */
api_keyset *api_keyset_hold(api_keyset *set)
{
    if (set)
        atomic_fetch_add(&set->holders, 1);
    return set;
}

static void drop_jwk(json_t *jwk)
{
    json_t *secret = json_object_get(jwk, "k");
    if (json_is_string(secret))
        ph_wipe((void *)json_string_value(secret), json_string_length(secret));
    json_decref(jwk);
}

/* see keys.h */
void api_keyset_free(api_keyset *set)
{
    if (!set || atomic_fetch_sub(&set->holders, 1) != 1)
        return;
    for (size_t i = 0; i < set->count; i++) {
        drop_jwk(set->keys[i].jwk);
        EVP_PKEY_free(set->keys[i].ed25519);
        free(set->keys[i].kid_text);
    }
    free(set);
}

/* ---- One key --------------------------------------------------------------------------------- */

static const char *text_of(const json_t *jwk, const char *name)
{
    return json_string_value(json_object_get(jwk, name));
}

static bool may_verify(const json_t *jwk)
{
    const char *use = text_of(jwk, "use");
    const json_t *ops = json_object_get(jwk, "key_ops");
    bool verify = !ops;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const char *op = json_string_value(json_array_get(ops, i));
        if (op && strcmp(op, "verify") == 0)
            verify = true;
    }
    return verify && (!use || strcmp(use, "sig") == 0);
}

/* The algorithm that a key has, or would have if it were `wanted`'s (NULL: any, and `rsa` where it
 * is an RSA key); NULL: none. */
static const struct algorithm *algorithm_of(const json_t *jwk, const char *wanted, const char *rsa)
{
    const char *kty = text_of(jwk, "kty"), *crv = text_of(jwk, "crv"), *said = text_of(jwk, "alg");
    if (said && wanted && strcmp(said, wanted) != 0)
        return NULL;
    const char *name = said ? said : wanted;
    if (!name && kty && strcmp(kty, "RSA") == 0)
        name = rsa;
    for (size_t i = 0; kty && i < sizeof algorithms / sizeof algorithms[0]; i++) {
        const struct algorithm *a = &algorithms[i];
        if (strcmp(a->kty, kty) != 0 || (a->crv && (!crv || strcmp(a->crv, crv) != 0)))
            continue;
        if (!name || strcmp(a->name, name) == 0)
            return a; /* without a name the first of its kind: RS256 before RS384 */
    }
    return NULL;
}

static const char *check_size(const json_t *jwk, const struct algorithm *a)
{
    if (strcmp(a->kty, "RSA") == 0) {
        size_t bytes = jose_b64_dec(json_object_get(jwk, "n"), NULL, 0);
        if (bytes == SIZE_MAX || bytes < MIN_RSA_BYTES || bytes > MAX_RSA_BYTES)
            return "is an RSA key of less than 2,048 or more than 8,192 bits";
    } else if (strcmp(a->kty, "oct") == 0) {
        size_t bytes = jose_b64_dec(json_object_get(jwk, "k"), NULL, 0);
        if (bytes == SIZE_MAX || bytes < MIN_SECRET)
            return "holds less than 32 bytes, which HS256 needs";
    }
    return NULL;
}

/*
 * Is it a point of order 8 or less? By such a "key" a signature that anybody can make is good for
 * every eighth text or more. libcrypto takes it, as RFC 8032 allows.
 */
static bool is_small_order(const EVP_PKEY *pkey)
{
    static const char *const points[] = {
        /* all spellings of them, without the highest bit */
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"};
    uint8_t x[ED25519_LEN], point[ED25519_LEN];
    size_t len = sizeof x;
    if (EVP_PKEY_get_raw_public_key(pkey, x, &len) != 1)
        return true;
    x[ED25519_LEN - 1] &= 0x7f;
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
        if (ph_dec_hex(ph_str_from(points[i]), point, sizeof point, &len) == PH_OK &&
            memcmp(x, point, sizeof x) == 0)
            return true;
    return false;
}

static const char *add_ed25519(api_keyset *set, EVP_PKEY *pkey, const char *kid)
{
    char *copy = kid ? strdup(kid) : NULL;
    if (!pkey || (kid && !copy) || is_small_order(pkey)) {
        EVP_PKEY_free(pkey);
        free(copy);
        return "is not a usable key";
    }
    set->keys[set->count++] = (key){"EdDSA", NULL, pkey, copy, copy};
    return NULL;
}

static const char *add_okp(api_keyset *set, const json_t *jwk)
{
    uint8_t x[ED25519_LEN];
    if (jose_b64_dec(json_object_get(jwk, "x"), x, sizeof x) != sizeof x)
        return "is not a usable key";
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof x);
    return add_ed25519(set, pkey, text_of(jwk, "kid"));
}

/* Is it one that OpenSSL takes, with its point on the curve? */
static bool is_usable(jose_cfg_t *cfg, const json_t *jwk, const struct algorithm *a)
{
    if (strcmp(a->kty, "oct") == 0)
        return true;
    EVP_PKEY *pkey = jose_openssl_jwk_to_EVP_PKEY(cfg, jwk);
    EVP_PKEY_free(pkey);
    return pkey != NULL;
}

/* Takes `jwk` over. */
static const char *add_jwk(api_keyset *set, json_t *jwk, const char *alg, const char *rsa,
                           bool secrets)
{
    const char *wrong = NULL;
    const struct algorithm *a = algorithm_of(jwk, alg, rsa);
    jose_cfg_t *cfg = quiet();
    if (!cfg)
        wrong = "out of memory";
    else if (set->count == API_MAX_KEYS)
        wrong = "has more than 64 keys";
    else if (!a)
        wrong = "is a JWK of an unsupported type or algorithm";
    else if (!may_verify(jwk))
        wrong = "is a JWK that is not for verifying signatures";
    else if (strcmp(a->kty, "oct") == 0 && !secrets)
        wrong = "is a symmetric key, which cannot be public";
    else
        wrong = check_size(jwk, a);
    bool edwards = !wrong && strcmp(a->kty, "OKP") == 0;
    if (edwards) {
        wrong = add_okp(set, jwk);
    } else if (!wrong) {
        /* A private key has no business in this process. */
        bool good = strcmp(a->kty, "oct") == 0 || jose_jwk_pub(cfg, jwk);
        if (!good || !is_usable(cfg, jwk, a) ||
            json_object_set_new(jwk, "alg", json_string(a->name)) != 0)
            wrong = "is not a usable key";
    }
    if (cfg)
        jose_cfg_decref(cfg);
    if (wrong || edwards)
        drop_jwk(jwk);
    else
        set->keys[set->count++] = (key){a->name, jwk, NULL, text_of(jwk, "kid"), NULL};
    return wrong;
}

/* ---- Texts ----------------------------------------------------------------------------------- */

/* see keys.h */
const char *api_keyset_add_secret(api_keyset *set, ph_str secret)
{
    if (secret.len < MIN_SECRET)
        return "holds less than 32 bytes, which HS256 needs";
    json_t *jwk = json_pack("{s:s, s:o}", "kty", "oct", "k", jose_b64_enc(secret.ptr, secret.len));
    return jwk ? add_jwk(set, jwk, "HS256", NULL, true) : "out of memory";
}

static const char *add_pem(api_keyset *set, ph_str text, const char *alg, const char *rsa)
{
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!pkey)
        return "is not a public key in PEM (-----BEGIN PUBLIC KEY-----)";
    if (EVP_PKEY_base_id(pkey) == EVP_PKEY_ED25519) {
        if (!alg || strcmp(alg, "EdDSA") == 0)
            return add_ed25519(set, pkey, NULL);
        EVP_PKEY_free(pkey);
        return "is an Ed25519 key, which is for EdDSA only";
    }
    jose_cfg_t *cfg = quiet();
    json_t *jwk = cfg ? jose_openssl_jwk_from_EVP_PKEY(cfg, pkey) : NULL;
    if (cfg)
        jose_cfg_decref(cfg);
    EVP_PKEY_free(pkey);
    return jwk ? add_jwk(set, jwk, alg, rsa, false) : "is a PEM key of an unsupported type";
}

static const char *add_jwks(api_keyset *set, const json_t *keys, const char *alg, const char *rsa,
                            bool secrets)
{
    size_t before = set->count;
    for (size_t i = 0; i < json_array_size(keys); i++) {
        json_t *jwk = json_array_get(keys, i);
        if (json_is_object(jwk))
            add_jwk(set, json_incref(jwk), text_of(jwk, "alg") ? NULL : alg, rsa, secrets);
    }
    return set->count > before ? NULL : "has no usable key";
}

/* see keys.h */
const char *api_keyset_add_text(api_keyset *set, ph_str text, const char *alg, const char *rsa,
                                bool secrets)
{
    text = ph_str_trim(text);
    if (text.len > MAX_TEXT)
        return "is larger than any key";
    if (ph_str_starts(text, PH_STR("-----BEGIN")))
        return add_pem(set, text, alg, rsa);
    json_t *json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json)
        return "is neither PEM nor JSON";
    const json_t *keys = json_object_get(json, "keys");
    if (!json_is_array(keys))
        return add_jwk(set, json, alg, rsa, secrets);
    const char *wrong = add_jwks(set, keys, alg, rsa, secrets);
    json_decref(json);
    return wrong;
}

/* ---- Verification ---------------------------------------------------------------------------- */

static bool verify_ed25519(EVP_PKEY *pkey, ph_str header, ph_str payload, ph_str signature)
{
    uint8_t raw[ED25519_SIGNATURE];
    if (api_base64url_decode(signature, raw, sizeof raw) != sizeof raw)
        return false;
    ph_buf input;
    ph_buf_init(&input, header.len + payload.len + 1);
    ph_buf_str(&input, header);
    ph_buf_char(&input, '.');
    ph_buf_str(&input, payload);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good =
        md && input.err == PH_OK && EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey) == 1 &&
        EVP_DigestVerify(md, raw, sizeof raw, (const unsigned char *)input.ptr, input.len) == 1;
    EVP_MD_CTX_free(md);
    ph_buf_clear(&input);
    return good;
}

static bool verify(const key *k, ph_str header, ph_str payload, ph_str signature)
{
    if (k->ed25519)
        return verify_ed25519(k->ed25519, header, payload, signature);
    jose_cfg_t *cfg = quiet();
    json_t *jws =
        cfg ? json_pack("{s:s%, s:s%, s:s%}", "protected", header.ptr, header.len, "payload",
                        payload.ptr, payload.len, "signature", signature.ptr, signature.len)
            : NULL;
    bool good = jws && jose_jws_ver(cfg, jws, NULL, k->jwk, false);
    json_decref(jws);
    if (cfg)
        jose_cfg_decref(cfg);
    return good;
}

/* see keys.h */
api_signature api_keyset_verify(const api_keyset *set, ph_str alg, ph_str kid, ph_str header,
                                ph_str payload, ph_str signature)
{
    api_signature result = API_NO_SUCH_KEY;
    for (size_t i = 0; set && i < set->count; i++) {
        const key *k = &set->keys[i];
        if (kid.ptr && k->kid && !ph_str_equal(kid, ph_str_from(k->kid)))
            continue;
        if (!ph_str_equal(alg, ph_str_from(k->alg))) {
            if (result == API_NO_SUCH_KEY)
                result = API_OTHER_ALG;
            continue;
        }
        result = API_NOT_SIGNED;
        if (verify(k, header, payload, signature))
            return API_SIGNED;
    }
    return result;
}
