/* SPDX-License-Identifier: MIT
 *
 * The HTTP front end. libmicrohttpd parses and keeps the connections; a thread for each processor
 * serves some of them. An answer that needs somebody else's (STS, an issuer of tokens) is made by
 * another pool of threads, while its connection is suspended and costs nothing. Everything a client
 * can make large or slow has a limit here. What is answered is decided in routes.c.
 */
#define _DEFAULT_SOURCE

#include "http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/enc.h"
#include "core/str.h"
#include "log.h"
#include "pool.h"
#include "tls.h"
#include "watch.h"

#define MAX_THREADS 16u
#define WAITING_THREADS 16u
#define WAITING_MS 10000 /* that a request may stand in line for one of them */
#define IDLE_SECONDS 15u
#define HEADER_MEMORY ((size_t)32 << 10) /* request line and headers of one connection */
#define MAX_DISCARD ((size_t)1 << 20)    /* of a body that is refused anyway */
#define DESCRIPTORS 64u                  /* for what is no connection of a client */
#define ID_BYTES 8
#define TLS_VERSIONS "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct api_http {
    const api_service *service;
    struct MHD_Daemon *daemon;
    api_pool *pool;
    api_watch *watch;
    atomic_bool stopping; /* requests that begin now are turned away */
    atomic_uint active;
};

/* One request on its way. */
typedef struct exchange {
    api_job job; /* first: the pool gives it back */
    api_http *http;
    struct MHD_Connection *connection;
    char id[2 * ID_BYTES + 1];
    uint64_t started_us, queued_us;
    ph_buf body, query;
    size_t discarded;
    bool too_large;
    bool ready; /* `answer` was made while the connection was suspended */
    api_request request;
    api_answer answer;
} exchange;

/* ---- The machine ----------------------------------------------------------------------------- */

/* see http.h */
uint64_t api_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t monotonic_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
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

/* libmicrohttpd has taken the query apart; put it together as it was, since nothing is decoded. */
static enum MHD_Result take_argument(void *query, enum MHD_ValueKind kind, const char *name,
                                     size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    ph_buf *b = query;
    if (b->len > 0)
        ph_buf_char(b, '&');
    ph_buf_add(b, name, name_len);
    if (value) {
        ph_buf_char(b, '=');
        ph_buf_add(b, value, value_len);
    }
    return MHD_YES;
}

static api_watched *watched(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
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

/* Send what is in x->answer, and say so in the log. */
static enum MHD_Result send_exchange(exchange *x)
{
    api_watched *client = watched(x->connection);
    if (client)
        api_watch_client(client); /* who has to take the answer */
    enum MHD_Result sent = send_answer(x->connection, &x->answer);
    uint64_t us = monotonic_us() - x->started_us;
    api_metrics_time(x->http->service->metrics, us);
    api_log_request(&x->request, &x->answer, us / 1000);
    api_answer_clear(&x->answer);
    x->ready = false;
    return sent;
}

/* Make the answer, whomever it takes, and let the connection go on: in the pool, or `late`. */
static void answer_in_pool(void *context, api_job *job, bool late)
{
    (void)context;
    exchange *x = (exchange *)job;
    if (late || monotonic_us() - x->queued_us > WAITING_MS * UINT64_C(1000)) {
        api_answer_refuse(x->http->service, &x->request, (api_verdict){API_BUSY, NULL}, &x->answer);
    } else {
        x->request.no_wait = false;
        api_answer_make(x->http->service, &x->request, &x->answer);
    }
    x->ready = true;
    MHD_resume_connection(x->connection);
}

static enum MHD_Result answer_request(exchange *x, const char *method, const char *path)
{
    api_watched *client = watched(x->connection);
    x->request = (api_request){
        .id = x->id,
        .now_ms = api_now_ms(),
        .method = ph_str_from(method),
        .path = ph_str_from(path),
        .body = ph_buf_view(&x->body),
        .body_too_large = x->too_large,
        .no_wait = true,
    };
    if (client) {
        api_watch_server(client);
        x->request.address = ph_str_from(client->address);
    }
    MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, take_header, &x->request);
    MHD_get_connection_values_n(x->connection, MHD_GET_ARGUMENT_KIND, take_argument, &x->query);
    if (x->query.len > 0)
        x->request.query = ph_buf_view(&x->query);
    api_answer_make(x->http->service, &x->request, &x->answer);
    if (!x->answer.would_wait)
        return send_exchange(x);
    x->request.counted = true;
    x->request.user_counted = x->answer.user.len > 0; /* else it has to be asked who it is */
    api_answer_clear(&x->answer);
    x->queued_us = monotonic_us();
    MHD_suspend_connection(x->connection);
    if (!api_pool_add(x->http->pool, &x->job)) /* else it is the pool's from here on */
        answer_in_pool(x->http, &x->job, true);
    return MHD_YES;
}

static exchange *begin_exchange(api_http *http, struct MHD_Connection *connection)
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
    x->http = http;
    x->connection = connection;
    x->started_us = monotonic_us();
    ph_buf_init(&x->body, API_BODY_MAX);
    ph_buf_init(&x->query, HEADER_MEMORY);
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
        if (atomic_load(&http->stopping))
            return MHD_NO;
        *state = x = begin_exchange(http, connection);
        if (!x)
            return MHD_NO;
        /* A body that says beforehand that it is too large is not even read. */
        const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                         MHD_HTTP_HEADER_CONTENT_LENGTH);
        uint64_t size;
        if (length && (!ph_str_u64(ph_str_from(length), &size) || size > API_BODY_MAX)) {
            x->too_large = true;
            return answer_request(x, method, path);
        }
        return MHD_YES;
    }
    if (x->ready)
        return send_exchange(x);
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
    return answer_request(x, method, path);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode how)
{
    (void)how;
    api_http *http = context;
    exchange *x = *state;
    if (!x)
        return;
    if (x->ready) /* the client went away while its answer was made */
        api_answer_clear(&x->answer);
    ph_buf_clear(&x->body);
    ph_buf_clear(&x->query);
    free(x);
    *state = NULL;
    api_watched *client = watched(connection);
    if (client)
        api_watch_client(client);
    atomic_fetch_sub(&http->active, 1);
}

/* Paths are compared as they come, so that %2F and the like mean nothing special. */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    api_http *http = context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = info ? api_watch_add(http->watch, info->connect_fd) : NULL;
    } else if (*socket_context) {
        api_watch_remove(http->watch, *socket_context);
        *socket_context = NULL;
    }
}

/* ---- Start and stop -------------------------------------------------------------------------- */

/* As many connections as are wanted, if the system allows so many descriptors. */
static unsigned connections_possible(uint32_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    if (limit.rlim_cur < wanted + DESCRIPTORS) {
        rlim_t needed = (rlim_t)wanted + DESCRIPTORS;
        limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= wanted + DESCRIPTORS)
        return wanted;
    return limit.rlim_cur > 2 * DESCRIPTORS ? (unsigned)limit.rlim_cur - DESCRIPTORS : DESCRIPTORS;
}

static unsigned threads_wanted(const api_config *config)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = processors > 0 ? (unsigned)processors : 1;
    if (config->threads > 0)
        count = config->threads;
    return count < MAX_THREADS ? count : MAX_THREADS;
}

static struct MHD_Daemon *start_daemon(api_http *http, unsigned connections)
{
    const api_config *config = http->service->config;
    const struct sockaddr *address = (const struct sockaddr *)&config->listen;
    unsigned flags =
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME;
    if (address->sa_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, api_tls_callback()},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, TLS_VERSIONS},
        {MHD_OPTION_END, 0, NULL},
    };
    if (config->tls_cert_file.ptr)
        flags |= MHD_USE_TLS;
    else
        tls[0] = tls[2];
    unsigned threads = threads_wanted(config);
    if (threads > connections)
        threads = 1;
    errno = 0;
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, http,
                            /* what follows are libmicrohttpd's pairs of option and value */
                            MHD_OPTION_SOCK_ADDR, address,                          /**/
                            MHD_OPTION_THREAD_POOL_SIZE, threads > 1 ? threads : 0, /**/
                            MHD_OPTION_CONNECTION_LIMIT, connections,               /**/
                            MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                            config->connections_per_address,                   /**/
                            MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,       /**/
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_MEMORY, /**/
                            MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u,             /**/
                            MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,  /**/
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,   /**/
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, /**/
                            MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

/* see http.h */
api_http *api_http_start(const api_service *service)
{
    api_http *http = calloc(1, sizeof *http);
    if (!http)
        return NULL;
    http->service = service;
    const api_config *config = service->config;
    if (config->tls_cert_file.ptr && api_tls_load(config->tls_cert_file, config->tls_key_file)) {
        free(http); /* it was good when the configuration was checked */
        errno = EINVAL;
        return NULL;
    }
    http->watch = api_watch_start(service->config->request_seconds);
    http->pool = api_pool_start(WAITING_THREADS, answer_in_pool, http);
    if (http->watch && http->pool)
        http->daemon = start_daemon(http, connections_possible(service->config->connections));
    if (http->daemon)
        return http;
    int why = errno;
    api_tls_clear();
    if (http->pool) {
        api_pool_stop(http->pool);
        api_pool_free(http->pool);
    }
    if (http->watch)
        api_watch_stop(http->watch);
    free(http);
    errno = why;
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
    /* Not MHD_quiesce_daemon: with epoll it races with the polling threads, and ends the program. */
    atomic_store(&http->stopping, true);
}

/* see http.h */
unsigned api_http_active(const api_http *http)
{
    return atomic_load(&http->active);
}

/* see http.h */
void api_http_stop(api_http *http)
{
    api_pool_stop(http->pool); /* first: libmicrohttpd may not end with suspended connections */
    MHD_stop_daemon(http->daemon);
    api_pool_free(http->pool);
    api_watch_stop(http->watch);
    api_tls_clear();
    free(http);
}
