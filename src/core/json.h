/* SPDX-License-Identifier: MIT
 *
 * json - reading JSON documents; the only user of cJSON. Writing needs no library: see enc.h.
 */
#ifndef PH_JSON_H
#define PH_JSON_H

#include "../parthaul.h"

typedef struct ph_json ph_json; /* a value; owned by its document */

/*
 * Parse one document of at most 1 MiB, 32 levels, 256 members in an object and nothing but white
 * space around it. Refused too is what readers disagree on: member names that occur twice, \u0000,
 * lone surrogates, what is no UTF-8.
 * Errors: PH_ERR_BAD_JSON, PH_ERR_TOO_LONG, PH_ERR_NOMEM.
 */
int ph_json_parse(ph_str text, ph_json **out);

/*
 * What cJSON has in place of strtod (see the Makefile), which follows the locale and, in WebAssembly,
 * brings 7 KB (gzip) of arithmetic on long doubles. `text` begins with a JSON number; `*end` is behind
 * it. The nearest double for up to 15 digits and exponents to +-22, which is all that dates and sizes
 * need; beyond that a few units in the last place are off.
 */
double ph_json_number(const char *text, char **end);

/* What cJSON has in place of realloc, with which it would only write. Always NULL. */
void *ph_json_no_realloc(void *memory, size_t size);

/* Wipe all strings of a document (they may be secret) and release it. NULL is allowed. */
void ph_json_free(ph_json *document);

/* The member of an object by exact name; NULL if there is none or `value` is NULL or no object. */
const ph_json *ph_json_member(const ph_json *value, const char *name);

/* First element or member, and the next one; NULL at the end or when there are none. */
const ph_json *ph_json_first(const ph_json *value);
const ph_json *ph_json_next(const ph_json *value);

/* The name under which `value` stands in its object; absent for others. */
ph_str ph_json_name(const ph_json *value);

/* A string's text; absent (ptr NULL) when `value` is NULL or no string. A view into the document. */
ph_str ph_json_text(const ph_json *value);

/* The text of the member `name`, in short. */
ph_str ph_json_member_text(const ph_json *value, const char *name);

/* A whole number from 0 to 2^53 - 1; false when `value` is NULL or anything else. */
bool ph_json_u64(const ph_json *value, uint64_t *out);

/* As ph_json_u64, but a fraction is cut off: a JWT's dates may have one (RFC 7519, section 2). */
bool ph_json_floor(const ph_json *value, uint64_t *out);

bool ph_json_is_object(const ph_json *value);
bool ph_json_is_array(const ph_json *value);
bool ph_json_is_true(const ph_json *value);

/* Is it null, or not there at all (NULL)? */
bool ph_json_is_null(const ph_json *value);

#endif
