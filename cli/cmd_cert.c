/* cmd_cert: `wos cert`: the certificates served, and what can be done about them. */
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/args.h"
#include "cli/cert_status.h"
#include "cli/certwatch.h"
#include "cli/client.h"
#include "cli/command.h"

static const char *const kinds[] = {"tunnel", "web"};

static const cJSON *cert_of(const cJSON *answer, const char *kind)
{
    const cJSON *cert = NULL;
    cJSON_ArrayForEach(cert, json_get(answer, "certificates"))
    {
        if (strcmp(json_get_str(cert, "listenerKind", ""), kind) == 0) {
            return cert;
        }
    }
    return NULL;
}

/* "tunnel" unless another one is asked for; NULL with the error. */
static const char *kind_of(const struct args *args, struct err *err)
{
    const char *given = args_value(args, "--kind");
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (given == NULL || strcmp(given, kinds[i]) == 0) {
            return kinds[i];
        }
    }
    (void)err_set(err, ERR_USAGE, "--kind is tunnel or web, not '%s'", given);
    return NULL;
}

static int cert_path(struct cli *cli, const struct args *args)
{
    struct err err = {0};
    autojson cJSON *answer = NULL;
    bool want_ca = args_has(args, "--ca");
    const char *kind = kind_of(args, &err);
    if (kind == NULL || certwatch_list(cli, &answer, &err) < 0) {
        return command_fail(cli, &err);
    }
    const cJSON *cert = cert_of(answer, kind);
    const char *path = json_get_str(cert, want_ca ? "caPath" : "path", NULL);
    if (path == NULL) {
        const char *source = json_get_str(cert, "source", "disabled");
        const char *reason = json_get_str(json_get(cert, "lastError"), "message", NULL);
        (void)err_set(&err, ERR_NOT_FOUND, "%s%s%s (source: %s)%s%s",
                      want_ca ? "the certificate served is not of the local CA" : "the ",
                      want_ca ? "" : kind, want_ca ? "" : " serves no certificate", source,
                      reason == NULL ? "" : ": ", reason == NULL ? "" : reason);
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        printf("%s\n", path);
    }
    cJSON *data = cJSON_CreateObject();
    json_add_str(data, "path", path);
    return command_succeed(cli, data);
}

static int cert_list(struct cli *cli, void (*print)(const cJSON *cert))
{
    struct err err = {0};
    cJSON *answer = NULL;
    if (certwatch_list(cli, &answer, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        const cJSON *cert = NULL;
        cJSON_ArrayForEach(cert, json_get(answer, "certificates"))
        {
            print(cert);
        }
    }
    return command_succeed(cli, answer);
}

static int cert_show(struct cli *cli, const struct args *args)
{
    (void)args;
    return cert_list(cli, cert_show_print);
}

static int cert_status(struct cli *cli, const struct args *args)
{
    (void)args;
    return cert_list(cli, cert_status_print);
}

/* Ends the command after an operation. Takes the data. */
static int cert_end(struct cli *cli, int result, cJSON *data, const struct err *err)
{
    if (result == 0) {
        return command_succeed(cli, data);
    }
    if (cli->client != NULL && client_interrupted(cli->client)) {
        cJSON_Delete(data);
        fprintf(stderr, "wos cert: it goes on; `wos cert status` shows how it stands, "
                        "`wos cert cancel` ends it\n");
        return EXIT_INTERRUPTED;
    }
    return command_fail_data(cli, err, data);
}

/* Which listeners `renew` is for: the one that is named, or every one whose certificate is from a
 * CA. Where there is none the daemon is asked about the tunnel: it says so. */
static size_t renew_kinds(const struct args *args, const char *kind, const cJSON *answer,
                          const char *out[COUNT_OF(kinds)])
{
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(kinds) && args_value(args, "--kind") == NULL; i++) {
        const char *source = json_get_str(cert_of(answer, kinds[i]), "source", "");
        if (strcmp(source, "letsencrypt") == 0) {
            out[count++] = kinds[i];
        }
    }
    if (count == 0) {
        out[count++] = kind;
    }
    return count;
}

/* Renews one and adds how it went to the list. */
static int renew_one(struct cli *cli, const struct args *args, const char *kind, cJSON *list,
                     struct err *err)
{
    cJSON *one = NULL;
    int result =
        certwatch_run(cli, "/certificates/renew", kind, args_has(args, "--force"), &one, err);
    if (one == NULL) { /* it was refused */
        one = cJSON_CreateObject();
        json_add_str(one, "listenerKind", kind);
    }
    cJSON *error =
        result == 0 ? cJSON_AddNullToObject(one, "error") : cJSON_AddObjectToObject(one, "error");
    if (result < 0) {
        json_add_str(error, "code", command_error_code(cli, err));
        json_add_str(error, "message", err->msg);
    }
    (void)cJSON_AddItemToArray(list, one);
    return result;
}

/* A listener that fails is no reason to leave out the next one. */
static int cert_renew(struct cli *cli, const struct args *args)
{
    struct err err = {0};
    autojson cJSON *answer = NULL;
    const char *asked[COUNT_OF(kinds)];
    const char *kind = kind_of(args, &err);
    if (kind == NULL || certwatch_list(cli, &answer, &err) < 0) {
        return command_fail(cli, &err);
    }
    cJSON *data = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(data, "renewals");
    size_t count = renew_kinds(args, kind, answer, asked);
    struct buf failures = {0};
    bool is_interrupted = false;
    for (size_t i = 0; i < count && !is_interrupted; i++) {
        if (count > 1 && !cli->json) {
            fprintf(stderr, "%s's certificate\n", asked[i]);
        }
        if (renew_one(cli, args, asked[i], list, &err) < 0) {
            buf_printf(&failures, "%s%s: %s", failures.len == 0 ? "" : "; ", asked[i], err.msg);
        }
        is_interrupted = cli->client != NULL && client_interrupted(cli->client);
    }
    bool is_failed = failures.len > 0;
    if (is_failed && count > 1) {
        (void)err_set(&err, ERR_FAILED, "%s", buf_cstr(&failures));
    }
    buf_fini(&failures);
    return cert_end(cli, is_failed ? -1 : 0, data, &err);
}

static int cert_action(struct cli *cli, const struct args *args, const char *path)
{
    struct err err = {0};
    cJSON *data = NULL;
    const char *kind = kind_of(args, &err);
    int result = kind == NULL ? -1 : certwatch_run(cli, path, kind, false, &data, &err);
    return cert_end(cli, result, data, &err);
}

static int cert_issue(struct cli *cli, const struct args *args)
{
    struct err err = {0};
    if (!args_has(args, "--dry-run")) {
        (void)err_set(&err, ERR_USAGE,
                      "`wos cert issue` only has --dry-run; `wos cert renew` issues and installs");
        return command_fail(cli, &err);
    }
    return cert_action(cli, args, "/certificates/dry-run");
}

static int needs_yes(struct cli *cli, const char *what)
{
    struct err err = {0};
    (void)err_set(&err, ERR_USAGE, "%s; say --yes if that is meant", what);
    return command_fail(cli, &err);
}

static int cert_revoke(struct cli *cli, const struct args *args)
{
    if (!args_has(args, "--yes")) {
        return needs_yes(cli, "this makes the certificate invalid for good, and another is issued");
    }
    return cert_action(cli, args, "/certificates/revoke");
}

static int cert_deactivate(struct cli *cli, const struct args *args)
{
    if (!args_has(args, "--yes")) {
        return needs_yes(cli, "this ends the account at the CA for good and deletes its key");
    }
    return cert_action(cli, args, "/certificates/account/deactivate");
}

static int cert_cancel(struct cli *cli, const struct args *args)
{
    struct err err = {0};
    autojson cJSON *body = cJSON_CreateObject();
    cJSON *answer = NULL;
    const char *kind = kind_of(args, &err);
    (void)json_add_str(body, "kind", kind == NULL ? "" : kind);
    autojson cJSON *list = NULL;
    if (kind == NULL || certwatch_list(cli, &list, &err) < 0 ||
        client_call(cli->client, "POST", "/certificates/cancel", body, &answer, &err) < 0) {
        return command_fail(cli, &err);
    }
    if (!cli->json) {
        printf("%s\n", json_get_bool(answer, "cancelled", false) ? "cancelled" : "nothing ran");
    }
    return command_succeed(cli, answer);
}

struct cert_word {
    const char *words; /* what stands after `wos cert` */
    const char *takes; /* the options, each followed by a blank */
    int (*run)(struct cli *cli, const struct args *args);
};

static const struct cert_word cert_words[] = {
    {"status", "", cert_status},
    {"show", "", cert_show},
    {"path", "--ca --kind ", cert_path},
    {"renew", "--force --kind ", cert_renew},
    {"issue", "--dry-run --kind ", cert_issue},
    {"revoke", "--yes --kind ", cert_revoke},
    {"account deactivate", "--yes --kind ", cert_deactivate},
    {"cancel", "--kind ", cert_cancel},
};

static const struct cert_word *word_find(const struct args *args, struct err *err)
{
    struct buf text = {0};
    for (size_t i = 0; i < args->word_count; i++) {
        buf_printf(&text, "%s%s", i == 0 ? "" : " ", args->words[i]);
    }
    const struct cert_word *found = NULL;
    for (size_t i = 0; i < COUNT_OF(cert_words); i++) {
        if (strcmp(cert_words[i].words, buf_cstr(&text)) == 0) {
            found = &cert_words[i];
        }
    }
    if (found == NULL) {
        (void)err_set(err, ERR_USAGE,
                      "cert takes no '%.60s'; it takes `path [--ca]`, `show`, "
                      "`status`, `renew`, `issue --dry-run`, `revoke`, `account deactivate` or "
                      "`cancel`",
                      buf_cstr(&text));
    }
    for (size_t i = 0; found != NULL && i < args->given_count; i++) {
        autofree char *option = xasprintf("%s ", args->given[i].name);
        if (strstr(found->takes, option) == NULL) {
            (void)err_set(err, ERR_USAGE, "`cert %s` takes no %s", found->words,
                          args->given[i].name);
            found = NULL;
        }
    }
    buf_fini(&text);
    return found;
}

static int cert_run(struct cli *cli, int argc, char **argv)
{
    static const struct arg_option options[] = {
        {"--ca", NULL, false},  {"--force", NULL, false}, {"--dry-run", NULL, false},
        {"--yes", NULL, false}, {"--kind", NULL, true},
    };
    struct args args;
    struct err err = {0};
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    const struct cert_word *word = word_find(&args, &err);
    int code = word == NULL ? command_fail(cli, &err) : word->run(cli, &args);
    args_fini(&args);
    return code;
}

const struct command cmd_cert = {
    .name = "cert",
    .args = "status | show | path [--ca] | renew [--force] | issue --dry-run | revoke | "
            "account deactivate | cancel",
    .summary = "show the certificates, renew them, or where they and their CA are",
    .help =
        "  status              names, issuer, expiry, what comes next, the last error\n"
        "  show                the same with dates, fingerprints and paths\n"
        "  path                the file with the chain the gateway serves\n"
        "  path --ca           the file with the local CA's certificate, for programs to trust\n"
        "  renew [--force]     renew now when due; with --force in any case\n"
        "  issue --dry-run     the whole way at the CA's staging directory; installs nothing\n"
        "  revoke --yes        revoke the certificate at the CA and delete it\n"
        "  account deactivate --yes\n"
        "                      end the account at the CA and delete its key\n"
        "  cancel              end what runs; TXT records are withdrawn\n"
        "  --kind web          the certificate of the web listener (web.ssl), not the tunnel's;\n"
        "                      renew without it: of each listener whose source is a CA, also\n"
        "                      when one of them fails\n"
        "\n"
        "Exit codes: 0 done (or not due), 1 failed, 3 the source is no CA, 5 something else\n"
        "is under way, 130 interrupted (it goes on).\n"
        "\n"
        "Examples:\n"
        "  wos cert renew --force\n"
        "  curl --cacert \"$(wos cert path --ca)\" https://main-web.wos.localhost:5858/\n"
        "  NODE_EXTRA_CA_CERTS=\"$(wos cert path --ca)\" node client.js\n",
    .run = cert_run,
};
