/* access_logs: see access_logs.h. Called by cmd_logs.c. */
#include "cli/access_logs.h"

#include <stdio.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/access_print.h"
#include "cli/access_reader.h"
#include "cli/client.h"
#include "cli/launch.h"

enum { LINES_DEFAULT = 50, LINES_MAX = 1000000, LOOK_MS = 200 };

struct access_logs {
    struct access_filter filter;
    struct print_style style;
    bool raw;
    bool all; /* no filter */
};

static bool on_accept(void *arg, struct str line)
{
    const struct access_logs *logs = arg;
    if (logs->all) {
        return true;
    }
    autojson cJSON *tree = json_parse(line, "access log", NULL);
    return tree != NULL && access_filter_has(&logs->filter, tree);
}

static bool print_line(const struct access_logs *logs, struct str line)
{
    struct buf text = {0};
    if (logs->raw) {
        buf_add_str(&text, line);
        buf_add_char(&text, '\n');
    } else {
        autojson cJSON *tree = json_parse(line, "access log", NULL);
        if (tree != NULL) {
            access_print_line(tree, &logs->style, &text);
        }
    }
    print_flush(stdout, &text);
    buf_fini(&text);
    return fflush(stdout) == 0; /* nobody reads any more: stop */
}

static bool on_tail(void *arg, struct str line)
{
    return print_line(arg, line);
}

static bool on_follow(void *arg, struct str line)
{
    return !on_accept(arg, line) || print_line(arg, line);
}

static int read_options(struct access_logs *logs, const struct args *args, size_t *out_lines,
                        struct err *err)
{
    const char *lines = args_value(args, "--lines");
    const char *status = args_value(args, "--status");
    uint64_t count = LINES_DEFAULT;
    logs->filter.host = args_value(args, "--host");
    logs->filter.worktree = args_value(args, "--worktree");
    if (lines != NULL && (!str_to_u64(str_of(lines), &count) || count > LINES_MAX)) {
        return err_set(err, ERR_USAGE, "--lines takes a number up to %d, not '%s'", (int)LINES_MAX,
                       lines);
    }
    *out_lines = (size_t)count;
    if (status != NULL && access_filter_status(&logs->filter, status, err) < 0) {
        return -1;
    }
    logs->all = logs->filter.host == NULL && logs->filter.worktree == NULL && status == NULL;
    return 0;
}

static int follow(struct cli *cli, struct access_reader *reader, struct access_logs *logs,
                  struct err *err)
{
    if (launch_client(cli, err) < 0 || client_catch_interrupt(cli->client, err) < 0) {
        return -1;
    }
    while (access_reader_look(reader, on_follow, logs) && !client_interrupted(cli->client)) {
        client_sleep(cli->client, LOOK_MS);
    }
    return 0;
}

int access_logs_run(struct cli *cli, const struct args *args)
{
    struct err err = {0};
    struct access_logs logs = {.style = print_style_of(stdout), .raw = cli->json};
    struct access_reader reader;
    size_t lines = 0;
    if (args->word_count > 0) {
        (void)err_set(&err, ERR_USAGE, "logs --access takes no service, but --host and --worktree");
        return command_fail(cli, &err);
    }
    if (read_options(&logs, args, &lines, &err) < 0) {
        return command_fail(cli, &err);
    }
    access_reader_init(&reader, cli->home);
    int result = access_reader_tail(&reader, lines, on_accept, on_tail, &logs, &err);
    if (result == 0 && args_has(args, "--follow")) {
        result = follow(cli, &reader, &logs, &err);
    }
    access_reader_fini(&reader);
    return result < 0 ? command_fail(cli, &err) : EXIT_DONE; /* each line was an object */
}
