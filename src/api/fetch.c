/* SPDX-License-Identifier: MIT
 *
 * See fetch.h. Each thread keeps one curl handle, and with it its open connections.
 */
#define _POSIX_C_SOURCE 200809L

#include "fetch.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/endpoint.h"
#include "core/str.h"

#define MAX_ANSWER ((size_t)256 << 10)
#define CONNECT_MS 3000L
#define TOTAL_MS 10000L
#define MARGIN_MS 500u /* before a deadline, to say that nobody answered */

static pthread_key_t handle_of_thread, deadline_of_thread;

static void free_handle(void *handle)
{
    curl_easy_cleanup(handle);
}

/* see fetch.h */
bool api_fetch_start(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
           pthread_key_create(&handle_of_thread, free_handle) == 0 &&
           pthread_key_create(&deadline_of_thread, NULL) == 0;
}

/* see fetch.h */
void api_fetch_stop(void)
{
    free_handle(pthread_getspecific(handle_of_thread)); /* the main thread ends without this */
    pthread_key_delete(handle_of_thread);
    pthread_key_delete(deadline_of_thread);
    curl_global_cleanup();
}

/* see fetch.h */
bool api_fetch_deadline(const uint64_t *deadline_ms)
{
    return pthread_setspecific(deadline_of_thread, deadline_ms) == 0;
}

/* How long a request that may take `wanted_ms` may take in this thread; 0: it is too late. */
static long time_left(uint32_t wanted_ms)
{
    const uint64_t *deadline_ms = pthread_getspecific(deadline_of_thread);
    long wanted = wanted_ms ? (long)wanted_ms : TOTAL_MS;
    struct timespec t;
    if (!deadline_ms || *deadline_ms == 0 || clock_gettime(CLOCK_REALTIME, &t) != 0)
        return wanted;
    uint64_t from_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 + MARGIN_MS;
    if (*deadline_ms <= from_ms)
        return 0;
    uint64_t left = *deadline_ms - from_ms;
    return left < (uint64_t)wanted ? (long)left : wanted;
}

/* This thread's handle with no options set, but perhaps with a connection still open. */
static CURL *clean_handle(void)
{
    CURL *curl = pthread_getspecific(handle_of_thread);
    if (curl) {
        curl_easy_reset(curl);
        return curl;
    }
    curl = curl_easy_init();
    if (curl && pthread_setspecific(handle_of_thread, curl) != 0) {
        curl_easy_cleanup(curl);
        curl = NULL;
    }
    return curl;
}

static bool add_header(struct curl_slist **list, ph_header header)
{
    ph_buf line;
    ph_buf_init(&line, 65536);
    ph_buf_str(&line, header.name);
    ph_buf_cstr(&line, ": ");
    ph_buf_str(&line, header.value);
    ph_buf_char(&line, '\0');
    struct curl_slist *longer = line.err == PH_OK ? curl_slist_append(*list, line.ptr) : NULL;
    ph_buf_clear(&line);
    if (longer)
        *list = longer;
    return longer != NULL;
}

static size_t take_body(char *data, size_t size, size_t count, void *body)
{
    ph_buf *b = body;
    ph_buf_add(b, data, size * count);
    return b->err == PH_OK ? size * count : 0; /* less than was given ends the transfer */
}

/* Only Cache-Control's max-age is of interest; no-store and no-cache count as an age of nothing. */
static size_t take_header(char *data, size_t size, size_t count, void *answer)
{
    api_fetched *a = answer;
    ph_str value = {data, size * count};
    ph_str name = ph_str_cut(&value, ':');
    if (!value.ptr || !ph_str_equal_nocase(name, PH_STR("cache-control")))
        return size * count;
    while (value.ptr) {
        ph_str directive = ph_str_trim(ph_str_cut(&value, ','));
        ph_str argument = directive;
        ph_str what = ph_str_trim(ph_str_cut(&argument, '='));
        uint64_t seconds;
        if (ph_str_equal_nocase(what, PH_STR("no-store")) ||
            ph_str_equal_nocase(what, PH_STR("no-cache")))
            a->max_age_seconds = 0;
        else if (ph_str_equal_nocase(what, PH_STR("max-age")) &&
                 ph_str_u64(ph_str_trim(argument), &seconds) && a->max_age_seconds != 0)
            a->max_age_seconds = seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX - 1;
    }
    return size * count;
}

static int why_no_answer(CURLcode code)
{
    switch ((int)code) { /* most of libcurl's hundred codes are one thing to us */
    case CURLE_OPERATION_TIMEDOUT: return PH_ERR_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE: return PH_ERR_TLS;
    case CURLE_WRITE_ERROR: return PH_ERR_BAD_ANSWER; /* larger than we take */
    case CURLE_OUT_OF_MEMORY: return PH_ERR_NOMEM;
    default: return PH_ERR_NETWORK;
    }
}

/* What no proxy could reach, or should see: this machine, and the cloud's link-local services. */
static bool is_near(const ph_url *url)
{
    return ph_url_is_loopback(url) || ph_str_starts(url->name, PH_STR("169.254."));
}

static int perform(CURL *curl, const api_fetch *what, const char *url, const ph_url *parts,
                   struct curl_slist *headers, api_fetched *out)
{
    /* OpenSSL's own variable; libcurl, told at its build where the roots are, does not heed it. */
    const char *roots = getenv("SSL_CERT_FILE");
    long milliseconds = time_left(what->timeout_ms);
    if (milliseconds == 0)
        return PH_ERR_TIMEOUT;
    if (roots && *roots)
        curl_easy_setopt(curl, CURLOPT_CAINFO, roots);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (what->body.ptr) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, what->body.ptr);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)what->body.len);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, what->method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "parthaul-api/" PH_VERSION);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, milliseconds);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L); /* signals and threads do not mix */
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &out->body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, out);
    if (what->direct || is_near(parts))
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    CURLcode code = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    out->status = (int)status;
    return code == CURLE_OK ? PH_OK : why_no_answer(code);
}

/* see fetch.h */
int api_fetch_ask(const api_fetch *what, api_fetched *out)
{
    *out = (api_fetched){.max_age_seconds = UINT32_MAX};
    ph_buf_init(&out->body, MAX_ANSWER);
    ph_url parts;
    if (ph_url_parse(what->url, &parts) != PH_OK)
        return PH_ERR_BAD_ENDPOINT;
    ph_str url;
    struct curl_slist *headers = NULL;
    bool good = true;
    for (size_t i = 0; good && i < what->header_count; i++)
        good = add_header(&headers, what->headers[i]);
    CURL *curl = clean_handle();
    int err = PH_ERR_NOMEM;
    if (good && curl && ph_str_copy(what->url, &url) == PH_OK) {
        err = perform(curl, what, url.ptr, &parts, headers, out);
        ph_str_free(&url);
    }
    curl_slist_free_all(headers);
    return err;
}

/* see fetch.h */
bool api_url_is_safe(ph_str url)
{
    ph_url parts;
    return ph_url_parse(url, &parts) == PH_OK && (parts.tls || ph_url_is_loopback(&parts));
}
