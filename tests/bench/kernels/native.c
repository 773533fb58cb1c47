/* SPDX-License-Identifier: MIT
 *
 * What the kernels of the native library digest in a second, as lines "ALGORITHM<tab>HOW<tab>GB/s
 * GB/s ...": by what this CPU has, and by what any CPU of its kind has.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/crc.h"
#include "core/lanes.h"

#define SIZE (4u << 20)
#define SMALL (1u << 19)

static uint8_t *data;
static uint64_t sink;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* `way` -1: what the library chooses. */
static bool run(ph_alg alg, int way, size_t count, size_t size)
{
    uint32_t values[PH_LANES][8], *value[PH_LANES];
    const uint8_t *from[PH_LANES];
    if (alg < PH_ALG_SHA256) {
        sink += (way < 0 ? ph_crc_update : ph_crc_update_portable)(alg, 0, data, size);
        return way <= 0;
    }
    for (size_t i = 0; i < count; i++) {
        memset(value[i] = values[i], 1, sizeof values[i]);
        from[i] = data + i * (size / count);
    }
    bool done =
        way < 0 ? ph_lanes_digest(alg, value, from, count, size / count / 64)
                : ph_lanes_digest_by((ph_lanes_way)way, alg, value, from, count, size / count / 64);
    sink += values[0][0];
    return done;
}

int main(int argc, char **argv)
{
    static const char *const ways[] = {"this CPU's best", "vectors", "AVX2", "SHA"};
    int rounds = argc > 1 ? atoi(argv[1]) : 25;
    data = malloc(SIZE);
    for (size_t i = 0; data && i < SIZE; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    for (int alg = PH_ALG_CRC64NVME; data && alg < PH_ALG_COUNT; alg++)
        for (int way = -1; way < PH_LANES_WAYS; way++) {
            size_t size = alg < PH_ALG_SHA256 ? SIZE : SMALL;
            if (!run((ph_alg)alg, way, PH_LANES, size))
                continue;
            printf("%s\t%s\t", ph_alg_name((ph_alg)alg), ways[way + 1]);
            for (int i = 0; i < rounds; i++) {
                double begin = now();
                run((ph_alg)alg, way, PH_LANES, size);
                printf("%.3f ", (double)size / (now() - begin) / 1e9);
            }
            putchar('\n');
        }
    free(data);
    return sink == 1; /* somebody has to look at it */
}
