/* map: see map.h. A slot holds the index of an entry plus one; a removed
 * entry keeps its slot as a tombstone until the next rebuild. One thread. */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"

enum { FIRST_CAP = 8 };

/* The slot of the key, or the free slot where a search for it ends. */
static size_t find_slot(const struct map *m, struct str key, uint64_t hash)
{
    size_t mask = m->slot_count - 1;
    for (size_t at = (size_t)hash & mask;; at = (at + 1) & mask) {
        uint32_t index = m->slots[at];
        if (index == 0) {
            return at;
        }
        const struct map_entry *entry = &m->entries[index - 1];
        if (entry->key != NULL && entry->hash == hash &&
            str_eq((struct str){entry->key, entry->key_len}, key)) {
            return at;
        }
    }
}

static struct map_entry *find(const struct map *m, struct str key)
{
    if (m->slot_count == 0) {
        return NULL;
    }
    uint32_t index = m->slots[find_slot(m, key, str_hash(key))];
    return index == 0 ? NULL : &m->entries[index - 1];
}

/* Closes the holes and doubles the room where live entries need it. */
static void rebuild(struct map *m)
{
    size_t used = 0;
    CHECK(m->entries != NULL || m->used == 0);
    for (size_t i = 0; i < m->used; i++) {
        if (m->entries[i].key != NULL) {
            m->entries[used++] = m->entries[i];
        }
    }
    m->used = used;
    size_t cap = m->cap == 0 ? FIRST_CAP : m->cap;
    if (used > cap / 2) {
        cap *= 2;
    }
    CHECK(cap < UINT32_MAX / 4);
    if (cap != m->cap) {
        m->entries = xrealloc(m->entries, cap * sizeof *m->entries);
        m->cap = cap;
    }
    free(m->slots);
    m->slot_count = cap * 2; /* a power of two, at most half full */
    m->slots = xcalloc(m->slot_count, sizeof *m->slots);
    for (size_t i = 0; i < used; i++) {
        struct str key = {m->entries[i].key, m->entries[i].key_len};
        m->slots[find_slot(m, key, m->entries[i].hash)] = (uint32_t)(i + 1);
    }
}

void *map_get(const struct map *m, struct str key)
{
    const struct map_entry *entry = find(m, key);
    return entry == NULL ? NULL : entry->value;
}

void *map_set(struct map *m, struct str key, void *value)
{
    CHECK(value != NULL);
    struct map_entry *entry = find(m, key);
    if (entry != NULL) {
        void *old = entry->value;
        entry->value = value;
        return old;
    }
    if (m->used == m->cap) {
        rebuild(m);
    }
    CHECK(m->entries != NULL);
    uint64_t hash = str_hash(key);
    size_t slot = find_slot(m, key, hash);
    m->entries[m->used] =
        (struct map_entry){.key = str_dup(key), .key_len = key.len, .hash = hash, .value = value};
    m->used++;
    m->count++;
    m->slots[slot] = (uint32_t)m->used;
    return NULL;
}

void *map_del(struct map *m, struct str key)
{
    struct map_entry *entry = find(m, key);
    if (entry == NULL) {
        return NULL;
    }
    void *old = entry->value;
    free(entry->key); /* `key` may be this very string: not used below */
    *entry = (struct map_entry){0};
    m->count--;
    return old;
}

const struct map_entry *map_next(const struct map *m, size_t *at)
{
    while (*at < m->used) {
        const struct map_entry *entry = &m->entries[(*at)++];
        if (entry->key != NULL) {
            return entry;
        }
    }
    return NULL;
}

void map_fini(struct map *m)
{
    for (size_t i = 0; i < m->used; i++) {
        free(m->entries[i].key);
    }
    free(m->entries);
    free(m->slots);
    *m = (struct map){0};
}
