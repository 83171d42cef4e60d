/* config_docs: docs/CONFIG.md, the defaults and the check, printed from the key table. Called by
 * `wos config`; the same text is kept in the repository and compared by a test. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/config.h"
#include "daemon/config_effective.h"
#include "daemon/config_keys.h"

static const char HEAD[] =
    "# config.json\n"
    "\n"
    "`H/config.json`, where `H` is `$WOS_HOME` or else `~/.wos`. This page is printed by `wos "
    "config "
    "docs` from the\n"
    "table the reader uses (daemon/config_keys.c).\n"
    "\n"
    "The file is optional, and reading it never stops the daemon. What cannot be used is named in "
    "`wos "
    "status --all`,\n"
    "`wos config check` and the log, by its key; that key takes its default, or its block is "
    "switched "
    "off, and the\n"
    "rest works:\n"
    "\n"
    "- text that is no JSON: one problem, all defaults; an unknown key: ignored, and the nearest "
    "known "
    "one named;\n"
    "- the tunnel is off without a usable `tunnel.domain`;\n"
    "- a whitelist with an entry that cannot be read switches its block off, rather than let "
    "everyone "
    "in;\n"
    "- with `tunnel.ssl.enabled`, whatever is wrong with the certificate settings: a certificate "
    "of the "
    "local CA\n"
    "  is served, never plaintext;\n"
    "- what cannot be read of who may see services (`tunnel.serviceTunnels`) publishes nothing.\n"
    "\n"
    "`wos config set KEY VALUE` and `wos config unset KEY` check and write it. These keys then "
    "apply at once, also on\n"
    "connections that are open (healthcheck.* and serviceBind: with the next `wos up`); the "
    "others, and a file changed\n"
    "by hand, with `wos restart`:\n"
    "\n";

static const char TABLE[] = "| key | value | default | meaning |\n"
                            "|---|---|---|---|\n";

/* Table cells must not hold the column separator. */
static void print_cell(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|') {
            (void)fputs("\\|", out);
        } else {
            (void)fputc(*text, out);
        }
    }
}

void config_print_docs(FILE *out)
{
    (void)fputs(HEAD, out);
    for (size_t i = 0; i < config_live_key_count; i++) {
        const char *key = config_live_keys[i];
        bool is_block = key[strlen(key) - 1] == '.';
        (void)fprintf(out, "- `%s%s`\n", key, is_block ? "*" : "");
    }
    (void)fprintf(out, "\n%s", TABLE);
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        char allowed[256];
        config_key_allowed(key, allowed, sizeof allowed);
        (void)fprintf(out, "| `%s` | ", key->path);
        print_cell(out, allowed);
        if (key->fallback != NULL) {
            (void)fprintf(out, " | `%s` | ", key->fallback);
        } else {
            (void)fprintf(out, " | %s | ",
                          key->type == KEY_IPS || key->type == KEY_TEXTS ? "`[]`" : "none");
        }
        print_cell(out, key->doc);
        (void)fputs(" |\n", out);
    }
}

static cJSON *default_value(const struct config_key *key)
{
    if (key->type == KEY_IPS || key->type == KEY_TEXTS) {
        return cJSON_CreateArray();
    }
    uint64_t number = 0;
    if (key->type == KEY_BOOL) {
        return cJSON_CreateBool(strcmp(key->fallback, "true") == 0);
    }
    if ((key->type == KEY_INT || key->type == KEY_DURATION) &&
        str_to_u64(str_of(key->fallback), &number)) {
        return cJSON_CreateNumber((double)number);
    }
    return cJSON_CreateString(key->fallback);
}

void config_print_defaults(FILE *out)
{
    autojson cJSON *root = cJSON_CreateObject();
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        /* "none" is what an absent provider means, not something to write. */
        if (key->type != KEY_OTHER &&
            (key->fallback != NULL || key->type == KEY_IPS || key->type == KEY_TEXTS) &&
            strstr(key->path, ".letsencrypt.") == NULL) {
            config_tree_add(root, key->path, default_value(key));
        }
    }
    char *text = cJSON_Print(root);
    CHECK(text != NULL);
    (void)fprintf(out, "%s\n", text);
    cJSON_free(text);
}

size_t config_print_check(FILE *out, const char *home)
{
    struct config *c = config_load(home);
    size_t count = config_error_count(c);
    for (size_t i = 0; i < c->problem_count; i++) {
        const struct config_problem *p = &c->problems[i];
        if (*p->key == '\0') {
            (void)fprintf(out, "%s\n", p->message);
        } else {
            (void)fprintf(out, "%s: %s%s: %s\n", c->path, p->is_warning ? "warning: " : "", p->key,
                          p->message);
        }
    }
    if (count == 0) {
        (void)fprintf(out, "%s: %s\n", c->path, c->exists ? "ok" : "no such file: all defaults");
    }
    config_free(c);
    return count;
}
