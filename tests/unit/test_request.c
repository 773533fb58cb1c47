/* SPDX-License-Identifier: MIT
 *
 * Tests request: each operation whole, with everything that it can be given and with nothing, so
 * that what must not be there is seen too. Each signature is computed again from the request's own
 * URL and headers, as the server does it.
 */
#include "test.h"

#include "core/checksum.h"
#include "core/enc.h"
#include "core/request.h"

#include <stdio.h>
#include <string.h>

#define DATE_MS UINT64_C(1369353600000) /* 20130524T000000Z */
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const ph_creds creds = {.access_key_id = BYTES("AKIAIOSFODNN7EXAMPLE"),
                               .secret_access_key = BYTES("wJalrXUtnFEMI")};
static const ph_creds session = {.access_key_id = BYTES("ASIAIOSFODNN7EXAMPLE"),
                                 .secret_access_key = BYTES("wJalrXUtnFEMI"),
                                 .session_token = BYTES("TOKEN//==")};
static const ph_endpoint aws = {.base = BYTES("https://films.s3.eu-west-1.amazonaws.com/"),
                                .region = BYTES("eu-west-1"),
                                .tls = true};
static const ph_endpoint local = {.base = BYTES("http://127.0.0.1:8333/films/"),
                                  .region = BYTES("us-east-1"),
                                  .loopback = true};
static const ph_object plain; /* no overwriting, nothing else */
static const ph_digest crc64 = {.alg = PH_ALG_CRC64NVME,
                                .len = 8,
                                .bytes = {0xae, 0x8b, 0x14, 0x86, 0x0a, 0x79, 0x98, 0x88}};
static const ph_digest sha256 = {.alg = PH_ALG_SHA256, .len = 32, .bytes = {0xff, 0x01}};

/* Everything that an object can be given. */
static ph_object full_object(void)
{
    static const ph_header metadata[] = {{BYTES("TitleAZaz"), BYTES("a b")},
                                         {BYTES("x_1.2-3"), BYTES("")}};
    ph_object o = {.metadata = metadata, .metadata_count = 2, .overwrite = true};
    o.property[PH_PROP_CONTENT_TYPE] = PH_STR("video/mp4");
    o.property[PH_PROP_CACHE_CONTROL] = PH_STR("no-cache");
    o.property[PH_PROP_CONTENT_DISPOSITION] = PH_STR("attachment; filename=\"a.mp4\"");
    o.property[PH_PROP_CONTENT_ENCODING] = PH_STR("gzip");
    o.property[PH_PROP_CONTENT_LANGUAGE] = PH_STR("de");
    o.property[PH_PROP_EXPIRES] = PH_STR("Fri, 24 May 2013 00:00:00 GMT");
    o.property[PH_PROP_TAGGING] = PH_STR("a=b&c=d");
    o.property[PH_PROP_STORAGE_CLASS] = PH_STR("STANDARD_IA");
    o.property[PH_PROP_SSE] = PH_STR("aws:kms");
    o.property[PH_PROP_SSE_KMS_KEY_ID] = PH_STR("arn:aws:kms:k");
    o.property[PH_PROP_SSE_CONTEXT] = PH_STR("e30=");
    o.property[PH_PROP_SSE_BUCKET_KEY] = PH_STR("true");
    o.property[PH_PROP_LOCK_MODE] = PH_STR("GOVERNANCE");
    o.property[PH_PROP_LOCK_UNTIL] = PH_STR("2030-01-01T00:00:00Z");
    o.property[PH_PROP_LOCK_LEGAL_HOLD] = PH_STR("ON");
    o.property[PH_PROP_ACL] = PH_STR("private");
    o.property[PH_PROP_WEBSITE_REDIRECT] = PH_STR("/other");
    o.property[PH_PROP_BUCKET_OWNER] = PH_STR("111122223333");
    return o;
}

#define OBJECT_HEADERS                                             \
    "content-type: video/mp4\n"                                    \
    "cache-control: no-cache\n"                                    \
    "content-disposition: attachment; filename=\"a.mp4\"\n"        \
    "content-encoding: gzip\n"                                     \
    "content-language: de\n"                                       \
    "expires: Fri, 24 May 2013 00:00:00 GMT\n"                     \
    "x-amz-tagging: a=b&c=d\n"                                     \
    "x-amz-storage-class: STANDARD_IA\n"                           \
    "x-amz-server-side-encryption: aws:kms\n"                      \
    "x-amz-server-side-encryption-aws-kms-key-id: arn:aws:kms:k\n" \
    "x-amz-server-side-encryption-context: e30=\n"                 \
    "x-amz-server-side-encryption-bucket-key-enabled: true\n"      \
    "x-amz-object-lock-mode: GOVERNANCE\n"                         \
    "x-amz-object-lock-retain-until-date: 2030-01-01T00:00:00Z\n"  \
    "x-amz-object-lock-legal-hold: ON\n"                           \
    "x-amz-acl: private\n"                                         \
    "x-amz-website-redirect-location: /other\n"                    \
    "x-amz-meta-titleazaz: a b\n"                                  \
    "x-amz-meta-x_1.2-3: \n"
#define OWNER "x-amz-expected-bucket-owner: 111122223333\n"
#define SIGNED(payload) "x-amz-date: 20130524T000000Z\nx-amz-content-sha256: " payload "\n"
#define TOKEN "x-amz-security-token: TOKEN//==\n"

/* ---- A request as text ----------------------------------------------------------------------- */

static bool is_derived(ph_str name)
{
    return ph_str_equal(name, PH_STR("x-amz-date")) ||
           ph_str_equal(name, PH_STR("x-amz-content-sha256")) ||
           ph_str_equal(name, PH_STR("x-amz-security-token")) ||
           ph_str_equal(name, PH_STR("authorization"));
}

static ph_str header_of(const ph_built *b, const char *name)
{
    ph_str found = {NULL, 0};
    for (size_t i = 0; i < b->header_count; i++) {
        if (!ph_str_equal(b->header[i].name, ph_str_from(name)))
            continue;
        CHECK(!found.ptr); /* never twice */
        found = b->header[i].value;
    }
    return found;
}

/* As the server: from what came over the wire, and nothing else. */
static void check_signature(const ph_call *call, const ph_built *b)
{
    ph_url url;
    ph_header given[PH_REQUEST_HEADERS];
    ph_sigv4_result r;
    CHECK_INT(ph_url_parse(b->url, &url), PH_OK);
    ph_sigv4 in = {.method = ph_str_from(ph_method_name(b->method)),
                   .host = url.host,
                   .path = url.path,
                   .query = url.query,
                   .headers = given,
                   .payload = header_of(b, "x-amz-content-sha256"),
                   .region = call->endpoint->region,
                   .service = PH_STR("s3"),
                   .time_ms = call->time_ms,
                   .creds = call->creds};
    for (size_t i = 0; i < b->header_count; i++)
        if (!is_derived(b->header[i].name))
            given[in.header_count++] = b->header[i];
    CHECK_INT(ph_sigv4_sign(&in, NULL, &r), PH_OK);
    for (size_t i = 0; i < r.header_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)r.headers[i].name.len, r.headers[i].name.ptr);
        CHECK(ph_str_equal(header_of(b, name), r.headers[i].value));
    }
    CHECK_U64(in.header_count + r.header_count, b->header_count);
    ph_sigv4_result_clear(&r);
}

static void check_request(const char *what, const ph_call *call, const char *want)
{
    ph_built b;
    ph_buf text;
    test_case("%s", what);
    ph_buf_init(&text, 16384);
    CHECK_INT(ph_request_build(call, NULL, &b), PH_OK);
    ph_buf_cstr(&text, ph_method_name(b.method));
    ph_buf_char(&text, ' ');
    ph_buf_str(&text, b.url);
    ph_buf_char(&text, '\n');
    for (size_t i = 0; i < b.header_count; i++) {
        CHECK(b.header[i].name.len > 0);
        if (ph_str_equal(b.header[i].name, PH_STR("authorization")))
            continue;
        ph_buf_str(&text, b.header[i].name);
        ph_buf_cstr(&text, ": ");
        ph_buf_str(&text, b.header[i].value);
        ph_buf_char(&text, '\n');
    }
    CHECK_STR(ph_buf_view(&text), want);
    check_signature(call, &b);
    ph_buf_clear(&text);
    ph_built_clear(&b);
    CHECK(!b.url.ptr && b.header_count == 0);
    ph_built_clear(&b); /* twice is harmless */
}

/* A call with every member set, so that a member of another operation would show. */
static ph_call full_call(ph_operation op, const ph_object *object)
{
    return (ph_call){.op = op,
                     .endpoint = &aws,
                     .key = PH_STR("a b/\xc3\xbc+%.mp4"),
                     .object = object,
                     .upload_id = PH_STR("U+/=&?#"),
                     .key_prefix = PH_STR("p /"),
                     .key_marker = PH_STR("m&"),
                     .part_number = 10000,
                     .part_number_marker = 9999,
                     .alg = PH_ALG_CRC64NVME,
                     .type = PH_TYPE_FULL_OBJECT,
                     .checksum = &crc64,
                     .body_sha256 = &sha256,
                     .text = PH_STR("<x/>"),
                     .object_size = UINT64_C(53687091200000),
                     .creds = &session,
                     .time_ms = DATE_MS};
}

#define URL "https://films.s3.eu-west-1.amazonaws.com/a%20b/%C3%BC%2B%25.mp4"
#define UPLOAD_ID "uploadId=U%2B%2F%3D%26%3F%23"
#define SHA "ff01000000000000000000000000000000000000000000000000000000000000"
#define XML_SHA "2a31f44da4bd7decbbd3ddfd1a37ae04d02ec665e2c2688816ccc65631586ed1"

static void test_full(void)
{
    ph_object object = full_object();
    ph_call call = full_call(PH_OP_PUT_OBJECT, &object);
    check_request("PutObject", &call,
                  "PUT " URL "\n" OBJECT_HEADERS
                  "x-amz-checksum-crc64nvme: rosUhgp5mIg=\n" OWNER SIGNED(SHA) TOKEN);
    call = full_call(PH_OP_CREATE, &object);
    call.text = (ph_str){NULL, 0};
    check_request("CreateMultipartUpload", &call,
                  "POST " URL "?uploads=\n" OBJECT_HEADERS "x-amz-checksum-algorithm: CRC64NVME\n"
                  "x-amz-checksum-type: FULL_OBJECT\n" OWNER SIGNED(EMPTY) TOKEN);
    call = full_call(PH_OP_UPLOAD_PART, &object);
    check_request("UploadPart", &call,
                  "PUT " URL "?partNumber=10000&" UPLOAD_ID "\n"
                  "x-amz-checksum-crc64nvme: rosUhgp5mIg=\n" OWNER SIGNED(SHA) TOKEN);
    call = full_call(PH_OP_COMPLETE, &object);
    check_request("CompleteMultipartUpload", &call,
                  "POST " URL "?" UPLOAD_ID "\ncontent-type: application/xml\n"
                  "x-amz-checksum-crc64nvme: rosUhgp5mIg=\nx-amz-checksum-type: FULL_OBJECT\n"
                  "x-amz-mp-object-size: 53687091200000\n" OWNER SIGNED(XML_SHA) TOKEN);
    call = full_call(PH_OP_ABORT, &object);
    call.text = (ph_str){NULL, 0};
    check_request("AbortMultipartUpload", &call,
                  "DELETE " URL "?" UPLOAD_ID "\n" OWNER SIGNED(EMPTY) TOKEN);
    call = full_call(PH_OP_LIST_PARTS, &object);
    call.text = (ph_str){NULL, 0};
    check_request("ListParts", &call,
                  "GET " URL "?max-parts=1000&part-number-marker=9999&" UPLOAD_ID
                  "\n" OWNER SIGNED(EMPTY) TOKEN);
    call = full_call(PH_OP_LIST_UPLOADS, &object);
    call.text = (ph_str){NULL, 0};
    check_request("ListMultipartUploads", &call,
                  "GET https://films.s3.eu-west-1.amazonaws.com/?uploads=&max-uploads=1000"
                  "&prefix=p%20%2F&key-marker=m%26&upload-id-marker=U%2B%2F%3D%26%3F%23"
                  "\n" OWNER SIGNED(EMPTY) TOKEN);
    call = full_call(PH_OP_HEAD, &object);
    call.text = (ph_str){NULL, 0};
    check_request("HeadObject", &call,
                  "HEAD " URL "\nx-amz-checksum-mode: ENABLED\n" OWNER SIGNED(EMPTY) TOKEN);
}

/* Only what an operation cannot do without. */
static void test_bare(void)
{
    ph_call call = {.endpoint = &local,
                    .key = PH_STR("k"),
                    .object = &plain,
                    .creds = &creds,
                    .time_ms = DATE_MS};
#define LOCAL "http://127.0.0.1:8333/films/k"
    call.op = PH_OP_PUT_OBJECT;
    check_request("PutObject, bare", &call,
                  "PUT " LOCAL "\nif-none-match: *\n" SIGNED("UNSIGNED-PAYLOAD"));
    call.op = PH_OP_CREATE;
    check_request("CreateMultipartUpload, bare", &call, "POST " LOCAL "?uploads=\n" SIGNED(EMPTY));
    call.op = PH_OP_LIST_UPLOADS;
    check_request("ListMultipartUploads, bare", &call,
                  "GET http://127.0.0.1:8333/films/?uploads=&max-uploads=1000\n" SIGNED(EMPTY));
    call.op = PH_OP_HEAD;
    check_request("HeadObject, bare", &call,
                  "HEAD " LOCAL "\nx-amz-checksum-mode: ENABLED\n" SIGNED(EMPTY));
    call.upload_id = PH_STR("U");
    call.part_number = 1;
    call.op = PH_OP_UPLOAD_PART;
    check_request("UploadPart, bare", &call,
                  "PUT " LOCAL "?partNumber=1&uploadId=U\n" SIGNED("UNSIGNED-PAYLOAD"));
    call.op = PH_OP_COMPLETE;
    call.text = PH_STR("<x/>");
    check_request("CompleteMultipartUpload, bare", &call,
                  "POST " LOCAL "?uploadId=U\ncontent-type: application/xml\nif-none-match: *\n"
                  "x-amz-mp-object-size: 0\n" SIGNED(XML_SHA));
    call.type = PH_TYPE_FULL_OBJECT;
    check_request("CompleteMultipartUpload, of the whole object nothing is known", &call,
                  "POST " LOCAL "?uploadId=U\ncontent-type: application/xml\nif-none-match: *\n"
                  "x-amz-checksum-type: FULL_OBJECT\nx-amz-mp-object-size: 0\n" SIGNED(XML_SHA));
    call.type = PH_TYPE_NONE;
    call.text = (ph_str){NULL, 0};
    call.op = PH_OP_ABORT;
    check_request("AbortMultipartUpload, bare", &call,
                  "DELETE " LOCAL "?uploadId=U\n" SIGNED(EMPTY));
    call.op = PH_OP_LIST_PARTS;
    check_request("ListParts, bare", &call,
                  "GET " LOCAL "?max-parts=1000&uploadId=U\n" SIGNED(EMPTY));
}

static void test_checksums(void)
{
    static const struct {
        ph_alg alg;
        ph_checksum_type type;
        size_t len;
        const char *put, *create, *complete;
    } cases[] = {
        {PH_ALG_CRC64NVME, PH_TYPE_FULL_OBJECT, 8, "x-amz-checksum-crc64nvme: AAAAAAAAAAA=\n",
         "x-amz-checksum-algorithm: CRC64NVME\nx-amz-checksum-type: FULL_OBJECT\n",
         "x-amz-checksum-crc64nvme: AAAAAAAAAAA=\nx-amz-checksum-type: FULL_OBJECT\n"},
        {PH_ALG_CRC32C, PH_TYPE_FULL_OBJECT, 4, "x-amz-checksum-crc32c: AAAAAA==\n",
         "x-amz-checksum-algorithm: CRC32C\nx-amz-checksum-type: FULL_OBJECT\n",
         "x-amz-checksum-crc32c: AAAAAA==\nx-amz-checksum-type: FULL_OBJECT\n"},
        {PH_ALG_CRC32, PH_TYPE_COMPOSITE, 4, "x-amz-checksum-crc32: AAAAAA==\n",
         "x-amz-checksum-algorithm: CRC32\nx-amz-checksum-type: COMPOSITE\n",
         "x-amz-checksum-type: COMPOSITE\n"},
        {PH_ALG_SHA256, PH_TYPE_COMPOSITE, 32,
         "x-amz-checksum-sha256: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
         "x-amz-checksum-algorithm: SHA256\nx-amz-checksum-type: COMPOSITE\n",
         "x-amz-checksum-type: COMPOSITE\n"},
        {PH_ALG_SHA1, PH_TYPE_COMPOSITE, 20, "x-amz-checksum-sha1: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
         "x-amz-checksum-algorithm: SHA1\nx-amz-checksum-type: COMPOSITE\n",
         "x-amz-checksum-type: COMPOSITE\n"},
        {PH_ALG_MD5, PH_TYPE_NONE, 16, "content-md5: AAAAAAAAAAAAAAAAAAAAAA==\n", "", ""},
    };
    ph_object object = {.overwrite = true};
    for (size_t i = 0; i < COUNT(cases); i++) {
        ph_digest d = {.alg = cases[i].alg, .len = cases[i].len};
        ph_call call = {.endpoint = &local,
                        .key = PH_STR("k"),
                        .object = &object,
                        .upload_id = PH_STR("U"),
                        .part_number = 1,
                        .alg = cases[i].alg,
                        .type = cases[i].type,
                        .checksum = &d,
                        .creds = &creds,
                        .time_ms = DATE_MS};
        char what[64], want[1024];
        snprintf(what, sizeof what, "%s", ph_alg_name(cases[i].alg));
        call.op = PH_OP_PUT_OBJECT;
        snprintf(want, sizeof want, "PUT " LOCAL "\n%s" SIGNED("UNSIGNED-PAYLOAD"), cases[i].put);
        check_request(what, &call, want);
        call.op = PH_OP_UPLOAD_PART;
        snprintf(want, sizeof want,
                 "PUT " LOCAL "?partNumber=1&uploadId=U\n%s" SIGNED("UNSIGNED-PAYLOAD"),
                 cases[i].put);
        check_request(what, &call, want);
        call.op = PH_OP_CREATE;
        snprintf(want, sizeof want, "POST " LOCAL "?uploads=\n%s" SIGNED(EMPTY), cases[i].create);
        check_request(what, &call, want);
        call.op = PH_OP_COMPLETE;
        call.object_size = 7;
        call.text = PH_STR("<x/>");
        snprintf(want, sizeof want,
                 "POST " LOCAL "?uploadId=U\ncontent-type: application/xml\n%s"
                 "x-amz-mp-object-size: 7\n" SIGNED(XML_SHA),
                 cases[i].complete);
        check_request(what, &call, want);
    }
}

/* ---- Names and values ------------------------------------------------------------------------ */

static void test_names(void)
{
    test_case("names");
    CHECK_STR(ph_str_from(ph_operation_name(PH_OP_NONE)), "");
    CHECK_STR(ph_str_from(ph_operation_name(PH_OP_PUT_OBJECT)), "PutObject");
    CHECK_STR(ph_str_from(ph_operation_name(PH_OP_CREATE)), "CreateMultipartUpload");
    CHECK_STR(ph_str_from(ph_operation_name(PH_OP_UPLOAD_PART)), "UploadPart");
    CHECK_STR(ph_str_from(ph_operation_name(PH_OP_COMPLETE)), "CompleteMultipartUpload");
    CHECK_STR(ph_str_from(ph_operation_name(PH_OP_ABORT)), "AbortMultipartUpload");
    CHECK_STR(ph_str_from(ph_operation_name(PH_OP_LIST_PARTS)), "ListParts");
    CHECK_STR(ph_str_from(ph_operation_name(PH_OP_HEAD)), "HeadObject");
    CHECK_STR(ph_str_from(ph_method_name(PH_METHOD_GET)), "GET");
    CHECK_STR(ph_str_from(ph_method_name(PH_METHOD_HEAD)), "HEAD");
    CHECK_STR(ph_str_from(ph_method_name(PH_METHOD_PUT)), "PUT");
    CHECK_STR(ph_str_from(ph_method_name(PH_METHOD_POST)), "POST");
    CHECK_STR(ph_str_from(ph_method_name(PH_METHOD_DELETE)), "DELETE");
    for (unsigned p = 0; p < PH_PROP_COUNT; p++) {
        test_case("property %u", p);
        const char *option = ph_property_option((ph_property)p);
        CHECK_INT(ph_property_by_option(test_guard_str(ph_str_from(option))), p);
        CHECK(strlen(ph_property_header((ph_property)p)) > 0);
        for (const char *c = ph_property_header((ph_property)p); *c; c++)
            CHECK((*c >= 'a' && *c <= 'z') || *c == '-');
    }
    CHECK_STR(ph_str_from(ph_property_header(PH_PROP_SSE)), "x-amz-server-side-encryption");
    CHECK_STR(ph_str_from(ph_property_option(PH_PROP_SSE)), "serverSideEncryption");
    static const ph_str unknown[] = {BYTES(""), BYTES("contenttype"), BYTES("contentTypes"),
                                     BYTES("content-type"), BYTES("acl\0")};
    for (size_t i = 0; i < COUNT(unknown); i++)
        CHECK_INT(ph_property_by_option(test_guard_str(unknown[i])), PH_PROP_COUNT);
    CHECK_INT(ph_property_by_option((ph_str){NULL, 0}), PH_PROP_COUNT);
}

static void test_object_values(void)
{
    static const struct {
        ph_str value;
        int err;
    } cases[] = {
        {BYTES(""), PH_OK},
        {BYTES("a b!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), PH_OK},
        {BYTES("\t"), PH_ERR_BAD_HEADER},
        {BYTES("a\nb"), PH_ERR_BAD_HEADER},
        {BYTES("a\r\nx: y"), PH_ERR_BAD_HEADER},
        {BYTES("a\0"), PH_ERR_BAD_HEADER},
        {BYTES("\x1f"), PH_ERR_BAD_HEADER},
        {BYTES("\x7f"), PH_ERR_BAD_HEADER},
        {BYTES("\x80"), PH_ERR_BAD_HEADER},
        {BYTES("\xc3\xbc"), PH_ERR_BAD_HEADER},
        {BYTES("\xff"), PH_ERR_BAD_HEADER},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("value %zu", i);
        ph_header m = {PH_STR("m"), test_guard_str(cases[i].value)};
        ph_object o = {.metadata = &m, .metadata_count = 1};
        CHECK_INT(ph_object_check(&o), cases[i].err);
        for (size_t p = 0; p < PH_PROP_COUNT; p++) {
            o = (ph_object){.overwrite = false};
            o.property[p] = m.value;
            CHECK_INT(ph_object_check(&o), cases[i].err);
        }
    }

    static const struct {
        ph_str name;
        int err;
    } names[] = {
        {BYTES("a"), PH_OK},
        {BYTES("A-Z_0.9az"), PH_OK},
        {BYTES(""), PH_ERR_BAD_HEADER},
        {BYTES("a b"), PH_ERR_BAD_HEADER},
        {BYTES("a:"), PH_ERR_BAD_HEADER},
        {BYTES(":a"), PH_ERR_BAD_HEADER},
        {BYTES("a\n"), PH_ERR_BAD_HEADER},
        {BYTES("a\0"), PH_ERR_BAD_HEADER},
        {BYTES("a/b"), PH_ERR_BAD_HEADER},
        {BYTES("a[b"), PH_ERR_BAD_HEADER},
        {BYTES("a{b"), PH_ERR_BAD_HEADER},
        {BYTES("\xc3\xbc"), PH_ERR_BAD_HEADER},
    };
    for (size_t i = 0; i < COUNT(names); i++) {
        test_case("metadata name %zu", i);
        ph_header m = {test_guard_str(names[i].name), PH_STR("v")};
        ph_object o = {.metadata = &m, .metadata_count = 1};
        CHECK_INT(ph_object_check(&o), names[i].err);
    }

    test_case("a name twice");
    ph_header twice[] = {{PH_STR("aa"), PH_STR("1")},
                         {PH_STR("b"), PH_STR("2")},
                         {PH_STR("aA"), PH_STR("3")}};
    ph_object o = {.metadata = twice, .metadata_count = 2};
    CHECK_INT(ph_object_check(&o), PH_OK);
    o.metadata_count = 3;
    CHECK_INT(ph_object_check(&o), PH_ERR_BAD_HEADER);
}

static void test_object_sizes(void)
{
    static char long_text[2049];
    memset(long_text, 'v', sizeof long_text);
    ph_object o = {.overwrite = true};
    CHECK_INT(ph_object_check(&plain), PH_OK);
    test_case("property of 2,048 bytes");
    o.property[PH_PROP_TAGGING] = (ph_str){long_text, 2048};
    CHECK_INT(ph_object_check(&o), PH_OK);
    o.property[PH_PROP_TAGGING].len++;
    CHECK_INT(ph_object_check(&o), PH_ERR_BAD_HEADER);

    test_case("metadata of 2,048 bytes");
    ph_header m[2] = {{PH_STR("abc"), {long_text, 2000}}, {PH_STR("defgh"), {long_text, 40}}};
    o = (ph_object){.metadata = m, .metadata_count = 2};
    CHECK_INT(ph_object_check(&o), PH_OK);
    m[1].value.len++;
    CHECK_INT(ph_object_check(&o), PH_ERR_BAD_HEADER);

    ph_header many[25];
    char names[25];
    for (size_t i = 0; i < 25; i++) {
        names[i] = (char)('a' + i);
        many[i] = (ph_header){{&names[i], 1}, PH_STR("v")};
    }
    test_case("24 names");
    o = (ph_object){.metadata = many, .metadata_count = 24};
    CHECK_INT(ph_object_check(&o), PH_OK);
    o.metadata_count = 25;
    CHECK_INT(ph_object_check(&o), PH_ERR_BAD_HEADER);
    o.metadata_count = SIZE_MAX; /* refused before it is walked through */
    CHECK_INT(ph_object_check(&o), PH_ERR_BAD_HEADER);
}

/* The most that passes the checks also fits into a request. */
static void test_largest(void)
{
    static char long_text[4096], key[1024];
    memset(long_text, 'v', sizeof long_text);
    memset(key, ' ', sizeof key); /* each becomes three bytes */
    ph_header many[24];
    char names[24];
    for (size_t i = 0; i < 24; i++) {
        names[i] = (char)('a' + i);
        many[i] = (ph_header){{&names[i], 1}, {long_text, 84}};
    }
    ph_object o = {.metadata = many, .metadata_count = 24};
    for (size_t p = 0; p < PH_PROP_COUNT; p++)
        o.property[p] = (ph_str){long_text, 2048};
    ph_creds long_creds = {PH_STR("A"), PH_STR("s"), {long_text, sizeof long_text}, 0};
    CHECK_INT(ph_object_check(&o), PH_OK);
    static char base[2048] = "https://h/";
    memset(base + 10, 'p', sizeof base - 10);
    base[sizeof base - 1] = '/';
    ph_endpoint e = {.base = {base, sizeof base}, .region = PH_STR("r")};
    static const ph_operation ops[] = {PH_OP_PUT_OBJECT, PH_OP_CREATE,     PH_OP_UPLOAD_PART,
                                       PH_OP_COMPLETE,   PH_OP_LIST_PARTS, PH_OP_HEAD,
                                       PH_OP_ABORT};
    for (size_t i = 0; i < COUNT(ops); i++) {
        test_case("largest %s", ph_operation_name(ops[i]));
        ph_call call = full_call(ops[i], &o);
        ph_built b;
        call.endpoint = &e;
        call.key = (ph_str){key, sizeof key};
        call.upload_id = (ph_str){long_text, 2048};
        call.creds = &long_creds;
        CHECK_INT(ph_request_build(&call, NULL, &b), PH_OK);
        check_signature(&call, &b);
        ph_built_clear(&b);
    }

    test_case("an upload id without end");
    static char endless[40000];
    memset(endless, '/', sizeof endless);
    ph_call call = full_call(PH_OP_ABORT, &plain);
    ph_built b;
    call.upload_id = (ph_str){endless, sizeof endless};
    CHECK_INT(ph_request_build(&call, NULL, &b), PH_ERR_TOO_LONG);
    CHECK(!b.url.ptr && b.header_count == 0 && !b.text.ptr);
}

static void test_refused(void)
{
    ph_built b;
    test_case("no credentials");
    ph_creds none = {.access_key_id = {NULL, 0}};
    ph_call call = full_call(PH_OP_HEAD, &plain);
    call.creds = &none;
    CHECK_INT(ph_request_build(&call, NULL, &b), PH_ERR_BAD_ARG);
    CHECK(!b.url.ptr && b.header_count == 0 && !b.text.ptr);

    test_case("a token with a line break");
    ph_creds broken = session;
    broken.session_token = PH_STR("a\r\nb: c");
    call.creds = &broken;
    CHECK_INT(ph_request_build(&call, NULL, &b), PH_ERR_BAD_HEADER);
    CHECK(!b.url.ptr && b.header_count == 0 && !b.text.ptr);
}

/* An object that nobody checked. Host, date, token and the payload's hash are signed, too. */
static void test_many_headers(void)
{
    ph_header many[PH_REQUEST_HEADERS + 1];
    char names[PH_REQUEST_HEADERS + 1][2];
    for (size_t i = 0; i < COUNT(many); i++) {
        names[i][0] = (char)('a' + i / 10);
        names[i][1] = (char)('0' + i % 10);
        many[i] = (ph_header){{names[i], 2}, PH_STR("v")};
    }
    ph_object o = {.metadata = many, .overwrite = true};
    ph_call call = full_call(PH_OP_CREATE, &o);
    call.type = PH_TYPE_NONE;
    for (size_t n = PH_REQUEST_HEADERS - 4; n <= PH_REQUEST_HEADERS + 1; n++) {
        bool fits = n == PH_REQUEST_HEADERS - 4;
        test_case("%zu headers of metadata", n);
        ph_built b;
        o.metadata_count = n;
        CHECK_INT(ph_request_build(&call, NULL, &b), fits ? PH_OK : PH_ERR_TOO_LONG);
        CHECK_U64(b.header_count, fits ? PH_REQUEST_HEADERS : 0);
        ph_built_clear(&b);
    }
}

/* The signing key is kept from one request to the next. */
static void test_key_cache(void)
{
    ph_sigv4_key key = {0};
    ph_call call = full_call(PH_OP_UPLOAD_PART, &plain);
    for (unsigned n = 1; n <= 3; n++) {
        test_case("key cache, part %u", n);
        ph_built with;
        call.part_number = n;
        CHECK_INT(ph_request_build(&call, &key, &with), PH_OK);
        CHECK(key.secret_len > 0);
        check_signature(&call, &with);
        ph_built_clear(&with);
    }
}

static void test_failing_allocations(void)
{
    ph_object object = full_object();
    static const ph_operation ops[] = {PH_OP_PUT_OBJECT, PH_OP_COMPLETE, PH_OP_LIST_PARTS};
    for (size_t i = 0; i < COUNT(ops); i++) {
        for (unsigned n = 0;; n++) {
            test_case("%s, allocation %u", ph_operation_name(ops[i]), n);
            ph_call call = full_call(ops[i], &object);
            ph_built b;
            test_alloc_fail_after(n);
            int err = ph_request_build(&call, NULL, &b);
            bool failed = test_alloc_end();
            CHECK_INT(err, failed ? PH_ERR_NOMEM : PH_OK);
            if (failed)
                CHECK(!b.url.ptr && b.header_count == 0 && !b.text.ptr);
            else
                ph_built_clear(&b);
            if (!failed)
                break;
        }
    }
}

int main(void)
{
    test_full();
    test_bare();
    test_checksums();
    test_names();
    test_object_values();
    test_object_sizes();
    test_largest();
    test_refused();
    test_many_headers();
    test_key_cache();
    test_failing_allocations();
    return test_end();
}
