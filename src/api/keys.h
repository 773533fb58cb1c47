/* SPDX-License-Identifier: MIT
 *
 * keys - the keys that tokens are verified with, and the verification. The only user of libjose and
 * of libcrypto.
 *
 * A key stands in its set together with its one algorithm; a token's header can only agree with it.
 * So "none", and an HMAC made with a public key, cannot pass whatever the token says (RFC 8725, 3.1
 * and 3.2).
 */
#ifndef API_KEYS_H
#define API_KEYS_H

#include "core/buf.h"

#define API_MAX_KEYS 64

/* A set of keys. It is filled once and then only read, so threads may share it. */
typedef struct api_keyset api_keyset;

api_keyset *api_keyset_new(void); /* NULL: out of memory */
api_keyset *api_keyset_hold(api_keyset *set);
void api_keyset_free(
    api_keyset *set); /* when all who held it let go; wipes secrets. NULL is fine */

/*
 * Add keys; NULL, or a sentence that says what is wrong.
 *
 * `secret`: for HS256, the bytes as they are, at least 32 (RFC 7518, 3.2).
 * `text`: a public key as PEM (RSA, P-256, P-384, Ed25519), a JWK, or a JWK Set. `alg` binds keys
 * that do not name their algorithm themselves, NULL chooses: `rsa` for RSA (NULL: RS256), ES256,
 * ES384 and EdDSA by their curve. A key that names another one is refused. In a JWK Set, keys that
 * are of no use here (for encryption, of another kind) are passed over, as long as one remains. RSA
 * keys need 2,048 to 8,192 bits. Symmetric keys in `text` are only taken where `secrets` allows it:
 * what comes from a public URL is no secret.
 */
const char *api_keyset_add_secret(api_keyset *set, ph_str secret);
const char *api_keyset_add_text(api_keyset *set, ph_str text, const char *alg, const char *rsa,
                                bool secrets);

/* Is this the name of an algorithm that keys can have here? Gives it as static text, else NULL. */
const char *api_alg_name(ph_str name);

typedef enum api_signature {
    API_SIGNED,
    API_NOT_SIGNED,  /* there is the key, but this is not its signature */
    API_OTHER_ALG,   /* there is the key, but its algorithm is another */
    API_NO_SUCH_KEY, /* the set has no key of this id */
} api_signature;

/*
 * Is `signature` that of `header`.`payload` (all base64url) by a key of the set? An absent `kid`
 * fits every key, and a key without an id fits every `kid`.
 */
api_signature api_keyset_verify(const api_keyset *set, ph_str alg, ph_str kid, ph_str header,
                                ph_str payload, ph_str signature);

/* Decode base64url without padding, white space or stray bits; SIZE_MAX when it is none or long. */
size_t api_base64url_decode(ph_str text, void *out, size_t cap);

#endif
