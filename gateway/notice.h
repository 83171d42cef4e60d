/* notice: what a worker has to tell the daemon: LINK_EVENT frames and the log
 * lines about secrets. A worker only posts; the main thread writes and sends.
 *
 *   {"event":"login","id":"<16 hex digits>","host","address","agent"}
 *   {"event":"logout","id"}           that login shall no longer count
 *   {"event":"seen","ids":[…]}        logins that requests came with: each at most once a minute
 *                                     (gateway/seen.h), all of a tick of a worker together
 *   {"event":"denied","host","address","why","missed"}
 *
 * `why` is "address" (not in the whitelist), "secret" (a wrong one), "wait"
 * (tried while having to wait) or "origin" (a change asked for by another
 * site's page). A worker sends at most NOTICE_DENIED_PER_SECOND of the last
 * kind; "missed" counts those it left out since the one before.
 * Each wrong secret is one line of the gateway's log; of the tries that a client
 * makes while it has to wait, the first, second, fourth … is one, with that
 * number: nobody can fill the log. docs/SECURITY.md has their forms, which
 * fail2ban reads. Worker threads.
 */
#ifndef WOS_GATEWAY_NOTICE_H
#define WOS_GATEWAY_NOTICE_H

#include <stdint.h>

#include "base/str.h"
#include "gateway/exchange.h"

enum { NOTICE_DENIED_PER_SECOND = 10, NOTICE_AGENT_MAX = 200, NOTICE_SEEN_MAX = 64 };

enum notice_why { NOTICE_ADDRESS, NOTICE_SECRET, NOTICE_WAIT, NOTICE_ORIGIN };

void notice_login(struct exchange *x, uint64_t id);
void notice_logout(struct exchange *x, uint64_t id);
/* A request came with this login. Costs no system call: the tick tells, see notice_on_tick. */
void notice_seen(struct worker *w, uint64_t id);
void notice_on_tick(struct worker *w);
/* What a worker that ends has kept. */
void notice_fini(struct worker *w);
void notice_denied(struct exchange *x, enum notice_why why);
/* Tried while having to wait, for the `count`th time in this wait. */
void notice_refused(struct exchange *x, uint32_t count);

#endif
