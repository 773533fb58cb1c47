/* SPDX-License-Identifier: MIT
 *
 * AssumeRole over libcurl. What is asked and how it is signed is the core's; this moves bytes, with
 * limits on time and size. It follows no redirect: a signed request belongs to one host. Each thread
 * keeps one curl handle, and with it the connection to STS.
 */
#define _POSIX_C_SOURCE 200809L

#include "sts_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/enc.h"
#include "core/sigv4.h"
#include "core/str.h"

#define MAX_ANSWER ((size_t)64 << 10)
#define CONNECT_MS 3000L
#define TOTAL_MS 10000L
#define FORM "application/x-www-form-urlencoded; charset=utf-8"

static pthread_key_t handle_of_thread;

static void free_handle(void *handle)
{
    curl_easy_cleanup(handle);
}

/* see sts_client.h */
bool api_sts_start(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
           pthread_key_create(&handle_of_thread, free_handle) == 0;
}

/* see sts_client.h */
void api_sts_stop(void)
{
    free_handle(pthread_getspecific(handle_of_thread)); /* the main thread ends without this */
    pthread_key_delete(handle_of_thread);
    curl_global_cleanup();
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

/* ---- The request ----------------------------------------------------------------------------- */

static int make_body(const api_config *config, ph_str user, ph_str prefix, ph_buf *body)
{
    ph_buf name, policy;
    ph_buf_init(&name, 64);
    ph_buf_init(&policy, 2048);
    ph_sts_session_name(user, &name);
    int err = name.err;
    if (err == PH_OK)
        err = ph_sts_prefix_policy(config->bucket, prefix, &policy);
    if (err == PH_OK) {
        ph_assume_role role = {
            .role_arn = config->role_arn,
            .session_name = ph_buf_view(&name),
            .policy = ph_buf_view(&policy),
            .duration_seconds = config->session_seconds,
        };
        err = ph_sts_assume_role_body(&role, body);
    }
    ph_buf_clear(&name);
    ph_buf_clear(&policy);
    return err;
}

static bool add_header(struct curl_slist **list, ph_header header)
{
    ph_buf line;
    ph_buf_init(&line, 32768);
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

/* The headers of a signed POST of `body` to `url`. */
static int sign(const api_config *config, const ph_url *url, ph_str body, uint64_t now_ms,
                struct curl_slist **out)
{
    uint8_t hash[PH_SHA256_LEN];
    ph_sha256(body.ptr, body.len, hash);
    ph_buf payload;
    ph_buf_init(&payload, 2 * PH_SHA256_LEN);
    ph_enc_hex(&payload, hash, sizeof hash);
    const ph_header form = {PH_STR("content-type"), PH_STR(FORM)};
    ph_sigv4 request = {
        .method = PH_STR("POST"),
        .host = url->host,
        .path = url->path,
        .headers = &form,
        .header_count = 1,
        .payload = ph_buf_view(&payload),
        .region = config->region,
        .service = PH_STR("sts"),
        .time_ms = now_ms,
        .creds = &config->creds,
    };
    ph_sigv4_result result;
    int err = payload.err == PH_OK ? ph_sigv4_sign(&request, NULL, &result) : payload.err;
    ph_buf_clear(&payload);
    if (err != PH_OK)
        return err;
    bool good = add_header(out, form);
    for (size_t i = 0; good && i < result.header_count; i++)
        good = add_header(out, result.headers[i]);
    ph_sigv4_result_clear(&result);
    return good ? PH_OK : PH_ERR_NOMEM;
}

/* ---- The exchange ---------------------------------------------------------------------------- */

static size_t take(char *data, size_t size, size_t count, void *answer)
{
    ph_buf *b = answer;
    ph_buf_add(b, data, size * count);
    return b->err == PH_OK ? size * count : 0; /* less than was given ends the transfer */
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

/* POST `body`. PH_OK says that there is an answer, whatever its status. */
static int post(const char *url, bool loopback, ph_str body, struct curl_slist *headers,
                long *status, ph_buf *answer)
{
    CURL *curl = clean_handle();
    if (!curl)
        return PH_ERR_NOMEM;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.ptr);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body.len);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "parthaul-api/" PH_VERSION);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TOTAL_MS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L); /* signals and threads do not mix */
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (loopback) /* a proxy from the environment cannot reach this machine's own ports */
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    return code == CURLE_OK ? PH_OK : why_no_answer(code);
}

static void keep_first_sentence(char *message)
{
    for (char *c = message; *c; c++)
        if (c[0] == '.' && (c[1] == ' ' || c[1] == '\0')) {
            c[0] = '\0';
            return;
        }
}

static int why_refused(long status, const ph_sts_error *said)
{
    if (strstr(said->code, "Throttl") || status == 429)
        return PH_ERR_SLOW_DOWN;
    return status >= 500 ? PH_ERR_SERVER_ERROR : PH_ERR_REFUSED;
}

/* see sts_client.h */
int api_sts_assume(const api_config *config, ph_str user, ph_str prefix, uint64_t now_ms,
                   ph_creds *out, ph_sts_error *said)
{
    *out = (ph_creds){.expires_ms = 0};
    *said = (ph_sts_error){.code = ""};
    ph_url url;
    ph_buf body, answer;
    ph_buf_init(&body, MAX_ANSWER);
    ph_buf_init(&answer, MAX_ANSWER);
    struct curl_slist *headers = NULL;
    long status = 0;
    int err = ph_url_parse(config->sts_endpoint, &url);
    if (err == PH_OK)
        err = make_body(config, user, prefix, &body);
    if (err == PH_OK)
        err = sign(config, &url, ph_buf_view(&body), now_ms, &headers);
    if (err == PH_OK)
        err = post(config->sts_endpoint.ptr, ph_url_is_loopback(&url), ph_buf_view(&body), headers,
                   &status, &answer);
    if (err == PH_OK && status == 200) {
        err = ph_sts_assume_role_answer(ph_buf_view(&answer), out);
    } else if (err == PH_OK) {
        ph_sts_error_read(ph_buf_view(&answer), said);
        keep_first_sentence(said->message);
        err = why_refused(status, said);
    }
    curl_slist_free_all(headers);
    ph_buf_clear(&body);
    ph_buf_clear(&answer); /* wipes */
    return err;
}
