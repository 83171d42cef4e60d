/* throttle: see throttle.h. */
#include "gateway/throttle.h"

#include <netinet/in.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/auto.h"

enum {
    SETS = 512,
    WAYS = 8,
    MINUTE_MS = 60 * 1000,
    FORGET_MS = 24 * 3600 * 1000,
    FIRST_DELAY_MS = 1000,
};

/* Tries in one wait. */
struct refused {
    uint64_t until_ms;
    uint32_t count;
};

struct entry {
    uint64_t prefix;
    uint8_t family; /* 0: free */
    bool was_right; /* since the entry was made */
    uint32_t failures;
    uint64_t until_ms; /* no try before */
    uint64_t seen_ms;
    struct refused refused;
};

struct throttle {
    pthread_mutex_t mutex;
    uint64_t seed[2]; /* nobody can choose addresses that share a set */
    uint64_t minute_start_ms;
    uint32_t minute_failures;
    struct refused refused; /* of clients without an entry */
    struct entry entries[SETS][WAYS];
};

struct throttle *throttle_new(void)
{
    struct throttle *t = xcalloc(1, sizeof *t);
    CHECK(pthread_mutex_init(&t->mutex, NULL) == 0);
    CHECK(RAND_bytes((unsigned char *)t->seed, sizeof t->seed) == 1);
    return t;
}

void throttle_free(struct throttle *t)
{
    if (t != NULL) {
        CHECK(pthread_mutex_destroy(&t->mutex) == 0);
        free(t);
    }
}

/* An IPv4 address, mapped or not, or the first half of an IPv6 one. */
static struct entry entry_of(const struct sockaddr *peer, uint64_t now_ms)
{
    struct entry e = {.family = 1, .seen_ms = now_ms}; /* 1: neither, all together */
    if (peer != NULL && peer->sa_family == AF_INET) {
        e.family = 4;
        memcpy(&e.prefix, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
    } else if (peer != NULL && peer->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(a);
        e.family = mapped ? 4 : 6;
        memcpy(&e.prefix, mapped ? a->s6_addr + 12 : a->s6_addr, mapped ? 4 : 8);
    }
    return e;
}

static struct entry *set_of(struct throttle *t, const struct entry *e)
{
    uint64_t h = (e->prefix ^ t->seed[0]) * 0x9e3779b97f4a7c15U + e->family;
    h = (h ^ h >> 32 ^ t->seed[1]) * 0xbf58476d1ce4e5b9U;
    return t->entries[(h ^ h >> 29) % SETS];
}

static struct entry *find(struct throttle *t, const struct entry *key)
{
    struct entry *set = set_of(t, key);
    for (unsigned i = 0; i < WAYS; i++) {
        struct entry *e = &set[i];
        if (e->family == key->family && e->prefix == key->prefix) {
            if (key->seen_ms > e->seen_ms + FORGET_MS) {
                *e = *key;
            }
            return e;
        }
    }
    return NULL;
}

static struct entry *find_or_add(struct throttle *t, const struct entry *key)
{
    struct entry *found = find(t, key);
    if (found != NULL) {
        found->seen_ms = key->seen_ms > found->seen_ms ? key->seen_ms : found->seen_ms;
        return found;
    }
    struct entry *set = set_of(t, key);
    found = set;
    for (unsigned i = 1; i < WAYS; i++) {
        if (set[i].family == 0 || (found->family != 0 && set[i].seen_ms < found->seen_ms)) {
            found = &set[i];
        }
    }
    *found = *key;
    return found;
}

/* Workers' clocks differ by their turns: now_ms may be a little before the start. */
static bool minute_is_over(const struct throttle *t, uint64_t now_ms)
{
    return now_ms >= t->minute_start_ms + MINUTE_MS;
}

uint64_t throttle_wait(struct throttle *t, const struct limits *limits, const struct sockaddr *peer,
                       uint64_t now_ms)
{
    struct entry key = entry_of(peer, now_ms);
    uint64_t until = 0;
    CHECK(pthread_mutex_lock(&t->mutex) == 0);
    const struct entry *e = find(t, &key);
    if (e != NULL) {
        until = e->until_ms;
    }
    if ((e == NULL || !e->was_right) && !minute_is_over(t, now_ms) &&
        t->minute_failures >= limits->failed_secrets_per_minute &&
        t->minute_start_ms + MINUTE_MS > until) {
        until = t->minute_start_ms + MINUTE_MS;
    }
    CHECK(pthread_mutex_unlock(&t->mutex) == 0);
    return until > now_ms ? until - now_ms : 0;
}

uint32_t throttle_refused(struct throttle *t, const struct sockaddr *peer, uint64_t until_ms)
{
    struct entry key = entry_of(peer, 0);
    CHECK(pthread_mutex_lock(&t->mutex) == 0);
    struct entry *e = find(t, &key);
    struct refused *refused = e == NULL ? &t->refused : &e->refused;
    if (refused->until_ms != until_ms) {
        *refused = (struct refused){.until_ms = until_ms};
    }
    refused->count += refused->count < UINT32_MAX ? 1 : 0;
    uint32_t count = refused->count;
    CHECK(pthread_mutex_unlock(&t->mutex) == 0);
    return count;
}

static uint64_t delay_of(const struct limits *limits, uint32_t failures)
{
    if (failures <= limits->failed_secrets_free) {
        return 0;
    }
    uint32_t doublings = failures - limits->failed_secrets_free - 1;
    uint64_t delay = doublings > 20 ? UINT64_MAX : (uint64_t)FIRST_DELAY_MS << doublings;
    return delay < limits->failed_secrets_delay_max_ms ? delay
                                                       : limits->failed_secrets_delay_max_ms;
}

void throttle_failed(struct throttle *t, const struct limits *limits, const struct sockaddr *peer,
                     uint64_t now_ms)
{
    struct entry key = entry_of(peer, now_ms);
    CHECK(pthread_mutex_lock(&t->mutex) == 0);
    struct entry *e = find_or_add(t, &key);
    e->failures += e->failures < UINT32_MAX ? 1 : 0;
    e->until_ms = now_ms + delay_of(limits, e->failures);
    if (minute_is_over(t, now_ms) || t->minute_failures == 0) {
        t->minute_start_ms = now_ms;
        t->minute_failures = 0;
    }
    t->minute_failures++;
    CHECK(pthread_mutex_unlock(&t->mutex) == 0);
}

void throttle_passed(struct throttle *t, const struct sockaddr *peer, uint64_t now_ms)
{
    struct entry key = entry_of(peer, now_ms);
    CHECK(pthread_mutex_lock(&t->mutex) == 0);
    struct entry *e = find_or_add(t, &key);
    e->was_right = true;
    e->failures = 0;
    e->until_ms = 0;
    CHECK(pthread_mutex_unlock(&t->mutex) == 0);
}
