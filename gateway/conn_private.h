/* conn_private: what conn.c, conn_write.c, conn_dial.c, conn_end.c and conn_suspect.c share; nobody
 * else includes it. */
#ifndef WOS_GATEWAY_CONN_PRIVATE_H
#define WOS_GATEWAY_CONN_PRIVATE_H

#include "gateway/conn.h"

struct conn *conn_new(struct worker *w, const struct conn_ops *ops, void *owner);
/* Adds the one persistent event of c->fd, of an accepted one for writing only where it is full.
 * False: the kernel (or libevent) has no memory for it. */
bool conn_register(struct conn *c);
/* Takes it off the list of connections to flush. */
void conn_leave_dirty(struct conn *c);
/* Its event may hide a reset behind its data: the next tick looks, while its owner is awaiting. */
void conn_suspect(struct conn *c);
/* Takes it off the list of connections that the next tick looks at. */
void conn_leave_suspects(struct conn *c);
/* Descriptor, TLS state and buffers go at once; the memory at the end of the turn. */
void conn_end(struct conn *c);
/* Ends it and, if it still has an owner, tells CONN_DEAD. */
void conn_die(struct conn *c, int error);
/* Resets a connection that ran out of memory; its owner gets CONN_DEAD. */
void conn_cut(struct conn *c) __attribute__((cold));
/* Sends what the socket takes of the queue at once, and tells nobody: for a connection about to
 * end. */
void conn_push(struct conn *c);
/* A sending failed. A service may answer, close, and so refuse the rest of the request: its answer
 * is still to be read. The reading ends with what the sending ended with. */
void conn_hear_out(struct conn *c, int error);
/* conn_put_off, where it is certain that the next turn follows at once. */
void conn_wait_turn(struct conn *c);
/* The dialled socket became writable: connected, or the next address. */
void conn_dial_finish(struct conn *c);

/* After the last byte: FIN, and reading on until the peer's, so that no reset eats ours. */
void conn_start_linger(struct conn *c);
/* Reads and drops. */
void conn_linger(struct conn *c);
/* It is read again in the next turn. */
void conn_mark_again(struct conn *c);

#endif
