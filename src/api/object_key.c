/* SPDX-License-Identifier: MIT
 *
 * See object_key.h. Characters are dropped that cannot be seen but change what is seen or break
 * what is read later: C0 and C1 controls, bidirectional controls ("gpj.exe" shown as "exe.jpg"),
 * line separators, byte order marks, and the noncharacters that no XML listing could hold. What is
 * a wildcard or a variable in a policy ("*", "?", "${") or an escape in a URL ("%") becomes "_", so
 * that a policy can name each key that is given out.
 */
#include "object_key.h"

#include "core/endpoint.h"
#include "core/str.h"

#define MAX_EXTENSION 32 /* longer ones are rather a part of the name */

/* Cut the first character off valid UTF-8. */
static ph_str next_char(ph_str *rest, uint32_t *code)
{
    unsigned char lead = (unsigned char)rest->ptr[0];
    size_t len = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    uint32_t c = len == 1 ? lead : lead & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)rest->ptr[i] & 0x3Fu);
    ph_str whole = {rest->ptr, len};
    *rest = ph_str_skip(*rest, len);
    *code = c;
    return whole;
}

static bool is_unwanted(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0x00, 0x1F},     {0x7F, 0x9F},     {0x61C, 0x61C},   {0x200B, 0x200B}, {0x200E, 0x200F},
        {0x2028, 0x202E}, {0x2060, 0x2069}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    return (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF);
}

/* Characters that mean something in a policy or in what is made of a key, and are seen: replaced. */
static bool is_special(uint32_t c, ph_str rest)
{
    return c == '*' || c == '?' || c == '%' || (c == '$' && ph_str_starts(rest, PH_STR("{")));
}

/* `s` without half a character at its end. */
static ph_str whole_chars(ph_str s, size_t len)
{
    while (len > 0 && len < s.len && ((unsigned char)s.ptr[len] & 0xC0) == 0x80)
        len--;
    return (ph_str){s.ptr, len};
}

/* ".tar" of "a.tar", with its dot; absent where the name only begins with it. */
static ph_str extension(ph_str name)
{
    for (size_t i = name.len; i > 1 && name.len - i < MAX_EXTENSION; i--)
        if (name.ptr[i - 1] == '.')
            return ph_str_skip(name, i - 1);
    return (ph_str){NULL, 0};
}

static bool is_only_dots(ph_str s)
{
    size_t dots = 0;
    while (dots < s.len && s.ptr[dots] == '.')
        dots++;
    return dots == s.len;
}

/* see object_key.h */
void api_file_name_clean(ph_str name, ph_buf *b)
{
    for (size_t i = name.len; i > 0; i--)
        if (name.ptr[i - 1] == '/' || name.ptr[i - 1] == '\\') {
            name = ph_str_skip(name, i);
            break;
        }
    ph_buf visible;
    ph_buf_init(&visible, name.len + 1);
    for (ph_str rest = name; rest.len > 0;) {
        uint32_t code;
        ph_str c = next_char(&rest, &code);
        if (is_special(code, rest))
            ph_buf_char(&visible, '_');
        else if (!is_unwanted(code))
            ph_buf_str(&visible, c);
    }
    ph_str stem = ph_str_trim(ph_buf_view(&visible));
    ph_str end = {NULL, 0};
    if (stem.len > API_FILE_NAME_MAX) {
        end = extension(stem);
        stem = ph_str_trim(whole_chars(stem, API_FILE_NAME_MAX - end.len));
    }
    ph_buf clean;
    ph_buf_init(&clean, API_FILE_NAME_MAX);
    ph_buf_str(&clean, stem);
    ph_buf_str(&clean, end);

    ph_str result = ph_buf_view(&clean);
    /* No key may have "." or ".." as a segment, also not written as %2e. */
    if (is_only_dots(result) || ph_key_check(result) != PH_OK)
        result = PH_STR("file");
    if (visible.err != PH_OK || clean.err != PH_OK)
        b->err = PH_ERR_NOMEM;
    else
        ph_buf_str(b, result);
    ph_buf_clear(&clean);
    ph_buf_clear(&visible);
}

/* see object_key.h */
void api_id_write(uint64_t now_ms, const uint8_t random[10], char out[API_ID_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t bytes[16];
    for (int i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(now_ms >> (40 - 8 * i));
    for (int i = 0; i < 10; i++)
        bytes[6 + i] = random[i];
    bytes[6] = (uint8_t)(0x70 | (bytes[6] & 0x0F)); /* version 7 */
    bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3F)); /* variant of RFC 9562 */
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = hex[bytes[i] >> 4];
        *out++ = hex[bytes[i] & 15];
    }
    *out = '\0';
}

/* see object_key.h */
void api_folder_clean(ph_str path, ph_buf *b)
{
    while (path.ptr) {
        ph_str segment = ph_str_cut(&path, '/');
        if (segment.len == 0)
            continue;
        api_file_name_clean(segment, b);
        ph_buf_char(b, '/');
    }
}

/* see object_key.h */
int api_object_key(ph_str prefix, const char *id, ph_str name, ph_buf *b)
{
    size_t from = b->len;
    ph_buf_str(b, prefix);
    ph_buf_cstr(b, id);
    ph_buf_char(b, '/');
    api_file_name_clean(name, b);
    if (b->err != PH_OK)
        return b->err;
    return ph_key_check(ph_buf_view_from(b, from)) == PH_OK ? PH_OK : PH_ERR_BAD_KEY;
}
