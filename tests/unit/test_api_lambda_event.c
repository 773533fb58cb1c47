/* SPDX-License-Identifier: MIT
 *
 * Tests the translation between Lambda's events and requests: each format as its guide shows it,
 * fields that are missing, fields of a wrong type, and the same events damaged at every byte.
 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "api/lambda_event.h"
#include "core/str.h"

#define NOW UINT64_C(1700000000000)
#define ID "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

/* A function URL's and an HTTP API's (payload format 2.0), and a REST API's (1.0). */
#define V2_CONTEXT(stage)                                                                  \
    "\"requestContext\":{\"accountId\":\"anonymous\",\"stage\":\"" stage "\",\"http\":{"   \
    "\"method\":\"POST\",\"path\":\"/v1/uploads\",\"protocol\":\"HTTP/1.1\",\"sourceIp\":" \
    "\"192.0.2.1\",\"userAgent\":\"x\"},\"timeEpoch\":1583348638390}"
#define V2                                                                                        \
    "{\"version\":\"2.0\",\"routeKey\":\"$default\",\"rawPath\":\"/v1/uploads\","                 \
    "\"rawQueryString\":\"a=1&b=2\",\"cookies\":[\"c=1\",\"authorization=x\"],\"headers\":{"      \
    "\"authorization\":\"Bearer a.b.c\",\"content-type\":\"application/json\",\"origin\":"        \
    "\"https://app.example\"},\"queryStringParameters\":{\"a\":\"1\"}," V2_CONTEXT(               \
        "$default") ",\"body\":\"{\\\"size\\\":1}\",\"pathParameters\":null,\"isBase64Encoded\":" \
                    "false,"                                                                      \
                    "\"stageVariables\":null}"
#define V1                                                                                 \
    "{\"resource\":\"/{proxy+}\",\"path\":\"/v1/credentials\",\"httpMethod\":\"GET\","     \
    "\"headers\":{\"Authorization\":\"Bearer last\",\"Origin\":\"https://app.example\"},"  \
    "\"multiValueHeaders\":{\"Authorization\":[\"Bearer a.b.c\"],\"Origin\":"              \
    "[\"https://app.example\"],\"Access-Control-Request-Method\":[\"GET\"]},"              \
    "\"queryStringParameters\":null,\"multiValueQueryStringParameters\":null,"             \
    "\"pathParameters\":{\"proxy\":\"v1/credentials\"},\"stageVariables\":null,"           \
    "\"requestContext\":{\"stage\":\"dev\",\"path\":\"/dev/v1/credentials\",\"identity\":" \
    "{\"sourceIp\":\"192.0.2.1\"}},\"body\":null,\"isBase64Encoded\":false}"

/* ---- Requests -------------------------------------------------------------------------------- */

static const struct {
    const char *name, *event;
    const char *method, *path, *origin, *authorization, *body; /* NULL: absent */
    bool twice;
} requests[] = {
    {"function URL", V2, "POST", "/v1/uploads", "https://app.example", "Bearer a.b.c",
     "{\"size\":1}", false},
    {"REST API", V1, "GET", "/v1/credentials", "https://app.example", "Bearer a.b.c", NULL, false},
    {"next to nothing", "{\"rawPath\":\"/\",\"requestContext\":{\"http\":{\"method\":\"GET\"}}}",
     "GET", "/", NULL, NULL, NULL, false},
    {"path only in the context",
     "{\"requestContext\":{\"http\":{\"method\":\"GET\",\"path\":\"/x\"}}}", "GET", "/x", NULL,
     NULL, NULL, false},
    {"1.0, next to nothing", "{\"httpMethod\":\"GET\",\"path\":\"/\"}", "GET", "/", NULL, NULL,
     NULL, false},
    {"1.0, plain headers",
     "{\"httpMethod\":\"GET\",\"path\":\"/\",\"headers\":{\"AUTHORIZATION\":\"x\"}}", "GET", "/",
     NULL, "x", NULL, false},
    {"1.0, lists are null",
     "{\"httpMethod\":\"GET\",\"path\":\"/\",\"multiValueHeaders\":null,"
     "\"headers\":{\"authorization\":\"x\"}}",
     "GET", "/", NULL, "x", NULL, false},
    {"headers are null", "{\"httpMethod\":\"GET\",\"path\":\"/\",\"headers\":null}", "GET", "/",
     NULL, NULL, NULL, false},
    {"two tokens in a list",
     "{\"httpMethod\":\"GET\",\"path\":\"/\",\"multiValueHeaders\":{\"authorization\":[\"x\","
     "\"y\"]}}",
     "GET", "/", NULL, "y", NULL, true},
    {"two tokens by capitals",
     "{\"httpMethod\":\"GET\",\"path\":\"/\",\"headers\":{\"authorization\":\"x\","
     "\"Authorization\":\"y\"}}",
     "GET", "/", NULL, "y", NULL, true},
    {"base64",
     "{\"httpMethod\":\"POST\",\"path\":\"/\",\"isBase64Encoded\":true,\"body\":\"AAH+/w==\"}",
     "POST", "/", NULL, NULL, "\0\1\xfe\xff", false},
    {"empty base64",
     "{\"httpMethod\":\"POST\",\"path\":\"/\",\"isBase64Encoded\":true,\"body\":\"\"}", "POST", "/",
     NULL, NULL, "", false},
    {"base64 says null",
     "{\"httpMethod\":\"POST\",\"path\":\"/\",\"isBase64Encoded\":null,"
     "\"body\":\"AAAA\"}",
     "POST", "/", NULL, NULL, "AAAA", false},
    {"base64 says \"true\"",
     "{\"httpMethod\":\"POST\",\"path\":\"/\",\"isBase64Encoded\":\"true\","
     "\"body\":\"AAAA\"}",
     "POST", "/", NULL, NULL, "AAAA", false},
    {"1.0 beats a context of no use",
     "{\"httpMethod\":\"GET\",\"path\":\"/a\",\"requestContext\":7}", "GET", "/a", NULL, NULL, NULL,
     false},
    {"both formats at once: 2.0 counts",
     "{\"httpMethod\":\"GET\",\"path\":\"/a\",\"rawPath\":\"/b\",\"requestContext\":{\"http\":"
     "{\"method\":\"PUT\"}}}",
     "PUT", "/b", NULL, NULL, NULL, false},
};

static void check_text(ph_str got, const char *want, size_t want_len)
{
    CHECK((got.ptr != NULL) == (want != NULL));
    if (got.ptr && want && CHECK_U64(got.len, want_len))
        CHECK_MEM(got.ptr, want, want_len);
}

static api_event_kind read(const char *text, api_event *e)
{
    return api_event_read(test_guard_str(ph_str_from(text)), ID, NOW, e);
}

static void test_requests(void)
{
    for (size_t i = 0; i < COUNT(requests); i++) {
        test_case("%s", requests[i].name);
        api_event e;
        const char *body = requests[i].body;
        bool binary = strcmp(requests[i].name, "base64") == 0;
        CHECK_INT(read(requests[i].event, &e), API_EVENT_REQUEST);
        CHECK_STR(ph_str_from(e.request.id), ID);
        CHECK_U64(e.request.now_ms, NOW);
        CHECK_STR(e.request.method, requests[i].method);
        CHECK_STR(e.request.path, requests[i].path);
        const char *origin = requests[i].origin, *token = requests[i].authorization;
        check_text(e.request.origin, origin, origin ? strlen(origin) : 0);
        check_text(e.request.authorization, token, token ? strlen(token) : 0);
        check_text(e.request.body, body, binary ? 4 : body ? strlen(body) : 0);
        CHECK(e.request.authorization_twice == requests[i].twice);
        CHECK(!e.request.body_too_large);
        api_event_clear(&e);
    }
}

/* ---- Stages ---------------------------------------------------------------------------------- */

static const struct {
    bool rest; /* a REST API: `wire` is the context's path */
    const char *stage, *path, *wire, *want;
} stages[] = {
    {false, "$default", "/v1/credentials", NULL, "/v1/credentials"},
    {false, "dev", "/dev/v1/credentials", NULL, "/v1/credentials"},
    {false, "dev", "/dev/", NULL, "/"},
    {false, "dev", "/dev", NULL, "/"},
    {false, "dev", "/v1/credentials", NULL, "/v1/credentials"},
    {false, "dev", "/develop/x", NULL, "/develop/x"},
    {false, "dev", "dev/x", NULL, "dev/x"},
    {false, "dev", "", NULL, ""},
    {false, "", "/x", NULL, "/x"},
    {false, "dev", "/dev/dev/x", NULL, "/dev/x"}, /* once */
    {true, "dev", "/v1/credentials", "/dev/v1/credentials", "/v1/credentials"},
    {true, "dev", "/dev/v1/credentials", "/dev/v1/credentials", "/v1/credentials"},
    {true, "v1", "/v1/credentials", "/v1/v1/credentials", "/v1/credentials"},
    {true, "dev", "/dev/", "/dev/", "/"},
    {true, "dev", "/", "/dev/", "/"},
};

static void test_stages(void)
{
    for (size_t i = 0; i < COUNT(stages); i++) {
        const char *stage = stages[i].stage, *path = stages[i].path;
        test_case("stage %s, path %s", stage, path);
        char text[512];
        if (stages[i].rest)
            snprintf(text, sizeof text,
                     "{\"httpMethod\":\"GET\",\"path\":\"%s\",\"requestContext\":{\"stage\":\"%s\","
                     "\"path\":\"%s\"}}",
                     path, stage, stages[i].wire);
        else
            snprintf(text, sizeof text,
                     "{\"rawPath\":\"%s\",\"requestContext\":{\"stage\":\"%s\",\"http\":{"
                     "\"method\":\"GET\"}}}",
                     path, stage);
        api_event e;
        CHECK_INT(read(text, &e), API_EVENT_REQUEST);
        CHECK_STR(e.request.path, stages[i].want);
        api_event_clear(&e);
    }
}

/* ---- Query and address ----------------------------------------------------------------------- */

static const struct {
    const char *event, *query, *address;
} queries[] = {
    {V2, "a=1&b=2", "192.0.2.1"},
    {V1, NULL, "192.0.2.1"},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"queryStringParameters\":{\"key\":\"a/b c&d=\"}}",
     "key=a%2Fb%20c%26d%3D", NULL},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"queryStringParameters\":{\"a\":\"2\"},"
     "\"multiValueQueryStringParameters\":{\"a\":[\"1\",\"2\"],\"b\":[]}}",
     "a=1&a=2", NULL},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"queryStringParameters\":[7],"
     "\"requestContext\":{\"identity\":{\"sourceIp\":7}}}",
     "=", NULL},
};

static void test_queries(void)
{
    for (size_t i = 0; i < COUNT(queries); i++) {
        test_case("query %zu", i);
        api_event e;
        CHECK_INT(read(queries[i].event, &e), API_EVENT_REQUEST);
        CHECK_STR(e.request.query, queries[i].query);
        CHECK_STR(e.request.address, queries[i].address);
        api_event_clear(&e);
    }
}

/* ---- What is no request ---------------------------------------------------------------------- */

static const struct {
    const char *event;
    api_event_kind want;
} others[] = {
    {"", API_EVENT_UNREADABLE},
    {"{", API_EVENT_UNREADABLE},
    {"\xff", API_EVENT_UNREADABLE},
    {"{\"httpMethod\":\"GET\",\"httpMethod\":\"PUT\",\"path\":\"/\"}", API_EVENT_UNREADABLE},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"queryStringParameters\":{\"a\":\"\\u0000\"}}",
     API_EVENT_UNREADABLE},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"headers\":{\"origin\":7}}", API_EVENT_UNREADABLE},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"headers\":{\"origin\":null}}", API_EVENT_UNREADABLE},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"multiValueHeaders\":{\"origin\":\"x\"}}",
     API_EVENT_UNREADABLE},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"multiValueHeaders\":{\"origin\":[[]]}}",
     API_EVENT_UNREADABLE},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"body\":{}}", API_EVENT_UNREADABLE},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"body\":0}", API_EVENT_UNREADABLE},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"isBase64Encoded\":true,\"body\":\"AAA\"}",
     API_EVENT_UNREADABLE},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"isBase64Encoded\":true,\"body\":\"AA=A\"}",
     API_EVENT_UNREADABLE},
    {"{\"httpMethod\":\"GET\",\"path\":\"/\",\"isBase64Encoded\":true,\"body\":\"A\\nAA=\"}",
     API_EVENT_UNREADABLE},
    {"{}", API_EVENT_FOREIGN},
    {"null", API_EVENT_FOREIGN},
    {"[]", API_EVENT_FOREIGN},
    {"7", API_EVENT_FOREIGN},
    {"\"httpMethod\"", API_EVENT_FOREIGN},
    {"{\"key1\":\"value1\",\"key2\":\"value2\"}", API_EVENT_FOREIGN}, /* the console's test event */
    {"{\"Records\":[{\"eventSource\":\"aws:s3\"}]}", API_EVENT_FOREIGN},
    {"{\"httpMethod\":7,\"path\":\"/\"}", API_EVENT_FOREIGN},
    {"{\"httpMethod\":\"GET\"}", API_EVENT_FOREIGN},
    {"{\"path\":\"/\"}", API_EVENT_FOREIGN},
    {"{\"rawPath\":[],\"requestContext\":{\"http\":{\"method\":\"GET\"}}}", API_EVENT_FOREIGN},
    {"{\"rawPath\":\"/\",\"requestContext\":{\"http\":{}}}", API_EVENT_FOREIGN},
    {"{\"rawPath\":\"/\",\"requestContext\":{\"http\":[\"GET\"]}}", API_EVENT_FOREIGN},
};

static void test_others(void)
{
    for (size_t i = 0; i < COUNT(others); i++) {
        test_case("no request: %s", others[i].event);
        api_event e;
        CHECK_INT(read(others[i].event, &e), others[i].want);
        api_event_clear(&e);
    }
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

/* A body of `len` letters, as text or as base64 of `len` bytes. */
static void check_body(size_t len, bool base64, bool fits)
{
    test_case("body of %zu%s", len, base64 ? ", base64" : "");
    ph_buf text;
    ph_buf_init(&text, 4 << 20);
    ph_buf_cstr(&text, "{\"httpMethod\":\"POST\",\"path\":\"/\",\"isBase64Encoded\":");
    ph_buf_cstr(&text, base64 ? "true,\"body\":\"" : "false,\"body\":\"");
    size_t letters = base64 ? len / 3 * 4 : len;
    for (size_t i = 0; i < letters; i++)
        ph_buf_char(&text, 'A');
    if (base64 && len % 3 > 0)
        ph_buf_cstr(&text, len % 3 == 1 ? "AA==" : "AAA=");
    ph_buf_cstr(&text, "\"}");
    CHECK_INT(text.err, PH_OK);
    api_event e;
    CHECK_INT(api_event_read(ph_buf_view(&text), ID, NOW, &e), API_EVENT_REQUEST);
    CHECK(e.request.body_too_large == !fits);
    CHECK_U64(e.request.body.len, fits ? len : 0);
    api_event_clear(&e);
    ph_buf_clear(&text);
}

static void test_sizes(void)
{
    for (int base64 = 0; base64 < 2; base64++) {
        check_body(API_BODY_MAX - 1, base64, true);
        check_body(API_BODY_MAX, base64, true);
        for (size_t more = 1; more < 6; more++)
            check_body(API_BODY_MAX + more, base64, false);
        check_body(700000, base64, false);
    }
}

/* ---- Damage ---------------------------------------------------------------------------------- */

/* Whatever comes: no crash, and what is called a request has what a request needs. */
static void check_any(ph_str text)
{
    api_event e;
    api_event_kind kind = api_event_read(test_guard_str(text), ID, NOW, &e);
    if (kind == API_EVENT_REQUEST) {
        CHECK(e.request.method.ptr && e.request.path.ptr && e.request.id);
        CHECK(e.request.body.len <= API_BODY_MAX);
    }
    api_event_clear(&e);
}

static void test_damage(void)
{
    static const char *const whole[] = {
        V2, V1,
        "{\"httpMethod\":\"POST\",\"path\":\"/\",\"isBase64Encoded\":true,\"body\":\"AAH+/w==\"}"};
    static const char bytes[] = "{}[]\":,\\0u\n\xff t";
    uint64_t state = 1;
    for (size_t w = 0; w < COUNT(whole); w++) {
        char text[4096];
        size_t len = strlen(whole[w]);
        for (size_t cut = 0; cut < len; cut++) {
            test_case("event %zu, the first %zu bytes", w, cut);
            check_any((ph_str){whole[w], cut});
        }
        for (int round = 0; round < 20000; round++) {
            test_case("event %zu, damage %d", w, round);
            memcpy(text, whole[w], len);
            for (uint64_t n = 1 + test_random(&state) % 3; n > 0; n--)
                text[test_random(&state) % len] = bytes[test_random(&state) % (sizeof bytes - 1)];
            check_any((ph_str){text, len});
        }
    }
}

static void test_memory(void)
{
    static const char event[] =
        "{\"httpMethod\":\"POST\",\"path\":\"/\",\"queryStringParameters\":{\"a\":\"b\"},"
        "\"isBase64Encoded\":true,\"body\":\"AAH+/w==\"}";
    for (unsigned n = 0;; n++) {
        test_case("allocation %u fails", n);
        api_event e;
        test_alloc_fail_after(n);
        api_event_kind kind = api_event_read(ph_str_from(event), ID, NOW, &e);
        bool failed = test_alloc_end();
        CHECK_INT(kind, failed ? API_EVENT_NO_MEMORY : API_EVENT_REQUEST);
        api_event_clear(&e);
        if (!failed)
            break;
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void check_answer(const char *method, const char *body, const char *want)
{
    api_request request = {.id = ID, .method = ph_str_from(method)};
    api_answer answer = {.status = 200, .header_count = 2};
    answer.headers[0] = (ph_header){PH_STR("cache-control"), PH_STR("no-store")};
    answer.headers[1] = (ph_header){PH_STR("x-y"), PH_STR("a\"b")};
    ph_buf_init(&answer.body, 1000);
    ph_buf_cstr(&answer.body, body);
    ph_buf text;
    ph_buf_init(&text, 10000);
    api_event_answer(&request, &answer, &text);
    CHECK_INT(text.err, PH_OK);
    CHECK_STR(ph_buf_view(&text), want);
    ph_buf_clear(&text);
    ph_buf_clear(&answer.body);
}

static void test_answers(void)
{
    test_case("answer");
#define HEAD                                                                               \
    "{\"statusCode\":200,\"headers\":{\"cache-control\":\"no-store\",\"x-y\":\"a\\\"b\"}," \
    "\"body\":"
    check_answer("GET", "{\"a\":\"\xc3\xa9\"}",
                 HEAD "\"{\\\"a\\\":\\\"\xc3\xa9\\\"}\",\"isBase64Encoded\":false}");
    check_answer("GET", "", HEAD "\"\",\"isBase64Encoded\":false}");
    check_answer("HEAD", "{\"a\":1}", HEAD "\"\",\"isBase64Encoded\":false}");
}

int main(void)
{
    test_requests();
    test_stages();
    test_queries();
    test_others();
    test_sizes();
    test_damage();
    test_memory();
    test_answers();
    return test_end();
}
