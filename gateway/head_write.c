/* head_write: a checked head, written anew as HTTP/1.1 for the service.
 * Worker threads; no state. */
#include "base/auto.h"
#include "gateway/head.h"

/* What only the gateway may say about the client (contract, decision 6). */
static bool is_ours(struct str raw)
{
    char text[18];
    if (raw.len > sizeof text) {
        return false;
    }
    struct str name = head_plain_name(raw, text);
    static const struct str names[] = {
        {"host", 4},
        {"forwarded", 9},
        {"x-real-ip", 9},
        {"content-length", 14},
        {"x-request-id", 12},
        {"x-forwarded-for", 15},
        {"x-forwarded-host", 16},
        {"x-forwarded-port", 16},
        {"x-forwarded-proto", 17},
        {"transfer-encoding", 17},
        {"x-forwarded-server", 18},
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (name.len == names[i].len && str_eq_nocase(name, names[i])) {
            return true;
        }
    }
    return false;
}

static void add_line(struct wbuf_pool *pool, struct wbuf *out, struct str name, struct str value)
{
    char *start = wbuf_reserve(pool, out, name.len + value.len + 4);
    if (start == NULL) {
        return;
    }
    char *to = str_put(str_put(start, name), STR(": "));
    to = str_put(str_put(to, value), STR("\r\n"));
    wbuf_commit(out, (size_t)(to - start));
}

/* A line that ends in a number. */
static void add_number(struct wbuf_pool *pool, struct wbuf *out, struct str text, uint64_t n)
{
    char *start = wbuf_reserve(pool, out, text.len + U64_DIGITS + 2);
    if (start == NULL) {
        return;
    }
    char *to = str_put(u64_put(str_put(start, text), n), STR("\r\n"));
    wbuf_commit(out, (size_t)(to - start));
}

/* Client first, then the proxies it came through, if they are believed (client_address.h). */
static void write_forwarded(struct wbuf_pool *pool, struct wbuf *out, const struct head *h,
                            const struct head_forward *fwd)
{
    static const struct head_told nothing;
    const struct head_told *told = fwd->told == NULL ? &nothing : fwd->told;
    const char *proto = told->proto == NULL ? fwd->proto : told->proto;
    struct str host = told->host.len == 0 ? h->host_text : told->host;
    uint16_t port = told->port == 0 ? fwd->public_port : told->port;
    /* RFC 7239 section 6: an IPv6 node is quoted and in brackets. */
    struct str open = fwd->peer_is_v6 ? STR("\"[") : STR("");
    struct str shut = fwd->peer_is_v6 ? STR("]\"") : STR("");
    struct str peer = str_of(fwd->peer);
    enum { WORDS = 256 }; /* all but what is counted here */
    char *start = wbuf_reserve(
        pool, out, WORDS + 2 * (peer.len + host.len) + told->via.len + told->via_forwarded.len);
    if (start == NULL) {
        return;
    }
    char *to = str_put(start, STR("X-Forwarded-For: "));
    to = str_put(to, peer);
    to = str_put(to, told->via);
    to = str_put(to, STR("\r\nX-Forwarded-Host: "));
    to = str_put(to, host);
    to = str_put(to, STR("\r\nX-Forwarded-Proto: "));
    to = str_put(to, str_of(proto));
    to = str_put(to, STR("\r\nX-Forwarded-Port: "));
    to = u64_put(to, port);
    to = str_put(to, STR("\r\nForwarded: for="));
    to = str_put(to, open);
    to = str_put(to, peer);
    to = str_put(to, shut);
    to = str_put(to, STR(";host=\""));
    to = str_put(to, host);
    to = str_put(to, STR("\";proto="));
    to = str_put(to, str_of(proto));
    to = str_put(to, told->via_forwarded);
    to = str_put(to, STR("\r\n"));
    wbuf_commit(out, (size_t)(to - start));
}

static void write_request_line(struct wbuf_pool *pool, struct wbuf *out, const struct head *h,
                               const struct head_forward *fwd)
{
    wbuf_add_str(pool, out, fwd->upgrade_from_h2 ? STR("GET") : h->method);
    wbuf_add_str(pool, out, STR(" "));
    wbuf_add_str(pool, out, h->target);
    wbuf_add_str(pool, out, STR(" HTTP/1.1\r\n"));
    if (fwd->route->host_mode == ROUTE_HOST_REWRITE) {
        add_number(pool, out, STR("Host: localhost:"), fwd->route->port);
    } else {
        add_line(pool, out, STR("Host"), h->host_text);
    }
}

static void write_framing(struct wbuf_pool *pool, struct wbuf *out, const struct head *h,
                          const struct head_forward *fwd)
{
    if (fwd->upgrade_from_h2) {
        wbuf_add_str(pool, out, STR("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
        add_line(pool, out, STR("Sec-WebSocket-Key"), str_of(fwd->ws_key));
        return;
    }
    if (h->wants_upgrade) {
        wbuf_add_str(pool, out, STR("Connection: Upgrade\r\n"));
        add_line(pool, out, STR("Upgrade"), h->upgrade);
    } else if (h->te_trailers) {
        wbuf_add_str(pool, out, STR("Connection: TE\r\nTE: trailers\r\n"));
    }
    if (h->content_length != LENGTH_NONE) {
        add_number(pool, out, STR("Content-Length: "), (uint64_t)h->content_length);
    } else if (fwd->has_body) {
        wbuf_add_str(pool, out, STR("Transfer-Encoding: chunked\r\n"));
    } else if (h->is_h2 && (str_eq(h->method, STR("POST")) || str_eq(h->method, STR("PUT")) ||
                            str_eq(h->method, STR("PATCH")))) {
        wbuf_add_str(pool, out, STR("Content-Length: 0\r\n")); /* RFC 9110 8.6 */
    }
}

/* RFC 9113 8.2.3: cookie crumbs of HTTP/2 become one field again. */
static void write_cookies(struct wbuf_pool *pool, struct wbuf *out, const struct head *h)
{
    bool first = true;
    for (uint32_t i = 0; i < h->count; i++) {
        if (str_eq_nocase(h->fields[i].name, STR("cookie"))) {
            wbuf_add_str(pool, out, first ? STR("Cookie: ") : STR("; "));
            wbuf_add_str(pool, out, h->fields[i].value);
            first = false;
        }
    }
    if (!first) {
        wbuf_add_str(pool, out, STR("\r\n"));
    }
}

/* Is the field left out, or written by someone else? */
static bool is_skipped(const struct head *h, const struct head_forward *fwd, struct str name)
{
    bool crumb = h->is_h2 && str_eq_nocase(name, STR("cookie"));
    bool key = fwd->upgrade_from_h2 && str_eq_nocase(name, STR("sec-websocket-key"));
    /* HTTP/1.0 knows no 100: its request is forwarded as 1.1 and must not ask for one. */
    bool expect = h->minor == 0 && str_eq_nocase(name, STR("expect"));
    bool forwards = h->max_forwards != FORWARDS_ANY && str_eq_nocase(name, STR("max-forwards"));
    return crumb || key || expect || forwards || is_ours(name) || head_is_hop_by_hop(h, name);
}

void head_write_request(struct wbuf_pool *pool, struct wbuf *out, const struct head *h,
                        const struct head_forward *fwd)
{
    write_request_line(pool, out, h, fwd);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct head_field *f = &h->fields[i];
        if (!is_skipped(h, fwd, f->name)) {
            add_line(pool, out, f->name, f->value);
        }
    }
    if (h->is_h2) {
        write_cookies(pool, out, h);
    }
    if (h->max_forwards > 0) {
        add_number(pool, out, STR("Max-Forwards: "), (uint64_t)h->max_forwards - 1);
    }
    write_forwarded(pool, out, h, fwd);
    if (fwd->request_id.len > 0) {
        add_line(pool, out, STR("X-Request-Id"), fwd->request_id);
    }
    /* RFC 9110 7.6.3, after those of proxies in front of us. */
    wbuf_add_str(pool, out,
                 h->is_h2        ? STR("Via: 2 wos\r\n")
                 : h->minor == 0 ? STR("Via: 1.0 wos\r\n")
                                 : STR("Via: 1.1 wos\r\n"));
    write_framing(pool, out, h, fwd);
    wbuf_add_str(pool, out, STR("\r\n"));
}

void head_write_trailers(struct wbuf_pool *pool, struct wbuf *out, const struct head *trailers)
{
    for (uint32_t i = 0; trailers != NULL && i < trailers->count; i++) {
        const struct head_field *f = &trailers->fields[i];
        if (head_trailer_allowed(f->name) && head_value_is_legal(f->value)) {
            add_line(pool, out, f->name, f->value);
        }
    }
    wbuf_add_str(pool, out, STR("\r\n"));
}
