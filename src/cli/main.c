/* SPDX-License-Identifier: MIT
 *
 * parthaul, the command line: finds the command, and holds what the commands share. Nothing is
 * read from files of settings: options, and the variables that every S3 tool knows.
 */
#define _POSIX_C_SOURCE 200809L

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "core/str.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    void (*help)(void);
    const char *what;
} commands[] = {
    {"put", cli_put, cli_put_help, "upload a file to S3, verified end to end"},
    {"uploads", cli_uploads, cli_uploads_help,
     "list incomplete multipart uploads, and abort old ones"},
    {"post", cli_post, cli_post_help, "upload a folder with one presigned POST form"},
    {"creds", cli_creds_command, cli_creds_help, "get temporary credentials and print them"},
    {"sign", cli_sign, cli_sign_help, "print the stages of a request signature"},
    {"checksum", cli_checksum, cli_checksum_help,
     "print the checksum or ETag that S3 reports for a file"},
};

#define QUOTED 16 /* bytes of a secret that tell it */
#define COMMANDS (sizeof commands / sizeof commands[0])

/* ---- Messages -------------------------------------------------------------------------------- */

static void say(const char *format, va_list args, const char *behind)
{
    char line[4096];
    int n = vsnprintf(line, sizeof line, format, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    for (size_t i = 0; i < len; i++)
        memset(line + i, '?', ph_str_control((ph_str){line, len}, i));
    fprintf(stderr, "parthaul: %.*s%s\n", (int)len, line, behind);
}

/* see cli.h */
void cli_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args, "");
    va_end(args);
}

/* see cli.h */
int cli_usage(const char *command, const char *format, ...)
{
    char behind[64];
    va_list args;
    snprintf(behind, sizeof behind, "; see `parthaul help%s%s`", command ? " " : "",
             command ? command : "");
    va_start(args, format);
    say(format, args, behind);
    va_end(args);
    return CLI_USAGE;
}

/* see cli.h */
void cli_print(ph_str text)
{
    if (text.len)
        fwrite(text.ptr, 1, text.len, stdout);
}

/* see cli.h */
void cli_print_text(ph_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        size_t n = ph_str_control(text, i);
        putchar(n ? '?' : text.ptr[i]);
        i += n == 2;
    }
}

/* see cli.h */
int cli_print_buf(ph_buf *b)
{
    int err = b->err;
    if (err == PH_OK)
        cli_print(ph_buf_view(b));
    ph_buf_clear(b);
    return err;
}

/* see cli.h */
int cli_exit_of(int err)
{
    switch (err) {
    case PH_OK: return CLI_DONE;
    case PH_ERR_ACCESS_DENIED:
    case PH_ERR_BAD_SIGNATURE:
    case PH_ERR_CLOCK_SKEW:
    case PH_ERR_EXPIRED_TOKEN:
    case PH_ERR_INVALID_TOKEN:
    case PH_ERR_SIGN_IN:
    case PH_ERR_FORBIDDEN:
    case PH_ERR_BAD_CREDENTIALS: return CLI_DENIED;
    case PH_ERR_NETWORK:
    case PH_ERR_NOT_S3:
    case PH_ERR_TIMEOUT:
    case PH_ERR_TLS:
    case PH_ERR_NO_CREDENTIALS:
    case PH_ERR_SERVER_ERROR:
    case PH_ERR_SLOW_DOWN:
    case PH_ERR_REQUEST_TIMEOUT: return CLI_NETWORK;
    case PH_ERR_BAD_DIGEST:
    case PH_ERR_OBJECT_DIFFERS:
    case PH_ERR_FILE_CHANGED:
    case PH_ERR_INVALID_PART: return CLI_INTEGRITY;
    default: return err <= -100 && err > -200 ? CLI_USAGE : CLI_OTHER;
    }
}

/* ---- Options and environment ----------------------------------------------------------------- */

/* see cli.h */
int cli_option(int argc, char **argv, const char *letters, const struct option *table)
{
    opterr = 0;
    int c = getopt_long(argc, argv, letters, table, NULL);
    const char *at = optind > 0 && optind <= argc ? argv[optind - 1] : "";
    int name = (int)strcspn(at, "="); /* what is behind it may be secret */
    if (c == ':')
        cli_usage(argv[0], "option %s requires a value", at);
    else if (c == '?' && strncmp(at, "--", 2) == 0)
        cli_usage(argv[0], "option %.*s %s", name, at,
                  optopt ? "takes no value" : "is unknown or ambiguous");
    else if (c == '?')
        cli_usage(argv[0], "unknown option -%c", optopt);
    return c == ':' ? '?' : c;
}

/* NULL when `table` has none. */
static const char *option_name(const struct option *table, int c)
{
    while (table->name && table->val != c)
        table++;
    return table->name;
}

/* see cli.h */
int cli_take_options(int argc, char **argv, const struct option *table,
                     bool (*take)(int c, void *arguments), void *arguments)
{
    for (int c = 0; c != 'h' && (c = cli_option(argc, argv, ":h", table)) != -1;) {
        if (c == '?')
            return CLI_USAGE;
        if (!take(c, arguments))
            return cli_usage(argv[0], "--%s cannot be %s", option_name(table, c), optarg);
    }
    return CLI_DONE;
}

/* see cli.h */
bool cli_number(uint64_t least, uint64_t most, uint64_t *out)
{
    return ph_str_u64(ph_str_from(optarg), out) && *out >= least && *out <= most;
}

/* see cli.h */
bool cli_size(const char *text, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (!ph_str_u64((ph_str){text, digits}, out))
        return false;
    ph_str unit = ph_str_skip(ph_str_from(text), digits);
    if (unit.len == 0 || ph_str_equal(unit, PH_STR("B")))
        return true;
    /* KB and MB mean one thing to some and another to others, so they are refused. */
    if (unit.len != 1 && !(unit.len == 3 && ph_str_equal(ph_str_skip(unit, 1), PH_STR("iB"))))
        return false;
    const char *const units = "KMGTkmgt";
    const char *found = strchr(units, unit.ptr[0]);
    if (!found)
        return false;
    unsigned shift = 10u * ((unsigned)(found - units) % 4u + 1u);
    if (*out > UINT64_MAX >> shift)
        return false;
    *out <<= shift;
    return true;
}

/* see cli.h */
ph_str cli_env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? ph_str_from(value) : (ph_str){NULL, 0};
}

/* see cli.h */
bool cli_quotes(ph_str text, ph_str secret)
{
    if (secret.len > QUOTED)
        secret.len = QUOTED;
    for (; secret.len && text.len >= secret.len; text = ph_str_skip(text, 1))
        if (ph_str_starts(text, secret))
            return true;
    return false;
}

/* see cli.h */
ph_str cli_region(void)
{
    ph_str region = cli_env("AWS_REGION");
    if (!region.len)
        region = cli_env("AWS_DEFAULT_REGION");
    return region.len ? region : PH_STR("us-east-1");
}

/* A file with the line ends of Windows leaves one of them in each value. */
static bool has_control(ph_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (ph_str_control(s, i))
            return true;
    return false;
}

/* see cli.h */
bool cli_creds(ph_creds *out)
{
    *out = (ph_creds){.access_key_id = cli_env("AWS_ACCESS_KEY_ID"),
                      .secret_access_key = cli_env("AWS_SECRET_ACCESS_KEY"),
                      .session_token = cli_env("AWS_SESSION_TOKEN")};
    return out->access_key_id.len && out->secret_access_key.len &&
           !has_control(out->access_key_id) && !has_control(out->secret_access_key) &&
           !has_control(out->session_token);
}

/* see cli.h */
int cli_s3_url(const char *command, const char *text, ph_str *bucket, ph_str *rest)
{
    *rest = ph_str_from(text);
    if (!ph_str_starts(*rest, PH_STR("s3://")))
        return cli_usage(command, "%s is not of the form s3://BUCKET/KEY", text);
    *rest = ph_str_skip(*rest, 5);
    *bucket = ph_str_cut(rest, '/');
    return bucket->len ? CLI_DONE : cli_usage(command, "%s names no bucket", text);
}

/* see cli.h */
void cli_place(ph_str region, ph_str endpoint, ph_target *out)
{
    out->region = region.len ? region : cli_region();
    out->endpoint = endpoint.len ? endpoint : cli_env("AWS_ENDPOINT_URL_S3");
    if (!out->endpoint.len)
        out->endpoint = cli_env("AWS_ENDPOINT_URL");
    if (!endpoint.len && (out->accelerate || out->dualstack))
        out->endpoint = (ph_str){NULL, 0}; /* these are AWS's, whatever the environment says */
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* see cli.h */
uint64_t cli_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

/* see cli.h; it goes on while the machine sleeps, where the system has such a clock */
uint64_t cli_running_ms(void)
{
#ifdef CLOCK_BOOTTIME
    return read_clock(CLOCK_BOOTTIME);
#else
    return read_clock(CLOCK_MONOTONIC);
#endif
}

/* see cli.h */
uint64_t cli_asleep_ms(void)
{
    uint64_t awake = read_clock(CLOCK_MONOTONIC), all = cli_running_ms();
    return all > awake ? all - awake : 0;
}

/* ---- The program ----------------------------------------------------------------------------- */

static size_t find_command(const char *name)
{
    size_t i = 0;
    while (i < COMMANDS && strcmp(name, commands[i].name) != 0)
        i++;
    return i;
}

static void print_overview(void)
{
    printf("usage: parthaul COMMAND [OPTION]... ARGUMENT...\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].what);
    printf("  %-10s %s\n\n"
           "parthaul help COMMAND lists the options; parthaul --version prints the version.\n"
           "Exit codes: 0 done, 2 usage, 3 denied, 4 network or server, 5 integrity,\n"
           "1 anything else.\n",
           "help", "print the help of a command");
}

static int help(int argc, char **argv)
{
    if (argc < 2) {
        print_overview();
        return CLI_DONE;
    }
    size_t i = find_command(argv[1]);
    if (i == COMMANDS || argc > 2)
        return cli_usage(NULL, "expected one of put, uploads, post, creds, sign, checksum");
    commands[i].help();
    return CLI_DONE;
}

static int run(int argc, char **argv)
{
    if (argc < 2)
        return cli_usage(NULL, "expected a command");
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("parthaul " PH_VERSION "\n");
        return CLI_DONE;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0)
        return help(argc - 1, argv + 1);
    size_t i = find_command(argv[1]);
    if (i == COMMANDS)
        return cli_usage(NULL, "unknown command %s", argv[1]);
    return commands[i].run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of writing, seen below */
    signal(SIGXFSZ, SIG_IGN); /* and so is a limit of files' size */
    int code = run(argc, argv);
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    if (!written && code == CLI_DONE) {
        cli_say("cannot write to standard output");
        code = CLI_OTHER;
    }
    return code;
}
