/* SPDX-License-Identifier: MIT
 *
 * AWS Signature Version 4. One function for each stage, in the order of the documentation; all
 * their texts lie in one buffer, so that a failing signature can be shown stage by stage. It has all
 * its memory from the start and never moves: views of one text are valid while the next is made.
 * It does not chunk bodies (aws-chunked) and does not know SigV4a.
 */
#include "sigv4.h"

#include <string.h>

#include "date.h"
#include "enc.h"
#include "str.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define MAX_TEXT (1u << 20)
#define MAX_HEADERS 64
#define MAX_PARAMETERS 256

/* A header that will be signed, raw, and whether its value has nothing to fold. */
typedef struct field {
    ph_str name;
    ph_str value;
    bool visible;
} field;

typedef struct signer {
    const ph_sigv4 *in;
    ph_sigv4_result *out;
    ph_buf *b; /* where all texts go, one behind the other */
    bool s3;
    char scope[160];           /* 20130524/us-east-1/s3/aws4_request */
    field header[MAX_HEADERS]; /* all that will be signed, sorted */
    size_t header_count;
} signer;

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* ---- Headers -------------------------------------------------------------------------------- */

static bool is_token(ph_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.len > 0;
}

/* No control bytes but tabs; a line may only end where it is folded. */
static bool is_value(ph_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        char next = i + 1 < value.len ? value.ptr[i + 1] : '\0';
        bool folded = (c == '\r' && next == '\n') || (c == '\n' && (next == ' ' || next == '\t'));
        if (c == 0x7f || ((unsigned char)c < 0x20 && c != '\t' && !folded))
            return false;
    }
    return true;
}

static int take_header(signer *s, ph_str name, ph_str value)
{
    if (s->header_count == MAX_HEADERS)
        return PH_ERR_TOO_LONG;
    bool visible = ph_str_is_visible(value);
    if (!is_token(name) || (!visible && !is_value(value)) ||
        ph_str_equal_nocase(name, PH_STR("authorization")))
        return PH_ERR_BAD_HEADER;
    s->header[s->header_count++] = (field){name, value, visible};
    return PH_OK;
}

static bool has_header(const signer *s, ph_str name)
{
    for (size_t i = 0; i < s->header_count; i++)
        if (ph_str_equal_nocase(s->header[i].name, name))
            return true;
    return false;
}

/* A header that the caller gave takes the place of the derived one; only the latter is given out. */
static int derive_header(signer *s, ph_str name, ph_str value)
{
    if (has_header(s, name))
        return PH_OK;
    ph_sigv4_result *out = s->out;
    if (!ph_str_equal(name, PH_STR("host"))) /* which is the host's to send */
        out->headers[out->header_count++] = (ph_header){name, value};
    return take_header(s, name, value);
}

static int compare_names(ph_str a, ph_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < n; i++) {
        int x = (unsigned char)a.ptr[i], y = (unsigned char)b.ptr[i];
        x = x >= 'A' && x <= 'Z' ? x + 32 : x;
        y = y >= 'A' && y <= 'Z' ? y + 32 : y;
        if (x != y)
            return x - y;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

static int collect_headers(signer *s)
{
    const ph_sigv4 *in = s->in;
    int err = PH_OK;
    for (size_t i = 0; err == PH_OK && i < in->header_count; i++)
        err = take_header(s, in->headers[i].name, in->headers[i].value);
    if (err == PH_OK)
        err = derive_header(s, PH_STR("host"), in->host);
    if (in->presign_seconds == 0) {
        if (err == PH_OK)
            err = derive_header(s, PH_STR("x-amz-date"), (ph_str){s->out->date, 16});
        if (err == PH_OK && s->s3)
            err = derive_header(s, PH_STR("x-amz-content-sha256"), in->payload);
        if (err == PH_OK && in->creds->session_token.len)
            err = derive_header(s, PH_STR("x-amz-security-token"), in->creds->session_token);
    }
    /* Insertion sort: there are few, and equal names must keep their order. */
    for (size_t i = 1; i < s->header_count; i++) {
        field h = s->header[i];
        size_t at = i;
        for (; at > 0 && compare_names(s->header[at - 1].name, h.name) > 0; at--)
            s->header[at] = s->header[at - 1];
        s->header[at] = h;
    }
    return err;
}

static void add_lower(ph_buf *b, ph_str name)
{
    size_t from = b->len;
    ph_buf_str(b, name);
    for (size_t i = from; i < b->len; i++)
        if (b->ptr[i] >= 'A' && b->ptr[i] <= 'Z')
            b->ptr[i] = (char)(b->ptr[i] + 32);
}

/* Trimmed, and each run of white space (folded lines too) as one space. */
static void add_value(ph_buf *b, const field *h)
{
    ph_str value = h->value;
    if (h->visible) {
        ph_buf_str(b, value);
        return;
    }
    for (value = ph_str_trim(value); value.len; value = ph_str_trim(value)) {
        size_t run = 0;
        while (run < value.len && !is_space(value.ptr[run]))
            run++;
        ph_buf_add(b, value.ptr, run);
        value = ph_str_skip(value, run);
        if (value.len)
            ph_buf_char(b, ' ');
    }
}

static bool same_name_as_before(const signer *s, size_t i)
{
    if (i == 0 || i >= s->header_count)
        return false;
    return compare_names(s->header[i - 1].name, s->header[i].name) == 0;
}

static void add_canonical_headers(const signer *s, ph_buf *b)
{
    for (size_t i = 0; i < s->header_count; i++) {
        if (same_name_as_before(s, i)) {
            ph_buf_char(b, ',');
        } else {
            add_lower(b, s->header[i].name);
            ph_buf_char(b, ':');
        }
        add_value(b, &s->header[i]);
        if (!same_name_as_before(s, i + 1))
            ph_buf_char(b, '\n');
    }
}

static void add_signed_headers(const signer *s, ph_buf *b)
{
    for (size_t i = 0; i < s->header_count; i++) {
        if (same_name_as_before(s, i))
            continue;
        if (i > 0)
            ph_buf_char(b, ';');
        add_lower(b, s->header[i].name);
    }
}

/* ---- Path and query ------------------------------------------------------------------------- */

/* What the server gets when it decodes and encodes again: each byte encoded exactly once. */
static void add_recoded(ph_buf *b, ph_str s, bool keep_slash)
{
    while (s.len) {
        int byte = s.ptr[0] == '%' && s.len > 2 ? ph_dec_hex_pair(s.ptr + 1) : -1;
        char c = (char)byte;
        size_t run = byte >= 0 ? 3 : 1 + ph_str_find(ph_str_skip(s, 1), '%');
        if (byte >= 0)
            ph_enc_percent(b, (ph_str){&c, 1}, false);
        else
            ph_enc_percent(b, (ph_str){s.ptr, run}, keep_slash);
        s = ph_str_skip(s, run);
    }
}

/* Remove "." and ".." segments and empty ones, as RFC 3986 and the general rules have it. */
static void add_normalised(ph_buf *b, ph_str path)
{
    size_t root = b->len;
    ph_str rest = path;
    bool slash_at_end = true;
    while (rest.ptr) {
        ph_str segment = ph_str_cut(&rest, '/');
        bool dot = ph_str_equal(segment, PH_STR("."));
        bool up = ph_str_equal(segment, PH_STR(".."));
        slash_at_end = segment.len == 0 || dot || up;
        if (up) {
            while (b->len > root && b->ptr[--b->len] != '/')
                ;
        } else if (!dot && segment.len) {
            ph_buf_char(b, '/');
            ph_enc_percent(b, segment, false);
        }
    }
    if (slash_at_end)
        ph_buf_char(b, '/');
}

static void add_canonical_path(const signer *s, ph_buf *b)
{
    ph_str path = s->in->path.len ? s->in->path : PH_STR("/");
    if (s->s3)
        add_recoded(b, path, true);
    else
        add_normalised(b, path);
}

typedef struct parameter {
    ph_str name;
    ph_str value;
} parameter;

static int compare_parameters(const parameter *a, const parameter *b)
{
    int order = ph_str_compare(a->name, b->name);
    return order ? order : ph_str_compare(a->value, b->value);
}

/* The X-Amz- parameters of a presigned query, already encoded. */
static void add_presign_parameters(const signer *s, ph_buf *b)
{
    const ph_creds *c = s->in->creds;
    ph_buf_cstr(b, s->in->query.len ? "&" : "");
    ph_buf_cstr(b, "X-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=");
    ph_enc_percent(b, c->access_key_id, false);
    ph_buf_cstr(b, "%2F");
    ph_enc_percent(b, ph_str_from(s->scope), false);
    ph_buf_cstr(b, "&X-Amz-Date=");
    ph_buf_cstr(b, s->out->date);
    ph_buf_cstr(b, "&X-Amz-Expires=");
    ph_buf_u64(b, s->in->presign_seconds);
    if (c->session_token.len) {
        ph_buf_cstr(b, "&X-Amz-Security-Token=");
        ph_enc_percent(b, c->session_token, false);
    }
    ph_buf_cstr(b, "&X-Amz-SignedHeaders=");
    ph_enc_percent(b, s->out->signed_headers, false);
}

/*
 * `query` is what stands in the URL; each parameter is encoded once, then all are sorted. What is to
 * be sorted lies behind what is made, for so long.
 */
static int add_canonical_query(ph_str query, ph_buf *b)
{
    parameter list[MAX_PARAMETERS];
    size_t count = 0, from = b->len, len = 0;
    for (ph_str rest = query; rest.ptr;) {
        ph_str value = ph_str_cut(&rest, '&');
        if (value.len == 0)
            continue;
        if (count == MAX_PARAMETERS)
            return PH_ERR_TOO_LONG;
        size_t at = b->len;
        add_recoded(b, ph_str_cut(&value, '='), false);
        list[count].name = ph_buf_view_from(b, at);
        at = b->len;
        add_recoded(b, value, false);
        list[count++].value = ph_buf_view_from(b, at);
    }
    for (size_t i = 1; i < count; i++) {
        parameter p = list[i];
        size_t at = i;
        for (; at > 0 && compare_parameters(&list[at - 1], &p) > 0; at--)
            list[at] = list[at - 1];
        list[at] = p;
    }
    size_t sorted = b->len;
    for (size_t i = 0; i < count; i++) {
        ph_buf_cstr(b, i > 0 ? "&" : "");
        ph_buf_str(b, list[i].name);
        ph_buf_char(b, '=');
        ph_buf_str(b, list[i].value);
    }
    if (b->err == PH_OK && count > 0) {
        len = b->len - sorted;
        memmove(b->ptr + from, b->ptr + sorted, len);
        b->len = from + len;
    }
    return b->err;
}

/* ---- The three stages ------------------------------------------------------------------------ */

static int add_canonical_request(const signer *s)
{
    ph_buf *b = s->b;
    size_t from = b->len;
    add_signed_headers(s, b);
    s->out->signed_headers = ph_buf_view_from(b, from);
    s->out->query = s->in->query;
    if (s->in->presign_seconds) {
        from = b->len;
        ph_buf_str(b, s->in->query);
        add_presign_parameters(s, b);
        s->out->query = ph_buf_view_from(b, from);
    }
    from = b->len;
    ph_buf_str(b, s->in->method);
    ph_buf_char(b, '\n');
    add_canonical_path(s, b);
    ph_buf_char(b, '\n');
    int err = add_canonical_query(s->out->query, b);
    ph_buf_char(b, '\n');
    add_canonical_headers(s, b);
    ph_buf_char(b, '\n');
    ph_buf_str(b, s->out->signed_headers);
    ph_buf_char(b, '\n');
    ph_buf_str(b, s->in->payload);
    s->out->canonical = ph_buf_view_from(b, from);
    return err != PH_OK ? err : b->err;
}

static int add_string_to_sign(const signer *s)
{
    uint8_t hash[PH_SHA256_LEN];
    ph_buf *b = s->b;
    size_t from = b->len;
    ph_sha256(s->out->canonical.ptr, s->out->canonical.len, hash);
    ph_buf_cstr(b, ALGORITHM "\n");
    ph_buf_cstr(b, s->out->date);
    ph_buf_char(b, '\n');
    ph_buf_cstr(b, s->scope);
    ph_buf_char(b, '\n');
    ph_enc_hex(b, hash, sizeof hash);
    s->out->string = ph_buf_view_from(b, from);
    return b->err;
}

static bool is_text(const char *place, ph_str s)
{
    return ph_str_equal(ph_str_from(place), s);
}

static int derive_key(ph_str secret, ph_sigv4_key *key)
{
    ph_buf first;
    ph_buf_init(&first, MAX_TEXT);
    ph_buf_cstr(&first, "AWS4");
    ph_buf_str(&first, secret);
    int err = first.err;
    if (err == PH_OK) {
        uint8_t k[PH_SHA256_LEN];
        ph_hmac_sha256(first.ptr, first.len, key->date, 8, k);
        ph_hmac_sha256(k, sizeof k, key->region, strlen(key->region), k);
        ph_hmac_sha256(k, sizeof k, key->service, strlen(key->service), k);
        ph_hmac_sha256(k, sizeof k, "aws4_request", 12, k);
        ph_hmac_key_init(&key->key, k, sizeof k);
        ph_wipe(k, sizeof k);
    }
    ph_buf_clear(&first);
    return err;
}

/* see sigv4.h */
int ph_sigv4_key_find(ph_str date, ph_str region, ph_str service, ph_str secret,
                      ph_sigv4_key *cached, ph_sigv4_key *out)
{
    if (cached && cached->secret_len && cached->secret_len == secret.len &&
        ph_equal_secret(cached->secret, secret.ptr, secret.len) && is_text(cached->date, date) &&
        is_text(cached->region, region) && is_text(cached->service, service)) {
        *out = *cached;
        return PH_OK;
    }
    memset(out, 0, sizeof *out);
    if (date.len != 8 || region.len >= sizeof out->region || service.len >= sizeof out->service)
        return PH_ERR_TOO_LONG;
    memcpy(out->date, date.ptr, 8);
    memcpy(out->region, region.ptr, region.len);
    memcpy(out->service, service.ptr, service.len);
    int err = derive_key(secret, out);
    if (err == PH_OK && secret.len <= sizeof out->secret) {
        memcpy(out->secret, secret.ptr, secret.len);
        out->secret_len = secret.len;
        if (cached)
            *cached = *out;
    }
    return err;
}

static int add_signature(const signer *s, ph_sigv4_key *cached)
{
    ph_sigv4_key key;
    int err = ph_sigv4_key_find((ph_str){s->out->date, 8}, s->in->region, s->in->service,
                                s->in->creds->secret_access_key, cached, &key);
    if (err != PH_OK)
        return err;
    uint8_t mac[PH_SHA256_LEN];
    ph_sigv4_result *out = s->out;
    ph_buf *b = s->b;
    ph_hmac_with(&key.key, out->string.ptr, out->string.len, mac);
    ph_wipe(&key, sizeof key);
    size_t from = b->len;
    ph_enc_hex(b, mac, sizeof mac);
    if (b->err == PH_OK)
        memcpy(out->signature, b->ptr + from, 2 * sizeof mac);
    b->len = from;
    if (s->in->presign_seconds) {
        ph_buf_str(b, out->query);
        ph_buf_cstr(b, "&X-Amz-Signature=");
        ph_buf_cstr(b, out->signature);
        out->query = ph_buf_view_from(b, from);
        return b->err;
    }
    ph_buf_cstr(b, ALGORITHM " Credential=");
    ph_buf_str(b, s->in->creds->access_key_id);
    ph_buf_char(b, '/');
    ph_buf_cstr(b, s->scope);
    ph_buf_cstr(b, ", SignedHeaders=");
    ph_buf_str(b, out->signed_headers);
    ph_buf_cstr(b, ", Signature=");
    ph_buf_cstr(b, out->signature);
    out->headers[out->header_count++] =
        (ph_header){PH_STR("authorization"), ph_buf_view_from(b, from)};
    return b->err;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static bool is_complete(const ph_sigv4 *in)
{
    return in->creds && in->creds->access_key_id.len && in->creds->secret_access_key.len &&
           in->method.len && in->host.len && in->region.len && in->service.len && in->payload.len &&
           (in->path.len == 0 || in->path.ptr[0] == '/') && in->presign_seconds <= 604800;
}

/* An upper bound of all texts together: what may be percent-encoded grows threefold. */
static size_t text_size(const ph_sigv4 *in)
{
    const ph_creds *c = in->creds;
    uint64_t names = 64, values = (uint64_t)in->host.len + c->session_token.len; /* derived ones */
    for (size_t i = 0; i < in->header_count; i++) {
        names += (uint64_t)in->headers[i].name.len + 2;
        values += in->headers[i].value.len;
    }
    uint64_t scope = sizeof(((signer *)0)->scope) + c->access_key_id.len;
    uint64_t query = 3 * (uint64_t)in->query.len;
    if (in->presign_seconds)
        query += 3 * (scope + names + c->session_token.len) + 512;
    uint64_t all = in->method.len + 3 * (uint64_t)in->path.len + 4 * query + 4 * names + values +
                   2 * ((uint64_t)in->payload.len + scope) + 512;
    return all < MAX_TEXT ? (size_t)all : MAX_TEXT + 1;
}

static int make_scope(signer *s)
{
    ph_buf *b = s->b;
    size_t from = b->len;
    ph_buf_add(b, s->out->date, 8);
    ph_buf_char(b, '/');
    ph_buf_str(b, s->in->region);
    ph_buf_char(b, '/');
    ph_buf_str(b, s->in->service);
    ph_buf_cstr(b, "/aws4_request");
    ph_str scope = ph_buf_view_from(b, from);
    if (b->err == PH_OK && scope.len >= sizeof s->scope)
        b->err = PH_ERR_TOO_LONG;
    if (b->err == PH_OK)
        memcpy(s->scope, scope.ptr, scope.len);
    b->len = from;
    return b->err;
}

/* see sigv4.h */
int ph_sigv4_sign(const ph_sigv4 *in, ph_sigv4_key *key, ph_sigv4_result *out)
{
    memset(out, 0, sizeof *out);
    ph_buf_init(&out->text, MAX_TEXT);
    if (!is_complete(in))
        return PH_ERR_BAD_ARG;
    signer s = {.in = in,
                .out = out,
                .b = &out->text,
                .s3 = ph_str_equal(in->service, PH_STR("s3"))};
    size_t size = text_size(in);
    ph_buf_reserve(s.b, size);
    s.b->limit = size < MAX_TEXT ? size : MAX_TEXT;
    ph_date_basic(in->time_ms, out->date);
    int err = make_scope(&s);
    if (err == PH_OK)
        err = collect_headers(&s);
    if (err == PH_OK)
        err = add_canonical_request(&s);
    if (err == PH_OK)
        err = add_string_to_sign(&s);
    if (err == PH_OK)
        err = add_signature(&s, key);
    if (err != PH_OK)
        ph_sigv4_result_clear(out);
    return err;
}

/* see sigv4.h */
void ph_sigv4_result_clear(ph_sigv4_result *r)
{
    ph_buf_clear(&r->text);
    ph_wipe(r, sizeof *r);
}
