/* SPDX-License-Identifier: MIT
 *
 * See tls.h. The only user of GnuTLS, which libmicrohttpd speaks TLS with.
 */
#include "tls.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"
#include "content.h"

#define MAX_FILE 262144
#define MAX_CHAIN 16
#define KEY_ID_MAX 64

typedef struct pair {
    gnutls_pcert_st chain[MAX_CHAIN];
    unsigned length;
    gnutls_privkey_t key;
    ph_str cert_text; /* to see whether there is anything new */
    struct pair *older;
} pair;

/* Older ones stay until the end: a handshake may still be at them, and a renewal is rare. */
static _Atomic(pair *) shown;

static void free_pair(pair *p)
{
    for (unsigned i = 0; i < p->length; i++)
        gnutls_pcert_deinit(&p->chain[i]);
    if (p->key)
        gnutls_privkey_deinit(p->key);
    ph_str_free(&p->cert_text);
    free(p);
}

/* Is the key that of the chain's first certificate? */
static bool fits(const pair *p)
{
    unsigned char ids[2][KEY_ID_MAX];
    size_t lengths[2] = {sizeof ids[0], sizeof ids[1]};
    gnutls_pubkey_t key;
    if (gnutls_pubkey_init(&key) < 0)
        return false;
    bool good = gnutls_pubkey_import_privkey(key, p->key, 0, 0) >= 0 &&
                gnutls_pubkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, ids[0], &lengths[0]) >= 0 &&
                gnutls_pubkey_get_key_id(p->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, ids[1],
                                         &lengths[1]) >= 0 &&
                lengths[0] == lengths[1] && memcmp(ids[0], ids[1], lengths[0]) == 0;
    gnutls_pubkey_deinit(key);
    return good;
}

static const char *parse(ph_str cert, ph_str key, pair *p)
{
    gnutls_datum_t c = {(unsigned char *)cert.ptr, (unsigned)cert.len};
    gnutls_datum_t k = {(unsigned char *)key.ptr, (unsigned)key.len};
    unsigned length = MAX_CHAIN;
    if (gnutls_pcert_list_import_x509_raw(p->chain, &length, &c, GNUTLS_X509_FMT_PEM,
                                          GNUTLS_X509_CRT_LIST_SORT) < 0 ||
        length == 0)
        return "is not PEM, or a chain of more than 16, or broken";
    p->length = length;
    if (gnutls_privkey_init(&p->key) < 0 ||
        gnutls_privkey_import_x509_raw(p->key, &k, GNUTLS_X509_FMT_PEM, NULL, 0) < 0)
        return "has a key that is not PEM, or cannot be used";
    if (!fits(p))
        return "is not that of the key";
    return ph_str_copy(cert, &p->cert_text) == PH_OK ? NULL : "needs more memory than there is";
}

static const char *read_pair(ph_str cert_file, ph_str key_file, pair **out)
{
    ph_buf cert, key;
    const char *wrong = NULL;
    *out = calloc(1, sizeof **out);
    if (!*out)
        return "needs more memory than there is";
    ph_buf_init(&cert, MAX_FILE);
    ph_buf_init(&key, MAX_FILE);
    if (api_content_read(cert_file, &cert) != PH_OK || api_content_read(key_file, &key) != PH_OK)
        wrong = "or its key is in a file that cannot be read";
    else
        wrong = parse(ph_buf_view(&cert), ph_buf_view(&key), *out);
    ph_buf_clear(&cert);
    ph_buf_clear(&key);
    if (wrong) {
        free_pair(*out);
        *out = NULL;
    }
    return wrong;
}

/* see tls.h */
const char *api_tls_check(ph_str cert_file, ph_str key_file)
{
    pair *p;
    const char *wrong = read_pair(cert_file, key_file, &p);
    if (p)
        free_pair(p);
    return wrong;
}

/* see tls.h */
const char *api_tls_load(ph_str cert_file, ph_str key_file)
{
    pair *p;
    const char *wrong = read_pair(cert_file, key_file, &p);
    if (wrong)
        return wrong;
    p->older = atomic_load(&shown);
    if (p->older && ph_str_equal(p->older->cert_text, p->cert_text))
        free_pair(p); /* nothing new */
    else
        atomic_store(&shown, p);
    return NULL;
}

static int give(gnutls_session_t session, const gnutls_datum_t *authorities, int authority_count,
                const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                gnutls_pcert_st **chain, unsigned *length, gnutls_privkey_t *key)
{
    (void)session, (void)authorities, (void)authority_count, (void)algorithms;
    (void)algorithm_count;
    pair *p = atomic_load(&shown);
    *chain = p->chain;
    *length = p->length;
    *key = p->key;
    return 0;
}

/* see tls.h */
void *api_tls_callback(void)
{
    gnutls_certificate_retrieve_function2 *function = give;
    void *pointer;
    _Static_assert(sizeof pointer == sizeof function, "POSIX: a function's address is a pointer");
    memcpy(&pointer, &function, sizeof pointer);
    return pointer;
}

/* see tls.h */
void api_tls_clear(void)
{
    pair *p = atomic_exchange(&shown, NULL);
    while (p) {
        pair *older = p->older;
        free_pair(p);
        p = older;
    }
}
