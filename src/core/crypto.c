/* SPDX-License-Identifier: MIT
 *
 * crypto - the one place where BearSSL is used, so that another library could take its place
 * here. BearSSL allocates nothing, and its contexts may be copied.
 */
#include "crypto.h"

#include <bearssl_hash.h>
#include <bearssl_hmac.h>
#include <string.h>

#include "lanes.h"

/* A running digest; each context begins with the pointer to its class. */
typedef union md {
    const br_hash_class *class;
    br_sha256_context sha256;
    br_sha1_context sha1;
    br_md5_context md5;
} md;

_Static_assert(sizeof(md) <= PH_MD_STATE, "PH_MD_STATE is too small for BearSSL's contexts");
_Static_assert(sizeof(br_hmac_key_context) <= sizeof(ph_hmac_key), "ph_hmac_key is too small");
_Static_assert(br_sha256_SIZE <= PH_DIGEST_MAX, "PH_DIGEST_MAX is too small for SHA-256");

void ph_sha256(const void *data, size_t len, uint8_t out[PH_SHA256_LEN])
{
    uint8_t state[PH_MD_STATE], digest[PH_DIGEST_MAX];
    ph_md_init(state, PH_ALG_SHA256);
    ph_md_update(PH_ALG_SHA256, (void *[]){state}, (const uint8_t *[]){data}, 1, len);
    memcpy(out, digest, ph_md_out(state, digest));
}

/* Copied out and in, as the running digests below. */
void ph_hmac_key_init(ph_hmac_key *key, const void *bytes, size_t len)
{
    br_hmac_key_context k;
    memset(&k, 0, sizeof k); /* it does not fill all of it */
    br_hmac_key_init(&k, &br_sha256_vtable, bytes, len);
    memcpy(key, &k, sizeof k);
    ph_wipe(&k, sizeof k);
}

void ph_hmac_with(const ph_hmac_key *key, const void *data, size_t len, uint8_t out[PH_SHA256_LEN])
{
    br_hmac_key_context k;
    br_hmac_context c;
    memcpy(&k, key, sizeof k);
    br_hmac_init(&c, &k, 0);
    br_hmac_update(&c, data, len);
    br_hmac_out(&c, out);
    ph_wipe(&k, sizeof k); /* both are as good as the key */
    ph_wipe(&c, sizeof c);
}

void ph_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                    uint8_t out[PH_SHA256_LEN])
{
    ph_hmac_key k;
    ph_hmac_key_init(&k, key, key_len);
    ph_hmac_with(&k, data, len, out);
    ph_wipe(&k, sizeof k);
}

bool ph_equal_secret(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *p = a, *q = b; /* volatile: every byte is looked at */
    unsigned differs = 0;
    for (size_t i = 0; i < len; i++)
        differs |= (unsigned)(p[i] ^ q[i]);
    return differs == 0;
}

/*
 * The state is copied out and in instead of being used in place: its memory is somebody's array of
 * words, and C does not let one object be read as two types.
 */
void ph_md_init(void *state, ph_alg alg)
{
    md c = {.class = alg == PH_ALG_SHA256 ? &br_sha256_vtable
                     : alg == PH_ALG_SHA1 ? &br_sha1_vtable
                                          : &br_md5_vtable};
    c.class->init(&c.class);
    memcpy(state, &c, sizeof c);
}

/* The chaining value, which BearSSL documents as part of each context, and the bytes so far. */
static uint32_t *value_of(md *c, uint64_t **count)
{
    if (c->class == &br_sha256_vtable) {
        *count = &c->sha256.count;
        return c->sha256.val;
    }
    *count = c->class == &br_sha1_vtable ? &c->sha1.count : &c->md5.count;
    return c->class == &br_sha1_vtable ? c->sha1.val : c->md5.val;
}

/*
 * A message that begins in the middle of a block is led to its end first; then lanes digests as many
 * whole blocks as all have; BearSSL does all the rest, or everything.
 */
void ph_md_update(ph_alg alg, void *const state[], const uint8_t *const data[], size_t count,
                  size_t len)
{
    md c[PH_LANES];
    uint32_t *value[PH_LANES] = {NULL};
    uint64_t *bytes[PH_LANES];
    const uint8_t *at[PH_LANES] = {NULL};
    size_t blocks = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        memcpy(&c[i], state[i], sizeof c[i]);
        value[i] = value_of(&c[i], &bytes[i]);
        size_t head = (size_t)(0 - *bytes[i]) % 64;
        if (head > len)
            head = len;
        c[i].class->update(&c[i].class, data[i], head);
        at[i] = data[i] + head;
        blocks = (len - head) / 64 < blocks ? (len - head) / 64 : blocks;
    }
    if (blocks == 0 || !ph_lanes_digest(alg, value, at, count, blocks))
        blocks = 0;
    for (size_t i = 0; i < count; i++) {
        *bytes[i] += 64 * blocks;
        at[i] += 64 * blocks;
        c[i].class->update(&c[i].class, at[i], len - (size_t)(at[i] - data[i]));
        memcpy(state[i], &c[i], sizeof c[i]);
    }
}

size_t ph_md_out(const void *state, uint8_t out[PH_DIGEST_MAX])
{
    md c;
    memcpy(&c, state, sizeof c);
    c.class->out(&c.class, out);
    return (c.class->desc >> BR_HASHDESC_OUT_OFF) & BR_HASHDESC_OUT_MASK;
}
