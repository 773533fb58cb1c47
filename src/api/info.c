/* SPDX-License-Identifier: MIT
 *
 * What the service tells about itself, to anybody who asks: that it lives, what it counted, what a
 * page has to know before it asks for more, and its description.
 */
#include "call.h"
#include "core/str.h"

static const char openapi[] = {
#include "openapi.inc"
};

/* see call.h */
void call_health(call *c)
{
    ph_buf *b = &c->answer->body;
    call_answer_json(c, 200);
    ph_json_open(b, NULL);
    ph_json_add_cstr(b, "status", "ok");
    ph_json_add_cstr(b, "version", PH_VERSION);
    ph_json_close(b);
}

/* see call.h */
void call_metrics(call *c)
{
    if (!c->service->config->metrics) {
        call_refuse(c, API_NOT_FOUND, NULL);
        return;
    }
    size_t count;
    const char *const *names = call_route_names(&count);
    api_gauges gauges;
    api_sts_counts(c->service->sts, &gauges.sts_asked, &gauges.sts_lent_again);
    c->answer->status = 200;
    call_add_header(c->answer, "content-type", "text/plain; version=0.0.4; charset=utf-8");
    api_metrics_text(c->service->metrics, names, count, &gauges, &c->answer->body);
}

/* A list of the configuration's, with commas between, as an array. */
static void add_list(ph_buf *b, const char *name, ph_str list)
{
    if (!list.ptr)
        return;
    ph_json_open_array(b, name);
    for (ph_str rest = list; rest.ptr;) {
        ph_str item = ph_str_trim(ph_str_cut(&rest, ','));
        if (item.len > 0)
            ph_json_add_text(b, NULL, item);
    }
    ph_json_close_array(b);
}

/* see call.h */
void call_about(call *c)
{
    static const char *const modes[] = {
        [API_AUTH_TOKEN] = "token",
        [API_AUTH_KEY] = "key",
        [API_AUTH_TOKEN_AND_KEY] = "token+key",
        [API_AUTH_ANY] = "any",
    };
    const api_config *config = c->service->config;
    ph_buf *b = &c->answer->body;
    call_answer_json(c, 200);
    ph_json_open(b, NULL);
    ph_json_add_cstr(b, "version", PH_VERSION);
    ph_json_add_text(b, "bucket", config->bucket);
    ph_json_add_text(b, "region", config->region);
    ph_json_add_text(b, "endpoint", config->s3_endpoint);
    ph_json_add_cstr(b, "auth", modes[config->auth]);
    add_list(b, "uploadTypes", PH_STR("put,multipart,post"));
    ph_json_open(b, "limits");
    ph_json_add_u64(b, "putSize", config->put_limit);
    ph_json_add_u64(b, "size", config->max_size);
    ph_json_add_u64(b, "files", config->max_files);
    ph_json_add_u64(b, "bodySize", API_BODY_MAX);
    ph_json_add_u64(b, "urlSeconds", config->url_seconds);
    ph_json_add_u64(b, "sessionSeconds", config->session_seconds);
    add_list(b, "types", config->types);
    add_list(b, "properties", config->properties);
    ph_json_close(b);
    ph_json_add_cstr(b, "openapi", "/openapi.json");
    ph_json_close(b);
}

/* see call.h */
void call_openapi(call *c)
{
    call_answer_json(c, 200);
    ph_buf_add(&c->answer->body, openapi, sizeof openapi);
}
