/* SPDX-License-Identifier: MIT
 *
 * Tests json_out: commas and escapes, numbers at their ends, what is left out, and the two
 * documents that three programs print, letter for letter and read back.
 */
#include "test.h"

#include "core/json.h"
#include "core/json_out.h"
#include "core/str.h"

#include <string.h>

#define LIMIT 4096

/* ---- Writing --------------------------------------------------------------------------------- */

static void add_sample(ph_buf *b)
{
    ph_json_open(b, NULL);
    ph_json_open(b, "empty");
    ph_json_close(b);
    ph_json_open_array(b, "none");
    ph_json_close_array(b);
    ph_json_add_text(b, "text", PH_STR("a\"b\\c/\n\x1f \xc3\xbc"));
    ph_json_add_text(b, "blank", PH_STR(""));
    ph_json_add_text(b, "absent", (ph_str){NULL, 0});
    ph_json_add_cstr(b, "cstr", "{[:,");
    ph_json_add_cstr(b, "no cstr", "");
    ph_json_add_cstr(b, "null", NULL);
    ph_json_add_u64(b, "zero", 0);
    ph_json_add_u64(b, "most", UINT64_MAX);
    ph_json_add_int(b, "least", INT64_MIN);
    ph_json_add_int(b, "int", INT64_MAX);
    ph_json_add_int(b, "minus", -1);
    ph_json_add_int(b, "nought", 0);
    ph_json_add_bool(b, "yes", true);
    ph_json_add_bool(b, "no", false);
    ph_json_add_bool(b, "a\"b", true);
    ph_json_open_array(b, "list");
    ph_json_add_u64(b, NULL, 1);
    ph_json_add_text(b, NULL, PH_STR("["));
    ph_json_add_text(b, NULL, (ph_str){NULL, 0});
    ph_json_open(b, NULL);
    ph_json_add_bool(b, "x", false);
    ph_json_close(b);
    ph_json_open_array(b, NULL);
    ph_json_open_array(b, NULL);
    ph_json_close_array(b);
    ph_json_add_int(b, NULL, -7);
    ph_json_close_array(b);
    ph_json_close_array(b);
    ph_json_add_cstr(b, "last", "z");
    ph_json_close(b);
}

static const char sample[] =
    "{\"empty\":{},\"none\":[],\"text\":\"a\\\"b\\\\c/\\u000a\\u001f \xc3\xbc\",\"blank\":\"\","
    "\"cstr\":\"{[:,\",\"zero\":0,\"most\":18446744073709551615,\"least\":-9223372036854775808,"
    "\"int\":9223372036854775807,\"minus\":-1,\"nought\":0,\"yes\":true,\"no\":false,\"a\\\"b\":"
    "true,"
    "\"list\":[1,\"[\",{\"x\":false},[[],-7]],\"last\":\"z\"}";

static void test_sample(void)
{
    test_case("sample");
    ph_buf b;
    ph_buf_init(&b, LIMIT);
    add_sample(&b);
    CHECK_INT(b.err, PH_OK);
    CHECK_STR(ph_buf_view(&b), sample);
    ph_json *doc;
    CHECK_INT(ph_json_parse(test_guard_str(ph_buf_view(&b)), &doc), PH_OK);
    CHECK_STR(ph_json_member_text(doc, "text"), "a\"b\\c/\n\x1f \xc3\xbc");
    ph_json_free(doc);
    ph_buf_clear(&b);

    test_case("a document that is no object");
    ph_json_add_u64(&b, NULL, 5);
    CHECK_STR(ph_buf_view(&b), "5");
    ph_buf_clear(&b);
}

/* Whatever fails, what was written before is a prefix of the whole, and nothing crashes. */
static void test_failing(void)
{
    for (size_t limit = 0; limit < sizeof sample - 1; limit++) {
        test_case("limit %zu", limit);
        ph_buf b;
        ph_buf_init(&b, limit);
        add_sample(&b);
        CHECK_INT(b.err, PH_ERR_TOO_LONG);
        CHECK(b.len <= limit);
        CHECK_MEM(b.ptr, sample, b.len);
        ph_buf_clear(&b);
    }
    for (unsigned n = 0;; n++) {
        test_case("allocation %u", n);
        ph_buf b;
        ph_buf_init(&b, LIMIT);
        test_alloc_fail_after(n);
        add_sample(&b);
        bool failed = test_alloc_end();
        CHECK_INT(b.err, failed ? PH_ERR_NOMEM : PH_OK);
        ph_buf_clear(&b);
        if (!failed)
            break;
    }
}

/* ---- Receipt and failure --------------------------------------------------------------------- */

static const char *receipt_of(const ph_receipt *r, ph_buf *b)
{
    ph_buf_clear(b);
    ph_json_open(b, NULL);
    ph_json_add_receipt(b, r);
    ph_json_close(b);
    ph_json *doc;
    CHECK_INT(ph_json_parse(ph_buf_view(b), &doc), PH_OK);
    ph_json_free(doc);
    ph_buf_char(b, '\0');
    return b->err == PH_OK ? b->ptr : "";
}

static void test_receipt(void)
{
    ph_buf b;
    ph_buf_init(&b, LIMIT);
    ph_receipt r = {.bucket = PH_STR("films"),
                    .key = PH_STR("a \"b\"/\xf0\x9f\x8e\xac.mp4"),
                    .etag = PH_STR("4d45984fc3feb2ac9b22683c49674b56-3"),
                    .version_id = PH_STR("v1"),
                    .upload_id = PH_STR("U"),
                    .size = UINT64_C(53687091200000),
                    .part_size = UINT64_C(5) << 30,
                    .part_count = 10000,
                    .alg = PH_ALG_CRC64NVME,
                    .type = PH_TYPE_FULL_OBJECT,
                    .checksum = PH_STR("ZMNX55lZurA="),
                    .verified = PH_VERIFIED_OBJECT,
                    .retries = UINT32_MAX};
    test_case("receipt, all of it");
    CHECK_STR(ph_str_from(receipt_of(&r, &b)),
              "{\"bucket\":\"films\",\"key\":\"a \\\"b\\\"/\xf0\x9f\x8e\xac.mp4\","
              "\"etag\":\"4d45984fc3feb2ac9b22683c49674b56-3\",\"versionId\":\"v1\","
              "\"uploadId\":\"U\",\"size\":53687091200000,\"partSize\":5368709120,"
              "\"partCount\":10000,\"algorithm\":\"CRC64NVME\",\"type\":\"FULL_OBJECT\","
              "\"checksum\":\"ZMNX55lZurA=\",\"verified\":\"object\",\"retries\":4294967295}");

    test_case("receipt of a single PUT without a checksum");
    r = (ph_receipt){.bucket = PH_STR("b"),
                     .key = PH_STR("k"),
                     .checksum = PH_STR("must not show"),
                     .verified = PH_VERIFIED_SIZE};
    CHECK_STR(ph_str_from(receipt_of(&r, &b)), "{\"bucket\":\"b\",\"key\":\"k\",\"size\":0,"
                                               "\"partSize\":0,\"partCount\":0,"
                                               "\"verified\":\"size\",\"retries\":0}");

    test_case("receipt whose checksum nobody knows");
    r = (ph_receipt){.bucket = PH_STR("b"),
                     .key = PH_STR("k"),
                     .size = 1,
                     .alg = PH_ALG_SHA256,
                     .type = PH_TYPE_COMPOSITE,
                     .verified = PH_VERIFIED_SENT};
    CHECK_STR(ph_str_from(receipt_of(&r, &b)),
              "{\"bucket\":\"b\",\"key\":\"k\",\"size\":1,\"partSize\":0,\"partCount\":0,"
              "\"algorithm\":\"SHA256\","
              "\"type\":\"COMPOSITE\",\"verified\":\"sent\",\"retries\":0}");
    ph_buf_clear(&b);

    test_case("verified");
    CHECK_STR(ph_str_from(ph_verified_name(PH_VERIFIED_OBJECT)), "object");
    CHECK_STR(ph_str_from(ph_verified_name(PH_VERIFIED_PARTS)), "parts");
    CHECK_STR(ph_str_from(ph_verified_name(PH_VERIFIED_SENT)), "sent");
    CHECK_STR(ph_str_from(ph_verified_name(PH_VERIFIED_SIZE)), "size");
}

static const char *failure_of(const ph_failure *f, ph_buf *b)
{
    ph_buf_clear(b);
    ph_json_open(b, NULL);
    ph_json_add_failure(b, f);
    ph_json_close(b);
    ph_json *doc;
    CHECK_INT(ph_json_parse(ph_buf_view(b), &doc), PH_OK);
    ph_json_free(doc);
    ph_buf_char(b, '\0');
    return b->err == PH_OK ? b->ptr : "";
}

static void test_failure(void)
{
    ph_buf b;
    ph_buf_init(&b, LIMIT);
    ph_failure f = {.err = PH_ERR_ACCESS_DENIED,
                    .http_status = 403,
                    .part_number = 10000,
                    .tries = 8,
                    .retryable = true,
                    .operation = "UploadPart",
                    .s3_code = "AccessDenied",
                    .request_id = "4442587FB7D0A2F9",
                    .host_id = "Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg==",
                    .message = "no \"right\"\tto do this"};
    test_case("failure, all of it");
    CHECK_STR(ph_str_from(failure_of(&f, &b)),
              "{\"code\":\"ACCESS_DENIED\",\"status\":403,\"operation\":\"UploadPart\","
              "\"s3Code\":\"AccessDenied\",\"requestId\":\"4442587FB7D0A2F9\","
              "\"hostId\":\"Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg==\","
              "\"partNumber\":10000,\"tries\":8,\"retryable\":true,"
              "\"message\":\"no \\\"right\\\"\\u0009to do this\"}");

    test_case("failure before any request");
    f = (ph_failure){.err = PH_ERR_ABORTED};
    CHECK_STR(ph_str_from(failure_of(&f, &b)),
              "{\"code\":\"ABORTED\",\"tries\":0,\"retryable\":false}");

    test_case("failure whose places are full");
    memset(f.message, 'm', sizeof f.message - 1);
    memset(f.host_id, 'h', sizeof f.host_id - 1);
    memset(f.operation, 'o', sizeof f.operation - 1);
    const char *text = failure_of(&f, &b);
    CHECK_U64(strlen(text), strlen("{\"code\":\"ABORTED\",\"operation\":\"\",\"hostId\":\"\","
                                   "\"tries\":0,\"retryable\":false,\"message\":\"\"}") +
                                sizeof f.message + sizeof f.host_id + sizeof f.operation - 3);
    ph_buf_clear(&b);
}

int main(void)
{
    test_sample();
    test_failing();
    test_receipt();
    test_failure();
    return test_end();
}
