/* access: see access.h. Called by api.c for every request of the web listener: local is not
 * trusted because it is local. */
#include "daemon/api/access.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"
#include "routing/host.h"

bool access_is_loopback(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    return strcmp(host, "::1") == 0 || strcmp(host, "[::1]") == 0 || strcmp(host, "localhost") == 0;
}

/* What a listener that the network reaches is called: the address the connection came to, never a
 * name that somebody else's DNS could lead here. */
static bool is_own_address(const struct host *host, const char *here)
{
    struct str name = {host->name, host->len};
    if (name.len > 1 && name.ptr[0] == '[') {
        name = (struct str){name.ptr + 1, name.len - 2};
    }
    return access_is_loopback(host->name) || (host->is_ip && str_eq(name, str_of(here)));
}

enum access_who access_classify(const struct config *c, const char *host, const char *here)
{
    struct host parsed;
    if (host == NULL || !host_parse(str_of(host), &parsed)) {
        return ACCESS_NOBODY;
    }
    if (c->web_ui_hostname != NULL && strcmp(parsed.name, c->web_ui_hostname) == 0) {
        return ACCESS_PUBLIC;
    }
    if (c->web_is_exposed) {
        return is_own_address(&parsed, here) ? ACCESS_EXPOSED : ACCESS_NOBODY;
    }
    return access_is_loopback(parsed.name) ? ACCESS_LOCAL : ACCESS_NOBODY;
}

bool access_origin_is_ours(const char *origin, const char *host, bool is_tls)
{
    if (origin == NULL) {
        return true;
    }
    struct str scheme = is_tls ? STR("https://") : STR("http://");
    struct host from;
    struct host to;
    if (!str_starts(str_of(origin), scheme) || host == NULL ||
        !host_parse(str_of(origin + scheme.len), &from) || !host_parse(str_of(host), &to)) {
        return false; /* "null" too: a sandboxed page is nobody's */
    }
    uint16_t usual = is_tls ? 443 : 80;
    uint16_t from_port = from.port != 0 ? from.port : usual;
    uint16_t to_port = to.port != 0 ? to.port : usual;
    return from_port == to_port && strcmp(from.name, to.name) == 0;
}

bool access_fetch_is_ours(const char *site)
{
    return site == NULL || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0;
}
