/* SPDX-License-Identifier: MIT
 *
 * config_file - settings in a file: NAME=VALUE lines, as the environment would have them.
 */
#ifndef API_CONFIG_FILE_H
#define API_CONFIG_FILE_H

#include "core/buf.h"

typedef struct api_config_file api_config_file;

/*
 * Read the settings of a text: a line each, names of [A-Z0-9_], "#" at a line's begin makes it a
 * comment, spaces at the ends of a value do not count. True: `*out` is to be released. False: `says`
 * has a line for what is wrong, with its number.
 */
bool api_config_file_read(ph_str text, ph_buf *says, api_config_file **out);
void api_config_file_free(api_config_file *f);

/* The value of a setting, NULL if the file does not have it. */
const char *api_config_file_value(const api_config_file *f, const char *name);

/* The name of the setting at `index`, in the order of the file; NULL behind the last one. */
const char *api_config_file_name(const api_config_file *f, size_t index);

#endif
