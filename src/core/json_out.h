/* SPDX-License-Identifier: MIT
 *
 * json_out - writing JSON, member by member; commas take care of themselves. And the two documents
 * that the library, the command line and the browser print in the same words: receipt and failure.
 */
#ifndef PH_JSON_OUT_H
#define PH_JSON_OUT_H

#include "buf.h"

/* `name` is NULL for the document itself and for elements of an array. */
void ph_json_open(ph_buf *b, const char *name);
void ph_json_close(ph_buf *b);
void ph_json_open_array(ph_buf *b, const char *name);
void ph_json_close_array(ph_buf *b);
void ph_json_add_text(ph_buf *b, const char *name, ph_str utf8);      /* absent: left out */
void ph_json_add_cstr(ph_buf *b, const char *name, const char *utf8); /* "": left out */
void ph_json_add_u64(ph_buf *b, const char *name, uint64_t value);
void ph_json_add_int(ph_buf *b, const char *name, int64_t value);
void ph_json_add_bool(ph_buf *b, const char *name, bool value);

/* Bits of ph_lack, as a list of their codes; left out where there are none. */
void ph_json_add_lacks(ph_buf *b, const char *name, unsigned lacks);

/* The members of a receipt or a failure, into an object that is open. See wasm/README.md. */
void ph_json_add_receipt(ph_buf *b, const ph_receipt *r);
void ph_json_add_failure(ph_buf *b, const ph_failure *f);

const char *ph_verified_name(ph_verified v); /* "object", "parts", "sent", "size" */

#endif
