/* SPDX-License-Identifier: MIT
 *
 * Tests the API's config: what is needed, what stands in for what is not said, and that each wrong
 * value is refused at the start by a line that names it and does not repeat it.
 */
#define _POSIX_C_SOURCE 200809L

#include "test.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/config.h"
#include "core/str.h"

static char secret_file[] = "build/secret-XXXXXX";

/* The least that makes a configuration, and one more setting; an empty value unsets. */
typedef struct settings {
    const char *name;
    const char *value;
} settings;

static const char *env(void *context, const char *name)
{
    const settings *extra = context;
    static const settings base[] = {
        {"PARTHAUL_BUCKET", "uploads"},
        {"PARTHAUL_ROLE_ARN", "arn:aws:iam::123456789012:role/upload"},
        {"PARTHAUL_JWT_HS256_SECRET_FILE", secret_file},
        {"PARTHAUL_JWT_ISSUER", "https://issuer"},
        {"PARTHAUL_JWT_AUDIENCE", "parthaul"},
        {"PARTHAUL_ORIGINS", "https://example.org"},
        {"AWS_ACCESS_KEY_ID", "AKID"},
        {"AWS_SECRET_ACCESS_KEY", "hidden"},
    };
    if (extra && strcmp(extra->name, name) == 0)
        return extra->value;
    for (size_t i = 0; i < COUNT(base); i++)
        if (strcmp(base[i].name, name) == 0)
            return base[i].value;
    return NULL;
}

static void write_file(const char *content)
{
    FILE *file = fopen(secret_file, "wb");
    CHECK(file && fputs(content, file) >= 0);
    if (file)
        fclose(file);
}

static void test_defaults(void)
{
    api_config c;
    ph_buf says;
    ph_buf_init(&says, 4096);
    test_case("defaults");
    CHECK(api_config_read(env, NULL, &says, &c));
    CHECK_STR(ph_buf_view(&says), "");
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&c.listen;
    CHECK_INT(v4->sin_family, AF_INET);
    CHECK_INT(ntohs(v4->sin_port), 8081);
    CHECK_U64(ntohl(v4->sin_addr.s_addr), 0x7F000001);
    CHECK_STR(c.bucket_at.base, "https://uploads.s3.us-east-1.amazonaws.com/");
    CHECK_STR(c.sts_endpoint, "https://sts.us-east-1.amazonaws.com/");
    CHECK_STR(c.s3_endpoint, NULL);
    CHECK_STR(ph_str_from(c.user_claim), "sub");
    CHECK_STR(c.prefix, "upload/{sub}/");
    CHECK_U64(c.put_limit, 104857600);
    CHECK_U64(c.session_seconds, 3600);
    CHECK_U64(c.url_seconds, 900);
    CHECK_U64(c.origin_count, 1);
    api_config_clear(&c);

    test_case("China has its own names");
    CHECK(api_config_read(env, &(settings){"PARTHAUL_REGION", "cn-north-1"}, &says, &c));
    CHECK_STR(c.sts_endpoint, "https://sts.cn-north-1.amazonaws.com.cn/");
    api_config_clear(&c);

    test_case("origins");
    settings origins = {"PARTHAUL_ORIGINS",
                        " https://a.example,http://localhost:8080 ,, http://[::1]:5173"};
    CHECK(api_config_read(env, &origins, &says, &c));
    CHECK_U64(c.origin_count, 3);
    CHECK_STR(c.origins[0], "https://a.example");
    CHECK_STR(c.origins[1], "http://localhost:8080");
    CHECK_STR(c.origins[2], "http://[::1]:5173");
    api_config_clear(&c);

    test_case("listen at IPv6");
    CHECK(api_config_read(env, &(settings){"PARTHAUL_LISTEN", "[::1]:0"}, &says, &c));
    CHECK_INT(c.listen.ss_family, AF_INET6);
    api_config_clear(&c);
    ph_buf_clear(&says);
}

static void test_refusals(void)
{
    static const settings cases[] = {
        {"PARTHAUL_BUCKET", ""},
        {"PARTHAUL_BUCKET", "Hidden_Bucket"},
        {"PARTHAUL_ROLE_ARN", ""},
        {"PARTHAUL_ROLE_ARN", "hidden-role"},
        {"PARTHAUL_ROLE_ARN", "arn:aws:iam::123456789012:role/hidden role"},
        {"PARTHAUL_REGION", "hidden region"},
        {"PARTHAUL_LISTEN", "8081"},
        {"PARTHAUL_LISTEN", "hidden:8081"},
        {"PARTHAUL_LISTEN", "127.0.0.1:65536"},
        {"PARTHAUL_LISTEN", "127.0.0.1:"},
        {"PARTHAUL_LISTEN", "::1:8081"},
        {"PARTHAUL_LISTEN", "[127.0.0.1]:8081"},
        {"PARTHAUL_S3_ENDPOINT", "ftp://hidden"},
        {"PARTHAUL_S3_ENDPOINT", "https://user:hidden@host"},
        {"PARTHAUL_STS_ENDPOINT", "hidden"},
        {"PARTHAUL_STS_ENDPOINT", "https://sts/?hidden=1"},
        {"PARTHAUL_ORIGINS", "*"},
        {"PARTHAUL_ORIGINS", "null"},
        {"PARTHAUL_ORIGINS", "https://a,https://hidden/"},
        {"PARTHAUL_ORIGINS", "https://Hidden"},
        {"PARTHAUL_ORIGINS", "https://hidden:443"},
        {"PARTHAUL_ORIGINS", "https://hidden?a"},
        {"PARTHAUL_JWT_HS256_SECRET_FILE", "/nonexistent/hidden"},
        {"PARTHAUL_JWT_HS256_SECRET_FILE", ""},
        {"PARTHAUL_JWT_RS256_KEY_FILE", secret_file},
        {"PARTHAUL_JWT_ISSUER", ""},
        {"PARTHAUL_JWT_AUDIENCE", ""},
        {"PARTHAUL_PREFIX", "hidden"},
        {"PARTHAUL_PREFIX", "*/"},
        {"PARTHAUL_PREFIX", "${hidden}/"},
        {"PARTHAUL_PREFIX", "../hidden/"},
        {"PARTHAUL_PUT_LIMIT", "5368709121"},
        {"PARTHAUL_PUT_LIMIT", "100 MiB"},
        {"PARTHAUL_PUT_LIMIT", "-1"},
        {"PARTHAUL_SESSION_SECONDS", "899"},
        {"PARTHAUL_SESSION_SECONDS", "43201"},
        {"PARTHAUL_URL_SECONDS", "0"},
        {"PARTHAUL_URL_SECONDS", "3601"},
        {"PARTHAUL_PREFIX", "upload/{sub}-{hidden}/"},
        {"PARTHAUL_PREFIX", "upload//{hidden}/"},
        {"PARTHAUL_PREFIX", "/{hidden}/"},
        {"PARTHAUL_PREFIX", "{hidden/"},
        {"PARTHAUL_AUTH", "hidden"},
        {"PARTHAUL_JWT_RSA_ALGORITHM", "ES256"},
        {"PARTHAUL_JWT_RSA_ALGORITHM", "none"},
        {"PARTHAUL_JWT_KEY_FILES", "/nonexistent/hidden"},
        {"PARTHAUL_JWT_JWKS_URL", "http://hidden/jwks"},
        {"PARTHAUL_JWT_LEEWAY_SECONDS", "301"},
        {"PARTHAUL_INTROSPECTION_URL", "http://hidden/"},
        {"PARTHAUL_TOKENINFO_URL", "ftp://hidden/"},
        {"PARTHAUL_API_KEYS_FILE", "/nonexistent/hidden"},
        {"PARTHAUL_TYPES", "hidden"},
        {"PARTHAUL_TYPES", "*/hidden"},
        {"PARTHAUL_MAX_FILES", "251"},
        {"PARTHAUL_METRICS", "hidden"},
        {"PARTHAUL_ROLES", "hidden/a"},
        {"PARTHAUL_ROLE_PREFIX", "hidden"},
        {"PARTHAUL_POST_KEYS", "hidden"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://hidden/"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT", "hidden"},
        {"AWS_ACCESS_KEY_ID", ""},
        {"AWS_SECRET_ACCESS_KEY", ""},
    };
    ph_buf says;
    ph_buf_init(&says, 4096);
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("%s=%s", cases[i].name, cases[i].value);
        api_config c;
        settings extra = cases[i];
        ph_buf_reset(&says);
        CHECK(!api_config_read(env, &extra, &says, &c));
        ph_str line = ph_buf_view(&says);
        CHECK(ph_str_starts(line, ph_str_from(cases[i].name)));
        CHECK_U64(ph_str_find(line, '\n'), line.len - 1); /* one line */
        ph_buf_char(&says, '\0');
        CHECK(strstr(says.ptr, "hidden") == NULL);
    }
    ph_buf_clear(&says);
}

static const char *empty_env(void *context, const char *name)
{
    (void)context, (void)name;
    return NULL;
}

static void test_empty(void)
{
    api_config c;
    ph_buf says;
    ph_buf_init(&says, 4096);
    test_case("nothing is set: a line for each that is needed by itself");
    CHECK(!api_config_read(empty_env, NULL, &says, &c));
    size_t lines = 0;
    for (size_t i = 0; i < says.len; i++)
        lines += says.ptr[i] == '\n';
    CHECK_U64(lines, 2);
    ph_buf_clear(&says);
}

static void test_advice(void)
{
    static const struct {
        settings extra;
        const char *says;
    } cases[] = {
        {{"PARTHAUL_S3_ENDPOINT", "http://s3.example"}, "PARTHAUL_S3_ENDPOINT: is not https"},
        {{"PARTHAUL_STS_ENDPOINT", "http://s3.example"}, "PARTHAUL_STS_ENDPOINT: is not https"},
        {{"PARTHAUL_S3_ENDPOINT", "http://127.0.0.1:8333"}, ""},
        {{"PARTHAUL_STS_ENDPOINT", "http://localhost:8333"}, ""},
        {{"PARTHAUL_ORIGINS", ""}, "PARTHAUL_ORIGINS: is not set"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("advice %zu", i);
        api_config c;
        ph_buf says;
        ph_buf_init(&says, 4096);
        settings extra = cases[i].extra;
        CHECK(api_config_read(env, &extra, &says, &c));
        CHECK(ph_str_starts(ph_buf_view(&says), ph_str_from(cases[i].says)));
        CHECK((says.len == 0) == (cases[i].says[0] == '\0'));
        api_config_clear(&c);
        ph_buf_clear(&says);
    }

    test_case("a newline at the secret's end");
    write_file("0123456789abcdef0123456789abcdef\n");
    api_config c;
    ph_buf says;
    ph_buf_init(&says, 4096);
    CHECK(api_config_read(env, NULL, &says, &c));
    CHECK(ph_str_starts(ph_buf_view(&says), PH_STR("PARTHAUL_JWT_HS256_SECRET_FILE: ends in")));
    api_config_clear(&c);
    ph_buf_clear(&says);

    test_case("a short secret");
    ph_buf_init(&says, 4096);
    write_file("0123456789abcdef0123456789abcde");
    CHECK(!api_config_read(env, NULL, &says, &c));
    ph_buf_clear(&says);
}

static void test_help(void)
{
    ph_buf b;
    test_case("help");
    ph_buf_init(&b, 16384);
    api_config_help(&b);
    CHECK_INT(b.err, PH_OK);
    ph_buf_char(&b, '\0');
    CHECK(strstr(b.ptr, "  PARTHAUL_BUCKET "));
    CHECK(strstr(b.ptr, "(required)\n"));
    ph_buf_clear(&b);
}

int main(void)
{
    int fd = mkstemp(secret_file);
    if (fd < 0)
        return EXIT_FAILURE;
    close(fd);
    write_file("0123456789abcdef0123456789abcdef");
    test_defaults();
    test_refusals();
    test_empty();
    test_advice();
    test_help();
    unlink(secret_file);
    return test_end();
}
