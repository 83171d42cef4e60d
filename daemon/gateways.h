/* gateways: the gateway processes of this home that live, those of earlier daemons too
 * (H/gateways.json, which a gateway cannot read or write). The current directory must be H.
 */
#ifndef WOS_DAEMON_GATEWAYS_H
#define WOS_DAEMON_GATEWAYS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum gateways_answer {
    GATEWAYS_HAVE_NOT, /* the socket is not among the descriptors of any */
    GATEWAYS_MAY_HAVE, /* that cannot be told now */
    GATEWAYS_HAVE,
};

/* A gateway was started. Where the list cannot be read now, that is an error, and nothing is
 * changed. One that is no list is put aside (gateways.json.unreadable): as long as that file is
 * there, gateways may live that nobody knows, and no socket is certainly of none. */
int gateways_add(pid_t pid, struct err *err);
/* Whether a gateway has the socket (base/sockdiag.h), or has sent it to this process: even one that
 * has ended since. */
enum gateways_answer gateways_ask(uint64_t inode);

#endif
