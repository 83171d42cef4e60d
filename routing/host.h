/* host: the one parser and comparer of host names and Host header values.
 *
 * Accepts what RFC 9110 section 7.2 and RFC 3986 section 3.2.2 allow of a
 * name this gateway can serve: reg-name of LDH labels (underscore allowed:
 * services have such names), IPv4, bracketed IPv6; optional ":port" 1..65535
 * (an empty port after the colon is allowed by RFC 3986 and means none). One
 * trailing dot is dropped. Everything else is refused: empty, user info,
 * percent escapes, control bytes, labels > 63, names > 253.
 */
#ifndef WOS_ROUTING_HOST_H
#define WOS_ROUTING_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { HOST_MAX = 255 };

struct host {
    char name[HOST_MAX + 1]; /* lower-case, NUL-terminated, brackets kept, no trailing dot */
    uint8_t len;
    bool is_ip;
    uint16_t port; /* 0: none given */
};

/* False when not a legal Host value; *out is then untouched. */
bool host_parse(struct str value, struct host *out);
/* True for the one spelling that host_parse gives as a name: lower-case, canonical, without a port
 * or a dot at the end. */
bool host_is_canonical(struct str name);
/* Hash and equality for lower-case names. */
uint64_t host_hash(struct str name);
/* True if `name` is `suffix` or ends in "." + suffix; both lower-case. */
bool host_is_under(struct str name, struct str suffix);
/* A DNS label from any text: lower-case, every other byte than [a-z0-9-] to
 * '-', runs collapsed, '-' trimmed; empty gives `fallback`. malloc'ed. */
char *host_label_sanitise(struct str text, const char *fallback);
/* "<worktree>[N]-<service>[-<port>]": at most 63 octets; longer is cut and ends in
 * '-' and 6 hex digits of the SHA-256 of the whole. `attempt` 1 adds no number; port 0 adds none.
 * Inputs already sanitised. malloc'ed. */
char *host_service_label(const char *worktree, unsigned attempt, const char *service,
                         uint16_t port);
/* A domain fit for tunnel.domain: LDH labels, at least one dot or a single label, <= 253. */
bool host_is_domain(struct str name);

#endif
