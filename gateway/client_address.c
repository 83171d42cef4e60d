/* client_address: see client_address.h. Called once a request, by exchange.c;
 * only where the peer is a trusted proxy is anything read. */
#include "gateway/client_address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"

enum { NODE_MAX = 80, ELEMENTS_MAX = 256 };

/* The walk from our own peer towards the client. */
struct walk {
    const struct peer_list *trusted;
    struct sockaddr_in6 at;                    /* as far as it got */
    struct sockaddr_in6 hops[CLIENT_HOPS_MAX]; /* trusted ones passed, our peer first */
    size_t hop_count;
    bool done;
};

/* One element of Forwarded; empty parts were not given. */
struct element {
    struct str node;
    struct str host;
    struct str proto;
};

static const struct sockaddr *as_sockaddr(const struct sockaddr_in6 *address)
{
    return (const struct sockaddr *)(const void *)address;
}

static bool ip_read(int family, struct str text, struct sockaddr_in6 *out)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) != NULL) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (family == AF_INET6) {
        if (inet_pton(AF_INET6, copy, &v6.sin6_addr) != 1) {
            return false;
        }
        *out = v6;
        return true;
    }
    if (inet_pton(AF_INET, copy, &v4.sin_addr) != 1) {
        return false;
    }
    *out = (struct sockaddr_in6){.sin6_port = 0};
    memcpy(out, &v4, sizeof v4);
    return true;
}

/* ":80", or RFC 7239's ":_name"; nothing at all is fine too. */
static bool is_port(struct str text)
{
    uint16_t port;
    if (text.len == 0) {
        return true;
    }
    struct str rest = {text.ptr + 1, text.len - 1};
    if (text.ptr[0] != ':') {
        return false;
    }
    return str_to_u16(rest, &port) || (rest.len > 1 && rest.ptr[0] == '_' && head_is_token(rest));
}

bool client_address_parse(struct str text, struct sockaddr_in6 *out)
{
    if (text.len == 0 || text.len > NODE_MAX) {
        return false;
    }
    struct sockaddr_in6 found;
    if (text.ptr[0] == '[') {
        size_t end = str_find(text, ']');
        if (end == text.len || !is_port((struct str){text.ptr + end + 1, text.len - end - 1}) ||
            !ip_read(AF_INET6, (struct str){text.ptr + 1, end - 1}, &found)) {
            return false;
        }
        *out = found;
        return true;
    }
    size_t colon = str_find(text, ':');
    bool bare_v6 =
        colon < text.len && memchr(text.ptr + colon + 1, ':', text.len - colon - 1) != NULL;
    struct str address = {text.ptr, bare_v6 ? text.len : colon};
    if (!ip_read(bare_v6 ? AF_INET6 : AF_INET, address, &found) ||
        (!bare_v6 && !is_port((struct str){text.ptr + colon, text.len - colon}))) {
        return false;
    }
    *out = found;
    return true;
}

/* One address further, told by the one we stand at, which is trusted. */
static void walk_step(struct walk *walk, struct str node)
{
    struct sockaddr_in6 next;
    if (walk->hop_count == CLIENT_HOPS_MAX || !client_address_parse(node, &next)) {
        walk->done = true;
        return;
    }
    walk->hops[walk->hop_count++] = walk->at;
    walk->at = next;
    walk->done = !peer_list_has(walk->trusted, as_sockaddr(&next));
}

/* ---- X-Forwarded-For: a plain list ---- */

static void walk_list(struct walk *walk, struct str list)
{
    while (!walk->done) {
        size_t comma = list.len;
        while (comma > 0 && list.ptr[comma - 1] != ',') {
            comma--;
        }
        struct str last = str_trim((struct str){list.ptr + comma, list.len - comma});
        walk_step(walk, last);
        if (comma == 0) {
            return;
        }
        list.len = comma - 1;
    }
}

/* ---- Forwarded (RFC 7239 section 4) ---- */

static void skip_space(struct str *s)
{
    while (s->len > 0 && (s->ptr[0] == ' ' || s->ptr[0] == '\t')) {
        s->ptr++;
        s->len--;
    }
}

static struct str take_token(struct str *s)
{
    size_t len = 0;
    while (len < s->len && head_is_token((struct str){s->ptr + len, 1})) {
        len++;
    }
    struct str token = {s->ptr, len};
    s->ptr += len;
    s->len -= len;
    return token;
}

/* A quoted-string, its text unescaped into the arena; false when it does not end. */
static bool take_quoted(struct str *s, struct arena *arena, struct str *out)
{
    char *text = arena_try_alloc(arena, s->len); /* no longer than a head may be */
    if (text == NULL) {
        return false;
    }
    size_t len = 0;
    for (size_t i = 1; i < s->len; i++) {
        if (s->ptr[i] == '"') {
            *out = (struct str){text, len};
            s->ptr += i + 1;
            s->len -= i + 1;
            return true;
        }
        if (s->ptr[i] == '\\' && ++i == s->len) {
            return false;
        }
        text[len++] = s->ptr[i];
    }
    return false;
}

/* One parameter; false when it is malformed or was given before. */
static bool take_pair(struct str *s, struct arena *arena, struct element *e)
{
    struct str name = take_token(s);
    struct str value = STR_NONE;
    if (name.len == 0 || s->len == 0 || s->ptr[0] != '=') {
        return false;
    }
    s->ptr++;
    s->len--;
    if (s->len > 0 && s->ptr[0] == '"') {
        if (!take_quoted(s, arena, &value)) {
            return false;
        }
    } else {
        value = take_token(s);
    }
    struct str *slot = str_eq_nocase(name, STR("for"))     ? &e->node
                       : str_eq_nocase(name, STR("host"))  ? &e->host
                       : str_eq_nocase(name, STR("proto")) ? &e->proto
                                                           : NULL;
    if (slot != NULL && slot->len > 0) {
        return false;
    }
    if (slot != NULL) {
        *slot = value;
    }
    return value.len > 0;
}

/* The elements of one field; false when any of it is malformed: what a quote swallowed, nobody
 * knows. */
static bool elements_read(struct str s, struct arena *arena, struct element *out, size_t *out_count)
{
    size_t count = 0;
    struct element e = {0};
    for (;;) {
        skip_space(&s);
        if (!take_pair(&s, arena, &e)) {
            return false;
        }
        skip_space(&s);
        if (s.len > 0 && s.ptr[0] == ';') {
            s.ptr++;
            s.len--;
            continue;
        }
        if (count == ELEMENTS_MAX || (s.len > 0 && s.ptr[0] != ',')) {
            return false;
        }
        out[count++] = e;
        e = (struct element){0};
        if (s.len == 0) {
            *out_count = count;
            return true;
        }
        s.ptr++;
        s.len--;
    }
}

/* The host and proto of the last element walked to: its proxy got the request that way. */
static void walk_elements(struct walk *walk, struct str value, struct arena *arena,
                          struct head_told *told)
{
    struct element *elements = arena_try_alloc(arena, ELEMENTS_MAX * sizeof *elements);
    size_t count;
    if (elements == NULL || !elements_read(value, arena, elements, &count)) {
        walk->done = true;
        return;
    }
    while (count > 0 && !walk->done) {
        struct element *e = &elements[--count];
        if (e->node.len > 0 && e->node.ptr[0] != '[' &&
            memchr(e->node.ptr, ':', e->node.len) != NULL &&
            memchr(e->node.ptr, '.', e->node.len) == NULL) {
            e->node.len = 0; /* IPv6 without brackets is none in this grammar */
        }
        walk_step(walk, e->node);
        struct host host;
        told->host = host_parse(e->host, &host) ? e->host : STR_NONE;
        told->proto = str_eq_nocase(e->proto, STR("https"))  ? "https"
                      : str_eq_nocase(e->proto, STR("http")) ? "http"
                                                             : NULL;
    }
}

/* ---- both ---- */

/* The last part of the last such field: what our own peer said. */
static struct str last_value(const struct head *h, struct str name)
{
    for (uint32_t i = h->count; i > 0; i--) {
        const struct head_field *f = &h->fields[i - 1];
        if (str_eq_nocase(f->name, name)) {
            size_t start = f->value.len;
            while (start > 0 && f->value.ptr[start - 1] != ',') {
                start--;
            }
            return str_trim((struct str){f->value.ptr + start, f->value.len - start});
        }
    }
    return STR_NONE;
}

/* X-Forwarded-Proto, -Host and -Port count whatever told the addresses. */
static void read_details(const struct head *h, struct head_told *told)
{
    struct str proto = last_value(h, STR("x-forwarded-proto"));
    struct str name = last_value(h, STR("x-forwarded-host"));
    struct host host;
    uint16_t port;
    if (str_eq_nocase(proto, STR("https")) || str_eq_nocase(proto, STR("http"))) {
        told->proto = proto.len == 5 ? "https" : "http";
    }
    if (host_parse(name, &host)) {
        told->host = name;
    }
    if (str_to_u16(last_value(h, STR("x-forwarded-port")), &port) && port > 0) {
        told->port = port;
    }
}

static void walk_fields(struct walk *walk, const struct head *h, struct arena *arena,
                        struct head_told *told)
{
    bool plain = head_find(h, STR("x-forwarded-for")) != NULL;
    struct str name = plain ? STR("x-forwarded-for") : STR("forwarded");
    for (uint32_t i = h->count; i > 0 && !walk->done; i--) {
        const struct head_field *f = &h->fields[i - 1];
        if (!str_eq_nocase(f->name, name)) {
            continue;
        }
        if (plain) {
            walk_list(walk, f->value);
        } else {
            walk_elements(walk, f->value, arena, told);
        }
    }
}

/* The proxies between the client and us, nearest to the client first. */
static void write_via(const struct walk *walk, struct arena *arena, struct head_told *told)
{
    enum { PIECE = INET6_ADDRSTRLEN + 12 };
    size_t cap = walk->hop_count * PIECE + 1;
    char *via = arena_try_alloc(arena, cap);
    char *forwarded = arena_try_alloc(arena, cap);
    if (via == NULL || forwarded == NULL) {
        return;
    }
    size_t via_len = 0;
    size_t forwarded_len = 0;
    for (size_t i = walk->hop_count; i > 0; i--) {
        char text[INET6_ADDRSTRLEN];
        peer_format(as_sockaddr(&walk->hops[i - 1]), text, sizeof text);
        bool v6 = strchr(text, ':') != NULL;
        via_len += (size_t)snprintf(via + via_len, cap - via_len, ", %s", text);
        forwarded_len += (size_t)snprintf(forwarded + forwarded_len, cap - forwarded_len,
                                          ", for=%s%s%s", v6 ? "\"[" : "", text, v6 ? "]\"" : "");
    }
    told->via = (struct str){via, via_len};
    told->via_forwarded = (struct str){forwarded, forwarded_len};
}

bool client_address_find(const struct head *request, const struct peer_list *trusted,
                         const struct sockaddr *peer, struct arena *arena,
                         struct sockaddr_in6 *out_client, struct head_told *out_told)
{
    if (trusted->count == 0 || peer == NULL || !peer_list_has(trusted, peer)) {
        return false;
    }
    struct walk walk = {.trusted = trusted};
    memcpy(&walk.at, peer,
           peer->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof walk.at);
    struct head_told told = {.host = STR_NONE};
    walk_fields(&walk, request, arena, &told);
    read_details(request, &told);
    write_via(&walk, arena, &told);
    *out_client = walk.at;
    *out_told = told;
    return true;
}
