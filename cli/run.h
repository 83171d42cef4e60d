/* run: one short program, waited for. Its output is kept, nothing is typed into it. */
#ifndef WOS_CLI_RUN_H
#define WOS_CLI_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

/* 0 when it ended with exit status 0. Else -1 with the error: why it could not be started, or its
 * status and the last line it said. argv ends in NULL; argv[0] is looked up in PATH. */
int run_program(struct loop *loop, const char *const *argv, uint32_t timeout_ms, struct err *err);
/* True when PATH (or the usual system directories) has the program; out gets its path, malloc'ed.
 */
bool run_find(const char *program, char **out);

#endif
