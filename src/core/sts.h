/* SPDX-License-Identifier: MIT
 *
 * sts - AssumeRole: its form body, its answer, and the session policy that confines credentials to
 * one prefix of one bucket.
 */
#ifndef PH_STS_H
#define PH_STS_H

#include "creds.h"

typedef struct ph_assume_role {
    ph_str role_arn;
    ph_str session_name;       /* see ph_sts_session_name */
    ph_str policy;             /* JSON; absent: the role's own rights */
    uint32_t duration_seconds; /* 900..43200 */
    ph_str external_id;        /* where the role's trust policy asks for one; may be absent */
    ph_str serial_number;      /* of a device for MFA, and the six digits it shows; may be absent */
    ph_str token_code;
} ph_assume_role;

/* Add the form body of the POST. Errors: PH_ERR_BAD_ARG (a field breaks STS's limits); buf's. */
int ph_sts_assume_role_body(const ph_assume_role *in, ph_buf *b);

/*
 * Read an answer of status 200 into fresh memory; release with ph_creds_clear.
 * Errors: PH_ERR_BAD_XML, PH_ERR_BAD_ANSWER, PH_ERR_NOMEM.
 */
int ph_sts_assume_role_answer(ph_str body, ph_creds *out);

/*
 * Add the ARN and the id of the role's session, which an answer of status 200 tells besides; what
 * it does not tell adds nothing. Errors: PH_ERR_BAD_XML, those of buf.
 */
int ph_sts_assumed_user(ph_str body, ph_buf *arn, ph_buf *id);

/* Read <ErrorResponse>: views of code and message are copied, cut to their places. */
typedef struct ph_sts_error {
    char code[64];
    char message[256];
} ph_sts_error;
void ph_sts_error_read(ph_str body, ph_sts_error *out);

/*
 * Add the session policy that allows PutObject, AbortMultipartUpload and ListMultipartUploadParts
 * for everything under `prefix` of `bucket`, compact and ASCII. `prefix` ends in "/" and holds no
 * wildcard, "${" or control byte. The partition of its ARN (aws, aws-cn, aws-us-gov) is that of the
 * role it narrows. Errors: PH_ERR_BAD_ARG (`role_arn` is none), PH_ERR_BAD_BUCKET, PH_ERR_BAD_KEY,
 * PH_ERR_TOO_LONG (over STS's 2,048 characters).
 */
int ph_sts_prefix_policy(ph_str role_arn, ph_str bucket, ph_str prefix, ph_buf *b);

/*
 * The same for the one object `key`, which holds no wildcard and no "${" either; and GetObject, where
 * the role has it, so that after a lost answer HEAD can say whether the object is the one that was sent.
 */
int ph_sts_key_policy(ph_str role_arn, ph_str bucket, ph_str key, ph_buf *b);

/*
 * Add a session name for a user: 2..64 characters of [A-Za-z0-9_=,.@-]. Names that do not fit are
 * mapped and get a hash, so that two users never share one.
 */
void ph_sts_session_name(ph_str user, ph_buf *b);

/*
 * Add the key segment of a user: `user` itself where it has only [a-z0-9._@=,+-], is no "." or
 * "..", and is of 1..64 bytes; else a cleaned form, "~" and a hash, so that two users never share
 * one. Capitals get the hash too, since not every server tells "Alice" from "alice" when it matches
 * a policy (SeaweedFS 4.48 does not).
 */
void ph_user_segment(ph_str user, ph_buf *b);

#endif
