/* published_log: what changed since published.json was written: H/published.log, a JSON object a
 * line, in the order of the changes.
 *
 * A change of one name among thousands costs its line and one fdatasync, not the whole file anew
 * with two. Whoever holds the list writes published.json when the log is long, and at the end, and
 * clears it. Until then the list is what published.json says, and then each line in turn; to say
 * one again does not matter. One thread: the daemon's loop; blocks on that file.
 */
#ifndef WOS_DAEMON_PUBLISHED_LOG_H
#define WOS_DAEMON_PUBLISHED_LOG_H

#include <cjson/cJSON.h>

#include "base/err.h"
#include "base/str.h"

/* From here on writing published.json anew is worth it. */
enum { PUBLISHED_LOG_LONG = 256 * 1024 };

struct published_log;

struct published_log *published_log_new(const char *path);
void published_log_free(struct published_log *log);
/* Calls `fn` for each line that is there, with NULL in place of what cannot be read: that may have
 * been about any name. What a crash has cut off was never acknowledged. -1: nothing of it could be
 * read; it takes no lines then and must not be cleared. */
int published_log_read(struct published_log *log, void (*fn)(void *arg, const cJSON *row),
                       void *arg);
/* Appends a line (without its end); once it is there no crash loses it. On -1 nobody knows: write
 * published.json, and clear. */
int published_log_add(struct published_log *log, struct str line, struct err *err);
/* Published.json has it all. */
void published_log_clear(struct published_log *log);
/* Bytes of all lines; 0: there is nothing to be said beside published.json. */
size_t published_log_size(const struct published_log *log);

#endif
