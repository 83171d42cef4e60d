/* follow: watch one operation of the daemon to its end, telling a person. */
#ifndef WOS_CLI_FOLLOW_H
#define WOS_CLI_FOLLOW_H

#include "base/err.h"
#include "cli/command.h"

/* The event stream of the operation: steps, retries and failures on stderr, the
 * init scripts' output on both streams; nothing with --json or `quiet`. `mode` of deploy.yaml
 * (NULL: shell) names the step that starts services. 0 when it succeeded. -1 when it failed, the
 * daemon was lost, or (client_interrupted) the user had enough: the operation then goes on. */
int follow_operation(struct cli *cli, const char *operation_id, const char *mode, bool quiet,
                     struct err *err);

/* The worktree that cli->cwd is in: its WorktreeDetail (docs/API.md), the caller's. */
int follow_detail(struct cli *cli, cJSON **out_detail, struct err *err);
/* {"path": cli->cwd}, to be added to; the caller's. */
cJSON *follow_request(const struct cli *cli);

#endif
