/* h2_memory: see h2_memory.h. Called by nghttp2; the worker's thread. */
#include "gateway/h2_memory.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"

struct h2_block {
    struct h2_block *next;
    struct h2_block *prev; /* NULL: the first */
    alignas(max_align_t) char data[];
};

static struct h2_block *block_of(void *data)
{
    return (struct h2_block *)(void *)((char *)data - offsetof(struct h2_block, data));
}

/* Where its neighbours find it. */
static void link_block(struct h2_memory *m, struct h2_block *block)
{
    if (block->next != NULL) {
        block->next->prev = block;
    }
    *(block->prev != NULL ? &block->prev->next : &m->blocks) = block;
}

static void *take(struct h2_memory *m, struct h2_block *block)
{
    if (block == NULL) {
        m->failed = true;
        return NULL;
    }
    block->next = m->blocks;
    block->prev = NULL;
    link_block(m, block);
    return block->data;
}

static bool whole(size_t size, size_t *out)
{
    return !__builtin_add_overflow(size, sizeof(struct h2_block), out);
}

static void *on_malloc(size_t size, void *arg)
{
    size_t all;
    return take(arg, whole(size, &all) ? try_alloc(all) : NULL);
}

static void *on_calloc(size_t count, size_t size, void *arg)
{
    size_t all;
    bool fits = !__builtin_mul_overflow(count, size, &all) && whole(all, &all);
    return take(arg, fits ? try_zalloc(all) : NULL);
}

static void on_free(void *data, void *arg)
{
    struct h2_memory *m = arg;
    if (data == NULL) {
        return;
    }
    struct h2_block *block = block_of(data);
    if (block->next != NULL) {
        block->next->prev = block->prev;
    }
    *(block->prev != NULL ? &block->prev->next : &m->blocks) = block->next;
    free(block);
}

static void *on_realloc(void *data, size_t size, void *arg)
{
    struct h2_memory *m = arg;
    size_t all;
    if (data == NULL) {
        return on_malloc(size, arg);
    }
    struct h2_block *block = whole(size, &all) ? realloc(block_of(data), all) : NULL;
    if (block == NULL) {
        m->failed = true; /* the old one is as it was */
        return NULL;
    }
    link_block(m, block);
    return block->data;
}

void h2_memory_init(struct h2_memory *m)
{
    *m = (struct h2_memory){.mem = {m, on_malloc, on_free, on_calloc, on_realloc}};
}

void h2_memory_end(struct h2_memory *m, nghttp2_session *session)
{
    if (!m->failed) {
        nghttp2_session_del(session);
    }
    for (struct h2_block *block = m->blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    m->blocks = NULL;
}
