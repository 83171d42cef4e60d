/* cmd_stop: `wos stop`: daemon and gateway end, services go on. */
#include <stdio.h>

#include "base/json.h"
#include "cli/command.h"
#include "cli/launch.h"

static int stop_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    bool found = false;
    if (command_has_args(cli, argc, argv, &err) || launch_end(cli, "stop", &found, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        fprintf(stderr, "wos: %s\n", found ? "daemon stopped" : "no daemon was running");
    }
    cJSON *data = cJSON_CreateObject();
    json_add_bool(data, "stopped", found);
    return command_succeed(cli, data);
}

const struct command cmd_stop = {
    .name = "stop",
    .args = "",
    .summary = "stop the daemon and its gateway; services keep running",
    .help =
        "No route is served until the next `wos start`. `wos down` stops a worktree's services.\n"
        "\n"
        "Example:\n"
        "  wos stop\n",
    .run = stop_run,
};
