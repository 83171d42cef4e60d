/* logins: who has typed in the secret of routes with access secret, and who must do it again.
 *
 * The gateway makes a login (a cookie, good for LOGINS_DAYS) and tells; they are kept in
 * H/access/logins.json, the newest LOGINS_MAX. A revoked one is told to the gateway with
 * every snapshot until its cookie would have ended anyway. The machine's key is H/access/key
 * (daemon/accesskey.h); a new one ends every login, also those that fell out of the list.
 *
 * What cannot be read of the file could be revocations: then a new key is made. Without a key
 * (a disk that cannot be written) routes of access secret stay closed. One thread: the daemon's
 * loop; blocks on those small files.
 */
#ifndef WOS_DAEMON_LOGINS_H
#define WOS_DAEMON_LOGINS_H

#include <cjson/cJSON.h>

#include "base/err.h"
#include "base/loop.h"
#include "daemon/publisher.h"

enum { LOGINS_MAX = 1000, LOGINS_DAYS = 30, LOGINS_AGENT_MAX = 200, LOGINS_SAVE_MS = 200 };

struct logins;

/* Loads key and list and gives them to the publisher, which is borrowed. */
struct logins *logins_new(struct loop *loop, const char *home, struct publisher *publisher);
/* Writes what is not written yet. */
void logins_free(struct logins *l);

/* A LINK_EVENT frame of the gateway (gateway/link_protocol.h): "login", "seen" and "logout" are
 * taken, others ignored. Everything in it is checked. */
void logins_on_event(struct logins *l, const cJSON *event);

/* From the next snapshot on, the login does not count. `id` as in the list. ERR_USAGE: no id;
 * ERR_NOT_FOUND: nobody has it; other errors: it may not outlive the daemon. */
int logins_revoke(struct logins *l, const char *id, struct err *err);
/* Everybody: a new key. */
int logins_revoke_all(struct logins *l, struct err *err);

/* [{"id","host","address","userAgent","createdAt","lastSeenAt","expiresAt"}], newest first. */
cJSON *logins_json(const struct logins *l);
/* Why routes of access secret are closed although there is a secret, or NULL. */
const char *logins_error(const struct logins *l);

#endif
