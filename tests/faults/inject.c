/* inject: see inject.h. */
#include "tests/faults/inject.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static _Thread_local struct {
    bool armed;
    bool happened;
    enum inject_kind kind;
    unsigned nth;
    unsigned count;
    unsigned paused;
} state;

void inject_arm(enum inject_kind kind, unsigned nth)
{
    state.happened = false;
    state.kind = kind;
    state.nth = nth;
    state.count = 0;
    state.paused = 0;
    state.armed = true;
}

unsigned inject_disarm(void)
{
    state.armed = false;
    return state.count;
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

/* Where a debugger stops. */
__attribute__((noinline)) static bool fail_now(void)
{
    state.happened = true;
    return true;
}

static bool fails(enum inject_kind kind)
{
    if (!state.armed || state.paused > 0 || state.kind != kind) {
        return false;
    }
    state.count++;
    return state.count == state.nth && fail_now();
}

void *malloc(size_t size)
{
    if (fails(INJECT_MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    if (fails(INJECT_MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    if (fails(INJECT_MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(old, size);
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
