/* certwatch: asks the daemon for something about certificates and watches it to its end.
 *
 * Steps go to stderr as they come (nothing with --json), and into the data that `--json` prints:
 * {"listenerKind", "operationId", "steps": [{"step", "state", "message"}]}.
 */
#ifndef WOS_CLI_CERTWATCH_H
#define WOS_CLI_CERTWATCH_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/err.h"
#include "cli/command.h"

/* `path`: "/certificates/renew", …; `kind`: "tunnel" | "web". 0 when it succeeded. *out_data (the
 * caller's) is set in any case, possibly to NULL. Interrupted (client_interrupted): the operation
 * goes on. */
int certwatch_run(struct cli *cli, const char *path, const char *kind, bool force, cJSON **out_data,
                  struct err *err);
/* The array of GET /certificates; the daemon is started if need be. The caller's. */
int certwatch_list(struct cli *cli, cJSON **out_answer, struct err *err);
/* "in 12 days", "3 h ago" for an ISO time; "" when it cannot be read. */
void certwatch_relative(const char *iso, char *out, size_t size);

#endif
