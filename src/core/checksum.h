/* SPDX-License-Identifier: MIT
 *
 * checksum - the table of S3's checksum algorithms, and what S3 makes of the parts' values:
 * FULL_OBJECT (combined) and COMPOSITE (digest of digests, "-N"). ph_hash and ph_digest of
 * parthaul.h live here too.
 */
#ifndef PH_CHECKSUM_H
#define PH_CHECKSUM_H

#include "buf.h"

typedef struct ph_alg_info {
    ph_alg alg;
    size_t len;          /* of the digest in bytes */
    const char *name;    /* "CRC64NVME" */
    const char *lower;   /* "crc64nvme" */
    const char *header;  /* of a request with the value, "x-amz-checksum-crc64nvme"; MD5 has
                            "content-md5" */
    const char *element; /* in Complete and ListParts, "ChecksumCRC64NVME"; NULL for MD5 */
    bool full_object;    /* allowed types of a multipart upload */
    bool composite;
} ph_alg_info;

/* The row of an algorithm; that of PH_ALG_NONE is called "NONE", has len 0 and no header. */
const ph_alg_info *ph_alg_row(ph_alg alg);

/*
 * Choose the type of a multipart upload's checksum: `wanted` where allowed, FULL_OBJECT before
 * COMPOSITE where PH_TYPE_NONE leaves it open; PH_TYPE_NONE for MD5 and NONE.
 * Errors: PH_ERR_BAD_ALGORITHM for a pair that S3 refuses.
 */
int ph_checksum_type_choose(ph_alg alg, ph_checksum_type wanted, ph_checksum_type *out);

const char *ph_checksum_type_name(ph_checksum_type type); /* "FULL_OBJECT", "COMPOSITE", "NONE" */

/* Add the digest in base64; nothing for an empty one. */
void ph_digest_base64(ph_buf *b, const ph_digest *d);

/*
 * Read base64 of exactly the algorithm's length; `out` is empty when it is anything else.
 * Errors: PH_ERR_BAD_ENCODING.
 */
int ph_digest_parse(ph_alg alg, ph_str base64, ph_digest *out);

bool ph_digest_equal(const ph_digest *a, const ph_digest *b);

/*
 * The checksum of an object made of parts, fed one part after the other in order. For MD5 it is
 * the ETag's digest of digests.
 */
typedef struct ph_whole {
    ph_checksum_type type;
    uint32_t parts;
    ph_digest full;     /* FULL_OBJECT */
    uint64_t shift_len; /* how long the last part was, and what it takes to join such a one */
    uint64_t shift;
    ph_hash hash; /* COMPOSITE */
} ph_whole;

void ph_whole_init(ph_whole *w, ph_alg alg, ph_checksum_type type);

/* Add the next part's digest. Errors: PH_ERR_BAD_ALGORITHM when it is of another algorithm. */
int ph_whole_add(ph_whole *w, const ph_digest *part, uint64_t part_len);

/* The result, and as text: base64, followed by "-N" where composite. */
void ph_whole_digest(const ph_whole *w, ph_digest *out);
void ph_whole_text(const ph_whole *w, ph_buf *b);

#endif
