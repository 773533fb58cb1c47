/* SPDX-License-Identifier: MIT
 *
 * part - the ledger: what S3 has confirmed of each part, and the document of Complete made from it.
 */
#ifndef PH_PART_H
#define PH_PART_H

#include "checksum.h"
#include "reply.h"

/* One part, in few bytes: there may be ten thousand, and of many uploads. */
typedef struct ph_part {
    union {
        uint8_t hex[16];
        ph_str text;
    } etag;           /* see ph_ledger_part_etag */
    bool is_hex : 1;  /* it is 32 digits, as nearly all are */
    bool claimed : 1; /* S3 lists it from an earlier session; it counts once it is proven */
    bool stated : 1;  /* claimed with a checksum, which is in the ledger */
    bool stored : 1;
    bool confirmed : 1; /* the server stated the checksum that was sent (or the MD5 as its ETag) */
    bool listed : 1;    /* ListParts named it as it was stored; see ph_ledger_drop_unlisted */
} ph_part;

typedef struct ph_ledger {
    ph_plan plan;
    ph_alg alg;
    size_t digest_len;
    ph_part *parts;   /* plan.part_count of them */
    uint8_t *digests; /* digest_len bytes of each, behind them in the same block */
    uint32_t stored;
    uint32_t without_etag;
    uint32_t unconfirmed;
    uint64_t stored_bytes;
} ph_ledger;

/* Errors: PH_ERR_NOMEM. Release with ph_ledger_clear. */
int ph_ledger_init(ph_ledger *l, const ph_plan *plan, ph_alg alg);
void ph_ledger_clear(ph_ledger *l);

uint64_t ph_ledger_offset(const ph_ledger *l, uint32_t part_number);
uint64_t ph_ledger_length(const ph_ledger *l, uint32_t part_number);

#define PH_ETAG_TEXT 48 /* bytes that hold any ETag made of an MD5, with its NUL */

/*
 * The ETag of a part, without quotes; absent while it is hidden by CORS. It is in `place`, or in the
 * ledger.
 */
ph_str ph_ledger_part_etag(const ph_ledger *l, uint32_t part_number, char place[PH_ETAG_TEXT]);

/*
 * Note that a part is stored. `etag` may be absent; `digest` may be empty. A part that is stored
 * already is left as it is. Errors: PH_ERR_NOMEM.
 */
int ph_ledger_store(ph_ledger *l, uint32_t part_number, ph_str etag, const ph_digest *digest,
                    bool confirmed);

/*
 * Take the ETag that was hidden, and a checksum that was not stated yet, from what ListParts says.
 * Parts that are not in the ledger, or have another ETag, are left alone.
 * Errors: PH_ERR_INVALID_PART when S3 has another size or checksum, PH_ERR_NOMEM.
 */
int ph_ledger_learn(ph_ledger *l, const ph_listed *listed);

/* Note that ListParts named a part: with our size and ETag, or it is as if it did not. */
void ph_ledger_mark(ph_ledger *l, const ph_listed *listed);

/*
 * Forget stored parts, so that they are sent again; how many they were. With `all`, or where a part
 * without an ETag was not marked since the last call, those that were not: what took one took others,
 * whose ETags are known. In any case those whose ETag is another MD5 than ours, where another part's
 * is ours. All marks are taken back.
 */
uint32_t ph_ledger_drop_unlisted(ph_ledger *l, bool all);

/*
 * Note that S3 lists a part of an earlier session. It does not count as stored before ph_ledger_prove.
 * A later claim for the same part replaces the earlier one.
 * Errors: PH_ERR_PARTS_MIXED when the plan has no such part, or not of this size; PH_ERR_NOMEM.
 */
int ph_ledger_claim(ph_ledger *l, const ph_listed *listed);

/*
 * By which algorithm can a part be proven to be the file's: the upload's where S3 stated a checksum,
 * MD5 where the ETag looks like one, else PH_ALG_NONE. NONE too for what nobody claimed.
 */
ph_alg ph_ledger_proof(const ph_ledger *l, uint32_t part_number);

/*
 * Compare a claimed part with the file: `proof` is of the algorithm of ph_ledger_proof, `digest` of
 * the upload's. If it is the same, the part is stored. False if it is another.
 */
bool ph_ledger_prove(ph_ledger *l, uint32_t part_number, const ph_digest *digest,
                     const ph_digest *proof);

/* Forget what S3 claims: the part will be sent again. */
void ph_ledger_drop(ph_ledger *l, uint32_t part_number);

/* The object's checksum, of all parts in order; `w` is initialised here. */
void ph_ledger_whole(const ph_ledger *l, ph_checksum_type type, ph_whole *w);

/* Write the ETag that S3 makes of an MD5: 32 hex digits, and "-N" unless `parts` is 0. */
void ph_etag_text(const ph_digest *md5, uint32_t parts, char out[PH_ETAG_TEXT]);

/*
 * Write the ETag that S3 gives an object of these parts: of the MD5 of their MD5s, with "-N".
 * False when some part's ETag is no MD5 (KMS).
 */
bool ph_ledger_etag(const ph_ledger *l, char out[PH_ETAG_TEXT]);

/* Add the document of CompleteMultipartUpload. All parts must be stored and have an ETag. */
void ph_ledger_document(const ph_ledger *l, ph_buf *b);

/* 10,000 parts with the longest ETags of reply.c, all quotes, and SHA-256s need 16 MiB. */
#define PH_DOCUMENT_MAX (17u << 20)

#endif
