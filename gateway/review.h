/* review: what is under way is judged again when a new snapshot is taken.
 *
 * A WebSocket or a long answer may outlive what let it in. With each snapshot the worker asks all
 * its exchanges that are with a service: is there still a route of that name for that service, does
 * its whitelist have the client, would its secret or login still open it? Judged by the functions
 * that judge a new request (routing/policy.h, gateway/access.h). Where the answer is no, the
 * exchange ends: with a refusal (404, 403, 401) if no head was sent yet, else cut, which
 * in HTTP/2 is RST_STREAM with CANCEL. A route that is starting or stopped ends nothing: its
 * service does that itself. The worker's thread.
 *
 * A snapshot that only adds routes, or changes where they lead, need not be reviewed: the
 * gateway's main thread finds that out once, for all workers (routing/narrowing.h).
 */
#ifndef WOS_GATEWAY_REVIEW_H
#define WOS_GATEWAY_REVIEW_H

struct exchange;
struct worker;

/* Every client connection of a worker that has just taken a view. */
void review_worker(struct worker *w);
/* For fronts, told by CONN_REVIEW. x may be finished when it returns. */
void review_exchange(struct exchange *x);

#endif
