/* route_stats: see route_stats.h. */
#include "gateway/route_stats.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"

_Static_assert(sizeof(struct route_counts) % sizeof(uint64_t) == 0, "summed as numbers");

struct route_stats *route_stats_new(uint32_t max)
{
    uint32_t slots = 4;
    while (slots < 2 * max) { /* so that there always is a free one */
        slots *= 2;
    }
    struct route_stats *t =
        try_zalloc(sizeof *t + max * sizeof t->rows[0] + slots * sizeof *t->index);
    if (t != NULL) {
        t->max = max;
        t->mask = slots - 1;
        t->index = (uint32_t *)(void *)(t->rows + max);
    }
    return t;
}

void route_stats_free(struct route_stats *t)
{
    free(t);
}

static void counts_add(struct route_counts *to, const struct route_counts *from)
{
    uint64_t *sums = (uint64_t *)(void *)to;
    const uint64_t *numbers = (const uint64_t *)(const void *)from;
    for (size_t i = 0; i < sizeof *to / sizeof *sums; i++) {
        sums[i] += numbers[i];
    }
}

static bool counts_are_zero(const struct route_counts *counts)
{
    static const struct route_counts zero;
    return memcmp(counts, &zero, sizeof zero) == 0;
}

/* The host's slot, or the free one where it would be. */
static uint32_t *find(const struct route_stats *t, uint64_t hash, struct str host)
{
    for (uint32_t at = (uint32_t)hash & t->mask;; at = (at + 1) & t->mask) {
        uint32_t *slot = &t->index[at];
        if (*slot == 0) {
            return slot;
        }
        const struct route_row *row = &t->rows[*slot - 1];
        if (row->hash == hash && str_eq(host, str_of(row->host))) {
            return slot;
        }
    }
}

/* At most ROUTE_LABEL_MAX bytes, whole characters of UTF-8. */
static void put_label(char *to, struct str label)
{
    size_t len = label.len < ROUTE_LABEL_MAX ? label.len : ROUTE_LABEL_MAX;
    while (len > 0 && len < label.len && ((uint8_t)label.ptr[len] & 0xc0) == 0x80) {
        len--;
    }
    *str_put(to, (struct str){label.ptr, len}) = '\0';
}

/* The host's row; a new one while there is room; else NULL. */
static struct route_row *add(struct route_stats *t, uint64_t hash, struct str host,
                             struct str worktree, struct str service)
{
    uint32_t *slot = find(t, hash, host);
    if (*slot != 0) {
        return &t->rows[*slot - 1];
    }
    if (t->count == t->max || host.len > HOST_MAX) {
        return NULL;
    }
    struct route_row *row = &t->rows[t->count++];
    *slot = t->count;
    *row = (struct route_row){.hash = hash};
    *str_put(row->host, host) = '\0';
    put_label(row->worktree, worktree);
    put_label(row->service, service);
    return row;
}

static struct route_row *add_row(struct route_stats *t, const struct route_row *row)
{
    return add(t, row->hash, str_of(row->host), str_of(row->worktree), str_of(row->service));
}

struct route_counts *route_stats_at(struct route_stats *t, const struct route *route)
{
    struct route_row *row =
        add(t, host_hash(route->host), route->host, route->worktree, route->service);
    return row == NULL ? &t->other : &row->counts;
}

void route_stats_seed(struct route_stats *t, const struct route_stats *from,
                      const struct snapshot *snapshot)
{
    for (uint32_t i = 0; i < from->count; i++) {
        if (route_match(snapshot, str_of(from->rows[i].host)) != NULL) {
            (void)add_row(t, &from->rows[i]); /* NULL: `other` counts what it does */
        }
    }
}

void route_stats_merge(struct route_stats *into, const struct route_stats *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        const struct route_row *row = &from->rows[i];
        if (!counts_are_zero(&row->counts)) {
            struct route_row *to = add_row(into, row);
            counts_add(to == NULL ? &into->other : &to->counts, &row->counts);
        }
    }
    counts_add(&into->other, &from->other);
}

struct route_stats *route_stats_resize(struct route_stats *t, uint32_t max)
{
    struct route_stats *other = t->max == max ? NULL : route_stats_new(max);
    if (other == NULL) {
        return t;
    }
    route_stats_merge(other, t);
    route_stats_free(t);
    return other;
}

void route_stats_drop_gone(struct route_stats *t, const struct snapshot *snapshot,
                           struct route_counts *out_other)
{
    uint32_t kept = 0;
    memset(t->index, 0, (t->mask + 1) * sizeof *t->index);
    for (uint32_t i = 0; i < t->count; i++) {
        struct route_row *row = &t->rows[i];
        if (route_match(snapshot, str_of(row->host)) == NULL) {
            if (out_other != NULL) {
                counts_add(out_other, &row->counts);
            }
            continue;
        }
        if (kept != i) {
            t->rows[kept] = *row;
        }
        *find(t, t->rows[kept].hash, str_of(t->rows[kept].host)) = kept + 1;
        kept++;
    }
    t->count = kept;
}
