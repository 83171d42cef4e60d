/* initrun: one program whose output is handed on as it comes: `sh -lc` with an init script
 * (initrun_start), or any other (initrun_exec).
 *
 * on_done comes once, from the loop, after all output; not after a cancel.
 * initrun_cancel kills the process group at once.
 */
#ifndef WOS_DAEMON_DEPLOY_INITRUN_H
#define WOS_DAEMON_DEPLOY_INITRUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"
#include "base/subprocess.h"

struct initrun;

typedef void initrun_output_fn(void *arg, bool is_stderr, struct str chunk);
/* status as waitpid's. */
typedef void initrun_done_fn(void *arg, int status);

struct initrun *initrun_start(struct loop *loop, const char *script, const char *cwd,
                              const char *const *env, initrun_output_fn *on_output,
                              initrun_done_fn *on_done, void *arg, struct err *err);
/* The spec's stdout_fd and stderr_fd are not looked at. */
struct initrun *initrun_exec(struct loop *loop, const struct subprocess_spec *spec,
                             initrun_output_fn *on_output, initrun_done_fn *on_done, void *arg,
                             struct err *err);
/* SIGTERM to the group, SIGKILL after grace_ms; on_done comes. */
void initrun_stop(struct initrun *run, uint32_t grace_ms);
pid_t initrun_pid(const struct initrun *run, uint64_t *out_start_ticks);
void initrun_cancel(struct initrun *run);

#endif
