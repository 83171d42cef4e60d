/* publisher: who wants which host name served, and the one snapshot that says so.
 *
 * Every owner (a session, "publish", "daemon") has a set of routes. Setting it
 * marks the snapshot stale; at the end of the turn one snapshot with the next
 * generation is encoded and handed to the sink (the gateway link). Level
 * triggered: always everything, so a lost or refused one heals with the next.
 *
 * Names are stable: publisher_name() gives the same host to the same (owner,
 * service, port) for as long as the publisher knows it, and what a session
 * stored is made known again with publisher_keep_name() before anything else
 * is named. A name stays taken while its owner is down; publisher_forget()
 * gives an owner's names free.
 *
 * One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_PUBLISHER_H
#define WOS_DAEMON_PUBLISHER_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"
#include "daemon/config.h"
#include "daemon/publish_options.h"
#include "routing/snapshot.h"

struct publisher;

#define PUBLISHER_OWNER_PUBLISH "publish"
#define PUBLISHER_OWNER_DAEMON "daemon"

/* One wanted route; everything is copied. */
struct publish_route {
    const char *host;      /* from publisher_name, with the domain */
    const char *worktree;  /* label shown to people */
    const char *service;   /* service name as declared, or the published name */
    uint16_t service_port; /* as declared in deploy.yaml; 0 if none */
    uint16_t port;         /* on loopback; 0 only when the state is not live */
    enum route_state state;
    struct publish_options options;
};

/* error NULL: every worker of the gateway serves the routes. Called once, from
 * the loop, never from inside the call that asked. */
typedef void publisher_done_fn(void *arg, const char *error);

/* Where encoded snapshots go. The bytes are borrowed for the call. */
typedef void publisher_sink_fn(void *arg, uint64_t generation, struct str snapshot);

/* The certificate material in use; published as it is. Borrowed for the call. */
enum { PUBLISHER_CERTS_MAX = 8 };

struct publisher_tls {
    const struct snapshot_cert *certs; /* the first is the default */
    uint32_t cert_count;               /* 0: nothing can be served; at most PUBLISHER_CERTS_MAX */
    const uint8_t (*ticket_keys)[80];
    uint32_t ticket_key_count;
};

/* `config` is borrowed for the publisher's life. The first generation follows
 * the wall clock, so that a new daemon's snapshots are newer than its
 * predecessor's. */
struct publisher *publisher_new(struct loop *loop, const struct config *config,
                                publisher_sink_fn *sink, void *sink_arg);
/* Waiters are not called. */
void publisher_free(struct publisher *p);

/* True when services get public names: tunnel enabled, a domain, and
 * tunnel.serviceTunnels.enabled. */
bool publisher_serves_services(const struct publisher *p);
/* True when anything can be published: tunnel enabled with a domain. */
bool publisher_is_enabled(const struct publisher *p);

/* The host for a port of a service. `worktree` and `service` are any text and
 * are sanitised here. `is_first` is true for the first declared port of its
 * service: its name carries no port. malloc'ed, NULL with the error. */
char *publisher_name(struct publisher *p, const char *owner, const char *worktree,
                     const char *service, uint16_t service_port, bool is_first, struct err *err);
/* Makes a stored name known. -1 when it belongs to somebody else already, or is not under the
 * domain in use: the caller then asks for a new one. */
int publisher_keep_name(struct publisher *p, const char *owner, const char *service,
                        uint16_t service_port, const char *host, struct err *err);
/* "<label>.<domain>"; malloc'ed. */
char *publisher_host_of_label(const struct publisher *p, const char *label);
/* Gives one name free. */
void publisher_forget_name(struct publisher *p, const char *owner, const char *service,
                           uint16_t service_port);
/* Whose name the host is, or NULL. Borrowed. */
const char *publisher_name_owner(const struct publisher *p, const char *host);
/* True when a route of the owner with these options is not published (access private). */
bool publisher_is_private(const struct publisher *p, const char *owner,
                          const struct publish_options *options);
/* "https://host[:port]"; malloc'ed. */
char *publisher_url(const struct publisher *p, const char *host);

/* Replaces the owner's routes. `done` may be NULL; it is called after the ack, or
 * with an error: in the next turn when the tunnel is disabled or at fault, else
 * after a refusal or 30 s. */
void publisher_set_routes(struct publisher *p, const char *owner,
                          const struct publish_route *routes, size_t count, publisher_done_fn *done,
                          void *arg);
/* The same for one route: it is added, or replaces the one of the same host; the others stay. */
void publisher_put_route(struct publisher *p, const char *owner, const struct publish_route *route,
                         publisher_done_fn *done, void *arg);
/* Hands over now what else goes at the end of the turn: for callers with something slow to do. */
void publisher_flush(struct publisher *p);
/* Changes the state of the owner's route to one port of a service. */
void publisher_set_state(struct publisher *p, const char *owner, const char *service,
                         uint16_t service_port, enum route_state state);
/* What the owner's starting services are doing, for the page that people see meanwhile. An owner
 * without routes has none. Copied. */
void publisher_set_phase(struct publisher *p, const char *owner, const char *phase);
/* No routes any more; names stay taken. */
void publisher_drop_routes(struct publisher *p, const char *owner);
/* No routes and no names any more: the owner does not exist. */
void publisher_forget(struct publisher *p, const char *owner);
/* Nobody calls `arg`'s done functions any more. */
void publisher_cancel(struct publisher *p, const void *arg);

/* Certificate and ticket keys; NULL chain = none: with tunnel.ssl on nothing is
 * published then (never plaintext instead). */
void publisher_set_tls(struct publisher *p, const struct publisher_tls *tls);

/* The key behind routes of access secret and the logins (ascending) that no longer count. Until
 * it was called such routes are closed. Copied. */
void publisher_set_access(struct publisher *p, const uint8_t key[SNAPSHOT_ACCESS_KEY],
                          const uint64_t *revoked, uint32_t revoked_count);
/* The configuration's values were replaced: all of them are looked at anew and published. */
void publisher_config_changed(struct publisher *p);
/* Publishes what there is again and says when that is served, as publisher_set_routes does. */
void publisher_await(struct publisher *p, publisher_done_fn *done, void *arg);

/* Why nothing can be served now ("port 5858 is in use …"), or NULL when it can:
 * whoever waits is told at once, instead of after the time-out. */
void publisher_set_fault(struct publisher *p, const char *fault);
/* `fn` hears of every fault that comes, changes or goes: all routes read differently then. */
typedef void publisher_fault_fn(void *arg);
void publisher_on_fault(struct publisher *p, publisher_fault_fn *fn, void *arg);

/* From the gateway link. */
void publisher_on_ack(struct publisher *p, uint64_t generation);
void publisher_on_nack(struct publisher *p, uint64_t generation, const char *error);
/* The newest snapshot, encoded now if stale; empty while there is none to serve. A new
 * gateway is started with it. Borrowed until the next turn. */
struct str publisher_snapshot(struct publisher *p, uint64_t *out_generation);
/* After adopting a gateway: generations continue above what it serves. */
void publisher_raise_generation(struct publisher *p, uint64_t at_least);

uint64_t publisher_generation(const struct publisher *p);
uint64_t publisher_served_generation(const struct publisher *p);
/* Why the last snapshot was refused or could not be made, or NULL. */
const char *publisher_error(const struct publisher *p);
/* ROUTE objects of docs/API.md, sorted by host. */
cJSON *publisher_routes_json(const struct publisher *p);
/* Adds effectiveAccess and warning of the owner's route of that host, if there is one. */
void publisher_add_access(const struct publisher *p, const char *owner, const char *host,
                          cJSON *out);
/* TUNNEL objects of one owner, sorted by service, then port. */
cJSON *publisher_tunnels_json(const struct publisher *p, const char *owner);

#endif
