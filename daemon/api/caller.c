/* caller: see caller.h. Called by api.c for every request of the web listener and by login.c. */
#include "daemon/api/caller.h"

#include <arpa/inet.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "daemon/api/access.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"

int caller_descriptor(const struct api_request *r)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(r->http);
    return conn == NULL ? -1 : bufferevent_getfd(evhttp_connection_get_bufferevent(conn));
}

/* An IPv4 client of an IPv6 socket is an IPv4 client. */
static void unmap(struct sockaddr_storage *address)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
    if (address->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        return;
    }
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = v6->sin6_port};
    memcpy(&v4.sin_addr, v6->sin6_addr.s6_addr + 12, sizeof v4.sin_addr);
    *address = (struct sockaddr_storage){0};
    memcpy(address, &v4, sizeof v4);
}

/* `out` has room for INET6_ADDRSTRLEN bytes. */
static void address_text(const struct sockaddr_storage *address, char *out)
{
    const void *bytes =
        address->ss_family == AF_INET
            ? (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr
            : (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    out[0] = '\0';
    if (address->ss_family == AF_INET || address->ss_family == AF_INET6) {
        (void)inet_ntop(address->ss_family, bytes, out, INET6_ADDRSTRLEN);
    }
}

/* The gateway puts the client first, whoever came with it (gateway/head_write.c). */
static void take_forwarded(const struct api_request *r, struct caller *out)
{
    const char *list = request_header(r, "X-Forwarded-For");
    const char *proto = request_header(r, "X-Forwarded-Proto");
    struct str rest = list == NULL ? STR("") : str_of(list);
    struct str first = STR("");
    *out = (struct caller){.is_tls = proto != NULL && strcmp(proto, "https") == 0};
    (void)str_next(&rest, ',', &first);
    first = str_trim(first);
    if (first.len == 0 || first.len >= sizeof out->text) {
        return;
    }
    (void)snprintf(out->text, sizeof out->text, "%.*s", STR_ARG(first));
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&out->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&out->address;
    if (inet_pton(AF_INET, out->text, &v4->sin_addr) == 1) {
        out->address.ss_family = AF_INET;
    } else if (inet_pton(AF_INET6, out->text, &v6->sin6_addr) == 1) {
        out->address.ss_family = AF_INET6;
    } else {
        out->text[0] = '\0';
    }
}

bool caller_ends(const struct api_request *r, struct sockaddr_storage *out_there,
                 struct sockaddr_storage *out_here)
{
    struct sockaddr_storage there = {0};
    struct sockaddr_storage here = {0};
    socklen_t there_len = sizeof there;
    socklen_t here_len = sizeof here;
    int fd = caller_descriptor(r);
    if (fd < 0 || getpeername(fd, (struct sockaddr *)&there, &there_len) < 0 ||
        getsockname(fd, (struct sockaddr *)&here, &here_len) < 0) {
        return false;
    }
    unmap(&there);
    unmap(&here);
    *out_there = there;
    *out_here = here;
    return true;
}

bool caller_is_loopback(const struct api_request *r)
{
    struct sockaddr_storage there = {0};
    struct sockaddr_storage here;
    char text[INET6_ADDRSTRLEN];
    (void)caller_ends(r, &there, &here); /* family 0 then: "" */
    address_text(&there, text);
    return access_is_loopback(text);
}

struct caller caller_of(const struct api_request *r)
{
    struct caller out = {.is_tls = r->d->config->web_ssl.enabled};
    struct sockaddr_storage here;
    (void)caller_ends(r, &out.address, &here); /* family 0 then */
    address_text(&out.address, out.text);
    if (r->is_forwarded) {
        take_forwarded(r, &out);
    }
    return out;
}

bool caller_page_is_ours(const struct api_request *r)
{
    struct caller caller = caller_of(r);
    return access_origin_is_ours(request_header(r, "Origin"), request_header(r, "Host"),
                                 caller.is_tls) &&
           access_fetch_is_ours(request_header(r, "Sec-Fetch-Site"));
}

const struct sockaddr *caller_sockaddr(const struct caller *c)
{
    return c->address.ss_family == 0 ? NULL : (const struct sockaddr *)(const void *)&c->address;
}

void caller_local_address(const struct api_request *r, char *out)
{
    struct sockaddr_storage there;
    struct sockaddr_storage here = {0};
    (void)caller_ends(r, &there, &here); /* family 0 then: "" */
    address_text(&here, out);
}
