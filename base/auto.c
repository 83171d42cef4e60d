/* auto: see auto.h. Any thread. */
#include "base/auto.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void out_of_memory(void)
{
    static const char text[] = "wos: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored; /* nothing is left to do about it */
    abort();
}

static void *or_die(void *ptr)
{
    NEED(ptr != NULL);
    return ptr;
}

void *xmalloc(size_t size)
{
    return or_die(malloc(size == 0 ? 1 : size));
}

void *xcalloc(size_t count, size_t size)
{
    return or_die(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size));
}

void *xrealloc(void *old, size_t size)
{
    return or_die(realloc(old, size == 0 ? 1 : size));
}

char *xstrdup(const char *text)
{
    return or_die(strdup(text));
}

char *xstrndup(const char *text, size_t len)
{
    return or_die(strndup(text, len));
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = NULL;
    int len = vasprintf(&text, fmt, ap);
    va_end(ap);
    return or_die(len < 0 ? NULL : text);
}

void *try_alloc(size_t size)
{
    return malloc(size == 0 ? 1 : size);
}

void *try_zalloc(size_t size)
{
    return calloc(1, size == 0 ? 1 : size);
}

void auto_free_(void *slot)
{
    void *ptr;
    memcpy(&ptr, slot, sizeof ptr); /* the slot may have any pointer type */
    free(ptr);
}

void auto_close_(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); /* an end-of-scope close has no one to tell */
        *fd = -1;
    }
}

int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

void check_failed_(const char *what, const char *file, int line)
{
    (void)fprintf(stderr, "wos: check failed: %s at %s:%d\n", what, file, line);
    abort();
}
