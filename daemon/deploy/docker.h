/* docker: finding the container tools and running them.
 *
 * `docker` is $WOS_DOCKER_BIN or what PATH has. Compose is its plugin ("docker compose", v2),
 * else the older program of its own ("docker-compose", v1). The search runs the tools; its
 * answer, like everything here, comes from the loop, and nothing blocks.
 *
 * A command's output is handed on as it comes and kept up to a bound: all of the standard
 * output up to DOCKER_OUTPUT_MAX, the end of the standard error.
 */
#ifndef WOS_DAEMON_DEPLOY_DOCKER_H
#define WOS_DAEMON_DEPLOY_DOCKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

enum {
    DOCKER_OUTPUT_MAX = 8 << 20, /* of standard output kept; more is an error of the reader */
    DOCKER_TAIL_MAX = 16 << 10,  /* of standard error kept: its end */
};

/* An argument list being put together; strings owned. */
struct docker_args {
    char **items; /* owned; NULL-terminated once non-empty */
    size_t count;
};

void docker_args_add(struct docker_args *args, const char *text);
/* Several, up to NULL. */
void docker_args_add_all(struct docker_args *args, const char *const *list);
/* As docker_run wants it. */
const char *const *docker_args_argv(const struct docker_args *args);
void docker_args_fini(struct docker_args *args);

/* How the tools are called. Zeroed: not known yet. */
struct docker_tool {
    char *docker;  /* owned: program */
    char *compose; /* owned: program of its own (v1), or NULL: the plugin of `docker` */
    bool is_known;
};

void docker_tool_fini(struct docker_tool *tool);
/* "docker compose" or "docker-compose". */
void docker_tool_add_compose(const struct docker_tool *tool, struct docker_args *args);

struct docker_search;
/* tool: where the answer goes; filled before on_found(arg, NULL). A failure has every check
 * that was tried, and what it said. */
typedef void docker_found_fn(void *arg, const struct err *err);
/* env: of the tools, NULL-terminated, copied by the children only: must live until the end. */
struct docker_search *docker_find(struct loop *loop, const char *const *env,
                                  struct docker_tool *tool, docker_found_fn *on_found, void *arg);
void docker_search_cancel(struct docker_search *search);

struct docker_command;

struct docker_result {
    int status;          /* as waitpid's; -1 with `out` empty: could not be started, see err_text */
    struct str out;      /* borrowed */
    struct str err_tail; /* borrowed */
};
typedef void docker_output_fn(void *arg, bool is_stderr, struct str chunk);
typedef void docker_done_fn(void *arg, const struct docker_result *result);

/* For what changes something: it goes on when the daemon is killed, and the caller writes down
 * which process it is. on_output may be NULL. on_done comes once, from the loop, unless cancelled;
 * a program that cannot be started is told there too. */
struct docker_command *docker_run(struct loop *loop, const char *const *argv,
                                  const char *const *env, const char *cwd,
                                  docker_output_fn *on_output, docker_done_fn *on_done, void *arg);
/* The same for what only looks, or follows: it ends with the daemon, however that happens. What a
 * script in its place has started does not: such a script is to exec. */
struct docker_command *docker_ask(struct loop *loop, const char *const *argv,
                                  const char *const *env, const char *cwd,
                                  docker_output_fn *on_output, docker_done_fn *on_done, void *arg);
/* SIGTERM, later SIGKILL to the whole group; on_done comes. */
void docker_command_stop(struct docker_command *command);
/* SIGKILL at once, no on_done. NULL is allowed. */
void docker_command_cancel(struct docker_command *command);
/* Which process it is, to be found again after a crash of the daemon; 0 if none. */
pid_t docker_command_pid(const struct docker_command *command, uint64_t *out_start_ticks);

#endif
