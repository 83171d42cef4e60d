/* conn_private: what conn.c and conn_dial.c share; nobody else includes it. */
#ifndef WOS_GATEWAY_CONN_PRIVATE_H
#define WOS_GATEWAY_CONN_PRIVATE_H

#include "gateway/conn.h"

struct conn *conn_new(struct worker *w, const struct conn_ops *ops, void *owner);
/* Adds the one persistent event of c->fd. */
void conn_register(struct conn *c);
/* Ends it and, if it still has an owner, tells CONN_DEAD. */
void conn_die(struct conn *c, int error);
/* The dialled socket became writable: connected, or the next address. */
void conn_dial_finish(struct conn *c);

#endif
