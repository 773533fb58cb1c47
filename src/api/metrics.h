/* SPDX-License-Identifier: MIT
 *
 * metrics - what is counted, and its text for Prometheus.
 */
#ifndef API_METRICS_H
#define API_METRICS_H

#include "core/buf.h"

#define API_METRICS_ROUTES 16

typedef struct api_metrics api_metrics;

api_metrics *api_metrics_new(void); /* NULL: out of memory */
void api_metrics_free(api_metrics *m);

/* Count an answer; `route` is an index below API_METRICS_ROUTES. Threads may count at once. */
void api_metrics_answer(api_metrics *m, size_t route, int status);

/* Count how long an answer took, from the request's first byte to the answer's last step. */
void api_metrics_time(api_metrics *m, uint64_t us);

/* Numbers that others count. */
typedef struct api_gauges {
    uint64_t sts_asked, sts_lent_again;
} api_gauges;

/* Add the text (version 0.0.4); `names` are the routes' labels. */
void api_metrics_text(const api_metrics *m, const char *const *names, size_t count,
                      const api_gauges *gauges, ph_buf *out);

#endif
