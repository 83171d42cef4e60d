/* config_change: see config_change.h. Called by `wos config` and `wos init`; one thread. */
#include "cli/config_change.h"

#include <stdio.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/launch.h"
#include "daemon/config.h"
#include "daemon/config_edit.h"

/* Every problem on a line of its own, into the error. */
static int refuse(const cJSON *errors, struct err *err)
{
    struct buf text = {0};
    const cJSON *row;
    cJSON_ArrayForEach(row, errors)
    {
        buf_printf(&text, "%s%s: %s", text.len == 0 ? "" : "\n", json_get_str(row, "field", ""),
                   json_get_str(row, "message", ""));
    }
    buf_add_text(&text, "\nnothing was changed");
    (void)err_set(err, ERR_USAGE, "%s", buf_cstr(&text));
    buf_fini(&text);
    return -1;
}

/* Without a daemon: the file itself. */
static int change_file(struct cli *cli, const cJSON *request, cJSON **out_answer, struct err *err)
{
    struct config_edit *edit = config_edit_open(cli->home, err);
    int rc = edit == NULL ? -1 : 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, json_get(request, "set"))
    {
        rc = rc < 0 ? rc : config_edit_set(edit, item->string, item, err);
    }
    cJSON_ArrayForEach(item, json_get(request, "unset"))
    {
        rc = rc < 0 ? rc : config_edit_unset(edit, item->valuestring, err);
    }
    autojson cJSON *errors = rc < 0 ? NULL : config_edit_errors(edit);
    if (cJSON_GetArraySize(errors) > 0) {
        rc = refuse(errors, err);
    }
    rc = rc < 0 ? rc : config_edit_save(edit, err);
    config_edit_close(edit);
    if (rc == 0) {
        struct config *now = config_load(cli->home);
        *out_answer = cJSON_CreateObject();
        json_add_str(*out_answer, "path", now->path);
        (void)cJSON_AddItemToObject(*out_answer, "problems", config_problems_json(now));
        config_free(now);
    }
    return rc;
}

int config_change_send(struct cli *cli, const cJSON *request, cJSON **out_answer, struct err *err)
{
    autojson cJSON *health = NULL;
    if (launch_client(cli, err) < 0) {
        return -1;
    }
    if (client_health(cli->client, &health, err) < 0) {
        return err->code == ERR_NOT_FOUND ? change_file(cli, request, out_answer, err) : -1;
    }
    if (client_call(cli->client, "POST", "/settings/config", request, out_answer, err) < 0) {
        const cJSON *errors = json_get(client_error_body(cli->client), "errors");
        return cJSON_GetArraySize(errors) > 0 ? refuse(errors, err) : -1;
    }
    return 0;
}

void config_change_print(const struct cli *cli, const cJSON *answer)
{
    const char *command = cli->command->name;
    const cJSON *item;
    cJSON_ArrayForEach(item, json_get(answer, "problems"))
    {
        fprintf(stderr, "wos %s: %s%s: %s\n", command,
                json_get_bool(item, "warning", false) ? "warning: " : "",
                json_get_str(item, "key", ""), json_get_str(item, "message", ""));
    }
    cJSON_ArrayForEach(item, json_get(answer, "restartKeys"))
    {
        fprintf(stderr, "wos %s: %s takes effect after `wos restart`\n", command,
                cJSON_IsString(item) ? item->valuestring : "");
    }
    if (!json_get_bool(answer, "served", true)) {
        fprintf(stderr, "wos %s: saved; the gateway has not taken it yet: %s\n", command,
                json_get_str(answer, "message", ""));
    }
}
