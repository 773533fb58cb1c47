/* SPDX-License-Identifier: MIT
 *
 * See prefix.h. What a claim may become is decided in one place, ph_user_segment of the core.
 */
#include "prefix.h"

#include <string.h>

#include "core/endpoint.h"
#include "core/str.h"
#include "core/sts.h"
#include "jwt.h"

#define MAX_CLAIM_NAME 128
#define SEGMENT_MAX 64 /* of ph_user_segment */

/* The claim that a segment stands for; absent: it is literal. */
static ph_str claim_of(ph_str segment)
{
    bool braces = segment.len > 2 && segment.ptr[0] == '{' && segment.ptr[segment.len - 1] == '}';
    return braces ? (ph_str){segment.ptr + 1, segment.len - 2} : (ph_str){NULL, 0};
}

/* Cut at the next "/" that is not in a claim's name, as in {https://example.com/user_id}/. */
static ph_str cut_segment(ph_str *rest)
{
    ph_str segment = *rest;
    size_t name_len = ph_str_starts(*rest, PH_STR("{")) ? ph_str_find(*rest, '}') : 0;
    *rest = ph_str_skip(*rest, name_len);
    segment.len = name_len + ph_str_cut(rest, '/').len;
    return segment;
}

/* see prefix.h */
const char *api_prefix_check(ph_str pattern)
{
    if (!ph_str_ends(pattern, PH_STR("/")))
        return "does not end in \"/\"";
    if (pattern.len > 512)
        return "is longer than 512 bytes";
    if (ph_str_starts(pattern, PH_STR("/")))
        return "begins with \"/\"";
    for (ph_str rest = pattern; rest.len > 0;) {
        ph_str segment = cut_segment(&rest);
        ph_str claim = claim_of(segment);
        if (claim.len > MAX_CLAIM_NAME)
            return "has the name of a claim of more than 128 bytes";
        ph_str inner = claim.ptr ? claim : segment;
        if (ph_str_find(inner, '{') < inner.len || ph_str_find(inner, '}') < inner.len)
            return "has a claim in braces that is not a whole segment, as upload/{sub}/";
        if (segment.len == 0)
            return "has an empty segment";
    }
    return NULL;
}

static api_verdict add_claim(ph_str name, const ph_json *claims, ph_buf *out)
{
    char text[MAX_CLAIM_NAME + 1];
    memcpy(text, name.ptr, name.len); /* checked at the start */
    text[name.len] = '\0';
    ph_str value = ph_json_member_text(claims, text);
    if (value.len == 0)
        return (api_verdict){API_FORBIDDEN,
                             "the token lacks a claim that the upload prefix contains"};
    if (value.len > API_USER_MAX)
        return (api_verdict){API_FORBIDDEN,
                             "a claim that the upload prefix contains is longer than 1,024 bytes"};
    ph_user_segment(value, out);
    return (api_verdict){API_NO_PROBLEM, NULL};
}

/* see prefix.h */
api_verdict api_prefix_make(ph_str pattern, const ph_json *claims, ph_buf *out)
{
    for (ph_str rest = pattern; rest.len > 0;) {
        ph_str segment = cut_segment(&rest);
        ph_str claim = claim_of(segment);
        if (claim.ptr) {
            api_verdict verdict = add_claim(claim, claims, out);
            if (verdict.problem != API_NO_PROBLEM)
                return verdict;
        } else {
            ph_buf_str(out, segment);
        }
        ph_buf_char(out, '/');
    }
    return (api_verdict){out->err == PH_OK ? API_NO_PROBLEM : API_INTERNAL, NULL};
}

/* see prefix.h */
void api_prefix_longest(ph_str pattern, ph_buf *out)
{
    for (ph_str rest = pattern; rest.len > 0;) {
        ph_str segment = cut_segment(&rest);
        if (claim_of(segment).ptr)
            for (int i = 0; i < SEGMENT_MAX; i++)
                ph_buf_char(out, 'x');
        else
            ph_buf_str(out, segment);
        ph_buf_char(out, '/');
    }
}
