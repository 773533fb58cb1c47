/* SPDX-License-Identifier: MIT
 *
 * jwks - an issuer's keys, fetched from its URL (RFC 7517, section 5) and kept for a while.
 */
#ifndef API_JWKS_H
#define API_JWKS_H

#include "keys.h"

#define API_JWKS_MIN_SECONDS 60u

typedef struct api_jwks api_jwks;

/*
 * `url` and `rsa` (see api_keyset_add_text) live as long as it. Keys count as fresh for as long as
 * the answer's max-age says, but at least a minute and at most `max_age_seconds`. NULL: no memory.
 */
api_jwks *api_jwks_new(ph_str url, const char *rsa, uint32_t max_age_seconds,
                       uint32_t guard_seconds);
void api_jwks_free(api_jwks *j);

/*
 * Give the keys, held for the caller (api_keyset_free), NULL when there are none. They are fetched
 * when there are none yet or they have aged; and with `unknown_kid` (none of them is that of a
 * token), but whatever is asked, at most once in `guard_seconds`: a flood of made-up key ids must not
 * become a flood of requests to the issuer. While the URL does not answer, the old keys stay in use,
 * and only one caller waits for those that replace aged ones. Without `may_wait` nothing is fetched:
 * `*would_wait` says that it should be.
 */
api_keyset *api_jwks_keys(api_jwks *j, bool unknown_kid, uint64_t now_ms, bool may_wait,
                          bool *would_wait);

#endif
