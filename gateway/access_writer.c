/* access_writer: see access_writer.h. Called by gateway.c. */
#include "gateway/access_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"

enum {
    REPORT_MS = 10000,
    CACHED_MAX = 4 << 20, /* bytes: one round */
};

void access_writer_init(struct access_writer *w)
{
    *w = (struct access_writer){.fd = -1};
}

/* How many bytes went; errno says why not all. */
static size_t write_all(int fd, struct str bytes)
{
    size_t done = 0;
    while (done < bytes.len) {
        ssize_t n = write(fd, bytes.ptr + done, bytes.len - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            break;
        }
    }
    return done;
}

static uint64_t count_lines(struct str text)
{
    uint64_t count = 0;
    while (text.len > 0) {
        size_t end = str_find(text, '\n');
        if (end == text.len) {
            break;
        }
        count++;
        text = (struct str){text.ptr + end + 1, text.len - end - 1};
    }
    return count;
}

/* The rest of a line cut earlier. False: still not. */
static bool finish_tail(struct access_writer *w)
{
    if (w->tail.len > 0) {
        buf_consume(&w->tail, write_all(w->fd, buf_str(&w->tail)));
    }
    return w->tail.len == 0;
}

/* Has the kernel begin to write what came last, and forget what it has written of the two rounds
 * before. No more than advice: a file system may ignore it. */
static void drop_cached(struct access_writer *w, size_t written)
{
    w->cached += written;
    if (w->cached < CACHED_MAX) {
        return;
    }
    w->cached = 0;
    off_t end = lseek(w->fd, 0, SEEK_CUR); /* after an append: where that ended */
    off_t from = end - 3 * (off_t)CACHED_MAX;
    if (end > 0) {
        (void)posix_fadvise(w->fd, from > 0 ? from : 0, from > 0 ? end - from : end,
                            POSIX_FADV_DONTNEED);
    }
}

void access_writer_put(struct access_writer *w, struct str lines)
{
    if (w->fd < 0) {
        return;
    }
    if (!finish_tail(w)) {
        w->lost += count_lines(lines);
        return;
    }
    size_t done = write_all(w->fd, lines);
    drop_cached(w, done);
    if (done < lines.len) {
        struct str rest = {lines.ptr + done, lines.len - done};
        if (done > 0 && lines.ptr[done - 1] != '\n') {
            size_t end = str_find(rest, '\n') + 1;
            buf_add(&w->tail, rest.ptr, end);
            rest = (struct str){rest.ptr + end, rest.len - end};
        }
        w->lost += count_lines(rest);
    }
}

/* True if both lead to the same file: SIGHUP without a rename. */
static bool is_same_file(int a, int b)
{
    struct stat x;
    struct stat y;
    return a >= 0 && b >= 0 && fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

void access_writer_set_fd(struct access_writer *w, int fd)
{
    if (w->fd >= 0) {
        if (!finish_tail(w) && !is_same_file(w->fd, fd)) {
            w->lost++;
            w->tail.len = 0;
        }
        (void)close(w->fd);
    }
    w->fd = fd;
}

void access_writer_report(struct access_writer *w, uint64_t dropped)
{
    uint64_t total = w->lost + dropped;
    uint64_t now = clock_now_ms();
    if (total == w->reported || (w->reported_ms != 0 && now - w->reported_ms < REPORT_MS)) {
        return;
    }
    log_warn("gateway", "access log lines are lost; requests are served on",
             LOG_INT("lines", total - w->reported), LOG_INT("lines_in_all", total));
    w->reported = total;
    w->reported_ms = now;
}

void access_writer_fini(struct access_writer *w)
{
    access_writer_set_fd(w, -1);
    buf_fini(&w->tail);
}
