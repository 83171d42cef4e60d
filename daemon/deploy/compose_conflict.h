/* compose_conflict: does Docker complain that a host port is taken, and which? Pure. */
#ifndef WOS_DAEMON_DEPLOY_COMPOSE_CONFLICT_H
#define WOS_DAEMON_DEPLOY_COMPOSE_CONFLICT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

bool conflict_is(struct str text);
/* ":20017" is in the text, and no longer number. */
bool conflict_names_port(struct str text, uint16_t port);

#endif
