/* SPDX-License-Identifier: MIT
 *
 * The twin: a second engine that goes on from a copy of the same snapshot, on another machine, at
 * the same time. Nothing spoils its requests; what it does to the upload of the first is the fault.
 */
#include <stdlib.h>
#include <string.h>

#include "core/str.h"
#include "world.h"

/* see world.h */
void twin_end(world *w)
{
    ph_upload_free(w->twin.upload);
    w->twin.upload = NULL;
    w->twin.live_count = 0;
}

static bool ended(world *w, uint32_t id)
{
    twin *t = &w->twin;
    for (uint32_t i = 0; i < t->live_count; i++)
        if (t->live[i] == id) {
            t->live[i] = t->live[--t->live_count];
            return true;
        }
    return false;
}

static void report(world *w, ph_event e)
{
    int err = ph_upload_report(w->twin.upload, w->now_ms, &e);
    if (err != PH_OK)
        sim_bug(w, "the twin takes an event with %s", ph_err_name(err));
}

static void send(world *w, const ph_action *a)
{
    const ph_request *r = &a->u.request;
    if (r->from_file && w->file.version != w->twin.version) {
        report(w, (ph_event){.kind = PH_EVENT_UNREADABLE, .id = a->id, .err = PH_ERR_FILE_CHANGED});
        return;
    }
    exchange *x = calloc(1, sizeof *x);
    x->of_twin = true;
    x->number = ++w->requests;
    const char *why;
    if (!s3_request_read(r, &x->rq, &why))
        sim_bug(w, "the twin sends %s", why);
    sim_say(w, "# twin: %u %s %u", x->number, s3_op_name(x->rq.op), x->rq.part);
    x->rq.body.version = w->twin.version;
    x->headers_ms = w->now_ms + 1 + sim_below(w, w->latency_ms);
    if (w->twin.live_count < SIM_LIVE)
        w->twin.live[w->twin.live_count++] = a->id;
    sim_later(w, x->headers_ms + x->rq.body.length / w->rate, H_TWIN, a->id, 0, x);
}

static void hash(world *w, const ph_action *a)
{
    const ph_hash_job *job = &a->u.hash;
    ph_event e = {.kind = PH_EVENT_HASHED, .id = a->id};
    sim_bytes bytes = {job->offset, job->length, w->twin.version, 0};
    for (size_t i = 0; i < 2; i++)
        if (job->alg[i] != PH_ALG_NONE)
            sim_digest(&w->file, &bytes, job->alg[i], &e.digest[i]);
    if (w->file.version != w->twin.version)
        e = (ph_event){.kind = PH_EVENT_UNREADABLE, .id = a->id, .err = PH_ERR_FILE_CHANGED};
    report(w, e);
}

static void grant_to(world *w, uint32_t id)
{
    char document[512];
    host_grant_text(w, NULL, document, sizeof document);
    report(w, (ph_event){.kind = PH_EVENT_GRANTED, .id = id, .body = ph_str_from(document)});
}

/* The first may have taken the upload away, made the object, or sent parts that are called otherwise. */
static void judge_failure(world *w, const ph_failure *f)
{
    sim_say(w, "# twin: failed %s", ph_err_name(f->err));
    const s3_quirks *q = &w->s3.quirks;
    bool creds = f->err == PH_ERR_EXPIRED_TOKEN || f->err == PH_ERR_INVALID_TOKEN;
    /* A browser hides why S3 refuses it. */
    bool hidden = f->err == PH_ERR_NETWORK && q->silent_auth;
    if (!judge_of_two(f->err) && !((creds || hidden) && w->happened[F_REVOKE]) &&
        !(f->err == PH_ERR_ACCESS_DENIED && (q->forbids_list || q->forbids_head)))
        sim_bug(w, "the twin fails with %s", ph_err_name(f->err));
}

static void judge_twin_done(world *w, const ph_receipt *r)
{
    sim_say(w, "# twin: done%s", r->unseen ? ", unseen" : "");
    bool same = s3_holds_file(&w->s3, w->twin.version) || s3_holds_file(&w->s3, w->began_version);
    bool said = r->unseen && w->happened[F_FALSE]; /* S3 lied, and nobody could look */
    if (!same && !said && !(w->may_differ && r->verified >= PH_VERIFIED_SENT))
        sim_bug(w, "the twin is done, but the object is not the file");
    if (w->twin.keeps)
        sim_bug(w, "the twin is done, and its snapshot stays");
}

static void wait_until(world *w, uint64_t until_ms)
{
    if (until_ms == UINT64_MAX || until_ms == w->twin.tick_ms)
        return;
    w->twin.tick_ms = until_ms;
    sim_later(w, until_ms, H_TWIN, 0, 0, NULL);
}

static void drive(world *w)
{
    twin *t = &w->twin;
    while (t->upload && !w->bug[0]) {
        ph_action a;
        if (ph_upload_step(t->upload, w->now_ms, true, &a) != PH_OK || ++t->steps > 100000)
            sim_bug(w, "the twin never ends");
        switch (a.kind) {
        case PH_ACTION_REQUEST: send(w, &a); break;
        case PH_ACTION_CANCEL: ended(w, a.id); break;
        case PH_ACTION_HASH: hash(w, &a); break;
        case PH_ACTION_CREDENTIALS: grant_to(w, a.id); break;
        case PH_ACTION_NOTICE:
            if (a.u.notice.kind == PH_NOTICE_WARNING)
                judge_warning(w, ph_str_from(a.u.notice.message));
            break;
        case PH_ACTION_SAVE:
            ph_buf_reset(&t->kept);
            ph_buf_str(&t->kept, a.u.snapshot);
            t->keeps = true;
            break;
        case PH_ACTION_FORGET: t->keeps = false; break;
        case PH_ACTION_WAIT: wait_until(w, a.u.until_ms); return;
        case PH_ACTION_DONE:
            judge_twin_done(w, &a.u.receipt);
            twin_end(w);
            break;
        case PH_ACTION_FAILED:
            judge_failure(w, &a.u.failure);
            twin_end(w);
            break;
        }
    }
}

/* see world.h */
void twin_begin(world *w)
{
    twin *t = &w->twin;
    ph_upload_options o = w->options;
    sim_say(w, "# a twin goes on from the same snapshot");
    *t = (twin){.was = true, .keeps = true, .version = w->file.version};
    ph_buf_init(&t->kept, 256u << 10);
    ph_buf_str(&t->kept, ph_buf_view(&w->kept));
    o.snapshot = ph_buf_view(&t->kept);
    o.credentials = (ph_str){NULL, 0};
    o.keep = true;
    o.seed += 1000;
    int err = ph_upload_new(&o, w->now_ms, &t->upload);
    if (err != PH_OK)
        sim_bug(w, "the twin does not begin: %s", ph_err_name(err));
    drive(w);
}

/* see world.h */
void twin_happens(world *w, const happening *h)
{
    exchange *x = h->x;
    bool lives = w->twin.upload && !sim_one_in(w, 50), heard = ended(w, h->id) && lives;
    if (x) {
        host_arrive(w, x);
        s3_upload *u = x->an.created[0] ? s3_find(&w->s3, x->an.created) : NULL;
        if (u && heard)
            u->delivered = true;
        else if (u)
            u->pardoned = true; /* it died meanwhile */
    } else if (h->at_ms != w->twin.tick_ms) {
        return;
    }
    if (w->twin.upload && !lives) {
        sim_say(w, "# the twin is killed");
        twin_end(w);
    }
    if (!lives)
        return;
    if (x && heard) {
        ph_header headers[8];
        char length[24];
        ph_event e = {.kind = PH_EVENT_FAILED, .id = h->id, .err = PH_ERR_NETWORK};
        if (!x->silent)
            host_answer(w, x, headers, length, &e);
        report(w, e);
    }
    drive(w);
}
