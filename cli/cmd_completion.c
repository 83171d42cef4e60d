/* cmd_completion: `wos completion SHELL`: a script for the shell's completion. */
#include <stdio.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/manual.h"

static int completion_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    struct buf script = {0};
    if (argc != 1) {
        (void)err_set(&err, ERR_USAGE, "completion takes bash, zsh or fish");
        return command_fail(cli, &err);
    }
    if (manual_completion(argv[0], &script, &err) < 0) {
        return command_fail(cli, &err);
    }
    cJSON *data = NULL;
    if (cli->json) {
        data = json_add_str(cJSON_CreateObject(), "script", buf_cstr(&script));
    } else {
        printf("%s", buf_cstr(&script));
    }
    buf_fini(&script);
    return command_succeed(cli, data);
}

const struct command cmd_completion = {
    .name = "completion",
    .args = "bash | zsh | fish",
    .summary = "print a script that completes wos commands in a shell",
    .help = "  bash  source it, or put it into /etc/bash_completion.d\n"
            "  zsh   put it as _wos into a directory of fpath\n"
            "  fish  put it as wos.fish into ~/.config/fish/completions\n"
            "\n"
            "An installed wos has them in place.\n"
            "\n"
            "Example:\n"
            "  source <(wos completion bash)\n",
    .run = completion_run,
};
