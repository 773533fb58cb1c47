/* SPDX-License-Identifier: MIT
 *
 * enc - hex, base64, base64url, percent-encoding, XML and JSON escapes. Encoders add to a buf and
 * fail with it; decoders write to memory of the caller.
 */
#ifndef PH_ENC_H
#define PH_ENC_H

#include "buf.h"

void ph_enc_hex(ph_buf *b, const void *data, size_t len);       /* lower case */
void ph_enc_base64(ph_buf *b, const void *data, size_t len);    /* RFC 4648, padded */
void ph_enc_base64url(ph_buf *b, const void *data, size_t len); /* unpadded */

/*
 * SigV4's UriEncode: A-Z a-z 0-9 - . _ ~ stay, every other byte becomes %XX in upper case;
 * "/" stays only with `keep_slash`.
 */
void ph_enc_percent(ph_buf *b, ph_str s, bool keep_slash);

/*
 * Add name=value as application/x-www-form-urlencoded, behind an & unless the buffer is empty.
 * STS wants it percent-encoded, space as %20.
 */
void ph_enc_form(ph_buf *b, const char *name, ph_str value);

void ph_enc_xml(ph_buf *b, ph_str s); /* & < > " and CR escaped */

/* A JSON string with its quotes; control bytes as \u00XX; `s` must be UTF-8. */
void ph_enc_json(ph_buf *b, ph_str s);

/* The byte that the two hex digits at `p` write, -1 if they are none. */
int ph_dec_hex_pair(const char *p);

/*
 * Decode exactly; `out` holds `cap` bytes, `*out_len` receives how many were written. Padding is
 * needed in base64, and white space, other alphabets and stray bits are refused.
 * Errors: PH_ERR_BAD_ENCODING, PH_ERR_TOO_LONG.
 */
int ph_dec_hex(ph_str s, void *out, size_t cap, size_t *out_len);
int ph_dec_base64(ph_str s, void *out, size_t cap, size_t *out_len);

/*
 * Decode %XX (nothing else) into `b`; what cannot be decoded adds nothing.
 * Errors: PH_ERR_BAD_ENCODING, those of buf.
 */
int ph_dec_percent(ph_buf *b, ph_str s);

/*
 * Decode the five XML entities and character references into `b`; what cannot be decoded adds
 * nothing. Errors: PH_ERR_BAD_XML, those of buf.
 */
int ph_dec_xml(ph_buf *b, ph_str s);

#endif
