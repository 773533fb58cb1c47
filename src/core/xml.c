/* SPDX-License-Identifier: MIT
 *
 * xml - XML 1.0 as far as S3 and STS write it. No DTD, hence no entities but the five, no default
 * attributes and nothing to expand: the size of the output is bounded by the input's. Names of
 * attributes are not compared and references are looked at only where a text is decoded.
 */
#include "xml.h"

#include "enc.h"

#include <string.h>

static int fail(ph_xml *x)
{
    x->err = PH_ERR_BAD_XML;
    return x->err;
}

static ph_str rest(const ph_xml *x)
{
    return ph_str_skip(x->input, x->pos);
}

static bool looks_at(const ph_xml *x, const char *text)
{
    return ph_str_starts(rest(x), ph_str_from(text));
}

static bool take(ph_xml *x, const char *text)
{
    if (!looks_at(x, text))
        return false;
    x->pos += strlen(text);
    return true;
}

/* Go behind the next `end`; what lies before it, or absent when there is none. */
static ph_str take_until(ph_xml *x, const char *end)
{
    ph_str before = rest(x), found = before, wanted = ph_str_from(end);
    for (;;) {
        found = ph_str_skip(found, ph_str_find(found, end[0]));
        if (found.len == 0)
            return (ph_str){NULL, 0};
        if (ph_str_starts(found, wanted))
            break;
        found = ph_str_skip(found, 1);
    }
    before.len -= found.len;
    x->pos += before.len + wanted.len;
    return before;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Whether there was any. */
static bool skip_space(ph_xml *x)
{
    size_t start = x->pos;
    while (x->pos < x->input.len && is_space(x->input.ptr[x->pos]))
        x->pos++;
    return x->pos > start;
}

/* Any character above ASCII may stand in a name: which ones do, no S3 has ever put to the test. */
static bool is_name_char(char c, bool first)
{
    unsigned char u = (unsigned char)c;
    return (u >= 'A' && u <= 'Z') || (u >= 'a' && u <= 'z') || u == '_' || u >= 0x80 ||
           (!first && ((u >= '0' && u <= '9') || u == '-' || u == '.'));
}

/* A name, maybe with a prefix; `local` is it without. Absent when there is none. */
static ph_str take_name(ph_xml *x, ph_str *local)
{
    ph_str name = rest(x);
    size_t len = 0, start = 0;
    for (; len < name.len; len++) {
        if (name.ptr[len] == ':' && start == 0 && len > 0)
            start = len + 1;
        else if (!is_name_char(name.ptr[len], len == start))
            break;
    }
    if (len == start)
        return (ph_str){NULL, 0};
    x->pos += len;
    name.len = len;
    *local = ph_str_skip(name, start);
    return name;
}

/* ---- The parts of a document ------------------------------------------------------------------- */

/* XML's Char: control bytes cannot occur, nor can U+FFFE and U+FFFF. */
static bool has_only_chars(ph_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char u = (unsigned char)s.ptr[i];
        if (u < 0x20 && !is_space(s.ptr[i]))
            return false;
        if (u == 0xef && s.len - i > 2 && (unsigned char)s.ptr[i + 1] == 0xbf &&
            (unsigned char)s.ptr[i + 2] >= 0xbe)
            return false;
    }
    return ph_str_is_utf8(s);
}

void ph_xml_init(ph_xml *x, ph_str input)
{
    *x = (ph_xml){.input = input};
    if (!has_only_chars(input)) {
        fail(x);
        return;
    }
    /* While S3 completes an upload it sends spaces, some servers even before the declaration. */
    take(x, "\xef\xbb\xbf");
    skip_space(x);
    if (take(x, "<?xml") && (!skip_space(x) || !take_until(x, "?>").ptr))
        fail(x);
}

/* Behind "<!--". */
static bool skip_comment(ph_xml *x)
{
    return take_until(x, "--").ptr && take(x, ">");
}

/* name="value", which is of no use to anyone here. */
static bool skip_attribute(ph_xml *x)
{
    ph_str local;
    if (!take_name(x, &local).ptr)
        return false;
    skip_space(x);
    if (!take(x, "="))
        return false;
    skip_space(x);
    ph_str value = take(x, "\"")  ? take_until(x, "\"")
                   : take(x, "'") ? take_until(x, "'")
                                  : (ph_str){NULL, 0};
    return value.ptr && ph_str_find(value, '<') == value.len;
}

static int close_element(ph_xml *x, ph_xml_token *out)
{
    ph_xml name = {.input = x->open[x->depth - 1]};
    *out = (ph_xml_token){.kind = PH_XML_CLOSE, .depth = x->depth};
    take_name(&name, &out->name);
    x->depth--;
    return PH_OK;
}

/* Behind "<". */
static int open_tag(ph_xml *x, ph_xml_token *out)
{
    ph_str local, name = take_name(x, &local);
    if (!name.ptr || x->depth == PH_XML_MAX_DEPTH || (x->depth == 0 && x->rooted))
        return fail(x);
    while (skip_space(x)) {
        if (looks_at(x, ">") || looks_at(x, "/>"))
            break;
        if (!skip_attribute(x))
            return fail(x);
    }
    x->closing = take(x, "/>");
    if (!x->closing && !take(x, ">"))
        return fail(x);
    x->rooted = true;
    x->open[x->depth++] = name;
    *out = (ph_xml_token){.kind = PH_XML_OPEN, .name = local, .depth = x->depth};
    return PH_OK;
}

/* Behind "</". */
static int close_tag(ph_xml *x, ph_xml_token *out)
{
    ph_str local, name = take_name(x, &local);
    skip_space(x);
    if (!name.ptr || x->depth == 0 || !ph_str_equal(name, x->open[x->depth - 1]) || !take(x, ">"))
        return fail(x);
    return close_element(x, out);
}

static int text_token(ph_xml *x, ph_str text, bool cdata, ph_xml_token *out)
{
    *out = (ph_xml_token){.kind = PH_XML_TEXT, .text = text, .cdata = cdata, .depth = x->depth};
    return PH_OK;
}

/* Up to the next "<". */
static int plain_text(ph_xml *x, ph_xml_token *out)
{
    ph_str text = rest(x);
    text.len = ph_str_find(text, '<');
    ph_xml inside = {.input = text};
    if (take_until(&inside, "]]>").ptr) /* it only ends CDATA */
        return fail(x);
    x->pos += text.len;
    return text_token(x, text, false, out);
}

int ph_xml_next(ph_xml *x, ph_xml_token *out)
{
    *out = (ph_xml_token){.kind = PH_XML_END};
    if (x->err != PH_OK)
        return x->err;
    if (x->closing) {
        x->closing = false;
        return close_element(x, out);
    }
    for (;;) {
        if (x->depth == 0)
            skip_space(x);
        if (x->pos == x->input.len)
            return x->depth == 0 && x->rooted ? PH_OK : fail(x);
        if (take(x, "<!--")) {
            if (!skip_comment(x))
                return fail(x);
        } else if (x->depth > 0 && take(x, "<![CDATA[")) {
            ph_str text = take_until(x, "]]>");
            return text.ptr ? text_token(x, text, true, out) : fail(x);
        } else if (take(x, "</")) {
            return close_tag(x, out);
        } else if (take(x, "<")) {
            return open_tag(x, out); /* "<!" and "<?" begin no name */
        } else if (x->depth > 0) {
            return plain_text(x, out);
        } else {
            return fail(x);
        }
    }
}

/* ---- Whole elements ---------------------------------------------------------------------------- */

int ph_xml_content(ph_xml *x, ph_buf *b)
{
    ph_xml_token t;
    size_t from = b->len;
    for (;;) {
        int err = ph_xml_next(x, &t);
        if (err != PH_OK)
            return err;
        if (t.kind == PH_XML_CLOSE)
            break;
        if (t.kind != PH_XML_TEXT)
            return fail(x);
        if (t.cdata)
            ph_buf_str(b, t.text);
        else if (ph_dec_xml(b, t.text) == PH_ERR_BAD_XML)
            return fail(x);
    }
    ph_str content = ph_str_trim(ph_buf_view_from(b, from));
    if (content.len > 0)
        memmove(b->ptr + from, content.ptr, content.len);
    b->len = from + content.len;
    return b->err;
}

int ph_xml_skip(ph_xml *x)
{
    ph_xml_token t;
    unsigned depth = x->depth;
    if (depth == 0)
        return fail(x);
    do {
        int err = ph_xml_next(x, &t);
        if (err != PH_OK)
            return err;
    } while (t.kind != PH_XML_CLOSE || t.depth > depth);
    return PH_OK;
}
