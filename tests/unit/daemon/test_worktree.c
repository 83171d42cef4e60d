/* Worktrees of a real repository. Skipped where git is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "daemon/deploy/worktree.h"

static char dir[] = "/tmp/wos-worktree-XXXXXX";
static struct loop *loop;

struct answer {
    bool done;
    struct worktree wt;
    struct err err;
};

static void on_output(void *arg, const struct subprocess_output *output)
{
    *(int *)arg = output->status;
}

/* A shell line in `dir`, its status. */
static int sh(const char *line)
{
    const char *const argv[] = {"sh", "-c", line, NULL};
    struct subprocess_spec spec = {
        .argv = argv, .cwd = dir, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
    int status = -2;
    if (subprocess_collect(loop, &spec, 60000, 65536, on_output, &status, NULL) < 0) {
        return -1;
    }
    while (status == -2) {
        loop_turn(loop, true);
    }
    return status;
}

static int setup(void **state)
{
    (void)state;
    loop = loop_new(NULL);
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    if (sh("command -v git") != 0) {
        puts("skipped: git is not installed");
        exit(77);
    }
    return sh("unset GIT_DIR GIT_WORK_TREE; export GIT_CONFIG_GLOBAL=/dev/null;"
              "git init -q -b main repo && cd repo && mkdir sub && "
              "git -c user.name=t -c user.email=t@example.com commit -q --allow-empty -m one && "
              "git worktree add -q -b topic '../feature x' && mkdir ../plain");
}

static int teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return path_remove_all(dir, NULL);
}

static void on_resolved(void *arg, const struct worktree *wt, const struct err *err)
{
    struct answer *a = arg;
    a->done = true;
    if (wt != NULL) {
        worktree_copy(&a->wt, wt);
    } else {
        a->err = *err;
    }
}

static struct answer resolve(const char *name)
{
    struct answer a = {0};
    autofree char *path = path_join(dir, name);
    (void)worktree_resolve(loop, "/nonexistent-home", path, on_resolved, &a);
    assert_false(a.done);
    while (!a.done) {
        loop_turn(loop, true);
    }
    return a;
}

static void test_source_and_secondary(void **state)
{
    (void)state;
    autofree char *repo = path_join(dir, "repo");
    autofree char *feature = path_join(dir, "feature x");
    struct answer a = resolve("repo/sub");
    assert_string_equal(a.wt.root, repo);
    assert_string_equal(a.wt.source, repo);
    assert_true(a.wt.is_source);
    assert_string_equal(a.wt.branch, "main");
    assert_int_equal(strlen(a.wt.head), 40);
    assert_string_equal(a.wt.label, "repo");
    assert_true(str_starts(str_of(a.wt.project_name), STR("wos-repo-")));
    worktree_fini(&a.wt);
    a = resolve("feature x");
    assert_string_equal(a.wt.root, feature);
    assert_string_equal(a.wt.source, repo);
    assert_false(a.wt.is_source);
    assert_string_equal(a.wt.branch, "topic");
    assert_string_equal(a.wt.label, "feature-x");
    autofree char *session_dir = xasprintf("/nonexistent-home/sessions/%s", a.wt.session_name);
    assert_string_equal(a.wt.session_dir, session_dir);
    worktree_fini(&a.wt);
}

static void test_outside(void **state)
{
    (void)state;
    struct answer a = resolve("plain");
    assert_string_equal(a.err.msg, "wos must be run from inside a Git worktree");
    assert_int_equal(a.err.code, ERR_CONFIG);
    a = resolve("repo/.git");
    assert_string_equal(a.err.msg, "wos must be run from inside a Git worktree");
    a = resolve("nowhere");
    assert_int_equal(a.err.code, ERR_SYSTEM);
}

static void test_cancel(void **state)
{
    (void)state;
    struct answer a = {0};
    autofree char *path = path_join(dir, "repo");
    worktree_lookup_cancel(worktree_resolve(loop, "/nonexistent-home", path, on_resolved, &a));
    struct answer b = resolve("repo"); /* started later, so the other has ended its first run */
    worktree_fini(&b.wt);
    assert_false(a.done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_source_and_secondary),
                                       cmocka_unit_test(test_outside),
                                       cmocka_unit_test(test_cancel)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
