/* SPDX-License-Identifier: MIT
 *
 * The engine's requests on libcurl. What goes out is exactly what was signed: no header of
 * libcurl's own invention, no redirect followed, no second try that the engine does not know of but
 * where nothing was answered and sending again is harmless (begin_anew).
 * What comes in is bounded before it is looked at. How long nothing may move is the engine's to
 * say; it is watched here, since libcurl's limits cannot tell sending from waiting for an answer.
 */
#define _POSIX_C_SOURCE 200809L

#include "transfer.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cli.h"
#include "core/buf.h"
#include "core/endpoint.h"
#include "core/str.h"

#define MAX_ANSWER (8u << 20)
#define MAX_HEAD (128u << 10)
#define MAX_HEADERS 128
#define CONNECT_MS 20000
#define SEND_BUFFER (256L << 10)
#define UNSENT (128 << 10)
#define CREEP_SHIFT 12  /* fewer bytes than 4 KiB of a body, and nothing has moved */
#define LOOKED_MS 500u  /* a turn that took longer says that nobody looked */
#define FROZEN_MS 1500u /* so much that nobody saw: stopped, asleep, or long at reading the file */
#define MOST_ANEW 8     /* for one request: a process may be frozen again and again */

typedef struct transfer {
    struct transfer *next;
    transfers *all;
    uint32_t id;
    CURL *easy;
    struct curl_slist *headers;
    curl_mime *form; /* of transfers_post */
    source *file;    /* where the body is, or a form's file */
    ph_hash *hash;   /* of a form's file */
    ph_alg hash_alg;
    bool from_file;
    bool whole;      /* it makes an object, at once, or shows one */
    uint64_t offset; /* of the body in the file */
    uint64_t length; /* of the body */
    uint64_t read;   /* of it, so far */
    ph_buf text;
    uint32_t stall_ms, answer_ms;
    uint32_t whole_ms; /* an answer that drips has an end, too */

    uint64_t moved_ms;  /* when anything last did, by the clock of all */
    uint64_t moved;     /* a number that grows with everything that moves */
    uint64_t out_ms;    /* when the answer's turn came; 0: it has not */
    uint64_t sent;      /* as reported */
    uint64_t unseen_ms; /* of all, when connecting began */
    unsigned anew;      /* how often it began again, which is no other try */
    CURLcode code;      /* libcurl's, once ... */
    bool failed;        /* ... it ended without an answer, which is not told yet */
    int err;            /* why a callback gave up, if one did */
    const char *why;    /* the same in words: libcurl has other ones for it */
    char reason[CURL_ERROR_SIZE];

    ph_buf head; /* names and values, one behind the other */
    bool head_ended;
    size_t ends[2 * MAX_HEADERS];
    size_t end_count;
    ph_buf body;
    ph_header header[MAX_HEADERS];
} transfer;

struct transfers {
    CURLM *multi;
    source *file;
    const char *ca_bundle;
    uint32_t timeout_ms;
    uint64_t turn_ms;   /* when it was last looked at */
    uint64_t clock_ms;  /* what passed while somebody looked */
    uint64_t unseen_ms; /* what passed besides */
    uint64_t reading_ms;
    transfer *list;
    transfer *ended; /* whose texts the last event points to */
    char reason[CURL_ERROR_SIZE];
};

/* ---- Bodies that go out ---------------------------------------------------------------------- */

/*
 * The file is looked at once more before the last piece of a part leaves: S3 never gets a whole
 * part of a file that has changed meanwhile.
 */
static size_t on_read(char *to, size_t size, size_t count, void *user)
{
    transfer *x = user;
    uint64_t left = x->length - x->read;
    size_t n = size * count < left ? size * count : (size_t)left;
    if (n == 0)
        return 0;
    uint64_t begun_ms = cli_running_ms();
    x->err = source_read(x->file, to, n, x->offset + x->read);
    if (x->err == PH_OK && n == left)
        x->err = source_check(x->file);
    x->all->reading_ms += cli_running_ms() - begun_ms;
    if (x->err != PH_OK)
        return CURL_READFUNC_ABORT;
    if (x->hash)
        ph_hash_update(x->hash, to, n);
    x->read += n;
    return n;
}

/* libcurl rewinds when a kept connection turns out to be dead. */
static int on_seek(void *user, curl_off_t offset, int origin)
{
    transfer *x = user;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > x->length)
        return CURL_SEEKFUNC_FAIL;
    if (x->hash && offset != 0)
        return CURL_SEEKFUNC_CANTSEEK; /* a digest begins at the begin */
    if (x->hash)
        ph_hash_init(x->hash, x->hash_alg);
    x->read = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- Answers --------------------------------------------------------------------------------- */

static size_t refuse(transfer *x, const char *why)
{
    x->err = PH_ERR_NETWORK;
    x->why = why;
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    transfer *x = user;
    ph_buf_add(&x->body, data, size * count);
    if (x->body.err == PH_ERR_TOO_LONG)
        return refuse(x, "the answer is longer than 8 MiB");
    return x->body.err ? refuse(x, ph_err_text(PH_ERR_NOMEM)) : size * count;
}

static void add_lower(ph_buf *b, ph_str s)
{
    for (size_t i = 0; i < s.len; i++)
        ph_buf_char(b, s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] + 32) : s.ptr[i]);
}

static long status_of(const transfer *x)
{
    long status = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/*
 * Nothing can be stored, let alone checked, that has not been sent: whoever answers so soon is not S3.
 * libcurl would stop sending, and take it for the whole.
 */
static bool is_early(const transfer *x)
{
    return status_of(x) / 100 == 2 && x->from_file && x->read < x->length;
}

static void begin_head(transfer *x)
{
    ph_buf_reset(&x->head);
    x->end_count = 0;
    x->head_ended = false;
}

/* One line of the head. A new status line begins the head of another answer, as after 100. */
static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    transfer *x = user;
    ph_str value = {data, size * count};
    if (ph_str_starts(value, PH_STR("HTTP/"))) {
        begin_head(x);
        return size * count;
    }
    if (!x->head_ended && ph_str_trim(value).len == 0) {
        x->head_ended = true;
        if (is_early(x))
            return refuse(x, "the server said yes before it had all that was sent");
        if (status_of(x) == 101) /* libcurl would wait for the end of the connection */
            return refuse(x, "the server switched to another protocol");
        if (status_of(x) / 100 == 1) { /* the answer itself is still to come */
            begin_head(x);
            return size * count;
        }
    }
    ph_str name = ph_str_trim(ph_str_cut(&value, ':'));
    if (!name.len || !value.ptr || !ph_str_is_utf8(value))
        return size * count; /* the empty line at the end, or nothing of S3's */
    if (x->end_count == 2 * MAX_HEADERS)
        return refuse(x, "the answer has too many headers");
    add_lower(&x->head, name);
    x->ends[x->end_count++] = x->head.len;
    ph_buf_str(&x->head, ph_str_trim(value));
    x->ends[x->end_count++] = x->head.len;
    return x->head.err ? refuse(x, "the answer's headers are too long") : size * count;
}

static size_t make_headers(transfer *x)
{
    size_t from = 0;
    for (size_t i = 0; i < x->end_count; i += 2) {
        size_t middle = x->ends[i], last = x->ends[i + 1];
        x->header[i / 2] =
            (ph_header){{x->head.ptr + from, middle - from}, {x->head.ptr + middle, last - middle}};
        from = last;
    }
    return x->end_count / 2;
}

/*
 * S3 gives each object an ETag, which here no CORS rule hides. Whoever says yes, and no more, may be a
 * portal or a proxy. After a form some servers state but the request's id.
 */
static bool says_nothing(const transfer *x, size_t header_count)
{
    ph_str of_s3 = x->form ? PH_STR("x-amz-") : PH_STR("x-amz-checksum-");
    for (size_t i = 0; i < header_count; i++)
        if (ph_str_equal(x->header[i].name, PH_STR("etag")) ||
            ph_str_starts(x->header[i].name, of_s3))
            return false;
    return ph_str_trim(ph_buf_view(&x->body)).len == 0; /* the engine reads what it says */
}

/* ---- One request ----------------------------------------------------------------------------- */

static bool add_header_line(transfer *x, const char *line)
{
    struct curl_slist *more = curl_slist_append(x->headers, line);
    if (more)
        x->headers = more;
    return more != NULL;
}

/* What libcurl would add by itself is switched off by a name without a value. */
static bool set_headers(transfer *x, const ph_request *r)
{
    bool typed = false, ok = true;
    ph_buf line;
    ph_buf_init(&line, 64u << 10);
    for (size_t i = 0; ok && i < r->header_count; i++) {
        ph_header h = r->headers[i];
        typed = typed || ph_str_equal_nocase(h.name, PH_STR("content-type"));
        ph_buf_reset(&line);
        ph_buf_str(&line, h.name);
        ph_buf_cstr(&line, h.value.len ? ": " : ";"); /* libcurl's way to write an empty value */
        ph_buf_str(&line, h.value);
        ph_buf_char(&line, '\0');
        ok = line.err == PH_OK && add_header_line(x, line.ptr);
    }
    ph_buf_clear(&line);
    return ok && add_header_line(x, "Expect:") && add_header_line(x, "Accept:") &&
           (typed || add_header_line(x, "Content-Type:"));
}

static void set_body(transfer *x, const ph_request *r)
{
    CURL *c = x->easy;
    switch (r->method) {
    case PH_METHOD_GET: curl_easy_setopt(c, CURLOPT_HTTPGET, 1L); break;
    case PH_METHOD_HEAD: curl_easy_setopt(c, CURLOPT_NOBODY, 1L); break;
    case PH_METHOD_DELETE: curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, "DELETE"); break;
    case PH_METHOD_POST:
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->text.len);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, x->text.len ? x->text.ptr : "");
        break;
    case PH_METHOD_PUT:
        curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->length);
        curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(c, CURLOPT_READDATA, x);
        curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(c, CURLOPT_SEEKDATA, x);
        curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER);
        break;
    }
    /*
     * When a kept connection dies without an answer, libcurl sends the request again on a new one
     * and tells nobody. For a part that is right. But who sends Complete twice must know it, or
     * takes the second answer (NoSuchUpload) for the truth: such requests get a new connection.
     */
    if (r->method == PH_METHOD_POST || (r->method == PH_METHOD_PUT && r->part_number == 0))
        curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
}

/*
 * The system would take megabytes of a body at once and send them in its own time. On a slow line
 * nothing would then seem to move for longer than the engine waits, and progress would jump.
 */
static int on_socket(void *user, curl_socket_t s, curlsocktype purpose)
{
    (void)user;
    (void)purpose;
#ifdef TCP_NOTSENT_LOWAT
    int most = UNSENT;
    setsockopt(s, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, sizeof most); /* helps, is not needed */
#endif
    return CURL_SOCKOPT_OK;
}

static void set_connection(transfer *x, const char *url)
{
    CURL *c = x->easy;
    ph_url parsed;
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "parthaul/" PH_VERSION);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L); /* a name server that is dead holds nobody up */
#endif
    curl_easy_setopt(c, CURLOPT_SOCKOPTFUNCTION, on_socket);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    if (x->all->ca_bundle)
        curl_easy_setopt(c, CURLOPT_CAINFO, x->all->ca_bundle);
    if (ph_url_parse(ph_str_from(url), &parsed) == PH_OK && ph_url_is_loopback(&parsed))
        curl_easy_setopt(c, CURLOPT_PROXY, ""); /* this machine is not behind any proxy */
    uint32_t limit = x->all->timeout_ms;
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
                     limit && limit < CONNECT_MS ? (long)limit : (long)CONNECT_MS);
}

static void set_answer(transfer *x)
{
    CURL *c = x->easy;
    curl_easy_setopt(c, CURLOPT_PRIVATE, x);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, x->reason);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
}

static void transfer_free(transfer *x)
{
    if (!x)
        return;
    if (x->easy) {
        curl_multi_remove_handle(x->all->multi, x->easy);
        curl_easy_cleanup(x->easy);
    }
    curl_mime_free(x->form);
    for (struct curl_slist *line = x->headers; line; line = line->next)
        ph_wipe(line->data, strlen(line->data)); /* tokens and signatures */
    curl_slist_free_all(x->headers);
    ph_buf_clear(&x->text);
    ph_buf_clear(&x->head);
    ph_buf_clear(&x->body);
    free(x);
}

static uint32_t shorter(uint32_t ms, uint32_t limit_ms)
{
    return limit_ms && limit_ms < ms ? limit_ms : ms;
}

/* How much time has passed since the last look, and how much of it may somebody have looked? */
static void look(transfers *t)
{
    uint64_t now = cli_running_ms(), passed = now - t->turn_ms;
    uint64_t seen = passed < LOOKED_MS ? passed : LOOKED_MS;
    t->clock_ms += seen;
    t->unseen_ms += passed - seen;
    t->turn_ms = now;
}

static transfer *transfer_new(transfers *t, uint32_t id, uint32_t stall_ms, uint32_t answer_ms)
{
    transfer *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    look(t); /* what passed before is none of its own */
    x->all = t;
    x->id = id;
    x->file = t->file;
    x->stall_ms = shorter(stall_ms, t->timeout_ms);
    x->answer_ms = shorter(answer_ms, t->timeout_ms);
    x->whole_ms = shorter(answer_ms, 10 * t->timeout_ms);
    x->moved_ms = t->clock_ms;
    x->unseen_ms = t->unseen_ms;
    ph_buf_init(&x->head, MAX_HEAD);
    ph_buf_init(&x->body, MAX_ANSWER);
    x->easy = curl_easy_init();
    return x;
}

/* Hand it to libcurl if it is `good` so far, else release it. */
static int transfer_begin(transfers *t, transfer *x, bool good)
{
    if (!good || curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers) != CURLE_OK ||
        curl_multi_add_handle(t->multi, x->easy) != CURLM_OK) {
        transfer_free(x);
        return PH_ERR_NOMEM;
    }
    x->next = t->list;
    t->list = x;
    return PH_OK;
}

/* see transfer.h */
int transfers_start(transfers *t, uint32_t id, const ph_request *r)
{
    ph_str url = {NULL, 0};
    transfer *x = transfer_new(t, id, r->stall_ms, r->answer_ms);
    if (!x)
        return PH_ERR_NOMEM;
    x->from_file = r->from_file;
    x->whole = r->method == PH_METHOD_HEAD || (r->method == PH_METHOD_PUT && r->part_number == 0);
    x->offset = r->offset;
    x->length = r->from_file ? r->length : r->text.len;
    ph_buf_init(&x->text, r->text.len);
    ph_buf_str(&x->text, r->text);
    bool ok =
        x->easy && x->text.err == PH_OK && ph_str_copy(r->url, &url) == PH_OK && set_headers(x, r);
    if (ok) {
        set_connection(x, url.ptr);
        set_body(x, r);
        set_answer(x);
    }
    ph_str_free(&url);
    return transfer_begin(t, x, ok);
}

/* ---- Forms ----------------------------------------------------------------------------------- */

static bool add_field(transfer *x, ph_str name, ph_str value)
{
    ph_str text = {NULL, 0};
    curl_mimepart *part = curl_mime_addpart(x->form);
    bool ok = part && ph_str_copy(name, &text) == PH_OK &&
              curl_mime_name(part, text.ptr) == CURLE_OK &&
              curl_mime_data(part, value.len ? value.ptr : "", value.len) == CURLE_OK;
    ph_str_free(&text);
    return ok;
}

static bool add_file(transfer *x, const transfer_form *f)
{
    ph_str type = {NULL, 0};
    curl_mimepart *part = curl_mime_addpart(x->form);
    bool ok = part && ph_str_copy(f->file_type, &type) == PH_OK &&
              curl_mime_name(part, "file") == CURLE_OK &&
              curl_mime_filename(part, f->file_name) == CURLE_OK &&
              curl_mime_type(part, type.ptr) == CURLE_OK &&
              curl_mime_data_cb(part, (curl_off_t)x->length, on_read, on_seek, NULL, x) == CURLE_OK;
    ph_str_free(&type);
    return ok;
}

/* see transfer.h */
int transfers_post(transfers *t, uint32_t id, const transfer_form *f)
{
    ph_str url = {NULL, 0};
    transfer *x = transfer_new(t, id, f->stall_ms, f->answer_ms);
    if (!x)
        return PH_ERR_NOMEM;
    x->from_file = true;
    x->file = f->file;
    x->length = f->file->size;
    x->hash = f->hash;
    x->hash_alg = f->hash->alg;
    x->whole = true;
    x->form = x->easy ? curl_mime_init(x->easy) : NULL;
    bool ok = x->form && ph_str_copy(f->url, &url) == PH_OK;
    for (size_t i = 0; ok && i < f->field_count; i++)
        ok = add_field(x, f->fields[i].name, f->fields[i].value);
    ok = ok && add_file(x, f) && add_header_line(x, "Expect:") && add_header_line(x, "Accept:");
    if (ok) {
        set_connection(x, url.ptr);
        set_answer(x);
        ok = curl_easy_setopt(x->easy, CURLOPT_MIMEPOST, x->form) == CURLE_OK &&
             curl_easy_setopt(x->easy, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER) == CURLE_OK;
    }
    ph_str_free(&url);
    return transfer_begin(t, x, ok);
}

/* ---- All of them ----------------------------------------------------------------------------- */

/* see transfer.h */
int transfers_new(source *file, const char *ca_bundle, uint32_t timeout_ms, transfers **out)
{
    transfers *t = calloc(1, sizeof *t);
    if (!t || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(t);
        return PH_ERR_NOMEM;
    }
    *t = (transfers){.multi = curl_multi_init(),
                     .file = file,
                     .ca_bundle = ca_bundle,
                     .timeout_ms = timeout_ms,
                     .turn_ms = cli_running_ms(),
                     .clock_ms = 1};
    if (!t->multi) {
        transfers_free(t);
        return PH_ERR_NOMEM;
    }
    *out = t;
    return PH_OK;
}

/* see transfer.h */
void transfers_free(transfers *t)
{
    if (!t)
        return;
    for (transfer *x = t->list, *next; x; x = next) {
        next = x->next;
        transfer_free(x);
    }
    transfer_free(t->ended);
    curl_multi_cleanup(t->multi);
    curl_global_cleanup();
    free(t);
}

static void unlink_transfer(transfers *t, const transfer *x)
{
    transfer **at = &t->list;
    while (*at && *at != x)
        at = &(*at)->next;
    if (*at)
        *at = x->next;
}

/* see transfer.h */
void transfers_cancel(transfers *t, uint32_t id)
{
    for (transfer *x = t->list; x; x = x->next) {
        if (x->id != id)
            continue;
        unlink_transfer(t, x);
        transfer_free(x);
        return;
    }
}

/* see transfer.h */
void transfers_turn(transfers *t, int wait_ms)
{
    int running;
    curl_multi_perform(t->multi, &running); /* what was started since begins before the wait */
    curl_multi_poll(t->multi, NULL, 0, wait_ms, NULL);
    curl_multi_perform(t->multi, &running);
    look(t);
}

/* see transfer.h */
void transfers_wake(transfers *t)
{
    curl_multi_wakeup(t->multi);
}

/* see transfer.h */
uint64_t transfers_reading_ms(const transfers *t)
{
    return t->reading_ms;
}

/* see transfer.h */
const char *transfers_reason(const transfers *t)
{
    return t->reason;
}

/* ---- What came of them ----------------------------------------------------------------------- */

static int err_of(CURLcode code)
{
    switch ((int)code) {
    case CURLE_OPERATION_TIMEDOUT: return PH_ERR_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH: return PH_ERR_TLS;
    default: return PH_ERR_NETWORK; /* also a handshake that broke: that may be the line's fault */
    }
}

static void make_failure(transfers *t, const transfer *x, int err, ph_event *out)
{
    bool unreadable = err == PH_ERR_FILE_UNREADABLE || err == PH_ERR_FILE_CHANGED;
    out->kind = unreadable ? PH_EVENT_UNREADABLE : PH_EVENT_FAILED;
    out->err = err;
    ph_text_copy(t->reason, sizeof t->reason, ph_str_from(x->why ? x->why : x->reason));
}

/* Not all that libcurl takes for an answer is one. */
static void judge(transfer *x)
{
    if (!x->head_ended) /* libcurl takes half a head for one */
        refuse(x, "the answer's head was cut off");
    if (x->err == PH_OK && status_of(x) / 100 == 2 && x->whole && says_nothing(x, make_headers(x)))
        x->err = PH_ERR_NOT_S3;
}

/* The request is over: what it was, or what it was not. It is kept while the event is in use. */
static void end(transfers *t, transfer *x, CURLcode code, ph_event *out)
{
    long status = status_of(x);
    unlink_transfer(t, x);
    t->ended = x;
    *out = (ph_event){.id = x->id};
    if (code != CURLE_OK && !x->reason[0])
        snprintf(x->reason, sizeof x->reason, "%s", curl_easy_strerror(code));
    if (x->err != PH_OK) {
        make_failure(t, x, x->err, out);
    } else if (code != CURLE_OK) {
        make_failure(t, x, err_of(code), out);
    } else {
        out->kind = PH_EVENT_RESPONSE;
        out->status = (int)status;
        out->header_count = make_headers(x);
        out->headers = x->header;
        out->body = ph_buf_view(&x->body);
    }
}

/*
 * Has it been too quiet, or is the answer without end? Who takes a body by the byte keeps nothing alive.
 */
static bool is_overdue(transfer *x, uint64_t sent)
{
    curl_off_t connected = 0;
    uint64_t now = x->all->clock_ms;
    curl_easy_getinfo(x->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
    bool answering = x->head.len + x->body.len > 0;
    bool out = sent >= x->length;
    uint64_t moved = (sent >> CREEP_SHIFT) + out + x->head.len + x->body.len + (connected > 0);
    if (moved != x->moved) {
        x->moved = moved;
        x->moved_ms = now;
    }
    if (connected == 0)
        return false; /* libcurl watches over connecting */
    if (!x->out_ms && (out || answering))
        x->out_ms = now;
    bool waiting = out && !answering;
    uint32_t limit = waiting ? x->answer_ms : x->stall_ms;
    bool endless = x->out_ms && now - x->out_ms >= x->whole_ms;
    if (now - x->moved_ms < limit && !endless)
        return false;
    if (answering && endless)
        snprintf(x->reason, sizeof x->reason, "the answer had no end after %u seconds",
                 (unsigned)(x->whole_ms / 1000));
    else
        snprintf(x->reason, sizeof x->reason,
                 waiting ? "no answer for %u seconds" : "nothing moved for %u seconds",
                 (unsigned)(limit / 1000));
    return true;
}

static uint64_t count_sent(const transfer *x)
{
    curl_off_t sent = 0;
    curl_easy_getinfo(x->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    return sent > 0 ? (uint64_t)sent : 0;
}

/* A kept connection was dead, and libcurl saw so in the middle of a body: it connects anew only before. */
static bool was_dead(const transfer *x, CURLcode code)
{
    long connects = 1;
    curl_easy_getinfo(x->easy, CURLINFO_NUM_CONNECTS, &connects);
    return code == CURLE_SEND_ERROR && x->from_file && connects == 0 && x->head.len == 0;
}

/*
 * While nobody looks, libcurl's clock for connecting runs on, and servers give up waiting. As nothing was
 * sent, to connect anew is no other try, and harmless even where the cause was another.
 */
static bool was_frozen(transfer *x, CURLcode code)
{
    curl_off_t connected = 0;
    curl_easy_getinfo(x->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
    /* Nothing but connecting is timed by libcurl; the time is there if a kept connection was dead. */
    bool connecting = connected == 0 || code == CURLE_OPERATION_TIMEDOUT;
    return connecting && x->all->unseen_ms - x->unseen_ms >= FROZEN_MS;
}

static bool begin_anew(transfer *x, CURLcode code)
{
    transfers *t = x->all;
    if (x->err != PH_OK || x->anew == MOST_ANEW || !(was_dead(x, code) || was_frozen(x, code)))
        return false;
    x->anew++;
    x->unseen_ms = t->unseen_ms;
    x->moved_ms = t->clock_ms;
    x->out_ms = 0;
    return on_seek(x, 0, SEEK_SET) == CURL_SEEKFUNC_OK &&
           curl_multi_remove_handle(t->multi, x->easy) == CURLM_OK &&
           curl_multi_add_handle(t->multi, x->easy) == CURLM_OK;
}

static bool take_ended(transfers *t, ph_event *out)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(t->multi, &left));) {
        transfer *x = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode code = m->data.result; /* `m` is gone with what begins anew */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&x);
        if (code == CURLE_OK)
            judge(x);
        if (code == CURLE_OK && x->err == PH_OK) {
            end(t, x, code, out);
            return true;
        }
        if (!begin_anew(x, code)) {
            x->failed = true;
            x->code = code;
        }
    }
    return false;
}

static bool take_failed(transfers *t, ph_event *out)
{
    for (transfer *x = t->list; x; x = x->next) {
        if (!x->failed)
            continue;
        end(t, x, x->code, out);
        return true;
    }
    return false;
}

/* see transfer.h */
bool transfers_take(transfers *t, ph_event *out)
{
    transfer_free(t->ended);
    t->ended = NULL;
    if (take_ended(t, out))
        return true;
    for (transfer *x = t->list; x; x = x->next) {
        uint64_t sent = count_sent(x);
        if (x->failed)
            continue;
        if (is_overdue(x, sent)) {
            x->failed = true;
            x->err = PH_ERR_TIMEOUT;
            x->code = CURLE_OPERATION_TIMEDOUT;
        } else if (x->from_file && sent != x->sent) {
            x->sent = sent;
            *out = (ph_event){.kind = PH_EVENT_SENT, .id = x->id, .bytes = sent};
            return true;
        }
    }
    return take_failed(t, out);
}
