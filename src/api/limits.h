/* SPDX-License-Identifier: MIT
 *
 * limits - how often somebody may ask: token buckets, one for each user and for each address, in
 * bounded memory.
 */
#ifndef API_LIMITS_H
#define API_LIMITS_H

#include "core/buf.h"

typedef struct api_limits api_limits;

/* `seed` makes the places in memory unforeseeable. NULL: out of memory. */
api_limits *api_limits_new(const uint8_t seed[32]);
void api_limits_free(api_limits *l);

/*
 * May `who` of a `kind` ("user", "address") make one more request? A bucket holds the requests of
 * ten seconds at `per_minute`, at least ten, and fills up steadily. 0 a minute: no limit. When it
 * says no, `*wait_seconds` is after how many it would say yes.
 */
bool api_limits_take(api_limits *l, char kind, ph_str who, uint32_t per_minute, uint64_t now_ms,
                     uint32_t *wait_seconds);

#endif
