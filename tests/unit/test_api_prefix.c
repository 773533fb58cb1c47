/* SPDX-License-Identifier: MIT
 *
 * Tests the API's prefix: what a template may be, what claims become in it, and that no claim and no
 * two users get out of their own place, whatever the claims say.
 */
#include "test.h"

#include <string.h>

#include "api/prefix.h"
#include "core/enc.h"
#include "core/str.h"
#include "core/sts.h"

static const char *fill(const char *pattern, const char *claims, ph_buf *out)
{
    ph_json *document;
    ph_buf_reset(out);
    CHECK_INT(ph_json_parse(ph_str_from(claims), &document), PH_OK);
    api_verdict verdict = api_prefix_make(ph_str_from(pattern), document, out);
    ph_json_free(document);
    return verdict.problem == API_NO_PROBLEM ? "OK" : api_problem_info(verdict.problem)->code;
}

static void test_templates(void)
{
    static const char *const good[] = {"upload/{sub}/",
                                       "{sub}/",
                                       "a/b/{x}/c/{y}/",
                                       "builds/",
                                       "upload/{https://example.com/user_id}/",
                                       "{a/b}/c/{/}/"};
    static const char *const bad[] = {"",          "upload",       "upload/{sub}", "/{sub}/",
                                      "a//{sub}/", "a-{sub}/",     "{sub}x/",      "{a}{b}/",
                                      "{}/",       "{a{b}}/",      "a}/",          "{sub/",
                                      "/",         "{a}-{b}/{c}/", "${sub}/",      "{a/b/",
                                      "{a/b}c/",   "{a/{b}/",      "a-{b/c}/",     "{a/b}",
                                      "{a/b}{c}/"};
    for (size_t i = 0; i < COUNT(good); i++) {
        test_case("template %s", good[i]);
        CHECK(api_prefix_check(test_guard_str(ph_str_from(good[i]))) == NULL);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        test_case("no template %s", bad[i]);
        CHECK(api_prefix_check(test_guard_str(ph_str_from(bad[i]))) != NULL);
    }

    ph_buf out;
    ph_buf_init(&out, 1024);
    test_case("filled");
    CHECK_STR(ph_str_from(fill("builds/{product}/{build}/",
                               "{\"product\":\"docs\",\"build\":\"7\"}", &out)),
              "OK");
    CHECK_STR(ph_buf_view(&out), "builds/docs/7/");
    CHECK_STR(ph_str_from(fill("up/{https://a.example/id}/x/{sub}/",
                               "{\"https://a.example/id\":\"7\",\"sub\":\"b\"}", &out)),
              "OK");
    CHECK_STR(ph_buf_view(&out), "up/7/x/b/");
    test_case("names of claims have 128 bytes at most");
    char name[129 + 4] = "{";
    memset(name + 1, 'n', 128);
    strcpy(name + 129, "}/");
    CHECK(api_prefix_check(ph_str_from(name)) == NULL);
    strcpy(name + 129, "n}/");
    CHECK(api_prefix_check(ph_str_from(name)) != NULL);
    static const char *const lacking[] = {"{}",
                                          "{\"sub\":\"\"}",
                                          "{\"sub\":7}",
                                          "{\"sub\":null}",
                                          "{\"sub\":[\"a\"]}",
                                          "{\"Sub\":\"a\"}"};
    for (size_t i = 0; i < COUNT(lacking); i++) {
        test_case("claims %s", lacking[i]);
        CHECK_STR(ph_str_from(fill("upload/{sub}/", lacking[i], &out)), "FORBIDDEN");
    }
    ph_buf_clear(&out);
}

/* Two claims of what is dangerous, in every order: the prefix keeps its three segments, makes a
 * policy, and is nobody else's. */
static void test_hostile(void)
{
    static const char *const bits[] = {"a",     "A",  "*",     "?",        "${aws:username}",
                                       "..",    ".",  "/",     "\\",       "%2f",
                                       "%",     "\"", "}",     "\xC3\xA9", "\xE2\x80\xAE",
                                       "\x01",  "\n", " ",     "~",        "b",
                                       "{sub}", "-",  "alice", "ALICE",    "'"};
    static char seen[4000][160];
    static char from[4000][160];
    size_t count = 0;
    uint64_t seed = 7;
    ph_buf claims, out, policy;
    ph_buf_init(&claims, 4096);
    ph_buf_init(&out, 1024);
    ph_buf_init(&policy, 4096);
    for (size_t n = 0; n < COUNT(seen); n++) {
        char text[2][64] = {"", ""};
        for (size_t t = 0; t < 2; t++)
            do
                strcat(text[t], bits[test_random(&seed) % COUNT(bits)]);
            while (test_random(&seed) % 2 && strlen(text[t]) < 40);
        ph_buf_reset(&claims);
        ph_buf_cstr(&claims, "{\"x\":");
        ph_enc_json(&claims, ph_str_from(text[0]));
        ph_buf_cstr(&claims, ",\"y\":");
        ph_enc_json(&claims, ph_str_from(text[1]));
        ph_buf_cstr(&claims, "}");
        size_t mine = claims.len;
        ph_buf_char(&claims, '\0');
        test_case("claims %s", claims.ptr);
        CHECK_STR(ph_str_from(fill("up/{x}/{y}/", claims.ptr, &out)), "OK");
        ph_str prefix = ph_buf_view(&out);
        size_t slashes = 0;
        for (size_t i = 0; i < prefix.len; i++) {
            slashes += prefix.ptr[i] == '/';
            CHECK(prefix.ptr[i] > ' ' && prefix.ptr[i] <= '~' &&
                  !strchr("*?${}%\"\\'", prefix.ptr[i]));
        }
        CHECK_U64(slashes, 3);
        ph_buf_reset(&policy);
        CHECK_INT(ph_sts_prefix_policy(PH_STR("arn:aws:iam::1:role/r"), PH_STR("uploads"), prefix,
                                       &policy),
                  PH_OK);
        if (prefix.len >= sizeof seen[0] || mine >= sizeof from[0])
            continue;
        memcpy(seen[count], prefix.ptr, prefix.len);
        seen[count][prefix.len] = '\0';
        memcpy(from[count], claims.ptr, mine + 1);
        count++;
    }
    for (size_t a = 0; a < count; a++)
        for (size_t b = 0; b < a; b++)
            if (ph_str_equal_nocase(ph_str_from(seen[a]), ph_str_from(seen[b])))
                CHECK(strcmp(from[a], from[b]) == 0);
    CHECK(count > 3000);
    ph_buf_clear(&claims);
    ph_buf_clear(&out);
    ph_buf_clear(&policy);
}

int main(void)
{
    test_templates();
    test_hostile();
    return test_end();
}
