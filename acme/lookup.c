/* lookup: see lookup.h. The only file that touches c-ares. Called by propagation, caa; the
 * loop's thread. */
#include "acme/lookup.h"

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"

enum {
    LOOKUP_MAGIC = 0x6c6f6f6b,
    SOCKETS_MAX = LOOKUP_SERVERS_MAX * 2 + 2, /* UDP and TCP of each server */
    TRY_MS = 1500,
    TRIES = 2,
    DEADLINE_MS = 15000, /* whatever the servers do */
    CLASS_IN = 1
};

struct watch {
    struct lookup *lookup; /* borrowed: whose part this is */
    ares_socket_t fd;
    struct event *event; /* owned; NULL: free place */
};

/* A server given by its name. */
struct named {
    struct lookup *lookup; /* borrowed: whose part this is */
    char name[254];
    uint16_t port;
};

struct lookup {
    uint32_t magic;
    struct loop *loop;       /* borrowed */
    ares_channel channel;    /* owned */
    struct loop_timer timer; /* c-ares' own timeouts */
    struct loop_timer deadline;
    struct watch watches[SOCKETS_MAX];
    lookup_done_fn *done;
    void *arg;                    /* borrowed */
    bool is_single;               /* one server was named */
    char name[DNS_NAME_TEXT_MAX]; /* the question, while servers are looked up */
    enum dns_type type;
    struct named *named; /* owned: one each that has a name */
    size_t name_count;   /* … still looked up */
    bool is_resolving;   /* the question waits for them */
    struct lookup_server found[LOOKUP_SERVERS_MAX];
    size_t found_count;
    char missing[400]; /* why the last of them was not found */
    struct loop_timer resolved;
    bool has_result;
    bool is_cancelled;
    bool is_ending; /* finish is deferred */
    enum lookup_result result;
    const char *text;
    struct buf bytes;
    struct dnsmsg msg;
};

static void destroy(struct lookup *l)
{
    l->is_cancelled = true;
    if (l->channel != NULL) {
        ares_destroy(l->channel);
    }
    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        if (l->watches[i].event != NULL) {
            event_free(l->watches[i].event);
        }
    }
    loop_timer_fini(&l->timer);
    loop_timer_fini(&l->deadline);
    loop_timer_fini(&l->resolved);
    free(l->named);
    buf_fini(&l->bytes);
    l->magic = 0;
    free(l);
}

static void lookup_on_end(void *arg)
{
    struct lookup *l = arg;
    CHECK(l->magic == LOOKUP_MAGIC);
    if (!l->is_cancelled) {
        bool has_msg = l->result == LOOKUP_ANSWERED || l->result == LOOKUP_REFUSED;
        struct lookup_answer answer = {l->result, has_msg ? &l->msg : NULL, l->text};
        l->done(l->arg, &answer);
    }
    destroy(l);
}

/* The callback comes at the end of the turn, when c-ares is not on the stack. */
static void end(struct lookup *l)
{
    if (!l->is_ending) {
        l->is_ending = true;
        loop_timer_clear(&l->timer);
        loop_timer_clear(&l->deadline);
        loop_timer_clear(&l->resolved);
        loop_defer(l->loop, lookup_on_end, l);
    }
}

static void set_result(struct lookup *l, enum lookup_result result, const char *text)
{
    if (!l->has_result) {
        l->has_result = true;
        l->result = result;
        l->text = text;
        end(l);
    }
}

static const char *rcode_text(const struct dnsmsg *m)
{
    static const char *const names[] = {NULL,      "FORMERR",  "SERVFAIL", "NXDOMAIN", "NOTIMP",
                                        "REFUSED", "YXDOMAIN", "YXRRSET",  "NXRRSET",  "NOTAUTH"};
    if (m->rcode == DNS_NOERROR) {
        return m->counts[DNS_ANSWER] == 0 ? "no such record" : "an answer";
    }
    return m->rcode < COUNT_OF(names) ? names[m->rcode] : "an unknown error code";
}

static void lookup_on_answer(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
    (void)timeouts;
    struct lookup *l = arg;
    CHECK(l->magic == LOOKUP_MAGIC);
    if (bytes != NULL && len > 0) {
        buf_add(&l->bytes, bytes, (size_t)len);
        if (!dnsmsg_open(&l->msg, l->bytes.ptr, l->bytes.len) || l->msg.is_truncated) {
            set_result(l, LOOKUP_MALFORMED, "a malformed answer");
            return;
        }
        bool is_answer = l->msg.rcode == DNS_NOERROR || l->msg.rcode == DNS_NXDOMAIN;
        set_result(l, is_answer ? LOOKUP_ANSWERED : LOOKUP_REFUSED, rcode_text(&l->msg));
    } else if (status == ARES_ETIMEOUT) {
        set_result(l, LOOKUP_TIMEOUT, "no answer");
    } else if (status == ARES_EBADRESP) {
        set_result(l, LOOKUP_MALFORMED, "a malformed answer");
    } else {
        /* Of several servers c-ares does not say which of these each was. */
        set_result(l, LOOKUP_FAILED,
                   l->is_single ? "not reachable" : "every resolver refused or was not reachable");
    }
}

static void arm_timer(struct lookup *l)
{
    struct timeval tv;
    if (!l->is_ending && ares_timeout(l->channel, NULL, &tv) != NULL) {
        loop_timer_set(&l->timer, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
    }
}

static void lookup_on_timer(void *arg)
{
    struct lookup *l = arg;
    CHECK(l->magic == LOOKUP_MAGIC);
    ares_process_fd(l->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer(l);
}

static void lookup_on_deadline(void *arg)
{
    struct lookup *l = arg;
    CHECK(l->magic == LOOKUP_MAGIC);
    set_result(l, LOOKUP_TIMEOUT,
               l->is_resolving ? "the names in letsencrypt.resolvers cannot be looked up: no answer"
                               : "no answer");
}

static void lookup_on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct lookup *l = ((struct watch *)arg)->lookup;
    CHECK(l->magic == LOOKUP_MAGIC);
    if (l->is_ending) {
        return;
    }
    ares_process_fd(l->channel, (what & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
                    (what & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
    arm_timer(l);
}

/* c-ares wants to know of these events; neither: the socket is about to be closed. */
static void lookup_on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct lookup *l = arg;
    struct watch *place = NULL;
    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        struct watch *w = &l->watches[i];
        if (w->event != NULL && w->fd == fd) {
            place = w;
            break;
        }
        if (w->event == NULL && place == NULL) {
            place = w;
        }
    }
    if (place == NULL) {
        return; /* c-ares never has so many; the question would time out */
    }
    if (place->event != NULL) {
        event_free(place->event);
        place->event = NULL;
    }
    if (!readable && !writable) {
        return;
    }
    int what = EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);
    place->lookup = l;
    place->fd = fd;
    place->event = event_new(loop_base(l->loop), fd, (short)what, lookup_on_socket, place);
    CHECK(place->event != NULL && event_add(place->event, NULL) == 0);
}

static bool set_servers(struct lookup *l)
{
    struct ares_addr_port_node nodes[LOOKUP_SERVERS_MAX] = {{.next = NULL}};
    size_t count = l->found_count;
    for (size_t i = 0; i < count; i++) {
        const struct lookup_server *s = &l->found[i];
        nodes[i].family = s->is_v6 ? AF_INET6 : AF_INET;
        memcpy(&nodes[i].addr, s->address, s->is_v6 ? 16 : 4);
        nodes[i].udp_port = s->port;
        nodes[i].tcp_port = s->port;
        nodes[i].next = i + 1 < count ? &nodes[i + 1] : NULL;
    }
    return count == 0 || ares_set_servers_ports(l->channel, nodes) == ARES_SUCCESS;
}

static void ask(struct lookup *l)
{
    l->is_resolving = false;
    if (!set_servers(l)) {
        set_result(l, LOOKUP_FAILED, "not asked: the resolver could not be set up");
        return;
    }
    ares_query(l->channel, l->name, CLASS_IN, (int)l->type, lookup_on_answer, l);
    arm_timer(l);
}

/* --- servers by name -------------------------------------------------------------------- */

static void add_found(struct lookup *l, const struct lookup_server *server)
{
    if (l->found_count < LOOKUP_SERVERS_MAX) {
        l->found[l->found_count++] = *server;
    }
}

/* In a turn of its own: c-ares takes no other servers while it answers. */
static void lookup_on_resolved(void *arg)
{
    struct lookup *l = arg;
    CHECK(l->magic == LOOKUP_MAGIC);
    if (l->found_count == 0) {
        set_result(l, LOOKUP_FAILED, l->missing);
    } else {
        ask(l);
    }
}

/* Also from inside find_servers, where /etc/hosts has the name. */
static void lookup_on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
    (void)timeouts;
    struct named *named = arg;
    struct lookup *l = named->lookup;
    CHECK(l->magic == LOOKUP_MAGIC);
    const struct ares_addrinfo_node *node = result == NULL ? NULL : result->nodes;
    for (; node != NULL; node = node->ai_next) {
        struct lookup_server s = {.is_v6 = node->ai_family == AF_INET6, .port = named->port};
        if (s.is_v6) {
            const struct sockaddr_in6 *v6 = (const void *)node->ai_addr;
            memcpy(s.address, &v6->sin6_addr, sizeof v6->sin6_addr);
        } else {
            const struct sockaddr_in *v4 = (const void *)node->ai_addr;
            memcpy(s.address, &v4->sin_addr, sizeof v4->sin_addr);
        }
        add_found(l, &s);
    }
    if (status != ARES_SUCCESS) {
        (void)snprintf(l->missing, sizeof l->missing,
                       "%s, of letsencrypt.resolvers, has no address (%s)", named->name,
                       ares_strerror(status));
    }
    ares_freeaddrinfo(result);
    if (--l->name_count == 0 && !l->is_ending) {
        loop_timer_set(&l->resolved, 0);
    }
}

/* Asks at once if no server has a name. */
static void find_servers(struct lookup *l, const struct lookup_query *query)
{
    const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC};
    size_t count = 0;
    l->named = xcalloc(query->server_count + 1, sizeof *l->named);
    for (size_t i = 0; i < query->server_count; i++) {
        const struct lookup_server *s = &query->servers[i];
        if (s->name[0] == '\0') {
            add_found(l, s);
            continue;
        }
        l->named[count] = (struct named){.lookup = l, .port = s->port};
        memcpy(l->named[count++].name, s->name, sizeof s->name);
    }
    if (count == 0) {
        ask(l);
        return;
    }
    l->name_count = count;
    l->is_resolving = true;
    for (size_t i = 0; i < count; i++) {
        ares_getaddrinfo(l->channel, l->named[i].name, NULL, &hints, lookup_on_addresses,
                         &l->named[i]);
    }
    arm_timer(l);
}

struct lookup *lookup_start(struct loop *loop, const struct lookup_query *query,
                            lookup_done_fn *done, void *arg)
{
    struct lookup *l = xcalloc(1, sizeof *l);
    l->magic = LOOKUP_MAGIC;
    l->loop = loop;
    l->done = done;
    l->arg = arg;
    l->is_single = query->server_count == 1;
    loop_timer_init(&l->timer, loop, lookup_on_timer, l);
    loop_timer_init(&l->deadline, loop, lookup_on_deadline, l);
    loop_timer_init(&l->resolved, loop, lookup_on_resolved, l);
    loop_timer_set(&l->deadline, DEADLINE_MS);
    /* NOCHECKRESP: a refusal is an answer we want to tell, not a reason to ask the next. */
    struct ares_options options = {.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
                                            ARES_FLAG_EDNS | ARES_FLAG_NOCHECKRESP |
                                            (query->recurse ? 0 : ARES_FLAG_NORECURSE),
                                   .timeout = TRY_MS,
                                   .tries = TRIES,
                                   .ednspsz = 1232,
                                   .sock_state_cb = lookup_on_socket_state,
                                   .sock_state_cb_data = l};
    /* Of several resolvers the next is asked where one refuses. */
    if (!l->is_single) {
        options.flags &= ~ARES_FLAG_NOCHECKRESP;
    }
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
               ARES_OPT_SOCK_STATE_CB;
    if (!dns_name_is_plain(query->name)) {
        set_result(l, LOOKUP_FAILED, "not a name that can be asked for");
    } else if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
               ares_init_options(&l->channel, &options, mask) != ARES_SUCCESS) {
        set_result(l, LOOKUP_FAILED, "not asked: the resolver could not be set up");
    } else {
        (void)snprintf(l->name, sizeof l->name, "%s", query->name);
        l->type = query->type;
        find_servers(l, query);
    }
    return l;
}

void lookup_cancel(struct lookup *l)
{
    if (l != NULL) {
        CHECK(l->magic == LOOKUP_MAGIC);
        l->is_cancelled = true;
        end(l);
    }
}

/* "999.1.1" is a mistyped address. */
static bool is_host_name(const char *name)
{
    const char *last = strrchr(name, '.');
    last = last == NULL ? name : last + 1;
    return dns_name_is_plain(name) && last[strspn(last, "0123456789")] != '\0';
}

bool lookup_server_parse(struct str text, uint16_t default_port, struct lookup_server *out_server)
{
    struct lookup_server s = {.port = default_port};
    struct str host = str_trim(text);
    struct str port = STR_NONE;
    size_t close = str_find(host, ']');
    size_t colon = str_find(host, ':');
    bool has_brackets = host.len > 0 && host.ptr[0] == '[' && close < host.len;
    if (has_brackets) {
        port = (struct str){host.ptr + close + 1, host.len - close - 1};
        host = (struct str){host.ptr + 1, close - 1};
        if (port.len > 0 && port.ptr[0] != ':') {
            return false;
        }
    } else if (colon < host.len &&
               memchr(host.ptr + colon + 1, ':', host.len - colon - 1) == NULL) {
        port = (struct str){host.ptr + colon, host.len - colon};
        host.len = colon;
    }
    if (port.len > 0 &&
        (!str_to_u16((struct str){port.ptr + 1, port.len - 1}, &s.port) || s.port == 0)) {
        return false;
    }
    if (host.len == 0 || host.len >= sizeof s.name) {
        return false;
    }
    memcpy(s.name, host.ptr, host.len);
    s.is_v6 = memchr(host.ptr, ':', host.len) != NULL;
    if (inet_pton(s.is_v6 ? AF_INET6 : AF_INET, s.name, s.address) == 1) {
        s.name[0] = '\0';
    } else if (has_brackets || !is_host_name(s.name)) {
        return false;
    }
    *out_server = s;
    return true;
}

void lookup_server_text(const struct lookup_server *server, char out_text[LOOKUP_SERVER_TEXT])
{
    char address[INET6_ADDRSTRLEN] = "?";
    const char *name = server->name;
    if (name[0] == '\0') {
        (void)inet_ntop(server->is_v6 ? AF_INET6 : AF_INET, server->address, address,
                        sizeof address);
        name = address;
    }
    if (server->port == NAMESERVER_PORT) {
        (void)snprintf(out_text, LOOKUP_SERVER_TEXT, "%s", name);
    } else {
        (void)snprintf(out_text, LOOKUP_SERVER_TEXT, server->is_v6 ? "[%s]:%u" : "%s:%u", name,
                       server->port);
    }
}

bool lookup_server_has_route(const struct lookup_server *server)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(server->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(server->port)};
    memcpy(&v4.sin_addr, server->address, 4);
    memcpy(&v6.sin6_addr, server->address, 16);
    autoclose int fd = socket(server->is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* A datagram socket's connect only looks up the route. */
    return fd >= 0 && connect(fd, server->is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
                              server->is_v6 ? sizeof v6 : sizeof v4) == 0;
}
