/* SPDX-License-Identifier: MIT
 *
 * mint - makes tokens for the API's tests: right ones, and wrong ones in any way one wants.
 */
#ifndef PH_MINT_H
#define PH_MINT_H

#include "core/crypto.h"
#include "core/enc.h"
#include "core/str.h"

#define MINT_SECRET "0123456789abcdef0123456789abcdef"

/* Add `header` and `claims`, encoded, with the dot between: what is signed. */
static inline void mint_input(ph_buf *b, const char *header, const char *claims)
{
    ph_str h = ph_str_from(header), c = ph_str_from(claims);
    ph_enc_base64url(b, h.ptr, h.len);
    ph_buf_char(b, '.');
    ph_enc_base64url(b, c.ptr, c.len);
}

/* Replace what is in `b` by a token signed with HMAC-SHA256 and `secret`. */
static inline void mint(ph_buf *b, ph_str secret, const char *header, const char *claims)
{
    uint8_t mac[PH_SHA256_LEN];
    ph_buf_reset(b);
    mint_input(b, header, claims);
    ph_hmac_sha256(secret.ptr, secret.len, b->ptr, b->len, mac);
    ph_buf_char(b, '.');
    ph_enc_base64url(b, mac, sizeof mac);
}

#endif
