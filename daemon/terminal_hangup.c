/* terminal_hangup: see terminal_hangup.h. Called by terminal.c. */
#include "daemon/terminal_hangup.h"

#include <stdlib.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/subprocess.h"

static char **list_copy(const char *const *list)
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL) {
        count++;
    }
    char **copy = list == NULL ? NULL : xcalloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        copy[i] = xstrdup(list[i]);
    }
    return copy;
}

static void list_free(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        free(list[i]);
    }
    free(list);
}

void hangup_init(struct hangup *h, const char *const *argv, const char *const *env, const char *cwd)
{
    *h = (struct hangup){0};
    if (argv != NULL) {
        *h = (struct hangup){list_copy(argv), list_copy(env), cwd == NULL ? NULL : xstrdup(cwd)};
    }
}

void hangup_fini(struct hangup *h)
{
    list_free(h->argv);
    list_free(h->env);
    free(h->cwd);
    *h = (struct hangup){0};
}

static void hangup_on_exit(void *arg, int status)
{
    (void)arg;
    (void)status; /* never called: it is let go at once */
}

bool hangup_run(struct hangup *h, struct loop *loop)
{
    if (h->argv == NULL) {
        return true;
    }
    const struct subprocess_spec spec = {.argv = (const char *const *)h->argv,
                                         .env = (const char *const *)h->env,
                                         .cwd = h->cwd,
                                         .stdin_fd = -1,
                                         .stdout_fd = -1,
                                         .stderr_fd = -1};
    struct err err = {.msg = ""};
    struct subprocess *process = subprocess_start(loop, &spec, hangup_on_exit, NULL, &err);
    if (process == NULL) {
        log_warn("terminal", "what ran in it may go on", LOG_STR("error", err.msg));
        return false;
    }
    subprocess_release(process);
    hangup_fini(h);
    return true;
}
