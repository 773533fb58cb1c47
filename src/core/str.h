/* SPDX-License-Identifier: MIT
 *
 * str - reading views (ph_str, see parthaul.h), and wiping. Nothing here allocates or relies on a
 * NUL.
 */
#ifndef PH_STR_H
#define PH_STR_H

#include "../parthaul.h"

/* A view of a NUL-terminated string; NULL gives the absent text. */
ph_str ph_str_from(const char *s);

bool ph_str_equal(ph_str a, ph_str b);
bool ph_str_is_visible(ph_str s);             /* nothing but printable ASCII without blanks */
bool ph_str_equal_nocase(ph_str a, ph_str b); /* ASCII only */
bool ph_str_starts(ph_str s, ph_str prefix);
bool ph_str_ends(ph_str s, ph_str suffix);

/* Order by unsigned bytes, as SigV4 sorts. Negative, 0 or positive. */
int ph_str_compare(ph_str a, ph_str b);

/* The place of the first `c` in `s`, or s.len when there is none. */
size_t ph_str_find(ph_str s, char c);

/* `s` without its first `n` bytes; `n` <= s.len. */
ph_str ph_str_skip(ph_str s, size_t n);

/* `s` without spaces, tabs, CR and LF at both ends. */
ph_str ph_str_trim(ph_str s);

/*
 * Cut `*rest` at the first `c`: the part before is returned, `*rest` becomes the part behind.
 * Without a `c` all is returned and `*rest` becomes absent (ptr NULL), which ends a loop.
 */
ph_str ph_str_cut(ph_str *rest, char c);

/* Read a decimal number, digits only. False when it is anything else or above UINT64_MAX. */
bool ph_str_u64(ph_str s, uint64_t *out);

/* Is `s` well-formed UTF-8 (no surrogates, no overlong forms)? */
bool ph_str_is_utf8(ph_str s);

/* Overwrite with zeros in a way that the compiler does not remove. */
void ph_wipe(void *data, size_t len);

/*
 * How many bytes of `s` from `at` on are a control character, which a terminal or a log could obey:
 * also U+0080 to U+009F, of two bytes. 0: there is none.
 */
size_t ph_str_control(ph_str s, size_t at);

/*
 * Copy into a fixed place of `size` bytes, NUL-terminated: cut to it, never in the middle of a
 * character, and with spaces for control characters (see ph_str_control).
 */
void ph_text_copy(char *place, size_t size, ph_str s);

#endif
