/* SPDX-License-Identifier: MIT
 *
 * See lambda_event.h. The formats are those of "Working with AWS Lambda proxy integrations for HTTP
 * APIs" and "... for REST APIs" in API Gateway's guide. Any field may be missing: function URLs
 * leave out what they have no value for.
 */
#include "lambda_event.h"

#include <string.h>

#include "core/enc.h"
#include "core/json_out.h"
#include "core/str.h"

#define MAX_QUERY ((size_t)32 << 10) /* front ends take 10 KiB, of which each byte may be escaped */

/* ---- Headers --------------------------------------------------------------------------------- */

/* {"name": "value"}; false when a value is no text. */
static bool take_headers(const ph_json *headers, api_request *r)
{
    for (const ph_json *h = ph_json_first(headers); h; h = ph_json_next(h)) {
        ph_str value = ph_json_text(h);
        if (!value.ptr)
            return false;
        api_request_header(r, ph_json_name(h), value);
    }
    return true;
}

/* {"name": ["value", ...]} */
static bool take_header_lists(const ph_json *headers, api_request *r)
{
    for (const ph_json *list = ph_json_first(headers); list; list = ph_json_next(list)) {
        if (!ph_json_is_array(list))
            return false;
        for (const ph_json *h = ph_json_first(list); h; h = ph_json_next(h)) {
            ph_str value = ph_json_text(h);
            if (!value.ptr)
                return false;
            api_request_header(r, ph_json_name(list), value);
        }
    }
    return true;
}

/* The lists have all that the plain ones have, and what came twice. */
static bool take_all_headers(const ph_json *event, api_request *r)
{
    const ph_json *lists = ph_json_member(event, "multiValueHeaders");
    const ph_json *plain = ph_json_member(event, "headers");
    if (ph_json_is_object(lists))
        return take_header_lists(lists, r);
    return !ph_json_is_object(plain) || take_headers(plain, r);
}

/* ---- Path ------------------------------------------------------------------------------------ */

/* `path` without a leading "/STAGE"; as it is where it has none. */
static ph_str without_stage(ph_str path, ph_str stage)
{
    if (stage.len == 0 || path.len < stage.len + 1 || path.ptr[0] != '/' ||
        !ph_str_starts(ph_str_skip(path, 1), stage))
        return path;
    ph_str rest = ph_str_skip(path, stage.len + 1);
    if (rest.len == 0)
        return PH_STR("/");
    return rest.ptr[0] == '/' ? rest : path;
}

/*
 * A REST API tells two paths: `path`, and requestContext.path as it was on the wire. Where the
 * second is "/STAGE" and the first, the stage is gone already; taking it away again would break a
 * stage whose name is that of a folder, as "v1".
 */
static bool is_without_stage(ph_str path, ph_str wire)
{
    return wire.len > path.len && ph_str_ends(wire, path);
}

/* ---- Query and address ----------------------------------------------------------------------- */

static void add_argument(ph_buf *query, ph_str name, ph_str value)
{
    if (query->len > 0)
        ph_buf_char(query, '&');
    ph_enc_percent(query, name, false);
    ph_buf_char(query, '=');
    ph_enc_percent(query, value, false);
}

/* 2.0 has it as it was on the wire, 1.0 only taken apart and decoded. False when it is too long. */
static bool take_query(const ph_json *event, api_event *e)
{
    e->request.query = ph_json_member_text(event, "rawQueryString");
    const ph_json *lists = ph_json_member(event, "multiValueQueryStringParameters");
    const ph_json *plain = ph_json_member(event, "queryStringParameters");
    if (e->request.query.ptr)
        return true;
    bool has_lists = ph_json_is_object(lists);
    for (const ph_json *a = ph_json_first(has_lists ? lists : plain); a; a = ph_json_next(a)) {
        if (!has_lists)
            add_argument(&e->query, ph_json_name(a), ph_json_text(a));
        for (const ph_json *v = has_lists ? ph_json_first(a) : NULL; v; v = ph_json_next(v))
            add_argument(&e->query, ph_json_name(a), ph_json_text(v));
    }
    e->request.query = ph_buf_view(&e->query);
    return e->query.err == PH_OK;
}

/* Whoever the front end was called by: with CloudFront before it, CloudFront. */
static void take_address(const ph_json *event, api_request *r)
{
    const ph_json *context = ph_json_member(event, "requestContext");
    r->address = ph_json_member_text(ph_json_member(context, "http"), "sourceIp");
    if (!r->address.ptr)
        r->address = ph_json_member_text(ph_json_member(context, "identity"), "sourceIp");
}

/* ---- Body ------------------------------------------------------------------------------------ */

static api_event_kind take_base64(ph_str text, api_event *e)
{
    const size_t most = API_BODY_MAX / 3 * 4 + 4;
    if (text.len > most) {
        e->request.body_too_large = true;
        return API_EVENT_REQUEST;
    }
    ph_buf_reserve(&e->body, text.len / 4 * 3 + 1);
    if (e->body.err != PH_OK)
        return API_EVENT_NO_MEMORY;
    if (ph_dec_base64(text, e->body.ptr, e->body.cap, &e->body.len) != PH_OK)
        return API_EVENT_UNREADABLE;
    e->request.body = ph_buf_view(&e->body);
    return API_EVENT_REQUEST;
}

static api_event_kind take_body(const ph_json *event, api_event *e)
{
    const ph_json *body = ph_json_member(event, "body");
    ph_str text = ph_json_text(body);
    if (ph_json_is_null(body))
        return API_EVENT_REQUEST;
    if (!text.ptr)
        return API_EVENT_UNREADABLE;
    api_event_kind kind = API_EVENT_REQUEST;
    if (ph_json_is_true(ph_json_member(event, "isBase64Encoded")))
        kind = take_base64(text, e);
    else
        e->request.body = text;
    if (e->request.body.len > API_BODY_MAX)
        e->request.body_too_large = true;
    if (e->request.body_too_large)
        e->request.body = (ph_str){NULL, 0};
    return kind;
}

/* ---- The event ------------------------------------------------------------------------------- */

static ph_str either(ph_str a, ph_str b)
{
    return a.ptr ? a : b;
}

/* Method and path, from where this format has them; false when this is no HTTP request. */
static bool take_line(const ph_json *event, api_request *r)
{
    const ph_json *context = ph_json_member(event, "requestContext");
    const ph_json *http = ph_json_member(context, "http");
    ph_str stage = ph_json_member_text(context, "stage"); /* "$default": no path begins so */
    if (ph_json_is_object(http)) {
        r->method = ph_json_member_text(http, "method");
        r->path = either(ph_json_member_text(event, "rawPath"), ph_json_member_text(http, "path"));
        r->path = without_stage(r->path, stage);
    } else {
        ph_str wire = ph_json_member_text(context, "path");
        r->method = ph_json_member_text(event, "httpMethod");
        r->path = either(ph_json_member_text(event, "path"), wire);
        if (!is_without_stage(r->path, wire))
            r->path = without_stage(r->path, stage);
    }
    return r->method.ptr && r->path.ptr;
}

/* see lambda_event.h */
api_event_kind api_event_read(ph_str text, const char *id, uint64_t now_ms, api_event *out)
{
    memset(out, 0, sizeof *out);
    ph_buf_init(&out->body, API_BODY_MAX + 8);
    ph_buf_init(&out->query, MAX_QUERY);
    out->request.id = id;
    out->request.now_ms = now_ms;
    int err = ph_json_parse(text, &out->document);
    if (err == PH_ERR_NOMEM)
        return API_EVENT_NO_MEMORY;
    if (err != PH_OK)
        return API_EVENT_UNREADABLE;
    if (!take_line(out->document, &out->request))
        return API_EVENT_FOREIGN;
    take_address(out->document, &out->request);
    bool taken = take_query(out->document, out) && take_all_headers(out->document, &out->request);
    if (out->query.err == PH_ERR_NOMEM)
        return API_EVENT_NO_MEMORY;
    if (!taken)
        return API_EVENT_UNREADABLE;
    return take_body(out->document, out);
}

/* see lambda_event.h */
void api_event_clear(api_event *e)
{
    ph_json_free(e->document);
    ph_buf_clear(&e->body);
    ph_buf_clear(&e->query);
    memset(e, 0, sizeof *e);
}

/* ---- The answer ------------------------------------------------------------------------------ */

/* see lambda_event.h */
void api_event_answer(const api_request *request, const api_answer *answer, ph_buf *out)
{
    ph_str body = ph_buf_view(&answer->body);
    if (ph_str_equal(request->method, PH_STR("HEAD")))
        body.len = 0;
    ph_json_open(out, NULL);
    /* Without a status Lambda would take the whole document for the body of a 200. */
    ph_json_add_u64(out, "statusCode", (uint64_t)answer->status);
    ph_json_open(out, "headers");
    for (size_t i = 0; i < answer->header_count; i++)
        ph_json_add_text(out, answer->headers[i].name.ptr, answer->headers[i].value);
    ph_json_close(out);
    ph_json_add_text(out, "body", body.ptr ? body : PH_STR(""));
    ph_json_add_bool(out, "isBase64Encoded", false); /* all that is answered here is UTF-8 */
    ph_json_close(out);
}
