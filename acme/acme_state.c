/* acme_state: see acme_state.h. Called by the renewer. */
#include "acme/acme_state.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#include "acme/when.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"

enum { FILE_LIMIT_BYTES = 64 * 1024 };

static void copy(char *out, size_t size, const cJSON *json, const char *name)
{
    (void)snprintf(out, size, "%s", json_get_str(json, name, ""));
}

static void error_load(struct acme_state *state, const cJSON *json)
{
    copy(state->last_phase, sizeof state->last_phase, json, "phase");
    if (state->last_phase[0] == '\0') {
        return;
    }
    failure_set(&state->last_error, state->last_phase, "%s", json_get_str(json, "message", ""));
    copy(state->last_error.type, sizeof state->last_error.type, json, "type");
    state->last_error_at = when_get(json, "at");
}

static void ari_load(struct ari *ari, const cJSON *json)
{
    copy(ari->cert_id, sizeof ari->cert_id, json, "certId");
    copy(ari->explanation, sizeof ari->explanation, json, "explanationUrl");
    ari->start = when_get(json, "start");
    ari->end = when_get(json, "end");
    ari->selected_at = when_get(json, "selectedAt");
    ari->ask_at = when_get(json, "askAt");
    if (ari->start == 0 || ari->end <= ari->start || ari->selected_at == 0) {
        *ari = (struct ari){.ask_at = 0};
    }
}

void acme_state_load(struct acme_state *state, const char *path)
{
    *state = (struct acme_state){.last_attempt_at = 0};
    struct buf text = {0};
    if (file_read(path, FILE_LIMIT_BYTES, &text, NULL) == 0) {
        autojson cJSON *json = json_parse(buf_str(&text), path, NULL);
        int64_t failures = json_get_int(json, "failures", 0);
        state->last_attempt_at = when_get(json, "lastAttemptAt");
        state->last_success_at = when_get(json, "lastSuccessAt");
        state->not_until = when_get(json, "notUntil");
        state->ca_until = when_get(json, "caUntil");
        state->failures = failures < 0 ? 0 : failures > 1000 ? 1000 : (uint32_t)failures;
        copy(state->config, sizeof state->config, json, "config");
        copy(state->way, sizeof state->way, json, "way");
        error_load(state, json_get(json, "lastError"));
        ari_load(&state->ari, json_get(json, "renewalInfo"));
    }
    buf_fini(&text);
}

int acme_state_save(const struct acme_state *state, const char *path, struct err *err)
{
    autojson cJSON *json = cJSON_CreateObject();
    CHECK(json != NULL);
    when_add(json, "lastAttemptAt", state->last_attempt_at);
    when_add(json, "lastSuccessAt", state->last_success_at);
    when_add(json, "notUntil", state->not_until);
    when_add(json, "caUntil", state->ca_until);
    json_add_int(json, "failures", state->failures);
    json_add_str(json, "config", state->config);
    json_add_str(json, "way", state->way);
    if (failure_is_set(&state->last_error)) {
        cJSON *error = cJSON_AddObjectToObject(json, "lastError");
        json_add_str(error, "phase", state->last_error.phase);
        json_add_str(error, "type", state->last_error.type);
        json_add_str(error, "message", state->last_error.message);
        when_add(error, "at", state->last_error_at);
    }
    if (state->ari.cert_id[0] != '\0') {
        cJSON *info = cJSON_AddObjectToObject(json, "renewalInfo");
        json_add_str(info, "certId", state->ari.cert_id);
        when_add(info, "start", state->ari.start);
        when_add(info, "end", state->ari.end);
        when_add(info, "selectedAt", state->ari.selected_at);
        when_add(info, "askAt", state->ari.ask_at);
        json_add_str(info, "explanationUrl", state->ari.explanation);
    }
    autofree char *text = json_print(json);
    return file_write_atomic(path, str_of(text), 0600, err);
}
