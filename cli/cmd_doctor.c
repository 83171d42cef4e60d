/* cmd_doctor: `wos doctor`: what is wrong, and the one thing to fix first. */
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/args.h"
#include "cli/certwatch.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/launch.h"

struct doctoring {
    struct cli *cli;
    cJSON *checks;    /* borrowed from the data */
    struct err first; /* the first fault; code ERR_NONE: none */
};

static void check(struct doctoring *d, const char *name, bool is_ok, const char *message)
{
    cJSON *item = cJSON_CreateObject();
    (void)json_add_str(item, "check", name);
    (void)json_add_bool(item, "ok", is_ok);
    (void)json_add_str(item, "message", message);
    (void)cJSON_AddItemToArray(d->checks, item);
    if (!is_ok && d->first.code == ERR_NONE) {
        (void)err_set(&d->first, ERR_FAILED, "%s: %s", name, message);
    }
    if (!d->cli->json) {
        fprintf(stderr, "%s %s%s%s\n", is_ok ? "✓" : "✗", name, *message == '\0' ? "" : ": ",
                message);
    }
}

static void check_config(struct doctoring *d, const cJSON *config)
{
    const char *path = json_get_str(config, "path", "config.json");
    const cJSON *problem = NULL;
    bool is_good = true;
    cJSON_ArrayForEach(problem, json_get(config, "problems"))
    {
        autofree char *text = xasprintf("%s: %s", json_get_str(problem, "key", ""),
                                        json_get_str(problem, "message", ""));
        bool is_warning = json_get_bool(problem, "warning", false);
        is_good = is_good && is_warning;
        check(d, "Configuration", is_warning, text);
    }
    if (is_good) {
        check(d, "Configuration", true,
              json_get_bool(config, "exists", false) ? path : "none; defaults are in force");
    }
}

static void check_tunnel(struct doctoring *d, const cJSON *tunnel)
{
    const char *state = json_get_str(tunnel, "state", "");
    const char *error = json_get_str(tunnel, "error", NULL);
    const char *redirect = json_get_str(tunnel, "redirectError", NULL);
    bool is_off = strcmp(state, "disabled") == 0;
    bool is_ok = is_off || (strcmp(state, "serving") == 0 && error == NULL);
    autofree char *text =
        is_off ? xstrdup("off (tunnel.enabled)")
               : xasprintf("%s on port %d%s%s", state, (int)json_get_int(tunnel, "port", 0),
                           error == NULL ? "" : ": ", error == NULL ? "" : error);
    check(d, "Gateway", is_ok, text);
    if (redirect != NULL) {
        check(d, "Redirect port", false, redirect);
    }
}

static void check_web(struct doctoring *d, const cJSON *all)
{
    const cJSON *web = json_get(all, "web");
    const char *error = json_get_str(web, "error", NULL);
    const char *url = json_get_str(json_get(all, "daemon"), "webUrl", "");
    bool is_ok = strcmp(json_get_str(web, "state", ""), "listening") == 0;
    check(d, "Web listener", is_ok, is_ok || error == NULL ? url : error);
}

/* The certificate's own steps print themselves. */
static int check_cert(struct doctoring *d, const char *kind, struct err *err)
{
    autojson cJSON *data = NULL;
    if (!d->cli->json) {
        fprintf(stderr, "%s's certificate\n", kind);
    }
    int result = certwatch_run(d->cli, "/certificates/doctor", kind, false, &data, err);
    const cJSON *step = NULL;
    cJSON_ArrayForEach(step, json_get(data, "steps"))
    {
        cJSON *item = cJSON_CreateObject();
        (void)json_add_str(item, "check", json_get_str(step, "step", ""));
        (void)json_add_str(item, "listenerKind", kind);
        (void)json_add_bool(item, "ok", strcmp(json_get_str(step, "state", ""), "done") == 0);
        (void)json_add_str(item, "message", json_get_str(step, "message", ""));
        (void)cJSON_AddItemToArray(d->checks, item);
    }
    if (result < 0 && (data == NULL || client_interrupted(d->cli->client))) {
        return -1; /* it could not be asked */
    }
    if (result < 0 && d->first.code == ERR_NONE) {
        d->first = *err;
    }
    return 0;
}

static int check_certs(struct doctoring *d, const char *only, struct err *err)
{
    autojson cJSON *answer = NULL;
    const cJSON *cert = NULL;
    bool is_local = false;
    if (certwatch_list(d->cli, &answer, err) < 0) {
        return -1;
    }
    cJSON_ArrayForEach(cert, json_get(answer, "certificates"))
    {
        const char *kind = json_get_str(cert, "listenerKind", "");
        bool is_on = strcmp(json_get_str(cert, "source", "disabled"), "disabled") != 0;
        is_local = is_local || json_get_str(cert, "caPath", NULL) != NULL;
        if (only != NULL ? strcmp(only, kind) == 0 : is_on) {
            if (check_cert(d, kind, err) < 0) {
                return -1;
            }
        }
    }
    if (is_local && !d->cli->json) {
        fprintf(stderr, "▸ A certificate of the local CA is served: `wos trust` makes browsers "
                        "trust it\n");
    }
    return 0;
}

static int check_all(struct doctoring *d, struct err *err)
{
    autojson cJSON *all = NULL;
    if (client_call(d->cli->client, "GET", "/status/all", NULL, &all, err) < 0) {
        return -1;
    }
    const cJSON *self = json_get(all, "daemon");
    autofree char *text = xasprintf("%s, pid %d", json_get_str(self, "version", "?"),
                                    (int)json_get_int(self, "pid", 0));
    check(d, "Daemon", true, text);
    check_config(d, json_get(all, "config"));
    check_web(d, all);
    check_tunnel(d, json_get(all, "tunnel"));
    return 0;
}

static int doctor_words(const struct args *args, bool *out_certs_only, struct err *err)
{
    const char *kind = args_value(args, "--kind");
    *out_certs_only = args->word_count == 1 && strcmp(args->words[0], "cert") == 0;
    if (args->word_count > 0 && !*out_certs_only) {
        return err_set(err, ERR_USAGE, "doctor takes `cert` or nothing, not '%s'", args->words[0]);
    }
    if (kind != NULL && strcmp(kind, "tunnel") != 0 && strcmp(kind, "web") != 0) {
        return err_set(err, ERR_USAGE, "--kind is tunnel or web, not '%s'", kind);
    }
    return 0;
}

static int doctor_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {{"--kind", NULL, true}};
    struct args args;
    struct err err = {0};
    bool certs_only = false;
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    const char *kind = args_value(&args, "--kind"); /* borrowed from argv */
    int result = doctor_words(&args, &certs_only, &err);
    args_fini(&args);
    cJSON *data = cJSON_CreateObject();
    struct doctoring d = {.cli = cli, .checks = cJSON_AddArrayToObject(data, "checks")};
    if (result < 0 || launch_ensure(cli, NULL, NULL, &err) < 0 ||
        (!certs_only && check_all(&d, &err) < 0) || check_certs(&d, kind, &err) < 0) {
        return command_fail_data(cli, &err, data);
    }
    if (d.first.code != ERR_NONE) {
        return command_fail_data(cli, &d.first, data);
    }
    return command_succeed(cli, data);
}

const struct command cmd_doctor = {
    .name = "doctor",
    .args = "[cert] [--kind tunnel|web]",
    .summary = "check everything and name what to fix",
    .help =
        "  doctor        the daemon, the configuration, the ports, the gateway, the certificates\n"
        "  doctor cert   the certificates only. From a CA: API token, zone, CAA, a TXT record\n"
        "                written, seen at the authorities and withdrawn, the CA, the account.\n"
        "                Else: files or local CA, names, dates; then what the gateway shows\n"
        "  --kind web    only the certificate of the web listener\n"
        "\n"
        "Exit codes: 0 all is well, 1 something is not (the first fault is the last line).\n"
        "\n"
        "Example:\n"
        "  wos doctor cert\n",
    .run = doctor_run,
};
