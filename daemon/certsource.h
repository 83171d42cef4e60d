/* certsource: one certificate, and where it comes from: the local CA, two files, or a CA over ACME.
 *
 * What is served never becomes nothing while anything can be served: a source that fails keeps
 * what it had; where it has nothing (left), a certificate of the local CA stands in, and at
 * the very last one made in memory. Which of these it is, and why, is in the JSON and the log.
 *
 * Life: certsource_new loads at once; certsource_look, every few seconds, notices changed files,
 * an expired pair, an ageing leaf. `on_change` comes when a CA's certificate arrived in between.
 * The daemon's loop; blocks on small files.
 */
#ifndef WOS_DAEMON_CERTSOURCE_H
#define WOS_DAEMON_CERTSOURCE_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "acme/renewer.h"
#include "base/fetch.h"
#include "base/loop.h"
#include "certs/cert.h"
#include "daemon/acme_settings.h"
#include "daemon/config.h"

struct certsource;

struct certsource_spec {
    struct loop *loop;
    struct fetch_client *fetch;
    const struct config *config;  /* borrowed for life */
    const struct config_ssl *ssl; /* of the above */
    const char *kind;             /* "tunnel" | "web"; a constant */
    const char *domain;           /* local certificates are for it and the names under it */
    const char *const *names;     /* asked of a CA; copied */
    size_t name_count;
    void (*on_change)(void *arg);
    void (*on_event)(void *arg, cJSON *event); /* of renewer.h; takes the tree */
    void *arg;
};

struct certsource *certsource_new(const struct certsource_spec *spec);
void certsource_free(struct certsource *s);
/* True when there is another pair to serve. */
bool certsource_look(struct certsource *s);

/* What is served; NULL and empty when nothing can be. Borrowed until the next look or change. */
const struct cert *certsource_cert(const struct certsource *s);
struct str certsource_chain(const struct certsource *s);
struct str certsource_key(const struct certsource *s); /* secret */
/* NULL unless the source is a CA. */
struct renewer *certsource_renewer(const struct certsource *s);
/* Of the CA, read anew, for acme_config_fini; false unless the source is one. */
bool certsource_settings(const struct certsource *s, struct acme_config *out);
/* What is asked of a CA. Borrowed. */
const char *const *certsource_names(const struct certsource *s, size_t *out_count);
/* True when what is served is not what the source is meant to give. */
bool certsource_is_standing_in(const struct certsource *s);
/* The local CA made a certificate since certsource_new. s may be NULL. */
bool certsource_has_issued(const struct certsource *s);
/* CERTIFICATE of docs/API.md; s may be NULL: disabled. */
cJSON *certsource_json(const struct certsource *s, const char *kind);

#endif
