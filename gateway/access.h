/* access: the door of routes that need the secret (POLICY_SECRET).
 *
 * Asked for every request after its address was found allowed and before
 * anything else is told about the route. A request passes
 *
 *   - with `X-Wos-Secret: <secret>`, for scripts; or
 *   - with a cookie of gateway/cookie.h. What is not GET or HEAD then needs an
 *     Origin of its own host (gateway/origin.h), a WebSocket always, else 403.
 *
 * Everybody else gets a login page with status 401 (a line or an object where
 * Accept asks for that), whatever the state of the route. It has a form for
 * POST /.wos/login with the fields `secret` and `next`; the right secret is
 * answered with 303 to `next` and the cookie, a wrong one with the page again.
 * That POST needs an own Origin too, so that no other site can log a browser
 * in or guess through it. POST /.wos/logout forgets the cookie and has the
 * login revoked. Secrets are read from nowhere else: never from a query.
 * Failed tries are bounded (gateway/throttle.h), logged and told to the daemon
 * (gateway/notice.h).
 *
 * A 401 of ours has no WWW-Authenticate (RFC 9110 15.5.2 wants one): it would
 * name a scheme for Authorization, which belongs to the service.
 *
 * On every route, whatever its policy, X-Wos-Secret and the gateway's cookies
 * are taken out before the request goes on. The worker's thread.
 */
#ifndef WOS_GATEWAY_ACCESS_H
#define WOS_GATEWAY_ACCESS_H

#include "gateway/exchange.h"

enum { ACCESS_SECRET_MAX = SNAPSHOT_SECRET_MAX };

/* x->route is set. True: go on to the service. False: x was answered, and may be finished, or
 * its body is being read for an answer. */
bool access_admit(struct exchange *x, const struct policy *policy);
/* An exchange that was admitted, under a newer snapshot's secret, key, revoked logins and policy:
 * would it still be? False, too, for one that came when the route was public. */
bool access_still_admits(const struct exchange *x, const struct snapshot_access *access,
                         const struct policy *policy);

#endif
