/* conn: one TCP connection, with or without TLS, accepted or dialled.
 *
 * It moves plain bytes between a socket and its owner (front_h1, front_h2,
 * back_h1) and hides readiness, TLS and buffering. One persistent
 * edge-triggered event per descriptor; writing is collected and sent once at
 * the end of the turn; reading stops while any pause reason is set.
 *
 * Life cycle: conn_accept or conn_dial → CONN_READY → data … → either the
 * owner calls conn_close (sends what is queued, then ends) or conn_abort (ends
 * now), after which the owner hears nothing more; or the connection dies by
 * itself and the owner gets CONN_DEAD, its last call. The memory is freed at
 * the end of the turn, so the pointer stays valid until the callback returns.
 * All of it belongs to the worker's thread.
 */
#ifndef WOS_GATEWAY_CONN_H
#define WOS_GATEWAY_CONN_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/str.h"
#include "gateway/deadline.h"
#include "gateway/wbuf.h"
#include "gateway/worker.h"

enum { CONN_MAGIC = 0x636f6e6e, CONN_RECORD = 16384, CONN_PROGRESS = 1024 };

enum conn_state {
    CONN_CONNECTING, /* dialled, not there yet; writes queue up */
    CONN_HANDSHAKE,  /* TLS */
    CONN_OPEN,
    CONN_FLUSHING, /* owner let go: sending the rest */
    CONN_LINGER,   /* FIN sent: reading and dropping, so that no reset eats our last bytes */
    CONN_GONE,     /* descriptor closed, memory goes at the end of the turn */
};

/* Why reading is paused; it resumes when none is left. */
enum conn_pause {
    CONN_PAUSE_PEER = 1,  /* the other side of the exchange cannot take more */
    CONN_PAUSE_ORDER = 2, /* the present exchange has to end first */
    CONN_PAUSE_WRITE = 4, /* the client does not take the answers it has */
    CONN_PAUSE_FAILED = 8,
};

enum conn_event {
    CONN_READY,    /* connected, handshake done (see conn_start_tls) */
    CONN_EOF,      /* the peer will send no more (FIN or close_notify) */
    CONN_BLOCKED,  /* the socket took less than all at the end of a turn; again at progress */
    CONN_DRAINED,  /* … and now has taken it all */
    CONN_DEADLINE, /* the deadline passed; the owner decides */
    CONN_DRAIN,    /* the worker is ending: finish what runs, start nothing */
    CONN_REVIEW,   /* the worker took a new view: is what is under way still allowed? */
    CONN_REST,     /* a client without a request for some time: keep little memory */
    CONN_EVICTED,  /* idle, and closed in a moment for want of room: a chance to say so */
    CONN_DEAD,     /* last call; see conn_error_text */
};

struct conn;

struct conn_ops {
    /* Returns how many bytes were used. Unused ones come again, in front of
     * later ones; the owner bounds how many it leaves. */
    size_t (*on_data)(struct conn *c, const char *data, size_t len);
    void (*on_event)(struct conn *c, enum conn_event event);
    /* Last chance to write before the bytes of this turn go out. */
    void (*on_flush)(struct conn *c);
};

/* Thousands of them wait for a request: in an order that leaves hardly a hole. */
struct conn {
    uint32_t magic;
    int fd;
    struct loop_call later; /* at the end of the turn: a dial has failed, or its memory goes */
    enum conn_state state : 8;
    uint8_t pauses; /* of enum conn_pause */
    bool is_front;  /* accepted; counted against the client limits */
    bool can_read;
    bool can_write;
    bool peer_closed; /* a FIN is there: read until 0 */
    bool only_eof;    /* … and nothing before it */
    bool got_eof;
    bool told_eof;
    bool blocked;
    bool in_dirty;
    bool in_again;
    bool in_flush;
    bool put_off;   /* what was written leaves at the end of the next turn: conn_put_off */
    bool left_rest; /* this turn sent all but so little that it is no segment of its own */
    bool try_v6;    /* dialling: ::1 not tried yet */
    bool is_v6;     /* dialled: connected to ::1 */
    bool shut_write;
    bool is_cut; /* by the owner, before conn_close: it ends in the middle of a message */
    bool alpn_h2;
    bool ticket_queued;      /* TLS 1.3, this turn: the handshake is done and its ticket in out */
    bool answer_follows;     /* … and may wait there for the answer: see conn_await_answer */
    bool is_redirect;        /* accepted on the plain port that sends people to https */
    bool awaiting;           /* the owner is in the middle of a message: look for a hidden reset
                              * behind what it sent: worker->suspects */
    bool in_deadline;        /* CONN_DEADLINE is being told */
    bool killed;             /* by the worker, which ends */
    bool failed;             /* conn_out_of_memory */
    bool tls_resumed;        /* front: of the handshake */
    bool tls_flood;          /* more messages of TLS itself than anybody needs: it ends */
    bool is_idle;            /* in the worker's list of client connections without a request */
    bool is_resting;         /* … for so long that it was told CONN_REST */
    bool progress;           /* some bytes left since the last CONN_BLOCKED */
    uint8_t tls_handled;     /* messages of TLS itself, since … (tls.c) */
    uint16_t port;           /* dialled */
    uint32_t wide_answers;   /* front: of h2c services, those with a large window */
    int error;               /* errno, or negative for TLS */
    int send_error;          /* errno of a sending that failed; reading goes on to the end */
    char *detail;            /* owned: more than the number says, or NULL */
    const char *tls_version; /* constant; NULL until a front's handshake is done */
    const char *tls_cipher;
    SSL *ssl;              /* owned; NULL without TLS */
    struct worker *worker; /* borrowed */
    const struct conn_ops *ops;
    void *owner;           /* borrowed: the protocol object */
    struct wbuf in;        /* plain bytes the owner left */
    struct wbuf cipher_in; /* received, not decrypted: reading was paused */
    struct wbuf stage;     /* plain bytes waiting to fill a TLS record */
    struct wbuf out;       /* bytes for the socket */
    struct deadline deadline;
    struct conn *dirty_next;
    struct conn *again_next;
    struct conn *front_next;
    struct conn **front_prev;
    struct conn *suspect_next;
    struct conn **suspect_prev; /* NULL: not in the list */
    uint64_t sni_hash;          /* host_hash of the name asked for in TLS; 0: none */
    struct conn *idle_next;     /* while is_idle: admit.h */
    struct conn *idle_prev;
    uint64_t idle_since_ms;
    struct limit_cell *address_cell; /* shared: its address is counted there; may be NULL */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t tls_handled_ms;  /* … this time and … */
    uint64_t tls_handled_at;  /* … this many bytes in and out */
    uint64_t acked_seen;      /* bytes the peer had acknowledged when last asked */
    uint64_t linger_until_ms; /* when a lingering connection is cut at the latest */
    struct sockaddr_in6 peer; /* or a sockaddr_in in its first bytes */
    uint32_t read_max;        /* bytes of one batch, at most WORKER_PLAIN_SIZE */
    struct event event;
};

/* Takes fd; NULL, and fd is closed, when out of memory. TLS when tls is true (handshake starts with
 * the first bytes); CONN_READY without c->ssl then means that the client spoke plain HTTP. */
struct conn *conn_accept(struct worker *w, int fd, const struct sockaddr *peer, socklen_t peer_len,
                         bool tls, const struct conn_ops *ops, void *owner);
/* 127.0.0.1:port, then [::1]:port; TLS with the context `tls`, borrowed for the call, unless NULL
 * (certs/tlsctx.h). Failure comes as CONN_DEAD, never from inside; NULL: not even that. */
struct conn *conn_dial(struct worker *w, uint16_t port, SSL_CTX *tls, const struct conn_ops *ops,
                       void *owner);

/* For a connection accepted without TLS: starts it now, with these first bytes of it.
 * CONN_READY follows; without TLS (c->ssl NULL) when the client spoke plain HTTP. False when out
 * of memory. */
bool conn_start_tls(struct conn *c, const char *data, size_t len);

/* Queues bytes; they leave at the end of the turn. */
void conn_write(struct conn *c, const void *data, size_t len);
static inline void conn_write_str(struct conn *c, struct str s)
{
    conn_write(c, s.ptr, s.len);
}
/* Some bytes of it are lost for want of memory: it does nothing more, and at the end of the turn
 * it is reset (its owner gets CONN_DEAD, with the error ENOMEM). Not from inside. */
void conn_out_of_memory(struct conn *c) __attribute__((cold));
/* Queues all of `text` and releases it; one that has failed is conn_out_of_memory. */
static inline void conn_write_all(struct conn *c, struct wbuf *text)
{
    if (text->failed) {
        conn_out_of_memory(c);
    } else {
        conn_write(c, wbuf_data(text), wbuf_len(text));
    }
    wbuf_release(&c->worker->wbufs, text);
}
/* The client's first request is complete, and its answer the next that is written: a session ticket
 * that is queued leaves with it, not in a packet of its own. A client whose request was held back
 * until something came from us (TCP without TCP_NODELAY) never gets here in time. */
static inline void conn_await_answer(struct conn *c)
{
    c->answer_follows = c->ticket_queued;
}
/* Bytes queued and not yet taken by the socket. */
size_t conn_pending(const struct conn *c);
/* For on_flush: where `source` is read again in the next turn, which then follows at once, what is
 * queued waits for the end of that turn, and no longer: one send carries both turns' bytes, and
 * costs more than they do. `source` may be NULL: nothing waits. */
void conn_put_off(struct conn *c, const struct conn *source);
/* on_flush will be called at the end of this turn. */
void conn_mark_dirty(struct conn *c);
void conn_pause(struct conn *c, enum conn_pause why);
void conn_resume(struct conn *c, enum conn_pause why);
/* after_ms 0: none. */
void conn_set_deadline(struct conn *c, uint64_t after_ms);
/* Sends what is queued, then FIN; reading goes on. */
void conn_shutdown_write(struct conn *c);
/* Sends what is queued, then ends: with close_notify, unless c->is_cut. */
void conn_close(struct conn *c);
void conn_abort(struct conn *c);
/* conn_abort with a reset, so that the peer cannot take it for a proper end. */
void conn_reset(struct conn *c);
/* Ends it as if it had died: the owner gets CONN_DEAD. For the worker. */
void conn_kill(struct conn *c);
/* Ends an idle one for want of room, with close_notify where that can leave at once. */
void conn_evict(struct conn *c);
/* Whether the peer took at least CONN_PROGRESS bytes since it was last asked, or since it
 * blocked: what a write deadline has to know, as a full socket shows small steps only here. */
bool conn_is_taking(struct conn *c);
/* "connection refused", "TLS: certificate unknown", … for CONN_DEAD. */
const char *conn_error_text(const struct conn *c);

/* Who ends what is under way on it now: its client, a deadline, or the worker's end. */
enum exchange_abort conn_abort_reason(const struct conn *c);

/* For the worker: end of turn, and deadlines. */
void conn_flush(struct conn *c);
void conn_read(struct conn *c);
/* Takes it off the worker's list of connections to read again. */
void conn_leave_again(struct conn *c);
/* At the tick: reads from those of worker->suspects, which may have been reset unnoticed. */
void conn_read_suspects(struct worker *w);
void conn_on_due(struct deadline *d, void *arg);

#endif
