/* SPDX-License-Identifier: MIT
 *
 * Digesting beside the loop that sends. Threads, and not bounded steps within the loop, for two
 * reasons: SHA-256 is slower than a fast line, and whoever reads a part first waits for the disk.
 * So both waits are here, and when the loop sends the part, its bytes are in the system's cache.
 * Two threads, because the engine asks for two digests at most.
 */
#define _POSIX_C_SOURCE 200809L

#include "hasher.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define THREADS 2
#define PIECE (1u << 20)

typedef struct task {
    struct task *next;
    ph_hash_job job;
    ph_event result;
    enum { WAITING, RUNNING, ENDED } state;
    bool cancelled;
} task;

struct hasher {
    const source *file;
    void (*wake)(void *);
    void *context;
    pthread_mutex_t lock; /* over all that follows */
    pthread_cond_t work;
    task *tasks; /* in the order in which they came */
    bool closing;
    size_t threads;
    pthread_t thread[THREADS];
};

/* ---- On the threads -------------------------------------------------------------------------- */

static bool is_unwanted(hasher *h, const task *t)
{
    pthread_mutex_lock(&h->lock);
    bool unwanted = t->cancelled || h->closing;
    pthread_mutex_unlock(&h->lock);
    return unwanted;
}

/* Fills in the result. A task that nobody wants any more ends early, with any result. */
static void digest(hasher *h, task *t, char *piece)
{
    const ph_hash_job *job = &t->job;
    ph_hash hash[2];
    int err = PH_OK;
    ph_hash_init(&hash[0], job->alg[0]);
    ph_hash_init(&hash[1], job->alg[1]);
    for (uint64_t done = 0; err == PH_OK && done < job->length && !is_unwanted(h, t);) {
        size_t n = job->length - done < PIECE ? (size_t)(job->length - done) : PIECE;
        err = source_read(h->file, piece, n, job->offset + done);
        for (int i = 0; err == PH_OK && i < 2; i++)
            ph_hash_update(&hash[i], piece, n);
        done += n;
    }
    if (err == PH_OK)
        err = source_check(h->file);
    t->result.kind = err == PH_OK ? PH_EVENT_HASHED : PH_EVENT_UNREADABLE;
    t->result.err = err;
    for (int i = 0; i < 2; i++)
        ph_hash_digest(&hash[i], &t->result.digest[i]);
}

static task *first_waiting(hasher *h)
{
    task *t = h->tasks;
    while (t && t->state != WAITING)
        t = t->next;
    return t;
}

static void *run(void *context)
{
    hasher *h = context;
    char *piece = malloc(PIECE);
    pthread_mutex_lock(&h->lock);
    while (!h->closing) {
        task *t = first_waiting(h);
        if (!t) {
            pthread_cond_wait(&h->work, &h->lock);
            continue;
        }
        t->state = RUNNING;
        pthread_mutex_unlock(&h->lock);
        if (piece) {
            digest(h, t, piece);
        } else {
            t->result.kind = PH_EVENT_UNREADABLE;
            t->result.err = PH_ERR_NOMEM;
        }
        pthread_mutex_lock(&h->lock);
        t->state = ENDED;
        h->wake(h->context);
    }
    pthread_mutex_unlock(&h->lock);
    free(piece);
    return NULL;
}

/* ---- On the caller's ------------------------------------------------------------------------- */

/* see hasher.h; signals are the caller's thread's */
int hasher_new(const source *file, void (*wake)(void *), void *context, hasher **out)
{
    sigset_t all, before;
    hasher *h = calloc(1, sizeof *h);
    if (!h)
        return PH_ERR_NOMEM;
    *h = (hasher){.file = file, .wake = wake, .context = context};
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->work, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (h->threads < THREADS && pthread_create(&h->thread[h->threads], NULL, run, h) == 0)
        h->threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (h->threads == 0) {
        hasher_free(h);
        return PH_ERR_NOMEM;
    }
    *out = h;
    return PH_OK;
}

/* see hasher.h */
void hasher_free(hasher *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->closing = true;
    pthread_cond_broadcast(&h->work);
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; i < h->threads; i++)
        pthread_join(h->thread[i], NULL);
    for (task *t = h->tasks, *next; t; t = next) {
        next = t->next;
        free(t);
    }
    pthread_cond_destroy(&h->work);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* see hasher.h */
int hasher_start(hasher *h, uint32_t id, const ph_hash_job *job)
{
    task *t = calloc(1, sizeof *t);
    if (!t)
        return PH_ERR_NOMEM;
    t->job = *job;
    t->result.id = id;
    pthread_mutex_lock(&h->lock);
    task **end = &h->tasks;
    while (*end)
        end = &(*end)->next;
    *end = t;
    pthread_cond_signal(&h->work);
    pthread_mutex_unlock(&h->lock);
    return PH_OK;
}

/* see hasher.h; one that runs is left to its thread, and dropped when it has ended */
void hasher_cancel(hasher *h, uint32_t id)
{
    pthread_mutex_lock(&h->lock);
    for (task *t = h->tasks; t; t = t->next) {
        if (t->result.id != id)
            continue;
        t->cancelled = true;
        if (t->state == WAITING)
            t->state = ENDED;
    }
    pthread_mutex_unlock(&h->lock);
}

/* see hasher.h */
bool hasher_take(hasher *h, ph_event *out)
{
    bool found = false;
    pthread_mutex_lock(&h->lock);
    for (task **at = &h->tasks; *at && !found;) {
        task *t = *at;
        if (t->state != ENDED) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        found = !t->cancelled;
        if (found)
            *out = t->result;
        free(t);
    }
    pthread_mutex_unlock(&h->lock);
    return found;
}
