/* front: the gateway's fronts without sockets, for fuzzers.
 *
 * A connection of a real worker whose bytes come from memory and go to memory. The service behind
 * it is played here: exchange_start is replaced at link time (--wrap) and every request that
 * gets so far is written by head_write_request, as a service would read it.
 */
#ifndef WOS_TESTS_FUZZ_FRONT_H
#define WOS_TESTS_FUZZ_FRONT_H

#include "base/str.h"
#include "gateway/conn.h"
#include "gateway/exchange.h"

enum { FRONT_REQUESTS_MAX = 16 };

/* One request as the service got it. */
struct front_request {
    bool is_h2;
    bool has_body;
    bool is_upgrade;
    bool ended;      /* it came to its end */
    bool cut;        /* it was cancelled before that */
    struct buf head; /* bytes of HTTP/1.1 */
    struct buf body; /* without framing */
    struct buf trailers;
    struct exchange *x; /* borrowed; NULL when it is over */
};

struct front {
    struct conn *conn; /* borrowed; do not touch it once `over` */
    bool over;
    struct buf out; /* what the client would have received */
    struct front_request requests[FRONT_REQUESTS_MAX];
    size_t count; /* of all that came, also those without room */
};

/* Answers each request at its end (or leaves it without an answer: answer false). */
void front_open(struct front *f, bool h2, bool answer);
/* Bytes from the client; then what the gateway says to them is in f->out. Those that the front
 * leaves for later come again in front of the next ones. */
void front_give(struct front *f, const void *data, size_t len);
void front_close(struct front *f);

/* What the service plays as the key of a WebSocket that came over HTTP/2. */
extern const char front_ws_key[];

#endif
