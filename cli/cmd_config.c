/* cmd_config: `wos config`: config.json checked, its defaults, its documentation. Needs no
 * daemon: it reads the file as the next daemon will. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/command.h"
#include "daemon/config.h"

/* What a printer of daemon/config.h writes, as text; malloc'ed. */
static char *config_capture(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return xstrdup("");
    }
    print(out);
    (void)fclose(out); /* memory: the only failure is none left, which aborts elsewhere */
    return text;
}

static int config_check(struct cli *cli)
{
    struct config *config = config_load(cli->home);
    size_t count = config->problem_count;
    cJSON *data = cJSON_CreateObject();
    json_add_str(data, "path", config->path);
    json_add_bool(data, "exists", config->exists);
    cJSON_AddItemToObject(data, "problems", config_problems_json(config));
    config_free(config);
    if (!cli->json) {
        (void)config_print_check(stdout, cli->home);
    }
    if (count == 0) {
        return command_succeed(cli, data);
    }
    struct err err = {0};
    (void)err_set(&err, ERR_CONFIG, "%zu problem%s in config.json", count, count == 1 ? "" : "s");
    return command_fail_data(cli, &err, data);
}

static int config_print(struct cli *cli, void (*print)(FILE *out), bool is_json)
{
    if (!cli->json) {
        print(stdout);
        return command_succeed(cli, NULL);
    }
    autofree char *text = config_capture(print);
    cJSON *data = is_json ? json_parse(str_of(text), "defaults", NULL) : NULL;
    if (data == NULL) {
        data = cJSON_CreateObject();
        json_add_str(data, "text", text);
    }
    return command_succeed(cli, data);
}

static int config_run(struct cli *cli, int argc, char **argv)
{
    const char *what = argc == 1 ? argv[0] : "";
    if (strcmp(what, "check") == 0) {
        return config_check(cli);
    }
    if (strcmp(what, "defaults") == 0) {
        return config_print(cli, config_print_defaults, true);
    }
    if (strcmp(what, "docs") == 0) {
        return config_print(cli, config_print_docs, false);
    }
    struct err err = {0};
    (void)err_set(&err, ERR_USAGE, "config takes one of check, defaults, docs");
    return command_fail(cli, &err);
}

const struct command cmd_config = {
    .name = "config",
    .args = "check | defaults | docs",
    .summary = "check config.json, print its defaults or its documentation",
    .help = "  check      every problem of config.json in the home; exit 3 if there is one\n"
            "  defaults   a config.json with every default\n"
            "  docs       every key, its type, range, default and meaning (docs/CONFIG.md)\n"
            "\n"
            "config.json is read when the daemon starts: `wos restart` applies a change.\n"
            "\n"
            "Example:\n"
            "  wos config check && wos restart\n",
    .run = config_run,
};
