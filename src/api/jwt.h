/* SPDX-License-Identifier: MIT
 *
 * jwt - is this token (RFC 7519, compact form) one that we accept, and whose is it? The only user
 * of libjose.
 *
 * An api_key is a verification key together with its one algorithm; a token's header can only
 * agree with it. So "none", and an HMAC made with a public RSA key, cannot pass whatever the
 * token says (RFC 8725, 3.1 and 3.2).
 */
#ifndef API_JWT_H
#define API_JWT_H

#include "core/buf.h"
#include "problem.h"

#define API_TOKEN_MAX 8192
#define API_USER_MAX 1024
#define API_LEEWAY_MS (UINT64_C(60) * 1000)

typedef struct api_key api_key;

/*
 * Make a key. HS256 takes the bytes as they are, at least 32 (RFC 7518, 3.2); RS256 takes a public
 * RSA key of at least 2,048 bits as PEM or as JWK. Gives NULL, or a sentence that says what is
 * wrong; `*out` is then NULL. Release with api_key_free, which wipes a secret.
 */
const char *api_key_hs256(ph_str secret, api_key **out);
const char *api_key_rs256(ph_str text, api_key **out);
void api_key_free(api_key *key); /* NULL is allowed */

typedef struct api_token_rules {
    const api_key *key;
    ph_str issuer;          /* `iss` has to be exactly this */
    ph_str audience;        /* `aud` has to be this, or an array with this in it */
    const char *user_claim; /* the claim that says who it is */
} api_token_rules;

/*
 * Check a token at the time `now_ms`. When the verdict's problem is API_NO_PROBLEM, `user` has been
 * given the user's name: 1..1,024 bytes of UTF-8 that may hold anything else.
 */
api_verdict api_token_check(const api_token_rules *rules, ph_str token, uint64_t now_ms,
                            ph_buf *user);

#endif
