/* deployment_events: DeploymentEvents as JSON. Called by the other deployment files. */
#include "base/json.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/shell.h"

/* Takes the event. */
void event_send(struct deployment *d, cJSON *event)
{
    d->ops.on_event(d->arg, event);
    cJSON_Delete(event);
}

void event_step(struct deployment *d, const char *id, const char *state, const char *message)
{
    cJSON *event = cJSON_CreateObject();
    json_add_str(event, "type", "step");
    json_add_str(event, "id", id);
    json_add_str(event, "state", state);
    if (message != NULL) {
        json_add_str(event, "message", message);
    }
    event_send(d, event);
}

void event_log(struct deployment *d, const char *channel, const char *stream, struct str chunk)
{
    struct buf clean = {0};
    shell_clean_text(chunk, &clean);
    cJSON *event = cJSON_CreateObject();
    json_add_str(event, "type", "log");
    json_add_str(event, "channel", channel);
    json_add_str(event, "stream", stream);
    json_add_str(event, "chunk", buf_cstr(&clean));
    buf_fini(&clean);
    event_send(d, event);
}
