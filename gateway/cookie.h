/* cookie: the gateway's own cookie, which remembers that a browser knows the
 * secret of a route (gateway/access.h).
 *
 * Its name is `__Host-wos-access` over TLS, which browsers store only when it
 * is Secure, without Domain and with Path=/, so that no sibling name can set
 * it; without TLS it is `wos-access`. Its value is 57 bytes in base64url
 * (RFC 4648 section 5, no padding): version (1), login id (8), issued at and
 * expires at (8 each, seconds, big-endian) and HMAC-SHA256 under the
 * snapshot's access key over a purpose, the exact host, those bytes and the
 * digest of the secret. So it ends with its time, with another key, with
 * another secret, with its id being revoked, and on any other host.
 *
 * Both names belong to the gateway, on every route: neither reaches a
 * service, and no service can set them. Pure functions, any thread.
 */
#ifndef WOS_GATEWAY_COOKIE_H
#define WOS_GATEWAY_COOKIE_H

#include "gateway/head.h"

enum {
    COOKIE_TEXT = 76, /* characters of a value */
    COOKIE_SECONDS = 30 * 24 * 3600,
    COOKIE_SKEW_SECONDS = 300, /* how far ahead the clock that issued may have been */
    COOKIE_CANDIDATES_MAX = 16,
};

struct cookie {
    uint64_t id; /* random, never 0 */
    uint64_t issued_s;
    uint64_t expires_s;
};

/* "__Host-wos-access" or "wos-access" */
struct str cookie_name(bool tls);
/* Writes the value, NUL-terminated. host is a host_parse()d name. False: out of memory. */
bool cookie_make(const struct snapshot_access *access, struct str host, const struct cookie *cookie,
                 char out[COOKIE_TEXT + 1]);
/* False for anything but a value that counts now, and without memory; *out_cookie is then
 * untouched. */
bool cookie_verify(const struct snapshot_access *access, struct str host, struct str value,
                   uint64_t now_s, struct cookie *out_cookie);
/* Of a cookie that was verified with the same key and secret: does its login still count? */
bool cookie_counts(const struct snapshot_access *access, const struct cookie *cookie,
                   uint64_t now_s);
/* Looks at every cookie of that name (at most COOKIE_CANDIDATES_MAX of the right length): other
 * names of the domain may have set some in front of ours. True with the first that counts. */
bool cookie_find(const struct head *request, bool tls, const struct snapshot_access *access,
                 struct str host, uint64_t now_s, struct cookie *out_cookie);
/* Takes cookies of both names out of the Cookie fields; the rest stays byte for byte. */
void cookie_strip(struct head *request, struct arena *arena);
/* Drops Set-Cookie fields of both names. */
void cookie_strip_set(struct head *response);

#endif
