/* Tests of base/subprocess and base/process. Programs are sh, sleep, cat. Nothing
 * here waits for a time to pass: each waits for a thing to happen. */
#include "base/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#include "base/auto.h"
#include "base/file.h"

static struct loop *loop;
static struct subprocess *process;
static int exits;
static int last_status;

static int set_up(void **state)
{
    (void)state;
    exits = 0;
    last_status = -2;
    loop = loop_new(NULL);
    return loop == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    subprocess_release(process);
    process = NULL;
    loop_free(loop);
    return 0;
}

static void on_exit_seen(void *arg, int status)
{
    (void)arg;
    exits++;
    last_status = status;
}

static void run_until_exit(void)
{
    while (exits == 0) {
        loop_turn(loop, true);
    }
    assert_int_equal(exits, 1);
}

#define NO_FDS .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1

/* sh -c `script`, its standard output going to out_fd (-1: nowhere). */
static void start_shell(const char *script, int out_fd)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct subprocess_spec spec = {.argv = argv, NO_FDS};
    spec.stdout_fd = out_fd;
    struct err err = {0};
    process = subprocess_start(loop, &spec, on_exit_seen, NULL, &err);
    if (process == NULL) {
        fail_msg("%s", err.msg);
    }
}

/* Reads one line that a child writes: waits for it to get so far. */
static long read_number(int fd)
{
    char line[64] = "";
    size_t len = 0;
    while (len < sizeof line - 1 && strchr(line, '\n') == NULL) {
        ssize_t got = read(fd, line + len, 1);
        assert_true(got == 1);
        len++;
        line[len] = '\0';
    }
    return strtol(line, NULL, 10);
}

static bool is_gone(pid_t pid)
{
    struct process_info info;
    return !process_read(pid, &info) || info.state == 'Z';
}

static void test_exit_status(void **state)
{
    (void)state;
    char text[64];
    start_shell("exit 3", -1);
    assert_true(subprocess_is_running(process));
    assert_true(subprocess_pid(process) > 0);
    assert_true(subprocess_start_ticks(process) > 0);
    run_until_exit();
    assert_false(subprocess_is_running(process));
    assert_true(WIFEXITED(last_status));
    assert_int_equal(WEXITSTATUS(last_status), 3);
    assert_string_equal(subprocess_status_text(last_status, text, sizeof text), "exit 3");
    /* Reaped: not even a zombie is left. */
    assert_int_equal(process_start_ticks(subprocess_pid(process)), 0);
    subprocess_release(process);
    exits = 0;
    start_shell("kill -9 $$", -1);
    run_until_exit();
    assert_true(WIFSIGNALED(last_status));
    assert_string_equal(subprocess_status_text(last_status, text, sizeof text),
                        "signal 9 (Killed)");
    assert_string_equal(subprocess_status_text(-1, text, sizeof text), "exit status unknown");
}

static void test_exec_errors_are_errors(void **state)
{
    (void)state;
    struct err err = {0};
    const char *const missing[] = {"wos-no-such-program", NULL};
    struct subprocess_spec spec = {.argv = missing, NO_FDS};
    assert_null(subprocess_start(loop, &spec, on_exit_seen, NULL, &err));
    assert_int_equal(err.code, ERR_SYSTEM);
    assert_int_equal(err.sys, ENOENT);
    assert_non_null(strstr(err.msg, "wos-no-such-program"));
    const char *const no_program[] = {"/etc/passwd", NULL};
    spec.argv = no_program;
    assert_null(subprocess_start(loop, &spec, on_exit_seen, NULL, &err));
    assert_int_equal(err.sys, EACCES);
    const char *const good[] = {"true", NULL};
    spec.argv = good;
    spec.cwd = "/no/such/directory";
    assert_null(subprocess_start(loop, &spec, on_exit_seen, NULL, &err));
    assert_int_equal(err.sys, ENOENT);
    assert_non_null(strstr(err.msg, "/no/such/directory"));
    spec.cwd = NULL;
    const struct subprocess_fd closed = {.fd = 987654, .target = 3};
    spec.fds = &closed;
    spec.fd_count = 1;
    assert_null(subprocess_start(loop, &spec, on_exit_seen, NULL, &err));
    assert_int_equal(err.sys, EBADF);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child was left behind */
    assert_int_equal(errno, ECHILD);
    loop_turn(loop, false);
    assert_int_equal(exits, 0);
}

static struct buf collected;
static struct buf collected_err;
static bool collected_timeout;

static void on_output(void *arg, const struct subprocess_output *output)
{
    (void)arg;
    exits++;
    last_status = output->status;
    collected.len = 0;
    collected_err.len = 0;
    buf_add_str(&collected, output->out);
    buf_add_str(&collected_err, output->err);
    collected_timeout = output->timed_out;
}

static const char *collect(const struct subprocess_spec *spec, uint32_t timeout_ms, size_t limit)
{
    struct err err = {0};
    exits = 0;
    if (subprocess_collect(loop, spec, timeout_ms, limit, on_output, NULL, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    run_until_exit();
    return buf_cstr(&collected);
}

static const char *collect_shell(const char *script)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct subprocess_spec spec = {.argv = argv, NO_FDS};
    return collect(&spec, 0, 1 << 20);
}

static int collect_tear_down(void **state)
{
    buf_fini(&collected);
    buf_fini(&collected_err);
    return tear_down(state);
}

static void test_collect(void **state)
{
    (void)state;
    assert_string_equal(collect_shell("echo out; echo err >&2; exit 4"), "out\n");
    assert_string_equal(buf_cstr(&collected_err), "err\n");
    assert_int_equal(WEXITSTATUS(last_status), 4);
    assert_false(collected_timeout);
    /* More than a pipe holds, from two sides; what is over the limit is dropped. */
    const char *const argv[] = {"sh", "-c",
                                "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2", NULL};
    struct subprocess_spec spec = {.argv = argv, NO_FDS};
    (void)collect(&spec, 0, 200000);
    assert_int_equal(collected.len, 200000);
    assert_int_equal(collected_err.len, 200000);
    assert_int_equal(last_status, 0);
}

static void test_collect_timeout_stops_the_group(void **state)
{
    (void)state;
    const char *const argv[] = {"sh", "-c", "sleep 1000 & echo $!; wait", NULL};
    struct subprocess_spec spec = {.argv = argv, NO_FDS};
    const char *out = collect(&spec, 300, 1000);
    assert_true(collected_timeout);
    assert_true(is_gone((pid_t)strtol(out, NULL, 10)));
    struct err err = {0};
    const char *const missing[] = {"wos-no-such-program", NULL};
    spec.argv = missing;
    assert_int_equal(subprocess_collect(loop, &spec, 0, 10, on_output, NULL, &err), -1);
}

/* Freeing the loop under a running collection leaks nothing (the sanitiser sees). */
static void test_collect_and_the_loop_ends(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const char *const argv[] = {"cat", NULL};
    struct subprocess_spec spec = {.argv = argv, NO_FDS};
    spec.stdin_fd = ends[0];
    struct err err = {0};
    assert_int_equal(subprocess_collect(loop, &spec, 0, 10, on_output, NULL, &err), 0);
    loop_free(loop);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0); /* ends cat */
    assert_true(waitpid(-1, NULL, 0) > 0);
    loop = loop_new(NULL);
    assert_int_equal(exits, 0);
}

static void test_environment_directory_and_path(void **state)
{
    (void)state;
    const char *const env[] = {"PATH=/nowhere:/bin:/usr/bin", "WOS_X=1 2", NULL};
    const char *const argv[] = {"sh", "-c", "pwd; echo \"$WOS_X\"; echo ${HOME-none}", NULL};
    struct subprocess_spec spec = {.argv = argv, .env = env, .cwd = "/usr", NO_FDS};
    assert_string_equal(collect(&spec, 0, 1000), "/usr\n1 2\nnone\n");
}

static void test_program_under_another_name(void **state)
{
    (void)state;
    const char *const argv[] = {"a name", "-c", "echo \"$0\"", NULL};
    struct subprocess_spec spec = {.program = "sh", .argv = argv, NO_FDS};
    assert_string_equal(collect(&spec, 0, 1000), "a name\n");
}

static void test_signals_are_reset(void **state)
{
    (void)state;
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    assert_int_equal(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    const char *out = collect_shell("grep -E '^Sig(Blk|Ign)' /proc/self/status");
    assert_string_equal(out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    assert_int_equal(sigprocmask(SIG_UNBLOCK, &set, NULL), 0);
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
}

/* Sources and targets that overlap, and a descriptor without close-on-exec. */
static void test_only_the_named_descriptors(void **state)
{
    (void)state;
    int leak = fcntl(open("/dev/null", O_RDONLY | O_CLOEXEC), F_DUPFD, 60);
    assert_true(leak >= 60);
    int three = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    int four = open("/dev/full", O_RDONLY | O_CLOEXEC);
    const struct subprocess_fd fds[] = {{.fd = three, .target = four},
                                        {.fd = four, .target = three}};
    /* The descriptor that the listing itself used is gone when -L looks. */
    const char *const argv[] = {
        "sh", "-c",
        "for f in /proc/$$/fd/*; do [ -L $f ] && echo \"${f##*/} $(readlink $f)\"; done", NULL};
    struct subprocess_spec spec = {.argv = argv, NO_FDS, .fds = fds, .fd_count = 2};
    const char *out = collect(&spec, 0, 4000);
    autofree char *want_three = xasprintf("\n%d /dev/full\n", three);
    autofree char *want_four = xasprintf("\n%d /dev/zero\n", four);
    assert_true(strncmp(out, "0 /dev/null\n1 pipe:", 19) == 0);
    assert_non_null(strstr(out, want_three));
    assert_non_null(strstr(out, want_four));
    size_t lines = 0;
    for (const char *at = out; *at != '\0'; at++) {
        lines += *at == '\n' ? 1 : 0;
    }
    assert_int_equal(lines, 5); /* 0, 1, 2 and the two */
    assert_int_equal(close(leak), 0);
    assert_int_equal(close(three), 0);
    assert_int_equal(close(four), 0);
}

static void test_stop_ends_the_whole_group(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    /* The leader obeys SIGTERM; its child ignores it; another is stopped. */
    start_shell("sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & "
                "sh -c 'echo $$; kill -STOP $$' & wait",
                ends[1]);
    pid_t one = (pid_t)read_number(ends[0]);
    pid_t two = (pid_t)read_number(ends[0]);
    assert_false(is_gone(one));
    subprocess_stop(process, 100);
    subprocess_stop(process, 5000); /* a longer grace later changes nothing */
    assert_int_equal(exits, 0);
    run_until_exit();
    assert_true(is_gone(one));
    assert_true(is_gone(two));
    assert_int_equal(process_members(subprocess_pid(process), NULL, NULL), 0);
    assert_int_equal(WTERMSIG(last_status), SIGTERM);
    assert_int_equal(subprocess_signal(process, SIGTERM, NULL), 0); /* nobody: success */
    subprocess_stop(process, 0);
    loop_turn(loop, false);
    assert_int_equal(exits, 1);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

/* Jobs of a shell with job control are in groups of their own. */
static void test_stop_reaches_other_groups_of_the_session(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    start_shell("exec bash -c 'set -m; sleep 1000 & echo $!; wait'", ends[1]);
    pid_t job = (pid_t)read_number(ends[0]);
    assert_true(getpgid(job) != subprocess_pid(process));
    subprocess_stop(process, 0);
    run_until_exit();
    assert_true(is_gone(job));
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

/* The leader ends alone; its child lives on and can still be stopped. */
static void test_stop_after_the_leaders_end(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    start_shell("sleep 1000 & echo $!; exit 5", ends[1]);
    pid_t child = (pid_t)read_number(ends[0]);
    run_until_exit();
    assert_int_equal(WEXITSTATUS(last_status), 5);
    assert_false(is_gone(child));
    subprocess_stop(process, 1000);
    while (!is_gone(child) || process_start_ticks(subprocess_pid(process)) != 0) {
        loop_turn(loop, true); /* until the zombie that kept the number is reaped, too */
    }
    loop_turn(loop, false);
    assert_int_equal(exits, 1);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

/* As many descriptors as there are now and no more; the former limit. */
static struct rlimit use_up_descriptors(void)
{
    struct rlimit before;
    int next = dup(STDIN_FILENO);
    assert_true(next >= 0);
    assert_int_equal(close(next), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit now = {(rlim_t)next, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    assert_int_equal(open("/proc", O_RDONLY | O_CLOEXEC), -1);
    return before;
}

/* Who is left of a group cannot be seen without a descriptor: that is not nobody. */
static void test_a_full_table_of_descriptors_hides_no_child(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    start_shell("sleep 1000 & echo $!; exit 5", ends[1]);
    pid_t child = (pid_t)read_number(ends[0]);
    struct rlimit before = use_up_descriptors();
    run_until_exit();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(process_start_ticks(subprocess_pid(process)) != 0); /* it keeps the number */
    assert_false(is_gone(child));
    subprocess_stop(process, 1000);
    while (!is_gone(child) || process_start_ticks(subprocess_pid(process)) != 0) {
        loop_turn(loop, true);
    }
    assert_int_equal(exits, 1);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

static void test_release_lets_it_live_and_still_reaps(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const char *const argv[] = {"cat", NULL};
    struct subprocess_spec spec = {.argv = argv, NO_FDS};
    spec.stdin_fd = ends[0];
    process = subprocess_start(loop, &spec, on_exit_seen, NULL, NULL);
    assert_non_null(process);
    pid_t pid = subprocess_pid(process);
    subprocess_release(process);
    process = NULL;
    loop_turn(loop, false);
    assert_false(is_gone(pid));
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0); /* ends cat */
    while (process_start_ticks(pid) != 0) {
        loop_turn(loop, true);
    }
    assert_int_equal(exits, 0);
}

/* Runs `script` in a session whose parent is gone, as another daemon's child is. */
static pid_t start_foreign(const char *script, int out_fd)
{
    autofree char *command = xasprintf("setsid sh -c '%s' & echo $!", script);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const char *const argv[] = {"sh", "-c", command, NULL};
    const struct subprocess_fd fd = {.fd = out_fd, .target = 9};
    struct subprocess_spec spec = {.argv = argv, NO_FDS, .fds = &fd, .fd_count = 1};
    spec.stdout_fd = ends[1];
    exits = 0;
    process = subprocess_start(loop, &spec, on_exit_seen, NULL, NULL);
    assert_non_null(process);
    run_until_exit();
    exits = 0;
    pid_t pid = (pid_t)read_number(ends[0]);
    subprocess_release(process);
    process = NULL;
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
    return pid;
}

static void test_adopt(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = start_foreign("sleep 1000 & echo $! >&9; wait", ends[1]);
    pid_t child = (pid_t)read_number(ends[0]);
    uint64_t ticks = process_start_ticks(pid);
    struct err err = {0};
    assert_null(subprocess_adopt(loop, pid, ticks + 1, on_exit_seen, NULL, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_null(
        subprocess_adopt(loop, child, process_start_ticks(child), on_exit_seen, NULL, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    assert_null(subprocess_adopt(loop, 0, 0, on_exit_seen, NULL, &err));
    process = subprocess_adopt(loop, pid, ticks, on_exit_seen, NULL, &err);
    assert_non_null(process);
    assert_true(subprocess_is_running(process));
    subprocess_stop(process, 1000);
    run_until_exit();
    assert_int_equal(last_status, -1);
    assert_true(is_gone(pid));
    assert_true(is_gone(child));
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

static void test_adopt_what_a_dead_leader_left(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    /* The leader reports its own start time before it goes. */
    pid_t pid =
        start_foreign("cut -d\" \" -f22 /proc/$$/stat >&9; sleep 1000 & echo $! >&9", ends[1]);
    long ticks = read_number(ends[0]);
    pid_t child = (pid_t)read_number(ends[0]);
    while (process_start_ticks(pid) != 0) {
        (void)waitpid(pid, NULL, 0); /* ours to reap as a subreaper: see main */
    }
    struct err err = {0};
    process = subprocess_adopt(loop, pid, (uint64_t)ticks, on_exit_seen, NULL, &err);
    assert_non_null(process);
    assert_int_equal(exits, 0);
    run_until_exit();
    assert_int_equal(last_status, -1);
    assert_false(is_gone(child));
    subprocess_stop(process, 1000);
    while (!is_gone(child)) {
        loop_turn(loop, true);
    }
    while (process_start_ticks(child) != 0) {
        (void)waitpid(child, NULL, 0);
    }
    subprocess_release(process);
    process = subprocess_adopt(loop, pid, (uint64_t)ticks, on_exit_seen, NULL, &err);
    assert_null(process);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

/* Whether it lives cannot be seen without a descriptor: it is not forgotten, and stopped once it
 * can; nor is one that is gone reported before that is known. */
static void test_a_full_table_of_descriptors_hides_no_adopted_one(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = start_foreign("sleep 1000 & echo $! >&9; wait", ends[1]);
    pid_t child = (pid_t)read_number(ends[0]);
    uint64_t ticks = process_start_ticks(pid);
    for (int round = 0; round < 2; round++) {
        struct rlimit before = use_up_descriptors();
        process = subprocess_adopt(loop, pid, ticks, on_exit_seen, NULL, NULL);
        assert_non_null(process);
        assert_true(subprocess_is_running(process));
        assert_int_equal(subprocess_signal(process, SIGTERM, NULL), -1);
        if (round == 0) {
            subprocess_stop(process, 1000);
        }
        loop_turn(loop, true);
        assert_int_equal(exits, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        run_until_exit();
        assert_int_equal(last_status, -1);
        assert_true(is_gone(pid));
        assert_true(is_gone(child));
        while (process_start_ticks(pid) != 0) {
            (void)waitpid(pid, NULL, 0); /* ours to reap as a subreaper: see main */
        }
        subprocess_release(process);
        process = NULL;
        exits = 0;
    }
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

/* A command name may look like the rest of the line. */
static void test_process_names_do_not_confuse(void **state)
{
    (void)state;
    struct process_info before;
    struct process_info after;
    char old_name[16];
    assert_int_equal(prctl(PR_GET_NAME, old_name), 0);
    assert_true(process_read(getpid(), &before));
    assert_int_equal(prctl(PR_SET_NAME, "a) Z 1 1 1 1"), 0);
    assert_true(process_read(getpid(), &after));
    assert_int_equal(prctl(PR_SET_NAME, old_name), 0);
    assert_int_equal(after.group, getpgrp());
    assert_int_equal(after.session, getsid(0));
    assert_int_equal(after.state, 'R');
    assert_true(before.start_ticks > 0 && before.start_ticks == after.start_ticks);
    assert_int_equal(process_start_ticks(-1), 0);
    assert_int_equal(process_start_ticks(0), 0);
}

int main(void)
{
    /* Orphans of the tests come to us, not to a first process that may not reap. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_exit_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_exec_errors_are_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_collect, set_up, collect_tear_down),
        cmocka_unit_test_setup_teardown(test_collect_timeout_stops_the_group, set_up,
                                        collect_tear_down),
        cmocka_unit_test_setup_teardown(test_collect_and_the_loop_ends, set_up, collect_tear_down),
        cmocka_unit_test_setup_teardown(test_environment_directory_and_path, set_up,
                                        collect_tear_down),
        cmocka_unit_test_setup_teardown(test_program_under_another_name, set_up, collect_tear_down),
        cmocka_unit_test_setup_teardown(test_signals_are_reset, set_up, collect_tear_down),
        cmocka_unit_test_setup_teardown(test_only_the_named_descriptors, set_up, collect_tear_down),
        cmocka_unit_test_setup_teardown(test_stop_ends_the_whole_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_reaches_other_groups_of_the_session, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_stop_after_the_leaders_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_full_table_of_descriptors_hides_no_child, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_release_lets_it_live_and_still_reaps, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_adopt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_adopt_what_a_dead_leader_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_full_table_of_descriptors_hides_no_adopted_one,
                                        set_up, tear_down),
        cmocka_unit_test(test_process_names_do_not_confuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
