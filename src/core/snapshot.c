/* SPDX-License-Identifier: MIT
 *
 * Snapshots lie about for days in places that others can write to: a browser's database, a file. So
 * a snapshot carries a checksum over itself, and is read strictly: what was understood is written
 * again and must give the same bytes. That leaves no second spelling, no unknown member, no type
 * that was taken for another. (Against malice it does not guard: who can write here can upload.)
 */
#include "snapshot.h"

#include <string.h>

#include "checksum.h"
#include "endpoint.h"
#include "enc.h"
#include "json_out.h"
#include "request.h"
#include "str.h"

#define VERSION 1
#define MAX_NAME 1024u
#define MAX_UPLOAD_ID 2048u

/* The last member and the end of the object, behind whatever it is computed over. */
#define CHECK_BEGIN ",\"check\":\""
#define CHECK_DIGITS 16u
#define CHECK_LEN (sizeof CHECK_BEGIN - 1 + CHECK_DIGITS + 2)

static const char *const addressings[] = {"auto", "virtual", "path"};
static const char *const payloads[] = {"auto", "unsigned", "signed"};

/* ---- Writing ---------------------------------------------------------------------------------- */

static void add_text(ph_buf *b, const char *name, ph_str s)
{
    if (s.len)
        ph_json_add_text(b, name, s);
}

static void add_true(ph_buf *b, const char *name, bool value)
{
    if (value)
        ph_json_add_bool(b, name, true);
}

static void add_object(ph_buf *b, const ph_object *o)
{
    ph_json_open(b, "object");
    for (size_t i = 0; i < PH_PROP_COUNT; i++)
        add_text(b, ph_property_option((ph_property)i), o->property[i]);
    ph_json_close(b);
    ph_json_open_array(b, "metadata");
    for (size_t i = 0; i < o->metadata_count; i++) {
        ph_json_add_text(b, NULL, o->metadata[i].name);
        ph_json_add_text(b, NULL, o->metadata[i].value.ptr ? o->metadata[i].value : PH_STR(""));
    }
    ph_json_close_array(b);
    add_true(b, "overwrite", o->overwrite);
}

/* Names are the file system's: any bytes, of any length. They only inform. */
static bool is_fit(ph_str name)
{
    return name.len <= MAX_NAME && ph_str_is_utf8(name) && ph_str_find(name, '\0') == name.len;
}

/* Allocates nothing, so that whether a snapshot is whole is never a question of memory. */
static void make_check(ph_str body, char out[CHECK_LEN])
{
    ph_hash h;
    ph_digest d;
    ph_hash_init(&h, PH_ALG_CRC64NVME);
    ph_hash_update(&h, body.ptr, body.len);
    ph_hash_digest(&h, &d);
    memcpy(out, CHECK_BEGIN, sizeof CHECK_BEGIN - 1);
    out += sizeof CHECK_BEGIN - 1;
    for (size_t i = 0; i < d.len; i++) {
        *out++ = "0123456789abcdef"[d.bytes[i] >> 4];
        *out++ = "0123456789abcdef"[d.bytes[i] & 15];
    }
    memcpy(out, "\"}", 2);
}

/* see snapshot.h */
void ph_snapshot_write(const ph_upload_options *o, ph_str upload_id, bool opaque_etags, ph_buf *out)
{
    const ph_target *t = &o->target;
    size_t from = out->len;
    ph_json_open(out, NULL);
    ph_json_add_u64(out, "parthaul", VERSION);
    if (is_fit(o->name))
        add_text(out, "name", o->name);
    ph_json_add_u64(out, "size", o->size);
    add_text(out, "bucket", t->bucket);
    add_text(out, "key", t->key);
    add_text(out, "region", t->region);
    add_text(out, "endpoint", t->endpoint);
    ph_json_add_cstr(out, "addressing", addressings[t->addressing]);
    add_true(out, "dualstack", t->dualstack);
    add_true(out, "accelerate", t->accelerate);
    ph_json_add_u64(out, "partSize", o->part_size);
    ph_json_add_cstr(out, "checksum", ph_alg_name(o->alg));
    ph_json_add_cstr(out, "checksumType", ph_checksum_type_name(o->type));
    ph_json_add_cstr(out, "payload", payloads[o->payload]);
    add_object(out, &o->object);
    add_text(out, "uploadId", upload_id);
    add_true(out, "opaqueEtags", opaque_etags);
    ph_json_add_lacks(out, "serverLacks", o->server_lacks);
    char check[CHECK_LEN];
    make_check(ph_buf_view_from(out, from), check);
    ph_buf_add(out, check, sizeof check);
}

/* ---- Reading ---------------------------------------------------------------------------------- */

/* Its place in a list; 0 for any other text, which is found out when it is written again. */
static unsigned place_of(ph_str text, const char *const *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (ph_str_equal(text, ph_str_from(list[i])))
            return i;
    return 0;
}

static uint64_t number(const ph_json *doc, const char *name)
{
    uint64_t n = 0;
    ph_json_u64(ph_json_member(doc, name), &n);
    return n;
}

static bool flag(const ph_json *doc, const char *name)
{
    return ph_json_is_true(ph_json_member(doc, name));
}

static void read_object(const ph_json *doc, ph_snapshot *s)
{
    ph_object *o = &s->options.object;
    const ph_json *list = ph_json_member(doc, "object");
    for (const ph_json *p = ph_json_first(list); p; p = ph_json_next(p)) {
        ph_property property = ph_property_by_option(ph_json_name(p));
        if (property != PH_PROP_COUNT)
            o->property[property] = ph_json_text(p);
    }
    const ph_json *name = ph_json_first(ph_json_member(doc, "metadata"));
    while (name && ph_json_next(name) && o->metadata_count < PH_SNAPSHOT_METADATA) {
        const ph_json *value = ph_json_next(name);
        s->metadata[o->metadata_count++] = (ph_header){ph_json_text(name), ph_json_text(value)};
        name = ph_json_next(value);
    }
    o->metadata = s->metadata;
    o->overwrite = flag(doc, "overwrite");
}

static void read_members(const ph_json *doc, ph_snapshot *s)
{
    ph_upload_options *o = &s->options;
    o->target = (ph_target){
        .bucket = ph_json_member_text(doc, "bucket"),
        .key = ph_json_member_text(doc, "key"),
        .region = ph_json_member_text(doc, "region"),
        .endpoint = ph_json_member_text(doc, "endpoint"),
        .addressing =
            (ph_addressing)place_of(ph_json_member_text(doc, "addressing"), addressings, 3),
        .dualstack = flag(doc, "dualstack"),
        .accelerate = flag(doc, "accelerate"),
    };
    o->name = ph_json_member_text(doc, "name");
    o->size = number(doc, "size");
    o->part_size = number(doc, "partSize");
    o->alg = ph_alg_by_name(ph_json_member_text(doc, "checksum"));
    ph_str type = ph_json_member_text(doc, "checksumType");
    o->type = ph_str_equal(type, PH_STR("FULL_OBJECT")) ? PH_TYPE_FULL_OBJECT
              : ph_str_equal(type, PH_STR("COMPOSITE")) ? PH_TYPE_COMPOSITE
                                                        : PH_TYPE_NONE;
    o->payload = (ph_payload)place_of(ph_json_member_text(doc, "payload"), payloads, 3);
    read_object(doc, s);
    s->upload_id = ph_json_member_text(doc, "uploadId");
    s->opaque_etags = flag(doc, "opaqueEtags");
    const ph_json *lack = ph_json_first(ph_json_member(doc, "serverLacks"));
    for (; lack; lack = ph_json_next(lack))
        o->server_lacks |= ph_lack_named(ph_json_text(lack));
}

/* Could an upload be like this? Only one of several parts is kept. */
static bool makes_sense(const ph_snapshot *s)
{
    const ph_upload_options *o = &s->options;
    ph_plan plan;
    ph_checksum_type type;
    return ph_plan_make(o->size, o->part_size, &plan) == PH_OK && plan.part_count > 1 &&
           plan.part_size == o->part_size &&
           ph_checksum_type_choose(o->alg, o->type, &type) == PH_OK && type == o->type &&
           ph_bucket_check(o->target.bucket) == PH_OK && ph_key_check(o->target.key) == PH_OK &&
           ph_object_check(&o->object) == PH_OK && s->upload_id.len <= MAX_UPLOAD_ID;
}

static int check_again(const ph_snapshot *s, ph_str text)
{
    ph_buf again;
    ph_buf_init(&again, PH_SNAPSHOT_MAX);
    ph_snapshot_write(&s->options, s->upload_id, s->opaque_etags, &again);
    int err = again.err == PH_ERR_NOMEM                 ? PH_ERR_NOMEM
              : ph_str_equal(ph_buf_view(&again), text) ? PH_OK
                                                        : PH_ERR_SNAPSHOT_DAMAGED;
    ph_buf_clear(&again);
    return err;
}

/* Does the text end with the right checksum over what comes before? */
static bool is_whole(ph_str text)
{
    if (text.len > PH_SNAPSHOT_MAX || text.len < CHECK_LEN)
        return false;
    char check[CHECK_LEN];
    size_t body = text.len - CHECK_LEN;
    make_check((ph_str){text.ptr, body}, check);
    return ph_str_equal(ph_str_skip(text, body), (ph_str){check, sizeof check});
}

/* see snapshot.h */
int ph_snapshot_read(ph_str text, ph_snapshot *out)
{
    *out = (ph_snapshot){0};
    if (!is_whole(text))
        return PH_ERR_SNAPSHOT_DAMAGED;
    int err = ph_json_parse(text, &out->document);
    if (err != PH_OK)
        return err == PH_ERR_NOMEM ? err : PH_ERR_SNAPSHOT_DAMAGED;
    if (number(out->document, "parthaul") > VERSION) {
        err = PH_ERR_SNAPSHOT_NEWER;
    } else {
        read_members(out->document, out);
        err = makes_sense(out) ? check_again(out, text) : PH_ERR_SNAPSHOT_DAMAGED;
    }
    if (err != PH_OK)
        ph_snapshot_clear(out);
    return err;
}

/* see snapshot.h */
void ph_snapshot_clear(ph_snapshot *s)
{
    ph_json_free(s->document);
    *s = (ph_snapshot){0};
}
