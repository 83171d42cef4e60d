/* conn_suspect: connections that may have been reset unnoticed. The worker's thread.
 *
 * epoll reports a reset and the data before it as one edge, which looks like any other. Looking
 * behind the data each time would be a system call for nothing; once a tick is enough. */
#include "base/auto.h"
#include "gateway/conn_private.h"

void conn_suspect(struct conn *c)
{
    struct worker *w = c->worker;
    if (c->suspect_prev == NULL && c->state == CONN_OPEN && c->awaiting) {
        c->suspect_next = w->suspects;
        c->suspect_prev = &w->suspects;
        if (c->suspect_next != NULL) {
            c->suspect_next->suspect_prev = &c->suspect_next;
        }
        w->suspects = c;
    }
}

void conn_leave_suspects(struct conn *c)
{
    if (c->suspect_prev != NULL) {
        *c->suspect_prev = c->suspect_next;
        if (c->suspect_next != NULL) {
            c->suspect_next->suspect_prev = c->suspect_prev;
        }
        c->suspect_next = NULL;
        c->suspect_prev = NULL;
    }
}

void conn_read_suspects(struct worker *w)
{
    struct conn *list = w->suspects;
    w->suspects = NULL;
    if (list != NULL) {
        list->suspect_prev = &list;
    }
    while (list != NULL) {
        struct conn *c = list;
        uint64_t seen = c->bytes_in;
        conn_leave_suspects(c);
        c->can_read = true;
        conn_read(c);
        if (c->pauses != 0 || c->bytes_in != seen) {
            conn_suspect(c); /* not looked behind all it sent yet */
        }
    }
}
