/* SPDX-License-Identifier: MIT
 *
 * routes - what the service answers. One function from request to answer, without sockets and
 * clocks, so that an HTTP server, a Lambda function and a test can all call it.
 */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "auth.h"
#include "config.h"
#include "limits.h"
#include "metrics.h"
#include "problem.h"
#include "sts_client.h"

#define API_BODY_MAX ((size_t)64 << 10)
#define API_MAX_HEADERS 16

/* A request; absent texts are {NULL, 0}. */
typedef struct api_request {
    const char *id; /* of this request; comes back as x-request-id */
    uint64_t now_ms;
    ph_str method;
    ph_str path;    /* as on the wire, without the query */
    ph_str query;   /* behind the "?", as on the wire */
    ph_str address; /* of who asks, as text; absent: not known */
    ph_str origin;
    ph_str authorization;
    bool authorization_twice; /* there was more than one such header */
    ph_str api_key;           /* x-api-key */
    ph_str forwarded_for;     /* x-forwarded-for, the last of them */
    ph_str preflight_method;  /* access-control-request-method */
    ph_str body;
    bool body_too_large; /* it was over API_BODY_MAX, and `body` is not it */
    /*
     * Do not ask anybody (STS, an issuer) for this answer: say `would_wait` instead. The host then
     * makes the answer once more, without this, where waiting hurts nobody.
     */
    bool no_wait;
    /* It is that second time: the limits have been told of its address, and of its user too. */
    bool counted, user_counted;
} api_request;

/* Give the request a header, its name in any case; those that nothing depends on are dropped. */
void api_request_header(api_request *request, ph_str name, ph_str value);

/* The answer. Header values end in NUL and live as long as the request and the service. */
typedef struct api_answer {
    int status;
    ph_header headers[API_MAX_HEADERS]; /* lower-case names; content-length is the host's */
    size_t header_count;
    ph_buf body;     /* may hold credentials */
    bool would_wait; /* there is no answer yet: see api_request.no_wait */
    char allow[64];
    char retry_after[12];

    /* for the log */
    const char *code;  /* of a problem; NULL without one */
    ph_buf user;       /* the user's key segment; empty before it is known who asks */
    const char *error; /* what went wrong behind us, a name of errors.def; NULL if nothing */
    ph_sts_error said; /* by STS */
} api_answer;

/* What answers depend on besides the request. Threads share it. */
typedef struct api_service {
    const api_config *config;
    api_auth *auth;
    api_limits *limits;
    api_own *own;
    api_sts *sts;
    api_metrics *metrics;
    /* api_sts_borrow, or a test's own */
    int (*borrow)(api_sts *s, const api_wish *wish, uint64_t now_ms, bool may_wait,
                  bool *would_wait, api_loan *out, ph_sts_error *said);
    bool (*random)(void *out, size_t len);
} api_service;

/*
 * Make what a service needs besides its configuration, which has to outlive it. False: out of
 * memory, or of randomness.
 */
bool api_service_start(const api_config *config, bool (*random)(void *out, size_t len),
                       api_service *out);
void api_service_stop(api_service *s);

/* Answer. Always fills `out` with something to send; release with api_answer_clear, which wipes. */
void api_answer_make(const api_service *service, const api_request *request, api_answer *out);
void api_answer_clear(api_answer *a);

/*
 * Refuse a request that a host could not even read, or has no time for; it is an answer like others,
 * which pages can read and which counts.
 */
void api_answer_refuse(const api_service *service, const api_request *request, api_verdict why,
                       api_answer *out);

#endif
