/* SPDX-License-Identifier: MIT
 *
 * crc - CRC-64/NVME, CRC-32C and CRC-32 over bytes, in portable C at memory's speed: long inputs
 * are folded (see crc.c). All three are reflected, with all ones before and after.
 */
#ifndef PH_CRC_H
#define PH_CRC_H

#include "../parthaul.h"

/*
 * Digest `len` more bytes. `crc` is the finished value of what came before, 0 for nothing; the
 * finished value of all is returned. `alg` is one of the three CRCs. Feed it 64 KiB or more at a
 * time where speed counts. Needs 21 KiB of stack.
 */
uint64_t ph_crc_update(ph_alg alg, uint64_t crc, const void *data, size_t len);

/* The same without the CPU's special instructions: what ph_crc_update does where there are none. */
uint64_t ph_crc_update_portable(ph_alg alg, uint64_t crc, const void *data, size_t len);

/* The value of A followed by B, from both values and B's length in bytes. O(log b_len). */
uint64_t ph_crc_combine(ph_alg alg, uint64_t a, uint64_t b, uint64_t b_len);

/* The same in two steps, the first of which can be kept where many are as long as B. */
uint64_t ph_crc_shift(ph_alg alg, uint64_t b_len);
uint64_t ph_crc_join(ph_alg alg, uint64_t a, uint64_t b, uint64_t b_shift);

#endif
