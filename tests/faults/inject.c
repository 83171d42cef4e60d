/* inject: see inject.h. */
#include "tests/faults/inject.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static _Thread_local struct {
    bool armed;
    bool happened;
    bool relented;
    enum inject_kind kind;
    unsigned nth;
    unsigned burst;
    unsigned count;
    unsigned paused;
    long live;
} state;

void inject_arm(enum inject_kind kind, unsigned nth, unsigned burst)
{
    state.happened = false;
    state.relented = false;
    state.kind = kind;
    state.nth = nth;
    state.burst = burst;
    state.count = 0;
    state.paused = 0;
    state.armed = true;
}

unsigned inject_disarm(void)
{
    state.armed = false;
    return state.count;
}

void inject_relent(void)
{
    state.relented = true;
}

void inject_pause(void)
{
    state.paused++;
}

void inject_resume(void)
{
    state.paused--;
}

bool inject_happened(void)
{
    return state.happened;
}

long inject_live(void)
{
    return state.live;
}

/* Where a debugger stops. */
__attribute__((noinline)) static bool fail_now(void)
{
    state.happened = true;
    return true;
}

static bool fails(enum inject_kind kind)
{
    if (!state.armed || state.relented || state.paused > 0 || state.kind != kind) {
        return false;
    }
    state.count++;
    return state.nth > 0 && state.count >= state.nth && state.count - state.nth < state.burst &&
           fail_now();
}

/* An allocation happened, unless it failed by itself. */
static void *got(void *block)
{
    state.live += block != NULL ? 1 : 0;
    return block;
}

static void *refused(void)
{
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t size)
{
    return fails(INJECT_MEMORY) ? refused() : got(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return fails(INJECT_MEMORY) ? refused() : got(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size)
{
    if (old == NULL) {
        return malloc(size);
    }
    if (size == 0) {
        free(old);
        return NULL;
    }
    return fails(INJECT_MEMORY) ? refused() : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails(INJECT_MEMORY) ? refused() : got(__libc_memalign(alignment, size));
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = aligned_alloc(alignment, size);
    return *out == NULL ? ENOMEM : 0;
}

void free(void *block)
{
    state.live -= block != NULL ? 1 : 0;
    __libc_free(block);
}

int socket(int domain, int type, int protocol)
{
    if (fails(INJECT_SOCKETS)) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_socket, domain, type, protocol);
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
    if (fails(INJECT_SOCKETS)) {
        errno = ENOBUFS;
        return -1;
    }
    return (int)syscall(SYS_connect, fd, to, len);
}

int accept4(int fd, struct sockaddr *restrict from, socklen_t *restrict len, int flags)
{
    if (fails(INJECT_SOCKETS)) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_accept4, fd, from, len, flags);
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    if (op != EPOLL_CTL_DEL && fails(INJECT_SOCKETS)) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}
