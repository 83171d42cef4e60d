/* greeting: see greeting.h. Called by listener.c; the worker's thread. */
#include "gateway/greeting.h"

#include <stdio.h>

#include "base/auto.h"
#include "base/log.h"
#include "gateway/account.h"
#include "gateway/admit.h"
#include "gateway/conn.h"
#include "gateway/front_h1.h"
#include "gateway/front_h2.h"
#include "gateway/proxy_protocol.h"

static void protocol_open(struct conn *c)
{
    if (c->alpn_h2) {
        front_h2_open(c);
    } else {
        front_h1_open(c);
    }
}

/* RFC 9110 knows no better status; nothing here tells what name would have been right. */
static void refuse_plain(struct conn *c)
{
    static const char body[] = "a plain HTTP request was sent to an HTTPS port\n";
    char head[256];
    struct str date = worker_date(c->worker);
    int len = snprintf(head, sizeof head,
                       "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
                       "cache-control: no-store\r\ncontent-length: %zu\r\ndate: %.*s\r\n"
                       "connection: close\r\n\r\n",
                       sizeof body - 1, STR_ARG(date));
    CHECK(len > 0 && (size_t)len < sizeof head);
    conn_write(c, head, (size_t)len);
    conn_write(c, body, sizeof body - 1);
    conn_close(c);
}

/* --- waiting for the end of the TLS handshake ---------------------------------- */

static size_t tls_on_data(struct conn *c, const char *data, size_t len)
{
    (void)c;
    (void)data;
    (void)len;
    return 0; /* READY comes first and changes the ops */
}

static void on_event(struct conn *c, enum conn_event event)
{
    switch (event) {
    case CONN_READY:
        if (c->ssl == NULL) {
            refuse_plain(c);
        } else {
            protocol_open(c);
        }
        break;
    case CONN_DEADLINE:
        account_refusal(c->worker, (const struct sockaddr *)&c->peer, REFUSED_TIMEOUT, NULL);
        conn_abort(c);
        break;
    case CONN_EOF:
        conn_abort(c);
        break;
    case CONN_BLOCKED:
    case CONN_DRAINED:
    case CONN_DRAIN:
    case CONN_REVIEW:
    case CONN_REST:
    case CONN_EVICTED:
    case CONN_DEAD:
        break;
    }
}

static void on_flush(struct conn *c)
{
    (void)c; /* nothing of ours to send */
}

static const struct conn_ops tls_ops = {tls_on_data, on_event, on_flush};

/* --- waiting for the PROXY header ------------------------------------------------- */

/* Such a peer was put on the list by somebody, who wants to know; once a while is enough. */
static void tell_refused(const struct conn *c, const char *why)
{
    enum { QUIET_MS = 10000 };
    struct worker *w = c->worker;
    uint64_t now = loop_now_ms(w->loop);
    w->proxy_refused++;
    if (w->proxy_refused_ms != 0 && now - w->proxy_refused_ms < QUIET_MS) {
        return;
    }
    char peer[64];
    peer_format((const struct sockaddr *)&c->peer, peer, sizeof peer);
    log_warn("gateway", "closed a connection of a peer in tunnel.proxyProtocol",
             LOG_STR("peer", peer), LOG_STR("reason", why), LOG_INT("times", w->proxy_refused));
    w->proxy_refused = 0;
    w->proxy_refused_ms = now;
}

static size_t proxy_on_data(struct conn *c, const char *data, size_t len)
{
    struct proxy_header header;
    const char *why = "";
    switch (proxy_header_read(data, len, &header, &why)) {
    case PROXY_MORE:
        return 0; /* it is bounded: PROXY_HEADER_MAX */
    case PROXY_FAULT:
        tell_refused(c, why);
        account_refusal(c->worker, (const struct sockaddr *)&c->peer, REFUSED_PROXY, why);
        conn_abort(c);
        return 0;
    case PROXY_DONE:
        break;
    }
    if (header.has_source) {
        c->peer = header.source;
        if (!admit_address(c->worker, (const struct sockaddr *)&c->peer, &c->address_cell)) {
            account_refusal(c->worker, (const struct sockaddr *)&c->peer, REFUSED_ADDRESS, NULL);
            conn_reset(c);
            return header.len;
        }
    }
    data += header.len;
    len -= header.len;
    if (c->is_redirect || !c->worker->view->snapshot->spec.tls) {
        front_h1_open(c);
        return header.len + (len > 0 && !c->failed ? c->ops->on_data(c, data, len) : 0);
    }
    c->ops = &tls_ops;
    if (!conn_start_tls(c, data, len)) {
        conn_abort(c);
    }
    return header.len + len;
}

static const struct conn_ops proxy_ops = {proxy_on_data, on_event, on_flush};

struct conn *greeting_open(struct worker *w, int fd, const struct sockaddr *peer, socklen_t len,
                           bool redirect)
{
    const struct snapshot_spec *spec = &w->view->snapshot->spec;
    bool proxied = spec->proxy_protocol.count > 0 && peer_list_has(&spec->proxy_protocol, peer);
    bool tls = spec->tls && !redirect && !proxied;
    struct conn *c = conn_accept(w, fd, peer, len, tls, proxied ? &proxy_ops : &tls_ops, NULL);
    if (c == NULL) {
        return NULL;
    }
    c->is_redirect = redirect;
    if (proxied || tls) {
        conn_set_deadline(c, spec->limits.handshake_timeout_ms);
    } else {
        front_h1_open(c);
    }
    return c;
}
