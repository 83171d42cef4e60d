/* cmd_publish: `wos publish`: a public name for a local port that wos did not start. */
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/launch.h"
#include "cli/print.h"

static int publish_list(struct cli *cli)
{
    struct err err = {0};
    cJSON *answer = NULL;
    if (client_call(cli->client, "GET", "/publish", NULL, &answer, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        struct print_table table;
        print_table_init(&table, 4);
        static const char *const head[] = {"NAME", "PORT", "HOST", "URL"};
        for (size_t i = 0; i < COUNT_OF(head); i++) {
            print_table_add(&table, head[i], NULL, TINT_NONE);
        }
        const cJSON *item = NULL;
        cJSON_ArrayForEach(item, json_get(answer, "published"))
        {
            autofree char *port = xasprintf("%d", (int)json_get_int(item, "port", 0));
            print_table_add(&table, json_get_str(item, "name", "?"), NULL, TINT_NONE);
            print_table_add(&table, port, NULL, TINT_NONE);
            print_table_add(&table, json_get_str(item, "host", ""), NULL, TINT_NONE);
            print_table_add(&table, json_get_str(item, "url", ""), NULL, TINT_NONE);
        }
        struct buf text = {0};
        struct print_style style = print_style_of(stdout);
        print_table_render(&table, &style, &text);
        print_flush(stdout, &text);
        buf_fini(&text);
        print_table_fini(&table);
    }
    return command_succeed(cli, answer);
}

static int publish_send(struct cli *cli, const cJSON *request)
{
    struct err err = {0};
    cJSON *answer = NULL;
    if (client_call(cli->client, "POST", "/publish", request, &answer, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (!json_get_bool(answer, "served", true)) {
        (void)err_set(&err, ERR_FAILED, "%s is kept, but not served yet: %s",
                      json_get_str(answer, "url", "the name"),
                      json_get_str(answer, "message", "no gateway is running"));
        return command_fail_data(cli, &err, answer);
    }
    if (!cli->json) {
        printf("%s\n", json_get_str(answer, "url", ""));
    }
    return command_succeed(cli, answer);
}

static int publish_fill(cJSON *request, const struct args *args, struct err *err)
{
    const char *mode = args_value(args, "--host");
    uint16_t port = 0;
    if (args->word_count != 2) {
        return err_set(err, ERR_USAGE, "publish takes a name and a port");
    }
    if (args_port(args->words[1], &port, err) < 0) {
        return -1;
    }
    if (mode != NULL && strcmp(mode, "preserve") != 0 && strcmp(mode, "rewrite") != 0) {
        return err_set(err, ERR_USAGE, "--host is preserve or rewrite, not '%s'", mode);
    }
    json_add_str(request, "name", args->words[0]);
    json_add_int(request, "port", port);
    if (mode != NULL) {
        json_add_str(request, "host", mode);
    }
    return 0;
}

static int publish_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {{"--host", NULL, true}, {"--list", NULL, false}};
    struct args args;
    struct err err = {0};
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    autojson cJSON *request = cJSON_CreateObject();
    bool list = args_has(&args, "--list");
    int result = 0;
    if (list && args.given_count + args.word_count > 1) {
        result = err_set(&err, ERR_USAGE, "--list stands alone");
    } else if (!list) {
        result = publish_fill(request, &args, &err);
    }
    args_fini(&args);
    if (result < 0 || launch_ensure(cli, NULL, NULL, &err) < 0) {
        return command_fail(cli, &err);
    }
    return list ? publish_list(cli) : publish_send(cli, request);
}

const struct command cmd_publish = {
    .name = "publish",
    .args = "NAME PORT [--host preserve|rewrite] | --list",
    .summary = "publish a local port at https://NAME.<domain>",
    .help =
        "  --host MODE   what the program behind sees as Host: the public name (preserve, the\n"
        "                default) or localhost:PORT (rewrite)\n"
        "  --list        what is published\n"
        "\n"
        "For what wos did not start: a container, a debugger, another machine's forwarded port.\n"
        "The name is kept until `wos unpublish NAME`; publishing again replaces it.\n"
        "\n"
        "Example:\n"
        "  wos publish grafana 3000\n",
    .run = publish_run,
};
