/* Who carries a run id, with as many descriptors as are needed, and with fewer. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
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

/* Runs its program once this returns. */
static pid_t start_carrier(const char *id, bool is_leader)
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
        (void)(is_leader && setsid());
        (void)execve("/bin/sleep", argv, env);
        _exit(1);
    }
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(read(ends[0], &end, 1), 0);
    assert_int_equal(close(ends[0]), 0);
    return pid;
}

struct family {
    pid_t leader; /* of a session; has ended unless it stays */
    pid_t orphan; /* in it, and carries the id */
};

static struct family start_family(const char *id, bool stays)
{
    int ends[2];
    struct family f = {0};
    siginfo_t info;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    f.leader = fork();
    assert_true(f.leader >= 0);
    if (f.leader == 0) {
        (void)setsid();
        f.orphan = start_carrier(id, false);
        bool is_told = write(ends[1], &f.orphan, sizeof f.orphan) == sizeof f.orphan;
        (void)(stays && pause());
        _exit(!is_told);
    }
    assert_int_equal(read(ends[0], &f.orphan, sizeof f.orphan), sizeof f.orphan);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
    if (!stays) {
        assert_int_equal(waitid(P_PID, (id_t)f.leader, &info, WEXITED | WNOWAIT), 0);
    }
    return f;
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
    pid_t pid = start_carrier(id, true);
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

/* A daemon that was killed before it wrote down a program's number, and whose end was also that of
 * the program, left those that it had started. */
static void test_a_leader_that_has_ended_is_found_by_who_is_left(void **state)
{
    (void)state;
    autofree char *id = runid_new();
    struct family f = start_family(id, false);
    struct process_info leader = {.pid = 0};
    assert_int_equal(runid_find_leader(id, &leader), PROCESS_FOUND); /* nobody has waited for it */
    assert_int_equal(leader.pid, f.leader);
    assert_int_equal(leader.start_ticks, process_start_ticks(f.leader));
    assert_int_equal(waitpid(f.leader, NULL, 0), f.leader);
    leader.pid = 0;
    assert_int_equal(runid_find_leader(id, &leader), PROCESS_FOUND);
    assert_int_equal(leader.pid, f.leader);
    assert_int_equal(leader.start_ticks, process_start_ticks(f.orphan));
    assert_int_equal(runid_kill(id), PROCESS_NONE);
    assert_int_equal(runid_find_leader(id, &leader), PROCESS_NONE);
}

/* The one that carries the id is in the session of a living process that does not. */
static void test_another_session_is_not_taken(void **state)
{
    (void)state;
    autofree char *id = runid_new();
    struct process_info leader;
    struct family f = start_family(id, true);
    assert_int_equal(runid_find_leader(id, &leader), PROCESS_NONE);
    assert_int_equal(runid_kill(id), PROCESS_NONE);
    assert_int_equal(kill(f.leader, SIGKILL), 0);
    assert_int_equal(waitpid(f.leader, NULL, 0), f.leader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_carries_it),
        cmocka_unit_test(test_too_few_descriptors_hide_nobody),
        cmocka_unit_test(test_a_leader_that_has_ended_is_found_by_who_is_left),
        cmocka_unit_test(test_another_session_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
