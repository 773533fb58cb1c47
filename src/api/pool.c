/* SPDX-License-Identifier: MIT
 *
 * See pool.h. The queue needs no limit of its own: a job belongs to a connection, and those have one.
 */
#define _POSIX_C_SOURCE 200809L

#include "pool.h"

#include <pthread.h>
#include <stdlib.h>

#define MAX_THREADS 64

struct api_pool {
    pthread_mutex_t mutex;
    pthread_cond_t more;
    api_job *first, **last;
    bool stopping;
    void (*run)(void *context, api_job *job, bool late);
    void *context;
    size_t count;
    pthread_t threads[MAX_THREADS];
};

static void *work(void *context)
{
    api_pool *p = context;
    for (;;) {
        pthread_mutex_lock(&p->mutex);
        while (!p->first && !p->stopping)
            pthread_cond_wait(&p->more, &p->mutex);
        api_job *job = p->first;
        bool late = p->stopping;
        if (job) {
            p->first = job->next;
            if (!p->first)
                p->last = &p->first;
        }
        pthread_mutex_unlock(&p->mutex);
        if (!job)
            return NULL;
        p->run(p->context, job, late);
    }
}

/* see pool.h */
api_pool *api_pool_start(size_t threads, void (*run)(void *context, api_job *job, bool late),
                         void *context)
{
    api_pool *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->last = &p->first;
    p->run = run;
    p->context = context;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->more, NULL);
    while (p->count < threads && p->count < MAX_THREADS &&
           pthread_create(&p->threads[p->count], NULL, work, p) == 0)
        p->count++;
    if (p->count > 0)
        return p;
    api_pool_free(p);
    return NULL;
}

/* see pool.h */
bool api_pool_add(api_pool *p, api_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&p->mutex);
    bool taken = !p->stopping;
    if (taken) {
        *p->last = job;
        p->last = &job->next;
        pthread_cond_signal(&p->more);
    }
    pthread_mutex_unlock(&p->mutex);
    return taken;
}

/* see pool.h */
void api_pool_stop(api_pool *p)
{
    pthread_mutex_lock(&p->mutex);
    p->stopping = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->mutex);
    for (size_t i = 0; i < p->count; i++)
        pthread_join(p->threads[i], NULL);
}

/* see pool.h */
void api_pool_free(api_pool *p)
{
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}
