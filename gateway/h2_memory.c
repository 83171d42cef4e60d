/* h2_memory: see h2_memory.h. Called by nghttp2 and by the fronts and backs of HTTP/2; the worker's
 * thread. */
#include "gateway/h2_memory.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/auto.h"

enum {
    SLOT_SIZE = 64 * 1024,
    SLOT_ALIGN = 4096, /* where pages are larger, madvise refuses and nothing rests */
    SMALL_STEP = 32,   /* rooms of blocks up to 1 KiB are multiples of this */
    SMALL_CLASSES = 32,
    LARGE_STEP = 1024,
    LARGE_MAX = 17 * 1024, /* nghttp2's frame buffer; larger ones are outside */
    CLASSES = SMALL_CLASSES + LARGE_MAX / LARGE_STEP,
    SMALL_MAX = SMALL_STEP * SMALL_CLASSES,
};

struct h2_block {
    alignas(max_align_t) uint32_t room; /* bytes of data */
    uint32_t class;                     /* CLASSES: outside */
    alignas(max_align_t) char data[];   /* of a free one: the next free one */
};

/* A block that has no place in the slot. */
struct h2_outside {
    struct h2_outside *next;
    struct h2_outside *prev; /* NULL: the first */
    struct h2_block block;
};

struct h2_slot {
    struct h2_block *free[CLASSES];
    uint32_t top;
    alignas(max_align_t) char bytes[];
};

enum { SLOT_ROOM = SLOT_SIZE - sizeof(struct h2_slot) };

/* A slot up to its top, word by word: a byte whose bits say which bytes of the word are not zero,
 * and those; for up to 255 words of zeros 0 and their number. */
struct h2_packed {
    uint32_t size;
    uint8_t data[];
};

static struct h2_block *block_of(void *data)
{
    return (struct h2_block *)(void *)((char *)data - offsetof(struct h2_block, data));
}

static struct h2_outside *outside_of(struct h2_block *block)
{
    return (struct h2_outside *)(void *)((char *)block - offsetof(struct h2_outside, block));
}

static struct h2_block **next_free(struct h2_block *block)
{
    return (struct h2_block **)(void *)block->data;
}

/* Where its neighbours find it. */
static void link_outside(struct h2_memory *m, struct h2_outside *o)
{
    if (o->next != NULL) {
        o->next->prev = o;
    }
    *(o->prev != NULL ? &o->prev->next : &m->outside) = o;
}

static struct h2_block *outside_new(struct h2_memory *m, size_t size)
{
    size_t all;
    bool fits =
        size <= UINT32_MAX && !__builtin_add_overflow(size, sizeof(struct h2_outside), &all);
    struct h2_outside *o = fits ? try_alloc(all) : NULL;
    if (o == NULL) {
        m->failed = true;
        return NULL;
    }
    o->next = m->outside;
    o->prev = NULL;
    o->block.room = (uint32_t)size;
    o->block.class = CLASSES;
    link_outside(m, o);
    return &o->block;
}

/* A new block of the class: zeros, which pack well where nghttp2 never writes. */
static __attribute__((noinline)) void *cut(struct h2_memory *m, uint32_t class, size_t size)
{
    struct h2_slot *slot = m->slot;
    const uint32_t room =
        class < SMALL_CLASSES ? (class + 1) * SMALL_STEP : (class - SMALL_CLASSES + 1) * LARGE_STEP;
    const uint32_t all = room + (uint32_t)sizeof(struct h2_block);
    if (SLOT_ROOM - slot->top < all) {
        struct h2_block *block = outside_new(m, size);
        return block == NULL ? NULL : memset(block->data, 0, size);
    }
    struct h2_block *block = (struct h2_block *)(void *)(slot->bytes + slot->top);
    slot->top += all;
    memset(block, 0, all);
    block->room = room;
    block->class = class;
    return block->data;
}

/* The first block of its class, or the next: mostly for a stream like one before. */
static void *take(struct h2_memory *m, size_t size, bool zeros)
{
    struct h2_block *block = NULL;
    if (size <= LARGE_MAX) {
        const uint32_t last = size == 0 ? 0 : (uint32_t)size - 1;
        const bool small = last < SMALL_MAX;
        const uint32_t class = small ? last / SMALL_STEP : SMALL_CLASSES + last / LARGE_STEP;
        block = m->slot->free[class];
        if (__builtin_expect(block == NULL, 0)) {
            return cut(m, class, size);
        }
        m->slot->free[class] = *next_free(block);
    } else {
        block = outside_new(m, size);
        if (block == NULL) {
            return NULL;
        }
    }
    return zeros ? memset(block->data, 0, size) : block->data;
}

static void *on_malloc(size_t size, void *arg)
{
    return take(arg, size, false);
}

static void *on_calloc(size_t count, size_t size, void *arg)
{
    struct h2_memory *m = arg;
    size_t all;
    if (__builtin_mul_overflow(count, size, &all)) {
        m->failed = true;
        return NULL;
    }
    return take(m, all, true);
}

static void on_free(void *data, void *arg)
{
    struct h2_memory *m = arg;
    if (data == NULL) {
        return;
    }
    struct h2_block *block = block_of(data);
    if (block->class < CLASSES) {
        *next_free(block) = m->slot->free[block->class];
        m->slot->free[block->class] = block;
        return;
    }
    struct h2_outside *o = outside_of(block);
    if (o->next != NULL) {
        o->next->prev = o->prev;
    }
    *(o->prev != NULL ? &o->prev->next : &m->outside) = o->next;
    free(o);
}

static void *on_realloc(void *data, size_t size, void *arg)
{
    if (data == NULL) {
        return on_malloc(size, arg);
    }
    const size_t room = block_of(data)->room;
    if (size <= room) {
        return data;
    }
    void *grown = on_malloc(size, arg);
    if (grown != NULL) {
        memcpy(grown, data, room);
        on_free(data, arg);
    } /* else the old one is as it was */
    return grown;
}

bool h2_memory_init(struct h2_memory *m)
{
    struct h2_slot *slot = aligned_alloc(SLOT_ALIGN, SLOT_SIZE);
    if (slot != NULL) {
        memset(slot, 0, sizeof *slot);
    }
    *m = (struct h2_memory){.slot = slot};
    return slot != NULL;
}

nghttp2_mem h2_memory_functions(struct h2_memory *m)
{
    return (nghttp2_mem){m, on_malloc, on_free, on_calloc, on_realloc};
}

void h2_memory_end(struct h2_memory *m)
{
    for (struct h2_outside *o = m->outside, *next; o != NULL; o = next) {
        next = o->next;
        free(o);
    }
    free(m->packed);
    free(m->slot);
    *m = (struct h2_memory){.failed = m->failed};
}

/* --- rest ------------------------------------------------------------------------- */

/* What was freed keeps nothing but its place. */
static void clear_free_blocks(struct h2_slot *slot)
{
    for (size_t i = 0; i < CLASSES; i++) {
        for (struct h2_block *b = slot->free[i]; b != NULL; b = *next_free(b)) {
            memset(b->data + sizeof b, 0, b->room - sizeof b);
        }
    }
}

/* A bit for each byte of the word that is not zero. */
static uint8_t mask_of(uint64_t word)
{
    word |= word >> 4;
    word |= word >> 2;
    word |= word >> 1; /* the lowest bit of each byte: whether any of its bits is set */
    return (uint8_t)((word & 0x0101010101010101) * 0x0102040810204080 >> 56);
}

static size_t zeros_at(const uint64_t *words, size_t count)
{
    const size_t max = count < UINT8_MAX ? count : UINT8_MAX;
    size_t zeros = 0;
    while (zeros < max && words[zeros] == 0) {
        zeros++;
    }
    return zeros;
}

/* How many bytes `count` words take. */
static size_t packed_size(const uint64_t *words, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count;) {
        const uint8_t mask = mask_of(words[i]);
        i += mask == 0 ? zeros_at(words + i, count - i) : 1;
        size += mask == 0 ? 2 : 1 + (size_t)__builtin_popcount(mask);
    }
    return size;
}

static void pack(const uint64_t *words, size_t count, uint8_t *to)
{
    for (size_t i = 0; i < count;) {
        const uint8_t mask = mask_of(words[i]);
        *to++ = mask;
        if (mask == 0) {
            const size_t zeros = zeros_at(words + i, count - i);
            *to++ = (uint8_t)zeros;
            i += zeros;
            continue;
        }
        for (unsigned left = mask; left != 0; left &= left - 1) {
            *to++ = (uint8_t)(words[i] >> (8 * __builtin_ctz(left)));
        }
        i++;
    }
}

void h2_memory_rest(struct h2_memory *m)
{
    if (m->slot == NULL || m->packed != NULL || m->failed) {
        return;
    }
    clear_free_blocks(m->slot);
    const uint64_t *words = (const uint64_t *)(const void *)m->slot;
    const size_t count = (offsetof(struct h2_slot, bytes) + m->slot->top) / sizeof *words;
    const size_t size = packed_size(words, count);
    struct h2_packed *packed = try_alloc(sizeof *packed + size);
    if (packed == NULL) {
        return;
    }
    packed->size = (uint32_t)size;
    pack(words, count, packed->data);
    if (madvise(m->slot, SLOT_SIZE, MADV_DONTNEED) != 0) {
        free(packed);
        return;
    }
    m->packed = packed;
}

/* The slot's pages are zeros. */
void h2_memory_wake(struct h2_memory *m)
{
    struct h2_packed *packed = m->packed;
    uint64_t *to = (uint64_t *)(void *)m->slot;
    for (const uint8_t *at = packed->data, *end = at + packed->size; at < end;) {
        const uint8_t mask = *at++;
        if (mask == 0) {
            to += *at++;
            continue;
        }
        uint64_t word = 0;
        for (unsigned left = mask; left != 0; left &= left - 1) {
            word |= (uint64_t)*at++ << (8 * __builtin_ctz(left));
        }
        *to++ = word;
    }
    m->packed = NULL;
    free(packed);
}
