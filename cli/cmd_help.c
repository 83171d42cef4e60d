/* cmd_help: `wos help`. */
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/manual.h"

static cJSON *help_item(const struct command *command)
{
    cJSON *item = cJSON_CreateObject();
    json_add_str(item, "name", command->name);
    json_add_str(item, "args", command->args);
    json_add_str(item, "summary", command->summary);
    return item;
}

static cJSON *help_list(void)
{
    cJSON *data = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(data, "commands");
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (commands[i]->summary != NULL) {
            cJSON_AddItemToArray(list, help_item(commands[i]));
        }
    }
    return data;
}

static int help_manual(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    if (strcmp(argv[0], "--man") == 0) {
        if (argc != 2) {
            (void)err_set(&err, ERR_USAGE, "--man takes a directory");
            return command_fail(cli, &err);
        }
        return manual_write_man(argv[1], &err) < 0 ? command_fail(cli, &err)
                                                   : command_succeed(cli, NULL);
    }
    struct buf text = {0};
    manual_markdown(&text);
    cJSON *data = NULL;
    if (cli->json) {
        data = cJSON_CreateObject();
        json_add_str(data, "text", buf_cstr(&text));
    } else {
        printf("%s", buf_cstr(&text));
    }
    buf_fini(&text);
    return command_succeed(cli, data);
}

static int help_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    if (argc > 0 && (strcmp(argv[0], "--man") == 0 || strcmp(argv[0], "--markdown") == 0)) {
        return help_manual(cli, argc, argv);
    }
    const struct command *about = argc > 0 ? command_find(argv[0]) : NULL;
    if (argc > 1 || (argc == 1 && about == NULL)) {
        (void)err_set(&err, ERR_USAGE, "there is no command '%s'", argv[argc - 1]);
        return command_fail(cli, &err);
    }
    if (about != NULL) {
        return command_explain(cli, about);
    }
    if (cli->json) {
        cJSON *data = about == NULL ? help_list() : help_item(about);
        if (about != NULL) {
            json_add_str(data, "help", about->help);
        }
        return command_succeed(cli, data);
    }
    command_print_help(NULL);
    return command_succeed(cli, NULL);
}

const struct command cmd_help = {
    .name = "help",
    .args = "[COMMAND | --markdown | --man DIR]",
    .summary = "list the commands, or explain one",
    .help = "  --markdown  every command as one page (docs/CLI.md)\n"
            "  --man DIR   man pages into a directory\n"
            "\n"
            "Example:\n"
            "  wos help up\n",
    .run = help_run,
};
