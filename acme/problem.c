/* problem: what a CA says about a failure, as a struct failure (client.h). Pure; any thread. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "acme/acme_client.h"
#include "base/json.h"

enum { RETRY_MAX_SECONDS = 8 * 86400, SUBPROBLEMS_MAX = 10 };

/* "urn:ietf:params:acme:error:rateLimited" -> "rateLimited"; what is no word is none. */
static const char *short_type(const char *type)
{
    const char *colon = strrchr(type, ':');
    const char *word = colon == NULL || strncmp(type, "urn:", 4) != 0 ? type : colon + 1;
    size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    return word[len] == '\0' ? word : "";
}

static bool type_is_permanent(const char *type)
{
    static const char *const types[] = {
        "rejectedIdentifier",      "unsupportedContact", "invalidContact", "unsupportedIdentifier",
        "externalAccountRequired", "invalidProfile",     "badPublicKey",   "badSignatureAlgorithm"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i], type) == 0) {
            return true;
        }
    }
    return false;
}

/* What to do, where the CA's own words do not say it. */
static const char *advice(const char *type)
{
    static const struct {
        const char *type;
        const char *text;
    } table[] = {
        {"externalAccountRequired", "; set letsencrypt.eab {kid, hmacKey} as the CA gave them"},
        {"caa", "; add a CAA record that allows this CA, or remove the one that forbids it"},
        {"userActionRequired", "; the CA wants its new terms agreed to"},
        {"invalidProfile", "; choose another letsencrypt.profile"},
        {"invalidContact", "; correct letsencrypt.email"},
        {"unsupportedContact", "; correct letsencrypt.email"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].type, type) == 0) {
            return table[i].text;
        }
    }
    return "";
}

static void add_subproblems(struct buf *text, const cJSON *json)
{
    const cJSON *list = json_get(json, "subproblems");
    const cJSON *sub;
    int count = 0;
    cJSON_ArrayForEach(sub, list)
    {
        if (count++ == SUBPROBLEMS_MAX) {
            return;
        }
        const char *name = json_get_str(json_get(sub, "identifier"), "value", NULL);
        buf_printf(text, "; %.100s%s%.200s (%.60s)", name == NULL ? "" : name,
                   name == NULL ? "" : ": ", json_get_str(sub, "detail", "no detail"),
                   short_type(json_get_str(sub, "type", "about:blank")));
    }
}

void acme_client_problem(struct failure *f, const char *phase, int status, const cJSON *json)
{
    struct buf text = {0};
    const char *type = short_type(json_get_str(json, "type", ""));
    const char *detail = json_get_str(json, "detail", NULL);
    if (detail == NULL && type[0] == '\0') {
        buf_printf(&text, "the CA answered HTTP %d without saying why", status);
    } else {
        buf_printf(&text, "the CA says: %.300s", detail == NULL ? "no detail" : detail);
        if (type[0] != '\0') {
            buf_printf(&text, " (%.63s)", type);
        }
    }
    add_subproblems(&text, json);
    buf_add_text(&text, advice(type));
    if (strcmp(type, "userActionRequired") == 0) { /* RFC 8555 section 7.3.3 */
        const char *page = json_get_str(json, "instance", NULL);
        buf_printf(&text, "%s%.200s", page == NULL ? "" : ": open ", page == NULL ? "" : page);
    }
    failure_set(f, phase, "%s", buf_cstr(&text));
    (void)snprintf(f->type, sizeof f->type, "%s", type);
    f->is_permanent = type_is_permanent(type);
    buf_fini(&text);
}

int64_t acme_client_retry_after(struct str value, int64_t now)
{
    char text[64];
    uint64_t seconds;
    value = str_trim(value);
    if (value.len == 0 || value.len >= sizeof text) {
        return 0;
    }
    int64_t at;
    if (str_to_u64(value, &seconds)) {
        at = now + (seconds > RETRY_MAX_SECONDS ? RETRY_MAX_SECONDS : (int64_t)seconds);
    } else {
        (void)snprintf(text, sizeof text, "%.*s", STR_ARG(value));
        struct tm tm = {0};
        const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        if (end == NULL || *end != '\0') {
            return 0;
        }
        at = (int64_t)timegm(&tm);
    }
    return at > now + RETRY_MAX_SECONDS ? now + RETRY_MAX_SECONDS : at < now ? now : at;
}
