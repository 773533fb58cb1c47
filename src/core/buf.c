/* SPDX-License-Identifier: MIT
 *
 * buf - a growable text. It never calls realloc: that could leave a copy of a secret behind, so
 * growing is allocate, copy, wipe, free.
 */
#include "buf.h"

#include <stdlib.h>
#include <string.h>

#define SMALLEST 64

void ph_buf_init(ph_buf *b, size_t limit)
{
    *b = (ph_buf){.limit = limit};
}

void ph_buf_clear(ph_buf *b)
{
    ph_wipe(b->ptr, b->cap);
    free(b->ptr);
    ph_buf_init(b, b->limit);
}

void ph_buf_reset(ph_buf *b)
{
    b->len = 0;
    b->err = PH_OK;
}

/* At least double, so that n additions cost O(n); `needed` <= limit. */
static size_t larger(const ph_buf *b, size_t needed)
{
    size_t cap = b->cap > b->limit / 2 ? b->limit : b->cap * 2;
    if (cap < SMALLEST)
        cap = SMALLEST < b->limit ? SMALLEST : b->limit;
    return cap < needed ? needed : cap;
}

/* Move to a block of `cap` bytes and add `len` more there, which may lie in the old block. */
static void move(ph_buf *b, size_t cap, const void *data, size_t len)
{
    char *ptr = malloc(cap);
    if (!ptr) {
        b->err = PH_ERR_NOMEM;
        return;
    }
    if (b->len > 0)
        memcpy(ptr, b->ptr, b->len);
    if (len > 0)
        memcpy(ptr + b->len, data, len);
    ph_wipe(b->ptr, b->cap);
    free(b->ptr);
    b->ptr = ptr;
    b->cap = cap;
    b->len += len;
}

void ph_buf_reserve(ph_buf *b, size_t len)
{
    if (b->err != PH_OK || len <= b->cap)
        return;
    if (len > b->limit)
        b->err = PH_ERR_TOO_LONG;
    else
        move(b, len, NULL, 0);
}

void ph_buf_add(ph_buf *b, const void *data, size_t len)
{
    if (b->err != PH_OK || len == 0)
        return;
    if (len > b->limit - b->len) {
        b->err = PH_ERR_TOO_LONG;
    } else if (len > b->cap - b->len) {
        move(b, larger(b, b->len + len), data, len);
    } else {
        memcpy(b->ptr + b->len, data, len);
        b->len += len;
    }
}

char *ph_buf_room(ph_buf *b, size_t len)
{
    if (b->err == PH_OK && len > b->limit - b->len)
        b->err = PH_ERR_TOO_LONG;
    if (b->err == PH_OK && len > b->cap - b->len)
        move(b, larger(b, b->len + len), NULL, 0);
    if (b->err != PH_OK)
        return NULL;
    b->len += len;
    return b->ptr + (b->len - len);
}

void ph_buf_str(ph_buf *b, ph_str s)
{
    ph_buf_add(b, s.ptr, s.len);
}

void ph_buf_cstr(ph_buf *b, const char *s)
{
    ph_buf_add(b, s, strlen(s));
}

void ph_buf_char(ph_buf *b, char c)
{
    if (b->err == PH_OK && b->len < b->cap)
        b->ptr[b->len++] = c; /* most texts are made so: copying one byte is slow in WebAssembly */
    else
        ph_buf_add(b, &c, 1);
}

void ph_buf_u64(ph_buf *b, uint64_t n)
{
    char digits[20]; /* as UINT64_MAX has */
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    ph_buf_add(b, digits + at, sizeof digits - at);
}

ph_str ph_buf_view(const ph_buf *b)
{
    return (ph_str){b->ptr, b->len};
}

ph_str ph_buf_view_from(const ph_buf *b, size_t from)
{
    return ph_str_skip(ph_buf_view(b), from);
}

int ph_str_copy(ph_str s, ph_str *out)
{
    *out = (ph_str){NULL, 0};
    if (!s.ptr)
        return PH_OK;
    char *ptr = s.len < SIZE_MAX ? malloc(s.len + 1) : NULL;
    if (!ptr)
        return PH_ERR_NOMEM;
    if (s.len > 0)
        memcpy(ptr, s.ptr, s.len);
    ptr[s.len] = '\0';
    *out = (ph_str){ptr, s.len};
    return PH_OK;
}

void ph_str_free(ph_str *s)
{
    char *ptr = (char *)(uintptr_t)s->ptr; /* ph_str_copy made it, so it is ours to write */
    ph_wipe(ptr, s->len);
    free(ptr);
    *s = (ph_str){NULL, 0};
}
