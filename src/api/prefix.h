/* SPDX-License-Identifier: MIT
 *
 * prefix - where a user may write: a template of the operator's, filled with verified claims.
 * "upload/{sub}/" and "builds/{product}/{build}/" are templates.
 */
#ifndef API_PREFIX_H
#define API_PREFIX_H

#include "core/json.h"
#include "problem.h"
#include "core/buf.h"

/*
 * Is this a template? NULL, or what is wrong. A claim takes a whole segment between slashes, so that
 * two users never share a prefix unless all their claims in it are the same: "{a}-{b}" could not
 * tell x-y of z from x of y-z. The claim's name may have slashes itself.
 */
const char *api_prefix_check(ph_str pattern);

/*
 * Fill a template. Each claim has to be a text that is not empty; what cannot stand in a key and in
 * a policy as it is, is replaced by what ph_user_segment makes of it.
 */
api_verdict api_prefix_make(ph_str pattern, const ph_json *claims, ph_buf *out);

/* The longest that a template can become, whatever the claims say; for checking at the start. */
void api_prefix_longest(ph_str pattern, ph_buf *out);

#endif
