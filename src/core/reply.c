/* SPDX-License-Identifier: MIT
 *
 * Answers of S3. A success is only what the body confirms: CompleteMultipartUpload sends its 200
 * before it knows, and an error may follow. Which code means what stands in one table.
 * Source: "Error responses" and each operation's page of the S3 API reference.
 */
#include "reply.h"

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "date.h"
#include "enc.h"
#include "str.h"
#include "xml.h"

#define MAX_ETAG 256 /* 10,000 of them fit into PH_DOCUMENT_MAX */
#define MAX_RETRY_AFTER_S 300u
#define MAX_UPLOAD_ID 2048 /* fits into a URL when each byte has to be encoded */
#define PAGE_HEAD 1024     /* how far into a body it is looked for what makes it a page */

static const struct {
    const char *code;
    int err;
} codes[] = {
    {"AccessDenied", PH_ERR_ACCESS_DENIED},
    {"AccountProblem", PH_ERR_ACCESS_DENIED},
    {"AllAccessDisabled", PH_ERR_ACCESS_DENIED},
    {"AuthorizationHeaderMalformed", PH_ERR_BAD_SIGNATURE},
    {"BadDigest", PH_ERR_BAD_DIGEST},
    {"BandwidthLimitExceeded", PH_ERR_SLOW_DOWN},
    {"ConditionalRequestConflict", PH_ERR_CONFLICT},
    {"EntityTooLarge", PH_ERR_TOO_LARGE},
    {"EntityTooSmall", PH_ERR_TOO_LARGE},
    {"ExpiredToken", PH_ERR_EXPIRED_TOKEN},
    {"ExpiredTokenException", PH_ERR_EXPIRED_TOKEN},
    {"IncompleteBody", PH_ERR_REQUEST_TIMEOUT}, /* the connection broke, the bytes were right */
    {"InternalError", PH_ERR_SERVER_ERROR},
    {"InternalFailure", PH_ERR_SERVER_ERROR},
    {"InvalidAccessKeyId", PH_ERR_INVALID_TOKEN},
    {"InvalidDigest", PH_ERR_BAD_DIGEST}, /* a Content-MD5 that is none: it broke on the way */
    {"InvalidPart", PH_ERR_INVALID_PART},
    {"InvalidPartOrder", PH_ERR_INVALID_PART},
    {"InvalidToken", PH_ERR_INVALID_TOKEN},
    {"InvalidTokenId", PH_ERR_INVALID_TOKEN}, /* MinIO */
    {"KMS.ThrottlingException", PH_ERR_SLOW_DOWN},
    {"NoSuchBucket", PH_ERR_NO_SUCH_BUCKET},
    {"NoSuchKey", PH_ERR_NOT_FOUND},
    {"NoSuchUpload", PH_ERR_NO_SUCH_UPLOAD},
    {"NotImplemented", PH_ERR_REFUSED},
    {"ObjectParentIsFile", PH_ERR_REFUSED}, /* versitygw: an object where a folder has to be */
    {"OperationAborted", PH_ERR_SERVER_ERROR},
    {"PermanentRedirect", PH_ERR_REDIRECT},
    {"PreconditionFailed", PH_ERR_EXISTS},
    {"PriorRequestNotComplete", PH_ERR_SLOW_DOWN},
    {"RequestLimitExceeded", PH_ERR_SLOW_DOWN},
    {"RequestTimeTooSkewed", PH_ERR_CLOCK_SKEW},
    {"RequestThrottled", PH_ERR_SLOW_DOWN},
    {"RequestThrottledException", PH_ERR_SLOW_DOWN},
    {"RequestTimeout", PH_ERR_REQUEST_TIMEOUT},
    {"RequestTimeoutException", PH_ERR_REQUEST_TIMEOUT},
    {"ServiceUnavailable", PH_ERR_SLOW_DOWN},
    {"SignatureDoesNotMatch", PH_ERR_BAD_SIGNATURE},
    {"SlowDown", PH_ERR_SLOW_DOWN},
    {"TemporaryRedirect", PH_ERR_REDIRECT},
    {"ThrottledException", PH_ERR_SLOW_DOWN},
    {"Throttling", PH_ERR_SLOW_DOWN},
    {"ThrottlingException", PH_ERR_SLOW_DOWN},
    {"TokenRefreshRequired", PH_ERR_EXPIRED_TOKEN},
    {"TooManyRequests", PH_ERR_SLOW_DOWN},
    {"XAmzContentChecksumMismatch", PH_ERR_BAD_DIGEST},
    {"XAmzContentSHA256Mismatch", PH_ERR_BAD_DIGEST},
    {"XMinioParentIsObject", PH_ERR_REFUSED}, /* the same of MinIO */
};

static int err_of_code(const char *code)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(code, codes[i].code) == 0)
            return codes[i].err;
    return PH_OK;
}

static int err_of_status(int status)
{
    switch (status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308: return PH_ERR_REDIRECT;
    case 401:
    case 403: return PH_ERR_ACCESS_DENIED;
    case 404: return PH_ERR_NOT_FOUND;
    case 408: return PH_ERR_REQUEST_TIMEOUT;
    case 409: return PH_ERR_CONFLICT;
    case 412: return PH_ERR_EXISTS;
    case 413: return PH_ERR_TOO_LARGE;
    case 425: /* early data, which somebody on the way did not want */
    case 429:
    case 503: return PH_ERR_SLOW_DOWN;
    case 499: return PH_ERR_SERVER_ERROR; /* a proxy took us for gone */
    case 501:
    case 505: return PH_ERR_REFUSED;
    default: return status >= 500 ? PH_ERR_SERVER_ERROR : PH_ERR_REFUSED;
    }
}

/* ---- Headers --------------------------------------------------------------------------------- */

/* Absent also where it is no UTF-8, which all our texts are. */
static ph_str find(const ph_event *answer, const char *name)
{
    for (size_t i = 0; i < answer->header_count; i++)
        if (ph_str_equal_nocase(answer->headers[i].name, ph_str_from(name)) &&
            ph_str_is_utf8(answer->headers[i].value))
            return ph_str_trim(answer->headers[i].value);
    return (ph_str){NULL, 0};
}

/* An ETag goes into Complete's document and into receipts: one that is not like any is none. */
static ph_str unquote(ph_str etag)
{
    etag = ph_str_trim(etag);
    if (ph_str_starts(etag, PH_STR("W/")))
        etag = ph_str_skip(etag, 2);
    if (etag.len >= 2 && etag.ptr[0] == '"' && etag.ptr[etag.len - 1] == '"')
        etag = (ph_str){etag.ptr + 1, etag.len - 2};
    for (size_t i = 0; i < etag.len; i++)
        if (etag.ptr[i] < '!' || etag.ptr[i] > '~')
            return (ph_str){NULL, 0};
    return etag.len && etag.len <= MAX_ETAG ? etag : (ph_str){NULL, 0};
}

/* Keep a text in the reply's own memory, which was reserved and does not move. */
static ph_str keep(ph_reply *r, ph_str s)
{
    if (!s.len)
        return (ph_str){NULL, 0};
    size_t from = r->text.len;
    ph_buf_str(&r->text, s);
    return ph_buf_view_from(&r->text, from);
}

static ph_checksum_type type_by_name(ph_str name)
{
    if (ph_str_equal(name, PH_STR("FULL_OBJECT")))
        return PH_TYPE_FULL_OBJECT;
    return ph_str_equal(name, PH_STR("COMPOSITE")) ? PH_TYPE_COMPOSITE : PH_TYPE_NONE;
}

static void read_headers(ph_alg alg, const ph_event *answer, ph_reply *r)
{
    ph_text_copy(r->request_id, sizeof r->request_id, find(answer, "x-amz-request-id"));
    ph_text_copy(r->host_id, sizeof r->host_id, find(answer, "x-amz-id-2"));
    ph_text_copy(r->region, sizeof r->region, find(answer, "x-amz-bucket-region"));
    r->etag = keep(r, unquote(find(answer, "etag")));
    r->version_id = keep(r, find(answer, "x-amz-version-id"));
    if (ph_alg_row(alg)->element)
        r->checksum = keep(r, find(answer, ph_alg_row(alg)->header));
    r->kms = ph_str_starts(find(answer, "x-amz-server-side-encryption"), PH_STR("aws:kms"));
    r->type = type_by_name(find(answer, "x-amz-checksum-type"));
    r->has_size = ph_str_u64(find(answer, "content-length"), &r->size);
    uint64_t wait;
    if (ph_str_u64(find(answer, "retry-after"), &wait))
        r->retry_after_ms = (uint32_t)(wait > MAX_RETRY_AFTER_S ? MAX_RETRY_AFTER_S : wait) * 1000;
    if (ph_str_u64(find(answer, "x-amz-retry-after"), &wait)) /* AWS's own, in milliseconds */
        r->retry_after_ms =
            (uint32_t)(wait > MAX_RETRY_AFTER_S * 1000 ? MAX_RETRY_AFTER_S * 1000 : wait);
}

/* ---- Bodies ---------------------------------------------------------------------------------- */

static bool is_named(ph_str name, const char *wanted)
{
    return wanted && ph_str_equal(name, ph_str_from(wanted));
}

/* After an OPEN token: the element's text, kept. */
static int content(ph_xml *x, ph_reply *r, ph_str *out)
{
    size_t from = r->text.len;
    int err = ph_xml_content(x, &r->text);
    *out = ph_buf_view_from(&r->text, from);
    return err;
}

static int read_error_field(ph_xml *x, ph_str name, ph_reply *r)
{
    const struct {
        const char *name;
        char *place;
        size_t size;
    } fields[] = {{"Code", r->s3_code, sizeof r->s3_code},
                  {"Message", r->message, sizeof r->message},
                  {"RequestId", r->request_id, sizeof r->request_id},
                  {"HostId", r->host_id, sizeof r->host_id},
                  {"Header", r->header, sizeof r->header},
                  {"ArgumentName", r->header, sizeof r->header},
                  {"Region", r->region, sizeof r->region}};
    ph_str text;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (!is_named(name, fields[i].name))
            continue;
        int err = content(x, r, &text);
        if (err == PH_OK)
            ph_text_copy(fields[i].place, fields[i].size, text);
        return err;
    }
    if (is_named(name, "ServerTime")) {
        int err = content(x, r, &text);
        if (err == PH_OK && ph_date_parse(text, &r->server_time_ms) != PH_OK)
            r->server_time_ms = 0;
        return err;
    }
    return ph_xml_skip(x);
}

static int read_listed_field(ph_xml *x, ph_alg alg, ph_str name, ph_reply *r, ph_listed *part,
                             bool *has_size)
{
    ph_str text;
    int err;
    if (is_named(name, "PartNumber")) {
        uint64_t number;
        err = content(x, r, &text);
        if (ph_str_u64(text, &number) && number <= PH_PART_MAX_COUNT)
            part->part_number = (uint32_t)number;
        return err;
    }
    if (is_named(name, "Size")) {
        err = content(x, r, &text);
        *has_size = ph_str_u64(text, &part->size);
        return err;
    }
    if (is_named(name, "ETag")) {
        err = content(x, r, &text);
        part->etag = unquote(text);
        return err;
    }
    if (is_named(name, ph_alg_row(alg)->element)) {
        err = content(x, r, &text);
        if (err == PH_OK && text.len && ph_digest_parse(alg, text, &part->checksum) != PH_OK)
            err = PH_ERR_BAD_ANSWER;
        return err;
    }
    return ph_xml_skip(x);
}

/* Part of a ListPartsResult. */
static int read_listed(ph_xml *x, ph_alg alg, ph_reply *r)
{
    ph_listed part = {0};
    bool has_size = false;
    for (;;) {
        ph_xml_token t;
        int err = ph_xml_next(x, &t);
        if (err == PH_OK && t.kind == PH_XML_OPEN)
            err = read_listed_field(x, alg, t.name, r, &part, &has_size);
        if (err != PH_OK)
            return err;
        if (t.kind == PH_XML_CLOSE)
            break;
    }
    if (!part.part_number || !has_size || !part.etag.len || r->listed_count == PH_LISTED_MAX)
        return PH_ERR_BAD_ANSWER;
    r->listed[r->listed_count++] = part;
    return PH_OK;
}

static int read_result_field(ph_xml *x, ph_alg alg, ph_str name, ph_reply *r)
{
    ph_str text;
    int err;
    if (is_named(name, "Part") && r->listed)
        return read_listed(x, alg, r);
    if (is_named(name, "UploadId"))
        return content(x, r, &r->upload_id);
    if (is_named(name, ph_alg_row(alg)->element))
        return content(x, r, &r->checksum);
    if (is_named(name, "ETag")) {
        err = content(x, r, &text);
        r->etag = unquote(text);
        return err;
    }
    if (is_named(name, "ChecksumType")) {
        err = content(x, r, &text);
        r->type = type_by_name(text);
        return err;
    }
    if (is_named(name, "IsTruncated")) {
        err = content(x, r, &text);
        r->truncated = ph_str_equal(text, PH_STR("true"));
        return err;
    }
    if (is_named(name, "NextPartNumberMarker")) {
        err = content(x, r, &text);
        uint64_t n;
        r->next_marker = ph_str_u64(text, &n) && n <= PH_PART_MAX_COUNT ? (uint32_t)n : 0;
        return err;
    }
    return ph_xml_skip(x);
}

typedef enum root { ROOT_ERROR, ROOT_RESULT } root;

/*
 * Read a whole document: an error, or the result whose root is named `expected` (NULL: no result
 * is expected). Returns PH_ERR_BAD_XML where it is neither, or where anything is broken.
 */
static int read_document(ph_str body, const char *expected, ph_alg alg, ph_reply *r, root *out)
{
    ph_xml x;
    ph_xml_token t;
    ph_xml_init(&x, body);
    int err = ph_xml_next(&x, &t);
    if (err != PH_OK)
        return err;
    bool wrapped = is_named(t.name, "ErrorResponse");
    if (wrapped || is_named(t.name, "Error"))
        *out = ROOT_ERROR;
    else if (is_named(t.name, expected))
        *out = ROOT_RESULT;
    else
        return PH_ERR_BAD_XML;
    for (;;) {
        err = ph_xml_next(&x, &t);
        if (err != PH_OK || t.kind == PH_XML_END)
            return err;
        if (t.kind != PH_XML_OPEN || (wrapped && is_named(t.name, "Error")))
            continue;
        err = *out == ROOT_ERROR ? read_error_field(&x, t.name, r)
                                 : read_result_field(&x, alg, t.name, r);
        if (err != PH_OK)
            return err;
    }
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void read_failure(const ph_event *answer, ph_reply *r)
{
    root found;
    int err = read_document(answer->body, NULL, PH_ALG_NONE, r, &found);
    if (err != PH_OK)
        r->s3_code[0] = r->message[0] = '\0'; /* a proxy's page, or half a document */
    r->err = err_of_code(r->s3_code);
    if (r->err == PH_OK)
        r->err = err_of_status(r->status);
    r->foreign = err != PH_OK && !r->request_id[0] && !r->region[0] &&
                 (ph_str_trim(answer->body).len || r->err == PH_ERR_REDIRECT);
    if (r->err == PH_ERR_ACCESS_DENIED && strstr(r->message, "Request has expired"))
        r->err = PH_ERR_EXPIRED_TOKEN; /* a presigned URL that ended */
    if (r->region[0] && strcmp(r->s3_code, "AuthorizationHeaderMalformed") == 0)
        r->err = PH_ERR_REDIRECT; /* signed for another region than the bucket's */
    if (r->err == PH_ERR_CLOCK_SKEW && !r->server_time_ms &&
        ph_date_parse(find(answer, "date"), &r->server_time_ms) != PH_OK)
        r->server_time_ms = 0;
}

static const char *result_root(ph_operation op)
{
    switch (op) {
    case PH_OP_CREATE: return "InitiateMultipartUploadResult";
    case PH_OP_COMPLETE: return "CompleteMultipartUploadResult";
    case PH_OP_LIST_PARTS: return "ListPartsResult";
    case PH_OP_LIST_UPLOADS: return "ListMultipartUploadsResult";
    case PH_OP_NONE:
    case PH_OP_PUT_OBJECT:
    case PH_OP_UPLOAD_PART:
    case PH_OP_ABORT:
    case PH_OP_HEAD: break;
    }
    return NULL;
}

static bool operation_stores(ph_operation op)
{
    return op == PH_OP_PUT_OBJECT || op == PH_OP_UPLOAD_PART;
}

/*
 * Not S3's, whatever is beside it: file servers give their pages ETags. XHTML has a declaration before it,
 * and others a comment.
 */
static bool is_page(ph_str body)
{
    static const char *const begins[] = {"<!doctype", "<html"};
    body = ph_str_trim(body);
    for (size_t at = 0; at < PAGE_HEAD && at < body.len; at++)
        for (size_t i = 0; i < 2; i++) {
            ph_str rest = ph_str_skip(body, at), begin = ph_str_from(begins[i]);
            if (rest.len > begin.len && ph_str_equal_nocase((ph_str){rest.ptr, begin.len}, begin))
                return true;
        }
    return false;
}

static void read_success(ph_operation op, ph_alg alg, const ph_event *answer, ph_reply *r)
{
    const char *expected = result_root(op);
    root found = ROOT_RESULT;
    if (expected)
        r->etag = (ph_str){NULL, 0}; /* of the body's bytes, if at all */
    int err = ph_str_trim(answer->body).len || expected
                  ? read_document(answer->body, expected, alg, r, &found)
                  : PH_OK;
    if (err != PH_OK)
        r->s3_code[0] = r->message[0] = '\0';
    if (err == PH_OK && found == ROOT_ERROR) {
        r->err = err_of_code(r->s3_code);
        if (r->err == PH_OK)
            r->err = PH_ERR_SERVER_ERROR; /* a 200 whose error nobody knows */
        return;
    }
    if (!expected) {
        /* A PUT's body is empty. Some servers say something, a portal on the way has a page. */
        if (err != PH_OK && operation_stores(op) && (!r->etag.len || is_page(answer->body)))
            r->err = PH_ERR_BAD_ANSWER;
        return;
    }
    r->err = err == PH_ERR_BAD_ANSWER || answer->body.len == 0 ? PH_ERR_BAD_ANSWER : err;
    if (err == PH_OK && op == PH_OP_CREATE &&
        (!r->upload_id.len || r->upload_id.len > MAX_UPLOAD_ID))
        r->err = PH_ERR_BAD_ANSWER;
}

static size_t text_size(const ph_event *answer)
{
    size_t n = answer->body.len;
    for (size_t i = 0; i < answer->header_count; i++)
        n += answer->headers[i].value.len;
    return n + 1;
}

/* see reply.h */
int ph_reply_read(ph_operation op, ph_alg alg, const ph_event *answer, ph_reply *out)
{
    memset(out, 0, sizeof *out);
    out->status = answer->status;
    /* Decoding never makes a text longer, so nothing will move. */
    ph_buf_init(&out->text, text_size(answer));
    ph_buf_reserve(&out->text, out->text.limit);
    if (op == PH_OP_LIST_PARTS && out->text.err == PH_OK) {
        out->listed = calloc(PH_LISTED_MAX, sizeof *out->listed);
        if (!out->listed)
            out->text.err = PH_ERR_NOMEM;
    }
    if (out->text.err != PH_OK) {
        ph_reply_clear(out);
        return PH_ERR_NOMEM;
    }
    read_headers(alg, answer, out);
    if (answer->status >= 200 && answer->status < 300)
        read_success(op, alg, answer, out);
    else
        read_failure(answer, out);
    return PH_OK;
}

/* see reply.h */
void ph_reply_clear(ph_reply *r)
{
    free(r->listed);
    r->listed = NULL;
    r->listed_count = 0;
    ph_buf_clear(&r->text);
}
