/* cmd_gateway: `wos gateway`: the process the daemon starts to serve the routes.
 * Hidden: it is of no use without the socket the daemon gives it. */
#include <fcntl.h>

#include "cli/command.h"
#include "gateway/link_protocol.h"

static int gateway_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    if (command_has_args(cli, argc, argv, &err)) {
        return command_fail(cli, &err);
    }
    if (fcntl(LINK_FD, F_GETFD) < 0) {
        (void)err_set(&err, ERR_USAGE, "the daemon starts it, with a socket as descriptor %d",
                      LINK_FD);
        return command_fail(cli, &err);
    }
    return gateway_main();
}

const struct command cmd_gateway = {
    .name = "gateway",
    .args = "",
    .summary = NULL,
    .help = "The daemon starts this process; see docs/ARCHITECTURE.md.\n"
            "\n"
            "Example:\n"
            "  wos status --all   (shows the gateway's state)\n",
    .run = gateway_run,
};
