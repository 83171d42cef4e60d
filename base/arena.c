/* arena: see arena.h. One owner, one thread. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"

enum { DEFAULT_FIRST = 2048, LARGEST_STEP = 64 * 1024 };

struct arena_block {
    struct arena_block *next; /* owned: older block */
    size_t cap;
    size_t used;
    alignas(max_align_t) char data[];
};

void arena_init(struct arena *a, size_t first_size)
{
    *a = (struct arena){.next_size = first_size == 0 ? DEFAULT_FIRST : first_size};
}

void arena_fini(struct arena *a)
{
    while (a->head != NULL) {
        struct arena_block *old = a->head;
        a->head = old->next;
        free(old);
    }
    a->used = 0;
}

void arena_reset(struct arena *a)
{
    while (a->head != NULL && a->head->next != NULL) {
        struct arena_block *old = a->head;
        a->head = old->next;
        free(old);
    }
    if (a->head != NULL) {
        a->head->used = 0;
    }
    a->used = 0;
    a->failed = false;
}

static struct arena_block *block_add(struct arena *a, size_t size)
{
    size_t cap = a->next_size == 0 ? DEFAULT_FIRST : a->next_size;
    if (cap < size) {
        cap = size;
    }
    size_t whole;
    if (__builtin_add_overflow(cap, sizeof(struct arena_block), &whole)) {
        return NULL;
    }
    struct arena_block *block = try_alloc(whole);
    if (block == NULL) {
        return NULL;
    }
    block->cap = cap;
    block->used = 0;
    block->next = a->head;
    a->head = block;
    if (a->next_size < LARGEST_STEP) {
        a->next_size = cap * 2 > LARGEST_STEP ? LARGEST_STEP : cap * 2;
    }
    return block;
}

static void *fail(struct arena *a)
{
    a->failed = true;
    return NULL;
}

void *arena_try_alloc(struct arena *a, size_t size)
{
    size_t rounded;
    if (__builtin_add_overflow(size, alignof(max_align_t) - 1, &rounded)) {
        return fail(a);
    }
    rounded &= ~(alignof(max_align_t) - 1);
    if (rounded == 0) {
        rounded = alignof(max_align_t);
    }
    struct arena_block *block = a->head;
    if (block == NULL || block->cap - block->used < rounded) {
        block = block_add(a, rounded);
        if (block == NULL) {
            return fail(a);
        }
    }
    void *ptr = block->data + block->used;
    block->used += rounded;
    a->used += rounded;
    return ptr;
}

void *arena_alloc(struct arena *a, size_t size)
{
    void *ptr = arena_try_alloc(a, size);
    NEED(ptr != NULL);
    return ptr;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    return memset(arena_alloc(a, size), 0, size);
}

struct str arena_try_str(struct arena *a, struct str s)
{
    char *copy = arena_try_alloc(a, s.len + 1);
    if (copy == NULL) {
        return STR("");
    }
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    return (struct str){copy, s.len};
}

struct str arena_str(struct arena *a, struct str s)
{
    struct str copy = arena_try_str(a, s);
    NEED(!a->failed);
    return copy;
}

char *arena_strdup(struct arena *a, const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(arena_alloc(a, size), text, size);
}

__attribute__((format(printf, 2, 0))) static char *print(struct arena *a, const char *fmt,
                                                         va_list ap)
{
    static char none[1];
    va_list again;
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    CHECK(len >= 0);
    char *text = arena_try_alloc(a, (size_t)len + 1);
    if (text != NULL) {
        (void)vsnprintf(text, (size_t)len + 1, fmt, again);
    }
    va_end(again);
    return text != NULL ? text : none;
}

char *arena_try_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = print(a, fmt, ap);
    va_end(ap);
    return text;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = print(a, fmt, ap);
    va_end(ap);
    NEED(!a->failed);
    return text;
}
