/* exchange: one request and its response, between a front and a back.
 *
 * The front (front_h1, front_h2) makes it when a request head is complete,
 * starts it, and feeds the request body; the back (back_h1, back_h2) answers. Neither
 * knows the other: everything passes through here. Bodies are pushed; a side
 * that cannot take more says so with `want`.
 *
 * Ends of life: exchange_finish is the only destructor. It runs when
 * the response ended (exchange_response_end), failed (exchange_fail), or the
 * client left (exchange_front_gone). When front->end or front->abort returns
 * the front has let go of x; a back lets go before it reports its end.
 */
#ifndef WOS_GATEWAY_EXCHANGE_H
#define WOS_GATEWAY_EXCHANGE_H

#include <sys/socket.h>

#include "base/arena.h"
#include "gateway/head.h"
#include "gateway/quota.h"
#include "gateway/reply.h"
#include "gateway/worker.h"
#include "gateway/wskey.h"

enum {
    EXCHANGE_MAGIC = 0x65786368,
    EXCHANGE_ROOM_ANY = WORKER_PLAIN_SIZE,
    /* What abort means to an HTTP/2 front (RFC 9113 section 7). */
    EXCHANGE_ABORT_MALFORMED = 1, /* PROTOCOL_ERROR: the request's fault */
    EXCHANGE_ABORT_CODE = 2,      /* INTERNAL_ERROR */
    EXCHANGE_ABORT_REFUSED = 7,   /* REFUSED_STREAM: no service has seen it */
    EXCHANGE_ABORT_REVOKED = 8,   /* CANCEL */
};

struct access_pass; /* access.c */
struct conn;
struct exchange;

struct front_ops {
    /* A 1xx or the final head. `end`: no body will follow. With x->tunnel the
     * head switches protocols and raw bytes follow; those that came before it go to
     * the back, so x may be finished when it returns. */
    void (*head)(struct exchange *x, const struct head *response, bool end);
    void (*body)(struct exchange *x, const char *data, size_t len);
    /* The response is complete; trailers may be NULL. */
    void (*end)(struct exchange *x, const struct head *trailers);
    /* The response cannot be completed: the client must be able to tell. */
    void (*abort)(struct exchange *x);
    /* May the front give more of the request body? */
    void (*want)(struct exchange *x, bool more);
};

struct back_ops {
    void (*body)(struct exchange *x, const char *data, size_t len);
    void (*end)(struct exchange *x, const struct head *trailers);
    void (*cancel)(struct exchange *x);
    /* How much more of the response the back may give at once: x->room changed. */
    void (*room)(struct exchange *x);
};

struct exchange {
    uint32_t magic;
    struct worker *worker; /* borrowed */
    struct exchange *next; /* in the worker's free list */
    struct arena arena;    /* heads and trailers */
    struct view *view;     /* owned pin: keeps route valid; NULL in a tunnel */
    const struct route *route;
    const struct access_pass *pass; /* what opened a route of access secret; in the arena */
    struct quota *quota;            /* held until the end; NULL: the route has no limit */

    const struct front_ops *front;
    void *front_owner; /* borrowed: front_h1 or a stream of front_h2 */
    const struct back_ops *back;
    void *back_owner;            /* borrowed: back_h1 or a stream of back_h2; NULL when detached */
    struct conn *front_conn;     /* borrowed: the client's connection */
    const struct sockaddr *peer; /* who the client is: of front_conn, or &client */
    struct sockaddr_in6 client;  /* as trusted proxies tell (client_address.h) */
    struct head_told told;       /* what else they tell; for told_by_proxy */
    bool told_by_proxy;
    bool tls;

    struct head request;
    struct head response;
    bool admitted; /* found allowed to see its route: reviewed (gateway/review.h) */
    bool has_body; /* the request has one */
    bool request_ended;
    bool body_sent; /* some of the body went to the back: no retry */
    bool head_sent; /* the final response head went to the front */
    bool tunnel;    /* upgraded: raw bytes both ways */
    bool retried;
    size_t room;             /* bytes of the answer the front takes at once; 0: none now */
    uint32_t abort_code;     /* what an HTTP/2 front ends its stream with in abort */
    char ws_key[WSKEY_SIZE]; /* RFC 8441: the key we asked the service with */
    struct str id;           /* see exchange_id; may be id_text */
    char id_text[REQUEST_ID_LEN];
    enum exchange_deny deny;
    enum exchange_abort aborted;
    uint16_t upstream_port;     /* 0: no service was asked */
    bool upstream_v6;           /* at [::1] */
    bool upstream_reused;       /* over a pooled connection */
    bool upstream_connected;    /* it took the connection */
    const char *upstream_error; /* borrowed: constant or in the arena */
    uint64_t started_us;
    uint64_t first_byte_us; /* when the final head went to the front; 0: not yet */
    uint64_t request_bytes;
    uint64_t response_bytes;
};

/* NULL when out of memory. */
struct exchange *exchange_new(struct worker *w, const struct front_ops *front, void *owner);
/* Takes back an exchange whose head is not complete yet. */
void exchange_discard(struct exchange *x);
/* The request head is in x->request; it is judged by the worker's present snapshot. Finds out who
 * the client is (x->peer). False: the head was refused with a reply (in HTTP/2 a malformed one is
 * aborted instead) and x is finished; HTTP/1 fronts close the connection then. */
bool exchange_check(struct exchange *x);
/* Routes a checked request, and starts a back or replies. x may be finished
 * when it returns. */
void exchange_start(struct exchange *x, bool has_body);
void exchange_request_body(struct exchange *x, const char *data, size_t len);
void exchange_request_end(struct exchange *x, const struct head *trailers);
/* The client is gone or reset its stream: x is finished when it returns. */
void exchange_front_gone(struct exchange *x);
/* The front takes so much more of the response at once: EXCHANGE_ROOM_ANY, few bytes, or none. */
void exchange_front_room(struct exchange *x, size_t room);

/* For backs. */
/* May the request be sent a second time, though the service may have seen the first? Only an
 * idempotent one (RFC 9110 9.2.2) of whose body nothing is gone, and only once. */
bool exchange_can_repeat(const struct exchange *x);
/* What the service is told of the client. `as_connect`: the request is a WebSocket and x->ws_key
 * is what the service gets. For use at once: the next exchange may take the memory of `peer`. */
struct head_forward exchange_forward(struct exchange *x, bool as_connect);
/* A tunnel may live for days: it keeps a copy of its route and lets the snapshot go. */
void exchange_release_view(struct exchange *x);
void exchange_response_interim(struct exchange *x, struct head *head);
void exchange_response_head(struct exchange *x, bool end);
void exchange_response_body(struct exchange *x, const char *data, size_t len);
void exchange_response_end(struct exchange *x, const struct head *trailers);
/* Before the head: a reply with this status and text. After: abort. The back
 * has detached. `text` without newline. */
void exchange_fail(struct exchange *x, uint16_t status, const char *text);
/* There is no memory to go on with x: 503 or, behind the head, abort. Cancels the back. */
void exchange_out_of_memory(struct exchange *x) __attribute__((cold));
/* Ends an exchange whose head went to the front; no back is attached. */
void exchange_cut(struct exchange *x, enum exchange_abort why);
/* Why the reply that follows refuses the request; without it the status says. */
static inline void exchange_deny(struct exchange *x, enum exchange_deny why)
{
    x->deny = why;
}
/* The request's id, the same in X-Request-Id both ways and in the log: that of a trusted proxy
 * where it sent a sane one, else one of our own. Lives as long as x. */
struct str exchange_id(struct exchange *x);
/* Finishes with an answer of the gateway's own. No back is attached. When x->arena has failed, on
 * the way here or now, that is a 503; and an abort where there is no memory even for that. */
void exchange_answer(struct exchange *x, const struct reply *r);
/* … with reply_plain(status, text). */
void exchange_reply(struct exchange *x, uint16_t status, const char *text);

/* Who is asking, for lists of addresses, limits and logs. */
static inline const struct sockaddr *exchange_client(const struct exchange *x)
{
    return x->peer;
}

/* The scheme that the client uses, for cookies and origins. */
static inline bool exchange_is_https(const struct exchange *x)
{
    if (x->told_by_proxy && x->told.proto != NULL) {
        return x->told.proto[4] == 's'; /* "http" or "https" */
    }
    return x->tls;
}

void exchange_free(struct exchange *x); /* worker's end: frees a recycled one */

#endif
