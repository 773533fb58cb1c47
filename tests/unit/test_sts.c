/* SPDX-License-Identifier: MIT
 *
 * Tests sts: what AssumeRole is asked and what it answers, and that neither a user's name nor a
 * prefix can make the policy reach further than that prefix.
 */
#include "test.h"

#include "core/json.h"
#include "core/str.h"
#include "core/sts.h"

#include <string.h>

#define ROLE "arn:aws:iam::123456789012:role/upload"

/* ---- Request --------------------------------------------------------------------------------- */

static int body_of(ph_assume_role role, ph_buf *b)
{
    ph_buf_init(b, 8192);
    return ph_sts_assume_role_body(&role, b);
}

static void test_body(void)
{
    ph_assume_role role = {.role_arn = PH_STR(ROLE),
                           .session_name = PH_STR("alice"),
                           .policy = PH_STR("{\"a\":\"b c\"}"),
                           .duration_seconds = 3600};
    ph_buf b;
    test_case("body");
    CHECK_INT(body_of(role, &b), PH_OK);
    CHECK_STR(ph_buf_view(&b),
              "Action=AssumeRole&Version=2011-06-15"
              "&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fupload"
              "&RoleSessionName=alice&DurationSeconds=3600&Policy=%7B%22a%22%3A%22b%20c%22%7D");
    ph_buf_clear(&b);

    test_case("body without a policy");
    role.policy = (ph_str){NULL, 0};
    CHECK_INT(body_of(role, &b), PH_OK);
    CHECK(ph_str_ends(ph_buf_view(&b), PH_STR("&DurationSeconds=3600")));
    ph_buf_clear(&b);

    static char policy[2049];
    memset(policy, 'x', sizeof policy);
    const struct {
        const char *what;
        ph_str role_arn, session_name, policy;
        uint32_t duration_seconds;
        int err;
    } cases[] = {
        {"longest policy", PH_STR(ROLE), PH_STR("al"), {policy, 2048}, 900, PH_OK},
        {"policy too long", PH_STR(ROLE), PH_STR("al"), {policy, 2049}, 900, PH_ERR_BAD_ARG},
        {"policy empty", PH_STR(ROLE), PH_STR("al"), PH_STR(""), 900, PH_ERR_BAD_ARG},
        {"name too short", PH_STR(ROLE), PH_STR("a"), {NULL, 0}, 900, PH_ERR_BAD_ARG},
        {"name too long", PH_STR(ROLE), {policy, 65}, {NULL, 0}, 900, PH_ERR_BAD_ARG},
        {"name with a slash", PH_STR(ROLE), PH_STR("a/b"), {NULL, 0}, 900, PH_ERR_BAD_ARG},
        {"name with a NUL", PH_STR(ROLE), PH_STR("a\0b"), {NULL, 0}, 900, PH_ERR_BAD_ARG},
        {"role too short", PH_STR("arn:x"), PH_STR("al"), {NULL, 0}, 900, PH_ERR_BAD_ARG},
        {"role too long", {policy, 2049}, PH_STR("al"), {NULL, 0}, 900, PH_ERR_BAD_ARG},
        {"role with a DEL", PH_STR(ROLE "\x7f"), PH_STR("al"), {NULL, 0}, 900, PH_ERR_BAD_ARG},
        {"role with a space", PH_STR(ROLE " "), PH_STR("al"), {NULL, 0}, 900, PH_ERR_BAD_ARG},
        {"too brief", PH_STR(ROLE), PH_STR("al"), {NULL, 0}, 899, PH_ERR_BAD_ARG},
        {"longest", PH_STR(ROLE), PH_STR("al"), {NULL, 0}, 43200, PH_OK},
        {"too long", PH_STR(ROLE), PH_STR("al"), {NULL, 0}, 43201, PH_ERR_BAD_ARG},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("body: %s", cases[i].what);
        role = (ph_assume_role){.role_arn = cases[i].role_arn,
                                .session_name = cases[i].session_name,
                                .policy = cases[i].policy,
                                .duration_seconds = cases[i].duration_seconds};
        CHECK_INT(body_of(role, &b), cases[i].err);
        ph_buf_clear(&b);
    }
}

static void test_proofs(void)
{
    static char id[1225];
    memset(id, 'x', sizeof id);
    ph_str none = {NULL, 0}, device = PH_STR("arn:aws:iam::123456789012:mfa/me");
    const struct {
        ph_str external_id, serial_number, token_code;
        int err;
    } cases[] = {
        {PH_STR("a:b/c=1"), device, PH_STR("012345"), PH_OK},
        {{id, 1224}, none, none, PH_OK},
        {none, PH_STR("GAHT12345678"), PH_STR("000000"), PH_OK},
        {{id, 1225}, none, none, PH_ERR_BAD_ARG},
        {PH_STR("x"), none, none, PH_ERR_BAD_ARG},
        {PH_STR(""), none, none, PH_ERR_BAD_ARG},
        {PH_STR("a b"), none, none, PH_ERR_BAD_ARG},
        {none, device, none, PH_ERR_BAD_ARG},
        {none, none, PH_STR("012345"), PH_ERR_BAD_ARG},
        {none, device, PH_STR("01234"), PH_ERR_BAD_ARG},
        {none, device, PH_STR("0123456"), PH_ERR_BAD_ARG},
        {none, device, PH_STR("01234x"), PH_ERR_BAD_ARG},
        {none, device, PH_STR("01234-"), PH_ERR_BAD_ARG},
        {none, PH_STR("short"), PH_STR("012345"), PH_ERR_BAD_ARG},
        {none, {id, 256}, PH_STR("012345"), PH_OK},
        {none, {id, 257}, PH_STR("012345"), PH_ERR_BAD_ARG},
        {none, PH_STR("a device of mine"), PH_STR("012345"), PH_ERR_BAD_ARG},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("external id and MFA %zu", i);
        ph_assume_role role = {.role_arn = PH_STR(ROLE),
                               .session_name = PH_STR("al"),
                               .duration_seconds = 900,
                               .external_id = cases[i].external_id,
                               .serial_number = cases[i].serial_number,
                               .token_code = cases[i].token_code};
        ph_buf b;
        CHECK_INT(body_of(role, &b), cases[i].err);
        if (i == 0)
            CHECK(ph_str_ends(ph_buf_view(&b),
                              PH_STR("&DurationSeconds=900&ExternalId=a%3Ab%2Fc%3D1"
                                     "&SerialNumber=arn%3Aaws%3Aiam%3A%3A123456789012%3Amfa%2Fme"
                                     "&TokenCode=012345")));
        ph_buf_clear(&b);
    }
}

/* ---- Answer ---------------------------------------------------------------------------------- */

#define CREDENTIALS(id, secret, token, end) "<Credentials>" id secret token end "</Credentials>"
#define ID "<AccessKeyId> ASIAX </AccessKeyId>"
#define SECRET "<SecretAccessKey>a/b+c=</SecretAccessKey>"
#define TOKEN "<SessionToken>\n  Fw==&amp;\n</SessionToken>"
#define END "<Expiration>2019-07-15T23:28:33.359Z</Expiration>"
#define ANSWER(inner)                                                                \
    "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n"     \
    "<AssumeRoleResult>" inner "<AssumedRoleUser><Arn>arn:x</Arn></AssumedRoleUser>" \
    "<PackedPolicySize>8</PackedPolicySize><SourceIdentity/></AssumeRoleResult>"     \
    "<ResponseMetadata><RequestId/></ResponseMetadata></AssumeRoleResponse>\n"

static const char good_answer[] = ANSWER(CREDENTIALS(ID, SECRET, TOKEN, END));

static void test_answer(void)
{
    ph_creds c;
    test_case("answer");
    CHECK_INT(ph_sts_assume_role_answer(
                  test_guard_str(PH_STR(ANSWER(CREDENTIALS(ID, SECRET, TOKEN, END)))), &c),
              PH_OK);
    CHECK_STR(c.access_key_id, "ASIAX");
    CHECK_STR(c.secret_access_key, "a/b+c=");
    CHECK_STR(c.session_token, "Fw==&");
    CHECK_U64(c.expires_ms, UINT64_C(1563233313359));
    ph_creds_clear(&c);

    test_case("answer with members of a later version");
    CHECK_INT(ph_sts_assume_role_answer(
                  PH_STR(ANSWER(CREDENTIALS("<Scope>x<b/></Scope>" ID, SECRET, TOKEN, END))), &c),
              PH_OK);
    CHECK_STR(c.access_key_id, "ASIAX");
    ph_creds_clear(&c);

    const struct {
        const char *what;
        ph_str body;
        int err;
    } cases[] = {
        {"empty", PH_STR(""), PH_ERR_BAD_XML},
        {"HTML", PH_STR("<html><body>502</body></html>"), PH_ERR_BAD_ANSWER},
        {"no credentials", PH_STR(ANSWER("")), PH_ERR_BAD_ANSWER},
        {"no id", PH_STR(ANSWER(CREDENTIALS("", SECRET, TOKEN, END))), PH_ERR_BAD_ANSWER},
        {"no secret", PH_STR(ANSWER(CREDENTIALS(ID, "", TOKEN, END))), PH_ERR_BAD_ANSWER},
        {"no token", PH_STR(ANSWER(CREDENTIALS(ID, SECRET, "", END))), PH_ERR_BAD_ANSWER},
        {"no end", PH_STR(ANSWER(CREDENTIALS(ID, SECRET, TOKEN, ""))), PH_ERR_BAD_ANSWER},
        {"empty id", PH_STR(ANSWER(CREDENTIALS("<AccessKeyId/>", SECRET, TOKEN, END))),
         PH_ERR_BAD_ANSWER},
        {"an end that is no date",
         PH_STR(ANSWER(CREDENTIALS(ID, SECRET, TOKEN, "<Expiration>soon</Expiration>"))),
         PH_ERR_BAD_ANSWER},
        {"two ids", PH_STR(ANSWER(CREDENTIALS(ID ID, SECRET, TOKEN, END))), PH_ERR_BAD_ANSWER},
        {"credentials elsewhere",
         PH_STR(ANSWER("<Other>" CREDENTIALS(ID, SECRET, TOKEN, END) "</Other>")),
         PH_ERR_BAD_ANSWER},
        {"an element in a value",
         PH_STR(ANSWER(CREDENTIALS("<AccessKeyId><b/></AccessKeyId>", SECRET, TOKEN, END))),
         PH_ERR_BAD_XML},
        {"an error",
         PH_STR("<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"),
         PH_ERR_BAD_ANSWER},
        {"a DOCTYPE", PH_STR("<!DOCTYPE a>" ANSWER(CREDENTIALS(ID, SECRET, TOKEN, END))),
         PH_ERR_BAD_XML},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("answer: %s", cases[i].what);
        CHECK_INT(ph_sts_assume_role_answer(test_guard_str(cases[i].body), &c), cases[i].err);
        CHECK(!c.access_key_id.ptr && !c.secret_access_key.ptr && !c.session_token.ptr);
    }

    test_case("answer cut anywhere");
    for (size_t len = 0; len < sizeof good_answer - 2; len++) {
        ph_str cut = test_guard_str((ph_str){good_answer, len});
        CHECK(ph_sts_assume_role_answer(cut, &c) != PH_OK);
    }

    test_case("answer: memory fails");
    for (unsigned n = 0;; n++) {
        test_alloc_fail_after(n);
        int err = ph_sts_assume_role_answer((ph_str){good_answer, sizeof good_answer - 1}, &c);
        if (!test_alloc_end()) {
            CHECK_INT(err, PH_OK);
            ph_creds_clear(&c);
            break;
        }
        CHECK_INT(err, PH_ERR_NOMEM);
    }
}

/* The body that a recorded exchange received: "Data" with the direction "Response". */
static ph_str recorded_body(const ph_json *traffic)
{
    const ph_json *event = ph_json_first(ph_json_member(traffic, "events"));
    for (; event; event = ph_json_next(event)) {
        const ph_json *data = ph_json_member(ph_json_member(event, "action"), "Data");
        if (ph_str_equal(ph_json_member_text(data, "direction"), PH_STR("Response")))
            return ph_json_member_text(ph_json_member(data, "data"), "Utf8");
    }
    return (ph_str){NULL, 0};
}

static void test_recorded(void)
{
    ph_buf file;
    test_case("recorded: AssumeRoleWithWebIdentity");
    if (test_vectors("sts-recorded/web_identity_token_env/http-traffic.json", &file)) {
        ph_json *traffic;
        CHECK_INT(ph_json_parse(ph_buf_view(&file), &traffic), PH_OK);
        ph_creds c;
        CHECK_INT(ph_sts_assume_role_answer(recorded_body(traffic), &c), PH_OK);
        CHECK_STR(c.access_key_id, "AKIDTEST");
        CHECK_STR(c.secret_access_key, "SECRETKEYTEST");
        CHECK_STR(c.session_token, "SESSIONTOKEN_TEST");
        CHECK_U64(c.expires_ms, UINT64_C(1629147173000));
        ph_creds_clear(&c);
        ph_json_free(traffic);
    }
    ph_buf_clear(&file);

    test_case("recorded: an error of S3");
    if (test_vectors("s3-xml-responses/error-access-denied-one-line.xml", &file)) {
        ph_sts_error e;
        ph_sts_error_read(ph_buf_view(&file), &e);
        CHECK_STR(ph_str_from(e.code), "AccessDenied");
        CHECK_STR(ph_str_from(e.message), "Access Denied");
    }
    ph_buf_clear(&file);
}

static void test_error(void)
{
    ph_sts_error e;
    test_case("error");
    ph_sts_error_read(PH_STR("<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type>"
                             "<Code>AccessDenied</Code><Message>a&lt;b\nc</Message></Error>"
                             "<RequestId>r</RequestId></ErrorResponse>"),
                      &e);
    CHECK_STR(ph_str_from(e.code), "AccessDenied");
    CHECK_STR(ph_str_from(e.message), "a<b c");

    test_case("error: nothing to read");
    ph_sts_error_read(PH_STR("no XML"), &e);
    CHECK_STR(ph_str_from(e.code), "");
    CHECK_STR(ph_str_from(e.message), "");

    test_case("error: the first of each is meant, and a DEL is no text");
    ph_sts_error_read(PH_STR("<Error><Code>A</Code><Code>B</Code><Message>m\x7f</Message>"
                             "<Message>n</Message></Error>"),
                      &e);
    CHECK_STR(ph_str_from(e.code), "A");
    CHECK_STR(ph_str_from(e.message), "m ");

    test_case("error: broken off");
    ph_sts_error_read(PH_STR("<Error><Code>A</Code><Message><b/></Message></Error>"), &e);
    CHECK_STR(ph_str_from(e.code), "A");
    CHECK_STR(ph_str_from(e.message), "");

    static const char *const begins[] = {"", "x"};
    for (size_t k = 0; k < COUNT(begins); k++) {
        test_case("error: cut between characters, behind \"%s\"", begins[k]);
        char text[600] = "<Error><Message>";
        strcat(text, begins[k]);
        for (int i = 0; i < 200; i++)
            strcat(text, "\xC3\xA9");
        strcat(text, "</Message></Error>");
        ph_sts_error_read(ph_str_from(text), &e);
        CHECK_U64(strlen(e.message), 254 + k); /* 127 characters of two bytes */
        CHECK(ph_str_is_utf8(ph_str_from(e.message)));
    }
}

/* ---- Policy ---------------------------------------------------------------------------------- */

#define POLICY(resource)                                                              \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"    \
    "[\"s3:PutObject\",\"s3:AbortMultipartUpload\",\"s3:ListMultipartUploadParts\"]," \
    "\"Resource\":\"arn:aws:s3:::" resource "\"}]}"

static void test_policy(void)
{
    static char long_prefix[2000];
    memset(long_prefix, 'x', sizeof long_prefix);
    long_prefix[sizeof long_prefix - 1] = '/';
    static char wide_prefix[1000]; /* \u00e9 takes six characters for two bytes */
    for (size_t i = 0; i + 1 < sizeof wide_prefix; i++)
        wide_prefix[i] = i % 2 ? '\xA9' : '\xC3';
    wide_prefix[sizeof wide_prefix - 2] = '/';

    const struct {
        const char *bucket;
        ph_str prefix;
        int err;
        const char *policy;
    } cases[] = {
        {"my-bucket", PH_STR("upload/alice/"), PH_OK, POLICY("my-bucket/upload/alice/*")},
        {"my-bucket", PH_STR("a$b/"), PH_OK, POLICY("my-bucket/a$b/*")},
        {"my-bucket", PH_STR("a b\"c\\d/"), PH_OK, POLICY("my-bucket/a b\\\"c\\\\d/*")},
        {"my-bucket", PH_STR("\xC3\xA9/\xE2\x82\xAC/\xF0\x9F\x98\x80/"), PH_OK,
         POLICY("my-bucket/\\u00e9/\\u20ac/\\ud83d\\ude00/*")},
        {"My_Bucket", PH_STR("upload/alice/"), PH_ERR_BAD_BUCKET, ""},
        {"b*cket", PH_STR("upload/alice/"), PH_ERR_BAD_BUCKET, ""},
        {"my-bucket", PH_STR("upload/alice"), PH_ERR_BAD_KEY, ""},
        {"my-bucket", PH_STR(""), PH_ERR_BAD_KEY, ""},
        {"my-bucket", PH_STR("upload/*/"), PH_ERR_BAD_KEY, ""},
        {"my-bucket", PH_STR("upload/a?/"), PH_ERR_BAD_KEY, ""},
        {"my-bucket", PH_STR("upload/${aws:username}/"), PH_ERR_BAD_KEY, ""},
        {"my-bucket", PH_STR("upload/${*}/"), PH_ERR_BAD_KEY, ""},
        {"my-bucket", PH_STR("upload/../"), PH_ERR_BAD_KEY, ""},
        {"my-bucket", PH_STR("upload/%2e%2E/"), PH_ERR_BAD_KEY, ""},
        {"my-bucket", PH_STR("upload/\n/"), PH_ERR_BAD_KEY, ""},
        {"my-bucket", PH_STR("upload/\xFF/"), PH_ERR_BAD_KEY, ""},
        {"my-bucket", {long_prefix, sizeof long_prefix}, PH_ERR_BAD_KEY, ""},
        {"my-bucket", {wide_prefix, sizeof wide_prefix - 1}, PH_ERR_TOO_LONG, ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("policy %zu", i);
        ph_buf b;
        ph_buf_init(&b, 4096);
        CHECK_INT(ph_sts_prefix_policy(PH_STR(ROLE), ph_str_from(cases[i].bucket),
                                       test_guard_str(cases[i].prefix), &b),
                  cases[i].err);
        CHECK_STR(ph_buf_view(&b), cases[i].policy);
        ph_buf_clear(&b);
    }
}

static void test_partitions(void)
{
    const struct {
        const char *role, *arn; /* NULL: it is no ARN */
    } cases[] = {
        {ROLE, "arn:aws:s3:::b-1/u/*\""},
        {"arn:aws:iam:::role/uploader", "arn:aws:s3:::b-1/u/*\""},
        {"arn:aws-cn:iam::123456789012:role/x", "arn:aws-cn:s3:::b-1/u/*\""},
        {"arn:aws-us-gov:iam::123456789012:role/x", "arn:aws-us-gov:s3:::b-1/u/*\""},
        {"", NULL},
        {"arn", NULL},
        {"arn:", NULL},
        {"arn::iam::1:role/x", NULL},
        {"arn:aws", NULL},
        {"arn:a*s:iam::1:role/x", NULL},
        {"arn:a\"s:iam::1:role/x", NULL},
        {"urn:aws:iam::1:role/x", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("partition of %s", cases[i].role);
        ph_buf b;
        ph_buf_init(&b, 4096);
        CHECK_INT(ph_sts_prefix_policy(test_guard_str(ph_str_from(cases[i].role)), PH_STR("b-1"),
                                       PH_STR("u/"), &b),
                  cases[i].arn ? PH_OK : PH_ERR_BAD_ARG);
        ph_buf_char(&b, '\0');
        CHECK(!cases[i].arn || strstr(b.ptr, cases[i].arn));
        ph_buf_clear(&b);
    }
}

/* ---- Names ----------------------------------------------------------------------------------- */

static bool has_only(ph_str s, const char *allowed)
{
    for (size_t i = 0; i < s.len; i++)
        if (!strchr(allowed, s.ptr[i]))
            return false;
    return true;
}

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static void name_of(void (*make)(ph_str, ph_buf *), ph_str user, ph_buf *b)
{
    ph_buf_init(b, 64);
    make(test_guard_str(user), b);
    CHECK_INT(b->err, PH_OK);
}

static void test_names(void)
{
    static char long_name[65];
    memset(long_name, 'u', sizeof long_name);
    const struct {
        ph_str user;
        const char *session; /* NULL: a hashed one */
        const char *segment;
    } cases[] = {
        {PH_STR("alice"), "alice", "alice"},
        {PH_STR("a.b_c@example.org"), "a.b_c@example.org", "a.b_c@example.org"},
        {PH_STR("a"), NULL, "a"},
        {PH_STR("a+b"), NULL, "a+b"},
        {PH_STR("Alice"), "Alice", NULL},
        {PH_STR("..."), "...", "..."},
        {PH_STR("."), NULL, NULL},
        {PH_STR(".."), "..", NULL},
        {PH_STR(""), NULL, NULL},
        {PH_STR("a/b"), NULL, NULL},
        {PH_STR("a*"), NULL, NULL},
        {PH_STR("${aws:username}"), NULL, NULL},
        {PH_STR("a b"), NULL, NULL},
        {PH_STR("%2e%2e"), NULL, NULL},
        {PH_STR("\xC3\xA9ve"), NULL, NULL},
        {PH_STR("a\0b"), NULL, NULL},
        {PH_STR("a~b"), NULL, NULL},
        {{long_name, 64},
         "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu",
         "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"},
        {{long_name, 65}, NULL, NULL},
        /* Somebody who calls himself as another one's hashed name would be called. */
        {PH_STR("x-0123456789abcdef0123456789abcdef"), NULL, "x-0123456789abcdef0123456789abcdef"},
        {PH_STR("x-0123456789abcdef0123456789abcdeg"), "x-0123456789abcdef0123456789abcdeg",
         "x-0123456789abcdef0123456789abcdeg"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("name %zu", i);
        ph_buf session, segment;
        name_of(ph_sts_session_name, cases[i].user, &session);
        name_of(ph_user_segment, cases[i].user, &segment);
        if (cases[i].session)
            CHECK_STR(ph_buf_view(&session), cases[i].session);
        else
            CHECK(session.len >= 33 && session.len <= 64 && session.ptr[session.len - 33] == '-');
        CHECK(has_only(ph_buf_view(&session), ALNUM "_=,.@-"));
        if (cases[i].segment)
            CHECK_STR(ph_buf_view(&segment), cases[i].segment);
        else
            CHECK(segment.len >= 33 && segment.len <= 64 && segment.ptr[segment.len - 33] == '~');
        CHECK(has_only(ph_buf_view(&segment), ALNUM "._@=,+-~"));
        ph_buf_clear(&session);
        ph_buf_clear(&segment);
    }

    test_case("a hashed name");
    ph_buf b;
    name_of(ph_user_segment, PH_STR("a b//c"), &b);
    CHECK_STR(ph_buf_view(&b), "a-b-c~d860b5fe7dd34faa983f9e4baec5de4d"); /* of SHA-256 */
    ph_buf_clear(&b);
}

static bool same(const char *a, const char *b, bool in_any_case)
{
    ph_str x = ph_str_from(a), y = ph_str_from(b);
    return in_any_case ? ph_str_equal_nocase(x, y) : ph_str_equal(x, y);
}

/* No two users may share a name: compare all pairs of names of users who are alike. */
static void test_names_differ(void)
{
    enum { USERS = 600 };
    static const char *const bits[] = {"a", "A", ".", "/", "*", "-", "~", " ", "\xC3\xA9", "${"};
    static char users[USERS][64], names[2][USERS][65];
    uint64_t seed = 7;
    int clashes = 0;
    test_case("users who are alike");
    for (size_t i = 0; i < USERS; i++) {
        for (uint64_t n = test_random(&seed) % 5 + 1; n > 0; n--)
            strcat(users[i], bits[test_random(&seed) % COUNT(bits)]);
        if (i >= USERS / 2) { /* and those who take another one's hashed name for their own */
            ph_buf b;
            name_of(i % 2 ? ph_user_segment : ph_sts_session_name,
                    ph_str_from(users[i - USERS / 2]), &b);
            memset(users[i], 0, sizeof users[i]);
            if (b.len < sizeof users[i])
                memcpy(users[i], b.ptr, b.len);
            ph_buf_clear(&b);
        }
        void (*const makers[])(ph_str, ph_buf *) = {ph_sts_session_name, ph_user_segment};
        for (size_t m = 0; m < 2; m++) {
            ph_buf b;
            name_of(makers[m], ph_str_from(users[i]), &b);
            memcpy(names[m][i], b.ptr, b.len);
            ph_buf_clear(&b);
            for (size_t k = 0; k < i; k++)
                if (strcmp(users[i], users[k]) != 0)
                    clashes += same(names[m][i], names[m][k], m == 1);
        }
    }
    CHECK_INT(clashes, 0);
}

/* ---- What else an answer tells, and policies of one key ---------------------------------------- */

static void test_assumed_user(void)
{
    static const char answer[] =
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId>"
        "</Credentials><AssumedRoleUser><Later><Arn>no</Arn></Later>"
        "<Arn>arn:aws:sts::1:assumed-role/demo/John</Arn>"
        "<AssumedRoleId>ARO:John</AssumedRoleId></AssumedRoleUser></AssumeRoleResult>"
        "<ResponseMetadata><AssumedRoleUser><Arn>no</Arn></AssumedRoleUser></ResponseMetadata>"
        "</AssumeRoleResponse>";
    ph_buf arn, id;
    ph_buf_init(&arn, 2048);
    ph_buf_init(&id, 256);
    test_case("who the role's session is");
    CHECK_INT(ph_sts_assumed_user(test_guard_str(ph_str_from(answer)), &arn, &id), PH_OK);
    CHECK_STR(ph_buf_view(&arn), "arn:aws:sts::1:assumed-role/demo/John");
    CHECK_STR(ph_buf_view(&id), "ARO:John");
    ph_buf_reset(&arn);
    CHECK_INT(ph_sts_assumed_user(PH_STR("<a><b><c/></b></a>"), &arn, &id), PH_OK);
    CHECK_U64(arn.len, 0);
    CHECK_INT(ph_sts_assumed_user(PH_STR("<a><b>"), &arn, &id), PH_ERR_BAD_XML);
    for (unsigned n = 0;; n++) {
        test_case("who the role's session is, allocation %u fails", n);
        ph_buf_clear(&arn);
        ph_buf_clear(&id);
        ph_buf_init(&arn, 2048);
        ph_buf_init(&id, 256);
        test_alloc_fail_after(n);
        int err = ph_sts_assumed_user(ph_str_from(answer), &arn, &id);
        if (!test_alloc_end())
            break;
        CHECK_INT(err, PH_ERR_NOMEM);
    }
    ph_buf_clear(&arn);
    ph_buf_clear(&id);
}

static void test_key_policy(void)
{
    ph_buf b;
    ph_buf_init(&b, 4096);
    test_case("a policy for one key");
    CHECK_INT(ph_sts_key_policy(PH_STR(ROLE), PH_STR("uploads"), PH_STR("upload/a/\xC3\xBC.pdf"),
                                &b),
              PH_OK);
    CHECK(ph_str_ends(ph_buf_view(&b),
                      PH_STR("\"s3:ListMultipartUploadParts\",\"s3:GetObject\"],"
                             "\"Resource\":\"arn:aws:s3:::uploads/upload/a/\\u00fc.pdf\"}]}")));
    test_case("a key that ends in $ is no variable");
    CHECK_INT(ph_sts_key_policy(PH_STR(ROLE), PH_STR("uploads"), PH_STR("a$"), &b), PH_OK);
    static const char *const refused[] = {"a/*", "a/?", "a/${aws:username}", "a/../b", "", "a/\n"};
    for (size_t i = 0; i < COUNT(refused); i++) {
        test_case("refused key %s", refused[i]);
        CHECK(ph_sts_key_policy(PH_STR(ROLE), PH_STR("uploads"), ph_str_from(refused[i]), &b) !=
              PH_OK);
    }
    CHECK_INT(ph_sts_key_policy(PH_STR(ROLE), PH_STR("A"), PH_STR("a"), &b), PH_ERR_BAD_BUCKET);
    ph_buf_clear(&b);
}

int main(void)
{
    test_body();
    test_proofs();
    test_answer();
    test_recorded();
    test_error();
    test_policy();
    test_partitions();
    test_names();
    test_names_differ();
    test_assumed_user();
    test_key_policy();
    return test_end();
}
