/* SPDX-License-Identifier: MIT
 *
 * Where a bucket is. AWS's host names by region, dualstack and accelerate; custom endpoints by
 * path or by host name; and the rules for names of buckets, regions and keys.
 * It does not resolve or connect to anything.
 */
#include "endpoint.h"

#include <string.h>

#include "enc.h"
#include "str.h"

#define MAX_BASE 2048

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* ---- URLs ------------------------------------------------------------------------------------ */

/* Four decimal numbers: browsers rewrite all other ways to write such an address. */
static bool is_ipv4(ph_str s)
{
    size_t numbers = 0;
    while (s.ptr) {
        ph_str part = ph_str_cut(&s, '.');
        uint64_t n;
        if (!ph_str_u64(part, &n) || n > 255 || (part.len > 1 && part.ptr[0] == '0'))
            return false;
        numbers++;
    }
    return numbers == 4;
}

/* Digits, or hex behind 0x: a name whose last label is that means an address to a browser. */
static bool is_number(ph_str label)
{
    bool hex = label.len > 1 && label.ptr[0] == '0' && lower(label.ptr[1]) == 'x';
    for (size_t i = hex ? 2 : 0; i < label.len; i++) {
        char c = lower(label.ptr[i]);
        if (!is_digit(c) && !(hex && c >= 'a' && c <= 'f'))
            return false;
    }
    return true;
}

static bool is_name(ph_str name)
{
    ph_str last = name;
    for (ph_str rest = name; rest.ptr;) {
        last = ph_str_cut(&rest, '.');
        if (last.len == 0 || last.len > 63)
            return false;
        for (size_t i = 0; i < last.len; i++) {
            char c = lower(last.ptr[i]);
            if (!is_lower_alnum(c) && c != '-' && c != '_')
                return false;
        }
    }
    return name.len <= 253 && (!is_number(last) || is_ipv4(name));
}

/* An IPv6 literal with its brackets; only the alphabet is checked. */
static bool is_ipv6(ph_str name)
{
    if (name.len < 4 || name.ptr[0] != '[' || name.ptr[name.len - 1] != ']')
        return false;
    size_t colons = 0;
    for (size_t i = 1; i + 1 < name.len; i++) {
        char c = lower(name.ptr[i]);
        if (!is_digit(c) && !(c >= 'a' && c <= 'f') && c != ':' && c != '.')
            return false;
        colons += c == ':';
    }
    return colons >= 2;
}

/* The WHATWG URL parser removes such segments, also when they are encoded. */
static bool is_dot_segment(ph_str s)
{
    size_t dots = 0;
    while (s.len) {
        size_t n = s.ptr[0] == '.' ? 1 : 0;
        if (s.len >= 3 && s.ptr[0] == '%' && s.ptr[1] == '2' && lower(s.ptr[2]) == 'e')
            n = 3;
        if (n == 0)
            return false;
        dots++;
        s = ph_str_skip(s, n);
    }
    return dots == 1 || dots == 2;
}

static bool has_dot_segment(ph_str path)
{
    while (path.ptr)
        if (is_dot_segment(ph_str_cut(&path, '/')))
            return true;
    return false;
}

/* RFC 3986's characters but "#". Browsers encode the others, or take a backslash for a slash. */
static bool is_url_char(char c)
{
    return is_lower_alnum(lower(c)) || (c != '\0' && strchr("-._~:/?[]@!$&'()*+,;=%", c));
}

/* see endpoint.h */
int ph_url_parse(ph_str text, ph_url *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < text.len; i++)
        if (!is_url_char(text.ptr[i]))
            return PH_ERR_BAD_ENDPOINT;
    if (ph_str_starts(text, PH_STR("https://")))
        out->tls = true;
    else if (!ph_str_starts(text, PH_STR("http://")))
        return PH_ERR_BAD_ENDPOINT;
    ph_str rest = ph_str_skip(text, out->tls ? 8 : 7);
    size_t authority = 0;
    while (authority < rest.len && rest.ptr[authority] != '/' && rest.ptr[authority] != '?')
        authority++;
    out->host = (ph_str){rest.ptr, authority};
    out->name = out->host;
    size_t bracket = ph_str_find(out->host, ']');
    size_t colon = bracket < authority ? bracket + 1 : ph_str_find(out->host, ':');
    if (colon < authority) {
        ph_str digits = ph_str_skip(out->host, colon + 1);
        uint64_t port;
        if (rest.ptr[colon] != ':' || !ph_str_u64(digits, &port) || digits.ptr[0] == '0' ||
            port > 65535)
            return PH_ERR_BAD_ENDPOINT;
        out->name.len = colon;
        if (port == (out->tls ? 443 : 80))
            out->host.len = colon;
    }
    if (!is_name(out->name) && !is_ipv6(out->name))
        return PH_ERR_BAD_ENDPOINT;
    rest = ph_str_skip(rest, authority);
    out->path = PH_STR("/");
    if (rest.len && rest.ptr[0] == '/')
        out->path = ph_str_cut(&rest, '?');
    else
        rest = rest.len ? ph_str_skip(rest, 1) : (ph_str){NULL, 0};
    out->query = rest;
    return has_dot_segment(out->path) ? PH_ERR_BAD_ENDPOINT : PH_OK;
}

/* see endpoint.h */
bool ph_url_is_loopback(const ph_url *url)
{
    ph_str name = url->name;
    if (ph_str_starts(name, PH_STR("127.")))
        return is_ipv4(name); /* and no 127.0.0.1.example.com */
    if (name.len > 10 && name.ptr[name.len - 10] == '.')
        name = ph_str_skip(name, name.len - 9); /* any name under localhost */
    return ph_str_equal_nocase(name, PH_STR("localhost")) || ph_str_equal(name, PH_STR("[::1]"));
}

/* ---- Names ----------------------------------------------------------------------------------- */

static bool looks_like_ipv4(ph_str s)
{
    size_t dots = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '.')
            dots++;
        else if (!is_digit(s.ptr[i]))
            return false;
    }
    return dots == 3;
}

/* see endpoint.h; rules: "Bucket naming rules" of the S3 user guide */
int ph_bucket_check(ph_str b)
{
    if (b.len < 3 || b.len > 63 || !is_lower_alnum(b.ptr[0]) || !is_lower_alnum(b.ptr[b.len - 1]) ||
        looks_like_ipv4(b))
        return PH_ERR_BAD_BUCKET;
    for (size_t i = 0; i < b.len; i++) {
        char c = b.ptr[i];
        if (!is_lower_alnum(c) && c != '-' && c != '.')
            return PH_ERR_BAD_BUCKET;
        if (c == '.' && b.ptr[i + 1] == '.')
            return PH_ERR_BAD_BUCKET;
    }
    return PH_OK;
}

static int check_region(ph_str region)
{
    for (size_t i = 0; i < region.len; i++) {
        char c = lower(region.ptr[i]);
        if (!is_lower_alnum(c) && c != '-' && c != '_')
            return PH_ERR_BAD_REGION;
    }
    return region.len > 0 && region.len < 64 ? PH_OK : PH_ERR_BAD_REGION;
}

/* see endpoint.h */
int ph_key_check(ph_str key)
{
    if (key.len == 0 || key.len > 1024 || !ph_str_is_utf8(key))
        return PH_ERR_BAD_KEY;
    for (size_t i = 0; i < key.len; i++)
        if ((unsigned char)key.ptr[i] < 0x20 || key.ptr[i] == 0x7f)
            return PH_ERR_BAD_KEY;
    return has_dot_segment(key) ? PH_ERR_KEY_DOT_SEGMENT : PH_OK;
}

/* ---- Endpoints ------------------------------------------------------------------------------- */

static bool has_dot(ph_str s)
{
    return ph_str_find(s, '.') < s.len;
}

static void add_aws_host(const ph_target *t, ph_str region, bool by_name, ph_buf *b)
{
    if (by_name) {
        ph_buf_str(b, t->bucket);
        ph_buf_char(b, '.');
    }
    ph_buf_cstr(b, t->accelerate ? "s3-accelerate." : "s3.");
    if (t->dualstack)
        ph_buf_cstr(b, "dualstack.");
    if (!t->accelerate) {
        ph_buf_str(b, region);
        ph_buf_char(b, '.');
    }
    ph_buf_cstr(b, "amazonaws.com");
    if (ph_str_starts(region, PH_STR("cn-")))
        ph_buf_cstr(b, ".cn");
}

static int add_base(const ph_target *t, ph_endpoint *e, ph_buf *b)
{
    bool custom = t->endpoint.len > 0;
    bool by_name = t->addressing == PH_ADDRESSING_VIRTUAL ||
                   (t->addressing == PH_ADDRESSING_AUTO && !custom && !has_dot(t->bucket));
    ph_buf_cstr(b, "https://");
    if (!custom) {
        /* A dot in the bucket's name breaks the certificate's wildcard, so it goes by path; the
         * accelerated host knows no paths. */
        if (t->accelerate && (!by_name || has_dot(t->bucket)))
            return PH_ERR_BAD_ARG;
        e->tls = true;
        add_aws_host(t, e->region, by_name, b);
        ph_buf_char(b, '/');
    } else {
        ph_url url;
        if (t->accelerate || t->dualstack)
            return PH_ERR_BAD_ARG;
        int err = ph_url_parse(t->endpoint, &url);
        if (err != PH_OK || url.query.ptr)
            return PH_ERR_BAD_ENDPOINT;
        if (by_name && (url.name.ptr[0] == '[' || is_ipv4(url.name)))
            return PH_ERR_BAD_ENDPOINT;
        e->tls = url.tls;
        e->loopback = ph_url_is_loopback(&url);
        if (!url.tls) {
            ph_buf_reset(b);
            ph_buf_cstr(b, "http://");
        }
        if (by_name) {
            ph_buf_str(b, t->bucket);
            ph_buf_char(b, '.');
        }
        for (size_t i = 0; i < url.host.len; i++)
            ph_buf_char(b, lower(url.host.ptr[i])); /* as browsers write it */
        ph_buf_str(b, url.path);
        if (b->len && b->ptr[b->len - 1] != '/')
            ph_buf_char(b, '/');
    }
    if (!by_name) {
        ph_buf_str(b, t->bucket);
        ph_buf_char(b, '/');
    }
    /* With the bucket before it, a host name can be longer than any. */
    ph_url whole;
    if (b->err == PH_OK && ph_url_parse(ph_buf_view(b), &whole) != PH_OK)
        return PH_ERR_BAD_ENDPOINT;
    return b->err;
}

/* see endpoint.h */
int ph_endpoint_make(const ph_target *t, ph_endpoint *out)
{
    memset(out, 0, sizeof *out);
    ph_str region = t->region.len ? t->region : PH_STR("us-east-1");
    int err = ph_bucket_check(t->bucket);
    if (err == PH_OK)
        err = check_region(region);
    if (err == PH_OK)
        err = ph_str_copy(region, &out->region);
    ph_buf b;
    ph_buf_init(&b, MAX_BASE);
    if (err == PH_OK)
        err = add_base(t, out, &b);
    if (err == PH_OK)
        err = ph_str_copy(ph_buf_view(&b), &out->base);
    ph_buf_clear(&b);
    if (err != PH_OK)
        ph_endpoint_clear(out);
    return err;
}

/* see endpoint.h */
void ph_endpoint_clear(ph_endpoint *e)
{
    ph_str_free(&e->base);
    ph_str_free(&e->region);
}
