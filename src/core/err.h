/* SPDX-License-Identifier: MIT
 *
 * err - what can be done about an error. Names and sentences are in parthaul.h, the list is
 * errors.def.
 */
#ifndef PH_ERR_H
#define PH_ERR_H

#include "../parthaul.h"

enum ph_retry_class {
    PH_RETRY_NEVER,         /* the same request would fail again */
    PH_RETRY_BACKOFF,       /* later, after a wait */
    PH_RETRY_REFRESH_CREDS, /* with new credentials, not counted as a try */
    PH_RETRY_FIX_CLOCK,     /* with the server's time, not counted as a try */
    PH_RETRY_RESTART_PART,  /* read and digest the part again, then send it */
};

/* Give the class of a code of enum ph_err; PH_RETRY_NEVER for PH_OK and unknown ones. */
enum ph_retry_class ph_err_retry(int err);

#endif
