/* lockfile: two daemons never issue the same certificate at once.
 *
 * H/certs/acme/locks/<kind>.lock holds {pid, token, acquiredAt} as documented, and the holder
 * keeps an open-file-description lock on it, which the kernel drops with the process. A file
 * without that lock belongs to a crash, or to a daemon that knows only the file: it is taken
 * over when its process is known to be gone or it is older than ten minutes (lockfile_touch keeps
 * ours young). One thread; never blocks.
 */
#ifndef WOS_ACME_LOCKFILE_H
#define WOS_ACME_LOCKFILE_H

#include "base/err.h"

struct lockfile;

enum { LOCKFILE_STALE_SECONDS = 600 };

/* NULL: ERR_BUSY, the error names the process; or another error. */
struct lockfile *lockfile_acquire(const char *path, struct err *err);
void lockfile_touch(struct lockfile *lock);
/* Deletes the file if it is still ours. */
void lockfile_release(struct lockfile *lock);

#endif
