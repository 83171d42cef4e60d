/* seen: tells each id at most once in SEEN_EVERY_MS, in bounded memory.
 *
 * For logins: a worker asks at each request that comes with one, and the main thread asks again
 * with a table of its own, since a login may come to several workers. An id that finds no place,
 * because SEEN_PROBES others were seen within that time, is not told; there are fewer logins
 * (daemon/logins.h) than places. One thread per table.
 */
#ifndef WOS_GATEWAY_SEEN_H
#define WOS_GATEWAY_SEEN_H

#include <stdbool.h>
#include <stdint.h>

enum { SEEN_SLOTS = 2048, SEEN_PROBES = 16, SEEN_EVERY_MS = 60000 };

struct seen;

/* NULL when out of memory. */
struct seen *seen_new(void);
void seen_free(struct seen *s);
/* True: tell, now; it counts as told. `id` is random and not 0; now_ms is monotonic. */
bool seen_is_due(struct seen *s, uint64_t id, uint64_t now_ms);

#endif
