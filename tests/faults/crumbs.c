/* crumbs: reading and writing as a bad day has it: a few bytes at a time, interrupted, or not now.
 *
 * Linked into wos and edge (the targets wos_crumbs and edge_crumbs) these definitions take the
 * place of libc's, in the program and in the libraries it loads. No environment is needed, so the
 * gateway's is as it always is; only system calls are made that its sandbox allows. What happens at
 * a call depends on WOS_CRUMBS_SEED and the number of calls before it.
 *
 * An edge-triggered epoll tells nothing of bytes that a short read left, nor after an EAGAIN that
 * was not the kernel's. Where one was played the descriptor is registered anew, which makes an edge
 * of what is there. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef WOS_CRUMBS_SEED
#define WOS_CRUMBS_SEED 1
#endif

enum { DESCRIPTORS = 1 << 16, FEW = 16, MANY = 4096 };

enum mood { MOOD_WHOLE, MOOD_SHORT, MOOD_EINTR, MOOD_EAGAIN };

static struct {
    atomic_int epoll; /* descriptor + 1; 0: none */
    struct epoll_event event;
} watched[DESCRIPTORS];

static atomic_uint_fast64_t calls;

/* splitmix64 */
static uint64_t next_random(void)
{
    uint64_t z = (WOS_CRUMBS_SEED * 0x632be59bd9b4e019U) +
                 (atomic_fetch_add(&calls, 1) + 1) * 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* Sockets and pipes only: a read of a file is never short before its end. */
static bool is_stream(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode));
}

/* Makes epoll look at fd again. */
static void look_again(int fd)
{
    int saved = errno;
    int epoll = fd >= 0 && fd < DESCRIPTORS ? atomic_load(&watched[fd].epoll) - 1 : -1;
    if (epoll >= 0) {
        (void)syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_MOD, fd, &watched[fd].event);
    }
    errno = saved;
}

/* What is to happen to a call for *len bytes; *len may shrink. */
static enum mood choose(int fd, size_t *len)
{
    uint64_t random = next_random();
    unsigned kind = (unsigned)random % 16;
    if (*len == 0 || kind >= 9 || !is_stream(fd)) {
        return MOOD_WHOLE;
    }
    if (kind == 0) {
        return MOOD_EINTR;
    }
    if (kind == 1) {
        int flags = fcntl(fd, F_GETFL);
        return flags >= 0 && (flags & O_NONBLOCK) != 0 ? MOOD_EAGAIN : MOOD_EINTR;
    }
    size_t most = 1 + (size_t)(random >> 32) % (kind < 5 ? FEW : MANY);
    if (most >= *len) {
        return MOOD_WHOLE;
    }
    *len = most;
    return MOOD_SHORT;
}

/* True: the call fails so. */
static bool refuse(enum mood mood, int fd)
{
    if (mood == MOOD_EINTR || mood == MOOD_EAGAIN) {
        look_again(fd);
        errno = mood == MOOD_EINTR ? EINTR : EAGAIN;
        return true;
    }
    return false;
}

static ssize_t done(enum mood mood, int fd, ssize_t result)
{
    if (mood == MOOD_SHORT) {
        look_again(fd);
    }
    return result;
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    int result = (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
    if (result == 0 && fd < DESCRIPTORS) {
        atomic_store(&watched[fd].epoll, 0);
        if (op != EPOLL_CTL_DEL && (event->events & EPOLLET) != 0) {
            watched[fd].event = *event;
            atomic_store(&watched[fd].epoll, epoll + 1);
        }
    }
    return result;
}

ssize_t read(int fd, void *to, size_t len)
{
    enum mood mood = choose(fd, &len);
    return refuse(mood, fd) ? -1 : done(mood, fd, syscall(SYS_read, fd, to, len));
}

ssize_t write(int fd, const void *from, size_t len)
{
    enum mood mood = choose(fd, &len);
    return refuse(mood, fd) ? -1 : done(mood, fd, syscall(SYS_write, fd, from, len));
}

ssize_t recvfrom(int fd, void *restrict to, size_t len, int flags, struct sockaddr *restrict from,
                 socklen_t *restrict from_len)
{
    enum mood mood = (flags & MSG_PEEK) != 0 ? MOOD_WHOLE : choose(fd, &len);
    return refuse(mood, fd)
               ? -1
               : done(mood, fd, syscall(SYS_recvfrom, fd, to, len, flags, from, from_len));
}

ssize_t recv(int fd, void *to, size_t len, int flags)
{
    return recvfrom(fd, to, len, flags, NULL, NULL);
}

ssize_t sendto(int fd, const void *from, size_t len, int flags, const struct sockaddr *to,
               socklen_t to_len)
{
    enum mood mood = choose(fd, &len);
    return refuse(mood, fd) ? -1
                            : done(mood, fd, syscall(SYS_sendto, fd, from, len, flags, to, to_len));
}

ssize_t send(int fd, const void *from, size_t len, int flags)
{
    return sendto(fd, from, len, flags, NULL, 0);
}

/* Of several pieces, some of the first. */
static ssize_t vector(long number, int fd, const struct iovec *pieces, int count)
{
    struct iovec first = count > 0 ? pieces[0] : (struct iovec){0};
    enum mood mood = choose(fd, &first.iov_len);
    if (refuse(mood, fd)) {
        return -1;
    }
    if (mood == MOOD_SHORT) {
        return done(mood, fd, syscall(number, fd, &first, 1));
    }
    return syscall(number, fd, pieces, count);
}

ssize_t readv(int fd, const struct iovec *pieces, int count)
{
    return vector(SYS_readv, fd, pieces, count);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    return vector(SYS_writev, fd, pieces, count);
}

static ssize_t message(long number, int fd, struct msghdr *m, int flags)
{
    struct iovec first = m->msg_iovlen > 0 ? m->msg_iov[0] : (struct iovec){0};
    enum mood mood = choose(fd, &first.iov_len);
    if (refuse(mood, fd)) {
        return -1;
    }
    if (mood != MOOD_SHORT) {
        return syscall(number, fd, m, flags);
    }
    struct msghdr cut = *m;
    cut.msg_iov = &first;
    cut.msg_iovlen = 1;
    ssize_t result = syscall(number, fd, &cut, flags);
    m->msg_controllen = cut.msg_controllen;
    m->msg_namelen = cut.msg_namelen;
    m->msg_flags = cut.msg_flags;
    return done(mood, fd, result);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    return message(SYS_recvmsg, fd, m, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    struct msghdr copy = *m;
    return message(SYS_sendmsg, fd, &copy, flags);
}
