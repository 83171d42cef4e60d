/* config_effective: what is in force, as JSON of the file's shape. */
#ifndef WOS_DAEMON_CONFIG_EFFECTIVE_H
#define WOS_DAEMON_CONFIG_EFFECTIVE_H

#include <cjson/cJSON.h>

#include "daemon/config.h"

/* Every key with its value, defaults too, unset ones left out; no secrets, and no keys that this
 * version only checks. The caller's. */
cJSON *config_effective_json(const struct config *c);
/* Adds the value (taken) under "a.b.c", making the objects on the way. */
void config_tree_add(cJSON *root, const char *path, cJSON *value);

#endif
