/* published: ports that `wos publish` gave a name, kept in H/published.json and, since that was
 * written, H/published.log. One thread: the daemon's loop; blocks on those files. */
#ifndef WOS_DAEMON_PUBLISHED_H
#define WOS_DAEMON_PUBLISHED_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/publisher.h"

struct published;

/* Loads the file and sets the routes. */
struct published *published_new(const char *home, struct publisher *publisher);
void published_free(struct published *p);
/* Adds or replaces (with the options, which are copied), stores, publishes; `done` as in
 * publisher_set_routes. ERR_USAGE: not a label; ERR_BUSY: the name is another's; ERR_REFUSED: the
 * tunnel is disabled. */
int published_add(struct published *p, const char *name, uint16_t port,
                  const struct publish_options *options, publisher_done_fn *done, void *arg,
                  struct err *err);
/* ERR_NOT_FOUND when there is no such name. */
int published_remove(struct published *p, const char *name, struct err *err);
/* One, or all by name, as docs/API.md says; NULL when there is no such name. */
cJSON *published_item_json(const struct published *p, const char *name);
cJSON *published_json(const struct published *p);

#endif
