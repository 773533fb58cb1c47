/* SPDX-License-Identifier: MIT
 *
 * A folder's files. It is walked with a list of what is still to be looked into, not by recursion:
 * how deep folders lie is not ours to say. Everything is opened beneath the folder, one name after
 * the other and never through a symbolic link, also where one takes a folder's place meanwhile.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/str.h"

#define NAME_LONGEST 1025 /* no key is longer; some file systems allow more than 255 bytes */

/* A growing list of texts. */
typedef struct list {
    char **item;
    size_t count, room;
} list;

static char *list_add(list *l, const char *dir, const char *name)
{
    if (l->count == l->room) {
        size_t room = l->room ? l->room * 2 : 64;
        char **more = realloc(l->item, room * sizeof *more);
        if (!more)
            return NULL;
        l->item = more;
        l->room = room;
    }
    size_t len = strlen(dir) + strlen(name) + 2;
    char *text = malloc(len);
    if (text) {
        snprintf(text, len, "%s%s%s", dir, *dir ? "/" : "", name);
        l->item[l->count++] = text;
    }
    return text;
}

static void list_clear(list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->item[i]);
    free(l->item);
    *l = (list){NULL, 0, 0};
}

/* Open "a/b/c" beneath `root`: a, then b in it, then c with `flags`. */
static int open_beneath(int root, const char *path, int flags)
{
    int at = root;
    for (;;) {
        char name[NAME_LONGEST];
        size_t len = strcspn(path, "/");
        bool last = path[len] == '\0';
        if (len >= sizeof name) {
            errno = ENAMETOOLONG;
            len = 0;
        }
        memcpy(name, path, len);
        name[len] = '\0';
        int next =
            len ? openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (last ? flags : O_DIRECTORY))
                : -1;
        int why = errno;
        if (at != root)
            close(at);
        errno = why;
        if (next < 0 || last)
            return next;
        at = next;
        path += len + 1;
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const folder_file *)a)->path, ((const folder_file *)b)->path);
}

static int fail(int err, const char *what, char why[512])
{
    snprintf(why, 512, "%s: %s", what, strerror(err == PH_ERR_NOMEM ? ENOMEM : errno));
    return err;
}

static int add_file(folder *f, size_t *room, list *paths, const char *dir, const char *name,
                    uint64_t size)
{
    if (f->count == *room) {
        size_t more_room = *room ? *room * 2 : 64;
        folder_file *more = realloc(f->files, more_room * sizeof *more);
        if (!more)
            return PH_ERR_NOMEM;
        f->files = more;
        *room = more_room;
    }
    char *path = list_add(paths, dir, name);
    if (!path)
        return PH_ERR_NOMEM;
    paths->count--; /* it is the file's now */
    f->files[f->count++] = (folder_file){.path = path, .size = size};
    f->bytes += size;
    return PH_OK;
}

/* What the walk knows. */
typedef struct walk {
    folder *f;
    size_t room;
    list dirs, left, paths;
    char *why;
} walk;

static int see(walk *w, int dir_fd, const char *dir, const char *name)
{
    struct stat st;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return PH_OK;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return fail(PH_ERR_FILE_UNREADABLE, name, w->why);
    int err = PH_OK;
    if (S_ISREG(st.st_mode))
        err = add_file(w->f, &w->room, &w->paths, dir, name, (uint64_t)st.st_size);
    else if (!list_add(S_ISDIR(st.st_mode) ? &w->dirs : &w->left, dir, name))
        err = PH_ERR_NOMEM;
    return err == PH_OK ? err : fail(err, name, w->why);
}

static int look_into(walk *w, const char *dir)
{
    int fd = *dir ? open_beneath(w->f->fd, dir, O_DIRECTORY)
                  : openat(w->f->fd, ".", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (fd < 0)
        return fail(PH_ERR_FILE_UNREADABLE, dir, w->why);
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return fail(PH_ERR_NOMEM, dir, w->why);
    }
    int err = PH_OK;
    while (err == PH_OK) {
        errno = 0;
        const struct dirent *e = readdir(d); /* d is used by this thread only */
        if (!e && errno != 0)
            err = fail(PH_ERR_FILE_UNREADABLE, dir, w->why);
        if (!e)
            break;
        err = see(w, dirfd(d), dir, e->d_name);
    }
    closedir(d);
    return err;
}

/* see folder.h */
int folder_open(const char *path, folder *out, char why[512])
{
    walk w = {.f = out, .why = why};
    *out = (folder){.fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY)};
    if (out->fd < 0)
        return fail(PH_ERR_FILE_UNREADABLE, path, why);
    int err = look_into(&w, "");
    /* The list grows while it is gone through; its texts stay where they are. */
    for (size_t i = 0; err == PH_OK && i < w.dirs.count; i++)
        err = look_into(&w, w.dirs.item[i]);
    if (out->count > 0)
        qsort(out->files, out->count, sizeof *out->files, compare);
    list_clear(&w.dirs);
    list_clear(&w.paths);
    out->left_out = w.left.item;
    out->left_count = w.left.count;
    return err;
}

/* see folder.h */
void folder_close(folder *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->files[i].path);
    free(f->files);
    list left = {f->left_out, f->left_count, f->left_count};
    list_clear(&left);
    if (f->fd >= 0)
        close(f->fd);
    *f = (folder){.fd = -1};
}

/* see folder.h */
int folder_file_open(const folder *f, const folder_file *file, source *out)
{
    int fd = open_beneath(f->fd, file->path, O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return PH_ERR_FILE_UNREADABLE;
    int err = source_take(fd, out);
    if (err == PH_OK && out->size != file->size) {
        source_close(out);
        err = PH_ERR_FILE_CHANGED;
    }
    if (err == PH_OK)
        source_name(out, f->fd, file->path);
    return err == PH_ERR_BAD_ARG ? PH_ERR_FILE_CHANGED : err;
}
