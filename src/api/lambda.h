/* SPDX-License-Identifier: MIT
 *
 * lambda - the service as an AWS Lambda function: the runtime API of 2018-06-01 in front of
 * api_answer_make. The program takes this way when the environment has AWS_LAMBDA_RUNTIME_API.
 */
#ifndef API_LAMBDA_H
#define API_LAMBDA_H

#include "routes.h"

/* The longest life that STS gives to credentials of a role which a role assumes, as here. */
#define API_LAMBDA_SESSION_SECONDS 3600u

/*
 * Answer one event after the other, at `address` ("127.0.0.1:9001"), which is how Lambda wants it:
 * it starts as many of this process as it has requests at a time. Comes back, with the exit status,
 * only when the runtime API is gone or says that it is over. Call api_fetch_start first.
 */
int api_lambda_serve(const api_service *service, const char *address);

/*
 * Tell Lambda why the function cannot start, so that the operator reads it in the console and not
 * "Runtime exited". `message` is lines without secrets; `type` is a literal as "Config.Invalid".
 */
void api_lambda_init_error(const char *address, const char *type, ph_str message);

#endif
