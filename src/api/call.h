/* SPDX-License-Identifier: MIT
 *
 * call - what the handlers of routes share: one request on its way to its answer. Private to
 * routes.c and the files of handlers.
 */
#ifndef API_CALL_H
#define API_CALL_H

#include "core/json.h"
#include "core/json_out.h"
#include "routes.h"

#define CALL_MAX_ANSWER ((size_t)4 << 20) /* 250 URLs, in each a session token of up to 3 KiB */

typedef struct call {
    const api_service *service;
    const api_request *request;
    ph_str rest;      /* of the path, where a route takes one */
    api_identity who; /* empty where no user is needed */
    api_answer *answer;
} call;

/* The handlers, by file. */
void call_health(call *c);
void call_metrics(call *c);
void call_about(call *c);
void call_openapi(call *c);
void call_credentials(call *c);
void call_getsts(call *c);
void call_get_key(call *c);
void call_uploads(call *c);
void call_post_policy(call *c);

/* The routes' labels in metrics. */
const char *const *call_route_names(size_t *count);

/* Answers. */
void call_answer_json(call *c, int status);
void call_refuse(call *c, api_problem problem, const char *detail);
void call_fail(call *c, int err); /* something behind us or in us went wrong */
void call_add_header(api_answer *a, const char *name, const char *value);
void call_add_date(ph_buf *b, const char *name, uint64_t ms);
void call_add_credentials(ph_buf *b, const ph_creds *creds);
void call_add_problem(ph_buf *b, const char *name, api_verdict why); /* the document of a refusal */

/*
 * Borrow credentials as wished. False: there is none, and the answer is a refusal already, or says
 * that it would have to wait.
 */
bool call_borrow(call *c, const api_wish *wish, api_loan *out);

/* The wish for the user's prefix. */
api_wish call_wish(const call *c);

#endif
