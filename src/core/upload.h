/* SPDX-License-Identifier: MIT
 *
 * upload - one file on its way: the state of the engine. upload.c says what to do next
 * (ph_upload_step), events.c takes in what came of it (ph_upload_report). The tables of states
 * stand in ../README.md.
 */
#ifndef PH_UPLOAD_H
#define PH_UPLOAD_H

#include "err.h"
#include "part.h"
#include "retry.h"

#define PH_CONCURRENCY_MAX 32u
#define PH_HASH_AHEAD 16u /* at most: parts hashed before a connection is free for them */
#define PH_SLOTS (PH_CONCURRENCY_MAX + PH_HASH_AHEAD)
#define PH_QUEUE 256u /* notices and cancellations that wait to be given out */

/* One thing that is asked of the world, and asked again when it fails. */
typedef struct ph_attempt {
    uint32_t id;           /* of the action under way; 0: none */
    uint32_t tries;        /* begun so far */
    uint64_t at_ms;        /* not before */
    uint32_t creds_serial; /* with which credentials and clock it was signed: an answer to an */
    uint32_t clock_serial; /* outdated signature says nothing about the present one */
    bool maybe_done;       /* an earlier try may have succeeded, its answer is lost */
} ph_attempt;

/* A part under way. */
typedef struct ph_slot {
    uint32_t part_number; /* 0: the slot is free */
    ph_part_state state;
    ph_attempt attempt;
    ph_digest digest; /* of the upload's algorithm; kept over retries */
    ph_digest sha256; /* for the signature, where payloads are signed */
    bool hashed;
    uint32_t bad_digests; /* how often S3 got other bytes, or has others than were read here */
    uint64_t sent;
    uint64_t begun_ms; /* SENDING: of `attempt` */
    uint64_t limit_ms; /* so long it may take */
    uint32_t timeouts;
    ph_attempt second; /* SENDING: the same once more, when all others are done and it is late */
    uint64_t second_begun_ms;
    /* There was one, and one of the two failed: the line is bad, not this request. */
    bool no_second;
} ph_slot;

/* CHECKING: HEAD is refused, and as it has no body, nobody knows why. */
typedef enum ph_look {
    PH_LOOK_HEAD,  /* not yet, or it is asked again */
    PH_LOOK_CREDS, /* credentials are asked for that may read the key; the API's clock comes along */
    PH_LOOK_WORDS, /* ListParts is asked: of its answer nothing counts but what S3 has against us */
} ph_look;

struct ph_upload {
    ph_upload_options options; /* texts are copies; without credentials and snapshot */
    ph_header *metadata;
    ph_state state;
    bool paused;
    bool offline;
    uint64_t random;
    uint32_t next_id;

    /* what was granted */
    ph_grant grant; /* presigned URL and headers; its texts override the options' target */
    ph_endpoint endpoint;
    ph_sigv4_key key;
    bool creds_refused;      /* nothing is signed with them */
    uint32_t creds_serial;   /* from 1 on */
    uint32_t refusals;       /* since the last success, of the newest credentials ... */
    uint32_t late_refusals;  /* ... and of older ones ... */
    uint32_t refused_serial; /* ... the last of which had this number; 0: there were none */
    ph_failure refusal;      /* S3's last word against the credentials, or against Complete */
    uint32_t silent;         /* requests that failed without a word since S3's last answer ... */
    bool suspected;          /* ... and new credentials were asked for because of it */
    uint64_t renew_ms;
    ph_attempt ask;
    ph_attempt file_hash; /* of the whole file, before the first ask */
    ph_digest file_digest;

    /* what the world is like */
    int64_t clock_offset_ms; /* true time = now + this */
    uint32_t clock_serial;
    uint32_t clock_fixes; /* asked for by S3 */
    bool region_fixed;
    unsigned lacks; /* bits of ph_lack */
    bool heard;     /* S3 itself said yes to something: a page in its place is not its word */
    bool warned_etag;
    char cors_warning[192];
    bool warned_orphan;
    bool opaque_etags; /* they are no MD5s: S3 encrypts with KMS */
    bool warned_sign_in;
    uint32_t budget;        /* failures in all that are left before the upload rests */
    int rest_err;           /* it rests because of this; PH_OK: it does not */
    uint32_t looks;         /* since then, in vain */
    uint64_t rest_until_ms; /* then one request is tried ... */
    uint32_t probe;         /* ... of this id */
    uint64_t failing_ms;    /* since the first failure after a success; UINT64_MAX: nothing fails */
    uint64_t seen_ms;       /* when the host was last here ... */
    uint64_t due_ms;        /* ... and when it is here again at the latest, unless it sleeps */

    /* how fast it goes */
    double limit;   /* parts at the same time: `ceiling`, or less when S3 is slow */
    double ceiling; /* up to options.concurrency, while more make it faster */
    bool settled;   /* more did not */
    double rate;    /* of one part, in bytes/ms; 0: none was measured */
    double goodput; /* of all parts, in the last round */
    uint64_t round_ms, round_bytes;
    uint32_t round_parts;
    uint64_t pace_ms; /* no part begins before */

    /* the object */
    bool single; /* one PutObject */
    ph_checksum_type type;
    ph_ledger ledger;
    uint32_t next_part;
    ph_slot slots[PH_SLOTS];
    size_t slot_end;    /* those from here on were never used */
    ph_attempt control; /* the request that the state stands for */
    uint32_t list_marker;
    bool aborted;      /* ABORTING: S3 took Abort; now ListParts has to confirm it ... */
    uint32_t aborts;   /* ... or Abort is sent again */
    bool unconfirmed;  /* it was in vain: S3 may have parts */
    bool inquired;     /* ListParts was asked once which parts are missing ... */
    bool restarted;    /* ... and once all parts were sent again, under a new upload id */
    int doubt;         /* CHECKING, LISTING: what S3 said that led there; OBJECT_DIFFERS: that the
                          object is made, and nothing that shows it */
    bool spent;        /* CHECKING: there is an object, and probably it is ours */
    ph_look look;      /* CHECKING: what HEAD's refusal led to ... */
    uint32_t refused;  /* ... and how often it was refused */
    uint32_t absent;   /* CHECKING: how often the object that S3 says it made was not there */
    uint32_t unproven; /* VERIFYING: parts that are still to be compared */
    ph_str upload_id;
    bool resumed; /* it was begun in an earlier session */
    bool save;    /* the snapshot says something new */
    bool kept;    /* the host has one */
    bool had;     /* the same before the last SAVE */
    bool unsaved; /* what the last SAVE said it could not keep */
    bool warned_unsaved;
    char unsaved_warning[256];
    ph_buf snapshot;
    ph_buf document;
    ph_digest whole;
    ph_buf whole_text;

    /* the end */
    ph_str etag;
    ph_str version_id;
    ph_verified verified;
    bool unseen;
    ph_failure failure;
    uint32_t retries;

    /* what waits to be given out */
    ph_notice notices[PH_QUEUE];
    uint32_t notice_first, notice_count;
    uint32_t cancels[PH_QUEUE];
    uint32_t cancel_count;
    ph_built built; /* of the last REQUEST action */
};

/* ---- Shared by upload.c and events.c ---------------------------------------------------------- */

static inline uint64_t ph_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool ph_upload_is_over(const ph_upload *u);

/* The host is here. Silence that nothing explains is no test of patience. */
void ph_upload_note_time(ph_upload *u, uint64_t now_ms);
uint64_t ph_upload_true_ms(const ph_upload *u, uint64_t now_ms);

/* The operation that the present state sends; PH_OP_NONE in SENDING and where nothing is sent. */
ph_operation ph_upload_control(const ph_upload *u);

/* Are SHA-256s of bodies part of the signatures? */
bool ph_upload_signs_payload(const ph_upload *u);
bool ph_upload_is_presigned(const ph_upload *u);

/* How many requests may fail, beyond those that succeed, before the upload rests. */
uint32_t ph_upload_budget(const ph_upload *u);

/* Is there anything to sign with, or a signed URL? */
bool ph_upload_has_grant(const ph_upload *u);

void ph_upload_enter(ph_upload *u, ph_state state);
void ph_upload_set_part(ph_upload *u, ph_slot *slot, ph_part_state state);
void ph_upload_note(ph_upload *u, const ph_notice *notice);
void ph_upload_warn(ph_upload *u, const char *message);

/* S3 may have an upload whose id nobody knows. */
void ph_upload_warn_orphan(ph_upload *u);

/* S3 may have the object of an upload that ends without one. */
void ph_upload_warn_object(ph_upload *u);

/* Give up the parts under way, and their digests; slots go back to where they can start again. */
void ph_upload_cancel_parts(ph_upload *u, bool digests);
void ph_upload_cancel(ph_upload *u, ph_attempt *attempt);

/* Whatever has this id has ended: it needs no cancellation any more. */
void ph_upload_uncancel(ph_upload *u, uint32_t id);

/* Write down what failed. `reply` may be NULL. */
void ph_upload_describe(ph_failure *f, int err, ph_operation op, uint32_t part_number,
                        uint32_t tries, const ph_reply *reply);

/*
 * End the upload as failed: first what is under way is cancelled, then S3 is told to forget the
 * parts. `reply` may be NULL. Later failures change nothing.
 */
void ph_upload_fail(ph_upload *u, int err, ph_operation op, uint32_t part_number, uint32_t tries,
                    const ph_reply *reply);

/* The host could not keep the last snapshot. */
void ph_upload_not_saved(ph_upload *u, ph_str why);

/*
 * Correct the clock by the server's time. False when it is too far off to be believed.
 */
bool ph_upload_set_clock(ph_upload *u, uint64_t now_ms, uint64_t server_ms);

/* Decide when the next credentials are asked for. */
void ph_upload_plan_renewal(ph_upload *u, uint64_t now_ms);

/*
 * Begin the work with the first grant, which is taken over. Errors: those of ph_endpoint_make,
 * BAD_CREDENTIALS and NOMEM; the upload is then as before.
 */
int ph_upload_begin(ph_upload *u, ph_grant *first);

/* By which algorithm is this part proven (VERIFYING), and which are computed for it? */
ph_alg ph_upload_proof(const ph_upload *u, uint32_t part_number, ph_alg out_algs[2]);

/* The upload is gone, but perhaps because it was completed: so the parts are proven to nobody. */
bool ph_upload_is_gone(const ph_upload *u);

/* Compute the object's checksum from all parts. Errors: NOMEM. */
int ph_upload_make_whole(ph_upload *u);

/*
 * Do without what the server lacks. Parts that are under way are digested again if the algorithm
 * changes by that. Errors: NOMEM; then nothing was changed.
 */
int ph_upload_do_without(ph_upload *u, unsigned lacks);

/*
 * Begin again under a new upload id: the old one is gone, and its parts with it. `err` is what S3
 * said of it. Errors: NOMEM; then nothing was changed.
 */
int ph_upload_restart(ph_upload *u, int err);

/* Find the endpoint anew, for a region that was learned. The old one is the caller's to clear. */
int ph_upload_locate(ph_upload *u);

#endif
