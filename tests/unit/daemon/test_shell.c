/* Scripts as processes: output files, environment, tails, init scripts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "daemon/deploy/initrun.h"
#include "daemon/deploy/shell.h"

static char dir[] = "/tmp/wos-shell-XXXXXX";
static struct loop *loop;

static int setup(void **state)
{
    (void)state;
    loop = loop_new(NULL);
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return path_remove_all(dir, NULL);
}

static void test_join(void **state)
{
    (void)state;
    static const char *const commands[] = {"npm ci", "npm start"};
    static const char *const comment[] = {"true # why", "echo x"};
    struct buf out = {0};
    shell_join(commands, 2, &out);
    assert_string_equal(buf_cstr(&out), "(npm ci) && (npm start)");
    buf_consume(&out, out.len);
    shell_join(comment, 2, &out);
    assert_string_equal(buf_cstr(&out), "(true # why\n) && (echo x)");
    buf_fini(&out);
}

struct ended {
    bool done;
    int status;
};

static void on_exit_(void *arg, int status)
{
    struct ended *e = arg;
    e->done = true;
    e->status = status;
}

static int run(const char *const *commands, size_t count, const char *const *env)
{
    autofree char *out = path_join(dir, "out");
    autofree char *errors = path_join(dir, "err");
    struct shell_spec spec = {.commands = commands,
                              .command_count = count,
                              .cwd = dir,
                              .env = env,
                              .stdout_path = out,
                              .stderr_path = errors};
    struct ended e = {0};
    struct err err = {0};
    struct subprocess *p = shell_start(loop, &spec, on_exit_, &e, &err);
    if (p == NULL) {
        fail_msg("%s", err.msg);
    }
    while (!e.done) {
        loop_turn(loop, true);
    }
    subprocess_release(p);
    return e.status;
}

static void assert_tail(const char *name, size_t lines, const char *expected)
{
    autofree char *path = path_join(dir, name);
    autofree char *tail = shell_log_tail(path, lines);
    assert_string_equal(tail, expected);
}

static void test_run(void **state)
{
    (void)state;
    static const char *const env[] = {"PATH=/usr/bin:/bin", "GREETING=hello", NULL};
    static const char *const commands[] = {"echo $GREETING; pwd; echo oops >&2", "exit 3"};
    assert_int_equal(WEXITSTATUS(run(commands, 2, env)), 3);
    autofree char *expected = xasprintf("hello\n%s", dir);
    assert_tail("out", 10, expected);
    assert_tail("out", 1, dir);
    assert_tail("err", 10, "oops");
    /* The next start empties the files; a failing command ends the chain. */
    static const char *const failing[] = {"false", "echo never"};
    assert_int_not_equal(run(failing, 2, env), 0);
    assert_tail("out", 10, "");
    assert_tail("nothing", 10, "");
}

static void test_bad_cwd(void **state)
{
    (void)state;
    static const char *const commands[] = {"true"};
    struct shell_spec spec = {.commands = commands,
                              .command_count = 1,
                              .cwd = "/nonexistent",
                              .stdout_path = "/dev/null",
                              .stderr_path = "/dev/null"};
    struct err err = {0};
    assert_null(shell_start(loop, &spec, on_exit_, NULL, &err));
    assert_string_equal(err.msg, "cwd /nonexistent is not a directory");
}

static void test_clean_text(void **state)
{
    (void)state;
    struct buf out = {0};
    shell_clean_text(STR("a\xc3\xa4\xff\xf0\x9f\x98\x80\xc3"), &out);
    assert_string_equal(buf_cstr(&out), "a\xc3\xa4\xef\xbf\xbd\xf0\x9f\x98\x80\xef\xbf\xbd");
    buf_fini(&out);
}

struct init_result {
    struct buf out;
    struct buf errors;
    bool done;
    int status;
};

static void on_output(void *arg, bool is_stderr, struct str chunk)
{
    struct init_result *r = arg;
    buf_add_str(is_stderr ? &r->errors : &r->out, chunk);
}

static void on_done(void *arg, int status)
{
    struct init_result *r = arg;
    r->done = true;
    r->status = status;
}

static void test_init_output(void **state)
{
    (void)state;
    struct init_result r = {0};
    static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    assert_non_null(initrun_start(loop,
                                  "i=0; while [ $i -lt 20000 ]; do echo line $i; "
                                  "i=$((i+1)); done; echo bad >&2; exit 4",
                                  dir, env, on_output, on_done, &r, NULL));
    while (!r.done) {
        loop_turn(loop, true);
    }
    assert_int_equal(WEXITSTATUS(r.status), 4);
    assert_true(str_ends(buf_str(&r.out), STR("line 19999\n")));
    assert_true(str_eq(buf_str(&r.errors), STR("bad\n")));
    buf_fini(&r.out);
    buf_fini(&r.errors);
}

static void test_init_cancel(void **state)
{
    (void)state;
    struct init_result r = {0};
    static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    struct initrun *init = initrun_start(loop, "echo $$; trap '' TERM; sleep 1000", dir, env,
                                         on_output, on_done, &r, NULL);
    while (r.out.len == 0) {
        loop_turn(loop, true);
    }
    pid_t pid = (pid_t)strtol(buf_cstr(&r.out), NULL, 10);
    uint64_t ticks = process_start_ticks(pid);
    assert_true(ticks != 0);
    initrun_cancel(init);
    while (process_start_ticks(pid) == ticks) {
        loop_turn(loop, false); /* until it is reaped */
    }
    assert_false(r.done);
    buf_fini(&r.out);
    buf_fini(&r.errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),        cmocka_unit_test(test_run),
        cmocka_unit_test(test_bad_cwd),     cmocka_unit_test(test_clean_text),
        cmocka_unit_test(test_init_output), cmocka_unit_test(test_init_cancel)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
