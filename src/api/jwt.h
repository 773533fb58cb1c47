/* SPDX-License-Identifier: MIT
 *
 * jwt - the form of a token (RFC 7519, compact), and what its claims have to say. Signatures are
 * verified by keys.h.
 */
#ifndef API_JWT_H
#define API_JWT_H

#include "core/buf.h"
#include "core/json.h"
#include "keys.h"
#include "problem.h"

#define API_TOKEN_MAX 8192
#define API_USER_MAX 1024

/* A token taken apart; views into its text and its header. */
typedef struct api_token {
    ph_str header, payload, signature; /* base64url, as they came */
    ph_str alg, kid, type;             /* absent where the header does not say */
    ph_json *head;
} api_token;

/* Take a token apart and read its header. Nothing in it is to be believed yet. */
api_verdict api_token_open(ph_str text, api_token *out);
void api_token_close(api_token *t);

/* Verify by these keys; `*unknown_kid` says whether none of them has the token's key id, or, where it
 * names none, whether none of them signed it. */
api_verdict api_token_verify(const api_token *t, const api_keyset *keys, bool *unknown_kid);

/* Read the claims of a token that was verified; release with ph_json_free. */
api_verdict api_token_claims(const api_token *t, ph_json **out);

typedef struct api_claim_rules {
    ph_str issuer;     /* `iss` has to be exactly this */
    ph_str audience;   /* `aud` has to be this, or an array with this in it */
    ph_str type;       /* the header's `typ` has to be this (RFC 8725, 3.11); absent: anything */
    ph_str scope;      /* names with spaces between, of which none may be missing; absent: none */
    ph_str required;   /* "tenant=acme,email_verified=true,name": see api_claim_is */
    ph_str user_claim; /* a text that says who it is */
    uint64_t leeway_ms;
} api_claim_rules;

/* Is the header's `typ` the one that is wanted? */
api_verdict api_type_check(const api_claim_rules *rules, ph_str type);

/*
 * Check the claims. `issued` says that they come out of a token that was signed: then iss, aud, exp
 * and sub must be there. What an introspection says was asked of the issuer itself, and members that
 * are missing from it are not held against it; what is there has to be right all the same.
 * `*expires_ms` is when the token ends, UINT64_MAX when that is not said.
 */
api_verdict api_claims_check(const api_claim_rules *rules, const ph_json *claims, bool issued,
                             uint64_t now_ms, uint64_t *expires_ms);

/* The scopes that are granted (`scope` as text or array, or `scp`), with spaces between. */
void api_claims_scopes(const ph_json *claims, ph_buf *out);

/* Are all names of `wanted` among `scopes`? */
bool api_scopes_cover(ph_str scopes, ph_str wanted);

#endif
