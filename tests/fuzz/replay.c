/* SPDX-License-Identifier: MIT
 *
 * A main() for the fuzz targets where no fuzzer is: each file is given to the target whole, and cut
 * short at every byte, in memory of exactly that size so that a sanitizer sees each byte too many.
 */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#define MAX_CUT 4096 /* longer files are not cut: they stand for something else */

static void run(const uint8_t *data, size_t len)
{
    uint8_t *exact = malloc(len + (len == 0));
    if (!exact)
        abort();
    memcpy(exact, data, len);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

int main(int argc, char **argv)
{
    static uint8_t data[(2 << 20) + 1];
    size_t runs = 0;
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        size_t len = file ? fread(data, 1, sizeof data, file) : 0;
        if (!file || ferror(file) || len == sizeof data) {
            fprintf(stderr, "cannot read %s\n", argv[i]);
            return 1;
        }
        fclose(file);
        for (size_t cut = len <= MAX_CUT ? 0 : len; cut <= len; cut++, runs++)
            run(data, cut);
    }
    printf("%s: %d files, %zu inputs\n", argv[0], argc - 1, runs);
    return argc > 1 ? 0 : 1;
}
