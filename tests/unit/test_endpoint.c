/* SPDX-License-Identifier: MIT
 *
 * Tests endpoint: where each kind of bucket is, which URLs are refused, that nobody's machine is
 * taken for this one, and the rules for buckets, regions and keys from both sides.
 */
#include "test.h"

#include "core/endpoint.h"
#include "core/str.h"

#include <stdlib.h>
#include <string.h>

/* ---- URLs ------------------------------------------------------------------------------------ */

static void test_url(void)
{
    static const struct {
        const char *url;
        bool tls;
        const char *host, *name, *path, *query;
    } cases[] = {
        {"https://h", true, "h", "h", "/", NULL},
        {"http://h/", false, "h", "h", "/", NULL},
        {"https://h:443", true, "h", "h", "/", NULL},
        {"http://h:443/", false, "h:443", "h", "/", NULL},
        {"http://h:80/p", false, "h", "h", "/p", NULL},
        {"https://h:80/p", true, "h:80", "h", "/p", NULL},
        {"http://h:1", false, "h:1", "h", "/", NULL},
        {"http://h:65535", false, "h:65535", "h", "/", NULL},
        {"https://a-b_c.D.example:8333/a/b//c?d=e&f", true, "a-b_c.D.example:8333",
         "a-b_c.D.example", "/a/b//c", "d=e&f"},
        {"https://h?q", true, "h", "h", "/", "q"},
        {"https://h:8?q/../", true, "h:8", "h", "/", "q/../"},
        {"https://h/?", true, "h", "h", "/", ""},
        {"https://h?", true, "h", "h", "/", ""},
        {"https://h/a?b?c", true, "h", "h", "/a", "b?c"},
        {"https://h/a:b@c", true, "h", "h", "/a:b@c", NULL},
        {"https://h/...", true, "h", "h", "/...", NULL},
        {"https://h/.a/a./%2e%2e%2e", true, "h", "h", "/.a/a./%2e%2e%2e", NULL},
        {"https://h/-._~!$&'()*+,;=:@[]%20", true, "h", "h", "/-._~!$&'()*+,;=:@[]%20", NULL},
        {"http://127.0.0.1:9000", false, "127.0.0.1:9000", "127.0.0.1", "/", NULL},
        {"http://255.255.255.255", false, "255.255.255.255", "255.255.255.255", "/", NULL},
        {"http://[::1]", false, "[::1]", "[::1]", "/", NULL},
        {"http://[aF::f]", false, "[aF::f]", "[aF::f]", "/", NULL},
        {"http://[::]:80", false, "[::]", "[::]", "/", NULL},
        {"https://[2001:DB8::1:2]:8443/x", true, "[2001:DB8::1:2]:8443", "[2001:DB8::1:2]", "/x",
         NULL},
        {"http://[::ffff:10.0.0.1]", false, "[::ffff:10.0.0.1]", "[::ffff:10.0.0.1]", "/", NULL},
        {"http://3f2a9c1d:9000", false, "3f2a9c1d:9000", "3f2a9c1d", "/", NULL}, /* a container */
        {"http://0x.example", false, "0x.example", "0x.example", "/", NULL},
        {"http://a.0xg", false, "a.0xg", "a.0xg", "/", NULL},
        {"http://a.0x1-2", false, "a.0x1-2", "a.0x1-2", "/", NULL},
        {"http://1.2.3.4.example", false, "1.2.3.4.example", "1.2.3.4.example", "/", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("%s", cases[i].url);
        ph_url url;
        CHECK_INT(ph_url_parse(test_guard_str(ph_str_from(cases[i].url)), &url), PH_OK);
        CHECK(url.tls == cases[i].tls);
        CHECK_STR(url.host, cases[i].host);
        CHECK_STR(url.name, cases[i].name);
        CHECK_STR(url.path, cases[i].path);
        CHECK_STR(url.query, cases[i].query);
    }
}

static void test_url_refused(void)
{
    static const ph_str cases[] = {
        BYTES(""),
        BYTES("h"),
        BYTES("/path"),
        BYTES("//h/"),
        BYTES("h:80"),
        BYTES("ftp://h/"),
        BYTES("file:///etc/passwd"),
        BYTES("javascript://h/%0aalert(1)"),
        BYTES("HTTPS://h/"),
        BYTES(" https://h/"),
        BYTES("https:/h/"),
        BYTES("https:h"),
        BYTES("https://"),
        BYTES("https:///p"),
        BYTES("https://?q"),
        BYTES("https://:443/"),
        /* ports */
        BYTES("https://h:/"),
        BYTES("https://h:0/"),
        BYTES("https://h:65536/"),
        BYTES("https://h:18446744073709551617/"),
        BYTES("https://h:-1/"),
        BYTES("https://h:+1/"),
        BYTES("https://h:8a/"),
        BYTES("https://h:080/"),
        BYTES("https://h:1:2/"),
        /* somebody's password, somebody else's host */
        BYTES("https://user@h/"),
        BYTES("https://user:pass@h/"),
        BYTES("https://127.0.0.1@evil.example/"),
        BYTES("https://127.0.0.1:80@evil.example/"),
        BYTES("https://h\\@evil.example/"),
        BYTES("https://h%2eexample/"),
        /* fragments and characters that no URL has */
        BYTES("https://h#f"),
        BYTES("https://h/#f"),
        BYTES("https://h/p?q#f"),
        BYTES("https://h/a b"),
        BYTES("https://h/a\tb"),
        BYTES("https://h/a\nb"),
        BYTES("https://h/a\r\nHost: evil"),
        BYTES("https://h/a\0b"),
        BYTES("https://h/\x7f"),
        BYTES("https://h/\xc3\xa4"),
        BYTES("https://h\xc3\xa4/"),
        BYTES("https://h/a\\b"),
        BYTES("https://h/\""),
        BYTES("https://h/<>"),
        BYTES("https://h/`"),
        BYTES("https://h/{}"),
        BYTES("https://h/|"),
        BYTES("https://h/^"),
        /* names that are none */
        BYTES("https://."),
        BYTES("https://h./"),
        BYTES("https://.h/"),
        BYTES("https://a..b/"),
        BYTES("https://a,b/"),
        BYTES("https://a b/"),
        /* addresses that a browser writes in another way, or not at all */
        BYTES("http://127.1/"),
        BYTES("http://2130706433/"),
        BYTES("http://0x7f000001/"),
        BYTES("http://0X7F.1/"),
        BYTES("http://0x/"),
        BYTES("http://h.0x/"),
        BYTES("http://127.0.0.0x1/"),
        BYTES("http://0177.0.0.1/"),
        BYTES("http://127.0.0.01/"),
        BYTES("http://127.0.0.256/"),
        BYTES("http://1.2.3/"),
        BYTES("http://1.2.3.4.5/"),
        BYTES("http://example.1/"),
        /* IPv6 */
        BYTES("http://::1/"),
        BYTES("http://[::1/"),
        BYTES("http://::1]/"),
        BYTES("http://[]/"),
        BYTES("http://[:]/"),
        BYTES("http://[::1]x/"),
        BYTES("http://[::1]x:80/"),
        BYTES("http://x[::1]/"),
        BYTES("http://[::1]:/"),
        BYTES("http://[::1]]/"),
        BYTES("http://[[::1]]/"),
        BYTES("http://[fe80::1%25eth0]/"),
        BYTES("http://[::g]/"),
        BYTES("http://[1234]/"),
        BYTES("http://[12:4]/"),
        /* dot segments, which a browser resolves before it sends */
        BYTES("https://h/."),
        BYTES("https://h/.."),
        BYTES("https://h/a/../b"),
        BYTES("https://h/a/%2e%2E/b"),
        BYTES("https://h/a/.%2e?q"),
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("refused: %.*s", (int)cases[i].len, cases[i].ptr);
        ph_url url;
        CHECK_INT(ph_url_parse(test_guard_str(cases[i]), &url), PH_ERR_BAD_ENDPOINT);
    }

    test_case("lengths of names");
    char text[300] = "https://";
    memset(text + 8, 'a', 255);
    for (size_t at = 8 + 63; at < 8 + 255; at += 64)
        text[at] = '.';
    ph_url url;
    CHECK_INT(ph_url_parse((ph_str){text, 8 + 253}, &url), PH_OK);
    CHECK_INT(ph_url_parse((ph_str){text, 8 + 254}, &url), PH_ERR_BAD_ENDPOINT);
    text[8 + 63] = 'a'; /* a label of 127 */
    CHECK_INT(ph_url_parse((ph_str){text, 8 + 253}, &url), PH_ERR_BAD_ENDPOINT);
}

/* Every prefix of a URL is a URL or is refused, and nothing is read behind its end. */
static void test_url_cut(void)
{
    static const char text[] = "https://[2001:db8::1]:8443/a%20b/%2e/c?d=e";
    for (size_t len = 0; len < sizeof text; len++) {
        test_case("cut to %zu bytes", len);
        ph_url url;
        int err = ph_url_parse(test_guard_str((ph_str){text, len}), &url);
        bool good = len >= 21 && len != 22 && len < 36; /* behind "]", not at ":", before "/%2e" */
        CHECK_INT(err, good ? PH_OK : PH_ERR_BAD_ENDPOINT);
    }
}

static void test_loopback(void)
{
    static const struct {
        const char *url;
        bool loopback;
    } cases[] = {
        {"http://localhost", true},
        {"http://LocalHost:8333/", true},
        {"http://films.localhost/", true},
        {"http://a.b.LOCALHOST:1", true},
        {"http://127.0.0.1", true},
        {"http://127.0.0.1:9000/", true},
        {"http://127.255.255.254", true},
        {"http://[::1]", true},
        {"http://[::1]:9000", true},
        {"https://localhost", true},
        {"http://127.0.0.1.evil.example", false},
        {"http://127.evil.example", false},
        {"http://localhost.evil.example", false},
        {"http://localhostevil", false},
        {"http://evil-localhost", false},
        {"http://evillocalhost", false},
        {"http://localhos", false},
        {"http://evil.example/localhost", false},
        {"http://evil.example/?http://127.0.0.1", false},
        {"http://128.0.0.1", false},
        {"http://12.7.0.1", false},
        {"http://0.0.0.0", false},
        {"http://10.0.0.1", false},
        {"http://[::2]", false},
        {"http://[::1:1]", false},
        {"http://[fe80::1]", false},
        {"http://[::ffff:10.0.0.1]", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("loopback? %s", cases[i].url);
        ph_url url;
        CHECK_INT(ph_url_parse(test_guard_str(ph_str_from(cases[i].url)), &url), PH_OK);
        CHECK(ph_url_is_loopback(&url) == cases[i].loopback);
    }
}

/* ---- Endpoints ------------------------------------------------------------------------------- */

/* As in the table: bucket, region, endpoint, addressing, dualstack, accelerate. */
#define TARGET(b, r, e, a, d, x)                                                        \
    {                                                                                   \
        .bucket = BYTES(b), .region = {r, sizeof r - 1}, .endpoint = {e, sizeof e - 1}, \
        .addressing = PH_ADDRESSING_##a, .dualstack = d, .accelerate = x                \
    }

static void test_base(void)
{
    static const struct {
        ph_target target;
        const char *base, *region;
        bool tls, loopback;
    } cases[] = {
        /* AWS */
        {TARGET("films", "", "", AUTO, 0, 0), "https://films.s3.us-east-1.amazonaws.com/",
         "us-east-1", true, false},
        {TARGET("films", "eu-west-1", "", AUTO, 0, 0), "https://films.s3.eu-west-1.amazonaws.com/",
         "eu-west-1", true, false},
        {TARGET("films", "eu-west-1", "", VIRTUAL, 0, 0),
         "https://films.s3.eu-west-1.amazonaws.com/", "eu-west-1", true, false},
        {TARGET("films", "eu-west-1", "", PATH, 0, 0), "https://s3.eu-west-1.amazonaws.com/films/",
         "eu-west-1", true, false},
        {TARGET("my.films", "eu-west-1", "", AUTO, 0, 0),
         "https://s3.eu-west-1.amazonaws.com/my.films/", "eu-west-1", true, false},
        {TARGET("my.films", "eu-west-1", "", VIRTUAL, 0, 0),
         "https://my.films.s3.eu-west-1.amazonaws.com/", "eu-west-1", true, false},
        {TARGET("films", "eu-west-1", "", AUTO, 1, 0),
         "https://films.s3.dualstack.eu-west-1.amazonaws.com/", "eu-west-1", true, false},
        {TARGET("my.films", "eu-west-1", "", AUTO, 1, 0),
         "https://s3.dualstack.eu-west-1.amazonaws.com/my.films/", "eu-west-1", true, false},
        {TARGET("films", "eu-west-1", "", AUTO, 0, 1), "https://films.s3-accelerate.amazonaws.com/",
         "eu-west-1", true, false},
        {TARGET("films", "eu-west-1", "", VIRTUAL, 1, 1),
         "https://films.s3-accelerate.dualstack.amazonaws.com/", "eu-west-1", true, false},
        {TARGET("films", "cn-north-1", "", AUTO, 0, 0),
         "https://films.s3.cn-north-1.amazonaws.com.cn/", "cn-north-1", true, false},
        {TARGET("films", "cn-northwest-1", "", PATH, 1, 0),
         "https://s3.dualstack.cn-northwest-1.amazonaws.com.cn/films/", "cn-northwest-1", true,
         false},
        {TARGET("films", "us-gov-west-1", "", AUTO, 0, 0),
         "https://films.s3.us-gov-west-1.amazonaws.com/", "us-gov-west-1", true, false},
        /* custom */
        {TARGET("films", "", "http://127.0.0.1:8333", AUTO, 0, 0), "http://127.0.0.1:8333/films/",
         "us-east-1", false, true},
        {TARGET("films", "garage", "http://localhost:3900/", AUTO, 0, 0),
         "http://localhost:3900/films/", "garage", false, true},
        {TARGET("films", "r", "http://h", AUTO, 0, 0), "http://h/films/", "r", false, false},
        {TARGET("films", "", "http://localhost:3900/", VIRTUAL, 0, 0),
         "http://films.localhost:3900/", "us-east-1", false, true},
        {TARGET("films", "auto", "https://acc.r2.example", AUTO, 0, 0),
         "https://acc.r2.example/films/", "auto", true, false},
        {TARGET("films", "auto", "https://acc.r2.example", VIRTUAL, 0, 0),
         "https://films.acc.r2.example/", "auto", true, false},
        {TARGET("my.films", "auto", "https://acc.r2.example", VIRTUAL, 0, 0),
         "https://my.films.acc.r2.example/", "auto", true, false},
        {TARGET("films", "", "https://S3.Example:443", AUTO, 0, 0), "https://s3.example/films/",
         "us-east-1", true, false},
        {TARGET("films", "", "http://S3.Example:80", VIRTUAL, 0, 0), "http://films.s3.example/",
         "us-east-1", false, false},
        {TARGET("films", "", "https://s3.example:80", AUTO, 0, 0), "https://s3.example:80/films/",
         "us-east-1", true, false},
        {TARGET("films", "", "https://s3.example/Prefix", AUTO, 0, 0),
         "https://s3.example/Prefix/films/", "us-east-1", true, false},
        {TARGET("films", "", "https://s3.example/a/b/", AUTO, 0, 0),
         "https://s3.example/a/b/films/", "us-east-1", true, false},
        {TARGET("films", "", "https://s3.example/a", VIRTUAL, 0, 0), "https://films.s3.example/a/",
         "us-east-1", true, false},
        {TARGET("films", "", "http://[::1]:9000", AUTO, 0, 0), "http://[::1]:9000/films/",
         "us-east-1", false, true},
        {TARGET("films", "", "http://[FE80::1]", PATH, 0, 0), "http://[fe80::1]/films/",
         "us-east-1", false, false},
        {TARGET("films", "", "http://127.0.0.1.evil.example", AUTO, 0, 0),
         "http://127.0.0.1.evil.example/films/", "us-east-1", false, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("%s", cases[i].base);
        ph_endpoint e;
        CHECK_INT(ph_endpoint_make(&cases[i].target, &e), PH_OK);
        CHECK_STR(e.base, cases[i].base);
        CHECK_STR(e.region, cases[i].region);
        CHECK(e.tls == cases[i].tls);
        CHECK(e.loopback == cases[i].loopback);
        ph_url url; /* with a key behind it, it is a URL */
        CHECK_INT(ph_url_parse(e.base, &url), PH_OK);
        ph_endpoint_clear(&e);
        CHECK(!e.base.ptr && !e.region.ptr);
    }
}

static void test_base_refused(void)
{
    static const struct {
        ph_target target;
        int err;
    } cases[] = {
        {TARGET("", "", "", AUTO, 0, 0), PH_ERR_BAD_BUCKET},
        {TARGET("Films", "", "", AUTO, 0, 0), PH_ERR_BAD_BUCKET},
        {TARGET("films/x", "", "http://h", AUTO, 0, 0), PH_ERR_BAD_BUCKET},
        {TARGET("films", "eu west", "", AUTO, 0, 0), PH_ERR_BAD_REGION},
        {TARGET("films", "eu.evil.example", "", AUTO, 0, 0), PH_ERR_BAD_REGION},
        {TARGET("films", "eu/../x", "", AUTO, 0, 0), PH_ERR_BAD_REGION},
        {TARGET("films", "eu\n", "", AUTO, 0, 0), PH_ERR_BAD_REGION},
        {TARGET("films", "eu\0", "", AUTO, 0, 0), PH_ERR_BAD_REGION},
        {TARGET("films", "\xc3\xa4", "", AUTO, 0, 0), PH_ERR_BAD_REGION},
        {TARGET("films", "a123456789012345678901234567890123456789012345678901234567890123", "",
                AUTO, 0, 0),
         PH_ERR_BAD_REGION}, /* 64 */
        {TARGET("films", "", "s3.example", AUTO, 0, 0), PH_ERR_BAD_ENDPOINT},
        {TARGET("films", "", "https://s3.example?x", AUTO, 0, 0), PH_ERR_BAD_ENDPOINT},
        {TARGET("films", "", "https://s3.example/#x", AUTO, 0, 0), PH_ERR_BAD_ENDPOINT},
        {TARGET("films", "", "https://s3.example/a/../b", AUTO, 0, 0), PH_ERR_BAD_ENDPOINT},
        {TARGET("films", "", "https://user:pass@s3.example", AUTO, 0, 0), PH_ERR_BAD_ENDPOINT},
        {TARGET("films", "", "http://127.0.0.1:8333", VIRTUAL, 0, 0), PH_ERR_BAD_ENDPOINT},
        {TARGET("films", "", "http://[::1]:8333", VIRTUAL, 0, 0), PH_ERR_BAD_ENDPOINT},
        {TARGET("films", "", "http://h", AUTO, 1, 0), PH_ERR_BAD_ARG},
        {TARGET("films", "", "http://h", AUTO, 0, 1), PH_ERR_BAD_ARG},
        {TARGET("my.films", "", "", AUTO, 0, 1), PH_ERR_BAD_ARG},
        {TARGET("my.films", "", "", VIRTUAL, 0, 1), PH_ERR_BAD_ARG},
        {TARGET("films", "", "", PATH, 0, 1), PH_ERR_BAD_ARG},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("refused %zu", i);
        ph_endpoint e;
        CHECK_INT(ph_endpoint_make(&cases[i].target, &e), cases[i].err);
        CHECK(!e.base.ptr && !e.region.ptr);
    }

    test_case("longest region");
    ph_target t = TARGET("films", "A1_-56789012345678901234567890123456789012345678901234567890123",
                         "", AUTO, 0, 0);
    ph_endpoint e;
    CHECK_U64(t.region.len, 63);
    CHECK_INT(ph_endpoint_make(&t, &e), PH_OK);
    ph_endpoint_clear(&e);

    test_case("longest host");
    char host[300] = "http://";
    memset(host + 7, 'h', sizeof host - 7);
    for (size_t at = 7 + 20; at < sizeof host; at += 21)
        host[at] = '.';
    t = (ph_target){.bucket = PH_STR("films"), .endpoint = {host, 7 + 247}}; /* 253 with "films." */
    t.addressing = PH_ADDRESSING_VIRTUAL;
    CHECK_INT(ph_endpoint_make(&t, &e), PH_OK);
    ph_endpoint_clear(&e);
    t.endpoint.len++;
    CHECK_INT(ph_endpoint_make(&t, &e), PH_ERR_BAD_ENDPOINT);
    CHECK(!e.base.ptr && !e.region.ptr);
    t.addressing = PH_ADDRESSING_PATH;
    CHECK_INT(ph_endpoint_make(&t, &e), PH_OK);
    ph_endpoint_clear(&e);

    test_case("longest prefix");
    static char endpoint[3000] = "https://h/";
    memset(endpoint + 10, 'p', sizeof endpoint - 10);
    t = (ph_target){.bucket = PH_STR("films"), .endpoint = {endpoint, 2048 - 7}};
    CHECK_INT(ph_endpoint_make(&t, &e), PH_OK);
    CHECK_U64(e.base.len, 2048);
    ph_endpoint_clear(&e);
    t.endpoint.len++;
    CHECK_INT(ph_endpoint_make(&t, &e), PH_ERR_TOO_LONG);
    CHECK(!e.base.ptr && !e.region.ptr);
}

static void test_failing_allocations(void)
{
    static const ph_target targets[] = {
        TARGET("films", "eu-west-1", "", AUTO, 1, 0),
        TARGET("films", "eu-west-1",
               "http://localhost:9000/with/a/long/prefix/to/make/it/grow/once", VIRTUAL, 0, 0),
    };
    for (size_t i = 0; i < COUNT(targets); i++) {
        for (unsigned n = 0;; n++) {
            test_case("target %zu, allocation %u", i, n);
            ph_endpoint e;
            test_alloc_fail_after(n);
            int err = ph_endpoint_make(&targets[i], &e);
            bool failed = test_alloc_end();
            CHECK_INT(err, failed ? PH_ERR_NOMEM : PH_OK);
            CHECK((e.base.ptr == NULL) == failed && (e.region.ptr == NULL) == failed);
            ph_endpoint_clear(&e);
            if (!failed)
                break;
        }
    }
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void test_buckets(void)
{
    static const struct {
        ph_str bucket;
        int err;
    } cases[] = {
        {BYTES("abc"), PH_OK},
        {BYTES("123"), PH_OK},
        {BYTES("a.b-c"), PH_OK},
        {BYTES("a-.b"), PH_OK},
        {BYTES("1.2.3"), PH_OK},
        {BYTES("1.2.3.4.5"), PH_OK},
        {BYTES("1.2.3.x"), PH_OK},
        {BYTES("a23456789012345678901234567890123456789012345678901234567890123"), PH_OK}, /* 63 */
        {BYTES("a234567890123456789012345678901234567890123456789012345678901234"),
         PH_ERR_BAD_BUCKET},
        {BYTES(""), PH_ERR_BAD_BUCKET},
        {BYTES("ab"), PH_ERR_BAD_BUCKET},
        {BYTES("abC"), PH_ERR_BAD_BUCKET},
        {BYTES("a_b"), PH_ERR_BAD_BUCKET},
        {BYTES("-ab"), PH_ERR_BAD_BUCKET},
        {BYTES("ab-"), PH_ERR_BAD_BUCKET},
        {BYTES(".ab"), PH_ERR_BAD_BUCKET},
        {BYTES("ab."), PH_ERR_BAD_BUCKET},
        {BYTES("a..b"), PH_ERR_BAD_BUCKET},
        {BYTES("..."), PH_ERR_BAD_BUCKET},
        {BYTES("192.168.5.4"), PH_ERR_BAD_BUCKET},
        {BYTES("999.999.999.999"), PH_ERR_BAD_BUCKET}, /* "formatted as an IP address" */
        {BYTES("a b"), PH_ERR_BAD_BUCKET},
        {BYTES("a/b"), PH_ERR_BAD_BUCKET},
        {BYTES("a@b"), PH_ERR_BAD_BUCKET},
        {BYTES("a\0b"), PH_ERR_BAD_BUCKET},
        {BYTES("a\nb"), PH_ERR_BAD_BUCKET},
        {BYTES("b\xc3\xbc"
               "cher"),
         PH_ERR_BAD_BUCKET},
        {BYTES("arn:aws:s3:us-east-1:1:x"), PH_ERR_BAD_BUCKET},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("bucket %.*s", (int)cases[i].bucket.len, cases[i].bucket.ptr);
        CHECK_INT(ph_bucket_check(test_guard_str(cases[i].bucket)), cases[i].err);
    }
    CHECK_INT(ph_bucket_check((ph_str){NULL, 0}), PH_ERR_BAD_BUCKET);
}

static void test_keys(void)
{
    static const struct {
        ph_str key;
        int err;
    } cases[] = {
        {BYTES("k"), PH_OK},
        {BYTES("/"), PH_OK},
        {BYTES("//"), PH_OK},
        {BYTES("a//b/"), PH_OK},
        {BYTES(" "), PH_OK},
        {BYTES("a b+c%d&e=f?g#h\\i\"j'k<l>m{n}o|p^q`r~s"), PH_OK},
        {BYTES("%"), PH_OK},
        {BYTES("%2"), PH_OK},
        {BYTES("%2f"), PH_OK},
        {BYTES("%00"), PH_OK}, /* three characters, which are encoded again */
        {BYTES("\xc3\xbc/\xe6\x97\xa5\xe6\x9c\xac/\xf0\x9f\x8e\xac\xe2\x80\x8d.mp4"), PH_OK},
        {BYTES("\xc2\x80"), PH_OK},
        {BYTES("\xef\xbf\xbf"), PH_OK},
        {BYTES("\xf4\x8f\xbf\xbf"), PH_OK},
        {BYTES("..."), PH_OK},
        {BYTES(".a"), PH_OK},
        {BYTES("a."), PH_OK},
        {BYTES("..a"), PH_OK},
        {BYTES("a.."), PH_OK},
        {BYTES("a..b"), PH_OK},
        {BYTES("a/.../b"), PH_OK},
        {BYTES("a/%2e%2e%2e/b"), PH_OK},
        {BYTES("%2e%2"), PH_OK},
        {BYTES(".%2"), PH_OK},
        {BYTES("..\\.."), PH_OK},
        {BYTES("\xef\xbc\x8e\xef\xbc\x8e"), PH_OK}, /* full-width dots are none to a URL */

        {BYTES(""), PH_ERR_BAD_KEY},
        {BYTES("a\0b"), PH_ERR_BAD_KEY},
        {BYTES("\x01"), PH_ERR_BAD_KEY},
        {BYTES("a\tb"), PH_ERR_BAD_KEY},
        {BYTES("a\nb"), PH_ERR_BAD_KEY},
        {BYTES("a\rb"), PH_ERR_BAD_KEY},
        {BYTES("\x1f"), PH_ERR_BAD_KEY},
        {BYTES("\x7f"), PH_ERR_BAD_KEY},
        {BYTES("\x80"), PH_ERR_BAD_KEY},
        {BYTES("\xff"), PH_ERR_BAD_KEY},
        {BYTES("\xc3"), PH_ERR_BAD_KEY},
        {BYTES("\xc0\xaf"), PH_ERR_BAD_KEY},     /* overlong "/" */
        {BYTES("\xed\xa0\x80"), PH_ERR_BAD_KEY}, /* a lone surrogate */
        {BYTES("\xf4\x90\x80\x80"), PH_ERR_BAD_KEY},
        {BYTES("\xf0\x9f\x8e"), PH_ERR_BAD_KEY}, /* a cut emoji */

        {BYTES("."), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES(".."), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("./"), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("/."), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("a/./b"), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("a/.."), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("../a"), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("a//../b"), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("%2e"), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("%2E"), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("%2e%2e"), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("%2E%2e"), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("%2E%2E"), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES(".%2e"), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("%2e."), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("a/%2E%2e/b"), PH_ERR_KEY_DOT_SEGMENT},
        {BYTES("a/b/%2e"), PH_ERR_KEY_DOT_SEGMENT},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("key %.*s", (int)cases[i].key.len, cases[i].key.ptr);
        CHECK_INT(ph_key_check(test_guard_str(cases[i].key)), cases[i].err);
    }
    CHECK_INT(ph_key_check((ph_str){NULL, 0}), PH_ERR_BAD_KEY);

    test_case("longest key");
    static char key[1025];
    memset(key, 'k', sizeof key);
    CHECK_INT(ph_key_check(test_guard_str((ph_str){key, 1024})), PH_OK);
    CHECK_INT(ph_key_check(test_guard_str((ph_str){key, 1025})), PH_ERR_BAD_KEY);
    for (size_t i = 0; i + 4 <= sizeof key; i += 4)
        memcpy(key + i, "\xf0\x9f\x8e\xac", 4); /* bytes count, not characters */
    CHECK_INT(ph_key_check(test_guard_str((ph_str){key, 1024})), PH_OK);
    CHECK_INT(ph_key_check(test_guard_str((ph_str){key, 1023})), PH_ERR_BAD_KEY);
}

int main(void)
{
    test_url();
    test_url_refused();
    test_url_cut();
    test_loopback();
    test_base();
    test_base_refused();
    test_failing_allocations();
    test_buckets();
    test_keys();
    return test_end();
}
