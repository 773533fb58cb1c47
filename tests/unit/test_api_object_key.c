/* SPDX-License-Identifier: MIT
 *
 * Tests the API's object_key: what becomes of file names, kind and hostile.
 */
#include "test.h"

#include "api/object_key.h"
#include "core/endpoint.h"
#include "core/str.h"

#include <stdio.h>
#include <string.h>

/* The text stays until the next call but one, so that an expression may have two. */
static const char *repeat(const char *text, size_t times)
{
    static char places[2][4096];
    static size_t next;
    char *out = places[next++ % 2];
    out[0] = '\0';
    while (times-- > 0)
        strcat(out, text);
    return out;
}

static void check_name(ph_str name, const char *want)
{
    ph_buf b;
    ph_buf_init(&b, 1024);
    api_file_name_clean(test_guard_str(name), &b);
    CHECK_STR(ph_buf_view(&b), want);
    CHECK(b.len <= API_FILE_NAME_MAX);
    CHECK_INT(ph_key_check(ph_buf_view(&b)), PH_OK);
    ph_buf_clear(&b);
}

static void test_names(void)
{
    const struct {
        ph_str name;
        const char *want;
    } cases[] = {
        {PH_STR("video.mp4"), "video.mp4"},
        {PH_STR("\xC3\x9C"
                "bersicht (1).pdf"),
         "\xC3\x9C"
         "bersicht (1).pdf"},
        {PH_STR("\xF0\x9F\x98\x80.png"), "\xF0\x9F\x98\x80.png"},
        {PH_STR("a%41+&=?#*${aws:username}"), "a_41+&=_#__{aws:username}"},
        {PH_STR(".bashrc"), ".bashrc"},
        {PH_STR("a..b"), "a..b"},
        {PH_STR("..a"), "..a"},
        /* the part behind the last separator */
        {PH_STR("/etc/passwd"), "passwd"},
        {PH_STR("../../bob/x"), "x"},
        {PH_STR("C:\\fakepath\\x.txt"), "x.txt"},
        {PH_STR("a/b\\c"), "c"},
        /* nothing left */
        {PH_STR(""), "file"},
        {PH_STR("dir/"), "file"},
        {PH_STR("."), "file"},
        {PH_STR(".."), "file"},
        {PH_STR("..."), "file"},
        {PH_STR("%2e%2E"), "_2e_2E"},
        {PH_STR(".%2e"), "._2e"},
        {PH_STR("   "), "file"},
        {PH_STR(" .. "), "file"},
        {PH_STR("\0"), "file"},
        {PH_STR("\xE2\x80\xAE"), "file"},
        {PH_STR(".\xE2\x80\x8B."), "file"},
        /* what cannot be seen */
        {PH_STR("a\0b\x01\x1F\x7F"
                "c"),
         "abc"},
        {PH_STR("a\r\nb: c"), "ab: c"},
        {PH_STR("a\xC2\x85"
                "b\xC2\x9F"
                "c"),
         "abc"},
        {PH_STR("photo\xE2\x80\xAEgpj.exe"), "photogpj.exe"},
        {PH_STR("\xD8\x9C"
                "a\xE2\x81\xA6"
                "b\xE2\x81\xA9"
                "c\xE2\x80\xA8"
                "d"),
         "abcd"},
        {PH_STR("\xEF\xBB\xBF"
                "bom\xEF\xBF\xBE\xEF\xB7\x90"),
         "bom"},
        {PH_STR("\xD9\x85\xDB\x8C\xE2\x80\x8C\xD8\xAE"), /* Persian needs its non-joiner */
         "\xD9\x85\xDB\x8C\xE2\x80\x8C\xD8\xAE"},
        /* spaces at the ends */
        {PH_STR("  a b.txt \t"), "a b.txt"},
        {PH_STR("\x01 a \x02"), "a"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("name %zu", i);
        check_name(cases[i].name, cases[i].want);
    }
}

static void test_long_names(void)
{
    char name[4200], want[4200];
    test_case("255 bytes stay");
    check_name(ph_str_from(repeat("x", 255)), repeat("x", 255));
    test_case("256 are cut");
    snprintf(want, sizeof want, "%s", repeat("x", 255));
    check_name(ph_str_from(repeat("x", 256)), want);
    test_case("the extension stays");
    snprintf(name, sizeof name, "%s.tar.gz", repeat("x", 400));
    snprintf(want, sizeof want, "%s.gz", repeat("x", 252));
    check_name(ph_str_from(name), want);
    test_case("a long extension is not one");
    snprintf(name, sizeof name, "a.%s", repeat("x", 400));
    snprintf(want, sizeof want, "a.%s", repeat("x", 253));
    check_name(ph_str_from(name), want);
    test_case("characters stay whole");
    snprintf(name, sizeof name, "%s.jpg", repeat("\xF0\x9F\x98\x80", 100));
    snprintf(want, sizeof want, "%s.jpg", repeat("\xF0\x9F\x98\x80", 62));
    check_name(ph_str_from(name), want); /* 251 bytes of room: 62 characters of four */
    test_case("no space where it is cut");
    snprintf(name, sizeof name, "%s    %s.txt", repeat("x", 250), repeat("y", 50));
    snprintf(want, sizeof want, "%s.txt", repeat("x", 250));
    check_name(ph_str_from(name), want);
    test_case("every length");
    for (size_t n = 240; n < 300; n++) {
        ph_buf b;
        ph_buf_init(&b, 1024);
        memset(name, 'x', n);
        memcpy(name + n, "\xE2\x82\xAC\xE2\x82\xAC.a", 9);
        api_file_name_clean(ph_str_from(name), &b);
        CHECK(b.len <= 255 && b.len >= (n < 242 ? n + 8 : 250) && ph_str_is_utf8(ph_buf_view(&b)));
        CHECK(ph_str_ends(ph_buf_view(&b), PH_STR(".a")));
        ph_buf_clear(&b);
    }
    test_case("memory fails");
    for (unsigned n = 0;; n++) {
        ph_buf b;
        ph_buf_init(&b, 1024);
        test_alloc_fail_after(n);
        api_file_name_clean(PH_STR("video.mp4"), &b);
        bool failed = test_alloc_end();
        CHECK_INT(b.err, failed ? PH_ERR_NOMEM : PH_OK);
        ph_buf_clear(&b);
        if (!failed)
            break;
    }
}

/* Random mixtures of what is dangerous: always a good last segment, and always the same one. */
static void test_any_name(void)
{
    static const char *const bits[] = {"/",
                                       "\\",
                                       ".",
                                       "..",
                                       "%2e",
                                       " ",
                                       "a",
                                       "\x01",
                                       "\xE2\x80\xAE",
                                       "\xC3\xA9",
                                       "*",
                                       "?",
                                       "${x}",
                                       "\t",
                                       "\xEF\xBB\xBF",
                                       "\xF0\x9F\x98\x80",
                                       "\"",
                                       "~"};
    uint64_t seed = 3;
    test_case("any name");
    for (int round = 0; round < 5000; round++) {
        char name[256] = "";
        for (uint64_t n = test_random(&seed) % 12; n > 0; n--)
            strcat(name, bits[test_random(&seed) % COUNT(bits)]);
        ph_buf once, twice;
        ph_buf_init(&once, 1024);
        ph_buf_init(&twice, 1024);
        api_file_name_clean(ph_str_from(name), &once);
        api_file_name_clean(ph_buf_view(&once), &twice);
        CHECK(ph_str_equal(ph_buf_view(&once), ph_buf_view(&twice)));
        CHECK_INT(ph_key_check(ph_buf_view(&once)), PH_OK);
        CHECK(ph_str_find(ph_buf_view(&once), '/') == once.len);
        ph_buf_clear(&once);
        ph_buf_clear(&twice);
    }
}

static void test_keys(void)
{
    test_case("id");
    static const uint8_t zeros[10] = {0},
                         ones[10] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    char id[API_ID_LEN + 1];
    api_id_write(UINT64_C(0x017F22E279B0), zeros, id); /* the time of RFC 9562's example */
    CHECK_STR(ph_str_from(id), "017f22e2-79b0-7000-8000-000000000000");
    api_id_write(UINT64_C(0xFFFFFFFFFFFF), ones, id);
    CHECK_STR(ph_str_from(id), "ffffffff-ffff-7fff-bfff-ffffffffffff");

    test_case("key");
    ph_buf b;
    ph_buf_init(&b, 2048);
    CHECK_INT(api_object_key(PH_STR("upload/alice/"), "ID", PH_STR("../b/c.txt"), &b), PH_OK);
    CHECK_STR(ph_buf_view(&b), "upload/alice/ID/c.txt");
    ph_buf_reset(&b);
    static char prefix[1024];
    memset(prefix, 'p', sizeof prefix);
    prefix[sizeof prefix - 1] = '/';
    CHECK_INT(api_object_key((ph_str){prefix, sizeof prefix}, "ID", PH_STR("c"), &b),
              PH_ERR_BAD_KEY);
    ph_buf_clear(&b);
}

int main(void)
{
    test_names();
    test_long_names();
    test_any_name();
    test_keys();
    return test_end();
}
