/* want: a process that is out of descriptors. */
#ifndef WOS_TESTS_UNIT_DAEMON_WANT_H
#define WOS_TESTS_UNIT_DAEMON_WANT_H

#include <sys/resource.h>
#include <unistd.h>

/* Leaves one descriptor, which is enough for a file; the former limit, to be set again. */
static inline struct rlimit want_all_but_one(void)
{
    struct rlimit before;
    int next = dup(STDIN_FILENO);
    assert_int_equal(close(next), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit now = {(rlim_t)next + 1, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

#endif
