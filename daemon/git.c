/* git: see git.h. Called by the API's parts and by deploy/worktree.c. */
#include "daemon/git.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "daemon/deploy/envlist.h"

static void git_environment(struct envlist *env)
{
    for (char **item = environ; *item != NULL; item++) {
        const char *const one[] = {*item, NULL};
        if (strncmp(*item, "GIT_", 4) != 0) {
            envlist_add_all(env, one);
        }
    }
    envlist_set(env, STR("LC_ALL"), STR("C"));
    envlist_set(env, STR("GIT_OPTIONAL_LOCKS"), STR("0"));
    envlist_set(env, STR("GIT_TERMINAL_PROMPT"), STR("0"));
}

/* One run. subprocess_collect forgets its callers when the loop is freed; this one does not, so
 * that what they hold can be freed. */
struct git_run {
    struct loop *loop; /* borrowed */
    subprocess_output_fn *on_done;
    void *arg; /* borrowed */
};

static void git_end(struct git_run *run, const struct subprocess_output *output)
{
    struct git_run copy = *run;
    free(run);
    copy.on_done(copy.arg, output);
}

static void git_on_loop_free(void *arg)
{
    const struct subprocess_output output = {.status = -1, .timed_out = true};
    git_end(arg, &output);
}

static void git_on_done(void *arg, const struct subprocess_output *output)
{
    struct git_run *run = arg;
    loop_at_free_cancel(run->loop, git_on_loop_free, run);
    git_end(run, output);
}

int git_start_timeout(struct loop *loop, const char *cwd, const char *const *argv,
                      uint32_t timeout_ms, subprocess_output_fn *on_done, void *arg,
                      struct err *err)
{
    struct envlist env = {0};
    git_environment(&env);
    struct subprocess_spec spec = {.argv = argv,
                                   .env = envlist_array(&env),
                                   .cwd = cwd,
                                   .stdin_fd = -1,
                                   .stdout_fd = -1,
                                   .stderr_fd = -1};
    struct git_run *run = xcalloc(1, sizeof *run);
    *run = (struct git_run){.loop = loop, .on_done = on_done, .arg = arg};
    loop_at_free(loop, git_on_loop_free, run);
    int rc = subprocess_collect(loop, &spec, timeout_ms, GIT_OUTPUT_MAX, git_on_done, run, err);
    envlist_fini(&env);
    if (rc < 0) {
        loop_at_free_cancel(loop, git_on_loop_free, run);
        free(run);
        return err_wrap(err, "git");
    }
    return 0;
}

int git_start(struct loop *loop, const char *cwd, const char *const *argv,
              subprocess_output_fn *on_done, void *arg, struct err *err)
{
    return git_start_timeout(loop, cwd, argv, GIT_TIMEOUT_MS, on_done, arg, err);
}

bool git_succeeded(const struct subprocess_output *output)
{
    return output->status == 0 && !output->timed_out;
}

char *git_complaint(const char *what, const struct subprocess_output *output)
{
    if (output->timed_out) {
        return xasprintf("%s did not end in time", what);
    }
    struct str said = str_trim(output->err);
    while (said.len > 0 && said.ptr[said.len - 1] == '\n') {
        said.len--;
    }
    struct str line = {said.ptr, str_find(said, '\n')};
    char status[64];
    return line.len > 0 ? xasprintf("%s: %.*s", what, STR_ARG(line))
                        : xasprintf("%s: %s", what,
                                    subprocess_status_text(output->status, status, sizeof status));
}
