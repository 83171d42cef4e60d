/* wbuf: a contiguous queue of bytes on its way out (or waiting to be parsed),
 * with memory borrowed from a worker-private pool only while it is not empty.
 *
 * An idle connection owns no buffer. One thread; zero-initialised is empty.
 * Without memory a buffer is `failed`: it takes nothing more and what it has
 * is of no use; whoever fills it looks at its end and ends what it was for.
 * Buffers start with WBUF_SMALL or WBUF_SIZE bytes and double from there; those two sizes are
 * pooled, bigger ones freed. One that would grow over 1 GiB fails.
 */
#ifndef WOS_GATEWAY_WBUF_H
#define WOS_GATEWAY_WBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum {
    /* Room for 64 KiB of body in TLS records of 16 KiB, plus a head. */
    WBUF_SIZE = 80 * 1024,
    WBUF_POOL_MAX = 64,
    /* A head, or a short answer with it. A turn fills hundreds of these: with malloc's 16 bytes an
     * odd number of cache lines, so that neighbours do not fall on the same ones. */
    WBUF_SMALL = 33 * 64 - 16,
    WBUF_SMALL_MAX = 256,
};

struct wbuf_pool {
    void *free[WBUF_POOL_MAX]; /* owned: WBUF_SIZE each, last in first out */
    size_t count;
    void *small[WBUF_SMALL_MAX]; /* owned: the same of WBUF_SMALL */
    size_t small_count;
};

struct wbuf {
    char *ptr; /* owned while not empty */
    uint32_t cap;
    uint32_t head;
    uint32_t tail;
    bool failed; /* until it is released */
};

static inline size_t wbuf_len(const struct wbuf *b)
{
    return b->tail - b->head;
}

static inline const char *wbuf_data(const struct wbuf *b)
{
    return b->ptr + b->head;
}

/* An empty buffer starts with room for little more than `len` bytes: it may have to wait. */
void wbuf_start(struct wbuf_pool *pool, struct wbuf *b, size_t len);
/* An empty buffer keeps `front` bytes free in front of what is added, of which `len` bytes come
 * now. */
void wbuf_leave_front(struct wbuf_pool *pool, struct wbuf *b, size_t front, size_t len);
/* Where `len` bytes fit in front of those that are there: left free, or those that were dropped
 * last. NULL: they do not. */
static inline char *wbuf_front(const struct wbuf *b, size_t len)
{
    return b->head >= len && b->tail > b->head ? b->ptr + b->head - len : NULL;
}
/* Room for `len` more bytes; the caller writes there and calls wbuf_commit. NULL: see `failed`. */
char *wbuf_reserve(struct wbuf_pool *pool, struct wbuf *b, size_t len);
void wbuf_commit(struct wbuf *b, size_t len);
void wbuf_add(struct wbuf_pool *pool, struct wbuf *b, const void *data, size_t len);
void wbuf_add_str(struct wbuf_pool *pool, struct wbuf *b, struct str s);
/* Drops bytes at the front; an emptied buffer goes back to the pool. */
void wbuf_consume(struct wbuf_pool *pool, struct wbuf *b, size_t len);
void wbuf_release(struct wbuf_pool *pool, struct wbuf *b);
void wbuf_pool_fini(struct wbuf_pool *pool);

#endif
