/* SPDX-License-Identifier: MIT
 *
 * bytes - a file of any size that costs nothing: what it holds is a function of the place. It is
 * all zeros but for 16 bytes at the start of each cell, which look random; so a run of its bytes is
 * described by a few numbers, and digested without being made.
 */
#ifndef SIM_BYTES_H
#define SIM_BYTES_H

#include "parthaul.h"

#define SIM_VERSIONS 8

typedef struct sim_file {
    uint64_t seed;
    uint64_t cell; /* bytes; more than 16 */
    uint32_t version;
    uint64_t size[SIM_VERSIONS];
    uint64_t first[SIM_VERSIONS], last[SIM_VERSIONS]; /* the cells that this version changed */
} sim_file;

/* A run of a version's bytes. */
typedef struct sim_bytes {
    uint64_t offset;
    uint64_t length;
    uint32_t version;
    uint8_t flipped; /* bits that are wrong, of the first byte that is not zero */
} sim_bytes;

/* Can a bit of it be flipped? (There must be one.) */
bool sim_can_flip(const sim_file *f, const sim_bytes *b);

/* Are these the same bytes? */
bool sim_same(const sim_file *f, const sim_bytes *a, const sim_bytes *b);

/*
 * The digest. CRCs are those of the bytes, computed apart from the engine. The others are a digest
 * of the description: all that counts is that other bytes give another one.
 */
void sim_digest(const sim_file *f, const sim_bytes *b, ph_alg alg, ph_digest *out);

/* The CRC of A followed by B, apart from the engine. */
void sim_append(ph_digest *a, const ph_digest *b, uint64_t b_len);

#endif
