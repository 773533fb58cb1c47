/* SPDX-License-Identifier: MIT
 *
 * host - the exports of wasm/exports.c as a native program, so that transcripts run under the
 * sanitizers. A line on stdin is a call, a line of JSON on stdout is what it returned:
 *
 *     tables | open NOW JSON | close UPLOAD | step UPLOAD NOW MAY_SEND | progress UPLOAD
 *     report UPLOAD NOW KIND ID VALUE COUNT TEXT | digest ALG ALG BYTE COUNT
 *
 * TEXT is in hex behind an x. `open` answers {"upload":1}, `step` {"said":[...],"text","more"}, `digest`
 * {"digests"}; a call that failed answers {"error":"CODE"}.
 */
#define _POSIX_C_SOURCE 200809L /* getline */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/enc.h"
#include "core/json_out.h"

#define MAX_UPLOADS 8
#define SAID 12

typedef struct job job;

/* What exports.c exports; the browser's side knows it from exports.txt. */
void *ph_stage(void);
size_t ph_stage_size(void);
size_t ph_text_max(void);
const char *ph_out(void);
double *ph_said(void);
int ph_tables(void);
intptr_t ph_open(size_t len, double now_ms);
void ph_close(job *j);
int ph_step(job *j, double now_ms, int may_send);
int ph_report(job *j, double now_ms, int kind, uint32_t id, double value, unsigned count,
              size_t len);
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

/* A text that may have NULs in it. */
static void say_text(const char *name, const char *text, int len)
{
    ph_buf b;
    ph_buf_init(&b, 1u << 25);
    ph_json_open(&b, NULL);
    ph_json_add_text(&b, name, (ph_str){text, (size_t)len});
    printf("%.*s", (int)b.len - 1, b.ptr + 1); /* without the bracket */
    ph_buf_clear(&b);
}

static void open_upload(double now, const char *json)
{
    int at = 1;
    size_t len = strlen(json);
    while (at < MAX_UPLOADS && uploads[at])
        at++;
    if (len <= ph_text_max())
        memcpy(ph_stage(), json, len);
    intptr_t result = uploads[at] ? PH_ERR_BAD_ARG : ph_open(len, now);
    /* A native address may look negative as little as a handle of the module may. */
    if (result < 0) {
        say_error((int)result);
        return;
    }
    uploads[at] = (job *)result; // NOLINT: a handle is an address
    printf("{\"upload\":%d}\n", at);
}

static void step(job *u, double now, int may_send)
{
    int len = ph_step(u, now, may_send);
    if (len < 0) {
        say_error(len);
        return;
    }
    const double *said = ph_said();
    printf("{\"said\":[");
    for (int i = 0; i < SAID; i++)
        printf(i ? ",%.17g" : "%.17g", said[i]);
    printf("],");
    say_text("text", len ? ph_out() : "", len);
    printf(",");
    int more = (int)said[SAID - 1];
    say_text("more", more ? (const char *)(uintptr_t)said[SAID - 2] : "", more); // NOLINT
    printf("}\n");
}

static void report(job *u, double now, int kind, unsigned id, double value, unsigned count,
                   const char *hex)
{
    size_t len;
    int err = ph_dec_hex(ph_str_from(hex), ph_stage(), ph_text_max(), &len);
    if (err == PH_OK)
        err = ph_report(u, now, kind, id, value, count, len);
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
    int len = ph_hash_close((void *)handle); // NOLINT
    printf("{");
    say_text("digests", ph_out(), len);
    printf("}\n");
}

/* False where the line is no call. */
static bool call(const char *line)
{
    char name[16];
    int at, first, second, byte, rest = 0;
    double now, value;
    unsigned id, fields;
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
        step(uploads[at], now, first);
    } else if (sscanf(line, "report %*d %lf %d %u %lf %u x%n", &now, &first, &id, &value, &fields,
                      &rest) == 5 &&
               rest) {
        report(uploads[at], now, first, id, value, fields, line + rest);
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
