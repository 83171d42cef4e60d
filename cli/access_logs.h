/* access_logs: `wos logs --access`: who asked for what. */
#ifndef WOS_CLI_ACCESS_LOGS_H
#define WOS_CLI_ACCESS_LOGS_H

#include "cli/args.h"
#include "cli/command.h"

/* Runs with the options of cmd_logs; the exit code. */
int access_logs_run(struct cli *cli, const struct args *args);

#endif
