/* selection: what an `up` was asked to start, and with which arguments, against what deploy.yaml
 * declares. Asked twice: before an up is accepted, so that a slip ends no deployment, and by the
 * up, which reads the file anew. Pure. */
#ifndef WOS_DAEMON_DEPLOY_SELECTION_H
#define WOS_DAEMON_DEPLOY_SELECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "daemon/deploy/manifest.h"
#include "daemon/deploy/template.h"

/* All borrowed. Neither services nor target: everything. */
struct selection {
    const char *const *services; /* NULL-terminated, or NULL */
    const char *target;          /* or NULL */
    const struct template_argument *arguments;
    size_t argument_count;
};

/* ERR_USAGE: a name that is not declared, both kinds of selection, or any in mode compose. */
int selection_check(const struct selection *s, const struct manifest *m, struct err *err);
/* Of a selection that was checked. */
bool selection_has(const struct selection *s, const struct manifest *m, const char *service);

#endif
