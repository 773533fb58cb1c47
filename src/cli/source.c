/* SPDX-License-Identifier: MIT
 *
 * The file. It is read with pread, so that parts which are digested and parts which are sent do not
 * share a position. A change is known by its size and its times: the digests notice all changes
 * between digesting and sending, these those between one part and the next.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Does its path lead to the file? */
static bool is_named(const source *s, const struct stat *file)
{
    struct stat st;
    return s->path && fstatat(s->folder, s->path, &st, 0) == 0 && st.st_dev == file->st_dev &&
           st.st_ino == file->st_ino;
}

/* see source.h */
void source_name(source *s, int folder, const char *path)
{
    s->folder = folder;
    s->path = path;
    s->named = is_named(s, &s->seen);
}

/* see source.h; O_NONBLOCK: opening a pipe would wait for somebody who writes to it */
int source_open(const char *path, source *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int err = fd < 0 ? PH_ERR_FILE_UNREADABLE : source_take(fd, out);
    if (err == PH_OK)
        source_name(out, AT_FDCWD, path);
    return err;
}

/* see source.h */
int source_take(int fd, source *out)
{
    struct stat st;
    char byte;
    int err = PH_OK;
    if (fstat(fd, &st) != 0 || st.st_size < 0) {
        err = PH_ERR_FILE_UNREADABLE;
    } else if (!S_ISREG(st.st_mode)) {
        err = PH_ERR_BAD_ARG;
    } else if (st.st_size == 0) {
        ssize_t n = pread(fd, &byte, 1, 0);
        err = n < 0   ? PH_ERR_FILE_UNREADABLE
              : n > 0 ? PH_ERR_BAD_ARG /* as those of /proc */
                      : PH_OK;
    }
    if (err != PH_OK) {
        int why = errno;
        close(fd);
        errno = why;
        return err;
    }
    *out = (source){.fd = fd,
                    .size = (uint64_t)st.st_size,
                    .lock = PTHREAD_MUTEX_INITIALIZER,
                    .seen = st};
    return PH_OK;
}

/* see source.h */
void source_close(source *s)
{
    close(s->fd);
    s->fd = -1;
}

/* see source.h */
int source_read(const source *s, void *to, size_t len, uint64_t offset)
{
    char *at = to;
    while (len > 0) {
        ssize_t n = pread(s->fd, at, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? PH_ERR_FILE_UNREADABLE : PH_ERR_FILE_CHANGED;
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return PH_OK;
}

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/*
 * Whoever writes can set st_mtim back, but not st_ctim, which follows the mode, the owner and the names,
 * too. What changes it without a trace (an extended attribute, a second renaming) is taken for writing:
 * the upload can be resumed then.
 */
static int compare(source *s, const struct stat *st)
{
    const struct stat *was = &s->seen;
    if (st->st_size != was->st_size || !is_same_time(st->st_mtim, was->st_mtim))
        return PH_ERR_FILE_CHANGED;
    if (is_same_time(st->st_ctim, was->st_ctim))
        return PH_OK;
    bool named = is_named(s, st);
    if (st->st_mode == was->st_mode && st->st_uid == was->st_uid && st->st_gid == was->st_gid &&
        st->st_nlink == was->st_nlink && named == s->named)
        return PH_ERR_FILE_CHANGED;
    s->seen = *st;
    s->named = named;
    return PH_OK;
}

/* see source.h */
int source_check(source *s)
{
    struct stat st;
    pthread_mutex_lock(&s->lock);
    int err = fstat(s->fd, &st) == 0 ? compare(s, &st) : PH_ERR_FILE_UNREADABLE;
    pthread_mutex_unlock(&s->lock);
    return err;
}
