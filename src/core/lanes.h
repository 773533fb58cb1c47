/* SPDX-License-Identifier: MIT
 *
 * lanes - SHA-256, SHA-1 and MD5 of several messages at the same time. One message is a chain, each
 * step of which waits for the one before; eight go side by side in the lanes of vectors, and cost
 * little more than one.
 */
#ifndef PH_LANES_H
#define PH_LANES_H

#include "../parthaul.h"

#define PH_LANES 8

/*
 * Digest `blocks` blocks of 64 bytes of each of `count` messages, 1..PH_LANES of them: data[i] into
 * the chaining value value[i] (8, 5 or 4 words; no two the same). `alg` is SHA256, SHA1 or MD5.
 * False, and nothing is done, where this machine does better one message after the other.
 */
bool ph_lanes_digest(ph_alg alg, uint32_t *const value[], const uint8_t *const data[], size_t count,
                     size_t blocks);

/*
 * The same by one of the ways that there may be, the one that ph_lanes_digest would choose last.
 * False, and nothing is done, where this machine does not have it.
 */
typedef enum ph_lanes_way {
    PH_LANES_VECTORS, /* what every machine of this kind has: SSE2, NEON, SIMD of WebAssembly */
    PH_LANES_AVX2,
    PH_LANES_SHA, /* x86's instructions for SHA: one message after the other */
    PH_LANES_WAYS
} ph_lanes_way;

bool ph_lanes_digest_by(ph_lanes_way way, ph_alg alg, uint32_t *const value[],
                        const uint8_t *const data[], size_t count, size_t blocks);

#endif
