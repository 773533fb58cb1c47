/* SPDX-License-Identifier: MIT
 *
 * folder - the regular files of a folder and of all folders in it, in a fixed order.
 */
#ifndef CLI_FOLDER_H
#define CLI_FOLDER_H

#include "source.h"

typedef struct folder_file {
    char *path; /* beneath the folder, "a/b.html" */
    uint64_t size;
} folder_file;

typedef struct folder {
    int fd;
    folder_file *files; /* sorted by their paths' bytes */
    size_t count;
    uint64_t bytes;  /* of all of them */
    char **left_out; /* paths of what is neither a folder nor a regular file, as symbolic links */
    size_t left_count;
} folder;

/*
 * Find the files of the folder at `path`, which itself may be a symbolic link. No other is followed.
 * Where it fails, `why` names what could not be read. Release with folder_close in any case.
 * Errors: PH_ERR_FILE_UNREADABLE, PH_ERR_NOMEM.
 */
int folder_open(const char *path, folder *out, char why[512]);
void folder_close(folder *f);

/*
 * Open one of the files: no part of its path may have become a symbolic link. As source_open;
 * PH_ERR_FILE_CHANGED where it has another size than it had.
 */
int folder_file_open(const folder *f, const folder_file *file, source *out);

#endif
