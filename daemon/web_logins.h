/* web_logins: the devices that are signed in to the web UI by its public name (tunnel.webUi).
 *
 * A device has a random token in a cookie; here is only the token's SHA-256, in H/web/logins.json
 * (0600), the newest WEB_LOGINS_MAX. A device is signed in until WEB_LOGINS_DAYS are over, it
 * signs out, somebody revokes it, or tunnel.webUi.secret changes, which ends all of them. What
 * cannot be read of the file counts as nobody signed in. One thread: the daemon's loop; blocks on
 * that small file.
 */
#ifndef WOS_DAEMON_WEB_LOGINS_H
#define WOS_DAEMON_WEB_LOGINS_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

enum {
    WEB_LOGINS_MAX = 200,
    WEB_LOGINS_DAYS = 30,
    WEB_LOGIN_AGENT_MAX = 200,
    WEB_LOGIN_ID = 16, /* hex digits */
};

struct web_logins;

struct web_logins *web_logins_new(struct loop *loop, const char *home);
/* Writes what is not written yet. */
void web_logins_free(struct web_logins *l);

/* Signs a device in; the cookie's value, malloc'ed, or NULL: it cannot be kept. `address` and
 * `agent` are the client's own words and cut and cleaned. */
char *web_logins_add(struct web_logins *l, const char *secret, const char *address,
                     const char *agent, int64_t now_ms, struct err *err);
/* The id behind a cookie's value, or NULL. `secret` is today's: with another one than at the last
 * call nobody is signed in any more. Borrowed until the next call. now_ms: wall clock. */
const char *web_logins_find(struct web_logins *l, const char *secret, struct str token,
                            int64_t now_ms);

/* ERR_NOT_FOUND: nobody has the id. Other errors: it may come back with the next daemon. */
int web_logins_revoke(struct web_logins *l, const char *id, struct err *err);
int web_logins_revoke_all(struct web_logins *l, struct err *err);

/* [{"id","address","userAgent","createdAt","lastSeenAt","expiresAt","current"}], newest first.
 * `current` may be NULL. */
cJSON *web_logins_json(const struct web_logins *l, const char *current);

#endif
