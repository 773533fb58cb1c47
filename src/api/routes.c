/* SPDX-License-Identifier: MIT
 *
 * The routes. A table says which function answers what and whether it needs a user; everything that
 * all answers share (CORS, no-store, the request's id, problem documents) is done around it. What a
 * user may write follows from the token alone: the body of a request names a file, never a place.
 */
#include "routes.h"

#include <string.h>

#include "core/checksum.h"
#include "core/crypto.h"
#include "core/date.h"
#include "core/json.h"
#include "core/json_out.h"
#include "core/str.h"
#include "object_key.h"
#include "presign.h"

#define MAX_ANSWER \
    ((size_t)256 << 10) /* a session token stands in a URL with up to thrice its size */
#define MAX_TYPE 255

/* ---- Requests -------------------------------------------------------------------------------- */

/* see routes.h */
void api_request_header(api_request *request, ph_str name, ph_str value)
{
    const struct {
        ph_str name;
        ph_str *to;
    } wanted[] = {
        {PH_STR("origin"), &request->origin},
        {PH_STR("authorization"), &request->authorization},
        {PH_STR("access-control-request-method"), &request->preflight_method},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (!ph_str_equal_nocase(name, wanted[i].name))
            continue;
        if (wanted[i].to == &request->authorization && request->authorization.ptr)
            request->authorization_twice = true;
        *wanted[i].to = value;
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void add_header(api_answer *a, const char *name, const char *value)
{
    if (a->header_count < API_MAX_HEADERS)
        a->headers[a->header_count++] = (ph_header){ph_str_from(name), ph_str_from(value)};
}

static void answer_json(api_answer *a, int status)
{
    a->status = status;
    add_header(a, "content-type", "application/json");
}

static void refuse(api_answer *a, api_verdict verdict)
{
    const api_problem_row *p = api_problem_info(verdict.problem);
    a->status = p->status;
    a->code = p->code;
    add_header(a, "content-type", "application/problem+json");
    if (verdict.problem == API_TOKEN_MISSING) /* RFC 6750, 3.1: nothing was tried, so no error */
        add_header(a, "www-authenticate", "Bearer");
    else if (p->status == 401)
        add_header(a, "www-authenticate", "Bearer error=\"invalid_token\"");
    if (p->status == 503)
        add_header(a, "retry-after", "5");
    ph_buf_clear(&a->body);
    ph_json_open(&a->body, NULL);
    ph_json_add_cstr(&a->body, "type", "about:blank");
    ph_json_add_cstr(&a->body, "title", p->title);
    ph_json_add_u64(&a->body, "status", (uint64_t)p->status);
    ph_json_add_cstr(&a->body, "code", p->code);
    ph_json_add_cstr(&a->body, "detail", verdict.detail ? verdict.detail : p->detail);
    ph_json_close(&a->body);
}

static void refuse_as(api_answer *a, api_problem problem, const char *detail)
{
    refuse(a, (api_verdict){problem, detail});
}

static void add_date(ph_buf *b, const char *name, uint64_t ms)
{
    char text[21];
    ph_date_iso(ms, text);
    ph_json_add_cstr(b, name, text);
}

/* ---- What the handlers share ----------------------------------------------------------------- */

typedef struct call {
    const api_service *service;
    const api_request *request;
    ph_buf user;   /* as the token has it */
    ph_buf prefix; /* "upload/USER/" */
    api_answer *answer;
} call;

/* Credentials for the user's prefix; false when the answer is a refusal already. */
static bool assume(call *c, ph_creds *out)
{
    api_answer *a = c->answer;
    int err = c->service->assume(c->service->config, ph_buf_view(&c->user), ph_buf_view(&c->prefix),
                                 c->request->now_ms, out, &a->said);
    if (err == PH_OK && out->expires_ms > c->request->now_ms)
        return true;
    if (err == PH_OK) { /* their clock and ours disagree by more than a session's life */
        ph_creds_clear(out);
        err = PH_ERR_CLOCK_SKEW;
    }
    a->error = ph_err_name(err);
    switch (err) {
    case PH_ERR_NETWORK:
    case PH_ERR_TIMEOUT:
    case PH_ERR_TLS:
    case PH_ERR_SERVER_ERROR:
    case PH_ERR_SLOW_DOWN: refuse_as(a, API_STS_UNREACHABLE, NULL); break;
    case PH_ERR_NOMEM: refuse_as(a, API_INTERNAL, NULL); break;
    default: refuse_as(a, API_STS_FAILED, NULL);
    }
    return false;
}

static void add_credentials(ph_buf *b, const ph_creds *creds)
{
    ph_json_open(b, "credentials");
    ph_json_add_text(b, "accessKeyId", creds->access_key_id);
    ph_json_add_text(b, "secretAccessKey", creds->secret_access_key);
    ph_json_add_text(b, "sessionToken", creds->session_token);
    add_date(b, "expiration", creds->expires_ms);
    ph_json_close(b);
}

/* ---- GET /healthz ---------------------------------------------------------------------------- */

static void health(call *c)
{
    ph_buf *b = &c->answer->body;
    answer_json(c->answer, 200);
    ph_json_open(b, NULL);
    ph_json_add_cstr(b, "status", "ok");
    ph_json_add_cstr(b, "version", PH_VERSION);
    ph_json_close(b);
}

/* ---- GET /v1/credentials --------------------------------------------------------------------- */

static void credentials(call *c)
{
    const api_config *config = c->service->config;
    ph_creds creds;
    if (!assume(c, &creds))
        return;
    ph_buf *b = &c->answer->body;
    answer_json(c->answer, 200);
    ph_json_open(b, NULL);
    add_credentials(b, &creds);
    ph_json_add_text(b, "bucket", config->bucket);
    ph_json_add_text(b, "region", config->region);
    ph_json_add_text(b, "endpoint", config->s3_endpoint);
    ph_json_add_text(b, "prefix", ph_buf_view(&c->prefix));
    add_date(b, "serverTime", c->request->now_ms);
    ph_json_close(b);
    ph_creds_clear(&creds);
}

/* ---- POST /v1/uploads ------------------------------------------------------------------------ */

/* A file as the page describes it; views into the request's document. */
typedef struct file {
    ph_str name;
    ph_str type; /* absent: not said */
    uint64_t size;
    ph_digest checksum; /* alg NONE: not said */
    ph_str checksum_text;
} file;

/* A media type is one token, "/", another and perhaps parameters: here only what HTTP would break. */
static bool is_type(ph_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < ' ' || s.ptr[i] > '~')
            return false;
    size_t slash = ph_str_find(s, '/');
    return s.len <= MAX_TYPE && slash > 0 && slash + 1 < s.len && ph_str_trim(s).len == s.len;
}

static api_verdict bad(const char *detail)
{
    return (api_verdict){API_BAD_REQUEST, detail};
}

static api_verdict read_checksum(const ph_json *value, file *out)
{
    if (!ph_json_is_object(value))
        return bad("checksum: has to be an object with algorithm and value");
    ph_alg alg = ph_alg_by_name(ph_json_member_text(value, "algorithm"));
    if (alg == PH_ALG_NONE)
        return bad("checksum: there is no such algorithm");
    out->checksum_text = ph_json_member_text(value, "value");
    if (ph_digest_parse(alg, out->checksum_text, &out->checksum) != PH_OK)
        return bad("checksum: the value is not base64 of this algorithm's length");
    return (api_verdict){API_NO_PROBLEM, NULL};
}

static api_verdict read_file(const ph_json *document, file *out)
{
    memset(out, 0, sizeof *out);
    if (!ph_json_is_object(document))
        return bad("the body has to be a JSON object");
    out->name = ph_json_member_text(document, "name");
    if (!out->name.ptr)
        return bad("name: has to be a text");
    const ph_json *size = ph_json_member(document, "size");
    if (!ph_json_u64(size, &out->size))
        return bad("size: has to be a whole number of bytes");
    if (out->size > PH_OBJECT_MAX_SIZE)
        return (api_verdict){API_TOO_LARGE, NULL};
    const ph_json *type = ph_json_member(document, "type");
    out->type = ph_json_text(type);
    if (type && (!out->type.ptr || (out->type.len > 0 && !is_type(out->type))))
        return bad("type: has to be a media type, as video/mp4");
    if (out->type.len == 0)
        out->type = (ph_str){NULL, 0}; /* browsers say "" where they do not know it */
    const ph_json *checksum = ph_json_member(document, "checksum");
    if (checksum)
        return read_checksum(checksum, out);
    return (api_verdict){API_NO_PROBLEM, NULL};
}

static int make_key(call *c, const file *f, ph_buf *key)
{
    uint8_t random[10];
    char id[API_ID_LEN + 1];
    if (!c->service->random(random, sizeof random))
        return PH_ERR_BAD_STATE;
    api_id_write(c->request->now_ms, random, id);
    return api_object_key(ph_buf_view(&c->prefix), id, f->name, key);
}

/* One request that writes this very file, once: signed are its checksum and that nothing is there. */
static int answer_put(call *c, const file *f, ph_str key, const ph_creds *creds)
{
    const api_config *config = c->service->config;
    uint64_t now_ms = c->request->now_ms;
    ph_header headers[3];
    size_t count = 0;
    if (f->type.ptr)
        headers[count++] = (ph_header){PH_STR("content-type"), f->type};
    headers[count++] = (ph_header){PH_STR("if-none-match"), PH_STR("*")};
    headers[count++] =
        (ph_header){ph_str_from(ph_alg_row(f->checksum.alg)->header), f->checksum_text};

    /* A URL dies with its credentials, so it does not claim to live longer. */
    uint64_t left = (creds->expires_ms - now_ms) / 1000;
    uint32_t seconds = left < config->url_seconds ? (uint32_t)left : config->url_seconds;
    if (seconds == 0)
        seconds = 1;
    ph_buf url;
    ph_buf_init(&url, MAX_ANSWER);
    int err =
        api_presign_put(&config->bucket_at, key, headers, count, creds, now_ms, seconds, &url);
    if (err == PH_OK) {
        ph_buf *b = &c->answer->body;
        answer_json(c->answer, 200);
        ph_json_open(b, NULL);
        ph_json_add_cstr(b, "road", "put");
        ph_json_add_text(b, "bucket", config->bucket);
        ph_json_add_text(b, "key", key);
        ph_json_add_text(b, "region", config->region);
        ph_json_add_cstr(b, "method", "PUT");
        ph_json_add_text(b, "url", ph_buf_view(&url));
        ph_json_open(b, "headers");
        for (size_t i = 0; i < count; i++)
            ph_json_add_text(b, headers[i].name.ptr,
                             headers[i].value); /* literals: NUL-terminated */
        ph_json_close(b);
        add_date(b, "expires", now_ms + (uint64_t)seconds * 1000);
        add_date(b, "serverTime", now_ms);
        ph_json_close(b);
    }
    ph_buf_clear(&url);
    return err;
}

static void answer_multipart(call *c, ph_str key, const ph_creds *creds)
{
    const api_config *config = c->service->config;
    ph_buf *b = &c->answer->body;
    answer_json(c->answer, 200);
    ph_json_open(b, NULL);
    ph_json_add_cstr(b, "road", "multipart");
    ph_json_add_text(b, "bucket", config->bucket);
    ph_json_add_text(b, "key", key);
    ph_json_add_text(b, "prefix", ph_buf_view(&c->prefix));
    ph_json_add_text(b, "region", config->region);
    ph_json_add_text(b, "endpoint", config->s3_endpoint);
    add_credentials(b, creds);
    add_date(b, "serverTime", c->request->now_ms);
    ph_json_close(b);
}

static void upload_file(call *c, const file *f)
{
    ph_buf key;
    ph_buf_init(&key, 1024);
    ph_creds creds;
    int err = make_key(c, f, &key);
    if (err == PH_OK && assume(c, &creds)) {
        bool whole = f->size <= c->service->config->put_limit && f->checksum.alg != PH_ALG_NONE;
        if (whole)
            err = answer_put(c, f, ph_buf_view(&key), &creds);
        else
            answer_multipart(c, ph_buf_view(&key), &creds);
        ph_creds_clear(&creds);
    }
    if (err != PH_OK) {
        c->answer->error = ph_err_name(err);
        refuse_as(c->answer, API_INTERNAL, NULL);
    }
    ph_buf_clear(&key);
}

static void uploads(call *c)
{
    ph_json *document = NULL;
    file f;
    int err = ph_json_parse(c->request->body, &document);
    api_verdict verdict = err == PH_OK          ? read_file(document, &f)
                          : err == PH_ERR_NOMEM ? (api_verdict){API_INTERNAL, NULL}
                                                : bad("the body is not JSON");
    if (verdict.problem == API_NO_PROBLEM)
        upload_file(c, &f);
    else
        refuse(c->answer, verdict);
    ph_json_free(document);
}

/* ---- The table ------------------------------------------------------------------------------- */

static const struct route {
    const char *method;
    const char *path;
    void (*handle)(call *c);
    bool needs_user;
} routes[] = {
    {"GET", "/healthz", health, false},
    {"HEAD", "/healthz", health, false},
    {"GET", "/v1/credentials", credentials, true},
    {"POST", "/v1/uploads", uploads, true},
};

/* The route; NULL where there is none, with the methods of the path in `allow` if it has any. */
static const struct route *find_route(ph_str method, ph_str path, char allow[64])
{
    allow[0] = '\0';
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!ph_str_equal(path, ph_str_from(routes[i].path)))
            continue;
        if (ph_str_equal(method, ph_str_from(routes[i].method)))
            return &routes[i];
        strcat(strcat(allow, routes[i].method), ", ");
    }
    if (allow[0])
        strcat(allow, "OPTIONS");
    return NULL;
}

/* ---- Around the table ------------------------------------------------------------------------ */

/* The bearer token of an Authorization header; absent if it is of another scheme. */
static ph_str bearer(ph_str authorization)
{
    ph_str rest = authorization;
    ph_str scheme = ph_str_cut(&rest, ' ');
    return ph_str_equal_nocase(scheme, PH_STR("Bearer")) ? ph_str_trim(rest) : (ph_str){NULL, 0};
}

static api_verdict find_user(call *c)
{
    const api_config *config = c->service->config;
    ph_str token = bearer(c->request->authorization);
    if (c->request->authorization_twice)
        return (api_verdict){API_TOKEN_INVALID, "there is more than one Authorization header"};
    if (token.len == 0)
        return (api_verdict){API_TOKEN_MISSING, NULL};
    api_token_rules rules = {config->key, config->issuer, config->audience, config->user_claim};
    api_verdict verdict = api_token_check(&rules, token, c->request->now_ms, &c->user);
    if (verdict.problem != API_NO_PROBLEM)
        return verdict;
    ph_user_segment(ph_buf_view(&c->user), &c->answer->user);
    ph_buf_str(&c->prefix, config->prefix);
    ph_buf_str(&c->prefix, ph_buf_view(&c->answer->user));
    ph_buf_char(&c->prefix, '/');
    bool whole = c->answer->user.err == PH_OK && c->prefix.err == PH_OK;
    return (api_verdict){whole ? API_NO_PROBLEM : API_INTERNAL, NULL};
}

static void route_request(call *c)
{
    const api_request *request = c->request;
    api_answer *a = c->answer;
    const struct route *route = find_route(request->method, request->path, a->allow);
    if (!route && a->allow[0] && ph_str_equal(request->method, PH_STR("OPTIONS"))) {
        a->status = 204;
        add_header(a, "allow", a->allow);
        return;
    }
    if (!route && a->allow[0]) {
        add_header(a, "allow", a->allow);
        refuse_as(a, API_METHOD_NOT_ALLOWED, NULL);
        return;
    }
    if (!route) {
        refuse_as(a, API_NOT_FOUND, NULL);
        return;
    }
    api_verdict verdict = {API_NO_PROBLEM, NULL};
    if (request->body_too_large)
        verdict.problem = API_BODY_TOO_LARGE;
    else if (route->needs_user)
        verdict = find_user(c);
    if (verdict.problem == API_NO_PROBLEM)
        route->handle(c);
    else
        refuse(a, verdict);
}

/* The CORS headers, if the page's origin is one of ours. True: this was only the question whether
 * a request may be sent, and it is answered. */
static bool answer_cors(const api_config *config, const api_request *request, api_answer *a)
{
    const char *origin = NULL;
    for (size_t i = 0; i < config->origin_count && request->origin.ptr; i++)
        if (ph_str_equal(request->origin, config->origins[i]))
            origin = config->origins[i].ptr;
    add_header(a, "vary", "Origin");
    if (!origin)
        return false;
    add_header(a, "access-control-allow-origin", origin);
    if (!ph_str_equal(request->method, PH_STR("OPTIONS")) || !request->preflight_method.ptr) {
        add_header(a, "access-control-expose-headers",
                   "date, retry-after, www-authenticate, x-request-id");
        return false;
    }
    add_header(a, "access-control-allow-methods", "GET, POST, OPTIONS");
    add_header(a, "access-control-allow-headers", "authorization, content-type");
    add_header(a, "access-control-max-age", "7200");
    a->status = 204;
    return true;
}

static void begin_answer(const api_request *request, api_answer *out)
{
    memset(out, 0, sizeof *out);
    ph_buf_init(&out->body, MAX_ANSWER);
    ph_buf_init(&out->user, 64);
    add_header(out, "cache-control", "no-store");
    add_header(out, "x-content-type-options", "nosniff");
    add_header(out, "x-request-id", request->id);
}

static void end_answer(api_answer *out)
{
    if (out->body.err == PH_OK)
        return;
    out->status = 500; /* half a document helps nobody */
    out->code = "INTERNAL";
    ph_buf_clear(&out->body);
}

/* see routes.h */
void api_answer_make(const api_service *service, const api_request *request, api_answer *out)
{
    begin_answer(request, out);
    call c = {.service = service, .request = request, .answer = out};
    ph_buf_init(&c.user, API_USER_MAX);
    ph_buf_init(&c.prefix, 1024);
    if (!answer_cors(service->config, request, out))
        route_request(&c);
    end_answer(out);
    ph_buf_clear(&c.user);
    ph_buf_clear(&c.prefix);
}

/* see routes.h */
void api_answer_refuse(const api_request *request, api_verdict why, api_answer *out)
{
    begin_answer(request, out);
    refuse(out, why);
    end_answer(out);
}

/* see routes.h */
void api_answer_clear(api_answer *a)
{
    ph_buf_clear(&a->body);
    ph_buf_clear(&a->user);
}
