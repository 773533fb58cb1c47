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
#include "api_keys.h"
#include "keys.h"

#define API_MAX_ORIGINS 32

#define API_MAX_FILES 250u

/* How users show who they are. */
typedef enum api_auth_mode {
    API_AUTH_TOKEN,
    API_AUTH_KEY,
    API_AUTH_TOKEN_AND_KEY,
    API_AUTH_ANY, /* a token, or a key alone */
} api_auth_mode;

/* Where the service finds its own credentials; absent: not this way. Tried in this order. */
typedef struct api_own_settings {
    ph_creds given; /* from the environment */
    ph_str container_relative, container_full, container_token, container_token_file;
    ph_str container_endpoint; /* that the relative one is relative to */
    ph_str web_token_file, web_role_arn, web_session_name;
    ph_str ec2_endpoint; /* absent: not to be asked */
} api_own_settings;

/* So many requests a minute; 0: any number. */
typedef struct api_rates {
    uint32_t per_user, per_address;
} api_rates;

/* Texts are views of what was given to api_config_read, unless they are said to be owned. */
typedef struct api_config {
    /* where it serves, and how */
    struct sockaddr_storage listen;
    uint32_t connections, connections_per_address, threads, request_seconds;
    uint32_t proxies; /* in front of us, whose X-Forwarded-For is to be believed */
    ph_str tls_cert_file, tls_key_file; /* absent: plain HTTP */
    ph_str run_as;                      /* absent: stay who we are */
    bool metrics;
    ph_str origins[API_MAX_ORIGINS]; /* owned, NUL-terminated */
    size_t origin_count;

    /* what it gives away */
    ph_endpoint bucket_at; /* owned; made of the next three */
    ph_str bucket;
    ph_str region;
    ph_str s3_endpoint;  /* absent: AWS */
    ph_str sts_endpoint; /* owned; the URL to POST to */
    ph_str role_arn;
    ph_str roles;       /* for /get_key/{role}: "name,name=scope"; absent: none */
    ph_str role_prefix; /* of their ARNs */
    bool post_by_own_keys;
    api_own_settings own;

    /* to whom */
    api_auth_mode auth;
    api_keyset *keys; /* owned; NULL: no key comes from a file */
    const char *rsa_alg;
    ph_str jwks_url;
    uint32_t jwks_seconds, jwks_guard_seconds, leeway_seconds;
    ph_str issuer;
    ph_str audience;
    ph_str token_type, scope, required_claims;
    ph_str introspection_url, tokeninfo_url;
    ph_str introspection_auth; /* owned */
    api_keys *api_keys;        /* owned; NULL: none */
    const char *user_claim;

    /* and how much of it */
    ph_str prefix; /* owned; a template, see prefix.h */
    uint64_t put_limit, max_size;
    ph_str types; /* media types with commas between; absent: all */
    ph_str properties;
    uint32_t max_files;
    uint32_t session_seconds;
    uint32_t url_seconds;
    api_rates rates;

    bool auth_is_set, key_is_secret, key_ends_in_newline; /* for advice */
} api_config;

/* Is there a setting of this name? */
bool api_config_knows(const char *name);

/* Gives the value of a variable, NULL without one; what it gives must outlive the configuration. */
typedef const char *(*api_env)(void *context, const char *name);

/*
 * Read and check all settings. False when one is wrong: `out` is then empty, and `says` has a line
 * for each, as "PARTHAUL_BUCKET: is not set". Where all is well, `says` may have lines of advice.
 * Reads the files it names; release with api_config_clear.
 */
bool api_config_read(api_env env, void *context, ph_buf *says, api_config *out);
void api_config_clear(api_config *c);

/* Add the table of settings as text, a line for each. */
void api_config_help(ph_buf *b);

#endif
