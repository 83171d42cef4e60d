/* frame: typed, length-prefixed messages over a Unix stream socket, with
 * optional file descriptors (SCM_RIGHTS). The daemon and the gateway talk so.
 *
 * On the wire: u32 magic "WOSF", u32 type, u32 length, all little-endian, then
 * the payload. Descriptors travel with the first byte of their frame, at most
 * FRAME_FDS_MAX each. A frame over `limit` bytes, a bad magic, or more
 * descriptors than allowed ends the channel with a reason.
 *
 * Sending never blocks: what the socket does not take is queued (owned copies).
 * Received descriptors belong to the callee of on_frame; payload is borrowed
 * for the call. After on_close (called once, deferred, never from inside
 * frame_send) the owner calls frame_free; freeing from inside on_frame is allowed.
 * frame_free closes the descriptor and drops what is still queued.
 */
#ifndef WOS_BASE_FRAME_H
#define WOS_BASE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/str.h"

enum { FRAME_FDS_MAX = 64 };

struct frame_channel;

struct frame_handler {
    void (*on_frame)(void *arg, uint32_t type, struct str payload, const int *fds, size_t fd_count);
    void (*on_close)(void *arg, const char *reason); /* reason: "closed by peer", … */
};

/* Takes the descriptor (made non-blocking and close-on-exec). */
struct frame_channel *frame_open(struct loop *loop, int fd, size_t limit,
                                 const struct frame_handler *handler, void *arg);
/* fds are duplicated by the kernel; the caller keeps its own. They are sent
 * (or dup'ed into the queue) before the call returns. */
void frame_send(struct frame_channel *ch, uint32_t type, struct str payload, const int *fds,
                size_t fd_count);
/* Bytes queued and not yet taken by the socket. */
size_t frame_pending(const struct frame_channel *ch);
/* uid of the process at the other end, from SO_PEERCRED; pid too if out_pid. -1 on error. */
int64_t frame_peer_uid(const struct frame_channel *ch, int64_t *out_pid);
void frame_free(struct frame_channel *ch);

#endif
