/* cmd_metrics: `wos metrics`: the numbers of daemon and gateway. */
#include "base/auto.h"
#include "base/json.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/launch.h"
#include "cli/print.h"

static int metrics_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    struct buf text = {0};
    cJSON *stats = NULL;
    int result =
        command_has_args(cli, argc, argv, &err) ? -1 : launch_ensure(cli, NULL, NULL, &err);
    if (result == 0 && cli->json) {
        result = client_call(cli->client, "GET", "/stats", NULL, &stats, &err);
    } else if (result == 0) {
        result = client_text(cli->client, "/metrics", &text, &err);
    }
    if (result == 0) {
        print_flush(stdout, &text);
    }
    buf_fini(&text);
    return result < 0 ? command_fail(cli, &err) : command_succeed(cli, stats);
}

const struct command cmd_metrics = {
    .name = "metrics",
    .args = "",
    .summary = "print requests, latencies, connections and errors as Prometheus text",
    .help =
        "With --json the same numbers as one object. Prometheus can read them from the socket\n"
        "daemon.sock in the home, at /v1/metrics, through anything that speaks HTTP to a socket.\n"
        "\n"
        "Example:\n"
        "  wos metrics | grep wos_route_requests_total\n",
    .run = metrics_run,
};
