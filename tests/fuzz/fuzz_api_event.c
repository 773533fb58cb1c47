/* SPDX-License-Identifier: MIT
 *
 * Fuzzes Lambda's events: whatever comes is of one of four kinds, what is called a request has what
 * a request needs within its limits, and refusing any event gives a JSON document.
 */
#include "fuzz.h"

#include "api/lambda_event.h"
#include "core/str.h"

static const api_config config; /* says nothing, which is enough to refuse */

static void check_answer(const api_request *request)
{
    static api_service service;
    if (!service.metrics)
        service = (api_service){.config = &config, .metrics = api_metrics_new()};
    api_answer answer;
    ph_buf text;
    ph_json *document;
    ph_buf_init(&text, 1 << 20);
    api_answer_refuse(&service, request, (api_verdict){API_BAD_REQUEST, NULL}, &answer);
    api_event_answer(request, &answer, &text);
    MUST(text.err == PH_OK && ph_json_parse(ph_buf_view(&text), &document) == PH_OK);
    uint64_t status = 0;
    MUST(ph_json_u64(ph_json_member(document, "statusCode"), &status) && status == 400);
    ph_json_free(document);
    ph_buf_clear(&text);
    api_answer_clear(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    api_event e;
    api_event_kind kind = api_event_read((ph_str){(const char *)data, size}, "id", 1, &e);
    MUST(kind == API_EVENT_REQUEST || kind == API_EVENT_UNREADABLE || kind == API_EVENT_FOREIGN);
    if (kind == API_EVENT_REQUEST) {
        MUST(e.request.method.ptr && e.request.path.ptr);
        MUST(e.request.body.len <= API_BODY_MAX);
        MUST(!e.request.body_too_large || e.request.body.len == 0);
    }
    if (kind != API_EVENT_FOREIGN)
        check_answer(&e.request);
    api_event_clear(&e);
    return 0;
}
