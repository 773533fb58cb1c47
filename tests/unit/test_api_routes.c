/* SPDX-License-Identifier: MIT
 *
 * Tests the API's routes without a socket: a request goes in, an answer comes out. STS is a function
 * of the test's that gives credentials, or fails as it is told.
 */
#include "test.h"

#include <stdlib.h>
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
static char sts_user[1100], sts_prefix[1100]; /* what it was asked last */

static void keep(char *place, size_t size, ph_str text)
{
    size_t len = text.len < size ? text.len : size - 1;
    memcpy(place, text.ptr, len);
    place[len] = '\0';
}

static int fake_sts(const api_config *config, ph_str user, ph_str prefix, uint64_t now_ms,
                    ph_creds *out, ph_sts_error *said)
{
    (void)config, (void)now_ms;
    sts_calls++;
    keep(sts_user, sizeof sts_user, user);
    keep(sts_prefix, sizeof sts_prefix, prefix);
    *said = (ph_sts_error){.code = ""};
    *out = (ph_creds){.expires_ms = 0};
    if (sts_err != PH_OK) {
        strcpy(said->code, "AccessDenied");
        return sts_err;
    }
    ph_creds creds = {PH_STR("ASIAFAKE"), PH_STR("fake\"secret"), PH_STR("fake/token=="),
                      sts_expires_ms};
    return ph_creds_copy(&creds, out);
}

static bool fake_random(void *out, size_t len)
{
    memset(out, 0xAB, len);
    return true;
}

static api_config config;
static const api_service service = {&config, fake_sts, fake_random};
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
    api_config_clear(&config);
    config.bucket = PH_STR("uploads");
    config.region = PH_STR("eu-west-1");
    config.issuer = PH_STR("issuer");
    config.audience = PH_STR("parthaul");
    config.user_claim = "sub";
    config.prefix = PH_STR("upload/");
    config.put_limit = 1000;
    config.session_seconds = 3600;
    config.url_seconds = 900;
    config.origin_count = 1;
    CHECK_INT(ph_str_copy(PH_STR("https://app.example"), &config.origins[0]), PH_OK);
    CHECK(api_key_hs256(PH_STR(MINT_SECRET), &config.key) == NULL);
    ph_target target = {.bucket = config.bucket, .region = config.region};
    CHECK_INT(ph_endpoint_make(&target, &config.bucket_at), PH_OK);
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

    static const char *const unknown[] = {
        "/", "/v1", "/v1/credentials/", "/v1/Credentials", "", "/v1%2Fcredentials", "/healthz/.."};
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
    CHECK_STR(header(&a, "access-control-allow-headers"), "authorization, content-type");
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
    CHECK_STR(ph_json_member_text(d, "road"), "put");
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
    CHECK(strstr(url.ptr, "X-Amz-SignedHeaders=content-type%3Bhost%3Bif-none-match%3B"
                          "x-amz-checksum-crc64nvme"));
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
        "{\"name\":\"a.bin\",\"size\":1001,\"checksum\":{\"algorithm\":\"CRC32\","
        "\"value\":\"AAAAAA==\"}}",
        "{\"name\":\"a.bin\",\"size\":53687091200000}", /* 48.8 TiB */
        " {\"size\": 7, \"name\": \"x/../a.bin\", \"other\": null}\n",
    };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        api_answer a;
        set_up();
        test_case("multipart %zu", i);
        ph_json *d = ask(upload(bodies[i]), &a);
        CHECK_INT(a.status, 200);
        CHECK_STR(ph_json_member_text(d, "road"), "multipart");
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

int main(void)
{
    ph_buf_init(&authorization, 65536);
    test_routes();
    test_cors();
    test_tokens();
    test_credentials();
    test_put();
    test_multipart();
    test_bad_bodies();
    test_memory();
    ph_buf_clear(&authorization);
    config.s3_endpoint = (ph_str){NULL, 0};
    api_config_clear(&config);
    return test_end();
}
