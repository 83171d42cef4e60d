/* random: bytes nobody can guess, in a worker's turn. Any thread. */
#ifndef WOS_GATEWAY_RANDOM_H
#define WOS_GATEWAY_RANDOM_H

#include <stddef.h>

/* It does not fail, also without memory. */
void random_fill(void *to, size_t len);

#endif
