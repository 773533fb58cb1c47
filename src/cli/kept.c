/* SPDX-License-Identifier: MIT
 *
 * The folder of snapshots. A power cut, a full disk or a kill at any moment leaves the old snapshot
 * or the new one: it is written beside, synced, and renamed. The lock is a file of its own, since
 * the snapshot's is replaced; the system gives it back when a process ends in whatever way.
 */
#define _DEFAULT_SOURCE /* flock, realpath */

#include "kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/crypto.h"
#include "core/enc.h"
#include "core/snapshot.h"

#define LEARNED_S (7 * 86400)

/* ---- The folder ------------------------------------------------------------------------------ */

static bool name_folder(char *out, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int n = -1;
    if (state && state[0] == '/') /* others are to be ignored, says the specification */
        n = snprintf(out, size, "%s/parthaul", state);
    else if (home && home[0] == '/')
        n = snprintf(out, size, "%s/.local/state/parthaul", home);
    errno = n < 0 ? 0 : ENAMETOOLONG;
    return n > 0 && (size_t)n < size;
}

/* Each folder on the way that is not there yet. */
static int make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        int made = mkdir(path, 0700) == 0 || errno == EEXIST;
        if (slash)
            *slash = '/';
        if (!made)
            return -1;
        if (!slash)
            return 0;
    }
}

/* Somebody else's folder could be swapped under us. */
static int open_folder(char *path)
{
    struct stat st;
    if (make_folders(path) != 0)
        return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &st) != 0 || st.st_uid != geteuid())) {
        close(fd);
        errno = EPERM;
        return -1;
    }
    return fd;
}

/* The same file by another way is the same file; one that is gone still had a name. */
static bool add_path(ph_buf *b, const char *path)
{
    char *real = realpath(path, NULL);
    if (real) {
        ph_buf_cstr(b, real);
    } else {
        const char *slash = strrchr(path, '/');
        const char *base = slash ? slash + 1 : path;
        char *copy = strdup(path);
        if (copy)
            copy[base - path] = '\0';
        real = copy ? realpath(slash ? copy : ".", NULL) : NULL;
        free(copy);
        if (real) {
            ph_buf_cstr(b, real);
            ph_buf_char(b, '/');
            ph_buf_cstr(b, base);
        }
    }
    free(real);
    return real != NULL;
}

static int name_snapshot(const char *path, ph_str destination, char out[40])
{
    ph_buf b;
    uint8_t hash[PH_SHA256_LEN];
    ph_buf_init(&b, 1u << 20);
    if (!add_path(&b, path)) {
        ph_buf_clear(&b);
        return PH_ERR_NOT_KEPT;
    }
    ph_buf_char(&b, '\0');
    ph_buf_str(&b, destination);
    ph_sha256(b.ptr, b.len, hash);
    int err = b.err;
    ph_buf_reset(&b);
    ph_enc_hex(&b, hash, 16);
    snprintf(out, 40, "%.*s", (int)b.len, b.ptr);
    ph_buf_clear(&b);
    return err;
}

/* ---- The lock -------------------------------------------------------------------------------- */

static void suffix(const kept *k, const char *end, char out[64])
{
    snprintf(out, 64, "%s%s", k->name, end);
}

/*
 * Who ends removes the lock's file, so one that was just locked may be another than the one that
 * has its name now.
 */
static int take_lock(kept *k)
{
    char name[64];
    suffix(k, ".lock", name);
    for (;;) {
        struct stat mine, named;
        int fd = openat(k->folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return PH_ERR_NOT_KEPT;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int err = errno == EWOULDBLOCK ? PH_ERR_IN_USE : PH_ERR_NOT_KEPT;
            close(fd);
            return err;
        }
        bool seen = fstat(fd, &mine) == 0;
        bool there = seen && fstatat(k->folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0;
        if (there && mine.st_ino == named.st_ino) {
            k->lock = fd;
            return PH_OK;
        }
        int why = errno;
        close(fd);
        errno = why;
        if (!seen || (!there && why != ENOENT))
            return PH_ERR_NOT_KEPT;
    }
}

/* see kept.h */
int kept_open(const char *path, ph_str destination, kept *out)
{
    char folder[sizeof out->where - 48];
    *out = (kept){.folder = -1, .lock = -1};
    if (!name_folder(folder, sizeof folder))
        return PH_ERR_NOT_KEPT;
    int err = name_snapshot(path, destination, out->name);
    if (err == PH_OK && (out->folder = open_folder(folder)) < 0)
        err = PH_ERR_NOT_KEPT;
    snprintf(out->where, sizeof out->where, "%s/%s", folder, out->name);
    if (err == PH_OK)
        err = take_lock(out);
    if (err != PH_OK) {
        int why = errno;
        kept_close(out);
        errno = why;
    }
    return err;
}

/* see kept.h */
void kept_close(kept *k)
{
    char name[64];
    if (k->lock >= 0) {
        suffix(k, ".lock", name);
        unlinkat(k->folder, name, 0); /* while it is still locked */
        close(k->lock);
    }
    if (k->folder >= 0)
        close(k->folder);
    k->lock = k->folder = -1;
}

/* ---- The snapshot ---------------------------------------------------------------------------- */

/* see kept.h; what is longer than any snapshot is read as far as shows that it is none */
int kept_read(const kept *k, ph_buf *b, bool *there)
{
    char piece[4096];
    int fd = openat(k->folder, k->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    *there = fd >= 0;
    if (fd < 0)
        return errno == ENOENT ? PH_OK : PH_ERR_NOT_KEPT;
    ssize_t n = 0;
    while (b->len <= PH_SNAPSHOT_MAX && (n = read(fd, piece, sizeof piece)) != 0) {
        if (n > 0)
            ph_buf_add(b, piece, (size_t)n);
        else if (errno != EINTR)
            break;
    }
    int err = b->len <= PH_SNAPSHOT_MAX && n < 0 ? PH_ERR_NOT_KEPT : b->err;
    int why = errno;
    close(fd);
    errno = why;
    return err;
}

static bool write_all(int fd, ph_str text)
{
    while (text.len) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n > 0)
            text = ph_str_skip(text, (size_t)n);
        else if (n == 0 || errno != EINTR)
            return false;
    }
    return fsync(fd) == 0;
}

/* Some file systems, as those that machines share, know no such thing for folders. */
static bool sync_folder(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP;
}

/* see kept.h */
int kept_write(const kept *k, ph_str snapshot)
{
    char name[64];
    suffix(k, ".new", name);
    unlinkat(k->folder, name, 0); /* of somebody who was killed */
    int fd = openat(k->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return PH_ERR_NOT_KEPT;
    bool good = write_all(fd, snapshot);
    int why = errno;
    good = close(fd) == 0 && good;
    if (good) {
        good = renameat(k->folder, name, k->folder, k->name) == 0;
        why = errno;
        sync_folder(
            k->folder); /* if it cannot be, the snapshot is there all the same, but after a power cut */
    } else {
        unlinkat(k->folder, name, 0);
    }
    errno = why;
    return good ? PH_OK : PH_ERR_NOT_KEPT;
}

/* see kept.h */
int kept_remove(const kept *k)
{
    if (unlinkat(k->folder, k->name, 0) != 0)
        return errno == ENOENT ? PH_OK : PH_ERR_NOT_KEPT;
    return sync_folder(k->folder) ? PH_OK : PH_ERR_NOT_KEPT;
}

/* see kept.h */
int kept_set_aside(const kept *k)
{
    char name[64];
    suffix(k, ".damaged", name);
    return renameat(k->folder, k->name, k->folder, name) == 0 ? PH_OK : PH_ERR_NOT_KEPT;
}

/* ---- Servers --------------------------------------------------------------------------------- */

/* Its file is written and read as a snapshot's is. */
static bool open_server(ph_str place, kept *out)
{
    char folder[sizeof out->where - 48];
    uint8_t hash[PH_SHA256_LEN];
    ph_buf name;
    *out = (kept){.folder = -1, .lock = -1};
    ph_buf_init(&name, sizeof out->name);
    ph_sha256(place.ptr, place.len, hash);
    ph_enc_hex(&name, hash, 16);
    snprintf(out->name, sizeof out->name, "%.*s.server", (int)name.len, name.ptr);
    if (name.err == PH_OK && name_folder(folder, sizeof folder))
        out->folder = open_folder(folder);
    ph_buf_clear(&name);
    return out->folder >= 0;
}

/* see kept.h */
unsigned kept_lacks(ph_str place)
{
    kept k;
    struct stat st;
    ph_buf text;
    unsigned lacks = 0;
    bool there;
    if (!open_server(place, &k))
        return 0;
    ph_buf_init(&text, PH_SNAPSHOT_MAX + 8192);
    bool recent = fstatat(k.folder, k.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                  time(NULL) >= st.st_mtim.tv_sec && time(NULL) - st.st_mtim.tv_sec < LEARNED_S;
    if (recent && kept_read(&k, &text, &there) == PH_OK) {
        ph_str rest = ph_buf_view(&text);
        while (rest.ptr) {
            ph_str line = ph_str_cut(&rest, '\n');
            lacks |= ph_lack_named(line);
        }
    }
    ph_buf_clear(&text);
    kept_close(&k);
    return lacks;
}

/* see kept.h */
void kept_learn(ph_str place, unsigned lacks)
{
    kept k;
    ph_buf text;
    if (!open_server(place, &k))
        return;
    ph_buf_init(&text, 1024);
    for (unsigned i = 0; i < PH_LACK_COUNT; i++) {
        if (!(lacks & 1u << i))
            continue;
        ph_buf_cstr(&text, ph_err_name(ph_lack_err(i)));
        ph_buf_char(&text, '\n');
    }
    if (text.err == PH_OK)
        kept_write(&k, ph_buf_view(&text));
    ph_buf_clear(&text);
    kept_close(&k);
}
