/* SPDX-License-Identifier: MIT
 *
 * date - dates by arithmetic, without the C library: gmtime and strptime depend on locale and
 * platform, and timegm is no standard. RFC 3339 (narrowed), SigV4's basic form, RFC 9110's
 * IMF-fixdate.
 */
#include "date.h"

#include "str.h"

#include <string.h>

#define DAY_MS UINT64_C(86400000)
#define LAST_MS UINT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

typedef struct date {
    unsigned year, month, day, hour, minute, second;
} date;

/* ---- The calendar ---------------------------------------------------------------------------- */

/*
 * Years are counted from March, so that the leap day is a year's last: then the days before a
 * month are (153 * m + 2) / 5, and 400 years have 146,097 days. 1970-01-01 is 719,468 days after
 * 0000-03-01.
 */
#define EPOCH_DAYS 719468u
#define CYCLE_DAYS 146097u

static uint64_t days_from(unsigned year, unsigned month, unsigned day)
{
    unsigned y = month > 2 ? year : year - 1;
    unsigned m = month > 2 ? month - 3 : month + 9;
    return (uint64_t)y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - EPOCH_DAYS;
}

static date date_from(uint64_t ms)
{
    if (ms > LAST_MS)
        ms = LAST_MS;
    unsigned days = (unsigned)(ms / DAY_MS) + EPOCH_DAYS;
    unsigned seconds = (unsigned)(ms % DAY_MS / 1000);
    unsigned cycle = days / CYCLE_DAYS, in_cycle = days % CYCLE_DAYS;
    unsigned year = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
    unsigned in_year = in_cycle - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * in_year + 2) / 153;
    return (date){
        .year = cycle * 400 + year + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = in_year - (153 * month + 2) / 5 + 1,
        .hour = seconds / 3600,
        .minute = seconds / 60 % 60,
        .second = seconds % 60,
    };
}

static bool is_date(const date *d)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (d->year < 1970 || d->month < 1 || d->month > 12 || d->day < 1)
        return false;
    bool leap = d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);
    unsigned last = days[d->month - 1] + (d->month == 2 && leap ? 1u : 0u);
    return d->day <= last && d->hour < 24 && d->minute < 60 && d->second < 60;
}

static uint64_t ms_from(const date *d)
{
    uint64_t days = days_from(d->year, d->month, d->day);
    return days * DAY_MS + ((d->hour * 60u + d->minute) * 60u + d->second) * UINT64_C(1000);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void put(char *out, unsigned value, size_t digits)
{
    for (; digits > 0; value /= 10)
        out[--digits] = (char)('0' + value % 10);
}

void ph_date_basic(uint64_t ms, char out[17])
{
    date d = date_from(ms);
    memcpy(out, "YYYYMMDDThhmmssZ", 17);
    put(out, d.year, 4);
    put(out + 4, d.month, 2);
    put(out + 6, d.day, 2);
    put(out + 9, d.hour, 2);
    put(out + 11, d.minute, 2);
    put(out + 13, d.second, 2);
}

void ph_date_iso(uint64_t ms, char out[21])
{
    date d = date_from(ms);
    memcpy(out, "YYYY-MM-DDThh:mm:ssZ", 21);
    put(out, d.year, 4);
    put(out + 5, d.month, 2);
    put(out + 8, d.day, 2);
    put(out + 11, d.hour, 2);
    put(out + 14, d.minute, 2);
    put(out + 17, d.second, 2);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* A text that is read from the front; `bad` is sticky, so a form is read without looking. */
typedef struct reader {
    ph_str rest;
    bool bad;
} reader;

static void skip(reader *r, const char *text)
{
    ph_str expected = ph_str_from(text);
    if (!ph_str_starts(r->rest, expected))
        r->bad = true;
    else
        r->rest = ph_str_skip(r->rest, expected.len);
}

static unsigned number(reader *r, size_t digits)
{
    uint64_t value = 0;
    if (r->rest.len < digits || !ph_str_u64((ph_str){r->rest.ptr, digits}, &value)) {
        r->bad = true;
        return 0;
    }
    r->rest = ph_str_skip(r->rest, digits);
    return (unsigned)value;
}

/* The place (from 0) in a list of three-letter names. */
static unsigned name(reader *r, const char *names)
{
    for (unsigned i = 0; names[3 * i] != '\0'; i++) {
        if (ph_str_starts(r->rest, (ph_str){names + 3 * i, 3})) {
            r->rest = ph_str_skip(r->rest, 3);
            return i;
        }
    }
    r->bad = true;
    return 0;
}

static bool next_is(const reader *r, char c)
{
    return r->rest.len > 0 && r->rest.ptr[0] == c;
}

/* ".123", 1 to 9 digits; finer than a millisecond is cut off. */
static unsigned read_fraction(reader *r)
{
    unsigned ms = 0, weight = 100;
    size_t digits = 0;
    skip(r, ".");
    for (; r->rest.len > 0 && r->rest.ptr[0] >= '0' && r->rest.ptr[0] <= '9'; digits++) {
        ms += number(r, 1) * weight;
        weight /= 10;
    }
    if (digits < 1 || digits > 9)
        r->bad = true;
    return ms;
}

/* "Z" or "+02:00": how many minutes the zone is ahead of UTC. */
static int read_zone(reader *r)
{
    if (next_is(r, 'Z')) {
        skip(r, "Z");
        return 0;
    }
    bool behind = next_is(r, '-');
    skip(r, behind ? "-" : "+");
    unsigned hours = number(r, 2);
    if (next_is(r, ':'))
        skip(r, ":");
    unsigned minutes = number(r, 2);
    if (hours > 23 || minutes > 59)
        r->bad = true;
    return (behind ? -1 : 1) * (int)(hours * 60 + minutes);
}

static date read_http(reader *r)
{
    date d = {0};
    unsigned weekday = name(r, "ThuFriSatSunMonTueWed"); /* 1970-01-01 was a Thursday */
    skip(r, ", ");
    d.day = number(r, 2);
    skip(r, " ");
    d.month = name(r, "JanFebMarAprMayJunJulAugSepOctNovDec") + 1;
    skip(r, " ");
    d.year = number(r, 4);
    skip(r, " ");
    d.hour = number(r, 2);
    skip(r, ":");
    d.minute = number(r, 2);
    skip(r, ":");
    d.second = number(r, 2);
    skip(r, " GMT");
    if (!r->bad && is_date(&d) && days_from(d.year, d.month, d.day) % 7 != weekday)
        r->bad = true;
    return d;
}

/* Both ISO forms: `extended` has separators. */
static date read_iso(reader *r, bool extended)
{
    date d = {0};
    d.year = number(r, 4);
    skip(r, extended ? "-" : "");
    d.month = number(r, 2);
    skip(r, extended ? "-" : "");
    d.day = number(r, 2);
    skip(r, "T");
    d.hour = number(r, 2);
    skip(r, extended ? ":" : "");
    d.minute = number(r, 2);
    skip(r, extended ? ":" : "");
    d.second = number(r, 2);
    return d;
}

int ph_date_parse(ph_str s, uint64_t *out_ms)
{
    reader r = {s, false};
    date d;
    unsigned fraction = 0;
    int zone = 0;
    if (s.len > 3 && s.ptr[3] == ',') {
        d = read_http(&r);
    } else {
        bool extended = s.len > 4 && s.ptr[4] == '-';
        d = read_iso(&r, extended);
        if (extended && next_is(&r, '.'))
            fraction = read_fraction(&r);
        zone = read_zone(&r);
    }
    if (r.bad || r.rest.len > 0 || !is_date(&d))
        return PH_ERR_BAD_DATE;
    int64_t ms = (int64_t)ms_from(&d) + fraction - (int64_t)zone * 60000;
    if (ms < 0 || (uint64_t)ms > LAST_MS)
        return PH_ERR_BAD_DATE;
    *out_ms = (uint64_t)ms;
    return PH_OK;
}
