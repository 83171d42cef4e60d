/* cmd_config: `wos config`: config.json checked and changed, its defaults, its documentation.
 * Checking needs no daemon: it reads the file as the next daemon will. Changes go through the
 * daemon, which applies them; where none runs, into the file. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/config_change.h"
#include "daemon/config.h"
#include "daemon/config_edit.h"

/* What a printer of daemon/config.h writes, as text; malloc'ed. */
static char *config_capture(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return xstrdup("");
    }
    print(out);
    (void)fclose(out); /* memory: the only failure is none left, which aborts elsewhere */
    return text;
}

static int config_check(struct cli *cli)
{
    struct config *config = config_load(cli->home);
    size_t count = config_error_count(config);
    cJSON *data = cJSON_CreateObject();
    json_add_str(data, "path", config->path);
    json_add_bool(data, "exists", config->exists);
    cJSON_AddItemToObject(data, "problems", config_problems_json(config));
    config_free(config);
    if (!cli->json) {
        (void)config_print_check(stdout, cli->home);
    }
    if (count == 0) {
        return command_succeed(cli, data);
    }
    struct err err = {0};
    (void)err_set(&err, ERR_CONFIG, "%zu problem%s in config.json", count, count == 1 ? "" : "s");
    return command_fail_data(cli, &err, data);
}

static int config_print(struct cli *cli, void (*print)(FILE *out), bool is_json)
{
    if (!cli->json) {
        print(stdout);
        return command_succeed(cli, NULL);
    }
    autofree char *text = config_capture(print);
    cJSON *data = is_json ? json_parse(str_of(text), "defaults", NULL) : NULL;
    if (data == NULL) {
        data = cJSON_CreateObject();
        json_add_str(data, "text", text);
    }
    return command_succeed(cli, data);
}

/* --- set, unset ------------------------------------------------------------------ */

static struct termios terminal_before; /* of stdin, while it does not echo */

/* Ctrl-C: the shell gets its terminal back as it was. */
static void terminal_on_signal(int signo)
{
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
    (void)signal(signo, SIG_DFL);
    (void)raise(signo);
}

/* Nobody shall read a secret over somebody's shoulder. False: stdin is no terminal. */
static bool terminal_hide(void)
{
    if (tcgetattr(STDIN_FILENO, &terminal_before) != 0) {
        return false;
    }
    struct termios mode = terminal_before;
    mode.c_lflag &= ~(tcflag_t)ECHO;
    (void)signal(SIGINT, terminal_on_signal);
    (void)signal(SIGTERM, terminal_on_signal);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &mode); /* then it is seen, and still right */
    fprintf(stderr, "value (end with Return and Ctrl-D): ");
    return true;
}

static void terminal_show(void)
{
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    fprintf(stderr, "\n");
}

/* What stdin holds, to its end, without the line's end; malloc'ed. */
static char *config_stdin(struct err *err)
{
    struct buf text = {0};
    char chunk[4096];
    ssize_t got;
    bool is_hidden = terminal_hide();
    while ((got = read(STDIN_FILENO, chunk, sizeof chunk)) > 0 && text.len < CONFIG_SIZE_MAX) {
        buf_add(&text, chunk, (size_t)got);
    }
    if (is_hidden) {
        terminal_show();
    }
    explicit_bzero(chunk, sizeof chunk);
    if (got < 0) {
        (void)err_set_sys(err, "cannot read the value from stdin");
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r')) {
        text.len--;
    }
    char *out = got < 0 ? NULL : xstrndup(text.ptr == NULL ? "" : text.ptr, text.len);
    if (text.ptr != NULL) {
        explicit_bzero(text.ptr, text.len);
    }
    buf_fini(&text);
    return out;
}

/* KEY VALUE as they stand on the command line, into "set" of the request. */
static int config_add(cJSON *request, const char *key, const char *text, struct err *err)
{
    bool from_stdin = strcmp(text, "-") == 0;
    if (!from_stdin && config_edit_is_secret(key)) {
        return err_set(err, ERR_USAGE,
                       "%s is a secret, and arguments can be seen by others: give - and the value "
                       "on stdin",
                       key);
    }
    char *value_text = from_stdin ? config_stdin(err) : xstrdup(text);
    if (value_text == NULL) {
        return -1;
    }
    cJSON *value = config_edit_value(key, value_text, err);
    explicit_bzero(value_text, strlen(value_text));
    free(value_text);
    if (value == NULL) {
        return -1;
    }
    cJSON *set = cJSON_GetObjectItemCaseSensitive(request, "set");
    cJSON_DeleteItemFromObjectCaseSensitive(set, key);
    (void)cJSON_AddItemToObject(set, key, value);
    return 0;
}

static int config_fill(cJSON *request, bool is_set, int argc, char **argv, struct err *err)
{
    (void)cJSON_AddObjectToObject(request, "set");
    cJSON *unset = cJSON_AddArrayToObject(request, "unset");
    if (argc == 0 || (is_set && argc % 2 != 0)) {
        return err_set(err, ERR_USAGE, "config %s",
                       is_set ? "set takes KEY VALUE, and more of them" : "unset takes KEY...");
    }
    for (int i = 0; i < argc; i += is_set ? 2 : 1) {
        if (is_set && config_add(request, argv[i], argv[i + 1], err) < 0) {
            return -1;
        }
        if (!is_set) {
            (void)cJSON_AddItemToArray(unset, cJSON_CreateString(argv[i]));
        }
    }
    return 0;
}

static int config_edit_run(struct cli *cli, bool is_set, int argc, char **argv)
{
    struct err err = {0};
    cJSON *answer = NULL;
    autojson cJSON *request = cJSON_CreateObject();
    int rc = config_fill(request, is_set, argc, argv, &err);
    rc = rc < 0 ? rc : config_change_send(cli, request, &answer, &err);
    cJSON *value;
    cJSON_ArrayForEach(value, cJSON_GetObjectItemCaseSensitive(request, "set"))
    {
        if (cJSON_IsString(value)) {
            explicit_bzero(value->valuestring, strlen(value->valuestring));
        }
    }
    if (rc < 0) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        config_change_print(cli, answer);
    }
    return command_succeed(cli, answer);
}

static int config_run(struct cli *cli, int argc, char **argv)
{
    const char *what = argc == 1 ? argv[0] : "";
    bool is_set = argc > 0 && strcmp(argv[0], "set") == 0;
    if (is_set || (argc > 0 && strcmp(argv[0], "unset") == 0)) {
        return config_edit_run(cli, is_set, argc - 1, argv + 1);
    }
    if (strcmp(what, "check") == 0) {
        return config_check(cli);
    }
    if (strcmp(what, "defaults") == 0) {
        return config_print(cli, config_print_defaults, true);
    }
    if (strcmp(what, "docs") == 0) {
        return config_print(cli, config_print_docs, false);
    }
    struct err err = {0};
    (void)err_set(&err, ERR_USAGE, "config takes one of check, defaults, docs, set, unset");
    return command_fail(cli, &err);
}

const struct command cmd_config = {
    .name = "config",
    .args = "set KEY VALUE... | unset KEY... | check | defaults | docs",
    .summary = "change config.json, check it, print its defaults or its documentation",
    .help =
        "  set KEY VALUE  one or more; a list of addresses is A,B; - takes the value from stdin,\n"
        "                 which secrets have to come from\n"
        "  unset KEY      one or more: back to the default\n"
        "  check          every problem of config.json in the home; exit 3 if there is one\n"
        "  defaults       a config.json with every default\n"
        "  docs           every key, its type, range, default and meaning (docs/CONFIG.md)\n"
        "\n"
        "What cannot be used is refused and nothing is written. Access, whitelists, limits and\n"
        "other keys that `wos config docs` lists apply at once; the others, and a file\n"
        "changed by hand, with `wos restart`.\n"
        "\n"
        "Examples:\n"
        "  wos config set tunnel.serviceTunnels.whitelistIps 192.0.2.0/24,2001:db8::/32\n"
        "  openssl rand -base64 18 | wos config set tunnel.serviceTunnels.secret -\n"
        "  wos config check && wos restart\n",
    .run = config_run,
};
