/* SPDX-License-Identifier: MIT
 *
 * date - the three date forms of S3, from and to milliseconds since 1970. Proleptic Gregorian
 * calendar, years 1970 to 9999, no leap seconds, UTC only.
 */
#ifndef PH_DATE_H
#define PH_DATE_H

#include "../parthaul.h"

/* Write "20130524T000000Z", NUL-terminated. The first 8 bytes are the credential scope's date. */
void ph_date_basic(uint64_t ms, char out[17]);

/* Write "2013-05-24T00:00:00Z", NUL-terminated. */
void ph_date_iso(uint64_t ms, char out[21]);

/*
 * Read any of 20130524T000000Z, 2013-05-24T00:00:00Z, 2013-05-24T00:00:00.123Z (1 to 9 digits),
 * a numeric zone offset instead of Z, and HTTP's "Fri, 24 May 2013 00:00:00 GMT".
 * Errors: PH_ERR_BAD_DATE.
 */
int ph_date_parse(ph_str s, uint64_t *out_ms);

#endif
