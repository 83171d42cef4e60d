/* certkeeper: the certificates in use and the session ticket keys: who has them, who gets them.
 *
 * One certsource (certsource.h) for the tunnel and one for the local web listener, each when its
 * ssl block is on; a second pair beside each (second_pair.h). All that the gateway
 * may show goes to the publisher: the tunnel's first, the web listener's for the UI's own name.
 * Files are looked at every two seconds. One thread: the daemon's loop; blocks on small files.
 */
#ifndef WOS_DAEMON_CERTKEEPER_H
#define WOS_DAEMON_CERTKEEPER_H

#include <cjson/cJSON.h>

#include "acme/renewer.h"
#include "base/fetch.h"
#include "base/loop.h"
#include "certs/cert.h"
#include "daemon/config.h"
#include "daemon/publisher.h"

struct certkeeper;
struct certsource;

struct certkeeper_spec {
    struct loop *loop;
    struct fetch_client *fetch;
    const struct config *config;
    struct publisher *publisher;
    /* The web listener has another pair: certkeeper_web. May be NULL. */
    void (*on_web)(void *arg);
    /* certificate.* events; takes the tree. May be NULL. */
    void (*on_event)(void *arg, cJSON *event);
    void *arg;
};

/* Loads at once and hands the pairs to the publisher. */
struct certkeeper *certkeeper_new(const struct certkeeper_spec *spec);
void certkeeper_free(struct certkeeper *k);
enum { CERTKEEPER_WEB_MAX = 2 };
/* The web listener's pairs, of different kinds of key: how many, 0 when web.ssl is off or nothing
 * can be served. Borrowed until on_web. */
size_t certkeeper_web(const struct certkeeper *k, struct snapshot_cert out[CERTKEEPER_WEB_MAX]);
/* Of the listener "tunnel" or "web"; NULL: it has no TLS. Borrowed. */
struct certsource *certkeeper_source(const struct certkeeper *k, const char *kind);
/* Of the listener "tunnel" or "web"; NULL unless its source is a CA. */
struct renewer *certkeeper_renewer(const struct certkeeper *k, const char *kind);
/* The CERTIFICATE of docs/API.md of one listener; k may be NULL: disabled. */
cJSON *certkeeper_json(const struct certkeeper *k, const char *kind);
/* Both, in an array. */
cJSON *certkeeper_list_json(const struct certkeeper *k);

#endif
