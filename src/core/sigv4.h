/* SPDX-License-Identifier: MIT
 *
 * sigv4 - AWS Signature Version 4 in its three stages: canonical request, string to sign,
 * signature; as headers and as a presigned query. Pure: time and credentials are arguments.
 * Rules: "Signature Calculations for the Authorization Header" of the S3 API reference, and the
 * IAM guide's general rules for every other service.
 */
#ifndef PH_SIGV4_H
#define PH_SIGV4_H

#include "creds.h"
#include "crypto.h"

/* A signing key, which holds for one day, region and service. Zeroed: empty. */
typedef struct ph_sigv4_key {
    char date[9];
    char region[64];
    char service[32];
    char secret[128];  /* that it was made from: a longer one is not kept, nor its key */
    size_t secret_len; /* 0: there is no key */
    ph_hmac_key key;
} ph_sigv4_key;

typedef struct ph_sigv4 {
    ph_str method;
    ph_str host;  /* with the port unless it is the scheme's own */
    ph_str path;  /* absolute and as it goes on the wire: percent-encoded */
    ph_str query; /* as on the wire, without "?"; for presigning without the X-Amz- parameters */
    const ph_header *headers; /* to be signed besides host, x-amz-date and what is derived below */
    size_t header_count;
    ph_str payload; /* hex SHA-256 or UNSIGNED-PAYLOAD or another S3 literal */
    ph_str region;
    ph_str service;           /* "s3": the path stays as it is, and x-amz-content-sha256 is signed;
                                 else the path is normalised and encoded once more */
    uint64_t time_ms;         /* the corrected time */
    uint32_t presign_seconds; /* 0: sign by headers; else 1..604800 */
    const ph_creds *creds;
} ph_sigv4;

/*
 * The result. `canonical` and `string` hold no secret but may hold the session token. By headers:
 * `headers` are to be added to the request (x-amz-date, x-amz-content-sha256 for s3,
 * x-amz-security-token, authorization; none that the caller gave). Presigned: `query` is the
 * complete new query.
 * Views point into the result, which must not be moved, and into what was signed.
 */
typedef struct ph_sigv4_result {
    ph_str canonical;
    ph_str string;
    ph_str signed_headers; /* "host;x-amz-date" */
    char signature[65];
    char date[17];
    ph_header headers[4];
    size_t header_count;
    ph_str query;
    ph_buf text; /* private: all of it */
} ph_sigv4_result;

/*
 * Sign. `key` is a cache that may be NULL; it is remade when date, region, service or secret differ.
 * A header that the caller gives takes the place of a derived one of that name (so a proxy's Host or
 * a given x-amz-date can be signed).
 * Errors: PH_ERR_BAD_ARG (a member is missing, presign_seconds is over a week), PH_ERR_BAD_HEADER,
 * PH_ERR_TOO_LONG, PH_ERR_NOMEM. On error nothing is held. Release with ph_sigv4_result_clear.
 */
int ph_sigv4_sign(const ph_sigv4 *in, ph_sigv4_key *key, ph_sigv4_result *out);
void ph_sigv4_result_clear(ph_sigv4_result *r);

/*
 * Give the signing key of a day ("20130524"), region and service: the one in `cached` if it is
 * that, else a new one, which `cached` (may be NULL) then holds too.
 * Errors: PH_ERR_TOO_LONG, PH_ERR_NOMEM.
 */
int ph_sigv4_key_find(ph_str date, ph_str region, ph_str service, ph_str secret,
                      ph_sigv4_key *cached, ph_sigv4_key *out);

/* The literal payload of S3 requests whose body is not part of the signature. */
#define PH_UNSIGNED_PAYLOAD PH_STR("UNSIGNED-PAYLOAD")
#define PH_EMPTY_SHA256 PH_STR("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")

#endif
