/* Who carries a run id, with as many descriptors as are needed, and with fewer. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "daemon/deploy/runid.h"

/* Leads a session and runs its program once this returns. */
static pid_t start_carrier(const char *id)
{
    int ends[2];
    char end;
    autofree char *variable = xasprintf(RUNID_VARIABLE "=%s", id);
    char *env[] = {variable, NULL};
    char *argv[] = {"sleep", "1000", NULL};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setsid();
        (void)execve("/bin/sleep", argv, env);
        _exit(1);
    }
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(read(ends[0], &end, 1), 0);
    assert_int_equal(close(ends[0]), 0);
    return pid;
}

/* `left` more can be opened; the former limit. */
static struct rlimit leave_descriptors(unsigned left)
{
    struct rlimit before;
    int next = dup(STDIN_FILENO);
    assert_true(next >= 0);
    assert_int_equal(close(next), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit now = {(rlim_t)next + left, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

static void test_nobody_carries_it(void **state)
{
    (void)state;
    autofree char *id = runid_new();
    struct process_info leader;
    assert_int_equal(runid_find_leader(id, &leader), PROCESS_NONE);
    assert_int_equal(runid_kill(id), PROCESS_NONE);
}

static void test_too_few_descriptors_hide_nobody(void **state)
{
    (void)state;
    autofree char *id = runid_new();
    struct process_info leader = {.pid = 0};
    pid_t pid = start_carrier(id);
    for (unsigned left = 0; left < 3; left++) { /* /proc, and what is looked at in it */
        struct rlimit before = leave_descriptors(left);
        enum process_answer answer = runid_find_leader(id, &leader);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(answer, left < 2 ? PROCESS_UNKNOWN : PROCESS_FOUND);
    }
    assert_int_equal(leader.pid, pid);
    for (unsigned left = 0; left < 3; left++) { /* to signal it takes one more */
        struct rlimit before = leave_descriptors(left);
        enum process_answer answer = runid_kill(id);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(answer, PROCESS_UNKNOWN);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    }
    assert_int_equal(runid_kill(id), PROCESS_NONE);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_carries_it),
        cmocka_unit_test(test_too_few_descriptors_hide_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
