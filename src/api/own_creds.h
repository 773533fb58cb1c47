/* SPDX-License-Identifier: MIT
 *
 * own_creds - the service's own credentials, by which it assumes roles: from the environment, from a
 * container's agent (ECS, EKS), by a web identity (OIDC) token, or from EC2's metadata service.
 */
#ifndef API_OWN_CREDS_H
#define API_OWN_CREDS_H

#include "config.h"

typedef struct api_own api_own;

/* NULL: out of memory. `config` has to outlive it. */
api_own *api_own_new(const api_config *config);
void api_own_free(api_own *o);

/*
 * Give a copy of the credentials, to be released with ph_creds_clear. New ones are fetched when 80 %
 * of the life of the old ones is over, by one caller while the others go on with the old ones. Those
 * stay in use until their end when fetching fails. Without `may_wait` nothing is fetched:
 * `*would_wait` says that it should be.
 * Errors: those of api_fetch_ask, PH_ERR_REFUSED, PH_ERR_BAD_JSON, PH_ERR_BAD_CREDENTIALS,
 * PH_ERR_FILE_UNREADABLE, PH_ERR_NO_CREDENTIALS (failed a moment ago).
 */
int api_own_take(api_own *o, uint64_t now_ms, bool may_wait, bool *would_wait, ph_creds *out);

/* Where they come from, for the log: "environment", "container", "web identity", "EC2". */
const char *api_own_source(const api_own *o);

#endif
