/* map: string keys to pointers, open addressing, insertion order kept for
 * iteration. Copies its keys; never owns its values. Keys are exact bytes.
 * Zero-initialised is empty and valid. One thread.
 */
#ifndef WOS_BASE_MAP_H
#define WOS_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct map_entry {
    char *key; /* owned; NULL: removed */
    size_t key_len;
    uint64_t hash;
    void *value; /* borrowed */
};

struct map {
    struct map_entry *entries; /* owned: in order of insertion, with holes */
    size_t used;               /* entries in use, holes included */
    size_t count;              /* live entries */
    size_t cap;
    uint32_t *slots; /* owned: index + 1 into entries, 0 = free */
    size_t slot_count;
};

/* The value, or NULL. */
void *map_get(const struct map *m, struct str key);
/* Sets; returns the value replaced, or NULL. `value` must not be NULL. */
void *map_set(struct map *m, struct str key, void *value);
/* Removes; returns the value removed, or NULL. */
void *map_del(struct map *m, struct str key);
/* Steps through live entries; start with *at = 0. Removing the entry just
 * returned is allowed while iterating; adding is not. NULL at the end. */
const struct map_entry *map_next(const struct map *m, size_t *at);
void map_fini(struct map *m);

#endif
