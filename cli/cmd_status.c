/* cmd_status: `wos status`: this worktree's services, or all that the daemon has. */
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/launch.h"
#include "cli/print.h"

static int status_all(struct cli *cli)
{
    struct err err = {0};
    cJSON *all = NULL;
    if (client_call(cli->client, "GET", "/status/all", NULL, &all, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        struct buf text = {0};
        struct print_style style = print_style_of(stdout);
        print_overview(all, &style, &text);
        print_flush(stdout, &text);
        buf_fini(&text);
    }
    return command_succeed(cli, all);
}

static void status_print(const cJSON *detail)
{
    const char *status = json_get_str(json_get(detail, "worktree"), "status", "");
    const char *failure = json_get_str(json_get(detail, "failureContext"), "message", NULL);
    if (strcmp(status, "not_started") == 0 &&
        cJSON_GetArraySize(json_get(detail, "services")) == 0) {
        printf("no wos deployment has been initialized for the current worktree\n");
        return;
    }
    struct buf text = {0};
    struct print_style style = print_style_of(stdout);
    print_status(detail, &style, &text);
    print_flush(stdout, &text);
    buf_fini(&text);
    if (failure != NULL && strcmp(status, "failed") == 0) {
        fprintf(stderr, "wos status: the last deployment failed: %s\n", failure);
    }
}

static int status_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {{"--all", NULL, false}};
    struct args args;
    struct err err = {0};
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    bool all = args_has(&args, "--all");
    bool has_words = args.word_count > 0;
    if (has_words) {
        (void)err_set(&err, ERR_USAGE, "status takes no '%s'", args.words[0]);
    }
    args_fini(&args);
    if (has_words) {
        return command_fail(cli, &err);
    }
    if (launch_ensure(cli, NULL, NULL, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (all) {
        return status_all(cli);
    }
    cJSON *detail = NULL;
    if (follow_detail(cli, &detail, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        status_print(detail);
    }
    return command_succeed(cli, detail);
}

const struct command cmd_status = {
    .name = "status",
    .args = "[--all]",
    .summary = "show this worktree's services, their addresses, health and names",
    .help = "  --all   the daemon, the tunnel, the certificate, and every session and route\n"
            "\n"
            "Examples:\n"
            "  wos status\n"
            "  wos status --all --json\n",
    .run = status_run,
};
