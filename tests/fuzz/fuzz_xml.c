/* SPDX-License-Identifier: MIT
 *
 * Fuzzes xml: all tokens of a document, then its elements' contents. Views must lie in the input,
 * elements must close in order, and after the end or an error nothing new may come.
 */
#include "fuzz.h"

#include "core/xml.h"

static void check_view(ph_str s, ph_str input)
{
    MUST(!s.ptr || (s.ptr >= input.ptr && s.ptr + s.len <= input.ptr + input.len));
}

static void walk(ph_str input)
{
    ph_xml x;
    ph_xml_token t;
    unsigned depth = 0;
    int err;
    ph_xml_init(&x, input);
    while ((err = ph_xml_next(&x, &t)) == PH_OK && t.kind != PH_XML_END) {
        check_view(t.name, input);
        check_view(t.text, input);
        if (t.kind == PH_XML_OPEN)
            depth++;
        MUST(t.depth == depth && depth >= 1 && depth <= PH_XML_MAX_DEPTH);
        MUST((t.name.len > 0) == (t.kind != PH_XML_TEXT));
        if (t.kind == PH_XML_CLOSE)
            depth--;
    }
    MUST(err == PH_OK ? depth == 0 : err == PH_ERR_BAD_XML);
    MUST(ph_xml_next(&x, &t) == err && t.kind == PH_XML_END);
}

/* Where the document says "skip", an element is skipped; all others are read. */
static void read(ph_str input)
{
    ph_xml x;
    ph_xml_token t;
    ph_buf b;
    ph_buf_init(&b, input.len);
    ph_xml_init(&x, input);
    while (ph_xml_next(&x, &t) == PH_OK && t.kind != PH_XML_END) {
        if (t.kind != PH_XML_OPEN || t.depth < 2)
            continue;
        int err = ph_str_starts(t.name, PH_STR("s")) ? ph_xml_skip(&x) : ph_xml_content(&x, &b);
        MUST(err == PH_OK || err == PH_ERR_BAD_XML); /* decoding never makes a text longer */
        MUST(err == PH_OK || x.err == err);
        MUST(ph_str_is_utf8(ph_buf_view(&b)));
    }
    ph_buf_clear(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ph_str input = {(const char *)data, size};
    walk(input);
    read(input);
    return 0;
}
