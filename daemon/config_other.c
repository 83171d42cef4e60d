/* config_other: see config_other.h. Called by config_rules.c, once per file. */
#include "daemon/config_other.h"

#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/config_rules.h"

static const char LEVELS[] = "off|error|warn|info|debug|trace";

static bool is_given(const cJSON *node)
{
    return node != NULL && !cJSON_IsNull(node);
}

static bool is_text(const cJSON *node)
{
    return cJSON_IsString(node) && str_trim(str_of(node->valuestring)).len > 0;
}

static bool is_word(const cJSON *node, const char *words)
{
    struct str rest = str_of(words);
    struct str word;
    while (cJSON_IsString(node) && str_next(&rest, '|', &word)) {
        if (str_eq(word, str_of(node->valuestring))) {
            return true;
        }
    }
    return false;
}

/* The member of the block, with its full key; NULL when it is not given. */
static const cJSON *member(const cJSON *block, const char *at, const char *name, char *key,
                           size_t size)
{
    (void)snprintf(key, size, "%s%s%s", at, *at == '\0' ? "" : ".", name);
    const cJSON *node = json_get(block, name);
    return is_given(node) ? node : NULL;
}

static void check_bool(struct config *c, const cJSON *block, const char *at, const char *name)
{
    char key[128];
    const cJSON *node = member(block, at, name, key, sizeof key);
    if (node != NULL && !cJSON_IsBool(node)) {
        config_problem(c, key, "must be true or false; ignored");
    }
}

static void check_text(struct config *c, const cJSON *block, const char *at, const char *name)
{
    char key[128];
    const cJSON *node = member(block, at, name, key, sizeof key);
    if (node != NULL && !is_text(node)) {
        config_problem(c, key, "must be a text that is not blank; ignored");
    }
}

static void check_word(struct config *c, const cJSON *block, const char *at, const char *name,
                       const char *words)
{
    char key[128];
    const cJSON *node = member(block, at, name, key, sizeof key);
    if (node != NULL && !is_word(node, words)) {
        config_problem(c, key, "must be one of %s; ignored", words);
    }
}

/* The block of that name if it is an object; anything else is a problem. */
static const cJSON *check_block(struct config *c, const cJSON *parent, const char *at,
                                const char *name)
{
    char key[128];
    const cJSON *node = member(parent, at, name, key, sizeof key);
    if (node != NULL && !cJSON_IsObject(node)) {
        config_problem(c, key, "must be an object; ignored");
        return NULL;
    }
    return node;
}

/* --- commit messages ------------------------------------------------------ */

/* What is wrong with an entry, or NULL. */
static const char *provider_fault(const cJSON *entry)
{
    if (!cJSON_IsObject(entry)) {
        return "must be an object";
    }
    if (!is_word(json_get(entry, "type"), "openai|anthropic|openrouter|openai-like|"
                                          "anthropic-like")) {
        return "type must be one of openai, anthropic, openrouter, openai-like, anthropic-like";
    }
    if (!is_text(json_get(entry, "apiKey"))) {
        return "apiKey must be a text that is not blank";
    }
    static const char *const texts[] = {"name", "baseUrl"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const cJSON *node = json_get(entry, texts[i]);
        if (is_given(node) && !is_text(node)) {
            return i == 0 ? "name must be a text that is not blank"
                          : "baseUrl must be a text that is not blank";
        }
    }
    const cJSON *models = json_get(entry, "models");
    bool is_list = !is_given(models) || cJSON_IsArray(models);
    const cJSON *model;
    cJSON_ArrayForEach(model, models)
    {
        is_list = is_list && cJSON_IsString(model);
    }
    return is_list ? NULL : "models must be a list of texts";
}

static void check_providers(struct config *c, const cJSON *list)
{
    if (!is_given(list)) {
        return;
    }
    if (!cJSON_IsArray(list)) {
        config_problem(c, "aiProviders", "must be a list; ignored");
        return;
    }
    int at = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, list)
    {
        const char *fault = provider_fault(entry);
        at++;
        if (fault != NULL) {
            config_problem(c, "aiProviders", "entry %d: %s; the entry is ignored", at, fault);
        }
    }
}

static bool has_provider(const cJSON *list, const char *name)
{
    const cJSON *entry;
    cJSON_ArrayForEach(entry, list)
    {
        /* One without a name goes by its type. */
        const char *own = json_get_str(entry, "name", json_get_str(entry, "type", ""));
        if (provider_fault(entry) == NULL && strcmp(own, name) == 0) {
            return true;
        }
    }
    return false;
}

static void check_commit_messages(struct config *c, const cJSON *root)
{
    const cJSON *block = check_block(c, root, "", "commitMessages");
    check_text(c, block, "commitMessages", "provider");
    check_text(c, block, "commitMessages", "model");
    const cJSON *provider = json_get(block, "provider");
    if (is_text(provider) && !has_provider(json_get(root, "aiProviders"), provider->valuestring)) {
        config_problem(c, "commitMessages.provider",
                       "no usable entry of aiProviders has that name; ignored");
    }
}

/* --- logging, notifications ----------------------------------------------- */

/* One that is no word is a problem already, and left out. */
static void module_take(struct config_log_modules *list, const cJSON *module)
{
    struct str rest = str_of(LEVELS);
    struct str word;
    for (uint32_t i = 0; cJSON_IsString(module) && str_next(&rest, '|', &word); i++) {
        if (str_eq(word, str_of(module->valuestring))) {
            list->items = xrealloc(list->items, (list->count + 1) * sizeof *list->items);
            list->items[list->count++] =
                (struct config_log_module){.name = xstrdup(module->string), .level = i};
        }
    }
}

static void check_logging(struct config *c, const cJSON *root)
{
    const cJSON *logging = json_get(root, "logging");
    const cJSON *modules = check_block(c, logging, "logging", "modules");
    const cJSON *module;
    cJSON_ArrayForEach(module, modules)
    {
        check_word(c, modules, "logging.modules", module->string, LEVELS);
        module_take(&c->log_modules, module);
    }
    const cJSON *perf = check_block(c, logging, "logging", "perf");
    check_bool(c, perf, "logging.perf", "enabled");
    check_bool(c, perf, "logging.perf", "stuckWatchdog");
    const cJSON *slow = check_block(c, perf, "logging.perf", "slowMs");
    const cJSON *limit;
    cJSON_ArrayForEach(limit, slow)
    {
        if (!cJSON_IsNumber(limit) || !(limit->valuedouble >= 0)) {
            config_problem(c, "logging.perf.slowMs",
                           "%.60s must be milliseconds, 0 or more; "
                           "ignored",
                           limit->string);
        }
    }
}

static void check_subscriptions(struct config *c, const cJSON *list)
{
    if (!is_given(list)) {
        return;
    }
    if (!cJSON_IsArray(list)) {
        config_problem(c, "notifications.pushSubscriptions", "must be a list; ignored");
        return;
    }
    int at = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, list)
    {
        const cJSON *keys = json_get(entry, "keys");
        at++;
        if (!is_text(json_get(entry, "endpoint")) || !is_text(json_get(keys, "p256dh")) ||
            !is_text(json_get(keys, "auth"))) {
            config_problem(c, "notifications.pushSubscriptions",
                           "entry %d needs endpoint, keys.p256dh and keys.auth; the entry is "
                           "ignored",
                           at);
        }
    }
}

static void check_notifications(struct config *c, const cJSON *root)
{
    const cJSON *block = check_block(c, root, "", "notifications");
    const cJSON *rules = check_block(c, block, "notifications", "rules");
    const cJSON *rule;
    cJSON_ArrayForEach(rule, rules)
    {
        /* Kinds that nobody knows yet are kept; only their form is looked at. */
        char at[96];
        const cJSON *one = check_block(c, rules, "notifications.rules", rule->string);
        (void)snprintf(at, sizeof at, "notifications.rules.%.40s", rule->string);
        check_bool(c, one, at, "enabled");
        const cJSON *channels = check_block(c, one, at, "channels");
        (void)snprintf(at, sizeof at, "notifications.rules.%.40s.channels", rule->string);
        check_bool(c, channels, at, "telegram");
        check_bool(c, channels, at, "webpush");
    }
    const cJSON *channels = check_block(c, block, "notifications", "channels");
    const cJSON *telegram = check_block(c, channels, "notifications.channels", "telegram");
    check_bool(c, telegram, "notifications.channels.telegram", "enabled");
    check_word(c, telegram, "notifications.channels.telegram", "mode", "always|when-away");
    const cJSON *webpush = check_block(c, channels, "notifications.channels", "webpush");
    check_bool(c, webpush, "notifications.channels.webpush", "enabled");
    check_subscriptions(c, json_get(block, "pushSubscriptions"));
}

void config_other_check(struct config *c, const cJSON *root)
{
    check_providers(c, json_get(root, "aiProviders"));
    check_commit_messages(c, root);
    check_bool(c, root, "", "autoInjectAgentPlugins");
    check_text(c, root, "", "firstRunCompleted");
    check_logging(c, root);
    check_notifications(c, root);
}
