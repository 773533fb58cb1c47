/* SPDX-License-Identifier: MIT
 *
 * Tests buf: growth, the cap, sticky failures, and that memory which is given back holds nothing.
 */
#include "test.h"
#include "core/buf.h"

#include <stdlib.h>
#include <string.h>

static void test_add(void)
{
    test_case("add");
    ph_buf b;
    ph_buf_init(&b, 1000);
    CHECK_STR(ph_buf_view(&b), NULL);
    ph_buf_cstr(&b, "");
    ph_buf_str(&b, (ph_str){NULL, 0});
    CHECK_STR(ph_buf_view(&b), NULL);
    ph_buf_cstr(&b, "abc");
    ph_buf_char(&b, '\0');
    ph_buf_add(&b, "\xff", 1);
    ph_buf_str(&b, PH_STR("de"));
    CHECK_U64(b.len, 7);
    CHECK_MEM(b.ptr,
              "abc\0\xff"
              "de",
              7);
    CHECK_STR(ph_buf_view_from(&b, 5), "de");
    CHECK_STR(ph_buf_view_from(&b, 7), "");
    CHECK_INT(b.err, PH_OK);

    test_case("numbers");
    static const struct {
        uint64_t n;
        const char *text;
    } numbers[] = {
        {0, "0"}, {9, "9"}, {10, "10"}, {10000, "10000"}, {UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < COUNT(numbers); i++) {
        ph_buf_reset(&b);
        ph_buf_u64(&b, numbers[i].n);
        CHECK_STR(ph_buf_view(&b), numbers[i].text);
    }
    ph_buf_clear(&b);
    CHECK_U64(b.limit, 1000);
    CHECK_STR(ph_buf_view(&b), NULL);
    ph_buf_cstr(&b, "again");
    CHECK_STR(ph_buf_view(&b), "again");
    ph_buf_clear(&b);
    ph_buf_clear(&b);
}

static void test_limit(void)
{
    for (size_t limit = 0; limit <= 300; limit++) {
        test_case("limit %zu", limit);
        ph_buf b;
        ph_buf_init(&b, limit);
        for (size_t i = 0; i < limit; i++)
            ph_buf_char(&b, (char)('a' + i % 26));
        CHECK_INT(b.err, PH_OK);
        CHECK_U64(b.len, limit);
        CHECK(b.cap <= limit);
        ph_buf_char(&b, '!');
        CHECK_INT(b.err, PH_ERR_TOO_LONG);
        CHECK_U64(b.len, limit);
        ph_buf_cstr(&b, "");
        ph_buf_u64(&b, 1);
        CHECK_INT(b.err, PH_ERR_TOO_LONG);
        ph_buf_reset(&b);
        CHECK_INT(b.err, PH_OK);
        CHECK_U64(b.len, 0);
        ph_buf_add(&b, "x", limit > 0 ? 1 : 0);
        CHECK_U64(b.len, limit > 0 ? 1 : 0);
        ph_buf_clear(&b);
    }
    test_case("sticky: a text that would fit again is not added");
    ph_buf b;
    ph_buf_init(&b, 8);
    ph_buf_cstr(&b, "12345");
    ph_buf_cstr(&b, "6789");
    ph_buf_cstr(&b, "6");
    CHECK_STR(ph_buf_view(&b), "12345");
    ph_buf_clear(&b);

    test_case("no wrap-around");
    ph_buf_init(&b, SIZE_MAX);
    ph_buf_cstr(&b, "12345");
    ph_buf_add(&b, "", SIZE_MAX);
    CHECK_INT(b.err, PH_ERR_TOO_LONG);
    ph_buf_clear(&b);
}

static void test_growth(void)
{
    test_case("growing is logarithmic");
    ph_buf b;
    ph_buf_init(&b, 1 << 20);
    unsigned before = test_alloc_count();
    for (size_t i = 0; i < 1 << 20; i++)
        ph_buf_char(&b, (char)i);
    CHECK(test_alloc_count() - before < 20);
    bool same = true;
    for (size_t i = 0; i < 1 << 20; i++)
        same = same && b.ptr[i] == (char)i;
    CHECK(same);
    ph_buf_clear(&b);

    test_case("a buffer may be added to itself");
    ph_buf_init(&b, 4096);
    ph_buf_cstr(&b, "abc");
    for (size_t i = 0; i < 10; i++)
        ph_buf_str(&b, ph_buf_view(&b));
    CHECK_INT(b.err, PH_OK);
    CHECK_U64(b.len, 3072);
    for (size_t i = 0; i < b.len; i += 3)
        CHECK_MEM(b.ptr + i, "abc", 3);
    ph_buf_clear(&b);
}

static void test_reserve(void)
{
    test_case("views stay where room was reserved");
    ph_buf b;
    ph_buf_init(&b, 1000);
    ph_buf_cstr(&b, "abc");
    ph_buf_reserve(&b, 700);
    CHECK_STR(ph_buf_view(&b), "abc");
    const char *ptr = b.ptr;
    while (b.len < 700)
        ph_buf_char(&b, 'x');
    CHECK(b.ptr == ptr);
    ph_buf_reserve(&b, 10);
    CHECK(b.ptr == ptr);
    test_alloc_fail_after(0);
    ph_buf_reserve(&b, 701);
    CHECK(test_alloc_end());
    CHECK_INT(b.err, PH_ERR_NOMEM);
    CHECK_U64(b.len, 700);
    ph_buf_reset(&b);
    ph_buf_reserve(&b, 1001);
    CHECK_INT(b.err, PH_ERR_TOO_LONG);
    ph_buf_reserve(&b, 1000);
    CHECK_INT(b.err, PH_ERR_TOO_LONG);
    CHECK(b.ptr == ptr);
    ph_buf_clear(&b);
}

static void test_nomem(void)
{
    for (unsigned n = 0;; n++) {
        test_case("allocation %u fails", n);
        ph_buf b;
        ph_buf_init(&b, 100000);
        test_alloc_fail_after(n);
        for (size_t i = 0; i < 2000; i++)
            ph_buf_cstr(&b, "0123456789");
        bool short_of_memory = test_alloc_end();
        CHECK_INT(b.err, short_of_memory ? PH_ERR_NOMEM : PH_OK);
        CHECK_U64(b.len % 10, 0); /* what does not fit whole is not added */
        CHECK((b.len == 20000) == !short_of_memory);
        ph_buf_cstr(&b, "x");
        CHECK_U64(b.len % 10, short_of_memory ? 0 : 1);
        ph_buf_clear(&b);
        if (!short_of_memory)
            break;
    }
}

static void test_copy(void)
{
    test_case("copy");
    ph_str s;
    CHECK_INT(ph_str_copy(PH_STR("secret"), &s), PH_OK);
    CHECK_STR(s, "secret");
    CHECK(s.ptr[6] == '\0');
    ph_str_free(&s);
    CHECK_STR(s, NULL);
    ph_str_free(&s);
    CHECK_INT(ph_str_copy(PH_STR(""), &s), PH_OK);
    CHECK(s.ptr != NULL && s.len == 0 && s.ptr[0] == '\0');
    ph_str_free(&s);
    CHECK_INT(ph_str_copy((ph_str){NULL, 0}, &s), PH_OK);
    CHECK_STR(s, NULL);
    test_alloc_fail_after(0);
    CHECK_INT(ph_str_copy(PH_STR("secret"), &s), PH_ERR_NOMEM);
    CHECK(test_alloc_end());
    CHECK_STR(s, NULL);
    CHECK_INT(ph_str_copy((ph_str){"x", SIZE_MAX}, &s), PH_ERR_NOMEM);
}

int main(void)
{
    test_add();
    test_limit();
    test_growth();
    test_reserve();
    test_nomem();
    test_copy();
    return test_end();
}
