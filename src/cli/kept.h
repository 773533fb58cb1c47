/* SPDX-License-Identifier: MIT
 *
 * kept - what `parthaul put` keeps of an upload that has not ended, so that the same command goes
 * on with it: one file for each pair of a file and its destination, never a secret in it, and a
 * lock, so that two processes do not run one upload. And what servers were found not to know.
 */
#ifndef CLI_KEPT_H
#define CLI_KEPT_H

#include "core/buf.h"

typedef struct kept {
    int folder; /* -1: nothing is open */
    int lock;
    char name[40];   /* of the snapshot's file */
    char where[512]; /* its path, for messages */
} kept;

/*
 * Own what is kept of the upload of `path` to `destination` (any text that names it), in
 * $XDG_STATE_HOME/parthaul, or ~/.local/state/parthaul, which is made if it is not there. Release with
 * kept_close. Errors: PH_ERR_IN_USE (another process has it); PH_ERR_NOT_KEPT when this machine keeps
 * nothing: errno says why, 0 that no folder is named.
 */
int kept_open(const char *path, ph_str destination, kept *out);
void kept_close(kept *k);

/*
 * Add the snapshot to `b`. `there` says whether there is one: it may be empty. Errors: PH_ERR_NOT_KEPT
 * (see errno), NOMEM.
 */
int kept_read(const kept *k, ph_buf *b, bool *there);

/*
 * Replace it, so that at any moment the old one or the new one is there, whole; it is on disk when
 * this returns. Errors: PH_ERR_NOT_KEPT (see errno); the old one is as it was.
 */
int kept_write(const kept *k, ph_str snapshot);

/* Remove it. Errors: PH_ERR_NOT_KEPT (see errno). */
int kept_remove(const kept *k);

/* Set a snapshot that makes no sense aside, as NAME.damaged, instead of removing it. */
int kept_set_aside(const kept *k);

/*
 * What the server at `place` (any text that names it) was found not to know, as bits of ph_lack. 0
 * when nothing is kept of it, or only for more than a week: it may have learned.
 */
unsigned kept_lacks(ph_str place);

/* Keep that, in place of what was kept of it; where it cannot be, the next upload finds it out again. */
void kept_learn(ph_str place, unsigned lacks);

#endif
