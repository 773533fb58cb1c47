/* SPDX-License-Identifier: MIT
 *
 * login - where the credentials of an upload come from: the environment, or a credentials API that
 * takes the user's token.
 */
#ifndef CLI_LOGIN_H
#define CLI_LOGIN_H

#include "core/buf.h"

typedef struct login {
    ph_str url;    /* the API's; absent: the environment's credentials, which cannot be renewed */
    ph_str bearer; /* "Bearer JWT" */
    ph_str bucket; /* where the command line wants to write */
    ph_str key;
    ph_str region;   /* from the command line, which wins over the API; may be absent */
    ph_str endpoint; /* the same */
} login;

/*
 * Prepare to ask the API at `base` with the user's token. Release with login_clear.
 * Errors: PH_ERR_BAD_ENDPOINT, PH_ERR_BAD_HEADER (a token with bytes that no header may have),
 * PH_ERR_NOMEM.
 */
int login_init(login *l, ph_str base, ph_str token);
void login_clear(login *l);

/* Add the environment's credentials as a document of creds.h. False when there are none. */
bool login_environment(ph_buf *document);

/*
 * Read the API's answer and add the document for the engine: the credentials, and of where they
 * lead only what the command line left open. Where it is no, `why` gets a sentence, or stays empty.
 * Errors: PH_ERR_SIGN_IN, PH_ERR_FORBIDDEN, PH_ERR_NO_CREDENTIALS, PH_ERR_BAD_CREDENTIALS,
 * PH_ERR_BAD_JSON, PH_ERR_NOMEM.
 */
int login_answer(const login *l, int status, ph_str body, ph_buf *document, ph_buf *why);

#endif
