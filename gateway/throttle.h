/* throttle: how often a client may try a secret.
 *
 * Failures are counted for an address (IPv4 /32, IPv6 /64): some are free,
 * then each is followed by a wait that doubles from one second up to a bound.
 * A second count, of everybody, holds off all addresses but those that were
 * right lately once there were too many failures in a minute, so that many
 * addresses do not help. While an address waits, even the right secret is
 * refused: what is refused tells nothing about it. Success forgets the
 * address's failures; a day without any does too.
 *
 * One table of fixed size for all workers of a gateway; where it is full the
 * address longest unheard of is forgotten. Any thread; a mutex, which only
 * tries of a secret take.
 */
#ifndef WOS_GATEWAY_THROTTLE_H
#define WOS_GATEWAY_THROTTLE_H

#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "routing/snapshot.h"

struct throttle;

struct throttle *throttle_new(void);
void throttle_free(struct throttle *t);
/* Milliseconds this client has to wait before its next try counts; 0: none. now_ms is monotonic. */
uint64_t throttle_wait(struct throttle *t, const struct limits *limits, const struct sockaddr *peer,
                       uint64_t now_ms);
/* A try was refused in the wait that ends then: how many of this client in this wait. Those who
 * wait only for the others' failures, and have no entry, are counted together. */
uint32_t throttle_refused(struct throttle *t, const struct sockaddr *peer, uint64_t until_ms);
void throttle_failed(struct throttle *t, const struct limits *limits, const struct sockaddr *peer,
                     uint64_t now_ms);
void throttle_passed(struct throttle *t, const struct sockaddr *peer, uint64_t now_ms);

#endif
