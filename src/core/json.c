/* SPDX-License-Identifier: MIT
 *
 * json - cJSON builds the tree, but it is lenient (control bytes, broken UTF-8, "01", "\u0000" that
 * cuts a text short) and recursive. So the text is checked first, by RFC 8259 to the letter and
 * without recursion: two readers of one token must not see two things in it. What passes is JSON of
 * at most MAX_DEPTH levels, and if cJSON then gives nothing, memory was short.
 */
#include "json.h"

#include "str.h"

#include <cJSON.h>
#include <float.h>
#include <string.h>

#define MAX_SIZE ((size_t)1 << 20)
#define MAX_DEPTH 32
#define MAX_MEMBERS 256   /* of one object: each name is compared with each */
#define MAX_NUMBER 63     /* digits and all; cJSON copies a number into 64 bytes */
#define MAX_EXPONENT 1000 /* any number is 0 or infinite there */

/* ---- Is it JSON? ------------------------------------------------------------------------------- */

typedef struct scan {
    const char *at, *end;
} scan;

static bool next_is(const scan *s, char c)
{
    return s->at < s->end && *s->at == c;
}

static bool take(scan *s, char c)
{
    if (!next_is(s, c))
        return false;
    s->at++;
    return true;
}

static void skip_space(scan *s)
{
    while (take(s, ' ') || take(s, '\t') || take(s, '\n') || take(s, '\r'))
        ;
}

static bool take_digits(scan *s)
{
    const char *start = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > start;
}

static bool take_number(scan *s)
{
    const char *start = s->at;
    take(s, '-');
    if (!take(s, '0') && !take_digits(s))
        return false;
    if (take(s, '.') && !take_digits(s))
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        if (!take_digits(s))
            return false;
    }
    return s->at - start <= MAX_NUMBER;
}

/* The four hex digits behind "\u", -1 if they are none. */
static long take_hex4(scan *s)
{
    long value = 0;
    if (s->end - s->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *s->at++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static bool take_escape(scan *s)
{
    if (s->at < s->end && *s->at != '\0' && strchr("\"\\/bfnrt", *s->at)) {
        s->at++;
        return true;
    }
    if (!take(s, 'u'))
        return false;
    long unit = take_hex4(s);
    if (unit < 0xd800 || unit > 0xdfff)
        return unit > 0; /* a NUL would end the text in C before its end in JSON */
    if (unit > 0xdbff || !take(s, '\\') || !take(s, 'u'))
        return false;
    long low = take_hex4(s);
    return low >= 0xdc00 && low <= 0xdfff;
}

static bool take_string(scan *s)
{
    if (!take(s, '"'))
        return false;
    while (s->at < s->end) {
        unsigned char c = (unsigned char)*s->at++;
        if (c == '"')
            return true;
        if (c < 0x20 || (c == '\\' && !take_escape(s)))
            return false;
    }
    return false;
}

static bool take_word(scan *s, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return false;
    s->at += len;
    return true;
}

static bool take_name(scan *s)
{
    skip_space(s);
    if (!take_string(s))
        return false;
    skip_space(s);
    return take(s, ':');
}

/* One value after the other; `closers` holds the brackets that are open. */
static bool is_json(ph_str text)
{
    scan s = {text.ptr, text.ptr + text.len};
    char closers[MAX_DEPTH];
    size_t depth = 0;
    for (;;) {
        skip_space(&s);
        if (next_is(&s, '{') || next_is(&s, '[')) {
            if (depth == MAX_DEPTH)
                return false;
            closers[depth++] = *s.at++ == '{' ? '}' : ']';
            skip_space(&s);
            if (!next_is(&s, closers[depth - 1])) {
                if (closers[depth - 1] == '}' && !take_name(&s))
                    return false;
                continue;
            }
        } else if (!take_word(&s, "true") && !take_word(&s, "false") && !take_word(&s, "null") &&
                   !(next_is(&s, '"') ? take_string(&s) : take_number(&s))) {
            return false;
        }
        /* a value has ended, or an empty array or object is about to */
        for (skip_space(&s); depth > 0 && take(&s, closers[depth - 1]); skip_space(&s))
            depth--;
        if (depth == 0)
            return s.at == s.end;
        if (!take(&s, ','))
            return false;
        if (closers[depth - 1] == '}' && !take_name(&s))
            return false;
    }
}

/* ---- The tree ---------------------------------------------------------------------------------- */

/* A walk over all values of a document, without recursion: is_json has bounded the depth. */
typedef struct walk {
    cJSON *at;
    cJSON *parents[MAX_DEPTH];
    size_t depth;
} walk;

static cJSON *walk_next(walk *w)
{
    cJSON *v = w->at;
    if (v->child) {
        w->parents[w->depth++] = v;
        w->at = v->child;
        return w->at;
    }
    while (!v->next) {
        if (w->depth == 0)
            return NULL;
        v = w->parents[--w->depth];
    }
    w->at = v->next;
    return w->at;
}

static bool has_distinct_names(const cJSON *object)
{
    size_t count = 0;
    for (const cJSON *a = object->child; a; a = a->next) {
        if (++count > MAX_MEMBERS)
            return false;
        for (const cJSON *b = object->child; b != a; b = b->next) {
            if (strcmp(a->string, b->string) == 0)
                return false;
        }
    }
    return true;
}

/* see json.h */
void *ph_json_no_realloc(void *memory, size_t size)
{
    (void)memory, (void)size;
    return NULL;
}

/* see json.h */
double ph_json_number(const char *text, char **end)
{
    const char *at = text;
    bool negative = *at == '-', fraction = false;
    uint64_t digits = 0;
    int places = 0, exponent = 0;
    for (at += negative; (*at >= '0' && *at <= '9') || (*at == '.' && !fraction); at++) {
        if (*at == '.') {
            fraction = true;
        } else if (digits < (UINT64_MAX - 9) / 10) {
            digits = digits * 10 + (uint64_t)(*at - '0');
            places -= fraction;
        } else {
            places += !fraction; /* beyond what a double can tell apart */
        }
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        bool small = *at == '-';
        for (at += *at == '-' || *at == '+'; *at >= '0' && *at <= '9'; at++)
            exponent = exponent < MAX_EXPONENT ? exponent * 10 + (*at - '0') : MAX_EXPONENT;
        exponent = small ? -exponent : exponent;
    }
    double value = (double)digits, power = 1;
    exponent += places;
    for (int n = exponent < 0 ? -exponent : exponent; n > 0 && value > 0 && value <= DBL_MAX; n--) {
        power *= 10;
        if (n == 1 || power >= 1e22) { /* the largest power of ten that a double holds exactly */
            value = exponent < 0 ? value / power : value * power;
            power = 1;
        }
    }
    *end = (char *)(uintptr_t)at;
    return negative ? -value : value;
}

int ph_json_parse(ph_str text, ph_json **out)
{
    *out = NULL;
    if (text.len > MAX_SIZE)
        return PH_ERR_TOO_LONG;
    if (text.len == 0 || !ph_str_is_utf8(text) || !is_json(text))
        return PH_ERR_BAD_JSON;
    cJSON *document = cJSON_ParseWithLengthOpts(text.ptr, text.len, NULL, 0);
    if (!document)
        return PH_ERR_NOMEM;
    walk w = {.at = document};
    for (const cJSON *v = document; v; v = walk_next(&w)) {
        if (cJSON_IsObject(v) && !has_distinct_names(v)) {
            ph_json_free((ph_json *)document);
            return PH_ERR_BAD_JSON;
        }
    }
    *out = (ph_json *)document;
    return PH_OK;
}

void ph_json_free(ph_json *document)
{
    if (!document)
        return;
    walk w = {.at = (cJSON *)document};
    for (cJSON *v = w.at; v; v = walk_next(&w)) {
        if (v->valuestring)
            ph_wipe(v->valuestring, strlen(v->valuestring));
        if (v->string)
            ph_wipe(v->string, strlen(v->string));
    }
    cJSON_Delete((cJSON *)document);
}

/* A ph_json is a cJSON that only this file looks into. */
static const cJSON *inner(const ph_json *value)
{
    return (const cJSON *)value;
}

static const ph_json *outer(const cJSON *value)
{
    return (const ph_json *)value;
}

const ph_json *ph_json_member(const ph_json *value, const char *name)
{
    if (!ph_json_is_object(value))
        return NULL;
    const cJSON *v = inner(value)->child;
    while (v && strcmp(v->string, name) != 0)
        v = v->next;
    return outer(v);
}

const ph_json *ph_json_first(const ph_json *value)
{
    return value ? outer(inner(value)->child) : NULL;
}

const ph_json *ph_json_next(const ph_json *value)
{
    return value ? outer(inner(value)->next) : NULL;
}

ph_str ph_json_name(const ph_json *value)
{
    return ph_str_from(value ? inner(value)->string : NULL);
}

ph_str ph_json_text(const ph_json *value)
{
    return ph_str_from(cJSON_IsString(inner(value)) ? inner(value)->valuestring : NULL);
}

ph_str ph_json_member_text(const ph_json *value, const char *name)
{
    return ph_json_text(ph_json_member(value, name));
}

bool ph_json_u64(const ph_json *value, uint64_t *out)
{
    uint64_t whole;
    if (!ph_json_floor(value, &whole) || inner(value)->valuedouble != (double)whole)
        return false;
    *out = whole;
    return true;
}

bool ph_json_floor(const ph_json *value, uint64_t *out)
{
    if (!cJSON_IsNumber(inner(value)))
        return false;
    double number = inner(value)->valuedouble;
    if (!(number >= 0 && number < 9007199254740992.0))
        return false;
    *out = (uint64_t)number;
    return true;
}

bool ph_json_is_object(const ph_json *value)
{
    return cJSON_IsObject(inner(value));
}

bool ph_json_is_array(const ph_json *value)
{
    return cJSON_IsArray(inner(value));
}

bool ph_json_is_true(const ph_json *value)
{
    return cJSON_IsTrue(inner(value));
}

bool ph_json_is_null(const ph_json *value)
{
    return !value || cJSON_IsNull(inner(value));
}
