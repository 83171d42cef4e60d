/* h2_memory: the memory of one nghttp2 session, and the only way to the session.
 *
 * Its blocks lie in one slot, which an idle session can do without: h2_memory_rest packs the slot
 * (most of it is zeros: a frame buffer of 16 KiB, a table of streams) and gives its pages back;
 * h2_memory_session puts every byte where it was before nghttp2 looks again. What does not fit the
 * slot has blocks of its own, which stay.
 *
 * All that a session has is this memory, so it is never deleted by nghttp2, which is not to be
 * relied on once an allocation of its failed: it may keep what it freed. A session that has
 * `failed` is not used again.
 *
 *     if (!h2_memory_init(&m)) …
 *     nghttp2_mem mem = h2_memory_functions(&m);
 *     nghttp2_session_server_new3(&m.session, callbacks, f, option, &mem);
 *     nghttp2_session_mem_recv(h2_memory_session(&m), data, len);
 *     h2_memory_rest(&m);
 *     h2_memory_end(&m);
 *
 * One thread; must not move.
 */
#ifndef WOS_GATEWAY_H2_MEMORY_H
#define WOS_GATEWAY_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

struct h2_outside;
struct h2_packed;
struct h2_slot;

struct h2_memory {
    nghttp2_session *session;   /* owned: set once; then see h2_memory_session */
    struct h2_slot *slot;       /* owned */
    struct h2_packed *packed;   /* owned: the slot's contents while it rests, else NULL */
    struct h2_outside *outside; /* owned */
    bool failed;
};

/* False when out of memory. */
bool h2_memory_init(struct h2_memory *m) __attribute__((warn_unused_result));
/* For nghttp2_session_server_new3 and _client_new3, which copy it. */
nghttp2_mem h2_memory_functions(struct h2_memory *m);
/* Ends the session, which there may not be, and all that is left of it. */
void h2_memory_end(struct h2_memory *m);

/* Not from inside a call of nghttp2. Where memory for the packed slot is missing it only stays as
 * it is. */
void h2_memory_rest(struct h2_memory *m);
void h2_memory_wake(struct h2_memory *m);
/* The session, awake until the next h2_memory_rest. */
static inline nghttp2_session *h2_memory_session(struct h2_memory *m)
{
    if (__builtin_expect(m->packed != NULL, 0)) {
        h2_memory_wake(m);
    }
    return m->session;
}

#endif
