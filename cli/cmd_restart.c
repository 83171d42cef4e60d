/* cmd_restart: `wos restart`: a new daemon; the gateway serves all along. */
#include <stdio.h>

#include "base/json.h"
#include "cli/command.h"
#include "cli/launch.h"

static int restart_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    bool found = false;
    if (command_has_args(cli, argc, argv, &err)) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        fprintf(stderr, "wos: restarting daemon...\n");
    }
    autojson cJSON *health = NULL;
    if (launch_end(cli, "restart", &found, &err) < 0 ||
        launch_ensure(cli, &health, NULL, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        fprintf(stderr, "wos: daemon restarted successfully\n");
    }
    cJSON *data = cJSON_CreateObject();
    json_add_bool(data, "wasRunning", found);
    json_add_int(data, "pid", json_get_int(health, "pid", 0));
    json_add_str(data, "webUrl", json_get_str(health, "webUrl", NULL));
    return command_succeed(cli, data);
}

const struct command cmd_restart = {
    .name = "restart",
    .args = "",
    .summary = "start the daemon anew, with its configuration read again",
    .help = "The gateway goes on serving; requests, downloads and WebSockets under way are not\n"
            "disturbed. After an update the new binary's gateway takes over the same way.\n"
            "\n"
            "Example:\n"
            "  wos restart\n",
    .run = restart_run,
};
