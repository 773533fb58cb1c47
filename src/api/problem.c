/* SPDX-License-Identifier: MIT
 *
 * The table of refusals, made from problems.def.
 */
#include "problem.h"

#include <stddef.h>

/* see problem.h */
const api_problem_row *api_problem_info(api_problem problem)
{
    static const api_problem_row rows[API_PROBLEM_COUNT] = {
        [API_NO_PROBLEM] = {NULL, 200, "OK", ""},
#define X(code, status, title, detail) [API_##code] = {#code, status, title, detail},
#include "problems.def"
#undef X
    };
    return &rows[problem];
}
