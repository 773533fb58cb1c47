/* SPDX-License-Identifier: MIT
 *
 * api_keys - the keys of `x-api-key`: who has one belongs to us. Only their hashes are kept.
 */
#ifndef API_API_KEYS_H
#define API_API_KEYS_H

#include "core/buf.h"

#define API_MAX_API_KEYS 1024

typedef struct api_keys api_keys;

/*
 * Read a file's text: a line for each key, SHA-256 in hex, then a name (of [A-Za-z0-9._-], at most
 * 64 of them); "#" begins a comment. NULL, or a sentence that says what is wrong.
 */
const char *api_keys_read(ph_str text, api_keys **out);
void api_keys_free(api_keys *k);

/*
 * Give the name of a key, absent if it is none of ours. Takes the same time for every key of the
 * same length, whichever it is and how much of it is right.
 */
ph_str api_keys_find(const api_keys *k, ph_str key);

#endif
