/* SPDX-License-Identifier: MIT
 *
 * reply - what an answer of S3 means. Status, headers and body of any server go in; a code of
 * enum ph_err and the few facts that the engine needs come out. Bodies are hostile until read.
 */
#ifndef PH_REPLY_H
#define PH_REPLY_H

#include "request.h"

/* One part as ListParts tells it. */
typedef struct ph_listed {
    uint32_t part_number;
    uint64_t size;
    ph_str etag; /* without quotes */
    ph_digest checksum;
} ph_listed;

typedef struct ph_reply {
    int err; /* PH_OK: the operation succeeded, whatever its status pretended */
    int status;
    bool foreign;     /* a refusal in which nothing is S3's: of a proxy, a portal, another server */
    char s3_code[64]; /* these are empty when the answer does not say */
    char message[256];
    char request_id[64];
    char host_id[128];
    char header[64];         /* or argument that was refused, where S3 names it */
    char region[64];         /* where the bucket is, from a refusal */
    uint64_t server_time_ms; /* from <ServerTime>, else the Date header; 0 unknown */
    uint32_t retry_after_ms;

    ph_str etag; /* without quotes; absent when hidden */
    ph_str version_id;
    ph_str upload_id;      /* CREATE */
    bool kms;              /* S3 encrypts with it, asked or not: its ETags are no MD5s */
    ph_str checksum;       /* of the body or the object, base64, "-N" where composite */
    ph_checksum_type type; /* of `checksum`, NONE when not said */
    bool has_size;
    uint64_t size;     /* HEAD */
    ph_listed *listed; /* LIST_PARTS */
    size_t listed_count;
    bool truncated;
    uint32_t next_marker;
    ph_buf text; /* private */
} ph_reply;

/*
 * Read the answer to `op`. `alg` is the upload's: its checksum is looked for. Views point into the
 * reply; release with ph_reply_clear, also when `err` in it says that the operation failed.
 * Errors (of reading, not of the operation): PH_ERR_NOMEM.
 */
int ph_reply_read(ph_operation op, ph_alg alg, const ph_event *answer, ph_reply *out);
void ph_reply_clear(ph_reply *r);

#endif
