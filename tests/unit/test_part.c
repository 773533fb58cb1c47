/* SPDX-License-Identifier: MIT
 *
 * Tests part: what the ledger counts, what it believes of ListParts, the checksums and the ETag of
 * S3's recorded upload of three parts, and the document of Complete read back.
 */
#include "test.h"

#include "core/enc.h"
#include "core/part.h"
#include "core/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_SIZE UINT64_C(5242881)
#define SIZE (2 * PART_SIZE + 10)
#define MD5_A "c4c753e69bb853187f5854c46cf801c6"  /* of 5,242,881 times "a" */
#define MD5_10 "e09c80c42fda55f9d992e59ca6b3307d" /* of 10 times */

static const ph_digest no_digest = {.alg = PH_ALG_NONE};
static const ph_str absent = {NULL, 0};

static void init(ph_ledger *l, uint64_t size, uint64_t part_size, ph_alg alg)
{
    ph_plan plan = {size, part_size, (uint32_t)((size + part_size - 1) / part_size)};
    plan.part_count += plan.part_count == 0;
    CHECK_INT(ph_ledger_init(l, &plan, alg), PH_OK);
}

/* Until it is asked for the next one. */
static ph_str etag_of(const ph_ledger *l, uint32_t part_number)
{
    static char place[PH_ETAG_TEXT];
    return ph_ledger_part_etag(l, part_number, place);
}

static void check_counts(const ph_ledger *l, uint32_t stored, uint32_t without_etag,
                         uint32_t unconfirmed, uint64_t bytes)
{
    CHECK_U64(l->stored, stored);
    CHECK_U64(l->without_etag, without_etag);
    CHECK_U64(l->unconfirmed, unconfirmed);
    CHECK_U64(l->stored_bytes, bytes);
}

/* ---- Places ---------------------------------------------------------------------------------- */

static void test_places(void)
{
    static const struct {
        uint64_t size, part_size;
        uint32_t part_number;
        uint64_t offset, length;
    } cases[] = {
        {0, 5, 1, 0, 0},
        {1, 5, 1, 0, 1},
        {5, 5, 1, 0, 5},
        {6, 5, 1, 0, 5},
        {6, 5, 2, 5, 1},
        {10, 5, 2, 5, 5},
        {SIZE, PART_SIZE, 3, 10485762, 10},
        {PH_OBJECT_MAX_SIZE, PH_PART_MAX_SIZE, 1, 0, PH_PART_MAX_SIZE},
        {PH_OBJECT_MAX_SIZE, PH_PART_MAX_SIZE, 10000, UINT64_C(53681722490880), PH_PART_MAX_SIZE},
        {PH_OBJECT_MAX_SIZE - 1, PH_PART_MAX_SIZE, 10000, UINT64_C(53681722490880),
         PH_PART_MAX_SIZE - 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("place %zu", i);
        ph_ledger l;
        init(&l, cases[i].size, cases[i].part_size, PH_ALG_NONE);
        CHECK_U64(ph_ledger_offset(&l, cases[i].part_number), cases[i].offset);
        CHECK_U64(ph_ledger_length(&l, cases[i].part_number), cases[i].length);
        ph_ledger_clear(&l);
    }
}

/* ---- Counting -------------------------------------------------------------------------------- */

static void test_store(void)
{
    ph_ledger l;
    ph_digest d = {.alg = PH_ALG_CRC32, .len = 4, .bytes = {1, 2, 3, 4}};
    ph_digest other = {.alg = PH_ALG_CRC32, .len = 4, .bytes = {9, 9, 9, 9}};
    test_case("store");
    init(&l, SIZE, PART_SIZE, PH_ALG_CRC32);
    check_counts(&l, 0, 0, 0, 0);
    CHECK_INT(ph_ledger_store(&l, 3, PH_STR("c"), &d, true), PH_OK); /* any order */
    check_counts(&l, 1, 0, 0, 10);
    CHECK_INT(ph_ledger_store(&l, 1, absent, &d, false), PH_OK);
    check_counts(&l, 2, 1, 1, PART_SIZE + 10);
    CHECK_INT(ph_ledger_store(&l, 2, PH_STR(""), &d, true), PH_OK); /* no better than absent */
    check_counts(&l, 3, 2, 1, SIZE);
    CHECK(!etag_of(&l, 2).ptr);

    test_case("store twice");
    CHECK_INT(ph_ledger_store(&l, 3, PH_STR("other"), &other, false), PH_OK);
    CHECK_INT(ph_ledger_store(&l, 1, PH_STR("other"), &other, true), PH_OK);
    check_counts(&l, 3, 2, 1, SIZE);
    CHECK_STR(etag_of(&l, 3), "c");
    CHECK_STR(etag_of(&l, 1), NULL);
    CHECK_MEM(l.digests + 8, d.bytes, 4);
    CHECK(l.parts[2].confirmed && !l.parts[0].confirmed);
    ph_ledger_clear(&l);
    CHECK(l.parts == NULL && l.stored == 0);
    ph_ledger_clear(&l); /* twice is harmless */

    test_case("the ETag is a copy");
    char text[] = "abc";
    init(&l, 1, 5, PH_ALG_NONE);
    CHECK_INT(ph_ledger_store(&l, 1, (ph_str){text, 3}, &no_digest, false), PH_OK);
    text[0] = 'x';
    CHECK_STR(etag_of(&l, 1), "abc");
    ph_ledger_clear(&l);

    static const char *const etags[] = {
        "00112233445566778899aabbccddeeff",   "00112233445566778899AABBCCDDEEFF",
        "00112233445566778899aabbccddeef",    "00112233445566778899aabbccddeefff",
        "00112233445566778899aabbccddeefg",   "00112233445566778899aabbccddee-1",
        "0011223344556677889900aabbccddee-1",
    };
    for (size_t i = 0; i < COUNT(etags); i++) {
        test_case("the ETag %s, to the letter", etags[i]);
        init(&l, 1, 5, PH_ALG_NONE);
        CHECK_INT(ph_ledger_store(&l, 1, ph_str_from(etags[i]), &no_digest, false), PH_OK);
        CHECK_STR(etag_of(&l, 1), etags[i]);
        CHECK(l.parts[0].is_hex == (i == 0));
        ph_ledger_clear(&l);
    }
}

static ph_listed listed(uint32_t part_number, uint64_t size, const char *etag)
{
    return (ph_listed){.part_number = part_number, .size = size, .etag = ph_str_from(etag)};
}

static void test_learn(void)
{
    ph_ledger l;
    ph_digest d = {.alg = PH_ALG_CRC32, .len = 4, .bytes = {1, 2, 3, 4}};
    init(&l, SIZE, PART_SIZE, PH_ALG_CRC32);
    CHECK_INT(ph_ledger_store(&l, 1, absent, &d, false), PH_OK);
    CHECK_INT(ph_ledger_store(&l, 2, absent, &d, true), PH_OK);

    static const struct {
        const char *what;
        uint32_t part_number;
        uint64_t size;
        size_t checksum_len;
        uint8_t first;
        ph_alg alg;
        int err;
    } cases[] = {
        {"part 0", 0, PART_SIZE, 0, 0, PH_ALG_NONE, PH_OK},
        {"a part that is not sent yet", 3, 10, 0, 0, PH_ALG_NONE, PH_OK},
        {"a part beyond the last", 4, 10, 0, 0, PH_ALG_NONE, PH_OK},
        {"part 10,000", 10000, 10, 0, 0, PH_ALG_NONE, PH_OK},
        {"another size", 1, PART_SIZE - 1, 0, 0, PH_ALG_NONE, PH_ERR_INVALID_PART},
        {"no size", 1, 0, 0, 0, PH_ALG_NONE, PH_ERR_INVALID_PART},
        {"another checksum", 1, PART_SIZE, 4, 7, PH_ALG_CRC32, PH_ERR_INVALID_PART},
        {"another algorithm", 1, PART_SIZE, 4, 1, PH_ALG_CRC32C, PH_ERR_INVALID_PART},
        {"the right checksum, another size", 1, 10, 4, 1, PH_ALG_CRC32, PH_ERR_INVALID_PART},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("learn %s", cases[i].what);
        ph_listed p = listed(cases[i].part_number, cases[i].size, "e");
        p.checksum = d;
        p.checksum.alg = cases[i].alg;
        p.checksum.len = cases[i].checksum_len;
        p.checksum.bytes[0] = cases[i].first;
        CHECK_INT(ph_ledger_learn(&l, &p), cases[i].err);
        check_counts(&l, 2, 2, 1, 2 * PART_SIZE);
    }

    test_case("learn nothing");
    ph_listed p = listed(1, PART_SIZE, "");
    CHECK_INT(ph_ledger_learn(&l, &p), PH_OK);
    check_counts(&l, 2, 2, 1, 2 * PART_SIZE);

    test_case("learn without a checksum");
    p = listed(2, PART_SIZE, "two");
    CHECK_INT(ph_ledger_learn(&l, &p), PH_OK);
    check_counts(&l, 2, 1, 1, 2 * PART_SIZE);
    CHECK_STR(etag_of(&l, 2), "two");

    test_case("learn with a checksum");
    p = listed(1, PART_SIZE, "one");
    p.checksum = d;
    CHECK_INT(ph_ledger_learn(&l, &p), PH_OK);
    check_counts(&l, 2, 0, 0, 2 * PART_SIZE);
    CHECK(l.parts[0].confirmed);

    test_case("learn of the last part, what is confirmed already");
    CHECK_INT(ph_ledger_store(&l, 3, absent, &d, true), PH_OK);
    check_counts(&l, 3, 1, 0, SIZE);
    p = listed(3, 10, "three");
    p.checksum = d;
    CHECK_INT(ph_ledger_learn(&l, &p), PH_OK);
    check_counts(&l, 3, 0, 0, SIZE);
    CHECK_STR(etag_of(&l, 3), "three");

    test_case("learn the checksum of a part whose ETag is known");
    p = listed(2, PART_SIZE, "other");
    p.checksum = d;
    CHECK_INT(ph_ledger_learn(&l, &p), PH_OK); /* another ETag: of another part */
    p = listed(2, PART_SIZE, "two");
    p.checksum = d;
    p.checksum.bytes[0] ^= 1;
    CHECK_INT(ph_ledger_learn(&l, &p), PH_ERR_INVALID_PART);
    CHECK_STR(etag_of(&l, 2), "two");

    test_case("learn what is known");
    p = listed(1, 7, "other");
    CHECK_INT(ph_ledger_learn(&l, &p), PH_OK);
    CHECK_STR(etag_of(&l, 1), "one");
    check_counts(&l, 3, 0, 0, SIZE);
    ph_ledger_clear(&l);
}

static void test_drop(void)
{
    ph_ledger l;
    init(&l, SIZE, PART_SIZE, PH_ALG_NONE);
    CHECK_INT(ph_ledger_store(&l, 1, PH_STR("one"), &no_digest, false), PH_OK);
    CHECK_INT(ph_ledger_store(&l, 2, absent, &no_digest, false), PH_OK);
    CHECK_INT(ph_ledger_store(&l, 3, PH_STR("three"), &no_digest, true), PH_OK);

    test_case("marks: of no part of ours, of another size, of another ETag");
    const ph_listed others[] = {listed(0, 10, "three"), listed(4, 10, "three"),
                                listed(3, 11, "three"), listed(1, PART_SIZE, "other"),
                                listed(1, PART_SIZE, "")};
    for (size_t i = 0; i < COUNT(others); i++)
        ph_ledger_mark(&l, &others[i]);
    for (size_t i = 0; i < 3; i++)
        CHECK(!l.parts[i].listed);

    test_case("drop what has no ETag, and what else is not listed");
    ph_listed three = listed(3, 10, "three");
    ph_ledger_mark(&l, &three);
    CHECK_U64(ph_ledger_drop_unlisted(&l, false), 2);
    check_counts(&l, 1, 0, 0, 10);
    CHECK(!l.parts[0].stored);
    CHECK(!l.parts[1].stored);

    test_case("where all ETags are known, the list is not asked");
    CHECK_U64(ph_ledger_drop_unlisted(&l, false), 0);

    test_case("drop what is not marked");
    CHECK_INT(ph_ledger_store(&l, 1, PH_STR("one"), &no_digest, false), PH_OK);
    ph_ledger_mark(&l, &three);
    CHECK_U64(ph_ledger_drop_unlisted(&l, true), 1);
    check_counts(&l, 1, 0, 0, 10);

    test_case("the marks are gone");
    CHECK_U64(ph_ledger_drop_unlisted(&l, true), 1);
    check_counts(&l, 0, 0, 0, 0);
    CHECK_INT(ph_ledger_store(&l, 1, PH_STR("again"), &no_digest, true), PH_OK);
    CHECK_STR(etag_of(&l, 1), "again");
    ph_ledger_clear(&l);
}

/* Where CORS hides ETags, that of a part of an older file, which came late, is all there is to see. */
static void test_drop_other_md5(void)
{
    static const char *const etags[] = {"00000000000000000000000000000001",
                                        "00000000000000000000000000000002"};
    for (size_t right = 0; right < 2; right++) {
        ph_ledger l;
        init(&l, 2 * PART_SIZE, PART_SIZE, PH_ALG_MD5);
        ph_digest d = {.alg = PH_ALG_MD5, .len = 16};
        for (uint32_t n = 1; n <= 2; n++) {
            d.bytes[15] = n == 2 && !right ? 7 : (uint8_t)n;
            CHECK_INT(ph_ledger_store(&l, n, absent, &d, false), PH_OK);
            ph_listed p = listed(n, PART_SIZE, etags[n - 1]);
            CHECK_INT(ph_ledger_learn(&l, &p), PH_OK);
            ph_ledger_mark(&l, &p);
        }
        test_case("%s", right ? "both ETags are our MD5s" : "one ETag is another MD5");
        CHECK_U64(ph_ledger_drop_unlisted(&l, false), !right);
        CHECK(l.parts[0].stored);
        CHECK(l.parts[1].stored == (bool)right);
        ph_ledger_clear(&l);
    }

    test_case("no ETag is our MD5: this server makes them otherwise");
    ph_ledger l;
    init(&l, PART_SIZE, PART_SIZE, PH_ALG_MD5);
    ph_digest d = {.alg = PH_ALG_MD5, .len = 16, .bytes = {9}};
    CHECK_INT(ph_ledger_store(&l, 1, PH_STR("00000000000000000000000000000001"), &d, false), PH_OK);
    CHECK_U64(ph_ledger_drop_unlisted(&l, false), 0);
    ph_ledger_clear(&l);
}

/* ---- Parts of an earlier session --------------------------------------------------------------- */

static void test_claims(void)
{
    ph_ledger l;
    ph_digest crc = {.alg = PH_ALG_CRC32, .len = 4, .bytes = {1, 2, 3, 4}};
    ph_digest other = {.alg = PH_ALG_CRC32, .len = 4, .bytes = {1, 2, 3, 5}};
    ph_digest md5 = {.alg = PH_ALG_MD5, .len = 16}, md5_crc = {.alg = PH_ALG_MD5, .len = 4};
    size_t len;
    CHECK_INT(ph_dec_hex(PH_STR(MD5_A), md5.bytes, 16, &len), PH_OK);
    init(&l, SIZE, PART_SIZE, PH_ALG_CRC32);

    test_case("claims of another plan");
    ph_listed p = listed(4, 10, "e");
    CHECK_INT(ph_ledger_claim(&l, &p), PH_ERR_PARTS_MIXED);
    p = listed(0, 10, "e");
    CHECK_INT(ph_ledger_claim(&l, &p), PH_ERR_PARTS_MIXED);
    p = listed(3, 11, "e");
    CHECK_INT(ph_ledger_claim(&l, &p), PH_ERR_PARTS_MIXED);
    p = listed(1, PART_SIZE - 1, "e");
    CHECK_INT(ph_ledger_claim(&l, &p), PH_ERR_PARTS_MIXED);

    test_case("what nobody claims");
    CHECK_INT(ph_ledger_proof(&l, 1), PH_ALG_NONE);
    ph_ledger_drop(&l, 1);

    test_case("claimed by an ETag that is no MD5, then by one that is");
    p = listed(1, PART_SIZE, "e");
    CHECK_INT(ph_ledger_claim(&l, &p), PH_OK);
    CHECK_INT(ph_ledger_proof(&l, 1), PH_ALG_NONE);
    CHECK(!ph_ledger_prove(&l, 1, &crc, &md5));
    p = listed(1, PART_SIZE, MD5_10);
    CHECK_INT(ph_ledger_claim(&l, &p), PH_OK);
    CHECK_INT(ph_ledger_proof(&l, 1), PH_ALG_MD5);
    CHECK(!ph_ledger_prove(&l, 1, &crc, &md5));
    CHECK(!ph_ledger_prove(&l, 1, &crc, &md5_crc));
    check_counts(&l, 0, 0, 0, 0);
    p = listed(1, PART_SIZE, MD5_A);
    CHECK_INT(ph_ledger_claim(&l, &p), PH_OK);
    CHECK(!ph_ledger_prove(&l, 1, &crc, &crc));
    CHECK(ph_ledger_prove(&l, 1, &crc, &md5));
    check_counts(&l, 1, 0, 0, PART_SIZE);
    CHECK_MEM(l.digests, crc.bytes, 4);

    test_case("claimed by a checksum: the ETag does not count");
    p = listed(3, 10, MD5_10);
    p.checksum = crc;
    CHECK_INT(ph_ledger_claim(&l, &p), PH_OK);
    CHECK_INT(ph_ledger_proof(&l, 3), PH_ALG_CRC32);
    CHECK(!ph_ledger_prove(&l, 3, &other, &other));
    CHECK(ph_ledger_prove(&l, 3, &crc, &crc));
    check_counts(&l, 2, 0, 0, PART_SIZE + 10);

    test_case("what is stored is no claim, and stays");
    p = listed(3, 10, "other");
    CHECK_INT(ph_ledger_claim(&l, &p), PH_OK);
    CHECK_INT(ph_ledger_proof(&l, 3), PH_ALG_NONE);
    ph_ledger_drop(&l, 3);
    check_counts(&l, 2, 0, 0, PART_SIZE + 10);
    CHECK_STR(etag_of(&l, 3), MD5_10);

    test_case("dropped, claimed, sent all the same");
    p = listed(2, PART_SIZE, "old");
    CHECK_INT(ph_ledger_claim(&l, &p), PH_OK);
    ph_ledger_drop(&l, 2);
    CHECK(!etag_of(&l, 2).ptr && !l.parts[1].claimed);
    CHECK_INT(ph_ledger_claim(&l, &p), PH_OK);
    CHECK_INT(ph_ledger_store(&l, 2, PH_STR("new"), &crc, false), PH_OK);
    check_counts(&l, 3, 0, 1, SIZE);
    CHECK_STR(etag_of(&l, 2), "new");
    ph_ledger_clear(&l);

    test_case("an MD5 that was hidden confirms");
    init(&l, 10, PART_SIZE, PH_ALG_MD5);
    CHECK_INT(ph_dec_hex(PH_STR(MD5_10), md5.bytes, 16, &len), PH_OK);
    CHECK_INT(ph_ledger_store(&l, 1, absent, &md5, false), PH_OK);
    p = listed(1, 10, MD5_10);
    CHECK_INT(ph_ledger_learn(&l, &p), PH_OK);
    check_counts(&l, 1, 0, 0, 10);
    ph_ledger_clear(&l);
}

/* ---- Checksums and ETags ------------------------------------------------------------------------ */

static ph_digest digest_of(ph_alg alg, uint64_t len)
{
    static char block[65536];
    memset(block, 'a', sizeof block);
    ph_hash h;
    ph_digest d;
    ph_hash_init(&h, alg);
    for (; len > 0; len -= len < sizeof block ? len : sizeof block)
        ph_hash_update(&h, block, len < sizeof block ? (size_t)len : sizeof block);
    ph_hash_digest(&h, &d);
    return d;
}

/* The values that S3 gave for parts of 5,242,881, 5,242,881 and 10 times "a". */
static void test_whole(void)
{
    static const struct {
        ph_alg alg;
        ph_checksum_type type;
        const char *want;
    } cases[] = {
        {PH_ALG_CRC64NVME, PH_TYPE_FULL_OBJECT, "ZMNX55lZurA="},
        {PH_ALG_CRC32, PH_TYPE_FULL_OBJECT, "qSEQSA=="},
        {PH_ALG_CRC32, PH_TYPE_COMPOSITE, "5FRUiw==-3"},
        {PH_ALG_SHA256, PH_TYPE_COMPOSITE, "9o++y6AejqboiJ7MZCx0fahK2Vu5YC/qnNhhYsCLciI=-3"},
        {PH_ALG_NONE, PH_TYPE_NONE, ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("whole %s %s", ph_alg_name(cases[i].alg), ph_checksum_type_name(cases[i].type));
        ph_digest a = digest_of(cases[i].alg, PART_SIZE), last = digest_of(cases[i].alg, 10);
        ph_ledger l;
        ph_whole w;
        ph_buf b;
        ph_buf_init(&b, 100);
        init(&l, SIZE, PART_SIZE, cases[i].alg);
        CHECK_INT(ph_ledger_store(&l, 3, PH_STR("c"), &last, true), PH_OK);
        CHECK_INT(ph_ledger_store(&l, 1, PH_STR("a"), &a, true), PH_OK);
        CHECK_INT(ph_ledger_store(&l, 2, PH_STR("b"), &a, true), PH_OK);
        ph_ledger_whole(&l, cases[i].type, &w);
        ph_whole_text(&w, &b);
        CHECK_STR(ph_buf_view(&b), cases[i].want[0] ? cases[i].want : NULL);
        ph_buf_clear(&b);
        ph_ledger_clear(&l);
    }
}

static void test_etag(void)
{
    static const struct {
        const char *what, *second;
        const char *want;
    } cases[] = {
        {"recorded", MD5_A, "4d45984fc3feb2ac9b22683c49674b56-3"},
        {"in capitals", "C4C753E69BB853187F5854C46CF801C6", "4d45984fc3feb2ac9b22683c49674b56-3"},
        {"of KMS", "c4c753e69bb853187f5854c46cf801c6aa", NULL},
        {"too short", "c4c753e69bb853187f5854c46cf801", NULL},
        {"no hex", "c4c753e69bb853187f5854c46cf801cg", NULL},
        {"of parts", "c4c753e69bb853187f5854c46cf801-3", NULL},
        {"hidden", "", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("ETag %s", cases[i].what);
        ph_ledger l;
        char etag[PH_ETAG_TEXT];
        init(&l, SIZE, PART_SIZE, PH_ALG_NONE);
        CHECK_INT(ph_ledger_store(&l, 1, PH_STR(MD5_A), &no_digest, false), PH_OK);
        CHECK_INT(ph_ledger_store(&l, 2, ph_str_from(cases[i].second), &no_digest, false), PH_OK);
        CHECK_INT(ph_ledger_store(&l, 3, PH_STR(MD5_10), &no_digest, false), PH_OK);
        test_alloc_fail_after(0); /* it must not depend on memory: "no" would mean "not ours" */
        bool made = ph_ledger_etag(&l, etag);
        CHECK(!test_alloc_end());
        CHECK(made == (cases[i].want != NULL));
        if (made)
            CHECK_STR(ph_str_from(etag), cases[i].want);
        ph_ledger_clear(&l);
    }

    test_case("ETag of MD5s");
    ph_digest md5 = digest_of(PH_ALG_MD5, 10);
    static const struct {
        uint32_t parts;
        const char *want;
    } texts[] = {{0, MD5_10},
                 {1, MD5_10 "-1"},
                 {9, MD5_10 "-9"},
                 {10, MD5_10 "-10"},
                 {1001, MD5_10 "-1001"},
                 {10000, MD5_10 "-10000"},
                 {UINT32_MAX, MD5_10 "-4294967295"}};
    for (size_t i = 0; i < COUNT(texts); i++) {
        char text[PH_ETAG_TEXT];
        ph_etag_text(&md5, texts[i].parts, text);
        CHECK_STR(ph_str_from(text), texts[i].want);
    }
}

/* ---- The document of Complete ---------------------------------------------------------------- */

static void check_element(ph_xml *x, const char *name, ph_str want)
{
    ph_xml_token t;
    ph_buf b;
    ph_buf_init(&b, 4096);
    CHECK_INT(ph_xml_next(x, &t), PH_OK);
    CHECK(t.kind == PH_XML_OPEN);
    CHECK_STR(t.name, name);
    CHECK_INT(ph_xml_content(x, &b), PH_OK);
    CHECK(ph_str_equal(ph_buf_view(&b), want));
    ph_buf_clear(&b);
}

/* As S3 reads it: parts in order, ETags in quotes, the checksum behind. */
static void check_document(const ph_ledger *l, ph_str document)
{
    ph_xml x;
    ph_xml_token t;
    const char *element = ph_alg_row(l->alg)->element;
    ph_xml_init(&x, document);
    CHECK_INT(ph_xml_next(&x, &t), PH_OK);
    CHECK_STR(t.name, "CompleteMultipartUpload");
    for (uint32_t n = 1; n <= l->plan.part_count; n++) {
        ph_buf b;
        ph_buf_init(&b, 4096);
        CHECK_INT(ph_xml_next(&x, &t), PH_OK);
        CHECK(t.kind == PH_XML_OPEN);
        CHECK_STR(t.name, "Part");
        ph_buf_u64(&b, n);
        check_element(&x, "PartNumber", ph_buf_view(&b));
        ph_buf_reset(&b);
        ph_buf_char(&b, '"');
        ph_buf_str(&b, etag_of(l, n));
        ph_buf_char(&b, '"');
        check_element(&x, "ETag", ph_buf_view(&b));
        ph_buf_reset(&b);
        ph_enc_base64(&b, l->digests + (n - 1) * l->digest_len, l->digest_len);
        if (element)
            check_element(&x, element, ph_buf_view(&b));
        ph_buf_clear(&b);
        CHECK_INT(ph_xml_next(&x, &t), PH_OK);
        CHECK(t.kind == PH_XML_CLOSE && t.depth == 2);
    }
    CHECK_INT(ph_xml_next(&x, &t), PH_OK);
    CHECK(t.kind == PH_XML_CLOSE && t.depth == 1);
    CHECK_INT(ph_xml_next(&x, &t), PH_OK);
    CHECK(t.kind == PH_XML_END);
}

static void test_document(void)
{
    ph_ledger l;
    ph_buf b;
    ph_buf_init(&b, PH_DOCUMENT_MAX);
    test_case("document of one part");
    init(&l, 1, 5, PH_ALG_CRC64NVME);
    ph_digest d = {.alg = PH_ALG_CRC64NVME, .len = 8};
    CHECK_INT(ph_ledger_store(&l, 1, PH_STR("a&<b>\"c'\r"), &d, true), PH_OK);
    ph_ledger_document(&l, &b);
    CHECK_INT(b.err, PH_OK);
    CHECK_STR(ph_buf_view(&b),
              "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
              "<Part><PartNumber>1</PartNumber><ETag>\"a&amp;&lt;b&gt;&quot;c'&#13;\"</ETag>"
              "<ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME></Part>"
              "</CompleteMultipartUpload>");
    check_document(&l, test_guard_str(ph_buf_view(&b)));
    ph_ledger_clear(&l);
    ph_buf_clear(&b);

    for (unsigned alg = PH_ALG_NONE; alg < PH_ALG_COUNT; alg++) {
        test_case("document of three parts, %s", ph_alg_name((ph_alg)alg));
        init(&l, SIZE, PART_SIZE, (ph_alg)alg);
        for (uint32_t n = 3; n >= 1; n--) {
            d = digest_of((ph_alg)alg, n);
            CHECK_INT(ph_ledger_store(&l, n, PH_STR(MD5_10), &d, true), PH_OK);
        }
        ph_ledger_document(&l, &b);
        CHECK_INT(b.err, PH_OK);
        CHECK(b.cap - b.len < 64); /* its memory was known before */
        check_document(&l, test_guard_str(ph_buf_view(&b)));
        ph_ledger_clear(&l);
        ph_buf_clear(&b);
    }
}

/* 10,000 parts with ETags of `etag_len` bytes `c` and the longest checksums. */
static int build_largest(size_t etag_len, char c, bool check)
{
    ph_ledger l;
    ph_buf b;
    char etag[1024];
    memset(etag, c, sizeof etag);
    init(&l, PH_OBJECT_MAX_SIZE, PH_PART_MAX_SIZE, PH_ALG_SHA256);
    ph_digest d = {.alg = PH_ALG_SHA256, .len = 32};
    for (uint32_t n = 1; n <= 10000; n++) {
        d.bytes[0] = (uint8_t)n;
        d.bytes[31] = (uint8_t)(n >> 8);
        CHECK_INT(ph_ledger_store(&l, n, (ph_str){etag, etag_len}, &d, true), PH_OK);
    }
    check_counts(&l, 10000, 0, 0, PH_OBJECT_MAX_SIZE);
    ph_buf_init(&b, PH_DOCUMENT_MAX);
    ph_ledger_document(&l, &b);
    int err = b.err;
    CHECK(b.len <= PH_DOCUMENT_MAX);
    if (check)
        check_document(&l, ph_buf_view(&b));
    ph_buf_clear(&b);
    ph_ledger_clear(&l);
    return err;
}

static void test_largest(void)
{
    test_case("10,000 parts");
    CHECK_INT(build_largest(32, 'f', true), PH_OK);
    test_case("10,000 parts with the longest ETags that an answer can give");
    CHECK_INT(build_largest(256, 'f', true), PH_OK);
    CHECK_INT(build_largest(256, '&', true), PH_OK);
    test_case("10,000 parts with ETags that do not fit");
    CHECK_INT(build_largest(1000, '&', false), PH_ERR_TOO_LONG);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void test_failing_allocations(void)
{
    for (unsigned n = 0;; n++) {
        test_case("allocation %u", n);
        ph_plan plan = {SIZE, PART_SIZE, 3};
        ph_listed p = listed(2, PART_SIZE, "two");
        ph_ledger l;
        ph_buf b;
        ph_buf_init(&b, PH_DOCUMENT_MAX);
        test_alloc_fail_after(n);
        int err = ph_ledger_init(&l, &plan, PH_ALG_NONE);
        if (err == PH_OK)
            err = ph_ledger_store(&l, 1, PH_STR("one"), &no_digest, true);
        bool one = err == PH_OK;
        if (err == PH_OK)
            err = ph_ledger_store(&l, 2, absent, &no_digest, true);
        bool two = err == PH_OK;
        if (err == PH_OK)
            err = ph_ledger_learn(&l, &p);
        bool learned = err == PH_OK;
        if (err == PH_OK)
            err = ph_ledger_store(&l, 3, PH_STR("three"), &no_digest, true);
        bool three = err == PH_OK;
        if (err == PH_OK) {
            ph_ledger_document(&l, &b);
            err = b.err;
        }
        bool failed = test_alloc_end();
        CHECK_INT(err, failed ? PH_ERR_NOMEM : PH_OK);
        /* what failed is not counted, so that it can be reported again */
        check_counts(&l, (uint32_t)one + two + three, two && !learned, 0,
                     (one + two) * PART_SIZE + (three ? 10 : 0));
        ph_buf_clear(&b);
        ph_ledger_clear(&l);
        if (!failed)
            break;
    }
}

int main(void)
{
    test_places();
    test_store();
    test_learn();
    test_claims();
    test_drop();
    test_drop_other_md5();
    test_whole();
    test_etag();
    test_document();
    test_largest();
    test_failing_allocations();
    return test_end();
}
