/* SPDX-License-Identifier: MIT
 *
 * See log.h. A line leaves by one write(), so that lines of several threads do not mix.
 */
#define _POSIX_C_SOURCE 200809L

#include "log.h"

#include <unistd.h>

#include "core/date.h"
#include "core/json_out.h"
#include "core/str.h"

#define MAX_LINE 8192
#define MAX_PATH 256

static void add_date(ph_buf *b, const char *name, uint64_t ms)
{
    char text[21];
    ph_date_iso(ms, text);
    ph_json_add_cstr(b, name, text);
}

static void begin(ph_buf *line, uint64_t now_ms)
{
    ph_buf_init(line, MAX_LINE);
    ph_json_open(line, NULL);
    add_date(line, "time", now_ms);
}

static void end(ph_buf *line)
{
    ph_json_close(line);
    ph_buf_char(line, '\n');
    if (line->err == PH_OK && write(STDERR_FILENO, line->ptr, line->len) < 0) {
        /* There is nobody left to tell. */
    }
    ph_buf_clear(line);
}

/* What a client sent, cut and in ASCII: it is neither trusted nor worth more. */
static void add_foreign(ph_buf *line, const char *name, ph_str value)
{
    char text[MAX_PATH];
    size_t len = value.len < sizeof text ? value.len : sizeof text;
    for (size_t i = 0; i < len; i++)
        text[i] = value.ptr[i] < ' ' || value.ptr[i] > '~' ? '?' : value.ptr[i];
    ph_json_add_text(line, name, (ph_str){text, len});
}

/* see log.h */
void api_log_event(uint64_t now_ms, const char *event, ph_str detail)
{
    ph_buf line;
    begin(&line, now_ms);
    ph_json_add_cstr(&line, "event", event);
    ph_json_add_text(&line, "detail", detail);
    end(&line);
}

/* see log.h */
void api_log_request(const api_request *request, const api_answer *answer, uint64_t duration_ms)
{
    ph_buf line;
    begin(&line, request->now_ms);
    ph_json_add_cstr(&line, "id", request->id);
    add_foreign(&line, "method", request->method);
    add_foreign(&line, "path", request->path);
    ph_json_add_u64(&line, "status", (uint64_t)answer->status);
    ph_json_add_u64(&line, "ms", duration_ms);
    if (answer->user.len > 0)
        ph_json_add_text(&line, "user", ph_buf_view(&answer->user));
    ph_json_add_cstr(&line, "code", answer->code);
    ph_json_add_cstr(&line, "error", answer->error);
    if (answer->said.code[0])
        add_foreign(&line, "sts", ph_str_from(answer->said.code));
    if (answer->said.message[0])
        add_foreign(&line, "stsMessage", ph_str_from(answer->said.message));
    end(&line);
}
