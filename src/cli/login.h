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
    ph_str bearer; /* "Bearer JWT"; absent where only the API key is asked for */
    ph_str api_key;
    ph_str bucket; /* where the command line wants to write */
    ph_str key;
    ph_str region;   /* from the command line, which wins over the API; may be absent */
    ph_str endpoint; /* the same */
} login;

/*
 * Prepare to ask the API at `base` for its route `path`, with the user's token, an API key, or both:
 * an absent one is not sent. Says what is wrong of them, and returns an exit code. Release with
 * login_clear.
 */
int login_start(login *l, const char *command, ph_str base, const char *path, ph_str token,
                ph_str api_key);
void login_clear(login *l);

/* The headers of a request to the API: views into `l`. Returns how many. */
#define LOGIN_HEADERS 3
size_t login_headers(const login *l, ph_header out[LOGIN_HEADERS]);

/*
 * What the API's status means, PH_OK for 200; for anything else `why` gets a sentence with the
 * reason that the answer gives, unless it quotes a secret. Errors: PH_ERR_SIGN_IN, PH_ERR_FORBIDDEN, PH_ERR_NO_CREDENTIALS,
 * PH_ERR_BAD_CREDENTIALS.
 */
int login_refusal(const login *l, int status, ph_str body, ph_buf *why);

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
