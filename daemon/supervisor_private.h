/* supervisor_private: what supervisor.c, delivery.c and replaced.c share. */
#ifndef WOS_DAEMON_SUPERVISOR_PRIVATE_H
#define WOS_DAEMON_SUPERVISOR_PRIVATE_H

#include "base/subprocess.h"
#include "daemon/gateway_link.h"
#include "daemon/gateway_stats.h"
#include "daemon/redirect_listener.h"
#include "daemon/sockets.h"
#include "daemon/supervisor.h"

enum { SUPERVISOR_MAGIC = 0x73757076 };

/* Of one gateway as this daemon sees it. */
enum gateway_state {
    GATEWAY_GREETING, /* connected, not ready */
    GATEWAY_LOADING,  /* has its set-up; the first snapshot is not acknowledged yet */
    GATEWAY_SERVING,
    GATEWAY_REPLACED, /* serves until its successor does */
    GATEWAY_DRAINING,
    GATEWAY_ENDING, /* told to end at once */
};

struct gateway {
    struct supervisor *s; /* borrowed: owner */
    struct gateway *next; /* in s->old */
    enum gateway_state state;
    struct gateway_link *link;  /* owned; NULL: lost, and its process is waited for */
    char *path;                 /* owned: of the socket of a replaced one; NULL: GATEWAY_SOCKET */
    struct subprocess *process; /* owned; NULL when an earlier daemon started it */
    bool is_ours;               /* started by this daemon: it needs its set-up */
    pid_t pid;
    char *build;    /* owned */
    cJSON *sandbox; /* owned; may be NULL */
    int64_t protocol;
    uint64_t generation;
    struct socket_set sockets;      /* owned: what it greeted with */
    struct socket_set redirects;    /* owned: the same, of the redirect port */
    uint64_t sent;                  /* newest generation sent, not answered; 0: none under way */
    uint64_t served;                /* newest generation acknowledged to us; 0: none */
    uint64_t refused;               /* not sent again until the resend timer; 0: none */
    char *refusal;                  /* owned: why, as it was logged; NULL: none refused */
    struct loop_timer answer_timer; /* replaced: until it has greeted, answered or ended */
    bool has_timer;
};

struct supervisor {
    uint32_t magic;
    struct loop *loop;           /* borrowed */
    const struct config *config; /* borrowed */
    struct publisher *publisher; /* borrowed */
    struct socket_set sockets;   /* owned */
    struct redirect_listener redirect;
    struct gateway *current; /* owned; NULL while there is none */
    struct gateway *old;     /* owned list: replaced ones, draining or about to */
    struct loop_timer retry_timer;
    struct loop_timer greeting_timer;
    struct loop_timer resend_timer;
    uint32_t resend_ms; /* the next pause */
    struct gateway_stats stats;
    int access_fd; /* borrowed; -1: no access log */
    uint32_t backoff_ms;
    uint64_t started_ms;           /* when the current one began */
    char *error;                   /* owned; NULL: none */
    supervisor_event_fn *on_event; /* may be NULL */
    void *on_event_arg;            /* borrowed */
    bool is_ending;
    uint64_t end_deadline_ms;
};

/* supervisor.c */
/* Why nothing is served; NULL: it is. */
void supervisor_set_error(struct supervisor *s, const char *error);
/* A gateway that greets next, of nobody yet. NULL with the error: nobody listens at the path. */
struct gateway *supervisor_connect(struct supervisor *s, const char *path, struct err *err);
/* Without its link, and, if it is our child, without its process, a gateway is forgotten. */
void supervisor_retire(struct supervisor *s, struct gateway *g);

/* delivery.c */
void delivery_init(struct supervisor *s);
void delivery_fini(struct supervisor *s);
/* The newest snapshot, unless the gateway has one to answer or has just refused this one. */
void delivery_send(struct gateway *g);
/* gateway_link_ops.on_answer */
void delivery_on_answer(void *arg, uint64_t generation, const char *error);
/* What all gateways serve now is served: who waits for it hears so. */
void delivery_tell(struct supervisor *s);

/* replaced.c */
/* It shall have a successor. */
void replaced_add(struct supervisor *s, struct gateway *g);
/* Their sockets get names of their own, by which later daemons find them; GATEWAY_SOCKET is free.
 */
void replaced_set_aside(struct supervisor *s);
/* Connects to those whose sockets lie there. False when that has to be tried again. */
bool replaced_find(struct supervisor *s);
void replaced_on_ready(struct gateway *g);
/* The new gateway serves: those before it end when they have nothing left to do. */
void replaced_drain(struct supervisor *s);
/* Something new is to be served. */
void replaced_publish(struct supervisor *s);
void replaced_on_answer(struct gateway *g, uint64_t generation, const char *error);
/* The newest generation that all of them serve; at most `generation`. */
uint64_t replaced_served(const struct supervisor *s, uint64_t generation);
/* The link is gone. */
void replaced_on_close(struct gateway *g);
void replaced_fini(struct gateway *g);

#endif
