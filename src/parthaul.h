/* SPDX-License-Identifier: MIT
 *
 * parthaul.h - the public interface of libparthaul, an S3 upload engine without I/O.
 *
 * The library opens no file and no socket, reads no clock, starts no thread and keeps no global
 * state. It is asked what to do next, answers with one action, and is told what came of it:
 *
 *     ph_upload *u;
 *     ph_action a;
 *     if (ph_upload_new(&options, now_ms(), &u) != PH_OK) ...
 *     for (;;) {
 *         int err = ph_upload_step(u, now_ms(), true, &a);
 *         if (err != PH_OK) ...                     // out of memory: the only way a step fails
 *         switch (a.kind) {
 *         case PH_ACTION_REQUEST:     start a.u.request under the id a.id; go on
 *         case PH_ACTION_CANCEL:      give up what was begun under a.id; it needs no report
 *         case PH_ACTION_HASH:        start digesting a.u.hash under the id a.id; go on
 *         case PH_ACTION_CREDENTIALS: ask for credentials under the id a.id; go on
 *         case PH_ACTION_NOTICE:      show a.u.notice; go on
 *         case PH_ACTION_SAVE:        keep a.u.snapshot; then go on
 *         case PH_ACTION_FORGET:      remove what was kept; go on
 *         case PH_ACTION_WAIT:        until a.u.until_ms, or until anything that was started ends
 *         case PH_ACTION_DONE:        print a.u.receipt; the upload is over
 *         case PH_ACTION_FAILED:      print a.u.failure; the upload is over
 *         }
 *         for everything that ended meanwhile: ph_upload_report(u, now_ms(), &event);
 *     }
 *     ph_upload_free(u);
 *
 * Rules for the whole library:
 * - Functions return PH_OK (0) or a negative code of enum ph_err; sizes and results leave through
 *   output parameters, which stand last. `ph_err_name()` gives the stable name of a code.
 * - Texts are views (pointer and length), need no terminating NUL, and are UTF-8.
 * - Pointers in an action stay valid until the next call on the same upload.
 * - `now_ms` is the caller's clock in milliseconds since 1970-01-01T00:00:00Z. It may be wrong (the
 *   engine learns by how much) but must not go back.
 * - Pointers must not be NULL unless it is said that they may.
 */
#ifndef PARTHAUL_H
#define PARTHAUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PH_VERSION "0.1.0"

/* ---- Texts ---------------------------------------------------------------------------------- */

/* A view of bytes that somebody else owns. `{NULL, 0}` is the absent text. */
typedef struct ph_str {
    const char *ptr;
    size_t len;
} ph_str;

/* A view of a string literal. */
#define PH_STR(literal) ((ph_str){"" literal, sizeof(literal) - 1})

/* An HTTP header; names are lower case. */
typedef struct ph_header {
    ph_str name;
    ph_str value;
} ph_header;

/* ---- Errors --------------------------------------------------------------------------------- */

enum ph_err {
    PH_OK = 0,
#define X(name, number, sentence, retry) PH_ERR_##name = number,
#include "core/errors.def"
#undef X
};

/* Give the stable name of a code without its prefix, as "ACCESS_DENIED"; "OK" for 0. Static. */
const char *ph_err_name(int err);

/* Give the sentence that explains a code to a person. Static, English, no full stop. */
const char *ph_err_text(int err);

/* Why an upload ended without an object. Fixed size; holds nothing secret. */
typedef struct ph_failure {
    int err;              /* enum ph_err */
    int http_status;      /* of the answer that decided, or 0 */
    uint32_t part_number; /* 1..10,000, or 0 when no part is to blame */
    uint32_t tries;       /* how often the decisive request was sent */
    bool retryable;       /* the same upload may well succeed later */
    bool resumable;       /* the snapshot stays: the upload can go on from it, or be aborted, also
                             where S3 did not confirm that it was */
    char operation[32];   /* S3's name, as "UploadPart", or "" */
    char s3_code[64];     /* S3's <Code>, or "" */
    char request_id[64];
    char host_id[128];
    char message[256]; /* one sentence for a person, NUL-terminated like the others */
} ph_failure;

/* ---- Checksums ------------------------------------------------------------------------------ */

typedef enum ph_alg {
    PH_ALG_NONE,
    PH_ALG_CRC64NVME,
    PH_ALG_CRC32C,
    PH_ALG_CRC32,
    PH_ALG_SHA256,
    PH_ALG_SHA1,
    PH_ALG_MD5,
} ph_alg;

#define PH_ALG_COUNT 7
#define PH_DIGEST_MAX 32

typedef enum ph_checksum_type {
    PH_TYPE_NONE,
    PH_TYPE_FULL_OBJECT, /* the checksum of all bytes of the object */
    PH_TYPE_COMPOSITE,   /* the checksum of the parts' checksums */
} ph_checksum_type;

/* A finished digest: big-endian for the CRCs, as S3 writes them. `len` is 0 when there is none. */
typedef struct ph_digest {
    ph_alg alg;
    size_t len;
    uint8_t bytes[PH_DIGEST_MAX];
} ph_digest;

/* A running digest. Owns nothing, has no interior pointers: copy it freely to fork a digest. */
typedef struct ph_hash {
    ph_alg alg;
    uint64_t length; /* bytes digested so far */
    union {
        uint64_t crc;
        uint64_t words[32]; /* room for BearSSL's contexts; see checksum.c */
    } state;
} ph_hash;

/* Start a digest. PH_ALG_NONE is allowed and gives an empty digest. */
void ph_hash_init(ph_hash *h, ph_alg alg);

/* Digest `len` more bytes. Any splitting of the input gives the same result. */
void ph_hash_update(ph_hash *h, const void *data, size_t len);

/*
 * Digest `len` more bytes in each of `count` digests: data[i] in h[i]. No two may be the same.
 * SHA-256, SHA-1 and MD5 of eight messages cost little more so than one alone; with the CRCs, and
 * where lengths differ, nothing is lost by it.
 */
void ph_hash_update_all(ph_hash *const h[], const void *const data[], size_t count, size_t len);

/* Write the digest of what was digested so far. `h` is unchanged and may go on. */
void ph_hash_digest(const ph_hash *h, ph_digest *out);

/*
 * Give the digest of A followed by B from the digests of A and of B and B's length in bytes.
 * Errors: PH_ERR_BAD_ALGORITHM when the two differ in algorithm or it is not a CRC.
 */
int ph_digest_combine(const ph_digest *a, const ph_digest *b, uint64_t b_len, ph_digest *out);

/* Find an algorithm by S3's name in any case ("crc64nvme", "CRC64NVME"); PH_ALG_NONE if none. */
ph_alg ph_alg_by_name(ph_str name);

/* Give S3's name in upper case ("CRC64NVME"), or in lower case as headers have it. Static. */
const char *ph_alg_name(ph_alg alg);
const char *ph_alg_name_lower(ph_alg alg);

/* ---- Parts ---------------------------------------------------------------------------------- */

#define PH_PART_MAX_COUNT 10000u
#define PH_PART_MIN_SIZE (UINT64_C(5) << 20)
#define PH_PART_MAX_SIZE (UINT64_C(5) << 30)
#define PH_PART_DEFAULT_SIZE (UINT64_C(16) << 20)
#define PH_CONCURRENCY_DEFAULT 6u /* as many connections as browsers open to an HTTP/1.1 host */
#define PH_OBJECT_MAX_SIZE (PH_PART_MAX_COUNT * PH_PART_MAX_SIZE) /* 48.8 TiB */

typedef struct ph_plan {
    uint64_t size;
    uint64_t part_size;
    uint32_t part_count; /* 1 for an empty file: its one part has no bytes */
} ph_plan;

/*
 * Choose the part size of a file of `size` bytes. `part_size` 0 lets the library choose: 16 MiB;
 * less than 32 MiB, in steps of 64 KiB, where so all connections end together (96 MiB to 9.4 GiB);
 * more in steps of 1 MiB where 10,000 parts of it would not hold the file. All parts but the last
 * are equal (R2 insists on it). A file of at most one part is sent by one PutObject.
 * Errors: PH_ERR_BAD_PART_SIZE, PH_ERR_FILE_TOO_BIG.
 */
int ph_plan_make(uint64_t size, uint64_t part_size, ph_plan *out);

/* ---- Where the object goes, and what it is given --------------------------------------------- */

typedef enum ph_addressing {
    PH_ADDRESSING_AUTO, /* by host name at AWS, by path at a custom endpoint or a name with dots */
    PH_ADDRESSING_VIRTUAL,
    PH_ADDRESSING_PATH,
} ph_addressing;

typedef struct ph_target {
    ph_str bucket;
    ph_str key;      /* UTF-8, not encoded */
    ph_str region;   /* absent: us-east-1 */
    ph_str endpoint; /* absent: AWS; else scheme://host[:port], IPv6 in brackets */
    ph_addressing addressing;
    bool dualstack;
    bool accelerate;
} ph_target;

/* What an object can be given at its start. Each is a header of Create and PutObject. */
typedef enum ph_property {
#define X(name, option, header) PH_PROP_##name,
#include "core/properties.def"
#undef X
    PH_PROP_COUNT
} ph_property;

typedef struct ph_object {
    ph_str property[PH_PROP_COUNT]; /* absent ones are not sent */
    const ph_header *metadata;      /* names without "x-amz-meta-" */
    size_t metadata_count;
    bool overwrite; /* false: If-None-Match: * */
} ph_object;

/* ---- The engine ------------------------------------------------------------------------------ */

typedef struct ph_upload ph_upload;

typedef enum ph_payload {
    PH_PAYLOAD_AUTO, /* unsigned over TLS and to this machine, else signed */
    PH_PAYLOAD_UNSIGNED,
    PH_PAYLOAD_SIGNED, /* SHA-256 of each body in the signature */
} ph_payload;

/*
 * What a server may not know, as bits. It is found out by its first refusal, told by a warning with
 * the code PH_ERR_LACKS_*, and done without: whoever keeps it for the endpoint saves the next
 * uploads that refusal.
 */
typedef enum ph_lack {
    PH_LACK_CHECKSUM = 1,      /* x-amz-checksum-*; Content-MD5 is sent then */
    PH_LACK_CONTENT_MD5 = 2,   /* then the server is sent no checksum */
    PH_LACK_IF_NONE_MATCH = 4, /* then nothing keeps an object of this key from being replaced */
} ph_lack;

#define PH_LACK_COUNT 3

/* Give the code of the bit `1 << i`, for i below PH_LACK_COUNT. */
int ph_lack_err(unsigned i);

/* Give the bit whose code has this name, or 0. */
unsigned ph_lack_named(ph_str name);

typedef struct ph_upload_options {
    ph_target target; /* bucket and key may come with the credentials instead */
    ph_object object;
    uint64_t size;
    uint64_t part_size;    /* 0: chosen, see ph_plan_make */
    ph_str name;           /* the file's name, for whoever chooses the key; may be absent */
    ph_alg alg;            /* PH_ALG_NONE: no checksum is sent, and the receipt says so */
    ph_checksum_type type; /* PH_TYPE_NONE: FULL_OBJECT where the algorithm allows it */
    ph_payload payload;
    /* Bits of ph_lack, from the receipt of an earlier upload; 0: none known. */
    unsigned server_lacks;
    uint32_t concurrency; /* parts sent at the same time at most, 1..32; 0: 6, and up to 8 while
                               that makes it faster */
    uint64_t max_rate;    /* bytes a second, on the average of some parts; 0: as fast as it goes */
    bool polite;          /* one part at a time, and quiet for half as long after each */
    uint32_t tries;       /* of one request before the upload rests; 0: 8 */
    uint64_t
        patience_ms; /* of failures and no success before the upload fails; 0: it rests for ever */
    uint64_t presign_limit; /* files up to this size are hashed before credentials are asked for, so
                               that a presigned PUT can carry the checksum; 0: never */
    ph_str credentials;     /* JSON as in PH_EVENT_GRANTED; absent: asked for by an action */
    uint64_t seed;          /* of the jitter; any number */
    bool unattended; /* nobody can sign in again: DENIED SIGN_IN ends an upload under way, where
                               it would pause it otherwise */
    bool keep;       /* the host keeps snapshots: a failure that may pass aborts nothing */
    ph_str snapshot; /* of PH_ACTION_SAVE: go on with that upload. Target, object, part_size,
                               alg, type and payload come from it, `size` must be the same, and S3's
                               parts are compared with the file before they count. Absent: a new
                               upload */
} ph_upload_options;

typedef enum ph_method {
    PH_METHOD_GET,
    PH_METHOD_HEAD,
    PH_METHOD_PUT,
    PH_METHOD_POST,
    PH_METHOD_DELETE
} ph_method;

/* Give the name as it stands on the wire. Static. */
const char *ph_method_name(ph_method method);

typedef struct ph_request {
    ph_method method;
    const char *operation;    /* S3's name, for logs */
    ph_str url;               /* fully encoded; what is sent must be exactly this */
    const ph_header *headers; /* without Host and Content-Length, which follow from url and body */
    size_t header_count;
    bool from_file; /* the body is `length` bytes of the file from `offset`, else it is `text` */
    uint64_t offset;
    uint64_t length;
    ph_str text;
    uint32_t part_number; /* or 0 */
    uint32_t stall_ms;    /* give up (PH_ERR_TIMEOUT) when no byte moved for so long */
    uint32_t answer_ms;   /* give up when the body is out and no answer came for so long */
    uint64_t limit_ms;    /* of the whole, for hosts that do not see bytes move: so long only a
                             connection that is dead takes, as fast as the others were */
} ph_request;

typedef struct ph_hash_job {
    uint64_t offset;
    uint64_t length;
    uint32_t part_number; /* or 0: the file as a whole */
    ph_alg alg[2];        /* PH_ALG_NONE where fewer are wanted */
} ph_hash_job;

typedef enum ph_why {
    PH_WHY_FIRST,    /* the upload has none yet */
    PH_WHY_EXPIRING, /* 80 % of their life is over, or requests fail and nobody knows why */
    PH_WHY_REFUSED,  /* S3 said that they are expired or unknown */
    PH_WHY_LOOK,     /* S3 does not let these see whether the object is ours: some that may read
                        `key`, if there are any */
} ph_why;

/* What whoever grants credentials may want to know. */
typedef struct ph_ask {
    ph_why why;
    ph_str name;         /* of the file */
    ph_str content_type; /* may be absent */
    uint64_t size;
    ph_digest checksum; /* of the whole file, when it is known (see presign_limit) */
    ph_str key;         /* the key that is being written, once it is known */
} ph_ask;

typedef enum ph_state {
    PH_STATE_NEW,        /* credentials are asked for, or the whole file is hashed for them */
    PH_STATE_CREATING,   /* CreateMultipartUpload */
    PH_STATE_SENDING,    /* PutObject or UploadPart */
    PH_STATE_LISTING,    /* ListParts: S3 is asked what it has */
    PH_STATE_VERIFYING,  /* what S3 has is compared with the file, which is read again */
    PH_STATE_COMPLETING, /* CompleteMultipartUpload */
    PH_STATE_CHECKING,   /* HeadObject */
    PH_STATE_ABORTING,   /* AbortMultipartUpload */
    PH_STATE_DONE,
    PH_STATE_FAILED,
} ph_state;

typedef enum ph_part_state {
    PH_PART_TODO,
    PH_PART_HASHING,
    PH_PART_READY, /* hashed, waits for a connection */
    PH_PART_SENDING,
    PH_PART_BACKOFF, /* waits for its next try */
    PH_PART_SENT,
} ph_part_state;

typedef enum ph_notice_kind {
    PH_NOTICE_STATE, /* of the upload, or it was paused or resumed, by the user or by itself */
    PH_NOTICE_PART,  /* a part changed its state */
    PH_NOTICE_RETRY, /* a request failed and will be tried again */
    PH_NOTICE_WARNING,
} ph_notice_kind;

typedef struct ph_notice {
    ph_notice_kind kind;
    ph_state state;
    bool paused;
    uint32_t part_number; /* PART, RETRY; 0: not of a part */
    ph_part_state part_state;
    int err; /* RETRY; STATE: why it paused by itself, PH_OK: it did not; SIGN_IN waits for
                            RESUME; WARNING: or 0 */
    uint64_t until_ms;   /* RETRY; STATE: when it looks again whether S3 is there */
    const char *message; /* WARNING: a sentence with what to do; RETRY: S3's code or a sentence */
} ph_notice;

/* What vouches for the object being the file, from strong to weak. */
typedef enum ph_verified {
    PH_VERIFIED_OBJECT, /* the server stated the whole object's checksum, and it is ours */
    PH_VERIFIED_PARTS,  /* the server stated each part's checksum or MD5 ETag, each is ours */
    PH_VERIFIED_SENT,   /* checksums were sent, the server did not say that it looked */
    PH_VERIFIED_SIZE,   /* no checksum was sent */
} ph_verified;

typedef struct ph_receipt {
    ph_str bucket;
    ph_str key;
    ph_str etag;       /* without quotes; absent when the server hides it */
    ph_str version_id; /* absent in an unversioned bucket */
    ph_str upload_id;  /* absent for a single PUT */
    uint64_t size;
    uint64_t part_size;
    uint32_t part_count; /* 0: one PutObject */
    ph_alg alg;
    ph_checksum_type type;
    ph_str checksum; /* base64, with -N where composite; absent without an algorithm */
    ph_verified verified;
    /* S3 reported success, but neither stated nor showed (HEAD) anything of the object by which it
     * could be recognized. */
    bool unseen;
    unsigned server_lacks; /* bits of ph_lack: what this upload had to do without */
    uint32_t retries;      /* requests that had to be sent again */
} ph_receipt;

typedef enum ph_action_kind {
    PH_ACTION_REQUEST,
    PH_ACTION_CANCEL,
    PH_ACTION_HASH,
    PH_ACTION_CREDENTIALS,
    PH_ACTION_NOTICE,
    PH_ACTION_SAVE,   /* only with options.keep: keep `snapshot` durably, in place of the one
                         before, and only then ask for the next step; never a secret */
    PH_ACTION_FORGET, /* only with options.keep: the snapshot is of no use any more */
    PH_ACTION_WAIT,
    PH_ACTION_DONE,
    PH_ACTION_FAILED,
} ph_action_kind;

typedef struct ph_action {
    ph_action_kind kind;
    uint32_t id; /* REQUEST, CANCEL, HASH, CREDENTIALS: unique within the upload */
    union {
        ph_request request;
        ph_hash_job hash;
        ph_ask ask;
        ph_notice notice;
        ph_str snapshot;   /* SAVE: JSON, see snapshot.h */
        uint64_t until_ms; /* WAIT; UINT64_MAX: only an event goes on from here */
        ph_receipt receipt;
        ph_failure failure;
    } u;
} ph_action;

typedef enum ph_event_kind {
    PH_EVENT_RESPONSE,   /* of request `id`: status, headers, body */
    PH_EVENT_FAILED,     /* request `id` got no answer: err is NETWORK, TIMEOUT or TLS */
    PH_EVENT_SENT,       /* `bytes` of request `id`'s body are out so far */
    PH_EVENT_HASHED,     /* of job `id`: digest[0..1] */
    PH_EVENT_UNREADABLE, /* job or request `id`: err is FILE_UNREADABLE or FILE_CHANGED */
    PH_EVENT_GRANTED,    /* of ask `id`: document */
    PH_EVENT_DENIED, /* of ask `id`: err is SIGN_IN (pauses what is under way: RESUME asks again),
                            FORBIDDEN, NO_CREDENTIALS, or where nobody can renew them, what S3
                            refused them with */
    PH_EVENT_PAUSE,
    PH_EVENT_RESUME,
    PH_EVENT_ABORT,
    PH_EVENT_OFFLINE, /* no request but Abort is tried until ONLINE */
    PH_EVENT_ONLINE,
    PH_EVENT_WOKE, /* the host slept or was frozen: whatever is under way, clock and credentials are
                      suspect */
    PH_EVENT_NOT_SAVED, /* the snapshot of the last SAVE could not be kept: body says why, or is absent */
} ph_event_kind;

typedef struct ph_event {
    ph_event_kind kind;
    uint32_t id;
    int err;
    int status;               /* RESPONSE */
    const ph_header *headers; /* RESPONSE: those that the host can see */
    size_t header_count;
    ph_str body; /* RESPONSE: whole; GRANTED: a JSON document, see creds.h; DENIED: a sentence for
                    the user, or absent */
    uint64_t bytes;      /* SENT */
    ph_digest digest[2]; /* HASHED, in the order of the job's algorithms */
} ph_event;

/*
 * Start an upload. Everything in `options` is copied. Nothing is checked against the world; a
 * wrong key, part size or header is refused here.
 * Errors: those of -1xx, PH_ERR_BAD_JSON and PH_ERR_BAD_CREDENTIALS for `credentials`, NOMEM; for
 * `snapshot` PH_ERR_SNAPSHOT_DAMAGED, PH_ERR_SNAPSHOT_NEWER, and PH_ERR_FILE_CHANGED for another size.
 */
int ph_upload_new(const ph_upload_options *options, uint64_t now_ms, ph_upload **out);

/* Wipe the secrets and release everything. `u` may be NULL. */
void ph_upload_free(ph_upload *u);

/*
 * Say what to do next. Each action but WAIT, DONE and FAILED is given once; WAIT says that nothing
 * can be started now. DONE and FAILED are given again and again.
 * `may_send` false holds back new parts (never the requests that begin or end an upload), so that
 * many uploads can share a number of connections.
 * Errors: PH_ERR_NOMEM; the same step may be asked again.
 */
int ph_upload_step(ph_upload *u, uint64_t now_ms, bool may_send, ph_action *out);

/*
 * Tell what happened. An `id` that is not under way (any more) is ignored: an answer may cross a
 * cancellation.
 * Errors: PH_ERR_NOMEM (the event was not taken; report it again), PH_ERR_BAD_ARG.
 */
int ph_upload_report(ph_upload *u, uint64_t now_ms, const ph_event *event);

/* Where an upload is. `stored` is what S3 confirmed; `sent` is what is out of parts in flight. */
typedef struct ph_progress {
    ph_state state;
    bool paused;
    uint64_t size;
    uint64_t sent;
    uint64_t stored;
    uint32_t part_count;
    uint32_t parts_stored;
    uint32_t in_flight; /* parts being sent */
} ph_progress;

void ph_upload_progress(const ph_upload *u, ph_progress *out);

#ifdef __cplusplus
}
#endif
#endif
