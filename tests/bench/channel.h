/* channel: one blocking client connection of the benchmark's load programs, with
 * HTTP/1.1 or the least of HTTP/2 on it. A failure of any kind ends the program: a
 * broken measurement is none. A channel belongs to one thread. */
#ifndef WOS_TESTS_BENCH_CHANNEL_H
#define WOS_TESTS_BENCH_CHANNEL_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHANNEL_BUFFER = 32768,
    CHANNEL_REQUEST_MAX = 1024,
    FRAME_HEAD = 9,
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_RST = 3,
    FRAME_SETTINGS = 4,
    FRAME_GOAWAY = 7,
    FLAG_ACK = 1,
    FLAG_END_STREAM = 1,
    FLAG_END_HEADERS = 4,
};

/* Where the requests go: 127.0.0.1:port under the name host. */
struct target {
    bool tls;
    bool h2;
    bool delays; /* without TCP_NODELAY, as a careless client is */
    const char *host;
    uint16_t port;
    SSL_CTX *ctx;                      /* owned; NULL without tls */
    char request[CHANNEL_REQUEST_MAX]; /* h1: all of it; h2: the HEADERS frame */
    size_t request_len;
};

struct channel {
    int fd;
    SSL *ssl;             /* owned; NULL: cleartext */
    SSL_SESSION *session; /* owned: the newest ticket, kept from one connection to the next */
    uint32_t stream;
    char *buf; /* borrowed, CHANNEL_BUFFER bytes; shared by those that keep nothing in it */
    size_t have;
    bool connect_protocol; /* h2: the server announced RFC 8441 */
};

/* PROTO is plain (HTTP/1.1 without TLS), h1 or h2. False: bad words. */
bool target_init(struct target *t, const char *proto, const char *host, const char *port);
void target_fini(struct target *t);

/* Prints the text (and what OpenSSL says) and ends with 1. */
_Noreturn void channel_die(const char *what);

/* Connects; resumes ch->session when there is one. For h2 the preface is sent too. */
void channel_open(const struct target *t, struct channel *ch);

/* With a reset, so that no port waits in TIME_WAIT. */
void channel_close(struct channel *ch);

void channel_send(struct channel *ch, const void *data, size_t len);

/* Until at least `want` bytes are in ch->buf. */
void channel_receive(struct channel *ch, size_t want);
void channel_consume(struct channel *ch, size_t len);

/* A frame of HTTP/2, its payload in ch->buf + FRAME_HEAD until it is consumed. */
struct frame {
    size_t len;
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
};

/* Receives one; answers SETTINGS; a HEADERS frame must begin with :status 200. */
struct frame channel_frame(struct channel *ch);
void channel_frame_head(char *at, size_t len, uint8_t type, uint8_t flags, uint32_t stream);

/* GET /small and its whole answer, which must be a 200. */
void channel_request(const struct target *t, struct channel *ch);

double now_us(void);

/* Sorts; the value below which the share lies. */
double percentile(double *values, size_t count, double share);

#endif
