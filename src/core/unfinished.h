/* SPDX-License-Identifier: MIT
 *
 * unfinished - a page of ListMultipartUploads: the uploads that somebody began in a bucket and
 * nobody ended. The engine has no use for it; who cleans up has.
 */
#ifndef PH_UNFINISHED_H
#define PH_UNFINISHED_H

#include "buf.h"

#define PH_UNFINISHED_MAX 1000u /* uploads in a page, as S3 has it */

typedef struct ph_unfinished {
    ph_str key;
    ph_str upload_id;
    uint64_t initiated_ms; /* 0: the server does not say */
} ph_unfinished;

/* One page. Views point into it. */
typedef struct ph_unfinished_page {
    ph_unfinished *uploads;
    size_t count;
    bool truncated;
    ph_str key_marker; /* where the next page begins, if truncated: one may be absent */
    ph_str upload_id_marker;
    ph_buf text; /* private */
} ph_unfinished_page;

/*
 * Read the document of a success. Release with ph_unfinished_clear unless it failed.
 * Errors: PH_ERR_BAD_XML, PH_ERR_BAD_ANSWER (an upload without key or id, a page that is too long, or
 * one that does not say where the next begins), PH_ERR_NOMEM.
 */
int ph_unfinished_read(ph_str body, ph_unfinished_page *out);
void ph_unfinished_clear(ph_unfinished_page *p);

#endif
