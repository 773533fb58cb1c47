/* SPDX-License-Identifier: MIT
 *
 * See own_creds.h. The names of variables, addresses, headers and members are those of AWS's SDKs;
 * EC2 is asked by the second version of its metadata service only, whose token a server that can be
 * talked into fetching URLs cannot get.
 */
#define _POSIX_C_SOURCE 200809L

#include "own_creds.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/date.h"
#include "core/enc.h"
#include "core/json.h"
#include "core/str.h"
#include "core/sts.h"
#include "content.h"
#include "fetch.h"

#define TIMEOUT_MS 5000
#define EC2_TIMEOUT_MS 2000 /* it is near, or it is not there */
#define RETRY_MS 2000       /* after a failure nobody asks again before */
#define MAX_FILE 32768

struct api_own {
    const api_config *config;
    pthread_mutex_t mutex;
    pthread_mutex_t fetching;
    ph_creds creds; /* the rest is under `mutex` with it */
    uint64_t renew_ms;
    uint64_t failed_ms; /* when fetching last failed; 0: it did not */
    int failed_err;
};

/* see own_creds.h */
api_own *api_own_new(const api_config *config)
{
    api_own *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->config = config;
    pthread_mutex_init(&o->mutex, NULL);
    pthread_mutex_init(&o->fetching, NULL);
    return o;
}

/* see own_creds.h */
void api_own_free(api_own *o)
{
    if (!o)
        return;
    ph_creds_clear(&o->creds);
    pthread_mutex_destroy(&o->mutex);
    pthread_mutex_destroy(&o->fetching);
    free(o);
}

/* see own_creds.h */
const char *api_own_source(const api_own *o)
{
    const api_own_settings *s = &o->config->own;
    return s->given.access_key_id.ptr                           ? "environment"
           : s->container_relative.ptr || s->container_full.ptr ? "container"
           : s->web_token_file.ptr                              ? "web identity"
                                                                : "EC2";
}

/* ---- Documents and files --------------------------------------------------------------------- */

/* The document of agents and of EC2: like STS's, but the session token is called Token. */
static int read_document(ph_str text, ph_creds *out)
{
    ph_json *document;
    int err = ph_json_parse(text, &document);
    if (err != PH_OK)
        return err;
    ph_creds creds = {
        .access_key_id = ph_json_member_text(document, "AccessKeyId"),
        .secret_access_key = ph_json_member_text(document, "SecretAccessKey"),
        .session_token = ph_json_member_text(document, "Token"),
    };
    err = ph_date_parse(ph_json_member_text(document, "Expiration"), &creds.expires_ms);
    if (err == PH_OK)
        err = ph_creds_copy(&creds, out);
    ph_json_free(document);
    return err == PH_OK || err == PH_ERR_NOMEM ? err : PH_ERR_BAD_CREDENTIALS;
}

static int join(ph_str base, const char *middle, ph_str end, ph_buf *out)
{
    while (ph_str_ends(base, PH_STR("/")))
        base.len--;
    ph_buf_str(out, base);
    ph_buf_cstr(out, middle);
    ph_buf_str(out, end);
    return out->err;
}

/* ---- A container's agent --------------------------------------------------------------------- */

static int ask_agent(ph_str url, ph_str token, ph_creds *out)
{
    ph_header header = {PH_STR("authorization"), token};
    api_fetch ask = {.method = "GET",
                     .url = url,
                     .headers = &header,
                     .header_count = token.len > 0 ? 1 : 0,
                     .timeout_ms = TIMEOUT_MS,
                     .direct = true};
    api_fetched got;
    int err = api_fetch_ask(&ask, &got);
    if (err == PH_OK)
        err = got.status == 200 ? read_document(ph_buf_view(&got.body), out) : PH_ERR_REFUSED;
    ph_buf_clear(&got.body);
    return err;
}

static int from_container(const api_own_settings *s, ph_creds *out)
{
    ph_buf url, token;
    ph_buf_init(&url, 4096);
    ph_buf_init(&token, MAX_FILE);
    int err = PH_OK;
    if (s->container_relative.ptr)
        err = join(s->container_endpoint, "", s->container_relative, &url);
    else
        ph_buf_str(&url, s->container_full);
    if (err == PH_OK &&
        s->container_token_file.ptr) /* read each time: it is replaced now and then */
        err = api_content_read(s->container_token_file, &token);
    else
        ph_buf_str(&token, s->container_token);
    if (err == PH_OK)
        err = ask_agent(ph_buf_view(&url), ph_str_trim(ph_buf_view(&token)), out);
    ph_buf_clear(&url);
    ph_buf_clear(&token);
    return err;
}

/* ---- EC2 ------------------------------------------------------------------------------------- */

static int ask_ec2(const api_own_settings *s, const char *method, ph_str path, ph_header header,
                   ph_buf *out)
{
    ph_buf url;
    ph_buf_init(&url, 4096);
    int err = join(s->ec2_endpoint, "/latest/", path, &url);
    api_fetch ask = {.method = method,
                     .url = ph_buf_view(&url),
                     .headers = &header,
                     .header_count = 1,
                     .body = ph_str_equal(ph_str_from(method), PH_STR("PUT")) ? PH_STR("")
                                                                              : (ph_str){NULL, 0},
                     .timeout_ms = EC2_TIMEOUT_MS,
                     .direct = true};
    api_fetched got;
    ph_buf_init(&got.body, 0);
    if (err == PH_OK)
        err = api_fetch_ask(&ask, &got);
    if (err == PH_OK && got.status != 200)
        err = PH_ERR_REFUSED;
    if (err == PH_OK)
        ph_buf_str(out, ph_str_trim(ph_buf_view(&got.body)));
    ph_buf_clear(&got.body);
    ph_buf_clear(&url);
    return err != PH_OK ? err : out->err;
}

static int from_ec2(const api_own_settings *s, ph_creds *out)
{
    static const char list[] = "meta-data/iam/security-credentials/";
    ph_buf token, path, document;
    ph_buf_init(&token, 1024);
    ph_buf_init(&path, 512);
    ph_buf_init(&document, MAX_FILE);
    ph_header life = {PH_STR("x-aws-ec2-metadata-token-ttl-seconds"), PH_STR("21600")};
    int err = ask_ec2(s, "PUT", PH_STR("api/token"), life, &token);
    ph_header with = {PH_STR("x-aws-ec2-metadata-token"), ph_buf_view(&token)};
    ph_buf_cstr(&path, list);
    ph_buf roles;
    ph_buf_init(&roles, 256);
    if (err == PH_OK)
        err = ask_ec2(s, "GET", ph_buf_view(&path), with, &roles);
    ph_str rest = ph_buf_view(&roles);
    ph_str role = ph_str_trim(ph_str_cut(&rest, '\n')); /* there is one role to an instance */
    ph_enc_percent(&path, role, false);
    if (err == PH_OK && (role.len == 0 || path.err != PH_OK))
        err = PH_ERR_BAD_CREDENTIALS;
    if (err == PH_OK)
        err = ask_ec2(s, "GET", ph_buf_view(&path), with, &document);
    if (err == PH_OK)
        err = read_document(ph_buf_view(&document), out);
    ph_buf_clear(&token);
    ph_buf_clear(&path);
    ph_buf_clear(&roles);
    ph_buf_clear(&document);
    return err;
}

/* ---- A web identity -------------------------------------------------------------------------- */

static int from_web_identity(const api_config *config, ph_creds *out)
{
    const api_own_settings *s = &config->own;
    ph_buf token, body;
    ph_buf_init(&token, MAX_FILE);
    ph_buf_init(&body, 4 * MAX_FILE);
    int err = api_content_read(s->web_token_file, &token);
    ph_enc_form(&body, "Action", PH_STR("AssumeRoleWithWebIdentity"));
    ph_enc_form(&body, "Version", PH_STR("2011-06-15"));
    ph_enc_form(&body, "RoleArn", s->web_role_arn);
    ph_enc_form(&body, "RoleSessionName", s->web_session_name);
    ph_enc_form(&body, "WebIdentityToken", ph_str_trim(ph_buf_view(&token)));
    if (err == PH_OK)
        err = body.err;
    /* Not signed: the token is what proves who we are. */
    ph_header form = {PH_STR("content-type"), PH_STR("application/x-www-form-urlencoded")};
    api_fetch ask = {.method = "POST",
                     .url = config->sts_endpoint,
                     .headers = &form,
                     .header_count = 1,
                     .body = ph_buf_view(&body)};
    api_fetched got;
    ph_buf_init(&got.body, 0);
    if (err == PH_OK)
        err = api_fetch_ask(&ask, &got);
    if (err == PH_OK)
        err = got.status == 200 ? ph_sts_assume_role_answer(ph_buf_view(&got.body), out)
                                : PH_ERR_REFUSED;
    ph_buf_clear(&got.body);
    ph_buf_clear(&token);
    ph_buf_clear(&body);
    return err;
}

/* ---- Keeping them ---------------------------------------------------------------------------- */

static int ask_source(const api_own *o, ph_creds *out)
{
    const api_own_settings *s = &o->config->own;
    *out = (ph_creds){.expires_ms = 0};
    if (s->given.access_key_id.ptr)
        return ph_creds_copy(&s->given, out);
    if (s->container_relative.ptr || s->container_full.ptr)
        return from_container(s, out);
    if (s->web_token_file.ptr)
        return from_web_identity(o->config, out);
    return from_ec2(s, out);
}

/* Under `fetching`, not under `mutex`. */
static void fetch(api_own *o, uint64_t now_ms)
{
    ph_creds creds;
    int err = ask_source(o, &creds);
    pthread_mutex_lock(&o->mutex);
    if (err == PH_OK) {
        ph_creds_clear(&o->creds);
        o->creds = creds;
        o->renew_ms = ph_creds_renew_ms(&creds, now_ms);
        o->failed_ms = 0;
    } else {
        o->failed_ms = now_ms;
        o->failed_err = err;
    }
    pthread_mutex_unlock(&o->mutex);
}

static bool is_usable(const api_own *o, uint64_t now_ms)
{
    return o->creds.access_key_id.ptr && (o->creds.expires_ms == 0 || now_ms < o->creds.expires_ms);
}

/* Should the source be asked? */
static bool is_due(const api_own *o, uint64_t now_ms)
{
    bool guarded = o->failed_ms && now_ms >= o->failed_ms && now_ms < o->failed_ms + RETRY_MS;
    return !guarded && (!is_usable(o, now_ms) || now_ms >= o->renew_ms);
}

/* see own_creds.h */
int api_own_take(api_own *o, uint64_t now_ms, bool may_wait, bool *would_wait, ph_creds *out)
{
    *would_wait = false;
    *out = (ph_creds){.expires_ms = 0};
    pthread_mutex_lock(&o->mutex);
    bool due = is_due(o, now_ms), usable = is_usable(o, now_ms);
    pthread_mutex_unlock(&o->mutex);
    if (due && !may_wait) {
        *would_wait = true;
        return PH_OK;
    }
    if (due) {
        bool mine = true;
        if (usable) /* somebody renews them already: these are good enough meanwhile */
            mine = pthread_mutex_trylock(&o->fetching) == 0;
        else
            pthread_mutex_lock(&o->fetching);
        if (mine) {
            pthread_mutex_lock(&o->mutex);
            due = is_due(o, now_ms);
            pthread_mutex_unlock(&o->mutex);
            if (due)
                fetch(o, now_ms);
            pthread_mutex_unlock(&o->fetching);
        }
    }
    pthread_mutex_lock(&o->mutex);
    int err = is_usable(o, now_ms) ? ph_creds_copy(&o->creds, out)
              : o->failed_ms       ? o->failed_err
                                   : PH_ERR_NO_CREDENTIALS;
    pthread_mutex_unlock(&o->mutex);
    return err;
}
