/* propagation: handles and propagation_delegate; see propagation.h. propagation_wait has a file of
 * its own. Called by the order and the doctor; the loop's thread.
 *
 * Whether a name is a CNAME is asked of its authorities, and of the resolvers only where those
 * cannot be found or asked: a resolver would remember that there was nothing at the name, and go on
 * saying so after the record was written. */
#include "acme/propagation.h"

#include <stdio.h>
#include <stdlib.h>

#include "acme/nameservers.h"
#include "acme/propagation_impl.h"
#include "base/auto.h"

enum { CNAMES_MAX = 16, TRIES_MAX = 3, RETRY_MS = 1000 };

struct delegate {
    struct propagation base;              /* first */
    struct loop *loop;                    /* borrowed */
    const struct acme_settings *settings; /* borrowed */
    struct nameservers *finder;           /* owned; NULL: the servers are known, or cannot be */
    struct lookup *lookup;                /* owned; NULL between tries */
    struct loop_timer timer;              /* the pause before the next try */
    struct lookup_server resolvers[LOOKUP_SERVERS_MAX];
    size_t resolver_count;
    char names[CNAMES_MAX + 1][DNS_NAME_TEXT_MAX]; /* the way so far; the last is asked for */
    size_t name_count;
    unsigned tries;
    propagation_name_fn *done;
    void *arg; /* borrowed */
};

static void delegate_destroy(struct propagation *p)
{
    struct delegate *d = (struct delegate *)p;
    nameservers_cancel(d->finder);
    lookup_cancel(d->lookup);
    loop_timer_fini(&d->timer);
    d->base.magic = 0;
    free(d);
}

static void delegate_end(struct delegate *d, const char *name, const struct failure *failure)
{
    d->done(d->arg, name, failure);
    delegate_destroy(&d->base);
}

static char *last_name(struct delegate *d)
{
    return d->names[d->name_count - 1];
}

static void delegate_begin(struct delegate *d);

/* The CNAME leads to `target`; goes on there, or fails for a loop. */
static void delegate_go_on(struct delegate *d, const char *target)
{
    struct failure failure;
    bool was_there = false;
    for (size_t i = 0; i < d->name_count; i++) {
        was_there |= strcmp(d->names[i], target) == 0;
    }
    if (was_there || d->name_count > CNAMES_MAX) {
        failure_set(&failure, "propagation", "The CNAME records of %s %s: correct them.",
                    d->names[0], was_there ? "lead in a circle" : "lead too far");
    } else if (!dns_name_is_plain(target)) {
        failure_set(&failure, "propagation",
                    "The CNAME record of %s leads to %s, which is no usable name: correct it.",
                    last_name(d), target);
    } else {
        memcpy(d->names[d->name_count++], target, strlen(target) + 1);
        delegate_begin(d);
        return;
    }
    failure.is_permanent = true;
    delegate_end(d, NULL, &failure);
}

static bool find_cname(const struct dnsmsg *m, const char *owner, char target[DNS_NAME_TEXT_MAX])
{
    struct dnsmsg_iter it = dnsmsg_records(m);
    struct dnsmsg_record r;
    while (dnsmsg_next(&it, &r)) {
        if (r.section == DNS_ANSWER && r.type == DNS_CNAME && strcmp(r.owner, owner) == 0) {
            return dnsmsg_name(m, &r, target);
        }
    }
    return false;
}

static void delegate_read(struct delegate *d, const struct dnsmsg *m)
{
    char target[DNS_NAME_TEXT_MAX];
    if (find_cname(m, last_name(d), target)) {
        delegate_go_on(d, target);
    } else {
        delegate_end(d, last_name(d), NULL);
    }
}

static void delegate_on_answer(void *arg, const struct lookup_answer *answer)
{
    struct delegate *d = arg;
    CHECK(d->base.magic == PROPAGATION_MAGIC);
    d->lookup = NULL;
    if (answer->result == LOOKUP_ANSWERED) {
        delegate_read(d, answer->msg);
    } else if (++d->tries < TRIES_MAX) {
        loop_timer_set(&d->timer, RETRY_MS);
    } else {
        struct failure failure;
        failure_set(&failure, "propagation", "DNS does not say whether %s is a CNAME: %s.",
                    last_name(d), answer->text);
        delegate_end(d, NULL, &failure);
    }
}

static void delegate_ask_resolvers(struct delegate *d)
{
    struct lookup_query query = {.name = last_name(d),
                                 .type = DNS_CNAME,
                                 .servers = d->resolvers,
                                 .server_count = d->resolver_count,
                                 .recurse = true};
    d->lookup = lookup_start(d->loop, &query, delegate_on_answer, d);
}

static void delegate_on_authority(void *arg, const struct lookup_answer *answer)
{
    struct delegate *d = arg;
    CHECK(d->base.magic == PROPAGATION_MAGIC);
    d->lookup = NULL;
    /* Without authority it is a referral: the name is a zone of its own, and no CNAME. Anything
     * else comes from a server that is lame. */
    if (answer->result == LOOKUP_ANSWERED &&
        (answer->msg->is_authoritative || answer->msg->counts[DNS_AUTHORITY] > 0)) {
        delegate_read(d, answer->msg);
    } else {
        delegate_ask_resolvers(d);
    }
}

static void delegate_on_servers(void *arg, const struct nameservers_found *found,
                                const char *problem)
{
    (void)problem;
    struct delegate *d = arg;
    CHECK(d->base.magic == PROPAGATION_MAGIC);
    d->finder = NULL;
    if (found == NULL) {
        delegate_ask_resolvers(d);
        return;
    }
    struct lookup_server servers[LOOKUP_SERVERS_MAX];
    size_t count = found->count < LOOKUP_SERVERS_MAX ? found->count : LOOKUP_SERVERS_MAX;
    for (size_t i = 0; i < count; i++) {
        servers[i] = found->servers[i].at;
    }
    struct lookup_query query = {
        .name = last_name(d), .type = DNS_CNAME, .servers = servers, .server_count = count};
    d->lookup = lookup_start(d->loop, &query, delegate_on_authority, d);
}

/* The last name's turn. Its zone is looked for from its parent: see above. */
static void delegate_begin(struct delegate *d)
{
    d->tries = 0;
    const char *dot = strchr(last_name(d), '.');
    if (dot == NULL) {
        delegate_ask_resolvers(d);
    } else {
        d->finder = nameservers_find(d->loop, d->settings, dot + 1, delegate_on_servers, d);
    }
}

static void delegate_on_timer(void *arg)
{
    struct delegate *d = arg;
    CHECK(d->base.magic == PROPAGATION_MAGIC);
    delegate_ask_resolvers(d);
}

struct propagation *propagation_delegate(struct loop *loop, const struct acme_settings *settings,
                                         const char *name, propagation_name_fn *done, void *arg)
{
    struct delegate *d = xcalloc(1, sizeof *d);
    d->base = (struct propagation){PROPAGATION_MAGIC, delegate_destroy};
    d->loop = loop;
    d->settings = settings;
    d->done = done;
    d->arg = arg;
    loop_timer_init(&d->timer, loop, delegate_on_timer, d);
    d->resolver_count = nameservers_resolvers(settings, d->resolvers);
    d->name_count = 1;
    (void)snprintf(d->names[0], sizeof d->names[0], "%s", name);
    for (char *p = d->names[0]; *p != '\0'; p++) {
        *p = ascii_lower(*p);
    }
    delegate_begin(d);
    return &d->base;
}

void propagation_cancel(struct propagation *p)
{
    if (p != NULL) {
        CHECK(p->magic == PROPAGATION_MAGIC);
        p->destroy(p);
    }
}
