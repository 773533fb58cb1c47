/* SPDX-License-Identifier: MIT
 *
 * xml - a pull tokenizer over one complete, bounded buffer. It knows what S3 and STS write:
 * elements, attributes (checked and skipped), text, entities, CDATA, comments, a declaration.
 * It refuses a DOCTYPE, processing instructions, more than 32 levels, unclosed or crossed elements,
 * what is no UTF-8 or no character of XML, and anything but white space and comments before or
 * behind the root element. White space may come even before the declaration: servers send it to
 * keep the connection. No allocation: tokens are views into the input.
 */
#ifndef PH_XML_H
#define PH_XML_H

#include "buf.h"

#define PH_XML_MAX_DEPTH 32

typedef enum ph_xml_kind {
    PH_XML_OPEN,  /* name */
    PH_XML_CLOSE, /* name */
    PH_XML_TEXT,  /* raw, still with entities, also between elements; CDATA with cdata set */
    PH_XML_END,   /* the root element is closed and only white space followed */
} ph_xml_kind;

typedef struct ph_xml_token {
    ph_xml_kind kind;
    ph_str name; /* without a namespace prefix */
    ph_str text;
    bool cdata;
    unsigned depth; /* of the element that was opened or closed, or holds the text; root is 1 */
} ph_xml_token;

typedef struct ph_xml {
    ph_str input;
    size_t pos;
    int err; /* sticky */
    unsigned depth;
    bool rooted;                   /* the root element was opened */
    bool closing;                  /* a self-closed element's CLOSE is still to be told */
    ph_str open[PH_XML_MAX_DEPTH]; /* full names of the open elements */
} ph_xml;

void ph_xml_init(ph_xml *x, ph_str input);

/*
 * Give the next token. After PH_XML_END or an error the same answer comes for ever.
 * Errors: PH_ERR_BAD_XML.
 */
int ph_xml_next(ph_xml *x, ph_xml_token *out);

/*
 * After an OPEN token: add the element's text, decoded and trimmed of white space, to `b` and go
 * behind its CLOSE. An element inside it is an error. Errors: PH_ERR_BAD_XML, those of buf.
 */
int ph_xml_content(ph_xml *x, ph_buf *b);

/* After an OPEN token: go behind its CLOSE, whatever is in it. Errors: PH_ERR_BAD_XML. */
int ph_xml_skip(ph_xml *x);

#endif
