/* SPDX-License-Identifier: MIT
 *
 * problem - why a request is refused; the list is problems.def.
 */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

typedef enum api_problem {
    API_NO_PROBLEM,
#define X(code, status, title, detail) API_##code,
#include "problems.def"
#undef X
    API_PROBLEM_COUNT,
    API_WOULD_WAIT, /* not a refusal: the answer needs somebody who may be waited for */
} api_problem;

/* A refusal with its reason; `detail` is static, NULL for the list's own sentence. */
typedef struct api_verdict {
    api_problem problem;
    const char *detail;
} api_verdict;

typedef struct api_problem_row {
    const char *code;
    int status;
    const char *title;
    const char *detail;
} api_problem_row;

const api_problem_row *api_problem_info(api_problem problem);

#endif
