/* renewer_json: what a renewer knows, for status pages and the API (renewer.h). */
#include <stdlib.h>

#include "acme/renewer_impl.h"
#include "acme/when.h"
#include "base/json.h"

static const char *state_word(const struct renewer *r, bool usable)
{
    /* Whoever hears of the end may ask before the next turn of the loop. */
    bool has_ended = loop_timer_is_set(&r->end);
    if (r->action == ACTION_RENEW && !has_ended) {
        return usable ? "renewing" : "issuing";
    }
    if (usable) {
        return r->state.failures > 0 ? "stale" : "active";
    }
    return failure_is_set(&r->state.last_error) ? "failed" : "issuing"; /* or cancelled */
}

static void add_error(const struct renewer *r, cJSON *json)
{
    if (!failure_is_set(&r->state.last_error)) {
        json_add_str(json, "lastError", NULL);
        return;
    }
    cJSON *error = cJSON_AddObjectToObject(json, "lastError");
    json_add_str(error, "phase", r->state.last_error.phase);
    json_add_str(error, "type", r->state.last_error.type);
    json_add_str(error, "message", r->state.last_error.message);
    when_add(error, "at", r->state.last_error_at);
}

static void add_window(const struct renewer *r, cJSON *json)
{
    const struct ari *ari = &r->state.ari;
    if (ari->start == 0 || strcmp(ari->cert_id, r->cert_id) != 0) {
        json_add_str(json, "renewalWindow", NULL);
        return;
    }
    cJSON *window = cJSON_AddObjectToObject(json, "renewalWindow");
    when_add(window, "start", ari->start);
    when_add(window, "end", ari->end);
    if (ari->explanation[0] != '\0') {
        json_add_str(window, "explanationUrl", ari->explanation);
    }
}

cJSON *renewer_json(const struct renewer *r)
{
    CHECK(r->magic == RENEWER_MAGIC);
    int64_t now = clock_wall_ms() / 1000;
    bool usable = renewer_is_usable(r, now);
    struct schedule next = renewer_schedule(r, now);
    cJSON *json = cJSON_CreateObject();
    CHECK(json != NULL);
    json_add_str(json, "state", state_word(r, usable));
    json_add_str(json, "nextAction",
                 r->state.failures > 0 && next.is_waiting ? "retry"
                 : usable                                 ? "renew"
                                                          : "issue");
    when_add(json, "nextAt", next.at);
    json_add_str(json, "nextReason", schedule_reason_text(next.reason));
    json_add_str(json, "step", r->order == NULL ? NULL : order_step(r->order));
    when_add(json, "lastAttemptAt", r->state.last_attempt_at);
    when_add(json, "lastSuccessAt", r->state.last_success_at);
    add_error(r, json);
    json_add_int(json, "failures", r->state.failures);
    add_window(r, json);
    json_add_str(json, "directory", r->spec.settings->directory);
    const char *account = r->account != NULL && r->settings == r->spec.settings
                              ? account_url(r->account)
                              : r->account_url;
    json_add_str(json, "accountUrl", account[0] == '\0' ? NULL : account);
    json_add_str(json, "profile", r->spec.settings->profile);
    return json;
}
