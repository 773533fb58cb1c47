/* SPDX-License-Identifier: MIT
 *
 * introspect - tokens that say nothing by themselves: their issuer is asked, by RFC 7662 or by a
 * "tokeninfo" URL as Zalando's.
 */
#ifndef API_INTROSPECT_H
#define API_INTROSPECT_H

#include "core/json.h"
#include "problem.h"
#include "core/buf.h"

typedef struct api_issuer {
    ph_str introspection_url;  /* RFC 7662: POST token=...; absent: the other one */
    ph_str introspection_auth; /* value of its Authorization header; secret */
    ph_str tokeninfo_url;      /* GET ?access_token=... */
} api_issuer;

/*
 * Ask about a token and wait for the answer, at most five seconds. Without a problem `*claims` is
 * what the issuer says about it (release with ph_json_free), checked for nothing but that the token
 * is active; `exp` is computed where only `expires_in` is told: see api_issuer_expires_ms.
 */
api_verdict api_issuer_ask(const api_issuer *issuer, ph_str token, ph_json **claims);

/* When the token ends by `expires_in`; UINT64_MAX when that is not told. */
uint64_t api_issuer_expires_ms(const ph_json *claims, uint64_t now_ms);

/*
 * Make the Authorization header's value of what the operator's file says: "Bearer ..." as it is,
 * "id:secret" as Basic (RFC 6749, 2.3.1: both percent-encoded first).
 */
int api_issuer_auth(ph_str text, ph_buf *out);

#endif
