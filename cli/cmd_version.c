/* cmd_version: `wos version`. */
#include <stdio.h>

#include "base/build.h"
#include "base/json.h"
#include "cli/command.h"

static int version_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    if (command_has_args(cli, argc, argv, &err)) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        printf("wos %s\n", build_id());
    }
    cJSON *data = cJSON_CreateObject();
    json_add_str(data, "version", build_version());
    json_add_str(data, "build", build_id());
    return command_succeed(cli, data);
}

const struct command cmd_version = {
    .name = "version",
    .args = "",
    .summary = "print the version and the build",
    .help = "Two processes with the same build run the same binary.\n"
            "\n"
            "Example:\n"
            "  wos version --json\n",
    .run = version_run,
};
