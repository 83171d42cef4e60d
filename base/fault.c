/* fault: see fault.h. Any thread. */
#include "base/fault.h"

#ifdef WOS_FAULTS
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fault_point(const char *name)
{
    const char *wanted = getenv("WOS_TEST_CRASH_AT");
    if (wanted != NULL && strcmp(wanted, name) == 0) {
        (void)kill(getpid(), SIGKILL);
    }
}
#else
typedef int fault_is_empty_here; /* a translation unit must declare something */
#endif
