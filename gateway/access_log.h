/* access_log: a worker's lines on their way to the main thread, which writes them.
 *
 * A ring of chunks between one worker (reserve, commit, publish) and the main
 * thread (next, done): no lock, no allocation per line, and the worker never waits.
 * While the main thread keeps up, one or two chunks serve in turn.
 * When the main thread is ACCESS_CHUNKS behind, lines are dropped and counted.
 *
 * Life cycle: the gateway makes one per worker before the worker starts and frees it after
 * worker_free, when everything in it was written.
 */
#ifndef WOS_GATEWAY_ACCESS_LOG_H
#define WOS_GATEWAY_ACCESS_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "gateway/access_line.h"

enum {
    ACCESS_CHUNKS = 16,
    ACCESS_CHUNK = 64 * 1024, /* handed over when it has so many bytes, or at the tick */
};

struct access_log {
    char *chunks[ACCESS_CHUNKS]; /* owned; made when first used */
    size_t lens[ACCESS_CHUNKS];
    uint32_t produced;         /* atomic: chunks handed over by the worker */
    uint32_t consumed;         /* atomic: … given back by the main thread */
    size_t len;                /* of the chunk being filled; the worker's */
    bool enabled;              /* atomic: set by the main thread */
    uint64_t dropped;          /* atomic: lines for which there was no room */
    void (*notify)(void *arg); /* a chunk was handed over; in the worker's thread */
    void *notify_arg;          /* borrowed */
};

struct access_log *access_log_new(void (*notify)(void *arg), void *arg);
void access_log_free(struct access_log *log);

/* The worker's side. */
static inline bool access_log_is_on(const struct access_log *log)
{
    return log != NULL && __atomic_load_n(&log->enabled, __ATOMIC_RELAXED);
}
/* Room for a line of ACCESS_LINE_MAX bytes; NULL: it is dropped, and counted. */
char *access_log_reserve(struct access_log *log);
/* `len` bytes of it were filled with one line. */
void access_log_commit(struct access_log *log, size_t len);
/* Hands over what there is. */
void access_log_publish(struct access_log *log);

/* The main thread's side. */
void access_log_enable(struct access_log *log, bool on);
/* The oldest chunk not written; false when there is none. */
bool access_log_next(struct access_log *log, struct str *out_chunk);
void access_log_done(struct access_log *log);

#endif
