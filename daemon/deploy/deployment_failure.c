/* deployment_failure: the last lines a failed `up` leaves for people. Called by the other
 * deployment files; loop thread. */
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/shell.h"

enum { FAILURE_TAIL_LINES = 10 };

void failure_clear(struct deployment *d)
{
    free(d->failure_tail);
    d->failure_tail = NULL;
}

void failure_note_output(struct deployment *d, struct str output)
{
    failure_clear(d);
    d->failure_tail = shell_text_tail(output, FAILURE_TAIL_LINES);
}

const char *failure_note_service(struct deployment *d, const struct service_run *s)
{
    autofree char *errors = deployment_log_path(d, s->name, "stderr");
    autofree char *out = deployment_log_path(d, s->name, "stdout");
    failure_clear(d);
    d->failure_tail = shell_log_tail(errors, FAILURE_TAIL_LINES);
    if (d->failure_tail[0] == '\0') {
        failure_clear(d);
        d->failure_tail = shell_log_tail(out, FAILURE_TAIL_LINES);
    }
    return d->failure_tail;
}

char *service_exit_text(struct deployment *d, const struct service_run *s)
{
    char status[64];
    const char *said = failure_note_service(d, s);
    return xasprintf("service %s ended during up (%s)%s%s", s->name,
                     subprocess_status_text(s->status, status, sizeof(status)),
                     said[0] == '\0' ? "; it printed nothing" : ":\n", said);
}

cJSON *deployment_failure_log_json(const struct deployment *d)
{
    cJSON *lines = cJSON_CreateArray();
    struct str rest = str_of(d->failure_tail);
    struct str line;
    while (rest.len > 0 && str_next(&rest, '\n', &line)) {
        autofree char *text = str_dup(line);
        (void)cJSON_AddItemToArray(lines, cJSON_CreateString(text));
    }
    return lines;
}
