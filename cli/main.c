/* main: the `wos` program: the command table, what stands before the command, and
 * the call. Daemon and gateway are commands like any other. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/build.h"
#include "base/file.h"
#include "base/json.h"
#include "base/slip.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"

extern const struct command cmd_access, cmd_forward, cmd_init, cmd_worktree, cmd_cert,
    cmd_completion, cmd_config, cmd_connect, cmd_doctor, cmd_down, cmd_exec, cmd_gateway, cmd_help,
    cmd_logs, cmd_metrics, cmd_publish, cmd_restart, cmd_start, cmd_status, cmd_stop, cmd_trust,
    cmd_unpublish, cmd_untrust, cmd_up, cmd_version, cmd_wait, cmd_web;

const struct command *const commands[] = {
    &cmd_up,      &cmd_down,     &cmd_status,  &cmd_wait,    &cmd_exec,       &cmd_logs,
    &cmd_init,    &cmd_worktree, &cmd_metrics, &cmd_publish, &cmd_unpublish,  &cmd_web,
    &cmd_connect, &cmd_start,    &cmd_stop,    &cmd_restart, &cmd_cert,       &cmd_trust,
    &cmd_untrust, &cmd_doctor,   &cmd_access,  &cmd_config,  &cmd_completion, &cmd_version,
    &cmd_help,    &cmd_gateway,  &cmd_forward, NULL,
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

static bool is_command(const char *name)
{
    return command_find(name) != NULL;
}

static void command_unknown(const char *name, struct err *err)
{
    const char *nearest = NULL;
    unsigned distance = SLIP_MAX;
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (commands[i]->summary != NULL) {
            slip_offer(name, commands[i]->name, &nearest, &distance);
        }
    }
    (void)err_set(err, ERR_USAGE, "unknown command: %s%s%s%s", name,
                  nearest == NULL ? "" : "; did you mean wos ", nearest == NULL ? "" : nearest,
                  nearest == NULL ? "" : "?");
}

int command_explain(struct cli *cli, const struct command *command)
{
    if (cli->json) {
        cJSON *data = cJSON_CreateObject();
        json_add_str(data, "name", command->name);
        json_add_str(data, "args", command->args);
        json_add_str(data, "summary", command->summary == NULL ? "internal" : command->summary);
        json_add_str(data, "help", command->help);
        return command_succeed(cli, data);
    }
    command_print_help(command);
    return command_succeed(cli, NULL);
}

void command_print_help(const struct command *command)
{
    if (command != NULL) {
        printf("usage: wos [--cwd PATH] %s%s%s\n\n%s.\n\n%s", command->name,
               command->args[0] == '\0' ? "" : " ", command->args,
               command->summary == NULL ? "internal" : command->summary, command->help);
        return;
    }
    printf("wos runs the services of git worktrees side by side, each at its own HTTPS name.\n\n"
           "usage: wos [--cwd PATH] COMMAND [ARGUMENTS]\n\n");
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (commands[i]->summary != NULL) {
            printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
        }
    }
    printf("\n"
           "  --cwd PATH  act on the worktree there (before the command)\n"
           "  --json      one JSON object on stdout, for programs (every command)\n"
           "  --help      what a command takes, with an example (every command)\n\n"
           "Exit codes: 0 done, 1 failed, 2 usage, 3 git or configuration, 5 session busy,\n"
           "124 timed out. The home is $WOS_HOME, else ~/.wos.\n");
}

/* $WOS_HOME, else ~/.wos, made absolute; malloc'ed. */
static char *home_find(const char *cwd, struct err *err)
{
    const char *home = getenv("WOS_HOME");
    if (home != NULL && home[0] != '\0') {
        char *path = path_join(cwd, home);
        size_t len = strlen(path);
        while (len > 1 && path[len - 1] == '/') {
            path[--len] = '\0';
        }
        return path;
    }
    const char *user = getenv("HOME");
    if (user == NULL || user[0] != '/') {
        const struct passwd *entry = getpwuid(getuid());
        user = entry == NULL ? NULL : entry->pw_dir;
    }
    if (user == NULL) {
        (void)err_set(err, ERR_FAILED, "neither WOS_HOME nor HOME says where the home is");
        return NULL;
    }
    return path_join(user, ".wos");
}

static int cli_open(struct cli *cli, const struct arg_globals *globals, struct err *err)
{
    char here[PATH_MAX];
    if (getcwd(here, sizeof here) == NULL) {
        return err_set_sys(err, "the current directory");
    }
    cli->home = home_find(here, err);
    cli->cwd = globals->cwd == NULL ? xstrdup(here) : path_join(here, globals->cwd);
    return cli->home == NULL ? -1 : 0;
}

static void cli_close(struct cli *cli)
{
    client_free(cli->client);
    free(cli->home);
    free(cli->cwd);
    *cli = (struct cli){0};
}

/* Before any command is known: a sentence and the way to the list. */
static int usage_error(const struct err *err, int argc, char **argv)
{
    bool json = false;
    for (int i = 1; i < argc; i++) {
        json = json || strcmp(argv[i], "--json") == 0;
    }
    if (json) {
        static const struct command none = {.name = ""};
        struct cli cli = {.command = &none, .json = true};
        return command_fail(&cli, err);
    }
    fprintf(stderr, "wos: %s\n`wos help` lists the commands.\n", err->msg);
    return EXIT_USAGE;
}

/* A reader that had enough (`wos logs | head`) is no failure. */
static bool is_reader_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

/* An answer that could not be written is no success: the disk is full. The stream remembers a
 * failure of any flush before this one. */
static int finish_output(int code)
{
    bool is_written = fflush(stdout) == 0 && ferror(stdout) == 0;
    if (is_written || is_reader_gone()) {
        return code;
    }
    fprintf(stderr, "wos: cannot write the output\n");
    return code == EXIT_DONE ? EXIT_FAILED : code;
}

static int run(int argc, char **argv)
{
    struct arg_globals globals;
    struct err err = {0};
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
        return EXIT_FAILED;
    }
    if (args_globals(&globals, argc, argv, is_command, &err) < 0) {
        return usage_error(&err, argc, argv);
    }
    if (globals.version && globals.command == NULL) {
        globals.command = "version";
    } else if (globals.help && globals.command == NULL) {
        globals.command = "help";
        globals.help = false;
    }
    const char *name = globals.command == NULL ? "start" : globals.command;
    const struct command *command = command_find(name);
    if (command == NULL) {
        command_unknown(name, &err);
        return usage_error(&err, argc, argv);
    }
    struct cli cli = {.command = command, .json = globals.json};
    if (globals.help) {
        return command_explain(&cli, command);
    }
    (void)build_id(); /* before any thread exists */
    int code = cli_open(&cli, &globals, &err) < 0 ? command_fail(&cli, &err)
                                                  : command->run(&cli, globals.argc, globals.argv);
    cli_close(&cli);
    return code;
}

int main(int argc, char **argv)
{
    return finish_output(run(argc, argv));
}
