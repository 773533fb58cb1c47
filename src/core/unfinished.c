/* SPDX-License-Identifier: MIT
 *
 * ListMultipartUploads' answer. Source: its page of the S3 API reference. Keys come as they are,
 * not by encoding-type=url: SeaweedFS says that it encodes them, and does not; a "+" would then be
 * taken for a space.
 */
#include "unfinished.h"

#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "enc.h"
#include "xml.h"

/* After an OPEN token: the element's text in the page's own memory, which does not move. */
static int content(ph_xml *x, ph_unfinished_page *p, ph_str *out)
{
    size_t from = p->text.len;
    int err = ph_xml_content(x, &p->text);
    *out = ph_buf_view_from(&p->text, from);
    return err;
}

/* The same for a key, to whose name white space at its ends belongs. */
static int key(ph_xml *x, ph_unfinished_page *p, ph_str *out)
{
    size_t from = p->text.len;
    for (;;) {
        ph_xml_token t;
        int err = ph_xml_next(x, &t);
        if (err == PH_OK && t.kind == PH_XML_TEXT && t.cdata)
            ph_buf_str(&p->text, t.text);
        else if (err == PH_OK && t.kind == PH_XML_TEXT)
            err = ph_dec_xml(&p->text, t.text);
        else if (err == PH_OK && t.kind != PH_XML_CLOSE)
            err = PH_ERR_BAD_XML;
        *out = ph_buf_view_from(&p->text, from);
        if (err != PH_OK || t.kind == PH_XML_CLOSE)
            return err;
    }
}

static int read_upload(ph_xml *x, ph_unfinished_page *p)
{
    ph_unfinished u = {0};
    for (;;) {
        ph_xml_token t;
        ph_str text;
        int err = ph_xml_next(x, &t);
        if (err != PH_OK)
            return err;
        if (t.kind == PH_XML_CLOSE)
            break;
        if (t.kind != PH_XML_OPEN)
            continue;
        if (ph_str_equal(t.name, PH_STR("Key"))) {
            err = key(x, p, &u.key);
        } else if (ph_str_equal(t.name, PH_STR("UploadId"))) {
            err = content(x, p, &u.upload_id);
        } else if (ph_str_equal(t.name, PH_STR("Initiated"))) {
            err = content(x, p, &text);
            if (err == PH_OK && ph_date_parse(text, &u.initiated_ms) != PH_OK)
                u.initiated_ms = 0;
        } else {
            err = ph_xml_skip(x);
        }
        if (err != PH_OK)
            return err;
    }
    if (!u.key.len || !u.upload_id.len || p->count == PH_UNFINISHED_MAX)
        return PH_ERR_BAD_ANSWER;
    p->uploads[p->count++] = u;
    return PH_OK;
}

static int read_field(ph_xml *x, ph_str name, ph_unfinished_page *p)
{
    if (ph_str_equal(name, PH_STR("Upload")))
        return read_upload(x, p);
    if (ph_str_equal(name, PH_STR("NextKeyMarker")))
        return key(x, p, &p->key_marker);
    if (ph_str_equal(name, PH_STR("NextUploadIdMarker")))
        return content(x, p, &p->upload_id_marker);
    if (ph_str_equal(name, PH_STR("IsTruncated"))) {
        ph_str text;
        int err = content(x, p, &text);
        p->truncated = ph_str_equal(text, PH_STR("true"));
        return err;
    }
    return ph_xml_skip(x);
}

static int read_page(ph_str body, ph_unfinished_page *p)
{
    ph_xml x;
    ph_xml_token t;
    ph_xml_init(&x, body);
    int err = ph_xml_next(&x, &t);
    if (err == PH_OK && !ph_str_equal(t.name, PH_STR("ListMultipartUploadsResult")))
        err = PH_ERR_BAD_XML;
    while (err == PH_OK) {
        err = ph_xml_next(&x, &t);
        if (err == PH_OK && t.kind == PH_XML_END)
            break;
        if (err == PH_OK && t.kind == PH_XML_OPEN)
            err = read_field(&x, t.name, p);
    }
    /* SeaweedFS has only the id's, and with a key's beside it leaves uploads out. */
    if (err == PH_OK && p->truncated && !p->key_marker.len && !p->upload_id_marker.len)
        err = PH_ERR_BAD_ANSWER;
    return err;
}

/* see unfinished.h */
int ph_unfinished_read(ph_str body, ph_unfinished_page *out)
{
    memset(out, 0, sizeof *out);
    /* Decoding never makes a text longer, so nothing will move. */
    ph_buf_init(&out->text, body.len);
    ph_buf_reserve(&out->text, body.len);
    out->uploads = calloc(PH_UNFINISHED_MAX, sizeof *out->uploads);
    int err = out->text.err == PH_OK && out->uploads ? read_page(body, out) : PH_ERR_NOMEM;
    if (err != PH_OK)
        ph_unfinished_clear(out);
    return err;
}

/* see unfinished.h */
void ph_unfinished_clear(ph_unfinished_page *p)
{
    free(p->uploads);
    ph_buf_clear(&p->text);
    memset(p, 0, sizeof *p);
}
