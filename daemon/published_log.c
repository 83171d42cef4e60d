/* published_log: see published_log.h. Owned by published.c. */
#include "daemon/published_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

enum { READ_MAX = 256 << 20 };

struct published_log {
    char *path;  /* owned */
    int fd;      /* owned; -1: not open */
    size_t size; /* of the file */
    bool is_cut; /* it ends in half a line, which no other may follow */
    bool is_unread;
};

struct published_log *published_log_new(const char *path)
{
    struct published_log *log = xcalloc(1, sizeof *log);
    log->path = xstrdup(path);
    log->fd = -1;
    return log;
}

static void log_close(struct published_log *log)
{
    if (log->fd >= 0) {
        (void)close(log->fd);
        log->fd = -1;
    }
}

void published_log_free(struct published_log *log)
{
    if (log != NULL) {
        log_close(log);
        free(log->path);
        free(log);
    }
}

int published_log_read(struct published_log *log, void (*fn)(void *arg, const cJSON *row),
                       void *arg)
{
    struct err err = {.msg = ""};
    struct buf text = {0};
    if (file_read(log->path, READ_MAX, &text, &err) < 0) {
        buf_fini(&text);
        log->is_unread = err.code != ERR_NOT_FOUND;
        if (log->is_unread) {
            log_error("publish", "what changed last of published names is not known",
                      LOG_STR("error", err.msg));
            fn(arg, NULL);
        }
        return log->is_unread ? -1 : 0;
    }
    struct str left = buf_str(&text);
    const char *end;
    log->size = text.len;
    while (left.len > 0 && (end = memchr(left.ptr, '\n', left.len)) != NULL) {
        struct str line = {left.ptr, (size_t)(end - left.ptr)};
        autojson cJSON *row = json_parse(line, log->path, &err);
        if (row == NULL) {
            log_error("publish", "a change of a published name is not restored",
                      LOG_STR("error", err.msg));
        }
        fn(arg, row);
        left = (struct str){end + 1, left.len - line.len - 1};
    }
    log->is_cut = left.len > 0;
    buf_fini(&text);
    return 0;
}

static int log_open(struct published_log *log, struct err *err)
{
    if (log->fd >= 0) {
        return 0;
    }
    log->fd = open(log->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log->fd < 0) {
        return err_set_sys(err, "cannot open %s", log->path);
    }
    file_sync_parent(log->path);
    return 0;
}

int published_log_add(struct published_log *log, struct str line, struct err *err)
{
    if (log->is_cut || log->is_unread) {
        return err_set(err, ERR_FAILED, "%s %s", log->path,
                       log->is_cut ? "ends in half a line" : "could not be read");
    }
    if (log_open(log, err) < 0) {
        return -1;
    }
    struct buf text = {0};
    buf_add_str(&text, line);
    buf_add_char(&text, '\n');
    ssize_t put;
    do {
        put = write(log->fd, text.ptr, text.len); /* whole, or the disk is full */
    } while (put < 0 && errno == EINTR);
    bool done = put == (ssize_t)text.len && fdatasync(log->fd) == 0;
    if (!done) {
        (void)err_set_sys(err, "cannot write %s", log->path); /* -1 tells the caller */
        log->is_cut = put > 0;
    }
    log->size += put > 0 ? (size_t)put : 0;
    buf_fini(&text);
    return done ? 0 : -1;
}

void published_log_clear(struct published_log *log)
{
    log_close(log);
    log->size = 0;
    log->is_cut = false;
    (void)unlink(log->path); /* an old line that stays would be said again, later ones behind it */
    file_sync_parent(log->path);
}

size_t published_log_size(const struct published_log *log)
{
    return log->size;
}
