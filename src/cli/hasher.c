/* SPDX-License-Identifier: MIT
 *
 * Digesting beside the loop that sends. Threads, and not bounded steps within the loop, for two
 * reasons: SHA-256 is slower than a fast line, and whoever reads a part first waits for the disk.
 * So both waits are here, and when the loop sends the part, its bytes are in the system's cache.
 * A thread for each processor; where there are more tasks than threads, a thread takes its share of
 * those that go side by side in the lanes of its processor.
 */
#define _POSIX_C_SOURCE 200809L

#include "hasher.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/lanes.h"

#define THREADS_MAX 16
#define THREADS_MIN 2 /* while one waits for the disk, the other digests */
#define PIECE (1u << 20)

typedef struct task {
    struct task *next;
    ph_hash_job job;
    ph_event result;
    enum { WAITING, RUNNING, ENDED } state;
    bool cancelled;
} task;

struct hasher {
    source *file;
    void (*wake)(void *);
    void *context;
    pthread_mutex_t lock; /* over all that follows */
    pthread_cond_t work;
    task *tasks; /* in the order in which they came */
    bool closing;
    size_t threads;
    pthread_t thread[THREADS_MAX];
};

/* ---- On the threads -------------------------------------------------------------------------- */

static bool is_unwanted(hasher *h, const task *t)
{
    pthread_mutex_lock(&h->lock);
    bool unwanted = t->cancelled || h->closing;
    pthread_mutex_unlock(&h->lock);
    return unwanted;
}

/* What a thread works at: tasks of the same algorithms, which go on side by side. */
typedef struct batch {
    size_t count;
    task *task[PH_LANES];
    ph_hash hash[PH_LANES][2];
    char *piece; /* room for a piece of each */
} batch;

/* Reads the next piece of a task; gives its length, 0 where the task has ended or is not wanted. */
static size_t read_piece(hasher *h, task *t, char *to, uint64_t done)
{
    uint64_t left = t->job.length > done ? t->job.length - done : 0;
    size_t n = left < PIECE ? (size_t)left : PIECE;
    if (n == 0 || t->result.err != PH_OK || is_unwanted(h, t))
        return 0;
    t->result.err = source_read(h->file, to, n, t->job.offset + done);
    return t->result.err == PH_OK ? n : 0;
}

/* One more piece of each. Parts are of equal length but for the last one of the file. */
static bool digest_pieces(hasher *h, batch *b, uint64_t done)
{
    ph_hash *hash[2 * PH_LANES];
    const void *from[2 * PH_LANES];
    size_t len[PH_LANES], count = 0, whole = 0;
    for (size_t i = 0; i < b->count; i++) {
        char *piece = b->piece + i * PIECE;
        len[i] = read_piece(h, b->task[i], piece, done);
        for (int k = 0; len[i] == PIECE && k < 2; k++, count++) {
            hash[count] = &b->hash[i][k];
            from[count] = piece;
        }
        whole += len[i] > 0;
        for (int k = 0; len[i] < PIECE && k < 2; k++)
            ph_hash_update(&b->hash[i][k], piece, len[i]);
    }
    ph_hash_update_all(hash, from, count, PIECE);
    return whole > 0;
}

/* Fills in the results. Tasks that nobody wants any more end early, with any result. */
static void digest(hasher *h, batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        for (int k = 0; k < 2; k++)
            ph_hash_init(&b->hash[i][k], b->task[i]->job.alg[k]);
    uint64_t done = 0;
    while (digest_pieces(h, b, done))
        done += PIECE;
    int err = source_check(h->file);
    for (size_t i = 0; i < b->count; i++) {
        ph_event *result = &b->task[i]->result;
        result->err = result->err != PH_OK ? result->err : err;
        result->kind = result->err == PH_OK ? PH_EVENT_HASHED : PH_EVENT_UNREADABLE;
        for (int k = 0; k < 2; k++)
            ph_hash_digest(&b->hash[i][k], &result->digest[k]);
    }
}

/*
 * What this thread takes of what waits, all of one kind. MD5 goes side by side on every processor, so
 * few threads do more than many; all else is shared out.
 */
static void take_batch(hasher *h, batch *b)
{
    size_t waiting = 0;
    b->count = 0;
    for (task *t = h->tasks; t; t = t->next)
        waiting += t->state == WAITING;
    size_t most = (waiting + h->threads - 1) / h->threads;
    for (task *t = h->tasks; t && b->count < most && b->count < PH_LANES; t = t->next) {
        if (t->state != WAITING)
            continue;
        const ph_alg *alg = b->count ? b->task[0]->job.alg : t->job.alg;
        if (alg[0] != t->job.alg[0] || alg[1] != t->job.alg[1])
            continue;
        if (alg[0] == PH_ALG_MD5)
            most = PH_LANES;
        t->state = RUNNING;
        b->task[b->count++] = t;
    }
}

static void *run(void *context)
{
    hasher *h = context;
    batch b = {.piece = malloc((size_t)PH_LANES * PIECE)}; /* what is not used costs no memory */
    pthread_mutex_lock(&h->lock);
    while (!h->closing) {
        take_batch(h, &b);
        if (b.count == 0) {
            pthread_cond_wait(&h->work, &h->lock);
            continue;
        }
        pthread_mutex_unlock(&h->lock);
        if (b.piece)
            digest(h, &b);
        pthread_mutex_lock(&h->lock);
        for (size_t i = 0; i < b.count; i++) {
            if (!b.piece) {
                b.task[i]->result.kind = PH_EVENT_UNREADABLE;
                b.task[i]->result.err = PH_ERR_NOMEM;
            }
            b.task[i]->state = ENDED;
        }
        h->wake(h->context);
    }
    pthread_mutex_unlock(&h->lock);
    free(b.piece);
    return NULL;
}

/* ---- On the caller's ------------------------------------------------------------------------- */

/* see hasher.h; signals are the caller's thread's */
int hasher_new(source *file, void (*wake)(void *), void *context, hasher **out)
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
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t most = cores < THREADS_MIN   ? THREADS_MIN
                  : cores > THREADS_MAX ? THREADS_MAX
                                        : (size_t)cores;
    pthread_mutex_lock(&h->lock); /* they look at how many they are */
    while (h->threads < most && pthread_create(&h->thread[h->threads], NULL, run, h) == 0)
        h->threads++;
    pthread_mutex_unlock(&h->lock);
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
