/* SPDX-License-Identifier: MIT
 *
 * object_key - the keys that objects get: PREFIX USER/ID/NAME. The page proposes only the last
 * part, and even that is cleaned; nothing it sends can leave the user's prefix or meet an object
 * that exists.
 */
#ifndef API_OBJECT_KEY_H
#define API_OBJECT_KEY_H

#include "core/buf.h"

#define API_FILE_NAME_MAX 255
#define API_ID_LEN 36

/*
 * Add a file's name made fit for the end of a key: what stands behind the last "/" or "\", without
 * control and formatting characters, wildcards and escapes, without spaces at its ends, at most 255 bytes of whole
 * characters with the extension kept. Where nothing is left of it: "file". `name` is UTF-8.
 */
void api_file_name_clean(ph_str name, ph_buf *b);

/* Add a folder beneath a prefix, "a/b/": each segment cleaned as a file's name, empty ones dropped. */
void api_folder_clean(ph_str path, ph_buf *b);

/* Write a UUID of version 7 (RFC 9562), NUL-terminated: keys made later sort later. */
void api_id_write(uint64_t now_ms, const uint8_t random[10], char out[API_ID_LEN + 1]);

/*
 * Add the key of a new object under `prefix`, which ends in "/".
 * Errors: PH_ERR_BAD_KEY (together over 1,024 bytes), those of buf.
 */
int api_object_key(ph_str prefix, const char *id, ph_str name, ph_buf *b);

#endif
