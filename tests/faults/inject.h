/* inject: allocations, or calls for sockets, that fail.
 *
 * inject.c takes the place of libc's malloc, calloc, realloc, free and of socket, connect, accept4,
 * epoll_ctl in this program and its libraries. One thread counts and fails at a time: the one that
 * armed. */
#ifndef WOS_TESTS_FAULTS_INJECT_H
#define WOS_TESTS_FAULTS_INJECT_H

#include <stdbool.h>

enum inject_kind {
    INJECT_MEMORY,
    INJECT_SOCKETS,
};

/* From now on the nth (from 1) of that kind fails, and the burst - 1 behind it; 0: they are only
 * counted. */
void inject_arm(enum inject_kind kind, unsigned nth, unsigned burst);
/* Stops; how many there were. */
unsigned inject_disarm(void);
/* From now on nothing fails; it is not counted either. */
void inject_relent(void);
/* Between these, calls are the test's own: not counted, never failed. They nest. */
void inject_pause(void);
void inject_resume(void);
/* Did it fail yet? */
bool inject_happened(void);
/* Blocks of memory that this thread has: allocated less freed. */
long inject_live(void);

#endif
