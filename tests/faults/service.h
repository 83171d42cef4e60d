/* service: a service on the loopback for the gateway under test, HTTP/1.1 or HTTP/2 in cleartext,
 * one connection at a time, driven by steps. It never fails by itself. */
#ifndef WOS_TESTS_FAULTS_SERVICE_H
#define WOS_TESTS_FAULTS_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SERVICE_BUFFER = 64 * 1024, SERVICE_BIG = 300 * 1024 };

enum service_kind { SERVICE_H1, SERVICE_H2C, SERVICE_H2C_WEBSOCKET };

struct service {
    enum service_kind kind;
    uint16_t port;
    int listener;
    int conn; /* -1: none */
    char in[SERVICE_BUFFER];
    size_t len;
    bool greeted;    /* HTTP/2: the preface came; HTTP/1: it is a tunnel now */
    const char *out; /* static: an answer on its way */
    size_t out_len;
};

/* Listens on a port of the kernel's choice. */
int service_listen(uint16_t *out_port);
void service_init(struct service *s, enum service_kind kind);
void service_fini(struct service *s);
/* Takes a connection, reads what is there and answers each request that is whole: 200, for /big
 * with SERVICE_BIG bytes in a chunk and a trailer, 101 where an upgrade is asked for.
 * SERVICE_H2C_WEBSOCKET opens each stream with 200 at once and ends it when the client does. */
void service_step(struct service *s);

#endif
