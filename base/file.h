/* file: whole files in, whole files out, nothing in between.
 * Writing goes to a temporary file in the same directory, fsync, rename: a
 * reader sees the old bytes or the new, a crash loses neither.
 * Control plane only: these calls block.
 */
#ifndef WOS_BASE_FILE_H
#define WOS_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* Reads at most `limit` bytes; a larger file is an error, and so is what is no
 * regular file (ERR_REFUSED): nobody can make this wait. Errors name the
 * path; a missing file gives ERR_NOT_FOUND. *out is appended to. */
int file_read(const char *path, size_t limit, struct buf *out, struct err *err);
/* Replaces path with the bytes; the file gets exactly `mode`. */
int file_write_atomic(const char *path, struct str bytes, mode_t mode, struct err *err);
/* Makes it durable that path is there, or gone. Some file systems cannot; nothing to do. */
void file_sync_parent(const char *path);
bool file_exists(const char *path);
/* mkdir -p; directories made get `mode`, existing ones are left alone. */
int dir_make(const char *path, mode_t mode, struct err *err);
/* rm -r that follows no symbolic link. A missing path is success. */
int path_remove_all(const char *path, struct err *err);
/* Absolute, symlinks resolved; malloc'ed; NULL on error. */
char *path_real(const char *path, struct err *err);
/* malloc'ed "a/b"; b absolute gives b. */
char *path_join(const char *a, const char *b);
int fd_set_nonblock(int fd, struct err *err);
int fd_set_cloexec(int fd, bool on, struct err *err);

#endif
