/* socket_holder: see socket_holder.h. Called by daemon/gateways.c. */
#include "base/socket_holder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/process.h"
#include "base/str.h"

enum { LINK_MAX = 64, INFO_MAX = 4096 };

static bool is_dead(pid_t pid)
{
    struct process_info info;
    /* A main thread may end before the others: its table looks empty then, theirs is not. */
    if (!process_read(pid, &info)) {
        return errno == ESRCH;
    }
    return (info.state == 'Z' || info.state == 'X') && info.threads <= 1;
}

/* `seen` is called for each socket until it returns false; how many descriptors there were, or -1:
 * not all of them could be read. */
static int each_socket(const char *path, bool (*seen)(int fd, uint64_t inode, void *arg), void *arg)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return -1;
    }
    int count = 0;
    bool is_whole = true;
    const struct dirent *entry;
    while (is_whole && (errno = 0, entry = readdir(dir)) != NULL) {
        static const char prefix[] = "socket:[";
        char text[LINK_MAX];
        uint64_t fd;
        uint64_t inode;
        if (!str_to_u64(str_of(entry->d_name), &fd)) {
            continue; /* "." and ".." */
        }
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, text, sizeof text);
        is_whole = len >= 0 || errno == ENOENT; /* then it was closed meanwhile */
        count++;
        size_t start = sizeof prefix - 1;
        if (len <= (ssize_t)sizeof prefix || memcmp(text, prefix, start) != 0 ||
            !str_to_u64((struct str){text + start, (size_t)len - start - 1}, &inode)) {
            continue;
        }
        if (!seen((int)fd, inode, arg)) {
            (void)closedir(dir);
            return count;
        }
    }
    is_whole = is_whole && errno == 0;
    (void)closedir(dir);
    return is_whole ? count : -1;
}

struct search {
    uint64_t inode;
    enum socket_holder answer;
};

static bool search_on_socket(int fd, uint64_t inode, void *arg)
{
    struct search *s = arg;
    (void)fd;
    s->answer = inode == s->inode ? SOCKET_HELD : SOCKET_HELD_NOT;
    return s->answer != SOCKET_HELD;
}

enum socket_holder socket_holder_ask(pid_t pid, uint64_t inode)
{
    char path[64];
    struct search s = {.inode = inode};
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    if (each_socket(path, search_on_socket, &s) > 0) {
        return s.answer;
    }
    return is_dead(pid) ? SOCKET_HELD_NOT : SOCKET_HELD_UNKNOWN;
}

/* What was sent here and not received: the kernel counts it per socket. */
static bool has_descriptors_waiting(int fd)
{
    char path[64];
    int domain = 0;
    int bytes = 0;
    socklen_t len = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX ||
        (ioctl(fd, FIONREAD, &bytes) == 0 && bytes == 0)) {
        return false; /* descriptors travel with bytes */
    }
    (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    autoclose int info = open(path, O_RDONLY | O_CLOEXEC);
    char text[INFO_MAX];
    ssize_t got = info < 0 ? -1 : read(info, text, sizeof text - 1);
    text[got < 0 ? 0 : got] = '\0';
    const char *count = strstr(text, "scm_fds:");
    return count == NULL || strtoul(count + strlen("scm_fds:"), NULL, 10) > 0;
}

static bool self_on_socket(int fd, uint64_t inode, void *arg)
{
    struct search *s = arg;
    if (inode == s->inode) {
        s->answer = SOCKET_HELD;
    } else if (has_descriptors_waiting(fd)) {
        s->answer = SOCKET_HELD_UNKNOWN;
    }
    return s->answer == SOCKET_HELD_NOT;
}

enum socket_holder socket_holder_ask_self(uint64_t inode)
{
    struct search s = {.inode = inode};
    return each_socket("/proc/self/fd", self_on_socket, &s) > 0 ? s.answer : SOCKET_HELD_UNKNOWN;
}
