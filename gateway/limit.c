/* limit: see limit.h. Called by all workers at accept and close. */
#include "gateway/limit.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/auto.h"

enum { COUNT_BITS = 24 };

#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

struct bucket {
    struct limit_cell cells[LIMIT_WAYS];
};

struct limit {
    _Atomic uint64_t connections;
    _Atomic uint64_t peak;
    _Atomic bool wants_room;
    uint64_t descriptors;
    uint64_t seed[2];       /* nobody outside can aim at a bucket */
    struct bucket *buckets; /* owned; pages nobody touched cost nothing */
};

struct limit *limit_new(uint64_t descriptors)
{
    struct limit *l = xcalloc(1, sizeof *l);
    l->descriptors = descriptors;
    CHECK(getrandom(l->seed, sizeof l->seed, 0) == (ssize_t)sizeof l->seed);
    l->buckets = xcalloc(LIMIT_BUCKETS, sizeof *l->buckets);
    return l;
}

void limit_free(struct limit *l)
{
    if (l != NULL) {
        free(l->buckets);
        free(l);
    }
}

uint64_t limit_connections_cap(const struct limit *l)
{
    uint64_t cap = l->descriptors / 5 * 4;
    return cap > 0 ? cap : 1;
}

bool limit_enter(struct limit *l, uint64_t max)
{
    uint64_t before = atomic_fetch_add_explicit(&l->connections, 1, memory_order_relaxed);
    if (before < max) {
        if (before >= atomic_load_explicit(&l->peak, memory_order_relaxed)) {
            atomic_store_explicit(&l->peak, before + 1, memory_order_relaxed);
        }
        return true;
    }
    limit_leave(l);
    return false;
}

void limit_leave(struct limit *l)
{
    uint64_t before = atomic_fetch_sub_explicit(&l->connections, 1, memory_order_relaxed);
    CHECK(before > 0);
}

uint64_t limit_connections(const struct limit *l)
{
    return atomic_load_explicit(&l->connections, memory_order_relaxed);
}

uint64_t limit_take_peak(struct limit *l)
{
    return atomic_exchange_explicit(&l->peak, limit_connections(l), memory_order_relaxed);
}

/* What is counted as one: the /64, or the IPv4 address under a prefix nobody routes. */
static uint64_t address_key(const struct sockaddr *peer)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t bytes[8] = {0, 0, 0xff, 0xff};
    if (peer->sa_family == AF_INET) {
        memcpy(bytes + 4, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
    } else if (peer->sa_family == AF_INET6) {
        const uint8_t *v6 = ((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr.s6_addr;
        if (memcmp(v6, mapped, sizeof mapped) == 0) {
            memcpy(bytes + 4, v6 + sizeof mapped, 4);
        } else {
            memcpy(bytes, v6, sizeof bytes);
        }
    }
    uint64_t key;
    memcpy(&key, bytes, sizeof key);
    return key;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static struct bucket *address_bucket(struct limit *l, const struct sockaddr *peer,
                                     uint64_t *out_tag)
{
    uint64_t key = address_key(peer);
    uint64_t hash = mix(mix(key ^ l->seed[0], l->seed[1] | 1) ^ l->seed[1], l->seed[0] | 1);
    uint64_t tag = hash >> COUNT_BITS;
    *out_tag = tag > 0 ? tag : 1;
    return &l->buckets[hash % LIMIT_BUCKETS];
}

/* Adds one to the address' cell, or claims a free one. NULL: the bucket is full. */
static struct limit_cell *cell_take(struct bucket *bucket, uint64_t tag)
{
    for (;;) {
        struct limit_cell *free_cell = NULL;
        for (int i = 0; i < LIMIT_WAYS; i++) {
            struct limit_cell *cell = &bucket->cells[i];
            uint64_t value = atomic_load_explicit(&cell->value, memory_order_relaxed);
            while (value >> COUNT_BITS == tag && (value & COUNT_MASK) < COUNT_MASK) {
                if (atomic_compare_exchange_weak(&cell->value, &value, value + 1)) {
                    return cell;
                }
            }
            if (value == 0 && free_cell == NULL) {
                free_cell = cell;
            }
        }
        uint64_t none = 0;
        if (free_cell == NULL ||
            atomic_compare_exchange_strong(&free_cell->value, &none, tag << COUNT_BITS | 1)) {
            return free_cell;
        }
        /* Another worker was faster, perhaps for the same address: look again. */
    }
}

/* Two workers may have claimed a cell each for one address, so all are added up. */
static uint64_t bucket_count(const struct bucket *bucket, uint64_t tag)
{
    uint64_t count = 0;
    for (int i = 0; i < LIMIT_WAYS; i++) {
        uint64_t value = atomic_load(&bucket->cells[i].value);
        count += value >> COUNT_BITS == tag ? value & COUNT_MASK : 0;
    }
    return count;
}

bool limit_address_enter(struct limit *l, const struct sockaddr *peer, uint32_t max,
                         struct limit_cell **out_cell)
{
    uint64_t tag;
    struct bucket *bucket = address_bucket(l, peer, &tag);
    struct limit_cell *cell = cell_take(bucket, tag);
    if (cell != NULL && bucket_count(bucket, tag) > max) {
        limit_address_leave(cell);
        return false;
    }
    *out_cell = cell;
    return true;
}

const struct limit_cell *limit_address_find(struct limit *l, const struct sockaddr *peer)
{
    uint64_t tag;
    struct bucket *bucket = address_bucket(l, peer, &tag);
    for (int i = 0; i < LIMIT_WAYS; i++) {
        if (atomic_load(&bucket->cells[i].value) >> COUNT_BITS == tag) {
            return &bucket->cells[i];
        }
    }
    return NULL;
}

void limit_address_leave(struct limit_cell *cell)
{
    if (cell == NULL) {
        return;
    }
    uint64_t value = atomic_load_explicit(&cell->value, memory_order_relaxed);
    uint64_t less;
    do {
        CHECK((value & COUNT_MASK) > 0);
        less = (value & COUNT_MASK) == 1 ? 0 : value - 1;
    } while (!atomic_compare_exchange_weak(&cell->value, &value, less));
}

void limit_want_room(struct limit *l)
{
    atomic_store_explicit(&l->wants_room, true, memory_order_relaxed);
}

bool limit_take_want(struct limit *l)
{
    return atomic_load_explicit(&l->wants_room, memory_order_relaxed) &&
           atomic_exchange_explicit(&l->wants_room, false, memory_order_relaxed);
}
