/* cmd_help: `wos help`. */
#include "base/auto.h"
#include "base/json.h"
#include "cli/command.h"

static cJSON *help_list(void)
{
    cJSON *data = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(data, "commands");
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (commands[i]->summary != NULL) {
            cJSON *item = cJSON_CreateObject();
            json_add_str(item, "name", commands[i]->name);
            json_add_str(item, "args", commands[i]->args);
            json_add_str(item, "summary", commands[i]->summary);
            cJSON_AddItemToArray(list, item);
        }
    }
    return data;
}

static int help_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    const struct command *about = argc > 0 ? command_find(argv[0]) : NULL;
    if (argc > 1 || (argc == 1 && about == NULL)) {
        (void)err_set(&err, ERR_USAGE, "there is no command '%s'", argv[argc - 1]);
        return command_fail(cli, &err);
    }
    if (cli->json) {
        return command_succeed(cli, help_list());
    }
    command_print_help(about);
    return command_succeed(cli, NULL);
}

const struct command cmd_help = {
    .name = "help",
    .args = "[COMMAND]",
    .summary = "list the commands, or explain one",
    .help = "Example:\n"
            "  wos help up\n",
    .run = help_run,
};
