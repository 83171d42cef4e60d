/* certwatch: see certwatch.h. Called by `wos cert` and `wos doctor`; one thread. */
#include "cli/certwatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/client.h"
#include "cli/launch.h"
#include "cli/print.h"

struct certwatch {
    bool is_quiet;
    cJSON *steps; /* borrowed from the data */
    bool ended;
    bool succeeded;
    struct err failure;
};

static const char *step_label(const char *step)
{
    static const struct {
        const char *step;
        const char *label;
    } labels[] = {
        {"schedule", "Schedule"},
        {"wait", "Waiting"},
        {"directory", "CA's directory"},
        {"account", "Account"},
        {"order", "Order"},
        {"authorizations", "Authorizations"},
        {"dns", "TXT records"},
        {"propagation", "Propagation"},
        {"respond", "Challenges"},
        {"validation", "Validation"},
        {"finalize", "Signing request"},
        {"issuance", "Issuance"},
        {"download", "Download"},
        {"cleanup", "TXT records withdrawn"},
        {"install", "Installation"},
        {"revoke", "Revocation"},
        {"deactivate", "Account's deactivation"},
        {"token", "API token"},
        {"zone", "Zone"},
        {"caa", "CAA records"},
        {"txt", "TXT record written"},
        {"visible", "TXT record seen"},
        {"withdraw", "TXT record withdrawn"},
        {"ca", "CA"},
        {"source", "Source"},
        {"certificate", "Certificate"},
        {"gateway", "Gateway"},
    };
    for (size_t i = 0; i < COUNT_OF(labels); i++) {
        if (strcmp(labels[i].step, step) == 0) {
            return labels[i].label;
        }
    }
    return step;
}

static void watch_line(const char *mark, const char *label, const char *message)
{
    struct buf text = {0};
    buf_printf(&text, "%s %s%s%s\n", mark, label, *message == '\0' ? "" : ": ", message);
    for (size_t i = 0; i + 1 < text.len; i++) { /* what a CA or a hook says moves no cursor */
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f) {
            text.ptr[i] = '?';
        }
    }
    print_flush(stderr, &text);
    buf_fini(&text);
}

static void watch_show(const cJSON *event)
{
    const char *type = json_get_str(event, "type", "");
    const char *message = json_get_str(event, "message", "");
    if (strcmp(type, "certificate.step") == 0) {
        const char *state = json_get_str(event, "state", "");
        const char *mark = strcmp(state, "done") == 0     ? "✓"
                           : strcmp(state, "failed") == 0 ? "✗"
                                                          : "▸";
        watch_line(mark, step_label(json_get_str(event, "step", "?")), message);
    } else if (strcmp(type, "certificate.warning") == 0) {
        watch_line("!", "Warning", message);
    } else if (strcmp(type, "certificate.activated") == 0) {
        watch_line("✓", "In use", json_get_str(event, "notAfter", ""));
    } else if (strcmp(type, "certificate.failed") == 0 &&
               json_get_str(event, "nextAt", NULL) != NULL) {
        watch_line("▸", "Next attempt", json_get_str(event, "nextAt", ""));
    }
}

static void watch_keep(struct certwatch *w, const cJSON *event)
{
    const char *state = json_get_str(event, "state", "");
    if (strcmp(json_get_str(event, "type", ""), "certificate.step") == 0 &&
        strcmp(state, "running") != 0) {
        cJSON *step = cJSON_CreateObject();
        (void)json_add_str(step, "step", json_get_str(event, "step", ""));
        (void)json_add_str(step, "state", state);
        (void)json_add_str(step, "message", json_get_str(event, "message", NULL));
        (void)cJSON_AddItemToArray(w->steps, step);
    }
}

static bool watch_on_line(void *arg, const cJSON *line)
{
    struct certwatch *w = arg;
    const cJSON *terminal = json_get(line, "terminal");
    if (terminal == NULL) {
        watch_keep(w, json_get(line, "event"));
        if (!w->is_quiet) {
            watch_show(json_get(line, "event"));
        }
        return true;
    }
    w->ended = true;
    w->succeeded = strcmp(json_get_str(terminal, "status", ""), "succeeded") == 0;
    if (!w->succeeded) {
        (void)err_set(&w->failure, ERR_FAILED, "%s",
                      json_get_str(terminal, "failureMessage", "no reason was given"));
    }
    return false;
}

static int watch_stream(struct cli *cli, const char *id, struct certwatch *w, struct err *err)
{
    autofree char *path = xasprintf("/operations/%s/events", id);
    if (client_stream(cli->client, path, watch_on_line, w, err) < 0) {
        return client_interrupted(cli->client)
                   ? -1
                   : err_wrap(err, "lost sight of it (`wos cert status` shows how it stands)");
    }
    if (!w->ended) {
        return err_set(err, ERR_FAILED,
                       "the daemon ended while it ran (`wos cert status` shows how it stands)");
    }
    if (!w->succeeded) {
        *err = w->failure;
        return -1;
    }
    return 0;
}

int certwatch_run(struct cli *cli, const char *path, const char *kind, bool force, cJSON **out_data,
                  struct err *err)
{
    autojson cJSON *body = cJSON_CreateObject();
    autojson cJSON *answer = NULL;
    *out_data = NULL;
    (void)json_add_str(body, "kind", kind);
    (void)json_add_bool(body, "force", force);
    if (launch_ensure(cli, NULL, NULL, err) < 0 || client_catch_interrupt(cli->client, err) < 0 ||
        client_call(cli->client, "POST", path, body, &answer, err) < 0) {
        return -1;
    }
    const char *id = json_get_str(answer, "operationId", "");
    cJSON *data = cJSON_CreateObject();
    *out_data = data;
    (void)json_add_str(data, "listenerKind", kind);
    (void)json_add_str(data, "operationId", id);
    struct certwatch w = {.is_quiet = cli->json, .steps = cJSON_AddArrayToObject(data, "steps")};
    if (!cli->json && json_get_bool(answer, "joined", false)) {
        watch_line("▸", "It is under way already", "");
    }
    return watch_stream(cli, id, &w, err);
}

int certwatch_list(struct cli *cli, cJSON **out_answer, struct err *err)
{
    if (launch_ensure(cli, NULL, NULL, err) < 0) {
        return -1;
    }
    return client_call(cli->client, "GET", "/certificates", NULL, out_answer, err);
}

void certwatch_relative(const char *iso, char *out, size_t size)
{
    static const long long MINUTE = 60;
    static const long long HOUR = 3600;
    static const long long DAY = 86400;
    struct tm tm = {0};
    out[0] = '\0';
    if (iso == NULL || strptime(iso, "%Y-%m-%dT%H:%M:%S", &tm) == NULL) {
        return;
    }
    long long left = (long long)timegm(&tm) - (long long)time(NULL);
    long long span = left < 0 ? -left : left;
    const char *unit = span >= 2 * DAY ? "days" : span >= 2 * HOUR ? "hours" : "minutes";
    long long count = span / (span >= 2 * DAY ? DAY : span >= 2 * HOUR ? HOUR : MINUTE);
    if (span < MINUTE) {
        (void)snprintf(out, size, "now");
    } else {
        (void)snprintf(out, size, left < 0 ? "%lld %s ago" : "in %lld %s", count, unit);
    }
}
