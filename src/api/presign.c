/* SPDX-License-Identifier: MIT
 *
 * See presign.h. Everything hard about it is done by the core's sigv4; this puts the URL together.
 */
#include "presign.h"

#include "core/enc.h"
#include "core/sigv4.h"

/* see presign.h */
int api_presign_put(const ph_endpoint *bucket, ph_str key, const ph_header *headers,
                    size_t header_count, const ph_creds *creds, ph_sigv4_key *cached,
                    uint64_t now_ms, uint32_t seconds, ph_buf *url)
{
    size_t from = url->len;
    ph_buf_str(url, bucket->base);
    ph_enc_percent(url, key, true);
    if (url->err != PH_OK)
        return url->err;
    ph_url parts;
    int err = ph_url_parse(ph_buf_view_from(url, from), &parts);
    if (err != PH_OK)
        return err;

    ph_sigv4 request = {
        .method = PH_STR("PUT"),
        .host = parts.host,
        .path = parts.path,
        .headers = headers,
        .header_count = header_count,
        .payload = PH_UNSIGNED_PAYLOAD,
        .region = bucket->region,
        .service = PH_STR("s3"),
        .time_ms = now_ms,
        .presign_seconds = seconds,
        .creds = creds,
    };
    ph_sigv4_result result;
    err = ph_sigv4_sign(&request, cached, &result);
    if (err != PH_OK)
        return err;
    ph_buf_char(url, '?');
    ph_buf_str(url, result.query);
    ph_sigv4_result_clear(&result);
    return url->err;
}
