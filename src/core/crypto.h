/* SPDX-License-Identifier: MIT
 *
 * crypto - SHA-256, HMAC, the running SHA-256/SHA-1/MD5, constant-time compare. The only user of
 * BearSSL.
 */
#ifndef PH_CRYPTO_H
#define PH_CRYPTO_H

#include "str.h" /* ph_wipe, which the texts need too */

#define PH_SHA256_LEN 32

void ph_sha256(const void *data, size_t len, uint8_t out[PH_SHA256_LEN]);

void ph_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                    uint8_t out[PH_SHA256_LEN]);

/* A key ready for use, which saves half of a short message's cost. As secret as the key itself. */
typedef struct ph_hmac_key {
    uint64_t words[18];
} ph_hmac_key;

void ph_hmac_key_init(ph_hmac_key *key, const void *bytes, size_t len);
void ph_hmac_with(const ph_hmac_key *key, const void *data, size_t len, uint8_t out[PH_SHA256_LEN]);

/* Compare in a time that depends on `len` only. */
bool ph_equal_secret(const void *a, const void *b, size_t len);

/*
 * Running digests over `state`, PH_MD_STATE bytes of any alignment that may be copied freely. `alg`
 * is SHA256, SHA1 or MD5. ph_md_update digests `len` more bytes in each of `count` states of that
 * algorithm, up to PH_LANES of them: data[i] in state[i]. ph_md_out writes the digest so far, gives
 * its length and leaves the state as it is.
 */
#define PH_MD_STATE 256
void ph_md_init(void *state, ph_alg alg);
void ph_md_update(ph_alg alg, void *const state[], const uint8_t *const data[], size_t count,
                  size_t len);
size_t ph_md_out(const void *state, uint8_t out[PH_DIGEST_MAX]);

#endif
