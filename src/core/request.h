/* SPDX-License-Identifier: MIT
 *
 * request - one builder for each of S3's upload operations: URL, headers, signature. Pure.
 */
#ifndef PH_REQUEST_H
#define PH_REQUEST_H

#include "endpoint.h"
#include "sigv4.h"

typedef enum ph_operation {
    PH_OP_NONE,
    PH_OP_PUT_OBJECT,
    PH_OP_CREATE,
    PH_OP_UPLOAD_PART,
    PH_OP_COMPLETE,
    PH_OP_ABORT,
    PH_OP_LIST_PARTS,
    PH_OP_LIST_UPLOADS, /* of the bucket: see unfinished.h */
    PH_OP_HEAD,
} ph_operation;

/* S3's name, as "UploadPart". Static. */
const char *ph_operation_name(ph_operation op);

/* What a request is made of. Members that an operation does not use may be zero, or set. */
typedef struct ph_call {
    ph_operation op;
    const ph_endpoint *endpoint;
    ph_str key;
    const ph_object *object;      /* always: the bucket's owner goes with every request */
    ph_str upload_id;             /* LIST_UPLOADS: behind which to begin, beside key_marker */
    ph_str key_prefix;            /* LIST_UPLOADS */
    ph_str key_marker;            /* LIST_UPLOADS: absent for the first page */
    uint32_t part_number;         /* UPLOAD_PART */
    uint32_t part_number_marker;  /* LIST_PARTS: 0 for the first page */
    ph_alg alg;                   /* PUT_OBJECT, CREATE, UPLOAD_PART, COMPLETE */
    ph_checksum_type type;        /* CREATE, COMPLETE */
    const ph_digest *checksum;    /* PUT_OBJECT, UPLOAD_PART: of the body; NULL: none is sent.
                                     COMPLETE: of the object, where type is FULL_OBJECT */
    const ph_digest *body_sha256; /* of a body from the file; NULL: UNSIGNED-PAYLOAD */
    ph_str text;                  /* COMPLETE: the document */
    uint64_t object_size;         /* COMPLETE */
    bool unconditional;           /* PUT_OBJECT, COMPLETE: whatever `object` says of overwriting */
    const ph_creds *creds;
    uint64_t time_ms; /* corrected */
} ph_call;

#define PH_REQUEST_HEADERS 64
#define PH_LISTED_MAX 1000u /* parts in an answer of ListParts */

/* A built request. Views point into it, so it must not be moved, and into what it was made of. */
typedef struct ph_built {
    ph_method method;
    ph_str url;
    ph_header header[PH_REQUEST_HEADERS];
    size_t header_count;
    ph_buf text;               /* private: URL and values */
    ph_sigv4_result signature; /* private */
} ph_built;

/*
 * Build and sign. `key` caches the signing key and may be NULL.
 * Errors: those of ph_sigv4_sign. On error nothing is held; else release with ph_built_clear.
 */
int ph_request_build(const ph_call *in, ph_sigv4_key *key, ph_built *out);
void ph_built_clear(ph_built *b);

/*
 * May these go into headers: names of letters, digits, "-", "_" and "."; values of printable ASCII;
 * at most 24 names, none twice, and S3's 2 KB in all? Errors: BAD_HEADER.
 */
int ph_object_check(const ph_object *object);

/* The header and the option name of a property, and the property of an option name. */
const char *ph_property_header(ph_property p);
const char *ph_property_option(ph_property p);
ph_property ph_property_by_option(ph_str option); /* PH_PROP_COUNT if none */

#endif
