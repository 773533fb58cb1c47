/* SPDX-License-Identifier: MIT
 *
 * Tests snapshot: what is written is read, to the byte; whatever is cut short or has one bit flipped
 * is refused; memory may fail anywhere; and what makes no sense is no snapshot, whole as it may be.
 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "core/checksum.h"
#include "core/snapshot.h"
#include "core/str.h"

#define MIB (UINT64_C(1) << 20)
#define MAX_TEXT 8192

static const ph_header metadata[] = {{BYTES("a"), BYTES("1")}, {BYTES("b-c"), BYTES("")}};

static ph_upload_options options_of(void)
{
    ph_upload_options o = {
        .target = {.bucket = BYTES("bkt"),
                   .key = BYTES("a/\xc3\xbc \"k\""),
                   .region = BYTES("eu-west-1"),
                   .endpoint = BYTES("https://s3.example"),
                   .addressing = PH_ADDRESSING_PATH,
                   .dualstack = true,
                   .accelerate = true},
        .size = 20 * MIB,
        .part_size = 5 * MIB,
        .name = BYTES("video.mp4"),
        .alg = PH_ALG_SHA256,
        .type = PH_TYPE_COMPOSITE,
        .payload = PH_PAYLOAD_SIGNED,
        .server_lacks = PH_LACK_CHECKSUM | PH_LACK_IF_NONE_MATCH,
        .object = {.metadata = metadata, .metadata_count = COUNT(metadata), .overwrite = true},
    };
    for (size_t i = 0; i < PH_PROP_COUNT; i++)
        o.object.property[i] = PH_STR("\"value\"");
    return o;
}

static ph_upload_options plain_options(void)
{
    return (ph_upload_options){.target = {.bucket = BYTES("bkt"), .key = BYTES("k")},
                               .size = 20 * MIB,
                               .part_size = 5 * MIB,
                               .alg = PH_ALG_CRC64NVME,
                               .type = PH_TYPE_FULL_OBJECT};
}

static ph_str written(const ph_upload_options *o, ph_str upload_id, char text[MAX_TEXT])
{
    ph_buf b;
    ph_buf_init(&b, MAX_TEXT);
    ph_snapshot_write(o, upload_id, upload_id.len > 1, &b);
    CHECK_INT(b.err, PH_OK);
    ph_str s = {text, b.len};
    memcpy(text, b.ptr, b.len);
    ph_buf_clear(&b);
    return s;
}

static int read_of(ph_str text)
{
    static const ph_snapshot empty;
    ph_snapshot s;
    int err = ph_snapshot_read(text, &s);
    if (err != PH_OK)
        CHECK_MEM(&s, &empty, sizeof s);
    ph_snapshot_clear(&s);
    CHECK_MEM(&s, &empty, sizeof s);
    return err;
}

/* Put the right checksum behind a text that was written by hand: all but its last member. */
static ph_str sealed_in(const char *body, char *text, size_t size)
{
    ph_hash h;
    ph_digest d;
    ph_hash_init(&h, PH_ALG_CRC64NVME);
    ph_hash_update(&h, body, strlen(body));
    ph_hash_digest(&h, &d);
    int n = snprintf(text, size, "%s,\"check\":\"", body);
    for (size_t i = 0; i < d.len; i++)
        n += snprintf(text + n, size - (size_t)n, "%02x", d.bytes[i]);
    n += snprintf(text + n, size - (size_t)n, "\"}");
    return (ph_str){text, (size_t)n};
}

static ph_str sealed(const char *body, char text[MAX_TEXT])
{
    return sealed_in(body, text, MAX_TEXT);
}

static void same(ph_str got, ph_str want)
{
    CHECK(ph_str_equal(got, want));
}

static void test_round(void)
{
    char text[MAX_TEXT];
    for (int full = 0; full < 2; full++) {
        test_case(full ? "all that can be said" : "only what must be");
        ph_upload_options o = full ? options_of() : plain_options();
        ph_str id = full ? PH_STR("U\"2\\") : (ph_str){NULL, 0};
        ph_snapshot s;
        if (!CHECK_INT(ph_snapshot_read(test_guard_str(written(&o, id, text)), &s), PH_OK))
            continue;
        const ph_upload_options *r = &s.options;
        same(r->target.bucket, o.target.bucket);
        same(r->target.key, o.target.key);
        same(r->target.region, o.target.region);
        same(r->target.endpoint, o.target.endpoint);
        CHECK_INT(r->target.addressing, o.target.addressing);
        CHECK(r->target.dualstack == o.target.dualstack);
        CHECK(r->target.accelerate == o.target.accelerate);
        CHECK_U64(r->size, o.size);
        CHECK_U64(r->part_size, o.part_size);
        same(r->name, o.name);
        CHECK_INT(r->alg, o.alg);
        CHECK_INT(r->type, o.type);
        CHECK_INT(r->payload, o.payload);
        CHECK_INT(r->server_lacks, o.server_lacks);
        CHECK(r->object.overwrite == o.object.overwrite);
        CHECK(s.opaque_etags == (full != 0));
        for (size_t i = 0; i < PH_PROP_COUNT; i++)
            same(r->object.property[i], o.object.property[i]);
        CHECK_U64(r->object.metadata_count, o.object.metadata_count);
        for (size_t i = 0; i < o.object.metadata_count; i++) {
            same(r->object.metadata[i].name, o.object.metadata[i].name);
            same(r->object.metadata[i].value, o.object.metadata[i].value);
        }
        same(s.upload_id, id);
        CHECK(!r->credentials.ptr && !r->snapshot.ptr && !r->keep && !r->seed);
        ph_snapshot_clear(&s);
    }
}

static void test_choices(void)
{
    char text[MAX_TEXT];
    for (int alg = 0; alg < PH_ALG_COUNT; alg++)
        for (int payload = 0; payload < 3; payload++)
            for (int addressing = 0; addressing < 3; addressing++) {
                test_case("choices %d %d %d", alg, payload, addressing);
                ph_upload_options o = plain_options();
                ph_snapshot s;
                o.alg = (ph_alg)alg;
                o.payload = (ph_payload)payload;
                o.target.addressing = (ph_addressing)addressing;
                CHECK_INT(ph_checksum_type_choose(o.alg, PH_TYPE_NONE, &o.type), PH_OK);
                CHECK_INT(ph_snapshot_read(written(&o, PH_STR("U"), text), &s), PH_OK);
                CHECK_INT(s.options.alg, o.alg);
                CHECK_INT(s.options.type, o.type);
                CHECK_INT(s.options.payload, o.payload);
                CHECK_INT(s.options.target.addressing, o.target.addressing);
                ph_snapshot_clear(&s);
            }
}

/* A name may be any bytes; it is left out rather than that all else is lost. */
static void test_names(void)
{
    static char longest[1025];
    char text[MAX_TEXT];
    memset(longest, 'n', sizeof longest);
    const struct {
        ph_str name;
        bool kept;
    } cases[] = {{PH_STR("\xff.bin"), false},
                 {PH_STR("a\0b"), false},
                 {{longest, 1025}, false},
                 {{longest, 1024}, true},
                 {PH_STR("\x01\"\\\xe2\x82\xac"), true}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("name %zu", i);
        ph_upload_options o = plain_options();
        ph_snapshot s;
        o.name = cases[i].name;
        CHECK_INT(ph_snapshot_read(written(&o, PH_STR("U"), text), &s), PH_OK);
        same(s.options.name, cases[i].kept ? o.name : PH_STR(""));
        ph_snapshot_clear(&s);
    }
}

static void test_damage(void)
{
    char text[MAX_TEXT], copy[MAX_TEXT + 1];
    ph_upload_options o = options_of();
    ph_str whole = written(&o, PH_STR("U"), text);
    test_case("cut short");
    for (size_t len = 0; len < whole.len; len++)
        CHECK_INT(read_of(test_guard_str((ph_str){whole.ptr, len})), PH_ERR_SNAPSHOT_DAMAGED);
    test_case("its beginning is missing");
    for (size_t from = 1; from < whole.len; from++)
        CHECK_INT(read_of(ph_str_skip(whole, from)), PH_ERR_SNAPSHOT_DAMAGED);
    test_case("a bit is flipped");
    for (size_t bit = 0; bit < 8 * whole.len; bit++) {
        memcpy(copy, whole.ptr, whole.len);
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        CHECK_INT(read_of((ph_str){copy, whole.len}), PH_ERR_SNAPSHOT_DAMAGED);
    }
    test_case("more behind it");
    memcpy(copy, whole.ptr, whole.len);
    for (int c = 0; c < 256; c++) {
        copy[whole.len] = (char)c;
        CHECK_INT(read_of((ph_str){copy, whole.len + 1}), PH_ERR_SNAPSHOT_DAMAGED);
    }
}

#define HEAD "{\"parthaul\":1,\"size\":20971520,\"bucket\":\"bkt\",\"key\":\"k\","
#define PLACE "\"addressing\":\"auto\","
#define REST                                                                            \
    "\"partSize\":5242880,\"checksum\":\"CRC64NVME\",\"checksumType\":\"FULL_OBJECT\"," \
    "\"payload\":\"auto\",\"object\":{},\"metadata\":[]"

/* Each has its right checksum. */
static void test_sense(void)
{
    static const struct {
        const char *what, *body;
        int err;
    } cases[] = {
        {"as it is written", HEAD PLACE REST, PH_OK},
        {"a later version", "{\"parthaul\":2,\"new\":[1]", PH_ERR_SNAPSHOT_NEWER},
        {"a much later one", "{\"parthaul\":9007199254740991", PH_ERR_SNAPSHOT_NEWER},
        {"no version", "{\"size\":1", PH_ERR_SNAPSHOT_DAMAGED},
        {"version 0", "{\"parthaul\":0", PH_ERR_SNAPSHOT_DAMAGED},
        {"no JSON", "{\"parthaul\":1,", PH_ERR_SNAPSHOT_DAMAGED},
        {"an unknown member", HEAD PLACE REST ",\"x\":1", PH_ERR_SNAPSHOT_DAMAGED},
        {"white space", HEAD " " PLACE REST, PH_ERR_SNAPSHOT_DAMAGED},
        {"another order", HEAD REST ",\"addressing\":\"auto\"", PH_ERR_SNAPSHOT_DAMAGED},
        {"a choice that is none", HEAD "\"addressing\":\"host\"," REST, PH_ERR_SNAPSHOT_DAMAGED},
        {"a number as a text", HEAD "\"addressing\":1," REST, PH_ERR_SNAPSHOT_DAMAGED},
        {"a property that is unknown",
         HEAD PLACE "\"partSize\":5242880,\"checksum\":\"CRC64NVME\",\"checksumType\":"
                    "\"FULL_OBJECT\",\"payload\":\"auto\",\"object\":{\"x\":\"1\"},"
                    "\"metadata\":[]",
         PH_ERR_SNAPSHOT_DAMAGED},
        {"a name that is none", HEAD PLACE REST ",\"uploadId\":\"\"", PH_ERR_SNAPSHOT_DAMAGED},
    };
    char text[MAX_TEXT];
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("%s", cases[i].what);
        CHECK_INT(read_of(sealed(cases[i].body, text)), cases[i].err);
    }
}

static void test_options(void)
{
    char text[MAX_TEXT];
    static char long_id[2049];
    memset(long_id, 'U', sizeof long_id);
    for (int i = 0; i < 9; i++) {
        test_case("options %d", i);
        ph_upload_options o = plain_options();
        ph_str id = PH_STR("U");
        switch (i) {
        case 0: o.part_size = 0; break;
        case 1: o.part_size = 5 * MIB - 1; break;
        case 2: o.size = 5 * MIB; break; /* a single PUT */
        case 3: o.target.bucket = PH_STR("B"); break;
        case 4: o.target.key = PH_STR("a/../b"); break;
        case 5: o.type = PH_TYPE_NONE; break;
        case 6: o.type = PH_TYPE_COMPOSITE; break;
        case 7: id = (ph_str){long_id, sizeof long_id}; break;
        case 8: o.object.property[PH_PROP_CONTENT_TYPE] = PH_STR("a\nb"); break;
        }
        CHECK_INT(read_of(written(&o, id, text)), PH_ERR_SNAPSHOT_DAMAGED);
    }
}

static void test_metadata(void)
{
    char text[MAX_TEXT], names[PH_SNAPSHOT_METADATA + 1];
    ph_header many[PH_SNAPSHOT_METADATA + 1];
    ph_snapshot s;
    for (size_t i = 0; i < COUNT(many); i++) {
        names[i] = (char)('A' + i);
        many[i] = (ph_header){{&names[i], 1}, {NULL, 0}};
    }
    ph_upload_options o = plain_options();
    o.object.metadata = many;
    test_case("as much as there may be, and values that are absent");
    o.object.metadata_count = PH_SNAPSHOT_METADATA;
    CHECK_INT(ph_snapshot_read(written(&o, PH_STR("U"), text), &s), PH_OK);
    CHECK_U64(s.options.object.metadata_count, PH_SNAPSHOT_METADATA);
    CHECK_STR(s.options.object.metadata[0].value, "");
    ph_snapshot_clear(&s);
    test_case("one more");
    o.object.metadata_count++;
    CHECK_INT(read_of(written(&o, PH_STR("U"), text)), PH_ERR_SNAPSHOT_DAMAGED);
}

static void test_too_long(void)
{
    static char body[PH_SNAPSHOT_MAX], text[PH_SNAPSHOT_MAX + MAX_TEXT];
    test_case("longer than any");
    memset(body, ' ', sizeof body - 1);
    ph_str long_text = sealed_in(body, text, sizeof text);
    CHECK(long_text.len > PH_SNAPSHOT_MAX);
    CHECK_INT(read_of(long_text), PH_ERR_SNAPSHOT_DAMAGED);
}

static void test_memory(void)
{
    char text[MAX_TEXT];
    ph_upload_options o = options_of();
    ph_str whole = written(&o, PH_STR("U"), text);
    for (unsigned n = 0;; n++) {
        test_case("reading, allocation %u fails", n);
        test_alloc_fail_after(n);
        int err = read_of(whole);
        if (!test_alloc_end())
            break;
        CHECK_INT(err, PH_ERR_NOMEM);
    }
    test_case("writing, no memory");
    ph_buf b;
    ph_buf_init(&b, MAX_TEXT);
    test_alloc_fail_after(0);
    ph_snapshot_write(&o, PH_STR("U"), false, &b);
    CHECK(test_alloc_end());
    CHECK_INT(b.err, PH_ERR_NOMEM);
    ph_buf_clear(&b);
}

int main(void)
{
    test_round();
    test_choices();
    test_names();
    test_damage();
    test_sense();
    test_options();
    test_metadata();
    test_too_long();
    test_memory();
    return test_end();
}
