/* account: what an exchange leaves behind: counters and a line of the access log.
 *
 * exchange_finish calls account_exchange, once for each exchange; whoever turns a connection away
 * before its first request calls account_refusal. The worker's thread.
 */
#ifndef WOS_GATEWAY_ACCOUNT_H
#define WOS_GATEWAY_ACCOUNT_H

#include <sys/socket.h>

#include "gateway/counters.h"

struct exchange;
struct worker;

void account_exchange(struct exchange *x);
/* Counts, and writes a line unless there were REFUSALS_PER_SECOND in this second. `detail`: one
 * short text or NULL. */
void account_refusal(struct worker *w, const struct sockaddr *peer, enum refused_reason reason,
                     const char *detail);
/* What went wrong with the service of x, counted by kind. */
void account_upstream_fault(struct exchange *x, uint16_t status, const char *text);

#endif
