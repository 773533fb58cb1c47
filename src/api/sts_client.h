/* SPDX-License-Identifier: MIT
 *
 * sts_client - asks STS for one user's credentials. The only user of libcurl.
 */
#ifndef API_STS_CLIENT_H
#define API_STS_CLIENT_H

#include "config.h"
#include "core/sts.h"

/* Once for the process, before any thread asks, and after the last one is gone. */
bool api_sts_start(void);
void api_sts_stop(void);

/*
 * Assume the role for `user`, confined to `prefix`, and wait for the answer: at most ten seconds.
 * Threads may ask at the same time. `out` is fresh memory, released with ph_creds_clear. `said` is
 * what STS gave as its reason, if it gave any; its first sentence only, since what follows in
 * answers to bad signatures repeats the request.
 * Errors: PH_ERR_NETWORK, PH_ERR_TIMEOUT, PH_ERR_TLS (no answer came), PH_ERR_SERVER_ERROR,
 * PH_ERR_SLOW_DOWN (it may work later), PH_ERR_REFUSED, PH_ERR_BAD_XML, PH_ERR_BAD_ANSWER,
 * PH_ERR_NOMEM.
 */
int api_sts_assume(const api_config *config, ph_str user, ph_str prefix, uint64_t now_ms,
                   ph_creds *out, ph_sts_error *said);

#endif
