/* SPDX-License-Identifier: MIT
 *
 * The routes. A table says which function answers what and who may ask; everything that all answers
 * share (CORS, no-store, the request's id, rate limits, problem documents) is done around it. What a
 * user may write follows from verified claims alone: a request's body names a file, never a place.
 */
#define _POSIX_C_SOURCE 200809L

#include "routes.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "core/date.h"
#include "core/str.h"

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
        {PH_STR("x-api-key"), &request->api_key},
        {PH_STR("x-forwarded-for"), &request->forwarded_for},
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

/* ---- The table ------------------------------------------------------------------------------- */

/* How refusals look. */
enum style {
    PROBLEM, /* RFC 9457 */
    GATEWAY, /* {"message": "..."}, as an API gateway in front of the old Lambda said it */
    RO2KEY,  /* "Access Denied" */
};

static const struct route {
    const char *method;
    const char *path; /* one that ends in "*" takes a rest, which is not empty and has no "/" */
    void (*handle)(call *c);
    bool needs_user;
    enum style style;
} routes[] = {
    {"GET", "/healthz", call_health, false, PROBLEM},
    {"HEAD", "/healthz", call_health, false, PROBLEM},
    {"GET", "/metrics", call_metrics, false, PROBLEM},
    {"GET", "/.well-known/parthaul", call_about, false, PROBLEM},
    {"GET", "/openapi.json", call_openapi, false, PROBLEM},
    {"GET", "/v1/credentials", call_credentials, true, PROBLEM},
    {"POST", "/v1/uploads", call_uploads, true, PROBLEM},
    {"POST", "/v1/post-policy", call_post_policy, true, PROBLEM},
    {"GET", "/", call_getsts, true, GATEWAY},
    {"GET", "/dev/", call_getsts, true, GATEWAY},
    {"GET", "/get_key/*", call_get_key, true, RO2KEY},
};

#define ROUTES (sizeof routes / sizeof routes[0])

/* see call.h */
const char *const *call_route_names(size_t *count)
{
    static const char *const names[ROUTES + 1] = {
        "/healthz",
        "/healthz",
        "/metrics",
        "/.well-known/parthaul",
        "/openapi.json",
        "/v1/credentials",
        "/v1/uploads",
        "/v1/post-policy",
        "/",
        "/dev/",
        "/get_key/{role}",
        "none",
    };
    _Static_assert(ROUTES < API_METRICS_ROUTES, "each route has its counters");
    *count = ROUTES + 1;
    return names;
}

static bool matches(const struct route *r, ph_str path, ph_str *rest)
{
    ph_str pattern = ph_str_from(r->path);
    *rest = (ph_str){NULL, 0};
    if (!ph_str_ends(pattern, PH_STR("*")))
        return ph_str_equal(path, pattern);
    pattern.len--;
    if (!ph_str_starts(path, pattern) || path.len == pattern.len)
        return false;
    *rest = ph_str_skip(path, pattern.len);
    return ph_str_find(*rest, '/') == rest->len;
}

/* The route; NULL where there is none, with the methods of the path in `allow` if it has any. */
static const struct route *find_route(ph_str method, ph_str path, ph_str *rest, char allow[64])
{
    allow[0] = '\0';
    for (size_t i = 0; i < ROUTES; i++) {
        if (!matches(&routes[i], path, rest))
            continue;
        if (ph_str_equal(method, ph_str_from(routes[i].method)))
            return &routes[i];
        strcat(strcat(allow, routes[i].method), ", ");
    }
    if (allow[0])
        strcat(allow, "OPTIONS");
    return NULL;
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* see call.h */
void call_add_header(api_answer *a, const char *name, const char *value)
{
    if (a->header_count < API_MAX_HEADERS)
        a->headers[a->header_count++] = (ph_header){ph_str_from(name), ph_str_from(value)};
}

/* see call.h */
void call_answer_json(call *c, int status)
{
    c->answer->status = status;
    call_add_header(c->answer, "content-type", "application/json");
}

/* see call.h */
void call_add_date(ph_buf *b, const char *name, uint64_t ms)
{
    char text[21];
    ph_date_iso(ms, text);
    ph_json_add_cstr(b, name, text);
}

/* see call.h */
void call_add_credentials(ph_buf *b, const ph_creds *creds)
{
    ph_json_open(b, "credentials");
    ph_json_add_text(b, "accessKeyId", creds->access_key_id);
    ph_json_add_text(b, "secretAccessKey", creds->secret_access_key);
    ph_json_add_text(b, "sessionToken", creds->session_token);
    call_add_date(b, "expiration", creds->expires_ms);
    ph_json_close(b);
}

/* see call.h */
void call_add_problem(ph_buf *b, const char *name, api_verdict why)
{
    const api_problem_row *p = api_problem_info(why.problem);
    ph_json_open(b, name);
    ph_json_add_cstr(b, "type", "about:blank");
    ph_json_add_cstr(b, "title", p->title);
    ph_json_add_u64(b, "status", (uint64_t)p->status);
    ph_json_add_cstr(b, "code", p->code);
    ph_json_add_cstr(b, "detail", why.detail ? why.detail : p->detail);
    ph_json_close(b);
}

/* The old clients' ways. A key that is not ours is refused by a gateway's words everywhere: it is
 * the same check, and clients of either know them. */
static void add_refusal(api_answer *a, api_verdict why, enum style style)
{
    const api_problem_row *p = api_problem_info(why.problem);
    if (style == PROBLEM && why.problem != API_KEY_REFUSED) {
        call_add_header(a, "content-type", "application/problem+json");
        call_add_problem(&a->body, NULL, why);
        return;
    }
    call_add_header(a, "content-type", "application/json");
    if (style == RO2KEY && p->status == 403 && why.problem != API_KEY_REFUSED) {
        ph_buf_cstr(&a->body, "\"Access Denied\"");
        return;
    }
    ph_json_open(&a->body, NULL);
    ph_json_add_cstr(&a->body, "message", p->title);
    ph_json_close(&a->body);
}

static void refuse(api_answer *a, api_verdict why, enum style style)
{
    if (style == RO2KEY && why.problem == API_STS_FAILED) /* there it was one and the same */
        why.problem = API_FORBIDDEN;
    const api_problem_row *p = api_problem_info(why.problem);
    a->status = p->status;
    a->code = p->code;
    if (why.problem == API_TOKEN_MISSING) /* RFC 6750, 3.1: nothing was tried, so no error */
        call_add_header(a, "www-authenticate", "Bearer");
    else if (p->status == 401)
        call_add_header(a, "www-authenticate", "Bearer error=\"invalid_token\"");
    else if (why.problem == API_SCOPE_MISSING)
        call_add_header(a, "www-authenticate", "Bearer error=\"insufficient_scope\"");
    if (p->status == 503)
        call_add_header(a, "retry-after", "5");
    else if (p->status == 429)
        call_add_header(a, "retry-after", a->retry_after);
    ph_buf_clear(&a->body);
    add_refusal(a, why, style);
}

static enum style style_of(const api_request *request)
{
    ph_str rest;
    for (size_t i = 0; i < ROUTES; i++)
        if (matches(&routes[i], request->path, &rest))
            return routes[i].style;
    return PROBLEM;
}

/* see call.h */
void call_refuse(call *c, api_problem problem, const char *detail)
{
    if (problem == API_WOULD_WAIT)
        c->answer->would_wait = true;
    else
        refuse(c->answer, (api_verdict){problem, detail}, style_of(c->request));
}

/* see call.h */
void call_fail(call *c, int err)
{
    c->answer->error = ph_err_name(err);
    switch (err) {
    case PH_ERR_NETWORK:
    case PH_ERR_TIMEOUT:
    case PH_ERR_TLS:
    case PH_ERR_SERVER_ERROR:
    case PH_ERR_SLOW_DOWN: call_refuse(c, API_STS_UNREACHABLE, NULL); break;
    case PH_ERR_NO_CREDENTIALS: call_refuse(c, API_CREDENTIALS_MISSING, NULL); break;
    case PH_ERR_CLOCK_SKEW:
    case PH_ERR_REFUSED:
    case PH_ERR_BAD_XML:
    case PH_ERR_BAD_DATE:
    case PH_ERR_BAD_ANSWER: call_refuse(c, API_STS_FAILED, NULL); break;
    default: call_refuse(c, API_INTERNAL, NULL);
    }
}

/* ---- Credentials ----------------------------------------------------------------------------- */

/* see call.h */
api_wish call_wish(const call *c)
{
    return (api_wish){
        .role_arn = c->service->config->role_arn,
        .user = ph_buf_view(&c->who.user),
        .prefix = ph_buf_view(&c->who.prefix),
    };
}

/* see call.h */
bool call_borrow(call *c, const api_wish *wish, api_loan *out)
{
    const api_service *s = c->service;
    uint64_t now_ms = c->request->now_ms;
    bool would_wait = false;
    int err =
        s->borrow(s->sts, wish, now_ms, !c->request->no_wait, &would_wait, out, &c->answer->said);
    if (err == PH_OK && would_wait) {
        c->answer->would_wait = true;
        return false;
    }
    if (err == PH_OK && out->creds.expires_ms > now_ms)
        return true;
    if (err == PH_OK) { /* their clock and ours disagree by more than a session's life */
        api_loan_clear(out);
        err = PH_ERR_CLOCK_SKEW;
    }
    call_fail(c, err);
    return false;
}

/* ---- Around the table ------------------------------------------------------------------------ */

/*
 * Who asks, as far as it can be believed: the address of the connection, or what the outermost of
 * our own proxies has written at its place in X-Forwarded-For, counted from the end.
 */
static ph_str address_of(const api_config *config, const api_request *request)
{
    ph_str rest = request->forwarded_for;
    ph_str found = request->address;
    size_t commas = 0;
    for (size_t i = 0; i < rest.len; i++)
        commas += rest.ptr[i] == ',';
    if (config->proxies == 0 || !rest.ptr || commas + 1 < config->proxies)
        return found;
    for (size_t i = 0; i + config->proxies <= commas + 1; i++)
        found = ph_str_trim(ph_str_cut(&rest, ','));
    return found;
}

/*
 * What the limits know it by: no port, which some proxies add, and of IPv6 only the first half, since
 * one customer has all the rest. `place` is for that half.
 */
static ph_str network_of(ph_str address, uint8_t place[sizeof(struct in6_addr)])
{
    static const uint8_t of_ipv4[12] = {[10] = 0xff, [11] = 0xff};
    char text[INET6_ADDRSTRLEN];
    ph_str port = address;
    ph_str host = ph_str_cut(&port, ':');
    if (ph_str_starts(address, PH_STR("["))) {
        address = ph_str_skip(address, 1);
        address.len = ph_str_find(address, ']');
    } else if (port.ptr && ph_str_find(port, ':') == port.len) {
        address = host;
    }
    if (address.len == 0 || address.len >= sizeof text)
        return address;
    memcpy(text, address.ptr, address.len);
    text[address.len] = '\0';
    if (inet_pton(AF_INET6, text, place) != 1 || memcmp(place, of_ipv4, sizeof of_ipv4) == 0)
        return address;
    return (ph_str){(const char *)place, sizeof(struct in6_addr) / 2};
}

static bool is_within(call *c, char kind, ph_str who, uint32_t per_minute)
{
    uint32_t seconds;
    bool told = kind == 'u' ? c->request->user_counted : c->request->counted;
    if (told || !who.ptr ||
        api_limits_take(c->service->limits, kind, who, per_minute, c->request->now_ms, &seconds))
        return true;
    snprintf(c->answer->retry_after, sizeof c->answer->retry_after, "%u", (unsigned)seconds);
    return false;
}

static api_verdict find_user(call *c)
{
    const api_request *request = c->request;
    const api_config *config = c->service->config;
    uint8_t place[sizeof(struct in6_addr)];
    ph_str network = network_of(address_of(config, request), place);
    if (!is_within(c, 'a', network, config->rates.per_address))
        return (api_verdict){API_TOO_MANY_REQUESTS, NULL};
    api_presented presented = {request->authorization, request->authorization_twice,
                               request->api_key};
    api_verdict verdict =
        api_auth_check(c->service->auth, &presented, request->now_ms, !request->no_wait, &c->who);
    if (verdict.problem != API_NO_PROBLEM)
        return verdict;
    ph_user_segment(ph_buf_view(&c->who.user), &c->answer->user);
    if (c->answer->user.err != PH_OK)
        return (api_verdict){API_INTERNAL, NULL};
    if (!is_within(c, 'u', ph_buf_view(&c->who.user), config->rates.per_user))
        return (api_verdict){API_TOO_MANY_REQUESTS, NULL};
    return verdict;
}

static void handle(call *c, const struct route *route)
{
    api_verdict verdict = {API_NO_PROBLEM, NULL};
    if (c->request->body_too_large)
        verdict.problem = API_BODY_TOO_LARGE;
    else if (route->needs_user)
        verdict = find_user(c);
    if (verdict.problem == API_NO_PROBLEM)
        route->handle(c);
    else
        call_refuse(c, verdict.problem, verdict.detail);
}

/* Gives the route's index, ROUTES for none. */
static size_t route_request(call *c)
{
    const api_request *request = c->request;
    api_answer *a = c->answer;
    const struct route *route = find_route(request->method, request->path, &c->rest, a->allow);
    if (route) {
        handle(c, route);
        return (size_t)(route - routes);
    }
    if (!a->allow[0]) {
        call_refuse(c, API_NOT_FOUND, NULL);
        return ROUTES;
    }
    call_add_header(a, "allow", a->allow);
    if (ph_str_equal(request->method, PH_STR("OPTIONS")))
        a->status = 204;
    else
        call_refuse(c, API_METHOD_NOT_ALLOWED, NULL);
    return ROUTES;
}

/* The CORS headers, if the page's origin is one of ours. True: this was only the question whether
 * a request may be sent, and it is answered. */
static bool answer_cors(const api_config *config, const api_request *request, api_answer *a)
{
    const char *origin = NULL;
    for (size_t i = 0; i < config->origin_count && request->origin.ptr; i++)
        if (ph_str_equal(request->origin, config->origins[i]))
            origin = config->origins[i].ptr;
    call_add_header(a, "vary", "Origin");
    if (!origin)
        return false;
    call_add_header(a, "access-control-allow-origin", origin);
    if (!ph_str_equal(request->method, PH_STR("OPTIONS")) || !request->preflight_method.ptr) {
        call_add_header(a, "access-control-expose-headers",
                        "date, retry-after, www-authenticate, x-request-id");
        return false;
    }
    call_add_header(a, "access-control-allow-methods", "GET, POST, OPTIONS");
    call_add_header(a, "access-control-allow-headers", "authorization, content-type, x-api-key");
    call_add_header(a, "access-control-max-age", "7200");
    a->status = 204;
    return true;
}

static void begin_answer(const api_request *request, api_answer *out)
{
    memset(out, 0, sizeof *out);
    ph_buf_init(&out->body, CALL_MAX_ANSWER);
    ph_buf_init(&out->user, 64);
    call_add_header(out, "cache-control", "no-store");
    call_add_header(out, "x-content-type-options", "nosniff");
    call_add_header(out, "x-request-id", request->id);
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
    api_identity_init(&c.who);
    size_t route = ROUTES;
    if (!answer_cors(service->config, request, out))
        route = route_request(&c);
    end_answer(out);
    if (!out->would_wait)
        api_metrics_answer(service->metrics, route, out->status);
    api_identity_clear(&c.who);
}

/* see routes.h */
void api_answer_refuse(const api_service *service, const api_request *request, api_verdict why,
                       api_answer *out)
{
    ph_str rest;
    begin_answer(request, out);
    const struct route *route = find_route(request->method, request->path, &rest, out->allow);
    if (!answer_cors(service->config, request, out))
        refuse(out, why, style_of(request));
    end_answer(out);
    api_metrics_answer(service->metrics, route ? (size_t)(route - routes) : ROUTES, out->status);
}

/* see routes.h */
void api_answer_clear(api_answer *a)
{
    ph_buf_clear(&a->body);
    ph_buf_clear(&a->user);
}
