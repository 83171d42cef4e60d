/* worktree_lists: see worktree_lists.h. Used by the API's lists of projects. */
#include "daemon/worktree_lists.h"

#include <stdlib.h>

#include "base/auto.h"
#include "daemon/git.h"

enum { RUNS = 4 };

struct worktree_lists {
    struct loop *loop;           /* borrowed */
    struct worktree_list *items; /* owned, with their strings */
    size_t count;
    size_t started;
    size_t running;
    worktree_lists_fn *on_done;
    void *arg; /* borrowed */
    bool is_cancelled;
    struct loop_timer timer; /* begins; on_done never comes from inside worktree_lists_read */
};

/* One run of git. */
struct list_run {
    struct worktree_lists *lists; /* borrowed: waits for every run */
    size_t index;
};

static void lists_free(struct worktree_lists *lists)
{
    for (size_t i = 0; i < lists->count; i++) {
        free(lists->items[i].source);
        free(lists->items[i].porcelain);
        free(lists->items[i].error);
    }
    free(lists->items);
    loop_timer_fini(&lists->timer);
    free(lists);
}

static void lists_go_on(struct worktree_lists *lists);

static void list_on_output(void *arg, const struct subprocess_output *output)
{
    struct list_run *run = arg;
    struct worktree_lists *lists = run->lists;
    struct worktree_list *item = &lists->items[run->index];
    free(run);
    if (git_succeeded(output)) {
        item->porcelain = str_dup(output->out);
    } else {
        item->error = git_complaint("git worktree list", output);
    }
    lists->running--;
    lists_go_on(lists);
}

static void list_start(struct worktree_lists *lists, size_t index)
{
    static const char *const argv[] = {"git", "worktree", "list", "--porcelain", NULL};
    struct err err = {.msg = ""};
    struct list_run *run = xcalloc(1, sizeof *run);
    *run = (struct list_run){lists, index};
    if (git_start(lists->loop, lists->items[index].source, argv, list_on_output, run, &err) < 0) {
        free(run);
        lists->items[index].error = xstrdup(err.msg);
        return;
    }
    lists->running++;
}

static void lists_go_on(struct worktree_lists *lists)
{
    while (!lists->is_cancelled && lists->running < RUNS && lists->started < lists->count) {
        list_start(lists, lists->started++);
    }
    if (lists->running > 0) {
        return;
    }
    if (!lists->is_cancelled) {
        lists->on_done(lists->arg, lists->items, lists->count);
    }
    lists_free(lists);
}

static void lists_on_timer(void *arg)
{
    lists_go_on(arg);
}

struct worktree_lists *worktree_lists_read(struct loop *loop, const char *const *sources,
                                           size_t count, worktree_lists_fn *on_done, void *arg)
{
    struct worktree_lists *lists = xcalloc(1, sizeof *lists);
    *lists = (struct worktree_lists){.loop = loop, .count = count, .on_done = on_done, .arg = arg};
    lists->items = xcalloc(count + 1, sizeof *lists->items);
    for (size_t i = 0; i < count; i++) {
        lists->items[i].source = xstrdup(sources[i]);
    }
    loop_timer_init(&lists->timer, loop, lists_on_timer, lists);
    loop_timer_set(&lists->timer, 0);
    return lists;
}

void worktree_lists_cancel(struct worktree_lists *lists)
{
    lists->is_cancelled = true;
    if (loop_timer_is_set(&lists->timer)) {
        lists_free(lists);
    }
}
