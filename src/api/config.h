/* SPDX-License-Identifier: MIT
 *
 * config - what the operator says, read from the environment and checked at the start. The table in
 * config.c is the one list of settings: it makes the checks, the defaults and `--help`.
 */
#ifndef API_CONFIG_H
#define API_CONFIG_H

#include <netinet/in.h>

#include "core/creds.h"
#include "core/endpoint.h"
#include "jwt.h"

#define API_MAX_ORIGINS 32

typedef struct api_config {
    struct sockaddr_storage listen;
    ph_endpoint bucket_at; /* owned; made of the next three */
    ph_str bucket;
    ph_str region;
    ph_str s3_endpoint;  /* absent: AWS */
    ph_str sts_endpoint; /* owned; the URL to POST to */
    ph_str role_arn;
    ph_creds creds;                  /* our own, for AssumeRole */
    ph_str origins[API_MAX_ORIGINS]; /* owned, NUL-terminated */
    size_t origin_count;
    api_key *key; /* owned; like the next three it goes into api_token_rules */
    ph_str issuer;
    ph_str audience;
    const char *user_claim;
    bool key_is_secret, key_ends_in_newline; /* for advice */
    ph_str prefix;                           /* ends in "/" */
    uint64_t put_limit;
    uint32_t session_seconds;
    uint32_t url_seconds;
} api_config;

/* Gives the value of a variable, NULL without one; what it gives must outlive the configuration. */
typedef const char *(*api_env)(void *context, const char *name);

/*
 * Read and check all settings. False when one is wrong: `out` is then empty, and `says` has a line
 * for each, as "PARTHAUL_BUCKET: is not set". Where all is well, `says` may have lines of advice.
 * Reads the key file; release with api_config_clear.
 */
bool api_config_read(api_env env, void *context, ph_buf *says, api_config *out);
void api_config_clear(api_config *c);

/* Add the table of settings as text, a line for each. */
void api_config_help(ph_buf *b);

#endif
