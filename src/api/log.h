/* SPDX-License-Identifier: MIT
 *
 * log - one line of JSON on stderr for each request, and for what else the operator should see.
 * Nothing secret gets here: no query, no token, no credentials, no signed URL.
 */
#ifndef API_LOG_H
#define API_LOG_H

#include "routes.h"

/* `event` is a literal; `detail` may be absent. */
void api_log_event(uint64_t now_ms, const char *event, ph_str detail);

void api_log_request(const api_request *request, const api_answer *answer, uint64_t duration_ms);

#endif
