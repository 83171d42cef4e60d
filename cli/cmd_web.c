/* cmd_web: `wos web`: where the web UI is, and a browser there. */
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/launch.h"

enum { OPEN_TIMEOUT_MS = 10000, OPEN_OUTPUT_BYTES = 4096 };

struct web_open {
    bool done;
    bool ok;
};

static void web_on_opened(void *arg, const struct subprocess_output *output)
{
    struct web_open *open = arg;
    open->done = true;
    open->ok = output->timed_out || output->status == 0; /* some openers stay: that is fine */
}

static bool web_open_with(struct cli *cli, const char *program, const char *url)
{
    const char *const argv[] = {program, url, NULL};
    struct subprocess_spec spec = {.argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
    struct web_open open = {0};
    struct loop *loop = client_loop(cli->client);
    if (subprocess_collect(loop, &spec, OPEN_TIMEOUT_MS, OPEN_OUTPUT_BYTES, web_on_opened, &open,
                           NULL) < 0) {
        return false;
    }
    loop_turn(loop, false); /* what was deferred needs no event to wait for */
    while (!open.done) {
        loop_turn(loop, true);
    }
    return open.ok;
}

static int web_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {{"--no-open", NULL, false}};
    struct args args;
    struct err err = {0};
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    bool open = !args_has(&args, "--no-open") && !cli->json;
    int result = 0;
    if (args.word_count > 0) {
        result = err_set(&err, ERR_USAGE, "web takes no '%s'", args.words[0]);
    }
    args_fini(&args);
    autojson cJSON *health = NULL;
    if (result < 0 || launch_ensure(cli, &health, NULL, &err) < 0) {
        return command_fail(cli, &err);
    }
    const char *url = json_get_str(health, "webUrl", NULL);
    if (url == NULL) {
        (void)err_set(&err, ERR_FAILED, "the web UI has no port (`wos status --all` says why)");
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        printf("%s\n", url);
        (void)fflush(stdout); /* shown before a browser takes the terminal */
    }
    if (open && !web_open_with(cli, "xdg-open", url)) {
        fprintf(stderr, "wos web: no browser could be opened; open the address yourself\n");
    }
    cJSON *data = cJSON_CreateObject();
    json_add_str(data, "webUrl", url);
    return command_succeed(cli, data);
}

const struct command cmd_web = {
    .name = "web",
    .args = "[--no-open]",
    .summary = "print the web UI's address and open it in a browser",
    .help = "  --no-open   print only\n"
            "\n"
            "Example:\n"
            "  wos web --no-open\n",
    .run = web_run,
};
