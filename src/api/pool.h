/* SPDX-License-Identifier: MIT
 *
 * pool - a few threads for what has to wait for others, so that those which serve never do.
 */
#ifndef API_POOL_H
#define API_POOL_H

#include <stdbool.h>
#include <stddef.h>

/* What is to be done; the pool links it, its owner keeps it until `run` is called. */
typedef struct api_job {
    struct api_job *next;
} api_job;

typedef struct api_pool api_pool;

/*
 * Start `threads` threads that call `run` for each job, in the order in which they came. When the
 * pool is stopped, `late` is true for those that nobody had begun. NULL: it cannot be.
 */
api_pool *api_pool_start(size_t threads, void (*run)(void *context, api_job *job, bool late),
                         void *context);

/* False: the pool is stopped, and the job is still the caller's. */
bool api_pool_add(api_pool *p, api_job *job);

/* Wait for what has begun, run the rest as late, and take no more. */
void api_pool_stop(api_pool *p);
void api_pool_free(api_pool *p); /* of one that is stopped, when nobody adds any more */

#endif
