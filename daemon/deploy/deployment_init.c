/* deployment_init: the init scripts of an `up`: their text, what they print, how they end.
 * Called by deployment_up.c and the runners; loop thread. */
#include <stdlib.h>
#include <sys/wait.h>

#include "base/auto.h"
#include "base/file.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/runid.h"
#include "daemon/deploy/shell.h"

enum { INIT_TAIL_MAX = 8192 };

static void add_quoted(struct buf *out, const char *text)
{
    buf_add_char(out, '\'');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\'') {
            buf_add_text(out, "'\\''");
        } else {
            buf_add_char(out, *p);
        }
    }
    buf_add_char(out, '\'');
}

/* app.init_script, then those of the selected services, dependencies first. */
char *up_init_script(const struct deployment *d)
{
    const struct up *up = d->up;
    struct buf text = {0};
    shell_join(up->manifest->init_script, up->manifest->init_count, &text);
    for (size_t i = 0; i < up->selected_count; i++) {
        const struct manifest_service *ms = up->selected[i];
        if (ms->init_count == 0) {
            continue;
        }
        /* In a container the worktree is mounted at a fixed place. */
        const char *root = d->mode == MANIFEST_SHELL ? d->wt.root : "/workspace";
        autofree char *cwd = path_join(root, ms->cwd == NULL ? "." : ms->cwd);
        buf_add_text(&text, text.len == 0 ? "(cd " : " && (cd ");
        add_quoted(&text, cwd);
        buf_add_text(&text, " && ");
        shell_join(ms->init_script, ms->init_count, &text);
        buf_add_text(&text, ")");
    }
    return buf_take(&text);
}

int up_init_environment(struct deployment *d, const char *const **out_env, struct err *err)
{
    if (d->old_init != NULL) { /* its id would be lost */
        return err_set(err, ERR_BUSY,
                       "what an earlier init script left cannot be ended now: out "
                       "of descriptors or memory");
    }
    autofree char *id = runid_new();
    state_set(state_object(d->state, "shell"), "initRunId", cJSON_CreateString(id));
    if (state_save(d, err) < 0) {
        return -1;
    }
    envlist_fini(&d->up->init_env);
    envlist_add_all(&d->up->init_env, envlist_array(&d->up->base_env));
    envlist_set(&d->up->init_env, STR(RUNID_VARIABLE), str_of(id));
    *out_env = envlist_array(&d->up->init_env);
    return 0;
}

void up_on_init_output(void *arg, bool is_stderr, struct str chunk)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->up != NULL);
    event_log(d, "init", is_stderr ? "stderr" : "stdout", chunk);
    struct buf *tail = &d->up->init_tail;
    buf_add_str(tail, chunk);
    if (tail->len > INIT_TAIL_MAX) {
        buf_consume(tail, tail->len - INIT_TAIL_MAX);
    }
}

void up_on_init_done(void *arg, int status)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->up != NULL);
    d->up->init = NULL;
    /* What it left running on purpose is not ours to end: the next save forgets the id. */
    if (d->old_init == NULL) {
        cJSON_DeleteItemFromObjectCaseSensitive(state_object(d->state, "shell"), "initRunId");
    }
    if (status == 0) {
        d->up->init_done = true;
        up_step_done(d);
        return;
    }
    char text[64];
    failure_note_output(d, buf_str(&d->up->init_tail));
    autofree char *message =
        xasprintf("init script failed (%s)", subprocess_status_text(status, text, sizeof(text)));
    up_fail(d, ERR_FAILED, message);
}
