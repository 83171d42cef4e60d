/* names: see names.h. Part of the publisher, on the daemon's loop. */
#include "daemon/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/str.h"
#include "routing/host.h"

struct name {
    char *host;  /* owned */
    char *owner; /* owned */
    char *key;   /* owned: owner/service/port */
};

/* Session names hold no slash, so no two triples make the same key. */
static char *key_text(const char *owner, const char *service, uint16_t port)
{
    return xasprintf("%s/%s/%u", owner, service, port);
}

void names_init(struct names *n, const char *domain)
{
    *n = (struct names){.domain = xstrdup(domain)};
}

static void name_drop(struct names *n, struct name *name)
{
    (void)map_del(&n->by_host, str_of(name->host));
    (void)map_del(&n->by_key, str_of(name->key));
    free(name->host);
    free(name->owner);
    free(name->key);
    free(name);
}

void names_fini(struct names *n)
{
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&n->by_host, &at)) != NULL) {
        name_drop(n, entry->value);
    }
    map_fini(&n->by_host);
    map_fini(&n->by_key);
    free(n->domain);
    n->domain = NULL;
}

const char *names_find(const struct names *n, const char *owner, const char *service, uint16_t port)
{
    autofree char *key = key_text(owner, service, port);
    const struct name *name = map_get(&n->by_key, str_of(key));
    return name == NULL ? NULL : name->host;
}

static const char *name_add(struct names *n, const char *owner, char *key, const char *host)
{
    struct name *name = xcalloc(1, sizeof *name);
    *name = (struct name){.host = xstrdup(host), .owner = xstrdup(owner), .key = key};
    (void)map_set(&n->by_host, str_of(name->host), name);
    (void)map_set(&n->by_key, str_of(name->key), name);
    return name->host;
}

const char *names_give(struct names *n, const char *owner, const char *worktree,
                       const char *service, uint16_t port, bool is_first, struct err *err)
{
    const char *known = names_find(n, owner, service, port);
    if (known != NULL) {
        return known;
    }
    autofree char *first = host_label_sanitise(str_of(worktree), "worktree");
    autofree char *second = host_label_sanitise(str_of(service), "service");
    for (unsigned attempt = 1; attempt <= NAME_ATTEMPTS_MAX; attempt++) {
        autofree char *label = host_service_label(first, attempt, second, is_first ? 0 : port);
        autofree char *host = xasprintf("%s.%s", label, n->domain);
        struct host parsed;
        if (!host_parse(str_of(host), &parsed)) {
            (void)err_set(err, ERR_CONFIG, "the name %.80s… is too long; use a shorter domain",
                          host);
            return NULL;
        }
        if (map_get(&n->by_host, str_of(host)) == NULL) {
            return name_add(n, owner, key_text(owner, service, port), host);
        }
    }
    (void)err_set(err, ERR_FAILED, "tunnel hostname allocation exhausted");
    return NULL;
}

int names_keep(struct names *n, const char *owner, const char *service, uint16_t port,
               const char *host, struct err *err)
{
    struct host parsed;
    if (!host_parse(str_of(host), &parsed) || parsed.port != 0) {
        return err_set(err, ERR_USAGE, "%.100s is not a host name", host);
    }
    struct str name = {parsed.name, parsed.len};
    if (!host_is_under(name, str_of(n->domain)) || str_eq(name, str_of(n->domain))) {
        return err_set(err, ERR_REFUSED, "%s is not a name under %s", parsed.name, n->domain);
    }
    autofree char *key = key_text(owner, service, port);
    const struct name *taken = map_get(&n->by_host, name);
    if (taken != NULL && strcmp(taken->key, key) != 0) {
        return err_set(err, ERR_BUSY, "%s already belongs to %s", parsed.name, taken->owner);
    }
    if (taken != NULL) {
        return 0;
    }
    struct name *before = map_get(&n->by_key, str_of(key));
    if (before != NULL) {
        name_drop(n, before);
    }
    (void)name_add(n, owner, xstrdup(key), parsed.name);
    return 0;
}

void names_drop(struct names *n, const char *owner, const char *service, uint16_t port)
{
    autofree char *key = key_text(owner, service, port);
    struct name *name = map_get(&n->by_key, str_of(key));
    if (name != NULL) {
        name_drop(n, name);
    }
}

void names_forget(struct names *n, const char *owner)
{
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&n->by_host, &at)) != NULL) {
        struct name *name = entry->value;
        if (strcmp(name->owner, owner) == 0) {
            name_drop(n, name);
        }
    }
}

const char *names_owner(const struct names *n, const char *host)
{
    const struct name *name = map_get(&n->by_host, str_of(host));
    return name == NULL ? NULL : name->owner;
}
