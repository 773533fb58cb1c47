/* SPDX-License-Identifier: MIT
 *
 * endpoint - where a bucket is: scheme, host and path prefix for a ph_target; and what a bucket,
 * a key and a URL may be.
 */
#ifndef PH_ENDPOINT_H
#define PH_ENDPOINT_H

#include "buf.h"

/* A parsed http(s) URL; views into the text it was parsed from. */
typedef struct ph_url {
    bool tls;
    ph_str host;  /* name or address with its port, if that is not the scheme's own */
    ph_str name;  /* name or address alone; IPv6 in its brackets */
    ph_str path;  /* from "/" on; "/" when there is none */
    ph_str query; /* without "?"; absent when there is none */
} ph_url;

/*
 * Split an absolute http or https URL. User info and fragments are refused, as is whatever a
 * browser would rewrite, since then another URL would be sent than the one that is signed:
 * characters that no URL may have, dot segments, 127.1 for 127.0.0.1, ports with leading zeros.
 * Errors: PH_ERR_BAD_ENDPOINT.
 */
int ph_url_parse(ph_str text, ph_url *out);

/* Is this the machine itself: localhost, *.localhost, 127.0.0.0/8 or ::1? */
bool ph_url_is_loopback(const ph_url *url);

/* Where a bucket's requests go. Release with ph_endpoint_clear. */
typedef struct ph_endpoint {
    ph_str base; /* "https://bucket.s3.eu-west-1.amazonaws.com/" or ".../bucket/": a key's encoded
                    form follows at once */
    ph_str region;
    bool tls;
    bool loopback;
} ph_endpoint;

/*
 * Find a bucket. Errors: PH_ERR_BAD_BUCKET, PH_ERR_BAD_REGION, PH_ERR_BAD_ENDPOINT,
 * PH_ERR_BAD_ARG (accelerate or dualstack where they cannot be), PH_ERR_TOO_LONG, PH_ERR_NOMEM.
 */
int ph_endpoint_make(const ph_target *target, ph_endpoint *out);
void ph_endpoint_clear(ph_endpoint *e);

/* Errors: PH_ERR_BAD_BUCKET. */
int ph_bucket_check(ph_str bucket);

/*
 * A key must survive S3 and a browser's URL parser: 1..1,024 bytes of UTF-8 without control bytes,
 * no "." or ".." segment (also not written as %2e). Errors: PH_ERR_BAD_KEY, PH_ERR_KEY_DOT_SEGMENT.
 */
int ph_key_check(ph_str key);

#endif
