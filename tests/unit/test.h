/* SPDX-License-Identifier: MIT
 *
 * test - what the unit tests share: checks that say where and what, inputs that end at an
 * unreadable page, allocations that fail on demand, and the shared vectors.
 *
 *     int main(void)
 *     {
 *         test_case("empty");              // names what follows in the failures' lines
 *         CHECK_INT(ph_thing(), PH_OK);    // got, expected
 *         return test_end();               // prints "N passed, N failed"
 *     }
 *
 * A test program is linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free.
 */
#ifndef PH_TEST_H
#define PH_TEST_H

#include "parthaul.h"
#include "core/buf.h"

/* The number of entries of an array. */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A literal as the ph_str of a static table, where PH_STR is not constant enough. */
#define BYTES(literal)                  \
    {                                   \
        "" literal, sizeof(literal) - 1 \
    }

#define CHECK(condition) test_check(__FILE__, __LINE__, #condition, (condition))
#define CHECK_INT(got, want) test_check_int(__FILE__, __LINE__, #got, (got), (want))
#define CHECK_U64(got, want) test_check_u64(__FILE__, __LINE__, #got, (got), (want))
#define CHECK_STR(got, want) test_check_str(__FILE__, __LINE__, #got, (got), (want))
#define CHECK_MEM(got, want, len) test_check_mem(__FILE__, __LINE__, #got, (got), (want), (len))

/* Each gives whether it passed. Only the first 50 failures are printed, all are counted. */
bool test_check(const char *file, int line, const char *what, bool passed);
bool test_check_int(const char *file, int line, const char *what, int64_t got, int64_t want);
bool test_check_u64(const char *file, int line, const char *what, uint64_t got, uint64_t want);
bool test_check_str(const char *file, int line, const char *what, ph_str got, const char *want);
bool test_check_mem(const char *file, int line, const char *what, const void *got, const void *want,
                    size_t len);

/* Name the case that follows, as printf does. */
__attribute__((format(printf, 1, 2))) void test_case(const char *format, ...);

/* Print the totals; the exit status. */
int test_end(void);

/*
 * Copy `len` bytes to where they end right before an unreadable page, so that reading one byte too
 * many crashes. Valid until the next call. `test_guard_str` does the same for a view.
 */
const void *test_guard(const void *data, size_t len);
ph_str test_guard_str(ph_str s);

/*
 * Let `n` more allocations succeed and then none. test_alloc_end makes all succeed again and gives
 * whether one failed meanwhile, so this walks through every allocation of `thing`:
 *
 *     for (unsigned n = 0;; n++) {
 *         test_alloc_fail_after(n);
 *         int err = thing();
 *         if (!test_alloc_end()) break;
 *         CHECK_INT(err, PH_ERR_NOMEM);
 *     }
 */
void test_alloc_fail_after(unsigned n);
bool test_alloc_end(void);

/* How many blocks were allocated so far. */
unsigned test_alloc_count(void);

/*
 * Look for `secret` in every block that is given back from now on, until this is called with NULL.
 * Gives how many blocks held the former one: memory that keeps a secret behind its owner's back.
 */
unsigned test_watch_secret(const char *secret);

/* Numbers that look random and are the same in every run. */
uint64_t test_random(uint64_t *state);

/*
 * Read a file of the shared vectors, as "checksums-aws/checksums.json", from the folder that the
 * environment's PH_VECTORS names, ../shared/vectors without it. Prints a line that begins with
 * SKIP and gives false where there is none. Clear `out` with ph_buf_clear, also then.
 */
bool test_vectors(const char *name, ph_buf *out);

/* Is PH_SLOW=1 set, so that inputs of many MiB are worth their time? */
bool test_slow(void);

#endif
