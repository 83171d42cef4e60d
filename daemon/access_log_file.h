/* access_log_file: the file the gateway writes its access log to.
 *
 * H/logs/access.log (0600, directory 0700). The daemon opens it for appending and hands the
 * descriptor on; the gateway opens nothing. Looked at twice a second: a file of
 * tunnel.accessLog.maxSize bytes becomes access.log.1, that one access.log.2 and so on, at most
 * `keep` of them; a file that somebody else moved or removed is opened anew, as on SIGHUP.
 * Gateways write to the old descriptor until they have the new one: nothing is lost. Where the
 * file cannot be opened it is tried again, and logged once. The current directory must
 * be H. One thread: the daemon's loop; blocks on that file.
 */
#ifndef WOS_DAEMON_ACCESS_LOG_FILE_H
#define WOS_DAEMON_ACCESS_LOG_FILE_H

#include "base/loop.h"
#include "daemon/config.h"

struct access_log_file;

/* `on_change` is told the descriptor now in use (borrowed; -1: none), never from inside
 * access_log_file_new. Changes of tunnel.accessLog.* apply at the next look. NULL without a tunnel.
 */
struct access_log_file *access_log_file_new(struct loop *loop, const struct config *config,
                                            void (*on_change)(void *arg, int fd), void *arg);
void access_log_file_free(struct access_log_file *f);
/* The descriptor now; -1 if there is none or f is NULL. */
int access_log_file_fd(const struct access_log_file *f);
/* After SIGHUP: opens the path anew. f may be NULL. */
void access_log_file_reopen(struct access_log_file *f);

#endif
