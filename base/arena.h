/* arena: memory that is freed all at once.
 *
 * An exchange, a configuration, a snapshot each own one; nothing inside is
 * freed singly. Not thread-safe: one owner. Blocks grow from `first_size`
 * (default 2 KiB) by doubling up to 64 KiB; larger pieces get a block each.
 * Allocations are aligned for any type. arena_reset keeps the first block, so
 * that a connection reuses it for its next request.
 */
#ifndef WOS_BASE_ARENA_H
#define WOS_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *head; /* owned: newest first */
    size_t next_size;
    size_t used; /* bytes handed out since the last reset */
    bool failed; /* an arena_try_* had no memory, since the last reset */
};

void arena_init(struct arena *a, size_t first_size);
void arena_fini(struct arena *a);
void arena_reset(struct arena *a);
/* Uninitialised memory; aborts when out of memory: for sizes we chose. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
void *arena_zalloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
/* For what a peer asks for. Without memory: NULL, or an empty text, and a->failed, so that whoever
 * makes something of many pieces looks once, at its end. */
void *arena_try_alloc(struct arena *a, size_t size) __attribute__((warn_unused_result));
struct str arena_try_str(struct arena *a, struct str s);
char *arena_try_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull));
/* NUL-terminated copies. */
char *arena_strdup(struct arena *a, const char *text) __attribute__((returns_nonnull));
struct str arena_str(struct arena *a, struct str s);
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull));

#endif
