/* SPDX-License-Identifier: MIT
 *
 * The file. It is read with pread, so that parts which are digested and parts which are sent do not
 * share a position. A change is known by its size and its time of change: the digests notice all
 * changes between digesting and sending, these two those between one part and the next.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* see source.h; O_NONBLOCK: opening a pipe would wait for somebody who writes to it */
int source_open(const char *path, source *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? PH_ERR_FILE_UNREADABLE : source_take(fd, out);
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
    *out = (source){.fd = fd, .size = (uint64_t)st.st_size, .changed = st.st_mtim};
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

/* see source.h */
int source_check(const source *s)
{
    struct stat st;
    if (fstat(s->fd, &st) != 0)
        return PH_ERR_FILE_UNREADABLE;
    bool same = (uint64_t)st.st_size == s->size && st.st_mtim.tv_sec == s->changed.tv_sec &&
                st.st_mtim.tv_nsec == s->changed.tv_nsec;
    return same ? PH_OK : PH_ERR_FILE_CHANGED;
}
