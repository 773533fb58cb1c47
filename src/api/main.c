/* SPDX-License-Identifier: MIT
 *
 * parthaul-api: a user's token in, credentials for that user's prefix out. Reads the configuration,
 * starts the server, waits for a signal, lets running requests end, stops. It keeps nothing, so any
 * number of it can run side by side. Where AWS Lambda starts it, it answers Lambda's events instead.
 */
#define _DEFAULT_SOURCE

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "config_file.h"
#include "content.h"
#include "core/str.h"
#include "fetch.h"
#include "http.h"
#include "lambda.h"
#include "log.h"
#include "routes.h"
#include "tls.h"

#define GRACE_MS 12000 /* longer than a request to STS may take */
#define EXIT_USAGE 2

/* The environment first: it is what an operator changes for a try. */
static const char *from_environment(void *file, const char *name)
{
    const char *value = getenv(name);
    if ((!value || !*value) && file)
        value = api_config_file_value(file, name);
    return value;
}

static int help(void)
{
    ph_buf table;
    ph_buf_init(&table, 16384);
    api_config_help(&table);
    printf("parthaul-api [--config FILE] [--check | --version | --help]\n\n"
           "Gives web pages temporary credentials and presigned URLs for one user's prefix of a\n"
           "bucket. It is configured by environment variables; a setting that is not in the\n"
           "environment is read from FILE (lines NAME=VALUE). --check validates the settings.\n\n"
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
static void block_signals(sigset_t *signals)
{
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

/* SIGHUP: what has a new version on disk by now. A bad one changes nothing. */
static void renew(const api_config *config)
{
    const char *event = "nothing to renew";
    const char *wrong = NULL;
    if (config->tls_cert_file.ptr) {
        wrong = api_tls_load(config->tls_cert_file, config->tls_key_file);
        event = wrong ? "certificate was not renewed" : "certificate renewed";
    }
    ph_buf text;
    ph_buf_init(&text, 256);
    ph_buf_cstr(&text, wrong ? "the certificate " : "");
    ph_buf_cstr(&text, wrong ? wrong : "");
    api_log_event(api_now_ms(), event, wrong ? ph_buf_view(&text) : (ph_str){NULL, 0});
    ph_buf_clear(&text);
}

static void wait_for_stop(const api_config *config, const sigset_t *signals)
{
    int number;
    while (sigwait(signals, &number) == 0 && number == SIGHUP)
        renew(config);
}

/* Until the running requests have ended, time is up, or a second signal says that it hurries. */
static void drain(const api_http *http, const sigset_t *signals)
{
    const struct timespec step = {.tv_nsec = 20 * 1000000L};
    for (int waited = 0; waited < GRACE_MS && api_http_active(http) > 0; waited += 20)
        switch (sigtimedwait(signals, NULL, &step)) {
        case SIGTERM:
        case SIGINT: return;
        default: break;
        }
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

/* From root to an account that can do nothing else; what only root may read has been read. */
static bool drop_privileges(ph_str account)
{
    if (!account.ptr)
        return true;
    errno = 0;
    const struct passwd *user = getpwnam(account.ptr); /* a setting's value: NUL-terminated */
    if (!user) {
        fprintf(stderr, "parthaul-api: PARTHAUL_RUN_AS: the account does not exist\n");
        return false;
    }
    if (getuid() == user->pw_uid && geteuid() == user->pw_uid)
        return true;
    if (setgroups(0, NULL) == 0 && setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0 &&
        (user->pw_uid == 0 || setuid(0) != 0)) /* there must be no way back */
        return true;
    fprintf(stderr, "parthaul-api: PARTHAUL_RUN_AS: cannot become that account: %s\n",
            strerror(errno));
    return false;
}

/* Our own credentials have to be there before the first user is: better said now than then. */
static bool check_own_credentials(const api_service *service, ph_buf *says)
{
    bool would_wait;
    ph_creds creds;
    int err = api_own_take(service->own, api_now_ms(), true, &would_wait, &creds);
    ph_creds_clear(&creds);
    if (err == PH_OK)
        return true;
    ph_buf_cstr(says, "the service's own credentials, from ");
    ph_buf_cstr(says, api_own_source(service->own));
    ph_buf_cstr(says, ": ");
    ph_buf_cstr(says, ph_err_text(err));
    ph_buf_char(says, '\n');
    return false;
}

static int run_server(const api_service *service, const sigset_t *signals)
{
    api_http *http = api_http_start(service);
    if (!http) {
        fprintf(stderr, "parthaul-api: PARTHAUL_LISTEN: cannot listen there: %s\n",
                errno ? strerror(errno) : "unknown reason");
        return EXIT_FAILURE;
    }
    int status = EXIT_FAILURE;
    if (drop_privileges(service->config->run_as)) {
        log_listening(service->config, api_http_port(http));
        wait_for_stop(service->config, signals);
        api_log_event(api_now_ms(), "stopping", (ph_str){NULL, 0});
        api_http_quiesce(http);
        drain(http, signals);
        status = EXIT_SUCCESS;
    }
    api_http_stop(http);
    return status;
}

static int serve(const api_config *config)
{
    sigset_t signals;
    block_signals(&signals);
    if (!api_fetch_start()) {
        fprintf(stderr, "parthaul-api: libcurl cannot start\n");
        return EXIT_FAILURE;
    }
    api_service service;
    ph_buf says;
    ph_buf_init(&says, 1024);
    int status = EXIT_FAILURE;
    if (!api_service_start(config, api_random, &service)) {
        fprintf(stderr, "parthaul-api: out of memory\n");
    } else {
        if (check_own_credentials(&service, &says))
            status = run_server(&service, &signals);
        print_lines(ph_buf_view(&says));
        api_service_stop(&service);
    }
    ph_buf_clear(&says);
    api_fetch_stop();
    if (status == EXIT_SUCCESS)
        api_log_event(api_now_ms(), "stopped", (ph_str){NULL, 0});
    return status;
}

/* ---- As a Lambda function -------------------------------------------------------------------- */

/* A setting that is right everywhere else. */
static bool is_good_for_lambda(const api_config *config, ph_buf *says)
{
    if (config->session_seconds <= API_LAMBDA_SESSION_SECONDS)
        return true;
    ph_buf_cstr(says,
                "PARTHAUL_SESSION_SECONDS: is more than 3600, which is the most that STS lends "
                "to a function: its own credentials are a role's already\n");
    return false;
}

/* `config` is NULL when it is wrong, and `says` why. Lambda is told either way what keeps us. */
static int serve_lambda(const char *address, const api_config *config, ph_buf *says)
{
    signal(SIGPIPE, SIG_IGN);
    if (!api_fetch_start()) {
        fprintf(stderr, "parthaul-api: libcurl cannot start\n");
        return EXIT_FAILURE;
    }
    api_service service;
    const char *wrong = NULL;
    bool started = false;
    if (!config || !is_good_for_lambda(config, says))
        wrong = "Config.Invalid";
    else if (!(started = api_service_start(config, api_random, &service)))
        wrong = "Runtime.NoMemory";
    else if (!check_own_credentials(&service, says))
        wrong = "Config.NoCredentials";
    print_lines(ph_buf_view(says));
    int status = EXIT_FAILURE;
    if (wrong) {
        api_lambda_init_error(address, wrong, ph_buf_view(says));
    } else {
        api_log_event(api_now_ms(), "serving Lambda", (ph_str){NULL, 0});
        status = api_lambda_serve(&service, address);
    }
    if (started)
        api_service_stop(&service);
    api_fetch_stop();
    return status;
}

/* ---- Configuration --------------------------------------------------------------------------- */

/* False with a line for each setting that does not exist. */
static bool know_all_names(const api_config_file *file, ph_buf *says)
{
    bool good = true;
    const char *name;
    for (size_t i = 0; (name = api_config_file_name(file, i)) != NULL; i++) {
        if (api_config_knows(name))
            continue;
        ph_buf_cstr(says, name);
        ph_buf_cstr(says, ": is in the file, but is not a setting\n");
        good = false;
    }
    return good;
}

static bool read_config_file(const char *path, ph_buf *says, api_config_file **out)
{
    ph_buf text;
    ph_buf_init(&text, 262144);
    bool good = api_content_read(ph_str_from(path), &text) == PH_OK;
    if (!good)
        ph_buf_cstr(says, "--config: the file cannot be read, or is too large\n");
    else
        good = api_config_file_read(ph_buf_view(&text), says, out) && know_all_names(*out, says);
    ph_buf_clear(&text);
    return good;
}

/* ---- Arguments ------------------------------------------------------------------------------- */

typedef struct arguments {
    const char *config; /* NULL: none */
    bool check, help, version, wrong;
} arguments;

static arguments read_arguments(int argc, char **argv)
{
    arguments a = {.config = NULL};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--check") == 0)
            a.check = true;
        else if (strcmp(argv[i], "--help") == 0)
            a.help = true;
        else if (strcmp(argv[i], "--version") == 0)
            a.version = true;
        else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc && !a.config)
            a.config = argv[++i];
        else
            a.wrong = true;
    }
    return a;
}

static int run(const arguments *a)
{
    api_config config;
    api_config_file *file = NULL;
    ph_buf says;
    ph_buf_init(&says, 16384);
    bool good = !a->config || read_config_file(a->config, &says, &file);
    if (good)
        good = api_config_read(from_environment, file, &says, &config);
    const char *runtime = a->check ? NULL : getenv("AWS_LAMBDA_RUNTIME_API");
    bool lambda = runtime && *runtime;
    int status = EXIT_USAGE;
    if (!lambda)
        print_lines(ph_buf_view(&says));
    if (lambda)
        status = serve_lambda(runtime, good ? &config : NULL, &says);
    else if (good && a->check)
        status = printf("parthaul-api: the configuration is complete\n") > 0 ? EXIT_SUCCESS
                                                                             : EXIT_FAILURE;
    else if (good)
        status = serve(&config);
    ph_buf_clear(&says);
    if (good)
        api_config_clear(&config);
    api_config_file_free(file);
    return status;
}

int main(int argc, char **argv)
{
    arguments a = read_arguments(argc, argv);
    if (a.wrong) {
        fprintf(stderr, "parthaul-api: unknown arguments; see parthaul-api --help\n");
        return EXIT_USAGE;
    }
    if (a.help)
        return help();
    if (a.version) {
        printf("parthaul-api %s\n", PH_VERSION);
        return EXIT_SUCCESS;
    }
    return run(&a);
}
