/* names: which public host name belongs to whom.
 *
 * A name, once given, goes to the same (owner, service, port) again, and to
 * nobody else, until its owner is forgotten. One thread.
 */
#ifndef WOS_DAEMON_NAMES_H
#define WOS_DAEMON_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"

struct name; /* one name and whose it is */

struct names {
    char *domain;       /* owned; lower-case */
    struct map by_host; /* host → struct name, owned */
    struct map by_key;  /* owner/service/port → the same */
};

enum { NAME_ATTEMPTS_MAX = 10000 };

void names_init(struct names *n, const char *domain);
void names_fini(struct names *n);
/* The name the key has, or NULL. Borrowed. */
const char *names_find(const struct names *n, const char *owner, const char *service,
                       uint16_t port);
/* The name the key has, or a new one: "<worktree>[N]-<service>[-<port>].<domain>", N = 2, 3, … only
 * when the ones before are taken. Borrowed; NULL with the error. */
const char *names_give(struct names *n, const char *owner, const char *worktree,
                       const char *service, uint16_t port, bool is_first, struct err *err);
/* Takes this very name for the key. Refused when it is somebody else's, or not
 * under the domain. A name the key had before is given free. */
int names_keep(struct names *n, const char *owner, const char *service, uint16_t port,
               const char *host, struct err *err);
/* Frees the key's name. */
void names_drop(struct names *n, const char *owner, const char *service, uint16_t port);
/* Frees every name of the owner. */
void names_forget(struct names *n, const char *owner);
/* Whose name it is, or NULL. Borrowed. */
const char *names_owner(const struct names *n, const char *host);

#endif
