/* SPDX-License-Identifier: MIT
 *
 * sts_client - borrows credentials of a role from STS, and lends them again while most of their life
 * is left.
 */
#ifndef API_STS_CLIENT_H
#define API_STS_CLIENT_H

#include "config.h"
#include "core/sigv4.h"
#include "core/sts.h"
#include "own_creds.h"

/* Whose credentials, and what they may do. */
typedef struct api_wish {
    ph_str role_arn;
    ph_str user; /* as the token has it; names the session */
    ph_str
        prefix; /* all beneath it may be written; absent with `key`, or for all of the role's rights */
    ph_str key; /* or this one object; absent: not so */
} api_wish;

/* Credentials on loan; release with api_loan_clear, which wipes. */
typedef struct api_loan {
    ph_creds creds;
    ph_buf arn, id;   /* of the role's session, where STS tells them */
    ph_sigv4_key key; /* made of the creds for the day on which they were lent */
} api_loan;

void api_loan_clear(api_loan *l);

typedef struct api_sts api_sts;

/* NULL: out of memory. `config` and `own` have to outlive it. */
api_sts *api_sts_new(const api_config *config, api_own *own);
void api_sts_free(api_sts *s);

/*
 * Borrow. What was lent for the same wish is lent again as long as two thirds of its life are left;
 * of several that wish the same at the same time, one asks STS and the others wait for its answer.
 * Without `may_wait`, `*would_wait` says that STS would have to be asked. `said` is what STS gave as
 * its reason, if it gave any; its first sentence only, since what follows in answers to bad
 * signatures repeats the request.
 * Errors: PH_ERR_NETWORK, PH_ERR_TIMEOUT, PH_ERR_TLS (no answer came), PH_ERR_SERVER_ERROR,
 * PH_ERR_SLOW_DOWN (it may work later), PH_ERR_REFUSED, PH_ERR_BAD_XML, PH_ERR_BAD_ANSWER,
 * PH_ERR_NO_CREDENTIALS (we have none of our own), PH_ERR_NOMEM.
 */
int api_sts_borrow(api_sts *s, const api_wish *wish, uint64_t now_ms, bool may_wait,
                   bool *would_wait, api_loan *out, ph_sts_error *said);

/* How often STS was asked, and how often what was there was lent again. */
void api_sts_counts(const api_sts *s, uint64_t *asked, uint64_t *lent_again);

#endif
