/* SPDX-License-Identifier: MIT
 *
 * err - errors.def as a table, and what is asked of it.
 */
#include "err.h"
#include "str.h"

#include <string.h>

typedef struct row {
    short number;
    uint8_t retry;
} row;

static const row rows[] = {
    {PH_OK, PH_RETRY_NEVER},
#define X(name, number, sentence, retry) {number, PH_RETRY_##retry},
#include "errors.def"
#undef X
};
enum { COUNT = sizeof rows / sizeof rows[0] };

/* Each one's text, and behind them that of one unknown: one after the other, which is smaller than pointers. */
static const char names[] = "OK\0"
#define X(name, number, sentence, retry) #name "\0"
#include "errors.def"
#undef X
                            "UNKNOWN";
static const char sentences[] = "all is well\0"
#define X(name, number, sentence, retry) sentence "\0"
#include "errors.def"
#undef X
                                "an error that this version does not know";

static size_t index_of(int err)
{
    size_t i = 0;
    while (i < COUNT && rows[i].number != err)
        i++;
    return i;
}

static const char *text_of(int err, const char *text)
{
    for (size_t i = index_of(err); i > 0; i--)
        text += strlen(text) + 1;
    return text;
}

const char *ph_err_name(int err)
{
    return text_of(err, names);
}

const char *ph_err_text(int err)
{
    return text_of(err, sentences);
}

enum ph_retry_class ph_err_retry(int err)
{
    size_t i = index_of(err);
    return i < COUNT ? (enum ph_retry_class)rows[i].retry : PH_RETRY_NEVER;
}

/* see parthaul.h */
int ph_lack_err(unsigned i)
{
    static const int errors[PH_LACK_COUNT] = {PH_ERR_LACKS_CHECKSUM, PH_ERR_LACKS_CONTENT_MD5,
                                              PH_ERR_LACKS_IF_NONE_MATCH};
    return errors[i];
}

/* see parthaul.h */
unsigned ph_lack_named(ph_str name)
{
    for (unsigned i = 0; i < PH_LACK_COUNT; i++)
        if (ph_str_equal(name, ph_str_from(ph_err_name(ph_lack_err(i)))))
            return 1u << i;
    return 0;
}
