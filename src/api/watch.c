/* SPDX-License-Identifier: MIT
 *
 * See watch.h. A cut is a shutdown() of the socket: who serves the connection then sees its end and
 * closes it as always. It happens under the mutex that a removal takes too, so the descriptor cannot
 * have become another connection's meanwhile.
 */
#define _POSIX_C_SOURCE 200809L

#include "watch.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define STEP_MS 500

struct api_watch {
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    pthread_t thread;
    bool stopping;
    uint64_t limit_ms;
    api_watched *first;
};

static uint64_t monotonic_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void *watch(void *context)
{
    api_watch *w = context;
    pthread_mutex_lock(&w->mutex);
    while (!w->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += STEP_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&w->ended, &w->mutex, &until);
        uint64_t now_ms = monotonic_ms();
        for (api_watched *c = w->first; c; c = c->next) {
            uint64_t since_ms = atomic_load(&c->since_ms);
            if (since_ms != 0 && now_ms > since_ms + w->limit_ms)
                shutdown(c->fd, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* see watch.h */
api_watch *api_watch_start(uint32_t seconds)
{
    api_watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->limit_ms = (uint64_t)seconds * 1000;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC); /* the other one may be set back */
    pthread_cond_init(&w->ended, &clock);
    pthread_condattr_destroy(&clock);
    if (pthread_create(&w->thread, NULL, watch, w) == 0)
        return w;
    free(w);
    return NULL;
}

/* see watch.h */
void api_watch_stop(api_watch *w)
{
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->ended);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

static void write_address(api_watched *c)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    if (getpeername(c->fd, (struct sockaddr *)&peer, &len) != 0)
        return;
    if (peer.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((struct sockaddr_in *)&peer)->sin_addr, c->address, sizeof c->address);
    } else if (peer.ss_family == AF_INET6) {
        struct in6_addr network = ((struct sockaddr_in6 *)&peer)->sin6_addr;
        memset(network.s6_addr + 8, 0, 8); /* one customer has all the rest */
        inet_ntop(AF_INET6, &network, c->address, sizeof c->address);
    }
}

/* see watch.h */
api_watched *api_watch_add(api_watch *w, int fd)
{
    api_watched *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->fd = fd;
    write_address(c);
    api_watch_client(c);
    pthread_mutex_lock(&w->mutex);
    c->next = w->first;
    if (c->next)
        c->next->prev = c;
    w->first = c;
    pthread_mutex_unlock(&w->mutex);
    return c;
}

/* see watch.h */
void api_watch_remove(api_watch *w, api_watched *c)
{
    pthread_mutex_lock(&w->mutex);
    if (c->next)
        c->next->prev = c->prev;
    if (c->prev)
        c->prev->next = c->next;
    else
        w->first = c->next;
    pthread_mutex_unlock(&w->mutex);
    free(c);
}

/* see watch.h */
void api_watch_client(api_watched *c)
{
    atomic_store(&c->since_ms, monotonic_ms());
}

/* see watch.h */
void api_watch_server(api_watched *c)
{
    atomic_store(&c->since_ms, 0);
}
