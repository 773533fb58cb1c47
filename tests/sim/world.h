/* SPDX-License-Identifier: MIT
 *
 * world - one simulated upload: the engine, a host, S3, and an adversary with a seed.
 *
 *     main.c       seeds, processes, what is printed
 *     world.c      makes a world from a seed; time, and what happens next
 *     host.c       does what the engine asks, as well as the adversary lets it
 *     twin.c       a second engine at the same upload
 *     judge.c      what may fail and why, and what must hold, at every step and in the end
 *     memory.c     how much the engine holds; lets allocations fail
 *     s3.c bytes.c S3, and the file
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdio.h>

#include "s3.h"

#define SIM_LIVE 128u
#define SIM_GRANTS 4096u

/* A clock that is a day off is not believed, and S3's answer may be a quarter of an hour old. */
#define SIM_FAR_MS ((int64_t)(24 * S3_HOUR - S3_HOUR / 4))

/* What the adversary can do. */
typedef enum fault {
    F_LOSE_REQUEST, /* it never arrives */
    F_LOSE_ANSWER,  /* it was done */
    F_HANG,         /* no answer, ever */
    F_STRAY,        /* given up, but it arrives much later */
    F_SLOW,
    F_TWICE, /* it arrives twice */
    F_RESENT, /* ... since a connection was cut, and a browser sends it again: the second answer is heard */
    F_ECHO,      /* its answer comes twice */
    F_BUSY,      /* an error that passes; nothing was done */
    F_BROKEN,    /* an error that passes; it was done, perhaps */
    F_ERROR_200, /* Complete: 200 with an error */
    F_MANGLE,    /* a body that is cut off, blank, or a portal's page */
    F_REFUSE,    /* an error that does not pass */
    F_CREDS,     /* credentials are refused though they live */
    F_CLOCK,     /* the clock is refused, right or wrong */
    F_DIGEST,    /* BadDigest for bytes that are right */
    F_LIE,       /* another checksum is stated */
    F_FALSE,     /* Complete: 200, and it was not done */
    F_HIDE,      /* an answer without its ETag */
    F_FLIP_WIRE,
    F_FLIP_HASH,
    F_NO_GRANT, /* the API is down */
    F_DENY,     /* sign in; forbidden */
    F_BAD_GRANT,
    F_SLOW_GRANT,
    F_UNREADABLE,
    F_CHANGE, /* the file changes */
    F_LOSE_UPLOAD,
    F_REVOKE,  /* credentials end early */
    F_FOREIGN, /* somebody else writes the key */
    F_PAUSE,
    F_OFFLINE,
    F_OUTAGE, /* offline, and nobody says so */
    F_ABORT,
    F_FREEZE,
    F_JUMP, /* of the clock */
    F_HOLD, /* no connection for new parts */
    F_NOMEM,
    F_UNSAVED, /* a snapshot cannot be kept */
    F_KILL,    /* the host dies, and begins again from the last snapshot */
    F_DAMAGE,  /* ... which is not what it was */
    F_TWIN,    /* another engine goes on from the same snapshot */
    F_COUNT,
} fault;

/* A request on its way. */
typedef struct exchange {
    uint32_t refs;
    uint32_t number; /* for the transcript */
    uint32_t grant;  /* whose credentials signed it */
    s3_request rq;
    s3_answer an;
    uint64_t headers_ms; /* when S3 sees its headers */
    uint64_t answer_ms;  /* when the answer is back, at the earliest */
    bool of_twin;
    bool arrived;
    bool dropped;
    bool lost;   /* its end is on its way without an answer */
    bool silent; /* refused without a word, for credentials or clock */
    /* its fate */
    int status; /* of an error; 0: none */
    const char *code;
    int err;
    bool done_all_the_same;
    bool mangle, lie, hide, echo, flip, resent;
    s3_lie falsely;
    bool named;
} exchange;

typedef enum live_kind { L_REQUEST, L_HASH, L_ASK } live_kind;

/* An action that has no outcome yet. */
typedef struct live {
    uint32_t id;
    live_kind kind;
    exchange *x;
    s3_op op;
    uint32_t part;
    sim_bytes bytes;
    ph_alg alg[2];
    ph_why why;
    ph_digest checksum; /* ASK */
    uint64_t begun_ms, limit_ms;
    uint32_t grant;     /* the newest that the engine had when it began */
    uint32_t clock_fix; /* the same */
    bool refused_since; /* ASK: credentials were refused meanwhile */
    bool given_up;      /* it will be cancelled */
    bool slept;         /* it was under way when the host slept, and knows it */
    uint32_t rest;      /* in which it looks; 0: none */
} live;

typedef enum happening_kind {
    H_ARRIVE,
    H_ANSWER,
    H_LOST,
    H_HASHED,
    H_GRANT,
    H_RESUME,
    H_ONLINE,
    H_RELEASE,
    H_TWIN, /* its request arrives and is answered; or it wanted to be woken */
} happening_kind;

typedef struct happening {
    uint64_t at_ms, order;
    happening_kind kind;
    uint32_t id, session;
    int err;
    exchange *x;
} happening;

typedef struct grant {
    uint64_t end_ms; /* UINT64_MAX: none */
} grant;

/* Another engine at the same upload. */
typedef struct twin {
    bool was; /* there was one */
    ph_upload *upload;
    ph_buf kept;
    bool keeps;
    uint32_t version; /* of the file */
    uint32_t live[SIM_LIVE], live_count, steps;
    uint64_t tick_ms;
} twin;

/* What the judge knows of a part. */
typedef struct part_record {
    uint16_t fails, restarts, flips; /* in memory */
    uint32_t rests;                  /* when it failed last */
    bool stored, vouched, etag_vouched;
    bool twice;             /* it was sent a second time beside the first */
    bool must_read;         /* again, since S3 got other bytes */
    uint64_t not_before_ms; /* it may be sent again */
    bool seen, listed; /* ListParts has it as it is in the file, and proves it; and was heard */
} part_record;

typedef struct world {
    uint64_t seed, random;
    FILE *trace;
    uint64_t hash; /* of the transcript, if `hashed` */
    bool hashed;
    char bug[400];
    uint64_t now_ms, start_ms, last_fault_ms;

    /* what is uploaded */
    ph_upload_options options;
    ph_plan plan;
    char credentials[512];
    bool api_names_key, presigns, presign_checks, says_time;
    uint64_t life_ms; /* of credentials; 0: no end */
    sim_file file;
    uint32_t began_version;
    s3_model s3;

    /* the adversary */
    uint32_t one_in[F_COUNT]; /* 0: never */
    uint32_t budget;
    uint64_t rate; /* bytes in a millisecond */
    uint32_t latency_ms;
    bool blind;             /* the host does not see bytes move, and goes by limit_ms */
    uint64_t down_until_ms; /* the network */
    uint32_t happened[F_COUNT];

    /* what will happen: a heap */
    happening *heap;
    size_t heap_len, heap_room;
    uint64_t order;

    /* the host: what it keeps, and the session it is in */
    ph_buf kept;
    bool has_kept, may_damage;
    bool begun; /* credentials were there, or a snapshot */
    uint32_t session;
    bool dead;
    uint64_t dead_until_ms;
    ph_upload *upload;
    int64_t skew_ms;
    uint64_t frozen_until_ms, wait_until_ms;
    live live[SIM_LIVE];
    uint32_t live_count;
    uint32_t last_id, requests;
    bool slept, paused, offline, held, aborted, over;
    grant grants[SIM_GRANTS];
    uint32_t grant_count;
    bool woken; /* by its own wait */
    uint32_t steps, idle, turns;

    twin twin;

    /* the judge */
    bool excused[1024];
    part_record *parts; /* by number; 0 for all of the file */
    uint16_t fails[S3_OPS];
    uint32_t rested[S3_OPS];
    uint64_t not_before_ms[S3_OPS];
    bool resting; /* until then, on the host's clock: */
    uint64_t rest_until_ms, hurried_ms;
    bool failing; /* since failing_ms nothing worked */
    uint64_t failing_ms;
    bool rests_for_creds; /* ends when they come */
    uint64_t ended_ms,
        ended_limit_ms;          /* the last request that ended: when, and how long it might */
    uint64_t turned_ms;          /* since then, what of turned clocks cannot be told from silence */
    uint64_t paced_ms, quiet_ms; /* no part before: max_rate, polite; by the host's clock */
    uint32_t rests, in_a_row, counted; /* failures, since it began to rest */
    bool told_of_parts;                /* in this session: that Abort was not confirmed */
    bool unsaved;                      /* the last snapshot could not be kept */
    bool told_of_orphan;               /* that S3 may have an upload whose id nobody knows */
    bool lacks_condition, lacks_checksum;
    uint32_t given;   /* the newest credentials that the engine has */
    uint32_t skews;   /* reasons for a wrong clock: refusals that were made up, and turns of it */
    bool may_differ;  /* bytes were changed where nobody looks */
    bool stale;       /* a part of an older file came late, in this session */
    bool overwritten; /* the object's last write is one that nobody hears, of other bytes */
    bool lied;
    bool word; /* S3 said that it made the object, of the parts of this upload ... */
    char word_id[24];
    bool bare;      /* ... and nothing that shows it ... */
    bool false_200; /* ... and it is a lie */
    bool unlooked;  /* HEAD did not get through, or showed nothing that tells */
    uint32_t refusals, late_refusals, clock_fixes, clock_fix;
    uint32_t refused_grant; /* the newest that S3 refused since it said yes */
    bool refused, redirected, disturbed;
    uint32_t denials, retries;
    uint64_t last_stored;
    bool heard; /* S3 said yes to something */
    uint32_t gone, inquiries;
    char gone_id[24];
    char known_id[24]; /* of the upload that this session began, or asked for its parts */
    bool aborting;     /* it was tried to abort */
    bool looked;       /* the answer that ended it was HEAD's; */
    bool final_shown;  /* of that answer: */
    char final_etag[48], final_version[24];
    bool final_vouched, final_etag_vouched, final_etag_md5;
    ph_receipt receipt;
    ph_failure failure;
    bool done;
} world;

/* Say that something is wrong. The first word counts. */
__attribute__((format(printf, 2, 3))) void sim_bug(world *w, const char *format, ...);

/* A line of the transcript. */
__attribute__((format(printf, 2, 3))) void sim_say(world *w, const char *format, ...);

uint64_t sim_below(world *w, uint64_t n);
bool sim_one_in(world *w, uint32_t n);

/* Does the adversary do this now? Each costs of its budget. */
bool sim_fault(world *w, fault f);

uint64_t sim_host_ms(const world *w);
void sim_later(world *w, uint64_t at_ms, happening_kind kind, uint32_t id, int err, exchange *x);
void sim_release(exchange *x);

/* One of so many seeds is run twice, and the hashes of its transcripts are compared. */
#define SIM_TWICE 64u

/* Run one. Give whether all was well; the transcript goes to `trace`, if that is not NULL. */
typedef struct sim_result {
    uint64_t hash;
    bool done;
    int err; /* of a failed upload */
    uint32_t requests, faults, parts;
    size_t memory;
    char bug[400];
} sim_result;
void sim_run(uint64_t seed, FILE *trace, sim_result *out);

/* ---- host.c ---- */

/* Begin a session: from the snapshot, if one is kept. */
void host_begin(world *w);

/* Let the engine act until it waits or is over. */
void host_drive(world *w);
void host_report(world *w, const ph_event *e);
live *host_live(world *w, uint32_t id);
void host_forget(world *w, live *l);
void host_happens(world *w, const happening *h);
void host_grant_text(world *w, const ph_digest *checksum, char *out, size_t size);
/* Whose credentials signed it, or which URL is it? */
uint32_t host_signer(const s3_request *r);
void host_unreadable(world *w, live *l, int err);

/* A request is at S3. */
void host_arrive(world *w, exchange *x);
/* The event that its answer is; `headers` and `length` are room for what it points to. */
void host_answer(const world *w, const exchange *x, ph_header headers[8], char length[24],
                 ph_event *out);

/* ---- twin.c ---- */

void twin_begin(world *w);
void twin_happens(world *w, const happening *h);
void twin_end(world *w);

/* ---- judge.c ---- */

void judge_request(world *w, const live *l, const ph_request *r);
/* A request ended with `err`; `answer` may be NULL. Called before the engine is told. */
void judge_outcome(world *w, const live *l, int err, const s3_answer *answer);
void judge_ask(world *w, const live *l);
void judge_granted(world *w); /* what was granted last */
void judge_denied(world *w, const live *l, int err);
void judge_excuse(world *w, int err);
/* May one of two engines at the same upload fail so, for what the other one did? */
bool judge_of_two(int err);
void judge_text(world *w, const char *where, ph_str text);
void judge_session(world *w); /* one begins */
void judge_give_up(world *w); /* parts will be cancelled */
void judge_hurry(world *w);   /* nothing has to wait any more */
void judge_woke(world *w);
void judge_turned(world *w, uint64_t ms); /* the clock, forward */
void judge_warning(world *w, ph_str message);
void judge_notice(world *w, const ph_notice *n);
void judge_kill(world *w);
void judge_list(world *w, const s3_request *r); /* S3 is about to answer ListParts */
void judge_save(world *w, ph_str snapshot);
void judge_wait(world *w);
void judge_progress(world *w);
void judge_end(world *w);
void judge_left(world *w); /* behind, in S3 */

/* ---- memory.c ---- */

void memory_enter(bool may_fail, uint64_t *random);
bool memory_leave(void); /* did an allocation fail? */
size_t memory_held(void);
size_t memory_peak(void);
void memory_reset(void);

#endif
