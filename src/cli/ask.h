/* SPDX-License-Identifier: MIT
 *
 * ask - one request to a service (the credentials API, STS) and its answer, waited for. Uploads
 * have a loop of their own.
 */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "core/buf.h"
#include "report.h"

typedef struct ask_answer {
    int status; /* 0: there was none, and `reason` is what the transport said */
    ph_buf body;
    uint64_t date_ms;        /* of the service's clock, when it answered; 0: it does not say */
    uint32_t retry_after_ms; /* 0: it does not say; a minute at most */
    char request_id[64];     /* as the service named it, or "" */
    char reason[256];
} ask_answer;

/* What is wrong with the body of a 200: PH_OK, or a code whose class says whether it is asked for again. */
typedef int ask_reader(ph_str body);

/*
 * Send a request until there is an answer that is neither 429 nor 5xx, and that `reader` can read, unless it
 * is NULL; at most `tries` times with growing waits between them, no shorter than Retry-After, which `say`
 * tells of. `timeout_ms`, unless 0, shortens the 30 seconds in which something has to move. Release the
 * answer with ask_clear in any case.
 * Errors: PH_ERR_NETWORK, PH_ERR_TIMEOUT, PH_ERR_TLS (no answer), PH_ERR_NOMEM.
 */
int ask_send(const ph_request *r, uint32_t tries, uint32_t timeout_ms, report *say,
             ask_reader *reader, ask_answer *out);
void ask_clear(ask_answer *a); /* wipes it */

/* May secrets go there and come back: https, or this machine? */
bool ask_is_private(ph_str url);

#endif
