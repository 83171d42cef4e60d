/* view: a worker's private handle on the present snapshot and its certificates.
 *
 * Counted with plain integers by the one worker that has it: looking a route
 * up costs no lock and no atomic. An exchange pins the view it matched its
 * route in; the view goes with its last pin after a newer one replaced it.
 */
#ifndef WOS_GATEWAY_VIEW_H
#define WOS_GATEWAY_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mail.h"
#include "certs/certset.h"
#include "gateway/quota.h"
#include "routing/snapshot.h"

struct view {
    uint32_t pins;             /* this worker only */
    struct snapshot *snapshot; /* shared */
    struct certset *certs;     /* shared; NULL without TLS */
    SSL_CTX *client;           /* shared: checks services' certificates; NULL without CAs */
    struct quota_set *quotas;  /* shared; NULL without limits per route */
    bool needs_review;         /* gateway/review.h: true until its maker knows better */
    struct mailbox *home;      /* borrowed: whose owner frees it, which takes a while with many
                                  routes; NULL: the worker does */
    struct mail_letter letter; /* to it */
};

/* With a reference of its own on each, all but the snapshot may be NULL; pinned once, for the
 * worker. NULL when out of memory. */
struct view *view_new(struct snapshot *snapshot, struct certset *certs, SSL_CTX *client,
                      struct quota_set *quotas);
struct view *view_pin(struct view *view);
void view_unpin(struct view *view);

#endif
