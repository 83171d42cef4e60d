/* lookup: one DNS question, asked asynchronously of given servers (c-ares on the loop).
 *
 *     lookup_start(loop, &(struct lookup_query){.name = "example.com", .type = DNS_TXT,
 *                  .servers = servers, .server_count = 2, .recurse = true}, on_answer, me);
 *
 * Each question has a channel, sockets and random ids of its own. Servers are tried in turn,
 * twice, 1.5 s and more each; truncated answers are asked for again over TCP. A server given by
 * its name is found as libc would (/etc/hosts, /etc/resolv.conf), without blocking; where none has
 * an address the result is LOOKUP_FAILED, and the text says which. The callback
 * comes once, from the loop, never from inside lookup_start, and not after lookup_cancel.
 * The loop's thread.
 */
#ifndef WOS_ACME_LOOKUP_H
#define WOS_ACME_LOOKUP_H

#include "acme/dnsmsg.h"
#include "base/loop.h"
#include "base/str.h"

struct lookup;

enum { LOOKUP_SERVER_TEXT = 264, LOOKUP_SERVERS_MAX = 16 };

struct lookup_server {
    char name[254]; /* of a host whose addresses are looked up before each question; "": address */
    bool is_v6;
    uint8_t address[16]; /* 4 bytes used for v4 */
    uint16_t port;
};

struct lookup_query {
    const char *name; /* copied; dns_name_is_plain, or LOOKUP_FAILED */
    enum dns_type type;
    const struct lookup_server *servers; /* copied; none: those of /etc/resolv.conf */
    size_t server_count;
    bool recurse; /* true where servers have names */
};

enum lookup_result {
    LOOKUP_ANSWERED,  /* NOERROR or NXDOMAIN: see msg */
    LOOKUP_REFUSED,   /* any other code; msg is there */
    LOOKUP_TIMEOUT,   /* nobody answered in time */
    LOOKUP_FAILED,    /* no connection, or no server to ask */
    LOOKUP_MALFORMED, /* what came is no DNS answer */
};

struct lookup_answer {
    enum lookup_result result;
    const struct dnsmsg *msg; /* borrowed for the call; NULL without one */
    const char *text; /* for people: "NXDOMAIN", "SERVFAIL", "no answer", "no such record" … */
};

typedef void lookup_done_fn(void *arg, const struct lookup_answer *answer);

struct lookup *lookup_start(struct loop *loop, const struct lookup_query *query,
                            lookup_done_fn *done, void *arg);
/* NULL is allowed. Not after the callback. */
void lookup_cancel(struct lookup *l);

/* "1.2.3.4", "1.2.3.4:53", "2001:db8::1", "[2001:db8::1]:53", "dns.example:53"; false: none of
 * these. What ends in a number is no name. */
bool lookup_server_parse(struct str text, uint16_t default_port, struct lookup_server *out_server);
/* "1.2.3.4" where the port is 53, else "1.2.3.4:5353", "[::1]:5353"; a name as an address. */
void lookup_server_text(const struct lookup_server *server, char out_text[LOOKUP_SERVER_TEXT]);
/* Is there a route to that address? Sends nothing. */
bool lookup_server_has_route(const struct lookup_server *server);

#endif
