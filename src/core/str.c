/* SPDX-License-Identifier: MIT
 *
 * str - reading views. Lengths rule: a NUL is a byte like any other, an absent text is empty, and
 * no pointer arithmetic is done on NULL. Letters are ASCII's, whatever the locale.
 */
#include "str.h"

#include <string.h>

ph_str ph_str_from(const char *s)
{
    return (ph_str){s, s ? strlen(s) : 0};
}

bool ph_str_equal(ph_str a, ph_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/*
 * Eight bytes at a time, since session tokens are long. A byte has its highest bit set in one of the
 * three if it is below 0x21, above 0x7e, or above 0x7f; what it borrows or carries then changes nothing.
 */
bool ph_str_is_visible(ph_str s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t others = 0, eight;
    size_t i = 0;
    for (; s.len - i >= sizeof eight; i += sizeof eight) {
        memcpy(&eight, s.ptr + i, sizeof eight);
        others |= (eight - 0x21 * ones) | (eight + ones) | eight;
    }
    for (; i < s.len; i++)
        others |= (unsigned char)(s.ptr[i] - 0x21) > 0x7e - 0x21 ? 0x80 : 0;
    return (others & 0x80 * ones) == 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool ph_str_equal_nocase(ph_str a, ph_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

bool ph_str_starts(ph_str s, ph_str prefix)
{
    return s.len >= prefix.len && ph_str_equal((ph_str){s.ptr, prefix.len}, prefix);
}

bool ph_str_ends(ph_str s, ph_str suffix)
{
    return s.len >= suffix.len && ph_str_equal(ph_str_skip(s, s.len - suffix.len), suffix);
}

int ph_str_compare(ph_str a, ph_str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.ptr, b.ptr, common) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

size_t ph_str_find(ph_str s, char c)
{
    const char *at = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;
    return at ? (size_t)(at - s.ptr) : s.len;
}

ph_str ph_str_skip(ph_str s, size_t n)
{
    return n > 0 ? (ph_str){s.ptr + n, s.len - n} : s;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

ph_str ph_str_trim(ph_str s)
{
    while (s.len > 0 && is_space(s.ptr[0]))
        s = ph_str_skip(s, 1);
    while (s.len > 0 && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

ph_str ph_str_cut(ph_str *rest, char c)
{
    ph_str part = {rest->ptr, ph_str_find(*rest, c)};
    *rest = part.len < rest->len ? ph_str_skip(*rest, part.len + 1) : (ph_str){NULL, 0};
    return part;
}

bool ph_str_u64(ph_str s, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.ptr[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (s.len == 0)
        return false;
    *out = value;
    return true;
}

/*
 * The length of the well-formed sequence at the start of `p`, 0 if there is none. The bounds of
 * the second byte are what keeps out overlong forms, surrogates and everything above U+10FFFF
 * (Unicode's table 3-7).
 */
static size_t utf8_sequence(const unsigned char *p, size_t len)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t n;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        n = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        n = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        n = 4;
    else
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (len < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    }
    return n;
}

bool ph_str_is_utf8(ph_str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    for (size_t i = 0; i < s.len;) {
        size_t n = utf8_sequence(p + i, s.len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

void ph_wipe(void *data, size_t len)
{
    if (len > 0)
        memset(data, 0, len);
    /* The compiler must not assume that nobody looks at it any more. */
    __asm__ volatile("" : : "r"(data) : "memory");
}

size_t ph_str_control(ph_str s, size_t at)
{
    unsigned char c = (unsigned char)s.ptr[at];
    unsigned char next = at + 1 < s.len ? (unsigned char)s.ptr[at + 1] : 0;
    if (c == 0xc2 && next >= 0x80 && next < 0xa0)
        return 2;
    return c < 0x20 || c == 0x7f;
}

void ph_text_copy(char *place, size_t size, ph_str s)
{
    if (s.len >= size)
        for (s.len = size - 1; s.len > 0 && ((unsigned char)s.ptr[s.len] & 0xc0) == 0x80;)
            s.len--;
    if (s.len)
        memcpy(place, s.ptr, s.len);
    for (size_t i = 0; i < s.len; i++)
        memset(place + i, ' ', ph_str_control(s, i));
    place[s.len] = '\0';
}
