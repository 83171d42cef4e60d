/* cmd_up: `wos up`: deploy the worktree, follow it, print where things are. */
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

extern char **environ;

/* "a,b" as a JSON array. */
static int up_add_services(cJSON *request, const char *list, struct err *err)
{
    cJSON *services = cJSON_AddArrayToObject(request, "services");
    struct str rest = str_of(list);
    struct str part;
    while (str_next(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.len == 0) {
            return err_set(err, ERR_USAGE, "'%s' has an empty service name", list);
        }
        autofree char *name = str_dup(part);
        cJSON_AddItemToArray(services, cJSON_CreateString(name));
    }
    return 0;
}

static int up_add_arguments(cJSON *request, const struct args *args, struct err *err)
{
    cJSON *arguments = NULL;
    for (size_t i = 0; i < args->given_count; i++) {
        if (strcmp(args->given[i].name, "--arg") != 0) {
            continue;
        }
        const char *text = args->given[i].value;
        const char *equals = strchr(text, '=');
        if (equals == NULL || equals == text) {
            return err_set(err, ERR_USAGE, "--arg needs NAME=VALUE, not '%s'", text);
        }
        if (arguments == NULL) {
            arguments = cJSON_AddObjectToObject(request, "arguments");
        }
        autofree char *name = xstrndup(text, (size_t)(equals - text));
        if (json_get(arguments, name) != NULL) {
            return err_set(err, ERR_USAGE, "--arg %s is given twice", name);
        }
        json_add_str(arguments, name, equals + 1);
    }
    return 0;
}

/* The caller's environment, for the services. Where a name stands twice the
 * first one counts, as for getenv. */
static void up_add_environment(cJSON *request)
{
    cJSON *environment = cJSON_AddObjectToObject(request, "environment");
    for (char **entry = environ; *entry != NULL; entry++) {
        const char *equals = strchr(*entry, '=');
        if (equals == NULL || equals == *entry) {
            continue;
        }
        autofree char *name = xstrndup(*entry, (size_t)(equals - *entry));
        if (json_get(environment, name) == NULL) {
            json_add_str(environment, name, equals + 1);
        }
    }
}

static int up_fill_request(cJSON *request, const struct args *args, struct err *err)
{
    const char *target = args_value(args, "--target");
    if (args->word_count > 1) {
        return err_set(err, ERR_USAGE, "up takes one list of services (a,b), not also '%s'",
                       args->words[1]);
    }
    if (args->word_count == 1 && target != NULL) {
        return err_set(err, ERR_USAGE, "a list of services and --target exclude each other");
    }
    if (args->word_count == 1 && up_add_services(request, args->words[0], err) < 0) {
        return -1;
    }
    if (target != NULL) {
        json_add_str(request, "target", target);
    }
    json_add_bool(request, "force", args_has(args, "--force"));
    json_add_bool(request, "noTunnel", args_has(args, "--no-tunnel"));
    if (up_add_arguments(request, args, err) < 0) {
        return -1;
    }
    up_add_environment(request);
    return 0;
}

static int up_detached(struct cli *cli, cJSON *accepted, const char *web_link)
{
    if (!cli->json) {
        printf("wos up: deployment started in the background.\n");
        printf("Progress and logs: %s\n", web_link == NULL ? "wos wait" : web_link);
    }
    return command_succeed(cli, accepted);
}

static int up_interrupted(struct cli *cli, const char *web_link)
{
    fprintf(stderr,
            "\nwos up: no longer waiting, the deployment goes on: `wos wait` follows it%s%s\n"
            "wos up: `wos down` stops it\n",
            web_link == NULL ? "" : ", or ", web_link == NULL ? "" : web_link);
    if (cli->json) {
        struct err err = {0};
        (void)err_set(&err, ERR_FAILED, "interrupted; the deployment goes on");
        (void)command_fail(cli, &err);
    }
    return EXIT_INTERRUPTED;
}

/* Somebody who started services looks for their names. */
static void up_explain_no_routes(struct cli *cli, const cJSON *detail)
{
    autojson cJSON *all = NULL;
    if (cJSON_GetArraySize(json_get(detail, "tunnels")) > 0 ||
        client_call(cli->client, "GET", "/status/all", NULL, &all, NULL) < 0) {
        return;
    }
    const cJSON *tunnel = json_get(all, "tunnel");
    if (!json_get_bool(tunnel, "enabled", true)) {
        fprintf(
            stderr,
            "wos up: nothing is published, tunnel.enabled is false: `wos config set tunnel.domain "
            "wos.localhost tunnel.enabled true tunnel.ssl.enabled true "
            "tunnel.serviceTunnels.enabled true`, then `wos restart`\n");
    } else if (!json_get_bool(tunnel, "serviceTunnels", true)) {
        fprintf(stderr,
                "wos up: nothing is published, tunnel.serviceTunnels.enabled is false: `wos "
                "config set tunnel.serviceTunnels.enabled true`\n");
    }
}

static int up_finish(struct cli *cli, const char *web_link)
{
    struct err err = {0};
    cJSON *detail = NULL;
    if (follow_detail(cli, &detail, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        struct buf text = {0};
        struct print_style style = print_style_of(stdout);
        print_status(detail, &style, &text);
        if (web_link != NULL) {
            buf_printf(&text, "Open in web UI: %s\n", web_link);
        }
        print_flush(stdout, &text);
        buf_fini(&text);
        up_explain_no_routes(cli, detail);
    }
    return command_succeed(cli, detail);
}

/* Where the web UI shows this worktree; NULL without one. */
static char *up_web_link(const struct cli *cli, const cJSON *health, const cJSON *detail)
{
    if (detail == NULL) {
        return NULL;
    }
    return print_web_link(json_get_str(health, "webUrl", NULL),
                          json_get_str(json_get(detail, "worktree"), "path", cli->cwd));
}

static int up_deploy(struct cli *cli, const cJSON *request, bool detach)
{
    struct err err = {0};
    autojson cJSON *health = NULL;
    autojson cJSON *accepted = NULL;
    if (launch_ensure(cli, &health, NULL, &err) < 0 ||
        client_call(cli->client, "POST", "/worktrees/up", request, &accepted, &err) < 0) {
        return command_fail(cli, &err);
    }
    autojson cJSON *detail = NULL;
    (void)follow_detail(cli, &detail, NULL); /* for what is said beside: the up goes on without */
    autofree char *web_link = up_web_link(cli, health, detail);
    if (detach) {
        cJSON *data = accepted;
        accepted = NULL;
        return up_detached(cli, data, web_link);
    }
    const char *id = json_get_str(accepted, "operationId", "");
    const char *mode = json_get_str(json_get(detail, "projectConfig"), "mode", NULL);
    if (follow_operation(cli, id, mode, false, &err) < 0) {
        return client_interrupted(cli->client) ? up_interrupted(cli, web_link)
                                               : command_fail(cli, &err);
    }
    return up_finish(cli, web_link);
}

static int up_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {
        {"--target", NULL, true},     {"--force", NULL, false},  {"--arg", NULL, true},
        {"--no-tunnel", NULL, false}, {"--detach", "-d", false},
    };
    struct args args;
    struct err err = {0};
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    autojson cJSON *request = follow_request(cli);
    int result = up_fill_request(request, &args, &err);
    bool detach = args_has(&args, "--detach");
    args_fini(&args);
    return result < 0 ? command_fail(cli, &err) : up_deploy(cli, request, detach);
}

const struct command cmd_up = {
    .name = "up",
    .args = "[a,b | --target NAME] [--force] [--no-tunnel] [--arg NAME=VALUE]... [-d]",
    .summary = "start this worktree's services and publish them at their names",
    .help = "  a,b               only these services, not those they depend on\n"
            "  --target NAME     only the services of a target of deploy.yaml\n"
            "  --force           run the first-run setup again\n"
            "  --no-tunnel       publish no names; templates fall back to localhost\n"
            "  --arg NAME=VALUE  an argument that deploy.yaml declares\n"
            "  -d, --detach      return as soon as the deployment was accepted\n"
            "\n"
            "Services get the environment of this shell. Ctrl-C ends the waiting, not the\n"
            "deployment; `wos down` ends that.\n"
            "\n"
            "Examples:\n"
            "  wos up\n"
            "  wos up web,api --arg MODE=dev\n"
            "  wos --cwd ../feature up -d && wos --cwd ../feature wait\n",
    .run = up_run,
};
