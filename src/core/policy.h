/* SPDX-License-Identifier: MIT
 *
 * policy - the POST policy of S3's form uploads: a document that says what a form may hold, and its
 * signature. Pure: time and credentials are arguments.
 * Rules: "POST Policy" and "Authenticating Requests in Browser-Based Uploads" of the S3 API
 * reference.
 */
#ifndef PH_POLICY_H
#define PH_POLICY_H

#include "creds.h"
#include "sigv4.h"

/* What one field of the form must be: exactly `value`, or begin with it. */
typedef struct ph_condition {
    ph_str field; /* without the "$": "key", "Content-Type", "x-amz-meta-tag" */
    ph_str value;
    bool begins; /* starts-with; an empty value allows any */
} ph_condition;

typedef struct ph_policy {
    ph_str bucket; /* becomes a condition by itself */
    ph_str region;
    const ph_condition *conditions;
    size_t condition_count;
    uint64_t min_size, max_size; /* content-length-range, both ends included */
    uint64_t now_ms;
    uint64_t expires_ms;
    const ph_creds *creds;
} ph_policy;

/*
 * The form's own fields, which go into it beside those that the conditions speak of. The session
 * token is the credentials' and not repeated here.
 */
typedef struct ph_policy_form {
    ph_str policy; /* base64 */
    ph_str credential;
    char date[17];
    char signature[65];
    ph_buf buf[2]; /* private */
} ph_policy_form;

/*
 * Write and sign a policy. The fields that every signed form has (x-amz-algorithm, x-amz-credential,
 * x-amz-date, x-amz-security-token where there is one) get their conditions by themselves, since S3
 * refuses a form with a field that no condition covers. `key` is a cache that may be NULL.
 * Errors: PH_ERR_BAD_ARG (a member is missing, or the sizes are), PH_ERR_TOO_LONG (S3 takes 20,480
 * bytes before the file), PH_ERR_NOMEM. Release with ph_policy_form_clear.
 */
int ph_policy_sign(const ph_policy *in, ph_sigv4_key *key, ph_policy_form *out);
void ph_policy_form_clear(ph_policy_form *f);

/* The signature of a policy in base64, as it stands in the form: 64 hex digits and a NUL. */
void ph_policy_signature(const ph_sigv4_key *key, ph_str base64, char out[65]);

#endif
