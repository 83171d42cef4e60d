/* cmd_logs: `wos logs`: what a service wrote. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/access_logs.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/launch.h"
#include "cli/log_lines.h"
#include "cli/print.h"

struct logs {
    bool follow;
    bool json;
    uint16_t tail;            /* lines at the start; 0: the last 256 KiB */
    cJSON *lines;             /* owned: with --json and without -f, collected for the envelope */
    struct log_lines *output; /* owned: of several services, for people; else NULL */
};

static bool logs_on_line(void *arg, const cJSON *line)
{
    struct logs *logs = arg;
    const char *chunk = json_get_str(line, "chunk", NULL);
    if (chunk == NULL) {
        return true;
    }
    if (logs->json && !logs->follow) {
        cJSON_AddItemToArray(logs->lines, cJSON_Duplicate(line, 1));
    } else if (logs->json) {
        autofree char *text = json_print(line);
        printf("%s\n", text);
    } else {
        bool is_error = strcmp(json_get_str(line, "stream", "stdout"), "stderr") == 0;
        if (logs->output != NULL) {
            log_lines_add(logs->output, json_get_str(line, "service", "?"), is_error, chunk);
        } else {
            fputs(chunk, is_error ? stderr : stdout);
        }
    }
    return fflush(stdout) == 0; /* nobody reads any more: stop */
}

static int logs_stream(struct cli *cli, const char *service, struct logs *logs, struct err *err)
{
    autojson cJSON *detail = NULL;
    if (launch_ensure(cli, NULL, NULL, err) < 0 || follow_detail(cli, &detail, err) < 0) {
        return -1;
    }
    struct buf path = {0};
    buf_add_text(&path, "/sessions/");
    print_url_encode(&path, json_get_str(json_get(detail, "worktree"), "sessionName", "?"));
    buf_printf(&path, "/logs?follow=%d", logs->follow ? 1 : 0);
    if (logs->tail > 0) {
        buf_printf(&path, "&tail=%u", (unsigned)logs->tail);
    }
    if (service != NULL) {
        buf_add_text(&path, "&service=");
        print_url_encode(&path, service);
    }
    int result = client_stream(cli->client, buf_cstr(&path), logs_on_line, logs, err);
    buf_fini(&path);
    return result;
}

static int logs_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {
        {"--follow", "-f", false}, {"--access", NULL, false},  {"--lines", "-n", true},
        {"--host", NULL, true},    {"--worktree", NULL, true}, {"--status", NULL, true},
    };
    struct args args;
    struct err err = {0};
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (args_has(&args, "--access")) {
        int code = access_logs_run(cli, &args);
        args_fini(&args);
        return code;
    }
    const char *service = args.word_count > 0 ? args.words[0] : NULL;
    struct logs logs = {.follow = args_has(&args, "--follow"), .json = cli->json};
    int result = 0;
    if (args.word_count > 1) {
        result = err_set(&err, ERR_USAGE, "logs takes one service, not also '%s'", args.words[1]);
    }
    const char *tail = args_value(&args, "--lines");
    if (result == 0 && tail != NULL && (!str_to_u16(str_of(tail), &logs.tail) || logs.tail == 0)) {
        result = err_set(&err, ERR_USAGE, "--lines takes a number from 1 to 65535, not '%s'", tail);
    }
    for (size_t i = 0; i < args.given_count && result == 0; i++) {
        if (strcmp(args.given[i].name, "--follow") != 0 &&
            strcmp(args.given[i].name, "--lines") != 0) {
            result = err_set(&err, ERR_USAGE, "%s goes with --access", args.given[i].name);
        }
    }
    args_fini(&args); /* `service` points into argv */
    logs.lines = cJSON_CreateArray();
    if (service == NULL && !cli->json) {
        logs.output = log_lines_new(isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == NULL);
    }
    if (result == 0) {
        result = logs_stream(cli, service, &logs, &err);
    }
    log_lines_free(logs.output);
    if (result < 0) {
        cJSON_Delete(logs.lines);
        return command_fail(cli, &err);
    }
    if (logs.follow) {
        cJSON_Delete(logs.lines);
        return EXIT_DONE; /* with --json every line was an object of its own */
    }
    cJSON *data = cJSON_CreateObject();
    cJSON_AddItemToObject(data, "lines", logs.lines);
    return command_succeed(cli, data);
}

const struct command cmd_logs = {
    .name = "logs",
    .args = "[SERVICE] [-f] [-n N] | --access [-f]",
    .summary = "print what this worktree's services wrote, or who asked for what",
    .help =
        "  -f, --follow   go on as more is written, also by later starts, until Ctrl-C\n"
        "  -n, --lines N  begin with the last N lines of each log, not the last 256 KiB\n"
        "\n"
        "Without SERVICE the lines of all services, each with its name in front.\n"
        "A service's stdout goes to stdout, its stderr to stderr. With --json and -f every line\n"
        "is an object of its own.\n"
        "\n"
        "  --access         requests to all routes instead, from logs/access.log in the home\n"
        "  -n, --lines N    … the last N (50)\n"
        "  --host NAME      … for this host, or first label of it\n"
        "  --worktree NAME  … for routes of this worktree\n"
        "  --status S       … answered with 404, say, or 5xx\n"
        "\n"
        "With --access and --json the lines are as they stand in the file.\n"
        "\n"
        "Examples:\n"
        "  wos logs web -f\n"
        "  wos logs --access --status 5xx -f\n",
    .run = logs_run,
};
