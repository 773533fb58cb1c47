/* SPDX-License-Identifier: MIT
 *
 * Fuzzes reply. An input is an answer as one would write it down:
 *
 *     OPERATION ALGORITHM STATUS
 *     header: value
 *
 *     body
 *
 * Whatever it says, all texts are in bounds and UTF-8, and a success has what its operation
 * promises.
 */
#include "fuzz.h"

#include <string.h>

#include "core/reply.h"
#include "core/unfinished.h"

#define MAX_HEADERS 16

static ph_operation operation_by_name(ph_str name)
{
    unsigned op = PH_OP_NONE + 1;
    while (op < PH_OP_HEAD && !ph_str_equal(name, ph_str_from(ph_operation_name((ph_operation)op))))
        op++;
    return (ph_operation)op;
}

static void check_place(const char *place, size_t size)
{
    MUST(memchr(place, '\0', size) != NULL);
    for (const char *c = place; *c; c++)
        MUST((unsigned char)*c >= 0x20 && *c != 0x7f);
    MUST(ph_str_is_utf8(ph_str_from(place)));
}

static void check_etag(ph_str etag)
{
    MUST(etag.len <= 256 && (etag.len > 0) == (etag.ptr != NULL));
    for (size_t i = 0; i < etag.len; i++)
        MUST(etag.ptr[i] > ' ' && etag.ptr[i] <= '~');
}

static void check_reply(ph_operation op, ph_alg alg, const ph_reply *r)
{
    check_place(r->s3_code, sizeof r->s3_code);
    check_place(r->message, sizeof r->message);
    check_place(r->request_id, sizeof r->request_id);
    check_place(r->host_id, sizeof r->host_id);
    check_place(r->region, sizeof r->region);
    check_etag(r->etag);
    MUST(ph_str_is_utf8(r->version_id) && ph_str_is_utf8(r->upload_id) &&
         ph_str_is_utf8(r->checksum));
    MUST(r->err <= PH_OK && strcmp(ph_err_name(r->err), "UNKNOWN") != 0);
    MUST(r->err != PH_OK || (r->status >= 200 && r->status < 300));
    MUST(r->err != PH_OK || op != PH_OP_CREATE || r->upload_id.len > 0);
    MUST(r->retry_after_ms <= 300000);
    MUST((op == PH_OP_LIST_PARTS) == (r->listed != NULL));
    MUST(r->listed_count <= PH_LISTED_MAX && r->next_marker <= PH_PART_MAX_COUNT);
    for (size_t i = 0; i < r->listed_count; i++) {
        const ph_listed *p = &r->listed[i];
        MUST(p->part_number >= 1 && p->part_number <= PH_PART_MAX_COUNT && p->etag.len > 0);
        MUST(p->checksum.len == 0 || (p->checksum.alg == alg && p->checksum.len <= PH_DIGEST_MAX));
        check_etag(p->etag);
    }
}

/* Whoever lists uploads reads the body once more. */
static void check_uploads(ph_str body)
{
    ph_unfinished_page p;
    if (ph_unfinished_read(body, &p) != PH_OK)
        return;
    MUST(p.count <= PH_UNFINISHED_MAX);
    MUST(!p.truncated || p.key_marker.len || p.upload_id_marker.len);
    for (size_t i = 0; i < p.count; i++)
        MUST(p.uploads[i].key.len && p.uploads[i].upload_id.len &&
             ph_str_is_utf8(p.uploads[i].key) && ph_str_is_utf8(p.uploads[i].upload_id));
    ph_unfinished_clear(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ph_str rest = {(const char *)data, size};
    ph_str first = ph_str_cut(&rest, '\n');
    ph_operation op = operation_by_name(ph_str_cut(&first, ' '));
    ph_alg alg = ph_alg_by_name(ph_str_cut(&first, ' '));
    ph_header headers[MAX_HEADERS];
    uint64_t status;
    ph_event e = {.kind = PH_EVENT_RESPONSE, .headers = headers};
    if (ph_str_u64(first, &status) && status < 1000)
        e.status = (int)status;
    while (rest.len && rest.ptr[0] != '\n' && e.header_count < MAX_HEADERS) {
        ph_str line = ph_str_cut(&rest, '\n');
        headers[e.header_count].name = ph_str_cut(&line, ':');
        headers[e.header_count++].value = line;
    }
    e.body = rest.len ? ph_str_skip(rest, 1) : rest;

    ph_reply r;
    MUST(ph_reply_read(op, alg, &e, &r) == PH_OK);
    check_reply(op, alg, &r);
    if (op == PH_OP_LIST_UPLOADS && r.err == PH_OK)
        check_uploads(e.body);
    ph_reply_clear(&r);
    return 0;
}
