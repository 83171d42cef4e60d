/* config_other: the keys of config.json that this version checks and, but for logging.modules,
 * does not use (KEY_OTHER in config_keys.c). A person who writes one wrong is told so here, as with
 * any other key; another version may read the file next. */
#ifndef WOS_DAEMON_CONFIG_OTHER_H
#define WOS_DAEMON_CONFIG_OTHER_H

#include <cjson/cJSON.h>

#include "daemon/config.h"

/* Names what is wrong. `root` may be NULL or no object. Never quotes a secret. */
void config_other_check(struct config *c, const cJSON *root);

#endif
