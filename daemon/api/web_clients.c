/* web_clients: see web_clients.h. Made by api.c, told by request.c.
 *
 * evhttp tells nobody of a new connection before its first request; it only asks for a
 * bufferevent. The connection is what that bufferevent's callbacks have for an argument from then
 * on: client_bind, when evhttp has done its part. */
#include "daemon/api/web_clients.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/loop.h"
#include "daemon/api/web_tls.h"
#include "daemon/config.h"

enum {
    CLIENT_MAGIC = 0x77636c69,
    DESCRIPTORS_SHARE = 4,
    IDLE_MS = 60000, /* after the answer has had its time */
    QUIET_MS = 60000,
    LINGER_MS = 2000,
};

enum client_state {
    CLIENT_READING, /* connected, or the first byte of a request is here */
    CLIENT_BUSY,    /* a request is under way */
    CLIENT_SENDING, /* its answer is to be read */
    CLIENT_IDLE,
    CLIENT_REFUSED, /* evhttp answered by itself: what comes after is thrown away */
};

struct web_client {
    uint32_t magic;
    struct web_clients *all;         /* borrowed: owner */
    struct web_client *next, **link; /* longest waiting last */
    struct evhttp_connection *conn;  /* borrowed: evhttp's */
    struct bufferevent *bev;         /* borrowed: conn's */
    struct loop_timer timer;         /* but for CLIENT_BUSY */
    enum client_state state;
    size_t unsent; /* when CLIENT_SENDING was last looked at */
};

struct web_clients {
    struct loop *loop;        /* borrowed */
    struct web_tls *tls;      /* borrowed; NULL: plain */
    struct web_client *first; /* owned */
    size_t count;
    size_t max;
    uint64_t request_ms;          /* to come whole, and for its answer to be read */
    struct bufferevent *accepted; /* owned reference: not bound yet; NULL: none */
    struct loop_timer bind_timer;
    uint64_t quiet_until_ms;
};

static void client_unlink(struct web_client *client)
{
    *client->link = client->next;
    if (client->next != NULL) {
        client->next->link = client->link;
    }
}

static void client_link(struct web_client *client)
{
    client->next = client->all->first;
    client->link = &client->all->first;
    if (client->next != NULL) {
        client->next->link = &client->next;
    }
    client->all->first = client;
}

static void client_free(struct web_client *client)
{
    client_unlink(client);
    client->all->count--;
    loop_timer_fini(&client->timer);
    client->magic = 0;
    free(client);
}

static void client_set_state(struct web_client *client, enum client_state state)
{
    client->state = state;
    if (state == CLIENT_BUSY) {
        loop_timer_clear(&client->timer);
        return;
    }
    client_unlink(client);
    client_link(client);
    loop_timer_set(&client->timer, state == CLIENT_IDLE      ? IDLE_MS
                                   : state == CLIENT_REFUSED ? LINGER_MS
                                                             : client->all->request_ms);
}

static size_t client_unsent(const struct web_client *client)
{
    return evbuffer_get_length(bufferevent_get_output(client->bev));
}

static void client_on_timer(void *arg)
{
    struct web_client *client = arg;
    CHECK(client->magic == CLIENT_MAGIC);
    if (client->state == CLIENT_SENDING) {
        size_t unsent = client_unsent(client);
        if (unsent == 0) {
            client_set_state(client, CLIENT_IDLE);
            return;
        }
        if (unsent < client->unsent) {
            client->unsent = unsent;
            loop_timer_set(&client->timer, client->all->request_ms);
            return;
        }
    }
    evhttp_connection_free(client->conn); /* and this with it: client_on_close */
}

static void client_on_close(struct evhttp_connection *conn, void *arg)
{
    struct web_client *client = arg;
    (void)conn;
    CHECK(client->magic == CLIENT_MAGIC);
    client_free(client);
}

/* The first byte after an answer begins the next request. */
static void client_on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct web_client *client = arg;
    if (info->n_added > 0 && client->state == CLIENT_REFUSED) {
        (void)evbuffer_drain(input, evbuffer_get_length(input));
    } else if (info->n_added > 0 &&
               (client->state == CLIENT_IDLE || client->state == CLIENT_SENDING)) {
        client_set_state(client, CLIENT_READING);
    }
}

/* A final answer to what is no request yet is evhttp's own. It closes after that, but not where the
 * method was CONNECT: there it went on with the content as the next request (libevent 2.1). */
static void client_on_output(struct evbuffer *output, const struct evbuffer_cb_info *info,
                             void *arg)
{
    struct web_client *client = arg;
    struct evbuffer_ptr at;
    char head[sizeof "HTTP/1.1 4" - 1];
    if (client->state != CLIENT_READING || info->n_added < sizeof head ||
        evbuffer_ptr_set(output, &at, info->orig_size, EVBUFFER_PTR_SET) != 0 ||
        evbuffer_copyout_from(output, &at, head, sizeof head) != (ev_ssize_t)sizeof head) {
        return;
    }
    if (memcmp(head, "HTTP/1.", 7) == 0 && head[sizeof head - 1] != '1') {
        struct evbuffer *input = bufferevent_get_input(client->bev);
        client_set_state(client, CLIENT_REFUSED);
        (void)evbuffer_drain(input, evbuffer_get_length(input));
    }
}

/* --- accepting ---------------------------------------------------------------------- */

static void say_full(struct web_clients *all)
{
    uint64_t now = loop_now_ms(all->loop);
    if (now >= all->quiet_until_ms) {
        all->quiet_until_ms = now + QUIET_MS;
        log_warn("web", "too many connections; the longest waiting ones are closed",
                 LOG_INT("connections", all->count));
    }
}

/* False when nobody waits. */
static bool client_evict(struct web_clients *all)
{
    struct web_client *oldest = NULL;
    for (struct web_client *at = all->first; at != NULL; at = at->next) {
        oldest = at->state != CLIENT_BUSY ? at : oldest;
    }
    if (oldest == NULL) {
        return false;
    }
    evhttp_connection_free(oldest->conn);
    return true;
}

/* The accepted one becomes a client, or is closed. */
static void client_bind(struct web_clients *all)
{
    struct bufferevent *bev = all->accepted;
    bufferevent_event_cb on_event = NULL;
    void *conn = NULL;
    if (bev == NULL) {
        return;
    }
    all->accepted = NULL;
    loop_timer_clear(&all->bind_timer);
    bufferevent_getcb(bev, NULL, NULL, &on_event, &conn);
    (void)bufferevent_decref(bev);
    if (on_event == NULL) {
        return; /* gone already: only our reference kept it */
    }
    CHECK(evhttp_connection_get_bufferevent(conn) == bev);
    if (all->count >= all->max) {
        say_full(all);
        if (!client_evict(all)) {
            evhttp_connection_free(conn);
            return;
        }
    }
    struct web_client *client = xcalloc(1, sizeof *client);
    client->magic = CLIENT_MAGIC;
    client->all = all;
    client->conn = conn;
    client->bev = bev;
    all->count++;
    client_link(client);
    loop_timer_init(&client->timer, all->loop, client_on_timer, client);
    CHECK(evbuffer_add_cb(bufferevent_get_input(bev), client_on_input, client) != NULL);
    CHECK(evbuffer_add_cb(bufferevent_get_output(bev), client_on_output, client) != NULL);
    web_client_watch(client);
    client_set_state(client, client_unsent(client) > 0 ? CLIENT_REFUSED : CLIENT_READING);
}

static void clients_on_bind(void *arg)
{
    client_bind(arg);
}

static struct bufferevent *clients_on_accept(struct event_base *base, void *arg)
{
    struct web_clients *all = arg;
    client_bind(all); /* many may be accepted in one turn */
    struct bufferevent *bev = all->tls != NULL
                                  ? web_tls_accept(all->tls, base)
                                  : bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    CHECK(bev != NULL);
    bufferevent_incref(bev);
    all->accepted = bev;
    loop_timer_set(&all->bind_timer, 0);
    return bev;
}

struct web_clients *web_clients_new(struct loop *loop, const struct config *config,
                                    struct evhttp *http, struct web_tls *tls)
{
    struct web_clients *all = xcalloc(1, sizeof *all);
    uint64_t share = descriptors_max() / DESCRIPTORS_SHARE;
    *all = (struct web_clients){
        .loop = loop, .tls = tls, .request_ms = config->web_request_timeout_ms};
    all->max = share < config->web_connections_max ? (size_t)share : config->web_connections_max;
    loop_timer_init(&all->bind_timer, loop, clients_on_bind, all);
    evhttp_set_bevcb(http, clients_on_accept, all);
    return all;
}

void web_clients_free(struct web_clients *all)
{
    if (all == NULL) {
        return;
    }
    CHECK(all->first == NULL);
    loop_timer_fini(&all->bind_timer);
    if (all->accepted != NULL) {
        (void)bufferevent_decref(all->accepted);
    }
    free(all);
}

/* --- for requests -------------------------------------------------------------------- */

static struct web_client *client_of(const struct web_clients *all,
                                    const struct evhttp_connection *conn)
{
    struct web_client *client = all->first;
    while (client != NULL && client->conn != conn) {
        client = client->next;
    }
    return client;
}

struct web_client *web_clients_find(struct web_clients *all, struct evhttp_connection *conn)
{
    struct web_client *client = client_of(all, conn);
    if (client == NULL) { /* its first request comes before the timer */
        client_bind(all);
        client = client_of(all, conn);
    }
    return client;
}

void web_client_begin(struct web_client *client)
{
    if (client != NULL) {
        CHECK(client->magic == CLIENT_MAGIC);
        client_set_state(client, CLIENT_BUSY);
    }
}

void web_client_end(struct web_client *client)
{
    if (client != NULL) {
        CHECK(client->magic == CLIENT_MAGIC);
        client->unsent = SIZE_MAX;
        client_set_state(client, CLIENT_SENDING);
    }
}

void web_client_watch(struct web_client *client)
{
    evhttp_connection_set_closecb(client->conn, client_on_close, client);
}

void web_client_gone(struct web_client *client)
{
    if (client != NULL) {
        CHECK(client->magic == CLIENT_MAGIC);
        client_free(client);
    }
}
