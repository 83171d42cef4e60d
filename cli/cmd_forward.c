/* cmd_forward: `wos forward`: the process that makes services reachable at serviceBind. Hidden:
 * the daemon starts it with listening sockets. */
#include <fcntl.h>

#include "cli/command.h"
#include "daemon/forward.h"

static int forward_run(struct cli *cli, int argc, char **argv)
{
    if (argc < 1 || fcntl(FORWARD_FIRST_FD, F_GETFD) < 0) {
        struct err err = {0};
        (void)err_set(&err, ERR_USAGE, "the daemon starts it, with sockets from descriptor %d on",
                      FORWARD_FIRST_FD);
        return command_fail(cli, &err);
    }
    return forward_main(argc, argv);
}

const struct command cmd_forward = {
    .name = "forward",
    .args = "PORT…",
    .summary = NULL,
    .help = "The daemon starts this process where serviceBind is set; see docs/ARCHITECTURE.md.\n"
            "\n"
            "Example:\n"
            "  wos config set serviceBind 192.0.2.7\n",
    .run = forward_run,
};
