/* auto: clean-up at the end of a scope, for control-plane functions with
 * temporaries, and the checked allocators everything uses.
 *
 *     autofree char *path = xasprintf("%s/config.json", home);
 *
 * Small allocations abort when memory is out (a process that cannot have 100
 * bytes cannot report it either). Sizes that a peer chose go through try_alloc.
 * Never mix autofree and a `goto fail` ladder in one function.
 */
#ifndef WOS_BASE_AUTO_H
#define WOS_BASE_AUTO_H

#include <stddef.h>
#include <stdint.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *old, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *text, size_t len) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
/* NULL when out of memory: the caller fails that one piece of work. */
void *try_alloc(size_t size) __attribute__((malloc, warn_unused_result));
/* … of zeros. */
void *try_zalloc(size_t size) __attribute__((malloc, warn_unused_result));

void auto_free_(void *slot);
void auto_close_(int *fd);
/* The descriptor, which the end of the scope then leaves open. */
int take_fd(int *fd);

#define autofree __attribute__((cleanup(auto_free_)))
#define autoclose __attribute__((cleanup(auto_close_)))

/* A long-lived struct begins with a magic number; CHECK at the top of every
 * callback turns a wrong or freed pointer into an abort with a line number. */
void check_failed_(const char *what, const char *file, int line) __attribute__((noreturn));
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) {                                                        \
            check_failed_(#cond, __FILE__, __LINE__);                                              \
        }                                                                                          \
    } while (0)

/* … and a piece of work of a bounded size that a library does for us ends like xmalloc where it
 * fails, which it does only without memory. */
void out_of_memory(void) __attribute__((noreturn));
#define NEED(cond)                                                                                 \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) {                                                        \
            out_of_memory();                                                                       \
        }                                                                                          \
    } while (0)

/* The struct that `pointer` is the member of. */
#define OWNER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
