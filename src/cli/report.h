/* SPDX-License-Identifier: MIT
 *
 * report - what an upload shows: a line that moves while it runs, warnings and retries on stderr,
 * and in the end the receipt or the failure.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "core/buf.h"

typedef struct report {
    bool json;
    bool quiet;     /* nothing on stderr but the failure */
    bool live;      /* stderr is a terminal: show the line */
    bool shown;     /* the line stands there now */
    uint64_t at_ms; /* when it was drawn */
    uint64_t done;  /* bytes that were out at that time */
    double speed;   /* bytes in a second, smoothed */
} report;

void report_init(report *r, bool json, bool quiet, uint64_t now_ms);

/* Draw the line, a few times a second at most. */
void report_progress(report *r, const ph_upload *u, uint64_t now_ms);

/* The same for a folder. */
typedef struct report_folder {
    size_t files, files_done;
    uint64_t bytes, bytes_done;
} report_folder;
void report_folder_progress(report *r, const report_folder *f, uint64_t now_ms);

/* Take the line away, before something else is said. */
void report_clear(report *r);

/* "1.4 GiB", in units of 1024; NUL-terminated. */
void report_size(double bytes, char out[32]);

/*
 * A warning, a retry or a rest; other notices are in the line. `reason` is what else is known, as
 * what the transport said, or "".
 */
void report_notice(report *r, const ph_notice *n, const char *reason, uint64_t now_ms);

/* The end, on stdout and, for a failure, on stderr. They return the exit code. */
int report_receipt(report *r, const ph_receipt *receipt);
int report_failure(report *r, const ph_failure *f, const char *reason);

/* The end that was asked for by --abort. */
int report_given_up(report *r);

/* The members of a failure, as in --json, into an object that is open. */
void report_add_failure(ph_buf *b, const ph_failure *f);

/* A failure before there was an upload. `what` may be NULL: the code's own sentence. */
int report_error(report *r, int err, const char *what);

#endif
