/* login: signing in to the web UI by its public name, tunnel.webUi, and out again.
 *
 * A device that gave the secret, or came by a one-time link, has a cookie: `__Host-wos_public_auth`
 * (HttpOnly, Secure, SameSite=Lax, for this host name alone) where the public side is HTTPS, else
 * `wos_public_auth`. daemon/web_logins.h keeps who is signed in. Wrong secrets and wrong links are
 * slowed down by address and in all, as at the edge (gateway/throttle.h). One thread: the
 * daemon's loop.
 */
#ifndef WOS_DAEMON_API_LOGIN_H
#define WOS_DAEMON_API_LOGIN_H

#include <stdbool.h>

#include "base/str.h"

struct api_request;
struct daemon;
struct login;

struct login *login_new(struct daemon *d);
void login_free(struct login *l);

/* True where there is a secret to sign in with: tunnel.webUi, or a web.host beyond loopback. */
bool login_is_offered(const struct daemon *d);
/* True when the request's cookie is one of a device that is signed in; r->login is its id then. */
bool login_check(struct api_request *r);

/* The value of cookie number `index` of that name in a Cookie header (NULL: none); false when there
 * are not so many. For tests too. */
bool login_cookie(const char *cookies, struct str name, unsigned index, struct str *out_value);

#endif
