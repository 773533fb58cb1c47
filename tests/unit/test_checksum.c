/* SPDX-License-Identifier: MIT
 *
 * Tests checksum: what S3 itself answered (values, composites, combined values, the ETag of three
 * parts), the shared vectors at every split, and the table's rules.
 */
#include "test.h"
#include "core/checksum.h"
#include "core/enc.h"
#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 65536
#define SLOW_LIMIT (UINT64_C(64) << 20)
#define SPLIT_ALL_LEN 300

static const ph_str absent = {NULL, 0};

static void hash_repeated(ph_hash *h, ph_str unit, uint64_t times)
{
    static char chunk[CHUNK];
    if (unit.len == 0)
        return;
    size_t per_chunk = unit.len < CHUNK ? CHUNK / unit.len : 1;
    for (size_t i = 0; i < per_chunk && unit.len <= CHUNK; i++)
        memcpy(chunk + i * unit.len, unit.ptr, unit.len);
    while (times > 0) {
        uint64_t n = times < per_chunk ? times : per_chunk;
        ph_hash_update(h, unit.len <= CHUNK ? chunk : unit.ptr, (size_t)n * unit.len);
        times -= n;
    }
}

static ph_digest digest_repeated(ph_alg alg, ph_str unit, uint64_t times)
{
    ph_hash h;
    ph_digest d;
    ph_hash_init(&h, alg);
    hash_repeated(&h, unit, times);
    CHECK_U64(h.length, unit.len * times);
    ph_hash_digest(&h, &d);
    return d;
}

static void check_base64(const ph_digest *d, const char *want)
{
    ph_buf b;
    ph_buf_init(&b, 100);
    ph_digest_base64(&b, d);
    CHECK_STR(ph_buf_view(&b), want);
    ph_buf_clear(&b);
}

/* ---- What S3 answered -------------------------------------------------------------------------- */

static void test_values(void)
{
    static const struct {
        ph_alg alg;
        const char *unit;
        uint64_t times;
        const char *base64;
    } cases[] = {
        {PH_ALG_CRC64NVME, "123456789", 1, "rosUhgp5mIg="},
        {PH_ALG_CRC64NVME, "", 1, "AAAAAAAAAAA="},
        {PH_ALG_CRC64NVME, "a", 3, "Rnr2/5P7Gsk="},
        {PH_ALG_CRC64NVME, "a", 4, "GC2rW8VclPA="},
        {PH_ALG_CRC64NVME, "a", 10, "DBqAA21lxVU="},
        {PH_ALG_CRC64NVME, "a", 5242881, "Kg7TOs6algM="},
        {PH_ALG_CRC32, "123456789", 1, "y/Q5Jg=="},
        {PH_ALG_CRC32, "a", 5242881, "NRU+Sw=="},
        {PH_ALG_CRC32, "a", 10, "TBHN8A=="},
        {PH_ALG_CRC32C, "123456789", 1, "4waSgw=="},
        {PH_ALG_CRC32C, "abc", 1, "Nks/tw=="},
        {PH_ALG_CRC32C, "a", 66560, "sOO8/Q=="},
        {PH_ALG_MD5, "a", 5242881, "xMdT5pu4Uxh/WFTEbPgBxg=="},
        {PH_ALG_SHA256, "", 1, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
        {PH_ALG_SHA1, "abc", 1, "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="},
        {PH_ALG_NONE, "abc", 1, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("%s of %lu \"%s\"", ph_alg_name(cases[i].alg), (unsigned long)cases[i].times,
                  cases[i].unit);
        ph_digest d = digest_repeated(cases[i].alg, ph_str_from(cases[i].unit), cases[i].times), e;
        CHECK(d.alg == cases[i].alg);
        CHECK_U64(d.len, ph_alg_row(d.alg)->len);
        check_base64(&d, cases[i].base64);
        CHECK_INT(ph_digest_parse(d.alg, ph_str_from(cases[i].base64), &e), PH_OK);
        CHECK(ph_digest_equal(&d, &e));
    }
}

/* An object of three parts: 5,242,881 times a, twice, and 10 times a. */
static void test_whole(void)
{
    static const struct {
        ph_alg alg;
        ph_checksum_type type;
        const char *text;
        const char *hex; /* or NULL */
    } cases[] = {
        {PH_ALG_CRC64NVME, PH_TYPE_FULL_OBJECT, "ZMNX55lZurA=", NULL},
        {PH_ALG_CRC32, PH_TYPE_FULL_OBJECT, "qSEQSA==", NULL},
        {PH_ALG_CRC32, PH_TYPE_COMPOSITE, "5FRUiw==-3", NULL},
        {PH_ALG_SHA256, PH_TYPE_COMPOSITE, "9o++y6AejqboiJ7MZCx0fahK2Vu5YC/qnNhhYsCLciI=-3", NULL},
        {PH_ALG_MD5, PH_TYPE_NONE, NULL, "4d45984fc3feb2ac9b22683c49674b56"}, /* the ETag */
        {PH_ALG_NONE, PH_TYPE_NONE, "", ""},
    };
    static const uint64_t lengths[] = {5242881, 5242881, 10};
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("three parts, %s %s", ph_alg_name(cases[i].alg),
                  ph_checksum_type_name(cases[i].type));
        ph_whole w;
        ph_whole_init(&w, cases[i].alg, cases[i].type);
        for (size_t k = 0; k < COUNT(lengths); k++) {
            ph_digest part = digest_repeated(cases[i].alg, PH_STR("a"), lengths[k]);
            CHECK_INT(ph_whole_add(&w, &part, lengths[k]), PH_OK);
        }
        CHECK_U64(w.parts, 3);
        ph_buf b;
        ph_buf_init(&b, 200);
        ph_whole_text(&w, &b);
        if (cases[i].text)
            CHECK(ph_str_equal(ph_buf_view(&b), ph_str_from(cases[i].text)));
        if (cases[i].hex) {
            ph_digest d;
            ph_whole_digest(&w, &d);
            ph_buf_reset(&b);
            ph_enc_hex(&b, d.bytes, d.len);
            CHECK(ph_str_equal(ph_buf_view(&b), ph_str_from(cases[i].hex)));
        }
        ph_buf_clear(&b);
        if (cases[i].type == PH_TYPE_FULL_OBJECT) {
            ph_digest all = digest_repeated(cases[i].alg, PH_STR("a"), 10485772), d;
            ph_whole_digest(&w, &d);
            CHECK(ph_digest_equal(&d, &all));
        }
    }

    test_case("a part of another algorithm, a cut digest");
    ph_whole w;
    ph_digest d = digest_repeated(PH_ALG_CRC32, PH_STR("a"), 1);
    ph_whole_init(&w, PH_ALG_CRC32C, PH_TYPE_COMPOSITE);
    CHECK_INT(ph_whole_add(&w, &d, 1), PH_ERR_BAD_ALGORITHM);
    ph_whole_init(&w, PH_ALG_CRC32, PH_TYPE_COMPOSITE);
    d.len = 3;
    CHECK_INT(ph_whole_add(&w, &d, 1), PH_ERR_BAD_ALGORITHM);
    CHECK_U64(w.parts, 0);
    test_case("SHA-256 cannot be combined");
    d = digest_repeated(PH_ALG_SHA256, PH_STR("a"), 1);
    ph_whole_init(&w, PH_ALG_SHA256, PH_TYPE_FULL_OBJECT);
    CHECK_INT(ph_whole_add(&w, &d, 1), PH_ERR_BAD_ALGORITHM);
    CHECK_U64(w.parts, 0);
    test_case("no part");
    ph_whole_init(&w, PH_ALG_CRC64NVME, PH_TYPE_FULL_OBJECT);
    ph_whole_digest(&w, &d);
    check_base64(&d, "AAAAAAAAAAA=");
}

static void test_combine(void)
{
    test_case("combine refuses");
    ph_digest crc = digest_repeated(PH_ALG_CRC32, PH_STR("a"), 1), out;
    ph_digest other = digest_repeated(PH_ALG_CRC32C, PH_STR("a"), 1);
    ph_digest sha = digest_repeated(PH_ALG_SHA256, PH_STR("a"), 1);
    ph_digest none = digest_repeated(PH_ALG_NONE, PH_STR("a"), 1);
    CHECK_INT(ph_digest_combine(&crc, &crc, 1, &out), PH_OK);
    CHECK_INT(ph_digest_combine(&crc, &other, 1, &out), PH_ERR_BAD_ALGORITHM);
    CHECK_INT(ph_digest_combine(&sha, &sha, 1, &out), PH_ERR_BAD_ALGORITHM);
    CHECK_INT(ph_digest_combine(&none, &none, 1, &out), PH_ERR_BAD_ALGORITHM);
    for (int first = 0; first < 2; first++) {
        ph_digest cut = crc;
        cut.len--;
        CHECK_INT(ph_digest_combine(first ? &cut : &crc, first ? &crc : &cut, 1, &out),
                  PH_ERR_BAD_ALGORITHM);
    }
    test_case("combine in place");
    ph_digest ab = digest_repeated(PH_ALG_CRC32, PH_STR("a"), 2);
    CHECK_INT(ph_digest_combine(&crc, &crc, 1, &crc), PH_OK);
    CHECK(ph_digest_equal(&crc, &ab));
}

/* ---- The table --------------------------------------------------------------------------------- */

static void test_table(void)
{
    static const struct {
        ph_alg alg;
        const char *name, *header, *element;
        ph_checksum_type chosen; /* where the type is left open */
        bool full, composite;
    } cases[] = {
        {PH_ALG_NONE, "NONE", NULL, NULL, PH_TYPE_NONE, false, false},
        {PH_ALG_CRC64NVME, "CRC64NVME", "x-amz-checksum-crc64nvme", "ChecksumCRC64NVME",
         PH_TYPE_FULL_OBJECT, true, false},
        {PH_ALG_CRC32C, "CRC32C", "x-amz-checksum-crc32c", "ChecksumCRC32C", PH_TYPE_FULL_OBJECT,
         true, true},
        {PH_ALG_CRC32, "CRC32", "x-amz-checksum-crc32", "ChecksumCRC32", PH_TYPE_FULL_OBJECT, true,
         true},
        {PH_ALG_SHA256, "SHA256", "x-amz-checksum-sha256", "ChecksumSHA256", PH_TYPE_COMPOSITE,
         false, true},
        {PH_ALG_SHA1, "SHA1", "x-amz-checksum-sha1", "ChecksumSHA1", PH_TYPE_COMPOSITE, false,
         true},
        {PH_ALG_MD5, "MD5", "content-md5", NULL, PH_TYPE_NONE, false, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("%s", cases[i].name);
        const ph_alg_info *row = ph_alg_row(cases[i].alg);
        ph_checksum_type type;
        CHECK(row->alg == cases[i].alg);
        CHECK_STR(ph_str_from(row->name), cases[i].name);
        CHECK_STR(ph_str_from(row->header), cases[i].header);
        CHECK_STR(ph_str_from(row->element), cases[i].element);
        CHECK_STR(ph_str_from(ph_alg_name(cases[i].alg)), cases[i].name);
        CHECK(ph_alg_by_name(ph_str_from(cases[i].name)) == cases[i].alg);
        CHECK(ph_alg_by_name(ph_str_from(row->lower)) == cases[i].alg);
        CHECK(ph_alg_name_lower(cases[i].alg) == row->lower);
        CHECK(ph_str_equal_nocase(ph_str_from(row->lower), ph_str_from(row->name)));

        CHECK_INT(ph_checksum_type_choose(cases[i].alg, PH_TYPE_NONE, &type), PH_OK);
        CHECK(type == cases[i].chosen);
        CHECK_INT(ph_checksum_type_choose(cases[i].alg, PH_TYPE_FULL_OBJECT, &type),
                  cases[i].full ? PH_OK : PH_ERR_BAD_ALGORITHM);
        CHECK(type == (cases[i].full ? PH_TYPE_FULL_OBJECT : PH_TYPE_NONE));
        CHECK_INT(ph_checksum_type_choose(cases[i].alg, PH_TYPE_COMPOSITE, &type),
                  cases[i].composite ? PH_OK : PH_ERR_BAD_ALGORITHM);
        CHECK(type == (cases[i].composite ? PH_TYPE_COMPOSITE : PH_TYPE_NONE));
    }
    test_case("unknown names");
    CHECK(ph_alg_by_name(PH_STR("Crc64Nvme")) == PH_ALG_CRC64NVME);
    CHECK(ph_alg_by_name(PH_STR("CRC64")) == PH_ALG_NONE);
    CHECK(ph_alg_by_name(PH_STR("SHA-256")) == PH_ALG_NONE);
    CHECK(ph_alg_by_name(absent) == PH_ALG_NONE);
    CHECK(ph_alg_row(PH_ALG_COUNT)->alg == PH_ALG_NONE); /* a number that a host made up */
    CHECK_STR(ph_str_from(ph_checksum_type_name(PH_TYPE_NONE)), "NONE");
    CHECK_STR(ph_str_from(ph_checksum_type_name(PH_TYPE_FULL_OBJECT)), "FULL_OBJECT");
    CHECK_STR(ph_str_from(ph_checksum_type_name(PH_TYPE_COMPOSITE)), "COMPOSITE");

    static const struct {
        ph_alg alg;
        const char *base64;
    } bad[] = {
        {PH_ALG_CRC32, ""},
        {PH_ALG_CRC32, "y/Q5J"},
        {PH_ALG_CRC32, "y/Q5"},
        {PH_ALG_CRC32, "y/Q5JiY="},
        {PH_ALG_CRC32, "rosUhgp5mIg="},
        {PH_ALG_CRC32, "y_Q5Jg=="},
        {PH_ALG_CRC32, "y/Q5Jh=="},
        {PH_ALG_CRC64NVME, "y/Q5Jg=="},
        {PH_ALG_NONE, "y/Q5Jg=="},
        {PH_ALG_MD5, "AAAA"},
        {PH_ALG_CRC32, " y/Q5Jg=="},
        {PH_ALG_SHA256, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, /* 36 bytes */
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        test_case("parse \"%s\"", bad[i].base64);
        ph_digest d;
        CHECK_INT(ph_digest_parse(bad[i].alg, test_guard_str(ph_str_from(bad[i].base64)), &d),
                  PH_ERR_BAD_ENCODING);
        CHECK_U64(d.len, 0);
    }
}

/* ---- Splits ------------------------------------------------------------------------------------ */

/* Whole, byte by byte, split at every byte with a fork that goes its own way. */
static void check_splits(ph_alg alg, ph_str input, const ph_digest *want)
{
    ph_hash h, fork;
    ph_digest d;
    ph_hash_init(&h, alg);
    for (size_t i = 0; i < input.len; i++)
        ph_hash_update(&h, test_guard(input.ptr + i, 1), 1);
    ph_hash_digest(&h, &d);
    CHECK(ph_digest_equal(&d, want));
    for (size_t split = 0; split <= input.len; split++) {
        ph_hash_init(&h, alg);
        ph_hash_update(&h, test_guard(input.ptr, split), split);
        fork = h;
        ph_hash_update(&fork, "something else", 14);
        ph_hash_digest(&h, &d); /* changes nothing */
        ph_hash_update(&h, NULL, 0);
        ph_str rest = test_guard_str(ph_str_skip(input, split));
        ph_hash_update(&h, rest.ptr, rest.len);
        ph_hash_digest(&h, &d);
        CHECK(ph_digest_equal(&d, want));
        CHECK_U64(h.length, input.len);
    }
}

static void test_splits(void)
{
    char text[SPLIT_ALL_LEN];
    uint64_t seed = 3;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)test_random(&seed);
    for (int alg = PH_ALG_NONE; alg < PH_ALG_COUNT; alg++) {
        test_case("%s at every split", ph_alg_name((ph_alg)alg));
        ph_digest want = digest_repeated((ph_alg)alg, (ph_str){text, sizeof text}, 1);
        check_splits((ph_alg)alg, (ph_str){text, sizeof text}, &want);
    }
}

/* ---- The shared vectors ------------------------------------------------------------------------ */

static void test_vector(const ph_json *v, unsigned *skipped)
{
    ph_str name = ph_json_member_text(v, "algorithm");
    ph_str utf8 = ph_json_member_text(v, "input_utf8"), hex = ph_json_member_text(v, "input_hex");
    ph_alg alg = ph_alg_by_name(name);
    uint64_t times = 1;
    ph_json_u64(ph_json_member(v, "repeat"), &times);
    if (alg == PH_ALG_NONE) { /* SHA512 is not among ours */
        ++*skipped;
        return;
    }
    char *bytes = malloc(hex.len / 2 + 1);
    ph_str input = utf8;
    if (!utf8.ptr) {
        input.ptr = bytes;
        CHECK_INT(ph_dec_hex(hex, bytes, hex.len / 2, &input.len), PH_OK);
    }
    CHECK(utf8.ptr || hex.ptr);
    if (input.len * times > SLOW_LIMIT && !test_slow()) {
        ++*skipped;
    } else {
        ph_digest d = digest_repeated(alg, input, times), want = {0};
        ph_str want_hex = ph_json_member_text(v, "hex");
        CHECK(want_hex.len > 0);
        CHECK_INT(ph_dec_hex(want_hex, want.bytes, sizeof want.bytes, &want.len), PH_OK);
        CHECK_U64(d.len, want.len);
        CHECK_MEM(d.bytes, want.bytes, d.len);
        ph_str base64 = ph_json_member_text(v, "base64");
        if (base64.ptr) {
            CHECK_INT(ph_digest_parse(alg, base64, &want), PH_OK);
            CHECK(ph_digest_equal(&d, &want));
        }
        if (times == 1 && input.len <= SPLIT_ALL_LEN)
            check_splits(alg, input, &d);
    }
    free(bytes);
}

static void get_crc(const ph_json *v, const char *member, ph_digest *d)
{
    CHECK_INT(ph_dec_hex(ph_json_member_text(v, member), d->bytes, sizeof d->bytes, &d->len),
              PH_OK);
}

static void test_shared(void)
{
    ph_buf file;
    ph_json *doc = NULL;
    if (test_vectors("checksums-aws/checksums.json", &file)) {
        unsigned count = 0, skipped = 0;
        test_case("checksums.json");
        CHECK_INT(ph_json_parse(ph_buf_view(&file), &doc), PH_OK);
        for (const ph_json *v = ph_json_first(ph_json_member(doc, "vectors")); v;
             v = ph_json_next(v)) {
            test_case("shared vector %u", count++);
            test_vector(v, &skipped);
        }
        if (skipped > 0)
            printf("SKIP: %u of %u shared vectors, too large without PH_SLOW=1 or not of ours\n",
                   skipped, count);
        CHECK(count > 50);
        count = 0;
        for (const ph_json *v =
                 ph_json_first(ph_json_member(ph_json_member(doc, "combine"), "cases"));
             v; v = ph_json_next(v)) {
            test_case("shared combination %u", count++);
            ph_alg alg = ph_alg_by_name(ph_json_member_text(v, "algorithm"));
            ph_digest a = {.alg = alg}, b = {.alg = alg}, want = {.alg = alg}, got;
            uint64_t len = 0;
            get_crc(v, "crc_first", &a);
            get_crc(v, "crc_second", &b);
            get_crc(v, "crc_combined", &want);
            CHECK(ph_json_u64(ph_json_member(v, "second_length"), &len));
            CHECK_INT(ph_digest_combine(&a, &b, len, &got), PH_OK);
            CHECK(ph_digest_equal(&got, &want));
        }
        CHECK(count >= 9);
        ph_json_free(doc);
    }
    ph_buf_clear(&file);
}

int main(void)
{
    test_table();
    test_values();
    test_whole();
    test_combine();
    test_splits();
    test_shared();
    return test_end();
}
