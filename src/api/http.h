/* SPDX-License-Identifier: MIT
 *
 * http - the service as an HTTP server: libmicrohttpd in front of api_answer_make.
 */
#ifndef API_HTTP_H
#define API_HTTP_H

#include "routes.h"

typedef struct api_http api_http;

/*
 * Listen at the configuration's address and serve with a few threads until api_http_stop. NULL
 * when it cannot, with errno as it was left (EADDRINUSE, EACCES, ...).
 */
api_http *api_http_start(const api_service *service);

/* The port that is listened at, also when the configuration says 0. */
uint16_t api_http_port(const api_http *http);

/* Turn away requests that begin from now on; what has begun goes on. */
void api_http_quiesce(api_http *http);

/* How many requests are being answered. */
unsigned api_http_active(const api_http *http);

/* End it: wait for the threads, close all connections. */
void api_http_stop(api_http *http);

/* The time, in milliseconds since 1970. */
uint64_t api_now_ms(void);

/* Fill with random bytes from the kernel; false when it has none to give. */
bool api_random(void *out, size_t len);

#endif
