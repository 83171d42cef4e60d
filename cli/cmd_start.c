/* cmd_start: `wos start`. With --foreground this process becomes the daemon. */
#include "cli/command.h"

#include <stdio.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/args.h"
#include "cli/launch.h"
#include "daemon/daemon.h"

static int start_background(struct cli *cli)
{
    struct err err = {0};
    autojson cJSON *health = NULL;
    bool started = false;
    if (launch_ensure(cli, &health, &started, &err) < 0) {
        return command_fail(cli, &err);
    }
    const char *url = json_get_str(health, "webUrl", NULL);
    if (!cli->json) {
        fprintf(stderr, "wos: %s\n", started ? "daemon started" : "daemon is already running");
        if (url != NULL) {
            printf("Web UI: %s\n", url);
        } else {
            fprintf(stderr, "wos: the web UI has no port (`wos status --all` says why)\n");
        }
    }
    cJSON *data = cJSON_CreateObject();
    json_add_bool(data, "started", started);
    json_add_int(data, "pid", json_get_int(health, "pid", 0));
    json_add_str(data, "home", cli->home);
    json_add_str(data, "webUrl", url);
    return command_succeed(cli, data);
}

static int start_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {{"--foreground", NULL, false}};
    struct args args;
    struct err err = {0};
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    bool foreground = args_has(&args, "--foreground");
    int result = 0;
    if (args.word_count > 0) {
        result = err_set(&err, ERR_USAGE, "start takes no '%s'", args.words[0]);
    }
    args_fini(&args);
    if (result < 0) {
        return command_fail(cli, &err);
    }
    if (!foreground) {
        return start_background(cli);
    }
    if (dir_make(cli->home, 0700, &err) < 0) {
        return command_fail(cli, &err);
    }
    return daemon_main(cli->home, true);
}

const struct command cmd_start = {
    .name = "start",
    .args = "[--foreground]",
    .summary = "start the daemon (other commands do so when they need it)",
    .help = "  --foreground   stay in this terminal and log to it; Ctrl-C ends the daemon\n"
            "\n"
            "One daemon runs per home ($WOS_HOME, else ~/.wos). In the background its output goes\n"
            "to daemon.log in the home.\n"
            "\n"
            "Example:\n"
            "  wos start\n",
    .run = start_run,
};
