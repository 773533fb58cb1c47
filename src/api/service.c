/* SPDX-License-Identifier: MIT
 *
 * What a service is made of, put together and taken apart again.
 */
#include <string.h>

#include "core/str.h"
#include "routes.h"

/* see routes.h */
bool api_service_start(const api_config *config, bool (*random)(void *out, size_t len),
                       api_service *out)
{
    uint8_t seed[32];
    memset(out, 0, sizeof *out);
    if (!random(seed, sizeof seed))
        return false;
    *out = (api_service){
        .config = config,
        .auth = api_auth_new(config),
        .limits = api_limits_new(seed),
        .own = api_own_new(config),
        .metrics = api_metrics_new(),
        .borrow = api_sts_borrow,
        .random = random,
    };
    ph_wipe(seed, sizeof seed);
    if (out->own)
        out->sts = api_sts_new(config, out->own);
    if (out->auth && out->limits && out->sts && out->metrics)
        return true;
    api_service_stop(out);
    return false;
}

/* see routes.h */
void api_service_stop(api_service *s)
{
    api_sts_free(s->sts);
    api_own_free(s->own);
    api_auth_free(s->auth);
    api_limits_free(s->limits);
    api_metrics_free(s->metrics);
    memset(s, 0, sizeof *s);
}
