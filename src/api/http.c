/* SPDX-License-Identifier: MIT
 *
 * The HTTP front end. libmicrohttpd parses and keeps the connections; a pool of threads each serves
 * some of them, so a request that waits for STS holds up few others. Everything a client can make
 * large or slow has a limit here. What is answered is decided in routes.c.
 */
#define _DEFAULT_SOURCE

#include "http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/enc.h"
#include "core/str.h"
#include "log.h"

#define THREADS 8u
#define CONNECTIONS 512u /* of all threads together; well below the usual 1,024 descriptors */
#define IDLE_SECONDS 15u
#define HEADER_MEMORY ((size_t)64 << 10) /* request line and headers of one connection */
#define MAX_DISCARD ((size_t)1 << 20)    /* of a body that is refused anyway */
#define ID_BYTES 8

struct api_http {
    const api_service *service;
    struct MHD_Daemon *daemon;
    MHD_socket listener; /* after quiescing it is ours to close */
    atomic_uint active;
};

/* One request on its way. */
typedef struct exchange {
    char id[2 * ID_BYTES + 1];
    uint64_t started_ms;
    ph_buf body;
    size_t discarded;
    bool too_large;
} exchange;

/* ---- The machine ----------------------------------------------------------------------------- */

/* see http.h */
uint64_t api_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t monotonic_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* see http.h */
bool api_random(void *out, size_t len)
{
    return getrandom(out, len, 0) == (ssize_t)len; /* up to 256 bytes come whole */
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* The text belongs to the connection. */
static enum MHD_Result take_header(void *request, enum MHD_ValueKind kind, const char *name,
                                   size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    ph_str text = {value ? value : "", value ? value_len : 0};
    api_request_header(request, (ph_str){name, name_len}, text);
    return MHD_YES;
}

static void wipe_body(void *body)
{
    ph_buf_clear(body);
    free(body);
}

/* Hand the answer over. Its body moves to the response, which wipes it when it is sent. */
static enum MHD_Result send_answer(struct MHD_Connection *connection, api_answer *answer)
{
    struct MHD_Response *response = NULL;
    if (answer->body.len > 0) {
        ph_buf *body = malloc(sizeof *body);
        if (!body)
            return MHD_NO;
        *body = answer->body;
        ph_buf_init(&answer->body, 0);
        response = MHD_create_response_from_buffer_with_free_callback_cls(body->len, body->ptr,
                                                                          wipe_body, body);
        if (!response)
            wipe_body(body);
    } else {
        response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    }
    if (!response)
        return MHD_NO;
    for (size_t i = 0; i < answer->header_count; i++)
        MHD_add_response_header(response, answer->headers[i].name.ptr,
                                answer->headers[i].value.ptr);
    enum MHD_Result sent = MHD_queue_response(connection, (unsigned)answer->status, response);
    MHD_destroy_response(response);
    return sent;
}

static enum MHD_Result answer_request(api_http *http, struct MHD_Connection *connection,
                                      const char *method, const char *path, exchange *x)
{
    api_request request = {
        .id = x->id,
        .now_ms = api_now_ms(),
        .method = ph_str_from(method),
        .path = ph_str_from(path),
        .body = ph_buf_view(&x->body),
        .body_too_large = x->too_large,
    };
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, take_header, &request);
    api_answer answer;
    api_answer_make(http->service, &request, &answer);
    enum MHD_Result sent = send_answer(connection, &answer);
    api_log_request(&request, &answer, monotonic_ms() - x->started_ms);
    api_answer_clear(&answer);
    return sent;
}

static exchange *begin_exchange(api_http *http)
{
    exchange *x = calloc(1, sizeof *x);
    uint8_t id[ID_BYTES];
    if (!x || !api_random(id, sizeof id)) {
        free(x);
        return NULL;
    }
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof id; i++) {
        x->id[2 * i] = hex[id[i] >> 4];
        x->id[2 * i + 1] = hex[id[i] & 15];
    }
    x->started_ms = monotonic_ms();
    ph_buf_init(&x->body, API_BODY_MAX);
    atomic_fetch_add(&http->active, 1);
    return x;
}

/*
 * libmicrohttpd calls this once with the headers, once for each piece of the body, and once when
 * all is there.
 */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *data, size_t *len, void **state)
{
    (void)version;
    api_http *http = context;
    exchange *x = *state;
    if (!x) {
        *state = x = begin_exchange(http);
        if (!x)
            return MHD_NO;
        /* A body that says beforehand that it is too large is not even read. */
        const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                         MHD_HTTP_HEADER_CONTENT_LENGTH);
        uint64_t size;
        if (length && (!ph_str_u64(ph_str_from(length), &size) || size > API_BODY_MAX)) {
            x->too_large = true;
            return answer_request(http, connection, method, path, x);
        }
        return MHD_YES;
    }
    if (*len > 0) {
        if (!x->too_large && x->body.len + *len > API_BODY_MAX)
            x->too_large = true;
        if (x->too_large)
            x->discarded += *len;
        else
            ph_buf_add(&x->body, data, *len);
        *len = 0;
        return x->discarded > MAX_DISCARD || x->body.err != PH_OK ? MHD_NO : MHD_YES;
    }
    return answer_request(http, connection, method, path, x);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode how)
{
    (void)connection, (void)how;
    api_http *http = context;
    exchange *x = *state;
    if (!x)
        return;
    ph_buf_clear(&x->body);
    free(x);
    *state = NULL;
    atomic_fetch_sub(&http->active, 1);
}

/* Paths are compared as they come, so that %2F and the like mean nothing special. */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

/* ---- Start and stop -------------------------------------------------------------------------- */

/* see http.h */
api_http *api_http_start(const api_service *service)
{
    api_http *http = calloc(1, sizeof *http);
    if (!http)
        return NULL;
    http->service = service;
    http->listener = MHD_INVALID_SOCKET;
    const struct sockaddr *address = (const struct sockaddr *)&service->config->listen;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ITC;
    if (address->sa_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    errno = 0;
    http->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, http,
                                    /* what follows are libmicrohttpd's pairs of option and value */
                                    MHD_OPTION_SOCK_ADDR, address,                     /**/
                                    MHD_OPTION_THREAD_POOL_SIZE, THREADS,              /**/
                                    MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,          /**/
                                    MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,       /**/
                                    MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_MEMORY, /**/
                                    MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,  /**/
                                    MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,   /**/
                                    MHD_OPTION_END);
    if (http->daemon)
        return http;
    free(http);
    return NULL;
}

/* see http.h */
uint16_t api_http_port(const api_http *http)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

/* see http.h */
void api_http_quiesce(api_http *http)
{
    http->listener = MHD_quiesce_daemon(http->daemon);
}

/* see http.h */
unsigned api_http_active(const api_http *http)
{
    return atomic_load(&http->active);
}

/* see http.h */
void api_http_stop(api_http *http)
{
    MHD_stop_daemon(http->daemon);
    if (http->listener != MHD_INVALID_SOCKET)
        close(http->listener);
    free(http);
}
