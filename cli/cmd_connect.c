/* cmd_connect: `wos connect`: a link that signs one device in to the web UI, once. */
#include <qrencode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/launch.h"

enum { QUIET = 2 /* modules around the code */ };

static bool module_is_dark(const QRcode *code, int x, int y)
{
    bool is_inside = x >= 0 && y >= 0 && x < code->width && y < code->width;
    return is_inside && (code->data[y * code->width + x] & 1) != 0;
}

/* Two rows of modules a line, light on dark, as most terminals are: the light ones are drawn. */
static void qr_print(const QRcode *code)
{
    static const char *const blocks[2][2] = {{"\u2588", "\u2580"}, {"\u2584", " "}};
    for (int y = -QUIET; y < code->width + QUIET; y += 2) {
        for (int x = -QUIET; x < code->width + QUIET; x++) {
            bool is_last = y + 1 >= code->width + QUIET;
            bool top = module_is_dark(code, x, y);
            bool bottom = is_last || module_is_dark(code, x, y + 1);
            printf("%s", blocks[top][bottom]);
        }
        printf("\n");
    }
}

static int connect_parse(int argc, char **argv, bool *out_qr, uint64_t *out_ttl_ms, struct err *err)
{
    static const struct arg_option options[] = {{"--qr", NULL, false}, {"--ttl", NULL, true}};
    struct args args;
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, err) < 0) {
        return -1;
    }
    const char *ttl = args_value(&args, "--ttl");
    int result = 0;
    *out_qr = args_has(&args, "--qr");
    if (args.word_count > 0) {
        result = err_set(err, ERR_USAGE, "connect takes no '%s'", args.words[0]);
    } else if (ttl != NULL) {
        result = args_duration(ttl, out_ttl_ms, err);
    }
    args_fini(&args);
    return result;
}

static int connect_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    bool qr = false;
    uint64_t ttl_ms = 0;
    cJSON *answer = NULL;
    if (connect_parse(argc, argv, &qr, &ttl_ms, &err) < 0 ||
        launch_ensure(cli, NULL, NULL, &err) < 0) {
        return command_fail(cli, &err);
    }
    autojson cJSON *body = cJSON_CreateObject();
    if (ttl_ms > 0) {
        (void)json_add_int(body, "ttlMs", (int64_t)(ttl_ms > INT32_MAX ? INT32_MAX : ttl_ms));
    }
    if (client_call(cli->client, "POST", "/auth/connect", body, &answer, &err) < 0) {
        return command_fail(cli, &err);
    }
    const char *url = json_get_str(answer, "url", "");
    if (!cli->json) {
        if (qr) {
            QRcode *code = QRcode_encodeString8bit(url, 0, QR_ECLEVEL_M);
            if (code != NULL) {
                qr_print(code);
                QRcode_free(code);
            }
        }
        printf("%s\n", url);
        fprintf(stderr, "signs in one device, once, until %s\n",
                json_get_str(answer, "expiresAt", ""));
    }
    return command_succeed(cli, answer);
}

const struct command cmd_connect = {
    .name = "connect",
    .args = "[--qr] [--ttl DURATION]",
    .summary = "print a one-time link that signs a device in to the web UI",
    .help = "  --qr            also as a QR code, for a phone\n"
            "  --ttl DURATION  how long the link is good, at most 1h (default 10m)\n"
            "\n"
            "The web UI needs a public name: tunnel.webUi.enabled, subdomain and secret.\n"
            "Who is signed in: the page \"Devices\" of the web UI.\n"
            "\n"
            "Example:\n"
            "  wos connect --qr --ttl 2m\n",
    .run = connect_run,
};
