/* SPDX-License-Identifier: MIT
 *
 * test - see test.h. Deliberately small and without a framework: what it adds to printf is the
 * guard page and the failing allocator, which no framework brings along.
 */
#define _GNU_SOURCE /* mmap's MAP_ANONYMOUS, memmem */

#include "test.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PRINTED_FAILURES 50
#define GUARD_SIZE ((size_t)4 << 20)
#define VECTORS_LIMIT ((size_t)64 << 20)

static unsigned long passed_count, failed_count;
static char case_name[256];

/* ---- Checks ---------------------------------------------------------------------------------- */

/* Count a check; true when its failure is to be explained. */
static bool failed(const char *file, int line, const char *what, bool passed)
{
    if (passed) {
        passed_count++;
        return false;
    }
    if (++failed_count > PRINTED_FAILURES)
        return false;
    printf("%s:%d: %s%s%s", file, line, case_name, case_name[0] ? ": " : "", what);
    return true;
}

static void print_bytes(const char *label, const void *data, size_t len)
{
    const unsigned char *p = data;
    printf("\n    %s (%zu) ", label, len);
    for (size_t i = 0; i < len && i < 200; i++)
        printf(p[i] >= ' ' && p[i] < 0x7f && p[i] != '\\' ? "%c" : "\\x%02x", p[i]);
}

bool test_check(const char *file, int line, const char *what, bool passed)
{
    if (failed(file, line, what, passed))
        printf("\n");
    return passed;
}

bool test_check_int(const char *file, int line, const char *what, int64_t got, int64_t want)
{
    if (failed(file, line, what, got == want))
        printf("\n    got      %" PRId64 "\n    expected %" PRId64 "\n", got, want);
    return got == want;
}

bool test_check_u64(const char *file, int line, const char *what, uint64_t got, uint64_t want)
{
    if (failed(file, line, what, got == want))
        printf("\n    got      %" PRIu64 " (0x%" PRIx64 ")\n    expected %" PRIu64 " (0x%" PRIx64
               ")\n",
               got, got, want, want);
    return got == want;
}

bool test_check_str(const char *file, int line, const char *what, ph_str got, const char *want)
{
    size_t len = want ? strlen(want) : 0;
    bool same = got.len == len && (len == 0 || memcmp(got.ptr, want, len) == 0);
    if (!want)
        same = got.ptr == NULL && got.len == 0;
    if (failed(file, line, what, same)) {
        print_bytes(got.ptr ? "got     " : "got none", got.ptr, got.len);
        print_bytes(want ? "expected" : "expected none", want, len);
        printf("\n");
    }
    return same;
}

bool test_check_mem(const char *file, int line, const char *what, const void *got, const void *want,
                    size_t len)
{
    bool same = len == 0 || memcmp(got, want, len) == 0;
    if (failed(file, line, what, same)) {
        print_bytes("got     ", got, len);
        print_bytes("expected", want, len);
        printf("\n");
    }
    return same;
}

void test_case(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(case_name, sizeof case_name, format, args);
    va_end(args);
}

int test_end(void)
{
    printf("%lu passed, %lu failed\n", passed_count, failed_count);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- The guard page -------------------------------------------------------------------------- */

const void *test_guard(const void *data, size_t len)
{
    static char *area;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!area) {
        area = mmap(NULL, GUARD_SIZE + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
        if (area == MAP_FAILED || mprotect(area + GUARD_SIZE, page, PROT_NONE) != 0)
            abort();
    }
    if (len > GUARD_SIZE)
        abort();
    char *at = area + GUARD_SIZE - len;
    if (len > 0)
        memmove(at, data, len);
    return at;
}

ph_str test_guard_str(ph_str s)
{
    return (ph_str){test_guard(s.ptr, s.len), s.len};
}

/* ---- The failing allocator ------------------------------------------------------------------- */

/* The linker's --wrap gives these names: what the program calls, and what it meant. */
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *ptr, size_t size);
void __wrap_free(void *ptr);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *ptr, size_t size);
void __real_free(void *ptr);

static bool alloc_limited, alloc_failed;
static unsigned alloc_left, alloc_total;

static bool may_alloc(void)
{
    if (alloc_limited && alloc_left == 0) {
        alloc_failed = true;
        return false;
    }
    if (alloc_limited)
        alloc_left--;
    alloc_total++;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return may_alloc() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return may_alloc() ? __real_calloc(count, size) : NULL;
}

static const char *watched;
static unsigned watched_count;

/* The block is given back as it is. */
static void watch(void *ptr)
{
    if (watched && ptr && memmem(ptr, malloc_usable_size(ptr), watched, strlen(watched)))
        watched_count++;
}

void *__wrap_realloc(void *ptr, size_t size)
{
    watch(ptr);
    return may_alloc() ? __real_realloc(ptr, size) : NULL;
}

void __wrap_free(void *ptr)
{
    watch(ptr);
    __real_free(ptr);
}

unsigned test_watch_secret(const char *secret)
{
    unsigned count = watched_count;
    watched = secret;
    watched_count = 0;
    return count;
}

void test_alloc_fail_after(unsigned n)
{
    alloc_limited = true;
    alloc_failed = false;
    alloc_left = n;
}

bool test_alloc_end(void)
{
    alloc_limited = false;
    return alloc_failed;
}

unsigned test_alloc_count(void)
{
    return alloc_total;
}

/* ---- Inputs ---------------------------------------------------------------------------------- */

uint64_t test_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

bool test_vectors(const char *name, ph_buf *out)
{
    const char *folder = getenv("PH_VECTORS");
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "../shared/vectors", name);
    ph_buf_init(out, VECTORS_LIMIT);
    FILE *file = fopen(path, "rb");
    if (!file) {
        printf("SKIP: no vectors at %s\n", path);
        return false;
    }
    char block[65536];
    size_t n;
    while ((n = fread(block, 1, sizeof block, file)) > 0)
        ph_buf_add(out, block, n);
    bool whole = !ferror(file) && out->err == PH_OK;
    fclose(file);
    CHECK(whole);
    return whole;
}

bool test_slow(void)
{
    const char *value = getenv("PH_SLOW");
    return value && strcmp(value, "1") == 0;
}
