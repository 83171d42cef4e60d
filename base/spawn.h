/* spawn: the fork-and-exec half of subprocess; only subprocess.c calls it.
 * The child is a session and group leader with default signal dispositions, an
 * empty mask and no descriptor but those of the spec. Returns once the program
 * runs: an exec (or chdir) that fails is an error here, not an exit code.
 */
#ifndef WOS_BASE_SPAWN_H
#define WOS_BASE_SPAWN_H

#include "base/subprocess.h"

/* The caller owns the pidfd and has to wait for the child. */
int spawn_process(const struct subprocess_spec *spec, pid_t *out_pid, int *out_pidfd,
                  struct err *err);

#endif
