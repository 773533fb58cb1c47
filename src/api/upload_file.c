/* SPDX-License-Identifier: MIT
 *
 * See upload_file.h. The properties an object can be given are those of the core's properties.def;
 * which of them a page may choose, the operator says: a storage class costs money, an ACL or a
 * redirect changes who sees what.
 */
#include "upload_file.h"

#include <string.h>

#include "core/checksum.h"
#include "core/str.h"

#define MAX_TYPE 255
#define MAX_VALUE 1024
#define MAX_METADATA 2048 /* of S3, names and values together */
#define META "x-amz-meta-"

static const struct property {
    const char *option, *header;
} properties[] = {
#define X(name, option, header) {option, header},
#include "core/properties.def"
#undef X
};

static api_verdict bad(const char *detail)
{
    return (api_verdict){API_BAD_REQUEST, detail};
}

static const api_verdict good = {API_NO_PROBLEM, NULL};

/* ---- Types ----------------------------------------------------------------------------------- */

/* A media type is one token, "/", another and perhaps parameters: here only what HTTP would break.
 * A list is none: browsers take its last. But parameters may have commas, as codecs=vp8,opus. */
bool api_is_type(ph_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < ' ' || s.ptr[i] > '~')
            return false;
    ph_str more = s;
    ph_str_cut(&more, ',');
    if (ph_str_find(more, '/') < more.len)
        return false;
    size_t slash = ph_str_find(s, '/');
    return s.len <= MAX_TYPE && slash > 0 && slash + 1 < s.len && ph_str_trim(s).len == s.len;
}

/* see upload_file.h */
bool api_type_is_taken(const api_config *config, ph_str type)
{
    if (!config->types.ptr)
        return true;
    type = ph_str_trim((ph_str){type.ptr, ph_str_find(type, ';')});
    for (ph_str rest = config->types; rest.ptr;) {
        ph_str allowed = ph_str_trim(ph_str_cut(&rest, ','));
        bool all = ph_str_ends(allowed, PH_STR("/*"));
        ph_str begin = {allowed.ptr, allowed.len - (all ? 1 : 0)};
        if (all && type.len > begin.len &&
            ph_str_equal_nocase((ph_str){type.ptr, begin.len}, begin))
            return true;
        if (!all && ph_str_equal_nocase(type, allowed))
            return true;
    }
    return false;
}

/* ---- Properties ------------------------------------------------------------------------------ */

static bool is_allowed(const api_config *config, const char *option)
{
    for (ph_str rest = config->properties; rest.ptr;)
        if (ph_str_equal(ph_str_trim(ph_str_cut(&rest, ',')), ph_str_from(option)))
            return true;
    return false;
}

/* Can it stand in a header, and be signed as it is? */
static bool is_value(ph_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < ' ' || s.ptr[i] > '~')
            return false;
    return s.len > 0 && s.len <= MAX_VALUE && ph_str_trim(s).len == s.len;
}

static bool add(api_file *f, ph_str header, ph_str value)
{
    if (f->property_count == API_FILE_PROPERTIES)
        return false;
    f->properties[f->property_count++] = (ph_header){header, value};
    return true;
}

static api_verdict read_plain(const api_config *config, const ph_json *document, api_file *f)
{
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
        const struct property *p = &properties[i];
        const ph_json *value = ph_json_member(document, p->option);
        if (!value || strcmp(p->option, "contentType") == 0) /* that is `type` here */
            continue;
        if (!is_allowed(config, p->option))
            return (api_verdict){API_FORBIDDEN, "a property of the file may not be set by clients"};
        if (!is_value(ph_json_text(value)))
            return bad("a property of the file is not a text of 1 to 1,024 visible ASCII "
                       "characters");
        if (!add(f, ph_str_from(p->header), ph_json_text(value)))
            return bad("the file has too many properties");
    }
    return good;
}

static bool is_meta_name(ph_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return s.len > 0 && s.len <= 128;
}

static api_verdict read_metadata(const api_config *config, const ph_json *document, api_file *f)
{
    const ph_json *metadata = ph_json_member(document, "metadata");
    if (!metadata)
        return good;
    if (!is_allowed(config, "metadata"))
        return (api_verdict){API_FORBIDDEN, "a property of the file may not be set by clients"};
    if (!ph_json_is_object(metadata))
        return bad("metadata: has to be an object");
    ph_buf_reserve(&f->names, 2 * MAX_METADATA + 1); /* views into it must stay valid */
    size_t total = 0;
    for (const ph_json *m = ph_json_first(metadata); m; m = ph_json_next(m)) {
        ph_str name = ph_json_name(m), value = ph_json_text(m);
        if (!is_meta_name(name))
            return bad("metadata: a name is not of 1 to 128 of a-z, 0-9, \"-\" and \"_\"");
        if (!is_value(value))
            return bad("metadata: a value is not a text of 1 to 1,024 visible ASCII characters");
        total += name.len + value.len;
        if (total > MAX_METADATA)
            return bad("metadata: is more than 2 KiB");
        size_t from = f->names.len;
        ph_buf_cstr(&f->names, META);
        ph_buf_str(&f->names, name);
        ph_str header = ph_buf_view_from(&f->names, from);
        ph_buf_char(&f->names, '\0');
        if (f->names.err != PH_OK)
            return (api_verdict){API_INTERNAL, NULL};
        if (!add(f, header, value))
            return bad("the file has too many properties");
    }
    return good;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static api_verdict read_checksum(const ph_json *value, api_file *out)
{
    if (!ph_json_is_object(value))
        return bad("checksum: has to be an object with algorithm and value");
    ph_alg alg = ph_alg_by_name(ph_json_member_text(value, "algorithm"));
    if (alg == PH_ALG_NONE)
        return bad("checksum: the algorithm is unknown");
    out->checksum_text = ph_json_member_text(value, "value");
    if (ph_digest_parse(alg, out->checksum_text, &out->checksum) != PH_OK)
        return bad("checksum: the value is not base64 of this algorithm's length");
    return good;
}

static api_verdict read_upload_type(const ph_json *document, api_file *out)
{
    const ph_json *value = ph_json_member(document, "uploadType");
    if (!value)
        return good;
    ph_str name = ph_json_text(value);
    if (ph_str_equal(name, PH_STR("post")))
        out->upload_type = API_UPLOAD_POST;
    else if (ph_str_equal(name, PH_STR("multipart")))
        out->upload_type = API_UPLOAD_MULTIPART;
    else if (!ph_str_equal(name, PH_STR("put"))) /* "put" is what is preferred anyway */
        return bad("uploadType: is not one of put, multipart, post");
    return good;
}

static api_verdict read_basics(const api_config *config, const ph_json *document, api_file *out)
{
    if (!ph_json_is_object(document))
        return bad("the body has to be a JSON object");
    out->name = ph_json_member_text(document, "name");
    if (!out->name.ptr)
        return bad("name: has to be a string");
    if (!ph_json_u64(ph_json_member(document, "size"), &out->size))
        return bad("size: has to be a whole number of bytes");
    if (out->size > config->max_size)
        return (api_verdict){API_TOO_LARGE, NULL};
    const ph_json *type = ph_json_member(document, "type");
    out->type = ph_json_text(type);
    if (type && (!out->type.ptr || (out->type.len > 0 && !api_is_type(out->type))))
        return bad("type: has to be a media type, such as video/mp4");
    if (out->type.len == 0)
        out->type = (ph_str){NULL, 0}; /* browsers say "" where they do not know it */
    if (!api_type_is_taken(config, out->type))
        return (api_verdict){API_TYPE_REFUSED, NULL};
    return good;
}

/* see upload_file.h */
api_verdict api_file_read(const api_config *config, const ph_json *document, api_file *out)
{
    memset(out, 0, sizeof *out);
    ph_buf_init(&out->names, 4 * MAX_METADATA);
    api_verdict verdict = read_basics(config, document, out);
    const ph_json *checksum = ph_json_member(document, "checksum");
    if (verdict.problem == API_NO_PROBLEM && checksum)
        verdict = read_checksum(checksum, out);
    if (verdict.problem == API_NO_PROBLEM)
        verdict = read_upload_type(document, out);
    if (verdict.problem == API_NO_PROBLEM)
        verdict = read_plain(config, document, out);
    if (verdict.problem == API_NO_PROBLEM)
        verdict = read_metadata(config, document, out);
    return verdict;
}

/* see upload_file.h */
void api_file_clear(api_file *f)
{
    ph_buf_clear(&f->names);
}
