/* SPDX-License-Identifier: MIT
 *
 * Files: for each its upload type, its key, and what an upload of that type needs. A presigned PUT
 * for a file that one request can carry and whose bytes are known by a checksum; a POST form where
 * one is asked for; credentials for a multipart upload for every other.
 */
#include <string.h>

#include "call.h"
#include "core/checksum.h"
#include "core/policy.h"
#include "core/str.h"
#include "object_key.h"
#include "presign.h"
#include "upload_file.h"

#define MAX_URL ((size_t)256 << 10) /* a session token stands in a URL with up to thrice its size */
#define POST_MAX_SIZE (UINT64_C(5) << 30)

/* What the files of one request share. */
typedef struct batch {
    call *c;
    api_loan loan;
    ph_creds own; /* for POST forms, if they are signed by them; empty before */
    bool lent, credentials_told;
    bool many; /* the answer is a list, and tells bucket, credentials and time once */
} batch;

static int make_key(call *c, const api_file *f, ph_buf *key)
{
    uint8_t random[10];
    char id[API_ID_LEN + 1];
    if (!c->service->random(random, sizeof random))
        return PH_ERR_BAD_STATE;
    api_id_write(c->request->now_ms, random, id);
    return api_object_key(ph_buf_view(&c->who.prefix), id, f->name, key);
}

/* Credentials for the user's prefix, borrowed once; false when the answer is made already. */
static bool need_loan(batch *b)
{
    if (b->lent)
        return true;
    api_wish wish = call_wish(b->c);
    b->lent = call_borrow(b->c, &wish, &b->loan);
    return b->lent;
}

/* A signature dies with its credentials, so it does not claim to live longer. */
static uint32_t life_seconds(const call *c, const ph_creds *creds)
{
    uint32_t wanted = c->service->config->url_seconds;
    if (creds->expires_ms == 0)
        return wanted;
    uint64_t left = creds->expires_ms > c->request->now_ms
                        ? (creds->expires_ms - c->request->now_ms) / 1000
                        : 0;
    uint32_t seconds = left < wanted ? (uint32_t)left : wanted;
    return seconds > 0 ? seconds : 1;
}

static void add_place(const batch *b, ph_str key)
{
    ph_buf *out = &b->c->answer->body;
    if (!b->many)
        ph_json_add_text(out, "bucket", b->c->service->config->bucket);
    ph_json_add_text(out, "key", key);
    if (!b->many)
        ph_json_add_text(out, "region", b->c->service->config->region);
}

static void add_time(const batch *b)
{
    if (!b->many)
        call_add_date(&b->c->answer->body, "serverTime", b->c->request->now_ms);
}

/* ---- Upload type "put" ----------------------------------------------------------------------- */

/*
 * One request that writes this very file, once: signed are its checksum, its length and that nothing
 * is there. The length is not among the headers of the answer, since a browser sends it by itself
 * and lets no page set it.
 */
static int answer_put(batch *b, const api_file *f, ph_str key)
{
    call *c = b->c;
    const api_config *config = c->service->config;
    ph_header headers[API_FILE_PROPERTIES + 4];
    size_t count = 0;
    if (f->type.ptr)
        headers[count++] = (ph_header){PH_STR("content-type"), f->type};
    headers[count++] = (ph_header){PH_STR("if-none-match"), PH_STR("*")};
    headers[count++] =
        (ph_header){ph_str_from(ph_alg_row(f->checksum.alg)->header), f->checksum_text};
    for (size_t i = 0; i < f->property_count; i++)
        headers[count++] = f->properties[i];
    ph_buf length;
    ph_buf_init(&length, 24);
    ph_buf_u64(&length, f->size);
    headers[count] = (ph_header){PH_STR("content-length"), ph_buf_view(&length)};

    uint32_t seconds = life_seconds(c, &b->loan.creds);
    ph_buf url;
    ph_buf_init(&url, MAX_URL);
    int err = length.err;
    if (err == PH_OK)
        err = api_presign_put(&config->bucket_at, key, headers, count + 1, &b->loan.creds,
                              &b->loan.key, c->request->now_ms, seconds, &url);
    if (err == PH_OK) {
        ph_buf *out = &c->answer->body;
        ph_json_open(out, NULL);
        ph_json_add_cstr(out, "uploadType", "put");
        add_place(b, key);
        ph_json_add_bool(out, "newKey", true);
        ph_json_add_cstr(out, "method", "PUT");
        ph_json_add_text(out, "url", ph_buf_view(&url));
        ph_json_open(out, "headers");
        for (size_t i = 0; i < count; i++)
            ph_json_add_text(out, headers[i].name.ptr, headers[i].value); /* names end in NUL */
        ph_json_close(out);
        call_add_date(out, "expires", c->request->now_ms + (uint64_t)seconds * 1000);
        add_time(b);
        ph_json_close(out);
    }
    ph_buf_clear(&length);
    ph_buf_clear(&url);
    return err;
}

/* ---- Upload type "multipart" ----------------------------------------------------------------- */

static void answer_multipart(batch *b, ph_str key)
{
    const api_config *config = b->c->service->config;
    ph_buf *out = &b->c->answer->body;
    ph_json_open(out, NULL);
    ph_json_add_cstr(out, "uploadType", "multipart");
    add_place(b, key);
    if (!b->many) {
        ph_json_add_text(out, "prefix", ph_buf_view(&b->c->who.prefix));
        ph_json_add_text(out, "endpoint", config->s3_endpoint);
        call_add_credentials(out, &b->loan.creds);
    }
    b->credentials_told = true;
    add_time(b);
    ph_json_close(out);
}

/* ---- Upload type "post" ---------------------------------------------------------------------- */

/* What signs a form: the role's credentials, which S3 confines to the prefix even if a policy were
 * wrong; or our own, for servers that take no session tokens in forms. */
static int post_credentials(batch *b, const ph_creds **out, ph_sigv4_key **key)
{
    call *c = b->c;
    *out = &b->loan.creds;
    *key = b->lent ? &b->loan.key : NULL;
    if (!c->service->config->post_by_own_keys)
        return need_loan(b) ? PH_OK : PH_ERR_BAD_STATE;
    *out = &b->own;
    *key = NULL;
    if (b->own.access_key_id.ptr)
        return PH_OK;
    bool would_wait;
    int err = api_own_take(c->service->own, c->request->now_ms, !c->request->no_wait, &would_wait,
                           &b->own);
    if (err == PH_OK && would_wait)
        c->answer->would_wait = true;
    else if (err != PH_OK)
        call_fail(c, err == PH_ERR_NOMEM ? err : PH_ERR_NO_CREDENTIALS);
    return err == PH_OK && !would_wait ? PH_OK : PH_ERR_BAD_STATE;
}

/* A form, as far as its conditions go. */
typedef struct form {
    ph_condition conditions[API_FILE_PROPERTIES + 4];
    size_t count;
    ph_str key_field;  /* what the form's field says: the key, or PREFIX${filename} */
    ph_str type_field; /* absent: none */
    uint64_t min_size, max_size;
} form;

static void add_fields(ph_buf *out, const form *f, const ph_policy_form *signed_form,
                       const ph_creds *creds)
{
    ph_json_open(out, "fields");
    ph_json_add_text(out, "key", f->key_field);
    ph_json_add_cstr(out, "acl", "private");
    ph_json_add_text(out, "Content-Type", f->type_field);
    for (size_t i = 0; i < f->count; i++) { /* properties: the key, the ACL, the type are above */
        const ph_condition *c = &f->conditions[i];
        if (!ph_str_equal(c->field, PH_STR("key")) && !ph_str_equal(c->field, PH_STR("acl")) &&
            !ph_str_equal(c->field, PH_STR("Content-Type")))
            ph_json_add_text(out, c->field.ptr, c->value); /* names end in NUL */
    }
    ph_json_add_cstr(out, "x-amz-algorithm", "AWS4-HMAC-SHA256");
    ph_json_add_text(out, "x-amz-credential", signed_form->credential);
    ph_json_add_cstr(out, "x-amz-date", signed_form->date);
    if (creds->session_token.len > 0)
        ph_json_add_text(out, "x-amz-security-token", creds->session_token);
    ph_json_add_text(out, "policy", signed_form->policy);
    ph_json_add_cstr(out, "x-amz-signature", signed_form->signature);
    ph_json_close(out);
}

/* Sign and write. `key` is absent for a form of many files. */
static int answer_form(batch *b, const form *f, ph_str key)
{
    call *c = b->c;
    const api_config *config = c->service->config;
    const ph_creds *creds;
    ph_sigv4_key *cached;
    int err = post_credentials(b, &creds, &cached);
    if (err != PH_OK)
        return err;
    uint32_t seconds = life_seconds(c, creds);
    ph_policy policy = {
        .bucket = config->bucket,
        .region = config->bucket_at.region,
        .conditions = f->conditions,
        .condition_count = f->count,
        .min_size = f->min_size,
        .max_size = f->max_size,
        .now_ms = c->request->now_ms,
        .expires_ms = c->request->now_ms + (uint64_t)seconds * 1000,
        .creds = creds,
    };
    ph_policy_form signed_form;
    err = ph_policy_sign(&policy, cached, &signed_form);
    if (err != PH_OK)
        return err;
    ph_buf *out = &c->answer->body;
    ph_json_open(out, NULL);
    ph_json_add_cstr(out, "uploadType", "post");
    if (key.ptr) {
        add_place(b, key);
    } else {
        ph_json_add_text(out, "bucket", config->bucket);
        ph_json_add_text(out, "prefix", f->conditions[0].value);
        ph_json_add_text(out, "region", config->region);
        ph_json_add_u64(out, "maxSize", f->max_size);
    }
    ph_json_add_cstr(out, "method", "POST");
    ph_json_add_text(out, "url", config->bucket_at.base);
    add_fields(out, f, &signed_form, creds);
    call_add_date(out, "expires", policy.expires_ms);
    add_time(b);
    ph_json_close(out);
    ph_policy_form_clear(&signed_form);
    return PH_OK;
}

static void add_condition(form *f, ph_str field, ph_str value, bool begins)
{
    f->conditions[f->count++] = (ph_condition){field, value, begins};
}

/* A form for one file: exactly this key, this type and this size. */
static int answer_post(batch *b, const api_file *file, ph_str key)
{
    form f = {.key_field = key,
              .type_field = file->type,
              .min_size = file->size,
              .max_size = file->size};
    add_condition(&f, PH_STR("key"), key, false);
    add_condition(&f, PH_STR("acl"), PH_STR("private"), false);
    if (file->type.ptr)
        add_condition(&f, PH_STR("Content-Type"), file->type, false);
    for (size_t i = 0; i < file->property_count; i++)
        add_condition(&f, file->properties[i].name, file->properties[i].value, false);
    return answer_form(b, &f, key);
}

/* ---- POST /v1/uploads ------------------------------------------------------------------------ */

/* False: the answer is a refusal already, or would have to wait. */
static bool add_file(batch *b, const api_file *f)
{
    call *c = b->c;
    ph_buf key;
    ph_buf_init(&key, 1024);
    int err = make_key(c, f, &key);
    uint64_t put_limit = c->service->config->put_limit; /* 0: never */
    bool whole = put_limit > 0 && f->size <= put_limit && f->checksum.alg != PH_ALG_NONE;
    bool made = false; /* by others, and it is a refusal */
    if (err == PH_OK && f->upload_type == API_UPLOAD_POST) {
        err = answer_post(b, f, ph_buf_view(&key));
        made = err == PH_ERR_BAD_STATE;
    } else if (err == PH_OK && !need_loan(b)) {
        made = true;
    } else if (err == PH_OK && whole && f->upload_type == API_UPLOAD_ANY) {
        err = answer_put(b, f, ph_buf_view(&key));
    } else if (err == PH_OK) {
        answer_multipart(b, ph_buf_view(&key));
    }
    ph_buf_clear(&key);
    if (err != PH_OK && !made)
        call_fail(c, err);
    return err == PH_OK && !made;
}

static bool is_refused(batch *b, const api_file *f, api_verdict verdict)
{
    if (verdict.problem == API_NO_PROBLEM && f->upload_type == API_UPLOAD_POST &&
        f->size > POST_MAX_SIZE)
        verdict = (api_verdict){API_TOO_LARGE, "a form accepts files of up to 5 GiB"};
    if (verdict.problem == API_NO_PROBLEM)
        return false;
    if (b->many) { /* one bad file does not keep the others */
        ph_json_open(&b->c->answer->body, NULL);
        call_add_problem(&b->c->answer->body, "problem", verdict);
        ph_json_close(&b->c->answer->body);
    } else {
        call_refuse(b->c, verdict.problem, verdict.detail);
    }
    return true;
}

static void answer_one(batch *b, const ph_json *document)
{
    api_file f;
    api_verdict verdict = api_file_read(b->c->service->config, document, &f);
    if (!is_refused(b, &f, verdict) && add_file(b, &f))
        call_answer_json(b->c, 200);
    api_file_clear(&f);
}

static void answer_many(batch *b, const ph_json *files)
{
    const api_config *config = b->c->service->config;
    ph_buf *out = &b->c->answer->body;
    size_t count = 0;
    for (const ph_json *f = ph_json_first(files); f; f = ph_json_next(f))
        count++;
    if (count > config->max_files) {
        call_refuse(b->c, API_TOO_MANY_FILES, NULL);
        return;
    }
    b->many = true;
    ph_json_open(out, NULL);
    ph_json_open_array(out, "files");
    bool good = true;
    for (const ph_json *d = ph_json_first(files); d && good; d = ph_json_next(d)) {
        api_file f;
        api_verdict verdict = api_file_read(config, d, &f);
        if (!is_refused(b, &f, verdict))
            good = add_file(b, &f);
        api_file_clear(&f);
    }
    if (!good) /* it is a refusal of all of them by now */
        return;
    ph_json_close_array(out);
    ph_json_add_text(out, "bucket", config->bucket);
    ph_json_add_text(out, "region", config->region);
    ph_json_add_text(out, "endpoint", config->s3_endpoint);
    ph_json_add_text(out, "prefix", ph_buf_view(&b->c->who.prefix));
    if (b->credentials_told)
        call_add_credentials(out, &b->loan.creds);
    call_add_date(out, "serverTime", b->c->request->now_ms);
    ph_json_close(out);
    call_answer_json(b->c, 200);
}

static void clear_batch(batch *b)
{
    if (b->lent)
        api_loan_clear(&b->loan);
    ph_creds_clear(&b->own);
}

/* Parse the body; NULL when it is none and the answer says so. */
static ph_json *read_body(call *c)
{
    ph_json *document = NULL;
    int err = ph_json_parse(c->request->body, &document);
    if (err == PH_ERR_NOMEM)
        call_refuse(c, API_INTERNAL, NULL);
    else if (err != PH_OK)
        call_refuse(c, API_BAD_REQUEST, "the body is not JSON");
    return document;
}

/* see call.h */
void call_uploads(call *c)
{
    ph_json *document = read_body(c);
    if (!document)
        return;
    batch b = {.c = c};
    const ph_json *files = ph_json_member(document, "files");
    if (!files)
        answer_one(&b, document);
    else if (ph_json_is_array(files) && ph_json_first(files))
        answer_many(&b, files);
    else
        call_refuse(c, API_BAD_REQUEST, "files: has to be a non-empty array");
    clear_batch(&b);
    ph_json_free(document);
}

/* ---- POST /v1/post-policy -------------------------------------------------------------------- */

/* What the form is to be for, into `f`; the prefix and the key field are made in `texts`. */
static api_verdict read_form(const call *c, const ph_json *document, form *f, ph_buf texts[2])
{
    const api_config *config = c->service->config;
    const ph_json *folder = ph_json_member(document, "folder");
    const ph_json *type = ph_json_member(document, "type");
    const ph_json *size = ph_json_member(document, "maxSize");
    if (!ph_json_is_object(document))
        return (api_verdict){API_BAD_REQUEST, "the body has to be a JSON object"};
    if (folder && !ph_json_text(folder).ptr)
        return (api_verdict){API_BAD_REQUEST, "folder: has to be a string"};
    ph_str media = ph_json_text(type);
    bool begins = !media.ptr || ph_str_ends(media, PH_STR("/"));
    if (type && (!media.ptr || (!begins && !api_is_type(media))))
        return (api_verdict){API_BAD_REQUEST, "type: has to be like video/mp4, or like video/"};
    bool family = begins && media.ptr && config->types.ptr; /* "image/" against "image/..." */
    if (!family && !api_type_is_taken(config, begins ? (ph_str){NULL, 0} : media))
        return (api_verdict){API_TYPE_REFUSED, NULL};
    f->max_size = config->max_size < POST_MAX_SIZE ? config->max_size : POST_MAX_SIZE;
    uint64_t wanted;
    if (size && !ph_json_u64(size, &wanted))
        return (api_verdict){API_BAD_REQUEST, "maxSize: has to be a whole number of bytes"};
    if (size && wanted < f->max_size)
        f->max_size = wanted;

    ph_buf_str(&texts[0], ph_buf_view(&c->who.prefix));
    api_folder_clean(ph_json_text(folder), &texts[0]);
    ph_buf_str(&texts[1], ph_buf_view(&texts[0]));
    ph_buf_cstr(&texts[1], "${filename}");
    if (texts[0].err == PH_ERR_TOO_LONG || texts[1].err == PH_ERR_TOO_LONG)
        return (api_verdict){API_BAD_REQUEST, "folder: makes keys longer than 1,024 bytes"};
    if (texts[0].err != PH_OK || texts[1].err != PH_OK)
        return (api_verdict){API_INTERNAL, NULL};
    add_condition(f, PH_STR("key"), ph_buf_view(&texts[0]), true);
    add_condition(f, PH_STR("acl"), PH_STR("private"), false);
    add_condition(f, PH_STR("Content-Type"), media, begins);
    f->key_field = ph_buf_view(&texts[1]);
    f->type_field = begins ? PH_STR("application/octet-stream") : media;
    if (family) {
        ph_buf probe; /* any type of that family: is the family taken as a whole? */
        ph_buf_init(&probe, 512);
        ph_buf_str(&probe, media);
        ph_buf_char(&probe, '*');
        bool taken = probe.err == PH_OK && api_type_is_taken(config, ph_buf_view(&probe));
        ph_buf_clear(&probe);
        if (!taken)
            return (api_verdict){API_TYPE_REFUSED, NULL};
    }
    return (api_verdict){API_NO_PROBLEM, NULL};
}

/* see call.h */
void call_post_policy(call *c)
{
    ph_json *document = read_body(c);
    if (!document)
        return;
    batch b = {.c = c};
    form f = {.count = 0};
    ph_buf texts[2];
    ph_buf_init(&texts[0], 1024);
    ph_buf_init(&texts[1], 1024 + 16);
    api_verdict verdict = read_form(c, document, &f, texts);
    int err = PH_OK;
    if (verdict.problem != API_NO_PROBLEM)
        call_refuse(c, verdict.problem, verdict.detail);
    else
        err = answer_form(&b, &f, (ph_str){NULL, 0});
    if (err == PH_OK && verdict.problem == API_NO_PROBLEM)
        call_answer_json(c, 200);
    else if (err != PH_OK && err != PH_ERR_BAD_STATE) /* which was answered where it came up */
        call_fail(c, err);
    ph_buf_clear(&texts[0]);
    ph_buf_clear(&texts[1]);
    clear_batch(&b);
    ph_json_free(document);
}
