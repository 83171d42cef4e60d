/* acme_probe: one renewer of acme/ by itself, for tests/integration/test_acme_engine.py.
 *
 *     acme_probe SETTINGS.json ACTION...
 *
 * Actions, one after another: start (the schedule), renew, force, dry-run, revoke, deactivate,
 * until:TYPE (an event of that type), sleep:MS, status. Every event, result and status is a
 * line of JSON on standard output. What a step does besides, as "STEP:STATE" in the environment:
 * PROBE_KILL ends the process with SIGKILL, PROBE_CANCEL cancels, PROBE_FREE frees the renewer
 * and leaves. Exit 0 when every action succeeded.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acme/renewer.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"

enum { NAMES_MAX = 200 };

struct probe {
    struct loop *loop;
    struct fetch_client *fetch;
    struct renewer *renewer;
    struct acme_settings settings;
    const char *names[NAMES_MAX];
    size_t name_count;
    const char *resolvers[16];
    char **actions;
    const char *until; /* NULL: waiting for a result or a timer */
    struct loop_timer timer;
    int failures;
};

static void say(cJSON *line)
{
    autofree char *text = json_print(line);
    (void)printf("%s\n", text);
    (void)fflush(stdout);
    cJSON_Delete(line);
}

static void next_action(struct probe *p);

static void probe_on_timer(void *arg)
{
    next_action(arg);
}

static void soon(struct probe *p, uint64_t delay_ms)
{
    loop_timer_set(&p->timer, delay_ms);
}

static bool step_is(const cJSON *event, const char *variable)
{
    const char *wanted = getenv(variable);
    if (wanted == NULL) {
        return false;
    }
    autofree char *have =
        xasprintf("%s:%s", json_get_str(event, "step", ""), json_get_str(event, "state", ""));
    return strcmp(have, wanted) == 0;
}

static void probe_on_cancel(void *arg)
{
    struct probe *p = arg;
    renewer_cancel(p->renewer);
}

static void probe_on_free(void *arg)
{
    struct probe *p = arg;
    renewer_free(p->renewer);
    p->renewer = NULL;
    loop_stop(p->loop);
}

static void probe_on_event(void *arg, cJSON *event)
{
    struct probe *p = arg;
    const char *type = json_get_str(event, "type", "");
    bool is_awaited = p->until != NULL && strcmp(p->until, type) == 0;
    bool kills = step_is(event, "PROBE_KILL");
    bool cancels = step_is(event, "PROBE_CANCEL");
    bool frees = step_is(event, "PROBE_FREE");
    say(event);
    if (kills) {
        (void)kill(getpid(), SIGKILL);
    }
    if (cancels) {
        loop_defer(p->loop, probe_on_cancel, p);
    }
    if (frees) {
        loop_defer(p->loop, probe_on_free, p);
    }
    if (is_awaited) {
        p->until = NULL;
        soon(p, 0);
    }
}

/* They stay as they are. */
static void probe_on_settings(void *arg)
{
    (void)arg;
}

static void probe_on_certificate(void *arg)
{
    struct probe *p = arg;
    cJSON *line = cJSON_CreateObject();
    const struct cert *cert = renewer_cert(p->renewer);
    json_add_str(line, "type", "certificate");
    json_add_str(line, "name", cert == NULL ? NULL : cert->names[0]);
    json_add_int(line, "chainBytes", (int64_t)renewer_chain(p->renewer).len);
    json_add_bool(line, "hasKey", renewer_key(p->renewer).len > 0);
    say(line);
}

static void probe_on_done(void *arg, const struct failure *failure)
{
    struct probe *p = arg;
    cJSON *line = cJSON_CreateObject();
    json_add_str(line, "type", "result");
    if (failure != NULL) {
        json_add_str(line, "phase", failure->phase);
        json_add_str(line, "errorType", failure->type);
        json_add_str(line, "message", failure->message);
        json_add_int(line, "retryAt", failure->retry_at);
        json_add_bool(line, "isPermanent", failure->is_permanent);
        p->failures++;
    }
    say(line);
    soon(p, 0);
}

static void status(struct probe *p)
{
    cJSON *line = renewer_json(p->renewer);
    json_add_str(line, "type", "status");
    json_add_bool(line, "usable", renewer_cert(p->renewer) != NULL);
    say(line);
    soon(p, 0);
}

static void next_action(struct probe *p)
{
    const char *action = *p->actions;
    if (action == NULL) {
        loop_stop(p->loop);
        return;
    }
    p->actions++;
    if (strcmp(action, "start") == 0) {
        renewer_start(p->renewer);
        soon(p, 0);
    } else if (strcmp(action, "renew") == 0 || strcmp(action, "force") == 0) {
        renewer_renew(p->renewer, action[0] == 'f', probe_on_done, p);
    } else if (strcmp(action, "dry-run") == 0) {
        renewer_dry_run(p->renewer, probe_on_done, p);
    } else if (strcmp(action, "revoke") == 0) {
        renewer_revoke(p->renewer, probe_on_done, p);
    } else if (strcmp(action, "deactivate") == 0) {
        renewer_deactivate_account(p->renewer, probe_on_done, p);
    } else if (strcmp(action, "status") == 0) {
        status(p);
    } else if (strncmp(action, "until:", 6) == 0) {
        p->until = action + 6;
    } else if (strncmp(action, "sleep:", 6) == 0) {
        soon(p, strtoul(action + 6, NULL, 10));
    } else {
        (void)fprintf(stderr, "acme_probe: there is no action '%s'\n", action);
        exit(2);
    }
}

static enum acme_key_type key_type(const char *word)
{
    static const char *const words[] = {"ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-4096"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strcmp(words[i], word) == 0) {
            return (enum acme_key_type)i;
        }
    }
    (void)fprintf(stderr, "acme_probe: keyType '%s'\n", word);
    exit(2);
}

/* The strings stay in the tree, which lives as long as the process. */
static void settings_read(struct probe *p, const cJSON *json)
{
    const cJSON *eab = json_get(json, "eab");
    p->settings = (struct acme_settings){
        .directory = json_get_str(json, "directory", "staging"),
        .directory_url = json_get_str(json, "directoryUrl", ""),
        .ca_file = json_get_str(json, "caFile", NULL),
        .email = json_get_str(json, "email", "probe@example.org"),
        .profile = json_get_str(json, "profile", NULL),
        .preferred_chain = json_get_str(json, "preferredChain", NULL),
        .key_type = key_type(json_get_str(json, "keyType", "ecdsa-p256")),
        .eab_kid = json_get_str(eab, "kid", NULL),
        .eab_hmac_key = json_get_str(eab, "hmacKey", NULL),
        .provider = ACME_PROVIDER_HOOK,
        .create_command = json_get_str(json, "createCommand", "false"),
        .delete_command = json_get_str(json, "deleteCommand", "false"),
        .hook_timeout_ms = (uint32_t)json_get_int(json, "hookTimeoutMs", 60000),
        .resolvers = p->resolvers,
        .propagation_ms = (uint32_t)json_get_int(json, "propagationMs", 0),
        .propagation_timeout_ms = (uint32_t)json_get_int(json, "propagationTimeoutMs", 20000),
    };
    const cJSON *item;
    cJSON_ArrayForEach(item, json_get(json, "resolvers"))
    {
        CHECK(p->settings.resolver_count < COUNT_OF(p->resolvers));
        p->resolvers[p->settings.resolver_count++] = cJSON_GetStringValue(item);
    }
    cJSON_ArrayForEach(item, json_get(json, "names"))
    {
        CHECK(p->name_count < NAMES_MAX);
        p->names[p->name_count++] = cJSON_GetStringValue(item);
    }
}

int main(int argc, char **argv)
{
    struct err err;
    struct buf text = {0};
    struct probe p = {.actions = argv + 2};
    if (argc < 2 || file_read(argv[1], 1 << 20, &text, &err) < 0) {
        (void)fprintf(stderr, "usage: acme_probe SETTINGS.json ACTION...\n");
        return 2;
    }
    autojson cJSON *json = json_parse(buf_str(&text), argv[1], &err);
    buf_fini(&text);
    if (json == NULL) {
        (void)fprintf(stderr, "acme_probe: %s\n", err.msg);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    settings_read(&p, json);
    p.loop = loop_new(&err);
    p.fetch = p.loop == NULL ? NULL : fetch_client_new(p.loop, &err);
    CHECK(p.fetch != NULL);
    loop_timer_init(&p.timer, p.loop, probe_on_timer, &p);
    p.renewer = renewer_new(&(struct renewer_spec){
        .loop = p.loop,
        .fetch = p.fetch,
        .settings = &p.settings,
        .dir = json_get_str(json, "dir", "."),
        .kind = "tunnel",
        .names = p.names,
        .name_count = p.name_count,
        .on_settings = probe_on_settings,
        .on_certificate = probe_on_certificate,
        .on_event = probe_on_event,
        .arg = &p,
    });
    soon(&p, 0);
    loop_run(p.loop);
    renewer_free(p.renewer);
    loop_timer_fini(&p.timer);
    fetch_client_free(p.fetch);
    loop_free(p.loop);
    return p.failures == 0 ? 0 : 1;
}
