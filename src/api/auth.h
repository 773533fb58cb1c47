/* SPDX-License-Identifier: MIT
 *
 * auth - who asks? By a bearer token (a JWT, or one that its issuer is asked about), by a key in
 * x-api-key, or by both, as the configuration says.
 */
#ifndef API_AUTH_H
#define API_AUTH_H

#include "config.h"
#include "jwt.h"

/* Somebody whom we know. */
typedef struct api_identity {
    ph_buf user;   /* the name as the token has it: 1..1,024 bytes of UTF-8 */
    ph_buf prefix; /* "upload/alice/" */
    ph_buf scopes; /* with spaces between */
} api_identity;

void api_identity_init(api_identity *i);
void api_identity_clear(api_identity *i);

/* What is presented; absent texts are {NULL, 0}. */
typedef struct api_presented {
    ph_str authorization;
    bool authorization_twice;
    ph_str api_key;
} api_presented;

typedef struct api_auth api_auth;

/* NULL: out of memory. `config` has to outlive it. */
api_auth *api_auth_new(const api_config *config);
void api_auth_free(api_auth *a);

/*
 * Find out who it is. Good tokens are remembered for a minute at most. The problem API_WOULD_WAIT
 * says that somebody has to be asked, which without `may_wait` is not done.
 */
api_verdict api_auth_check(api_auth *a, const api_presented *what, uint64_t now_ms, bool may_wait,
                           api_identity *out);

#endif
