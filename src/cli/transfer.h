/* SPDX-License-Identifier: MIT
 *
 * transfer - HTTP requests, many at a time, on libcurl's multi interface: the engine's requests go
 * in, its events come out.
 */
#ifndef CLI_TRANSFER_H
#define CLI_TRANSFER_H

#include "source.h"

typedef struct transfers transfers; /* all requests under way, and the connections they share */

/*
 * `file` is where bodies from the file are read; `ca_bundle` is a file of certificates to trust, or
 * NULL for the system's; `timeout_ms`, unless 0, shortens every request's own limits.
 * Errors: PH_ERR_NOMEM.
 */
int transfers_new(source *file, const char *ca_bundle, uint32_t timeout_ms, transfers **out);

/* Give up what runs, and close the connections. NULL is allowed. */
void transfers_free(transfers *t);

/* Start a request; everything in `r` is copied. Errors: PH_ERR_NOMEM. */
int transfers_start(transfers *t, uint32_t id, const ph_request *r);

/* A form (multipart/form-data) whose last field is a file. */
typedef struct transfer_form {
    ph_str url;
    const ph_header *fields; /* before the file, in this order */
    size_t field_count;
    source *file; /* has to stay until the request has ended */
    const char *file_name;
    ph_str file_type;
    ph_hash *hash; /* digests the file as it is read; begun anew whenever reading is */
    uint32_t stall_ms, answer_ms;
} transfer_form;

/*
 * Start a POST of a form; but for the file and the hash, everything in `f` is copied. What comes
 * twice does no harm, so libcurl may send it again on a new connection. Errors: PH_ERR_NOMEM.
 */
int transfers_post(transfers *t, uint32_t id, const transfer_form *f);

/* No event of this id will be given. */
void transfers_cancel(transfers *t, uint32_t id);

/*
 * Wait until something happens, somebody calls transfers_wake, a signal comes or `wait_ms` have
 * passed, and move the requests on.
 */
void transfers_turn(transfers *t, int wait_ms);

/* End the present or the next turn at once. May be called from any thread. */
void transfers_wake(transfers *t);

/*
 * The next event: RESPONSE, FAILED or UNREADABLE, which end a request, or SENT. Its texts are valid
 * until the next call. False when there is none now. Those of failures come last. While nobody calls
 * transfers_turn, as in a process that was stopped, no request becomes late, and one that was being
 * connected is begun anew if that fails.
 */
bool transfers_take(transfers *t, ph_event *out);

/*
 * How long reading the file has taken so far, inside of transfers_turn. On a slow disk or a network's a
 * turn may take long for that alone.
 */
uint64_t transfers_reading_ms(const transfers *t);

/* What libcurl said about the request that failed last, for a person; "" when it said nothing. */
const char *transfers_reason(const transfers *t);

#endif
