/* SPDX-License-Identifier: MIT
 *
 * Tests date: the calendar of 1970 to 9999 against counting day by day, and what is no date.
 */
#include "test.h"
#include "core/date.h"
#include "core/str.h"

#include <stdio.h>
#include <string.h>

#define LAST_MS UINT64_C(253402300799999)

static const char *const weekdays[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* Each day of 1970 to 2400, the ends of all months till 9999, written and read in all forms. */
static void test_calendar(void)
{
    unsigned days = 0;
    for (unsigned year = 1970; year <= 9999; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        for (unsigned month = 1; month <= 12; month++) {
            unsigned last = month == 2 ? (leap ? 29 : 28)
                            : month == 4 || month == 6 || month == 9 || month == 11 ? 30
                                                                                    : 31;
            for (unsigned day = 1; day <= last; day++, days++) {
                if (year > 2400 && day > 1 && day < last)
                    continue;
                char basic[17], iso[21], want[64];
                unsigned hour = days % 24, minute = days % 60, second = days % 59;
                uint64_t ms = days * UINT64_C(86400000) +
                              ((hour * 60 + minute) * 60 + second) * UINT64_C(1000);
                uint64_t read[3] = {0, 0, 0};
                ph_date_basic(ms + 999, basic);
                ph_date_iso(ms, iso);
                snprintf(want, sizeof want, "%04u%02u%02uT%02u%02u%02uZ", year, month, day, hour,
                         minute, second);
                bool same = strcmp(want, basic) == 0 &&
                            ph_date_parse((ph_str){want, 16}, &read[0]) == PH_OK;
                snprintf(want, sizeof want, "%04u-%02u-%02uT%02u:%02u:%02uZ", year, month, day,
                         hour, minute, second);
                same = same && strcmp(want, iso) == 0 &&
                       ph_date_parse((ph_str){want, 20}, &read[1]) == PH_OK;
                snprintf(want, sizeof want, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                         weekdays[days % 7], day, months[month - 1], year, hour, minute, second);
                same = same && ph_date_parse((ph_str){want, 29}, &read[2]) == PH_OK;
                same = same && read[0] == ms && read[1] == ms && read[2] == ms;
                if (!same || (day == last && month == 12)) {
                    test_case("%s", iso);
                    CHECK(same);
                }
            }
        }
    }
    test_case("days from 1970 to 9999");
    CHECK_U64(days * UINT64_C(86400000) - 1, LAST_MS);
}

static void test_write(void)
{
    static const struct {
        uint64_t ms;
        const char *basic, *iso;
    } cases[] = {
        {0, "19700101T000000Z", "1970-01-01T00:00:00Z"},
        {999, "19700101T000000Z", "1970-01-01T00:00:00Z"},
        {UINT64_C(1369353600000), "20130524T000000Z", "2013-05-24T00:00:00Z"},
        {UINT64_C(951782400000), "20000229T000000Z", "2000-02-29T00:00:00Z"},
        {LAST_MS, "99991231T235959Z", "9999-12-31T23:59:59Z"},
        {LAST_MS + 1, "99991231T235959Z", "9999-12-31T23:59:59Z"},
        {UINT64_MAX, "99991231T235959Z", "9999-12-31T23:59:59Z"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char basic[17], iso[21];
        test_case("%s", cases[i].iso);
        ph_date_basic(cases[i].ms, basic);
        ph_date_iso(cases[i].ms, iso);
        CHECK_STR(ph_str_from(basic), cases[i].basic);
        CHECK_STR(ph_str_from(iso), cases[i].iso);
    }
}

static void test_parse(void)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } cases[] = {
        {"2013-05-24T00:00:00.000Z", UINT64_C(1369353600000)},
        {"2013-05-24T00:00:00.1Z", UINT64_C(1369353600100)},
        {"2013-05-24T00:00:00.12Z", UINT64_C(1369353600120)},
        {"2013-05-24T00:00:00.123Z", UINT64_C(1369353600123)},
        {"2013-05-24T00:00:00.123999999Z", UINT64_C(1369353600123)},
        {"2013-05-24T02:00:00+02:00", UINT64_C(1369353600000)},
        {"2013-05-24T02:00:00+0200", UINT64_C(1369353600000)},
        {"2013-05-23T18:30:00.5-05:30", UINT64_C(1369353600500)},
        {"2013-05-24T00:00:00+00:00", UINT64_C(1369353600000)},
        {"2013-05-24T00:00:00-00:00", UINT64_C(1369353600000)},
        {"20130524T020000+0200", UINT64_C(1369353600000)},
        {"Fri, 24 May 2013 00:00:00 GMT", UINT64_C(1369353600000)},
        {"2020-02-29T23:59:59Z", UINT64_C(1583020799000)},
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T01:00:00+01:00", 0},
        {"9999-12-31T23:59:59.999Z", LAST_MS},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("%s", cases[i].text);
        uint64_t ms = 1;
        CHECK_INT(ph_date_parse(test_guard_str(ph_str_from(cases[i].text)), &ms), PH_OK);
        CHECK_U64(ms, cases[i].ms);
        for (size_t len = 0; len < strlen(cases[i].text); len++) {
            ph_str cut = test_guard_str((ph_str){cases[i].text, len});
            CHECK_INT(ph_date_parse(cut, &ms), PH_ERR_BAD_DATE);
        }
    }
}

static void test_refused(void)
{
    static const char *const cases[] = {
        "",
        "x",
        "now",
        "0",
        "2013",
        "2013-05-24",
        "20130524",
        "2013-05-24T00:00:00",
        "20130524T000000",
        "20130524T000000.5Z",
        "2013-05-24 00:00:00Z",
        "2013-05-24t00:00:00z",
        "2013-05-24T00:00:00Z ",
        " 2013-05-24T00:00:00Z",
        "2013-05-24T00:00:00.Z",
        "2013-05-24T00:00:00.1234567890Z",
        "2013-05-24T00:00:00,5Z",
        "2013-05-24T000000Z",
        "20130524T00:00:00Z",
        "2013-0524T00:00:00Z",
        /* no such day or time */
        "2013-00-24T00:00:00Z",
        "2013-13-24T00:00:00Z",
        "2013-05-00T00:00:00Z",
        "2013-05-32T00:00:00Z",
        "2013-04-31T00:00:00Z",
        "2013-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2000-02-30T00:00:00Z",
        "2013-05-24T24:00:00Z",
        "2013-05-24T00:60:00Z",
        "2016-12-31T23:59:60Z",
        /* zones */
        "2013-05-24T00:00:00+24:00",
        "2013-05-24T00:00:00+00:60",
        "2013-05-24T00:00:00+1:00",
        "2013-05-24T00:00:00+01",
        "2013-05-24T00:00:00+01:0",
        "2013-05-24T00:00:00ZZ",
        "2013-05-24T00:00:00+01:00Z",
        "2013-05-24T00:00:00GMT",
        /* before 1970, after 9999 */
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        /* signs and spaces that a lenient number reader takes */
        "+013-05-24T00:00:00Z",
        "2013-+5-24T00:00:00Z",
        "2013- 5-24T00:00:00Z",
        "2013-05-24T00:00:-1Z",
        /* HTTP */
        "Thu, 24 May 2013 00:00:00 GMT",
        "fri, 24 May 2013 00:00:00 GMT",
        "Fri, 24 may 2013 00:00:00 GMT",
        "Fri, 24 May 2013 00:00:00",
        "Fri, 24 May 13 00:00:00 GMT",
        "Fri, 24 May 2013 00:00:00 UTC",
        "Fri, 24 May 2013 00:00:00 +0000",
        "Fri 24 May 2013 00:00:00 GMT",
        "Friday, 24-May-13 00:00:00 GMT",
        "Fri May 24 00:00:00 2013",
        "Fri, 31 Apr 2013 00:00:00 GMT",
        "Fri, 4 May 2013 00:00:00 GMT",
        "Xxx, 24 May 2013 00:00:00 GMT",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("\"%s\"", cases[i]);
        uint64_t ms = 42;
        CHECK_INT(ph_date_parse(test_guard_str(ph_str_from(cases[i])), &ms), PH_ERR_BAD_DATE);
        CHECK_U64(ms, 42);
    }
}

int main(void)
{
    test_calendar();
    test_write();
    test_parse();
    test_refused();
    return test_end();
}
