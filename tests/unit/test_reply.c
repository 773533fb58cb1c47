/* SPDX-License-Identifier: MIT
 *
 * Tests reply: what each code, status and document means, that a 200 is no success before its body
 * says so, and that no answer, however broken, is taken for a success or read beyond its end.
 */
#include "test.h"

#include "core/part.h"
#include "core/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define CREATED                                                               \
    XML "<InitiateMultipartUploadResult" NS "><Bucket>b</Bucket><Key>k</Key>" \
        "<UploadId>ID.1_-&amp;2</UploadId></InitiateMultipartUploadResult>"
#define COMPLETED                                                             \
    XML "<CompleteMultipartUploadResult" NS "><Location>http://x/</Location>" \
        "<Bucket>b</Bucket><Key>k</Key><ETag>&quot;e-3&quot;</ETag>"          \
        "<ChecksumCRC64NVME>ZMNX55lZurA=</ChecksumCRC64NVME>"                 \
        "<ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>"
#define PART(n, etag, size, more)                                                \
    "<Part><PartNumber>" n "</PartNumber><LastModified>2010-11-10T20:48:34.000Z" \
    "</LastModified><ETag>" etag "</ETag><Size>" size "</Size>" more "</Part>"
#define LISTED(inner) XML "<ListPartsResult" NS ">" inner "</ListPartsResult>"
#define FAILED(inner) XML "<Error>" inner "</Error>"
#define HTML "<!DOCTYPE html><html><head><title>502</title></head><body>no</body></html>"

static const ph_operation operations[] = {PH_OP_PUT_OBJECT, PH_OP_CREATE,      PH_OP_UPLOAD_PART,
                                          PH_OP_COMPLETE,   PH_OP_LIST_PARTS,  PH_OP_HEAD,
                                          PH_OP_ABORT,      PH_OP_LIST_UPLOADS};

static bool has_result(ph_operation op)
{
    return op == PH_OP_CREATE || op == PH_OP_COMPLETE || op == PH_OP_LIST_PARTS ||
           op == PH_OP_LIST_UPLOADS;
}

static void read_with(ph_operation op, ph_alg alg, int status, const ph_header *headers,
                      size_t header_count, ph_str body, ph_reply *r)
{
    ph_event e = {.kind = PH_EVENT_RESPONSE,
                  .status = status,
                  .headers = headers,
                  .header_count = header_count,
                  .body = body};
    CHECK_INT(ph_reply_read(op, alg, &e, r), PH_OK);
    CHECK_INT(r->status, status);
}

static void read_body(ph_operation op, int status, ph_str body, ph_reply *r)
{
    read_with(op, PH_ALG_CRC64NVME, status, NULL, 0, test_guard_str(body), r);
}

/* Only the error of an answer. */
static int err_of(ph_operation op, int status, const char *body)
{
    ph_reply r;
    read_body(op, status, ph_str_from(body), &r);
    int err = r.err;
    ph_reply_clear(&r);
    return err;
}

/* ---- Failures -------------------------------------------------------------------------------- */

static void test_codes(void)
{
    static const struct {
        const char *code;
        int status, err;
    } cases[] = {
        {"AccessDenied", 403, PH_ERR_ACCESS_DENIED},
        {"AccountProblem", 403, PH_ERR_ACCESS_DENIED},
        {"AllAccessDisabled", 403, PH_ERR_ACCESS_DENIED},
        {"AuthorizationHeaderMalformed", 400, PH_ERR_BAD_SIGNATURE},
        {"BadDigest", 400, PH_ERR_BAD_DIGEST},
        {"BandwidthLimitExceeded", 503, PH_ERR_SLOW_DOWN},
        {"ConditionalRequestConflict", 409, PH_ERR_CONFLICT},
        {"EntityTooLarge", 400, PH_ERR_TOO_LARGE},
        {"EntityTooSmall", 400, PH_ERR_TOO_LARGE},
        {"ExpiredToken", 400, PH_ERR_EXPIRED_TOKEN},
        {"ExpiredTokenException", 400, PH_ERR_EXPIRED_TOKEN},
        {"IncompleteBody", 400, PH_ERR_REQUEST_TIMEOUT},
        {"InternalError", 500, PH_ERR_SERVER_ERROR},
        {"InternalFailure", 500, PH_ERR_SERVER_ERROR},
        {"InvalidAccessKeyId", 403, PH_ERR_INVALID_TOKEN},
        {"InvalidDigest", 400, PH_ERR_BAD_DIGEST},
        {"InvalidPart", 400, PH_ERR_INVALID_PART},
        {"InvalidPartOrder", 400, PH_ERR_INVALID_PART},
        {"InvalidToken", 400, PH_ERR_INVALID_TOKEN},
        {"InvalidTokenId", 403, PH_ERR_INVALID_TOKEN},
        {"KMS.ThrottlingException", 400, PH_ERR_SLOW_DOWN},
        {"NoSuchBucket", 404, PH_ERR_NO_SUCH_BUCKET},
        {"NoSuchKey", 404, PH_ERR_NOT_FOUND},
        {"NoSuchUpload", 404, PH_ERR_NO_SUCH_UPLOAD},
        {"NotImplemented", 501, PH_ERR_REFUSED},
        {"OperationAborted", 409, PH_ERR_SERVER_ERROR},
        {"PermanentRedirect", 301, PH_ERR_REDIRECT},
        {"PreconditionFailed", 412, PH_ERR_EXISTS},
        {"PriorRequestNotComplete", 400, PH_ERR_SLOW_DOWN},
        {"RequestLimitExceeded", 503, PH_ERR_SLOW_DOWN},
        {"RequestTimeTooSkewed", 403, PH_ERR_CLOCK_SKEW},
        {"RequestThrottled", 400, PH_ERR_SLOW_DOWN},
        {"RequestThrottledException", 400, PH_ERR_SLOW_DOWN},
        {"RequestTimeout", 400, PH_ERR_REQUEST_TIMEOUT},
        {"RequestTimeoutException", 400, PH_ERR_REQUEST_TIMEOUT},
        {"ServiceUnavailable", 503, PH_ERR_SLOW_DOWN},
        {"SignatureDoesNotMatch", 403, PH_ERR_BAD_SIGNATURE},
        {"SlowDown", 503, PH_ERR_SLOW_DOWN},
        {"TemporaryRedirect", 307, PH_ERR_REDIRECT},
        {"ThrottledException", 400, PH_ERR_SLOW_DOWN},
        {"Throttling", 400, PH_ERR_SLOW_DOWN},
        {"ThrottlingException", 400, PH_ERR_SLOW_DOWN},
        {"TokenRefreshRequired", 400, PH_ERR_EXPIRED_TOKEN},
        {"TooManyRequests", 429, PH_ERR_SLOW_DOWN},
        {"XAmzContentChecksumMismatch", 400, PH_ERR_BAD_DIGEST},
        {"XAmzContentSHA256Mismatch", 400, PH_ERR_BAD_DIGEST},
        /* none that anybody knows: the status says */
        {"InvalidRequest", 400, PH_ERR_REFUSED},
        {"accessdenied", 400, PH_ERR_REFUSED},
        {"AccessDenied2", 400, PH_ERR_REFUSED},
        {"", 403, PH_ERR_ACCESS_DENIED},
        {"Odd", 503, PH_ERR_SLOW_DOWN},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char body[256];
        snprintf(body, sizeof body, FAILED("<Code>%s</Code><Message>m</Message>"), cases[i].code);
        for (size_t k = 0; k < COUNT(operations); k++) {
            test_case("%s of %s", cases[i].code, ph_operation_name(operations[k]));
            ph_reply r;
            read_body(operations[k], cases[i].status, ph_str_from(body), &r);
            CHECK_INT(r.err, cases[i].err);
            CHECK_STR(ph_str_from(r.s3_code), cases[i].code);
            CHECK_STR(ph_str_from(r.message), "m");
            ph_reply_clear(&r);
            /* S3 sends the 200 before it knows; then a code that nobody knows is a server's error. */
            read_body(operations[k], 200, ph_str_from(body), &r);
            bool known = i < COUNT(cases) - 5;
            CHECK_INT(r.err, known ? cases[i].err : PH_ERR_SERVER_ERROR);
            CHECK_STR(ph_str_from(r.s3_code), cases[i].code);
            ph_reply_clear(&r);
        }
    }
}

static void test_statuses(void)
{
    static const struct {
        int status, err;
    } cases[] = {
        {0, PH_ERR_REFUSED},           {100, PH_ERR_REFUSED},      {199, PH_ERR_REFUSED},
        {300, PH_ERR_REFUSED},         {301, PH_ERR_REDIRECT},     {302, PH_ERR_REDIRECT},
        {303, PH_ERR_REDIRECT},        {304, PH_ERR_REFUSED},      {307, PH_ERR_REDIRECT},
        {308, PH_ERR_REDIRECT},        {400, PH_ERR_REFUSED},      {401, PH_ERR_ACCESS_DENIED},
        {403, PH_ERR_ACCESS_DENIED},   {404, PH_ERR_NOT_FOUND},    {405, PH_ERR_REFUSED},
        {408, PH_ERR_REQUEST_TIMEOUT}, {409, PH_ERR_CONFLICT},     {411, PH_ERR_REFUSED},
        {412, PH_ERR_EXISTS},          {413, PH_ERR_TOO_LARGE},    {429, PH_ERR_SLOW_DOWN},
        {425, PH_ERR_SLOW_DOWN},       {498, PH_ERR_REFUSED},      {499, PH_ERR_SERVER_ERROR},
        {500, PH_ERR_SERVER_ERROR},    {501, PH_ERR_REFUSED},      {502, PH_ERR_SERVER_ERROR},
        {503, PH_ERR_SLOW_DOWN},       {504, PH_ERR_SERVER_ERROR}, {505, PH_ERR_REFUSED},
        {599, PH_ERR_SERVER_ERROR},    {-1, PH_ERR_REFUSED},
    };
    static const char *const bodies[] = {
        "",
        " ",
        HTML,
        "no",
        "{\"message\":\"Forbidden\"}",
        "<Error>",
        "<Error/>",
        "\xff",
        /* a broken document says nothing, not even what it says */
        "<Error><Code>NoSuchUpload</Code><Message>m</Message>",
        "<Error><Code>NoSuchUpload</Code></Error>x",
        "<Error><Code><b>NoSuchUpload</b></Code></Error>",
        "<Other><Code>NoSuchUpload</Code></Other>",
        CREATED,
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t b = 0; b < COUNT(bodies); b++) {
            test_case("status %d, body %zu", cases[i].status, b);
            ph_reply r;
            read_body(operations[(i + b) % COUNT(operations)], cases[i].status,
                      ph_str_from(bodies[b]), &r);
            CHECK_INT(r.err, cases[i].err);
            CHECK_STR(ph_str_from(r.s3_code), "");
            CHECK_STR(ph_str_from(r.message), "");
            ph_reply_clear(&r);
        }
    }
}

static void test_error_fields(void)
{
    ph_reply r;
    static const ph_header headers[] = {
        {BYTES("X-Amz-Request-Id"), BYTES(" from-header ")},
        {BYTES("x-amz-id-2"), BYTES("host/header==")},
        {BYTES("X-AMZ-BUCKET-REGION"), BYTES("eu-west-1")},
    };
    test_case("ids of the body");
    read_with(PH_OP_CREATE, PH_ALG_NONE, 403, NULL, 0,
              PH_STR(FAILED("<Code> AccessDenied\n</Code>\n<Message>&lt;no&gt; \xc3\xbc</Message>"
                            "<RequestId>R</RequestId><HostId>H==</HostId><Region>us-west-2</Region>"
                            "<Resource>/b/k</Resource><Other><Code>x</Code></Other>")),
              &r);
    CHECK_STR(ph_str_from(r.s3_code), "AccessDenied");
    CHECK_STR(ph_str_from(r.message), "<no> \xc3\xbc");
    CHECK_STR(ph_str_from(r.request_id), "R");
    CHECK_STR(ph_str_from(r.host_id), "H==");
    CHECK_STR(ph_str_from(r.region), "us-west-2");
    ph_reply_clear(&r);

    test_case("ids of the headers");
    read_with(PH_OP_HEAD, PH_ALG_NONE, 403, headers, 3, (ph_str){NULL, 0}, &r);
    CHECK_STR(ph_str_from(r.s3_code), "");
    CHECK_STR(ph_str_from(r.request_id), "from-header");
    CHECK_STR(ph_str_from(r.host_id), "host/header==");
    CHECK_STR(ph_str_from(r.region), "eu-west-1");
    ph_reply_clear(&r);

    test_case("ids of both");
    read_with(PH_OP_CREATE, PH_ALG_NONE, 403, headers, 3,
              PH_STR(FAILED("<Code>AccessDenied</Code><RequestId>R</RequestId>")), &r);
    CHECK_STR(ph_str_from(r.request_id), "R");
    CHECK_STR(ph_str_from(r.host_id), "host/header==");
    ph_reply_clear(&r);

    test_case("ids of a success");
    read_with(PH_OP_UPLOAD_PART, PH_ALG_NONE, 200, headers, 3, (ph_str){NULL, 0}, &r);
    CHECK_INT(r.err, PH_OK);
    CHECK_STR(ph_str_from(r.request_id), "from-header");
    ph_reply_clear(&r);

    test_case("STS's wrapping");
    read_with(PH_OP_CREATE, PH_ALG_NONE, 403, NULL, 0,
              PH_STR("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>"
                     "<Type>Sender</Type><Code>ExpiredToken</Code><Message>m</Message></Error>"
                     "<RequestId>R</RequestId></ErrorResponse>"),
              &r);
    CHECK_INT(r.err, PH_ERR_EXPIRED_TOKEN);
    CHECK_STR(ph_str_from(r.request_id), "R");
    ph_reply_clear(&r);

    test_case("a prefix");
    CHECK_INT(err_of(PH_OP_CREATE, 400,
                     "<s3:Error xmlns:s3=\"x\"><s3:Code>SlowDown</s3:Code></s3:Error>"),
              PH_ERR_SLOW_DOWN);

    test_case("a presigned URL that ended");
    CHECK_INT(err_of(PH_OP_PUT_OBJECT, 403,
                     FAILED("<Code>AccessDenied</Code><Message>Request has expired</Message>"
                            "<X-Amz-Expires>1</X-Amz-Expires>")),
              PH_ERR_EXPIRED_TOKEN);

    static const struct {
        const char *code;
        bool in_body, in_header;
        int err;
    } regions[] = {
        {"AuthorizationHeaderMalformed", true, false, PH_ERR_REDIRECT},
        {"AuthorizationHeaderMalformed", false, true, PH_ERR_REDIRECT},
        {"AuthorizationHeaderMalformed", false, false, PH_ERR_BAD_SIGNATURE},
        {"SignatureDoesNotMatch", false, true, PH_ERR_BAD_SIGNATURE}, /* that is another matter */
        {"PermanentRedirect", true, true, PH_ERR_REDIRECT},
        {"AccessDenied", true, true, PH_ERR_ACCESS_DENIED},
    };
    for (size_t i = 0; i < COUNT(regions); i++) {
        test_case("region %zu", i);
        char body[256];
        snprintf(body, sizeof body, FAILED("<Code>%s</Code>%s"), regions[i].code,
                 regions[i].in_body ? "<Region>ap-south-1</Region>" : "");
        read_with(PH_OP_CREATE, PH_ALG_NONE, 400, headers + 2, regions[i].in_header,
                  ph_str_from(body), &r);
        CHECK_INT(r.err, regions[i].err);
        CHECK_STR(ph_str_from(r.region), regions[i].in_body     ? "ap-south-1"
                                         : regions[i].in_header ? "eu-west-1"
                                                                : "");
        ph_reply_clear(&r);
    }
}

static void test_server_time(void)
{
    static const ph_header date = {BYTES("Date"), BYTES("Fri, 26 Jul 2019 22:33:28 GMT")};
    static const ph_header bad_date = {BYTES("date"), BYTES("yesterday")};
    static const struct {
        const char *body;
        const ph_header *header;
        uint64_t ms;
    } cases[] = {
        {"<ServerTime>2019-07-26T22:33:27Z</ServerTime>", NULL, UINT64_C(1564180407000)},
        {"<ServerTime> 20190726T223327Z </ServerTime>", NULL, UINT64_C(1564180407000)},
        {"<ServerTime>2019-07-26T22:33:27.250Z</ServerTime>", NULL, UINT64_C(1564180407250)},
        {"<RequestTime>20190726T221748Z</RequestTime>"
         "<ServerTime>2019-07-26T22:33:27Z</ServerTime>"
         "<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>",
         &date, UINT64_C(1564180407000)},
        {"", &date, UINT64_C(1564180408000)},
        {"<ServerTime>soon</ServerTime>", &date, UINT64_C(1564180408000)},
        {"<ServerTime></ServerTime>", &date, UINT64_C(1564180408000)},
        {"<ServerTime/>", NULL, 0},
        {"", NULL, 0},
        {"", &bad_date, 0},
        {"<ServerTime>2019-13-26T22:33:27Z</ServerTime>", &bad_date, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("server time %zu", i);
        char body[512];
        ph_reply r;
        snprintf(body, sizeof body, FAILED("<Code>RequestTimeTooSkewed</Code>%s"), cases[i].body);
        read_with(PH_OP_UPLOAD_PART, PH_ALG_NONE, 403, cases[i].header, cases[i].header != NULL,
                  test_guard_str(ph_str_from(body)), &r);
        CHECK_INT(r.err, PH_ERR_CLOCK_SKEW);
        CHECK_U64(r.server_time_ms, cases[i].ms);
        ph_reply_clear(&r);
    }
}

static void test_retry_after(void)
{
    static const struct {
        ph_str value;
        uint32_t ms;
    } cases[] = {
        {BYTES("0"), 0},
        {BYTES("1"), 1000},
        {BYTES(" 120 "), 120000},
        {BYTES("300"), 300000},
        {BYTES("301"), 300000}, /* nobody waits longer than five minutes for a part */
        {BYTES("18446744073709551615"), 300000},
        {BYTES("18446744073709551616"), 0},
        {BYTES("-1"), 0},
        {BYTES("1.5"), 0},
        {BYTES("Fri, 26 Jul 2019 22:33:28 GMT"), 0},
        {BYTES(""), 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("Retry-After %zu", i);
        ph_header h = {PH_STR("Retry-After"), cases[i].value};
        ph_reply r;
        read_with(PH_OP_CREATE, PH_ALG_NONE, 503, &h, 1, (ph_str){NULL, 0}, &r);
        CHECK_INT(r.err, PH_ERR_SLOW_DOWN);
        CHECK_U64(r.retry_after_ms, cases[i].ms);
        ph_reply_clear(&r);
    }
}

/* What a terminal or a log could obey, what is too long, what is no text. */
static void test_hostile_texts(void)
{
    ph_reply r;
    test_case("control characters");
    read_body(PH_OP_CREATE, 403,
              PH_STR(FAILED("<Code>A&#9;B</Code><Message>a&#10;b&#13;c\td\xc2\x9b"
                            "1me\x7f</Message>")),
              &r);
    CHECK_STR(ph_str_from(r.s3_code), "A B");
    CHECK_STR(ph_str_from(r.message), "a b c d  1me ");
    CHECK_INT(r.err, PH_ERR_ACCESS_DENIED);
    ph_reply_clear(&r);
    test_case("references to what is no character");
    read_body(PH_OP_CREATE, 403, PH_STR(FAILED("<Code>SlowDown</Code><Message>&#0;</Message>")),
              &r);
    CHECK_INT(r.err, PH_ERR_ACCESS_DENIED);
    ph_reply_clear(&r);
    test_case("an escape sequence");
    read_body(PH_OP_CREATE, 403, PH_STR(FAILED("<Code>SlowDown</Code><Message>\x1b[2J</Message>")),
              &r);
    CHECK_INT(r.err, PH_ERR_ACCESS_DENIED);
    ph_reply_clear(&r);

    test_case("headers that are no text");
    static const ph_header bad[] = {
        {BYTES("x-amz-request-id"), BYTES("\xff")},
        {BYTES("x-amz-id-2"), BYTES("a\x1b[2Jb\0c")},
        {BYTES("x-amz-version-id"), BYTES("\xc3")},
        {BYTES("etag"), BYTES("\"\xc3\xbc\"")},
        {BYTES("x-amz-checksum-crc64nvme"), BYTES("\xed\xa0\x80")},
    };
    read_with(PH_OP_UPLOAD_PART, PH_ALG_CRC64NVME, 200, bad, COUNT(bad), (ph_str){NULL, 0}, &r);
    CHECK_STR(ph_str_from(r.request_id), "");
    CHECK_STR(ph_str_from(r.host_id), "a [2Jb c");
    CHECK_STR(r.version_id, NULL);
    CHECK_STR(r.etag, NULL);
    CHECK_STR(r.checksum, NULL);
    ph_reply_clear(&r);

    /* Cut to their places at whole characters: two bytes, then three, at every offset. */
    for (size_t shift = 0; shift < 4; shift++) {
        static char body[16384];
        test_case("overlong texts, shifted by %zu", shift);
        char text[1200] = "aaa";
        text[shift] = '\0';
        while (strlen(text) < 1100)
            strcat(text, shift % 2 ? "\xc3\xbc" : "\xe2\x82\xac");
        snprintf(body, sizeof body,
                 FAILED("<Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId>"
                        "<HostId>%s</HostId><Region>%s</Region>"),
                 text, text, text, text, text);
        read_body(PH_OP_CREATE, 403, ph_str_from(body), &r);
        const struct {
            const char *place;
            size_t size;
        } places[] = {{r.s3_code, sizeof r.s3_code},
                      {r.message, sizeof r.message},
                      {r.request_id, sizeof r.request_id},
                      {r.host_id, sizeof r.host_id},
                      {r.region, sizeof r.region}};
        for (size_t i = 0; i < COUNT(places); i++) {
            ph_str kept = ph_str_from(places[i].place);
            CHECK(kept.len < places[i].size && kept.len + 3 >= places[i].size);
            CHECK(ph_str_is_utf8(kept));
            CHECK_MEM(kept.ptr, text, kept.len);
        }
        ph_reply_clear(&r);
    }
}

/* ---- Successes ------------------------------------------------------------------------------- */

static void test_create(void)
{
    static const char *const good[] = {
        CREATED,
        "<InitiateMultipartUploadResult><UploadId>ID.1_-&amp;2</UploadId>"
        "</InitiateMultipartUploadResult>",
        "\r\n   " CREATED "\n \n",
        "<s:InitiateMultipartUploadResult xmlns:s=\"x\"><s:UploadId><![CDATA[ID.1_-&2]]>"
        "</s:UploadId></s:InitiateMultipartUploadResult>",
        "<!-- a -->"
        "<InitiateMultipartUploadResult a='b'><Owner><UploadId>no</UploadId></Owner>"
        "<UploadId>\n  ID.1_-&#38;2\n</UploadId><!-- b --></InitiateMultipartUploadResult>",
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        test_case("created %zu", i);
        ph_reply r;
        read_body(PH_OP_CREATE, 200, ph_str_from(good[i]), &r);
        CHECK_INT(r.err, PH_OK);
        CHECK_STR(r.upload_id, "ID.1_-&2");
        ph_reply_clear(&r);
        CHECK_INT(err_of(PH_OP_CREATE, 201, good[i]), PH_OK); /* any 2xx */
    }
    static const struct {
        const char *body;
        int err;
    } bad[] = {
        {"", PH_ERR_BAD_ANSWER},
        {" \n ", PH_ERR_BAD_XML},
        {HTML, PH_ERR_BAD_XML},
        {"ID", PH_ERR_BAD_XML},
        {COMPLETED, PH_ERR_BAD_XML}, /* another operation's */
        {"<InitiateMultipartUploadResult/>", PH_ERR_BAD_ANSWER},
        {"<InitiateMultipartUploadResult><UploadId/></InitiateMultipartUploadResult>",
         PH_ERR_BAD_ANSWER},
        {"<InitiateMultipartUploadResult><UploadId> </UploadId></InitiateMultipartUploadResult>",
         PH_ERR_BAD_ANSWER},
        {"<InitiateMultipartUploadResult><X><UploadId>ID</UploadId></X>"
         "</InitiateMultipartUploadResult>",
         PH_ERR_BAD_ANSWER},
        {"<InitiateMultipartUploadResult><UploadId><b>ID</b></UploadId>"
         "</InitiateMultipartUploadResult>",
         PH_ERR_BAD_XML},
        {CREATED CREATED, PH_ERR_BAD_XML},
        {CREATED "x", PH_ERR_BAD_XML},
        {"x" CREATED, PH_ERR_BAD_XML},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        test_case("not created %zu", i);
        CHECK_INT(err_of(PH_OP_CREATE, 200, bad[i].body), bad[i].err);
    }
    for (size_t len = 2047; len <= 2049; len++) {
        test_case("upload id of %zu bytes", len);
        char body[4096], id[2050];
        memset(id, 'i', sizeof id);
        snprintf(body, sizeof body,
                 "<InitiateMultipartUploadResult><UploadId>%.*s</UploadId>"
                 "</InitiateMultipartUploadResult>",
                 (int)len, id);
        CHECK_INT(err_of(PH_OP_CREATE, 200, body), len <= 2048 ? PH_OK : PH_ERR_BAD_ANSWER);
    }
}

static void test_complete(void)
{
    ph_reply r;
    static const ph_header headers[] = {{BYTES("ETag"), BYTES("\"of the answer's bytes\"")},
                                        {BYTES("x-amz-version-id"), BYTES("v1")}};
    test_case("completed");
    read_with(PH_OP_COMPLETE, PH_ALG_CRC64NVME, 200, headers, 2,
              test_guard_str(PH_STR("   \n" COMPLETED)), &r);
    CHECK_INT(r.err, PH_OK);
    CHECK_STR(r.etag, "e-3");
    CHECK_STR(r.checksum, "ZMNX55lZurA=");
    CHECK_INT(r.type, PH_TYPE_FULL_OBJECT);
    CHECK_STR(r.version_id, "v1");
    CHECK_STR(ph_str_from(r.s3_code), "");
    ph_reply_clear(&r);

    test_case("completed, with another algorithm");
    read_with(PH_OP_COMPLETE, PH_ALG_CRC32, 200, NULL, 0, PH_STR(COMPLETED), &r);
    CHECK_INT(r.err, PH_OK);
    CHECK_STR(r.checksum, NULL);
    ph_reply_clear(&r);
    for (unsigned alg = PH_ALG_NONE; alg < PH_ALG_COUNT; alg++) {
        read_with(PH_OP_COMPLETE, (ph_alg)alg, 200, NULL, 0, PH_STR(COMPLETED), &r);
        CHECK_INT(r.err, PH_OK);
        CHECK((r.checksum.len > 0) == (alg == PH_ALG_CRC64NVME));
        ph_reply_clear(&r);
    }

    test_case("completed, and nothing is said");
    read_body(PH_OP_COMPLETE, 200, PH_STR("<CompleteMultipartUploadResult/>"), &r);
    CHECK_INT(r.err, PH_OK);
    CHECK(!r.etag.ptr && !r.checksum.ptr && r.type == PH_TYPE_NONE);
    ph_reply_clear(&r);

    static const char *const types[] = {"COMPOSITE", "full_object", "", "X"};
    for (size_t i = 0; i < COUNT(types); i++) {
        test_case("type %s", types[i]);
        char body[256];
        snprintf(body, sizeof body,
                 "<CompleteMultipartUploadResult><ChecksumType>%s</ChecksumType>"
                 "</CompleteMultipartUploadResult>",
                 types[i]);
        read_body(PH_OP_COMPLETE, 200, ph_str_from(body), &r);
        CHECK_INT(r.type, i == 0 ? PH_TYPE_COMPOSITE : PH_TYPE_NONE);
        ph_reply_clear(&r);
    }

    test_case("not completed");
    CHECK_INT(err_of(PH_OP_COMPLETE, 200, ""), PH_ERR_BAD_ANSWER);
    CHECK_INT(err_of(PH_OP_COMPLETE, 200, "      "), PH_ERR_BAD_XML);
    CHECK_INT(err_of(PH_OP_COMPLETE, 200, HTML), PH_ERR_BAD_XML);
    CHECK_INT(err_of(PH_OP_COMPLETE, 200, CREATED), PH_ERR_BAD_XML);
    CHECK_INT(err_of(PH_OP_COMPLETE, 200, " \n " FAILED("<Code>SlowDown</Code>")),
              PH_ERR_SLOW_DOWN);
    CHECK_INT(err_of(PH_OP_COMPLETE, 200, FAILED("")), PH_ERR_SERVER_ERROR);
    CHECK_INT(err_of(PH_OP_COMPLETE, 200,
                     "<?xml version='1.0'?> <?xml version='1.0'?>"
                     "<CompleteMultipartUploadResult/>"),
              PH_ERR_BAD_XML);

    test_case("half an error is not told as one");
    read_body(PH_OP_COMPLETE, 200, PH_STR("<Error><Code>NoSuchUpload</Code><Message>m</Message>"),
              &r);
    CHECK_INT(r.err, PH_ERR_BAD_XML);
    CHECK_STR(ph_str_from(r.s3_code), "");
    CHECK_STR(ph_str_from(r.message), "");
    ph_reply_clear(&r);
}

static void test_keep_alive(void)
{
    test_case("8 MiB of blanks");
    size_t blanks = (size_t)8 << 20;
    char *body = malloc(blanks + sizeof COMPLETED);
    memset(body, ' ', blanks);
    memcpy(body + blanks, COMPLETED, sizeof COMPLETED);
    ph_reply r;
    read_with(PH_OP_COMPLETE, PH_ALG_CRC64NVME, 200, NULL, 0,
              (ph_str){body, blanks + sizeof COMPLETED - 1}, &r);
    CHECK_INT(r.err, PH_OK);
    CHECK_STR(r.etag, "e-3");
    ph_reply_clear(&r);
    read_with(PH_OP_COMPLETE, PH_ALG_CRC64NVME, 200, NULL, 0, (ph_str){body, blanks}, &r);
    CHECK_INT(r.err, PH_ERR_BAD_XML);
    ph_reply_clear(&r);
    read_with(PH_OP_UPLOAD_PART, PH_ALG_CRC64NVME, 200, NULL, 0, (ph_str){body, blanks}, &r);
    CHECK_INT(r.err, PH_OK);
    ph_reply_clear(&r);
    free(body);
}

/* PutObject, UploadPart, Abort, HEAD: nothing is expected in the body. */
static void test_without_body(void)
{
    static const ph_header headers[] = {
        {BYTES("ETAG"), BYTES("\"d41d8cd98f00b204e9800998ecf8427e\"")},
        {BYTES("X-Amz-Checksum-Crc64nvme"), BYTES(" rosUhgp5mIg= ")},
        {BYTES("x-amz-checksum-type"), BYTES("FULL_OBJECT")},
        {BYTES("x-amz-version-id"), BYTES("null")},
        {BYTES("Content-Length"), BYTES("53687091200000")},
        {BYTES("x-amz-checksum-crc32"), BYTES("y/Q5Jg==")},
    };
    for (size_t i = 0; i < COUNT(operations); i++) {
        ph_operation op = operations[i];
        if (has_result(op))
            continue;
        test_case("%s", ph_operation_name(op));
        ph_reply r;
        read_with(op, PH_ALG_CRC64NVME, op == PH_OP_ABORT ? 204 : 200, headers, COUNT(headers),
                  (ph_str){NULL, 0}, &r);
        CHECK_INT(r.err, PH_OK);
        CHECK_STR(r.etag, "d41d8cd98f00b204e9800998ecf8427e");
        CHECK_STR(r.checksum, "rosUhgp5mIg=");
        CHECK_INT(r.type, PH_TYPE_FULL_OBJECT);
        CHECK_STR(r.version_id, "null");
        CHECK(r.has_size);
        CHECK_U64(r.size, UINT64_C(53687091200000));
        ph_reply_clear(&r);
        CHECK(r.listed == NULL && r.listed_count == 0);
        ph_reply_clear(&r); /* twice is harmless */

        read_with(op, PH_ALG_MD5, 200, NULL, 0, PH_STR("\n \n"), &r);
        CHECK_INT(r.err, PH_OK);
        CHECK(!r.etag.ptr && !r.checksum.ptr && !r.version_id.ptr && !r.has_size);
        CHECK(!r.upload_id.ptr);
        ph_reply_clear(&r);

        CHECK_INT(err_of(op, 200, FAILED("<Code>InternalError</Code>")), PH_ERR_SERVER_ERROR);
        CHECK_INT(err_of(op, 200, FAILED("<Code>Odd</Code>")), PH_ERR_SERVER_ERROR);
        /* A portal's page is no proof that anything was stored; other words beside an ETag are. */
        bool stores = op == PH_OP_PUT_OBJECT || op == PH_OP_UPLOAD_PART;
        CHECK_INT(err_of(op, 200, HTML), stores ? PH_ERR_BAD_ANSWER : PH_OK);
        CHECK_INT(err_of(op, 200, "<Error><Code>SlowDown</Code>"),
                  stores ? PH_ERR_BAD_ANSWER : PH_OK);
        read_with(op, PH_ALG_NONE, 200, headers, 1, PH_STR("stored"), &r);
        CHECK_INT(r.err, PH_OK);
        ph_reply_clear(&r);
        static const char *const pages[] = {
            " " HTML, "<HTML lang='en'>", "\xef\xbb\xbf" HTML, "<!-- 1 -->\n<html>no",
            "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>"};
        for (size_t n = 0; n < COUNT(pages); n++) {
            read_with(op, PH_ALG_NONE, 200, headers, 1, ph_str_from(pages[n]), &r);
            CHECK_INT(r.err, stores ? PH_ERR_BAD_ANSWER : PH_OK);
            ph_reply_clear(&r);
        }
        read_with(op, PH_ALG_NONE, 201, headers, 1,
                  PH_STR("<PostResponse><Key>k</Key></PostResponse>"), &r);
        CHECK_INT(r.err, PH_OK);
        ph_reply_clear(&r);
    }
}

static void test_etags(void)
{
    static char long_etag[260];
    memset(long_etag, 'e', sizeof long_etag);
    long_etag[0] = long_etag[257] = '"';
    const struct {
        ph_str header;
        const char *want;
    } cases[] = {
        {BYTES("\"abc\""), "abc"},
        {BYTES("abc"), "abc"},
        {BYTES(" \t\"abc\" "), "abc"},
        {BYTES("W/\"abc\""), "abc"},
        {BYTES("W/abc"), "abc"},
        {BYTES("\"abc-10000\""), "abc-10000"},
        {BYTES("\"a&b<c>'d\""), "a&b<c>'d"},
        {BYTES("\"abc"), "\"abc"},
        {BYTES("abc\""), "abc\""},
        {BYTES("\"\"abc\"\""), "\"abc\""},
        {BYTES("\""), "\""},
        {BYTES("\"\""), NULL},
        {BYTES("W/"), NULL},
        {BYTES(""), NULL},
        {BYTES("  "), NULL},
        {BYTES("\"a b\""), NULL},
        {BYTES("\"a\x01\""), NULL},
        {BYTES("\"a\x7f\""), NULL},
        {BYTES("\"a\0\""), NULL},
        {BYTES("\"\xc3\xbc\""), NULL},
        {{long_etag, 258}, "long"},
        {{long_etag + 1, 257}, NULL}, /* 257 of them */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("ETag header %zu", i);
        ph_header h = {PH_STR("etag"), test_guard_str(cases[i].header)};
        ph_reply r;
        read_with(PH_OP_UPLOAD_PART, PH_ALG_NONE, 200, &h, 1, (ph_str){NULL, 0}, &r);
        CHECK_INT(r.err, PH_OK);
        if (cases[i].want && strcmp(cases[i].want, "long") == 0)
            CHECK_U64(r.etag.len, 256);
        else
            CHECK_STR(r.etag, cases[i].want);
        ph_reply_clear(&r);
    }
    static const struct {
        const char *xml, *want;
    } bodies[] = {
        {"\"abc\"", "abc"},
        {"&quot;abc&quot;", "abc"},
        {"&#34;abc&#x22;", "abc"},
        {"abc", "abc"},
        {"\n  \"abc\"\n", "abc"},
        {"W/&quot;abc&quot;", "abc"},
        {"<![CDATA[\"abc\"]]>", "abc"},
        {"&amp;abc&lt;", "&abc<"},
        {"", NULL},
        {"&quot;&quot;", NULL},
        {"a&#10;b", NULL},
        {"a&#x2028;b", NULL},
    };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        test_case("ETag element %s", bodies[i].xml);
        char body[512];
        ph_reply r;
        snprintf(body, sizeof body,
                 "<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>",
                 bodies[i].xml);
        read_body(PH_OP_COMPLETE, 200, ph_str_from(body), &r);
        CHECK_INT(r.err, PH_OK);
        CHECK_STR(r.etag, bodies[i].want);
        ph_reply_clear(&r);
        snprintf(body, sizeof body, LISTED(PART("7", "%s", "5", "")), bodies[i].xml);
        read_body(PH_OP_LIST_PARTS, 200, ph_str_from(body), &r);
        CHECK_INT(r.err, bodies[i].want ? PH_OK : PH_ERR_BAD_ANSWER);
        if (r.listed_count == 1)
            CHECK_STR(r.listed[0].etag, bodies[i].want);
        ph_reply_clear(&r);
    }
}

/* ---- ListParts ------------------------------------------------------------------------------- */

static void test_list(void)
{
    ph_reply r;
    test_case("a page");
    read_body(PH_OP_LIST_PARTS, 200,
              PH_STR(LISTED("<Bucket>b</Bucket><Initiator><ID>x</ID></Initiator><Owner><ID>y</ID>"
                            "</Owner><PartNumberMarker>0</PartNumberMarker>"
                            "<NextPartNumberMarker>10000</NextPartNumberMarker>"
                            "<MaxParts>1000</MaxParts><IsTruncated>true</IsTruncated>" PART(
                                "2", "\"a\"", "53687091200000",
                                "<ChecksumCRC64NVME>rosUhgp5mIg=</ChecksumCRC64NVME>")
                                PART("10000", "b", "0",
                                     "<ChecksumCRC32>not ours</ChecksumCRC32>"
                                     "<New><Size>7</Size><ETag>c</ETag></New>"
                                     "<ChecksumCRC64NVME/>"))),
              &r);
    CHECK_INT(r.err, PH_OK);
    CHECK(r.truncated);
    CHECK_U64(r.next_marker, 10000);
    CHECK_U64(r.listed_count, 2);
    CHECK_U64(r.listed[0].part_number, 2);
    CHECK_U64(r.listed[0].size, UINT64_C(53687091200000));
    CHECK_STR(r.listed[0].etag, "a");
    static const uint8_t crc[] = {0xae, 0x8b, 0x14, 0x86, 0x0a, 0x79, 0x98, 0x88};
    CHECK_U64(r.listed[0].checksum.len, 8);
    CHECK_MEM(r.listed[0].checksum.bytes, crc, 8);
    CHECK_U64(r.listed[1].part_number, 10000);
    CHECK_U64(r.listed[1].size, 0);
    CHECK_STR(r.listed[1].etag, "b");
    CHECK_U64(r.listed[1].checksum.len, 0);
    ph_reply_clear(&r);
    CHECK(r.listed == NULL && r.listed_count == 0);
    ph_reply_clear(&r); /* twice is harmless */

    test_case("a last page without a part");
    read_body(PH_OP_LIST_PARTS, 200,
              PH_STR(LISTED("<IsTruncated>false</IsTruncated>"
                            "<NextPartNumberMarker>0</NextPartNumberMarker>")),
              &r);
    CHECK_INT(r.err, PH_OK);
    CHECK(!r.truncated && r.listed_count == 0 && r.next_marker == 0);
    ph_reply_clear(&r);

    test_case("parts of another operation's answer");
    read_body(PH_OP_COMPLETE, 200,
              PH_STR("<CompleteMultipartUploadResult>" PART("1", "a", "x",
                                                            "") "</CompleteMultipartUploadResult>"),
              &r);
    CHECK_INT(r.err, PH_OK);
    CHECK(r.listed == NULL && r.listed_count == 0);
    ph_reply_clear(&r);

    static const struct {
        const char *truncated, *marker;
        bool want_truncated;
        uint32_t want_marker;
    } pages[] = {
        {"true", "1", true, 1},
        {" true ", " 9999 ", true, 9999},
        {"TRUE", "10001", false, 0},
        {"1", "-1", false, 0},
        {"", "", false, 0},
        {"true", "18446744073709551617", true, 0},
        {"truefalse", "1x", false, 0},
    };
    for (size_t i = 0; i < COUNT(pages); i++) {
        test_case("page %zu", i);
        char body[512];
        snprintf(body, sizeof body,
                 LISTED("<IsTruncated>%s</IsTruncated><NextPartNumberMarker>%s"
                        "</NextPartNumberMarker>"),
                 pages[i].truncated, pages[i].marker);
        read_body(PH_OP_LIST_PARTS, 200, ph_str_from(body), &r);
        CHECK_INT(r.err, PH_OK);
        CHECK(r.truncated == pages[i].want_truncated);
        CHECK_U64(r.next_marker, pages[i].want_marker);
        ph_reply_clear(&r);
    }
}

static void test_bad_parts(void)
{
    static const struct {
        const char *part;
        int err;
    } cases[] = {
        {PART("1", "a", "1", ""), PH_OK},
        {PART(" 1 ", " a ", " 1 ", ""), PH_OK},
        {PART("10000", "a", "1", ""), PH_OK},
        {"<Part/>", PH_ERR_BAD_ANSWER},
        {"<Part><PartNumber>1</PartNumber><Size>1</Size></Part>", PH_ERR_BAD_ANSWER},
        {"<Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>", PH_ERR_BAD_ANSWER},
        {"<Part><ETag>a</ETag><Size>1</Size></Part>", PH_ERR_BAD_ANSWER},
        {PART("0", "a", "1", ""), PH_ERR_BAD_ANSWER},
        {PART("10001", "a", "1", ""), PH_ERR_BAD_ANSWER},
        {PART("4294967297", "a", "1", ""), PH_ERR_BAD_ANSWER},
        {PART("-1", "a", "1", ""), PH_ERR_BAD_ANSWER},
        {PART("one", "a", "1", ""), PH_ERR_BAD_ANSWER},
        {PART("", "a", "1", ""), PH_ERR_BAD_ANSWER},
        {PART("1", "", "1", ""), PH_ERR_BAD_ANSWER},
        {PART("1", "\"\"", "1", ""), PH_ERR_BAD_ANSWER},
        {PART("1", "a", "", ""), PH_ERR_BAD_ANSWER},
        {PART("1", "a", "-1", ""), PH_ERR_BAD_ANSWER},
        {PART("1", "a", "18446744073709551616", ""), PH_ERR_BAD_ANSWER},
        {PART("1", "a", "1", "<ChecksumCRC64NVME>!</ChecksumCRC64NVME>"), PH_ERR_BAD_ANSWER},
        {PART("1", "a", "1", "<ChecksumCRC64NVME>AAAA</ChecksumCRC64NVME>"), PH_ERR_BAD_ANSWER},
        {PART("1", "a", "1", "<ChecksumCRC64NVME>AAAAAAAAAAA</ChecksumCRC64NVME>"),
         PH_ERR_BAD_ANSWER},
        {PART("1", "a", "1", "<ChecksumCRC64NVME>AAAAAAAAAAAA</ChecksumCRC64NVME>"),
         PH_ERR_BAD_ANSWER},
        {PART("1", "<b>a</b>", "1", ""), PH_ERR_BAD_XML},
        {PART("1", "a", "1", "</Part><Part>"), PH_ERR_BAD_ANSWER},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("part: %s", cases[i].part);
        char body[1024];
        snprintf(body, sizeof body, LISTED("%s"), cases[i].part);
        CHECK_INT(err_of(PH_OP_LIST_PARTS, 200, body), cases[i].err);
    }
}

static void test_many_parts(void)
{
    for (unsigned count = 999; count <= 1001; count++) {
        test_case("%u parts", count);
        ph_buf b;
        ph_buf_init(&b, 1 << 20);
        ph_buf_cstr(&b, "<ListPartsResult>");
        for (unsigned n = 1; n <= count; n++) {
            ph_buf_cstr(&b, "<Part><PartNumber>");
            ph_buf_u64(&b, n);
            ph_buf_cstr(&b, "</PartNumber><ETag>e");
            ph_buf_u64(&b, n);
            ph_buf_cstr(&b, "</ETag><Size>");
            ph_buf_u64(&b, UINT64_C(1) << n % 48);
            ph_buf_cstr(&b, "</Size></Part>");
        }
        ph_buf_cstr(&b, "</ListPartsResult>");
        ph_reply r;
        read_body(PH_OP_LIST_PARTS, 200, ph_buf_view(&b), &r);
        CHECK_INT(r.err, count <= PH_LISTED_MAX ? PH_OK : PH_ERR_BAD_ANSWER);
        CHECK_U64(r.listed_count, count <= PH_LISTED_MAX ? count : PH_LISTED_MAX);
        for (uint32_t i = 0; i < r.listed_count; i++) {
            char etag[8];
            snprintf(etag, sizeof etag, "e%u", (unsigned)i + 1);
            CHECK_U64(r.listed[i].part_number, i + 1);
            CHECK_STR(r.listed[i].etag, etag);
            CHECK_U64(r.listed[i].size, UINT64_C(1) << (i + 1) % 48);
        }
        ph_reply_clear(&r);
        ph_buf_clear(&b);
    }
}

/* ---- Broken answers -------------------------------------------------------------------------- */

static const struct {
    ph_operation op;
    const char *body;
} documents[] = {
    {PH_OP_CREATE, CREATED},
    {PH_OP_COMPLETE, " " COMPLETED},
    {PH_OP_LIST_PARTS,
     LISTED("<IsTruncated>true</IsTruncated>" PART(
         "1", "&quot;a&quot;", "5", "<ChecksumCRC64NVME>rosUhgp5mIg=</ChecksumCRC64NVME>"))},
    {PH_OP_COMPLETE, "\n" FAILED("<Code>InternalError</Code><Message>m &amp; n</Message>")},
};

/* A document that is cut short is never a success, and never tells a code. */
static void test_cut(void)
{
    for (size_t i = 0; i < COUNT(documents); i++) {
        for (size_t len = 0; len < strlen(documents[i].body); len++) {
            test_case("document %zu cut to %zu bytes", i, len);
            ph_reply r;
            ph_str cut = {documents[i].body, len};
            read_body(documents[i].op, 200, cut, &r);
            CHECK(r.err == PH_ERR_BAD_XML || (len == 0 && r.err == PH_ERR_BAD_ANSWER));
            CHECK(!r.s3_code[0] && !r.message[0]);
            ph_reply_clear(&r);
            read_body(documents[i].op, 500, cut, &r);
            CHECK_INT(r.err, PH_ERR_SERVER_ERROR);
            CHECK(!r.s3_code[0] && !r.message[0]);
            ph_reply_clear(&r);
        }
    }
}

/* Damaged in every way that comes: it is read to the end, and whatever it says is in bounds. */
static void test_damaged(void)
{
    uint64_t random = 27;
    for (unsigned round = 0; round < 20000; round++) {
        char body[1024];
        size_t i = test_random(&random) % COUNT(documents), len = strlen(documents[i].body);
        memcpy(body, documents[i].body, len);
        for (uint64_t n = 1 + test_random(&random) % 4; n > 0; n--)
            body[test_random(&random) % len] = (char)(n * 85 + round);
        test_case("damaged %u", round);
        ph_operation op = operations[test_random(&random) % COUNT(operations)];
        ph_reply r;
        read_body(op, test_random(&random) % 2 ? 200 : 403, (ph_str){body, len}, &r);
        CHECK(r.err <= PH_OK && r.listed_count <= PH_LISTED_MAX);
        CHECK(memchr(r.message, '\0', sizeof r.message) != NULL);
        CHECK(ph_str_is_utf8(ph_str_from(r.message)) && ph_str_is_utf8(r.etag));
        if (op == PH_OP_CREATE && r.err == PH_OK)
            CHECK(r.upload_id.len > 0 && ph_str_is_utf8(r.upload_id));
        ph_reply_clear(&r);
    }
}

static void test_failing_allocations(void)
{
    for (size_t i = 0; i < COUNT(documents); i++) {
        for (unsigned n = 0;; n++) {
            test_case("document %zu, allocation %u", i, n);
            static const ph_header etag = {BYTES("etag"), BYTES("\"abc\"")};
            ph_event e = {.status = 200,
                          .headers = &etag,
                          .header_count = 1,
                          .body = ph_str_from(documents[i].body)};
            ph_reply r;
            test_alloc_fail_after(n);
            int err = ph_reply_read(documents[i].op, PH_ALG_CRC64NVME, &e, &r);
            bool failed = test_alloc_end();
            CHECK_INT(err, failed ? PH_ERR_NOMEM : PH_OK);
            if (failed)
                CHECK(r.listed == NULL && r.text.ptr == NULL);
            ph_reply_clear(&r);
            if (!failed)
                break;
        }
    }
}

/* ---- The shared documents -------------------------------------------------------------------- */

static void test_vector(const char *name, ph_operation op, ph_alg alg, int status, int err,
                        ph_reply *r)
{
    ph_buf file;
    char path[128];
    snprintf(path, sizeof path, "s3-xml-responses/%s", name);
    test_case("%s", name);
    memset(r, 0, sizeof *r);
    if (test_vectors(path, &file)) {
        read_with(op, alg, status, NULL, 0, test_guard_str(ph_buf_view(&file)), r);
        CHECK_INT(r->err, err);
    } else {
        r->err = PH_ERR_BAD_ARG; /* nothing more to look at */
    }
    ph_buf_clear(&file);
}

static void test_vectors_of_others(void)
{
    ph_reply r;
    test_vector("create-ok-no-namespace.xml", PH_OP_CREATE, PH_ALG_NONE, 200, PH_OK, &r);
    if (r.err == PH_OK)
        CHECK_STR(r.upload_id, "defaultID");
    ph_reply_clear(&r);
    test_vector("complete-ok.xml", PH_OP_COMPLETE, PH_ALG_NONE, 200, PH_OK, &r);
    if (r.err == PH_OK)
        CHECK_STR(r.etag, "3858f62230ac3c915f300c664312c11f-9");
    ph_reply_clear(&r);
    test_vector("complete-200-error-internal.xml", PH_OP_COMPLETE, PH_ALG_NONE, 200,
                PH_ERR_SERVER_ERROR, &r);
    if (r.err == PH_ERR_SERVER_ERROR) {
        CHECK_STR(ph_str_from(r.s3_code), "InternalError");
        CHECK_STR(ph_str_from(r.request_id), "656c76696e6727732072657175657374");
    }
    ph_reply_clear(&r);
    test_vector("error-access-denied-one-line.xml", PH_OP_CREATE, PH_ALG_NONE, 403,
                PH_ERR_ACCESS_DENIED, &r);
    ph_reply_clear(&r);
    test_vector("error-request-time-too-skewed.xml", PH_OP_UPLOAD_PART, PH_ALG_NONE, 403,
                PH_ERR_CLOCK_SKEW, &r);
    if (r.err == PH_ERR_CLOCK_SKEW)
        CHECK_U64(r.server_time_ms, UINT64_C(1690302479000));
    ph_reply_clear(&r);
    test_vector("list-parts-page-1.xml", PH_OP_LIST_PARTS, PH_ALG_CRC32, 200, PH_OK, &r);
    if (r.err == PH_OK) {
        CHECK(r.truncated && r.next_marker == 2 && r.listed_count == 1);
        CHECK_U64(r.listed[0].part_number, 2);
        CHECK_U64(r.listed[0].size, 8388608);
        CHECK_STR(r.listed[0].etag, "7778aef83f66abc1fa1e8477f296d394");
        CHECK_U64(r.listed[0].checksum.len, 4);
    }
    ph_reply_clear(&r);
    test_vector("list-parts-page-2.xml", PH_OP_LIST_PARTS, PH_ALG_CRC32, 200, PH_OK, &r);
    if (r.err == PH_OK)
        CHECK(!r.truncated && r.listed_count == 1 && r.listed[0].part_number == 3);
    ph_reply_clear(&r);
}

int main(void)
{
    test_codes();
    test_statuses();
    test_error_fields();
    test_server_time();
    test_retry_after();
    test_hostile_texts();
    test_create();
    test_complete();
    test_keep_alive();
    test_without_body();
    test_etags();
    test_list();
    test_bad_parts();
    test_many_parts();
    test_cut();
    test_damaged();
    test_failing_allocations();
    test_vectors_of_others();
    return test_end();
}
