/* SPDX-License-Identifier: MIT
 *
 * Tests the API's jwt and keys: RFC 7515's own tokens, tokens wrong in one thing each, and the attacks of
 * RFC 8725 that a server falls for when it believes a token's header.
 */
#include "test.h"

#include <jose/b64.h>
#include <jose/jwk.h>
#include <jose/jws.h>
#include <jose/openssl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "api/jwt.h"
#include "mint.h"

#define NOW (UINT64_C(1700000000) * 1000)
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS(rest) "{\"iss\":\"https://issuer\",\"aud\":\"parthaul\",\"sub\":\"alice\"" rest "}"
#define EXP ",\"exp\":1700000600"

typedef struct token_rules {
    const api_keyset *keys;
    api_claim_rules claims;
} token_rules;

static token_rules rules_for(const api_keyset *keys)
{
    return (token_rules){keys,
                         {.issuer = PH_STR("https://issuer"),
                          .audience = PH_STR("parthaul"),
                          .leeway_ms = 60000}};
}

/* The whole way of a token, as auth.c goes it. */
static api_verdict walk(const token_rules *r, ph_str text, uint64_t now_ms, ph_buf *user)
{
    api_token t;
    ph_json *claims = NULL;
    bool unknown;
    uint64_t end;
    api_verdict v = api_token_open(text, &t);
    if (v.problem == API_NO_PROBLEM)
        v = api_token_verify(&t, r->keys, &unknown);
    if (v.problem == API_NO_PROBLEM)
        v = api_type_check(&r->claims, t.type);
    if (v.problem == API_NO_PROBLEM)
        v = api_token_claims(&t, &claims);
    if (v.problem == API_NO_PROBLEM)
        v = api_claims_check(&r->claims, claims, true, now_ms, &end);
    if (v.problem == API_NO_PROBLEM)
        ph_buf_str(user, ph_json_member_text(claims, "sub"));
    ph_json_free(claims);
    api_token_close(&t);
    return v;
}

/* Check a token and give the code of the verdict, "OK" for a good one. */
static const char *check(const token_rules *r, ph_str token, uint64_t now_ms, ph_buf *user)
{
    ph_buf_reset(user);
    api_verdict verdict = walk(r, test_guard_str(token), now_ms, user);
    if (verdict.problem != API_NO_PROBLEM)
        CHECK_U64(user->len, 0);
    return verdict.problem == API_NO_PROBLEM ? "OK" : api_problem_info(verdict.problem)->code;
}

/* A set of one key; NULL when it is refused. */
static api_keyset *secret_set(ph_str secret)
{
    api_keyset *set = api_keyset_new();
    if (api_keyset_add_secret(set, secret) == NULL)
        return set;
    api_keyset_free(set);
    return NULL;
}

static api_keyset *text_set(ph_str text, const char *alg)
{
    api_keyset *set = api_keyset_new();
    if (api_keyset_add_text(set, text, alg, NULL, false) == NULL)
        return set;
    api_keyset_free(set);
    return NULL;
}

#define CHECK_CODE(got, want) CHECK_STR(ph_str_from(got), want)

static api_keyset *secret_key(void)
{
    api_keyset *key = secret_set(PH_STR(MINT_SECRET));
    CHECK(key != NULL);
    return key;
}

/* ---- Claims ---------------------------------------------------------------------------------- */

static void test_claims(void)
{
    api_keyset *key = secret_key();
    token_rules rules = rules_for(key);
    ph_buf token, user;
    ph_buf_init(&token, 65536);
    ph_buf_init(&user, API_USER_MAX);

    static const struct {
        const char *claims;
        const char *code;
    } cases[] = {
        {CLAIMS(EXP), "OK"},
        {CLAIMS(EXP ",\"nbf\":1699999000,\"iat\":1699999000,\"other\":{\"a\":[1]}"), "OK"},
        {"{\"iss\":\"https://issuer\",\"aud\":[\"x\",\"parthaul\"],\"sub\":\"alice\"" EXP "}",
         "OK"},
        /* the end, with 60 seconds of leeway */
        {CLAIMS(",\"exp\":1699999941"), "OK"},
        {CLAIMS(",\"exp\":1699999940"), "TOKEN_EXPIRED"},
        {CLAIMS(",\"exp\":1700000600.75"), "OK"},
        {CLAIMS(",\"exp\":1.7000006e9"), "OK"},
        {CLAIMS(",\"exp\":1699999940.99"), "TOKEN_EXPIRED"},
        {CLAIMS(",\"exp\":-0.5"), "TOKEN_INVALID"},
        {CLAIMS(",\"exp\":0"), "TOKEN_EXPIRED"},
        {CLAIMS(""), "TOKEN_INVALID"},
        {CLAIMS(",\"exp\":\"1700000600\""), "TOKEN_INVALID"},
        {CLAIMS(",\"exp\":-1"), "TOKEN_INVALID"},
        {CLAIMS(",\"exp\":1e300"), "TOKEN_INVALID"},
        {CLAIMS(",\"exp\":null"), "TOKEN_INVALID"},
        {CLAIMS(",\"exp\":true"), "TOKEN_INVALID"},
        /* the beginning */
        {CLAIMS(EXP ",\"nbf\":1700000060"), "OK"},
        {CLAIMS(EXP ",\"nbf\":1700000061"), "TOKEN_NOT_YET"},
        {CLAIMS(EXP ",\"nbf\":\"x\""), "TOKEN_INVALID"},
        {CLAIMS(EXP ",\"iat\":1700000061"), "TOKEN_NOT_YET"},
        /* for whom and from whom */
        {"{\"iss\":\"https://issuer\",\"aud\":\"other\",\"sub\":\"alice\"" EXP "}",
         "TOKEN_WRONG_AUDIENCE"},
        {"{\"iss\":\"https://issuer\",\"aud\":\"parthaul2\",\"sub\":\"alice\"" EXP "}",
         "TOKEN_WRONG_AUDIENCE"},
        {"{\"iss\":\"https://issuer\",\"aud\":[],\"sub\":\"alice\"" EXP "}",
         "TOKEN_WRONG_AUDIENCE"},
        {"{\"iss\":\"https://issuer\",\"aud\":{\"0\":\"parthaul\"},\"sub\":\"alice\"" EXP "}",
         "TOKEN_WRONG_AUDIENCE"},
        {"{\"iss\":\"https://issuer\",\"sub\":\"alice\"" EXP "}", "TOKEN_WRONG_AUDIENCE"},
        {"{\"iss\":\"https://issuer/\",\"aud\":\"parthaul\",\"sub\":\"alice\"" EXP "}",
         "TOKEN_WRONG_ISSUER"},
        {"{\"iss\":[\"https://issuer\"],\"aud\":\"parthaul\",\"sub\":\"alice\"" EXP "}",
         "TOKEN_WRONG_ISSUER"},
        {"{\"aud\":\"parthaul\",\"sub\":\"alice\"" EXP "}", "TOKEN_WRONG_ISSUER"},
        /* whose */
        {"{\"iss\":\"https://issuer\",\"aud\":\"parthaul\"" EXP "}", "TOKEN_INVALID"},
        {"{\"iss\":\"https://issuer\",\"aud\":\"parthaul\",\"sub\":\"\"" EXP "}", "TOKEN_INVALID"},
        {"{\"iss\":\"https://issuer\",\"aud\":\"parthaul\",\"sub\":7" EXP "}", "TOKEN_INVALID"},
        /* what readers disagree about */
        {CLAIMS(EXP ",\"sub\":\"bob\""), "TOKEN_INVALID"},
        {CLAIMS(EXP ",\"exp\":1700009999"), "TOKEN_INVALID"},
        {"{\"iss\":\"https://issuer\",\"aud\":\"parthaul\",\"sub\":\"alice\\u0000x\"" EXP "}",
         "TOKEN_INVALID"},
        {"{\"iss\":\"https://issuer\",\"aud\":\"parthaul\",\"sub\":\"\xFF\"" EXP "}",
         "TOKEN_INVALID"},
        {CLAIMS(EXP) "{}", "TOKEN_INVALID"},
        {"[" CLAIMS(EXP) "]", "TOKEN_INVALID"},
        {"not JSON", "TOKEN_INVALID"},
        {"{}", "TOKEN_WRONG_ISSUER"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("claims %s", cases[i].claims);
        mint(&token, PH_STR(MINT_SECRET), HEADER, cases[i].claims);
        CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), cases[i].code);
        if (strcmp(cases[i].code, "OK") == 0)
            CHECK_STR(ph_buf_view(&user), "alice");
    }

    test_case("types (RFC 8725, 3.11)");
    rules.claims.type = PH_STR("at+jwt");
    static const struct {
        const char *header, *code;
    } types[] = {
        {"{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", "OK"},
        {"{\"alg\":\"HS256\",\"typ\":\"application/AT+JWT\"}", "OK"},
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "TOKEN_INVALID"},
        {"{\"alg\":\"HS256\"}", "TOKEN_INVALID"},
        {"{\"alg\":\"HS256\",\"typ\":7}", "TOKEN_INVALID"},
    };
    for (size_t i = 0; i < COUNT(types); i++) {
        mint(&token, PH_STR(MINT_SECRET), types[i].header, CLAIMS(EXP));
        CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), types[i].code);
    }

    test_case("scopes and required claims");
    rules.claims.type = (ph_str){NULL, 0};
    rules.claims.scope = PH_STR("upload write");
    rules.claims.required = PH_STR("tenant=acme, email_verified=true,name");
#define RIGHT ",\"tenant\":\"acme\",\"email_verified\":true,\"name\":0"
    static const struct {
        const char *claims, *code;
    } rights[] = {
        {CLAIMS(EXP RIGHT ",\"scope\":\"write upload x\""), "OK"},
        {CLAIMS(EXP RIGHT ",\"scope\":[\"write\",\"upload\"]"), "OK"},
        {CLAIMS(EXP RIGHT ",\"scp\":[\"write\",\"upload\"]"), "OK"},
        {CLAIMS(EXP RIGHT ",\"scp\":\"upload write\""), "OK"},
        {CLAIMS(EXP RIGHT ",\"scope\":\"write\""), "SCOPE_MISSING"},
        {CLAIMS(EXP RIGHT ",\"scope\":\"write uploads\""), "SCOPE_MISSING"},
        {CLAIMS(EXP RIGHT ",\"scope\":[\"write upload\"]"), "SCOPE_MISSING"},
        {CLAIMS(EXP RIGHT), "SCOPE_MISSING"},
        {CLAIMS(EXP ",\"scope\":\"write upload\""), "FORBIDDEN"},
        {CLAIMS(EXP ",\"tenant\":\"acme2\",\"email_verified\":true,\"name\":0,\"scope\":"
                    "\"write upload\""),
         "FORBIDDEN"},
        {CLAIMS(EXP ",\"tenant\":[\"x\",\"acme\"],\"email_verified\":\"true\",\"name\":0,"
                    "\"scope\":\"write upload\""),
         "OK"},
        {CLAIMS(EXP ",\"tenant\":\"acme\",\"email_verified\":false,\"name\":0,\"scope\":"
                    "\"write upload\""),
         "FORBIDDEN"},
    };
    for (size_t i = 0; i < COUNT(rights); i++) {
        test_case("rights %s", rights[i].claims);
        mint(&token, PH_STR(MINT_SECRET), HEADER, rights[i].claims);
        CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), rights[i].code);
    }

    ph_buf_clear(&token);
    ph_buf_clear(&user);
    api_keyset_free(key);
}

/* ---- Headers and forms ----------------------------------------------------------------------- */

static void test_headers(void)
{
    api_keyset *key = secret_key();
    token_rules rules = rules_for(key);
    ph_buf token, user;
    ph_buf_init(&token, 65536);
    ph_buf_init(&user, API_USER_MAX);

    static const struct {
        const char *header;
        const char *code;
    } cases[] = {
        {"{\"alg\":\"HS256\"}", "OK"},
        {"{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\",\"kid\":\"../../etc\",\"jku\":\"http://x\"}",
         "OK"},
        {"{\"alg\":\"none\"}", "TOKEN_INVALID"},
        {"{\"alg\":\"None\"}", "TOKEN_INVALID"},
        {"{\"alg\":\"hs256\"}", "TOKEN_INVALID"},
        {"{\"alg\":\"HS512\"}", "TOKEN_INVALID"},
        {"{\"alg\":\"RS256\"}", "TOKEN_INVALID"},
        {"{\"alg\":null}", "TOKEN_INVALID"},
        {"{\"alg\":[\"HS256\"]}", "TOKEN_INVALID"},
        {"{}", "TOKEN_INVALID"},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", "TOKEN_INVALID"},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", "TOKEN_INVALID"},
        {"{\"alg\":\"HS256\",\"crit\":[]}", "TOKEN_INVALID"},
        {"{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", "TOKEN_INVALID"},
        {"\"HS256\"", "TOKEN_INVALID"},
        {"", "TOKEN_INVALID"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("header %s", cases[i].header);
        mint(&token, PH_STR(MINT_SECRET), cases[i].header, CLAIMS(EXP));
        CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), cases[i].code);
    }

    test_case("another secret");
    mint(&token, PH_STR(MINT_SECRET "x"), HEADER, CLAIMS(EXP));
    CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "TOKEN_INVALID");

    /* Whatever one character of a good token becomes, it is a good one no more: also those at the
     * parts' ends, whose last bits stand for nothing. */
    test_case("tampered");
    static const char others[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                 "-_+/=. \n\xFF";
    unsigned taken = 0;
    mint(&token, PH_STR(MINT_SECRET), HEADER, CLAIMS(EXP));
    for (size_t i = 0; i < token.len; i++)
        for (size_t k = 0; k < sizeof others; k++) {
            char saved = token.ptr[i];
            token.ptr[i] = others[k];
            if (saved != others[k])
                taken += walk(&rules, ph_buf_view(&token), NOW, &user).problem == API_NO_PROBLEM;
            token.ptr[i] = saved;
        }
    CHECK_U64(taken, 0);
    test_case("cut");
    for (size_t len = 0; len < token.len; len++)
        CHECK_CODE(check(&rules, (ph_str){token.ptr, len}, NOW, &user), "TOKEN_INVALID");

    test_case("forms");
    ph_buf_char(&token, '=');
    CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "TOKEN_INVALID");
    token.ptr[token.len - 1] = '.';
    CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "TOKEN_INVALID");
    static const char *const forms[] = {"", ".", "..", "...", "a.b.c", "....", "\0"};
    for (size_t i = 0; i < COUNT(forms); i++)
        CHECK_CODE(check(&rules, ph_str_from(forms[i]), NOW, &user), "TOKEN_INVALID");

    test_case("the signature left away");
    ph_buf_reset(&token);
    mint_input(&token, "{\"alg\":\"none\"}", CLAIMS(EXP));
    ph_buf_char(&token, '.');
    CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "TOKEN_INVALID");

    test_case("length");
    static char claims[16384];
    for (size_t len = 5900; len < 6200; len++) {
        static const char start[] = "{\"iss\":\"https://issuer\",\"aud\":\"parthaul\","
                                    "\"sub\":\"alice\"" EXP ",\"x\":\"";
        memset(claims, 'x', len);
        memcpy(claims, start, sizeof start - 1);
        memcpy(claims + len - 2, "\"}", 3);
        mint(&token, PH_STR(MINT_SECRET), HEADER, claims);
        CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user),
                   token.len <= 8192 ? "OK" : "TOKEN_INVALID");
    }

    ph_buf_clear(&token);
    ph_buf_clear(&user);
    api_keyset_free(key);
}

/* ---- RSA ------------------------------------------------------------------------------------- */

static ph_str pem_of(json_t *jwk, ph_buf *out)
{
    EVP_PKEY *pkey = jose_openssl_jwk_to_EVP_PKEY(NULL, jwk);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, pkey);
    char *text;
    long len = BIO_get_mem_data(bio, &text);
    ph_buf_reset(out);
    ph_buf_add(out, text, (size_t)len);
    BIO_free(bio);
    EVP_PKEY_free(pkey);
    return ph_buf_view(out);
}

static ph_str dump(const json_t *value, ph_buf *out)
{
    char *text = json_dumps(value, JSON_COMPACT);
    ph_buf_reset(out);
    ph_buf_cstr(out, text);
    free(text);
    return ph_buf_view(out);
}

static void sign_rsa(const json_t *jwk, const char *alg, const char *claims, ph_buf *out)
{
    json_t *jws = json_pack("{s:o}", "payload", jose_b64_enc(claims, strlen(claims)));
    json_t *sig = json_pack("{s:{s:s}}", "protected", "alg", alg);
    CHECK(jose_jws_sig(NULL, jws, sig, jwk));
    ph_buf_reset(out);
    ph_buf_cstr(out, json_string_value(json_object_get(jws, "protected")));
    ph_buf_char(out, '.');
    ph_buf_cstr(out, json_string_value(json_object_get(jws, "payload")));
    ph_buf_char(out, '.');
    ph_buf_cstr(out, json_string_value(json_object_get(jws, "signature")));
    json_decref(sig);
    json_decref(jws);
}

static void test_rsa(void)
{
    ph_buf text, token, user;
    ph_buf_init(&text, 65536);
    ph_buf_init(&token, 65536);
    ph_buf_init(&user, API_USER_MAX);
    json_t *pair = json_pack("{s:s, s:i}", "kty", "RSA", "bits", 2048);
    CHECK(jose_jwk_gen(NULL, pair));
    json_t *public = json_deep_copy(pair);
    jose_jwk_pub(NULL, public);

    const struct {
        const char *what;
        ph_str text;
    } forms[] = {{"PEM", pem_of(public, &text)}, {"JWK", dump(public, &token)}};
    for (size_t i = 0; i < COUNT(forms); i++) {
        test_case("RS256 by %s", forms[i].what);
        api_keyset *key = text_set(test_guard_str(forms[i].text), "RS256");
        CHECK(key != NULL);
        if (!key)
            continue;
        token_rules rules = rules_for(key);
        ph_buf signed_token;
        ph_buf_init(&signed_token, 65536);
        sign_rsa(pair, "RS256", CLAIMS(EXP), &signed_token);
        CHECK_CODE(check(&rules, ph_buf_view(&signed_token), NOW, &user), "OK");
        CHECK_STR(ph_buf_view(&user), "alice");
        signed_token.ptr[signed_token.len - 10] ^= 1;
        CHECK_CODE(check(&rules, ph_buf_view(&signed_token), NOW, &user), "TOKEN_INVALID");
        sign_rsa(pair, "RS512", CLAIMS(EXP), &signed_token);
        CHECK_CODE(check(&rules, ph_buf_view(&signed_token), NOW, &user), "TOKEN_INVALID");
        sign_rsa(pair, "PS256", CLAIMS(EXP), &signed_token);
        CHECK_CODE(check(&rules, ph_buf_view(&signed_token), NOW, &user), "TOKEN_INVALID");

        /* Key confusion: the public key, which everybody has, taken for an HMAC's secret. */
        static const char *const headers[] = {HEADER, "{\"alg\":\"RS256\"}", "{\"alg\":\"none\"}"};
        for (size_t h = 0; h < COUNT(headers); h++) {
            mint(&signed_token, forms[i].text, headers[h], CLAIMS(EXP));
            CHECK_CODE(check(&rules, ph_buf_view(&signed_token), NOW, &user), "TOKEN_INVALID");
        }
        ph_buf_clear(&signed_token);
        api_keyset_free(key);
    }

    test_case("a private key as JWK is taken, but only its public half");
    api_keyset *key = text_set(dump(pair, &text), "RS256");
    CHECK(key != NULL);
    api_keyset_free(key);

    json_t *small = json_pack("{s:s, s:s, s:s}", "kty", "RSA", "e", "AQAB", "n",
                              "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1Wl"
                              "UzewbgBHod5pcM9H95GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8UDpre");
    json_t *other = json_deep_copy(public);
    json_object_set_new(other, "alg", json_string("RS512"));
    json_t *cipher = json_deep_copy(public);
    json_object_set_new(cipher, "use", json_string("enc"));
    json_t *curve = json_pack("{s:s}", "alg", "ES256");
    CHECK(jose_jwk_gen(NULL, curve));
    json_t *refused[] = {small, other, cipher, curve};
    for (size_t i = 0; i < COUNT(refused); i++) {
        test_case("refused key %zu", i);
        CHECK(text_set(dump(refused[i], &text), "RS256") == NULL);
    }
    test_case("refused: a curve's key in PEM");
    CHECK(text_set(pem_of(curve, &text), "RS256") == NULL);
    for (size_t i = 0; i < COUNT(refused); i++)
        json_decref(refused[i]);

    test_case("refused texts");
    static const char *const texts[] = {
        "",
        "x",
        "{}",
        "[]",
        "{\"kty\":\"RSA\"}",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}"};
    for (size_t i = 0; i < COUNT(texts); i++)
        CHECK(text_set(test_guard_str(ph_str_from(texts[i])), "RS256") == NULL);
    CHECK(secret_set(PH_STR("0123456789abcdef0123456789abcde")) == NULL);

    json_decref(pair);
    json_decref(public);
    ph_buf_clear(&text);
    ph_buf_clear(&token);
    ph_buf_clear(&user);
}

/* ---- RFC 7515 -------------------------------------------------------------------------------- */

/*
 * Its tokens end in 2011 and name neither audience nor subject, so one that gets as far as its
 * issuer's name has a good signature.
 */
static void test_rfc7515(void)
{
    ph_buf jwk, jws, user;
    ph_buf_init(&user, API_USER_MAX);
    test_case("RFC 7515, A.1");
    bool there = test_vectors("jws-rfc7515/rfc7515_A.1.jwk", &jwk);
    there = test_vectors("jws-rfc7515/rfc7515_A.1.jwsc", &jws) && there;
    if (there) {
        json_t *value = json_loadb(jwk.ptr, jwk.len, 0, NULL);
        char secret[256];
        size_t len = jose_b64_dec(json_object_get(value, "k"), secret, sizeof secret);
        api_keyset *key = secret_set((ph_str){secret, len});
        token_rules rules = rules_for(key);
        rules.claims.issuer = PH_STR("joe");
        CHECK_CODE(check(&rules, ph_str_trim(ph_buf_view(&jws)), NOW, &user),
                   "TOKEN_WRONG_AUDIENCE");
        secret[0] ^= 1;
        api_keyset_free(key);
        key = secret_set((ph_str){secret, len});
        rules.keys = key;
        CHECK_CODE(check(&rules, ph_str_trim(ph_buf_view(&jws)), NOW, &user), "TOKEN_INVALID");
        api_keyset_free(key);
        json_decref(value);
    }
    ph_buf_clear(&jwk);
    ph_buf_clear(&jws);

    test_case("RFC 7515, A.2");
    there = test_vectors("jws-rfc7515/rfc7515_A.2.jwk", &jwk);
    there = test_vectors("jws-rfc7515/rfc7515_A.2.jwsc", &jws) && there;
    if (there) {
        api_keyset *key = text_set(ph_buf_view(&jwk), NULL);
        token_rules rules = rules_for(key);
        rules.claims.issuer = PH_STR("joe");
        CHECK_CODE(check(&rules, ph_str_trim(ph_buf_view(&jws)), NOW, &user),
                   "TOKEN_WRONG_AUDIENCE");
        ph_buf_clear(&jws);
        test_case("RFC 7515, A.5: unsecured");
        if (test_vectors("jws-rfc7515/rfc7515_A.5.jwsc", &jws))
            CHECK_CODE(check(&rules, ph_str_trim(ph_buf_view(&jws)), NOW, &user), "TOKEN_INVALID");
        api_keyset_free(key);
    }
    ph_buf_clear(&jwk);
    ph_buf_clear(&jws);
    ph_buf_clear(&user);
}

/* When may the issuer have another key by now? */
static void test_unknown_keys(void)
{
    static const struct {
        const char *secret, *header;
        const char *code;
        bool unknown;
    } cases[] = {
        {MINT_SECRET, "{\"alg\":\"HS256\"}", "OK", false},
        {MINT_SECRET, "{\"alg\":\"HS256\",\"kid\":\"a\"}", "OK", false},
        {"another secret of at least 32 bytes", "{\"alg\":\"HS256\"}", "TOKEN_INVALID", true},
        {"another secret of at least 32 bytes", "{\"alg\":\"HS256\",\"kid\":\"a\"}",
         "TOKEN_INVALID", false},
        {MINT_SECRET, "{\"alg\":\"ES256\"}", "TOKEN_INVALID", true},
        {MINT_SECRET, "{\"alg\":\"ES256\",\"kid\":\"a\"}", "TOKEN_INVALID", false},
    };
    api_keyset *key = secret_key();
    ph_buf token;
    ph_buf_init(&token, 4096);
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("unknown key %zu", i);
        mint(&token, ph_str_from(cases[i].secret), cases[i].header, CLAIMS(EXP));
        api_token t;
        bool unknown = !cases[i].unknown;
        CHECK_INT(api_token_open(ph_buf_view(&token), &t).problem, API_NO_PROBLEM);
        api_verdict v = api_token_verify(&t, key, &unknown);
        CHECK_CODE(v.problem == API_NO_PROBLEM ? "OK" : api_problem_info(v.problem)->code,
                   cases[i].code);
        CHECK_INT(unknown, cases[i].unknown);
        api_token_close(&t);
    }
    ph_buf_clear(&token);
    api_keyset_free(key);
}

/* ---- Every algorithm, and sets of keys -------------------------------------------------------- */

static void sign_ed25519(EVP_PKEY *pkey, const char *header, const char *claims, ph_buf *out)
{
    unsigned char raw[64];
    size_t len = sizeof raw;
    ph_buf_reset(out);
    mint_input(out, header, claims);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    CHECK(EVP_DigestSignInit(md, NULL, NULL, NULL, pkey) == 1 &&
          EVP_DigestSign(md, raw, &len, (const unsigned char *)out->ptr, out->len) == 1);
    EVP_MD_CTX_free(md);
    ph_buf_char(out, '.');
    ph_enc_base64url(out, raw, len);
}

static json_t *public_of(const json_t *pair, const char *alg, const char *kid)
{
    json_t *public = json_deep_copy(pair);
    jose_jwk_pub(NULL, public);
    json_object_del(public, "alg");
    json_object_del(public, "key_ops");
    if (alg)
        json_object_set_new(public, "alg", json_string(alg));
    if (kid)
        json_object_set_new(public, "kid", json_string(kid));
    return public;
}

/* With each algorithm a token passes by its own key, and by no other algorithm with that key. */
static void test_algorithms(void)
{
    static const struct {
        const char *alg, *key;
    } algs[] = {{"RS256", "RSA"}, {"RS384", "RSA"}, {"RS512", "RSA"},
                {"PS256", "RSA"}, {"ES256", "EC"},  {"ES384", "EC"}};
    json_t *rsa = json_pack("{s:s, s:i}", "kty", "RSA", "bits", 2048);
    json_t *p256 = json_pack("{s:s, s:s}", "kty", "EC", "crv", "P-256");
    json_t *p384 = json_pack("{s:s, s:s}", "kty", "EC", "crv", "P-384");
    CHECK(jose_jwk_gen(NULL, rsa) && jose_jwk_gen(NULL, p256) && jose_jwk_gen(NULL, p384));
    ph_buf text, token, user;
    ph_buf_init(&text, 65536);
    ph_buf_init(&token, 65536);
    ph_buf_init(&user, API_USER_MAX);
    for (size_t k = 0; k < COUNT(algs); k++) {
        const json_t *mine = algs[k].key[0] == 'R'               ? rsa
                             : strcmp(algs[k].alg, "ES256") == 0 ? p256
                                                                 : p384;
        json_t *public = public_of(mine, algs[k].alg, NULL);
        api_keyset *set = text_set(dump(public, &text), NULL);
        CHECK(set != NULL);
        token_rules rules = rules_for(set);
        for (size_t a = 0; a < COUNT(algs); a++) {
            test_case("key of %s, token of %s", algs[k].alg, algs[a].alg);
            const json_t *theirs = algs[a].key[0] == 'R'               ? rsa
                                   : strcmp(algs[a].alg, "ES256") == 0 ? p256
                                                                       : p384;
            sign_rsa(theirs, algs[a].alg, CLAIMS(EXP), &token);
            CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user),
                       a == k ? "OK" : "TOKEN_INVALID");
        }
        json_decref(public);
        api_keyset_free(set);
    }
    test_case("PEM of a curve chooses by the curve");
    api_keyset *set = text_set(pem_of(p384, &text), NULL);
    token_rules rules = rules_for(set);
    sign_rsa(p384, "ES384", CLAIMS(EXP), &token);
    CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "OK");
    api_keyset_free(set);

    test_case("EdDSA");
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, ed);
    char *pem;
    long pem_len = BIO_get_mem_data(bio, &pem);
    uint8_t raw[32];
    size_t raw_len = sizeof raw;
    EVP_PKEY_get_raw_public_key(ed, raw, &raw_len);
    ph_buf_reset(&text);
    ph_buf_cstr(&text, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"e\",\"x\":\"");
    ph_enc_base64url(&text, raw, raw_len);
    ph_buf_cstr(&text, "\"}");
    api_keyset *sets[] = {text_set((ph_str){pem, (size_t)pem_len}, NULL),
                          text_set(ph_buf_view(&text), NULL)};
    for (size_t i = 0; i < COUNT(sets); i++) {
        CHECK(sets[i] != NULL);
        rules.keys = sets[i];
        sign_ed25519(ed, "{\"alg\":\"EdDSA\",\"kid\":\"e\"}", CLAIMS(EXP), &token);
        CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "OK");
        token.ptr[token.len - 20] ^= 1;
        CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "TOKEN_INVALID");
        sign_ed25519(ed, "{\"alg\":\"ES256\",\"kid\":\"e\"}", CLAIMS(EXP), &token);
        CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "TOKEN_INVALID");
        mint(&token, (ph_str){(char *)raw, 32}, "{\"alg\":\"EdDSA\"}", CLAIMS(EXP));
        CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "TOKEN_INVALID");
        api_keyset_free(sets[i]);
    }
    BIO_free(bio);
    EVP_PKEY_free(ed);

    test_case("a set: several keys, ids, and what is passed over");
    json_t *a = public_of(p256, NULL, "a"), *b = public_of(p384, "ES384", "b");
    json_t *enc = public_of(rsa, NULL, "c");
    json_object_set_new(enc, "use", json_string("enc"));
    json_t *jwks =
        json_pack("{s:[O,{s:s,s:s,s:s},O,{s:s},i,O]}", "keys", a, "kty", "oct", "kid", "d", "k",
                  "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", enc, "kty", "XYZ", 7, b);
    set = text_set(dump(jwks, &text), NULL);
    CHECK(set != NULL);
    static const struct {
        const char *alg, *kid;
        api_signature want;
    } lookups[] = {{"ES256", "a", API_SIGNED},      {"ES256", NULL, API_SIGNED},
                   {"ES384", "a", API_OTHER_ALG},   {"ES256", "b", API_OTHER_ALG},
                   {"ES256", "x", API_NO_SUCH_KEY}, {"HS256", "d", API_NO_SUCH_KEY},
                   {"RS256", "c", API_NO_SUCH_KEY}, {"none", "a", API_OTHER_ALG}};
    sign_rsa(p256, "ES256", CLAIMS(EXP), &token);
    ph_str rest = ph_buf_view(&token);
    ph_str header = ph_str_cut(&rest, '.'), payload = ph_str_cut(&rest, '.');
    for (size_t i = 0; set && i < COUNT(lookups); i++) {
        test_case("lookup %zu", i);
        CHECK_INT(api_keyset_verify(set, ph_str_from(lookups[i].alg), ph_str_from(lookups[i].kid),
                                    header, payload, rest),
                  lookups[i].want);
    }
    api_keyset_free(set);
    test_case("what is set for RSA keys binds those that name no algorithm, and no other keys");
    json_t *r = public_of(rsa, NULL, "r"), *named = public_of(rsa, "RS384", "n");
    json_t *mixed = json_pack("{s:[O,O,O]}", "keys", r, named, a);
    set = api_keyset_new();
    CHECK(api_keyset_add_text(set, dump(mixed, &text), NULL, "PS256", false) == NULL);
    rules.keys = set;
    static const char *const good[] = {"PS256", "RS384", "ES256"};
    for (size_t i = 0; i < COUNT(good); i++) {
        sign_rsa(good[i][0] == 'E' ? p256 : rsa, good[i], CLAIMS(EXP), &token);
        CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "OK");
    }
    sign_rsa(rsa, "RS256", CLAIMS(EXP), &token);
    CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "TOKEN_INVALID");
    api_keyset_free(set);
    json_decref(mixed);
    json_decref(named);
    json_decref(r);

    test_case("sets of no use, and keys off their curve");
    CHECK(text_set(PH_STR("{\"keys\":[]}"), NULL) == NULL);
    CHECK(text_set(PH_STR("{\"keys\":[{\"kty\":\"oct\"}]}"), NULL) == NULL);
    json_object_set(a, "y", json_object_get(a, "x"));
    CHECK(text_set(dump(a, &text), NULL) == NULL);
    json_decref(jwks);
    json_decref(a);
    json_decref(b);
    json_decref(enc);
    json_decref(rsa);
    json_decref(p256);
    json_decref(p384);
    ph_buf_clear(&text);
    ph_buf_clear(&token);
    ph_buf_clear(&user);
}

/* ---- RFC 8725, point by point ----------------------------------------------------------------- */

static void test_rfc8725(void)
{
    api_keyset *key = secret_key();
    token_rules rules = rules_for(key);
    rules.claims.type = PH_STR("at+jwt");
    ph_buf token, user;
    ph_buf_init(&token, 65536);
    ph_buf_init(&user, API_USER_MAX);
#define TYPED(more) "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"" more "}"
#define OF(iss, aud, sub) \
    "{\"iss\":\"" iss "\",\"aud\":\"" aud "\",\"sub\":\"" sub "\",\"exp\":1700000600}"
    static const char good[] = OF("https://issuer", "parthaul", "alice");
    static const struct {
        const char *point, *header, *claims, *code;
    } points[] = {
        {"3.1 the key says the algorithm", TYPED(""), good, "OK"},
        {"3.1 none", "{\"alg\":\"none\",\"typ\":\"at+jwt\"}", good, "TOKEN_INVALID"},
        {"3.1 nOnE", "{\"alg\":\"nOnE\",\"typ\":\"at+jwt\"}", good, "TOKEN_INVALID"},
        {"3.1 another of the same family", "{\"alg\":\"HS384\",\"typ\":\"at+jwt\"}", good,
         "TOKEN_INVALID"},
        {"3.2 an old or unknown one", "{\"alg\":\"RS1\",\"typ\":\"at+jwt\"}", good,
         "TOKEN_INVALID"},
        {"3.2 an encryption's", "{\"alg\":\"RSA1_5\",\"enc\":\"A128GCM\",\"typ\":\"at+jwt\"}", good,
         "TOKEN_INVALID"},
        {"3.6 compressed", TYPED(",\"zip\":\"DEF\",\"crit\":[\"zip\"]"), good, "TOKEN_INVALID"},
        {"3.7 what is not UTF-8", TYPED(""), "{\"iss\":\"\xFF\"}", "TOKEN_INVALID"},
        {"3.8 another issuer", TYPED(""), OF("https://evil", "parthaul", "alice"),
         "TOKEN_WRONG_ISSUER"},
        {"3.8 an issuer that only begins so", TYPED(""),
         OF("https://issuer.evil", "parthaul", "alice"), "TOKEN_WRONG_ISSUER"},
        {"3.8 no subject", TYPED(""), OF("https://issuer", "parthaul", ""), "TOKEN_INVALID"},
        {"3.9 another audience", TYPED(""), OF("https://issuer", "mail", "alice"),
         "TOKEN_WRONG_AUDIENCE"},
        {"3.10 kid is only compared", TYPED(",\"kid\":\"x' OR '1'='1\""), good, "OK"},
        {"3.10 kid is a text", TYPED(",\"kid\":{\"a\":1}"), good, "TOKEN_INVALID"},
        {"3.10 URLs of keys are not followed",
         TYPED(",\"jku\":\"http://127.0.0.1:1/\",\"x5u\":\"http://127.0.0.1:1/\""), good, "OK"},
        {"3.11 an ID token", "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", good, "TOKEN_INVALID"},
        {"3.11 no type", "{\"alg\":\"HS256\"}", good, "TOKEN_INVALID"},
        {"3.11 another kind of token", "{\"alg\":\"HS256\",\"typ\":\"secevent+jwt\"}", good,
         "TOKEN_INVALID"},
    };
    for (size_t i = 0; i < COUNT(points); i++) {
        test_case("RFC 8725, %s", points[i].point);
        mint(&token, PH_STR(MINT_SECRET), points[i].header, points[i].claims);
        CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), points[i].code);
    }
    test_case("RFC 8725, 3.3 the signature is looked at before the claims");
    mint(&token, PH_STR(MINT_SECRET "x"), TYPED(""), "not JSON");
    CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "TOKEN_INVALID");
    test_case("RFC 8725, 3.4 a point that is not on the curve");
    CHECK(text_set(PH_STR("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
                          "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"y\":"
                          "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}"),
                   NULL) == NULL);
    test_case("RFC 8725, 3.5 a secret that could be guessed");
    CHECK(secret_set(PH_STR("a password")) == NULL);
    test_case("RFC 8725, 3.12 one key, one purpose");
    CHECK(
        text_set(PH_STR("{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}"),
                 NULL) == NULL);
    ph_buf_clear(&token);
    ph_buf_clear(&user);
    api_keyset_free(key);
}

int main(void)
{
    test_claims();
    test_headers();
    test_rsa();
    test_rfc7515();
    test_unknown_keys();
    test_algorithms();
    test_rfc8725();
    return test_end();
}
