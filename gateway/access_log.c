/* access_log: see access_log.h. */
#include "gateway/access_log.h"

#include <stdlib.h>

#include "base/auto.h"

struct access_log *access_log_new(void (*notify)(void *arg), void *arg)
{
    struct access_log *log = xcalloc(1, sizeof *log);
    log->notify = notify;
    log->notify_arg = arg;
    return log;
}

void access_log_free(struct access_log *log)
{
    if (log == NULL) {
        return;
    }
    for (size_t i = 0; i < ACCESS_CHUNKS; i++) {
        free(log->chunks[i]);
    }
    free(log);
}

/* Everything was written: fills again what was filled last, which is in the cache, while the other
 * chunks' pages stay untouched. The main thread looks at no chunk until the next is handed over. */
static void take_last(struct access_log *log)
{
    char **next = &log->chunks[log->produced % ACCESS_CHUNKS];
    char **last = &log->chunks[(log->produced - 1) % ACCESS_CHUNKS];
    char *chunk = *last;
    *last = *next;
    *next = chunk;
}

char *access_log_reserve(struct access_log *log)
{
    uint32_t produced = log->produced;
    uint32_t behind = produced - __atomic_load_n(&log->consumed, __ATOMIC_ACQUIRE);
    if (behind == ACCESS_CHUNKS) {
        __atomic_store_n(&log->dropped, log->dropped + 1, __ATOMIC_RELAXED);
        return NULL;
    }
    if (behind == 0 && log->len == 0) {
        take_last(log);
    }
    char **chunk = &log->chunks[produced % ACCESS_CHUNKS];
    if (*chunk == NULL) {
        *chunk = try_alloc(ACCESS_CHUNK + ACCESS_LINE_MAX);
    }
    if (*chunk == NULL) {
        __atomic_store_n(&log->dropped, log->dropped + 1, __ATOMIC_RELAXED);
        return NULL;
    }
    return *chunk + log->len;
}

void access_log_commit(struct access_log *log, size_t len)
{
    CHECK(len <= ACCESS_LINE_MAX);
    log->len += len;
    if (log->len >= ACCESS_CHUNK) {
        access_log_publish(log);
    }
}

void access_log_publish(struct access_log *log)
{
    if (log->len == 0) {
        return;
    }
    log->lens[log->produced % ACCESS_CHUNKS] = log->len;
    log->len = 0;
    __atomic_store_n(&log->produced, log->produced + 1, __ATOMIC_RELEASE);
    log->notify(log->notify_arg);
}

void access_log_enable(struct access_log *log, bool on)
{
    __atomic_store_n(&log->enabled, on, __ATOMIC_RELAXED);
}

bool access_log_next(struct access_log *log, struct str *out_chunk)
{
    uint32_t consumed = log->consumed;
    if (consumed == __atomic_load_n(&log->produced, __ATOMIC_ACQUIRE)) {
        return false;
    }
    size_t at = consumed % ACCESS_CHUNKS;
    *out_chunk = (struct str){log->chunks[at], log->lens[at]};
    return true;
}

void access_log_done(struct access_log *log)
{
    __atomic_store_n(&log->consumed, log->consumed + 1, __ATOMIC_RELEASE);
}
