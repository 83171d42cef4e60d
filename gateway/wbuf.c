/* wbuf: see wbuf.h. Worker threads, each with its own pool. */
#include "gateway/wbuf.h"

#include <stdlib.h>

#include "base/auto.h"

enum { WBUF_MOST = 1 << 30 }; /* so that twice as much fits, too */

static void memory_put(struct wbuf_pool *pool, char *ptr, size_t cap)
{
    if (cap == WBUF_SMALL && pool->small_count < WBUF_SMALL_MAX) {
        pool->small[pool->small_count++] = ptr;
    } else if (cap == WBUF_SIZE && pool->count < WBUF_POOL_MAX) {
        pool->free[pool->count++] = ptr;
    } else {
        free(ptr);
    }
}

static char *memory_get(struct wbuf_pool *pool, size_t cap)
{
    if (cap == WBUF_SMALL && pool->small_count > 0) {
        return pool->small[--pool->small_count];
    }
    if (cap == WBUF_SIZE && pool->count > 0) {
        return pool->free[--pool->count];
    }
    return try_alloc(cap);
}

static char *fail(struct wbuf *b)
{
    b->failed = true;
    b->cap = b->tail; /* whatever comes next comes here, too */
    return NULL;
}

void wbuf_start(struct wbuf_pool *pool, struct wbuf *b, size_t len)
{
    if (b->ptr == NULL && !b->failed && len > 0 && len <= WBUF_MOST) {
        size_t cap = len <= WBUF_SMALL ? WBUF_SMALL : len;
        b->ptr = memory_get(pool, cap);
        b->cap = b->ptr == NULL ? 0 : (uint32_t)cap;
    }
}

void wbuf_leave_front(struct wbuf_pool *pool, struct wbuf *b, size_t front, size_t len)
{
    if (b->tail == 0 && wbuf_reserve(pool, b, front + len) != NULL) {
        b->head = (uint32_t)front;
        b->tail = (uint32_t)front;
    }
}

char *wbuf_reserve(struct wbuf_pool *pool, struct wbuf *b, size_t len)
{
    if (b->cap - b->tail >= len && b->ptr != NULL) {
        return b->ptr + b->tail;
    }
    size_t used = wbuf_len(b);
    size_t want;
    if (b->failed) {
        return NULL;
    }
    if (__builtin_add_overflow(used, len, &want) || want > WBUF_MOST) {
        return fail(b);
    }
    if (b->ptr != NULL && b->cap >= want && b->head >= used) {
        /* Enough room once moved, and the move is cheaper than what was sent. */
        memmove(b->ptr, b->ptr + b->head, used);
    } else {
        size_t cap = want <= WBUF_SMALL ? WBUF_SMALL : WBUF_SIZE;
        while (cap < want) {
            cap *= 2;
        }
        char *grown = memory_get(pool, cap);
        if (grown == NULL) {
            return fail(b);
        }
        if (used > 0 && b->ptr != NULL) {
            memcpy(grown, b->ptr + b->head, used);
        }
        memory_put(pool, b->ptr, b->cap);
        b->ptr = grown;
        b->cap = (uint32_t)cap;
    }
    b->head = 0;
    b->tail = (uint32_t)used;
    return b->ptr + b->tail;
}

void wbuf_commit(struct wbuf *b, size_t len)
{
    CHECK(len <= b->cap - b->tail);
    b->tail += (uint32_t)len;
}

void wbuf_add(struct wbuf_pool *pool, struct wbuf *b, const void *data, size_t len)
{
    if (len > 0) {
        char *to = wbuf_reserve(pool, b, len);
        if (__builtin_expect(to != NULL, 1)) {
            memcpy(to, data, len);
            b->tail += (uint32_t)len;
        }
    }
}

void wbuf_add_str(struct wbuf_pool *pool, struct wbuf *b, struct str s)
{
    wbuf_add(pool, b, s.ptr, s.len);
}

void wbuf_consume(struct wbuf_pool *pool, struct wbuf *b, size_t len)
{
    CHECK(len <= wbuf_len(b));
    b->head += (uint32_t)len;
    if (b->head == b->tail) {
        wbuf_release(pool, b);
    }
}

void wbuf_release(struct wbuf_pool *pool, struct wbuf *b)
{
    memory_put(pool, b->ptr, b->cap);
    *b = (struct wbuf){0};
}

void wbuf_pool_fini(struct wbuf_pool *pool)
{
    while (pool->count > 0) {
        free(pool->free[--pool->count]);
    }
    while (pool->small_count > 0) {
        free(pool->small[--pool->small_count]);
    }
}
