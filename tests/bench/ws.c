/* ws: WebSocket load for scripts/bench.
 *
 *     ws h1|h2 HOST PORT CONNECTIONS ROUNDS
 *
 * Opens the connections (h1: an upgrade, RFC 6455; h2: extended CONNECT, RFC 8441, one stream on
 * each connection). In each round every connection sends a binary message of 1 KiB, then every
 * answer is read: it must be the same bytes. Prints "COUNT RATE P50 P99" with the time from a
 * message to its answer in µs. A server that announces no RFC 8441 ends it with 3. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/bench/channel.h"

enum {
    PAYLOAD = 1024,
    FRAME = 8 + PAYLOAD,  /* from the client: masked */
    ANSWER = 4 + PAYLOAD, /* from the server */
    CONNECTIONS_MAX = 1024,
    CANNOT = 3,
    H2_WINDOW_UPDATE = 8,
};

/* One WebSocket; over h2 the answer's bytes are gathered from DATA frames. */
struct ws {
    struct channel ch;
    double sent_us;
    size_t consumed; /* h2: bytes of DATA not yet given back to the stream's window */
    char answer[ANSWER];
    size_t have;
};

static char payload[PAYLOAD];

static void open_h1(const struct target *t, struct ws *w)
{
    char request[512];
    const char *end;
    int n =
        snprintf(request, sizeof request,
                 "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                 t->host);
    channel_open(t, &w->ch);
    channel_send(&w->ch, request, (size_t)n);
    do {
        channel_receive(&w->ch, w->ch.have + 1);
        end = memmem(w->ch.buf, w->ch.have, "\r\n\r\n", 4);
    } while (end == NULL);
    size_t head = (size_t)(end - w->ch.buf) + 4;
    w->ch.buf[head - 1] = '\0';
    if (strncmp(w->ch.buf, "HTTP/1.1 101", 12) != 0 ||
        strcasestr(w->ch.buf, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == NULL || w->ch.have != head) {
        (void)fprintf(stderr, "no upgrade: %.60s\n", w->ch.buf);
        exit(1);
    }
    channel_consume(&w->ch, head);
}

/* HPACK without state: literals, static names by index where there are. */
static size_t connect_block(char *at, size_t room, const char *host)
{
    int n = snprintf(at, room,
                     "\x02\x07"
                     "CONNECT%c\x09:protocol\x09websocket\x87\x04\x03/ws\x01%c%s"
                     "%c\x15sec-websocket-version\x02%s",
                     0x10, (int)strlen(host), host, 0x10, "13");
    return (size_t)n;
}

static void open_h2(const struct target *t, struct ws *w)
{
    char request[512];
    channel_open(t, &w->ch);
    struct frame f;
    do { /* the server's SETTINGS come first */
        f = channel_frame(&w->ch);
        channel_consume(&w->ch, FRAME_HEAD + f.len);
    } while (f.type != FRAME_SETTINGS || (f.flags & FLAG_ACK) != 0);
    if (!w->ch.connect_protocol) {
        (void)fprintf(stderr, "the server does not announce RFC 8441\n");
        exit(CANNOT);
    }
    w->ch.stream = 1;
    size_t len = connect_block(request + FRAME_HEAD, sizeof request - FRAME_HEAD, t->host);
    channel_frame_head(request, len, FRAME_HEADERS, FLAG_END_HEADERS, w->ch.stream);
    channel_send(&w->ch, request, FRAME_HEAD + len);
    do { /* channel_frame ends the program unless it is a 200 */
        f = channel_frame(&w->ch);
        channel_consume(&w->ch, FRAME_HEAD + f.len);
    } while (f.type != FRAME_HEADERS);
}

static void send_message(const struct target *t, struct ws *w)
{
    char bytes[FRAME_HEAD + FRAME];
    char *at = bytes;
    if (t->h2) {
        channel_frame_head(at, FRAME, FRAME_DATA, 0, w->ch.stream);
        at += FRAME_HEAD;
    }
    memcpy(at, "\x82\xfe\x04\x00\x12\x34\x56\x78", 8);
    for (size_t i = 0; i < PAYLOAD; i++) {
        at[8 + i] = (char)(payload[i] ^ at[4 + (i & 3)]);
    }
    w->sent_us = now_us();
    channel_send(&w->ch, bytes, (size_t)(at - bytes) + FRAME);
}

/* Opens the stream's window again before it closes. */
static void extend_window(struct ws *w, size_t len)
{
    char update[FRAME_HEAD + 4];
    w->consumed += len;
    if (w->consumed < 32768) {
        return;
    }
    channel_frame_head(update, 4, H2_WINDOW_UPDATE, 0, w->ch.stream);
    for (size_t i = 0; i < 4; i++) {
        update[FRAME_HEAD + i] = (char)(w->consumed >> (24 - 8 * i));
    }
    channel_send(&w->ch, update, sizeof update);
    w->consumed = 0;
}

static void gather(struct ws *w, const char *bytes, size_t len)
{
    if (len > ANSWER - w->have) {
        (void)fprintf(stderr, "more bytes came than were sent\n");
        exit(1);
    }
    memcpy(w->answer + w->have, bytes, len);
    w->have += len;
}

static void read_answer(const struct target *t, struct ws *w)
{
    while (w->have < ANSWER) {
        if (!t->h2) {
            channel_receive(&w->ch, ANSWER);
            gather(w, w->ch.buf, w->ch.have);
            channel_consume(&w->ch, w->ch.have);
            continue;
        }
        struct frame f = channel_frame(&w->ch);
        if (f.type == FRAME_DATA) {
            if ((f.flags & FLAG_END_STREAM) != 0) {
                channel_die("the server ended the WebSocket");
            }
            gather(w, w->ch.buf + FRAME_HEAD, f.len);
            extend_window(w, f.len);
        }
        channel_consume(&w->ch, FRAME_HEAD + f.len);
    }
    w->have = 0;
    if (memcmp(w->answer, "\x82\x7e\x04\x00", 4) != 0 ||
        memcmp(w->answer + 4, payload, PAYLOAD) != 0) {
        (void)fprintf(stderr, "not the message that was sent\n");
        exit(1);
    }
}

static void run(const struct target *t, size_t connections, size_t rounds)
{
    struct ws *all = calloc(connections, sizeof *all);
    double *took = calloc(connections * rounds, sizeof *took);
    if (all == NULL || took == NULL) {
        channel_die("calloc");
    }
    for (size_t i = 0; i < connections; i++) {
        all[i].ch.buf = malloc(CHANNEL_BUFFER);
        if (all[i].ch.buf == NULL) {
            channel_die("malloc");
        }
        if (t->h2) {
            open_h2(t, &all[i]);
        } else {
            open_h1(t, &all[i]);
        }
    }
    double start = now_us();
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < connections; i++) {
            send_message(t, &all[i]);
        }
        for (size_t i = 0; i < connections; i++) {
            read_answer(t, &all[i]);
            took[round * connections + i] = now_us() - all[i].sent_us;
        }
    }
    double seconds = (now_us() - start) / 1e6;
    size_t count = connections * rounds;
    for (size_t i = 0; i < connections; i++) {
        channel_close(&all[i].ch);
        SSL_SESSION_free(all[i].ch.session);
        free(all[i].ch.buf);
    }
    (void)printf("%zu %.1f %.1f %.1f\n", count, (double)count / seconds,
                 percentile(took, count, 0.5), percentile(took, count, 0.99));
    free(took);
    free(all);
}

int main(int argc, char **argv)
{
    struct target t;
    uint64_t connections;
    uint64_t rounds;
    if (argc != 6 || !target_init(&t, argv[1], argv[2], argv[3]) || !t.tls ||
        !str_to_u64(str_of(argv[4]), &connections) || !str_to_u64(str_of(argv[5]), &rounds) ||
        connections == 0 || connections > CONNECTIONS_MAX || rounds == 0 || rounds > 1000000) {
        (void)fprintf(stderr, "usage: ws h1|h2 HOST PORT CONNECTIONS ROUNDS\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < PAYLOAD; i++) {
        payload[i] = (char)(i * 7);
    }
    run(&t, connections, rounds);
    target_fini(&t);
    return 0;
}
