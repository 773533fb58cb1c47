/* SPDX-License-Identifier: MIT
 *
 * Fuzzes the way of a URL: the input as an endpoint, as a key, and as path and query to be signed.
 * A key that passes its check must come out of the URL as it went in, and a URL that is taken apart
 * must lie in its text.
 */
#include "fuzz.h"

#include "core/enc.h"
#include "core/endpoint.h"
#include "core/sigv4.h"

static const ph_creds creds = {.access_key_id = {"AKIA", 4}, .secret_access_key = {"secret", 6}};

static void check_inside(ph_str s, ph_str text)
{
    MUST(s.ptr >= text.ptr && s.ptr + s.len <= text.ptr + text.len);
}

/* A signature over any path and query can be made, in both forms, and once more over the result. */
static void sign(const ph_url *url, uint32_t presign_seconds)
{
    ph_sigv4 in = {.method = PH_STR("PUT"),
                   .host = url->host,
                   .path = url->path,
                   .query = url->query,
                   .payload = PH_UNSIGNED_PAYLOAD,
                   .region = PH_STR("us-east-1"),
                   .service = presign_seconds ? PH_STR("other") : PH_STR("s3"),
                   .presign_seconds = presign_seconds,
                   .creds = &creds};
    ph_sigv4_result r;
    int err = ph_sigv4_sign(&in, NULL, &r);
    MUST(err == PH_OK || err == PH_ERR_TOO_LONG);
    ph_sigv4_result_clear(&r);
}

static void try_url(ph_str text)
{
    ph_url url;
    if (ph_url_parse(text, &url) != PH_OK)
        return;
    check_inside(url.host, text);
    check_inside(url.name, text);
    if (url.query.ptr)
        check_inside(url.query, text);
    MUST(url.host.len > 0 && url.name.len > 0 && url.path.len > 0 && url.path.ptr[0] == '/');
    MUST(ph_str_starts(url.host, url.name));
    sign(&url, 0);
    sign(&url, 60);
}

static void try_endpoint(ph_str text)
{
    for (unsigned i = 0; i < 6; i++) {
        ph_target t = {.bucket = i < 3 ? PH_STR("films") : PH_STR("my.films"),
                       .endpoint = text,
                       .addressing = (ph_addressing)(i % 3)};
        ph_endpoint e;
        ph_url url;
        if (ph_endpoint_make(&t, &e) == PH_OK) {
            MUST(ph_url_parse(e.base, &url) == PH_OK && ph_str_ends(e.base, PH_STR("/")));
            MUST(url.tls == e.tls && !url.query.ptr);
            ph_endpoint_clear(&e);
        }
        MUST(!e.base.ptr && !e.region.ptr);
    }
}

static void try_key(ph_str key)
{
    if (ph_key_check(key) != PH_OK)
        return;
    ph_buf b, back;
    ph_url url;
    ph_buf_init(&b, 4096);
    ph_buf_init(&back, 4096);
    ph_buf_cstr(&b, "https://h/");
    ph_enc_percent(&b, key, true);
    MUST(b.err == PH_OK && ph_url_parse(ph_buf_view(&b), &url) == PH_OK && !url.query.ptr);
    MUST(ph_dec_percent(&back, ph_str_skip(url.path, 1)) == PH_OK);
    MUST(ph_str_equal(ph_buf_view(&back), key));
    sign(&url, 0);
    ph_buf_clear(&b);
    ph_buf_clear(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ph_str text = {(const char *)data, size};
    try_url(text);
    try_endpoint(text);
    try_key(text);
    ph_bucket_check(text);
    /* As it is, behind a slash: what no URL would let through. */
    ph_buf b;
    ph_buf_init(&b, size + 1);
    ph_buf_char(&b, '/');
    ph_buf_str(&b, text);
    ph_str path = ph_buf_view(&b), query;
    query = path;
    path = ph_str_cut(&query, '?');
    ph_url url = {.host = PH_STR("h"), .path = path, .query = query};
    sign(&url, 0);
    sign(&url, 60);
    ph_buf_clear(&b);
    return 0;
}
