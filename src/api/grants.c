/* SPDX-License-Identifier: MIT
 *
 * Credentials, in three documents: ours, that of the Lambda function "getsts", and that of Ro2Key.
 */
#include "call.h"

#include "core/endpoint.h"
#include "core/enc.h"
#include "core/str.h"
#include "core/sts.h"

/* Borrow as wished and answer a document; `add` gives it its members. */
static void answer_loan(call *c, const api_wish *wish,
                        void (*add)(const call *c, const api_wish *wish, const api_loan *loan))
{
    api_loan loan;
    if (!call_borrow(c, wish, &loan))
        return;
    call_answer_json(c, 200);
    ph_json_open(&c->answer->body, NULL);
    add(c, wish, &loan);
    ph_json_close(&c->answer->body);
    api_loan_clear(&loan);
}

/* ---- GET /v1/credentials, with or without ?key= ------------------------------------------------ */

/* The decoded value of a parameter; absent (ptr NULL) if there is none. False: it is broken. */
static bool read_parameter(ph_str query, const char *name, ph_buf *out, bool *found)
{
    *found = false;
    for (ph_str rest = query; rest.ptr;) {
        ph_str value = ph_str_cut(&rest, '&');
        if (!ph_str_equal(ph_str_cut(&value, '='), ph_str_from(name)) || !value.ptr)
            continue;
        if (*found) /* which one is meant? */
            return false;
        *found = true;
        if (ph_dec_percent(out, value) != PH_OK)
            return false;
    }
    return true;
}

/* "${" begins a variable in a policy. */
static bool has_variable(ph_str s)
{
    for (size_t i = 0; i + 1 < s.len; i++)
        if (s.ptr[i] == '$' && s.ptr[i + 1] == '{')
            return true;
    return false;
}

/* May this user have credentials for this key? Only where it lies beneath the user's prefix. */
static bool is_own_key(const call *c, ph_str key)
{
    ph_str prefix = ph_buf_view(&c->who.prefix);
    return key.len > prefix.len && ph_str_starts(key, prefix) && ph_key_check(key) == PH_OK &&
           ph_str_find(key, '*') == key.len && ph_str_find(key, '?') == key.len &&
           ph_str_find(key, '\\') == key.len && ph_str_find(key, '%') == key.len &&
           !has_variable(key);
}

/* Are the credentials for this key too much for a session policy, which has 2,048 characters? */
static bool is_too_long(const call *c, ph_str key)
{
    const api_config *config = c->service->config;
    ph_buf policy;
    ph_buf_init(&policy, 4096);
    int err = ph_sts_key_policy(config->role_arn, config->bucket, key, &policy);
    ph_buf_clear(&policy);
    return err == PH_ERR_TOO_LONG;
}

static void add_grant(const call *c, const api_wish *wish, const api_loan *loan)
{
    const api_config *config = c->service->config;
    ph_buf *b = &c->answer->body;
    call_add_credentials(b, &loan->creds);
    ph_json_add_text(b, "bucket", config->bucket);
    ph_json_add_text(b, "region", config->region);
    ph_json_add_text(b, "endpoint", config->s3_endpoint);
    ph_json_add_text(b, "prefix", ph_buf_view(&c->who.prefix));
    ph_json_add_text(b, "key", wish->key);
    call_add_date(b, "serverTime", c->request->now_ms);
}

/* see call.h */
void call_credentials(call *c)
{
    bool found;
    ph_buf key;
    ph_buf_init(&key, 1024);
    if (!read_parameter(c->request->query, "key", &key, &found))
        call_refuse(c, API_BAD_REQUEST, "key: is not a percent-encoded key, or appears twice");
    else if (found && !is_own_key(c, ph_buf_view(&key)))
        call_refuse(c, API_FORBIDDEN, "key: is not under the user's prefix");
    else if (found && is_too_long(c, ph_buf_view(&key)))
        call_refuse(c, API_BAD_REQUEST, "key: is too long for a session policy");
    else {
        api_wish wish = call_wish(c);
        if (found) {
            wish.key = ph_buf_view(&key);
            wish.prefix = (ph_str){NULL, 0};
        }
        answer_loan(c, &wish, add_grant);
    }
    ph_buf_clear(&key);
}

/* ---- GET / and /dev/: what "getsts" answered --------------------------------------------------- */

static void add_sts_members(ph_buf *b, const ph_creds *creds)
{
    ph_json_add_text(b, "AccessKeyId", creds->access_key_id);
    ph_json_add_text(b, "SecretAccessKey", creds->secret_access_key);
    ph_json_add_text(b, "SessionToken", creds->session_token);
    call_add_date(b, "Expiration", creds->expires_ms);
}

static void add_getsts(const call *c, const api_wish *wish, const api_loan *loan)
{
    (void)wish;
    ph_buf *b = &c->answer->body;
    ph_json_open(b, "AssumedRoleUser");
    ph_json_add_text(b, "AssumedRoleId", loan->id.len > 0 ? ph_buf_view(&loan->id) : PH_STR(""));
    ph_json_add_text(b, "Arn", loan->arn.len > 0 ? ph_buf_view(&loan->arn) : PH_STR(""));
    ph_json_close(b);
    ph_json_open(b, "Credentials");
    add_sts_members(b, &loan->creds);
    ph_json_close(b);
}

/* see call.h */
void call_getsts(call *c)
{
    api_wish wish = call_wish(c);
    answer_loan(c, &wish, add_getsts);
}

/* ---- GET /get_key/ROLE: what Ro2Key answered --------------------------------------------------- */

/* Is it one of the roles, and has the token the scope that this one wants? */
static bool may_have_role(const call *c, ph_str role)
{
    for (ph_str rest = c->service->config->roles; rest.ptr;) {
        ph_str scope = ph_str_trim(ph_str_cut(&rest, ','));
        ph_str name = ph_str_cut(&scope, '=');
        if (ph_str_equal(name, role))
            return api_scopes_cover(ph_buf_view(&c->who.scopes), scope);
    }
    return false;
}

static void add_ro2key(const call *c, const api_wish *wish, const api_loan *loan)
{
    (void)wish;
    add_sts_members(&c->answer->body, &loan->creds);
}

/* see call.h */
void call_get_key(call *c)
{
    if (!may_have_role(c, c->rest)) {
        call_refuse(c, API_FORBIDDEN, NULL);
        return;
    }
    ph_buf arn;
    ph_buf_init(&arn, 2048);
    ph_buf_str(&arn, c->service->config->role_prefix);
    ph_buf_str(&arn, c->rest);
    api_wish wish = {.role_arn = ph_buf_view(&arn), .user = ph_buf_view(&c->who.user)};
    if (arn.err != PH_OK)
        call_fail(c, arn.err);
    else
        answer_loan(c, &wish, add_ro2key);
    ph_buf_clear(&arn);
}
