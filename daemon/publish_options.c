/* publish_options: see publish_options.h. Called by the manifest reader, deployments, the
 * publisher, published.c and the API; no state, any thread. */
#include "daemon/publish_options.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"

static const char *const host_names[] = {"default", "preserve", "rewrite"};
static const char *const access_names[] = {"default", "public", "secret", "private"};

const char *publish_host_name(enum publish_host host)
{
    return host_names[host];
}

const char *publish_access_name(enum publish_access access)
{
    return access_names[access];
}

/* The index of the word, which is not the first one; 0 for none. */
static size_t word_of(const char *word, const char *const *names, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (strcmp(word, names[i]) == 0) {
            return i;
        }
    }
    return 0;
}

bool publish_host_parse(const char *word, enum publish_host *out)
{
    size_t found = word_of(word, host_names, COUNT_OF(host_names));
    if (found != 0) {
        *out = (enum publish_host)found;
    }
    return found != 0;
}

bool publish_access_parse(const char *word, enum publish_access *out)
{
    size_t found = word_of(word, access_names, COUNT_OF(access_names));
    if (found != 0) {
        *out = (enum publish_access)found;
    }
    return found != 0;
}

bool publish_backend_parse(const char *word, bool insecure, enum route_backend *out)
{
    if (strcmp(word, "https") == 0) {
        *out = insecure ? BACKEND_HTTPS_INSECURE : BACKEND_HTTPS;
        return true;
    }
    if (insecure || (strcmp(word, "http") != 0 && strcmp(word, "h2c") != 0)) {
        return false;
    }
    *out = word[1] == '2' ? BACKEND_H2C : BACKEND_HTTP;
    return true;
}

const char *publish_backend_scheme(enum route_backend backend)
{
    return backend == BACKEND_HTTPS || backend == BACKEND_HTTPS_INSECURE ? "https" : "http";
}

void publish_options_copy(struct publish_options *out, const struct publish_options *from)
{
    *out = *from;
    out->whitelist = NULL;
    if (from->whitelist_count > 0) {
        struct ip_prefix *list = xcalloc(from->whitelist_count, sizeof *list);
        memcpy(list, from->whitelist, from->whitelist_count * sizeof *list);
        out->whitelist = list;
    }
}

static bool prefixes_are_equal(const struct ip_prefix *a, const struct ip_prefix *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (a[i].family != b[i].family || a[i].bits != b[i].bits ||
            memcmp(a[i].bytes, b[i].bytes, sizeof a[i].bytes) != 0) {
            return false;
        }
    }
    return true;
}

bool publish_options_equal(const struct publish_options *a, const struct publish_options *b)
{
    return a->host_mode == b->host_mode && a->access == b->access && a->backend == b->backend &&
           a->rate_per_second == b->rate_per_second && a->rate_burst == b->rate_burst &&
           a->exchanges_max == b->exchanges_max && a->whitelist_count == b->whitelist_count &&
           prefixes_are_equal(a->whitelist, b->whitelist, a->whitelist_count);
}

void publish_options_fini(struct publish_options *options)
{
    free((struct ip_prefix *)(uintptr_t)options->whitelist);
    options->whitelist = NULL;
    options->whitelist_count = 0;
}

/* --- JSON ---------------------------------------------------------------------- */

void publish_options_add(const struct publish_options *options, cJSON *object)
{
    (void)json_add_str(object, "host", publish_host_name(options->host_mode));
    if (options->access != PUBLISH_ACCESS_DEFAULT) {
        (void)json_add_str(object, "access", publish_access_name(options->access));
    }
    if (options->backend != BACKEND_HTTP) {
        bool insecure = options->backend == BACKEND_HTTPS_INSECURE;
        (void)json_add_str(object, "backend",
                           insecure ? "https" : route_backend_name(options->backend));
        if (insecure) {
            (void)json_add_bool(object, "insecure", true);
        }
    }
    if (options->whitelist_count > 0) {
        cJSON *list = cJSON_AddArrayToObject(object, "whitelistIps");
        for (uint32_t i = 0; i < options->whitelist_count; i++) {
            char text[IP_PREFIX_TEXT];
            ip_prefix_format(&options->whitelist[i], text);
            (void)cJSON_AddItemToArray(list, cJSON_CreateString(text));
        }
    }
    if (options->rate_per_second > 0) {
        cJSON *rate = cJSON_AddObjectToObject(object, "rateLimit");
        (void)json_add_int(rate, "requestsPerSecond", options->rate_per_second);
        if (options->rate_burst > 0) {
            (void)json_add_int(rate, "burst", options->rate_burst);
        }
    }
    if (options->exchanges_max > 0) {
        (void)json_add_int(object, "maxConcurrent", options->exchanges_max);
    }
}

static const cJSON *member(const cJSON *object, const char *name)
{
    const cJSON *node = json_get(object, name);
    return cJSON_IsNull(node) ? NULL : node;
}

/* The text of a member, or NULL when it is absent; "" (which no word is) for another type. */
static const char *word_member(const cJSON *object, const char *name)
{
    const cJSON *node = member(object, name);
    if (node == NULL) {
        return NULL;
    }
    return cJSON_IsString(node) ? node->valuestring : "";
}

static int read_words(const cJSON *object, struct publish_options *out, struct err *err)
{
    const char *host = word_member(object, "host");
    const char *access = word_member(object, "access");
    const char *backend = word_member(object, "backend");
    const cJSON *insecure = member(object, "insecure");
    if (host != NULL && strcmp(host, "default") != 0 &&
        !publish_host_parse(host, &out->host_mode)) {
        return err_set(err, ERR_USAGE, "host must be preserve or rewrite");
    }
    if (access != NULL && strcmp(access, "default") != 0 &&
        !publish_access_parse(access, &out->access)) {
        return err_set(err, ERR_USAGE, "access must be public, secret or private");
    }
    if (insecure != NULL && !cJSON_IsBool(insecure)) {
        return err_set(err, ERR_USAGE, "insecure must be true or false");
    }
    if (cJSON_IsTrue(insecure) && (backend == NULL || strcmp(backend, "https") != 0)) {
        return err_set(err, ERR_USAGE, "insecure is for backend https only");
    }
    if (backend != NULL && !publish_backend_parse(backend, cJSON_IsTrue(insecure), &out->backend)) {
        return err_set(err, ERR_USAGE, "backend must be http, https or h2c");
    }
    return 0;
}

static int read_number(const cJSON *object, const char *name, uint32_t *out, struct err *err)
{
    if (member(object, name) == NULL) {
        return 0;
    }
    int64_t value = json_get_int(object, name, 0);
    if (value < 1 || value > PUBLISH_RATE_MAX) {
        return err_set(err, ERR_USAGE, "%s must be an integer from 1 to %d", name,
                       PUBLISH_RATE_MAX);
    }
    *out = (uint32_t)value;
    return 0;
}

static int read_numbers(const cJSON *object, struct publish_options *out, struct err *err)
{
    const cJSON *rate = member(object, "rateLimit");
    if (cJSON_IsNumber(rate)) {
        if (read_number(object, "rateLimit", &out->rate_per_second, err) < 0) {
            return -1;
        }
    } else if (rate != NULL) {
        if (!cJSON_IsObject(rate) || member(rate, "requestsPerSecond") == NULL) {
            return err_set(err, ERR_USAGE,
                           "rateLimit must be a number or {requestsPerSecond, burst}");
        }
        if (read_number(rate, "requestsPerSecond", &out->rate_per_second, err) < 0 ||
            read_number(rate, "burst", &out->rate_burst, err) < 0) {
            return err_wrap(err, "rateLimit");
        }
    }
    return read_number(object, "maxConcurrent", &out->exchanges_max, err);
}

static int read_whitelist(const cJSON *object, struct publish_options *out, struct err *err)
{
    const cJSON *list = member(object, "whitelistIps");
    int count = cJSON_GetArraySize(list);
    if (list == NULL || (cJSON_IsArray(list) && count == 0)) {
        return 0;
    }
    if (!cJSON_IsArray(list) || count > PUBLISH_WHITELIST_MAX) {
        return err_set(err, ERR_USAGE,
                       "whitelistIps must be a list of at most %d addresses and CIDR prefixes",
                       PUBLISH_WHITELIST_MAX);
    }
    autofree struct ip_prefix *items = xcalloc((size_t)count, sizeof *items);
    for (int i = 0; i < count; i++) {
        const cJSON *item = cJSON_GetArrayItem(list, i);
        const char *text = cJSON_IsString(item) ? item->valuestring : "";
        if (ip_prefix_parse(str_of(text), &items[i], err) < 0) {
            if (err != NULL) {
                err->code = ERR_USAGE;
            }
            return err_wrap(err, "whitelistIps[%d]", i);
        }
    }
    out->whitelist = items;
    out->whitelist_count = (uint32_t)count;
    items = NULL;
    return 0;
}

int publish_options_read(const cJSON *object, struct publish_options *out, struct err *err)
{
    struct publish_options options = {.host_mode = PUBLISH_HOST_DEFAULT};
    if (read_words(object, &options, err) < 0 || read_numbers(object, &options, err) < 0 ||
        read_whitelist(object, &options, err) < 0) {
        return -1;
    }
    *out = options;
    return 0;
}
