/* envfile: the reader of env files, by the rules by which Compose reads them:
 *
 *     # a comment                     lines without a value are skipped
 *     A=one two # a comment           up to a '#' after a space; spaces around it are cut off
 *     export B=x                      the same as B=x
 *     C='$A\n'                        as it is; over several lines, too; \' is a quote
 *     D="$A ${B} ${E:-none}\n"        over several lines, too; \n \r \t \" \\ \$ and the like
 *
 * $NAME, ${NAME} and ${NAME:-default} (where it is unset or empty; with - only: unset) stand for
 * variables of the environment or, where that has none, of the file so far, else for nothing; $$
 * is a dollar. What else Compose reads (a NAME without '=', NAME: value, ${NAME:?text} and
 * ${NAME:+text}, octal escapes, several values on one line) is an error. */
#ifndef WOS_DAEMON_DEPLOY_ENVFILE_H
#define WOS_DAEMON_DEPLOY_ENVFILE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "daemon/deploy/envlist.h"

/* Adds the file's values to `list`, which also is "the file so far". `environment` may be NULL.
 * Errors are ERR_CONFIG, "<file>:<line>: what"; the values before it stay in the list then. */
int envfile_parse(struct str text, const char *file, const struct envlist *environment,
                  struct envlist *list, struct err *err);
/* Reads a file of at most 1 MiB, with at most 4 MiB of values. */
int envfile_load(const char *path, const struct envlist *environment, struct envlist *list,
                 struct err *err);

/* Has the file a value for the name? Also in the forms that only Compose takes: "K" and "K: value".
 * What stands inside of quotes is no name. False for a file that cannot be read. */
bool envfile_names(const char *path, const char *name);

#endif
