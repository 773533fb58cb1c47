/* SPDX-License-Identifier: MIT
 *
 * err - errors.def as three functions. They are switches, so that a number that is given away
 * twice does not compile.
 */
#include "err.h"

const char *ph_err_name(int err)
{
    switch (err) {
    case PH_OK: return "OK";
#define X(name, number, sentence, retry) \
    case number:                         \
        return #name;
#include "errors.def"
#undef X
    }
    return "UNKNOWN";
}

const char *ph_err_text(int err)
{
    switch (err) {
    case PH_OK: return "all is well";
#define X(name, number, sentence, retry) \
    case number:                         \
        return sentence;
#include "errors.def"
#undef X
    }
    return "an error that this version does not know";
}

enum ph_retry_class ph_err_retry(int err)
{
    switch (err) {
#define X(name, number, sentence, retry) \
    case number:                         \
        return PH_RETRY_##retry;
#include "errors.def"
#undef X
    }
    return PH_RETRY_NEVER;
}

/* see parthaul.h */
int ph_lack_err(unsigned i)
{
    static const int errors[PH_LACK_COUNT] = {PH_ERR_LACKS_CHECKSUM, PH_ERR_LACKS_CONTENT_MD5,
                                              PH_ERR_LACKS_IF_NONE_MATCH};
    return errors[i];
}
