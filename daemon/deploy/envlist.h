/* envlist: a process environment being put together, later settings winning. */
#ifndef WOS_DAEMON_DEPLOY_ENVLIST_H
#define WOS_DAEMON_DEPLOY_ENVLIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* Zero-initialised is empty and valid. */
struct envlist {
    char **items; /* owned "K=V" strings; NULL-terminated once non-empty */
    size_t count;
    size_t cap;
};

void envlist_set(struct envlist *list, struct str key, struct str value);
/* Adds every "K=V" of a NULL-terminated array; entries without '=' are skipped. */
void envlist_add_all(struct envlist *list, const char *const *env);
/* The value or NULL. */
const char *envlist_get(const struct envlist *list, const char *key);
/* For subprocess_spec.env: never NULL, valid until the next change. */
const char *const *envlist_array(struct envlist *list);
void envlist_fini(struct envlist *list);

#endif
