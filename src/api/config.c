/* SPDX-License-Identifier: MIT
 *
 * The settings: one row each, one small reader each, and after them what only several together can
 * break. Everything is refused at the start that would otherwise fail at the first upload. Values
 * are never repeated in a message, since some are secret.
 */
#define _POSIX_C_SOURCE 200809L

#include "config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "core/crypto.h"
#include "core/err.h"
#include "core/str.h"
#include "core/sts.h"

#define MAX_KEY_FILE 65536

/* ---- Readers: each gives NULL, or what is wrong with the value -------------------------------- */

static const char *complaint(int err)
{
    return err == PH_OK ? NULL : ph_err_text(err);
}

static const char *read_number(ph_str value, uint64_t min, uint64_t max, uint64_t *out)
{
    if (!ph_str_u64(value, out))
        return "is not a whole number";
    return *out < min || *out > max ? "is out of range" : NULL;
}

static const char *read_listen(api_config *c, ph_str value)
{
    static const char wrong[] = "is not an address and a port, as 127.0.0.1:8081 or [::1]:8081";
    char host[INET6_ADDRSTRLEN + 1];
    size_t colon = value.len;
    while (colon > 0 && value.ptr[colon - 1] != ':')
        colon--;
    uint64_t port;
    if (colon == 0 || read_number(ph_str_skip(value, colon), 0, 65535, &port))
        return wrong;
    ph_str name = {value.ptr, colon - 1};
    bool six = ph_str_starts(name, PH_STR("[")) && ph_str_ends(name, PH_STR("]"));
    if (six)
        name = (ph_str){name.ptr + 1, name.len - 2};
    if (ph_str_equal(name, PH_STR("localhost")))
        name = PH_STR("127.0.0.1");
    if (name.len >= sizeof host)
        return wrong;
    memcpy(host, name.ptr, name.len);
    host[name.len] = '\0';

    struct sockaddr_in *v4 = (struct sockaddr_in *)&c->listen;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&c->listen;
    if (six) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 ? NULL : wrong;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? NULL : wrong;
}

static const char *read_bucket(api_config *c, ph_str value)
{
    c->bucket = value;
    return complaint(ph_bucket_check(value));
}

static const char *read_region(api_config *c, ph_str value)
{
    c->region = value;
    return NULL; /* checked with the endpoint */
}

static const char *read_s3_endpoint(api_config *c, ph_str value)
{
    c->s3_endpoint = value;
    return NULL; /* checked with the bucket */
}

static const char *read_sts_endpoint(api_config *c, ph_str value)
{
    ph_url url;
    if (ph_url_parse(value, &url) != PH_OK || url.query.ptr)
        return complaint(PH_ERR_BAD_ENDPOINT);
    return complaint(ph_str_copy(value, &c->sts_endpoint));
}

static const char *read_role(api_config *c, ph_str value)
{
    c->role_arn = value;
    bool arn = ph_str_starts(value, PH_STR("arn:")) && value.len >= 20 && value.len <= 2048;
    return arn ? NULL : "is not the ARN of a role, as arn:aws:iam::123456789012:role/upload";
}

static const char *read_access_key(api_config *c, ph_str value)
{
    c->creds.access_key_id = value;
    return NULL;
}

static const char *read_secret_key(api_config *c, ph_str value)
{
    c->creds.secret_access_key = value;
    return NULL;
}

static const char *read_session_token(api_config *c, ph_str value)
{
    c->creds.session_token = value;
    return NULL;
}

/* Browsers send scheme, host and port, in lower case and without the scheme's own port. */
static bool is_origin(ph_str text)
{
    ph_url url;
    if (ph_url_parse(text, &url) != PH_OK || url.query.ptr)
        return false;
    size_t scheme = url.tls ? 8 : 7;
    for (size_t i = 0; i < text.len; i++)
        if ((text.ptr[i] >= 'A' && text.ptr[i] <= 'Z') || (i >= scheme && text.ptr[i] == '/'))
            return false;
    return text.len == scheme + url.host.len;
}

static const char *read_origins(api_config *c, ph_str value)
{
    for (ph_str rest = value; rest.ptr;) {
        ph_str origin = ph_str_trim(ph_str_cut(&rest, ','));
        if (origin.len == 0)
            continue;
        if (!is_origin(origin))
            return "has an entry that is no origin as browsers send it: scheme://host or "
                   "scheme://host:port, in lower case and without a path";
        if (c->origin_count == API_MAX_ORIGINS)
            return "has more than 32 origins";
        if (ph_str_copy(origin, &c->origins[c->origin_count]) != PH_OK)
            return complaint(PH_ERR_NOMEM);
        c->origin_count++;
    }
    return NULL;
}

static const char *read_key_file(api_config *c, ph_str path,
                                 const char *(*make)(ph_str, api_key **))
{
    if (c->key)
        return "is set, and so is the other key: only one of them can be";
    ph_buf content;
    ph_buf_init(&content, MAX_KEY_FILE);
    const char *wrong = NULL;
    FILE *file = fopen(path.ptr, "rb"); /* a variable's value: NUL-terminated */
    if (!file)
        return "names a file that cannot be opened";
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;)
        ph_buf_add(&content, block, n);
    ph_wipe(block, sizeof block);
    if (ferror(file) || content.err != PH_OK)
        wrong = "names a file that cannot be read, or is larger than any key";
    fclose(file);
    if (!wrong)
        wrong = make(ph_buf_view(&content), &c->key);
    c->key_ends_in_newline = ph_str_ends(ph_buf_view(&content), PH_STR("\n"));
    ph_buf_clear(&content);
    return wrong;
}

static const char *read_hs256(api_config *c, ph_str value)
{
    c->key_is_secret = true;
    return read_key_file(c, value, api_key_hs256);
}

static const char *read_rs256(api_config *c, ph_str value)
{
    return read_key_file(c, value, api_key_rs256);
}

static const char *read_issuer(api_config *c, ph_str value)
{
    c->issuer = value;
    return NULL;
}

static const char *read_audience(api_config *c, ph_str value)
{
    c->audience = value;
    return NULL;
}

static const char *read_user_claim(api_config *c, ph_str value)
{
    c->user_claim = value.ptr;
    return NULL;
}

static const char *read_prefix(api_config *c, ph_str value)
{
    c->prefix = value;
    if (!ph_str_ends(value, PH_STR("/")))
        return "does not end in \"/\"";
    return value.len > 512 ? "is longer than 512 bytes" : NULL;
}

static const char *read_put_limit(api_config *c, ph_str value)
{
    return read_number(value, 0, PH_PART_MAX_SIZE, &c->put_limit);
}

static const char *read_seconds(ph_str value, uint64_t min, uint64_t max, uint32_t *out)
{
    uint64_t number;
    const char *wrong = read_number(value, min, max, &number);
    if (!wrong)
        *out = (uint32_t)number;
    return wrong;
}

static const char *read_session_seconds(api_config *c, ph_str value)
{
    return read_seconds(value, 900, 43200, &c->session_seconds);
}

static const char *read_url_seconds(api_config *c, ph_str value)
{
    return read_seconds(value, 1, 43200, &c->url_seconds);
}

/* ---- The table ------------------------------------------------------------------------------- */

static const struct setting {
    const char *name;
    const char *fallback; /* NULL: none */
    bool needed;
    const char *(*read)(api_config *c, ph_str value);
    const char *about;
} settings[] = {
    {"PARTHAUL_LISTEN", "127.0.0.1:8081", false, read_listen, "address and port to serve at"},
    {"PARTHAUL_BUCKET", NULL, true, read_bucket, "the bucket that receives the uploads"},
    {"PARTHAUL_REGION", "us-east-1", false, read_region, "the bucket's region, also used for STS"},
    {"PARTHAUL_S3_ENDPOINT", NULL, false, read_s3_endpoint, "S3's URL; without it AWS"},
    {"PARTHAUL_STS_ENDPOINT", NULL, false, read_sts_endpoint, "STS's URL; without it AWS"},
    {"PARTHAUL_ROLE_ARN", NULL, true, read_role, "the role that is assumed for each user"},
    {"PARTHAUL_ORIGINS", NULL, false, read_origins, "pages that may ask, separated by commas"},
    {"PARTHAUL_JWT_HS256_SECRET_FILE", NULL, false, read_hs256, "tokens: file with the secret"},
    {"PARTHAUL_JWT_RS256_KEY_FILE", NULL, false, read_rs256, "or: file with the public key"},
    {"PARTHAUL_JWT_ISSUER", NULL, true, read_issuer, "tokens: their iss"},
    {"PARTHAUL_JWT_AUDIENCE", NULL, true, read_audience, "tokens: what their aud must contain"},
    {"PARTHAUL_USER_CLAIM", "sub", false, read_user_claim, "tokens: the claim that names the user"},
    {"PARTHAUL_PREFIX", "upload/", false, read_prefix, "where the users' prefixes begin"},
    {"PARTHAUL_PUT_LIMIT", "104857600", false, read_put_limit,
     "bytes up to which a file gets a presigned PUT; at most 5 GiB"},
    {"PARTHAUL_SESSION_SECONDS", "3600", false, read_session_seconds,
     "life of the users' credentials, 900 to 43200"},
    {"PARTHAUL_URL_SECONDS", "900", false, read_url_seconds,
     "life of a presigned URL, at most that of the credentials"},
    {"AWS_ACCESS_KEY_ID", NULL, true, read_access_key, "own credentials, which assume the role"},
    {"AWS_SECRET_ACCESS_KEY", NULL, true, read_secret_key, "own credentials"},
    {"AWS_SESSION_TOKEN", NULL, false, read_session_token, "own credentials, if temporary"},
};

static bool say(ph_buf *says, const char *name, const char *what)
{
    ph_buf_cstr(says, name);
    ph_buf_cstr(says, ": ");
    ph_buf_cstr(says, what);
    ph_buf_char(says, '\n');
    return false;
}

/* ---- What several settings break together ----------------------------------------------------- */

static int default_sts_endpoint(api_config *c)
{
    ph_buf url;
    ph_buf_init(&url, 256);
    ph_buf_cstr(&url, "https://sts.");
    ph_buf_str(&url, c->region);
    ph_buf_cstr(&url, ".amazonaws.com");
    ph_buf_cstr(&url, ph_str_starts(c->region, PH_STR("cn-")) ? ".cn/" : "/");
    int err = url.err == PH_OK ? ph_str_copy(ph_buf_view(&url), &c->sts_endpoint) : url.err;
    ph_buf_clear(&url);
    return err;
}

/* Would STS take the role and the life of its credentials? */
static int check_role(const api_config *c)
{
    ph_buf body;
    ph_buf_init(&body, 8192);
    ph_assume_role probe = {.role_arn = c->role_arn,
                            .session_name = PH_STR("somebody"),
                            .duration_seconds = c->session_seconds};
    int err = ph_sts_assume_role_body(&probe, &body);
    ph_buf_clear(&body);
    return err;
}

/* Does the longest user's prefix still make a policy, with room for an id and a name in the key? */
static int check_prefix(const api_config *c)
{
    char longest[65];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '/';
    ph_buf prefix, policy;
    ph_buf_init(&prefix, 1024);
    ph_buf_init(&policy, 4096);
    ph_buf_str(&prefix, c->prefix);
    ph_buf_add(&prefix, longest, sizeof longest);
    int err = prefix.err;
    if (err == PH_OK)
        err = ph_sts_prefix_policy(c->bucket, ph_buf_view(&prefix), &policy);
    ph_buf_clear(&prefix);
    ph_buf_clear(&policy);
    return err;
}

static bool check_together(api_config *c, ph_buf *says)
{
    bool good = true;
    int err = PH_OK;
    if (!c->key)
        good = say(says, "PARTHAUL_JWT_HS256_SECRET_FILE",
                   "is not set, nor is PARTHAUL_JWT_RS256_KEY_FILE: one of them must be");
    if (c->url_seconds > c->session_seconds)
        good = say(says, "PARTHAUL_URL_SECONDS", "is more than PARTHAUL_SESSION_SECONDS");
    ph_target target = {.bucket = c->bucket, .region = c->region, .endpoint = c->s3_endpoint};
    if ((err = ph_endpoint_make(&target, &c->bucket_at)) != PH_OK)
        good = say(says, err == PH_ERR_BAD_REGION ? "PARTHAUL_REGION" : "PARTHAUL_S3_ENDPOINT",
                   ph_err_text(err));
    else if (!c->sts_endpoint.ptr && (err = default_sts_endpoint(c)) != PH_OK)
        good = say(says, "PARTHAUL_STS_ENDPOINT", ph_err_text(err));
    if (check_role(c) != PH_OK)
        good = say(says, "PARTHAUL_ROLE_ARN", "has a character that no ARN has");
    if (check_prefix(c) != PH_OK)
        good = say(says, "PARTHAUL_PREFIX",
                   "cannot stand in a policy: it has a wildcard, \"${\", "
                   "a control byte or a dot segment, or is too long");
    return good;
}

static void advise(const api_config *c, ph_buf *says)
{
    ph_url sts;
    if (ph_url_parse(c->sts_endpoint, &sts) == PH_OK && !sts.tls && !ph_url_is_loopback(&sts))
        say(says, "PARTHAUL_STS_ENDPOINT",
            "is not https: credentials will cross the network in "
            "the clear");
    if (!c->bucket_at.tls && !c->bucket_at.loopback)
        say(says, "PARTHAUL_S3_ENDPOINT",
            "is not https: session tokens and files will cross the "
            "network in the clear");
    if (c->key_is_secret && c->key_ends_in_newline)
        say(says, "PARTHAUL_JWT_HS256_SECRET_FILE",
            "ends in a newline, which is a part of the "
            "secret like any other byte");
    if (c->origin_count == 0)
        say(says, "PARTHAUL_ORIGINS", "is not set: no page can use this, only programs can");
}

/* see config.h */
bool api_config_read(api_env env, void *context, ph_buf *says, api_config *out)
{
    memset(out, 0, sizeof *out);
    bool good = true;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        const struct setting *s = &settings[i];
        const char *value = env(context, s->name);
        if (!value || !*value)
            value = s->fallback;
        const char *wrong = NULL;
        if (value)
            wrong = s->read(out, ph_str_from(value));
        else if (s->needed)
            wrong = "is not set";
        if (wrong)
            good = say(says, s->name, wrong);
    }
    if (good)
        good = check_together(out, says);
    if (good)
        advise(out, says);
    else
        api_config_clear(out);
    return good;
}

/* see config.h */
void api_config_clear(api_config *c)
{
    for (size_t i = 0; i < c->origin_count; i++)
        ph_str_free(&c->origins[i]);
    ph_str_free(&c->sts_endpoint);
    ph_endpoint_clear(&c->bucket_at);
    api_key_free(c->key);
    memset(c, 0, sizeof *c);
}

/* see config.h */
void api_config_help(ph_buf *b)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        const struct setting *s = &settings[i];
        size_t from = b->len;
        ph_buf_cstr(b, "  ");
        ph_buf_cstr(b, s->name);
        do
            ph_buf_char(b, ' ');
        while (b->err == PH_OK && b->len < from + 34);
        ph_buf_cstr(b, s->about);
        if (s->fallback) {
            ph_buf_cstr(b, " (");
            ph_buf_cstr(b, s->fallback);
            ph_buf_char(b, ')');
        } else if (s->needed) {
            ph_buf_cstr(b, " (must be set)");
        }
        ph_buf_char(b, '\n');
    }
}
