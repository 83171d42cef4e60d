/* git: short runs of git on the loop, without blocking it.
 *
 * The environment is ours without GIT_*, which would answer for another repository; English, no
 * optional locks, no prompts. At most GIT_OUTPUT_MAX bytes of each stream are kept, and a run ends
 * after GIT_TIMEOUT_MS. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_GIT_H
#define WOS_DAEMON_GIT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/subprocess.h"

enum { GIT_TIMEOUT_MS = 30000, GIT_OUTPUT_MAX = 4 << 20 };

/* argv begins with "git". on_done comes once, from the loop or at last from loop_free (as timed
 * out); there is no way to cancel. */
int git_start(struct loop *loop, const char *cwd, const char *const *argv,
              subprocess_output_fn *on_done, void *arg, struct err *err);
/* The same with a time limit of its own, for what writes much. */
int git_start_timeout(struct loop *loop, const char *cwd, const char *const *argv,
                      uint32_t timeout_ms, subprocess_output_fn *on_done, void *arg,
                      struct err *err);
bool git_succeeded(const struct subprocess_output *output);
/* What git said, in one line: "git worktree remove: …"; malloc'ed. `what` names the run. */
char *git_complaint(const char *what, const struct subprocess_output *output);

#endif
