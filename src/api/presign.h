/* SPDX-License-Identifier: MIT
 *
 * presign - a URL by which whoever holds it may PUT one object, once it is signed here.
 */
#ifndef API_PRESIGN_H
#define API_PRESIGN_H

#include "core/creds.h"
#include "core/endpoint.h"
#include "core/sigv4.h"

/*
 * Add the URL that allows a PUT of `key` for `seconds` from `now_ms` on. The request has to carry
 * `headers` exactly (they are signed); with content-length among them its length is bound, with a
 * checksum its bytes are. `cached` is as for ph_sigv4_sign. Errors: those of ph_sigv4_sign and of buf.
 */
int api_presign_put(const ph_endpoint *bucket, ph_str key, const ph_header *headers,
                    size_t header_count, const ph_creds *creds, ph_sigv4_key *cached,
                    uint64_t now_ms, uint32_t seconds, ph_buf *url);

#endif
