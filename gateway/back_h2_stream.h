/* back_h2_stream: one request to an HTTP/2 service and its answer; the nghttp2 callbacks that
 * feed it. Shared between back_h2.c, back_h2_stream.c and back_h2_answer.c only. */
#ifndef WOS_GATEWAY_BACK_H2_STREAM_H
#define WOS_GATEWAY_BACK_H2_STREAM_H

#include <nghttp2/nghttp2.h>

#include "gateway/conn.h"
#include "gateway/exchange.h"
#include "gateway/h2_memory.h"
#include "gateway/head_h2.h"
#include "gateway/upstream.h"

enum {
    BACK_H2_MAGIC = 0x6261636c,
    BACK_H2_WINDOW = 16 * 1024,     /* answer bytes a stream may have on their way … */
    BACK_H2_WIDE = 256 * 1024,      /* … once many came, if it is one of … */
    BACK_H2_WIDE_MAX = 4,           /* … so many for a client's connection */
    BACK_H2_QUEUE_MAX = 128 * 1024, /* request bytes a stream holds before its client waits */
    BACK_H2_FLUSH_MAX = 128 * 1024, /* plain bytes serialised before a send */
};

struct back_stream;

struct back_h2 {
    uint32_t magic;
    struct loop_call freeing;
    uint16_t port;
    struct conn *conn;           /* owned; NULL when it is over */
    struct worker *worker;       /* borrowed */
    struct h2_memory memory;     /* owned: the session, see h2_memory_session */
    struct back_stream *streams; /* owned */
    uint32_t stream_count;
    uint64_t armed_ms;    /* when conn's deadline is due; 0: not set */
    uint64_t idle_due_ms; /* when it is closed, unless a stream comes */
    bool settled;         /* the service's SETTINGS are here: it speaks HTTP/2 */
    bool greeted;         /* its first bytes were looked at: they are not HTTP/1 */
    bool leaving;         /* takes no new stream: GOAWAY, or out of stream ids */
    bool failed;
    const char *why;           /* it failed; NULL: against the protocol */
    struct upstream_link link; /* in the pool while it takes new streams */
};

struct back_stream {
    struct back_h2 *back; /* borrowed */
    struct back_stream *next;
    struct back_stream **prev;
    struct exchange *x;          /* borrowed; NULL when it has ended */
    int32_t id;                  /* 0: waits for the service's SETTINGS */
    struct wbuf queue;           /* request bytes for nghttp2 to take */
    struct h2_fields end_fields; /* trailers of the request; in the exchange's arena */
    struct head *trailers;       /* of the answer; in the exchange's arena */
    size_t header_bytes;         /* of heads and trailers, counted as RFC 9113 6.5.2 does */
    size_t unconsumed;           /* answer bytes whose window is not given back */
    uint64_t due_ms;             /* when waiting for the service is given up; 0: never */
    uint32_t interims;           /* 1xx answers */
    bool is_connect;             /* a WebSocket */
    bool reused;                 /* the service had spoken on the connection before */
    bool head_left;              /* the request head is on its way */
    bool body_left;              /* … and some of the body */
    bool answered;               /* some frame of an answer came */
    bool has_head;               /* the final head of the answer is here */
    bool too_much;               /* header fields */
    bool request_ended;
    bool held;     /* the client waits with its body */
    bool paused;   /* the client takes no more of the answer */
    bool wide;     /* its window is BACK_H2_WIDE; counted in the client's connection */
    bool deferred; /* nghttp2 waits for request bytes */
};

extern const struct back_ops back_h2_ops;

/* back_h2_stream.c: the request. */
/* A new stream for x; takes what `old`, if not NULL, still holds of the request. */
struct back_stream *back_stream_new(struct back_h2 *b, struct exchange *x, struct back_stream *old);
/* Frees it; x, if there still is one, has to be detached before. */
void back_stream_free(struct back_stream *s);
/* Sends the request head. False: nghttp2 refused; s is still there. */
bool back_stream_submit(struct back_stream *s);
struct exchange *back_stream_detach(struct back_stream *s);
/* The exchange has ended, the stream not: RST_STREAM, and the rest is ignored. */
void back_stream_reset(struct back_stream *s, uint32_t code);
/* The service did not process the request: once more on a fresh connection, or the end.
 * x is detached when it returns. */
void back_stream_unprocessed(struct back_stream *s, const char *why);
/* The connection is gone, or the stream for another reason. */
void back_stream_died(struct back_stream *s, const char *why);
/* The wait for the service begins anew. */
void back_stream_arm(struct back_stream *s);
/* A long answer comes faster with a larger window. Whatever the client does, all of that may come
 * and has to be kept: so it is for few of a connection's answers, and not while one is paused. */
void back_stream_widen(struct back_stream *s);
void back_stream_set_callbacks(nghttp2_session_callbacks *callbacks);

/* back_h2_answer.c: the answer. */
void back_answer_set_callbacks(nghttp2_session_callbacks *callbacks);

/* back_h2.c: the connection. */
/* There is something to send, unless the connection is over. */
void back_h2_touch(struct back_h2 *b);
/* Starts x anew; `old` is its stream so far. */
void back_h2_restart(struct exchange *x, struct back_stream *old);
/* The service's SETTINGS or GOAWAY came. */
void back_h2_on_settings(struct back_h2 *b);
void back_h2_on_goaway(struct back_h2 *b);
/* A stream is gone: closes the connection some time after the last. */
void back_h2_on_idle(struct back_h2 *b);
/* conn's deadline is no later than `at_ms`. */
void back_h2_arm(struct back_h2 *b, uint64_t at_ms);

#endif
