/* forward: see forward.h. The only thread of its process. */
#include "daemon/forward.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/str.h"

enum { ACCEPTS_PER_TURN = 10 };

struct forward;

struct door {
    struct forward *forward; /* borrowed: its owner */
    struct event *event;     /* owned */
    uint16_t port;
};

struct side {
    struct passage *passage; /* borrowed: its owner */
    struct bufferevent *bev; /* owned */
    struct side *other;      /* borrowed: the same passage's */
    bool ended;              /* nothing more comes from it */
    bool shut;               /* nothing more goes to it */
};

/* One connection. */
struct passage {
    struct forward *forward; /* borrowed */
    struct side client, service;
    uint16_t port;
    bool tried_v6;
};

struct forward {
    struct loop *loop; /* owned */
    struct door doors[FORWARD_PORTS_MAX];
    size_t door_count;
    size_t passages;
};

static void doors_update(struct forward *f)
{
    for (size_t i = 0; i < f->door_count; i++) {
        bool open = f->passages < FORWARD_CONNECTIONS_MAX;
        CHECK((open ? event_add(f->doors[i].event, NULL) : event_del(f->doors[i].event)) == 0);
    }
}

static void passage_free(struct passage *p)
{
    struct forward *f = p->forward;
    bufferevent_free(p->client.bev);
    if (p->service.bev != NULL) {
        bufferevent_free(p->service.bev);
    }
    free(p);
    f->passages--;
    if (f->passages == FORWARD_CONNECTIONS_MAX - 1) {
        doors_update(f);
    }
}

/* Passes the end of one side on, once all its bytes are; true if the passage is over. */
static bool side_pass_end(struct side *from)
{
    struct side *to = from->other;
    if (!from->ended || to->shut || evbuffer_get_length(bufferevent_get_output(to->bev)) > 0) {
        return false;
    }
    to->shut = true;
    (void)shutdown(bufferevent_getfd(to->bev), SHUT_WR);
    if (from->shut) {
        passage_free(from->passage);
        return true;
    }
    return false;
}

static void side_on_read(struct bufferevent *bev, void *arg)
{
    struct side *from = arg;
    struct evbuffer *out = bufferevent_get_output(from->other->bev);
    (void)bufferevent_read_buffer(bev, out); /* moved, not copied */
    if (evbuffer_get_length(out) >= FORWARD_BUFFER) {
        (void)bufferevent_disable(bev, EV_READ);
    }
}

/* All that was for this side has gone. */
static void side_on_drained(struct bufferevent *bev, void *arg)
{
    struct side *to = arg;
    (void)bev;
    if (side_pass_end(to->other)) {
        return;
    }
    if (!to->other->ended && to->other->bev != NULL) {
        (void)bufferevent_enable(to->other->bev, EV_READ);
    }
}

static int passage_dial(struct passage *p);

static void side_on_event(struct bufferevent *bev, short what, void *arg)
{
    struct side *side = arg;
    struct passage *p = side->passage;
    if (what & BEV_EVENT_CONNECTED) {
        (void)bufferevent_enable(p->client.bev, EV_READ);
        return;
    }
    if (what & BEV_EVENT_EOF) {
        side->ended = true;
        (void)bufferevent_disable(bev, EV_READ);
        (void)side_pass_end(side);
        return;
    }
    bool dialling = side == &p->service &&
                    (bufferevent_get_enabled(p->client.bev) & EV_READ) == 0 && !p->client.ended &&
                    !p->tried_v6;
    if (dialling) {
        p->tried_v6 = true;
        if (passage_dial(p) == 0) {
            return;
        }
    }
    passage_free(p);
}

static int passage_dial(struct passage *p)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons(p->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(p->port), .sin6_addr = in6addr_loopback};
    if (p->service.bev != NULL) {
        bufferevent_free(p->service.bev);
    }
    p->service.bev = bufferevent_socket_new(loop_base(p->forward->loop), -1, BEV_OPT_CLOSE_ON_FREE);
    if (p->service.bev == NULL) {
        return -1;
    }
    bufferevent_setcb(p->service.bev, side_on_read, side_on_drained, side_on_event, &p->service);
    bufferevent_setwatermark(p->service.bev, EV_READ, 0, FORWARD_BUFFER);
    (void)bufferevent_enable(p->service.bev, EV_READ | EV_WRITE);
    return p->tried_v6
               ? bufferevent_socket_connect(p->service.bev, (struct sockaddr *)&v6, (int)sizeof(v6))
               : bufferevent_socket_connect(p->service.bev, (struct sockaddr *)&v4,
                                            (int)sizeof(v4));
}

static void passage_open(struct door *door, int fd)
{
    struct forward *f = door->forward;
    struct passage *p = xcalloc(1, sizeof(*p));
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)); /* a peer that vanished */
    *p = (struct passage){.forward = f, .port = door->port};
    p->client = (struct side){.passage = p, .other = &p->service};
    p->service = (struct side){.passage = p, .other = &p->client};
    p->client.bev = bufferevent_socket_new(loop_base(f->loop), fd, BEV_OPT_CLOSE_ON_FREE);
    CHECK(p->client.bev != NULL);
    bufferevent_setcb(p->client.bev, side_on_read, side_on_drained, side_on_event, &p->client);
    bufferevent_setwatermark(p->client.bev, EV_READ, 0, FORWARD_BUFFER);
    (void)bufferevent_disable(p->client.bev, EV_READ);
    f->passages++;
    if (passage_dial(p) < 0) {
        passage_free(p);
    }
}

static void door_on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct door *door = arg;
    (void)what;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (door->forward->passages >= FORWARD_CONNECTIONS_MAX) {
            doors_update(door->forward);
            return;
        }
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) {
            return;
        }
        passage_open(door, client);
    }
}

static void forward_on_signal(int signo, void *arg)
{
    (void)signo;
    loop_stop(arg);
}

int forward_main(int count, char **ports)
{
    static struct forward f; /* some 10 KiB: not for a stack */
    const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct err err = {0};
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    f.loop = loop_new(&err);
    if (f.loop == NULL || count < 1 || count > FORWARD_PORTS_MAX ||
        loop_watch_signals(f.loop, signals, COUNT_OF(signals), forward_on_signal, f.loop, &err) <
            0) {
        fprintf(stderr, "wos forward: %s\n", err.code == ERR_NONE ? "no ports" : err.msg);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        struct door *door = &f.doors[f.door_count++];
        int fd = FORWARD_FIRST_FD + i;
        door->forward = &f;
        if (!str_to_u16(str_of(ports[i]), &door->port) || fd_set_nonblock(fd, &err) < 0) {
            fprintf(stderr, "wos forward: port %s: %s\n", ports[i], err.msg);
            return 1;
        }
        door->event =
            event_new(loop_base(f.loop), fd, EV_READ | EV_PERSIST, door_on_readable, door);
        CHECK(door->event != NULL);
    }
    doors_update(&f);
    loop_run(f.loop);
    return 0;
}
