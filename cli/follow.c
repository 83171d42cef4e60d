/* follow: see follow.h. Called by up, down, status and wait; one thread. */
#include "cli/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/client.h"
#include "cli/print.h"

struct follow {
    bool quiet;
    bool is_docker;
    bool ended; /* the terminal line was seen */
    bool succeeded;
    char *reason; /* owned: of a failure event, not printed yet */
    struct err failure;
};

static const char *step_label(const struct follow *follow, const char *id)
{
    static const struct {
        const char *id;
        const char *label;
    } labels[] = {
        {"prepare", "Prepare"},
        {"release-ports", "Release previous ports"},
        {"first-run-setup", "First-run setup"},
        {"init-script", "Init script"},
        {"compose-up", "Start services"},
        {"status", "Collect service status"},
        {"healthcheck", "App-port healthchecks"},
    };
    if (follow->is_docker && strcmp(id, "compose-up") == 0) {
        return "docker compose up";
    }
    for (size_t i = 0; i < COUNT_OF(labels); i++) {
        if (strcmp(labels[i].id, id) == 0) {
            return labels[i].label;
        }
    }
    return id;
}

/* The first line of the message only: all of it comes as the reason of the failure. */
static void follow_step(const struct follow *follow, const cJSON *event)
{
    const char *label = step_label(follow, json_get_str(event, "id", "?"));
    const char *state = json_get_str(event, "state", "");
    const char *message = json_get_str(event, "message", NULL);
    if (strcmp(state, "running") == 0) {
        fprintf(stderr, "\xe2\x96\xb8 %s\n", label);
    } else if (strcmp(state, "done") == 0) {
        fprintf(stderr, "\xe2\x9c\x93 %s\n", label);
    } else if (strcmp(state, "failed") == 0) {
        int len = message == NULL ? 0 : (int)strcspn(message, "\n");
        len -= len > 0 && message[len] == '\n' && message[len - 1] == ':' ? 1 : 0;
        fprintf(stderr, "\xe2\x9c\x97 %s%s%.*s\n", label, len == 0 ? "" : ": ", len,
                message == NULL ? "" : message);
    }
}

/* The output of what `up` runs itself. A service's own goes to its log file. */
static void follow_log(const cJSON *event)
{
    const char *channel = json_get_str(event, "channel", "");
    const char *chunk = json_get_str(event, "chunk", "");
    bool is_error = strcmp(json_get_str(event, "stream", "stdout"), "stderr") == 0;
    if (strcmp(channel, "init") == 0) {
        FILE *stream = is_error ? stderr : stdout;
        fputs(chunk, stream);
        (void)fflush(stream); /* the output of the next step must not overtake it */
    } else if (strcmp(channel, "deployment") == 0 && is_error) {
        fputs(chunk, stderr);
    }
}

/* What the operation's end says again, the command's last line says: once is enough. */
static void follow_reason(struct follow *follow, const char *message)
{
    if (follow->reason != NULL && (message == NULL || strcmp(follow->reason, message) != 0)) {
        fprintf(stderr, "[failure] %s\n", follow->reason);
    }
    free(follow->reason);
    follow->reason = NULL;
}

static void follow_event(struct follow *follow, const cJSON *event)
{
    const char *type = json_get_str(event, "type", "");
    if (strcmp(type, "step") == 0) {
        follow_step(follow, event);
    } else if (strcmp(type, "log") == 0) {
        follow_log(event);
    } else if (strcmp(type, "retry") == 0) {
        fprintf(stderr, "[retry %d/%d] %s\n", (int)json_get_int(event, "attempt", 0),
                (int)json_get_int(event, "maxAttempts", 0), json_get_str(event, "reason", ""));
    } else if (strcmp(type, "volume-clone") == 0) {
        if (strcmp(json_get_str(event, "phase", ""), "start") == 0) {
            fprintf(stderr, "[clone %d/%d] copying %s...\n", (int)json_get_int(event, "index", 0),
                    (int)json_get_int(event, "total", 0), json_get_str(event, "path", "?"));
        }
    } else if (strcmp(type, "failure") == 0) {
        follow_reason(follow, NULL);
        follow->reason = xstrdup(json_get_str(event, "message", "unknown reason"));
    }
}

static bool follow_on_line(void *arg, const cJSON *line)
{
    struct follow *follow = arg;
    const cJSON *terminal = json_get(line, "terminal");
    if (terminal == NULL) {
        if (!follow->quiet) {
            follow_event(follow, json_get(line, "event"));
        }
        return true;
    }
    follow_reason(follow, json_get_str(terminal, "failureMessage", NULL));
    follow->ended = true;
    follow->succeeded = strcmp(json_get_str(terminal, "status", ""), "succeeded") == 0;
    /* An up that a down ended counts as succeeded for other clients; nothing runs. */
    if (follow->succeeded && strcmp(json_get_str(terminal, "code", ""), "cancelled") == 0) {
        follow->succeeded = false;
        (void)err_set(&follow->failure, ERR_FAILED, "cancelled: the deployment was stopped");
    } else if (!follow->succeeded) {
        (void)err_set(&follow->failure, client_word_code(json_get_str(terminal, "code", NULL)),
                      "%s", json_get_str(terminal, "failureMessage", "no reason was given"));
    }
    return false;
}

int follow_operation(struct cli *cli, const char *operation_id, const char *mode, bool quiet,
                     struct err *err)
{
    struct follow follow = {.quiet = quiet || cli->json,
                            .is_docker = mode != NULL && strcmp(mode, "shell") != 0};
    autofree char *path = xasprintf("/operations/%s/events", operation_id);
    if (client_catch_interrupt(cli->client, err) < 0) {
        return -1;
    }
    int result = client_stream(cli->client, path, follow_on_line, &follow, err);
    follow_reason(&follow, NULL); /* where no end came */
    if (result < 0) {
        if (client_interrupted(cli->client)) {
            return -1;
        }
        return err_wrap(err, "lost sight of it (`wos status` shows how it stands)");
    }
    if (!follow.ended) {
        return err_set(err, ERR_FAILED,
                       "the daemon ended while it ran (`wos status` shows how it stands)");
    }
    if (!follow.succeeded) {
        if (err != NULL) {
            *err = follow.failure;
        }
        return -1;
    }
    return 0;
}

int follow_detail(struct cli *cli, cJSON **out_detail, struct err *err)
{
    struct buf path = {0};
    buf_add_text(&path, "/worktrees?path=");
    print_url_encode(&path, cli->cwd);
    int result = client_call(cli->client, "GET", buf_cstr(&path), NULL, out_detail, err);
    buf_fini(&path);
    return result;
}

cJSON *follow_request(const struct cli *cli)
{
    cJSON *request = cJSON_CreateObject();
    json_add_str(request, "path", cli->cwd);
    return request;
}
