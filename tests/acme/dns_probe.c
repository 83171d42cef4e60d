/* dns_probe: acme's DNS half by hand and for tests/integration/test_acme_dns.py.
 *
 *     dns_probe SETTINGS.json COMMAND ARGS...
 *
 *     present|withdraw NAME VALUE ...   all at once      sweep
 *     wait NAME VALUE ...               delegate NAME    caa NAME ACCOUNT|- IDENTITY...
 *     doctor IDENTITY...                zone NAME        verify
 *
 * Prints a JSON object per line for everything that is called back; the last has "done": the
 * number of failures. SIGTERM frees everything at once, as a stopping daemon does. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acme/caa.h"
#include "acme/cloudflare.h"
#include "acme/dns01.h"
#include "acme/doctor.h"
#include "acme/propagation.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"

enum { LIST_MAX = 64 };

struct probe {
    struct loop *loop;
    struct fetch_client *fetch;
    struct acme_settings settings;
    struct dns01 *dns01;
    struct propagation *propagation;
    struct doctor *doctor;
    const char *journal;
    const char *names[LIST_MAX];
    size_t name_count;
    const char *resolvers[LIST_MAX];
    unsigned pending;
    unsigned failures;
};

static void print(cJSON *line)
{
    autofree char *text = json_print(line);
    (void)puts(text);
    (void)fflush(stdout);
    cJSON_Delete(line);
}

static void end_one(struct probe *p, const struct failure *failure)
{
    cJSON *line = cJSON_CreateObject();
    if (failure == NULL) {
        json_add_str(line, "failure", NULL);
    } else {
        cJSON *f = cJSON_AddObjectToObject(line, "failure");
        json_add_str(f, "phase", failure->phase);
        json_add_str(f, "type", failure->type);
        json_add_str(f, "message", failure->message);
        json_add_bool(f, "permanent", failure->is_permanent);
        json_add_int(f, "retryAt", failure->retry_at);
        p->failures++;
    }
    print(line);
    if (--p->pending == 0) {
        loop_stop(p->loop);
    }
}

static void probe_on_done(void *arg, const struct failure *failure)
{
    struct probe *p = arg;
    p->propagation = NULL;
    end_one(p, failure);
}

static void probe_on_name(void *arg, const char *text, const struct failure *failure)
{
    struct probe *p = arg;
    p->propagation = NULL;
    if (text != NULL) {
        print(json_add_str(cJSON_CreateObject(), "name", text));
    }
    end_one(p, failure);
}

static void probe_on_note(void *arg, const char *text)
{
    (void)arg;
    print(json_add_str(cJSON_CreateObject(), "note", text));
}

static void probe_on_zone(void *arg, const char *zone, const struct failure *failure)
{
    if (zone != NULL) {
        print(json_add_str(cJSON_CreateObject(), "zone", zone));
    }
    end_one(arg, failure);
}

static void probe_on_caa(void *arg, const struct caa_result *result)
{
    static const char *const words[] = {"allowed", "forbidden", "unknown"};
    cJSON *line = json_add_str(cJSON_CreateObject(), "caa", words[result->verdict]);
    print(json_add_str(line, "message", result->message));
    end_one(arg, NULL);
}

static void probe_on_step(void *arg, const char *step, bool is_ok, const char *message)
{
    (void)arg;
    cJSON *line = json_add_str(cJSON_CreateObject(), "step", step);
    json_add_bool(line, "ok", is_ok);
    print(json_add_str(line, "message", message));
}

static void probe_on_walked(void *arg, bool is_ok)
{
    struct probe *p = arg;
    struct failure failure;
    failure_set(&failure, "doctor", "a step failed");
    p->doctor = NULL;
    end_one(p, is_ok ? NULL : &failure);
}

static void probe_on_signal(int signo, void *arg)
{
    (void)signo;
    struct probe *p = arg;
    loop_stop(p->loop);
}

static size_t read_list(const cJSON *list, const char *out[LIST_MAX])
{
    size_t count = 0;
    const cJSON *one = NULL;
    cJSON_ArrayForEach(one, list)
    {
        if (cJSON_IsString(one) && count < LIST_MAX) {
            out[count++] = one->valuestring;
        }
    }
    return count;
}

static void read_settings(struct probe *p, const cJSON *t)
{
    bool is_hook = strcmp(json_get_str(t, "provider", "hook"), "hook") == 0;
    p->settings = (struct acme_settings){
        .provider = is_hook ? ACME_PROVIDER_HOOK : ACME_PROVIDER_CLOUDFLARE,
        .create_command = json_get_str(t, "createCommand", "false"),
        .delete_command = json_get_str(t, "deleteCommand", "false"),
        .hook_timeout_ms = (uint32_t)json_get_int(t, "hookTimeoutMs", 60000),
        .api_token = json_get_str(t, "apiToken", NULL),
        .token_problem = json_get_str(t, "tokenProblem", NULL),
        .api_base_url = json_get_str(t, "apiBaseUrl", ""),
        .zone_id = json_get_str(t, "zoneId", NULL),
        .resolvers = p->resolvers,
        .resolver_count = read_list(json_get(t, "resolvers"), p->resolvers),
        .bootstrap_resolvers = json_get_str(t, "bootstrap", NULL),
        .authority_port = (uint16_t)json_get_int(t, "authorityPort", 0),
        .propagation_ms = (uint32_t)json_get_int(t, "propagationMs", 0),
        .propagation_timeout_ms = (uint32_t)json_get_int(t, "propagationTimeoutMs", 0)};
    p->journal = json_get_str(t, "journal", "journal.json");
    p->name_count = read_list(json_get(t, "names"), p->names);
}

static void start_pairs(struct probe *p, bool is_present, int argc, char **argv)
{
    for (int i = 0; i + 1 < argc; i += 2) {
        p->pending++;
        if (is_present) {
            dns01_present(p->dns01, argv[i], argv[i + 1], probe_on_done, p);
        } else {
            dns01_withdraw(p->dns01, argv[i], argv[i + 1], probe_on_done, p);
        }
    }
}

static void start_wait(struct probe *p, int argc, char **argv)
{
    struct propagation_record records[LIST_MAX];
    size_t count = 0;
    for (int i = 0; i + 1 < argc && count < LIST_MAX; i += 2) {
        records[count++] = (struct propagation_record){argv[i], argv[i + 1]};
    }
    p->pending = 1;
    p->propagation =
        propagation_wait(p->loop, &p->settings, records, count, probe_on_note, probe_on_done, p);
}

static bool start_check(struct probe *p, const char *command, int argc, char **argv)
{
    struct cfapi_spec api = {p->loop, p->fetch, &p->settings};
    p->pending = 1;
    if (strcmp(command, "sweep") == 0) {
        dns01_sweep(p->dns01, probe_on_done, p);
    } else if (strcmp(command, "delegate") == 0 && argc == 1) {
        p->propagation = propagation_delegate(p->loop, &p->settings, argv[0], probe_on_name, p);
    } else if (strcmp(command, "caa") == 0 && argc >= 2) {
        struct caa_query query = {argv[0], (const char *const *)argv + 2, (size_t)argc - 2,
                                  strcmp(argv[1], "-") == 0 ? NULL : argv[1]};
        (void)caa_check(p->loop, &p->settings, &query, probe_on_caa, p);
    } else if (strcmp(command, "zone") == 0 && argc == 1) {
        (void)cloudflare_find_zone(&api, argv[0], probe_on_zone, p);
    } else if (strcmp(command, "verify") == 0) {
        (void)cloudflare_verify(&api, probe_on_zone, p);
    } else if (strcmp(command, "doctor") == 0) {
        struct doctor_spec spec = {.loop = p->loop,
                                   .fetch = p->fetch,
                                   .settings = &p->settings,
                                   .journal_path = p->journal,
                                   .listener_kind = "tunnel",
                                   .names = p->names,
                                   .name_count = p->name_count,
                                   .ca_identities = (const char *const *)argv,
                                   .ca_identity_count = (size_t)argc,
                                   .on_step = probe_on_step,
                                   .on_done = probe_on_walked,
                                   .arg = p};
        p->doctor = doctor_start(&spec);
    } else {
        return false;
    }
    return true;
}

static bool start(struct probe *p, const char *command, int argc, char **argv)
{
    if (strcmp(command, "present") == 0 || strcmp(command, "withdraw") == 0) {
        start_pairs(p, command[0] == 'p', argc, argv);
        return p->pending > 0;
    }
    if (strcmp(command, "wait") == 0) {
        start_wait(p, argc, argv);
        return true;
    }
    return start_check(p, command, argc, argv);
}

int main(int argc, char **argv)
{
    struct err err;
    struct buf text = {0};
    if (argc < 3 || file_read(argv[1], 1 << 20, &text, &err) < 0) {
        (void)fprintf(stderr, "usage: dns_probe SETTINGS.json COMMAND ARGS...\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    cJSON *tree = json_parse(buf_str(&text), argv[1], &err);
    struct probe p = {.loop = loop_new(&err)};
    p.fetch = fetch_client_new(p.loop, &err);
    read_settings(&p, tree);
    static const int signals[] = {SIGTERM};
    (void)loop_watch_signals(p.loop, signals, 1, probe_on_signal, &p, &err);
    struct dns01_spec spec = {.loop = p.loop,
                              .fetch = p.fetch,
                              .settings = &p.settings,
                              .journal_path = p.journal,
                              .listener_kind = "tunnel",
                              .base_domain = p.name_count > 0 ? p.names[0] : "",
                              .names = p.names,
                              .name_count = p.name_count};
    p.dns01 = dns01_new(&spec);
    int code = 2;
    if (start(&p, argv[2], argc - 3, argv + 3)) {
        loop_run(p.loop);
        print(json_add_int(cJSON_CreateObject(), "done", p.failures));
        code = p.failures == 0 ? 0 : 1;
    }
    propagation_cancel(p.propagation);
    doctor_cancel(p.doctor);
    dns01_free(p.dns01);
    fetch_client_free(p.fetch);
    loop_free(p.loop);
    cJSON_Delete(tree);
    buf_fini(&text);
    return code;
}
