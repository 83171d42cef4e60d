/* cmd_init: `wos init`: a first deploy.yaml, made by looking at the repository; with options of
 * its own a first config.json (init_config.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/init_config.h"
#include "cli/launch.h"
#include "cli/repo_scan.h"

enum { GIT_TIMEOUT_MS = 20000, GIT_OUTPUT_MAX = 1 << 20 };

struct git_answer {
    bool done;
    int status;
    struct buf out;
};

static void git_on_done(void *arg, const struct subprocess_output *output)
{
    struct git_answer *answer = arg;
    answer->done = true;
    answer->status = output->timed_out ? -1 : output->status;
    buf_add_str(&answer->out, output->out);
}

/* The worktree that holds .wos: of `git worktree list` the first that is neither bare nor
 * detached, else the first; malloc'ed. */
static char *pick_source(struct str list)
{
    struct str line;
    char *first = NULL;
    char *current = NULL;
    char *found = NULL;
    while (list.len > 0 && found == NULL && str_next(&list, '\n', &line)) {
        if (str_starts(line, STR("worktree "))) {
            free(current);
            current = str_dup((struct str){line.ptr + 9, line.len - 9});
            first = first == NULL ? xstrdup(current) : first;
        } else if (str_starts(line, STR("branch "))) {
            found = current;
            current = NULL;
        }
    }
    free(current);
    if (found != NULL) {
        free(first);
        return found;
    }
    return first;
}

static char *find_source(struct cli *cli, struct err *err)
{
    const char *const argv[] = {"git", "worktree", "list", "--porcelain", NULL};
    struct subprocess_spec spec = {.argv = argv, .cwd = cli->cwd, .stdin_fd = -1};
    struct git_answer answer = {0};
    if (launch_client(cli, err) < 0) {
        return NULL;
    }
    struct loop *loop = client_loop(cli->client);
    if (subprocess_collect(loop, &spec, GIT_TIMEOUT_MS, GIT_OUTPUT_MAX, git_on_done, &answer, err) <
        0) {
        return NULL;
    }
    while (!answer.done) {
        loop_turn(loop, true);
    }
    char *source = answer.status == 0 ? pick_source(buf_str(&answer.out)) : NULL;
    buf_fini(&answer.out);
    if (source == NULL) {
        (void)err_set(err, ERR_CONFIG, "wos must be run from inside a Git worktree");
    }
    return source;
}

/* In single quotes, as YAML wants it. */
static void add_text(struct buf *out, const char *text)
{
    buf_add_char(out, '\'');
    for (const char *p = text; *p != '\0'; p++) {
        buf_add_text(out, *p == '\'' ? "''" : (char[]){*p, '\0'});
    }
    buf_add_char(out, '\'');
}

static void add_service(struct buf *out, const struct repo_service *s)
{
    buf_printf(out, "    %s:\n      script:\n        - ", s->name);
    add_text(out, s->command);
    buf_add_char(out, '\n');
    if (s->cwd != NULL) {
        buf_add_text(out, "      cwd: ");
        add_text(out, s->cwd);
        buf_add_char(out, '\n');
    }
    if (s->port == 0) {
        return;
    }
    buf_printf(out,
               "      # The service's own number for this port; each worktree gets another one of\n"
               "      # the machine's, in $WOS_SERVICE_PORT.\n"
               "      ports: [%u]\n",
               (unsigned)s->port);
    if (s->sets_port) {
        buf_printf(out,
                   "      environment:\n"
                   "        PORT: '${app.services.%s.hostPort[%u]}'\n",
                   s->name, (unsigned)s->port);
    }
    buf_add_text(out, "      # dependencies: [db]   # started, and ready, before this one\n");
}

static void add_shell(struct buf *out, const struct repo_plan *plan)
{
    buf_add_text(out, "mode: shell   # services are processes of this machine\n\n");
    if (plan->lock_file != NULL) {
        buf_printf(out,
                   "# Kept between first runs of all worktrees, as long as the lock file is the "
                   "same.\ncache:\n  - key: {files: [%s]}\n    paths: [node_modules]\n\n",
                   plan->lock_file);
    }
    buf_add_text(out, "app:\n");
    if (plan->install != NULL) {
        buf_add_text(out, "  # Once per worktree, and again with `wos up --force`.\n"
                          "  init_script:\n    - ");
        add_text(out, plan->install);
        buf_add_char(out, '\n');
    }
    if (plan->service_count == 0) {
        buf_add_text(out, "  services: {}\n"
                          "  # services:\n"
                          "  #   web:\n"
                          "  #     script: ['my-server --port $WOS_SERVICE_PORT']\n"
                          "  #     ports: [3000]\n");
        return;
    }
    buf_add_text(out, "  services:\n");
    for (size_t i = 0; i < plan->service_count; i++) {
        add_service(out, &plan->services[i]);
    }
}

static void add_compose(struct buf *out, const struct repo_plan *plan)
{
    buf_printf(out,
               "mode: compose   # services are those of a compose file\n\n"
               "compose:\n  config: %s\n"
               "  # service:port inside the container; each gets a name of its own.\n"
               "  expose:\n",
               plan->compose_file);
    for (size_t i = 0; i < plan->service_count; i++) {
        autofree char *text =
            xasprintf("%s:%u", plan->services[i].name, (unsigned)plan->services[i].port);
        buf_add_text(out, "    - ");
        add_text(out, text);
        buf_add_char(out, '\n');
    }
}

static char *render(const struct repo_plan *plan, bool is_source)
{
    struct buf out = {0};
    buf_printf(&out,
               "# How wos runs this repository in %s. Written by `wos init`;\n"
               "# every key is explained in docs/DEPLOY.md. What it saw:\n",
               is_source ? "its source worktree" : "every other worktree");
    for (size_t i = 0; i < plan->note_count; i++) {
        buf_printf(&out, "#   %s\n", plan->notes[i]);
    }
    if (plan->note_count == 0) {
        buf_add_text(&out, "#   nothing it knows how to start: fill in services below\n");
    }
    buf_add_char(&out, '\n');
    if (!is_source && plan->has_env_file) {
        buf_add_text(&out, "# Copied from the source worktree on the first run.\n"
                           "clone_volumes: [.env]\n\n");
    }
    if (plan->compose_file != NULL) {
        add_compose(&out, plan);
    } else {
        add_shell(&out, plan);
    }
    return buf_take(&out);
}

static int init_write(const char *source, const struct repo_plan *plan, bool force, struct err *err)
{
    static const char *const names[] = {".wos/deploy.yaml", ".wos/deploy.worktree.yaml"};
    autofree char *folder = path_join(source, ".wos");
    for (size_t i = 0; i < COUNT_OF(names) && !force; i++) {
        autofree char *path = path_join(source, names[i]);
        if (file_exists(path)) {
            return err_set(err, ERR_FAILED, "%s exists; --force replaces it", path);
        }
    }
    if (dir_make(folder, 0755, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        autofree char *path = path_join(source, names[i]);
        autofree char *text = render(plan, i == 0);
        if (file_write_atomic(path, str_of(text), 0644, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int init_succeed(struct cli *cli, const char *source, const struct repo_plan *plan)
{
    cJSON *data = cJSON_CreateObject();
    cJSON *saw = cJSON_AddArrayToObject(data, "saw");
    cJSON *services = cJSON_AddArrayToObject(data, "services");
    autofree char *path = path_join(source, ".wos/deploy.yaml");
    autofree char *other = path_join(source, ".wos/deploy.worktree.yaml");
    (void)json_add_str(data, "path", path);
    (void)json_add_str(data, "worktreePath", other);
    for (size_t i = 0; i < plan->service_count; i++) {
        cJSON_AddItemToArray(services, cJSON_CreateString(plan->services[i].name));
    }
    for (size_t i = 0; i < plan->note_count; i++) {
        cJSON_AddItemToArray(saw, cJSON_CreateString(plan->notes[i]));
        if (!cli->json) {
            printf("saw %s\n", plan->notes[i]);
        }
    }
    if (!cli->json) {
        printf("wrote %s\nwrote %s\n%s\n", path, other,
               plan->service_count == 0 ? "found nothing to start: fill in services there"
                                        : "next: wos up");
    }
    return command_succeed(cli, data);
}

static int init_deploy(struct cli *cli, bool force)
{
    struct err err = {0};
    autofree char *source = find_source(cli, &err);
    if (source == NULL) {
        return command_fail(cli, &err);
    }
    struct repo_plan plan = {0};
    repo_scan(source, &plan);
    int code = init_write(source, &plan, force, &err) < 0 ? command_fail(cli, &err)
                                                          : init_succeed(cli, source, &plan);
    repo_plan_fini(&plan);
    return code;
}

static int init_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {
        {"--force", NULL, false},           {"--host", NULL, true}, {"--port", NULL, true},
        {"--backend", NULL, true},          {"--yes", NULL, false}, {"--install-tmux", NULL, false},
        {"--install-plugins", NULL, false},
    };
    struct args args;
    struct err err = {0};
    int code;
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (args.word_count > 0) {
        (void)err_set(&err, ERR_USAGE, "init takes no '%s'", args.words[0]);
        code = command_fail(cli, &err);
    } else if (init_config_is_asked(&args)) {
        code = init_config_run(cli, &args);
    } else {
        code = init_deploy(cli, args_has(&args, "--force"));
    }
    args_fini(&args);
    return code;
}

const struct command cmd_init = {
    .name = "init",
    .args = "[--force] | [--host H] [--port P] [--backend default|tmux] [--yes]",
    .summary = "write a first deploy.yaml for this repository, or a first config.json",
    .help =
        "  --force             replace the deploy.yaml files that are there\n"
        "  --host HOST         config.json: the address of the web UI (web.host)\n"
        "  --port PORT         config.json: its port (web.port)\n"
        "  --backend NAME      config.json: terminalBackend, default or tmux; not used by this\n"
        "                      version, whose terminals need no tmux\n"
        "  --yes               config.json, with what it holds or the defaults; asks nothing,\n"
        "                      as init never does\n"
        "  --install-tmux      as --yes; installs nothing, and says so\n"
        "  --install-plugins   as --yes; installs nothing, and says so\n"
        "\n"
        "Alone, or with --force: looks at package.json, Procfile, compose files and the like,\n"
        "says what it saw, and writes .wos/deploy.yaml and .wos/deploy.worktree.yaml (for all\n"
        "other worktrees) into the source worktree, with comments. Starts nothing.\n"
        "\n"
        "With any other option: puts web.host, web.port and terminalBackend into config.json\n"
        "in the home and writes no deploy.yaml. What is not given stays as it is, or becomes\n"
        "the default; all other keys stay, unknown ones too. Needs no Git worktree. What could\n"
        "not be used is listed, nothing is written, and the exit code is 1: a host beside the\n"
        "loopback needs tunnel.webUi.secret first.\n"
        "\n"
        "Examples:\n"
        "  wos init && wos up\n"
        "  wos init --port 5000 --yes\n",
    .run = init_run,
};
