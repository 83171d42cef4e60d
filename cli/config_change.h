/* config_change: changes of config.json by a command. A daemon that runs makes them and applies
 * what it can at once; where none runs they go into the file. */
#ifndef WOS_CLI_CONFIG_CHANGE_H
#define WOS_CLI_CONFIG_CHANGE_H

#include <cjson/cJSON.h>

#include "base/err.h"
#include "cli/command.h"

/* `request` is {"set": {key: value}, "unset": [key]}. Nothing is written when anything in it
 * cannot be: then every problem is a line of the error, whose code is ERR_USAGE. `*out_answer`
 * (the caller's) has "path" and "problems", from a daemon "restartKeys" too. */
int config_change_send(struct cli *cli, const cJSON *request, cJSON **out_answer, struct err *err);
/* What a person should know of such an answer, on stderr. */
void config_change_print(const struct cli *cli, const cJSON *answer);

#endif
