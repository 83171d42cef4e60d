/* descriptors: see descriptors.h. */
#include "base/descriptors.h"

#include <stdbool.h>
#include <sys/resource.h>

#include "base/auto.h"

/* Of the process, as the limit is: written once, before there are threads. */
static struct rlimit at_start;
static bool is_raised;

uint64_t descriptors_max(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    return limit.rlim_cur;
}

uint64_t descriptors_raise(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) { /* else fewer clients, nothing worse */
            at_start = limit;
            is_raised = true;
        }
    }
    return descriptors_max();
}

void descriptors_restore(void)
{
    if (is_raised) {
        (void)setrlimit(RLIMIT_NOFILE, &at_start); /* a lower one is always allowed */
    }
}
