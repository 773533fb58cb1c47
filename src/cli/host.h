/* SPDX-License-Identifier: MIT
 *
 * host - runs one upload: does what the engine asks for, and tells it what came of it.
 */
#ifndef CLI_HOST_H
#define CLI_HOST_H

#include "kept.h"
#include "login.h"
#include "report.h"
#include "source.h"

typedef struct host_options {
    const ph_upload_options *upload;
    source *file;
    const kept *kept;   /* where to keep it; NULL: it is not */
    ph_str snapshot;    /* to go on with, or absent */
    ph_str place;       /* of the server, to keep what it does not know; absent: that is not kept */
    bool abort;         /* only to give it up */
    const login *login; /* NULL: upload->credentials are all there is */
    const char *ca_bundle;
    uint32_t timeout_ms; /* 0: the engine's own limits */
    bool json;
    bool quiet;
} host_options;

/*
 * Run it to its end and report that. SIGINT, SIGTERM and SIGHUP stop an upload that is kept, so that
 * it can go on later, and abort any other, so that no parts stay behind; a second one ends the
 * program at once. Returns an exit code; after a signal, the program should end by it: host_signal()
 * says by which, 0 for none.
 */
int host_run(const host_options *o);
int host_signal(void);

#endif
