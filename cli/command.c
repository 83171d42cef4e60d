/* command: how every command ends. See command.h. One thread. */
#include "cli/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/client.h"

/* The only sentence that stands alone: scripts look for exactly it. */
static const char outside_git[] = "wos must be run from inside a Git worktree";

int command_exit_code(enum err_code code)
{
    switch (code) {
    case ERR_NONE:
        return EXIT_DONE;
    case ERR_USAGE:
        return EXIT_USAGE;
    case ERR_CONFIG:
        return EXIT_CONFIG;
    case ERR_BUSY:
        return EXIT_BUSY;
    case ERR_TIMEOUT:
        return EXIT_TIMEOUT;
    case ERR_FAILED:
    case ERR_NOT_FOUND:
    case ERR_REFUSED:
    case ERR_SYSTEM:
        break;
    }
    return EXIT_FAILED;
}

static void print_envelope(const struct cli *cli, cJSON *data, cJSON *error)
{
    autojson cJSON *envelope = cJSON_CreateObject();
    json_add_bool(envelope, "success", error == NULL);
    json_add_str(envelope, "command", cli->command == NULL ? "" : cli->command->name);
    cJSON_AddItemToObject(envelope, "data", data != NULL ? data : cJSON_CreateObject());
    cJSON_AddItemToObject(envelope, "error", error != NULL ? error : cJSON_CreateNull());
    autofree char *text = json_print(envelope);
    printf("%s\n", text);
}

int command_succeed(struct cli *cli, cJSON *data)
{
    if (cli->json) {
        print_envelope(cli, data, NULL);
    } else {
        cJSON_Delete(data);
    }
    return EXIT_DONE;
}

static void print_details(const char *prefix, const cJSON *details)
{
    const cJSON *detail = NULL;
    cJSON_ArrayForEach(detail, details)
    {
        if (cJSON_IsString(detail)) {
            fprintf(stderr, "  %s%s\n", prefix, detail->valuestring);
        }
    }
}

/* NULL: the error is not what the daemon answered last. */
static const char *daemon_word(const struct cli *cli, const struct err *err)
{
    const char *word = cli->client == NULL ? NULL : client_error_word(cli->client);
    return word != NULL && client_word_code(word) == err->code ? word : NULL;
}

const char *command_error_code(const struct cli *cli, const struct err *err)
{
    const char *word = daemon_word(cli, err);
    return word != NULL ? word : err_code_name(err->code);
}

int command_fail_data(struct cli *cli, const struct err *err, cJSON *data)
{
    const char *word = daemon_word(cli, err);
    const cJSON *body = word == NULL ? NULL : client_error_body(cli->client);
    (void)fflush(stdout); /* what was printed comes before the reason */
    if (cli->json) {
        cJSON *error = cJSON_CreateObject();
        json_add_str(error, "code", command_error_code(cli, err));
        json_add_str(error, "message", err->msg);
        static const char *const lists[] = {"errors", "warnings"};
        for (size_t i = 0; i < COUNT_OF(lists); i++) {
            const cJSON *details = json_get(body, lists[i]);
            if (details != NULL) {
                cJSON_AddItemToObject(error, lists[i], cJSON_Duplicate(details, 1));
            }
        }
        print_envelope(cli, data, error);
        return command_exit_code(err->code);
    }
    cJSON_Delete(data);
    if (err->code == ERR_BUSY || strcmp(err->msg, outside_git) == 0) {
        fprintf(stderr, "%s\n", err->msg);
    } else {
        fprintf(stderr, "wos %s failed: %s\n", cli->command->name, err->msg);
        print_details("", json_get(body, "errors"));
        print_details("warning: ", json_get(body, "warnings"));
    }
    if (err->code == ERR_USAGE && word == NULL) {
        fprintf(stderr, "usage: wos %s%s%s\nMore: wos %s --help\n", cli->command->name,
                cli->command->args[0] == '\0' ? "" : " ", cli->command->args, cli->command->name);
    }
    return command_exit_code(err->code);
}

int command_fail(struct cli *cli, const struct err *err)
{
    return command_fail_data(cli, err, NULL);
}

bool command_has_args(const struct cli *cli, int argc, char **argv, struct err *err)
{
    if (argc == 0) {
        return false;
    }
    (void)err_set(err, ERR_USAGE, "%s takes no '%s'", cli->command->name, argv[0]);
    return true;
}
