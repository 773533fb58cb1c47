/* SPDX-License-Identifier: MIT
 *
 * See table.h. Sets of eight places: the key's first bytes say which set, and within it the place
 * that was used longest ago is given up. No list, no rehashing, no allocation after the start.
 */
#include "table.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8u

typedef struct place {
    uint8_t key[API_DIGEST_LEN];
    uint64_t used; /* when last, by the table's own count; 0: free */
} place;

struct api_table {
    pthread_mutex_t mutex;
    size_t sets; /* a power of two */
    size_t value_size;
    uint64_t clock;
    place *places;
    unsigned char *values;
    void (*clear)(void *value);
};

/* see table.h */
api_table *api_table_new(size_t places, size_t value_size, void (*clear)(void *value))
{
    api_table *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->sets = 1;
    while (t->sets * WAYS < places)
        t->sets *= 2;
    t->value_size = (value_size + 15) / 16 * 16;
    t->clear = clear;
    t->places = calloc(t->sets * WAYS, sizeof *t->places);
    t->values = calloc(t->sets * WAYS, t->value_size);
    if (t->places && t->values && pthread_mutex_init(&t->mutex, NULL) == 0)
        return t;
    free(t->places);
    free(t->values);
    free(t);
    return NULL;
}

static void *value_at(const api_table *t, size_t i)
{
    return t->values + i * t->value_size;
}

/* see table.h */
void api_table_free(api_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; t->clear && i < t->sets * WAYS; i++)
        if (t->places[i].used)
            t->clear(value_at(t, i));
    pthread_mutex_destroy(&t->mutex);
    free(t->places);
    free(t->values);
    free(t);
}

/* see table.h */
void *api_table_lock(api_table *t, const uint8_t key[API_DIGEST_LEN], bool make)
{
    uint64_t hash;
    memcpy(&hash, key, sizeof hash);
    size_t first = (size_t)(hash & (t->sets - 1)) * WAYS;
    pthread_mutex_lock(&t->mutex);
    size_t oldest = first;
    for (size_t i = first; i < first + WAYS; i++) {
        if (t->places[i].used && memcmp(t->places[i].key, key, API_DIGEST_LEN) == 0) {
            t->places[i].used = ++t->clock;
            return value_at(t, i);
        }
        if (t->places[i].used < t->places[oldest].used)
            oldest = i;
    }
    if (!make)
        return NULL;
    if (t->places[oldest].used && t->clear)
        t->clear(value_at(t, oldest));
    memset(value_at(t, oldest), 0, t->value_size);
    memcpy(t->places[oldest].key, key, API_DIGEST_LEN);
    t->places[oldest].used = ++t->clock;
    return value_at(t, oldest);
}

/* see table.h */
void api_table_unlock(api_table *t)
{
    pthread_mutex_unlock(&t->mutex);
}
