/* listener: one listening socket of one worker.
 *
 * Accepts one connection a turn, and more, at most LISTENER_BATCH, where clients
 * keep waiting (a TLS handshake costs a fraction of a millisecond; others must not
 * wait behind a burst). Pauses for a moment when descriptors run out or the client
 * limit is reached.
 */
#ifndef WOS_GATEWAY_LISTENER_H
#define WOS_GATEWAY_LISTENER_H

#include "gateway/worker.h"

struct listener;

/* The descriptor is borrowed. Accepting begins with listener_enable. `redirect`: greeting_open's.
 */
struct listener *listener_open(struct worker *w, int fd, bool redirect);
void listener_enable(struct listener *l, bool on);
void listener_close(struct listener *l);

#endif
