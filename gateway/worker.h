/* worker: one thread, one event loop, its own listeners, connections, pools
 * and view. Nothing in it is touched by another thread except through `mail`
 * and the relaxed reads of `stats`.
 *
 * Life cycle: worker_new (main thread) → worker_start → … letters … →
 * worker_join after the worker stopped itself (drained or told to) → worker_free.
 */
#ifndef WOS_GATEWAY_WORKER_H
#define WOS_GATEWAY_WORKER_H

#include <openssl/bio.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/mail.h"
#include "certs/tlsctx.h"
#include "gateway/counters.h"
#include "gateway/deadline.h"
#include "gateway/peer_text.h"
#include "gateway/request_id.h"
#include "gateway/view.h"
#include "gateway/wbuf.h"

enum {
    WORKER_MAGIC = 0x776f726b,
    WORKER_LISTENERS_MAX = 8,
    WORKER_RX_SIZE = 64 * 1024,    /* one recv */
    WORKER_PLAIN_SIZE = 64 * 1024, /* one batch of decrypted bytes */
};

struct access_log;
struct conn;
struct exchange;
struct gateway;
struct limit; /* limit.h */
struct listener;
struct notice_seen; /* notice.c */
struct pool;        /* upstream.h */
struct route_stats;
struct seen; /* seen.h */
struct throttle;

struct worker {
    uint32_t magic;
    unsigned id;
    struct loop *loop;    /* owned */
    struct mailbox *mail; /* owned */
    pthread_t thread;
    struct tlsctx *tlsctx;     /* shared: the gateway's */
    struct limit *limit;       /* shared: the gateway's */
    struct view *view;         /* owned pin; NULL before the first snapshot */
    struct gateway *gateway;   /* borrowed: only notice.c looks into it */
    struct throttle *throttle; /* shared: the gateway's */

    struct listener *listeners[WORKER_LISTENERS_MAX]; /* owned */
    size_t listener_count;

    struct conn *dirty;              /* connections with bytes to flush at the end of the turn */
    struct conn *again;              /* connections whose read budget ran out */
    struct conn **again_tail;        /* oldest first */
    struct conn *fronts;             /* all client connections */
    struct conn *suspects;           /* connections that the next tick looks at: conn_suspect.c */
    struct exchange *exchanges_free; /* owned: recycled */
    size_t exchanges_free_count;
    struct pool **pools; /* owned: by port, 65536 slots */

    struct conn *idle_first; /* client connections without a request, longest first: admit.h */
    struct conn *idle_last;
    struct conn *idle_awake; /* the first of them that was not told CONN_REST yet */
    int spare_fd;            /* owned: given up for a moment where descriptors run out; -1: none */
    uint64_t warned_ms[4];   /* when each kind of limit was last logged: admit.c */

    struct wbuf_pool wbufs;
    struct deadline_wheel wheel;
    struct loop_timer tick;

    BIO *bio;              /* owned: one pair of ends for all SSLs of this worker */
    struct conn *bio_conn; /* whose SSL call is running */
    bool bio_reads;        /* it may: else rx is another's, whose bytes wait there */
    size_t bio_received;   /* bytes it has taken from its socket */
    char *rx;              /* owned: bytes of the recv in progress */
    size_t rx_pos;
    size_t rx_len;
    char *plain; /* owned: decrypted bytes of the read in progress */

    char date[32]; /* for Date fields, of second date_s */
    int64_t date_s;
    bool draining;
    uint64_t drain_deadline_ms;
    struct loop_call drain_check;
    uint64_t proxy_refused;    /* PROXY headers, since the last line about one */
    uint64_t proxy_refused_ms; /* when that was; 0: never */
    struct worker_stats stats;
    struct {
        uint64_t second;
        uint32_t told;
        uint32_t missed;
    } denied;                       /* notice.c's */
    struct seen *seen;              /* owned: notice.c's; NULL before the first login came */
    struct notice_seen *seen_batch; /* owned: logins to tell of at the tick; NULL: none */
    struct route_stats *routes;     /* owned: what was counted since it was last taken */
    uint64_t routes_taken_ms;       /* when that was */
    struct access_log *access;      /* borrowed: the gateway's; NULL: none */
    struct request_ids ids;
    struct peer_texts peers;
    int64_t wall_offset_us;     /* wall clock less monotonic clock, as of the last tick */
    uint64_t refusals_since_ms; /* account.c: connections refused in this second */
    uint32_t refusals;
    uint64_t refusals_suppressed; /* … that left no line */
    void (*on_idle)(void *arg);   /* after draining, in the worker's thread */
    void *on_idle_arg;            /* borrowed */
};

/* tlsctx and limit must outlive it. */
struct worker *worker_new(unsigned id, struct tlsctx *tlsctx, struct limit *limit, struct err *err);
int worker_start(struct worker *w, struct err *err);
/* Own thread: ends the loop after this turn. */
void worker_stop(struct worker *w);
void worker_join(struct worker *w);
void worker_free(struct worker *w);
/* Own thread: takes the pin over; accepting starts with the first view. */
void worker_set_view(struct worker *w, struct view *view);
/* Own thread, or before worker_start: takes the listening descriptor (listener_open). */
void worker_add_listener(struct worker *w, int fd, bool redirect);
/* Own thread. */
void worker_drain(struct worker *w, uint64_t limit_ms);
/* Own thread: called by conn when a client connection is gone. */
void worker_on_front_closed(struct worker *w);

/* The IMF-fixdate of now, 29 characters. */
struct str worker_date(struct worker *w);

/* Own thread: gives up what was counted per route, and counts into `fresh`, which it takes over. */
struct route_stats *worker_take_routes(struct worker *w, struct route_stats *fresh);

static inline const struct limits *worker_limits(const struct worker *w)
{
    return &w->view->snapshot->spec.limits;
}

static inline void stat_add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

#endif
