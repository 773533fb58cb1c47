/* SPDX-License-Identifier: MIT
 *
 * Tests err: every error of errors.def has a name, a sentence that can be shown and a class.
 */
#include "test.h"
#include "core/err.h"

#include <string.h>

static const struct {
    const char *name;
    int number;
    const char *sentence;
    enum ph_retry_class retry;
} errors[] = {
#define X(name, number, sentence, retry) {#name, number, sentence, PH_RETRY_##retry},
#include "core/errors.def"
#undef X
};

int main(void)
{
    for (size_t i = 0; i < COUNT(errors); i++) {
        test_case("%s", errors[i].name);
        CHECK_STR(((ph_str){ph_err_name(errors[i].number), strlen(ph_err_name(errors[i].number))}),
                  errors[i].name);
        CHECK(strcmp(ph_err_text(errors[i].number), errors[i].sentence) == 0);
        CHECK(ph_err_retry(errors[i].number) == errors[i].retry);
        CHECK(errors[i].number <= -101 && errors[i].number > -800);
        size_t len = strlen(errors[i].sentence);
        CHECK(len > 0 && len < 256); /* fits ph_failure.message */
        CHECK(errors[i].sentence[len - 1] != '.');
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(errors[k].name, errors[i].name) != 0);
        if (i > 0)
            CHECK(errors[i].number < errors[i - 1].number); /* the list stays in order */
    }

    test_case("not in the list");
    static const int unknown[] = {1, 200, -1, -99, -100, -9999, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < COUNT(unknown); i++) {
        CHECK(strcmp(ph_err_name(unknown[i]), "UNKNOWN") == 0);
        CHECK(ph_err_text(unknown[i])[0] != '\0');
        CHECK(ph_err_retry(unknown[i]) == PH_RETRY_NEVER);
    }
    CHECK(strcmp(ph_err_name(PH_OK), "OK") == 0 && strcmp(ph_err_text(PH_OK), "all is well") == 0);
    CHECK(ph_err_retry(PH_OK) == PH_RETRY_NEVER);

    test_case("classes the engine relies on");
    CHECK(ph_err_retry(PH_ERR_SLOW_DOWN) == PH_RETRY_BACKOFF);
    CHECK(ph_err_retry(PH_ERR_EXPIRED_TOKEN) == PH_RETRY_REFRESH_CREDS);
    CHECK(ph_err_retry(PH_ERR_CLOCK_SKEW) == PH_RETRY_FIX_CLOCK);
    CHECK(ph_err_retry(PH_ERR_BAD_DIGEST) == PH_RETRY_RESTART_PART);
    CHECK(ph_err_retry(PH_ERR_ACCESS_DENIED) == PH_RETRY_NEVER);
    return test_end();
}
