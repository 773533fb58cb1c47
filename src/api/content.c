/* SPDX-License-Identifier: MIT
 *
 * See content.h.
 */
#include "content.h"

#include <stdio.h>

#include "core/crypto.h"
#include "core/str.h"

/* see content.h */
int api_content_read(ph_str path, ph_buf *out)
{
    ph_str name;
    if (ph_str_copy(path, &name) != PH_OK)
        return PH_ERR_NOMEM;
    FILE *file = fopen(name.ptr, "rb");
    ph_str_free(&name);
    if (!file)
        return PH_ERR_FILE_UNREADABLE;
    setvbuf(file, NULL, _IONBF, 0); /* the library would keep secrets in its buffer */
    char block[4096];
    for (size_t n; out->err == PH_OK && (n = fread(block, 1, sizeof block, file)) > 0;)
        ph_buf_add(out, block, n);
    ph_wipe(block, sizeof block);
    bool good = !ferror(file);
    fclose(file);
    return good ? out->err : PH_ERR_FILE_UNREADABLE;
}
