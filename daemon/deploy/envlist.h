/* envlist: a process environment being put together, later settings winning;
 * and the reader of KEY=value files. */
#ifndef WOS_DAEMON_DEPLOY_ENVLIST_H
#define WOS_DAEMON_DEPLOY_ENVLIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
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

/* Adds the KEY=value lines of `text`: '#' comments and blank lines are
 * skipped, one pair of surrounding quotes is stripped. Errors are
 * "<file>:<line>: what". */
int envfile_parse(struct str text, const char *file, struct envlist *list, struct err *err);
/* Has the file a line for the name? Also one of the forms that only Compose takes: "export K=v",
 * "K". False for a file that cannot be read. */
bool envfile_names(const char *path, const char *name);
/* Reads a file of at most 1 MiB. */
int envfile_load(const char *path, struct envlist *list, struct err *err);

#endif
