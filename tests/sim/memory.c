/* SPDX-License-Identifier: MIT
 *
 * Between memory_enter and memory_leave, what is allocated is the engine's: it is counted, and may
 * fail. Linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free.
 */
#include <malloc.h>
#include <stdlib.h>

#include "core/retry.h"
#include "world.h"

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *ptr, size_t size);
void __wrap_free(void *ptr);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *ptr, size_t size);
void __real_free(void *ptr);

static bool inside, may_fail, failed;
static uint64_t *random_state;
static size_t held, peak;

static bool fails(void)
{
    if (!inside || !may_fail || ph_random_next(random_state) % 256)
        return false;
    return failed = true;
}

static void *gained(void *ptr)
{
    if (inside && ptr) {
        held += malloc_usable_size(ptr);
        if (held > peak)
            peak = held;
    }
    return ptr;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : gained(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : gained(__real_calloc(count, size));
}

void *__wrap_realloc(void *ptr, size_t size)
{
    if (fails())
        return NULL;
    size_t before = inside && ptr ? malloc_usable_size(ptr) : 0;
    void *fresh = __real_realloc(ptr, size);
    if (fresh)
        held -= before;
    return gained(fresh);
}

void __wrap_free(void *ptr)
{
    if (inside && ptr)
        held -= malloc_usable_size(ptr);
    __real_free(ptr);
}

void memory_enter(bool fallible, uint64_t *random)
{
    inside = true;
    may_fail = fallible;
    random_state = random;
    failed = false;
}

bool memory_leave(void)
{
    inside = false;
    return failed;
}

size_t memory_held(void)
{
    return held;
}

size_t memory_peak(void)
{
    return peak;
}

void memory_reset(void)
{
    held = peak = 0;
}
