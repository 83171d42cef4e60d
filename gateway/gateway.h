/* gateway: the main thread's state, shared by gateway.c (workers, publishing,
 * draining) and link.c (talking with the daemon). Main thread only. */
#ifndef WOS_GATEWAY_GATEWAY_H
#define WOS_GATEWAY_GATEWAY_H

#include "base/frame.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mail.h"
#include "certs/certset.h"
#include "certs/tlsctx.h"
#include "gateway/access_log.h"
#include "gateway/access_writer.h"
#include "gateway/limit.h"
#include "gateway/link_protocol.h"
#include "gateway/sandbox.h"
#include "gateway/worker.h"
#include "routing/snapshot.h"

enum { GATEWAY_MAGIC = 0x67617465, WORKERS_MAX = LINK_WORKERS_MAX };

/* A listening descriptor kept for the next daemon and generation. */
struct kept_listener {
    int fd; /* owned; the worker borrows it */
    char *address;
    unsigned worker;
};

struct route_stats;

/* Between the main thread and one worker. */
struct gateway_letters {
    struct gateway *gateway; /* borrowed */
    struct worker *worker;   /* borrowed */
    struct mail_letter drain;
    uint64_t drain_limit_ms;
    struct mail_letter drained;
    struct mail_letter stop;
    struct mail_letter lines; /* of the access log; under way once for any number of them */
    bool lines_told;          /* atomic */
};

struct gateway {
    uint32_t magic;
    struct loop *loop;          /* owned */
    struct mailbox *mail;       /* owned: from the workers */
    struct event *link_event;   /* owned: the listening link socket */
    struct frame_channel *link; /* owned; NULL without a daemon */
    struct tlsctx *tlsctx;      /* owned */
    struct throttle *throttle;  /* owned; shared with the workers */
    struct seen *seen;          /* owned: notice.c's; NULL before the first login came */
    struct snapshot *snapshot;  /* shared */
    struct certset *certs;      /* shared */
    SSL_CTX *client;            /* shared: checks services' certificates; NULL without CAs */
    struct quota_set *quotas;   /* shared; NULL: no route has a limit */
    struct limit *limit;        /* owned; the workers share it */
    uint32_t capped;            /* connections_max that was logged as too high */
    struct loop_timer trim;     /* memory back to the system after a burst */
    uint64_t peak;              /* connections since it was last given back */
    struct worker *workers[WORKERS_MAX]; /* owned */
    struct gateway_letters letters[WORKERS_MAX];
    unsigned worker_count;
    struct sandbox sandbox;
    bool draining;
    unsigned idle_count;        /* workers done draining */
    struct kept_listener *kept; /* owned array */
    size_t kept_count;
    struct route_stats *routes;                  /* owned: stats.c's: what was told per route */
    struct access_log *access_logs[WORKERS_MAX]; /* owned: one per worker */
    struct access_writer access;
    int64_t started_ms;   /* wall clock */
    int64_t published_ms; /* … of the last snapshot taken */
    struct err refusal;   /* of the last one refused, as it was logged; empty: none since */
};

/* Starts the workers, once. */
void gateway_setup(struct gateway *g, unsigned workers);
/* Takes the descriptors; addresses[i] names fds[i]. */
void gateway_add_listeners(struct gateway *g, unsigned worker, const cJSON *addresses,
                           const int *fds, size_t count);
void gateway_publish(struct gateway *g, struct str bytes);
/* The same of what is in a file (base/memfile.h); the descriptor stays the caller's. */
void gateway_publish_file(struct gateway *g, int fd);
void gateway_drain(struct gateway *g, uint64_t limit_ms);
/* Takes the descriptor that access lines go to from now on; -1: nowhere. */
void gateway_set_access_log(struct gateway *g, int fd);

/* link.c */
int link_open(struct gateway *g, struct err *err);
void link_close(struct gateway *g);
/* Sends the text to the daemon, if there is one, and ends it. False: it had failed, or nobody is
 * there. */
bool link_send(struct gateway *g, unsigned type, struct buf *text);

#endif
