/* SPDX-License-Identifier: MIT
 *
 * Tests json: documents that are JSON, documents that only a lenient reader takes for it, each cut
 * short at every byte; depth, duplicates, size, and a failing allocator.
 */
#include "test.h"
#include "core/enc.h"
#include "core/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ph_str absent = {NULL, 0};

static int parse_only(ph_str text)
{
    ph_json *doc;
    int err = ph_json_parse(test_guard_str(text), &doc);
    CHECK((doc != NULL) == (err == PH_OK));
    ph_json_free(doc);
    return err;
}

/* ---- Reading ----------------------------------------------------------------------------------- */

static const char sample[] =
    "\t{ \"accessKeyId\" : \"AKIA\",\r\n \"list\":[1, 2.5,-0, 1e3 ,{\"x\":[]},"
    "null,true,false , \"\"],\"\":\"empty name\",\"n\":9007199254740991,"
    "\"esc\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00fc\\u20AC\\ud83c\\uDF89\","
    "\"o\":{ } } \n";

static void test_read(void)
{
    test_case("sample");
    ph_json *doc;
    CHECK_INT(ph_json_parse(test_guard_str((ph_str){sample, sizeof sample - 1}), &doc), PH_OK);
    CHECK(ph_json_is_object(doc));
    CHECK(!ph_json_is_array(doc));
    CHECK_STR(ph_json_name(doc), NULL);
    CHECK_STR(ph_json_member_text(doc, "accessKeyId"), "AKIA");
    CHECK_STR(ph_json_member_text(doc, "AccessKeyId"), NULL); /* names are exact */
    CHECK_STR(ph_json_member_text(doc, "accessKey"), NULL);
    CHECK_STR(ph_json_member_text(doc, ""), "empty name");
    CHECK_STR(ph_json_member_text(doc, "list"), NULL);
    CHECK_STR(ph_json_member_text(doc, "esc"),
              "\"\\/\b\f\n\r\t\xc3\xbc\xe2\x82\xac\xf0\x9f\x8e\x89");
    uint64_t n = 0;
    CHECK(ph_json_u64(ph_json_member(doc, "n"), &n));
    CHECK_U64(n, UINT64_C(9007199254740991));
    CHECK(!ph_json_u64(ph_json_member(doc, "accessKeyId"), &n));

    const ph_json *v = ph_json_first(doc);
    CHECK_STR(ph_json_name(v), "accessKeyId");
    v = ph_json_next(v);
    CHECK_STR(ph_json_name(v), "list");
    CHECK(ph_json_is_array(v));
    CHECK(ph_json_member(v, "x") == NULL);
    v = ph_json_first(v);
    CHECK_STR(ph_json_name(v), NULL);
    CHECK(ph_json_u64(v, &n) && n == 1);
    v = ph_json_next(v);
    CHECK(!ph_json_u64(v, &n)); /* 2.5 */
    v = ph_json_next(v);
    CHECK(ph_json_u64(v, &n) && n == 0);
    v = ph_json_next(v);
    CHECK(ph_json_u64(v, &n) && n == 1000);
    v = ph_json_next(v);
    CHECK(ph_json_is_array(ph_json_member(v, "x")));
    CHECK(ph_json_first(ph_json_member(v, "x")) == NULL);
    v = ph_json_next(v);
    CHECK(!ph_json_is_true(v) && !ph_json_is_object(v) && !ph_json_u64(v, &n));
    CHECK(ph_json_is_null(v));
    v = ph_json_next(v);
    CHECK(ph_json_is_true(v) && !ph_json_is_null(v));
    v = ph_json_next(v);
    CHECK(!ph_json_is_true(v));
    v = ph_json_next(v);
    CHECK_STR(ph_json_text(v), "");
    CHECK(ph_json_next(v) == NULL);
    CHECK(ph_json_is_object(ph_json_member(doc, "o")));
    CHECK(ph_json_first(ph_json_member(doc, "o")) == NULL);
    ph_json_free(doc);

    test_case("nothing");
    CHECK(ph_json_member(NULL, "x") == NULL);
    CHECK(ph_json_first(NULL) == NULL);
    CHECK(ph_json_next(NULL) == NULL);
    CHECK_STR(ph_json_name(NULL), NULL);
    CHECK_STR(ph_json_text(NULL), NULL);
    CHECK_STR(ph_json_member_text(NULL, "x"), NULL);
    CHECK(!ph_json_u64(NULL, &n));
    CHECK(!ph_json_is_object(NULL) && !ph_json_is_array(NULL) && !ph_json_is_true(NULL));
    CHECK(ph_json_is_null(NULL));
    ph_json_free(NULL);

    test_case("cut short");
    for (size_t len = 0; len < sizeof sample - 3; len++)
        CHECK_INT(parse_only((ph_str){sample, len}), PH_ERR_BAD_JSON);
    CHECK_INT(parse_only(absent), PH_ERR_BAD_JSON);
}

static void test_numbers(void)
{
    static const struct {
        const char *text;
        bool whole;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"1", true, 1},
        {"-1", false, 0},
        {"0.5", false, 0},
        {"1.0", true, 1},
        {"12.50e1", true, 125},
        {"1e-1", false, 0},
        {"1E+2", true, 100},
        {"9007199254740991", true, UINT64_C(9007199254740991)},
        {"9007199254740992", false, 0},
        {"9007199254740993", false, 0}, /* would round to another number */
        {"18446744073709551616", false, 0},
        {"1e999", false, 0},
        {"-1e999", false, 0},
        {"1e-999", true, 0},
        {"123456789012345678901234567890123456789012345678901234567890123", false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("number %s", cases[i].text);
        ph_json *doc;
        uint64_t value = 42;
        CHECK_INT(ph_json_parse(test_guard_str(ph_str_from(cases[i].text)), &doc), PH_OK);
        CHECK(ph_json_u64(doc, &value) == cases[i].whole);
        CHECK_U64(value, cases[i].whole ? cases[i].value : 42);
        ph_json_free(doc);
    }
}

/* Beside the C library's strtod, in the "C" locale that it has here. */
static void test_number_reader(void)
{
    static const char *const special[] = {"0",      "-0.0",          "0e5",           "1e22",
                                          "1e-22",  "1e308",         "-1e309",        "4.9e-324",
                                          "1e-400", "1e99999999999", "0e-99999999999"};
    uint64_t random = 1;
    for (size_t i = 0; i < 200000; i++) {
        char text[64];
        if (i < COUNT(special)) {
            snprintf(text, sizeof text, "%s", special[i]);
        } else {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            unsigned long long digits = random >> 32 | (random & 1 ? random >> 12 : 0);
            int exponent = (int)(random >> 20 & 31) - 15; /* the point moves it by up to 5 more */
            snprintf(text, sizeof text, "%s%llu.%05lluE%+d", random & 2 ? "-" : "",
                     digits % 10000000000u, digits % 100000, exponent);
        }
        char *end, *expected_end;
        double expected = strtod(text, &expected_end), number = ph_json_number(text, &end);
        bool far = i < COUNT(special) && i >= 5; /* beyond the exponents that are exact */
        bool same =
            number == expected || (far && fabs(number - expected) <= fabs(expected) * 1e-14);
        if (same && end == expected_end)
            continue;
        test_case("number %s", text);
        CHECK(same && end == expected_end);
    }
    char *end;
    test_case("where a number ends");
    CHECK(ph_json_number("1.5.5", &end) == 1.5 && *end == '.');
    test_case("more digits than a double tells apart");
    double many = ph_json_number("0.333333333333333333333333333333333333e10", &end);
    CHECK(fabs(many - 3333333333.3333335) < 1e-5 && *end == '\0');
}

/* ---- Refusing ---------------------------------------------------------------------------------- */

static void test_accepted(void)
{
    static const char *const cases[] = {
        "{}",
        "[]",
        "null",
        "true",
        "false",
        "\"\"",
        "0",
        " [ ] ",
        "[[]]",
        "[{}]",
        "{\"a\":{}}",
        "[[],[]]",
        "[\"\x7f\"]",
        "\"\xf0\x9f\x8e\x89\"",
        "\"\\u0001\"",
        "\"\\uD800\\uDC00\"",
        "\"\\udbff\\udfff\"",
        "\"\\ue000\\ud7ff\"",
        "[1,2]",
        "[1e5]",
        "{\"a\":-1.5E+2}",
        "{\"a\":1,\"A\":2,\"\":3}",
        "[{\"a\":1},{\"a\":2}]",
        "{\"a\":{\"a\":{\"a\":1}}}",
        "\n\t\r 1\n",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("%s", cases[i]);
        CHECK_INT(parse_only(ph_str_from(cases[i])), PH_OK);
    }
}

static void test_refused(void)
{
    static const ph_str cases[] = {
        BYTES(""),
        BYTES(" "),
        BYTES("x"),
        BYTES("nul"),
        BYTES("nulll"),
        BYTES("True"),
        BYTES("undefined"),
        BYTES("NaN"),
        BYTES("Infinity"),
        BYTES("'a'"),
        BYTES("\"a"),
        BYTES("{"),
        BYTES("}"),
        BYTES("["),
        BYTES("]"),
        BYTES("[}"),
        BYTES("{]"),
        BYTES("[1"),
        BYTES("[1}"),
        BYTES("{\"a\":1]"),
        BYTES("[1,]"),
        BYTES("[,1]"),
        BYTES("[,]"),
        BYTES("[1,,2]"),
        BYTES("[1 2]"),
        BYTES("{,}"),
        BYTES("{\"a\"}"),
        BYTES("{\"a\":}"),
        BYTES("{\"a\":1,}"),
        BYTES("{\"a\" 1}"),
        BYTES("{a:1}"),
        BYTES("{1:1}"),
        BYTES("{\"a\":1 \"b\":2}"),
        BYTES("{\"a\":1}}"),
        BYTES("[]]"),
        BYTES("[] []"),
        BYTES("1 2"),
        BYTES("{}x"),
        BYTES("{}\0"),
        BYTES("\0{}"),
        BYTES("[]//"),
        BYTES("/**/[]"),
        BYTES("[1]#"),
        BYTES(",") /* structure */,
        BYTES("\xef\xbb\xbf{}"),
        BYTES("\f[]"),
        BYTES("\v[]"),
        BYTES("\x01[]"),
        BYTES("[]\xa0"),
        BYTES("\xe3\x80\x80[]") /* what is no white space */,
        BYTES("01"),
        BYTES("-01"),
        BYTES("00"),
        BYTES("+1"),
        BYTES("-"),
        BYTES("."),
        BYTES(".5"),
        BYTES("1."),
        BYTES("1.e5"),
        BYTES("1e"),
        BYTES("1e+"),
        BYTES("1e5.5"),
        BYTES("--1"),
        BYTES("0x10"),
        BYTES("1_000"),
        BYTES("-a"),
        BYTES("1a"),
        BYTES("- 1"),
        BYTES("1234567890123456789012345678901234567890123456789012345678901234") /* 64 digits */,
        BYTES("\"\n\""),
        BYTES("\"\t\""),
        BYTES("\"\x1f\""),
        BYTES("\"\0\""),
        BYTES("\"\\x41\""),
        BYTES("\"\\\""),
        BYTES("\"\\"),
        BYTES("\"\\'\""),
        BYTES("\"\\u\""),
        BYTES("\"\\u12\""),
        BYTES("\"\\u123\""),
        BYTES("\"\\u12g4\""),
        BYTES("\"\\U0041\""),
        BYTES("\"\\\0\""),
        BYTES("\"\\u0000\""),
        BYTES("\"a\\u0000b\""),
        BYTES("{\"a\\u0000\":1}") /* NUL */,
        BYTES("\"\\ud800\""),
        BYTES("\"\\ud800x\""),
        BYTES("\"\\ud800\\n\""),
        BYTES("\"\\ud800\\ud800\""),
        BYTES("\"\\udc00\""),
        BYTES("\"\\udc00\\ud800\""),
        BYTES("\"\\ud800\\u0041\""),
        BYTES("\"\\ud83c\\udf8\"") /* surrogates */,
        BYTES("\"\x80\""),
        BYTES("\"\xc3\""),
        BYTES("\"\xc0\x80\""),
        BYTES("\"\xed\xa0\x80\""),
        BYTES("\"\xf4\x90\x80\x80\""),
        BYTES("\"\xff\""),
        BYTES("{\"\xc3\":1}") /* no UTF-8 */,
        BYTES("{\"a\":1,\"a\":1}"),
        BYTES("{\"\":1,\"\":2}"),
        BYTES("{\"a\":1,\"b\":2,\"a\":3}"),
        BYTES("{\"a\":1,\"\\u0061\":2}"),
        BYTES("[0,{\"b\":{\"c\":[{\"x\":1,\"x\":2}]}}]") /* twice */,
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("%zu, \"%.*s\"", i, (int)cases[i].len, cases[i].ptr);
        CHECK_INT(parse_only(cases[i]), PH_ERR_BAD_JSON);
    }
}

/* A byte changed at every place of a document: whatever is made of it, nothing breaks. */
static void test_mutated(void)
{
    static const char bytes[] = "\0\"\\{}[]:,0e-x \n\x80\xff";
    char text[sizeof sample];
    unsigned accepted = 0;
    test_case("mutated");
    for (size_t i = 0; i < sizeof sample - 1; i++) {
        for (size_t k = 0; k < sizeof bytes - 1; k++) {
            memcpy(text, sample, sizeof sample);
            text[i] = bytes[k];
            int err = parse_only((ph_str){text, sizeof sample - 1});
            CHECK(err == PH_OK || err == PH_ERR_BAD_JSON);
            accepted += err == PH_OK;
        }
    }
    CHECK(accepted > 0);
}

/* ---- Limits ------------------------------------------------------------------------------------ */

static int parse_nested(size_t depth, const char *open, const char *close, const char *inside)
{
    ph_buf b;
    ph_buf_init(&b, (size_t)4 << 20);
    for (size_t i = 0; i < depth; i++)
        ph_buf_cstr(&b, open);
    ph_buf_cstr(&b, inside);
    for (size_t i = 0; i < depth; i++)
        ph_buf_cstr(&b, close);
    int err = parse_only(ph_buf_view(&b));
    ph_buf_clear(&b);
    return err;
}

static void test_limits(void)
{
    test_case("depth");
    CHECK_INT(parse_nested(32, "[", "]", ""), PH_OK);
    CHECK_INT(parse_nested(32, "[", "]", "1"), PH_OK);
    CHECK_INT(parse_nested(33, "[", "]", ""), PH_ERR_BAD_JSON);
    CHECK_INT(parse_nested(32, "{\"a\":", "}", "{"), PH_ERR_BAD_JSON);
    CHECK_INT(parse_nested(31, "{\"a\":[0],\"b\":", "}", "{\"a\":1}"), PH_OK);
    CHECK_INT(parse_nested(32, "{\"a\":", "}", "[]"), PH_ERR_BAD_JSON);
    CHECK_INT(parse_nested(500000, "[", "]", ""), PH_ERR_BAD_JSON);
    CHECK_INT(parse_nested(1000000, "[", "", ""), PH_ERR_BAD_JSON);
    CHECK_INT(parse_nested(150000, "{\"a\":", "", ""), PH_ERR_BAD_JSON);
    CHECK_INT(parse_nested(1000000, "]", "", ""), PH_ERR_BAD_JSON);

    test_case("members");
    for (size_t members = 255; members <= 257; members++) {
        ph_buf b;
        ph_buf_init(&b, 100000);
        for (size_t i = 0; i < members; i++) {
            ph_buf_cstr(&b, i == 0 ? "{\"" : ",\"");
            ph_buf_u64(&b, i);
            ph_buf_cstr(&b, "\":0");
        }
        ph_buf_char(&b, '}');
        CHECK_INT(parse_only(ph_buf_view(&b)), members <= 256 ? PH_OK : PH_ERR_BAD_JSON);
        ph_buf_clear(&b);
    }
    test_case("elements are not limited");
    CHECK_INT(parse_nested(100000, "[],", "", ""), PH_ERR_BAD_JSON);
    ph_buf b;
    ph_buf_init(&b, (size_t)2 << 20);
    ph_buf_char(&b, '[');
    for (size_t i = 0; i < 100000; i++)
        ph_buf_cstr(&b, "[],");
    ph_buf_cstr(&b, "{}]");
    CHECK_INT(parse_only(ph_buf_view(&b)), PH_OK);

    test_case("size");
    static const size_t mib = (size_t)1 << 20;
    ph_buf_reset(&b);
    ph_buf_char(&b, '"');
    while (b.len < mib - 1)
        ph_buf_char(&b, 'x');
    ph_buf_char(&b, '"');
    CHECK_INT(parse_only(ph_buf_view(&b)), PH_OK);
    ph_buf_char(&b, ' ');
    CHECK_INT(parse_only(ph_buf_view(&b)), PH_ERR_TOO_LONG);
    ph_buf_clear(&b);

    /* The dearest a document of 1 MiB can be: as many comparisons of names as it holds. */
    test_case("many objects with many members");
    ph_buf_init(&b, mib);
    ph_buf_char(&b, '[');
    while (b.err == PH_OK && b.len < mib - 4000) {
        ph_buf_char(&b, '{');
        for (unsigned i = 0; i < 256; i++) {
            ph_buf_char(&b, '"');
            ph_enc_hex(&b, &(uint8_t){(uint8_t)i}, 1);
            ph_buf_cstr(&b, i < 255 ? "\":0," : "\":0},");
        }
    }
    ph_buf_cstr(&b, "0]");
    CHECK_INT(parse_only(ph_buf_view(&b)), PH_OK);
    ph_buf_clear(&b);
}

static void test_nomem(void)
{
    for (unsigned n = 0;; n++) {
        test_case("allocation %u fails", n);
        ph_json *doc;
        test_alloc_fail_after(n);
        int err = ph_json_parse((ph_str){sample, sizeof sample - 1}, &doc);
        bool short_of_memory = test_alloc_end();
        CHECK_INT(err, short_of_memory ? PH_ERR_NOMEM : PH_OK);
        CHECK((doc != NULL) == !short_of_memory);
        ph_json_free(doc);
        if (!short_of_memory)
            break;
    }
    test_case("bad JSON needs no memory");
    ph_json *doc;
    test_alloc_fail_after(0);
    CHECK_INT(ph_json_parse(PH_STR("{\"a\":1"), &doc), PH_ERR_BAD_JSON);
    CHECK(!test_alloc_end());
}

/* What enc writes is read again. */
static void test_round_trip(void)
{
    test_case("round trip");
    char text[256];
    size_t len = 0;
    for (int c = 1; c < 128; c++)
        text[len++] = (char)c;
    memcpy(text + len, "\xc3\xbc\xf0\x9f\x8e\x89", 6);
    len += 6;
    ph_buf b;
    ph_json *doc;
    ph_buf_init(&b, 2000);
    ph_enc_json(&b, (ph_str){text, len});
    CHECK_INT(ph_json_parse(ph_buf_view(&b), &doc), PH_OK);
    CHECK(ph_str_equal(ph_json_text(doc), (ph_str){text, len}));
    ph_json_free(doc);
    ph_buf_clear(&b);
}

int main(void)
{
    test_read();
    test_numbers();
    test_number_reader();
    test_accepted();
    test_refused();
    test_mutated();
    test_limits();
    test_nomem();
    test_round_trip();
    return test_end();
}
