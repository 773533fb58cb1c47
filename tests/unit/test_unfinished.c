/* SPDX-License-Identifier: MIT
 *
 * Tests unfinished: S3's documented page and SeaweedFS's, keys that are easily mistaken, pages that
 * nobody can go on from, documents cut at every byte, and each allocation failing.
 */
#include "test.h"

#include "core/unfinished.h"

#include <stdio.h>
#include <string.h>

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define PAGE(inner) XML "<ListMultipartUploadsResult" NS ">" inner "</ListMultipartUploadsResult>"
#define UPLOAD(key, id, more) \
    "<Upload><Key>" key "</Key><UploadId>" id "</UploadId>" more "</Upload>"

/* The page of the API reference. */
static const char documented[] = PAGE(
    "<Bucket>bucket</Bucket><KeyMarker></KeyMarker><UploadIdMarker></UploadIdMarker>"
    "<NextKeyMarker>my-movie.m2ts</NextKeyMarker>"
    "<NextUploadIdMarker>YW55IGlkZWEgd2h5</NextUploadIdMarker><MaxUploads>3</MaxUploads>"
    "<IsTruncated>true</IsTruncated>" UPLOAD(
        "my-divisor", "XMgbGlrZSBlbHZpbmcncyBub3QgaGF2aW5n",
        "<Initiator><ID>arn:aws:iam::111122223333:user/user1</ID>"
        "<DisplayName>u</DisplayName></Initiator><Owner><ID>75a</ID></Owner>"
        "<StorageClass>STANDARD</StorageClass><Initiated>2010-11-10T20:48:33.000Z</Initiated>")
        UPLOAD("my-movie.m2ts", "VXBsb2FkIElE", "<Initiated>2010-11-10T20:48:33.000Z</Initiated>")
            UPLOAD("my-movie.m2ts", "YW55IGlkZWEgd2h5", "<Initiated>yesterday</Initiated>"));

static int read_page(const char *body, ph_unfinished_page *out)
{
    return ph_unfinished_read(test_guard_str(ph_str_from(body)), out);
}

static void test_pages(void)
{
    ph_unfinished_page p;
    test_case("documented");
    CHECK_INT(read_page(documented, &p), PH_OK);
    CHECK_U64(p.count, 3);
    CHECK_STR(p.uploads[0].key, "my-divisor");
    CHECK_STR(p.uploads[0].upload_id, "XMgbGlrZSBlbHZpbmcncyBub3QgaGF2aW5n");
    CHECK_U64(p.uploads[0].initiated_ms, UINT64_C(1289422113000));
    CHECK_STR(p.uploads[2].upload_id, "YW55IGlkZWEgd2h5");
    CHECK_U64(p.uploads[2].initiated_ms, 0); /* no date is no age */
    CHECK(p.truncated);
    CHECK_STR(p.key_marker, "my-movie.m2ts");
    CHECK_STR(p.upload_id_marker, "YW55IGlkZWEgd2h5");
    ph_unfinished_clear(&p);
    CHECK(!p.uploads && p.count == 0);
    ph_unfinished_clear(&p); /* twice is harmless */

    test_case("nothing");
    CHECK_INT(read_page(PAGE("<IsTruncated>false</IsTruncated>"), &p), PH_OK);
    CHECK(p.count == 0 && !p.truncated && !p.key_marker.len);
    ph_unfinished_clear(&p);

    test_case("SeaweedFS: no key's marker, keys as they are whatever it says");
    CHECK_INT(read_page(PAGE(
                            "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
                            "<NextUploadIdMarker>i</NextUploadIdMarker>" UPLOAD("a b+c%2F&amp;&lt;",
                                                                                "i", "")),
                        &p),
              PH_OK);
    CHECK_STR(p.uploads[0].key, "a b+c%2F&<");
    CHECK(p.truncated && !p.key_marker.len);
    CHECK_STR(p.upload_id_marker, "i");
    ph_unfinished_clear(&p);

    test_case("text between elements is nobody's");
    CHECK_INT(read_page(PAGE("<Upload>x<Key>k</Key>y<UploadId>i</UploadId></Upload>"), &p), PH_OK);
    CHECK_STR(p.uploads[0].key, "k");
    CHECK_STR(p.uploads[0].upload_id, "i");
    ph_unfinished_clear(&p);

    test_case("white space belongs to a key");
    CHECK_INT(read_page(PAGE(UPLOAD(" a\n<![CDATA[ <b> ]]>", " i ", "")), &p), PH_OK);
    CHECK_STR(p.uploads[0].key, " a\n <b> ");
    CHECK_STR(p.uploads[0].upload_id, "i");
    ph_unfinished_clear(&p);
}

static void test_refused(void)
{
    static const struct {
        const char *body;
        int err;
    } cases[] = {
        {"", PH_ERR_BAD_XML},
        {"<html/>", PH_ERR_BAD_XML},
        {XML "<ListPartsResult/>", PH_ERR_BAD_XML},
        {XML "<Error><Code>InternalError</Code></Error>", PH_ERR_BAD_XML},
        {PAGE(UPLOAD("", "i", "")), PH_ERR_BAD_ANSWER},
        {PAGE(UPLOAD("k", "", "")), PH_ERR_BAD_ANSWER},
        {PAGE("<Upload><Key>k</Key></Upload>"), PH_ERR_BAD_ANSWER},
        {PAGE("<Upload/>"), PH_ERR_BAD_ANSWER},
        {PAGE("<IsTruncated>true</IsTruncated>" UPLOAD("k", "i", "")), PH_ERR_BAD_ANSWER},
        {PAGE(UPLOAD("<x>k</x>", "i", "")), PH_ERR_BAD_XML},
        {PAGE(UPLOAD("&#0;", "i", "")), PH_ERR_BAD_XML},
        {PAGE(UPLOAD("&nbsp;", "i", "")), PH_ERR_BAD_XML},
        {PAGE("<Upload>") "</Upload>", PH_ERR_BAD_XML},
    };
    ph_unfinished_page p;
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("refused %zu", i);
        CHECK_INT(read_page(cases[i].body, &p), cases[i].err);
        CHECK(!p.uploads && p.count == 0);
    }
    for (size_t len = 0; len < sizeof documented - 1; len++) {
        test_case("cut at %zu", len);
        CHECK(ph_unfinished_read(test_guard_str((ph_str){documented, len}), &p) != PH_OK);
    }
}

static void test_long(void)
{
    ph_unfinished_page p;
    ph_buf b;
    for (unsigned count = PH_UNFINISHED_MAX; count <= PH_UNFINISHED_MAX + 1; count++) {
        test_case("%u uploads", count);
        ph_buf_init(&b, 1u << 20);
        ph_buf_cstr(&b, "<ListMultipartUploadsResult>");
        for (unsigned i = 0; i < count; i++) {
            char upload[128];
            snprintf(upload, sizeof upload, UPLOAD("key %u", "id-%u", ""), i, i);
            ph_buf_cstr(&b, upload);
        }
        ph_buf_cstr(&b, "</ListMultipartUploadsResult>");
        int err = ph_unfinished_read(ph_buf_view(&b), &p);
        CHECK_INT(err, count > PH_UNFINISHED_MAX ? PH_ERR_BAD_ANSWER : PH_OK);
        if (err == PH_OK) {
            CHECK_STR(p.uploads[0].key, "key 0"); /* it did not move */
            CHECK_STR(p.uploads[count - 1].upload_id, "id-999");
            ph_unfinished_clear(&p);
        }
        ph_buf_clear(&b);
    }
}

static void test_memory(void)
{
    ph_unfinished_page p;
    for (unsigned n = 0;; n++) {
        test_case("allocation %u fails", n);
        test_alloc_fail_after(n);
        int err = ph_unfinished_read(ph_str_from(documented), &p);
        if (!test_alloc_end())
            break;
        CHECK_INT(err, PH_ERR_NOMEM);
    }
    ph_unfinished_clear(&p);
}

int main(void)
{
    test_pages();
    test_refused();
    test_long();
    test_memory();
    return test_end();
}
