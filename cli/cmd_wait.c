/* cmd_wait: `wos wait`: until the worktree's deployment runs, or cannot. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/launch.h"
#include "cli/print.h"
#include "base/auto.h"

enum { WAIT_DEFAULT_MS = 60000, WAIT_POLL_MS = 500 };

enum wait_verdict { WAIT_MORE, WAIT_RUNNING, WAIT_NEVER, WAIT_OVER };

static enum wait_verdict wait_judge(const char *status)
{
    if (strcmp(status, "running") == 0) {
        return WAIT_RUNNING;
    }
    if (strcmp(status, "not_started") == 0) {
        return WAIT_NEVER;
    }
    if (strcmp(status, "failed") == 0 || strcmp(status, "stopped") == 0) {
        return WAIT_OVER;
    }
    return WAIT_MORE;
}

static void wait_print(const struct cli *cli, FILE *stream, const cJSON *detail)
{
    if (cli->json || detail == NULL) {
        return;
    }
    struct buf text = {0};
    struct print_style style = print_style_of(stream);
    print_status(detail, &style, &text);
    print_flush(stream, &text);
    buf_fini(&text);
}

static int wait_failed(struct cli *cli, const char *status, cJSON *detail)
{
    struct err err = {0};
    const char *why = json_get_str(json_get(detail, "failureContext"), "message", NULL);
    (void)err_set(&err, ERR_FAILED, "the deployment %s%s%s",
                  strcmp(status, "failed") == 0 ? "failed" : "is stopped", why == NULL ? "" : ": ",
                  why == NULL ? "" : why);
    if (cli->json) {
        return command_fail_data(cli, &err, detail);
    }
    int code = command_fail(cli, &err);
    wait_print(cli, stderr, detail);
    cJSON_Delete(detail);
    return code;
}

static int wait_timed_out(struct cli *cli, uint64_t timeout_ms, const struct err *last,
                          cJSON *detail)
{
    struct err err = {0};
    const char *status = json_get_str(json_get(detail, "worktree"), "status", "unknown");
    (void)err_set(&err, ERR_TIMEOUT, "timed out after %llums (last status: %s)",
                  (unsigned long long)timeout_ms, status);
    if (cli->json) {
        return command_fail_data(cli, &err, detail);
    }
    fprintf(stderr, "wos wait: %s\n", err.msg);
    if (last->code != ERR_NONE) {
        fprintf(stderr, "wos wait: last error: %s\n", last->msg);
    }
    wait_print(cli, stderr, detail);
    cJSON_Delete(detail);
    return EXIT_TIMEOUT;
}

/* A refusal that no waiting will change. */
static bool wait_is_final(const struct cli *cli)
{
    const char *word = client_error_word(cli->client);
    return word != NULL && strcmp(word, "server-error") != 0;
}

static int wait_loop(struct cli *cli, uint64_t timeout_ms)
{
    uint64_t deadline = clock_now_ms() + timeout_ms;
    cJSON *detail = NULL;
    struct err err = {0};
    for (;;) {
        cJSON *now = NULL;
        err_clear(&err);
        if (follow_detail(cli, &now, &err) == 0) {
            cJSON_Delete(detail);
            detail = now;
            const char *status = json_get_str(json_get(detail, "worktree"), "status", "unknown");
            enum wait_verdict verdict = wait_judge(status);
            if (verdict == WAIT_RUNNING) {
                wait_print(cli, stdout, detail);
                return command_succeed(cli, detail);
            }
            if (verdict == WAIT_NEVER) {
                (void)err_set(&err, ERR_FAILED,
                              "no wos deployment has been initialized for the current worktree");
                return command_fail_data(cli, &err, detail);
            }
            if (verdict == WAIT_OVER) {
                return wait_failed(cli, status, detail);
            }
        } else if (wait_is_final(cli)) {
            return command_fail_data(cli, &err, detail);
        }
        uint64_t at = clock_now_ms();
        if (at >= deadline) {
            return wait_timed_out(cli, timeout_ms, &err, detail);
        }
        uint64_t left = deadline - at;
        client_sleep(cli->client, left < WAIT_POLL_MS ? (uint32_t)left : WAIT_POLL_MS);
    }
}

static int wait_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {{"--timeout", NULL, true}};
    struct args args;
    struct err err = {0};
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    uint64_t timeout_ms = WAIT_DEFAULT_MS;
    const char *text = args_value(&args, "--timeout");
    int result = text == NULL ? 0 : args_duration(text, &timeout_ms, &err);
    if (result == 0 && args.word_count > 0) {
        result = err_set(&err, ERR_USAGE, "wait takes no '%s'", args.words[0]);
    }
    args_fini(&args);
    if (result < 0 || launch_ensure(cli, NULL, NULL, &err) < 0) {
        return command_fail(cli, &err);
    }
    return wait_loop(cli, timeout_ms);
}

const struct command cmd_wait = {
    .name = "wait",
    .args = "[--timeout DURATION]",
    .summary = "wait until this worktree's deployment runs; exit 124 if it takes too long",
    .help = "  --timeout DURATION   how long: 90s, 1.5m, 1500ms (default 60s)\n"
            "\n"
            "Exit codes: 0 it runs, 1 it failed, was stopped or never started, 124 timed out.\n"
            "\n"
            "Example:\n"
            "  wos up -d && wos wait --timeout 3m\n",
    .run = wait_run,
};
