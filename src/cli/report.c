/* SPDX-License-Identifier: MIT
 *
 * What people and scripts get to see. Results go to stdout, all else to stderr; each message is one
 * line. The JSON has the members of receipts and failures everywhere in Parthaul, behind "status":
 * "done" or "failed"; the HTTP status is "httpStatus" here, since "status" is taken.
 */
#define _POSIX_C_SOURCE 200809L

#include "report.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "core/checksum.h"
#include "core/json_out.h"
#include "core/str.h"

#define REDRAW_MS 200
#define LONGEST_S 360000    /* of what is worth saying how long it takes */
#define MAX_JSON (1u << 20) /* more than the longest head of an answer can make */

/* see report.h */
void report_init(report *r, bool json, bool quiet, uint64_t now_ms)
{
    *r = (report){.json = json, .quiet = quiet, .at_ms = now_ms};
    r->live = !quiet && isatty(STDERR_FILENO);
}

/* ---- While it runs --------------------------------------------------------------------------- */

/* see report.h */
void report_clear(report *r)
{
    if (r->shown)
        fputs("\r\033[K", stderr);
    r->shown = false;
}

/* see report.h */
void report_size(double bytes, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;
    for (; bytes >= 1000 && i < 4; i++)
        bytes /= 1024;
    snprintf(out, 32, i ? "%.1f %s" : "%.0f %s", bytes, units[i]);
}

static void print_size(double bytes)
{
    char text[32];
    report_size(bytes, text);
    fputs(text, stderr);
}

/* How long the bytes take that are left; a speed that is next to nothing says nothing of it. */
static void print_left(const report *r, uint64_t bytes)
{
    if ((double)bytes >= r->speed * LONGEST_S)
        return;
    unsigned long s = (unsigned long)((double)bytes / r->speed + 0.5);
    if (s >= 3600)
        fprintf(stderr, "  %lu:%02lu:%02lu left", s / 3600, s / 60 % 60, s % 60);
    else
        fprintf(stderr, "  %lu:%02lu left", s / 60, s % 60);
}

static const char *state_text(ph_state state)
{
    switch (state) {
    case PH_STATE_NEW: return "asking for credentials";
    case PH_STATE_CREATING: return "beginning";
    case PH_STATE_SENDING: return "sending";
    case PH_STATE_LISTING: return "asking for the ETags";
    case PH_STATE_VERIFYING: return "comparing";
    case PH_STATE_COMPLETING: return "completing";
    case PH_STATE_CHECKING: return "checking";
    case PH_STATE_ABORTING: return "aborting";
    case PH_STATE_DONE: return "done";
    case PH_STATE_FAILED: return "failed";
    }
    return "";
}

/* Smoothed over some seconds, so that the time that is left does not jump. */
static void measure(report *r, uint64_t done, uint64_t now_ms)
{
    double seconds = (double)(now_ms - r->at_ms) / 1000;
    double now = done > r->done ? (double)(done - r->done) / seconds : 0;
    double weight = r->speed > 0 ? seconds / (seconds + 3) : 1;
    r->speed += (now - r->speed) * weight;
    r->done = done;
    r->at_ms = now_ms;
}

/* see report.h */
void report_progress(report *r, const ph_upload *u, uint64_t now_ms)
{
    if (!r->live || now_ms - r->at_ms < REDRAW_MS)
        return;
    ph_progress p;
    ph_upload_progress(u, &p);
    uint64_t done = p.stored + p.sent;
    measure(r, done, now_ms);
    report_clear(r);
    fprintf(stderr, "%3u %%  ", p.size ? (unsigned)(done * 100 / p.size) : 0);
    print_size((double)done);
    fputs(" of ", stderr);
    print_size((double)p.size);
    fputs("  ", stderr);
    print_size(r->speed);
    fputs("/s", stderr);
    if (p.state == PH_STATE_SENDING && !p.paused && r->speed > 0)
        print_left(r, p.size - done);
    else
        fprintf(stderr, "  %s", p.paused ? "waiting" : state_text(p.state));
    fflush(stderr);
    r->shown = true;
}

/* see report.h */
void report_folder_progress(report *r, const report_folder *f, uint64_t now_ms)
{
    if (!r->live || now_ms - r->at_ms < REDRAW_MS)
        return;
    measure(r, f->bytes_done, now_ms);
    report_clear(r);
    fprintf(stderr, "%zu of %zu files  ", f->files_done, f->files);
    print_size((double)f->bytes_done);
    fputs(" of ", stderr);
    print_size((double)f->bytes);
    fputs("  ", stderr);
    print_size(r->speed);
    fputs("/s", stderr);
    if (f->bytes >= f->bytes_done)
        print_left(r, f->bytes - f->bytes_done);
    fflush(stderr);
    r->shown = true;
}

/* see report.h */
void report_notice(report *r, const ph_notice *n, const char *reason, uint64_t now_ms)
{
    char part[32] = "", when[32] = "now";
    bool rests = n->kind == PH_NOTICE_STATE && n->paused && n->err != PH_OK;
    if (r->quiet || (n->kind != PH_NOTICE_RETRY && n->kind != PH_NOTICE_WARNING && !rests))
        return;
    report_clear(r);
    if (n->kind == PH_NOTICE_WARNING) {
        cli_say("warning: %s", n->message);
        return;
    }
    if (n->part_number)
        snprintf(part, sizeof part, " part %u", (unsigned)n->part_number);
    if (n->until_ms > now_ms)
        snprintf(when, sizeof when, "in %.1f s", (double)(n->until_ms - now_ms) / 1000);
    cli_say("%s%s %s: %s: %s%s%s%s", rests ? "waiting for the server, probing" : "retrying", part,
            when, ph_err_name(n->err), n->message && *n->message ? n->message : ph_err_text(n->err),
            *reason ? " (" : "", reason, *reason ? ")" : "");
}

/* ---- The end --------------------------------------------------------------------------------- */

/* Returns `code`, or who reads nothing would take it for the whole. */
static int print_document(ph_buf *b, int code)
{
    ph_json_close(b);
    ph_buf_char(b, '\n');
    int err = cli_print_buf(b);
    if (err == PH_OK || code != CLI_DONE)
        return code;
    cli_say("%s: the result cannot be printed", ph_err_name(err));
    return CLI_OTHER;
}

static void open_document(ph_buf *b, const char *status)
{
    ph_buf_init(b, MAX_JSON);
    ph_json_open(b, NULL);
    ph_json_add_cstr(b, "status", status);
}

static const char *verified_text(ph_verified v)
{
    switch (v) {
    case PH_VERIFIED_OBJECT: return "the server reported the object's checksum, and it matches";
    case PH_VERIFIED_PARTS: return "the server reported the checksum of each part, and all match";
    case PH_VERIFIED_SENT:
        return "checksums were sent; the server did not confirm that it checked them";
    case PH_VERIFIED_SIZE: return "no checksum was sent";
    }
    return "";
}

static void print_text(const char *name, ph_str value)
{
    if (!value.len)
        return;
    printf("  %-10s ", name);
    cli_print_text(value); /* the server's words */
    printf("\n");
}

/* What it had to do without. */
static const char *lack_text(unsigned i)
{
    switch (1u << i) {
    case PH_LACK_CHECKSUM: return "no checksum headers";
    case PH_LACK_CONTENT_MD5: return "no Content-MD5";
    case PH_LACK_IF_NONE_MATCH: return "no If-None-Match: an object of this key would be replaced";
    default: return "";
    }
}

static void print_receipt(const ph_receipt *c)
{
    printf("s3://%.*s/", (int)c->bucket.len, c->bucket.ptr);
    cli_print_text(c->key);
    printf("\n");
    printf("  %-10s %llu bytes", "size", (unsigned long long)c->size);
    if (c->part_count)
        printf(" in %u parts of %llu", (unsigned)c->part_count, (unsigned long long)c->part_size);
    printf("\n");
    print_text("etag", c->etag);
    print_text("version", c->version_id);
    if (c->alg != PH_ALG_NONE)
        printf("  %-10s %.*s %s/%s\n", "checksum", (int)c->checksum.len, c->checksum.ptr,
               ph_alg_name(c->alg), ph_checksum_type_name(c->type));
    printf("  %-10s %s: %s\n", "verified", ph_verified_name(c->verified),
           verified_text(c->verified));
    if (c->unseen)
        printf("  %-10s the server reported success, but the object could not be checked\n",
               "unseen");
    for (unsigned i = 0; i < PH_LACK_COUNT; i++)
        if (c->server_lacks & 1u << i)
            printf("  %-10s the server supports %s\n", "lacks", lack_text(i));
    if (c->retries)
        printf("  %-10s %u requests were retried\n", "retries", (unsigned)c->retries);
}

/* see report.h */
int report_receipt(report *r, const ph_receipt *receipt)
{
    ph_buf b;
    report_clear(r);
    if (r->json) {
        open_document(&b, "done");
        ph_json_add_receipt(&b, receipt);
        return print_document(&b, CLI_DONE);
    }
    print_receipt(receipt);
    return CLI_DONE;
}

/* ", HTTP 503", the first of them without the comma. */
static void add_fact(ph_buf *b, const char *before, ph_str fact)
{
    if (!fact.len)
        return;
    ph_buf_cstr(b, b->len ? ", " : "");
    ph_buf_cstr(b, before);
    ph_buf_str(b, fact);
}

/* What a person may do about it now. */
static const char *way_on(const ph_failure *f)
{
    if (!f->resumable)
        return "";
    if (f->err == PH_ERR_FILE_CHANGED)
        return "; if its contents are the same (an attribute was set), resume with the same "
               "command, "
               "else start over with --resume never";
    if (f->err == PH_ERR_PARTS_MIXED)
        return "; the parts in S3 are kept; start over with --resume never";
    return "; resume with the same command, or abort with --abort";
}

static void print_failure(const ph_failure *f, const char *reason)
{
    ph_buf facts, number;
    ph_buf_init(&facts, 4096);
    ph_buf_init(&number, 32);
    add_fact(&facts, "", ph_str_from(f->operation));
    if (f->part_number) {
        ph_buf_cstr(&facts, facts.len ? " part " : "part ");
        ph_buf_u64(&facts, f->part_number);
    }
    if (f->http_status > 0)
        ph_buf_u64(&number, (uint64_t)f->http_status);
    add_fact(&facts, "HTTP ", ph_buf_view(&number));
    add_fact(&facts, "", ph_str_from(f->s3_code));
    add_fact(&facts, "request id ", ph_str_from(f->request_id));
    add_fact(&facts, "", ph_str_from(reason));
    cli_say("%s: %s%s%.*s%s%s", ph_err_name(f->err), f->message, facts.len ? " (" : "",
            (int)facts.len, facts.ptr ? facts.ptr : "", facts.len ? ")" : "", way_on(f));
    ph_buf_clear(&number);
    ph_buf_clear(&facts);
}

/* see report.h */
void report_add_failure(ph_buf *b, const ph_failure *f)
{
    ph_failure members = *f;
    members.http_status = 0;
    if (!ph_str_is_utf8(ph_str_from(f->message))) /* it names a file that is not */
        ph_text_copy(members.message, sizeof members.message, ph_str_from(ph_err_text(f->err)));
    ph_json_add_failure(b, &members);
    if (f->http_status)
        ph_json_add_int(b, "httpStatus", f->http_status);
}

/* see report.h */
int report_failure(report *r, const ph_failure *f, const char *reason)
{
    report_clear(r);
    bool unanswered = f->err == PH_ERR_NETWORK || f->err == PH_ERR_TIMEOUT || f->err == PH_ERR_TLS;
    print_failure(f, unanswered ? reason : "");
    int code = cli_exit_of(f->err);
    if (r->json) {
        ph_buf b;
        open_document(&b, "failed");
        report_add_failure(&b, f);
        return print_document(&b, code);
    }
    return code;
}

/* see report.h */
int report_given_up(report *r)
{
    ph_buf b;
    report_clear(r);
    if (r->json) {
        open_document(&b, "aborted");
        return print_document(&b, CLI_DONE);
    }
    if (!r->quiet)
        cli_say("the upload is aborted and its parts are deleted");
    return CLI_DONE;
}

/* see report.h */
int report_error(report *r, int err, const char *what)
{
    ph_failure f = {.err = err, .resumable = err == PH_ERR_STOPPED};
    ph_text_copy(f.message, sizeof f.message, ph_str_from(what ? what : ph_err_text(err)));
    return report_failure(r, &f, "");
}
