/* SPDX-License-Identifier: MIT
 *
 * host - the exports of wasm/exports.c as a native program, so that transcripts run under the
 * sanitizers. A line on stdin is a call, a line of JSON on stdout is what it returned:
 *
 *     tables | open NOW JSON | close UPLOAD | step UPLOAD NOW MAY_SEND | report UPLOAD NOW JSON
 *     progress UPLOAD | digest ALG ALG BYTE COUNT
 *
 * `open` answers {"upload":1}; a call that failed answers {"error":"CODE"}.
 */
#define _POSIX_C_SOURCE 200809L /* getline */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parthaul.h"

#define MAX_UPLOADS 8

typedef struct job job;

/* What exports.c exports; the browser's side knows it from exports.txt. */
void *ph_alloc(size_t len);
void ph_release(void *text);
void *ph_stage(void);
size_t ph_stage_size(void);
const char *ph_out(void);
int ph_tables(void);
intptr_t ph_open(const char *text, size_t len, double now_ms);
void ph_close(job *j);
int ph_step(job *j, double now_ms, int may_send);
int ph_report(job *j, double now_ms, const char *text, size_t len);
int ph_progress_of(const job *j);
intptr_t ph_hash_open(int first, int second);
void **ph_fed(void);
int ph_hash_feed(size_t count, size_t len);
int ph_hash_close(void *hash);

static job *uploads[MAX_UPLOADS + 1];

static void say_error(int err)
{
    printf("{\"error\":\"%s\"}\n", ph_err_name(err));
}

/* What a call left in ph_out. */
static void say_out(int len)
{
    if (len < 0)
        say_error(len);
    else
        printf("%.*s\n", len, ph_out());
}

/* The rest of a line, as the page would lend it; "" where memory is short. */
static char *lend(const char *text, size_t *len)
{
    *len = strlen(text);
    char *copy = ph_alloc(*len);
    if (!copy)
        abort();
    memcpy(copy, text, *len);
    return copy;
}

static void open_upload(double now, const char *json)
{
    int at = 1;
    size_t len;
    while (at < MAX_UPLOADS && uploads[at])
        at++;
    char *text = lend(json, &len);
    intptr_t result = uploads[at] ? PH_ERR_BAD_ARG : ph_open(text, len, now);
    ph_release(text);
    /* A native address may look negative as little as a handle of the module may. */
    if (result < 0) {
        say_error((int)result);
        return;
    }
    uploads[at] = (job *)result; // NOLINT: a handle is an address
    printf("{\"upload\":%d}\n", at);
}

static void report(job *u, double now, const char *json)
{
    size_t len;
    char *text = lend(json, &len);
    int err = ph_report(u, now, text, len);
    ph_release(text);
    if (err < 0)
        say_error(err);
    else
        printf("{}\n");
}

static void digest(int first, int second, int byte, unsigned long count)
{
    intptr_t handle = ph_hash_open(first, second);
    if (handle < 0) {
        say_error((int)handle);
        return;
    }
    ph_fed()[0] = (void *)handle; // NOLINT
    memset(ph_stage(), byte, ph_stage_size());
    while (count) {
        size_t n = count < ph_stage_size() ? count : ph_stage_size();
        ph_hash_feed(1, n);
        count -= n;
    }
    say_out(ph_hash_close((void *)handle)); // NOLINT
}

/* False where the line is no call. */
static bool call(const char *line)
{
    char name[16];
    int at, first, second, byte, rest = 0;
    double now;
    unsigned long count;
    if (sscanf(line, "%15s", name) != 1)
        return false;
    if (strcmp(name, "tables") == 0) {
        say_out(ph_tables());
        return true;
    }
    if (sscanf(line, "open %lf %n", &now, &rest) == 1 && rest) {
        open_upload(now, line + rest);
        return true;
    }
    if (sscanf(line, "digest %d %d %d %lu", &first, &second, &byte, &count) == 4) {
        digest(first, second, byte, count);
        return true;
    }
    if (sscanf(line, "%*s %d", &at) != 1 || at < 1 || at > MAX_UPLOADS || !uploads[at])
        return false;
    if (sscanf(line, "step %*d %lf %d", &now, &first) == 2) {
        say_out(ph_step(uploads[at], now, first));
    } else if (sscanf(line, "report %*d %lf %n", &now, &rest) == 1 && rest) {
        report(uploads[at], now, line + rest);
    } else if (strcmp(name, "progress") == 0) {
        say_out(ph_progress_of(uploads[at]));
    } else if (strcmp(name, "close") == 0) {
        ph_close(uploads[at]);
        uploads[at] = NULL;
        printf("{}\n");
    } else {
        return false;
    }
    return true;
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int status = EXIT_SUCCESS;
    while ((len = getline(&line, &cap, stdin)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        if (!call(line)) {
            fprintf(stderr, "host: no call: %.80s\n", line);
            status = EXIT_FAILURE;
            break;
        }
        fflush(stdout);
    }
    free(line);
    return status;
}
