/* SPDX-License-Identifier: MIT
 *
 * buf - a growable text with a cap from birth and sticky failure: add as often as needed and look
 * at `err` once at the end. After a failure nothing more is added and the length stays.
 */
#ifndef PH_BUF_H
#define PH_BUF_H

#include "str.h"

typedef struct ph_buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t limit; /* bytes that it may ever hold */
    int err;      /* PH_OK, PH_ERR_NOMEM or PH_ERR_TOO_LONG (more than `limit`) */
} ph_buf;

/* Start empty; allocates nothing yet. */
void ph_buf_init(ph_buf *b, size_t limit);

/* Wipe and release. The buffer may be used again, with the same limit. */
void ph_buf_clear(ph_buf *b);

/* Forget the content and the failure, keep the memory. */
void ph_buf_reset(ph_buf *b);

/* Get room for `len` bytes in all, so that views stay valid while it is filled up to there. */
void ph_buf_reserve(ph_buf *b, size_t len);

/*
 * Add to the end. What is added may be a part of the buffer itself. Memory that grew too small is
 * wiped before it is given back, since texts may hold secrets.
 */
void ph_buf_add(ph_buf *b, const void *data, size_t len);
void ph_buf_str(ph_buf *b, ph_str s);
void ph_buf_cstr(ph_buf *b, const char *s);
void ph_buf_char(ph_buf *b, char c);
void ph_buf_u64(ph_buf *b, uint64_t n); /* decimal */

/* Add `len` bytes that the caller fills in at once; NULL where it failed. */
char *ph_buf_room(ph_buf *b, size_t len);

/* What is in it; valid until the next addition. */
ph_str ph_buf_view(const ph_buf *b);

/* What was added since the buffer was `from` bytes long. */
ph_str ph_buf_view_from(const ph_buf *b, size_t from);

/*
 * Copy `s` into fresh memory, NUL-terminated behind its end; an absent text stays absent.
 * Release with ph_str_free. Errors: PH_ERR_NOMEM.
 */
int ph_str_copy(ph_str s, ph_str *out);

/* Wipe and release what ph_str_copy made, and make it absent. */
void ph_str_free(ph_str *s);

#endif
