/* SPDX-License-Identifier: MIT
 *
 * See metrics.h. Counters only, without locks; no label ever has a value that a client chose.
 */
#include "metrics.h"

#include <stdatomic.h>
#include <stdlib.h>

#define CLASSES 6 /* of status codes: 0 (odd), 1xx to 5xx */

static const uint64_t bounds_us[] = {100, 300, 1000, 3000, 10000, 30000, 100000, 1000000, 10000000};
#define BOUNDS (sizeof bounds_us / sizeof bounds_us[0])

struct api_metrics {
    atomic_ullong answers[API_METRICS_ROUTES][CLASSES];
    atomic_ullong times[BOUNDS + 1];
    atomic_ullong time_sum_us;
};

/* see metrics.h */
api_metrics *api_metrics_new(void)
{
    return calloc(1, sizeof(api_metrics));
}

/* see metrics.h */
void api_metrics_free(api_metrics *m)
{
    free(m);
}

/* see metrics.h */
void api_metrics_answer(api_metrics *m, size_t route, int status)
{
    int class = status / 100;
    if (route < API_METRICS_ROUTES)
        atomic_fetch_add(&m->answers[route][class > 0 && class < CLASSES ? class : 0], 1);
}

/* see metrics.h */
void api_metrics_time(api_metrics *m, uint64_t us)
{
    size_t i = 0;
    while (i < BOUNDS && us > bounds_us[i])
        i++;
    atomic_fetch_add(&m->times[i], 1);
    atomic_fetch_add(&m->time_sum_us, us);
}

/* Microseconds as seconds, "0.000100". */
static void add_seconds(ph_buf *out, uint64_t us)
{
    ph_buf_u64(out, us / 1000000);
    ph_buf_char(out, '.');
    for (uint64_t unit = 100000; unit > 0; unit /= 10)
        ph_buf_char(out, (char)('0' + us / unit % 10));
}

static void add_counter(ph_buf *out, const char *name, const char *help, uint64_t value)
{
    ph_buf_cstr(out, "# HELP ");
    ph_buf_cstr(out, name);
    ph_buf_char(out, ' ');
    ph_buf_cstr(out, help);
    ph_buf_cstr(out, "\n# TYPE ");
    ph_buf_cstr(out, name);
    ph_buf_cstr(out, " counter\n");
    ph_buf_cstr(out, name);
    ph_buf_char(out, ' ');
    ph_buf_u64(out, value);
    ph_buf_char(out, '\n');
}

static void add_times(const api_metrics *m, ph_buf *out)
{
    static const char name[] = "parthaul_api_request_seconds";
    ph_buf_cstr(out, "# HELP parthaul_api_request_seconds Time that answers took.\n"
                     "# TYPE parthaul_api_request_seconds histogram\n");
    uint64_t sum = 0;
    for (size_t i = 0; i <= BOUNDS; i++) {
        sum += atomic_load(&m->times[i]);
        ph_buf_cstr(out, name);
        ph_buf_cstr(out, "_bucket{le=\"");
        if (i < BOUNDS)
            add_seconds(out, bounds_us[i]);
        else
            ph_buf_cstr(out, "+Inf");
        ph_buf_cstr(out, "\"} ");
        ph_buf_u64(out, sum);
        ph_buf_char(out, '\n');
    }
    ph_buf_cstr(out, name);
    ph_buf_cstr(out, "_sum ");
    add_seconds(out, atomic_load(&m->time_sum_us));
    ph_buf_char(out, '\n');
    ph_buf_cstr(out, name);
    ph_buf_cstr(out, "_count ");
    ph_buf_u64(out, sum);
    ph_buf_char(out, '\n');
}

/* see metrics.h */
void api_metrics_text(const api_metrics *m, const char *const *names, size_t count,
                      const api_gauges *gauges, ph_buf *out)
{
    ph_buf_cstr(out, "# HELP parthaul_api_answers_total Answers by route and class of status.\n"
                     "# TYPE parthaul_api_answers_total counter\n");
    for (size_t r = 0; r < count && r < API_METRICS_ROUTES; r++)
        for (int class = 0; class < CLASSES; class ++) {
            uint64_t n = atomic_load(&m->answers[r][class]);
            if (n == 0)
                continue;
            ph_buf_cstr(out, "parthaul_api_answers_total{route=\"");
            ph_buf_cstr(out, names[r]);
            ph_buf_cstr(out, "\",status=\"");
            ph_buf_char(out, (char)('0' + class));
            ph_buf_cstr(out, "xx\"} ");
            ph_buf_u64(out, n);
            ph_buf_char(out, '\n');
        }
    add_times(m, out);
    add_counter(out, "parthaul_api_sts_requests_total", "Requests to STS.", gauges->sts_asked);
    add_counter(out, "parthaul_api_sts_cached_total", "Credentials lent again without asking STS.",
                gauges->sts_lent_again);
}
