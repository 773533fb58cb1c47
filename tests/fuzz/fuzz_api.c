/* SPDX-License-Identifier: MIT
 *
 * Feeds the API what others make up: bodies, tokens, claims, key files, queries. The first byte of
 * an input says which; the rest is it. What must hold whatever comes: an answer, and no prefix, key
 * or policy that reaches out of the user's own.
 */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#include "api/config_file.h"
#include "api/introspect.h"
#include "api/jwt.h"
#include "api/prefix.h"
#include "api/routes.h"
#include "core/enc.h"
#include "core/str.h"
#include "core/sts.h"

#define NOW (UINT64_C(1700000000) * 1000)
#define PREFIX "upload/a-key/"

static api_config config;
static api_service service;

/* Keys whose private halves nobody has: no signature that is made up can be theirs. */
#define RSA_N                                                                              \
    "rlO6HmnbL3ejHbrhkRFFKSaRfhwit35LtdYhHz5BYdRZB94D4deG2qQ2pUDoT_H5cukZ-3VmaScbrkggkdBA" \
    "l-uYCJwDsPS9kzSo-ps_QHkz7dpnsj_30R8sKqY4HUSUd_2ZQuaQDyUap6bF-u48GW93cQ94ycB6c2zmgE4i" \
    "CQ_hU5Hpuj5yf0HOsDzCu97wKyhuv6J6mu1gtOslJgYx-hqO9LDFbmoEi0Z7ppnLhP35Z0lA7o1CeyunKBNd" \
    "7vdYLpBlalnLJhKxYMCWYvYxJptpW_j1XIl5EGf-92rIKxJ7h92sJ6U3M98cAInZFRf_CWiM2DIRptE4NvSB" \
    "9ev8AQ"
static const char public_keys[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"alg\":\"RS256\",\"e\":\"AQAB\",\"n\":\"" RSA_N
    "\"},{\"kty\":\"RSA\",\"kid\":\"p\",\"alg\":\"PS256\",\"e\":\"AQAB\",\"n\":\"" RSA_N
    "\"},{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-256\",\"x\":\"s15GE1QFHdLS84rpO41m6hdz"
    "8lQKX0UKXuyMp_TAaC0\",\"y\":\"F46Gzrtg8rHdq6ODEQZ5dkltA-O61M4YeaXSCMnYsEU\"},{\"kty"
    "\":\"EC\",\"kid\":\"f\",\"crv\":\"P-384\",\"x\":\"1cS4qLOs1o-PAJIkCadV71UnvB_rfZhER2"
    "gfcYn4nEJ4RCFAY2SVL1a8vDrvHomM\",\"y\":\"1Qt4VZ7-siR9SLDBKBqNL1Eu5Y4Nojthik03iKd8h1g"
    "ot16zkKyDuhdtma99DMKK\"},{\"kty\":\"OKP\",\"kid\":\"d\",\"crv\":\"Ed25519\",\"x\":\""
    "Rx3yJHuzLJkGpyMvPhuEdMYlYjcuhAR2vtj-CtPEDRM\"}]}";
static api_keyset *issuers;

static int lend(api_sts *sts, const api_wish *wish, uint64_t now_ms, bool may_wait,
                bool *would_wait, api_loan *out, ph_sts_error *said)
{
    (void)sts, (void)now_ms, (void)may_wait;
    ph_buf policy;
    ph_buf_init(&policy, 8192);
    ph_str where = wish->key.ptr ? wish->key : wish->prefix;
    if (!where.ptr) /* a role of the list, with all its rights */
        MUST(ph_str_equal(wish->role_arn, PH_STR("arn:aws:iam::1:role/reader")));
    else
        MUST(ph_str_starts(where, PH_STR(PREFIX)));
    int err = !where.ptr ? PH_OK
              : wish->key.ptr
                  ? ph_sts_key_policy(wish->role_arn, config.bucket, wish->key, &policy)
                  : ph_sts_prefix_policy(wish->role_arn, config.bucket, wish->prefix, &policy);
    MUST(err == PH_OK || err == PH_ERR_TOO_LONG);
    ph_buf_clear(&policy);
    memset(out, 0, sizeof *out);
    memset(said, 0, sizeof *said);
    *would_wait = false;
    ph_creds creds = {PH_STR("ASIA"), PH_STR("secret"), PH_STR("token"), NOW + 3600000};
    return ph_creds_copy(&creds, &out->creds);
}

static bool zeros(void *out, size_t len)
{
    memset(out, 0, len);
    return true;
}

static void set_up(void)
{
    if (config.bucket.ptr)
        return;
    config.bucket = PH_STR("uploads");
    config.region = PH_STR("eu-west-1");
    config.role_arn = PH_STR("arn:aws:iam::1:role/upload");
    config.roles = PH_STR("reader,writer=admin");
    config.role_prefix = PH_STR("arn:aws:iam::1:role/");
    config.user_claim = "sub";
    config.auth = API_AUTH_KEY;
    config.max_files = 10;
    config.max_size = PH_OBJECT_MAX_SIZE;
    config.put_limit = 1000;
    config.session_seconds = 3600;
    config.url_seconds = 900;
    config.metrics = true;
    config.properties = PH_STR("cacheControl,contentDisposition,expires,metadata");
    MUST(ph_str_copy(PH_STR("upload/{sub}/"), &config.prefix) == PH_OK);
    ph_target target = {.bucket = config.bucket, .region = config.region};
    MUST(ph_endpoint_make(&target, &config.bucket_at) == PH_OK);
    uint8_t hash[PH_SHA256_LEN];
    char line[128];
    ph_sha256("fuzz", 4, hash);
    for (size_t i = 0; i < sizeof hash; i++)
        snprintf(line + 2 * i, 3, "%02x", hash[i]);
    strcpy(line + 64, " a-key\n");
    MUST(api_keys_read(ph_str_from(line), &config.api_keys) == NULL);
    MUST(api_service_start(&config, zeros, &service));
    issuers = api_keyset_new();
    MUST(api_keyset_add_text(issuers, ph_str_from(public_keys), NULL, NULL, false) == NULL);
    MUST(api_keyset_add_secret(issuers, (ph_str){(const char *)hash, sizeof hash}) == NULL);
    service.borrow = lend;
}

/* ---- What is fed ----------------------------------------------------------------------------- */

static void feed_route(const char *method, ph_str path, ph_str query, ph_str body)
{
    api_request r = {.id = "0",
                     .now_ms = NOW,
                     .method = ph_str_from(method),
                     .path = path,
                     .query = query,
                     .api_key = PH_STR("fuzz"),
                     .body = body};
    api_answer a;
    api_answer_make(&service, &r, &a);
    MUST(a.status >= 200 && a.status < 600 && a.status != 500);
    for (size_t i = 0; i < a.header_count; i++)
        MUST(!strpbrk(a.headers[i].value.ptr, "\r\n"));
    if (a.body.len > 0 && !ph_str_equal(path, PH_STR("/metrics")) &&
        !ph_str_starts(path, PH_STR("/get_key/"))) {
        ph_json *document;
        int err = ph_json_parse(ph_buf_view(&a.body), &document);
        MUST(err == PH_OK || err == PH_ERR_TOO_LONG);
        ph_str key = ph_json_member_text(document, "key");
        MUST(!key.ptr || ph_str_starts(key, PH_STR(PREFIX)));
        if (err == PH_OK)
            ph_json_free(document);
    }
    api_answer_clear(&a);
}

static void feed_token(ph_str text)
{
    api_token t;
    bool unknown;
    if (api_token_open(text, &t).problem == API_NO_PROBLEM)
        MUST(api_token_verify(&t, issuers, &unknown).problem != API_NO_PROBLEM);
    api_token_close(&t);
}

/* A token by its parts, each a line, so that mutations need not see through base64url. */
static void feed_parts(ph_str text)
{
    ph_buf token;
    ph_buf_init(&token, 65536);
    for (int i = 0; i < 3; i++) {
        ph_str part = i < 2 ? ph_str_cut(&text, '\n') : text;
        if (i > 0)
            ph_buf_char(&token, '.');
        if (part.ptr)
            ph_enc_base64url(&token, part.ptr, part.len);
    }
    feed_token(ph_buf_view(&token));
    ph_buf_clear(&token);
}

/* Claims as a good token could have them. */
static void feed_claims(ph_str text)
{
    static const api_claim_rules rules = {.issuer = {"i", 1},
                                          .audience = {"a", 1},
                                          .scope = {"x y", 3},
                                          .required = {"t=1,u", 5},
                                          .leeway_ms = 1000};
    ph_json *claims;
    uint64_t end;
    ph_buf prefix, scopes, policy;
    if (ph_json_parse(text, &claims) != PH_OK)
        return;
    ph_buf_init(&prefix, 1024);
    ph_buf_init(&scopes, 8192);
    ph_buf_init(&policy, 8192);
    api_claims_check(&rules, claims, true, NOW, &end);
    api_claims_check(&rules, claims, false, NOW, &end);
    api_claims_scopes(claims, &scopes);
    api_issuer_expires_ms(claims, NOW);
    if (api_prefix_make(PH_STR("builds/{product}/{build}/"), claims, &prefix).problem ==
        API_NO_PROBLEM) {
        ph_str made = ph_buf_view(&prefix);
        MUST(ph_sts_prefix_policy(config.role_arn, PH_STR("uploads"), made, &policy) == PH_OK);
        size_t slashes = 0;
        for (size_t i = 0; i < made.len; i++) {
            slashes += made.ptr[i] == '/';
            MUST(!strchr("*?${%\"\\", made.ptr[i]) && made.ptr[i] > ' ' && made.ptr[i] <= '~');
        }
        MUST(slashes == 3 && ph_str_starts(made, PH_STR("builds/")));
    }
    ph_buf_clear(&prefix);
    ph_buf_clear(&scopes);
    ph_buf_clear(&policy);
    ph_json_free(claims);
}

static void feed_keys(ph_str text)
{
    api_keyset *set = api_keyset_new();
    api_keyset_add_text(set, text, NULL, "PS256", false);
    api_keyset_verify(set, PH_STR("ES256"), (ph_str){NULL, 0}, PH_STR("e30"), PH_STR("e30"),
                      PH_STR("AAAA"));
    api_keyset_free(set);
}

static void feed_files(ph_str text)
{
    api_keys *keys;
    api_config_file *file;
    ph_buf says;
    ph_buf_init(&says, 65536);
    if (!api_keys_read(text, &keys))
        api_keys_free(keys);
    if (api_config_file_read(text, &says, &file))
        api_config_file_free(file);
    ph_buf_clear(&says);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    set_up();
    if (size == 0)
        return 0;
    ph_str rest = {(const char *)data + 1, size - 1};
    ph_str none = {NULL, 0};
    switch (data[0]) {
    case 'u': feed_route("POST", PH_STR("/v1/uploads"), none, rest); break;
    case 'p': feed_route("POST", PH_STR("/v1/post-policy"), none, rest); break;
    case 'q': feed_route("GET", PH_STR("/v1/credentials"), rest, none); break;
    case 'r': feed_route("GET", rest, none, none); break;
    case 't': feed_token(rest); break;
    case 'j': feed_parts(rest); break;
    case 'c': feed_claims(rest); break;
    case 'k': feed_keys(rest); break;
    case 'f': feed_files(rest); break;
    default: break;
    }
    return 0;
}
