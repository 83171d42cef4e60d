/* cmd_worktree: `wos worktree remove`: a worktree, its services, its state. */
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/launch.h"

/* "3 changes (1 staged, 2 untracked)": why it was refused, in numbers. */
static void add_changes(struct cli *cli, struct err *err)
{
    static const char *const kinds[] = {"staged", "unstaged", "untracked", "unmerged"};
    const cJSON *changes = json_get(client_error_body(cli->client), "changes");
    const char *word = client_error_word(cli->client);
    if (changes == NULL || word == NULL || strcmp(word, "worktree-dirty") != 0) {
        return;
    }
    struct buf text = {0};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        int64_t n = json_get_int(changes, kinds[i], 0);
        if (n > 0) {
            buf_printf(&text, "%s%lld %s", text.len == 0 ? "" : ", ", (long long)n, kinds[i]);
        }
    }
    (void)err_set(err, ERR_FAILED,
                  "the worktree has uncommitted changes (%s); --force discards them",
                  text.len == 0 ? "some" : buf_cstr(&text));
    buf_fini(&text);
}

static int remove_run(struct cli *cli, bool force)
{
    struct err err = {0};
    autojson cJSON *request = follow_request(cli);
    autojson cJSON *accepted = NULL;
    autojson cJSON *detail = NULL;
    if (force) {
        (void)json_add_bool(request, "discardChanges", true);
    }
    if (launch_ensure(cli, NULL, NULL, &err) < 0) {
        return command_fail(cli, &err);
    }
    /* Asked first: where we are may be a directory inside, or have .. in its name. One that is gone
     * has no answer; what is left of it can be removed all the same. */
    (void)follow_detail(cli, &detail, NULL);
    if (client_call(cli->client, "POST", "/worktrees/remove", request, &accepted, &err) < 0) {
        add_changes(cli, &err);
        return command_fail(cli, &err);
    }
    if (follow_operation(cli, json_get_str(accepted, "operationId", ""), NULL, true, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        printf("removed %s\n", json_get_str(json_get(detail, "worktree"), "path", cli->cwd));
    }
    cJSON *data = accepted;
    accepted = NULL;
    return command_succeed(cli, data);
}

static int worktree_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {{"--force", NULL, false}};
    struct args args;
    struct err err = {0};
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    bool force = args_has(&args, "--force");
    bool known = args.word_count == 1 && strcmp(args.words[0], "remove") == 0;
    args_fini(&args);
    if (!known) {
        (void)err_set(&err, ERR_USAGE, "worktree takes one word: remove");
        return command_fail(cli, &err);
    }
    return remove_run(cli, force);
}

const struct command cmd_worktree = {
    .name = "worktree",
    .args = "remove [--force]",
    .summary = "stop this worktree's services and remove it",
    .help = "  remove    of a secondary worktree\n"
            "  --force   also with uncommitted changes, which are lost\n"
            "\n"
            "Stops the services, closes the routes, deletes wos's state of the worktree and runs\n"
            "git worktree remove. The source worktree cannot be removed.\n"
            "\n"
            "Example:\n"
            "  wos --cwd ../feature worktree remove\n",
    .run = worktree_run,
};
