/* SPDX-License-Identifier: MIT
 *
 * lambda_event - between Lambda's JSON and the service's requests and answers, without a network.
 *
 * Three front ends of AWS make events of HTTP requests: function URLs and HTTP APIs (payload format
 * 2.0), REST APIs, and HTTP APIs set to format 1.0. They differ in where things stand, not in what
 * they mean; one form of answer serves them all.
 */
#ifndef API_LAMBDA_EVENT_H
#define API_LAMBDA_EVENT_H

#include "core/json.h"
#include "routes.h"

/* An event is kept up to this size, which is what core/json.h reads. Lambda sends up to 6 MiB. */
#define API_EVENT_MAX ((size_t)1 << 20)

typedef struct api_event {
    api_request request; /* views of what follows, and of the id that was given */
    ph_json *document;
    ph_buf body;  /* decoded, if it came as base64 */
    ph_buf query; /* put together again, where the event has it in pieces */
} api_event;

typedef enum api_event_kind {
    API_EVENT_REQUEST,    /* `request` is to be answered */
    API_EVENT_UNREADABLE, /* to be refused: this is not JSON, or a field is not what it has to be */
    API_EVENT_FOREIGN,    /* JSON, but no HTTP request: somebody else's event */
    API_EVENT_NO_MEMORY,
} api_event_kind;

/*
 * Read an event. `id` is the invocation's and has to outlive `out`, which is valid whatever the
 * kind is and released, and wiped, with api_event_clear.
 *
 * A stage that stands before the path is taken away: "/dev/v1/credentials" of the stage "dev" is
 * "/v1/credentials". What a client can break by itself (a NUL in its query, hundreds of headers) is
 * UNREADABLE and not an error of the function, lest clients fill the operator's error counts.
 */
api_event_kind api_event_read(ph_str text, const char *id, uint64_t now_ms, api_event *out);
void api_event_clear(api_event *e);

/* Add the document that answers an event. It may hold credentials, as the answer does. */
void api_event_answer(const api_request *request, const api_answer *answer, ph_buf *out);

#endif
