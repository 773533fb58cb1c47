/* SPDX-License-Identifier: MIT
 *
 * Tests the API's jwt: RFC 7515's own tokens, tokens wrong in one thing each, and the attacks of
 * RFC 8725 that a server falls for when it believes a token's header.
 */
#include "test.h"

#include <jose/b64.h>
#include <jose/jwk.h>
#include <jose/jws.h>
#include <jose/openssl.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "api/jwt.h"
#include "mint.h"

#define NOW (UINT64_C(1700000000) * 1000)
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS(rest) "{\"iss\":\"https://issuer\",\"aud\":\"parthaul\",\"sub\":\"alice\"" rest "}"
#define EXP ",\"exp\":1700000600"

static api_token_rules rules_for(const api_key *key)
{
    return (api_token_rules){key, PH_STR("https://issuer"), PH_STR("parthaul"), "sub"};
}

/* Check a token and give the code of the verdict, "OK" for a good one. */
static const char *check(const api_token_rules *rules, ph_str token, uint64_t now_ms, ph_buf *user)
{
    ph_buf_reset(user);
    api_verdict verdict = api_token_check(rules, test_guard_str(token), now_ms, user);
    if (verdict.problem != API_NO_PROBLEM)
        CHECK_U64(user->len, 0);
    return verdict.problem == API_NO_PROBLEM ? "OK" : api_problem_info(verdict.problem)->code;
}

#define CHECK_CODE(got, want) CHECK_STR(ph_str_from(got), want)

static api_key *secret_key(void)
{
    api_key *key;
    CHECK(api_key_hs256(PH_STR(MINT_SECRET), &key) == NULL);
    return key;
}

/* ---- Claims ---------------------------------------------------------------------------------- */

static void test_claims(void)
{
    api_key *key = secret_key();
    api_token_rules rules = rules_for(key);
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

    test_case("another claim names the user");
    rules.user_claim = "email";
    mint(&token, PH_STR(MINT_SECRET), HEADER, CLAIMS(EXP ",\"email\":\"a@example.org\""));
    CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "OK");
    CHECK_STR(ph_buf_view(&user), "a@example.org");
    mint(&token, PH_STR(MINT_SECRET), HEADER, CLAIMS(EXP));
    CHECK_CODE(check(&rules, ph_buf_view(&token), NOW, &user), "FORBIDDEN");

    ph_buf_clear(&token);
    ph_buf_clear(&user);
    api_key_free(key);
}

/* ---- Headers and forms ----------------------------------------------------------------------- */

static void test_headers(void)
{
    api_key *key = secret_key();
    api_token_rules rules = rules_for(key);
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
                taken += api_token_check(&rules, ph_buf_view(&token), NOW, &user).problem ==
                         API_NO_PROBLEM;
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
    api_key_free(key);
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
        api_key *key;
        const char *wrong = api_key_rs256(test_guard_str(forms[i].text), &key);
        CHECK_STR(ph_str_from(wrong), NULL);
        if (!key)
            continue;
        api_token_rules rules = rules_for(key);
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
        api_key_free(key);
    }

    test_case("a private key as JWK is taken, but only its public half");
    api_key *key;
    CHECK(api_key_rs256(dump(pair, &text), &key) == NULL);
    api_key_free(key);

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
        CHECK(api_key_rs256(dump(refused[i], &text), &key) != NULL);
        CHECK(key == NULL);
    }
    test_case("refused: a curve's key in PEM");
    CHECK(api_key_rs256(pem_of(curve, &text), &key) != NULL);
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
        CHECK(api_key_rs256(test_guard_str(ph_str_from(texts[i])), &key) != NULL);
    CHECK(api_key_hs256(PH_STR("0123456789abcdef0123456789abcde"), &key) != NULL);

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
        api_key *key;
        CHECK(api_key_hs256((ph_str){secret, len}, &key) == NULL);
        api_token_rules rules = rules_for(key);
        rules.issuer = PH_STR("joe");
        CHECK_CODE(check(&rules, ph_str_trim(ph_buf_view(&jws)), NOW, &user),
                   "TOKEN_WRONG_AUDIENCE");
        secret[0] ^= 1;
        api_key_free(key);
        CHECK(api_key_hs256((ph_str){secret, len}, &key) == NULL);
        rules.key = key;
        CHECK_CODE(check(&rules, ph_str_trim(ph_buf_view(&jws)), NOW, &user), "TOKEN_INVALID");
        api_key_free(key);
        json_decref(value);
    }
    ph_buf_clear(&jwk);
    ph_buf_clear(&jws);

    test_case("RFC 7515, A.2");
    there = test_vectors("jws-rfc7515/rfc7515_A.2.jwk", &jwk);
    there = test_vectors("jws-rfc7515/rfc7515_A.2.jwsc", &jws) && there;
    if (there) {
        api_key *key;
        CHECK(api_key_rs256(ph_buf_view(&jwk), &key) == NULL);
        api_token_rules rules = rules_for(key);
        rules.issuer = PH_STR("joe");
        CHECK_CODE(check(&rules, ph_str_trim(ph_buf_view(&jws)), NOW, &user),
                   "TOKEN_WRONG_AUDIENCE");
        ph_buf_clear(&jws);
        test_case("RFC 7515, A.5: unsecured");
        if (test_vectors("jws-rfc7515/rfc7515_A.5.jwsc", &jws))
            CHECK_CODE(check(&rules, ph_str_trim(ph_buf_view(&jws)), NOW, &user), "TOKEN_INVALID");
        api_key_free(key);
    }
    ph_buf_clear(&jwk);
    ph_buf_clear(&jws);
    ph_buf_clear(&user);
}

int main(void)
{
    test_claims();
    test_headers();
    test_rsa();
    test_rfc7515();
    return test_end();
}
