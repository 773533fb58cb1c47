/* SPDX-License-Identifier: MIT
 *
 * cli - what the commands share: exit codes, messages, options, the environment.
 */
#ifndef CLI_H
#define CLI_H

#include <getopt.h>

#include "core/buf.h"
#include "core/creds.h"

/* Scripts rely on these. */
enum cli_exit {
    CLI_DONE = 0,
    CLI_OTHER = 1,
    CLI_USAGE = 2,
    CLI_DENIED = 3,
    CLI_NETWORK = 4,
    CLI_INTEGRITY = 5,
};

/* The exit code that stands for a code of enum ph_err. */
int cli_exit_of(int err);

/* One for each command: argv[0] is its name. They return an exit code. */
int cli_put(int argc, char **argv);
int cli_post(int argc, char **argv);
int cli_creds_command(int argc, char **argv);
int cli_sign(int argc, char **argv);
int cli_checksum(int argc, char **argv);
int cli_uploads(int argc, char **argv);

/* The commands' manuals, on stdout. */
void cli_put_help(void);
void cli_post_help(void);
void cli_creds_help(void);
void cli_sign_help(void);
void cli_checksum_help(void);
void cli_uploads_help(void);

/*
 * Say something on stderr, as one line behind "parthaul: ". Control bytes, which names of files and
 * answers of servers may hold, are shown as "?".
 */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Say it, point to the manual of `command` (of all where it is NULL), and return CLI_USAGE. */
int cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * The next option, as getopt_long gives it: -1 at the end, '?' after something wrong, which was
 * said. `letters` begins with ":h"; every table ends with CLI_HELP_OPTION, and 'h' is the caller's to
 * answer.
 */
int cli_option(int argc, char **argv, const char *letters, const struct option *table);
#define CLI_HELP_OPTION               \
    {"help", no_argument, NULL, 'h'}, \
    {                                 \
        NULL, 0, NULL, 0              \
    }

/*
 * Hand each option of `table` to `take`, up to --help. `take` answers false when the value is not what
 * the option wants, which is said then. Returns CLI_DONE or CLI_USAGE.
 */
int cli_take_options(int argc, char **argv, const struct option *table,
                     bool (*take)(int c, void *arguments), void *arguments);

/* Read the option's value as a whole number from `least` to `most`. */
bool cli_number(uint64_t least, uint64_t most, uint64_t *out);

/* Read bytes with K, M, G or T (or KiB, ...), which are powers of 1024. False for anything else. */
bool cli_size(const char *text, uint64_t *out);

/* A variable of the environment; absent when it is not set or empty. */
ph_str cli_env(const char *name);

/*
 * Split s3://BUCKET/REST, whose rest may be empty. Returns CLI_DONE, or says that it is none and
 * returns CLI_USAGE.
 */
int cli_s3_url(const char *command, const char *text, ph_str *bucket, ph_str *rest);

/* Choose the place of a bucket: what an option said before what the environment says. */
void cli_place(ph_str region, ph_str endpoint, ph_target *out);

/* The first of AWS_REGION and AWS_DEFAULT_REGION, else us-east-1. */
ph_str cli_region(void);

/* Does `text` quote `secret`, or begin to? Servers quote what they refuse, and the rest may be cut off. */
bool cli_quotes(ph_str text, ph_str secret);

/* The credentials of the environment: views. False when there are none, or none that can be. */
bool cli_creds(ph_creds *out);
#define CLI_NO_CREDS \
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, without line ends"

/* The clock on the wall, and one that nobody sets, in milliseconds; and how long the machine has
 * slept since it was started. */
uint64_t cli_wall_ms(void);
uint64_t cli_running_ms(void);
uint64_t cli_asleep_ms(void);

/* Write to stdout; the end of the program tells whether it got there. */
void cli_print(ph_str text);

/* The same of a text from outside: control characters are shown as "?". */
void cli_print_text(ph_str text);

/* Write what was built, unless that failed, and wipe it. Returns the buffer's error. */
int cli_print_buf(ph_buf *b);

#endif
