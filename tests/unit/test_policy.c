/* SPDX-License-Identifier: MIT
 *
 * Tests policy: the signature of S3's documentation and those of other SDKs, and that what is
 * written is JSON in which every field has its condition.
 */
#include "test.h"

#include "core/enc.h"
#include "core/json.h"
#include "core/policy.h"
#include "core/str.h"

#include <string.h>

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define NOW (UINT64_C(1451347200) * 1000) /* 2015-12-29T00:00:00Z */

/* The example of "Authenticating Requests in Browser-Based Uploads", which has CRLF line ends. */
#define DOC                                                                                    \
    "{ \"expiration\": \"2015-12-30T12:00:00.000Z\",\r\n  \"conditions\": [\r\n"               \
    "    {\"bucket\": \"sigv4examplebucket\"},\r\n"                                            \
    "    [\"starts-with\", \"$key\", \"user/user1/\"],\r\n"                                    \
    "    {\"acl\": \"public-read\"},\r\n"                                                      \
    "    {\"success_action_redirect\": "                                                       \
    "\"http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html\"},\r\n"              \
    "    [\"starts-with\", \"$Content-Type\", \"image/\"],\r\n"                                \
    "    {\"x-amz-meta-uuid\": \"14365123651274\"},\r\n"                                       \
    "    {\"x-amz-server-side-encryption\": \"AES256\"},\r\n"                                  \
    "    [\"starts-with\", \"$x-amz-meta-tag\", \"\"],\r\n\r\n"                                \
    "    {\"x-amz-credential\": \"AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request\"}," \
    "\r\n    {\"x-amz-algorithm\": \"AWS4-HMAC-SHA256\"},\r\n"                                 \
    "    {\"x-amz-date\": \"20151229T000000Z\" }\r\n  ]\r\n}"

static void sign_text(ph_str base64, ph_str date, ph_str region, ph_str secret, char out[65])
{
    ph_sigv4_key key;
    CHECK_INT(ph_sigv4_key_find(date, region, PH_STR("s3"), secret, NULL, &key), PH_OK);
    ph_policy_signature(&key, base64, out);
}

static void test_documentation(void)
{
    ph_buf base64;
    ph_buf_init(&base64, 4096);
    char signature[65];
    test_case("S3's documentation");
    ph_enc_base64(&base64, DOC, sizeof DOC - 1);
    CHECK_U64(sizeof DOC - 1, 648);
    CHECK_U64(base64.len, 864);
    sign_text(ph_buf_view(&base64), PH_STR("20151229"), PH_STR("us-east-1"), PH_STR(SECRET),
              signature);
    CHECK_STR(ph_str_from(signature),
              "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e");
    ph_buf_clear(&base64);
}

static void test_files(const char *name)
{
    ph_buf text;
    ph_json *document = NULL;
    if (!test_vectors(name, &text)) {
        ph_buf_clear(&text);
        return;
    }
    CHECK_INT(ph_json_parse(ph_buf_view(&text), &document), PH_OK);
    unsigned seen = 0;
    for (const ph_json *c = ph_json_first(ph_json_member(document, "cases")); c;
         c = ph_json_next(c)) {
        const ph_json *creds = ph_json_member(c, "credentials");
        ph_str policy = ph_json_member_text(c, "policy_base64");
        ph_str date = ph_json_member_text(c, "date");
        ph_str want = ph_json_member_text(c, "signature");
        ph_str secret = ph_json_member_text(creds, "secret_access_key");
        if (!policy.ptr || !want.ptr || date.len < 8 || !secret.ptr)
            continue;
        char signature[65];
        test_case("%s: %.*s", name, (int)ph_json_member_text(c, "name").len,
                  ph_json_member_text(c, "name").ptr);
        sign_text(policy, (ph_str){date.ptr, 8}, ph_json_member_text(c, "region"), secret,
                  signature);
        CHECK(ph_str_equal(ph_str_from(signature), want));
        seen++;
    }
    CHECK(seen > 0);
    ph_json_free(document);
    ph_buf_clear(&text);
}

static const ph_creds creds = {BYTES("ASIAEXAMPLE"), BYTES(SECRET), BYTES("to\"ken="), 0};
static const ph_condition conditions[] = {
    {BYTES("key"), BYTES("upload/al\"ice/"), true},
    {BYTES("acl"), BYTES("private"), false},
    {BYTES("Content-Type"), {NULL, 0}, true},
};

static ph_policy policy(void)
{
    return (ph_policy){
        .bucket = PH_STR("uploads"),
        .region = PH_STR("eu-west-1"),
        .conditions = conditions,
        .condition_count = COUNT(conditions),
        .min_size = 0,
        .max_size = 1000,
        .now_ms = NOW,
        .expires_ms = NOW + 60000,
        .creds = &creds,
    };
}

static void test_document(void)
{
    ph_policy in = policy();
    ph_policy_form form;
    ph_sigv4_key cache = {.secret_len = 0};
    test_case("document");
    CHECK_INT(ph_policy_sign(&in, &cache, &form), PH_OK);
    CHECK(cache.secret_len > 0);
    CHECK_STR(form.credential, "ASIAEXAMPLE/20151229/eu-west-1/s3/aws4_request");
    CHECK_STR(ph_str_from(form.date), "20151229T000000Z");
    char text[4096];
    size_t len;
    CHECK_INT(ph_dec_base64(form.policy, text, sizeof text, &len), PH_OK);
    CHECK_STR(((ph_str){text, len}),
              "{\"expiration\":\"2015-12-29T00:01:00Z\",\"conditions\":[{\"bucket\":\"uploads\"},"
              "[\"starts-with\",\"$key\",\"upload/al\\\"ice/\"],[\"eq\",\"$acl\",\"private\"],"
              "[\"starts-with\",\"$Content-Type\",\"\"],[\"content-length-range\",0,1000],"
              "{\"x-amz-algorithm\":\"AWS4-HMAC-SHA256\"},"
              "{\"x-amz-credential\":\"ASIAEXAMPLE/20151229/eu-west-1/s3/aws4_request\"},"
              "{\"x-amz-date\":\"20151229T000000Z\"},{\"x-amz-security-token\":\"to\\\"ken=\"}]}");
    char again[65];
    sign_text(form.policy, PH_STR("20151229"), PH_STR("eu-west-1"), PH_STR(SECRET), again);
    CHECK_STR(ph_str_from(form.signature), again);
    ph_policy_form_clear(&form);

    static const ph_creds no_id = {.secret_access_key = BYTES(SECRET)};
    static const ph_creds no_secret = {.access_key_id = BYTES("AKIAEXAMPLE")};
    for (int i = 0; i < 7; i++) {
        test_case("what cannot be signed %d", i);
        in = policy();
        switch (i) {
        case 0: in.bucket = (ph_str){NULL, 0}; break;
        case 1: in.region = (ph_str){NULL, 0}; break;
        case 2: in.creds = NULL; break;
        case 3: in.creds = &no_id; break;
        case 4: in.creds = &no_secret; break;
        case 5: in.min_size = in.max_size + 1; break;
        case 6: in.expires_ms = in.now_ms; break;
        }
        CHECK_INT(ph_policy_sign(&in, NULL, &form), PH_ERR_BAD_ARG);
        CHECK(!form.policy.ptr && !form.signature[0]);
    }

    test_case("credentials without an end have no token to name");
    static const ph_creds lasting = {BYTES("AKIAEXAMPLE"), BYTES(SECRET), {NULL, 0}, 0};
    in = policy();
    in.creds = &lasting;
    in.condition_count = 0;
    CHECK_INT(ph_policy_sign(&in, NULL, &form), PH_OK);
    CHECK_INT(ph_dec_base64(form.policy, text, sizeof text, &len), PH_OK);
    CHECK(ph_str_ends((ph_str){text, len}, PH_STR("{\"x-amz-date\":\"20151229T000000Z\"}]}")));
    ph_policy_form_clear(&form);

    test_case("too long a token");
    static char huge[20000];
    memset(huge, 'x', sizeof huge);
    ph_creds large = creds;
    large.session_token = (ph_str){huge, sizeof huge};
    in = policy();
    in.creds = &large;
    CHECK_INT(ph_policy_sign(&in, NULL, &form), PH_ERR_TOO_LONG);

    test_case("no memory");
    in = policy();
    for (unsigned n = 0;; n++) {
        test_alloc_fail_after(n);
        int err = ph_policy_sign(&in, NULL, &form);
        if (err == PH_OK)
            ph_policy_form_clear(&form);
        if (!test_alloc_end())
            break;
        CHECK_INT(err, PH_ERR_NOMEM);
    }
}

int main(void)
{
    test_documentation();
    test_files("s3-post-policy/post-policy-docs.json");
    test_files("s3-post-policy/post-policy-sdk.json");
    test_document();
    return test_end();
}
