/* SPDX-License-Identifier: MIT
 *
 * watch - cuts connections that take too long. libmicrohttpd closes those on which nothing moves;
 * this is against clients that send a byte now and then to keep a place for ever.
 */
#ifndef API_WATCH_H
#define API_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct api_watch api_watch;

/* A connection that is watched. */
typedef struct api_watched {
    int fd;
    atomic_ullong since_ms; /* when what the client has to do began; 0: it is our turn */
    char address[46];       /* of the client; of IPv6 the network, for rate limits */
    struct api_watched *prev, *next;
} api_watched;

/* Start a thread that cuts connections when the client had its turn for `seconds`. NULL: cannot. */
api_watch *api_watch_start(uint32_t seconds);
void api_watch_stop(api_watch *w);

/* A connection began, and ends. */
api_watched *api_watch_add(api_watch *w, int fd); /* NULL: out of memory; it is not watched then */
void api_watch_remove(api_watch *w, api_watched *c);

/* Whose turn is it? */
void api_watch_client(api_watched *c);
void api_watch_server(api_watched *c);

#endif
