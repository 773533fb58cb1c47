/* SPDX-License-Identifier: MIT
 *
 * fetch - one small HTTP request to a server that the operator named, with limits on time and size.
 * With lambda, the user of libcurl. Roots of trust are the system's, or those of SSL_CERT_FILE.
 */
#ifndef API_FETCH_H
#define API_FETCH_H

#include "core/buf.h"

#define API_FETCH_MAX_HEADERS 8

typedef struct api_fetch {
    const char *method; /* "GET", "POST" or "PUT" */
    ph_str url;         /* absolute; followed nowhere else */
    const ph_header *headers;
    size_t header_count; /* at most API_FETCH_MAX_HEADERS */
    ph_str body;         /* absent: none */
    uint32_t timeout_ms; /* of the whole exchange; 0: ten seconds */
    bool direct;         /* never by a proxy */
} api_fetch;

typedef struct api_fetched {
    int status;
    uint32_t max_age_seconds; /* what Cache-Control says; UINT32_MAX when it says nothing */
    ph_buf body;              /* at most 256 KiB; wiped by ph_buf_clear */
} api_fetched;

/* Once for the process, before any thread asks, and after the last one is gone. */
bool api_fetch_start(void);
void api_fetch_stop(void);

/*
 * Ask and wait. Threads may ask at the same time; each keeps a connection for its next request. A
 * proxy of the environment is used, but not for loopback and link-local addresses. No redirect is
 * followed: what is sent (tokens, signatures) is meant for one host. `out` is filled when PH_OK
 * says that there is an answer, whatever its status; clear its body in any case.
 * Errors: PH_ERR_NETWORK, PH_ERR_TIMEOUT, PH_ERR_TLS, PH_ERR_BAD_ANSWER (too large),
 * PH_ERR_BAD_ENDPOINT, PH_ERR_NOMEM.
 */
int api_fetch_ask(const api_fetch *what, api_fetched *out);

/*
 * Let all that this thread asks from now on end half a second before `*deadline_ms`, by the clock
 * of api_now_ms; 0 there or NULL: no deadline. It is read at each request. False: out of memory.
 */
bool api_fetch_deadline(const uint64_t *deadline_ms);

/* May this URL be trusted with a secret, or to tell one? https, or http on this very machine. */
bool api_url_is_safe(ph_str url);

#endif
