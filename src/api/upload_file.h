/* SPDX-License-Identifier: MIT
 *
 * upload_file - a file as a page describes it, read and checked against the configuration.
 */
#ifndef API_UPLOAD_FILE_H
#define API_UPLOAD_FILE_H

#include "config.h"
#include "core/json.h"
#include "problem.h"

#define API_FILE_PROPERTIES 24

typedef enum api_upload_type {
    API_UPLOAD_ANY, /* the service chooses: PUT or multipart */
    API_UPLOAD_MULTIPART,
    API_UPLOAD_POST,
} api_upload_type;

/* Views into the document that it was read from, except for what `names` holds. */
typedef struct api_file {
    ph_str name;
    ph_str type; /* absent: not said */
    uint64_t size;
    ph_digest checksum; /* alg NONE: not said */
    ph_str checksum_text;
    api_upload_type upload_type;
    ph_header properties[API_FILE_PROPERTIES]; /* cache-control, x-amz-meta-..., to be signed */
    size_t property_count;
    ph_buf names; /* the x-amz-meta- names, each with a NUL behind it */
} api_file;

/* Read a file's description. Release with api_file_clear in any case. */
api_verdict api_file_read(const api_config *config, const ph_json *document, api_file *out);
void api_file_clear(api_file *f);

/* Is this type ("video/mp4", with or without parameters, in any case) one that is taken? */
bool api_type_is_taken(const api_config *config, ph_str type);

/* Is it a media type, or at least nothing that HTTP would break? */
bool api_is_type(ph_str s);

#endif
