/* h2_memory: the memory of one nghttp2 session.
 *
 * nghttp2 is not to be relied on once an allocation of its failed: it may keep what it freed. So
 * its blocks are in a list, and a session that has `failed` is not used again, nor deleted by
 * nghttp2: its blocks are freed one by one. One thread; freed by h2_memory_end, once.
 */
#ifndef WOS_GATEWAY_H2_MEMORY_H
#define WOS_GATEWAY_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

struct h2_block;

struct h2_memory {
    nghttp2_mem mem; /* for nghttp2_session_server_new3; `m` must not move */
    struct h2_block *blocks;
    bool failed;
};

void h2_memory_init(struct h2_memory *m);
/* Ends the session, which may be NULL, and all that is left of it. */
void h2_memory_end(struct h2_memory *m, nghttp2_session *session);

#endif
