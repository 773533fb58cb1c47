/* SPDX-License-Identifier: MIT
 *
 * Tests the API's routes without a socket: a request goes in, an answer comes out. STS is a function
 * of the test's that gives credentials, or fails as it is told.
 */
#include "test.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "api/routes.h"
#include "core/json.h"
#include "core/str.h"
#include "mint.h"

#define NOW (UINT64_C(1700000000) * 1000)
#define CLAIMS(sub) \
    "{\"iss\":\"issuer\",\"aud\":\"parthaul\",\"exp\":1700000600,\"sub\":\"" sub "\"}"

/* ---- The service ----------------------------------------------------------------------------- */

static int sts_err; /* what STS does next */
static uint64_t sts_expires_ms;
static unsigned sts_calls;
static char sts_user[1100], sts_prefix[1100], sts_role[1100]; /* what it was asked last */

static void keep(char *place, size_t size, ph_str text)
{
    size_t len = text.len < size ? text.len : size - 1;
    if (len > 0)
        memcpy(place, text.ptr, len);
    place[len] = '\0';
}

static bool sts_absent; /* it would have to be asked first */

static int fake_sts(api_sts *sts, const api_wish *wish, uint64_t now_ms, bool may_wait,
                    bool *would_wait, api_loan *out, ph_sts_error *said)
{
    (void)sts, (void)now_ms;
    sts_calls++;
    keep(sts_user, sizeof sts_user, wish->user);
    keep(sts_prefix, sizeof sts_prefix, wish->key.ptr ? wish->key : wish->prefix);
    keep(sts_role, sizeof sts_role, wish->role_arn);
    memset(out, 0, sizeof *out);
    ph_buf_init(&out->arn, 256);
    ph_buf_init(&out->id, 256);
    *said = (ph_sts_error){.code = ""};
    *would_wait = sts_absent && !may_wait;
    if (*would_wait)
        return PH_OK;
    if (sts_err != PH_OK) {
        strcpy(said->code, "AccessDenied");
        return sts_err;
    }
    ph_creds creds = {PH_STR("ASIAFAKE"), PH_STR("fake\"secret"), PH_STR("fake/token=="),
                      sts_expires_ms};
    ph_buf_cstr(&out->arn, "arn:aws:sts::1:assumed-role/demo/alice");
    ph_buf_cstr(&out->id, "ARO:alice");
    int err = ph_creds_copy(&creds, &out->creds);
    if (err != PH_OK)
        api_loan_clear(out);
    return err;
}

static bool fake_random(void *out, size_t len)
{
    memset(out, 0xAB, len);
    return true;
}

static api_config config;
static api_service service;
static api_keyset *keys;
static ph_buf authorization; /* of alice, unless a test says otherwise */

static void set_token(ph_str secret, const char *claims)
{
    ph_buf token;
    ph_buf_init(&token, 65536);
    mint(&token, secret, "{\"alg\":\"HS256\"}", claims);
    ph_buf_reset(&authorization);
    ph_buf_cstr(&authorization, "Bearer ");
    ph_buf_str(&authorization, ph_buf_view(&token));
    ph_buf_clear(&token);
}

static void set_up(void)
{
    api_service_stop(&service);
    config.s3_endpoint = (ph_str){NULL, 0};
    config.keys = NULL; /* ours, see below */
    api_config_clear(&config);
    config.bucket = PH_STR("uploads");
    config.region = PH_STR("eu-west-1");
    config.issuer = PH_STR("issuer");
    config.audience = PH_STR("parthaul");
    config.user_claim = "sub";
    CHECK_INT(ph_str_copy(PH_STR("upload/{sub}/"), &config.prefix), PH_OK);
    config.role_arn = PH_STR("arn:aws:iam::1:role/upload");
    config.leeway_seconds = 60;
    config.max_size = PH_OBJECT_MAX_SIZE;
    config.max_files = 10;
    config.metrics = true;
    config.properties = PH_STR("cacheControl,metadata");
    config.put_limit = 1000;
    config.session_seconds = 3600;
    config.url_seconds = 900;
    config.origin_count = 1;
    CHECK_INT(ph_str_copy(PH_STR("https://app.example"), &config.origins[0]), PH_OK);
    config.keys = keys;
    ph_target target = {.bucket = config.bucket, .region = config.region};
    CHECK_INT(ph_endpoint_make(&target, &config.bucket_at), PH_OK);
    CHECK(api_service_start(&config, fake_random, &service));
    service.borrow = fake_sts;
    sts_absent = false;
    sts_err = PH_OK;
    sts_expires_ms = NOW + 3600 * 1000;
    sts_calls = 0;
    set_token(PH_STR(MINT_SECRET), CLAIMS("alice"));
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static api_request request(const char *method, const char *path)
{
    return (api_request){
        .id = "0011",
        .now_ms = NOW,
        .method = ph_str_from(method),
        .path = ph_str_from(path),
        .authorization = ph_buf_view(&authorization),
    };
}

static api_request upload(const char *body)
{
    api_request r = request("POST", "/v1/uploads");
    r.body = ph_str_from(body);
    return r;
}

static ph_str header(const api_answer *a, const char *name)
{
    for (size_t i = 0; i < a->header_count; i++)
        if (ph_str_equal(a->headers[i].name, ph_str_from(name)))
            return a->headers[i].value;
    return (ph_str){NULL, 0};
}

/* What holds for every answer. Gives the body as JSON, NULL for an empty one. */
static ph_json *ask(api_request r, api_answer *a)
{
    r.body = test_guard_str(r.body);
    api_answer_make(&service, &r, a);
    CHECK_STR(header(a, "cache-control"), "no-store");
    CHECK_STR(header(a, "x-request-id"), "0011");
    CHECK_STR(header(a, "vary"), "Origin");
    CHECK((a->status >= 400) == (a->code != NULL));
    for (size_t i = 0; i < a->header_count; i++) /* the hosts need C strings */
        CHECK_U64(strlen(a->headers[i].value.ptr), a->headers[i].value.len);
    ph_json *document = NULL;
    if (a->body.len > 0) {
        CHECK_INT(ph_json_parse(ph_buf_view(&a->body), &document), PH_OK);
        CHECK_STR(header(a, "content-type"),
                  a->code ? "application/problem+json" : "application/json");
    }
    return document;
}

/* Ask, and expect a refusal by this code. */
static void check_refused(api_request r, int status, const char *code)
{
    api_answer a;
    ph_json *d = ask(r, &a);
    CHECK_INT(a.status, status);
    CHECK_STR(ph_json_member_text(d, "code"), code);
    CHECK_STR(ph_json_member_text(d, "type"), "about:blank");
    uint64_t said = 0;
    CHECK(ph_json_u64(ph_json_member(d, "status"), &said) && said == (uint64_t)status);
    CHECK(ph_json_member_text(d, "title").len > 0 && ph_json_member_text(d, "detail").len > 0);
    ph_json_free(d);
    api_answer_clear(&a);
}

/* ---- Routes ---------------------------------------------------------------------------------- */

static void test_routes(void)
{
    api_answer a;
    set_up();
    test_case("health");
    ph_json *d = ask(request("GET", "/healthz"), &a);
    CHECK_INT(a.status, 200);
    CHECK_STR(ph_buf_view(&a.body), "{\"status\":\"ok\",\"version\":\"" PH_VERSION "\"}");
    ph_json_free(d);
    api_answer_clear(&a);
    CHECK_U64(sts_calls, 0);

    static const char *const unknown[] = {"/v1",
                                          "/dev",
                                          "/get_key/",
                                          "/get_key/a/b",
                                          "/v1/credentials/",
                                          "/v1/Credentials",
                                          "",
                                          "/v1%2Fcredentials",
                                          "/healthz/.."};
    for (size_t i = 0; i < COUNT(unknown); i++) {
        test_case("no route %s", unknown[i]);
        check_refused(request("GET", unknown[i]), 404, "NOT_FOUND");
    }
    static const struct {
        const char *method, *path, *allow;
    } wrong[] = {{"POST", "/healthz", "GET, HEAD, OPTIONS"},
                 {"POST", "/v1/credentials", "GET, OPTIONS"},
                 {"GET", "/v1/uploads", "POST, OPTIONS"},
                 {"get", "/healthz", "GET, HEAD, OPTIONS"},
                 {"", "/v1/uploads", "POST, OPTIONS"}};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        test_case("wrong method %s %s", wrong[i].method, wrong[i].path);
        check_refused(request(wrong[i].method, wrong[i].path), 405, "METHOD_NOT_ALLOWED");
        ph_json_free(ask(request(wrong[i].method, wrong[i].path), &a));
        CHECK_STR(header(&a, "allow"), wrong[i].allow);
        api_answer_clear(&a);
    }
    test_case("OPTIONS");
    ask(request("OPTIONS", "/v1/uploads"), &a);
    CHECK_INT(a.status, 204);
    CHECK_STR(header(&a, "allow"), "POST, OPTIONS");
    api_answer_clear(&a);
}

static void test_cors(void)
{
    api_answer a;
    set_up();
    test_case("preflight");
    api_request r = request("OPTIONS", "/v1/uploads");
    r.authorization = (ph_str){NULL, 0};
    r.origin = PH_STR("https://app.example");
    r.preflight_method = PH_STR("POST");
    ask(r, &a);
    CHECK_INT(a.status, 204);
    CHECK_STR(header(&a, "access-control-allow-origin"), "https://app.example");
    CHECK_STR(header(&a, "access-control-allow-methods"), "GET, POST, OPTIONS");
    CHECK_STR(header(&a, "access-control-allow-headers"), "authorization, content-type, x-api-key");
    CHECK_STR(header(&a, "access-control-max-age"), "7200");
    CHECK_STR(header(&a, "access-control-allow-credentials"), NULL);
    api_answer_clear(&a);

    static const char *const others[] = {
        "https://app.example.evil", "http://app.example",  "https://app.example:8443", "null", "",
        "HTTPS://APP.EXAMPLE",      "https://app.example/"};
    for (size_t i = 0; i < COUNT(others); i++) {
        test_case("origin %s", others[i]);
        r.origin = ph_str_from(others[i]);
        ph_json_free(ask(r, &a));
        CHECK_STR(header(&a, "access-control-allow-origin"), NULL);
        CHECK_STR(header(&a, "access-control-allow-methods"), NULL);
        api_answer_clear(&a);
    }

    test_case("a page can read refusals too");
    r = request("GET", "/v1/credentials");
    r.origin = PH_STR("https://app.example");
    r.authorization = (ph_str){NULL, 0};
    ph_json_free(ask(r, &a));
    CHECK_INT(a.status, 401);
    CHECK_STR(header(&a, "access-control-allow-origin"), "https://app.example");
    CHECK(header(&a, "access-control-expose-headers").len > 0);
    api_answer_clear(&a);

    test_case("even those of a host that has no time for it");
    api_answer_refuse(&service, &r, (api_verdict){API_BUSY, NULL}, &a);
    CHECK_INT(a.status, 503);
    CHECK_STR(header(&a, "access-control-allow-origin"), "https://app.example");
    CHECK_STR(header(&a, "retry-after"), "5");
    CHECK_STR(ph_str_from(a.code), "BUSY");
    api_answer_clear(&a);
    test_case("which look as the route's others do");
    r.path = PH_STR("/get_key/a");
    api_answer_refuse(&service, &r, (api_verdict){API_BUSY, NULL}, &a);
    CHECK_STR(ph_buf_view(&a.body), "{\"message\":\"Service Unavailable\"}");
    api_answer_clear(&a);
    test_case("and are counted");
    r = request("GET", "/metrics");
    api_answer_make(&service, &r, &a);
    ph_buf_char(&a.body, '\0');
    CHECK(strstr(a.body.ptr,
                 "parthaul_api_answers_total{route=\"/v1/credentials\",status=\"5xx\"} 1\n"));
    api_answer_clear(&a);
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

static void test_tokens(void)
{
    api_answer a;
    set_up();
    static const struct {
        const char *authorization;
        const char *code;
    } cases[] = {
        {NULL, "TOKEN_MISSING"},
        {"", "TOKEN_MISSING"},
        {"Bearer", "TOKEN_MISSING"},
        {"Bearer ", "TOKEN_MISSING"},
        {"Basic YTpi", "TOKEN_MISSING"},
        {"Bearerx.y.z", "TOKEN_MISSING"},
        {"Bearer x", "TOKEN_INVALID"},
        {"bearer x.y.z", "TOKEN_INVALID"},
        {"Bearer x.y.z w", "TOKEN_INVALID"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("authorization %s", cases[i].authorization ? cases[i].authorization : "absent");
        api_request r = request("GET", "/v1/credentials");
        r.authorization = ph_str_from(cases[i].authorization);
        check_refused(r, 401, cases[i].code);
        ph_json_free(ask(r, &a));
        CHECK_STR(header(&a, "www-authenticate"), strcmp(cases[i].code, "TOKEN_MISSING") == 0
                                                      ? "Bearer"
                                                      : "Bearer error=\"invalid_token\"");
        CHECK_U64(a.user.len, 0);
        api_answer_clear(&a);
    }
    test_case("two Authorization headers");
    api_request twice = request("GET", "/v1/credentials");
    twice.authorization_twice = true;
    check_refused(twice, 401, "TOKEN_INVALID");

    test_case("other refusals keep their codes");
    set_token(PH_STR(MINT_SECRET),
              "{\"iss\":\"issuer\",\"aud\":\"parthaul\",\"exp\":1,\"sub\":\"alice\"}");
    check_refused(request("GET", "/v1/credentials"), 401, "TOKEN_EXPIRED");
    set_token(PH_STR("another secret of at least 32 bytes"), CLAIMS("alice"));
    check_refused(upload("{\"name\":\"a\",\"size\":1}"), 401, "TOKEN_INVALID");
    CHECK_U64(sts_calls, 0);
}

/* ---- Credentials ----------------------------------------------------------------------------- */

static void test_credentials(void)
{
    api_answer a;
    set_up();
    test_case("credentials");
    ph_json *d = ask(request("GET", "/v1/credentials"), &a);
    CHECK_INT(a.status, 200);
    CHECK_STR(ph_buf_view(&a.body),
              "{\"credentials\":{\"accessKeyId\":\"ASIAFAKE\",\"secretAccessKey\":"
              "\"fake\\\"secret\",\"sessionToken\":\"fake/token==\",\"expiration\":"
              "\"2023-11-14T23:13:20Z\"},\"bucket\":\"uploads\",\"region\":\"eu-west-1\","
              "\"prefix\":\"upload/alice/\",\"serverTime\":\"2023-11-14T22:13:20Z\"}");
    CHECK_STR(ph_buf_view(&a.user), "alice");
    ph_grant grant; /* what the engine makes of it */
    CHECK_INT(ph_grant_parse(ph_buf_view(&a.body), &grant), PH_OK);
    CHECK_STR(grant.creds.secret_access_key, "fake\"secret");
    CHECK_U64(grant.creds.expires_ms, sts_expires_ms);
    CHECK_U64(grant.server_time_ms, NOW);
    ph_grant_clear(&grant);
    ph_json_free(d);
    api_answer_clear(&a);

    test_case("the endpoint is named when there is one");
    config.s3_endpoint = PH_STR("http://127.0.0.1:8333");
    d = ask(request("GET", "/v1/credentials"), &a);
    CHECK_STR(ph_json_member_text(d, "endpoint"), "http://127.0.0.1:8333");
    ph_json_free(d);
    api_answer_clear(&a);

    test_case("a name that is no key segment");
    set_token(PH_STR(MINT_SECRET), CLAIMS("../bob"));
    d = ask(request("GET", "/v1/credentials"), &a);
    CHECK_INT(a.status, 200);
    CHECK_STR(ph_str_from(sts_user), "../bob");
    ph_str prefix = ph_json_member_text(d, "prefix");
    CHECK_STR(prefix, sts_prefix);
    CHECK(ph_str_starts(prefix, PH_STR("upload/..-bob~")) && ph_str_ends(prefix, PH_STR("/")));
    ph_json_free(d);
    api_answer_clear(&a);

    static const struct {
        int err;
        int status;
        const char *code;
    } failures[] = {
        {PH_ERR_NETWORK, 503, "STS_UNREACHABLE"},
        {PH_ERR_TIMEOUT, 503, "STS_UNREACHABLE"},
        {PH_ERR_TLS, 503, "STS_UNREACHABLE"},
        {PH_ERR_SLOW_DOWN, 503, "STS_UNREACHABLE"},
        {PH_ERR_SERVER_ERROR, 503, "STS_UNREACHABLE"},
        {PH_ERR_REFUSED, 502, "STS_FAILED"},
        {PH_ERR_BAD_XML, 502, "STS_FAILED"},
        {PH_ERR_BAD_ANSWER, 502, "STS_FAILED"},
        {PH_ERR_NOMEM, 500, "INTERNAL"},
    };
    for (size_t i = 0; i < COUNT(failures); i++) {
        test_case("STS fails %d", failures[i].err);
        sts_err = failures[i].err;
        check_refused(request("GET", "/v1/credentials"), failures[i].status, failures[i].code);
        ph_json_free(ask(upload("{\"name\":\"a\",\"size\":1}"), &a));
        CHECK_INT(a.status, failures[i].status);
        CHECK_STR(header(&a, "retry-after"), failures[i].status == 503 ? "5" : NULL);
        api_answer_clear(&a);
    }
    test_case("credentials that are over before they begin");
    sts_err = PH_OK;
    sts_expires_ms = NOW;
    check_refused(request("GET", "/v1/credentials"), 502, "STS_FAILED");
}

/* ---- Uploads --------------------------------------------------------------------------------- */

#define KEY "upload/alice/018bcfe5-6800-7bab-abab-abababababab/"

static void test_put(void)
{
    api_answer a;
    set_up();
    test_case("presigned PUT");
    ph_json *d = ask(upload("{\"name\":\"dir/a b.mp4\",\"size\":1000,\"type\":\"video/mp4\","
                            "\"checksum\":{\"algorithm\":\"crc64nvme\",\"value\":"
                            "\"AAAAAAAAAAA=\"}}"),
                     &a);
    CHECK_INT(a.status, 200);
    CHECK_STR(ph_json_member_text(d, "uploadType"), "put");
    CHECK_STR(ph_json_member_text(d, "method"), "PUT");
    CHECK_STR(ph_json_member_text(d, "bucket"), "uploads");
    CHECK_STR(ph_json_member_text(d, "region"), "eu-west-1");
    CHECK_STR(ph_json_member_text(d, "key"), KEY "a b.mp4");
    CHECK_STR(ph_json_member_text(d, "expires"), "2023-11-14T22:28:20Z");
    CHECK_STR(ph_json_member_text(d, "serverTime"), "2023-11-14T22:13:20Z");
    CHECK(!ph_json_member(d, "credentials"));
    const ph_json *headers = ph_json_member(d, "headers");
    CHECK_STR(ph_json_member_text(headers, "content-type"), "video/mp4");
    CHECK_STR(ph_json_member_text(headers, "if-none-match"), "*");
    CHECK_STR(ph_json_member_text(headers, "x-amz-checksum-crc64nvme"), "AAAAAAAAAAA=");
    ph_buf url;
    ph_buf_init(&url, 65536);
    ph_buf_str(&url, ph_json_member_text(d, "url"));
    CHECK(ph_str_starts(ph_buf_view(&url),
                        PH_STR("https://uploads.s3.eu-west-1.amazonaws.com/" KEY "a%20b.mp4?")));
    ph_buf_char(&url, '\0');
    CHECK(strstr(url.ptr, "X-Amz-Expires=900"));
    CHECK(strstr(url.ptr, "X-Amz-Security-Token=fake%2Ftoken%3D%3D"));
    CHECK(strstr(url.ptr, "X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost%3B"
                          "if-none-match%3Bx-amz-checksum-crc64nvme"));
    CHECK(strstr(url.ptr, "Credential=ASIAFAKE%2F20231114%2Feu-west-1%2Fs3%2Faws4_request"));
    CHECK(strstr(url.ptr, "X-Amz-Signature="));
    CHECK_STR(ph_str_from(sts_prefix), "upload/alice/");
    ph_buf_clear(&url);
    ph_grant grant;
    CHECK_INT(ph_grant_parse(ph_buf_view(&a.body), &grant), PH_OK);
    CHECK_U64(grant.header_count, 3);
    ph_grant_clear(&grant);
    ph_json_free(d);
    api_answer_clear(&a);

    test_case("no type, MD5");
    d = ask(upload("{\"name\":\"a\",\"size\":0,\"type\":\"\",\"checksum\":{\"algorithm\":\"MD5\","
                   "\"value\":\"1B2M2Y8AsgTpgAmY7PhCfg==\"}}"),
            &a);
    headers = ph_json_member(d, "headers");
    CHECK_STR(ph_json_member_text(headers, "content-md5"), "1B2M2Y8AsgTpgAmY7PhCfg==");
    CHECK(!ph_json_member(headers, "content-type"));
    ph_json_free(d);
    api_answer_clear(&a);

    test_case("a limit of 0 is for no file, not even an empty one");
    config.put_limit = 0;
    d = ask(upload("{\"name\":\"a\",\"size\":0,\"checksum\":{\"algorithm\":\"MD5\","
                   "\"value\":\"1B2M2Y8AsgTpgAmY7PhCfg==\"}}"),
            &a);
    CHECK_STR(ph_json_member_text(d, "uploadType"), "multipart");
    ph_json_free(d);
    api_answer_clear(&a);
    config.put_limit = 1000;

    test_case("a URL does not outlive its credentials");
    sts_expires_ms = NOW + 100 * 1000;
    d = ask(upload("{\"name\":\"a\",\"size\":1,\"checksum\":{\"algorithm\":\"CRC32\","
                   "\"value\":\"AAAAAA==\"}}"),
            &a);
    CHECK_STR(ph_json_member_text(d, "expires"), "2023-11-14T22:15:00Z");
    ph_json_free(d);
    api_answer_clear(&a);
}

static void test_multipart(void)
{
    static const char *const bodies[] = {
        "{\"name\":\"a.bin\",\"size\":1000}", /* small, but nothing would vouch for it */
        ("{\"name\":\"a.bin\",\"size\":1001,"
         "\"checksum\":{\"algorithm\":\"CRC32\",\"value\":\"AAAAAA==\"}}"),
        "{\"name\":\"a.bin\",\"size\":53687091200000}", /* 48.8 TiB */
        " {\"size\": 7, \"name\": \"x/../a.bin\", \"other\": null}\n",
    };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        api_answer a;
        set_up();
        test_case("multipart %zu", i);
        ph_json *d = ask(upload(bodies[i]), &a);
        CHECK_INT(a.status, 200);
        CHECK_STR(ph_json_member_text(d, "uploadType"), "multipart");
        CHECK_STR(ph_json_member_text(d, "key"), KEY "a.bin");
        CHECK_STR(ph_json_member_text(d, "prefix"), "upload/alice/");
        CHECK_STR(ph_json_member_text(d, "bucket"), "uploads");
        const ph_json *creds = ph_json_member(d, "credentials");
        CHECK_STR(ph_json_member_text(creds, "sessionToken"), "fake/token==");
        CHECK(!ph_json_member(d, "url"));
        ph_json_free(d);
        api_answer_clear(&a);
    }
}

static void test_bad_bodies(void)
{
    set_up();
    static const struct {
        const char *body;
        int status;
        const char *code;
    } cases[] = {
        {"", 400, "BAD_REQUEST"},
        {"x", 400, "BAD_REQUEST"},
        {"[]", 400, "BAD_REQUEST"},
        {"{}", 400, "BAD_REQUEST"},
        {"{\"name\":\"\xFF\",\"size\":1}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"name\":\"b\",\"size\":1}", 400, "BAD_REQUEST"},
        {"{\"name\":7,\"size\":1}", 400, "BAD_REQUEST"},
        {"{\"size\":1}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\"}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":\"1\"}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":-1}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1.5}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1e300}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":53687091200001}", 413, "TOO_LARGE"},
        {"{\"name\":\"a\",\"size\":1,\"type\":7}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1,\"type\":\"video\"}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1,\"type\":\"/mp4\"}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1,\"type\":\"a/b\\r\\nx: y\"}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1,\"type\":\"image/png,text/html\"}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1,\"type\":\"image/png;a=b, c, text/html\"}", 400,
         "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1,\"type\":\"a/\xC3\xA9\"}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1,\"checksum\":\"AAAAAA==\"}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1,\"checksum\":{}}", 400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1,\"checksum\":{\"algorithm\":\"NONE\",\"value\":\"\"}}", 400,
         "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1,\"checksum\":{\"algorithm\":\"CRC32\",\"value\":\"AAAA\"}}",
         400, "BAD_REQUEST"},
        {"{\"name\":\"a\",\"size\":1,\"checksum\":{\"algorithm\":\"CRC32\",\"value\":7}}", 400,
         "BAD_REQUEST"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("body %s", cases[i].body);
        check_refused(upload(cases[i].body), cases[i].status, cases[i].code);
    }
    test_case("body too large");
    api_request r = upload("");
    r.body_too_large = true;
    check_refused(r, 413, "BODY_TOO_LARGE");
    CHECK_U64(sts_calls, 0);
}

/* However many allocations succeed: an answer, and nothing lost. (libjose allocates on its own.) */
static void test_memory(void)
{
    set_up();
    test_case("memory fails");
    config.rates.per_user = 0;
    for (unsigned n = 0;; n++) {
        api_answer a;
        api_request r = upload("{\"name\":\"a\",\"size\":1,\"checksum\":{\"algorithm\":\"CRC32\","
                               "\"value\":\"AAAAAA==\"}}");
        test_alloc_fail_after(n);
        api_answer_make(&service, &r, &a);
        bool failed = test_alloc_end();
        CHECK(failed ? a.status >= 400 : a.status == 200);
        api_answer_clear(&a);
        if (!failed)
            break;
    }
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static void test_wait(void)
{
    api_answer a;
    set_up();
    test_case("what would have to wait is said, and is no answer");
    sts_absent = true;
    api_request r = request("GET", "/v1/credentials");
    r.no_wait = true;
    api_answer_make(&service, &r, &a);
    CHECK(a.would_wait);
    api_answer_clear(&a);
    r = upload("{\"files\":[{\"name\":\"a\",\"size\":1},{\"name\":\"b\",\"size\":1}]}");
    r.no_wait = true;
    api_answer_make(&service, &r, &a);
    CHECK(a.would_wait);
    api_answer_clear(&a);
    r.no_wait = false;
    api_answer_make(&service, &r, &a);
    CHECK(!a.would_wait && a.status == 200);
    api_answer_clear(&a);
}

/* ---- Credentials of one key ------------------------------------------------------------------ */

static void test_key_credentials(void)
{
    set_up();
    static const struct {
        const char *query;
        int status;
    } cases[] = {
        {"key=upload/alice/x/a%20b.mp4", 200},
        {"other=1&key=upload%2Falice%2Fx", 200},
        {"key=upload/alice/", 403},
        {"key=upload/alice", 403},
        {"key=upload/bob/x", 403},
        {"key=upload/alice/../bob/x", 403},
        {"key=upload/alice/%2e%2e/bob/x", 403},
        {"key=upload/alice/*", 403},
        {"key=upload/alice/%3f", 403},
        {"key=upload/alice/%24%7baws:username%7d", 403},
        {"key=upload/alice/a%5cb", 403},
        {"key=upload/alice/a%00b", 403},
        {"key=upload/alice/%ff", 403},
        {"key=", 403},
        {"key=upload/alice/%zz", 400},
        {"key=upload/alice/a&key=upload/alice/b", 400},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("query %s", cases[i].query);
        api_answer a;
        api_request r = request("GET", "/v1/credentials");
        r.query = ph_str_from(cases[i].query);
        ph_json *d = ask(r, &a);
        CHECK_INT(a.status, cases[i].status);
        if (a.status == 200)
            CHECK_STR(ph_json_member_text(d, "key"), sts_prefix);
        ph_json_free(d);
        api_answer_clear(&a);
    }
    test_case("a key whose policy STS would not take");
    ph_buf query;
    ph_buf_init(&query, 4096);
    ph_buf_cstr(&query, "key=upload/alice/");
    for (int i = 0; i < 400; i++)
        ph_buf_cstr(&query, "%C3%A9");
    api_request r = request("GET", "/v1/credentials");
    r.query = ph_buf_view(&query);
    check_refused(r, 400, "BAD_REQUEST");
    ph_buf_clear(&query);
}

/* ---- The old routes -------------------------------------------------------------------------- */

static void test_old_routes(void)
{
    api_answer a;
    set_up();
    static const char *const paths[] = {"/", "/dev/"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        test_case("getsts at %s", paths[i]);
        ph_json *d = ask(request("GET", paths[i]), &a);
        CHECK_INT(a.status, 200);
        CHECK_STR(ph_buf_view(&a.body),
                  "{\"AssumedRoleUser\":{\"AssumedRoleId\":\"ARO:alice\",\"Arn\":"
                  "\"arn:aws:sts::1:assumed-role/demo/alice\"},\"Credentials\":{"
                  "\"AccessKeyId\":\"ASIAFAKE\",\"SecretAccessKey\":\"fake\\\"secret\","
                  "\"SessionToken\":\"fake/token==\",\"Expiration\":\"2023-11-14T23:13:20Z\"}}");
        CHECK_STR(ph_str_from(sts_prefix), "upload/alice/");
        ph_json_free(d);
        api_answer_clear(&a);
        api_request r = request("GET", paths[i]);
        r.authorization = (ph_str){NULL, 0};
        api_answer_make(&service, &r, &a);
        CHECK_INT(a.status, 401);
        CHECK_STR(ph_buf_view(&a.body), "{\"message\":\"Unauthorized\"}");
        CHECK_STR(header(&a, "content-type"), "application/json");
        api_answer_clear(&a);
    }

    config.roles = PH_STR("reader, writer=admin");
    config.role_prefix = PH_STR("arn:aws:iam::1:role/");
    static const struct {
        const char *role, *scope;
        int status;
    } cases[] = {{"reader", "x", 200},   {"writer", "admin", 200},      {"writer", "x", 403},
                 {"root", "admin", 403}, {"reade", "x", 403},           {"reader%2f", "x", 403},
                 {"*", "admin", 403},    {"writer=admin", "admin", 403}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("Ro2Key %s %s", cases[i].role, cases[i].scope);
        char claims[512], path[64];
        snprintf(claims, sizeof claims,
                 "{\"iss\":\"issuer\",\"aud\":\"parthaul\",\"exp\":1700000600,\"sub\":\"alice\","
                 "\"scope\":\"%s\"}",
                 cases[i].scope);
        snprintf(path, sizeof path, "/get_key/%s", cases[i].role);
        set_token(PH_STR(MINT_SECRET), claims);
        api_request r = request("GET", path);
        sts_role[0] = '\0';
        api_answer_make(&service, &r, &a);
        CHECK_INT(a.status, cases[i].status);
        if (a.status == 200) {
            CHECK(ph_str_starts(ph_buf_view(&a.body), PH_STR("{\"AccessKeyId\":\"ASIAFAKE\",")));
            CHECK(strncmp(sts_role, "arn:aws:iam::1:role/", 20) == 0);
            CHECK_STR(ph_str_from(sts_role + 20), cases[i].role);
        } else {
            CHECK_STR(ph_buf_view(&a.body), "\"Access Denied\"");
            CHECK_STR(ph_str_from(sts_role), "");
        }
        api_answer_clear(&a);
    }
}

/* ---- API keys -------------------------------------------------------------------------------- */

/* SHA-256 of "the first key" and "the second key". */
#define KEYS   \
    "# ours\n" \
    "%s first\n\n%s second # the other one\r\n"

static void test_api_keys(void)
{
    set_up();
    char hashes[2][65], text[512];
    static const char *const plain[] = {"the first key", "the second key"};
    for (size_t i = 0; i < 2; i++) {
        uint8_t hash[PH_SHA256_LEN];
        ph_sha256(plain[i], strlen(plain[i]), hash);
        for (size_t k = 0; k < sizeof hash; k++)
            snprintf(&hashes[i][2 * k], 3, "%02x", hash[k]);
    }
    snprintf(text, sizeof text, KEYS, hashes[0], hashes[1]);
    CHECK(api_keys_read(test_guard_str(ph_str_from(text)), &config.api_keys) == NULL);

    static const struct {
        api_auth_mode mode;
        const char *key;
        bool token;
        int status;
        const char *prefix;
    } cases[] = {
        {API_AUTH_TOKEN_AND_KEY, "the first key", true, 200, "upload/alice/"},
        {API_AUTH_TOKEN_AND_KEY, "the second key", true, 200, "upload/alice/"},
        {API_AUTH_TOKEN_AND_KEY, "the third key", true, 403, NULL},
        {API_AUTH_TOKEN_AND_KEY, NULL, true, 403, NULL},
        {API_AUTH_TOKEN_AND_KEY, "the first key", false, 401, NULL},
        {API_AUTH_KEY, "the second key", false, 200, "upload/second/"},
        {API_AUTH_KEY, "", false, 403, NULL},
        {API_AUTH_KEY, NULL, true, 403, NULL},
        {API_AUTH_ANY, "the first key", false, 200, "upload/first/"},
        {API_AUTH_ANY, "the first key", true, 200, "upload/alice/"},
        {API_AUTH_ANY, NULL, true, 200, "upload/alice/"},
        {API_AUTH_ANY, "wrong", true, 403, NULL},
        {API_AUTH_ANY, NULL, false, 401, NULL},
        {API_AUTH_TOKEN, "wrong", true, 200, "upload/alice/"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("API key case %zu", i);
        api_answer a;
        api_request r = request("GET", "/v1/credentials");
        config.auth = cases[i].mode;
        r.api_key = ph_str_from(cases[i].key);
        if (!cases[i].token)
            r.authorization = (ph_str){NULL, 0};
        api_answer_make(&service, &r, &a);
        CHECK_INT(a.status, cases[i].status);
        if (cases[i].prefix)
            CHECK_STR(ph_str_from(sts_prefix), cases[i].prefix);
        if (cases[i].status == 403) {
            CHECK_STR(ph_buf_view(&a.body), "{\"message\":\"Forbidden\"}");
            CHECK_STR(header(&a, "content-type"), "application/json");
        }
        api_answer_clear(&a);
    }
    static const char *const refused[] = {
        "", "# nothing\n", "abc first\n",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef a/b\n"};
    for (size_t i = 0; i < COUNT(refused); i++) {
        test_case("key file %zu", i);
        api_keys *none;
        CHECK(api_keys_read(test_guard_str(ph_str_from(refused[i])), &none) != NULL);
        CHECK(none == NULL);
    }
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static void test_limits(void)
{
    api_answer a;
    set_up();
    config.rates = (api_rates){.per_user = 60, .per_address = 120};
    test_case("so many of a user, then 429 with the time to wait");
    api_request r = request("GET", "/v1/credentials");
    r.address = PH_STR("10.0.0.1");
    for (int i = 0; i < 10; i++) {
        ph_json_free(ask(r, &a));
        CHECK_INT(a.status, 200);
        api_answer_clear(&a);
    }
    ph_json_free(ask(r, &a));
    CHECK_INT(a.status, 429);
    CHECK_STR(header(&a, "retry-after"), "2");
    api_answer_clear(&a);
    test_case("the second time of the same request does not count");
    r.counted = r.user_counted = true;
    ph_json_free(ask(r, &a));
    CHECK_INT(a.status, 200);
    api_answer_clear(&a);
    test_case("but for the user, if the first time did not get to know who it is");
    r.user_counted = false;
    ph_json_free(ask(r, &a));
    CHECK_INT(a.status, 429);
    api_answer_clear(&a);
    test_case("another user from there, until the address has its share");
    set_token(PH_STR(MINT_SECRET), CLAIMS("bob"));
    int good = 0;
    for (int i = 0; i < 12; i++) {
        r = request("GET", "/v1/credentials");
        r.address = PH_STR("10.0.0.1");
        ph_json_free(ask(r, &a));
        good += a.status == 200;
        api_answer_clear(&a);
    }
    CHECK_INT(good, 9); /* of twenty, eleven are spent */
    test_case("after a while there is room again, but no more than the bucket holds");
    r.now_ms = NOW + 4000;
    ph_json_free(ask(r, &a));
    CHECK_INT(a.status, 200);
    api_answer_clear(&a);
    test_case("a clock that was put back stops nobody, and gives nothing away");
    api_request back = r;
    back.now_ms = NOW - 3600 * 1000;
    good = 0;
    for (int i = 0; i < 12; i++) {
        ph_json_free(ask(back, &a));
        good += a.status == 200;
        api_answer_clear(&a);
    }
    CHECK(good < 10);
    back.now_ms += 2000;
    ph_json_free(ask(back, &a));
    CHECK_INT(a.status, 200);
    api_answer_clear(&a);
    test_case("bad tokens count for the address, so they cannot be tried for ever");
    r = request("GET", "/v1/credentials");
    r.authorization = PH_STR("Bearer x.y.z");
    r.address = PH_STR("10.0.0.2");
    int refused = 0;
    for (int i = 0; i < 30; i++) {
        ph_json_free(ask(r, &a));
        refused += a.status == 429;
        api_answer_clear(&a);
    }
    CHECK_INT(refused, 10);

    static const struct {
        uint32_t proxies;
        const char *forwarded;
        bool same; /* as before: over its limit */
    } cases[] = {{0, "10.0.0.9", true},           {1, "10.0.0.2", true},
                 {1, "10.0.0.9", false},          {1, "10.0.0.8, 10.0.0.2", true},
                 {2, "10.0.0.7,10.0.0.2", false}, {2, "10.0.0.2, 10.0.0.9", true},
                 {3, "10.0.0.5", true},           {1, NULL, true},
                 {1, "10.0.0.2:4711", true},      {1, "10.0.0.7:4711", false},
                 {1, "2001:db8::1", false},       {1, "::ffff:10.0.0.7", false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("X-Forwarded-For %zu", i);
        config.proxies = cases[i].proxies;
        r.forwarded_for = ph_str_from(cases[i].forwarded);
        ph_json_free(ask(r, &a));
        CHECK_INT(a.status, cases[i].same ? 429 : 401);
        api_answer_clear(&a);
    }
    static const char *const networks[] = {"2001:db8::2", "[2001:db8::3]:443", "2001:DB8:0::4",
                                           "2001:db8:0:0:ffff::5"};
    config.proxies = 1;
    refused = 0;
    for (size_t i = 0; i < 30; i++) { /* one of its twenty is spent above */
        test_case("IPv6 network %s", networks[i % COUNT(networks)]);
        r.forwarded_for = ph_str_from(networks[i % COUNT(networks)]);
        ph_json_free(ask(r, &a));
        refused += a.status == 429;
        api_answer_clear(&a);
    }
    CHECK_INT(refused, 11);
    test_case("another IPv6 network");
    r.forwarded_for = PH_STR("2001:db8:0:1::1");
    ph_json_free(ask(r, &a));
    CHECK_INT(a.status, 401);
    api_answer_clear(&a);
    config.proxies = 0;
    config.rates = (api_rates){0, 0};
}

static void test_many(void)
{
    api_answer a;
    set_up();
    config.types = PH_STR("image/*, video/mp4");
    config.max_size = 5000;
    test_case("many files, of which some are refused");
    ph_json *d = ask(
        upload("{\"files\":["
               "{\"name\":\"a.png\",\"size\":10,\"type\":\"IMAGE/png\",\"checksum\":{\"algorithm\":"
               "\"CRC32\",\"value\":\"AAAAAA==\"}},"
               "{\"name\":\"b.mp4\",\"size\":4000,\"type\":\"video/mp4; x=y,z\"},"
               "{\"name\":\"c.exe\",\"size\":10,\"type\":\"application/x-msdownload\"},"
               "{\"name\":\"d.png\",\"size\":5001,\"type\":\"image/png\"},"
               "{\"name\":\"e\",\"size\":1}, 7]}"),
        &a);
    CHECK_INT(a.status, 200);
    CHECK_U64(sts_calls, 1);
    static const char *const want[] = {"put",       "multipart",    "TYPE_REFUSED",
                                       "TOO_LARGE", "TYPE_REFUSED", "BAD_REQUEST"};
    size_t i = 0;
    for (const ph_json *f = ph_json_first(ph_json_member(d, "files")); f;
         f = ph_json_next(f), i++) {
        ph_str got = ph_json_member_text(f, "uploadType");
        if (!got.ptr)
            got = ph_json_member_text(ph_json_member(f, "problem"), "code");
        CHECK_STR(got, i < COUNT(want) ? want[i] : "nothing");
        CHECK(!ph_json_member(f, "credentials"));
    }
    CHECK_U64(i, COUNT(want));
    CHECK_STR(ph_json_member_text(ph_json_member(d, "credentials"), "accessKeyId"), "ASIAFAKE");
    CHECK_STR(ph_json_member_text(d, "prefix"), "upload/alice/");
    ph_json_free(d);
    api_answer_clear(&a);

    test_case("too many");
    check_refused(upload("{\"files\":[1,2,3,4,5,6,7,8,9,10,11]}"), 413, "TOO_MANY_FILES");
    check_refused(upload("{\"files\":[]}"), 400, "BAD_REQUEST");
    check_refused(upload("{\"files\":7}"), 400, "BAD_REQUEST");
    check_refused(upload("{\"name\":\"a\",\"size\":1,\"type\":\"text/html\"}"), 415,
                  "TYPE_REFUSED");
    check_refused(upload("{\"name\":\"a\",\"size\":1,\"type\":\"image/\"}"), 400, "BAD_REQUEST");
    test_case("only presigned: no credentials");
    d = ask(upload("{\"files\":[{\"name\":\"a.png\",\"size\":10,\"type\":\"image/png\","
                   "\"checksum\":{\"algorithm\":\"CRC32\",\"value\":\"AAAAAA==\"}}]}"),
            &a);
    CHECK(!ph_json_member(d, "credentials"));
    ph_json_free(d);
    api_answer_clear(&a);
    config.types = (ph_str){NULL, 0};
}

static void test_properties(void)
{
    api_answer a;
    set_up();
#define FILE_WITH(more)                                                                        \
    "{\"name\":\"a\",\"size\":1,\"checksum\":{\"algorithm\":\"CRC32\",\"value\":\"AAAAAA==\"}" \
    "," more "}"
    test_case("properties are signed");
    ph_json *d = ask(upload(FILE_WITH("\"cacheControl\":\"max-age=60\",\"metadata\":{\"b\":\"2\","
                                      "\"a-x\":\"1 1\"}")),
                     &a);
    const ph_json *headers = ph_json_member(d, "headers");
    CHECK_STR(ph_json_member_text(headers, "cache-control"), "max-age=60");
    CHECK_STR(ph_json_member_text(headers, "x-amz-meta-a-x"), "1 1");
    CHECK_STR(ph_json_member_text(headers, "x-amz-meta-b"), "2");
    ph_buf url;
    ph_buf_init(&url, 65536);
    ph_buf_str(&url, ph_json_member_text(d, "url"));
    ph_buf_char(&url, '\0');
    CHECK(strstr(url.ptr, "SignedHeaders=cache-control%3Bcontent-length%3Bhost%3Bif-none-match%3B"
                          "x-amz-checksum-crc32%3Bx-amz-meta-a-x%3Bx-amz-meta-b"));
    ph_buf_clear(&url);
    ph_json_free(d);
    api_answer_clear(&a);

    static const struct {
        const char *body;
        int status;
    } cases[] = {
        {FILE_WITH("\"acl\":\"public-read\""), 403},
        {FILE_WITH("\"storageClass\":\"GLACIER\""), 403},
        {FILE_WITH("\"websiteRedirect\":\"/x\""), 403},
        {FILE_WITH("\"cacheControl\":\"a\\r\\nx: y\""), 400},
        {FILE_WITH("\"cacheControl\":\"\""), 400},
        {FILE_WITH("\"cacheControl\":7"), 400},
        {FILE_WITH("\"metadata\":{\"A\":\"1\"}"), 400},
        {FILE_WITH("\"metadata\":{\"a\":\"\xC3\xA9\"}"), 400},
        {FILE_WITH("\"metadata\":{\"a:b\":\"1\"}"), 400},
        {FILE_WITH("\"metadata\":[]"), 400},
        {FILE_WITH("\"metadata\":{}"), 200},
        {FILE_WITH("\"uploadType\":\"fast\""), 400},
        {FILE_WITH("\"uploadType\":\"multipart\""), 200},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("properties %s", cases[i].body);
        ph_json_free(ask(upload(cases[i].body), &a));
        CHECK_INT(a.status, cases[i].status);
        api_answer_clear(&a);
    }
}

static void test_forms(void)
{
    api_answer a;
    set_up();
    test_case("a form for one file");
    ph_json *d =
        ask(upload("{\"name\":\"a.png\",\"size\":10,\"type\":\"image/png\",\"uploadType\":\"post\","
                   "\"metadata\":{\"k\":\"v\"}}"),
            &a);
    const ph_json *fields = ph_json_member(d, "fields");
    CHECK_STR(ph_json_member_text(d, "url"), "https://uploads.s3.eu-west-1.amazonaws.com/");
    CHECK_STR(ph_json_member_text(fields, "key"), KEY "a.png");
    CHECK_STR(ph_json_member_text(fields, "acl"), "private");
    CHECK_STR(ph_json_member_text(fields, "x-amz-meta-k"), "v");
    CHECK_STR(ph_json_member_text(fields, "x-amz-security-token"), "fake/token==");
    CHECK_U64(ph_json_member_text(fields, "x-amz-signature").len, 64);
    char policy[4096];
    size_t len;
    ph_str base64 = ph_json_member_text(fields, "policy");
    CHECK_INT(ph_dec_base64(base64, policy, sizeof policy - 1, &len), PH_OK);
    policy[len] = '\0';
    CHECK(strstr(policy, "[\"eq\",\"$key\",\"" KEY "a.png\"]"));
    CHECK(strstr(policy, "[\"content-length-range\",10,10]"));
    CHECK(strstr(policy, "[\"eq\",\"$Content-Type\",\"image/png\"]"));
    CHECK(strstr(policy, "[\"eq\",\"$x-amz-meta-k\",\"v\"]"));
    ph_json_free(d);
    api_answer_clear(&a);

    static const struct {
        const char *body, *key, *condition;
    } cases[] = {
        {"{}", "upload/alice/${filename}", "[\"starts-with\",\"$key\",\"upload/alice/\"]"},
        {"{\"folder\":\"x/y\"}", "upload/alice/x/y/${filename}",
         "[\"starts-with\",\"$key\",\"upload/alice/x/y/\"]"},
        {"{\"folder\":\"/../../bob/*/\"}", "upload/alice/file/file/bob/_/${filename}",
         "[\"starts-with\",\"$key\",\"upload/alice/file/file/bob/_/\"]"},
        {"{\"folder\":\"${filename}\"}", "upload/alice/_{filename}/${filename}",
         "[\"starts-with\",\"$key\",\"upload/alice/_{filename}/\"]"},
        {"{\"type\":\"image/\"}", "upload/alice/${filename}",
         "[\"starts-with\",\"$Content-Type\",\"image/\"]"},
        {"{\"type\":\"text/html\",\"maxSize\":5}", "upload/alice/${filename}",
         "[\"eq\",\"$Content-Type\",\"text/html\"],[\"content-length-range\",0,5]"},
        {"{}", "upload/alice/${filename}", "[\"content-length-range\",0,5368709120]"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("post-policy %s", cases[i].body);
        api_request r = upload(cases[i].body);
        r.path = PH_STR("/v1/post-policy");
        d = ask(r, &a);
        CHECK_INT(a.status, 200);
        fields = ph_json_member(d, "fields");
        CHECK_STR(ph_json_member_text(fields, "key"), cases[i].key);
        base64 = ph_json_member_text(fields, "policy");
        CHECK_INT(ph_dec_base64(base64, policy, sizeof policy - 1, &len), PH_OK);
        policy[len] = '\0';
        CHECK(strstr(policy, cases[i].condition));
        CHECK(strstr(policy, "[\"eq\",\"$acl\",\"private\"]"));
        ph_json_free(d);
        api_answer_clear(&a);
    }
    static const char *const refused[] = {"", "[]", "{\"folder\":7}", "{\"type\":\"x\"}",
                                          "{\"maxSize\":-1}"};
    for (size_t i = 0; i < COUNT(refused); i++) {
        test_case("post-policy refused %s", refused[i]);
        api_request r = upload(refused[i]);
        r.path = PH_STR("/v1/post-policy");
        check_refused(r, 400, "BAD_REQUEST");
    }
    config.types = PH_STR("image/*,video/mp4");
    static const struct {
        const char *body;
        int status;
    } types[] = {{"{}", 415},
                 {"{\"type\":\"image/\"}", 200},
                 {"{\"type\":\"video/\"}", 415},
                 {"{\"type\":\"/\"}", 415},
                 {"{\"type\":\"video/mp4\"}", 200}};
    for (size_t i = 0; i < COUNT(types); i++) {
        test_case("post-policy type %s", types[i].body);
        api_request r = upload(types[i].body);
        r.path = PH_STR("/v1/post-policy");
        ph_json_free(ask(r, &a));
        CHECK_INT(a.status, types[i].status);
        api_answer_clear(&a);
    }
    config.types = (ph_str){NULL, 0};
}

static void test_about(void)
{
    api_answer a;
    set_up();
    test_case("/.well-known/parthaul");
    ph_json *d = ask(request("GET", "/.well-known/parthaul"), &a);
    CHECK_STR(ph_json_member_text(d, "bucket"), "uploads");
    uint64_t files = 0;
    CHECK(ph_json_u64(ph_json_member(ph_json_member(d, "limits"), "files"), &files) && files == 10);
    ph_json_free(d);
    api_answer_clear(&a);
    test_case("/openapi.json");
    d = ask(request("GET", "/openapi.json"), &a);
    CHECK_STR(ph_json_member_text(d, "openapi"), "3.1.0");
    ph_json_free(d);
    api_answer_clear(&a);
    test_case("/metrics");
    api_request r = request("GET", "/metrics");
    api_answer_make(&service, &r, &a);
    ph_buf_char(&a.body, '\0');
    CHECK(strstr(a.body.ptr,
                 "parthaul_api_answers_total{route=\"/openapi.json\",status=\"2xx\"} 1\n"));
    CHECK(strstr(a.body.ptr, "parthaul_api_request_seconds_bucket{le=\"+Inf\"} 0\n"));
    api_answer_clear(&a);
    config.metrics = false;
    check_refused(request("GET", "/metrics"), 404, "NOT_FOUND");
}

int main(void)
{
    ph_buf_init(&authorization, 65536);
    keys = api_keyset_new();
    CHECK(api_keyset_add_secret(keys, PH_STR(MINT_SECRET)) == NULL);
    test_routes();
    test_cors();
    test_tokens();
    test_credentials();
    test_put();
    test_multipart();
    test_bad_bodies();
    test_memory();
    test_wait();
    test_key_credentials();
    test_old_routes();
    test_api_keys();
    test_limits();
    test_many();
    test_properties();
    test_forms();
    test_about();
    ph_buf_clear(&authorization);
    api_service_stop(&service);
    api_config_clear(&config); /* and the keys with it */
    return test_end();
}
