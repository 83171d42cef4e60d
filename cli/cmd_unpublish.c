/* cmd_unpublish: `wos unpublish`: the end of a published name. */
#include "base/auto.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/launch.h"
#include "cli/print.h"

static int unpublish_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    if (argc != 1 || argv[0][0] == '-') {
        (void)err_set(&err, ERR_USAGE, "unpublish takes one name%s%s", argc == 0 ? "" : ", not ",
                      argc == 0 ? "" : argv[argc - 1]);
        return command_fail(cli, &err);
    }
    if (launch_ensure(cli, NULL, NULL, &err) < 0) {
        return command_fail(cli, &err);
    }
    struct buf path = {0};
    cJSON *answer = NULL;
    buf_add_text(&path, "/publish/");
    print_url_encode(&path, argv[0]);
    int result = client_call(cli->client, "DELETE", buf_cstr(&path), NULL, &answer, &err);
    buf_fini(&path);
    return result < 0 ? command_fail(cli, &err) : command_succeed(cli, answer);
}

const struct command cmd_unpublish = {
    .name = "unpublish",
    .args = "NAME",
    .summary = "end a name that `wos publish` made",
    .help = "Example:\n"
            "  wos unpublish grafana\n",
    .run = unpublish_run,
};
