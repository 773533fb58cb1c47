/* SPDX-License-Identifier: MIT
 *
 * One request and its answer, on the same libcurl as uploads (transfer.c) and with the engine's
 * rule for waits. What is asked here changes nothing, so that asking again is harmless.
 */
#define _POSIX_C_SOURCE 200809L

#include "ask.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "core/date.h"
#include "core/endpoint.h"
#include "core/retry.h"
#include "transfer.h"

#define QUIET_MS 30000u
#define TURN_MS 200
#define MAX_WAIT_S 60u        /* that a service may ask for: somebody waits for the command */
#define MAX_ANSWER (8u << 20) /* a page of 1,000 uploads with the longest keys and ids */

/* Names that services give their answers. */
static bool is_request_id(ph_str name)
{
    return ph_str_equal(name, PH_STR("x-amzn-requestid")) ||
           ph_str_equal(name, PH_STR("x-amz-request-id")) ||
           ph_str_equal(name, PH_STR("x-request-id"));
}

static int take_answer(transfers *t, const ph_event *e, ask_answer *out)
{
    if (e->kind != PH_EVENT_RESPONSE) {
        ph_text_copy(out->reason, sizeof out->reason, ph_str_from(transfers_reason(t)));
        return e->err;
    }
    out->status = e->status;
    for (size_t i = 0; i < e->header_count; i++) {
        ph_header h = e->headers[i];
        if (is_request_id(h.name))
            ph_text_copy(out->request_id, sizeof out->request_id, h.value);
        uint64_t wait;
        if (ph_str_equal(h.name, PH_STR("retry-after")) && ph_str_u64(h.value, &wait))
            out->retry_after_ms = (uint32_t)(wait < MAX_WAIT_S ? wait : MAX_WAIT_S) * 1000;
        if (ph_str_equal(h.name, PH_STR("date")) && ph_date_parse(h.value, &out->date_ms) != PH_OK)
            out->date_ms = 0;
    }
    ph_buf_str(&out->body, e->body);
    return out->body.err == PH_ERR_TOO_LONG ? PH_ERR_NETWORK : out->body.err;
}

static int send_once(transfers *t, uint32_t id, const ph_request *r, ask_answer *out)
{
    ph_event e;
    ph_buf_reset(&out->body);
    out->status = 0;
    out->date_ms = 0;
    out->retry_after_ms = 0;
    out->request_id[0] = out->reason[0] = '\0';
    int err = transfers_start(t, id, r);
    if (err != PH_OK)
        return err;
    for (;;) {
        transfers_turn(t, TURN_MS);
        while (transfers_take(t, &e))
            if (e.kind != PH_EVENT_SENT)
                return take_answer(t, &e, out);
    }
}

static bool is_worth_another(int err, int status)
{
    if (err != PH_OK)
        return ph_err_retry(err) == PH_RETRY_BACKOFF;
    return status == 429 || (status >= 500 && status != 501);
}

static void sleep_ms(uint64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

/* see ask.h */
int ask_send(const ph_request *r, uint32_t tries, uint32_t timeout_ms, report *say,
             ask_reader *reader, ask_answer *out)
{
    transfers *t;
    ph_request request = *r;
    uint64_t random = cli_running_ms() << 20 ^ (uint64_t)getpid();
    memset(out, 0, sizeof *out);
    ph_buf_init(&out->body, MAX_ANSWER);
    int err = transfers_new(NULL, cli_env("AWS_CA_BUNDLE").ptr, timeout_ms, &t);
    if (err != PH_OK)
        return err;
    request.stall_ms = request.answer_ms = QUIET_MS;
    for (uint32_t tried = 1;; tried++) {
        err = send_once(t, tried, &request, out);
        int wrong = err;
        if (err == PH_OK && reader && out->status == 200)
            wrong = reader(ph_buf_view(&out->body));
        if (tried >= tries || !is_worth_another(wrong, out->status))
            break;
        uint64_t now_ms = cli_running_ms();
        uint64_t then_ms = ph_retry_at(now_ms, tried, out->retry_after_ms, &random);
        ph_notice n = {.kind = PH_NOTICE_RETRY,
                       .err = wrong,
                       .until_ms = then_ms,
                       .message = wrong == err ? out->reason : ph_err_text(wrong)};
        if (wrong == PH_OK) {
            n.err = out->status == 429 ? PH_ERR_SLOW_DOWN : PH_ERR_SERVER_ERROR;
            snprintf(out->reason, sizeof out->reason, "HTTP %d", out->status);
        }
        report_notice(say, &n, "", now_ms);
        sleep_ms(then_ms - now_ms);
    }
    transfers_free(t);
    return err;
}

/* see ask.h */
void ask_clear(ask_answer *a)
{
    ph_buf_clear(&a->body);
}

/* see ask.h */
bool ask_is_private(ph_str url)
{
    ph_url parsed;
    return ph_url_parse(url, &parsed) == PH_OK && (parsed.tls || ph_url_is_loopback(&parsed));
}
