/* SPDX-License-Identifier: MIT
 *
 * fuzz - what the fuzz targets share: libFuzzer's entry point, and a check that stays in every
 * build. A target takes any bytes, and must neither crash nor break a promise of the headers.
 */
#ifndef PH_FUZZ_H
#define PH_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise that was broken is found like a crash. */
#define MUST(condition)   \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

#endif
