/* SPDX-License-Identifier: MIT
 *
 * s3 - a model of S3 that keeps its promises, with the known quirks of those that are like it. It
 * knows one bucket and one key. Time, faults and the way to it are world.c's.
 */
#ifndef SIM_S3_H
#define SIM_S3_H

#include "bytes.h"
#include "core/buf.h"

#define S3_HOUR UINT64_C(3600000)

typedef enum s3_op {
    S3_CREATE,
    S3_PART,
    S3_COMPLETE,
    S3_ABORT,
    S3_LIST,
    S3_PUT,
    S3_HEAD,
    S3_OPS,
} s3_op;

const char *s3_op_name(s3_op op);

typedef enum s3_checks {
    S3_VERIFIES, /* AWS: refuses other bytes, states the checksum */
    S3_SILENT,   /* verifies, but never states one */
    S3_IGNORES,  /* knows no checksum header, and does as if there were none */
    S3_REFUSES,  /* ... and says so */
} s3_checks;

typedef struct s3_quirks {
    s3_checks checks;
    bool list_checksums; /* ListParts states them */
    bool other_type;     /* Complete states a composite value where FULL_OBJECT was asked for */
    bool md5_etags;      /* else they only look like it (KMS) */
    uint32_t page;       /* the most parts in an answer of ListParts */
    bool complete_again; /* a repeated Complete gets the same answer; else NoSuchUpload */
    bool exists_first; /* ... and the object that is there is seen before the upload that is not */
    bool ignores_if_none; /* does not know If-None-Match ... */
    bool refuses_if_none; /* ... and says so */
    bool equal_parts;     /* R2 */
    bool versioned;
    bool forbids_head, forbids_list;
    bool hides_etag, hides_checksums, hides_version; /* by CORS */
    bool silent_auth;  /* refuses credentials and clocks without CORS headers: no answer at all */
    bool unknown_ends; /* SeaweedFS: ended credentials are unknown ones */
    bool blanks;       /* before an answer to Complete */
    bool no_etag;      /* Ceph 16: Complete's first answer has an empty one */
    bool abort_leaks;  /* a part that was in flight survives Abort */
    bool names_header; /* when it refuses one */
    bool bad_region;   /* the bucket is not where the first request looks for it */
} s3_quirks;

/* A request as it was understood. */
typedef struct s3_request {
    s3_op op;
    uint32_t part, marker, max_parts;
    char upload_id[24];
    char access_key[24], region[24];
    char url_id[24]; /* of a presigned URL */
    uint64_t date_ms;
    uint64_t came_ms; /* when its headers were there */
    bool presigned, token;
    bool if_none_match;
    ph_alg create_alg;
    ph_checksum_type type;
    ph_digest checksum, md5, sha256; /* of a header; empty without one */
    char whole[64];                  /* COMPLETE: the checksum of the object */
    bool has_size;
    uint64_t size;
    sim_bytes body;
    char *text; /* owned */
    size_t text_len;
} s3_request;

#define S3_LACKS_CHECKSUM 1
#define S3_LACKS_CONDITION 2

typedef struct s3_answer {
    int status;
    int err;   /* what it means: PH_OK or a code of errors.def */
    bool done; /* S3 did what was asked */
    char code[40];
    const char *message; /* NULL: any */
    int lacks;           /* the header that it says it does not know: S3_LACKS_*, 0: none */
    char etag[48], version[24], region[24];
    ph_alg alg; /* of the checksum */
    ph_checksum_type type;
    char checksum[64];
    bool is_false; /* Complete: a 200, and nothing of it is true */
    bool has_length;
    uint64_t length;
    uint64_t date_ms;
    uint32_t retry_after_s;
    char created[24];
    ph_buf body;
} s3_answer;

typedef struct s3_part {
    bool there;
    sim_bytes bytes;
    char etag[40];
    ph_digest checksum;
} s3_part;

typedef struct s3_upload {
    char id[24];
    ph_alg alg;
    ph_checksum_type type;
    s3_part *parts; /* by number */
    uint32_t room;
    bool gone; /* aborted, completed or lost */
    bool completed;
    bool delivered; /* an engine got to know its id */
    bool aborted;
    uint64_t aborted_ms;
    bool pardoned; /* it was told that it may be left behind, or nobody can know */
} s3_upload;

typedef struct s3_object {
    bool there, foreign; /* not of our parts, or not of all of them */
    char etag[48], version[24], checksum[64];
    ph_alg alg;
    ph_checksum_type type;
    uint64_t size;
    sim_bytes *parts;
    uint32_t part_count;
    bool multipart;
    char upload_id[24];
} s3_object;

typedef struct s3_model {
    s3_quirks quirks;
    const sim_file *file;
    uint64_t seed;
    s3_upload *uploads;
    uint32_t upload_count;
    s3_object object;
    uint32_t stamps;
} s3_model;

void s3_init(s3_model *s, const sim_file *file, uint64_t seed, const s3_quirks *quirks);
void s3_clear(s3_model *s);

/* Somebody else's object. */
void s3_put_foreign(s3_model *s);

/*
 * Understand an action. False, with a word in `why`, where it is no request of S3; release with
 * s3_request_clear.
 */
bool s3_request_read(const ph_request *from, s3_request *out, const char **why);
void s3_request_clear(s3_request *r);

/* Do it. Who asks was checked before. Release with s3_answer_clear. */
void s3_do(s3_model *s, const s3_request *r, s3_answer *out);

/* What is there, when Complete's 200 is a lie. */
typedef enum s3_lie {
    S3_TRUE,
    S3_UNDONE, /* what was before */
    S3_FORGOT, /* ... without the parts */
    S3_OTHER,  /* somebody else's object */
    S3_CUT,    /* an object that lacks the last part */
    S3_LIES,
} s3_lie;

/* Do as the lie says, with an answer that states nothing, or but an ETag that `names` it. */
void s3_lie_completed(s3_model *s, const s3_request *r, s3_lie lie, bool names, s3_answer *out);

/* Make an error of it. HEAD has no body. */
void s3_refuse(s3_answer *a, s3_op op, int status, const char *code, int err, uint64_t now_ms);
void s3_answer_clear(s3_answer *a);

s3_upload *s3_find(s3_model *s, const char *id);

/* Is the object the file as it was in `version`? */
bool s3_holds_file(const s3_model *s, uint32_t version);

#endif
