/* init_config: see init_config.h. Called by cmd_init.c; one thread. */
#include "cli/init_config.h"

#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/config_change.h"
#include "daemon/config.h"

static const char TMUX_UNUSED[] =
    "terminals run in the daemon, without tmux: terminalBackend is saved and not used";
static const char TMUX_NOT_INSTALLED[] =
    "nothing to install: terminals run in the daemon, without tmux (Debian's package: tmux)";
static const char NO_PLUGINS[] = "nothing to install: this version has no agent plugins";
static const char EXPOSED[] =
    "warning: web.host is no loopback address: the login page is open to that network";

bool init_config_is_asked(const struct args *args)
{
    static const char *const names[] = {"--host", "--port",         "--backend",
                                        "--yes",  "--install-tmux", "--install-plugins"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (args_has(args, names[i])) {
            return true;
        }
    }
    return false;
}

static int fill(cJSON *set, const struct args *args, const struct config *now, struct err *err)
{
    const char *host = args_value(args, "--host");
    const char *port_text = args_value(args, "--port");
    const char *backend = args_value(args, "--backend");
    uint16_t port = (uint16_t)now->web_port;
    if (port_text != NULL && args_port(port_text, &port, err) < 0) {
        return err_wrap(err, "--port");
    }
    if (backend != NULL && strcmp(backend, "default") != 0 && strcmp(backend, "tmux") != 0) {
        return err_set(err, ERR_USAGE, "--backend is default or tmux, not '%s'", backend);
    }
    if (backend == NULL) {
        backend = now->terminal_backend == TERMINAL_TMUX ? "tmux" : "default";
    }
    (void)json_add_str(set, "web.host", host != NULL ? host : now->web_host);
    (void)json_add_int(set, "web.port", port);
    (void)json_add_str(set, "terminalBackend", backend);
    return 0;
}

static void add_note(cJSON *notes, const char *text)
{
    (void)cJSON_AddItemToArray(notes, cJSON_CreateString(text));
}

static cJSON *notes_of(const struct args *args, const struct config *now)
{
    cJSON *notes = cJSON_CreateArray();
    /* Without TLS there it is a problem of the file already, with more to say. */
    if (now->web_is_exposed && now->web_ssl.enabled) {
        add_note(notes, EXPOSED);
    }
    if (args_has(args, "--install-tmux")) {
        add_note(notes, TMUX_NOT_INSTALLED);
    } else if (now->terminal_backend == TERMINAL_TMUX) {
        add_note(notes, TMUX_UNUSED);
    }
    if (args_has(args, "--install-plugins")) {
        add_note(notes, NO_PLUGINS);
    }
    return notes;
}

static int succeed(struct cli *cli, const struct args *args, cJSON *answer)
{
    struct config *now = config_load(cli->home);
    cJSON *notes = notes_of(args, now);
    if (!cli->json) {
        const cJSON *note;
        config_change_print(cli, answer);
        cJSON_ArrayForEach(note, notes)
        {
            fprintf(stderr, "wos init: %s\n", note->valuestring);
        }
        printf("Saved configuration to %s\n", now->path);
    }
    (void)cJSON_AddItemToObject(answer, "notes", notes);
    config_free(now);
    return command_succeed(cli, answer);
}

int init_config_run(struct cli *cli, const struct args *args)
{
    struct err err = {0};
    cJSON *answer = NULL;
    autojson cJSON *request = cJSON_CreateObject();
    cJSON *set = cJSON_AddObjectToObject(request, "set");
    struct config *before = config_load(cli->home);
    int rc = 0;
    if (args_has(args, "--force")) {
        rc = err_set(&err, ERR_USAGE,
                     "--force is for deploy.yaml, the other options are for config.json");
    }
    rc = rc < 0 ? rc : fill(set, args, before, &err);
    config_free(before);
    if (rc < 0) {
        return command_fail(cli, &err);
    }
    if (config_change_send(cli, request, &answer, &err) < 0) {
        if (err.code == ERR_USAGE) {
            err.code = ERR_FAILED; /* the options were right, the configuration is not: exit 1 */
        }
        return command_fail(cli, &err);
    }
    return succeed(cli, args, answer);
}
