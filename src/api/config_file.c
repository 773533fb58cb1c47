/* SPDX-License-Identifier: MIT
 *
 * See config_file.h. No quotes, no continued lines, no variables: what stands behind the "=" is the
 * value, as in a systemd EnvironmentFile without its niceties, so that one file serves both.
 */
#include "config_file.h"

#include <stdlib.h>
#include <string.h>

#include "core/str.h"

#define MAX_SETTINGS 128

struct api_config_file {
    size_t count;
    struct line {
        ph_str name, value; /* owned, NUL-terminated */
    } lines[MAX_SETTINGS];
};

static bool is_name(ph_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return s.len > 0;
}

static const char *read_line(ph_str line, api_config_file *f)
{
    ph_str value = line;
    ph_str name = ph_str_trim(ph_str_cut(&value, '='));
    if (!value.ptr || !is_name(name))
        return "is not NAME=VALUE";
    value = ph_str_trim(value);
    if (memchr(value.ptr, '\0', value.len))
        return "has a NUL byte";
    if (f->count == MAX_SETTINGS)
        return "is one too many: the file has more lines than there are settings";
    for (size_t i = 0; i < f->count; i++)
        if (ph_str_equal(f->lines[i].name, name))
            return "sets a setting a second time";
    struct line *l = &f->lines[f->count];
    if (ph_str_copy(name, &l->name) != PH_OK)
        return "could not be stored: out of memory";
    f->count++;
    return ph_str_copy(value, &l->value) == PH_OK ? NULL : "could not be stored: out of memory";
}

/* see config_file.h */
bool api_config_file_read(ph_str text, ph_buf *says, api_config_file **out)
{
    bool good = true;
    *out = calloc(1, sizeof **out);
    if (!*out)
        return false;
    for (uint64_t number = 1; text.ptr; number++) {
        ph_str line = ph_str_trim(ph_str_cut(&text, '\n'));
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        const char *wrong = read_line(line, *out);
        if (!wrong)
            continue;
        good = false;
        ph_buf_cstr(says, "--config: line ");
        ph_buf_u64(says, number);
        ph_buf_char(says, ' ');
        ph_buf_cstr(says, wrong);
        ph_buf_char(says, '\n');
    }
    if (!good) {
        api_config_file_free(*out);
        *out = NULL;
    }
    return good;
}

/* see config_file.h */
void api_config_file_free(api_config_file *f)
{
    for (size_t i = 0; f && i < f->count; i++) {
        ph_str_free(&f->lines[i].name);
        ph_str_free(&f->lines[i].value);
    }
    free(f);
}

/* see config_file.h */
const char *api_config_file_value(const api_config_file *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (ph_str_equal(f->lines[i].name, ph_str_from(name)))
            return f->lines[i].value.ptr;
    return NULL;
}

/* see config_file.h */
const char *api_config_file_name(const api_config_file *f, size_t index)
{
    return index < f->count ? f->lines[index].name.ptr : NULL;
}
