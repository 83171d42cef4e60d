/* cmd_trust: `wos trust` and `wos untrust`: the local CA in the trust stores of this machine.
 *
 * What was put in is remembered in H/certs/trusted, one fingerprint a line, so that `untrust` also
 * finds a CA that was replaced since. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "certs/fingerprint.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/launch.h"
#include "cli/truststore.h"

enum { TRUSTED_MAX = 64 << 10 };

struct trust {
    struct cli *cli;
    bool is_removing;
    bool is_dry;
    char *ca_path;   /* owned */
    char *list_path; /* owned: H/certs/trusted */
    cJSON *results;  /* owned: an array */
    bool is_failed;
    char first_failure[512];
};

static void trust_on_result(void *arg, const struct truststore_result *result)
{
    struct trust *t = arg;
    cJSON *item = cJSON_CreateObject();
    (void)json_add_str(item, "store", result->store);
    (void)json_add_str(item, "path", result->path);
    (void)json_add_str(item, "state", result->state);
    (void)json_add_str(item, "message", result->message);
    (void)cJSON_AddItemToArray(t->results, item);
    if (strcmp(result->state, "failed") == 0 && !t->is_failed) {
        t->is_failed = true;
        (void)snprintf(t->first_failure, sizeof t->first_failure, "%s: %s", result->path,
                       result->message);
    }
    if (!t->cli->json) {
        printf("%-12s %s%s%s%s\n", result->state, result->path, *result->path == '\0' ? "" : " (",
               result->message, *result->path == '\0' ? "" : ")");
    }
}

static int trust_one(struct trust *t, const char *fingerprint, bool is_listed, struct err *err)
{
    const char *home = getenv("HOME");
    const char *root = getenv("WOS_TRUST_ROOT");
    struct loop *loop = loop_new(err);
    if (loop == NULL) {
        return -1;
    }
    const struct truststore store = {
        .loop = loop,
        .root = root == NULL ? "" : root,
        .home = home == NULL || home[0] != '/' ? "/" : home,
        .ca_path = t->ca_path,
        .fingerprint = fingerprint,
        .is_removing = t->is_removing,
        .is_listed = is_listed,
        .is_dry = t->is_dry,
        .tell = trust_on_result,
        .arg = t,
    };
    truststore_system(&store);
    truststore_nss(&store);
    loop_free(loop);
    return 0;
}

static bool list_has(const struct buf *list, const char *fingerprint)
{
    struct str rest = buf_str(list);
    struct str line;
    while (str_next(&rest, '\n', &line)) {
        if (str_eq(line, str_of(fingerprint))) {
            return true;
        }
    }
    return false;
}

static bool is_hex(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (strchr("0123456789abcdef", s.ptr[i]) == NULL || s.ptr[i] == '\0') {
            return false;
        }
    }
    return s.len == FINGERPRINT_TEXT - 1;
}

static int trust_add(struct trust *t, struct err *err)
{
    char fingerprint[FINGERPRINT_TEXT];
    struct buf list = {0};
    if (!file_exists(t->ca_path) && launch_ensure(t->cli, NULL, NULL, err) < 0) {
        return -1;
    }
    if (!file_exists(t->ca_path)) {
        return err_set(err, ERR_NOT_FOUND,
                       "there is no local CA at %s: no listener has tunnel.ssl or web.ssl with "
                       "source self-signed",
                       t->ca_path);
    }
    if (fingerprint_of_file(t->ca_path, fingerprint, err) < 0) {
        return -1;
    }
    (void)file_read(t->list_path, TRUSTED_MAX, &list, NULL); /* none: nothing was trusted yet */
    int rc = 0;
    bool is_listed = list_has(&list, fingerprint);
    if (!t->is_dry && !is_listed) { /* first: what is put in can be taken out */
        buf_printf(&list, "%s\n", fingerprint);
        rc = file_write_atomic(t->list_path, buf_str(&list), 0600, err);
    }
    buf_fini(&list);
    return rc < 0 ? -1 : trust_one(t, fingerprint, is_listed, err);
}

static int trust_remove(struct trust *t, struct err *err)
{
    char fingerprint[FINGERPRINT_TEXT];
    struct buf list = {0};
    (void)file_read(t->list_path, TRUSTED_MAX, &list, NULL);
    size_t listed_bytes = list.len;
    if (file_exists(t->ca_path)) {
        if (fingerprint_of_file(t->ca_path, fingerprint, err) < 0) {
            buf_fini(&list);
            return -1;
        }
        if (!list_has(&list, fingerprint)) {
            buf_printf(&list, "%s\n", fingerprint);
        }
    }
    int rc = 0;
    struct str rest = buf_str(&list);
    struct str line;
    while (rc == 0 && str_next(&rest, '\n', &line)) {
        if (is_hex(line)) {
            autofree char *one = str_dup(line);
            bool is_listed = (size_t)(line.ptr - buf_str(&list).ptr) < listed_bytes;
            rc = trust_one(t, one, is_listed, err);
        }
    }
    buf_fini(&list);
    return rc;
}

/* Of a store that was to be emptied: a browser's that was skipped may still have it. */
static bool may_be_left(const cJSON *item)
{
    const char *state = json_get_str(item, "state", "");
    return strcmp(state, "needs-root") == 0 ||
           (strcmp(state, "skipped") == 0 && strcmp(json_get_str(item, "store", ""), "nss") == 0);
}

/* The list goes when nothing is left in any store. */
static void trust_forget(struct trust *t)
{
    const cJSON *item = NULL;
    bool is_left = t->is_dry || t->is_failed;
    cJSON_ArrayForEach(item, t->results)
    {
        is_left = is_left || may_be_left(item);
    }
    if (!is_left) {
        (void)unlink(t->list_path);
    }
}

/* In single quotes for a shell; malloc'ed. */
static char *shell_quoted(const char *text)
{
    struct buf out = {0};
    buf_add_char(&out, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            buf_add_text(&out, "'\\'");
        }
        buf_add_char(&out, *text);
    }
    buf_add_char(&out, '\'');
    return buf_take(&out);
}

static void print_hints(const struct trust *t)
{
    autofree char *quoted = shell_quoted(t->ca_path);
    printf(
        "\nThe CA's certificate: %s\n"
        "Browsers: restart them.\n"
        "Node:     export NODE_EXTRA_CA_CERTS=%s\n"
        "Python:   export REQUESTS_CA_BUNDLE=%s   (requests; SSL_CERT_FILE for the rest)\n"
        "curl:     curl --cacert %s …   (not needed once the system's store has it)\n"
        "iPhone:   send the file to it, open it; Settings > General > VPN & Device Management > "
        "install;\n"
        "          then Settings > General > About > Certificate Trust Settings > switch it on.\n"
        "Android:  copy the file to it; Settings > Security > Encryption & credentials >\n"
        "          Install a certificate > CA certificate.\n",
        t->ca_path, quoted, quoted, quoted);
}

static int trust_end(struct trust *t, int result, struct err *err)
{
    cJSON *data = cJSON_CreateObject();
    (void)json_add_str(data, "caPath", t->ca_path);
    (void)cJSON_AddItemToObject(data, "stores", t->results);
    t->results = NULL;
    if (result == 0 && t->is_failed) {
        result = err_set(err, ERR_FAILED, "%s", t->first_failure);
    }
    return result < 0 ? command_fail_data(t->cli, err, data) : command_succeed(t->cli, data);
}

static int trust_command(struct cli *cli, int argc, char **argv, bool is_removing)
{
    static const struct arg_option options[] = {{"--dry-run", NULL, false}};
    struct args args;
    struct err err = {0};
    if (args_parse(&args, options, COUNT_OF(options), argc, argv, &err) < 0) {
        return command_fail(cli, &err);
    }
    struct trust t = {
        .cli = cli,
        .is_removing = is_removing,
        .is_dry = args_has(&args, "--dry-run"),
        .ca_path = path_join(cli->home, "certs/ca.crt"),
        .list_path = path_join(cli->home, "certs/trusted"),
        .results = cJSON_CreateArray(),
    };
    int result = 0;
    if (args.word_count > 0) {
        result = err_set(&err, ERR_USAGE, "%s takes no '%s'", cli->command->name, args.words[0]);
    }
    args_fini(&args);
    if (result == 0) {
        result = is_removing ? trust_remove(&t, &err) : trust_add(&t, &err);
    }
    if (result == 0 && is_removing) {
        trust_forget(&t);
    } else if (result == 0 && !cli->json) {
        print_hints(&t);
    }
    int code = trust_end(&t, result, &err);
    free(t.ca_path);
    free(t.list_path);
    return code;
}

static int trust_run(struct cli *cli, int argc, char **argv)
{
    return trust_command(cli, argc, argv, false);
}

static int untrust_run(struct cli *cli, int argc, char **argv)
{
    return trust_command(cli, argc, argv, true);
}

const struct command cmd_trust = {
    .name = "trust",
    .args = "[--dry-run]",
    .summary = "make this machine's browsers and programs trust the local CA",
    .help = "Puts the local CA (wos cert path --ca) into the system's store (Debian, Fedora, Arch\n"
            "and SUSE families) and into the databases of Chromium and Firefox, says what it did,\n"
            "and how it goes on phones. Doing it again changes nothing. Only the system's store\n"
            "needs root: without it the sudo command is printed and the rest is done.\n"
            "\n"
            "  --dry-run   only say what would be done\n"
            "\n"
            "Exit codes: 0 done, or only the system's store is left to do; 1 a store failed.\n"
            "$WOS_TRUST_ROOT: where another system's files are (for images and tests).\n"
            "\n"
            "Example:\n"
            "  wos trust\n",
    .run = trust_run,
};

const struct command cmd_untrust = {
    .name = "untrust",
    .args = "[--dry-run]",
    .summary = "take out what `wos trust` put in",
    .help = "  --dry-run   only say what would be done\n"
            "\n"
            "Example:\n"
            "  wos untrust\n",
    .run = untrust_run,
};
