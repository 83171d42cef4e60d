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
        print_table_init(&table, 5);
        static const char *const head[] = {"NAME", "PORT", "HOST", "ACCESS", "URL"};
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
            print_table_add(&table, json_get_str(item, "effectiveAccess", ""), NULL, TINT_NONE);
            print_table_add(&table, json_get_str(item, "url", ""), NULL, TINT_NONE);
        }
        struct buf text = {0};
        struct print_style style = print_style_of(stdout);
        print_table_render(&table, &style, &text);
        cJSON_ArrayForEach(item, json_get(answer, "published"))
        {
            print_warning(item, &text);
        }
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
        const char *warning = json_get_str(answer, "warning", NULL);
        const char *url = json_get_str(answer, "url", NULL);
        if (url != NULL) {
            printf("%s\n", url);
        } else {
            printf("%s is kept, and private: it has no public route\n",
                   json_get_str(answer, "hostname", "the name"));
        }
        if (warning != NULL) {
            fprintf(stderr, "wos publish: warning: %s\n", warning);
        }
    }
    return command_succeed(cli, answer);
}

static bool is_one_of(const char *word, const char *words)
{
    struct str rest = str_of(words);
    struct str part;
    while (str_next(&rest, '|', &part)) {
        if (str_eq(part, str_of(word))) {
            return true;
        }
    }
    return false;
}

/* An option whose value is one of `words`. */
static int publish_word(cJSON *request, const struct args *args, const char *option,
                        const char *words, struct err *err)
{
    const char *word = args_value(args, option);
    if (word == NULL) {
        return 0;
    }
    if (!is_one_of(word, words)) {
        return err_set(err, ERR_USAGE, "%s is one of %s, not '%s'", option, words, word);
    }
    json_add_str(request, option + 2, word);
    return 0;
}

static int publish_number(cJSON *request, const struct args *args, const char *option,
                          const char *member, struct err *err)
{
    const char *text = args_value(args, option);
    uint64_t number = 0;
    if (text == NULL) {
        return 0;
    }
    if (!str_to_u64(str_of(text), &number) || number < 1 || number > 1000000) {
        return err_set(err, ERR_USAGE, "%s takes a number from 1 to 1000000, not '%s'", option,
                       text);
    }
    json_add_int(request, member, (int64_t)number);
    return 0;
}

/* Every --whitelist, each a list of addresses; the daemon reads them. */
static int publish_whitelist(cJSON *request, const struct args *args, struct err *err)
{
    cJSON *list = NULL;
    for (size_t i = 0; i < args->given_count; i++) {
        if (strcmp(args->given[i].name, "--whitelist") != 0) {
            continue;
        }
        if (list == NULL) {
            list = cJSON_AddArrayToObject(request, "whitelistIps");
        }
        struct str rest = str_of(args->given[i].value);
        struct str part;
        while (str_next(&rest, ',', &part)) {
            part = str_trim(part);
            if (part.len == 0) {
                return err_set(err, ERR_USAGE, "--whitelist '%s' has an empty address",
                               args->given[i].value);
            }
            autofree char *text = str_dup(part);
            cJSON_AddItemToArray(list, cJSON_CreateString(text));
        }
        if (cJSON_GetArraySize(list) == 0) {
            return err_set(err, ERR_USAGE, "--whitelist takes addresses and CIDR prefixes");
        }
    }
    return 0;
}

static int publish_options(cJSON *request, const struct args *args, struct err *err)
{
    if (publish_word(request, args, "--host", "preserve|rewrite", err) < 0 ||
        publish_word(request, args, "--access", "public|secret|private", err) < 0 ||
        publish_word(request, args, "--backend", "http|https|h2c", err) < 0 ||
        publish_number(request, args, "--rate", "rateLimit", err) < 0 ||
        publish_number(request, args, "--max-concurrent", "maxConcurrent", err) < 0) {
        return -1;
    }
    if (args_has(args, "--insecure")) {
        if (strcmp(json_get_str(request, "backend", ""), "https") != 0) {
            return err_set(err, ERR_USAGE, "--insecure is for --backend https only");
        }
        json_add_bool(request, "insecure", true);
    }
    return publish_whitelist(request, args, err);
}

static int publish_fill(cJSON *request, const struct args *args, struct err *err)
{
    uint16_t port = 0;
    if (args->word_count != 2) {
        return err_set(err, ERR_USAGE, "publish takes a name and a port");
    }
    if (args_port(args->words[1], &port, err) < 0) {
        return -1;
    }
    json_add_str(request, "name", args->words[0]);
    json_add_int(request, "port", port);
    return publish_options(request, args, err);
}

static int publish_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {
        {"--host", NULL, true},      {"--access", NULL, true},         {"--backend", NULL, true},
        {"--insecure", NULL, false}, {"--whitelist", NULL, true},      {"--rate", NULL, true},
        {"--list", NULL, false},     {"--max-concurrent", NULL, true},
    };
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
    .args = "NAME PORT [OPTIONS] | --list",
    .summary = "publish a local port at https://NAME.<domain>",
    .help =
        "  --host MODE         what the program behind sees as Host: the public name (preserve,\n"
        "                      the default) or localhost:PORT (rewrite)\n"
        "  --access WHO        public, secret (whoever knows tunnel.serviceTunnels.secret) or\n"
        "                      private (nobody: the name is kept, without a route); at most\n"
        "                      what tunnel.serviceTunnels.access allows, which is the default\n"
        "  --backend KIND      what the program speaks: http (the default), https or h2c\n"
        "  --insecure          with https: accept any certificate of it\n"
        "  --whitelist IP,...  only these addresses and CIDR prefixes; may be given again\n"
        "  --rate N            at most N requests a second\n"
        "  --max-concurrent N  at most N requests and WebSockets at once\n"
        "  --list              what is published\n"
        "\n"
        "For what wos did not start: a container, a debugger, another machine's forwarded port.\n"
        "The name is kept until `wos unpublish NAME`; publishing again replaces it and all of\n"
        "its options.\n"
        "\n"
        "Examples:\n"
        "  wos publish grafana 3000\n"
        "  wos publish admin 8443 --backend https --insecure --access secret \\\n"
        "      --whitelist 192.0.2.0/24\n",
    .run = publish_run,
};
