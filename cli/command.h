/* command: what every subcommand of `wos` is made of.
 *
 * One file per command, cmd_<name>.c, defines one constant `struct command`;
 * main.c holds the table. main.c has taken --cwd, --json and --help away before
 * `run` is called; `run` gets the rest and returns the exit code:
 *
 *     0 done   1 failed   2 usage   3 git or configuration   5 session busy
 *     124 timed out   130 interrupted (the operation goes on)
 *
 * A command ends by returning command_succeed or command_fail, exactly once:
 * those two write the --json envelope {"success","command","data","error"}.
 * Everything is for people: results on stdout, all else on stderr.
 */
#ifndef WOS_CLI_COMMAND_H
#define WOS_CLI_COMMAND_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/err.h"

struct client;
struct command;

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_CONFIG = 3,
    EXIT_BUSY = 5,
    EXIT_TIMEOUT = 124,
    EXIT_INTERRUPTED = 130,
};

/* One call of the program. */
struct cli {
    const struct command *command;
    char *home;            /* owned: absolute path of the wos home */
    char *cwd;             /* owned: absolute; where git is asked for the worktree */
    bool json;             /* --json: one object on stdout, nothing else */
    struct client *client; /* owned: NULL until the daemon was needed */
};

struct command {
    const char *name;
    const char *args;    /* behind the name in the usage line; "" if none */
    const char *summary; /* one line; NULL hides the command from `wos help` */
    const char *help;    /* options and at least one example */
    int (*run)(struct cli *cli, int argc, char **argv);
};

/* Prints the envelope where --json asks for it. Takes `data` (may be NULL). */
int command_succeed(struct cli *cli, cJSON *data);
/* Prints the sentence ("wos up failed: …", or the envelope); the exit code. Where
 * the daemon refused a request, its error word and details are in the envelope. */
int command_fail(struct cli *cli, const struct err *err);
/* As command_fail, with data beside the error (taken; may be NULL). */
int command_fail_data(struct cli *cli, const struct err *err, cJSON *data);
/* The word for the error in the envelope: the daemon's, where it is what the daemon answered last.
 * Borrowed until the next call. */
const char *command_error_code(const struct cli *cli, const struct err *err);
/* The exit code that stands for an error code. */
int command_exit_code(enum err_code code);
/* True, and `err` filled in, when there is anything in argv. */
bool command_has_args(const struct cli *cli, int argc, char **argv, struct err *err);

/* The table, ending in NULL, and a lookup in it; main.c. */
extern const struct command *const commands[];
const struct command *command_find(const char *name);
/* The page of one command on stdout; the list of all for NULL. */
void command_print_help(const struct command *command);
/* `--help` and `help COMMAND`: the page of one, with --json its parts; the exit code. */
int command_explain(struct cli *cli, const struct command *command);

#endif
