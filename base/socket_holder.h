/* socket_holder: whether a process has a socket, by what /proc says about its descriptors.
 *
 * Reads the process' whole table: about a microsecond per descriptor. Any thread.
 */
#ifndef WOS_BASE_SOCKET_HOLDER_H
#define WOS_BASE_SOCKET_HOLDER_H

#include <stdint.h>
#include <sys/types.h>

enum socket_holder {
    SOCKET_HELD_NOT,
    SOCKET_HELD,
    SOCKET_HELD_UNKNOWN, /* the table of a living process cannot be read */
};

/* `inode` as in base/sockdiag.h. */
enum socket_holder socket_holder_ask(pid_t pid, uint64_t inode);
/* The same of this process, and of what others have sent to its Unix sockets and it has not
 * received yet: SOCKET_HELD_UNKNOWN while there is a descriptor among that. */
enum socket_holder socket_holder_ask_self(uint64_t inode);

#endif
