/* head_h2: a checked request head as HTTP/2 fields for a service, and trailers.
 *
 * Fields live in the exchange's arena; nghttp2 copies them when they are submitted.
 */
#ifndef WOS_GATEWAY_HEAD_H2_H
#define WOS_GATEWAY_HEAD_H2_H

#include <nghttp2/nghttp2.h>

#include "gateway/head.h"

struct h2_fields {
    nghttp2_nv *items;
    size_t count;
};

/* The request for the service. With fwd->upgrade_from_h2 it is an extended CONNECT (RFC 8441). */
struct h2_fields head_to_h2(struct wbuf_pool *pool, struct arena *arena, const struct head *h,
                            const struct head_forward *fwd);
/* The trailer fields allowed, names in lower case. NULL gives none. */
struct h2_fields head_trailers_to_h2(struct arena *arena, const struct head *trailers);

#endif
