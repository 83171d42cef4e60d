/* config_rules: what config.json's keys mean together. Internal to config.c. */
#ifndef WOS_DAEMON_CONFIG_RULES_H
#define WOS_DAEMON_CONFIG_RULES_H

#include <cjson/cJSON.h>

#include "daemon/config.h"

/* What is wrong; then, behind the last "; " of `fmt`, what is done about it. */
void config_problem(struct config *c, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* What comes of a problem that was named before. */
void config_follow_up(struct config *c, const char *key, const char *message);
/* Something a person should know although every value is in force. */
void config_warning(struct config *c, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* After all keys were read one by one: aliases, blocks that need others, names.
 * `root` may be NULL or no object. */
void config_rules_apply(struct config *c, const cJSON *root);

#endif
