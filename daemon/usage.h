/* usage: processor time and memory of the services, from /proc, when somebody asks.
 *
 * A service is everything of its leader's session, or its container's first process with all that
 * descend from it. One pass over /proc serves all questions of
 * USAGE_FRESH_MS; nothing is read while nobody asks. One thread; /proc does not block.
 */
#ifndef WOS_DAEMON_USAGE_H
#define WOS_DAEMON_USAGE_H

#include <cjson/cJSON.h>
#include <sys/types.h>

enum { USAGE_FRESH_MS = 1000 };

struct usage;

struct usage *usage_new(void);
void usage_free(struct usage *u);
/* {"cpuPercent", "memUsedBytes"} of the leader's session: 100 is one processor, since the
 * reading before, or on average since the processes began. NULL: nothing of it lives. */
cJSON *usage_json(struct usage *u, pid_t leader);
/* The same of a container, by its first process and its id. NULL also when that pid is none of the
 * container's: the engine is on another machine. */
cJSON *usage_container_json(struct usage *u, pid_t first, const char *id);
/* The sum of two such objects into the first, made if NULL; `more` may be NULL. Takes neither. */
cJSON *usage_add(cJSON *sum, const cJSON *more);

#endif
