/* SPDX-License-Identifier: MIT
 *
 * tls - the certificate that the server shows, and its renewal while the server runs.
 *
 * There is one in a process: what GnuTLS calls for a certificate is told nothing but the connection.
 */
#ifndef API_TLS_H
#define API_TLS_H

#include "core/buf.h"

/*
 * Read a certificate chain and its private key, both PEM, and show them from the next connection
 * on. NULL, or what is wrong with them: a sentence that follows "the certificate"; then what was
 * shown so far stays. May be called while the server serves.
 */
const char *api_tls_load(ph_str cert_file, ph_str key_file);

/* The same without showing it. */
const char *api_tls_check(ph_str cert_file, ph_str key_file);

/* What libmicrohttpd is given as MHD_OPTION_HTTPS_CERT_CALLBACK. */
void *api_tls_callback(void);

/* Let go of all that was loaded; nobody serves any more. */
void api_tls_clear(void);

#endif
