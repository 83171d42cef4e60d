/* access_reader: see access_reader.h. Called by access_logs.c. */
#include "cli/access_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"

enum { BLOCK = 256 * 1024, GENERATIONS_MAX = 1000, LINE_MAX_BYTES = 1 << 20 };

/* Lines found from the end, the newest first. */
struct found {
    char **lines; /* owned */
    size_t count;
    size_t wanted;
    access_line_fn *accept;
    void *arg; /* borrowed */
};

void access_reader_init(struct access_reader *r, const char *home)
{
    *r = (struct access_reader){.dir = path_join(home, "logs"), .fd = -1};
}

void access_reader_fini(struct access_reader *r)
{
    if (r->fd >= 0) {
        (void)close(r->fd);
    }
    buf_fini(&r->rest);
    free(r->dir);
}

/* The newest file is generation 0; -1 when there is none. */
static int open_generation(const struct access_reader *r, unsigned generation)
{
    autofree char *path = generation == 0 ? xasprintf("%s/access.log", r->dir)
                                          : xasprintf("%s/access.log.%u", r->dir, generation);
    return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

static bool found_add(struct found *found, struct str line)
{
    if (line.len > 0 && found->accept(found->arg, line)) {
        found->lines = xrealloc(found->lines, (found->count + 1) * sizeof *found->lines);
        found->lines[found->count++] = str_dup(line);
    }
    return found->count < found->wanted;
}

/* Takes whole lines off the end of `text`, but for the first one, whose start may be missing.
 * What is left of the text; STR_NONE when enough were found. */
static struct str take_back(struct found *found, struct str text, bool at_start)
{
    while (text.len > 0) {
        const char *newline = memrchr(text.ptr, '\n', text.len);
        if (newline == NULL && !at_start) {
            return text;
        }
        const char *start = newline == NULL ? text.ptr : newline + 1;
        struct str line = {start, text.len - (size_t)(start - text.ptr)};
        text.len = newline == NULL ? 0 : (size_t)(newline - text.ptr);
        if (!found_add(found, line)) {
            break;
        }
    }
    return STR_NONE;
}

/* Reads [0, end) backwards in blocks. */
static void read_back(struct found *found, int fd, off_t end)
{
    struct buf carry = {0}; /* the first line's part of the block read before */
    while (end > 0 && found->count < found->wanted && carry.len < LINE_MAX_BYTES) {
        size_t len = end < BLOCK ? (size_t)end : BLOCK;
        struct buf block = {0};
        buf_reserve(&block, len + carry.len);
        ssize_t n = pread(fd, block.ptr, len, end - (off_t)len);
        if (n != (ssize_t)len) {
            buf_fini(&block);
            break;
        }
        block.len = len;
        buf_add_str(&block, buf_str(&carry));
        end -= (off_t)len;
        struct str rest = take_back(found, buf_str(&block), end == 0);
        carry.len = 0;
        buf_add_str(&carry, rest);
        buf_fini(&block);
    }
    buf_fini(&carry);
}

/* End of the last whole line of the file. */
static off_t whole_end(int fd, off_t size)
{
    char bytes[4096];
    while (size > 0) {
        size_t len = size < (off_t)sizeof bytes ? (size_t)size : sizeof bytes;
        ssize_t n = pread(fd, bytes, len, size - (off_t)len);
        const char *newline = n == (ssize_t)len ? memrchr(bytes, '\n', len) : NULL;
        if (newline != NULL) {
            return size - (off_t)len + (newline - bytes) + 1;
        }
        size -= (off_t)len;
    }
    return 0;
}

static void read_generations(struct access_reader *r, struct found *found)
{
    for (unsigned i = 0; i <= GENERATIONS_MAX && (i == 0 || found->count < found->wanted); i++) {
        autoclose int fd = open_generation(r, i);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
            if (i > 0) {
                return;
            }
            continue; /* just rotated */
        }
        off_t end = whole_end(fd, st.st_size);
        if (found->wanted > 0) {
            read_back(found, fd, end);
        }
        if (i == 0 && lseek(fd, end, SEEK_SET) == end) {
            r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        }
    }
}

int access_reader_tail(struct access_reader *r, size_t count, access_line_fn *accept,
                       access_line_fn *print, void *arg, struct err *err)
{
    struct found found = {.wanted = count, .accept = accept, .arg = arg};
    if (access(r->dir, R_OK | X_OK) < 0 && errno != ENOENT) {
        return err_set_sys(err, "cannot read %s", r->dir);
    }
    read_generations(r, &found);
    bool go_on = true;
    for (size_t i = found.count; i > 0; i--) {
        go_on = go_on && print(arg, str_of(found.lines[i - 1]));
        free(found.lines[i - 1]);
    }
    free(found.lines);
    return 0;
}

/* All that the open file has beyond what was read. */
static bool read_on(struct access_reader *r, access_line_fn *print, void *arg)
{
    char bytes[65536];
    ssize_t n;
    while ((n = read(r->fd, bytes, sizeof bytes)) > 0) {
        buf_add(&r->rest, bytes, (size_t)n);
        struct str text = buf_str(&r->rest);
        size_t end;
        while ((end = str_find(text, '\n')) < text.len) {
            struct str line = {text.ptr, end};
            text = (struct str){text.ptr + end + 1, text.len - end - 1};
            if (line.len > 0 && !print(arg, line)) {
                return false;
            }
        }
        buf_consume(&r->rest, r->rest.len - text.len);
        if (r->rest.len > LINE_MAX_BYTES) {
            r->rest.len = 0; /* no line of ours */
        }
    }
    return true;
}

static bool is_same(int fd, const struct stat *st)
{
    struct stat other;
    return fd >= 0 && fstat(fd, &other) == 0 && other.st_ino == st->st_ino &&
           other.st_dev == st->st_dev;
}

/* The file that was begun after the one we have: the generation before it, or the newest. */
static int open_next(const struct access_reader *r, const struct stat *ours)
{
    for (unsigned i = 1; i <= GENERATIONS_MAX; i++) {
        autoclose int fd = open_generation(r, i);
        if (fd < 0) {
            break;
        }
        if (is_same(fd, ours)) {
            int next = open_generation(r, i - 1);
            autoclose int again = open_generation(r, i); /* ours moves on before its successor */
            if (is_same(again, ours)) {
                return next;
            }
            if (next >= 0) {
                (void)close(next);
            }
        }
    }
    return open_generation(r, 0);
}

bool access_reader_look(struct access_reader *r, access_line_fn *print, void *arg)
{
    struct stat ours;
    if (r->fd < 0) {
        r->fd = open_generation(r, 0);
        return r->fd < 0 || read_on(r, print, arg);
    }
    /* The size is asked for afterwards: the file grows while it is read. */
    if (!read_on(r, print, arg) || fstat(r->fd, &ours) < 0) {
        return false;
    }
    if (lseek(r->fd, 0, SEEK_CUR) > ours.st_size) {
        (void)lseek(r->fd, 0, SEEK_SET); /* somebody cut it to nothing */
    }
    autoclose int newest = open_generation(r, 0);
    if (newest < 0 || is_same(newest, &ours)) {
        r->is_replaced = false;
        return true;
    }
    if (!r->is_replaced) {
        r->is_replaced = true; /* the gateway may still write to ours */
        return true;
    }
    int next = open_next(r, &ours);
    if (next >= 0) {
        (void)close(r->fd);
        r->fd = next;
        r->rest.len = 0;
        r->is_replaced = false;
        return read_on(r, print, arg);
    }
    return true;
}
