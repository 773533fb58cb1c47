/* SPDX-License-Identifier: MIT
 *
 * The loop at the top of parthaul.h, for one file: requests run in libcurl, digests on threads, and
 * this thread is the only one that talks to the engine.
 */
#define _POSIX_C_SOURCE 200809L

#include "host.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "core/enc.h"
#include "core/json.h"
#include "core/str.h"
#include "hasher.h"
#include "transfer.h"

#define TURN_MS 200 /* the longest wait: a clock of the progress line and of quiet requests */
#define ASK_MS 30000u
#define SLEPT_MS 3000    /* less is the two clocks being read one after the other */
#define FROZEN_MS 10000u /* a turn takes a fraction of a second, but for reading the file */
#define MOST_EXCUSED 8   /* sleeps that explain failures, without an answer between them */
#define MAX_DOCUMENT (64u << 10)

typedef struct host {
    const host_options *options;
    ph_upload *upload;
    transfers *transfers;
    hasher *hasher;
    report report;
    uint64_t begun_ms;  /* the clock on the wall, when ... */
    uint64_t begun_run; /* ... this clock, which nobody sets, said this */
    uint32_t ask_id;    /* of the credentials that the API is asked for; 0: none */
    bool lent;          /* the API has lent credentials */
    int refusal;        /* what S3 last said against the credentials */
    bool kept;          /* there is a snapshot */
    int last_err;       /* of what was tried again last */
    bool aborted;
    uint64_t asleep_ms;  /* how long the machine has slept, ever */
    uint64_t turn_ms;    /* when the loop was last here */
    uint64_t reading_ms; /* how long reading had taken then */
    unsigned excused;    /* see MOST_EXCUSED */
} host;

/* ---- Time and signals ------------------------------------------------------------------------ */

/* The engine's clock must not go back; the one on the wall may. */
static uint64_t now_ms(const host *h)
{
    return h->begun_ms + (cli_running_ms() - h->begun_run);
}

/*
 * The machine slept, or this process was stopped: what is under way may be dead, though nobody has
 * said so yet.
 */
static bool woke(host *h)
{
    uint64_t now = cli_running_ms(), asleep = cli_asleep_ms();
    uint64_t reading = transfers_reading_ms(h->transfers), read = reading - h->reading_ms;
    bool gap = asleep > h->asleep_ms + SLEPT_MS || now > h->turn_ms + read + FROZEN_MS;
    h->asleep_ms = asleep;
    h->turn_ms = now;
    h->reading_ms = reading;
    return gap;
}

/* The one variable outside of functions: a handler has nothing else. */
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    if (stopped) {
        signal(number, SIG_DFL);
        raise(number);
    }
    stopped = number;
}

/* see host.h */
int host_signal(void)
{
    return stopped;
}

/* No SA_RESTART: a signal ends the wait, and if it comes just before, the wait is short. */
static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction before;
        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) /* as under nohup */
            sigaction(numbers[i], &action, NULL);
    }
}

/* ---- What the engine asks for ---------------------------------------------------------------- */

static int tell(host *h, const ph_event *event)
{
    return ph_upload_report(h->upload, now_ms(h), event);
}

/* Nobody can renew what the environment holds, so S3's refusal of it is the answer. */
static int ask(host *h, uint32_t id, const ph_ask *what)
{
    const login *l = h->options->login;
    if (!l)
        return tell(h, &(ph_event){.kind = PH_EVENT_DENIED,
                                   .id = id,
                                   .err = h->refusal ? h->refusal : PH_ERR_EXPIRED_TOKEN});
    ph_header header[LOGIN_HEADERS];
    ph_buf url;
    ph_buf_init(&url, 16384);
    ph_buf_str(&url, l->url);
    if (what->why == PH_WHY_LOOK) { /* only those for one key may read it */
        ph_buf_cstr(&url, "?key=");
        ph_enc_percent(&url, what->key, false);
    }
    ph_request request = {.method = PH_METHOD_GET,
                          .url = ph_buf_view(&url),
                          .headers = header,
                          .header_count = login_headers(l, header),
                          .stall_ms = ASK_MS,
                          .answer_ms = ASK_MS};
    h->ask_id = id;
    int err = url.err ? url.err : transfers_start(h->transfers, id, &request);
    ph_buf_clear(&url);
    return err;
}

/* A disk that is full does not end an upload: it only cannot go on after it was stopped. */
static int save(host *h, ph_str snapshot)
{
    const kept *k = h->options->kept;
    char why[640];
    h->kept = k && kept_write(k, snapshot) == PH_OK;
    if (!k || h->kept)
        return PH_OK;
    snprintf(why, sizeof why, "%s: %s", k->where, strerror(errno));
    return tell(h, &(ph_event){.kind = PH_EVENT_NOT_SAVED, .body = ph_str_from(why)});
}

static void forget(host *h)
{
    const kept *k = h->options->kept;
    if (k && kept_remove(k) != PH_OK && !h->options->quiet) {
        int why = errno;
        report_clear(&h->report);
        cli_say("warning: %s cannot be removed: %s", k->where, strerror(why));
    }
    h->kept = false;
}

/* Only what an upload succeeded without: where a server names nothing it is a guess, and may be wrong. */
static void learn(const host *h, unsigned lacks)
{
    ph_str place = h->options->place;
    if (!place.len || !lacks)
        return;
    unsigned known = kept_lacks(place); /* which is more than this upload was told, maybe */
    if (lacks & ~known)
        kept_learn(place, lacks | known);
}

static void notice(host *h, const ph_notice *n)
{
    if (n->kind == PH_NOTICE_RETRY)
        h->last_err = n->err;
    if (n->kind == PH_NOTICE_RETRY &&
        (n->err == PH_ERR_EXPIRED_TOKEN || n->err == PH_ERR_INVALID_TOKEN)) {
        h->refusal = n->err;
        if (!h->options->login)
            return; /* it will not be tried again */
    }
    bool unanswered = n->err == PH_ERR_NETWORK || n->err == PH_ERR_TIMEOUT || n->err == PH_ERR_TLS;
    report_notice(&h->report, n, unanswered ? transfers_reason(h->transfers) : "", now_ms(h));
}

/* Do everything that can be done now. `last` is then WAIT, DONE or FAILED. */
static int act(host *h, ph_action *last)
{
    for (;;) {
        int err = ph_upload_step(h->upload, now_ms(h), true, last);
        if (err != PH_OK)
            return err;
        switch (last->kind) {
        case PH_ACTION_REQUEST:
            err = transfers_start(h->transfers, last->id, &last->u.request);
            break;
        case PH_ACTION_CANCEL:
            transfers_cancel(h->transfers, last->id);
            hasher_cancel(h->hasher, last->id);
            break;
        case PH_ACTION_HASH: err = hasher_start(h->hasher, last->id, &last->u.hash); break;
        case PH_ACTION_CREDENTIALS: err = ask(h, last->id, &last->u.ask); break;
        case PH_ACTION_NOTICE: notice(h, &last->u.notice); break;
        case PH_ACTION_SAVE: err = save(h, last->u.snapshot); break;
        case PH_ACTION_FORGET: forget(h); break;
        case PH_ACTION_WAIT:
        case PH_ACTION_DONE:
        case PH_ACTION_FAILED: return PH_OK;
        }
        if (err != PH_OK)
            return err;
    }
}

/* ---- What came of it ------------------------------------------------------------------------- */

/*
 * Whoever has lent credentials is an API: if it has no words for us now, something came between, or it
 * is being replaced.
 */
static bool may_pass(const host *h, int err, ph_str body)
{
    ph_json *doc = NULL;
    if (err == PH_ERR_FORBIDDEN && ph_json_parse(body, &doc) == PH_ERR_BAD_JSON)
        err = PH_ERR_BAD_JSON;
    ph_json_free(doc);
    return h->lent && (err == PH_ERR_BAD_JSON || err == PH_ERR_BAD_CREDENTIALS);
}

/* The answer of the credentials API, for the engine. */
static int tell_answer(host *h, const ph_event *e)
{
    ph_buf document, why;
    ph_buf_init(&document, MAX_DOCUMENT);
    ph_buf_init(&why, 1024);
    ph_event event = {.kind = PH_EVENT_GRANTED, .id = e->id};
    h->ask_id = 0;
    if (e->kind != PH_EVENT_RESPONSE) {
        event.err = e->err == PH_ERR_TLS ? PH_ERR_TLS : PH_ERR_NO_CREDENTIALS;
        ph_buf_cstr(&why, ph_err_text(event.err));
        ph_buf_cstr(&why, " (");
        ph_buf_cstr(&why, transfers_reason(h->transfers));
        ph_buf_cstr(&why, ")");
    } else {
        event.err = login_answer(h->options->login, e->status, e->body, &document, &why);
        if (may_pass(h, event.err, e->body)) {
            event.err = PH_ERR_NO_CREDENTIALS;
            ph_buf_reset(&why);
            ph_buf_cstr(&why, ph_err_text(event.err));
            ph_buf_cstr(&why, " (HTTP ");
            ph_buf_u64(&why, (uint64_t)e->status);
            ph_buf_cstr(&why, ")");
        }
        h->lent = h->lent || event.err == PH_OK;
    }
    if (event.err != PH_OK)
        event.kind = PH_EVENT_DENIED;
    event.body = ph_buf_view(event.err == PH_OK ? &document : &why);
    int err = tell(h, &event);
    ph_buf_clear(&document); /* wipes it */
    ph_buf_clear(&why);
    return err;
}

/* It has come to an end, which is to be said, whatever else happened meanwhile. */
static bool is_over(const host *h)
{
    ph_progress p;
    ph_upload_progress(h->upload, &p);
    return p.state == PH_STATE_DONE || p.state == PH_STATE_FAILED;
}

static int collect(host *h)
{
    const ph_event rise = {.kind = PH_EVENT_WOKE};
    ph_event event;
    bool awake = woke(h);
    int err = PH_OK;
    while (err == PH_OK && transfers_take(h->transfers, &event)) {
        if (event.kind == PH_EVENT_RESPONSE)
            h->excused = 0;
        /* It sends these again, but for Create, and then knows no request that failed meanwhile. */
        if (event.kind == PH_EVENT_FAILED && awake && h->excused < MOST_EXCUSED) {
            h->excused++;
            awake = false;
            err = tell(h, &rise);
        }
        if (err == PH_OK)
            err = event.id == h->ask_id ? tell_answer(h, &event) : tell(h, &event);
    }
    while (err == PH_OK && hasher_take(h->hasher, &event))
        err = tell(h, &event);
    if (err == PH_OK && awake) /* after the answers that came meanwhile: nobody gets them twice */
        err = tell(h, &rise);
    if (err == PH_OK && stopped && h->kept && !h->options->abort && !is_over(h))
        return PH_ERR_STOPPED;
    if (err == PH_OK && stopped && !h->aborted) {
        h->aborted = true;
        err = tell(h, &(ph_event){.kind = PH_EVENT_ABORT});
    }
    return err;
}

/* ---- The loop -------------------------------------------------------------------------------- */

static int wait_ms(const host *h, uint64_t until_ms)
{
    uint64_t now = now_ms(h);
    uint64_t left = until_ms > now ? until_ms - now : 0;
    return left < TURN_MS ? (int)left : TURN_MS;
}

static int loop(host *h, ph_action *last)
{
    for (;;) {
        int err = act(h, last);
        if (err != PH_OK || last->kind != PH_ACTION_WAIT)
            return err;
        report_progress(&h->report, h->upload, now_ms(h));
        transfers_turn(h->transfers, wait_ms(h, last->u.until_ms));
        err = collect(h);
        if (err != PH_OK)
            return err;
    }
}

static void wake(void *context)
{
    transfers_wake(context);
}

static int start(host *h)
{
    const host_options *o = h->options;
    ph_upload_options upload = *o->upload;
    upload.unattended = true;
    upload.keep = o->kept != NULL;
    upload.snapshot = o->snapshot;
    h->kept = o->snapshot.len > 0;
    upload.seed = h->begun_run << 20 ^ h->begun_ms ^ (uint64_t)getpid();
    int err = ph_upload_new(&upload, now_ms(h), &h->upload);
    if (err == PH_OK && o->abort) {
        h->aborted = true;
        err = tell(h, &(ph_event){.kind = PH_EVENT_ABORT});
    }
    if (err == PH_OK)
        err = transfers_new(o->file, o->ca_bundle, o->timeout_ms, &h->transfers);
    if (err == PH_OK)
        err = hasher_new(o->file, wake, h->transfers, &h->hasher);
    return err;
}

/* see host.h */
int host_run(const host_options *o)
{
    host h = {.options = o, .begun_ms = cli_wall_ms(), .begun_run = cli_running_ms()};
    h.turn_ms = h.begun_run;
    h.asleep_ms = cli_asleep_ms();
    ph_action last;
    report_init(&h.report, o->json, o->quiet, now_ms(&h));
    catch_signals();
    int err = start(&h);
    if (err == PH_OK)
        err = loop(&h, &last);
    int code;
    if (err != PH_OK)
        code = report_error(&h.report, err, NULL);
    else if (last.kind == PH_ACTION_DONE) {
        learn(&h, last.u.receipt.server_lacks);
        code = report_receipt(&h.report, &last.u.receipt);
    } else if (o->abort && last.u.failure.err == PH_ERR_ABORTED && last.u.failure.resumable)
        code = report_error(
            &h.report, h.last_err ? h.last_err : PH_ERR_REFUSED,
            "S3 may still have parts of the upload: run the command again with --abort");
    else if (o->abort && last.u.failure.err == PH_ERR_ABORTED)
        code = report_given_up(&h.report);
    else
        code = report_failure(&h.report, &last.u.failure, transfers_reason(h.transfers));
    hasher_free(h.hasher); /* before what it wakes */
    transfers_free(h.transfers);
    ph_upload_free(h.upload);
    return code;
}
