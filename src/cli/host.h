/* SPDX-License-Identifier: MIT
 *
 * host - runs one upload: does what the engine asks for, and tells it what came of it.
 */
#ifndef CLI_HOST_H
#define CLI_HOST_H

#include "login.h"
#include "report.h"
#include "source.h"

typedef struct host_options {
    const ph_upload_options *upload;
    const source *file;
    const login *login; /* NULL: upload->credentials are all there is */
    const char *ca_bundle;
    uint32_t timeout_ms; /* 0: the engine's own limits */
    bool json;
    bool quiet;
} host_options;

/*
 * Run it to its end and report that. SIGINT, SIGTERM and SIGHUP abort the upload, so that no parts
 * stay behind; a second one ends the program at once. Returns an exit code.
 */
int host_run(const host_options *o);

#endif
