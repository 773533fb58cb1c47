/* SPDX-License-Identifier: MIT
 *
 * See api_keys.h. A plain SHA-256 is enough for keys that are random and long; they are made by
 * `openssl rand -hex 32`, not thought up like passwords.
 */
#include "api_keys.h"

#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/enc.h"
#include "core/str.h"

#define MAX_NAME 64

struct api_keys {
    size_t count;
    struct entry {
        uint8_t hash[PH_SHA256_LEN];
        char name[MAX_NAME + 1];
    } entries[API_MAX_API_KEYS];
};

static bool is_name(ph_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool alnum = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!alnum && c != '.' && c != '_' && c != '-')
            return false;
    }
    return s.len > 0 && s.len <= MAX_NAME;
}

static const char *read_line(ph_str line, api_keys *k)
{
    ph_str rest = line;
    ph_str hex = ph_str_cut(&rest, ' ');
    ph_str name = rest.ptr ? ph_str_trim(rest) : rest;
    size_t len;
    if (k->count == API_MAX_API_KEYS)
        return "has more than 1,024 keys";
    struct entry *e = &k->entries[k->count];
    if (ph_dec_hex(hex, e->hash, sizeof e->hash, &len) != PH_OK || len != sizeof e->hash)
        return "has a line that does not begin with a SHA-256 in hex";
    if (!is_name(name))
        return "has a key without a name of letters, digits, \".\", \"_\" and \"-\" behind it";
    memcpy(e->name, name.ptr, name.len);
    k->count++;
    return NULL;
}

/* see api_keys.h */
const char *api_keys_read(ph_str text, api_keys **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return "out of memory";
    const char *wrong = NULL;
    while (!wrong && text.ptr) {
        ph_str line = ph_str_cut(&text, '\n');
        line = ph_str_trim((ph_str){line.ptr, ph_str_find(line, '#')});
        if (line.len > 0)
            wrong = read_line(line, *out);
    }
    if (!wrong && (*out)->count == 0)
        wrong = "has no key";
    if (wrong) {
        api_keys_free(*out);
        *out = NULL;
    }
    return wrong;
}

/* see api_keys.h */
void api_keys_free(api_keys *k)
{
    free(k);
}

/* see api_keys.h */
ph_str api_keys_find(const api_keys *k, ph_str key)
{
    uint8_t hash[PH_SHA256_LEN];
    ph_sha256(key.ptr, key.len, hash);
    ph_str name = {NULL, 0};
    for (size_t i = 0; i < k->count; i++) /* to the end, whatever was found */
        if (ph_equal_secret(hash, k->entries[i].hash, sizeof hash))
            name = ph_str_from(k->entries[i].name);
    return name;
}
