/* fault: places where a test lets the process die, as by kill -9 or a power cut.
 *
 * fault_point("up.launch") kills the process, unasked and unsaved, if WOS_TEST_CRASH_AT is
 * "up.launch" and this is a build with tests (WOS_FAULTS); elsewhere it is nothing.
 */
#ifndef WOS_BASE_FAULT_H
#define WOS_BASE_FAULT_H

#ifdef WOS_FAULTS
void fault_point(const char *name);
#else
static inline void fault_point(const char *name)
{
    (void)name;
}
#endif

#endif
