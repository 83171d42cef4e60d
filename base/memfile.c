/* memfile: see memfile.h. The daemon writes snapshots to one, the gateway reads them. Any thread.
 */
#include "base/memfile.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"

int memfile_refill(int fd, struct str bytes, struct err *err)
{
    if (ftruncate(fd, (off_t)bytes.len) != 0) {
        return err_set_sys(err, "cannot size a file in memory");
    }
    for (off_t at = 0; bytes.len > 0;) {
        ssize_t put = pwrite(fd, bytes.ptr, bytes.len, at);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return err_set_sys(err, "cannot fill a file in memory");
        }
        at += put;
        bytes.ptr += put;
        bytes.len -= (size_t)put;
    }
    if (lseek(fd, 0, SEEK_SET) != 0) { /* the reader's position is ours */
        return err_set_sys(err, "cannot rewind a file in memory");
    }
    return 0;
}

int memfile_new(struct str bytes, struct err *err)
{
    int fd = memfd_create("wos", MFD_CLOEXEC);
    if (fd < 0) {
        return err_set_sys(err, "cannot make a file in memory");
    }
    if (memfile_refill(fd, bytes, err) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int memfile_read(int fd, size_t limit, struct buf *out, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return err_set_sys(err, "cannot look at a file in memory");
    }
    if (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > limit) {
        return err_set(err, ERR_REFUSED, "no regular file of at most %zu bytes", limit);
    }
    size_t left = (size_t)st.st_size;
    buf_reserve(out, left);
    if (out->failed) {
        return err_set(err, ERR_FAILED, "out of memory");
    }
    while (left > 0) {
        ssize_t got = read(fd, out->ptr + out->len, left);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return err_set_sys(err, "cannot read a file in memory");
        }
        if (got == 0) {
            return err_set(err, ERR_REFUSED, "a file in memory ends %zu bytes early", left);
        }
        out->len += (size_t)got;
        left -= (size_t)got;
    }
    return 0;
}
