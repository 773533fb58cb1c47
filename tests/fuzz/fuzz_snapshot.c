/* SPDX-License-Identifier: MIT
 *
 * Fuzzes snapshot: an input is refused, or it is what would be written of it, to the byte. An input
 * that begins with "{" and does not end with "}" is given the checksum that it should have, so that
 * a fuzzer gets past it.
 */
#include "fuzz.h"

#include <string.h>

#include "core/enc.h"
#include "core/snapshot.h"
#include "core/str.h"

static void seal(ph_buf *b)
{
    ph_hash h;
    ph_digest d;
    ph_hash_init(&h, PH_ALG_CRC64NVME);
    ph_hash_update(&h, b->ptr, b->len);
    ph_hash_digest(&h, &d);
    ph_buf_cstr(b, ",\"check\":\"");
    ph_enc_hex(b, d.bytes, d.len);
    ph_buf_cstr(b, "\"}");
}

static void check_read(ph_str text)
{
    static const ph_snapshot empty;
    ph_snapshot s;
    ph_plan plan;
    ph_buf again;
    int err = ph_snapshot_read(text, &s);
    if (err != PH_OK) {
        MUST(err == PH_ERR_SNAPSHOT_DAMAGED || err == PH_ERR_SNAPSHOT_NEWER);
        MUST(memcmp(&s, &empty, sizeof s) == 0);
        return;
    }
    MUST(ph_plan_make(s.options.size, s.options.part_size, &plan) == PH_OK && plan.part_count > 1);
    MUST(!s.options.credentials.ptr);
    ph_buf_init(&again, PH_SNAPSHOT_MAX);
    ph_snapshot_write(&s.options, s.upload_id, s.opaque_etags, &again);
    MUST(again.err == PH_OK && ph_str_equal(ph_buf_view(&again), text));
    ph_buf_clear(&again);
    ph_snapshot_clear(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ph_str text = {(const char *)data, size};
    ph_buf b;
    check_read(text);
    if (!ph_str_starts(text, PH_STR("{")) || ph_str_ends(text, PH_STR("}")))
        return 0;
    ph_buf_init(&b, 2 * (size_t)PH_SNAPSHOT_MAX);
    ph_buf_str(&b, text);
    seal(&b);
    if (b.err == PH_OK)
        check_read(ph_buf_view(&b));
    ph_buf_clear(&b);
    return 0;
}
