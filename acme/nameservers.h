/* nameservers: who answers for a name with authority, found as a resolver would.
 *
 * From the closest SOA come the zone, from its NS records the servers, from their A and
 * AAAA records where they are; addresses this host has no route to (IPv6 without IPv6)
 * are left out. The questions go to the configured resolvers, else to the bootstrap
 * resolvers, else to those of /etc/resolv.conf. Asynchronous; the loop's thread.
 */
#ifndef WOS_ACME_NAMESERVERS_H
#define WOS_ACME_NAMESERVERS_H

#include "acme/lookup.h"
#include "acme/settings.h"
#include "base/loop.h"

enum { NAMESERVERS_MAX = 32 };

struct nameserver {
    char name[254];
    struct lookup_server at;
};

struct nameservers_found {
    const char *zone;
    const struct nameserver *servers; /* at least one */
    size_t count;
};

struct nameservers;

/* `found` NULL: `problem` says why, a part of a sentence: "the NS records of example.com:
 * SERVFAIL". Once, from the loop; not after nameservers_cancel. Both are borrowed for the call. */
typedef void nameservers_done_fn(void *arg, const struct nameservers_found *found,
                                 const char *problem);

struct nameservers *nameservers_find(struct loop *loop, const struct acme_settings *settings,
                                     const char *name, nameservers_done_fn *done, void *arg);
/* NULL is allowed. */
void nameservers_cancel(struct nameservers *n);

/* The resolvers to ask by the settings; 0: those of /etc/resolv.conf. What does not parse is
 * left out (the configuration was checked). */
size_t nameservers_resolvers(const struct acme_settings *settings,
                             struct lookup_server out_servers[LOOKUP_SERVERS_MAX]);
/* True if `name` is `zone` or below it; both lower-case. */
bool nameservers_is_within(const char *name, const char *zone);

#endif
