/* SPDX-License-Identifier: MIT
 *
 * Tests creds: every document in which credentials come, what must not pass for one, when new ones
 * are asked for, and that no secret stays behind in memory that was given back.
 */
#include "test.h"

#include "core/creds.h"
#include "core/str.h"

#include <stdlib.h>
#include <string.h>

#define ID "ASIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define TOKEN "IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3QtMSJHMEUCIQ=="
#define END_MS UINT64_C(1369357323000) /* 2013-05-24T01:02:03Z */

static int parse(const char *json, ph_grant *out)
{
    return ph_grant_parse(test_guard_str(ph_str_from(json)), out);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

#define UPPER \
    "\"AccessKeyId\":\"" ID "\",\"SecretAccessKey\":\"" SECRET "\",\"SessionToken\":\"" TOKEN "\""
#define LOWER \
    "\"accessKeyId\":\"" ID "\",\"secretAccessKey\":\"" SECRET "\",\"sessionToken\":\"" TOKEN "\""

static void check_creds(const ph_creds *c, uint64_t expires_ms)
{
    CHECK_STR(c->access_key_id, ID);
    CHECK_STR(c->secret_access_key, SECRET);
    CHECK_STR(c->session_token, TOKEN);
    CHECK_U64(c->expires_ms, expires_ms);
}

static void test_shapes(void)
{
    static const struct {
        const char *what, *json;
        uint64_t expires_ms;
        const char *bucket, *key, *region, *endpoint;
        uint64_t server_time_ms;
    } cases[] = {
        {"STS, as the AWS CLI prints it",
         "{\"Credentials\":{" UPPER ",\"Expiration\":\"2013-05-24T01:02:03Z\"},"
         "\"AssumedRoleUser\":{\"Arn\":\"arn:x\"},\"PackedPolicySize\":6}",
         END_MS, NULL, NULL, NULL, NULL, 0},
        {"credential_process",
         "{\"Version\":1," UPPER ",\"Expiration\":\"2013-05-24T01:02:03.000+00:00\"}", END_MS, NULL,
         NULL, NULL, NULL, 0},
        {"SDK for JavaScript, at the top",
         "{" LOWER ",\"expiration\":\"2013-05-24T01:02:03.000Z\"}", END_MS, NULL, NULL, NULL, NULL,
         0},
        {"SDK for JavaScript, inside",
         "{\"credentials\":{" LOWER ",\"expiration\":1369357323},\"region\":\"eu-west-1\"}", END_MS,
         NULL, NULL, "eu-west-1", NULL, 0},
        {"Uppy Companion",
         "{\"credentials\":{" UPPER ",\"Expiration\":\"2013-05-24T01:02:03Z\"},"
         "\"bucket\":\"films\",\"region\":\"us-east-2\"}",
         END_MS, "films", NULL, "us-east-2", NULL, 0},
        {"everything beside",
         "{\"uploadType\":\"multipart\",\"Credentials\":{" LOWER
         "},\"bucket\":\"b\",\"key\":\"u/a b\","
         "\"region\":\"r\",\"endpoint\":\"http://127.0.0.1:8333\",\"serverTime\":1369357323000}",
         0, "b", "u/a b", "r", "http://127.0.0.1:8333", END_MS},
        {"an unknown upload type is no obstacle", "{\"uploadType\":7," UPPER "}", 0, NULL, NULL,
         NULL, NULL, 0},
        {"null is as good as nothing",
         "{\"Credentials\":null,\"uploadType\":null," UPPER ",\"Expiration\":null,\"bucket\":null,"
         "\"key\":null,\"region\":null,\"endpoint\":null,\"serverTime\":null,\"headers\":null}",
         0, NULL, NULL, NULL, NULL, 0},
        {"an empty text is there", "{" UPPER ",\"bucket\":\"\"}", 0, "", NULL, NULL, NULL, 0},
        {"inside is not looked for outside",
         "{\"Credentials\":{" UPPER "},\"Expiration\":\"2013-05-24T01:02:03Z\","
         "\"AccessKeyId\":\"AKIAOTHER\"}",
         0, NULL, NULL, NULL, NULL, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("%s", cases[i].what);
        ph_grant g;
        CHECK_INT(parse(cases[i].json, &g), PH_OK);
        check_creds(&g.creds, cases[i].expires_ms);
        CHECK_STR(g.url, NULL);
        CHECK(g.headers == NULL && g.header_count == 0);
        CHECK_STR(g.bucket, cases[i].bucket);
        CHECK_STR(g.key, cases[i].key);
        CHECK_STR(g.region, cases[i].region);
        CHECK_STR(g.endpoint, cases[i].endpoint);
        CHECK_U64(g.server_time_ms, cases[i].server_time_ms);
        ph_grant_clear(&g);
    }

    test_case("no session token");
    ph_grant g;
    CHECK_INT(parse("{\"accessKeyId\":\"A\",\"secretAccessKey\":\"s\"}", &g), PH_OK);
    CHECK_STR(g.creds.session_token, NULL);
    ph_grant_clear(&g);
    CHECK_INT(parse("{\"accessKeyId\":\"A\",\"secretAccessKey\":\"s\",\"sessionToken\":null}", &g),
              PH_OK);
    CHECK_STR(g.creds.session_token, NULL);
    ph_grant_clear(&g);

    test_case("a secret may be any text");
    CHECK_INT(parse("{\"accessKeyId\":\"A\",\"secretAccessKey\":\" \\u00fc\\n\\\"\"}", &g), PH_OK);
    CHECK_STR(g.creds.secret_access_key, " \xc3\xbc\n\"");
    ph_grant_clear(&g);
}

static void test_put(void)
{
    ph_grant g;
    test_case("put");
    CHECK_INT(parse("{\"uploadType\":\"put\",\"url\":\"https://b.s3.amazonaws.com/k?X-Amz-Date=1\","
                    "\"headers\":{\"content-type\":\"a/b; c=\\\"d e\\\" ~\",\"x-empty\":\"\"},"
                    "\"bucket\":\"b\",\"key\":\"k\",\"serverTime\":\"2013-05-24T01:02:03Z\"," UPPER
                    "}",
                    &g),
              PH_OK);
    CHECK_STR(g.url, "https://b.s3.amazonaws.com/k?X-Amz-Date=1");
    CHECK_U64(g.header_count, 2);
    CHECK_STR(g.headers[0].name, "content-type");
    CHECK_STR(g.headers[0].value, "a/b; c=\"d e\" ~");
    CHECK_STR(g.headers[1].name, "x-empty");
    CHECK_STR(g.headers[1].value, "");
    CHECK_STR(g.bucket, "b");
    CHECK_STR(g.key, "k");
    CHECK_STR(g.creds.access_key_id, NULL); /* the URL is all there is to sign with */
    CHECK_U64(g.server_time_ms, END_MS);
    ph_grant_clear(&g);
    CHECK(g.headers == NULL && g.header_count == 0 && g.url.ptr == NULL && g.server_time_ms == 0);

    static const char *const without[] = {"", ",\"headers\":{}", ",\"headers\":null"};
    for (size_t i = 0; i < COUNT(without); i++) {
        test_case("put%s", without[i]);
        char json[128] = "{\"uploadType\":\"put\",\"url\":\"http://h/\"";
        strcat(strcat(json, without[i]), "}");
        CHECK_INT(parse(json, &g), PH_OK);
        CHECK_U64(g.header_count, 0);
        ph_grant_clear(&g);
    }

    static const char *const refused[] = {
        "", /* no URL */
        ",\"url\":null",
        ",\"url\":\"\"",
        ",\"url\":5",
        ",\"url\":[\"https://h/\"]",
        ",\"url\":\"/k\"",
        ",\"url\":\"file:///etc/passwd\"",
        ",\"url\":\"javascript:alert(1)\"",
        ",\"url\":\"https://user:secret@h/\"",
        ",\"url\":\"https://h/\\r\\nx: y\"",
        ",\"url\":\"http://h/\",\"headers\":[]",
        ",\"url\":\"http://h/\",\"headers\":\"a: b\"",
        ",\"url\":\"http://h/\",\"headers\":{\"a\":1}",
        ",\"url\":\"http://h/\",\"headers\":{\"a\":null}",
        ",\"url\":\"http://h/\",\"headers\":{\"a\":[\"b\"]}",
        ",\"url\":\"http://h/\",\"headers\":{\"\":\"b\"}",
        ",\"url\":\"http://h/\",\"headers\":{\"a b\":\"c\"}",
        ",\"url\":\"http://h/\",\"headers\":{\"a:\":\"c\"}",
        ",\"url\":\"http://h/\",\"headers\":{\"a\\r\\nb\":\"c\"}",
        ",\"url\":\"http://h/\",\"headers\":{\"\\u00e4\":\"c\"}",
        ",\"url\":\"http://h/\",\"headers\":{\"a\":\"b\\r\\nc: d\"}",
        ",\"url\":\"http://h/\",\"headers\":{\"a\":\"b\\u007f\"}",
        ",\"url\":\"http://h/\",\"headers\":{\"a\":\"\\u00e4\"}",
        ",\"url\":\"http://h/\",\"bucket\":7",
        ",\"url\":\"http://h/\",\"serverTime\":\"now\"",
        "," UPPER, /* credentials do not help for this upload type */
    };
    for (size_t i = 0; i < COUNT(refused); i++) {
        test_case("put refused: %s", refused[i]);
        char json[512] = "{\"uploadType\":\"put\"";
        strcat(strcat(json, refused[i]), "}");
        CHECK_INT(parse(json, &g), PH_ERR_BAD_CREDENTIALS);
        CHECK(g.headers == NULL && g.header_count == 0 && g.url.ptr == NULL);
    }
}

static void test_many_headers(void)
{
    for (unsigned count = 31; count <= 33; count++) {
        test_case("%u headers", count);
        ph_buf b;
        ph_buf_init(&b, 4096);
        ph_buf_cstr(&b, "{\"uploadType\":\"put\",\"url\":\"http://h/\",\"headers\":{");
        for (unsigned i = 0; i < count; i++) {
            ph_buf_cstr(&b, i ? ",\"h" : "\"h");
            ph_buf_u64(&b, i);
            ph_buf_cstr(&b, "\":\"v\"");
        }
        ph_buf_cstr(&b, "}}");
        ph_grant g;
        CHECK_INT(ph_grant_parse(ph_buf_view(&b), &g),
                  count <= 32 ? PH_OK : PH_ERR_BAD_CREDENTIALS);
        CHECK_U64(g.header_count, count <= 32 ? count : 0);
        ph_grant_clear(&g);
        ph_buf_clear(&b);
    }
}

/* ---- Dates ----------------------------------------------------------------------------------- */

static void test_dates(void)
{
    static const struct {
        const char *json;
        int err;
        uint64_t ms;
    } cases[] = {
        {"\"2013-05-24T01:02:03Z\"", PH_OK, END_MS},
        {"\"2013-05-24T01:02:03.123456Z\"", PH_OK, END_MS + 123},
        {"\"2013-05-24T03:02:03+02:00\"", PH_OK, END_MS},
        {"\"20130524T010203Z\"", PH_OK, END_MS},
        {"\"Fri, 24 May 2013 01:02:03 GMT\"", PH_OK, END_MS},
        {"1369357323", PH_OK, END_MS},
        {"1369357323000", PH_OK, END_MS},
        {"1369357323.9", PH_OK, END_MS}, /* Date.now() / 1000 has a fraction */
        {"1369357323000.25", PH_OK, END_MS},
        {"1.369357323e9", PH_OK, END_MS},
        {"99999999999", PH_OK, UINT64_C(99999999999000)}, /* the last that are seconds */
        {"100000000000", PH_OK, UINT64_C(100000000000)},  /* the first that are milliseconds */
        {"9007199254740991", PH_OK, UINT64_C(9007199254740991)},
        {"9007199254740992", PH_ERR_BAD_CREDENTIALS, 0},
        {"-1", PH_ERR_BAD_CREDENTIALS, 0},
        {"1e300", PH_ERR_BAD_CREDENTIALS, 0},
        {"null", PH_OK, 0},
        {"\"\"", PH_ERR_BAD_CREDENTIALS, 0},
        {"\"1369357323\"", PH_ERR_BAD_CREDENTIALS, 0},
        {"\"2013-05-24\"", PH_ERR_BAD_CREDENTIALS, 0},
        {"\"tomorrow\"", PH_ERR_BAD_CREDENTIALS, 0},
        {"true", PH_ERR_BAD_CREDENTIALS, 0},
        {"{}", PH_ERR_BAD_CREDENTIALS, 0},
        {"[1369357323]", PH_ERR_BAD_CREDENTIALS, 0},
    };
    static const char *const places[] = {"expiration", "Expiration", "serverTime"};
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t k = 0; k < COUNT(places); k++) {
            test_case("%s %s", places[k], cases[i].json);
            char json[256] = "{\"accessKeyId\":\"A\",\"secretAccessKey\":\"s\",\"";
            strcat(strcat(strcat(strcat(json, places[k]), "\":"), cases[i].json), "}");
            ph_grant g;
            CHECK_INT(parse(json, &g), cases[i].err);
            CHECK_U64(k < 2 ? g.creds.expires_ms : g.server_time_ms, cases[i].ms);
            CHECK_U64(k < 2 ? g.server_time_ms : g.creds.expires_ms, 0);
            ph_grant_clear(&g);
        }
    }
}

/* ---- What is refused ------------------------------------------------------------------------- */

static bool is_empty(const ph_grant *g)
{
    static const ph_grant empty;
    return memcmp(g, &empty, sizeof empty) == 0;
}

static void test_refused(void)
{
    static const struct {
        const char *json;
        int err;
    } cases[] = {
        {"", PH_ERR_BAD_JSON},
        {"{", PH_ERR_BAD_JSON},
        {"<Error/>", PH_ERR_BAD_JSON},
        {"{" UPPER "}x", PH_ERR_BAD_JSON},
        {"{" UPPER ",\"AccessKeyId\":\"B\"}", PH_ERR_BAD_JSON}, /* twice */
        {"{\"credentials\":{" UPPER "},\"bucket\":\"a\",\"bucket\":\"b\"}", PH_ERR_BAD_JSON},
        {"{\"accessKeyId\":\"A\\u0000B\",\"secretAccessKey\":\"s\"}", PH_ERR_BAD_JSON},
        {"{\"accessKeyId\":\"\xff\",\"secretAccessKey\":\"s\"}", PH_ERR_BAD_JSON},
        {"null", PH_ERR_BAD_CREDENTIALS},
        {"[]", PH_ERR_BAD_CREDENTIALS},
        {"[{" UPPER "}]", PH_ERR_BAD_CREDENTIALS},
        {"\"" ID "\"", PH_ERR_BAD_CREDENTIALS},
        {"{}", PH_ERR_BAD_CREDENTIALS},
        {"{\"message\":\"Forbidden\"}", PH_ERR_BAD_CREDENTIALS},
        {"{\"accessKeyId\":\"A\"}", PH_ERR_BAD_CREDENTIALS},
        {"{\"secretAccessKey\":\"s\"}", PH_ERR_BAD_CREDENTIALS},
        {"{\"accessKeyId\":\"\",\"secretAccessKey\":\"s\"}", PH_ERR_BAD_CREDENTIALS},
        {"{\"accessKeyId\":\"A\",\"secretAccessKey\":\"\"}", PH_ERR_BAD_CREDENTIALS},
        {"{\"accessKeyId\":1,\"secretAccessKey\":\"s\"}", PH_ERR_BAD_CREDENTIALS},
        {"{\"accessKeyId\":\"A\",\"secretAccessKey\":2}", PH_ERR_BAD_CREDENTIALS},
        {"{\"accessKeyId\":\"A\",\"secretAccessKey\":null}", PH_ERR_BAD_CREDENTIALS},
        {"{\"accessKeyId\":\"A\",\"secretAccessKey\":\"s\",\"sessionToken\":3}",
         PH_ERR_BAD_CREDENTIALS},
        {"{\"accessKeyId\":\"A\",\"secretAccessKey\":\"s\",\"sessionToken\":{}}",
         PH_ERR_BAD_CREDENTIALS},
        {"{\"ACCESSKEYID\":\"A\",\"secretAccessKey\":\"s\"}", PH_ERR_BAD_CREDENTIALS},
        {"{\"Credentials\":\"x\"," UPPER "}", PH_ERR_BAD_CREDENTIALS},
        {"{\"Credentials\":{}," UPPER "}", PH_ERR_BAD_CREDENTIALS},
        {"{\"credentials\":[{" UPPER "}]}", PH_ERR_BAD_CREDENTIALS},
        {"{\"Credentials\":{\"Credentials\":{" UPPER "}}}", PH_ERR_BAD_CREDENTIALS},
        {"{" UPPER ",\"bucket\":1}", PH_ERR_BAD_CREDENTIALS},
        {"{" UPPER ",\"key\":[\"k\"]}", PH_ERR_BAD_CREDENTIALS},
        {"{" UPPER ",\"region\":false}", PH_ERR_BAD_CREDENTIALS},
        {"{" UPPER ",\"endpoint\":{}}", PH_ERR_BAD_CREDENTIALS},
        /* what would end a header and begin another, or cannot be in one */
        {"{\"accessKeyId\":\"A\\r\\nx: y\",\"secretAccessKey\":\"s\"}", PH_ERR_BAD_CREDENTIALS},
        {"{\"accessKeyId\":\"A B\",\"secretAccessKey\":\"s\"}", PH_ERR_BAD_CREDENTIALS},
        {"{\"accessKeyId\":\"\\u00c4\",\"secretAccessKey\":\"s\"}", PH_ERR_BAD_CREDENTIALS},
        {"{\"accessKeyId\":\"A\",\"secretAccessKey\":\"s\",\"sessionToken\":\"t\\n\"}",
         PH_ERR_BAD_CREDENTIALS},
        {"{\"accessKeyId\":\"A\",\"secretAccessKey\":\"s\",\"sessionToken\":\"\\u007f\"}",
         PH_ERR_BAD_CREDENTIALS},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("refused: %s", cases[i].json);
        ph_grant g;
        memset(&g, 0xaa, sizeof g);
        CHECK_INT(parse(cases[i].json, &g), cases[i].err);
        CHECK(is_empty(&g));
    }
}

static const char whole[] =
    " {\"Credentials\":{" UPPER ",\"Expiration\":\"2013-05-24T01:02:03Z\"},\"bucket\":\"films\","
    "\"key\":\"u/k\",\"region\":\"r\",\"endpoint\":\"https://h\",\"serverTime\":1369357323}";
static const char whole_put[] =
    "{\"uploadType\":\"put\",\"url\":\"https://h/k?X-Amz-Signature=" SECRET "\","
    "\"headers\":{\"content-type\":\"a/b\",\"x-amz-meta-a\":\"b\"},\"bucket\":\"films\"}";

static void test_cut(void)
{
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        test_case("cut to %zu bytes", len);
        ph_grant g;
        CHECK_INT(ph_grant_parse(test_guard_str((ph_str){whole, len}), &g), PH_ERR_BAD_JSON);
        CHECK(is_empty(&g));
    }
}

static void test_size(void)
{
    for (size_t size = 65535; size <= 65537; size++) {
        test_case("%zu bytes", size);
        char *json = malloc(size);
        memset(json, ' ', size);
        memcpy(json, whole, sizeof whole - 1);
        ph_grant g;
        CHECK_INT(ph_grant_parse(test_guard_str((ph_str){json, size}), &g),
                  size <= 65536 ? PH_OK : PH_ERR_BAD_JSON);
        ph_grant_clear(&g);
        free(json);
    }
    test_case("a token of 60,000 bytes");
    static char json[65536] =
        "{\"accessKeyId\":\"A\",\"secretAccessKey\":\"s\",\"sessionToken\":\"";
    size_t at = strlen(json);
    memset(json + at, 't', 60000);
    memcpy(json + at + 60000, "\"}", 3);
    ph_grant g;
    CHECK_INT(parse(json, &g), PH_OK);
    CHECK_U64(g.creds.session_token.len, 60000);
    ph_grant_clear(&g);
}

/* ---- Copies and memory ----------------------------------------------------------------------- */

static void test_copy(void)
{
    ph_creds from = {PH_STR(ID), PH_STR(SECRET), PH_STR(TOKEN), 7}, to;
    test_case("copy");
    CHECK_INT(ph_creds_copy(&from, &to), PH_OK);
    check_creds(&to, 7);
    CHECK(to.secret_access_key.ptr != from.secret_access_key.ptr);
    ph_creds_clear(&to);
    CHECK(!to.access_key_id.ptr && !to.secret_access_key.ptr && !to.session_token.ptr &&
          to.expires_ms == 0);
    ph_creds_clear(&to); /* twice is harmless */

    test_case("copy of unusable ones");
    from.access_key_id.len = 0;
    CHECK_INT(ph_creds_copy(&from, &to), PH_ERR_BAD_CREDENTIALS);
    CHECK(!to.access_key_id.ptr && !to.session_token.ptr && to.expires_ms == 0);
    from = (ph_creds){PH_STR(ID), {NULL, 0}, PH_STR(TOKEN), 7};
    CHECK_INT(ph_creds_copy(&from, &to), PH_ERR_BAD_CREDENTIALS);
}

static void test_failing_allocations(void)
{
    const char *const documents[] = {whole, whole_put};
    for (size_t i = 0; i < COUNT(documents); i++) {
        for (unsigned n = 0;; n++) {
            test_case("document %zu, allocation %u", i, n);
            ph_grant g;
            test_watch_secret(SECRET);
            test_alloc_fail_after(n);
            int err = ph_grant_parse(ph_str_from(documents[i]), &g);
            bool failed = test_alloc_end();
            CHECK_INT(err, failed ? PH_ERR_NOMEM : PH_OK);
            CHECK(is_empty(&g) == failed);
            ph_grant_clear(&g);
            CHECK(is_empty(&g));
            /* cJSON itself frees what it has read so far when memory ends in mid-document */
            unsigned leaks = test_watch_secret(NULL);
            CHECK(leaks == 0 || (failed && leaks == 1));
            if (!failed)
                break;
        }
    }
    ph_creds from = {PH_STR(ID), PH_STR(SECRET), PH_STR(TOKEN), 7}, to;
    for (unsigned n = 0;; n++) {
        test_case("copy, allocation %u", n);
        test_watch_secret(SECRET);
        test_alloc_fail_after(n);
        int err = ph_creds_copy(&from, &to);
        bool failed = test_alloc_end();
        CHECK_INT(err, failed ? PH_ERR_NOMEM : PH_OK);
        CHECK((to.access_key_id.ptr == NULL) == failed);
        ph_creds_clear(&to);
        CHECK_U64(test_watch_secret(NULL), 0);
        if (!failed)
            break;
    }
}

/* Each of these is given back wiped, also where the document turns out to be of no use. */
static void test_wiping(void)
{
    static const char *const secrets[] = {SECRET, TOKEN};
    static const char *const documents[] = {
        whole,
        whole_put,
        "{" UPPER ",\"Expiration\":\"never\"}",
        "{" UPPER ",\"endpoint\":5}",
        "{\"x\":[\"" SECRET "\",\"" TOKEN "\"]}",
        "{\"" SECRET "\":1,\"" TOKEN "\":2}",
        "{\"uploadType\":\"put\",\"url\":\"http://h/\",\"headers\":{\"a\":\"" SECRET
        "\",\"b\":\"" TOKEN "\",\"c\":3}}",
    };
    for (size_t i = 0; i < COUNT(secrets); i++) {
        test_case("the watch sees what is not wiped");
        test_watch_secret(secrets[i]);
        char *volatile bare = malloc(100); /* or the compiler sees that nobody wants it */
        free(strcpy(bare, secrets[i]));
        ph_str copy;
        CHECK_INT(ph_str_copy(ph_str_from(secrets[i]), &copy), PH_OK);
        ph_str_free(&copy);
        CHECK_U64(test_watch_secret(NULL), 1);

        for (size_t k = 0; k < COUNT(documents); k++) {
            test_case("wiped: %s", documents[k]);
            ph_grant g;
            test_watch_secret(secrets[i]);
            ph_grant_parse(ph_str_from(documents[k]), &g);
            ph_grant_clear(&g);
            CHECK_U64(test_watch_secret(NULL), 0);
        }
    }
}

/* ---- Renewal --------------------------------------------------------------------------------- */

static void test_renew(void)
{
    static const struct {
        uint64_t expires_ms, now_ms, renew_ms;
    } cases[] = {
        {0, 5000, UINT64_MAX}, /* no end is known */
        {10000, 0, 8000},
        {3600000 + 1000, 1000, 2880000 + 1000},
        {5001, 5000, 5000}, /* whole fifths */
        {5005, 5000, 5004},
        {5000, 5000, 5000},
        {4999, 5000, 5000}, /* over already: now */
        {1, UINT64_MAX - 1, UINT64_MAX - 1},
        {UINT64_MAX, 0, UINT64_MAX / 5 * 4},
        {UINT64_MAX, UINT64_MAX - 10, UINT64_MAX - 2},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("renewal %zu", i);
        ph_creds c = {.expires_ms = cases[i].expires_ms};
        CHECK_U64(ph_creds_renew_ms(&c, cases[i].now_ms), cases[i].renew_ms);
    }
}

int main(void)
{
    test_shapes();
    test_put();
    test_many_headers();
    test_dates();
    test_refused();
    test_cut();
    test_size();
    test_copy();
    test_failing_allocations();
    test_wiping();
    test_renew();
    return test_end();
}
