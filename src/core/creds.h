/* SPDX-License-Identifier: MIT
 *
 * creds - temporary credentials with an end, and the documents in which they come.
 */
#ifndef PH_CREDS_H
#define PH_CREDS_H

#include "buf.h"

typedef struct ph_creds {
    ph_str access_key_id;
    ph_str secret_access_key;
    ph_str session_token; /* absent for long-term credentials */
    uint64_t expires_ms;  /* 0: no end is known */
} ph_creds;

/*
 * Copy all texts. Errors: PH_ERR_NOMEM, PH_ERR_BAD_CREDENTIALS (an id or a secret is missing, or id
 * or token are more than visible ASCII); `out` is then empty.
 */
int ph_creds_copy(const ph_creds *from, ph_creds *out);

/* Wipe and release what ph_creds_copy or ph_grant_parse made; makes it empty. */
void ph_creds_clear(ph_creds *c);

/* What the credentials API, or the page's own getCredentials(), grants an upload. */
typedef struct ph_grant {
    ph_creds creds;     /* upload type "multipart"; else empty */
    ph_str url;         /* upload type "put": a presigned URL ... */
    ph_header *headers; /* ... and the headers that must go with it, exactly */
    size_t header_count;
    uint64_t url_expires_ms; /* 0: not said */
    bool new_key;            /* the key was made for this URL: what is there is its doing */
    ph_str bucket;           /* those that are present win over the upload's options */
    ph_str key;
    ph_str region;
    ph_str endpoint;
    uint64_t server_time_ms; /* 0: not said */
} ph_grant;

/*
 * Read a JSON document, at most 64 KiB, into fresh memory; release with ph_grant_clear. Understood:
 *  - STS's and the AWS CLI's {"Credentials": {"AccessKeyId", "SecretAccessKey", "SessionToken",
 *    "Expiration"}}, and the same members at the top (credential_process);
 *  - {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"}, at the top or in "credentials";
 *  - Uppy Companion's {"credentials": {"AccessKeyId", ...}, "bucket", "region"};
 *  - {"uploadType": "put", "url", "headers": {...}} for a presigned PUT, each to a key of its own: a 412
 *    after a lost answer is taken for our own object, and with "newKey": true any 412. "expires" says
 *    until when no other URL is asked for because of silence;
 *  each beside optional bucket, key, region, endpoint and serverTime. Dates are texts in any form of
 *  date.h, or numbers: seconds, or milliseconds from 10^11 up. null is as good as not there.
 * Errors: PH_ERR_BAD_JSON, PH_ERR_BAD_CREDENTIALS (what must be there is not, or is no text, no URL,
 * no header), PH_ERR_NOMEM.
 */
int ph_grant_parse(ph_str json, ph_grant *out);
void ph_grant_clear(ph_grant *g);

/* When new ones should be asked for: after 80 % of the life left at `now_ms`; UINT64_MAX: never. */
uint64_t ph_creds_renew_ms(const ph_creds *c, uint64_t now_ms);

#endif
