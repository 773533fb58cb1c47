/* SPDX-License-Identifier: MIT
 *
 * retry - when a failed request is sent again: exponential backoff with full jitter. Pure.
 * Source: "Exponential Backoff And Jitter" (AWS Architecture Blog); the cap is the AWS SDKs'.
 */
#ifndef PH_RETRY_H
#define PH_RETRY_H

#include "err.h"

#define PH_RETRY_BASE_MS 250u
#define PH_RETRY_CAP_MS 20000u
#define PH_REST_BASE_MS 5000u
#define PH_REST_CAP_MS 60000u

/* The next number of a splitmix64 sequence; `*state` is the seed at first. */
uint64_t ph_random_next(uint64_t *state);

/*
 * Say when to try again after `tries` tries (from 1): a random time of 1 ms up to
 * min(cap, base * 2^(tries - 1)), and not before `retry_after_ms`, if the server named that.
 */
uint64_t ph_retry_at(uint64_t now_ms, uint32_t tries, uint32_t retry_after_ms, uint64_t *random);

/*
 * Say when an upload that rests looks again whether the server is there, after `looks` looks (from
 * 0) in vain: half of min(cap, base * 2^looks) for sure, and up to as much again.
 */
uint64_t ph_rest_until(uint64_t now_ms, uint32_t looks, uint64_t *random);

#endif
