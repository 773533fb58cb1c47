/* SPDX-License-Identifier: MIT
 *
 * The least that a kernel can do with bytes: load them all. What it reaches is the limit for ours.
 */
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((used, visibility("default")))

typedef uint32_t vector __attribute__((vector_size(16)));

static _Alignas(64) uint8_t memory[4 << 20];

EXPORT uint8_t *bytes(void)
{
    return memory;
}

EXPORT uint32_t size(void)
{
    return sizeof memory;
}

EXPORT uint32_t sum(uint32_t len)
{
    vector sums[4] = {{0}};
    for (uint32_t i = 0; i + 64 <= len; i += 64)
        for (uint32_t k = 0; k < 4; k++) {
            vector v;
            memcpy(&v, memory + i + 16 * k, sizeof v);
            sums[k] += v;
        }
    vector all = sums[0] + sums[1] + sums[2] + sums[3];
    return all[0] + all[1] + all[2] + all[3];
}
