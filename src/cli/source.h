/* SPDX-License-Identifier: MIT
 *
 * source - the file that is uploaded: read at any place by several threads, and watched, so that
 * two versions of it are never mixed in one object.
 */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include <pthread.h>
#include <sys/stat.h>

#include "parthaul.h"

typedef struct source {
    int fd;
    uint64_t size;
    int folder;           /* in which `path` is */
    const char *path;     /* NULL: not known here */
    pthread_mutex_t lock; /* of what is below: threads check it side by side */
    struct stat seen;     /* as of the last check */
    bool named;           /* whether the path led to it then */
} source;

/*
 * Open a regular file. Errors: PH_ERR_FILE_UNREADABLE (errno says why), PH_ERR_BAD_ARG (it is a
 * directory, a pipe, a device, or has more bytes than its size says). `path` has to stay. Close with
 * source_close unless it failed.
 */
int source_open(const char *path, source *out);
void source_close(source *s);

/* The same for what is open already; it is closed when it is not what it has to be. */
int source_take(int fd, source *out);

/* Say where what was taken is, so that to rename it is not to change it. Both have to stay. */
void source_name(source *s, int folder, const char *path);

/*
 * Read exactly `len` bytes at `offset`. Errors: PH_ERR_FILE_UNREADABLE, PH_ERR_FILE_CHANGED (there
 * are fewer than there were).
 */
int source_read(const source *s, void *to, size_t len, uint64_t offset);

/* Is it still what was opened? Errors: PH_ERR_FILE_CHANGED, PH_ERR_FILE_UNREADABLE. */
int source_check(source *s);

#endif
