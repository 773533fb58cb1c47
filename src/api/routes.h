/* SPDX-License-Identifier: MIT
 *
 * routes - what the service answers. One function from request to answer, without sockets, clocks
 * or global state, so that an HTTP server, a Lambda function and a test can all call it.
 */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "config.h"
#include "core/sts.h"
#include "problem.h"

#define API_BODY_MAX ((size_t)64 << 10)
#define API_MAX_HEADERS 16

/* A request; absent texts are {NULL, 0}. */
typedef struct api_request {
    const char *id; /* of this request; comes back as x-request-id */
    uint64_t now_ms;
    uint64_t deadline_ms; /* when nobody waits for the answer any more; 0: nobody said */
    ph_str method;
    ph_str path; /* as on the wire, without the query */
    ph_str origin;
    ph_str authorization;
    bool authorization_twice; /* there was more than one such header */
    ph_str preflight_method;  /* access-control-request-method */
    ph_str body;
    bool body_too_large; /* it was over API_BODY_MAX, and `body` is not it */
} api_request;

/* Give the request a header, its name in any case; those that nothing depends on are dropped. */
void api_request_header(api_request *request, ph_str name, ph_str value);

/* The answer. Header values end in NUL and live as long as the request and the service. */
typedef struct api_answer {
    int status;
    ph_header headers[API_MAX_HEADERS]; /* lower-case names; content-length is the host's */
    size_t header_count;
    ph_buf body; /* may hold credentials */
    char allow[64];

    /* for the log */
    const char *code;  /* of a problem; NULL without one */
    ph_buf user;       /* the user's key segment; empty before the token was found good */
    const char *error; /* what went wrong behind us, a name of errors.def; NULL if nothing */
    ph_sts_error said; /* by STS */
} api_answer;

/* What an answer depends on besides the request. Read-only; threads share it. */
typedef struct api_service {
    const api_config *config;
    int (*assume)(const api_config *config, ph_str user, ph_str prefix, uint64_t now_ms,
                  ph_creds *out, ph_sts_error *said); /* api_sts_assume, or a test's own */
    bool (*random)(void *out, size_t len);
} api_service;

/* Answer. Always fills `out` with something to send; release with api_answer_clear, which wipes. */
void api_answer_make(const api_service *service, const api_request *request, api_answer *out);
void api_answer_clear(api_answer *a);

/* Answer a request that a host could not even read; `detail` as in api_verdict. */
void api_answer_refuse(const api_request *request, api_verdict why, api_answer *out);

#endif
