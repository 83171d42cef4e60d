/* route_stats: see route_stats.h. */
#include "gateway/route_stats.h"

#include <stdlib.h>

#include "base/auto.h"
#include "routing/host.h"

struct route_stats *route_stats_new(void)
{
    struct route_stats *t = xcalloc(1, sizeof *t);
    t->slots = xcalloc(ROUTE_STATS_SLOTS, sizeof *t->slots);
    return t;
}

void route_stats_free(struct route_stats *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < ROUTE_STATS_SLOTS; i++) {
        free(t->slots[i].host);
    }
    free(t->slots);
    free(t);
}

static void counts_add(struct route_counts *to, const struct route_counts *from)
{
    to->requests += from->requests;
    for (size_t i = 0; i < STATUS_CLASSES; i++) {
        to->responses[i] += from->responses[i];
    }
    to->body_in += from->body_in;
    to->body_out += from->body_out;
    to->latency_us += from->latency_us;
    to->latency_count += from->latency_count;
}

/* The slot of the host, or the free one where it would be. There always is one. */
static struct route_entry *find(struct route_stats *t, uint64_t hash, struct str host)
{
    size_t at = hash & (ROUTE_STATS_SLOTS - 1);
    for (;;) {
        struct route_entry *e = &t->slots[at];
        if (e->host == NULL || (e->hash == hash && strlen(e->host) == host.len &&
                                memcmp(e->host, host.ptr, host.len) == 0)) {
            return e;
        }
        at = (at + 1) & (ROUTE_STATS_SLOTS - 1);
    }
}

static char *put_text(char *at, struct str s)
{
    if (s.len > 0) {
        memcpy(at, s.ptr, s.len);
    }
    at[s.len] = '\0';
    return at + s.len + 1;
}

static struct route_counts *add(struct route_stats *t, uint64_t hash, struct str host,
                                struct str worktree, struct str service)
{
    struct route_entry *e = find(t, hash, host);
    if (e->host == NULL) {
        if (t->count >= ROUTE_STATS_MAX) {
            return &t->other;
        }
        e->host = try_alloc(host.len + worktree.len + service.len + 3);
        if (e->host == NULL) {
            return &t->other;
        }
        char *at = put_text(e->host, host);
        e->worktree = at;
        at = put_text(at, worktree);
        e->service = at;
        (void)put_text(at, service);
        e->hash = hash;
        t->count++;
    }
    return &e->counts;
}

struct route_counts *route_stats_at(struct route_stats *t, const struct route *route)
{
    return add(t, host_hash(route->host), route->host, route->worktree, route->service);
}

void route_stats_merge(struct route_stats *into, const struct route_stats *from)
{
    for (size_t i = 0; i < ROUTE_STATS_SLOTS; i++) {
        const struct route_entry *e = &from->slots[i];
        if (e->host != NULL) {
            counts_add(add(into, e->hash, str_of(e->host), str_of(e->worktree), str_of(e->service)),
                       &e->counts);
        }
    }
    counts_add(&into->other, &from->other);
}

void route_stats_prune(struct route_stats *t, const struct snapshot *snapshot)
{
    if (t->count < ROUTE_STATS_MAX / 2) {
        return;
    }
    struct route_entry *old = t->slots;
    struct route_entry *slots = try_zalloc(ROUTE_STATS_SLOTS * sizeof *slots);
    if (slots == NULL) {
        return; /* out of memory: with the next snapshot then */
    }
    t->slots = slots;
    t->count = 0;
    for (size_t i = 0; i < ROUTE_STATS_SLOTS; i++) {
        if (old[i].host == NULL) {
            continue;
        }
        struct str host = str_of(old[i].host);
        if (route_match(snapshot, host) == NULL) {
            counts_add(&t->other, &old[i].counts);
            free(old[i].host);
        } else {
            *find(t, old[i].hash, host) = old[i];
            t->count++;
        }
    }
    free(old);
}

static int by_requests(const void *a, const void *b)
{
    const struct route_entry *x = *(const struct route_entry *const *)a;
    const struct route_entry *y = *(const struct route_entry *const *)b;
    if (x->counts.requests != y->counts.requests) {
        return x->counts.requests > y->counts.requests ? -1 : 1;
    }
    return strcmp(x->host, y->host);
}

size_t route_stats_top(const struct route_stats *t, const struct route_entry **out, size_t max,
                       struct route_counts *out_other)
{
    const struct route_entry **all = xcalloc(t->count + 1, sizeof(const struct route_entry *));
    size_t count = 0;
    for (size_t i = 0; i < ROUTE_STATS_SLOTS; i++) {
        if (t->slots[i].host != NULL) {
            all[count++] = &t->slots[i];
        }
    }
    qsort(all, count, sizeof(const struct route_entry *), by_requests);
    counts_add(out_other, &t->other);
    for (size_t i = 0; i < count; i++) {
        if (i < max) {
            out[i] = all[i];
        } else {
            counts_add(out_other, &all[i]->counts);
        }
    }
    free(all);
    return count < max ? count : max;
}
