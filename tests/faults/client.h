/* client: a client of the gateway under test: TLS, one request, driven by steps. It never fails by
 * itself. */
#ifndef WOS_TESTS_FAULTS_CLIENT_H
#define WOS_TESTS_FAULTS_CLIENT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct request {
    const char *name;
    bool h2;
    bool late;       /* failures begin behind the handshake */
    uint16_t status; /* of the answer when all is well; in HTTP/2 200 or 400 */
    const char *method;
    const char *host;
    const char *path;
    const char *fields; /* "name: value\r\n" each */
    const char *body;   /* sent in a chunk or a DATA frame, with a trailer (not by CONNECT, which
                           is a WebSocket); NULL: none */
    const char *ends;   /* HTTP/1: what the answer has at its end; NULL: nothing special */
};

enum heard { HEARD_ANSWER, HEARD_END, HEARD_NOTHING };

struct client {
    const struct request *request;
    SSL *ssl; /* owned */
    int fd;
    struct buf bytes; /* of the request */
    size_t sent;
    struct buf got;
};

void client_init(struct client *c, SSL_CTX *ctx, uint16_t port, const struct request *request);
void client_fini(struct client *c);
/* HEARD_END: it was refused: a 5xx, RST_STREAM, GOAWAY, or the connection's end. HEARD_NOTHING:
 * not yet. */
enum heard client_step(struct client *c);
bool client_is_shaken(const struct client *c);

#endif
