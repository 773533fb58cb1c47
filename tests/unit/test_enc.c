/* SPDX-License-Identifier: MIT
 *
 * Tests enc: RFC 4648's vectors, every byte through every encoding and back, and what a decoder
 * must refuse since it has no or more than one meaning.
 */
#include "test.h"
#include "core/enc.h"
#include "core/json.h"

#include <string.h>

static const ph_str absent = {NULL, 0};

/* ---- Hex and base64 -------------------------------------------------------------------------- */

static const struct {
    const char *plain, *base64, *base64url, *hex;
} rfc4648[] = {
    {"", "", "", ""},
    {"f", "Zg==", "Zg", "66"},
    {"fo", "Zm8=", "Zm8", "666f"},
    {"foo", "Zm9v", "Zm9v", "666f6f"},
    {"foob", "Zm9vYg==", "Zm9vYg", "666f6f62"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE", "666f6f6261"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy", "666f6f626172"},
    {"\xfb\xff\xfe", "+//+", "-__-", "fbfffe"},
};

static void test_rfc4648(void)
{
    for (size_t i = 0; i < COUNT(rfc4648); i++) {
        test_case("RFC 4648 \"%s\"", rfc4648[i].plain);
        ph_buf b;
        uint8_t out[16];
        size_t len;
        const void *plain = test_guard(rfc4648[i].plain, strlen(rfc4648[i].plain));
        size_t plain_len = strlen(rfc4648[i].plain);
        ph_buf_init(&b, 100);
        ph_buf_char(&b, '|');
        ph_enc_base64(&b, plain, plain_len);
        CHECK_STR(ph_buf_view_from(&b, 1), rfc4648[i].base64);
        ph_buf_reset(&b);
        ph_buf_char(&b, '|');
        ph_enc_base64url(&b, plain, plain_len);
        CHECK_STR(ph_buf_view_from(&b, 1), rfc4648[i].base64url);
        ph_buf_reset(&b);
        ph_buf_char(&b, '|');
        ph_enc_hex(&b, plain, plain_len);
        CHECK_STR(ph_buf_view_from(&b, 1), rfc4648[i].hex);
        ph_buf_clear(&b);

        ph_str text = test_guard_str(ph_str_from(rfc4648[i].base64));
        CHECK_INT(ph_dec_base64(text, out, sizeof out, &len), PH_OK);
        CHECK_STR(((ph_str){(char *)out, len}), rfc4648[i].plain);
        CHECK_INT(ph_dec_base64(text, out, plain_len, &len), PH_OK);
        if (plain_len > 0) {
            CHECK_INT(ph_dec_base64(text, out, plain_len - 1, &len), PH_ERR_TOO_LONG);
            CHECK_U64(len, 0);
        }
        text = test_guard_str(ph_str_from(rfc4648[i].hex));
        CHECK_INT(ph_dec_hex(text, out, sizeof out, &len), PH_OK);
        CHECK_STR(((ph_str){(char *)out, len}), rfc4648[i].plain);
        if (plain_len > 0)
            CHECK_INT(ph_dec_hex(text, out, plain_len - 1, &len), PH_ERR_TOO_LONG);
    }

    ph_buf file;
    ph_json *doc = NULL;
    if (test_vectors("base64-rfc4648/base64.json", &file)) {
        CHECK_INT(ph_json_parse(ph_buf_view(&file), &doc), PH_OK);
        size_t count = 0;
        for (const ph_json *c = ph_json_first(ph_json_member(doc, "cases")); c;
             c = ph_json_next(c), count++) {
            ph_str plain = ph_json_member_text(c, "ascii");
            test_case("shared RFC 4648 vector %zu", count);
            ph_buf b;
            ph_buf_init(&b, 1000);
            ph_enc_base64(&b, plain.ptr, plain.len);
            size_t split = b.len;
            ph_enc_base64url(&b, plain.ptr, plain.len);
            CHECK(ph_str_equal((ph_str){b.ptr, split}, ph_json_member_text(c, "base64")));
            CHECK(ph_str_equal(ph_buf_view_from(&b, split),
                               ph_json_member_text(c, "base64url_nopad")));
            ph_buf_clear(&b);
        }
        CHECK_U64(count, 7);
        ph_json_free(doc);
    }
    ph_buf_clear(&file);
}

static void test_refused(void)
{
    static const char *const base64[] = {
        "Z",
        "Zg",
        "Zg=",
        "Zg===",
        "Zh==", /* stray bits */
        "Zm9=",
        "Zm9vYm",
        "Zg==Zg==",
        "=",
        "==",
        "===",
        "====",
        "Z===",
        "Zm9v=",
        "Zm9v====",
        "Zm=v",
        "Z=9v",
        " Zg==",
        "Zg== ",
        "Zg==\n",
        "Zm9v\nYmE=",
        "-__-",
        "Zm9v!A==",
        "\xc3\xa4\xc3\xa4",
        "Zm9v\x7fg==",
    };
    uint8_t out[16];
    size_t len;
    for (size_t i = 0; i < COUNT(base64); i++) {
        test_case("base64 \"%s\"", base64[i]);
        ph_str text = test_guard_str(ph_str_from(base64[i]));
        CHECK_INT(ph_dec_base64(text, out, sizeof out, &len), PH_ERR_BAD_ENCODING);
        CHECK_U64(len, 0);
    }
    static const char *const hex[] = {"0", "0g", "0x", " 0", "0 ", "000", "-1", "+1", "\xff\xff"};
    for (size_t i = 0; i < COUNT(hex); i++) {
        test_case("hex \"%s\"", hex[i]);
        ph_str text = test_guard_str(ph_str_from(hex[i]));
        CHECK_INT(ph_dec_hex(text, out, sizeof out, &len), PH_ERR_BAD_ENCODING);
        CHECK_U64(len, 0);
    }
    test_case("hex in upper case");
    CHECK_INT(ph_dec_hex(PH_STR("aBCdEF09"), out, sizeof out, &len), PH_OK);
    CHECK_MEM(out, "\xab\xcd\xef\x09", 4);
    test_case("nothing");
    CHECK_INT(ph_dec_hex(absent, out, 0, &len), PH_OK);
    CHECK_INT(ph_dec_base64(absent, out, 0, &len), PH_OK);
    CHECK_U64(len, 0);
}

static void test_round_trip(void)
{
    uint64_t seed = 1;
    for (size_t n = 0; n < 600; n++) {
        test_case("round trip of %zu bytes", n);
        uint8_t bytes[600], back[600];
        size_t len;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)test_random(&seed);
        ph_buf b;
        ph_buf_init(&b, 4000);
        ph_enc_base64(&b, bytes, n);
        CHECK_U64(b.len, (n + 2) / 3 * 4);
        CHECK_INT(ph_dec_base64(ph_buf_view(&b), back, n, &len), PH_OK);
        CHECK_U64(len, n);
        CHECK_MEM(back, bytes, n);
        ph_buf_reset(&b);
        ph_enc_hex(&b, bytes, n);
        CHECK_INT(ph_dec_hex(ph_buf_view(&b), back, n, &len), PH_OK);
        CHECK_U64(len, n);
        CHECK_MEM(back, bytes, n);
        ph_buf_reset(&b);
        ph_enc_percent(&b, (ph_str){(char *)bytes, n}, n % 2 == 0);
        size_t from = b.len;
        ph_str encoded = ph_buf_view(&b);
        ph_buf decoded;
        ph_buf_init(&decoded, 600);
        CHECK_INT(ph_dec_percent(&decoded, encoded), PH_OK);
        CHECK_U64(decoded.len, n);
        CHECK_MEM(decoded.ptr, bytes, n);
        CHECK_U64(b.len, from);
        ph_buf_clear(&decoded);
        ph_buf_clear(&b);
    }
}

/* ---- Percent --------------------------------------------------------------------------------- */

static void test_percent(void)
{
    test_case("UriEncode of every byte");
    ph_buf b;
    ph_buf_init(&b, 1000);
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        bool stays = byte != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                         "0123456789-._~",
                                         byte) != NULL;
        char want[4] = {c, '\0'};
        if (!stays) {
            want[0] = '%';
            want[1] = "0123456789ABCDEF"[byte / 16];
            want[2] = "0123456789ABCDEF"[byte % 16];
            want[3] = '\0';
        }
        ph_buf_reset(&b);
        ph_enc_percent(&b, (ph_str){&c, 1}, false);
        CHECK_STR(ph_buf_view(&b), want);
        ph_buf_reset(&b);
        ph_enc_percent(&b, (ph_str){&c, 1}, true);
        CHECK_STR(ph_buf_view(&b), c == '/' ? "/" : want);
    }
    test_case("a key");
    ph_buf_reset(&b);
    ph_enc_percent(&b, PH_STR("a b/\xc3\xbc+%2F~.txt"), true);
    CHECK_STR(ph_buf_view(&b), "a%20b/%C3%BC%2B%252F~.txt");

    test_case("a form");
    ph_buf_reset(&b);
    ph_enc_form(&b, "Action", PH_STR("AssumeRole"));
    ph_enc_form(&b, "Policy", PH_STR("{\"a\": \"*/x\"}"));
    ph_enc_form(&b, "Empty", absent);
    CHECK_STR(ph_buf_view(&b), "Action=AssumeRole&Policy=%7B%22a%22%3A%20%22%2A%2Fx%22%7D&Empty=");
    ph_buf_clear(&b);

    static const struct {
        const char *text, *plain; /* NULL: refused */
    } cases[] = {
        {"", ""},       {"a+b", "a+b"}, {"%41%7a", "Az"}, {"%C3%bc", "\xc3\xbc"}, {"%25", "%"},
        {"%", NULL},    {"%4", NULL},   {"abc%4", NULL},  {"%4g", NULL},          {"%g4", NULL},
        {"%%41", NULL}, {"%+1", NULL},  {"% 41", NULL},   {"ok%41%", NULL},       {"%0x", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("percent \"%s\"", cases[i].text);
        ph_buf_init(&b, 100);
        ph_buf_cstr(&b, "before");
        int err = ph_dec_percent(&b, test_guard_str(ph_str_from(cases[i].text)));
        CHECK_INT(err, cases[i].plain ? PH_OK : PH_ERR_BAD_ENCODING);
        CHECK_STR(ph_buf_view_from(&b, 6), cases[i].plain ? cases[i].plain : "");
        CHECK_INT(b.err, PH_OK);
        ph_buf_clear(&b);
    }
    test_case("percent into a buffer that is full");
    ph_buf_init(&b, 2);
    CHECK_INT(ph_dec_percent(&b, PH_STR("%41%42%43")), PH_ERR_TOO_LONG);
    ph_buf_clear(&b);
}

/* ---- XML and JSON ---------------------------------------------------------------------------- */

static void test_xml(void)
{
    ph_buf b;
    ph_buf_init(&b, 1000);
    test_case("XML escapes");
    ph_enc_xml(&b, PH_STR("a<b>&\"c\"'\r\n\t\xc3\xbc&amp;"));
    CHECK_STR(ph_buf_view(&b), "a&lt;b&gt;&amp;&quot;c&quot;'&#13;\n\t\xc3\xbc&amp;amp;");
    ph_str escaped = ph_buf_view(&b);
    ph_buf plain;
    ph_buf_init(&plain, 1000);
    CHECK_INT(ph_dec_xml(&plain, escaped), PH_OK);
    CHECK_STR(ph_buf_view(&plain), "a<b>&\"c\"'\r\n\t\xc3\xbc&amp;");
    ph_buf_clear(&plain);
    ph_buf_clear(&b);

    static const struct {
        const char *text, *plain; /* NULL: refused */
    } cases[] = {
        {"", ""},
        {"abc", "abc"},
        {"&lt;&gt;&amp;&quot;&apos;", "<>&\"'"},
        {"&#34;a&#x22;", "\"a\""},
        {"&#xfc;&#x20AC;&#128512;", "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"&#1;&#8;&#x1f;&#xffff;", "\x01\x08\x1f\xef\xbf\xbf"}, /* keys have them */
        {"&#x7f;&#x80;&#x7ff;&#x800;&#xfffd;", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbd"},
        {"&#x10000;&#x10ffff;", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"&#9;&#10;&#13;", "\t\n\r"},
        {"&#000000000000000000000000038;", "&"},
        {"&amp;lt;", "&lt;"}, /* decoded once */
        {"&", NULL},
        {"a&", NULL},
        {"&amp", NULL},
        {"&;", NULL},
        {"&amp ;", NULL},
        {"&AMP;", NULL},
        {"&nbsp;", NULL},
        {"&a&amp;", NULL},
        {"&#;", NULL},
        {"&#x;", NULL},
        {"&#X41;", NULL},
        {"&#-1;", NULL},
        {"&#+1;", NULL},
        {"&#1a;", NULL},
        {"&#xg;", NULL},
        {"&#0;", NULL},
        {"&#xd800;", NULL},
        {"&#xdfff;", NULL},
        {"&#x110000;", NULL},
        {"&#4294967361;", NULL},           /* 2^32 + 65 */
        {"&#18446744073709551681;", NULL}, /* 2^64 + 65 */
        {"&#x100000000000041;", NULL},
        {"good &lt; then &bad;", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("XML \"%s\"", cases[i].text);
        ph_buf_init(&b, 100);
        ph_buf_cstr(&b, "before");
        int err = ph_dec_xml(&b, test_guard_str(ph_str_from(cases[i].text)));
        CHECK_INT(err, cases[i].plain ? PH_OK : PH_ERR_BAD_XML);
        CHECK_STR(ph_buf_view_from(&b, 6), cases[i].plain ? cases[i].plain : "");
        CHECK_INT(b.err, PH_OK);
        ph_buf_clear(&b);
    }
}

static void test_json(void)
{
    ph_buf b;
    ph_buf_init(&b, 1000);
    test_case("JSON escapes");
    ph_enc_json(&b, PH_STR("a\"b\\c/\0\n\x1f\x7f\xc3\xbc"));
    CHECK_STR(ph_buf_view(&b), "\"a\\\"b\\\\c/\\u0000\\u000a\\u001f\x7f\xc3\xbc\"");
    ph_buf_reset(&b);
    ph_enc_json(&b, absent);
    CHECK_STR(ph_buf_view(&b), "\"\"");
    ph_buf_clear(&b);
}

static void test_nomem(void)
{
    for (unsigned n = 0;; n++) {
        test_case("allocation %u fails", n);
        ph_buf b;
        ph_buf_init(&b, 10000);
        test_alloc_fail_after(n);
        for (size_t i = 0; i < 20; i++) {
            ph_enc_base64(&b, "some bytes", 10);
            ph_enc_percent(&b, PH_STR("some bytes"), false);
            ph_enc_xml(&b, PH_STR("<>"));
            ph_enc_json(&b, PH_STR("\n\n"));
        }
        int err = ph_dec_xml(&b, PH_STR("&lt;x&#65;"));
        int err2 = ph_dec_percent(&b, PH_STR("%41x"));
        bool short_of_memory = test_alloc_end();
        CHECK_INT(b.err, short_of_memory ? PH_ERR_NOMEM : PH_OK);
        CHECK_INT(err, b.err);
        CHECK_INT(err2, b.err);
        ph_buf_clear(&b);
        if (!short_of_memory)
            break;
    }
}

int main(void)
{
    test_rfc4648();
    test_refused();
    test_round_trip();
    test_percent();
    test_xml();
    test_json();
    test_nomem();
    return test_end();
}
