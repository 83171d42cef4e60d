/* cmd_access: `wos access`: who is logged in to routes of access secret, and their end. */
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/launch.h"
#include "cli/print.h"

static void access_print(const cJSON *answer)
{
    static const char *const head[] = {"ID", "HOST", "ADDRESS", "SINCE", "UNTIL", "BROWSER"};
    static const char *const members[] = {"id",        "host",      "address",
                                          "createdAt", "expiresAt", "userAgent"};
    const char *error = json_get_str(answer, "error", NULL);
    if (error != NULL) {
        fprintf(stderr, "wos access: routes of access secret are closed: %s\n", error);
    } else if (!json_get_bool(answer, "hasSecret", false)) {
        fprintf(stderr, "wos access: tunnel.serviceTunnels.secret is not set: routes of access "
                        "secret are closed\n");
    }
    const cJSON *logins = json_get(answer, "logins");
    if (cJSON_GetArraySize(logins) == 0) {
        printf("(nobody is logged in)\n");
        return;
    }
    struct print_table table;
    print_table_init(&table, COUNT_OF(head));
    for (size_t i = 0; i < COUNT_OF(head); i++) {
        print_table_add(&table, head[i], NULL, TINT_NONE);
    }
    const cJSON *login = NULL;
    cJSON_ArrayForEach(login, logins)
    {
        for (size_t i = 0; i < COUNT_OF(members); i++) {
            print_table_add(&table, json_get_str(login, members[i], ""), NULL, TINT_NONE);
        }
    }
    struct buf text = {0};
    struct print_style style = print_style_of(stdout);
    print_table_render(&table, &style, &text);
    print_flush(stdout, &text);
    buf_fini(&text);
    print_table_fini(&table);
}

static int access_list(struct cli *cli)
{
    struct err err = {0};
    cJSON *answer = NULL;
    if (client_call(cli->client, "GET", "/access/logins", NULL, &answer, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        access_print(answer);
    }
    return command_succeed(cli, answer);
}

/* `id` NULL: everybody. */
static int access_revoke(struct cli *cli, const char *id)
{
    struct err err = {0};
    cJSON *answer = NULL;
    autofree char *path = xasprintf("/access/logins%s%s", id == NULL ? "" : "/", id ? id : "");
    if (client_call(cli->client, "DELETE", path, NULL, &answer, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (!json_get_bool(answer, "served", true)) {
        (void)err_set(&err, ERR_FAILED, "it is revoked, but the gateway does not know yet: %s",
                      json_get_str(answer, "message", "no gateway is running"));
        return command_fail_data(cli, &err, answer);
    }
    if (!cli->json) {
        printf("%s\n", id == NULL ? "everybody has to log in again" : "revoked");
    }
    return command_succeed(cli, answer);
}

/* An id goes into a path: nothing but what ids are made of. */
static bool is_id(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && strspn(text, "0123456789abcdef") == len;
}

static int access_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {{"--all", NULL, false}};
    struct args args;
    struct err err = {0};
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    const char *what = args.word_count > 0 ? args.words[0] : "";
    const char *id = args.word_count == 2 ? args.words[1] : NULL;
    bool all = args_has(&args, "--all");
    bool is_list = strcmp(what, "list") == 0 && args.word_count == 1 && !all;
    bool is_revoke = strcmp(what, "revoke") == 0 && args.word_count == (all ? 1 : 2);
    args_fini(&args);
    if (!is_list && !is_revoke) {
        (void)err_set(&err, ERR_USAGE, "access takes `list`, `revoke ID` or `revoke --all`");
        return command_fail(cli, &err);
    }
    if (is_revoke && !all && !is_id(id)) {
        (void)err_set(&err, ERR_USAGE, "'%s' is not an id: see `wos access list`", id);
        return command_fail(cli, &err);
    }
    if (launch_ensure(cli, NULL, NULL, &err) < 0) {
        return command_fail(cli, &err);
    }
    return is_list ? access_list(cli) : access_revoke(cli, all ? NULL : id);
}

const struct command cmd_access = {
    .name = "access",
    .args = "list | revoke ID | revoke --all",
    .summary = "list or end the logins of services that need the secret",
    .help =
        "  list          browsers that have typed in tunnel.serviceTunnels.secret, newest first\n"
        "  revoke ID     that one has to do it again; what it has open ends\n"
        "  revoke --all  everybody has to: the machine gets a new key\n"
        "\n"
        "Scripts that send X-Wos-Secret have no login: a new secret ends those\n"
        "(`wos config set tunnel.serviceTunnels.secret -`).\n"
        "\n"
        "Example:\n"
        "  wos access revoke 5f0c9a1be2d34477\n",
    .run = access_run,
};
