/* lockfile: see lockfile.h. Called by the renewer around an order and its installation. */
#include "acme/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acme/when.h"
#include "base/auto.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/process.h"
#include "base/str.h"

enum { TRIES_MAX = 10, FILE_LIMIT_BYTES = 4096, TOKEN_BYTES = 16 };

struct lockfile {
    int fd;     /* owned: carries the lock */
    char *path; /* owned */
};

/* True while the descriptor is still what the path names. */
static bool is_current(int fd, const char *path)
{
    struct stat ours;
    struct stat there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

/* False for one that may be: out of descriptors or memory that cannot be told. Zombies are gone:
 * where nobody collects them, the pid of a killed daemon stays. */
static bool is_gone(pid_t pid)
{
    struct process_info info;
    return process_read(pid, &info) ? info.state == 'Z' || info.state == 'X' : errno == ESRCH;
}

/* The file says that a process which is alive wrote it not long ago. */
static int check_owner(int fd, const char *path, struct err *err)
{
    struct stat st;
    char text[FILE_LIMIT_BYTES];
    ssize_t len = pread(fd, text, sizeof text, 0);
    if (len < 0 || fstat(fd, &st) != 0) {
        return err_set_sys(err, "%s", path);
    }
    autojson cJSON *json = json_parse((struct str){text, (size_t)len}, path, NULL);
    int64_t pid = json_get_int(json, "pid", 0);
    int64_t age = clock_wall_ms() / 1000 - (int64_t)st.st_mtim.tv_sec;
    if (pid <= 0 || pid > INT32_MAX || pid == getpid() || age > LOCKFILE_STALE_SECONDS ||
        is_gone((pid_t)pid)) {
        return 0;
    }
    return err_set(err, ERR_BUSY, "process %lld is getting this certificate (%s)", (long long)pid,
                   path);
}

static int write_owner(int fd, struct err *err)
{
    uint8_t random[TOKEN_BYTES];
    char token[2 * TOKEN_BYTES + 1];
    CHECK(RAND_bytes(random, sizeof random) == 1);
    for (size_t i = 0; i < TOKEN_BYTES; i++) {
        (void)snprintf(token + 2 * i, 3, "%02x", random[i]);
    }
    autojson cJSON *json = cJSON_CreateObject();
    CHECK(json != NULL);
    json_add_int(json, "pid", getpid());
    json_add_str(json, "token", token);
    when_add(json, "acquiredAt", clock_wall_ms() / 1000);
    autofree char *text = json_print(json);
    size_t len = strlen(text);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, len, 0) != (ssize_t)len) {
        return err_set_sys(err, "writing the lock");
    }
    return 0;
}

/* 1 locked, 0 the file went away meanwhile, -1 error. */
static int lock_open(int fd, const char *path, struct err *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        if (errno == EAGAIN || errno == EACCES) {
            return err_set(err, ERR_BUSY, "another process is getting this certificate (%s)", path);
        }
        return err_set_sys(err, "%s", path);
    }
    if (!is_current(fd, path)) {
        return 0;
    }
    return check_owner(fd, path, err) < 0 || write_owner(fd, err) < 0 ? -1 : 1;
}

/* As lock_open; the descriptor stays open when it is locked. */
static int try_lock(const char *path, int *out_fd, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return err_set_sys(err, "%s", path);
    }
    int got = lock_open(fd, path, err);
    if (got == 1) {
        *out_fd = fd;
    } else {
        (void)close(fd);
    }
    return got;
}

struct lockfile *lockfile_acquire(const char *path, struct err *err)
{
    int got = 0;
    int fd = -1;
    for (int i = 0; got == 0 && i < TRIES_MAX; i++) {
        got = try_lock(path, &fd, err);
    }
    if (got <= 0) {
        if (got == 0) {
            (void)err_set(err, ERR_BUSY, "%s changes all the time", path); /* NULL tells */
        }
        return NULL;
    }
    struct lockfile *lock = xcalloc(1, sizeof *lock);
    lock->fd = fd;
    lock->path = xstrdup(path);
    return lock;
}

void lockfile_touch(struct lockfile *lock)
{
    if (lock != NULL) {
        (void)futimens(lock->fd, NULL); /* no harm: the kernel's lock is what counts for us */
    }
}

void lockfile_release(struct lockfile *lock)
{
    if (lock == NULL) {
        return;
    }
    if (is_current(lock->fd, lock->path)) {
        (void)unlink(lock->path);
    }
    (void)close(lock->fd);
    free(lock->path);
    free(lock);
}
