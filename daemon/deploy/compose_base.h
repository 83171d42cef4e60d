/* compose_base: the user's compose file without the ports of its services.
 *
 * What a service publishes in the user's file would be bound on every interface, and twice in
 * two worktrees; wos publishes what deploy.yaml exposes, in an overlay. The rest is written
 * again as it means: anchors, aliases and merge keys are followed, tags and the style of scalars
 * stay, `extends.file` becomes absolute. Any bytes give a text or an error; bounds as for
 * deploy.yaml (1 MiB, 64 levels; after aliases 50,000 nodes and 8 MiB). Pure; any thread.
 */
#ifndef WOS_DAEMON_DEPLOY_COMPOSE_BASE_H
#define WOS_DAEMON_DEPLOY_COMPOSE_BASE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum { COMPOSE_TEXT_MAX = 1024 * 1024 }; /* bytes of a file */

/* What a service's own environment is made of: "K=v" or "K", or the path of an env_file as it is
 * written there. Not what `extends` adds. */
struct compose_setting {
    size_t service; /* in the list of services */
    char *text;     /* owned */
    bool is_file;
};

/* What a service extends. Of several the last one counts: those before it came by merge keys. */
struct compose_extension {
    size_t service; /* in the list of services */
    char *from;     /* owned: the other service; NULL: it is not said */
    char *file;     /* owned, absolute: where that is; NULL: in the same file */
};

struct compose_base {
    struct buf text;
    char *version;   /* owned; NULL: the file has none */
    char **services; /* owned names, in the file's order */
    size_t service_count;
    struct compose_setting *settings; /* owned */
    size_t setting_count;
    struct compose_extension *extensions; /* owned */
    size_t extension_count;
    bool has_include;  /* further services may come from other files */
    struct buf others; /* the files named by include and extends: "a.yml, b.yml" */
};

/* file: for messages ("file:line:column: …"); dir: what relative paths mean. Zero *out before. */
int compose_base_make(struct str text, const char *file, const char *dir, struct compose_base *out,
                      struct err *err);
bool compose_base_has(const struct compose_base *base, const char *service);
void compose_base_fini(struct compose_base *base);

#endif
