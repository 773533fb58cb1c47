/* SPDX-License-Identifier: MIT
 *
 * Fuzzes the documents in which credentials come: what is taken is usable, and cannot end a header
 * or lead elsewhere than to an http(s) URL; what is refused leaves nothing behind.
 */
#include "fuzz.h"

#include <string.h>

#include "core/creds.h"
#include "core/endpoint.h"

static void check_header_text(ph_str s, char first)
{
    for (size_t i = 0; i < s.len; i++)
        MUST(s.ptr[i] >= first && s.ptr[i] <= '~');
}

static void check_grant(const ph_grant *g)
{
    ph_url url;
    if (g->url.ptr) {
        MUST(ph_url_parse(g->url, &url) == PH_OK && !g->creds.access_key_id.ptr);
    } else {
        MUST(g->creds.access_key_id.len > 0 && g->creds.secret_access_key.len > 0);
        MUST(g->header_count == 0);
    }
    check_header_text(g->creds.access_key_id, '!');
    check_header_text(g->creds.session_token, '!');
    for (size_t i = 0; i < g->header_count; i++) {
        MUST(g->headers[i].name.len > 0 && g->headers[i].value.ptr);
        check_header_text(g->headers[i].name, '!');
        check_header_text(g->headers[i].value, ' ');
    }
    MUST(ph_creds_renew_ms(&g->creds, UINT64_C(1700000000000)) >= UINT64_C(1700000000000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ph_grant empty;
    ph_grant g;
    int err = ph_grant_parse((ph_str){(const char *)data, size}, &g);
    MUST(err == PH_OK || err == PH_ERR_BAD_JSON || err == PH_ERR_BAD_CREDENTIALS);
    if (err == PH_OK)
        check_grant(&g);
    else
        MUST(memcmp(&g, &empty, sizeof g) == 0);
    ph_grant_clear(&g);
    MUST(memcmp(&g, &empty, sizeof g) == 0);
    return 0;
}
