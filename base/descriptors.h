/* descriptors: how many files this process may have open.
 *
 * A server raises the limit to what its user may have at most, once, before it starts threads or
 * programs; base/spawn.c gives programs the limit back that this process was started with, as
 * some use select() and others close all there could be.
 */
#ifndef WOS_BASE_DESCRIPTORS_H
#define WOS_BASE_DESCRIPTORS_H

#include <stdint.h>

/* How many there may be now. */
uint64_t descriptors_raise(void);
uint64_t descriptors_max(void);
/* In a child, between fork and exec: as before descriptors_raise, if that was called. */
void descriptors_restore(void);

#endif
