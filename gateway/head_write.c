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

static char *put_line(char *to, struct str name, struct str value)
{
    to = str_put(str_put(to, name), STR(": "));
    return str_put(str_put(to, value), STR("\r\n"));
}

/* A line that ends in a number. */
static char *put_number(char *to, struct str text, uint64_t n)
{
    return str_put(u64_put(str_put(to, text), n), STR("\r\n"));
}

static struct str forwarded_host(const struct head *h, const struct head_forward *fwd)
{
    return fwd->told == NULL || fwd->told->host.len == 0 ? h->host_text : fwd->told->host;
}

/* Room for the request: fields, and at most what the functions below add to them. */
static size_t room_of(const struct head *h, const struct head_forward *fwd)
{
    enum { WORDS = 1024, FIELD_ENDS = 4 }; /* all but what is counted here */
    size_t room = WORDS + h->method.len + h->target.len + h->host_text.len + h->upgrade.len +
                  fwd->request_id.len + 2 * forwarded_host(h, fwd).len;
    room += 2 * str_of(fwd->peer).len;
    if (fwd->told != NULL) {
        room += fwd->told->via.len + fwd->told->via_forwarded.len;
    }
    for (uint32_t i = 0; i < h->count; i++) {
        room += h->fields[i].name.len + h->fields[i].value.len + FIELD_ENDS;
    }
    return room;
}

/* Client first, then the proxies it came through, if they are believed (client_address.h). */
static char *put_forwarded(char *to, const struct head *h, const struct head_forward *fwd)
{
    static const struct head_told nothing;
    const struct head_told *told = fwd->told == NULL ? &nothing : fwd->told;
    struct str proto = str_of(told->proto == NULL ? fwd->proto : told->proto);
    struct str host = forwarded_host(h, fwd);
    uint16_t port = told->port == 0 ? fwd->public_port : told->port;
    /* RFC 7239 section 6: an IPv6 node is quoted and in brackets. */
    struct str open = fwd->peer_is_v6 ? STR("\"[") : STR("");
    struct str shut = fwd->peer_is_v6 ? STR("]\"") : STR("");
    struct str peer = str_of(fwd->peer);
    to = str_put(to, STR("X-Forwarded-For: "));
    to = str_put(to, peer);
    to = str_put(to, told->via);
    to = str_put(to, STR("\r\nX-Forwarded-Host: "));
    to = str_put(to, host);
    to = str_put(to, STR("\r\nX-Forwarded-Proto: "));
    to = str_put(to, proto);
    to = str_put(to, STR("\r\nX-Forwarded-Port: "));
    to = u64_put(to, port);
    to = str_put(to, STR("\r\nForwarded: for="));
    to = str_put(to, open);
    to = str_put(to, peer);
    to = str_put(to, shut);
    to = str_put(to, STR(";host=\""));
    to = str_put(to, host);
    to = str_put(to, STR("\";proto="));
    to = str_put(to, proto);
    to = str_put(to, told->via_forwarded);
    return str_put(to, STR("\r\n"));
}

static char *put_request_line(char *to, const struct head *h, const struct head_forward *fwd)
{
    to = str_put(to, fwd->upgrade_from_h2 ? STR("GET") : h->method);
    to = str_put(str_put(to, STR(" ")), h->target);
    to = str_put(to, STR(" HTTP/1.1\r\n"));
    if (fwd->route->host_mode == ROUTE_HOST_REWRITE) {
        return put_number(to, STR("Host: localhost:"), fwd->route->port);
    }
    return put_line(to, STR("Host"), h->host_text);
}

static char *put_framing(char *to, const struct head *h, const struct head_forward *fwd)
{
    if (fwd->upgrade_from_h2) {
        to = str_put(to, STR("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
        return put_line(to, STR("Sec-WebSocket-Key"), str_of(fwd->ws_key));
    }
    if (h->wants_upgrade) {
        to = str_put(to, STR("Connection: Upgrade\r\n"));
        to = put_line(to, STR("Upgrade"), h->upgrade);
    } else if (h->te_trailers) {
        to = str_put(to, STR("Connection: TE\r\nTE: trailers\r\n"));
    }
    if (h->content_length != LENGTH_NONE) {
        return put_number(to, STR("Content-Length: "), (uint64_t)h->content_length);
    }
    if (fwd->has_body) {
        return str_put(to, STR("Transfer-Encoding: chunked\r\n"));
    }
    if (h->is_h2 && (str_eq(h->method, STR("POST")) || str_eq(h->method, STR("PUT")) ||
                     str_eq(h->method, STR("PATCH")))) {
        to = str_put(to, STR("Content-Length: 0\r\n")); /* RFC 9110 8.6 */
    }
    return to;
}

/* RFC 9113 8.2.3: cookie crumbs of HTTP/2 become one field again. */
static char *put_cookies(char *to, const struct head *h)
{
    bool first = true;
    for (uint32_t i = 0; i < h->count; i++) {
        if (str_eq_nocase(h->fields[i].name, STR("cookie"))) {
            to = str_put(to, first ? STR("Cookie: ") : STR("; "));
            to = str_put(to, h->fields[i].value);
            first = false;
        }
    }
    return first ? to : str_put(to, STR("\r\n"));
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
    char *start = wbuf_reserve(pool, out, room_of(h, fwd));
    if (start == NULL) {
        return;
    }
    char *to = put_request_line(start, h, fwd);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct head_field *f = &h->fields[i];
        if (!is_skipped(h, fwd, f->name)) {
            to = put_line(to, f->name, f->value);
        }
    }
    if (h->is_h2) {
        to = put_cookies(to, h);
    }
    if (h->max_forwards > 0) {
        to = put_number(to, STR("Max-Forwards: "), (uint64_t)h->max_forwards - 1);
    }
    to = put_forwarded(to, h, fwd);
    if (fwd->request_id.len > 0) {
        to = put_line(to, STR("X-Request-Id"), fwd->request_id);
    }
    /* RFC 9110 7.6.3, after those of proxies in front of us. */
    to = str_put(to, h->is_h2        ? STR("Via: 2 wos\r\n")
                     : h->minor == 0 ? STR("Via: 1.0 wos\r\n")
                                     : STR("Via: 1.1 wos\r\n"));
    to = str_put(put_framing(to, h, fwd), STR("\r\n"));
    wbuf_commit(out, (size_t)(to - start));
}

static void add_line(struct wbuf_pool *pool, struct wbuf *out, const struct head_field *f)
{
    char *start = wbuf_reserve(pool, out, f->name.len + f->value.len + 4);
    if (start != NULL) {
        wbuf_commit(out, (size_t)(put_line(start, f->name, f->value) - start));
    }
}

void head_write_trailers(struct wbuf_pool *pool, struct wbuf *out, const struct head *trailers)
{
    for (uint32_t i = 0; trailers != NULL && i < trailers->count; i++) {
        const struct head_field *f = &trailers->fields[i];
        if (head_trailer_allowed(f->name) && head_value_is_legal(f->value)) {
            add_line(pool, out, f);
        }
    }
    wbuf_add_str(pool, out, STR("\r\n"));
}
