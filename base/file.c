/* file: see file.h. Control plane, any thread; every call blocks. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"

enum { READ_STEP = 16 * 1024, REMOVE_PASSES = 8 };

/* "<path>: <strerror>", with a missing file told apart. */
static int fail_path(struct err *err, const char *path)
{
    int saved = errno;
    (void)err_set_sys(err, "%s", path);
    if (err != NULL && saved == ENOENT) {
        err->code = ERR_NOT_FOUND;
    }
    return -1;
}

int file_read(const char *path, size_t limit, struct buf *out, struct err *err)
{
    /* The open of a FIFO and the read of a terminal would wait, and everybody with us. */
    autoclose int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        return fail_path(err, path);
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(err, ERR_REFUSED, "%s: not a regular file", path);
    }
    size_t before = out->len;
    for (;;) {
        buf_reserve(out, READ_STEP);
        ssize_t got = read(fd, out->ptr + out->len, READ_STEP);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            out->len = before;
            return fail_path(err, path);
        }
        if (got == 0) {
            return 0;
        }
        out->len += (size_t)got;
        if (out->len - before > limit) {
            out->len = before;
            return err_set(err, ERR_REFUSED, "%s: larger than %zu bytes", path, limit);
        }
    }
}

static int write_all(int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.ptr, bytes.len);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return -1;
        }
        bytes.ptr += put;
        bytes.len -= (size_t)put;
    }
    return 0;
}

void file_sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    autofree char *parent = slash == NULL   ? xstrdup(".")
                            : slash == path ? xstrdup("/")
                                            : xstrndup(path, (size_t)(slash - path));
    autoclose int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
    }
}

int file_write_atomic(const char *path, struct str bytes, mode_t mode, struct err *err)
{
    autofree char *temp = xasprintf("%s.tmp-XXXXXX", path);
    autoclose int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0) {
        return fail_path(err, path);
    }
    if (fchmod(fd, mode) != 0 || write_all(fd, bytes) != 0 || fsync(fd) != 0 ||
        rename(temp, path) != 0) {
        (void)fail_path(err, path);
        (void)unlink(temp); /* the failure above is the one to report */
        return -1;
    }
    file_sync_parent(path);
    return 0;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static int make_one(const char *path, mode_t mode, struct err *err)
{
    if (mkdir(path, mode) == 0) {
        /* mkdir's mode is cut by the umask. */
        return chmod(path, mode) == 0 ? 0 : fail_path(err, path);
    }
    int why = errno;
    struct stat st;
    if (stat(path, &st) == 0) {
        /* Existing or unwritable parents (EROFS, EACCES) are fine as they are. */
        errno = ENOTDIR;
        return S_ISDIR(st.st_mode) ? 0 : fail_path(err, path);
    }
    errno = why;
    return fail_path(err, path);
}

int dir_make(const char *path, mode_t mode, struct err *err)
{
    autofree char *copy = xstrdup(path);
    for (char *at = copy + 1; *copy != '\0' && *at != '\0'; at++) {
        if (*at != '/') {
            continue;
        }
        *at = '\0';
        if (make_one(copy, mode, err) < 0) {
            return -1;
        }
        *at = '/';
    }
    return make_one(copy, mode, err);
}

static int remove_at(int parent, const char *name, const char *path, struct err *err);

/* Removes what the directory holds now; `dir` stays open. */
static int remove_entries(DIR *dir, const char *path, struct err *err)
{
    rewinddir(dir);
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            return errno == 0 ? 0 : fail_path(err, path);
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        autofree char *child = path_join(path, entry->d_name);
        if (remove_at(dirfd(dir), entry->d_name, child, err) < 0) {
            return -1;
        }
    }
}

static int remove_dir_at(int parent, const char *name, const char *path, struct err *err)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : fail_path(err, path);
    }
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        (void)fail_path(err, path);
        (void)close(fd);
        return -1;
    }
    int result = -1;
    /* Somebody may still be writing there: look again a few times. */
    for (int pass = 0; pass < REMOVE_PASSES; pass++) {
        if (remove_entries(dir, path, err) < 0) {
            break;
        }
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
            result = 0;
            break;
        }
        (void)fail_path(err, path);
        if (errno != ENOTEMPTY && errno != EEXIST) {
            break;
        }
    }
    (void)closedir(dir);
    return result;
}

/* Recursive with remove_entries; depth is bounded by open descriptors. */
static int remove_at(int parent, const char *name, const char *path, struct err *err)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT || errno == ENOTDIR) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        return fail_path(err, path);
    }
    return remove_dir_at(parent, name, path, err);
}

int path_remove_all(const char *path, struct err *err)
{
    struct err inner = {0};
    if (remove_at(AT_FDCWD, path, path, &inner) < 0) {
        if (err != NULL) {
            *err = inner;
        }
        return -1;
    }
    return 0;
}

char *path_real(const char *path, struct err *err)
{
    char *real = realpath(path, NULL);
    if (real == NULL) {
        (void)fail_path(err, path);
    }
    return real;
}

char *path_join(const char *a, const char *b)
{
    if (b[0] == '/' || a[0] == '\0') {
        return xstrdup(b);
    }
    size_t len = strlen(a);
    return xasprintf("%s%s%s", a, a[len - 1] == '/' ? "" : "/", b);
}

int fd_set_nonblock(int fd, struct err *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return err_set_sys(err, "cannot make a descriptor non-blocking");
    }
    return 0;
}

int fd_set_cloexec(int fd, bool on, struct err *err)
{
    int flags = fcntl(fd, F_GETFD);
    if (flags < 0 || fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC) < 0) {
        return err_set_sys(err, "cannot change a descriptor's close-on-exec flag");
    }
    return 0;
}
