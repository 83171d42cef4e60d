/* args: the command line, taken apart. No I/O, no global state.
 *
 *     static const struct arg_option options[] = {{"--target", NULL, true}, {"--detach", "-d",
 * false}}; struct args args; if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) <
 * 0) … if (args_has(&args, "--detach")) … args_fini(&args);
 *
 * A value comes as `--target web` or `--target=web`. `--` ends the options.
 * Errors have code ERR_USAGE. Everything returned is borrowed from argv.
 */
#ifndef WOS_CLI_ARGS_H
#define WOS_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct arg_option {
    const char *name;  /* "--target" */
    const char *alias; /* "-t", or NULL */
    bool takes_value;
};

struct arg_given {
    const char *name;  /* of the option, also where the alias was written */
    const char *value; /* NULL for options without one */
};

struct args {
    struct arg_given *given; /* owned: in the order written */
    size_t given_count;
    const char **words; /* owned: what is no option */
    size_t word_count;
};

/* argv is what follows the command's name. Call args_fini after success only. */
int args_parse(struct args *out, const struct arg_option *options, size_t option_count, int argc,
               char **argv, struct err *err);
void args_fini(struct args *args);
bool args_has(const struct args *args, const char *name);
/* The last value given, or NULL. */
const char *args_value(const struct args *args, const char *name);

/* What stands before and beside the command. */
struct arg_globals {
    const char *cwd;     /* NULL: not given */
    const char *command; /* NULL: none named */
    bool json;
    bool help;
    bool version;
    int argc; /* the words of the command, without --json and --help */
    char **argv;
};

/* Sorts out `wos [--cwd PATH] COMMAND …`. Moves words inside argv. `is_command`
 * tells command names, which may not stand as the value of --cwd. */
int args_globals(struct arg_globals *out, int argc, char **argv,
                 bool (*is_command)(const char *name), struct err *err);

/* "1500", "1500ms", "2.5s", "1m", any case, blanks around: milliseconds, > 0. */
int args_duration(const char *text, uint64_t *out_ms, struct err *err);
int args_port(const char *text, uint16_t *out_port, struct err *err);

#endif
