/* owner: see owner.h. Called by publisher.c on the daemon's loop.
 *
 * A change is of one route among thousands, as a rule: those that stay come in the order they had,
 * so the one before is looked for where the last was found. Only what is not there needs a map.
 * Who knows which one changes puts just that. */
#include "daemon/owner.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/map.h"

/* The entries before, while new ones are made. One that was taken over is all zeros. */
struct former {
    struct entry *entries; /* borrowed */
    size_t count;
    size_t next;        /* where the next is, if the order is the same */
    struct map by_host; /* made when it is first needed: what was not taken over until then */
    bool is_mapped;
};

static const char *text_or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static bool entry_is(const struct entry *e, const char *host)
{
    return e->host != NULL && strcmp(e->host, host) == 0;
}

static struct entry *former_find(struct former *f, const char *host)
{
    /* One or two further: routes that went were passed over. */
    enum { AHEAD = 2 };
    for (size_t i = f->next; i < f->count && i < f->next + AHEAD; i++) {
        if (entry_is(&f->entries[i], host)) {
            f->next = i + 1;
            return &f->entries[i];
        }
    }
    if (!f->is_mapped) {
        f->is_mapped = true;
        for (size_t i = 0; i < f->count; i++) {
            if (f->entries[i].host != NULL) {
                (void)map_set(&f->by_host, str_of(f->entries[i].host), &f->entries[i]);
            }
        }
    }
    struct entry *found = map_get(&f->by_host, str_of(host));
    if (found == NULL || found->host == NULL) { /* not there, or taken over since */
        return NULL;
    }
    f->next = (size_t)(found - f->entries) + 1;
    return found;
}

static bool entry_says(const struct entry *e, const struct publish_route *r)
{
    return e->service_port == r->service_port && e->port == r->port && e->state == r->state &&
           strcmp(e->service, r->service) == 0 &&
           strcmp(e->worktree, text_or_empty(r->worktree)) == 0 &&
           publish_options_equal(&e->options, &r->options);
}

static struct entry entry_new(const struct publish_route *r, const struct entry *before,
                              uint64_t now_ms)
{
    struct entry e = {
        .host = xstrdup(r->host),
        .worktree = xstrdup(text_or_empty(r->worktree)),
        .service = xstrdup(r->service),
        .service_port = r->service_port,
        .port = r->port,
        .state = r->state,
        .since_ms = before != NULL && before->state == r->state ? before->since_ms : now_ms,
    };
    if (before != NULL) {
        e.noted = before->noted;
    }
    publish_options_copy(&e.options, &r->options);
    return e;
}

static void entry_fini(struct entry *e)
{
    if (e->host != NULL) {
        free(e->host);
        free(e->worktree);
        free(e->service);
        publish_options_fini(&e->options);
    }
}

static void entries_free(struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        entry_fini(&entries[i]);
    }
    free(entries);
}

static void places_forget(struct owner *owner)
{
    map_fini(&owner->places);
    owner->has_places = false;
}

static void places_make(struct owner *owner)
{
    for (size_t i = 0; i < owner->count; i++) {
        (void)map_set(&owner->places, str_of(owner->entries[i].host), (void *)(uintptr_t)(i + 1));
    }
    owner->has_places = true;
}

enum route_class owner_class_of(const char *name)
{
    if (strcmp(name, PUBLISHER_OWNER_PUBLISH) == 0) {
        return ROUTE_PUBLISHED;
    }
    return strcmp(name, PUBLISHER_OWNER_DAEMON) == 0 ? ROUTE_WEB_UI : ROUTE_SERVICE;
}

struct owner *owner_new(const char *name)
{
    struct owner *owner = xcalloc(1, sizeof *owner);
    owner->name = xstrdup(name);
    owner->route_class = owner_class_of(name);
    return owner;
}

void owner_free(struct owner *owner)
{
    entries_free(owner->entries, owner->count);
    places_forget(owner);
    free(owner->phase);
    free(owner->name);
    free(owner);
}

void owner_set(struct owner *owner, const struct publish_route *routes, size_t count,
               uint64_t now_ms)
{
    struct former former = {.entries = owner->entries, .count = owner->count};
    struct entry *entries = xcalloc(count + 1, sizeof *entries);
    for (size_t i = 0; i < count; i++) {
        struct entry *before = former_find(&former, routes[i].host);
        if (before != NULL && entry_says(before, &routes[i])) {
            entries[i] = *before;
            *before = (struct entry){.host = NULL};
        } else {
            entries[i] = entry_new(&routes[i], before, now_ms);
        }
    }
    map_fini(&former.by_host);
    entries_free(owner->entries, owner->count);
    owner->entries = entries;
    owner->count = count;
    owner->cap = count + 1;
    places_forget(owner);
}

struct entry *owner_find(struct owner *owner, const char *host)
{
    if (!owner->has_places) {
        places_make(owner);
    }
    uintptr_t place = (uintptr_t)map_get(&owner->places, str_of(host));
    return place == 0 ? NULL : &owner->entries[place - 1];
}

struct entry *owner_put(struct owner *owner, const struct publish_route *route, uint64_t now_ms)
{
    struct entry *e = owner_find(owner, route->host);
    if (e == NULL) {
        if (owner->count == owner->cap) {
            owner->cap = 2 * owner->cap + 1;
            owner->entries = xrealloc(owner->entries, owner->cap * sizeof *owner->entries);
        }
        owner->entries[owner->count] = entry_new(route, NULL, now_ms);
        owner->count++;
        (void)map_set(&owner->places, str_of(route->host), (void *)(uintptr_t)owner->count);
        return &owner->entries[owner->count - 1];
    }
    if (!entry_says(e, route)) {
        struct entry before = *e;
        *e = entry_new(route, &before, now_ms);
        entry_fini(&before);
    }
    return e;
}
