/* cmd_down: `wos down`: stop this worktree's services, close its routes. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/launch.h"

static const char never_deployed[] =
    "no wos deployment has been initialized for the current worktree";

/* Down of what never was up is done already. */
static int down_nothing(struct cli *cli)
{
    if (!cli->json) {
        printf("%s\n", never_deployed);
    }
    cJSON *data = cJSON_CreateObject();
    json_add_str(data, "message", never_deployed);
    return command_succeed(cli, data);
}

static int down_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    if (command_has_args(cli, argc, argv, &err)) { /* `wos down web` must not stop all the others */
        return command_fail(cli, &err);
    }
    autojson cJSON *request = follow_request(cli);
    autojson cJSON *accepted = NULL;
    if (launch_ensure(cli, NULL, NULL, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (client_call(cli->client, "POST", "/worktrees/down", request, &accepted, &err) < 0) {
        const char *word = client_error_word(cli->client);
        bool nothing = word != NULL && strcmp(word, "not-deployed") == 0;
        return nothing ? down_nothing(cli) : command_fail(cli, &err);
    }
    if (follow_operation(cli, json_get_str(accepted, "operationId", ""), NULL, true, &err) < 0) {
        if (client_interrupted(cli->client)) {
            (void)err_set(&err, ERR_FAILED,
                          "no longer waiting; services are still being stopped (`wos status`)");
            (void)command_fail(cli, &err);
            return EXIT_INTERRUPTED;
        }
        return command_fail(cli, &err);
    }
    cJSON *data = accepted;
    accepted = NULL;
    return command_succeed(cli, data);
}

const struct command cmd_down = {
    .name = "down",
    .args = "",
    .summary = "stop this worktree's services and close its routes",
    .help = "A deployment that is under way is cancelled first. Prints nothing when all is well.\n"
            "\n"
            "Example:\n"
            "  wos down\n",
    .run = down_run,
};
