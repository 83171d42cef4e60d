/* sockdiag: whose a TCP connection within this machine is, as the kernel says (sock_diag). Works
 * without privileges, within the caller's network namespace. Any thread; does not block.
 */
#ifndef WOS_BASE_SOCKDIAG_H
#define WOS_BASE_SOCKDIAG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct sockdiag {
    uid_t uid;      /* of who made the socket */
    uint64_t inode; /* the number in /proc/PID/fd: "socket:[N]" */
    /* Its end was said and is not acknowledged: after shutdown(SHUT_WR), which has a descriptor, or
     * in a close that lingers, which has none any more. */
    bool is_closing;
};

/* The socket that is at `local` and connected to `remote`, both IPv4 or both IPv6 and neither
 * IPv4-mapped. False when there is none: it is closed, or about to be (then the kernel no longer
 * knows whose it was), is in another network namespace, or the kernel has no sock_diag. */
bool sockdiag_find(const struct sockaddr *local, const struct sockaddr *remote,
                   struct sockdiag *out_found);

#endif
