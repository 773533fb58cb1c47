/* SPDX-License-Identifier: MIT
 *
 * content - that of a whole file at once: keys, tokens, settings.
 */
#ifndef API_CONTENT_H
#define API_CONTENT_H

#include "core/buf.h"

/*
 * Add a file's content, as much of it as `out` may hold; no copy stays elsewhere.
 * Errors: PH_ERR_FILE_UNREADABLE (also with errno, where it cannot be opened), PH_ERR_TOO_LONG,
 * PH_ERR_NOMEM.
 */
int api_content_read(ph_str path, ph_buf *out);

#endif
