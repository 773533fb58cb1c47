/* SPDX-License-Identifier: MIT
 *
 * Tests str: views with and without bytes, numbers at their limits, UTF-8 as Unicode defines it.
 */
#include "test.h"
#include "core/str.h"

#include <string.h>

static const ph_str absent = {NULL, 0};

static void test_compare(void)
{
    static const struct {
        ph_str a, b;
        int order;
        bool equal_nocase;
    } cases[] = {
        {BYTES(""), BYTES(""), 0, true},
        {{NULL, 0}, BYTES(""), 0, true},
        {{NULL, 0}, BYTES("a"), -1, false},
        {BYTES("a"), BYTES("a"), 0, true},
        {BYTES("a"), BYTES("b"), -1, false},
        {BYTES("a"), BYTES("ab"), -1, false},
        {BYTES("B"), BYTES("a"), -1, false},
        {BYTES("Az09"), BYTES("aZ09"), -1, true},
        {BYTES("["), BYTES("{"), -1, false},
        {BYTES("@"), BYTES("`"), -1, false},
        {BYTES("a\0b"), BYTES("a\0c"), -1, false},
        {BYTES("\x7f"), BYTES("\x80"), -1, false}, /* unsigned, else 0x80 would come first */
        {BYTES("z"), BYTES("\xc3\xa4"), -1, false},
        {BYTES("\xc3\x84"), BYTES("\xc3\xa4"), -1, false}, /* only ASCII folds */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("compare %zu", i);
        int order = ph_str_compare(cases[i].a, cases[i].b);
        CHECK_INT((order > 0) - (order < 0), cases[i].order);
        order = ph_str_compare(cases[i].b, cases[i].a);
        CHECK_INT((order > 0) - (order < 0), -cases[i].order);
        CHECK(ph_str_equal(cases[i].a, cases[i].b) == (cases[i].order == 0));
        CHECK(ph_str_equal_nocase(cases[i].a, cases[i].b) == cases[i].equal_nocase);
    }
}

static void test_visible(void)
{
    char text[21];
    for (size_t len = 0; len <= sizeof text; len++) {
        test_case("visible: %zu bytes", len);
        memset(text, '~', sizeof text);
        CHECK(ph_str_is_visible(test_guard_str((ph_str){text, len})));
        for (size_t i = 0; i < len; i++) {
            bool good = true;
            for (unsigned c = 0; c < 256; c++) {
                text[i] = (char)c;
                good = good && ph_str_is_visible((ph_str){text, len}) == (c > 0x20 && c < 0x7f);
            }
            CHECK(good);
            text[i] = '!';
        }
    }
}

static void test_pieces(void)
{
    test_case("from");
    CHECK_STR(ph_str_from("abc"), "abc");
    CHECK_STR(ph_str_from(NULL), NULL);
    CHECK(ph_str_from("").ptr != NULL);

    test_case("starts, ends");
    CHECK(ph_str_starts(PH_STR("abc"), PH_STR("ab")));
    CHECK(ph_str_starts(PH_STR("abc"), PH_STR("abc")));
    CHECK(!ph_str_starts(PH_STR("abc"), PH_STR("abcd")));
    CHECK(!ph_str_starts(PH_STR("abc"), PH_STR("b")));
    CHECK(ph_str_starts(PH_STR("abc"), absent));
    CHECK(ph_str_starts(absent, absent));
    CHECK(ph_str_ends(PH_STR("abc"), PH_STR("bc")));
    CHECK(!ph_str_ends(PH_STR("abc"), PH_STR("ab")));
    CHECK(!ph_str_ends(PH_STR("c"), PH_STR("bc")));
    CHECK(ph_str_ends(PH_STR("abc"), absent));
    CHECK(ph_str_ends(absent, absent));

    test_case("find, skip");
    CHECK_U64(ph_str_find(PH_STR("a:b:c"), ':'), 1);
    CHECK_U64(ph_str_find(PH_STR("abc"), ':'), 3);
    CHECK_U64(ph_str_find(absent, ':'), 0);
    CHECK_U64(ph_str_find(test_guard_str(PH_STR("abc")), '\0'), 3);
    CHECK_STR(ph_str_skip(PH_STR("abc"), 1), "bc");
    CHECK_STR(ph_str_skip(PH_STR("abc"), 3), "");
    CHECK_STR(ph_str_skip(absent, 0), NULL);

    test_case("trim");
    CHECK_STR(ph_str_trim(PH_STR(" \t\r\n a b \n")), "a b");
    CHECK_STR(ph_str_trim(PH_STR("ab")), "ab");
    CHECK_STR(ph_str_trim(PH_STR(" \n ")), "");
    CHECK_STR(ph_str_trim(PH_STR("\va\f")), "\va\f");
    CHECK_STR(ph_str_trim(absent), NULL);
}

static void test_cut(void)
{
    static const struct {
        const char *text;
        const char *parts[4];
    } cases[] = {
        {"", {""}},
        {"a", {"a"}},
        {"a,b", {"a", "b"}},
        {",", {"", ""}},
        {"a,,b", {"a", "", "b"}},
        {"a,", {"a", ""}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("cut \"%s\"", cases[i].text);
        ph_str rest = test_guard_str(ph_str_from(cases[i].text));
        for (size_t k = 0; k < 4 && cases[i].parts[k]; k++) {
            CHECK(rest.ptr != NULL);
            CHECK_STR(ph_str_cut(&rest, ','), cases[i].parts[k]);
        }
        CHECK_STR(rest, NULL);
    }
    ph_str rest = absent;
    CHECK_STR(ph_str_cut(&rest, ','), NULL);
}

static void test_u64(void)
{
    static const struct {
        const char *text;
        bool valid;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"7", true, 7},
        {"007", true, 7},
        {"10000", true, 10000},
        {"18446744073709551615", true, UINT64_MAX},
        {"00000000000000000000018446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"18446744073709551620", false, 0},
        {"99999999999999999999", false, 0},
        {"184467440737095516150", false, 0},
        {"", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"+1", false, 0},
        {"-1", false, 0},
        {"1.0", false, 0},
        {"0x10", false, 0},
        {"1e3", false, 0},
        {"\xd9\xa1", false, 0}, /* ARABIC-INDIC DIGIT ONE */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("number \"%s\"", cases[i].text);
        uint64_t value = 42;
        CHECK(ph_str_u64(test_guard_str(ph_str_from(cases[i].text)), &value) == cases[i].valid);
        CHECK_U64(value, cases[i].valid ? cases[i].value : 42);
    }
    uint64_t value;
    CHECK(!ph_str_u64(absent, &value));
}

/* Unicode's definition, by way of what a code point's one allowed form is. */
static bool is_utf8_reference(const unsigned char *p, size_t len)
{
    size_t i = 0;
    while (i < len) {
        size_t n = p[i] < 0x80             ? 1
                   : (p[i] & 0xe0) == 0xc0 ? 2
                   : (p[i] & 0xf0) == 0xe0 ? 3
                   : (p[i] & 0xf8) == 0xf0 ? 4
                                           : 0;
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (n == 0 || len - i < n)
            return false;
        uint32_t point = n == 1 ? p[i] : p[i] & (0xffu >> (n + 1));
        for (size_t k = 1; k < n; k++) {
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
            point = point << 6 | (p[i + k] & 0x3f);
        }
        if (point < least[n] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
            return false;
        i += n;
    }
    return true;
}

static void test_utf8(void)
{
    test_case("all pairs, and each with two continuation bytes");
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            unsigned char s[4] = {(unsigned char)a, (unsigned char)b, 0x80, 0xbf};
            for (size_t len = 1; len <= 4; len++) {
                ph_str view = test_guard_str((ph_str){(const char *)s, len});
                if (ph_str_is_utf8(view) != is_utf8_reference(s, len)) {
                    test_case("UTF-8 %02x %02x 80 bf, %zu bytes", a, b, len);
                    CHECK(false);
                }
            }
        }
    }
    test_case("UTF-8");
    CHECK(ph_str_is_utf8(absent));
    CHECK(ph_str_is_utf8(PH_STR("")));
    CHECK(ph_str_is_utf8(PH_STR("\0")));
    CHECK(ph_str_is_utf8(PH_STR("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8e\x89")));
    CHECK(ph_str_is_utf8(PH_STR("\xf4\x8f\xbf\xbf")));
    CHECK(!ph_str_is_utf8(PH_STR("\xf4\x90\x80\x80"))); /* above U+10FFFF */
    CHECK(!ph_str_is_utf8(PH_STR("\xed\xa0\x80")));     /* a surrogate */
    CHECK(!ph_str_is_utf8(PH_STR("\xc0\x80")));         /* overlong */
    CHECK(!ph_str_is_utf8(PH_STR("\xe2\x82\xac\xe2\x82")));
    CHECK(!ph_str_is_utf8(PH_STR("\xe2\x82z")));
    CHECK(!ph_str_is_utf8(PH_STR("\xf0\x9f\x8e\xc3")));
}

static void test_wipe(void)
{
    test_case("wipe");
    static const char zeros[16];
    char secret[16];
    memcpy(secret, "a secretecret se", sizeof secret);
    ph_wipe(secret, 8);
    CHECK_MEM(secret, zeros, 8);
    CHECK_MEM(secret + 8, "ecret se", 8);
    ph_wipe(secret, sizeof secret);
    CHECK_MEM(secret, zeros, 16);
    ph_wipe(NULL, 0);
}

static void test_text_copy(void)
{
    static const ph_str text = BYTES("a\xc3\xbc\xe2\x82\xac\xf0\x9f\x8e\x89z");
    static const size_t kept[] = {0, 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
    for (size_t size = 1; size < COUNT(kept); size++) {
        test_case("copied into %zu bytes", size);
        char place[16];
        memset(place, 'x', sizeof place);
        ph_text_copy(place, size, test_guard_str(text));
        CHECK_U64(strlen(place), kept[size]);
        CHECK_MEM(place, text.ptr, kept[size]);
        for (size_t i = size; i < sizeof place; i++)
            CHECK(place[i] == 'x');
    }
    test_case("copied without control characters");
    char place[64];
    ph_text_copy(place, sizeof place, PH_STR("a\0b\x1b[0m\r\n\t\x7f\x1f"));
    CHECK_STR(ph_str_from(place), "a b [0m     ");
    ph_text_copy(place, sizeof place,
                 PH_STR("\xc2\x80\xc2\x9b"
                        "1m\xc2\x9f\xc2\xa0\xc3\x80"));
    CHECK_STR(ph_str_from(place), "    1m  \xc2\xa0\xc3\x80");
    ph_text_copy(place, 2, PH_STR("\xc2\x9b"));
    CHECK_STR(ph_str_from(place), "");
    ph_text_copy(place, sizeof place, absent);
    CHECK_STR(ph_str_from(place), "");
}

int main(void)
{
    test_compare();
    test_visible();
    test_pieces();
    test_cut();
    test_u64();
    test_utf8();
    test_wipe();
    test_text_copy();
    return test_end();
}
