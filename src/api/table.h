/* SPDX-License-Identifier: MIT
 *
 * table - what a process remembers to spare itself work, in memory that is bounded from the start:
 * a table with a place for so many values and no more. Where it is full, a value that was not asked
 * for lately gives way. Nothing in it is needed for a right answer.
 */
#ifndef API_TABLE_H
#define API_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API_DIGEST_LEN 32

typedef struct api_table api_table;

/*
 * Make a table of about `places` values of `value_size` bytes each. `clear`, which may be NULL,
 * releases what a value owns before its place is used for another. NULL: out of memory.
 */
api_table *api_table_new(size_t places, size_t value_size, void (*clear)(void *value));
void api_table_free(api_table *t);

/*
 * Give the value of `key` (a digest) and lock the table until api_table_unlock, also where there is
 * none and NULL comes. With `make` there always is one: a new one is all zeros.
 */
void *api_table_lock(api_table *t, const uint8_t key[API_DIGEST_LEN], bool make);
void api_table_unlock(api_table *t);

#endif
