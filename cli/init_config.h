/* init_config: `wos init` with any of --host, --port, --backend, --yes, --install-tmux and
 * --install-plugins: the first config.json of a machine, for scripts; asks nothing. */
#ifndef WOS_CLI_INIT_CONFIG_H
#define WOS_CLI_INIT_CONFIG_H

#include <stdbool.h>

#include "cli/args.h"
#include "cli/command.h"

/* True when the options ask for config.json rather than for deploy.yaml. */
bool init_config_is_asked(const struct args *args);
/* Puts web.host, web.port and terminalBackend into config.json: as given, else as they are in
 * force. All other keys stay. Returns the exit code; 1 when the result could not be used. */
int init_config_run(struct cli *cli, const struct args *args);

#endif
