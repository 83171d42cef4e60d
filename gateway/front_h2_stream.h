/* front_h2_stream: one HTTP/2 request and its answer; the nghttp2 callbacks
 * that feed it. Shared between the front_h2*.c only. */
#ifndef WOS_GATEWAY_FRONT_H2_STREAM_H
#define WOS_GATEWAY_FRONT_H2_STREAM_H

#include <nghttp2/nghttp2.h>

#include "gateway/conn.h"
#include "gateway/exchange.h"
#include "gateway/front_h2_guard.h"
#include "gateway/h2_memory.h"
#include "gateway/priority.h"

enum {
    FRONT_H2_MAGIC = 0x66723268,
    H2_QUEUE_MAX = 128 * 1024, /* answer bytes a stream holds before its service waits */
    H2_QUEUED_MAX = 1 << 20, /* … all streams of a connection, before each waits for its own … */
    H2_SIP = 8 * 1024,       /* … and then takes so little at once */
    H2_FLUSH_MAX = 128 * 1024, /* plain bytes serialised before a send */
    H2_EARLY_MAX = 4,          /* PRIORITY_UPDATEs kept for streams to come */
    H2_EARLY_VALUE = 28,       /* longer ones nghttp2 skips */
};

struct h2_stream;

/* What a connection waits for: each has its deadline. */
enum front_wait {
    WAIT_NONE,
    WAIT_REQUEST,
    WAIT_HEAD,
    WAIT_BODY, /* a request body, before its answer began */
    WAIT_STREAMS,
    WAIT_WINDOW, /* answers that the client's windows do not let go */
    WAIT_WRITE,
    WAIT_GOAWAY,
};

/* RFC 9218 7.1: the priority of a request that is not there yet. */
struct h2_early {
    int32_t id; /* 0: free */
    uint8_t len;
    char value[H2_EARLY_VALUE];
};

struct front_h2 {
    uint32_t magic;
    struct loop_call freeing;
    struct conn *conn;         /* borrowed; NULL when it is over */
    struct h2_memory memory;   /* owned: the session, see h2_memory_session */
    struct h2_stream *streams; /* owned */
    enum front_wait wait;
    int32_t last_id; /* of the streams that came */
    int32_t idle_id; /* … when the connection's idle time began */
    bool failed;
    bool draining;
    bool goaway_sent;
    bool deaf;          /* nothing the client sends can be read any more */
    uint32_t unstarted; /* streams whose head is not complete */
    uint32_t uploading; /* streams that only the client's next bytes can move on */
    size_t queued;      /* answer bytes all streams hold */
    bool crowded;       /* that was H2_QUEUED_MAX, and is not half of it yet */
    uint64_t moved_ms;  /* when such a byte last left, or the first came */
    uint64_t opened_ms;
    struct h2_guard guard;
    struct h2_early *early; /* owned: H2_EARLY_MAX; NULL before the first, and without memory */
    uint8_t early_at;
};

struct h2_stream {
    struct front_h2 *front; /* borrowed */
    struct h2_stream *next;
    struct h2_stream **prev;
    struct exchange *x; /* borrowed; NULL when the answer is complete */
    int32_t id;
    struct wbuf queue;      /* answer bytes for nghttp2 to take */
    struct wbuf early;      /* CONNECT: bytes before the service agreed */
    struct head *trailers;  /* of the request; in the exchange's arena */
    nghttp2_nv *end_fields; /* owned: trailers of the answer, one block */
    size_t end_count;
    size_t header_bytes;  /* of heads and trailers, counted as RFC 9113 6.5.2 does */
    uint64_t body_ms;     /* when a byte of the request's body last came, or could */
    size_t unconsumed;    /* request bytes whose window is not given back */
    const char *too_much; /* which limit the head is over, as the answer says it; NULL: none */
    struct priority priority;
    bool is_connect;
    bool refused; /* trailers over the limits: reset */
    bool started;
    bool request_ended;
    bool uploading; /* counted in front->uploading */
    bool held;      /* the service takes no more of the request */
    bool ended;     /* the answer is complete */
    bool deferred;  /* nghttp2 waits for h2 data */
};

/* Ends the connection with GOAWAY and this error, at the end of the turn. */
void h2_terminate(struct front_h2 *f, uint32_t error);
void h2_stream_set_callbacks(nghttp2_session_callbacks *callbacks);
/* Answers 408 where no byte of a request body came for `limit_ms` before any answer. */
void h2_stream_refuse_stalled(struct front_h2 *f, uint64_t limit_ms);
/* In how many milliseconds that is the next time; at least 1. */
uint64_t h2_stream_next_stall(const struct front_h2 *f, uint64_t limit_ms);
/* CONN_REVIEW for each stream. */
void h2_stream_review(struct front_h2 *f);
/* A field of the stream's head is longer than can be read: answers 431. False: it is not a head
 * that waits for an answer. */
bool h2_stream_refuse_head(struct front_h2 *f, int32_t id);
/* The client is gone: ends the exchange and frees the stream. */
void h2_stream_gone(struct h2_stream *s, struct worker *w);

/* Answer bytes left front->queued, or came: what streams may give now. */
void h2_share_room(struct front_h2 *f);

/* Keeps front->uploading right; call it when anything it depends on changed. */
void h2_count_upload(struct h2_stream *s);

/* front_h2_answer.c. */
extern const struct front_ops h2_front_ops;
void h2_answer_set_callbacks(nghttp2_session_callbacks *callbacks);

/* front_h2_priority.c. The priority of a request whose head is complete, and
 * what the service shall know of it. */
void h2_priority_start(struct h2_stream *s);
/* A PRIORITY_UPDATE came, for a request that is here or to come. */
void h2_priority_update(struct front_h2 *f, const nghttp2_ext_priority_update *update);
/* The service's own field overrides the client's wishes, the later ones too
 * (RFC 9218 section 8). */
void h2_priority_answer(struct h2_stream *s, const struct head *response);

#endif
