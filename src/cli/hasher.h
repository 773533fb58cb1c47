/* SPDX-License-Identifier: MIT
 *
 * hasher - digests ranges of a file on threads of its own.
 */
#ifndef CLI_HASHER_H
#define CLI_HASHER_H

#include "source.h"

typedef struct hasher hasher;

/*
 * Start the threads. `wake(context)` is called from them whenever a result is there; it must return
 * at once. Errors: PH_ERR_NOMEM.
 */
int hasher_new(source *file, void (*wake)(void *), void *context, hasher **out);

/* Give up what runs, and end the threads. NULL is allowed. */
void hasher_free(hasher *h);

/* Errors: PH_ERR_NOMEM. */
int hasher_start(hasher *h, uint32_t id, const ph_hash_job *job);

/* No result of this id will be given. */
void hasher_cancel(hasher *h, uint32_t id);

/* The next result: HASHED or UNREADABLE. False when there is none now. */
bool hasher_take(hasher *h, ph_event *out);

#endif
