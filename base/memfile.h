/* memfile: bytes for another process in a file that is memory only (memfd_create), handed over as
 * a descriptor: any number of them in one step, where a socket takes a part at a time.
 */
#ifndef WOS_BASE_MEMFILE_H
#define WOS_BASE_MEMFILE_H

#include "base/err.h"
#include "base/str.h"

/* A descriptor (close-on-exec) of a file that holds the bytes, positioned at its start; -1 with
 * the error. */
int memfile_new(struct str bytes, struct err *err);
/* The file holds these bytes instead, from its start: in pages it has, where a new file needs fresh
 * ones. Who was given it before must have read it. -1 with the error: what it holds is of no use.
 */
int memfile_refill(int fd, struct str bytes, struct err *err);
/* Appends all of what is in the file from where it stands on. -1 with the error when it is no
 * regular file, has more than `limit` bytes or ends early; `out` may then have a part. */
int memfile_read(int fd, size_t limit, struct buf *out, struct err *err);

#endif
