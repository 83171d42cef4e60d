/* access_log_file: see access_log_file.h. Made by daemon.c. */
#include "daemon/access_log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"

#define ACCESS_LOG_DIR "logs"
#define ACCESS_LOG_PATH ACCESS_LOG_DIR "/access.log"

enum { ACCESS_LOG_MAGIC = 0x616c6f67, LOOK_MS = 500, PATH_TEXT = 64 };

struct access_log_file {
    uint32_t magic;
    const struct config *config; /* borrowed */
    int fd;                      /* owned; -1: not open */
    bool is_faulty;              /* … and that was logged */
    void (*on_change)(void *arg, int fd);
    void *arg; /* borrowed */
    struct loop_timer timer;
};

static int open_file(struct err *err)
{
    if (dir_make(ACCESS_LOG_DIR, 0700, err) < 0) {
        return -1;
    }
    struct stat st;
    if (lstat(ACCESS_LOG_DIR, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid()) {
        return err_set(err, ERR_REFUSED, "%s must be a directory of your own", ACCESS_LOG_DIR);
    }
    if ((st.st_mode & 077) != 0 && chmod(ACCESS_LOG_DIR, 0700) < 0) {
        return err_set_sys(err, "cannot make %s private", ACCESS_LOG_DIR);
    }
    int fd =
        open(ACCESS_LOG_PATH,
             O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set_sys(err, "cannot open %s", ACCESS_LOG_PATH);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return err_set(err, ERR_REFUSED, "%s is no regular file", ACCESS_LOG_PATH);
    }
    if ((st.st_mode & 077) != 0) {
        (void)fchmod(fd, 0600); /* the directory keeps others out anyway */
    }
    return fd;
}

/* Opens the path; the descriptor before stays in use when that fails. */
static void file_open(struct access_log_file *f, bool tell)
{
    struct err err = {.msg = ""};
    int fd = open_file(&err);
    if (fd < 0) {
        if (!f->is_faulty) {
            log_error("access-log", "the access log cannot be opened; it is tried again",
                      LOG_STR("error", err.msg));
        }
        f->is_faulty = true;
        return;
    }
    f->is_faulty = false;
    int old = f->fd;
    f->fd = fd;
    if (tell) {
        f->on_change(f->arg, fd);
    }
    if (old >= 0) {
        (void)close(old);
    }
}

/* It was switched off. */
static void file_close(struct access_log_file *f)
{
    if (f->fd >= 0) {
        f->on_change(f->arg, -1);
        (void)close(f->fd);
        f->fd = -1;
    }
}

static void numbered(char *out, uint32_t number)
{
    (void)snprintf(out, PATH_TEXT, ACCESS_LOG_PATH ".%u", number);
}

/* access.log.1 becomes access.log.2, … the oldest goes; then access.log becomes access.log.1. */
static void rotate(struct access_log_file *f)
{
    char from[PATH_TEXT];
    char to[PATH_TEXT];
    uint32_t keep = f->config->access_log_keep;
    int result = 0;
    if (keep == 0) {
        result = unlink(ACCESS_LOG_PATH);
    } else {
        for (uint32_t i = keep; i > 1; i--) {
            numbered(from, i - 1);
            numbered(to, i);
            (void)rename(from, to); /* most often there are not so many yet */
        }
        numbered(to, 1);
        result = rename(ACCESS_LOG_PATH, to);
    }
    if (result < 0 && errno != ENOENT) {
        log_warn("access-log", "the access log cannot be rotated and goes on growing",
                 LOG_STR("error", strerrordesc_np(errno)));
        return;
    }
    file_open(f, true);
}

/* True if the path leads to the file we have open. */
static bool is_in_place(const struct stat *ours)
{
    struct stat st;
    return lstat(ACCESS_LOG_PATH, &st) == 0 && st.st_ino == ours->st_ino &&
           st.st_dev == ours->st_dev;
}

static void file_on_timer(void *arg)
{
    struct access_log_file *f = arg;
    CHECK(f->magic == ACCESS_LOG_MAGIC);
    struct stat st;
    if (!f->config->access_log_enabled) {
        file_close(f);
    } else if (f->fd < 0 || fstat(f->fd, &st) < 0 || !is_in_place(&st)) {
        file_open(f, true);
    } else if (st.st_size >= (off_t)f->config->access_log_size_max) {
        rotate(f);
    }
    loop_timer_set(&f->timer, LOOK_MS);
}

struct access_log_file *access_log_file_new(struct loop *loop, const struct config *config,
                                            void (*on_change)(void *arg, int fd), void *arg)
{
    if (!config->tunnel_enabled) {
        return NULL;
    }
    struct access_log_file *f = xcalloc(1, sizeof *f);
    f->magic = ACCESS_LOG_MAGIC;
    f->config = config;
    f->fd = -1;
    f->on_change = on_change;
    f->arg = arg;
    loop_timer_init(&f->timer, loop, file_on_timer, f);
    loop_timer_set(&f->timer, LOOK_MS);
    if (config->access_log_enabled) {
        file_open(f, false);
    }
    return f;
}

void access_log_file_free(struct access_log_file *f)
{
    if (f == NULL) {
        return;
    }
    CHECK(f->magic == ACCESS_LOG_MAGIC);
    loop_timer_fini(&f->timer);
    if (f->fd >= 0) {
        (void)close(f->fd);
    }
    f->magic = 0;
    free(f);
}

int access_log_file_fd(const struct access_log_file *f)
{
    return f == NULL ? -1 : f->fd;
}

void access_log_file_reopen(struct access_log_file *f)
{
    if (f != NULL && f->config->access_log_enabled) {
        file_open(f, true);
    }
}
