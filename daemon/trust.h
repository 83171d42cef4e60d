/* trust: the certificate authorities a service with `backend: https` may have its certificate
 * from. The gateway opens no file, so they travel in the snapshot.
 */
#ifndef WOS_DAEMON_TRUST_H
#define WOS_DAEMON_TRUST_H

#include "base/str.h"
#include "routing/route.h"

/* Appends the PEM of Debian's system store and of the local CA under `home`, when one of the
 * routes is BACKEND_HTTPS; nothing otherwise. A store that cannot be read is logged and left out:
 * its services are then not trusted. At most SNAPSHOT_PEM_MAX bytes. */
void trust_read(const char *home, const struct route *routes, uint32_t count, struct buf *out);

#endif
