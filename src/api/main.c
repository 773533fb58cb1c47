/* SPDX-License-Identifier: MIT
 *
 * parthaul-api: a user's token in, credentials for that user's prefix out. Reads the configuration,
 * starts the server, waits for a signal, lets running requests end, stops. It keeps nothing, so any
 * number of it can run side by side. Where AWS Lambda starts it, it answers Lambda's events instead.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "core/str.h"
#include "http.h"
#include "lambda.h"
#include "log.h"
#include "routes.h"
#include "sts_client.h"

#define GRACE_MS 12000 /* longer than a request to STS may take */
#define EXIT_USAGE 2

static const char *from_environment(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

static int help(void)
{
    ph_buf table;
    ph_buf_init(&table, 16384);
    api_config_help(&table);
    printf("parthaul-api [--check | --version | --help]\n\n"
           "Gives web pages temporary credentials and presigned URLs for one user's prefix of a\n"
           "bucket. It is configured by the environment; --check says whether that is right.\n\n"
           "%.*s",
           (int)table.len, table.ptr ? table.ptr : "");
    ph_buf_clear(&table);
    return EXIT_SUCCESS;
}

/* Each line of `says` on its own, with the program's name before it. */
static void print_lines(ph_str says)
{
    while (says.len > 0) {
        ph_str line = ph_str_cut(&says, '\n');
        fprintf(stderr, "parthaul-api: %.*s\n", (int)line.len, line.ptr);
    }
}

/* ---- Signals --------------------------------------------------------------------------------- */

/* Block them here, before there are threads, so that only `wait_for_stop` sees them. */
static void block_signals(sigset_t *stop)
{
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(stop);
    sigaddset(stop, SIGTERM);
    sigaddset(stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, stop, NULL);
}

/* Until the running requests have ended, time is up, or a second signal says that it hurries. */
static void drain(const api_http *http, const sigset_t *stop)
{
    const struct timespec step = {.tv_nsec = 20 * 1000000L};
    for (int waited = 0; waited < GRACE_MS && api_http_active(http) > 0; waited += 20)
        if (sigtimedwait(stop, NULL, &step) > 0)
            return;
}

/* ---- As a Lambda function -------------------------------------------------------------------- */

/* What is wrong with the settings, said by api_config_read; or with them as a function's. */
static bool is_good_for_lambda(const api_config *config, ph_buf *says)
{
    if (config->session_seconds <= API_LAMBDA_SESSION_SECONDS)
        return true;
    ph_buf_cstr(says,
                "PARTHAUL_SESSION_SECONDS: is more than 3600, which is the most that STS lends "
                "to a function: its own credentials are a role's already\n");
    return false;
}

static int serve_lambda(const char *address, bool good, const api_config *config, ph_buf *says)
{
    signal(SIGPIPE, SIG_IGN);
    if (!api_sts_start()) {
        fprintf(stderr, "parthaul-api: libcurl cannot start\n");
        return EXIT_FAILURE;
    }
    int status = EXIT_FAILURE;
    good = good && is_good_for_lambda(config, says);
    print_lines(ph_buf_view(says));
    if (good) {
        api_service service = {.config = config, .assume = api_sts_assume, .random = api_random};
        api_log_event(api_now_ms(), "serving Lambda", (ph_str){NULL, 0});
        status = api_lambda_serve(&service, address);
    } else {
        api_lambda_init_error(address, "Config.Invalid", ph_buf_view(says));
    }
    api_sts_stop();
    return status;
}

/* ---- The program ----------------------------------------------------------------------------- */

static void log_listening(const api_config *config, uint16_t port)
{
    char host[INET6_ADDRSTRLEN] = "", text[sizeof host + 16];
    bool six = config->listen.ss_family == AF_INET6;
    getnameinfo((const struct sockaddr *)&config->listen, sizeof config->listen, host, sizeof host,
                NULL, 0, NI_NUMERICHOST);
    snprintf(text, sizeof text, six ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
    api_log_event(api_now_ms(), "listening", ph_str_from(text));
}

static int serve(const api_config *config)
{
    sigset_t stop;
    block_signals(&stop);
    api_service service = {.config = config, .assume = api_sts_assume, .random = api_random};
    if (!api_sts_start()) {
        fprintf(stderr, "parthaul-api: libcurl cannot start\n");
        return EXIT_FAILURE;
    }
    api_http *http = api_http_start(&service);
    if (!http) {
        fprintf(stderr, "parthaul-api: PARTHAUL_LISTEN: cannot listen there: %s\n",
                errno ? strerror(errno) : "unknown reason");
        api_sts_stop();
        return EXIT_FAILURE;
    }
    log_listening(config, api_http_port(http));
    int number;
    sigwait(&stop, &number);
    api_log_event(api_now_ms(), "stopping", (ph_str){NULL, 0});
    api_http_quiesce(http);
    drain(http, &stop);
    api_http_stop(http);
    api_sts_stop();
    api_log_event(api_now_ms(), "stopped", (ph_str){NULL, 0});
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    bool check = argc == 2 && strcmp(argv[1], "--check") == 0;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return help();
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("parthaul-api %s\n", PH_VERSION);
        return EXIT_SUCCESS;
    }
    if (argc > 1 && !check) {
        fprintf(stderr, "parthaul-api: unknown arguments; see parthaul-api --help\n");
        return EXIT_USAGE;
    }

    api_config config;
    ph_buf says;
    ph_buf_init(&says, 16384);
    bool good = api_config_read(from_environment, NULL, &says, &config);
    const char *runtime = check ? NULL : getenv("AWS_LAMBDA_RUNTIME_API");
    int status = EXIT_SUCCESS;
    if (runtime && *runtime) {
        status = serve_lambda(runtime, good, &config, &says);
    } else {
        print_lines(ph_buf_view(&says));
        if (!good)
            status = EXIT_USAGE;
        else if (check)
            printf("parthaul-api: the configuration is complete\n");
        else
            status = serve(&config);
    }
    ph_buf_clear(&says);
    api_config_clear(&config);
    return status;
}
