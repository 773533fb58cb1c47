/* SPDX-License-Identifier: MIT
 *
 * snapshot - what a host keeps so that an upload can go on later: which object it is, how its parts
 * are cut and checked, and S3's upload id. Never a secret: no credentials, no token, no signed URL.
 */
#ifndef PH_SNAPSHOT_H
#define PH_SNAPSHOT_H

#include "json.h"
#include "buf.h"

#define PH_SNAPSHOT_MAX (128u << 10) /* bytes; most have less than one KB */
#define PH_SNAPSHOT_METADATA 24u

typedef struct ph_snapshot {
    ph_upload_options options; /* target, object, size, part_size, name, alg, type, payload */
    ph_str upload_id;          /* absent: the upload was about to be created */
    bool opaque_etags;         /* S3 said that they are no MD5s */
    ph_header metadata[PH_SNAPSHOT_METADATA];
    ph_json *document; /* private: the texts are views into it */
} ph_snapshot;

/*
 * Add the text: one JSON object, {"parthaul": version, ..., "check": "..."}, whose last member is
 * the CRC64NVME of all bytes before it. A name that is not fit for JSON, or long, is left out.
 * Errors: those of `out`.
 */
void ph_snapshot_write(const ph_upload_options *options, ph_str upload_id, bool opaque_etags,
                       ph_buf *out);

/*
 * Read what ph_snapshot_write wrote, to the byte; release with ph_snapshot_clear.
 * Errors: PH_ERR_SNAPSHOT_DAMAGED (not ours, cut short, changed, or it makes no sense),
 * PH_ERR_SNAPSHOT_NEWER (whole, but of a later version), PH_ERR_NOMEM. Then nothing is held.
 */
int ph_snapshot_read(ph_str text, ph_snapshot *out);
void ph_snapshot_clear(ph_snapshot *s);

#endif
