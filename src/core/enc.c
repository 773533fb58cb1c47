/* SPDX-License-Identifier: MIT
 *
 * enc - hex, base64 (RFC 4648), percent (RFC 3986, as SigV4 narrows it), XML and JSON escapes.
 * Decoders are strict: a value has one spelling, so what was read can be compared as text.
 */
#include "enc.h"

#include <string.h>

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* ---- Encoders -------------------------------------------------------------------------------- */

void ph_enc_hex(ph_buf *b, const void *data, size_t len)
{
    const uint8_t *p = data;
    char *to = ph_buf_room(b, 2 * len);
    for (size_t i = 0; to && i < 2 * len; i++)
        to[i] = "0123456789abcdef"[p[i / 2] >> (i % 2 ? 0 : 4) & 15];
}

static void add_base64(ph_buf *b, const uint8_t *p, size_t len, const char *digits, bool pad)
{
    for (; len > 0; p += len < 3 ? len : 3, len -= len < 3 ? len : 3) {
        uint32_t bits = (uint32_t)p[0] << 16;
        if (len > 1)
            bits |= (uint32_t)p[1] << 8;
        if (len > 2)
            bits |= p[2];
        const char quad[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
                              len > 1 ? digits[bits >> 6 & 63] : '=',
                              len > 2 ? digits[bits & 63] : '='};
        ph_buf_add(b, quad, pad || len > 2 ? 4 : len + 1);
    }
}

void ph_enc_base64(ph_buf *b, const void *data, size_t len)
{
    add_base64(b, data, len, base64_digits, true);
}

void ph_enc_base64url(ph_buf *b, const void *data, size_t len)
{
    add_base64(b, data, len, base64url_digits, false);
}

/*
 * RFC 3986's unreserved characters, which SigV4 leaves as they are, a bit for each: digits and "-.",
 * large letters and "_", small ones and "~".
 */
static bool is_unreserved(char c)
{
    static const uint32_t set[8] = {0, 0x03ff6000, 0x87fffffe, 0x47fffffe};
    return set[(uint8_t)c / 32] >> ((uint8_t)c % 32) & 1;
}

void ph_enc_percent(ph_buf *b, ph_str s, bool keep_slash)
{
    size_t from = 0; /* what lies before went out */
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (is_unreserved(c) || (c == '/' && keep_slash))
            continue;
        unsigned byte = (unsigned char)c;
        const char triple[3] = {'%', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15]};
        ph_buf_add(b, s.ptr + from, i - from);
        ph_buf_add(b, triple, 3);
        from = i + 1;
    }
    ph_buf_str(b, ph_str_skip(s, from));
}

void ph_enc_form(ph_buf *b, const char *name, ph_str value)
{
    if (b->len > 0)
        ph_buf_char(b, '&');
    ph_enc_percent(b, ph_str_from(name), false);
    ph_buf_char(b, '=');
    ph_enc_percent(b, value, false);
}

void ph_enc_xml(ph_buf *b, ph_str s)
{
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        const char *entity = NULL;
        switch (s.ptr[i]) {
        case '&': entity = "&amp;"; break;
        case '<': entity = "&lt;"; break;
        case '>': entity = "&gt;"; break;
        case '"': entity = "&quot;"; break;
        case '\r': entity = "&#13;"; break; /* bare, a reader makes it a newline */
        default: continue;
        }
        ph_buf_add(b, s.ptr + from, i - from);
        ph_buf_cstr(b, entity);
        from = i + 1;
    }
    ph_buf_str(b, ph_str_skip(s, from));
}

void ph_enc_json(ph_buf *b, ph_str s)
{
    size_t from = 0; /* what lies before went out */
    ph_buf_char(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned byte = (unsigned char)s.ptr[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\')
            continue;
        ph_buf_add(b, s.ptr + from, i - from);
        from = i + 1;
        if (byte < 0x20) {
            ph_buf_cstr(b, "\\u00");
            ph_enc_hex(b, &s.ptr[i], 1);
        } else {
            ph_buf_char(b, '\\');
            ph_buf_char(b, (char)byte);
        }
    }
    ph_buf_str(b, ph_str_skip(s, from));
    ph_buf_char(b, '"');
}

/* ---- Decoders -------------------------------------------------------------------------------- */

/* The value of a hex digit, -1 if it is none. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int ph_dec_hex_pair(const char *p)
{
    int high = hex_value(p[0]), low = hex_value(p[1]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

int ph_dec_hex(ph_str s, void *out, size_t cap, size_t *out_len)
{
    uint8_t *p = out;
    *out_len = 0;
    if (s.len % 2 != 0)
        return PH_ERR_BAD_ENCODING;
    if (s.len / 2 > cap)
        return PH_ERR_TOO_LONG;
    for (size_t i = 0; i < s.len / 2; i++) {
        int byte = ph_dec_hex_pair(s.ptr + 2 * i);
        if (byte < 0)
            return PH_ERR_BAD_ENCODING;
        p[i] = (uint8_t)byte;
    }
    *out_len = s.len / 2;
    return PH_OK;
}

/* The value of a base64 digit, -1 if it is none. */
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int ph_dec_base64(ph_str s, void *out, size_t cap, size_t *out_len)
{
    uint8_t *p = out;
    *out_len = 0;
    if (s.len % 4 != 0)
        return PH_ERR_BAD_ENCODING;
    size_t pad = 0;
    while (pad < 2 && pad < s.len && s.ptr[s.len - 1 - pad] == '=')
        pad++;
    size_t len = s.len / 4 * 3 - pad;
    if (len > cap)
        return PH_ERR_TOO_LONG;
    uint32_t bits = 0;
    size_t at = 0;
    for (size_t i = 0; i < s.len; i++) {
        int value = i < s.len - pad ? base64_value(s.ptr[i]) : 0;
        if (value < 0)
            return PH_ERR_BAD_ENCODING;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 3)
            continue;
        size_t n = len - at < 3 ? len - at : 3;
        if (n < 3 && (bits & (0xffffffu >> (8 * n)) & 0xffffffu) != 0)
            return PH_ERR_BAD_ENCODING; /* bits that stand for nothing */
        for (size_t k = 0; k < n; k++)
            p[at++] = (uint8_t)(bits >> (16 - 8 * k));
        bits = 0;
    }
    *out_len = len;
    return PH_OK;
}

/* Take back what was added since the buffer was `from` bytes long. */
static int refuse(ph_buf *b, size_t from, int err)
{
    b->len = from;
    return err;
}

int ph_dec_percent(ph_buf *b, ph_str s)
{
    size_t from = b->len;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '%') {
            ph_buf_char(b, s.ptr[i]);
            continue;
        }
        int byte = s.len - i > 2 ? ph_dec_hex_pair(s.ptr + i + 1) : -1;
        if (byte < 0)
            return refuse(b, from, PH_ERR_BAD_ENCODING);
        ph_buf_char(b, (char)byte);
        i += 2;
    }
    return b->err;
}

static void add_utf8(ph_buf *b, uint32_t point)
{
    char bytes[4];
    size_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    bytes[0] = (char)(lead[n] | point);
    ph_buf_add(b, bytes, n);
}

/*
 * Read the digits of a character reference, without "&#" and ";". XML 1.0 has none of most control
 * characters, but S3 refers to those of a key, as XML 1.1 does.
 */
static bool read_reference(ph_str digits, uint32_t *out)
{
    uint32_t base = 10, point = 0;
    if (digits.len > 0 && digits.ptr[0] == 'x') {
        base = 16;
        digits = ph_str_skip(digits, 1);
    }
    for (size_t i = 0; i < digits.len; i++) {
        int value = hex_value(digits.ptr[i]);
        if (value < 0 || (uint32_t)value >= base || point > 0x10ffff)
            return false;
        point = point * base + (uint32_t)value;
    }
    *out = point;
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    return point > 0 && point <= 0x10ffff && !surrogate;
}

int ph_dec_xml(ph_buf *b, ph_str s)
{
    static const struct {
        const char *name;
        char c;
    } entities[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    size_t from = b->len;
    while (s.len > 0) {
        size_t plain = ph_str_find(s, '&');
        ph_buf_add(b, s.ptr, plain);
        s = ph_str_skip(s, plain);
        if (s.len == 0)
            break;
        ph_str name = {s.ptr + 1, ph_str_find(s, ';')};
        if (name.len-- == s.len) /* without the "&" before it */
            return refuse(b, from, PH_ERR_BAD_XML);
        s = ph_str_skip(s, name.len + 2);
        uint32_t point = 0;
        if (name.len > 0 && name.ptr[0] == '#') {
            if (!read_reference(ph_str_skip(name, 1), &point))
                return refuse(b, from, PH_ERR_BAD_XML);
        } else {
            for (size_t i = 0; i < sizeof entities / sizeof *entities; i++) {
                if (ph_str_equal(name, ph_str_from(entities[i].name)))
                    point = (unsigned char)entities[i].c;
            }
            if (point == 0)
                return refuse(b, from, PH_ERR_BAD_XML);
        }
        add_utf8(b, point);
    }
    return b->err;
}
