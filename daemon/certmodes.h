/* certmodes: nobody else may read our keys. Looked at once, at the daemon's start.
 *
 * Directories of H/certs become 0700, files with a private key or another secret in them lose
 * every right of group and others; each repair is a warning in the log, because a key that lay
 * open may be known to somebody. What cannot be repaired (another owner) is an error in the log. A
 * configured key file elsewhere is somebody else's: only the warning. Symbolic links are not
 * followed. Control plane; blocks on small files.
 */
#ifndef WOS_DAEMON_CERTMODES_H
#define WOS_DAEMON_CERTMODES_H

#include "daemon/config.h"

void certmodes_check(const struct config *config);

#endif
