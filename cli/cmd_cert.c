/* cmd_cert: `wos cert`: which certificate is served, and which CA to trust. */
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/launch.h"

/* The tunnel's certificate in the answer of /certificates, or NULL. */
static const cJSON *cert_of_tunnel(const cJSON *answer)
{
    const cJSON *cert = NULL;
    cJSON_ArrayForEach(cert, json_get(answer, "certificates"))
    {
        if (strcmp(json_get_str(cert, "listenerKind", ""), "tunnel") == 0) {
            return cert;
        }
    }
    return NULL;
}

static int cert_path(struct cli *cli, const cJSON *answer, bool want_ca)
{
    struct err err = {0};
    const cJSON *cert = cert_of_tunnel(answer);
    const char *path = json_get_str(cert, want_ca ? "caPath" : "path", NULL);
    if (path == NULL) {
        const char *source = json_get_str(cert, "source", "disabled");
        const char *reason = json_get_str(json_get(cert, "lastError"), "message", NULL);
        (void)err_set(&err, ERR_NOT_FOUND, "%s (source: %s)%s%s",
                      want_ca ? "the certificate served is not of the local CA"
                              : "the tunnel serves no certificate",
                      source, reason == NULL ? "" : ": ", reason == NULL ? "" : reason);
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        printf("%s\n", path);
    }
    cJSON *data = cJSON_CreateObject();
    json_add_str(data, "path", path);
    return command_succeed(cli, data);
}

static void cert_line(const cJSON *cert, const char *label, const char *member)
{
    const char *text = json_get_str(cert, member, NULL);
    if (text != NULL) {
        printf("  %-12s %s\n", label, text);
    }
}

static void cert_print(const cJSON *cert)
{
    printf("%s\n", json_get_str(cert, "listenerKind", "?"));
    cert_line(cert, "source", "source");
    cert_line(cert, "state", "state");
    const cJSON *name = NULL;
    cJSON_ArrayForEach(name, json_get(cert, "names"))
    {
        printf("  %-12s %s\n", "name", cJSON_IsString(name) ? name->valuestring : "?");
    }
    cert_line(cert, "subject", "subject");
    cert_line(cert, "issuer", "issuer");
    cert_line(cert, "serial", "serial");
    cert_line(cert, "fingerprint", "fingerprint");
    cert_line(cert, "from", "notBefore");
    cert_line(cert, "until", "notAfter");
    cert_line(cert, "chain", "path");
    cert_line(cert, "CA", "caPath");
    cert_line(cert, "warning", "warning");
    cert_line(json_get(cert, "lastError"), "error", "message");
}

static int cert_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {{"--ca", NULL, false}};
    struct args args;
    struct err err = {0};
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    const char *what = args.word_count == 1 ? args.words[0] : "";
    bool want_path = strcmp(what, "path") == 0;
    bool want_show = strcmp(what, "show") == 0;
    bool want_ca = args_has(&args, "--ca");
    args_fini(&args);
    if ((!want_path && !want_show) || (want_show && want_ca)) {
        (void)err_set(&err, ERR_USAGE, "cert takes `path [--ca]` or `show`");
        return command_fail(cli, &err);
    }
    cJSON *answer = NULL;
    if (launch_ensure(cli, NULL, NULL, &err) < 0 ||
        client_call(cli->client, "GET", "/certificates", NULL, &answer, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (want_path) {
        int code = cert_path(cli, answer, want_ca);
        cJSON_Delete(answer);
        return code;
    }
    if (!cli->json) {
        const cJSON *cert = NULL;
        cJSON_ArrayForEach(cert, json_get(answer, "certificates"))
        {
            cert_print(cert);
        }
    }
    return command_succeed(cli, answer);
}

const struct command cmd_cert = {
    .name = "cert",
    .args = "path [--ca] | show",
    .summary = "show the certificate served, or where it and its CA are",
    .help = "  path        the file with the chain the gateway serves\n"
            "  path --ca   the file with the local CA's certificate, for programs to trust\n"
            "  show        names, dates, issuer, state and the last error\n"
            "\n"
            "Examples:\n"
            "  curl --cacert \"$(wos cert path --ca)\" https://main-web.wos.localhost:5858/\n"
            "  NODE_EXTRA_CA_CERTS=\"$(wos cert path --ca)\" node client.js\n",
    .run = cert_run,
};
