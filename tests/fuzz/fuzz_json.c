/* SPDX-License-Identifier: MIT
 *
 * Fuzzes json: a document is refused, or all of it can be walked; its texts are UTF-8 and can be
 * written and read again to the same bytes.
 */
#include "fuzz.h"

#include "core/enc.h"
#include "core/json.h"

#define MAX_DEPTH 32

static void check_text(ph_str text)
{
    ph_buf b;
    ph_json *again;
    MUST(ph_str_is_utf8(text));
    ph_buf_init(&b, 6 * text.len + 2);
    ph_enc_json(&b, text);
    MUST(b.err == PH_OK && ph_json_parse(ph_buf_view(&b), &again) == PH_OK);
    MUST(ph_str_equal(ph_json_text(again), text));
    ph_json_free(again);
    ph_buf_clear(&b);
}

static void check_value(const ph_json *v)
{
    uint64_t whole = 0, floor = 0;
    ph_str text = ph_json_text(v), name = ph_json_name(v);
    if (text.ptr)
        check_text(text);
    if (name.ptr)
        check_text(name);
    bool is_whole = ph_json_u64(v, &whole);
    MUST(!is_whole || (ph_json_floor(v, &floor) && floor == whole && whole < UINT64_C(1) << 53));
    MUST((text.ptr != NULL) + is_whole + ph_json_is_object(v) + ph_json_is_array(v) +
             ph_json_is_true(v) + ph_json_is_null(v) <=
         1);
    MUST(ph_json_is_object(v) || ph_json_is_array(v) || !ph_json_first(v));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ph_json *document;
    int err = ph_json_parse((ph_str){(const char *)data, size}, &document);
    MUST(err == PH_OK || err == PH_ERR_BAD_JSON || err == PH_ERR_TOO_LONG);
    MUST((document != NULL) == (err == PH_OK));
    const ph_json *parents[MAX_DEPTH + 1], *v = document;
    size_t depth = 0;
    while (v) {
        check_value(v);
        if (ph_json_is_object(v) && ph_json_first(v)) {
            ph_str name = ph_json_name(ph_json_first(v));
            MUST(ph_json_member(v, name.ptr) == ph_json_first(v)); /* it is NUL-terminated */
        }
        const ph_json *next = ph_json_first(v);
        if (next) {
            MUST(depth < MAX_DEPTH);
            parents[depth++] = v;
        }
        while (!next) {
            next = v == document ? NULL : ph_json_next(v);
            if (next || depth == 0)
                break;
            v = parents[--depth];
        }
        v = next;
    }
    ph_json_free(document);
    return 0;
}
