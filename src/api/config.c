/* SPDX-License-Identifier: MIT
 *
 * The settings: one row each, one small reader each, and after them what only several together can
 * break. Everything is refused at the start that would otherwise fail at the first upload. Values
 * are never repeated in a message, since some are secret.
 */
#define _POSIX_C_SOURCE 200809L

#include "config.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

#include "core/crypto.h"
#include "core/err.h"
#include "core/str.h"
#include "core/sts.h"
#include "content.h"
#include "fetch.h"
#include "introspect.h"
#include "prefix.h"
#include "tls.h"

#define MAX_FILE 262144
#define EC2_ENDPOINT "http://169.254.169.254"
#define CONTAINER_ENDPOINT "http://169.254.170.2"

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
            return "has an entry that is not an origin as browsers send it: scheme://host or "
                   "scheme://host:port, in lower case and without a path";
        if (c->origin_count == API_MAX_ORIGINS)
            return "has more than 32 origins";
        if (ph_str_copy(origin, &c->origins[c->origin_count]) != PH_OK)
            return complaint(PH_ERR_NOMEM);
        c->origin_count++;
    }
    return NULL;
}

/* The content of a file that a setting names; NULL, or what is wrong. Clear `out` in any case. */
static const char *read_file(ph_str path, ph_buf *out)
{
    ph_buf_init(out, MAX_FILE);
    return api_content_read(path, out) == PH_OK
               ? NULL
               : "names a file that cannot be read, or is too large";
}

static const char *need_keys(api_config *c)
{
    if (!c->keys)
        c->keys = api_keyset_new();
    return c->keys ? NULL : complaint(PH_ERR_NOMEM);
}

static const char *read_hs256(api_config *c, ph_str value)
{
    ph_buf content;
    const char *wrong = read_file(value, &content);
    if (!wrong)
        wrong = need_keys(c);
    if (!wrong)
        wrong = api_keyset_add_secret(c->keys, ph_buf_view(&content));
    c->key_is_secret = true;
    c->key_ends_in_newline = ph_str_ends(ph_buf_view(&content), PH_STR("\n"));
    ph_buf_clear(&content);
    return wrong;
}

static const char *add_key_file(api_config *c, ph_str path, const char *alg, bool secrets)
{
    ph_buf content;
    const char *wrong = read_file(path, &content);
    if (!wrong)
        wrong = need_keys(c);
    if (!wrong)
        wrong = api_keyset_add_text(c->keys, ph_buf_view(&content), alg, c->rsa_alg, secrets);
    ph_buf_clear(&content);
    return wrong;
}

static const char *read_rs256(api_config *c, ph_str value)
{
    return add_key_file(c, value, "RS256", false);
}

/* "PATH,PS256:PATH". An RSA key that does not name its algorithm has the one that is set for them. */
static const char *read_key_files(api_config *c, ph_str value)
{
    while (value.ptr) {
        ph_str path = ph_str_trim(ph_str_cut(&value, ','));
        ph_str rest = path;
        const char *alg = api_alg_name(ph_str_cut(&rest, ':'));
        if (alg)
            path = rest;
        const char *wrong = NULL;
        if (path.len > 0)
            wrong = add_key_file(c, path, alg, true);
        if (wrong)
            return wrong;
    }
    return NULL;
}

static const char *read_rsa_alg(api_config *c, ph_str value)
{
    c->rsa_alg = api_alg_name(value);
    bool rsa = c->rsa_alg && (c->rsa_alg[0] == 'R' || c->rsa_alg[0] == 'P');
    return rsa ? NULL : "is not one of RS256, RS384, RS512, PS256";
}

/* Keys and tokens come by these URLs; whoever could change an answer on its way could be anybody. */
static const char *read_safe_url(ph_str value, ph_str *out)
{
    *out = value;
    return api_url_is_safe(value) ? NULL : "is not an https URL (http is for this machine only)";
}

static const char *read_jwks_url(api_config *c, ph_str value)
{
    return read_safe_url(value, &c->jwks_url);
}

static const char *read_introspection_url(api_config *c, ph_str value)
{
    return read_safe_url(value, &c->introspection_url);
}

static const char *read_tokeninfo_url(api_config *c, ph_str value)
{
    return read_safe_url(value, &c->tokeninfo_url);
}

static const char *read_introspection_auth(api_config *c, ph_str value)
{
    ph_buf content, header;
    ph_buf_init(&header, 8192);
    const char *wrong = read_file(value, &content);
    if (!wrong && api_issuer_auth(ph_buf_view(&content), &header) != PH_OK)
        wrong = "names a file that holds neither \"Bearer ...\" nor an id, \":\" and a secret";
    if (!wrong)
        wrong = complaint(ph_str_copy(ph_buf_view(&header), &c->introspection_auth));
    ph_buf_clear(&content);
    ph_buf_clear(&header);
    return wrong;
}

static const char *read_api_keys(api_config *c, ph_str value)
{
    ph_buf content;
    const char *wrong = read_file(value, &content);
    if (!wrong)
        wrong = api_keys_read(ph_buf_view(&content), &c->api_keys);
    ph_buf_clear(&content);
    return wrong;
}

static const char *read_auth(api_config *c, ph_str value)
{
    static const char *const names[] = {
        [API_AUTH_TOKEN] = "token",
        [API_AUTH_KEY] = "key",
        [API_AUTH_TOKEN_AND_KEY] = "token+key",
        [API_AUTH_ANY] = "any",
    };
    c->auth_is_set = true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (ph_str_equal(value, ph_str_from(names[i]))) {
            c->auth = (api_auth_mode)i;
            return NULL;
        }
    return "is not one of token, key, token+key, any";
}

static const char *read_yes(ph_str value, bool *out)
{
    *out = ph_str_equal(value, PH_STR("yes"));
    return *out || ph_str_equal(value, PH_STR("no")) ? NULL : "is neither yes nor no";
}

static const char *read_metrics(api_config *c, ph_str value)
{
    return read_yes(value, &c->metrics);
}

static const char *read_post_keys(api_config *c, ph_str value)
{
    c->post_by_own_keys = ph_str_equal(value, PH_STR("own"));
    return c->post_by_own_keys || ph_str_equal(value, PH_STR("role")) ? NULL
                                                                      : "is neither role nor own";
}

static const char *read_roles(api_config *c, ph_str value)
{
    c->roles = value;
    for (ph_str rest = value; rest.ptr;) {
        ph_str scope = ph_str_trim(ph_str_cut(&rest, ','));
        ph_str name = ph_str_cut(&scope, '=');
        for (size_t i = 0; i < name.len; i++)
            if (name.ptr[i] <= ' ' || name.ptr[i] > '~' || strchr("*?{}/%\"\\", name.ptr[i]))
                return "has a name with a character that is not allowed in role names";
        if (name.len == 0 || name.len > 64 || (scope.ptr && scope.len == 0))
            return "has an entry that is neither ROLE nor ROLE=SCOPE";
    }
    return NULL;
}

static const char *read_role_prefix(api_config *c, ph_str value)
{
    c->role_prefix = value;
    bool arn = ph_str_starts(value, PH_STR("arn:")) && ph_str_ends(value, PH_STR("/"));
    return arn ? NULL
               : "is not the beginning of a role's ARN, such as arn:aws:iam::123456789012:role/";
}

static const char *read_user_claim(api_config *c, ph_str value)
{
    c->user_claim = value.ptr;
    return NULL;
}

static const char *read_prefix(api_config *c, ph_str value)
{
    ph_buf pattern;
    ph_buf_init(&pattern, 1024);
    ph_buf_str(&pattern, value);
    if (ph_str_find(value, '{') == value.len) { /* the user's own place is beneath it */
        ph_buf_char(&pattern, '{');
        ph_buf_cstr(&pattern, c->user_claim);
        ph_buf_cstr(&pattern, "}/");
    }
    const char *wrong = ph_str_ends(value, PH_STR("/")) ? api_prefix_check(ph_buf_view(&pattern))
                                                        : "does not end in \"/\"";
    if (!wrong)
        wrong = complaint(ph_str_copy(ph_buf_view(&pattern), &c->prefix));
    ph_buf_clear(&pattern);
    return wrong;
}

static const char *read_put_limit(api_config *c, ph_str value)
{
    return read_number(value, 0, PH_PART_MAX_SIZE, &c->put_limit);
}

static const char *read_max_size(api_config *c, ph_str value)
{
    return read_number(value, 1, PH_OBJECT_MAX_SIZE, &c->max_size);
}

/* Media types, of which the second half may be "*". */
static const char *read_types(api_config *c, ph_str value)
{
    c->types = value;
    for (ph_str rest = value; rest.ptr;) {
        ph_str subtype = ph_str_trim(ph_str_cut(&rest, ','));
        ph_str type = ph_str_cut(&subtype, '/');
        bool star = ph_str_equal(subtype, PH_STR("*"));
        if (type.len == 0 || subtype.len == 0 || ph_str_find(type, '*') < type.len ||
            (!star && ph_str_find(subtype, '*') < subtype.len))
            return "has an entry that is neither like video/mp4 nor like image/*";
    }
    return NULL;
}

static const char *read_container_relative(api_config *c, ph_str value)
{
    c->own.container_relative = value;
    return ph_str_starts(value, PH_STR("/")) ? NULL : "is not a path";
}

/*
 * Whom a container may ask over plain HTTP: itself, and the agents of ECS and EKS. Everybody else
 * has to prove by TLS who they are before they get the token and give credentials.
 */
static const char *read_container_full(api_config *c, ph_str value)
{
    static const char *const agents[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    c->own.container_full = value;
    ph_url url;
    if (ph_url_parse(value, &url) != PH_OK)
        return "is not a URL";
    bool good = url.tls || ph_url_is_loopback(&url);
    for (size_t i = 0; i < sizeof agents / sizeof agents[0]; i++)
        good = good || ph_str_equal(url.name, ph_str_from(agents[i]));
    return good ? NULL : "is neither https nor on this machine or a container agent's address";
}

static const char *read_ec2_endpoint(api_config *c, ph_str value)
{
    ph_url url;
    c->own.ec2_endpoint = value;
    return complaint(ph_url_parse(value, &url));
}

static const char *read_ec2_disabled(api_config *c, ph_str value)
{
    if (ph_str_equal_nocase(value, PH_STR("true")))
        c->own.ec2_endpoint = (ph_str){NULL, 0};
    return NULL;
}

/* ---- The table ------------------------------------------------------------------------------- */

/* How a value gets into the configuration: by a function, as a text, or as a number in its range. */
#define READ(function)    \
    {                     \
        function, 0, 0, 0 \
    }
#define TEXT(member)                             \
    {                                            \
        NULL, offsetof(api_config, member), 0, 0 \
    }
#define NUMBER(member, min, max)                     \
    {                                                \
        NULL, offsetof(api_config, member), min, max \
    }

static const struct setting {
    const char *name;
    const char *fallback; /* NULL: none */
    bool needed;
    struct reader {
        const char *(*read)(api_config *c, ph_str value); /* NULL: not by a function */
        size_t member; /* of a ph_str or, where there is a `max`, of a uint32_t */
        uint32_t min, max;
    } reader;
    const char *about;
} settings[] = {
    {"PARTHAUL_LISTEN", "127.0.0.1:8081", false, READ(read_listen),
     "address and port to listen on"},
    {"PARTHAUL_TLS_CERT_FILE", NULL, false, TEXT(tls_cert_file),
     "TLS: certificate chain (PEM file)"},
    {"PARTHAUL_TLS_KEY_FILE", NULL, false, TEXT(tls_key_file), "TLS: private key (PEM file)"},
    {"PARTHAUL_RUN_AS", NULL, false, TEXT(run_as), "account to switch to when started as root"},
    {"PARTHAUL_PROXIES", "0", false, NUMBER(proxies, 0, 16),
     "trusted proxies in front that append to X-Forwarded-For"},
    {"PARTHAUL_CONNECTIONS", "1024", false, NUMBER(connections, 1, 1000000),
     "maximum number of connections"},
    {"PARTHAUL_CONNECTIONS_PER_ADDRESS", "0", false, NUMBER(connections_per_address, 0, 1000000),
     "maximum number of connections from one address; 0: no limit"},
    {"PARTHAUL_REQUEST_SECONDS", "30", false, NUMBER(request_seconds, 1, 600),
     "seconds within which a whole request must arrive"},
    {"PARTHAUL_THREADS", "0", false, NUMBER(threads, 0, 64),
     "worker threads; 0: one for each processor"},
    {"PARTHAUL_METRICS", "yes", false, READ(read_metrics), "serve /metrics: yes or no"},
    {"PARTHAUL_ORIGINS", NULL, false, READ(read_origins),
     "origins of the pages that may use the API, separated by commas"},

    {"PARTHAUL_BUCKET", NULL, true, READ(read_bucket), "the bucket that receives the uploads"},
    {"PARTHAUL_REGION", "us-east-1", false, TEXT(region), "the bucket's region, also used for STS"},
    {"PARTHAUL_S3_ENDPOINT", NULL, false, TEXT(s3_endpoint), "URL of S3; AWS if not set"},
    {"PARTHAUL_STS_ENDPOINT", NULL, false, READ(read_sts_endpoint), "URL of STS; AWS if not set"},
    {"PARTHAUL_ROLE_ARN", NULL, true, READ(read_role), "the role that is assumed for each user"},
    {"PARTHAUL_ROLES", NULL, false, READ(read_roles),
     "roles for /get_key/ROLE: ROLE or ROLE=SCOPE, ..."},
    {"PARTHAUL_ROLE_PREFIX", NULL, false, READ(read_role_prefix),
     "common prefix of the ARNs of these roles"},
    {"PARTHAUL_POST_KEYS", "role", false, READ(read_post_keys),
     "what signs POST policies: the role's credentials, or the service's own"},

    {"PARTHAUL_AUTH", NULL, false, READ(read_auth),
     "how users authenticate: token, key, token+key or any"},
    {"PARTHAUL_JWT_RSA_ALGORITHM", "RS256", false, READ(read_rsa_alg),
     "algorithm of RSA keys that do not state one"},
    {"PARTHAUL_JWT_KEY_FILES", NULL, false, READ(read_key_files),
     "tokens: public keys (PEM, JWK, JWKS), as PATH or ALG:PATH, ..."},
    {"PARTHAUL_JWT_RS256_KEY_FILE", NULL, false, READ(read_rs256), "tokens: a public RSA key"},
    {"PARTHAUL_JWT_HS256_SECRET_FILE", NULL, false, READ(read_hs256), "tokens: a shared secret"},
    {"PARTHAUL_JWT_JWKS_URL", NULL, false, READ(read_jwks_url), "tokens: URL of the issuer's keys"},
    {"PARTHAUL_JWT_JWKS_SECONDS", "3600", false, NUMBER(jwks_seconds, 60, 86400),
     "seconds for which these keys are cached at most"},
    {"PARTHAUL_JWT_JWKS_GUARD_SECONDS", "30", false, NUMBER(jwks_guard_seconds, 1, 3600),
     "minimum seconds between two requests for these keys"},
    {"PARTHAUL_JWT_ISSUER", NULL, false, TEXT(issuer), "tokens: required value of iss"},
    {"PARTHAUL_JWT_AUDIENCE", NULL, false, TEXT(audience), "tokens: required value of aud"},
    {"PARTHAUL_JWT_TYPE", NULL, false, TEXT(token_type),
     "tokens: required value of typ, such as at+jwt"},
    {"PARTHAUL_JWT_LEEWAY_SECONDS", "60", false, NUMBER(leeway_seconds, 0, 300),
     "tolerated clock difference in seconds, 0 to 300"},
    {"PARTHAUL_INTROSPECTION_URL", NULL, false, READ(read_introspection_url),
     "opaque tokens: introspection endpoint (RFC 7662)"},
    {"PARTHAUL_INTROSPECTION_AUTH_FILE", NULL, false, READ(read_introspection_auth),
     "file with ID:SECRET or Bearer TOKEN for that endpoint"},
    {"PARTHAUL_TOKENINFO_URL", NULL, false, READ(read_tokeninfo_url),
     "opaque tokens: tokeninfo URL instead"},
    {"PARTHAUL_SCOPE", NULL, false, TEXT(scope), "scopes that a token must have, all of them"},
    {"PARTHAUL_REQUIRED_CLAIMS", NULL, false, TEXT(required_claims),
     "claims that a token must have: NAME=VALUE, NAME"},
    {"PARTHAUL_API_KEYS_FILE", NULL, false, READ(read_api_keys),
     "file with the hashes of accepted x-api-key keys"},

    {"PARTHAUL_USER_CLAIM", "sub", false, READ(read_user_claim),
     "tokens: the claim with the user's id"},
    {"PARTHAUL_PREFIX", "upload/", false, READ(read_prefix),
     "key prefix for uploads, such as builds/{product}/{build}/"},
    {"PARTHAUL_PUT_LIMIT", "104857600", false, READ(read_put_limit),
     "largest file in bytes for a presigned PUT, at most 5 GiB"},
    {"PARTHAUL_MAX_SIZE", "53687091200000", false, READ(read_max_size), "largest file in bytes"},
    {"PARTHAUL_TYPES", NULL, false, READ(read_types),
     "accepted media types, such as image/*, video/mp4"},
    {"PARTHAUL_PROPERTIES",
     "cacheControl,contentDisposition,contentEncoding,contentLanguage,expires,metadata", false,
     TEXT(properties), "object properties that a client may set"},
    {"PARTHAUL_MAX_FILES", "100", false, NUMBER(max_files, 1, API_MAX_FILES),
     "maximum files in one request, 1 to 250"},
    {"PARTHAUL_SESSION_SECONDS", "3600", false, NUMBER(session_seconds, 900, 43200),
     "lifetime of the users' credentials in seconds, 900 to 43200"},
    {"PARTHAUL_URL_SECONDS", "900", false, NUMBER(url_seconds, 1, 43200),
     "lifetime of a presigned URL in seconds, at most that of the credentials"},
    {"PARTHAUL_USER_RATE", "6000", false, NUMBER(rates.per_user, 0, 10000000),
     "requests per minute and user; 0: no limit"},
    {"PARTHAUL_ADDRESS_RATE", "0", false, NUMBER(rates.per_address, 0, 10000000),
     "requests per minute and address; 0: no limit"},

    {"AWS_ACCESS_KEY_ID", NULL, false, TEXT(own.given.access_key_id),
     "the service's own credentials, which assume the role"},
    {"AWS_SECRET_ACCESS_KEY", NULL, false, TEXT(own.given.secret_access_key), "their secret key"},
    {"AWS_SESSION_TOKEN", NULL, false, TEXT(own.given.session_token),
     "their session token, if they are temporary"},
    {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", NULL, false, READ(read_container_relative),
     "own credentials from the ECS agent: path"},
    {"AWS_CONTAINER_CREDENTIALS_FULL_URI", NULL, false, READ(read_container_full),
     "own credentials from an agent: URL"},
    {"AWS_CONTAINER_AUTHORIZATION_TOKEN", NULL, false, TEXT(own.container_token),
     "token for the agent"},
    {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", NULL, false, TEXT(own.container_token_file),
     "file with the token for the agent"},
    {"PARTHAUL_CONTAINER_ENDPOINT", CONTAINER_ENDPOINT, false, TEXT(own.container_endpoint),
     "address of the ECS agent"},
    {"AWS_WEB_IDENTITY_TOKEN_FILE", NULL, false, TEXT(own.web_token_file),
     "own credentials from a web identity token, with AWS_ROLE_ARN"},
    {"AWS_ROLE_ARN", NULL, false, TEXT(own.web_role_arn), "role for the web identity token"},
    {"AWS_ROLE_SESSION_NAME", "parthaul-api", false, TEXT(own.web_session_name),
     "session name for the web identity token"},
    {"AWS_EC2_METADATA_SERVICE_ENDPOINT", EC2_ENDPOINT, false, READ(read_ec2_endpoint),
     "own credentials from EC2's metadata service"},
    {"AWS_EC2_METADATA_DISABLED", NULL, false, READ(read_ec2_disabled),
     "true: do not ask EC2's metadata service"},
};

static const char *read_value(const struct reader *r, api_config *c, ph_str value)
{
    if (r->read)
        return r->read(c, value);
    char *member = (char *)c + r->member;
    uint64_t number;
    if (r->max == 0) {
        memcpy(member, &value, sizeof value);
        return NULL;
    }
    const char *wrong = read_number(value, r->min, r->max, &number);
    uint32_t narrow = wrong ? 0 : (uint32_t)number;
    memcpy(member, &narrow, sizeof narrow);
    return wrong;
}

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

/* Does the longest prefix still make a policy, with room for an id and a name in the key? */
static int check_prefix(const api_config *c)
{
    ph_buf prefix, policy;
    ph_buf_init(&prefix, 900);
    ph_buf_init(&policy, 4096);
    api_prefix_longest(c->prefix, &prefix);
    int err = prefix.err;
    if (err == PH_OK)
        err = ph_sts_prefix_policy(c->role_arn, c->bucket, ph_buf_view(&prefix), &policy);
    ph_buf_clear(&prefix);
    ph_buf_clear(&policy);
    return err;
}

/* Is there a way to know users, and is it whole? */
static bool check_auth(api_config *c, ph_buf *says)
{
    bool good = true;
    bool jwt = c->keys || c->jwks_url.ptr;
    bool tokens = jwt || c->introspection_url.ptr || c->tokeninfo_url.ptr;
    if (!c->auth_is_set && c->api_keys)
        c->auth = tokens ? API_AUTH_TOKEN_AND_KEY : API_AUTH_KEY;
    if (!tokens && c->auth != API_AUTH_KEY)
        good = say(says, "PARTHAUL_JWT_HS256_SECRET_FILE",
                   "is not set, nor is another way to authenticate users (PARTHAUL_JWT_KEY_FILES, "
                   "PARTHAUL_JWT_JWKS_URL, PARTHAUL_INTROSPECTION_URL, PARTHAUL_TOKENINFO_URL, "
                   "PARTHAUL_API_KEYS_FILE): one of them must be");
    if (!c->api_keys && c->auth != API_AUTH_TOKEN)
        good = say(says, "PARTHAUL_API_KEYS_FILE", "is not set, but PARTHAUL_AUTH wants keys");
    if (c->introspection_url.ptr && c->tokeninfo_url.ptr)
        good = say(says, "PARTHAUL_TOKENINFO_URL", "is set, and so is PARTHAUL_INTROSPECTION_URL");
    if (jwt && !c->issuer.ptr)
        good = say(says, "PARTHAUL_JWT_ISSUER", "is not set");
    if (jwt && !c->audience.ptr)
        good = say(says, "PARTHAUL_JWT_AUDIENCE", "is not set");
    return good;
}

/* Are the service's own credentials to be found at all? */
static bool check_own(const api_config *c, ph_buf *says)
{
    const api_own_settings *own = &c->own;
    bool key = own->given.access_key_id.ptr != NULL;
    if (key != (own->given.secret_access_key.ptr != NULL))
        return say(says, key ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID",
                   key ? "is not set, but AWS_ACCESS_KEY_ID is"
                       : "is not set, but AWS_SECRET_ACCESS_KEY is");
    if (own->web_token_file.ptr && !own->web_role_arn.ptr)
        return say(says, "AWS_ROLE_ARN", "is not set, but AWS_WEB_IDENTITY_TOKEN_FILE is");
    if (key || own->container_relative.ptr || own->container_full.ptr || own->web_token_file.ptr ||
        own->ec2_endpoint.ptr)
        return true;
    return say(says, "AWS_ACCESS_KEY_ID",
               "is not set, nor is another source of the service's own credentials");
}

static bool check_tls(const api_config *c, ph_buf *says)
{
    if (!c->tls_cert_file.ptr && !c->tls_key_file.ptr)
        return true;
    if (!c->tls_cert_file.ptr || !c->tls_key_file.ptr)
        return say(says, c->tls_cert_file.ptr ? "PARTHAUL_TLS_KEY_FILE" : "PARTHAUL_TLS_CERT_FILE",
                   "is not set, but the other one of the two is");
    const char *wrong = api_tls_check(c->tls_cert_file, c->tls_key_file);
    if (!wrong)
        return true;
    ph_buf_cstr(says, "PARTHAUL_TLS_CERT_FILE: the certificate ");
    ph_buf_cstr(says, wrong);
    ph_buf_char(says, '\n');
    return false;
}

static bool check_together(api_config *c, ph_buf *says)
{
    bool good = true;
    int err = PH_OK;
    if (!check_auth(c, says))
        good = false;
    if (!check_own(c, says))
        good = false;
    if (!check_tls(c, says))
        good = false;
    if (c->roles.ptr && !c->role_prefix.ptr)
        good = say(says, "PARTHAUL_ROLE_PREFIX", "is not set, but PARTHAUL_ROLES is");
    if (c->url_seconds > c->session_seconds)
        good = say(says, "PARTHAUL_URL_SECONDS", "is more than PARTHAUL_SESSION_SECONDS");
    ph_target target = {.bucket = c->bucket, .region = c->region, .endpoint = c->s3_endpoint};
    if ((err = ph_endpoint_make(&target, &c->bucket_at)) != PH_OK)
        good = say(says, err == PH_ERR_BAD_REGION ? "PARTHAUL_REGION" : "PARTHAUL_S3_ENDPOINT",
                   ph_err_text(err));
    else if (!c->sts_endpoint.ptr && (err = default_sts_endpoint(c)) != PH_OK)
        good = say(says, "PARTHAUL_STS_ENDPOINT", ph_err_text(err));
    if (check_role(c) != PH_OK)
        good = say(says, "PARTHAUL_ROLE_ARN", "has a character that is not allowed in ARNs");
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
            "ends in a newline, which is part of the "
            "secret like any other byte");
    if (c->origin_count == 0)
        say(says, "PARTHAUL_ORIGINS",
            "is not set: web pages cannot use the API, only programs can");
}

/* see config.h */
bool api_config_knows(const char *name)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (strcmp(settings[i].name, name) == 0)
            return true;
    return false;
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
            wrong = read_value(&s->reader, out, ph_str_from(value));
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
    ph_str_free(&c->prefix);
    ph_str_free(&c->introspection_auth);
    ph_endpoint_clear(&c->bucket_at);
    api_keyset_free(c->keys);
    api_keys_free(c->api_keys);
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
        while (b->err == PH_OK && b->len < from + 44);
        ph_buf_cstr(b, s->about);
        if (s->fallback) {
            ph_buf_cstr(b, " (");
            ph_buf_cstr(b, s->fallback);
            ph_buf_char(b, ')');
        } else if (s->needed) {
            ph_buf_cstr(b, " (required)");
        }
        ph_buf_char(b, '\n');
    }
}
