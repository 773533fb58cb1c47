/* SPDX-License-Identifier: MIT
 *
 * Tests xml: documents as S3 sends them, what a strict reader must refuse, each cut short at every
 * byte before an unreadable page. A document's tokens are compared as one line of text:
 * "+a" opens, "-a" closes, "'text'" is text, "[text]" CDATA, "." the end, "!" an error.
 */
#include "test.h"
#include "core/xml.h"

#include <stdlib.h>
#include <string.h>

static const ph_str absent = {NULL, 0};

/* ---- Tokens ------------------------------------------------------------------------------------ */

static void list_tokens(ph_str input, ph_buf *out)
{
    ph_xml x;
    ph_xml_token t;
    unsigned depth = 0;
    ph_xml_init(&x, input);
    for (;;) {
        int err = ph_xml_next(&x, &t);
        if (err != PH_OK || t.kind == PH_XML_END) {
            ph_buf_char(out, err != PH_OK ? '!' : '.');
            CHECK_INT(ph_xml_next(&x, &t), err); /* for ever */
            CHECK(t.kind == PH_XML_END);
            CHECK(err == PH_OK || err == PH_ERR_BAD_XML);
            return;
        }
        switch (t.kind) {
        case PH_XML_OPEN:
            ph_buf_char(out, '+');
            ph_buf_str(out, t.name);
            CHECK_U64(t.depth, ++depth);
            break;
        case PH_XML_CLOSE:
            ph_buf_char(out, '-');
            ph_buf_str(out, t.name);
            CHECK_U64(t.depth, depth--);
            break;
        case PH_XML_TEXT:
            ph_buf_char(out, t.cdata ? '[' : '\'');
            ph_buf_str(out, t.text);
            ph_buf_char(out, t.cdata ? ']' : '\'');
            CHECK_U64(t.depth, depth);
            break;
        case PH_XML_END: break;
        }
        CHECK(x.pos <= input.len);
    }
}

static void check_tokens(ph_str input, const char *want)
{
    ph_buf b;
    ph_buf_init(&b, 1 << 20);
    list_tokens(test_guard_str(input), &b);
    CHECK_STR(ph_buf_view(&b), want);
    ph_buf_clear(&b);
}

static void test_tokens(void)
{
    static const struct {
        ph_str text;
        const char *tokens;
    } cases[] = {
        {BYTES("<a/>"), "+a-a."},
        {BYTES("<a></a>"), "+a-a."},
        {BYTES("<a>x</a>"), "+a'x'-a."},
        {BYTES("<a>x<b>y</b>z</a>"), "+a'x'+b'y'-b'z'-a."},
        {BYTES("<a><b/><c/></a>"), "+a+b-b+c-c-a."},
        {BYTES("<a><a><a/></a></a>"), "+a+a+a-a-a-a."},
        {BYTES(" \r\n\t<a> </a> \n"), "+a' '-a."},
        {BYTES("<?xml version=\"1.0\"?><a/>"), "+a-a."},
        {BYTES("<?xml version='1.0' encoding='UTF-8'?>\n<a/>"), "+a-a."},
        {BYTES("\n  <?xml version=\"1.0\" encoding=\"UTF-8\"?>  \n <a/>"), "+a-a."},
        {BYTES("\xef\xbb\xbf<?xml version=\"1.0\"?><a/>"), "+a-a."},
        {BYTES("<!-- c --><a><!-- <b> --></a><!-- - -->"), "+a-a."},
        {BYTES("<a>x<!---->y</a>"), "+a'x''y'-a."},
        {BYTES("<a><![CDATA[<b>&amp;]]]]><![CDATA[>]]></a>"), "+a[<b>&amp;]]][>]-a."},
        {BYTES("<a><![CDATA[]]></a>"), "+a[]-a."},
        {BYTES("<a>&lt;&#65;&x;</a>"), "+a'&lt;&#65;&x;'-a."},
        {BYTES("<a b=\"1\" c='2'/>"), "+a-a."},
        {BYTES("<a />"), "+a-a."},
        {BYTES("<a><b />x<b c=\"1\"\n/></a>"), "+a+b-b'x'+b-b-a."},
        {BYTES("<a b = \"1\"\n\tc\n=\n'2' ></a >"), "+a-a."},
        {BYTES("<a b=\"'>/>\" c='\"'/>"), "+a-a."},
        {BYTES("<a xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\" xmlns:x='u' x:y=''/>"),
         "+a-a."},
        {BYTES("<s3:a xmlns:s3=\"u\"><s3:b>1</s3:b></s3:a>"), "+a+b'1'-b-a."},
        {BYTES("<_a.b-c1/>"), "+_a.b-c1-_a.b-c1."},
        {BYTES("<\xc3\xbc>\xe2\x82\xac</\xc3\xbc>"), "+\xc3\xbc'\xe2\x82\xac'-\xc3\xbc."},
        {BYTES("<a>]]&gt; ] ]] &gt;></a>"), "+a']]&gt; ] ]] &gt;>'-a."},
        {BYTES("<a>\xef\xbf\xbd</a>"), "+a'\xef\xbf\xbd'-a."}, /* next to what is no character */
        {BYTES("<a>\x7f\t\r\n</a>"), "+a'\x7f\t\r\n'-a."},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("%s", cases[i].text.ptr);
        check_tokens(cases[i].text, cases[i].tokens);
        size_t end = cases[i].text.len;
        while (end > 0 && cases[i].text.ptr[end - 1] != '>')
            end--;
        if (ph_str_ends(cases[i].text, PH_STR("-->")))
            end = ph_str_find(cases[i].text, '/') + 3; /* the document was whole before that */
        for (size_t len = 0; len < end; len++) {
            ph_buf b;
            ph_buf_init(&b, 1000);
            list_tokens(test_guard_str((ph_str){cases[i].text.ptr, len}), &b);
            CHECK(b.len > 0 && b.ptr[b.len - 1] == '!');
            ph_buf_clear(&b);
        }
    }
}

static void test_refused(void)
{
    static const ph_str cases[] = {
        BYTES(""),
        BYTES(" "),
        BYTES("x"),
        BYTES("<"),
        BYTES("<>"),
        BYTES("</a>"),
        BYTES("<a>"),
        BYTES("<a/><b/>"),
        BYTES("<a></a><a></a>"),
        BYTES("<a/>x"),
        BYTES("x<a/>"),
        BYTES("<a/>&amp;"),
        BYTES("<a></b>"),
        BYTES("<a><b></a></b>"),
        BYTES("<a></A>"),
        BYTES("<a><b></a>"),
        BYTES("<x:a></a>"),
        BYTES("<x:a></y:a>"),
        BYTES("<a></a></a>"),
        BYTES("<a/></a>"),
        BYTES("<a b/>"),
        BYTES("<a b=1/>"),
        BYTES("<a b=\"1/>"),
        BYTES("<a b='1\"/>"),
        BYTES("<a b=\"<\"/>"),
        BYTES("<a b=\"1\"c=\"2\"/>"),
        BYTES("<ab=\"1\"/>"),
        BYTES("<a =\"1\"/>"),
        BYTES("<a / >"),
        BYTES("< a/>"),
        BYTES("<a/ >"),
        BYTES("<a></ a>"),
        BYTES("<a></a b=''>"),
        BYTES("<a></a/>"),
        BYTES("<1a/>"),
        BYTES("<-a/>"),
        BYTES("<.a/>"),
        BYTES("<:a/>"),
        BYTES("<a:/>"),
        BYTES("<a:b:c/>"),
        BYTES("<a::b/>"),
        BYTES("<a:1/>"),
        BYTES("<a$/>"),
        BYTES("<a <b/>>"),
        BYTES("<a"),
        BYTES("<a>&") /* structure */,
        BYTES("<!DOCTYPE a><a/>"),
        BYTES("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"),
        BYTES("<?xml version=\"1.0\"?><!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>"),
        BYTES("<a><!DOCTYPE b></a>"),
        BYTES("<a><!ELEMENT b></a>"),
        BYTES("<!doctype html><html/>"),
        BYTES("<?php ?><a/>"),
        BYTES("<a><?php ?></a>"),
        BYTES("<a/><?php ?>"),
        BYTES("<a/><?xml version=\"1.0\"?>"),
        BYTES("<a><?xml version=\"1.0\"?></a>"),
        BYTES("<?xml version=\"1.0\"?><?xml version=\"1.0\"?><a/>"),
        BYTES("<?xml?><a/>"),
        BYTES("<?xmlx version=\"1.0\"?><a/>"),
        BYTES("<?XML version=\"1.0\"?><a/>"),
        BYTES("<!-- --><?xml version=\"1.0\"?><a/>"),
        BYTES("<?xml version=\"1.0\"><a/>"),
        BYTES("<a><?xml-stylesheet href='x'?></a>") /* no DTD, no instructions */,
        BYTES("<!--><a/>"),
        BYTES("<!---><a/>"),
        BYTES("<!-- -- --><a/>"),
        BYTES("<!-- ---><a/>"),
        BYTES("<a><!-- </a>"),
        BYTES("<a><! -- --></a>"),
        BYTES("<![CDATA[x]]><a/>"),
        BYTES("<a/><![CDATA[ ]]>"),
        BYTES("<a><![CDATA[x</a>"),
        BYTES("<a><![cdata[x]]></a>"),
        BYTES("<a><![CDATA [x]]></a>"),
        BYTES("<a>x]]>y</a>") /* comments and CDATA */,
        BYTES("<a>\0</a>"),
        BYTES("<a>\x01</a>"),
        BYTES("<a>\x1f</a>"),
        BYTES("<a\0/>"),
        BYTES("<a/>\0"),
        BYTES("\0<a/>"),
        BYTES("<a>\x80</a>"),
        BYTES("<a>\xc3</a>"),
        BYTES("<a>\xc0\x80</a>"),
        BYTES("<a>\xed\xa0\x80</a>"),
        BYTES("<a>\xf4\x90\x80\x80</a>"),
        BYTES("<a>\xef\xbf\xbe</a>"),
        BYTES("<a>\xef\xbf\xbf</a>"),
        BYTES("<a b='\xff'/>"),
        BYTES("<\xff/>"),
        BYTES("<!--\xff--><a/>"),
        BYTES("<a/>\xa0"),
        BYTES("\xfe\xff\0<\0a\0/\0>"),
        BYTES("\xef\xbb\xbf\xef\xbb\xbf<a/>"),
        BYTES("<a/>\x0c") /* no characters of XML */,
        BYTES("{\"json\": true}"),
        BYTES("<html><p>Bad gateway<br></html>"),
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        ph_buf b;
        test_case("%zu, %s", i, cases[i].ptr);
        ph_buf_init(&b, 1000);
        list_tokens(test_guard_str(cases[i]), &b);
        CHECK(b.len > 0 && b.ptr[b.len - 1] == '!');
        ph_buf_clear(&b);
    }
    test_case("nothing");
    check_tokens(absent, "!");
}

static void test_depth(void)
{
    for (size_t depth = 31; depth <= 33; depth++) {
        test_case("depth %zu", depth);
        ph_buf b, out;
        ph_buf_init(&b, 1000);
        ph_buf_init(&out, 1000);
        for (size_t i = 0; i < depth; i++)
            ph_buf_cstr(&b, i + 1 == depth ? "<b/>" : "<a>");
        for (size_t i = 0; i < depth; i++)
            ph_buf_cstr(&b, i + 1 == depth ? "" : "</a>");
        list_tokens(test_guard_str(ph_buf_view(&b)), &out);
        CHECK(out.ptr[out.len - 1] == (depth <= 32 ? '.' : '!'));
        ph_buf_clear(&out);
        ph_buf_clear(&b);
    }
    static const char *const units[] = {"<a>", "<a><!---->", "<![CDATA[", "<a b=\"'\">", "</a>",
                                        "&",   "<!--",       "]]",        "<a/>",        "-"};
    for (size_t i = 0; i < COUNT(units); i++) {
        test_case("a million bytes of %s", units[i]);
        ph_buf b, out;
        ph_buf_init(&b, 1 << 20);
        ph_buf_init(&out, 1 << 22);
        ph_buf_cstr(&b, "<r>");
        while (b.len < 1000000)
            ph_buf_cstr(&b, units[i]);
        list_tokens(test_guard_str(ph_buf_view(&b)), &out);
        CHECK_INT(out.err, PH_OK);
        CHECK(out.ptr[out.len - 1] == '!');
        ph_buf_clear(&out);
        ph_buf_clear(&b);
    }
}

/* ---- Whole elements ---------------------------------------------------------------------------- */

static void test_content(void)
{
    static const struct {
        const char *inside, *content; /* NULL: refused */
    } cases[] = {
        {"", ""},
        {"x", "x"},
        {" \r\n\t x y \n", "x y"},
        {"&quot;etag&quot;", "\"etag\""},
        {"&#34;etag&#x22;", "\"etag\""},
        {"&#32;x&#32;", "x"},
        {" <![CDATA[ <&amp;> ]]> ", "<&amp;>"},
        {"a<!-- c -->b<![CDATA[c]]>d", "abcd"},
        {"<!-- -->  ", ""},
        {"<b/>", NULL},
        {"x<b>y</b>", NULL},
        {"x<!-- -- -->", NULL},
        {"&nbsp;", NULL},
        {"&", NULL},
        {"&#0;", NULL},
        {"a &amp;amp; b", "a &amp; b"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("content \"%s\"", cases[i].inside);
        ph_buf b, text;
        ph_buf_init(&b, 1000);
        ph_buf_cstr(&b, "<r><k>");
        ph_buf_cstr(&b, cases[i].inside);
        ph_buf_cstr(&b, "</k><n/></r>");
        ph_xml x;
        ph_xml_token t;
        ph_xml_init(&x, test_guard_str(ph_buf_view(&b)));
        CHECK_INT(ph_xml_next(&x, &t), PH_OK);
        CHECK_INT(ph_xml_next(&x, &t), PH_OK);
        CHECK_STR(t.name, "k");
        ph_buf_init(&text, 100);
        ph_buf_cstr(&text, " before ");
        int err = ph_xml_content(&x, &text);
        CHECK_INT(err, cases[i].content ? PH_OK : PH_ERR_BAD_XML);
        if (cases[i].content) {
            CHECK_STR(ph_buf_view_from(&text, 8), cases[i].content);
            CHECK_INT(ph_xml_next(&x, &t), PH_OK);
            CHECK(t.kind == PH_XML_OPEN);
            CHECK_STR(t.name, "n");
        } else {
            CHECK_INT(ph_xml_next(&x, &t), PH_ERR_BAD_XML); /* sticky */
        }
        ph_buf_clear(&text);
        ph_buf_clear(&b);
    }

    test_case("content without room: the reader goes on");
    ph_buf text;
    ph_xml x;
    ph_xml_token t;
    ph_buf_init(&text, 4);
    ph_xml_init(&x, PH_STR("<r>12345<!-- -->6</r>"));
    CHECK_INT(ph_xml_next(&x, &t), PH_OK);
    CHECK_INT(ph_xml_content(&x, &text), PH_ERR_TOO_LONG);
    CHECK_INT(ph_xml_next(&x, &t), PH_OK);
    CHECK(t.kind == PH_XML_END);
    ph_buf_clear(&text);

    test_case("content of a self-closed element");
    ph_buf_init(&text, 100);
    ph_xml_init(&x, PH_STR("<r/>"));
    CHECK_INT(ph_xml_next(&x, &t), PH_OK);
    CHECK_INT(ph_xml_content(&x, &text), PH_OK);
    CHECK_STR(ph_buf_view(&text), NULL);
    CHECK_INT(ph_xml_next(&x, &t), PH_OK);
    CHECK(t.kind == PH_XML_END);

    test_case("content where no element is open");
    CHECK_INT(ph_xml_content(&x, &text), PH_ERR_BAD_XML);
    test_alloc_fail_after(0);
    ph_xml_init(&x, PH_STR("<r>12345</r>"));
    CHECK_INT(ph_xml_next(&x, &t), PH_OK);
    CHECK_INT(ph_xml_content(&x, &text), PH_ERR_NOMEM);
    CHECK(test_alloc_end());
    ph_buf_clear(&text);
}

static void test_skip(void)
{
    static const char *const inside[] = {
        "",         "x",         "<s/>", "<k/>", "<k><k/>x</k>", "&bogus;x", "<s><t/>1</s>",
        "<!-- -->", " <s> </s> "};
    for (size_t i = 0; i < COUNT(inside); i++) {
        test_case("skip \"%s\"", inside[i]);
        ph_buf b;
        ph_buf_init(&b, 1000);
        ph_buf_cstr(&b, "<r><k>");
        ph_buf_cstr(&b, inside[i]);
        ph_buf_cstr(&b, "</k><n/></r>");
        ph_xml x;
        ph_xml_token t;
        ph_xml_init(&x, test_guard_str(ph_buf_view(&b)));
        CHECK_INT(ph_xml_next(&x, &t), PH_OK);
        CHECK_INT(ph_xml_next(&x, &t), PH_OK);
        CHECK_INT(ph_xml_skip(&x), PH_OK);
        CHECK_INT(ph_xml_next(&x, &t), PH_OK);
        CHECK_STR(t.name, "n");
        CHECK_INT(ph_xml_skip(&x), PH_OK);
        CHECK_INT(ph_xml_next(&x, &t), PH_OK);
        CHECK(t.kind == PH_XML_CLOSE);
        CHECK_INT(ph_xml_next(&x, &t), PH_OK);
        CHECK(t.kind == PH_XML_END);
        CHECK_INT(ph_xml_skip(&x), PH_ERR_BAD_XML); /* nothing is open */
        ph_buf_clear(&b);
    }
    test_case("skip what is broken");
    ph_xml x;
    ph_xml_token t;
    ph_xml_init(&x, PH_STR("<r><k><b></k></r>"));
    CHECK_INT(ph_xml_next(&x, &t), PH_OK);
    CHECK_INT(ph_xml_skip(&x), PH_ERR_BAD_XML);
    CHECK_INT(ph_xml_skip(&x), PH_ERR_BAD_XML);
}

/* ---- Documents --------------------------------------------------------------------------------- */

static const char complete[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<CompleteMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n"
    "  <Location>https://b.s3.amazonaws.com/a%20b&amp;c</Location>\n"
    "  <Key><![CDATA[a b&c]]></Key>\n  <ETag>&quot;4d45984f-3&quot;</ETag>\n"
    "</CompleteMultipartUploadResult>\n";

/* A byte changed at every place: whatever is made of it, nothing breaks. */
static void test_mutated(void)
{
    static const char bytes[] = "\0<>/&;!?-[]:\"' x\x80\xff";
    char text[sizeof complete];
    test_case("mutated");
    for (size_t i = 0; i < sizeof complete - 1; i++) {
        for (size_t k = 0; k < sizeof bytes - 1; k++) {
            ph_buf b;
            memcpy(text, complete, sizeof complete);
            text[i] = bytes[k];
            ph_buf_init(&b, 10000);
            list_tokens(test_guard_str((ph_str){text, sizeof complete - 1}), &b);
            CHECK(b.len > 0);
            ph_buf_clear(&b);
        }
    }
}

/* The content of the first element of that name. */
static void find_content(ph_str input, const char *name, ph_buf *out)
{
    ph_xml x;
    ph_xml_token t;
    ph_xml_init(&x, input);
    do {
        if (!CHECK_INT(ph_xml_next(&x, &t), PH_OK) || !CHECK(t.kind != PH_XML_END))
            return;
    } while (t.kind != PH_XML_OPEN || !ph_str_equal(t.name, ph_str_from(name)));
    CHECK_INT(ph_xml_content(&x, out), PH_OK);
}

static void test_shared(void)
{
    static const struct {
        const char *file, *element, *content;
    } cases[] = {
        {"complete-ok.xml", "CompleteMultipartUploadResult", NULL},
        {"complete-200-error-internal.xml", "Error", NULL},
        {"create-ok-no-namespace.xml", "InitiateMultipartUploadResult", NULL},
        {"error-access-denied-one-line.xml", "Code", "AccessDenied"},
        {"error-request-time-too-skewed.xml", "Code", "RequestTimeTooSkewed"},
        {"list-parts-page-1.xml", "IsTruncated", "true"},
        {"list-parts-page-2.xml", "IsTruncated", "false"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char path[100] = "s3-xml-responses/";
        strcat(path, cases[i].file);
        ph_buf file, text;
        if (test_vectors(path, &file)) {
            test_case("%s", cases[i].file);
            ph_str body = test_guard_str(ph_buf_view(&file));
            ph_buf_init(&text, 10000);
            list_tokens(body, &text);
            CHECK(text.len > 0 && text.ptr[text.len - 1] == '.');
            ph_buf_reset(&text);
            if (cases[i].content) {
                find_content(body, cases[i].element, &text);
                CHECK_STR(ph_buf_view(&text), cases[i].content);
            } else {
                ph_xml x;
                ph_xml_token t;
                ph_xml_init(&x, body);
                CHECK_INT(ph_xml_next(&x, &t), PH_OK);
                CHECK(t.kind == PH_XML_OPEN);
                CHECK_STR(t.name, cases[i].element);
                CHECK_INT(ph_xml_skip(&x), PH_OK);
            }
            size_t end = ph_str_trim(ph_buf_view(&file)).len;
            for (size_t len = 0; len < end; len++) {
                ph_buf_reset(&text);
                list_tokens(test_guard_str((ph_str){file.ptr, len}), &text);
                CHECK(text.len > 0 && text.ptr[text.len - 1] == '!');
            }
            ph_buf_clear(&text);
        }
        ph_buf_clear(&file);
    }
}

int main(void)
{
    ph_buf text;
    test_case("complete");
    ph_buf_init(&text, 1000);
    find_content(test_guard_str((ph_str){complete, sizeof complete - 1}), "ETag", &text);
    CHECK_STR(ph_buf_view(&text), "\"4d45984f-3\"");
    ph_buf_clear(&text);
    find_content(test_guard_str((ph_str){complete, sizeof complete - 1}), "Key", &text);
    CHECK_STR(ph_buf_view(&text), "a b&c");
    ph_buf_clear(&text);
    test_tokens();
    test_refused();
    test_depth();
    test_content();
    test_skip();
    test_mutated();
    test_shared();
    return test_end();
}
