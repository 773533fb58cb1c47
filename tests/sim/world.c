/* SPDX-License-Identifier: MIT
 *
 * A world made from a seed, its time, and what the adversary does beside spoiling requests. Each
 * world has some kinds of faults and not others (a swarm), and a budget of them: when it is used
 * up, all goes well, so every upload has to end.
 */
#include "world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/retry.h"
#include "core/str.h"

#define MIB (UINT64_C(1) << 20)
#define DAY (24 * S3_HOUR)
#define START UINT64_C(1767225600000) /* 2026-01-01 */
#define LONGEST (90 * DAY)

/* ---- Chance and words --------------------------------------------------------------------------- */

uint64_t sim_below(world *w, uint64_t n)
{
    return n ? ph_random_next(&w->random) % n : 0;
}

bool sim_one_in(world *w, uint32_t n)
{
    return sim_below(w, n) == 0;
}

bool sim_fault(world *w, fault f)
{
    if (!w->one_in[f] || !w->budget || !sim_one_in(w, w->one_in[f]))
        return false;
    w->budget--;
    w->happened[f]++;
    w->last_fault_ms = w->now_ms;
    if (f != F_SLOW && f != F_HOLD && f != F_ECHO && f != F_HIDE && f != F_TWICE && f != F_RESENT)
        w->disturbed = true;
    return true;
}

uint64_t sim_host_ms(const world *w)
{
    return w->now_ms + (uint64_t)w->skew_ms;
}

void sim_say(world *w, const char *format, ...)
{
    char line[1024];
    if (!w->trace && !w->hashed)
        return;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (int i = 0; i < n && i < (int)sizeof line; i++)
        w->hash = (w->hash ^ (uint8_t)line[i]) * UINT64_C(0x100000001b3);
    w->hash ^= w->now_ms;
    if (w->trace) {
        static uint64_t said;
        if (said != w->now_ms && w->now_ms > w->start_ms)
            fprintf(w->trace, "@ +%llu\n", (unsigned long long)(w->now_ms - said));
        said = w->now_ms;
        fprintf(w->trace, "%s\n", line);
    }
}

void sim_bug(world *w, const char *format, ...)
{
    if (w->bug[0])
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(w->bug, sizeof w->bug, format, args);
    va_end(args);
    sim_say(w, "# BUG: %s", w->bug);
}

/* ---- What will happen --------------------------------------------------------------------------- */

static bool before(const happening *a, const happening *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void swap(happening *a, happening *b)
{
    happening c = *a;
    *a = *b;
    *b = c;
}

/* see world.h */
void sim_later(world *w, uint64_t at_ms, happening_kind kind, uint32_t id, int err, exchange *x)
{
    if (w->heap_len == w->heap_room) {
        w->heap_room = w->heap_room ? 2 * w->heap_room : 64;
        w->heap = realloc(w->heap, w->heap_room * sizeof *w->heap);
    }
    if (x)
        x->refs++;
    size_t i = w->heap_len++;
    w->heap[i] = (happening){at_ms, w->order++, kind, id, w->session, err, x};
    for (; i && before(&w->heap[i], &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&w->heap[i], &w->heap[(i - 1) / 2]);
}

static happening next(world *w)
{
    happening first = w->heap[0];
    w->heap[0] = w->heap[--w->heap_len];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child < 2 * i + 3 && child < w->heap_len; child++)
            if (before(&w->heap[child], &w->heap[least]))
                least = child;
        if (least == i)
            return first;
        swap(&w->heap[i], &w->heap[least]);
        i = least;
    }
}

/* see world.h */
void sim_release(exchange *x)
{
    if (!x || --x->refs)
        return;
    s3_request_clear(&x->rq);
    s3_answer_clear(&x->an);
    free(x);
}

/* ---- A world ------------------------------------------------------------------------------------ */

static uint64_t choose_size(world *w, uint64_t part)
{
    if (sim_one_in(w, 4000))
        return 10000 * part - sim_below(w, part);
    switch (sim_below(w, 12)) {
    case 0: return 0;
    case 1: return 1 + sim_below(w, 30);
    case 2: return part;
    case 3: return part + 1;
    case 4: return sim_below(w, part);
    case 5: return 2 * part;
    case 6: return sim_below(w, 20 * part);
    default: return 1 + sim_below(w, 6 * part);
    }
}

static void choose_quirks(world *w, s3_quirks *q)
{
    static const s3_checks checks[] = {S3_VERIFIES, S3_VERIFIES, S3_VERIFIES, S3_VERIFIES,
                                       S3_VERIFIES, S3_SILENT,   S3_IGNORES,  S3_REFUSES};
    static const uint32_t pages[] = {1, 2, 3, 5, 1000, 1000};
    *q = (s3_quirks){.checks = checks[sim_below(w, 8)],
                     .list_checksums = sim_one_in(w, 2),
                     .other_type = sim_one_in(w, 12),
                     .md5_etags = !sim_one_in(w, 4),
                     .page = pages[sim_below(w, 6)],
                     .complete_again = sim_one_in(w, 3),
                     .exists_first = sim_one_in(w, 2),
                     .ignores_if_none = sim_one_in(w, 10),
                     .refuses_if_none = sim_one_in(w, 20),
                     .equal_parts = sim_one_in(w, 4),
                     .versioned = sim_one_in(w, 3),
                     .forbids_head = sim_one_in(w, 8),
                     .forbids_list = sim_one_in(w, 8),
                     .hides_etag = sim_one_in(w, 5),
                     .hides_checksums = sim_one_in(w, 4),
                     .hides_version = sim_one_in(w, 4),
                     .silent_auth = sim_one_in(w, 6),
                     .unknown_ends = sim_one_in(w, 3),
                     .blanks = sim_one_in(w, 4),
                     .no_etag = sim_one_in(w, 12),
                     .abort_leaks = sim_one_in(w, 3),
                     .names_header = sim_one_in(w, 2),
                     .bad_region = sim_one_in(w, 10)};
}

static void choose_faults(world *w)
{
    static const uint32_t often[] = {2, 4, 10, 40};
    bool calm = sim_one_in(w, 8);
    uint32_t kinds = calm ? 0 : 1 + (uint32_t)sim_below(w, 6);
    w->budget = calm ? 0 : 1 + (uint32_t)sim_below(w, sim_one_in(w, 3) ? 60 : 10);
    for (uint32_t i = 0; i < kinds; i++) {
        fault f = (fault)sim_below(w, F_COUNT);
        w->one_in[f] = often[sim_below(w, 4)];
    }
}

static void choose_options(world *w)
{
    static const ph_alg algs[] = {PH_ALG_CRC64NVME, PH_ALG_CRC64NVME, PH_ALG_CRC64NVME,
                                  PH_ALG_CRC32C,    PH_ALG_CRC32,     PH_ALG_SHA256,
                                  PH_ALG_SHA1,      PH_ALG_MD5,       PH_ALG_NONE};
    static const uint64_t part_sizes[] = {5 * MIB, 5 * MIB, 5 * MIB, 5 * MIB + 1, 0, 64 * MIB};
    ph_upload_options *o = &w->options;
    *o = (ph_upload_options){.target = {.bucket = PH_STR("bkt"), .key = PH_STR("k")}};
    o->part_size = part_sizes[sim_below(w, 6)];
    w->file.cell = o->part_size ? o->part_size : 4 * MIB;
    o->size = choose_size(w, o->part_size ? o->part_size : 16 * MIB);
    ph_plan_make(o->size, o->part_size, &w->plan);
    o->name = PH_STR("film.mov");
    o->alg = algs[sim_below(w, sizeof algs / sizeof algs[0])];
    if ((o->alg == PH_ALG_CRC32C || o->alg == PH_ALG_CRC32) && sim_one_in(w, 2))
        o->type = PH_TYPE_COMPOSITE;
    o->object.overwrite = sim_one_in(w, 3);
    o->payload = (ph_payload)sim_below(w, 3);
    if (sim_one_in(w, 5))
        o->target.endpoint = PH_STR("http://s3.example:9000");
    else if (sim_one_in(w, 5))
        o->target.endpoint = PH_STR("http://127.0.0.1:8333");
    if (w->s3.quirks.bad_region)
        o->target.region = PH_STR("us-west-2");
    else
        o->target.region = PH_STR("eu-west-1");
    o->concurrency = (uint32_t)sim_below(w, 7);
    o->patience_ms = sim_one_in(w, 3) ? 60000 * (1 + sim_below(w, 60)) : 0;
    o->tries = sim_one_in(w, 3) ? 2 + (uint32_t)sim_below(w, 8) : 0;
    o->seed = w->seed;
    o->keep = sim_one_in(w, 2);
    o->unattended = sim_one_in(w, 3);
    o->polite = sim_one_in(w, 8);
    w->blind = sim_one_in(w, 3);
}

/* The line, and how much of it is asked for. */
static void choose_rate(world *w)
{
    static const uint64_t rates[] = {100, 1000, 10000, 100000};
    w->rate = rates[sim_below(w, 4)];
    w->latency_ms = 5 + (uint32_t)sim_below(w, 400);
    if (sim_one_in(w, 8))
        w->options.max_rate = 1000 * w->rate / 4 + sim_below(w, 4000 * w->rate);
}

static void choose_credentials(world *w)
{
    ph_upload_options *o = &w->options;
    static const uint64_t lives[] = {0, 0, S3_HOUR, S3_HOUR, S3_HOUR / 4, S3_HOUR / 60};
    w->life_ms = lives[sim_below(w, w->plan.part_count > 500 ? 4 : 6)];
    w->says_time = w->s3.quirks.silent_auth || sim_one_in(w, 2);
    if (sim_one_in(w, 4) && o->size < 5000 * MIB) {
        o->presign_limit = o->size ? o->size : 1;
        w->presigns = sim_one_in(w, 2);
        w->presign_checks = !sim_one_in(w, 4);
    }
    if (!w->presigns && sim_one_in(w, 3)) {
        host_grant_text(w, NULL, w->credentials, sizeof w->credentials);
        o->credentials = ph_str_from(w->credentials);
    } else if (sim_one_in(w, 4)) {
        w->api_names_key = true;
        o->target.key = (ph_str){NULL, 0};
        o->target.bucket = (ph_str){NULL, 0};
    }
    if (w->presigns) {
        w->plan.part_count = 1;
        w->plan.part_size = w->plan.size ? w->plan.size : 1;
    }
}

static void choose_clock(world *w)
{
    static const uint64_t away[] = {60000, 20 * 60000, 6 * S3_HOUR, 23 * S3_HOUR};
    if (!sim_one_in(w, 4))
        return;
    uint64_t ms = sim_below(w, away[sim_below(w, 4)]);
    w->skew_ms = sim_one_in(w, 2) ? (int64_t)ms : -(int64_t)ms;
    w->disturbed = w->disturbed || ms > 60000;
}

static bool make(world *w, uint64_t seed, FILE *trace)
{
    *w = (world){.seed = seed,
                 .random = seed,
                 .trace = trace,
                 .hash = UINT64_C(0xcbf29ce484222325),
                 .hashed = seed % SIM_TWICE == 0};
    w->now_ms = w->start_ms = START + sim_below(w, 365 * DAY);
    w->last_fault_ms = w->now_ms;
    w->file.seed = ph_random_next(&w->random);
    s3_quirks quirks;
    choose_quirks(w, &quirks);
    w->s3.quirks = quirks;
    choose_options(w);
    w->file.size[0] = w->options.size;
    if (w->plan.part_count > 1000)
        quirks.page = 1000;
    s3_init(&w->s3, &w->file, w->file.seed, &quirks);
    choose_faults(w);
    choose_clock(w);
    choose_credentials(w);
    choose_rate(w);
    static part_record parts[PH_PART_MAX_COUNT + 1];
    w->parts = parts; /* judge_session clears them */
    if (!w->options.object.overwrite && !w->presigns && sim_one_in(w, 20))
        s3_put_foreign(&w->s3);
    sim_say(w, "# seed %llu", (unsigned long long)seed);
    sim_say(w, "new size=%llu part=%llu checksum=%s%s overwrite=%s concurrency=%u tries=%u",
            (unsigned long long)w->options.size, (unsigned long long)w->plan.part_size,
            ph_alg_name_lower(w->options.alg),
            w->options.type == PH_TYPE_COMPOSITE ? " type=COMPOSITE" : "",
            w->options.object.overwrite ? "yes" : "no", w->options.concurrency, w->options.tries);
    memory_reset();
    ph_buf_init(&w->kept, 256u << 10);
    host_begin(w);
    return !w->bug[0];
}

static void destroy(world *w)
{
    for (uint32_t i = 0; i < w->live_count; i++)
        sim_release(w->live[i].x);
    while (w->heap_len)
        sim_release(next(w).x);
    memory_enter(false, NULL);
    ph_upload_free(w->upload);
    memory_leave();
    if (memory_held())
        sim_bug(w, "loses %zu bytes of memory", memory_held());
    ph_buf_clear(&w->kept);
    twin_end(w);
    ph_buf_clear(&w->twin.kept);
    free(w->heap);
    s3_clear(&w->s3);
}

/* ---- What else the adversary does --------------------------------------------------------------- */

static void tell(world *w, const char *word, ph_event_kind kind)
{
    sim_say(w, "< %s", word);
    host_report(w, &(ph_event){.kind = kind});
}

static uint64_t a_while(world *w)
{
    static const uint64_t most[] = {2000, 60000, 20 * 60000, 5 * S3_HOUR};
    return 1 + sim_below(w, most[sim_below(w, 4)]);
}

/* All that is on the way breaks off. */
static void cut(world *w)
{
    for (uint32_t i = 0; i < w->live_count; i++) {
        live *l = &w->live[i];
        if (l->kind != L_REQUEST || l->x->lost)
            continue;
        l->x->lost = true;
        l->x->dropped = !l->x->arrived && sim_one_in(w, 2);
        sim_later(w, w->now_ms + sim_below(w, 3000), H_LOST, l->id, PH_ERR_NETWORK, l->x);
    }
}

static void go_offline(world *w, bool told)
{
    uint64_t until = w->now_ms + a_while(w);
    sim_say(w, "# the network is away");
    w->down_until_ms = until;
    w->disturbed = true;
    if (told && !w->offline) {
        w->offline = true;
        tell(w, "offline", PH_EVENT_OFFLINE);
        sim_later(w, until, H_ONLINE, 0, 0, NULL);
    }
    cut(w);
}

static void change_file(world *w)
{
    sim_file *f = &w->file;
    if (f->version + 1 >= SIM_VERSIONS || f->version > w->began_version)
        return;
    uint64_t cells = f->size[f->version] / f->cell + 1;
    f->version++;
    f->size[f->version] = f->size[f->version - 1];
    f->first[f->version] = sim_below(w, cells);
    f->last[f->version] = f->first[f->version] + sim_below(w, 3);
    sim_say(w, "# the file changes");
    w->may_differ = w->may_differ || w->twin.upload; /* it may send what it has read */
    for (bool found = true; found && !w->bug[0];) {
        found = false;
        for (uint32_t i = 0; i < w->live_count && !found; i++) {
            live *l = &w->live[i];
            bool reads = l->kind == L_REQUEST && (l->op == S3_PART || l->op == S3_PUT);
            if (!reads || l->x->arrived)
                continue;
            found = true;
            host_unreadable(w, l, PH_ERR_FILE_CHANGED);
        }
    }
}

static void abort_upload(world *w)
{
    w->aborted = true;
    w->paused = false;
    w->last_fault_ms = w->now_ms;
    judge_excuse(w, PH_ERR_ABORTED);
    tell(w, "abort", PH_EVENT_ABORT);
}

static void interfere(world *w)
{
    if (!w->budget || w->over || w->dead)
        return;
    if (!w->paused && sim_fault(w, F_PAUSE)) {
        w->paused = true;
        judge_give_up(w);
        tell(w, "pause", PH_EVENT_PAUSE);
        sim_later(w, w->now_ms + a_while(w), H_RESUME, 0, 0, NULL);
    }
    if (w->now_ms >= w->down_until_ms && sim_fault(w, F_OFFLINE))
        go_offline(w, true);
    if (w->now_ms >= w->down_until_ms && sim_fault(w, F_OUTAGE))
        go_offline(w, false);
    if (!w->aborted && sim_fault(w, F_ABORT) && sim_one_in(w, 3)) {
        abort_upload(w);
    }
    if (sim_fault(w, F_FREEZE)) {
        w->frozen_until_ms = w->now_ms + a_while(w);
        w->slept = true;
        w->skews++; /* an answer that waited has an old time */
        sim_say(w, "# the host sleeps");
    }
    if (sim_fault(w, F_JUMP)) {
        uint64_t ms = sim_below(w, 2 * S3_HOUR);
        w->skew_ms += (int64_t)ms;
        w->skews++;
        judge_turned(w, ms);
        sim_say(w, "# the clock is turned forward");
    }
    if (sim_fault(w, F_CHANGE))
        change_file(w);
    if (w->s3.upload_count && sim_fault(w, F_LOSE_UPLOAD) && sim_one_in(w, 4)) {
        sim_say(w, "# S3 forgets the uploads");
        for (uint32_t i = 0; i < w->s3.upload_count; i++)
            w->s3.uploads[i].gone = true;
    }
    if (sim_fault(w, F_REVOKE)) {
        sim_say(w, "# the credentials end");
        for (uint32_t i = 1; i <= w->grant_count; i++)
            if (w->grants[i].end_ms > w->now_ms)
                w->grants[i].end_ms = w->now_ms;
    }
    if (!w->s3.object.there && !w->options.object.overwrite && !w->presigns &&
        sim_fault(w, F_FOREIGN) && sim_one_in(w, 4)) {
        sim_say(w, "# somebody else writes the key");
        s3_put_foreign(&w->s3);
    }
    if (w->has_kept && w->plan.part_count > 1 && !w->twin.was && sim_fault(w, F_TWIN))
        twin_begin(w);
    if (!w->held && sim_fault(w, F_HOLD)) {
        w->held = true;
        sim_say(w, "@ may-send no");
        sim_later(w, w->now_ms + a_while(w), H_RELEASE, 0, 0, NULL);
    }
}

/* ---- Time --------------------------------------------------------------------------------------- */

/* What happens to a host that sleeps happens when it wakes; answers may not have waited. */
static bool put_off(world *w, happening *h)
{
    if (h->kind == H_ARRIVE || h->kind == H_TWIN || w->now_ms >= w->frozen_until_ms)
        return false;
    if (h->session != w->session)
        return false;
    bool answer = h->kind == H_ANSWER && sim_one_in(w, 2);
    sim_later(w, w->frozen_until_ms + sim_below(w, 1000), answer ? H_LOST : h->kind, h->id,
              answer ? PH_ERR_NETWORK : h->err, h->x);
    return true;
}

static void turn(world *w)
{
    uint64_t wait =
        w->wait_until_ms == UINT64_MAX ? UINT64_MAX : w->wait_until_ms - (uint64_t)w->skew_ms;
    if (w->now_ms < w->frozen_until_ms)
        wait = w->frozen_until_ms;
    if (w->dead)
        wait = w->dead_until_ms;
    uint64_t first = w->heap_len ? w->heap[0].at_ms : UINT64_MAX;
    if (wait == UINT64_MAX && first == UINT64_MAX) {
        sim_bug(w, "waits for ever");
        return;
    }
    /* Who wakes up looks around before hearing of anything. */
    bool sleeps = !w->dead && w->now_ms < w->frozen_until_ms;
    w->woken = wait < first || (sleeps && wait == first);
    if (w->woken) {
        w->now_ms = wait > w->now_ms ? wait : w->now_ms;
        return;
    }
    happening h = next(w);
    if (h.at_ms > w->now_ms)
        w->now_ms = h.at_ms;
    if (!put_off(w, &h)) {
        host_happens(w, &h);
        if (h.kind != H_ARRIVE && h.kind != H_TWIN)
            interfere(w);
    }
    sim_release(h.x);
}

/* Most hosts notice that they slept. */
static void wake_up(world *w)
{
    w->slept = false;
    if (sim_one_in(w, 4))
        return;
    judge_woke(w);
    tell(w, "woke", PH_EVENT_WOKE);
}

/* Somebody comes back to an upload that failed and can go on. */
static bool try_again(world *w)
{
    if (w->done || !w->failure.resumable || w->session > 20 || sim_one_in(w, 4))
        return false;
    memory_enter(false, NULL);
    ph_upload_free(w->upload);
    memory_leave();
    w->upload = NULL;
    w->over = false;
    w->dead = true;
    w->dead_until_ms = w->now_ms + a_while(w);
    return true;
}

static void run(world *w)
{
    while (!w->bug[0]) {
        if (w->dead && w->now_ms >= w->dead_until_ms)
            host_begin(w);
        if (w->slept && !w->dead && w->now_ms >= w->frozen_until_ms)
            wake_up(w);
        if (!w->dead && w->now_ms >= w->frozen_until_ms)
            host_drive(w);
        if (w->over && !try_again(w))
            break;
        turn(w);
        /* Credentials of a minute are asked for all the time that there is no network. */
        bool endless = ++w->turns > (20000 + 60 * w->plan.part_count) * w->session +
                                        (w->now_ms - w->start_ms) / 1000;
        uint64_t most = w->options.max_rate / 1000;
        /* A URL that ended, where the server says nothing, is only suspected after some times in vain. */
        uint64_t times = w->presigns && w->s3.quirks.silent_auth ? 5 : 2;
        uint64_t needed =
            times * w->plan.size / (most && most < w->rate ? most : w->rate) + 6 * S3_HOUR;
        bool late = !w->dead && w->now_ms >= w->last_fault_ms &&
                    w->now_ms - w->last_fault_ms > needed + 6 * S3_HOUR;
        /* Where the server says nothing, nobody mends a clock that is too far off to be believed. */
        bool hopeless = w->s3.quirks.silent_auth && llabs(w->skew_ms) > SIM_FAR_MS;
        bool tired = late || endless || w->grant_count > SIM_GRANTS / 2;
        if (tired && hopeless && !w->aborted && !w->dead)
            abort_upload(w);
        else if (endless && !hopeless)
            sim_bug(w, "never ends");
        else if (late)
            sim_bug(w, "takes too long");
    }
    /* What is on its way yet comes too late, and changes nothing. */
    while (!w->bug[0] && w->heap_len) {
        happening h = next(w);
        if (h.at_ms > w->now_ms)
            w->now_ms = h.at_ms;
        host_happens(w, &h);
        sim_release(h.x);
    }
    if (w->twin.was && !w->bug[0])
        judge_left(w);
    bool twins = w->twin.was && s3_holds_file(&w->s3, w->twin.version);
    bool doubted = w->false_200 && w->receipt.unseen; /* and it was said */
    bool whole = twins || doubted || s3_holds_file(&w->s3, w->began_version);
    /* As a killed session sent it, whose request came late. */
    for (uint32_t v = 0; v < w->began_version; v++)
        whole = whole || s3_holds_file(&w->s3, v);
    if (w->done && !w->may_differ && !whole)
        sim_bug(w, "what was done is undone");
}

/* see world.h */
void sim_run(uint64_t seed, FILE *trace, sim_result *out)
{
    static world w;
    *out = (sim_result){0};
    if (make(&w, seed, trace))
        run(&w);
    out->done = w.done;
    out->err = w.done ? 0 : w.failure.err;
    out->requests = w.requests;
    out->parts = w.plan.part_count;
    for (size_t i = 0; i < F_COUNT; i++)
        out->faults += w.happened[i];
    out->memory = memory_peak();
    destroy(&w);
    out->hash = w.hash;
    memcpy(out->bug, w.bug, sizeof out->bug);
}
