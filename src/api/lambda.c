/* SPDX-License-Identifier: MIT
 *
 * The loop of a custom runtime: ask for the next event, answer it, ask again. The runtime API is
 * plain HTTP on the machine's own loopback; the process may be frozen for hours inside a request for
 * the next event, so that one has no time limit. Events hold tokens and answers hold credentials:
 * neither is ever logged, both are wiped before the next event is asked for.
 *
 * What it deliberately does not do: several events at a time (Lambda starts more processes), and
 * setting _X_AMZN_TRACE_ID (nothing here reads it).
 */
#define _POSIX_C_SOURCE 200809L

#include "lambda.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/json_out.h"
#include "core/str.h"
#include "fetch.h"
#include "http.h"
#include "lambda_event.h"
#include "log.h"

#define MAX_ANSWER ((size_t)6 << 20) /* what Lambda takes */
#define MAX_ID 64
#define TRIES 5
#define ANSWER_MS 10000L

/* What Lambda says with an event. */
typedef struct invocation {
    char id[MAX_ID + 1];
    uint64_t deadline_ms;
    ph_buf event;
    bool too_large; /* the event is more than can be read, and `event` is only its beginning */
} invocation;

typedef struct runtime {
    CURL *curl; /* one handle, and with it one connection */
    char base[160];
} runtime;

/* ---- The runtime API ------------------------------------------------------------------------- */

static void set_url(runtime *r, const char *path, const char *id, const char *tail)
{
    char url[sizeof r->base + 128];
    snprintf(url, sizeof url, "%s%s%s%s", r->base, path, id, tail);
    curl_easy_setopt(r->curl, CURLOPT_URL, url); /* copies it */
}

static bool open_runtime(runtime *r, const char *address)
{
    /* Only an address can follow the scheme: no user, no path, no query. */
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789.-:[]";
    if (strspn(address, allowed) != strlen(address) || strlen(address) > 80)
        return false;
    snprintf(r->base, sizeof r->base, "http://%s/2018-06-01/runtime", address);
    r->curl = curl_easy_init();
    return r->curl != NULL;
}

/* The handle with what holds for every request; connections stay. */
static void begin(runtime *r)
{
    curl_easy_reset(r->curl);
    curl_easy_setopt(r->curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(r->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(r->curl, CURLOPT_PROXY, ""); /* whatever the environment says */
    curl_easy_setopt(r->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(r->curl, CURLOPT_USERAGENT, "parthaul-api/" PH_VERSION);
}

static size_t drop(char *data, size_t size, size_t count, void *context)
{
    (void)data, (void)context;
    return size * count;
}

static size_t take_event(char *data, size_t size, size_t count, void *context)
{
    invocation *i = context;
    size_t len = size * count;
    if (i->event.len + len > API_EVENT_MAX)
        i->too_large = true; /* the rest is read and dropped: the connection goes on */
    else
        ph_buf_add(&i->event, data, len);
    return i->event.err == PH_OK ? len : 0;
}

static bool is_id(ph_str text)
{
    if (text.len == 0 || text.len > MAX_ID)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
            c != '-')
            return false;
    }
    return true;
}

static size_t take_invocation_header(char *data, size_t size, size_t count, void *context)
{
    invocation *i = context;
    ph_str value = {data, size * count};
    ph_str name = ph_str_cut(&value, ':');
    value = ph_str_trim(value);
    if (ph_str_equal_nocase(name, PH_STR("lambda-runtime-aws-request-id")) && is_id(value)) {
        memcpy(i->id, value.ptr, value.len);
        i->id[value.len] = '\0';
    } else if (ph_str_equal_nocase(name, PH_STR("lambda-runtime-deadline-ms"))) {
        if (!ph_str_u64(value, &i->deadline_ms))
            i->deadline_ms = 0;
    }
    return size * count;
}

/* Wait for the next event, however long that takes. The status; 0 when no whole answer came. */
static long fetch_next(runtime *r, invocation *i)
{
    long status = 0;
    i->id[0] = '\0';
    i->deadline_ms = 0;
    i->too_large = false;
    begin(r);
    set_url(r, "/invocation/next", "", "");
    curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, take_event);
    curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, i);
    curl_easy_setopt(r->curl, CURLOPT_HEADERFUNCTION, take_invocation_header);
    curl_easy_setopt(r->curl, CURLOPT_HEADERDATA, i);
    CURLcode code = curl_easy_perform(r->curl);
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || (status == 200 && !i->id[0]))
        return 0;
    return status;
}

/* POST to what set_url was told, after begin(). `error_type` is NULL for an answer. */
static long post(runtime *r, const char *error_type, ph_str body)
{
    char line[128];
    long status = 0;
    /* curl's own "Expect: 100-continue" would cost a second, and the form's type would be a lie. */
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    struct curl_slist *more = curl_slist_append(headers, "Content-Type: application/json");
    if (error_type && more) {
        snprintf(line, sizeof line, "Lambda-Runtime-Function-Error-Type: %s", error_type);
        more = curl_slist_append(headers, line);
    }
    curl_easy_setopt(r->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(r->curl, CURLOPT_POSTFIELDS, body.ptr);
    curl_easy_setopt(r->curl, CURLOPT_POSTFIELDSIZE, (long)body.len);
    curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(r->curl, CURLOPT_TIMEOUT_MS, ANSWER_MS);
    curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, drop);
    if (headers && more && curl_easy_perform(r->curl) == CURLE_OK)
        curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    return status;
}

static long post_error(runtime *r, const char *type, ph_str message)
{
    ph_buf body;
    ph_buf_init(&body, 65536);
    ph_json_open(&body, NULL);
    ph_json_add_text(&body, "errorMessage", message);
    ph_json_add_cstr(&body, "errorType", type);
    ph_json_open_array(&body, "stackTrace");
    ph_json_close_array(&body);
    ph_json_close(&body);
    long status = body.err == PH_OK ? post(r, type, ph_buf_view(&body)) : 0;
    ph_buf_clear(&body);
    return status;
}

/* ---- One event ------------------------------------------------------------------------------- */

static long post_answer(const api_service *service, runtime *r, const invocation *i,
                        const api_request *request, api_answer *answer)
{
    ph_buf document;
    ph_buf_init(&document, MAX_ANSWER);
    api_event_answer(request, answer, &document);
    if (document.err == PH_ERR_TOO_LONG) {
        api_answer_clear(answer);
        api_answer_refuse(service, request, (api_verdict){API_INTERNAL, NULL}, answer);
        ph_buf_clear(&document);
        api_event_answer(request, answer, &document);
    }
    begin(r);
    long status = 0;
    if (document.err == PH_OK) {
        set_url(r, "/invocation/", i->id, "/response");
        status = post(r, NULL, ph_buf_view(&document));
    } else {
        set_url(r, "/invocation/", i->id, "/error");
        status = post_error(r, "Runtime.NoMemory", PH_STR("the answer cannot be built"));
    }
    ph_buf_clear(&document); /* wipes */
    return status;
}

/* The status of what was posted. */
static long handle(const api_service *service, runtime *r, const invocation *i)
{
    uint64_t now_ms = api_now_ms();
    api_event event;
    api_answer answer;
    api_event_kind kind = api_event_read(ph_buf_view(&i->event), i->id, now_ms, &event);
    long status = 0;
    if (kind == API_EVENT_FOREIGN || kind == API_EVENT_NO_MEMORY) {
        bool foreign = kind == API_EVENT_FOREIGN;
        api_log_event(now_ms, "no HTTP request", ph_str_from(i->id));
        begin(r);
        set_url(r, "/invocation/", i->id, "/error");
        status = post_error(r, foreign ? "Event.NotHttp" : "Runtime.NoMemory",
                            foreign ? PH_STR("the event is no HTTP request of a function URL or "
                                             "an API Gateway")
                                    : PH_STR("out of memory"));
    } else {
        if (i->too_large)
            api_answer_refuse(service, &event.request, (api_verdict){API_BODY_TOO_LARGE, NULL},
                              &answer);
        else if (kind == API_EVENT_UNREADABLE)
            api_answer_refuse(service, &event.request, (api_verdict){API_BAD_REQUEST, NULL},
                              &answer);
        else
            api_answer_make(service, &event.request, &answer);
        status = post_answer(service, r, i, &event.request, &answer);
        api_log_request(&event.request, &answer, api_now_ms() - now_ms);
        api_answer_clear(&answer);
    }
    api_event_clear(&event);
    return status;
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void log_status(const char *event, long status)
{
    char text[32];
    snprintf(text, sizeof text, "%ld", status);
    api_log_event(api_now_ms(), event, ph_str_from(text));
}

/* see lambda.h */
int api_lambda_serve(const api_service *service, const char *address)
{
    const struct timespec pause = {.tv_nsec = 100 * 1000000L};
    runtime r;
    if (!open_runtime(&r, address)) {
        api_log_event(api_now_ms(), "AWS_LAMBDA_RUNTIME_API is no address", (ph_str){NULL, 0});
        return EXIT_FAILURE;
    }
    invocation i;
    ph_buf_init(&i.event, API_EVENT_MAX);
    i.deadline_ms = 0;
    api_fetch_deadline(&i.deadline_ms); /* without it STS has its ten seconds, that is all */
    for (int failures = 0; failures < TRIES;) {
        long status = fetch_next(&r, &i);
        if (status == 200) {
            failures = 0;
            status = handle(service, &r, &i);
            if (status != 202)
                log_status("the answer was not taken", status);
        } else {
            failures++;
            log_status("no event", status);
            nanosleep(&pause, NULL);
        }
        ph_buf_clear(&i.event); /* wipes, and no memory is held while frozen */
        if (status == 500)      /* "Runtime should exit promptly" */
            break;
    }
    api_fetch_deadline(NULL);
    curl_easy_cleanup(r.curl);
    return EXIT_FAILURE;
}

/* see lambda.h */
void api_lambda_init_error(const char *address, const char *type, ph_str message)
{
    runtime r;
    if (!open_runtime(&r, address))
        return;
    begin(&r);
    set_url(&r, "/init/error", "", "");
    long status = post_error(&r, type, ph_str_trim(message));
    if (status != 202)
        log_status("the init error was not taken", status);
    curl_easy_cleanup(r.curl);
}
