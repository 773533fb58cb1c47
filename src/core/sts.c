/* SPDX-License-Identifier: MIT
 *
 * AssumeRole of the STS Query API (version 2011-06-15): what goes out, what comes back, and the
 * policy and names that keep one user's credentials apart from another's. Sends nothing itself.
 * The limits are those of the STS API reference; what may stand in a Resource follows "IAM JSON
 * policy elements": `*`, `?` and `${` are the only characters there with a meaning of their own.
 */
#include "sts.h"

#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "date.h"
#include "enc.h"
#include "endpoint.h"
#include "str.h"
#include "xml.h"

#define MAX_POLICY 2048
#define MAX_ANSWER_FIELD 16384 /* session tokens have no stated limit; some are over 4 KiB */
#define MAX_NAME 64            /* of a session, and of a user's segment */
#define HASH_TEXT 32           /* 128 bits in hex */

/* ---- Request -------------------------------------------------------------------------------- */

static bool is_alnum(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool has_only(ph_str s, const char *punctuation)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_alnum(s.ptr[i]) && (s.ptr[i] == '\0' || !strchr(punctuation, s.ptr[i])))
            return false;
    return true;
}

static bool is_visible(ph_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    return true;
}

static bool is_external_id(ph_str s)
{
    return !s.ptr || (s.len >= 2 && s.len <= 1224 && has_only(s, "_+=,.@:/-"));
}

/* Both or neither; what the device shows is six digits. */
static bool is_mfa(ph_str serial, ph_str code)
{
    if (!serial.ptr && !code.ptr)
        return true;
    for (size_t i = 0; i < code.len; i++)
        if (code.ptr[i] < '0' || code.ptr[i] > '9')
            return false;
    return code.len == 6 && serial.len >= 9 && serial.len <= 256 && has_only(serial, "_+=/:,.@-");
}

/* see sts.h */
int ph_sts_assume_role_body(const ph_assume_role *in, ph_buf *b)
{
    if (in->role_arn.len < 20 || in->role_arn.len > 2048 || !is_visible(in->role_arn))
        return PH_ERR_BAD_ARG;
    if (in->session_name.len < 2 || in->session_name.len > MAX_NAME ||
        !has_only(in->session_name, "_+=,.@-"))
        return PH_ERR_BAD_ARG;
    if (in->policy.ptr && (in->policy.len < 1 || in->policy.len > MAX_POLICY))
        return PH_ERR_BAD_ARG;
    if (in->duration_seconds < 900 || in->duration_seconds > 43200)
        return PH_ERR_BAD_ARG;
    if (!is_external_id(in->external_id) || !is_mfa(in->serial_number, in->token_code))
        return PH_ERR_BAD_ARG;

    ph_enc_form(b, "Action", PH_STR("AssumeRole"));
    ph_enc_form(b, "Version", PH_STR("2011-06-15"));
    ph_enc_form(b, "RoleArn", in->role_arn);
    ph_enc_form(b, "RoleSessionName", in->session_name);
    ph_buf_cstr(b, "&DurationSeconds=");
    ph_buf_u64(b, in->duration_seconds);
    if (in->policy.ptr)
        ph_enc_form(b, "Policy", in->policy);
    if (in->external_id.ptr)
        ph_enc_form(b, "ExternalId", in->external_id);
    if (in->serial_number.ptr) {
        ph_enc_form(b, "SerialNumber", in->serial_number);
        ph_enc_form(b, "TokenCode", in->token_code);
    }
    return b->err;
}

/* ---- Answer --------------------------------------------------------------------------------- */

/* The four members of <Credentials>, in the order of `value` below. */
static const char *const credential_names[] = {"AccessKeyId", "SecretAccessKey", "SessionToken",
                                               "Expiration"};
enum { ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN, EXPIRATION, CREDENTIAL_COUNT };

/* Go behind the element that was just opened; if it is one of the four, keep its text. */
static int read_credential(ph_xml *x, ph_str name, ph_buf value[CREDENTIAL_COUNT])
{
    for (size_t i = 0; i < CREDENTIAL_COUNT; i++)
        if (ph_str_equal(name, ph_str_from(credential_names[i]))) {
            if (value[i].len > 0) /* said twice: there is no telling which one is meant */
                return PH_ERR_BAD_ANSWER;
            return ph_xml_content(x, &value[i]);
        }
    return ph_xml_skip(x);
}

/*
 * The path is <...Response><...Result><Credentials>, whatever the action is called. What stands
 * elsewhere is skipped, so that a future member of the same name cannot be taken for ours.
 */
static int read_answer(ph_str body, ph_buf value[CREDENTIAL_COUNT])
{
    ph_xml x;
    ph_xml_init(&x, body);
    for (;;) {
        ph_xml_token t;
        int err = ph_xml_next(&x, &t);
        if (err != PH_OK || t.kind == PH_XML_END)
            return err;
        if (t.kind != PH_XML_OPEN)
            continue;
        switch (t.depth) {
        case 1:
            if (!ph_str_ends(t.name, PH_STR("Response")))
                return PH_ERR_BAD_ANSWER;
            break;
        case 2:
            if (!ph_str_ends(t.name, PH_STR("Result")))
                err = ph_xml_skip(&x);
            break;
        case 3:
            if (!ph_str_equal(t.name, PH_STR("Credentials")))
                err = ph_xml_skip(&x);
            break;
        default: err = read_credential(&x, t.name, value);
        }
        if (err != PH_OK)
            return err;
    }
}

/* see sts.h */
int ph_sts_assume_role_answer(ph_str body, ph_creds *out)
{
    *out = (ph_creds){.expires_ms = 0};
    ph_buf value[CREDENTIAL_COUNT];
    for (size_t i = 0; i < CREDENTIAL_COUNT; i++)
        ph_buf_init(&value[i], MAX_ANSWER_FIELD);

    int err = read_answer(body, value);
    for (size_t i = 0; err == PH_OK && i < CREDENTIAL_COUNT; i++)
        if (value[i].len == 0)
            err = PH_ERR_BAD_ANSWER;
    ph_creds creds = {
        .access_key_id = ph_buf_view(&value[ACCESS_KEY_ID]),
        .secret_access_key = ph_buf_view(&value[SECRET_ACCESS_KEY]),
        .session_token = ph_buf_view(&value[SESSION_TOKEN]),
    };
    if (err == PH_OK)
        err = ph_date_parse(ph_buf_view(&value[EXPIRATION]), &creds.expires_ms);
    if (err == PH_OK)
        err = ph_creds_copy(&creds, out);
    for (size_t i = 0; i < CREDENTIAL_COUNT; i++)
        ph_buf_clear(&value[i]);
    /* To the caller it is one thing whether a member is missing, too long or not usable. */
    if (err == PH_OK || err == PH_ERR_NOMEM || err == PH_ERR_BAD_XML)
        return err;
    return PH_ERR_BAD_ANSWER;
}

/* see sts.h */
int ph_sts_assumed_user(ph_str body, ph_buf *arn, ph_buf *id)
{
    ph_xml x;
    ph_xml_init(&x, body);
    for (;;) {
        ph_xml_token t;
        int err = ph_xml_next(&x, &t);
        if (err != PH_OK)
            return err;
        if (t.kind == PH_XML_END)
            return PH_OK;
        if (t.kind != PH_XML_OPEN)
            continue;
        if ((t.depth == 2 && !ph_str_ends(t.name, PH_STR("Result"))) ||
            (t.depth == 3 && !ph_str_equal(t.name, PH_STR("AssumedRoleUser"))))
            err = ph_xml_skip(&x);
        else if (t.depth == 4 && ph_str_equal(t.name, PH_STR("Arn")))
            err = ph_xml_content(&x, arn);
        else if (t.depth == 4 && ph_str_equal(t.name, PH_STR("AssumedRoleId")))
            err = ph_xml_content(&x, id);
        else if (t.depth > 3)
            err = ph_xml_skip(&x);
        if (err != PH_OK)
            return err;
    }
}

/* see sts.h */
void ph_sts_error_read(ph_str body, ph_sts_error *out)
{
    *out = (ph_sts_error){.code = ""};
    ph_buf text;
    ph_buf_init(&text, MAX_ANSWER_FIELD);
    ph_xml x;
    ph_xml_init(&x, body);
    for (ph_xml_token t;;) {
        /* A broken document: what was read until there is still worth more than nothing. */
        if (ph_xml_next(&x, &t) != PH_OK || t.kind == PH_XML_END)
            break;
        if (t.kind != PH_XML_OPEN)
            continue;
        /* AWS wraps <Error> in <ErrorResponse>; others send it bare. */
        bool code = ph_str_equal(t.name, PH_STR("Code"));
        bool message = ph_str_equal(t.name, PH_STR("Message"));
        if (!code && !message)
            continue;
        ph_buf_reset(&text);
        if (ph_xml_content(&x, &text) != PH_OK)
            continue;
        if (code && !out->code[0])
            ph_text_copy(out->code, sizeof out->code, ph_buf_view(&text));
        else if (message && !out->message[0])
            ph_text_copy(out->message, sizeof out->message, ph_buf_view(&text));
    }
    ph_buf_clear(&text);
}

/* ---- Policy --------------------------------------------------------------------------------- */

/* `s` is UTF-8. STS takes characters up to U+00FF only; as \uXXXX all of them pass. */
static void add_json_ascii(ph_buf *b, ph_str s)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < s.len;) {
        uint32_t c = (unsigned char)s.ptr[i];
        size_t more = c < 0x80 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
        if (more > 0)
            c &= 0x3Fu >> more;
        for (i++; more > 0; more--, i++)
            c = c << 6 | ((unsigned char)s.ptr[i] & 0x3Fu);
        if (c < 0x80) {
            if (c == '"' || c == '\\')
                ph_buf_char(b, '\\');
            ph_buf_char(b, (char)c);
            continue;
        }
        uint32_t unit[2] = {c, 0};
        if (c > 0xFFFF) {
            unit[0] = 0xD800u + ((c - 0x10000u) >> 10);
            unit[1] = 0xDC00u + ((c - 0x10000u) & 0x3FFu);
        }
        for (size_t u = 0; u < 2 && unit[u] != 0; u++) {
            ph_buf_cstr(b, "\\u");
            for (int shift = 12; shift >= 0; shift -= 4)
                ph_buf_char(b, hex[unit[u] >> shift & 15]);
        }
    }
}

static bool is_literal_in_arn(ph_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '*' || c == '?' || (c == '$' && i + 1 < s.len && s.ptr[i + 1] == '{'))
            return false;
    }
    return true;
}

/* "aws-cn" of arn:aws-cn:iam::...; absent where it is no ARN. */
static ph_str partition_of(ph_str arn)
{
    ph_str rest = arn;
    ph_str name = ph_str_equal(ph_str_cut(&rest, ':'), PH_STR("arn")) && rest.ptr
                      ? ph_str_cut(&rest, ':')
                      : (ph_str){NULL, 0};
    return name.len > 0 && rest.ptr && has_only(name, "-") ? name : (ph_str){NULL, 0};
}

/* `what` is a prefix that ends in "/" (then all beneath it is meant), or one key. */
static int add_policy(ph_str role_arn, ph_str bucket, ph_str what, bool all_beneath, ph_buf *b)
{
    ph_str partition = partition_of(role_arn);
    if (!partition.ptr)
        return PH_ERR_BAD_ARG;
    ph_buf policy;
    ph_buf_init(&policy, MAX_POLICY);
    ph_buf_cstr(&policy, "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\","
                         "\"Action\":[\"s3:PutObject\",\"s3:AbortMultipartUpload\","
                         "\"s3:ListMultipartUploadParts\"");
    if (!all_beneath) /* whether the object of this key is the one that was sent */
        ph_buf_cstr(&policy, ",\"s3:GetObject\"");
    ph_buf_cstr(&policy, "],\"Resource\":\"arn:");
    ph_buf_str(&policy, partition);
    ph_buf_cstr(&policy, ":s3:::");
    ph_buf_str(&policy, bucket);
    ph_buf_char(&policy, '/');
    add_json_ascii(&policy, what);
    ph_buf_cstr(&policy, all_beneath ? "*\"}]}" : "\"}]}");
    int err = policy.err;
    if (err == PH_OK) {
        ph_buf_str(b, ph_buf_view(&policy));
        err = b->err;
    }
    ph_buf_clear(&policy);
    return err;
}

/* see sts.h */
int ph_sts_prefix_policy(ph_str role_arn, ph_str bucket, ph_str prefix, ph_buf *b)
{
    int err = ph_bucket_check(bucket);
    if (err != PH_OK)
        return err;
    if (ph_key_check(prefix) != PH_OK || !ph_str_ends(prefix, PH_STR("/")) ||
        !is_literal_in_arn(prefix))
        return PH_ERR_BAD_KEY;
    return add_policy(role_arn, bucket, prefix, true, b);
}

/* see sts.h */
int ph_sts_key_policy(ph_str role_arn, ph_str bucket, ph_str key, ph_buf *b)
{
    int err = ph_bucket_check(bucket);
    if (err != PH_OK)
        return err;
    if (ph_key_check(key) != PH_OK || !is_literal_in_arn(key))
        return PH_ERR_BAD_KEY;
    return add_policy(role_arn, bucket, key, false, b);
}

/* ---- Names ---------------------------------------------------------------------------------- */

/*
 * `user` cut and with a dash for each run of what does not fit, the separator, and 128 bits of its
 * SHA-256: 64 characters at most. Two users get the same name only if those bits agree.
 */
static void add_hashed(ph_str user, const char *punctuation, char separator, ph_buf *b)
{
    size_t room = MAX_NAME - 1 - HASH_TEXT;
    char last = '\0';
    for (size_t i = 0; i < user.len && room > 0; i++) {
        char c = has_only((ph_str){user.ptr + i, 1}, punctuation) ? user.ptr[i] : '-';
        if (c == '-' && last == '-')
            continue;
        ph_buf_char(b, c);
        last = c;
        room--;
    }
    uint8_t hash[PH_SHA256_LEN];
    ph_sha256(user.ptr, user.len, hash);
    ph_buf_char(b, separator);
    ph_enc_hex(b, hash, HASH_TEXT / 2);
}

/* Does `name` look like what add_hashed makes with a dash? Then it must not stand for itself. */
static bool looks_hashed(ph_str name)
{
    if (name.len < HASH_TEXT + 1 || name.ptr[name.len - HASH_TEXT - 1] != '-')
        return false;
    ph_str tail = ph_str_skip(name, name.len - HASH_TEXT);
    for (size_t i = 0; i < tail.len; i++)
        if (!strchr("0123456789abcdef", tail.ptr[i]))
            return false;
    return true;
}

/* see sts.h */
void ph_sts_session_name(ph_str user, ph_buf *b)
{
    static const char punctuation[] = "_=,.@-";
    if (user.len >= 2 && user.len <= MAX_NAME && has_only(user, punctuation) && !looks_hashed(user))
        ph_buf_str(b, user);
    else
        add_hashed(user, punctuation, '-', b);
}

/* see sts.h */
void ph_user_segment(ph_str user, ph_buf *b)
{
    static const char punctuation[] = "._@=,+-";
    bool dots = ph_str_equal(user, PH_STR(".")) || ph_str_equal(user, PH_STR(".."));
    bool plain = !dots && has_only(user, punctuation);
    for (size_t i = 0; i < user.len; i++)
        if (user.ptr[i] >= 'A' && user.ptr[i] <= 'Z')
            plain = false;
    /* No plain name has a "~", so a hashed one can never be somebody's plain one. */
    if (user.len >= 1 && user.len <= MAX_NAME && plain)
        ph_buf_str(b, user);
    else
        add_hashed(user, punctuation, '~', b);
}
