/* nameservers: see nameservers.h. Called by propagation_wait; the loop's thread. */
#include "acme/nameservers.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"

enum {
    NAMESERVERS_MAGIC = 0x6e616d65,
    NAMES_MAX = 16,     /* of NS records; the root has 13 */
    PER_LOOKUP_MAX = 4, /* addresses of one name and family */
    DNS_PORT = 53
};

/* The A or AAAA question for one server's name. */
struct address_lookup {
    struct nameservers *finder; /* borrowed: whose part this is */
    size_t name;                /* index into names */
    struct lookup *lookup;      /* owned; NULL: answered */
};

struct nameservers {
    uint32_t magic;
    struct loop *loop; /* borrowed */
    nameservers_done_fn *done;
    void *arg; /* borrowed */
    uint16_t authority_port;
    struct lookup_server resolvers[LOOKUP_SERVERS_MAX];
    size_t resolver_count;
    char record[256];      /* whose zone is looked for */
    const char *candidate; /* within record: whose SOA is asked for */
    struct lookup *lookup; /* owned: SOA, NS */
    char zone[256];
    char names[NAMES_MAX][254];
    size_t name_count;
    struct address_lookup addresses[NAMES_MAX * 2];
    size_t pending;
    struct nameserver servers[NAMESERVERS_MAX];
    size_t server_count;
    bool has_unroutable;
};

static void destroy(struct nameservers *n)
{
    lookup_cancel(n->lookup);
    for (size_t i = 0; i < COUNT_OF(n->addresses); i++) {
        lookup_cancel(n->addresses[i].lookup);
    }
    n->magic = 0;
    free(n);
}

static void fail(struct nameservers *n, const char *problem)
{
    n->done(n->arg, NULL, problem);
    destroy(n);
}

static void fail_lookup(struct nameservers *n, const char *what, const char *name, const char *text)
{
    char problem[512];
    (void)snprintf(problem, sizeof problem, "the %s of %s: %s", what, name, text);
    fail(n, problem);
}

static struct lookup *ask(struct nameservers *n, const char *name, enum dns_type type,
                          lookup_done_fn *done, void *arg)
{
    struct lookup_query query = {.name = name,
                                 .type = type,
                                 .servers = n->resolvers,
                                 .server_count = n->resolver_count,
                                 .recurse = true};
    return lookup_start(n->loop, &query, done, arg);
}

/* By name, IPv4 first: the order the answers came in is nobody's business. */
static int compare_servers(const void *a, const void *b)
{
    const struct nameserver *x = a;
    const struct nameserver *y = b;
    int by_name = strcmp(x->name, y->name);
    if (by_name != 0) {
        return by_name;
    }
    return x->at.is_v6 != y->at.is_v6 ? (x->at.is_v6 ? 1 : -1)
                                      : memcmp(x->at.address, y->at.address, sizeof x->at.address);
}

static void finish(struct nameservers *n)
{
    if (n->server_count == 0) {
        char problem[384];
        (void)snprintf(problem, sizeof problem, "none of the name servers of %s has an address%s",
                       n->zone, n->has_unroutable ? " this host has a route to" : "");
        fail(n, problem);
        return;
    }
    qsort(n->servers, n->server_count, sizeof n->servers[0], compare_servers);
    struct nameservers_found found = {n->zone, n->servers, n->server_count};
    n->done(n->arg, &found, NULL);
    destroy(n);
}

static void add_server(struct nameservers *n, const char *name, const uint8_t *address, bool is_v6)
{
    struct nameserver s = {.at = {.is_v6 = is_v6, .port = n->authority_port}};
    memcpy(s.at.address, address, is_v6 ? 16 : 4);
    (void)snprintf(s.name, sizeof s.name, "%s", name);
    for (size_t i = 0; i < n->server_count; i++) {
        const struct lookup_server *other = &n->servers[i].at;
        if (other->is_v6 == is_v6 && memcmp(other->address, s.at.address, is_v6 ? 16 : 4) == 0) {
            return;
        }
    }
    if (!lookup_server_has_route(&s.at)) {
        n->has_unroutable = true;
    } else if (n->server_count < NAMESERVERS_MAX) {
        n->servers[n->server_count++] = s;
    }
}

static void nameservers_on_address(void *arg, const struct lookup_answer *answer)
{
    struct address_lookup *a = arg;
    struct nameservers *n = a->finder;
    CHECK(n->magic == NAMESERVERS_MAGIC);
    a->lookup = NULL;
    if (answer->result == LOOKUP_ANSWERED) {
        struct dnsmsg_iter it = dnsmsg_records(answer->msg);
        struct dnsmsg_record r;
        unsigned taken = 0;
        while (taken < PER_LOOKUP_MAX && dnsmsg_next(&it, &r)) {
            const uint8_t *address = dnsmsg_address(answer->msg, &r);
            if (r.section == DNS_ANSWER && address != NULL) {
                add_server(n, n->names[a->name], address, r.type == DNS_AAAA);
                taken++;
            }
        }
    }
    if (--n->pending == 0) {
        finish(n);
    }
}

static void nameservers_on_ns(void *arg, const struct lookup_answer *answer)
{
    struct nameservers *n = arg;
    CHECK(n->magic == NAMESERVERS_MAGIC);
    n->lookup = NULL;
    if (answer->result != LOOKUP_ANSWERED) {
        fail_lookup(n, "NS records", n->zone, answer->text);
        return;
    }
    struct dnsmsg_iter it = dnsmsg_records(answer->msg);
    struct dnsmsg_record r;
    while (n->name_count < NAMES_MAX && dnsmsg_next(&it, &r)) {
        char name[DNS_NAME_TEXT_MAX];
        if (r.section == DNS_ANSWER && r.type == DNS_NS && strcmp(r.owner, n->zone) == 0 &&
            dnsmsg_name(answer->msg, &r, name) && dns_name_is_plain(name)) {
            memcpy(n->names[n->name_count++], name, strlen(name) + 1);
        }
    }
    if (n->name_count == 0) {
        fail_lookup(n, "NS records", n->zone, "there are none");
        return;
    }
    for (size_t i = 0; i < n->name_count * 2; i++) {
        struct address_lookup *a = &n->addresses[i];
        *a = (struct address_lookup){.finder = n, .name = i / 2};
        n->pending++;
        a->lookup =
            ask(n, n->names[i / 2], i % 2 == 0 ? DNS_A : DNS_AAAA, nameservers_on_address, a);
    }
}

/* The owner of the SOA that the answer about `asked` holds. */
static bool find_zone(const struct dnsmsg *m, const char *asked, char out_zone[256])
{
    struct dnsmsg_iter it = dnsmsg_records(m);
    struct dnsmsg_record r;
    while (dnsmsg_next(&it, &r)) {
        bool fits = (r.section == DNS_ANSWER && strcmp(r.owner, asked) == 0) ||
                    (r.section == DNS_AUTHORITY && nameservers_is_within(asked, r.owner));
        if (r.type == DNS_SOA && fits && dns_name_is_plain(r.owner)) {
            memcpy(out_zone, r.owner, strlen(r.owner) + 1);
            return true;
        }
    }
    return false;
}

static void nameservers_on_soa(void *arg, const struct lookup_answer *answer)
{
    struct nameservers *n = arg;
    CHECK(n->magic == NAMESERVERS_MAGIC);
    n->lookup = NULL;
    if (answer->result != LOOKUP_ANSWERED) {
        fail_lookup(n, "SOA record", n->candidate, answer->text);
        return;
    }
    if (find_zone(answer->msg, n->candidate, n->zone)) {
        n->lookup = ask(n, n->zone, DNS_NS, nameservers_on_ns, n);
        return;
    }
    const char *dot = strchr(n->candidate, '.');
    if (dot == NULL) {
        fail_lookup(n, "zone", n->record, "there is none; the domain is not delegated in DNS");
        return;
    }
    n->candidate = dot + 1;
    n->lookup = ask(n, n->candidate, DNS_SOA, nameservers_on_soa, n);
}

struct nameservers *nameservers_find(struct loop *loop, const struct acme_settings *settings,
                                     const char *name, nameservers_done_fn *done, void *arg)
{
    struct nameservers *n = xcalloc(1, sizeof *n);
    n->magic = NAMESERVERS_MAGIC;
    n->loop = loop;
    n->done = done;
    n->arg = arg;
    n->authority_port = settings->authority_port == 0 ? DNS_PORT : settings->authority_port;
    n->resolver_count = nameservers_resolvers(settings, n->resolvers);
    (void)snprintf(n->record, sizeof n->record, "%s", name);
    for (char *p = n->record; *p != '\0'; p++) {
        *p = ascii_lower(*p);
    }
    n->candidate = n->record;
    n->lookup = ask(n, n->candidate, DNS_SOA, nameservers_on_soa, n);
    return n;
}

void nameservers_cancel(struct nameservers *n)
{
    if (n != NULL) {
        CHECK(n->magic == NAMESERVERS_MAGIC);
        destroy(n);
    }
}

size_t nameservers_resolvers(const struct acme_settings *settings,
                             struct lookup_server out_servers[LOOKUP_SERVERS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < settings->resolver_count && count < LOOKUP_SERVERS_MAX; i++) {
        count += lookup_server_parse(str_of(settings->resolvers[i]), DNS_PORT, &out_servers[count]);
    }
    struct str rest = str_of(settings->bootstrap_resolvers);
    struct str one;
    while (settings->resolver_count == 0 && rest.ptr != NULL && count < LOOKUP_SERVERS_MAX &&
           str_next(&rest, ',', &one)) {
        count += lookup_server_parse(one, DNS_PORT, &out_servers[count]);
    }
    return count;
}

bool nameservers_is_within(const char *name, const char *zone)
{
    size_t name_len = strlen(name);
    size_t zone_len = strlen(zone);
    return name_len >= zone_len && strcmp(name + name_len - zone_len, zone) == 0 &&
           (name_len == zone_len || name[name_len - zone_len - 1] == '.');
}
