/* cloudflare: see cloudflare.h. Called by dns01 and doctor; the loop's thread. */
#include "acme/cloudflare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acme/dnsmsg.h"
#include "base/auto.h"
#include "base/json.h"

enum {
    CLOUDFLARE_MAGIC = 0x636c6f75,
    ZONES_PER_PAGE = 50,
    RECORDS_PER_PAGE = 100,
    PAGES_MAX = 50,
    FOUND_MAX = 16, /* equal records; the API refuses to make more than one */
    TTL_SECONDS = 60,
    CODE_EXISTS = 81057,
    CODE_IDENTICAL = 81058,
    CODE_NOT_THERE = 81044
};

struct cloudflare {
    uint32_t magic;
    struct cfapi_spec spec;
    const char *phase;       /* constant */
    struct cfapi *call;      /* owned; NULL: none under way */
    struct loop_timer timer; /* for what ends without a call */
    char record[256];
    char *value; /* owned; NULL: only the zone is wanted */
    bool is_delete;
    char zone[CLOUDFLARE_ID_MAX]; /* "": not known yet */
    const char *candidate;        /* within record */
    unsigned page;
    char found[FOUND_MAX][CLOUDFLARE_ID_MAX]; /* to be deleted */
    size_t found_count;
    struct failure failure;
    cloudflare_done_fn *done;
    void *arg; /* borrowed */
};

static void destroy(struct cloudflare *c)
{
    cfapi_cancel(c->call);
    loop_timer_fini(&c->timer);
    free(c->value);
    c->magic = 0;
    free(c);
}

static void finish(struct cloudflare *c, const struct failure *failure)
{
    c->done(c->arg, failure == NULL ? c->zone : NULL, failure);
    destroy(c);
}

static void cloudflare_on_timer(void *arg)
{
    struct cloudflare *c = arg;
    CHECK(c->magic == CLOUDFLARE_MAGIC);
    finish(c, failure_is_set(&c->failure) ? &c->failure : NULL);
}

/* What goes into a path: ids are hexadecimal, but all that matters is that it is no path. */
static bool copy_id(char out[CLOUDFLARE_ID_MAX], const char *id)
{
    size_t len = strlen(id);
    for (size_t i = 0; i < len; i++) {
        char c = ascii_lower(id[i]);
        if (!ascii_is_digit(c) && (c < 'a' || c > 'z') && c != '-' && c != '_') {
            return false;
        }
    }
    if (len == 0 || len >= CLOUDFLARE_ID_MAX) {
        return false;
    }
    memcpy(out, id, len + 1);
    return true;
}

static void call(struct cloudflare *c, const char *method, const char *path, const cJSON *body,
                 const char *what, cfapi_done_fn *done)
{
    c->call = cfapi_call(&c->spec, method, path, body, c->phase, what, done, c);
}

/* Are there more pages after this one with `count` entries? */
static bool has_more(const struct cloudflare *c, const cJSON *json, int count, int per_page)
{
    int64_t pages = json_get_int(json_get(json, "result_info"), "total_pages", -1);
    return c->page < PAGES_MAX && (pages >= 0 ? c->page < pages : count >= per_page);
}

/* Deleting: one DELETE after the other. */

static void delete_next(struct cloudflare *c);

static void cloudflare_on_deleted(void *arg, const struct cfapi_answer *answer)
{
    struct cloudflare *c = arg;
    CHECK(c->magic == CLOUDFLARE_MAGIC);
    c->call = NULL;
    if (answer->failure != NULL && answer->code != CODE_NOT_THERE && answer->status != 404) {
        finish(c, answer->failure);
        return;
    }
    c->found_count--;
    delete_next(c);
}

static void delete_next(struct cloudflare *c)
{
    if (c->found_count == 0) {
        finish(c, NULL);
        return;
    }
    char path[256];
    char what[320];
    (void)snprintf(path, sizeof path, "/zones/%s/dns_records/%s", c->zone,
                   c->found[c->found_count - 1]);
    (void)snprintf(what, sizeof what, "deleting the TXT record %s", c->record);
    call(c, "DELETE", path, NULL, what, cloudflare_on_deleted);
}

static bool content_is(const char *content, const char *value)
{
    size_t len = strlen(value);
    if (content[0] == '"') {
        return strlen(content) == len + 2 && memcmp(content + 1, value, len) == 0 &&
               content[len + 1] == '"';
    }
    return strcmp(content, value) == 0;
}

static void list_records(struct cloudflare *c, cfapi_done_fn *done);

static void cloudflare_on_records(void *arg, const struct cfapi_answer *answer)
{
    struct cloudflare *c = arg;
    CHECK(c->magic == CLOUDFLARE_MAGIC);
    c->call = NULL;
    if (answer->failure != NULL) {
        finish(c, answer->failure);
        return;
    }
    const cJSON *result = json_get(answer->json, "result");
    const cJSON *one = NULL;
    cJSON_ArrayForEach(one, result)
    {
        bool is_ours = strcmp(json_get_str(one, "type", ""), "TXT") == 0 &&
                       str_eq_nocase(str_of(json_get_str(one, "name", "")), str_of(c->record)) &&
                       content_is(json_get_str(one, "content", ""), c->value);
        if (is_ours && c->found_count < FOUND_MAX &&
            copy_id(c->found[c->found_count], json_get_str(one, "id", ""))) {
            c->found_count++;
        }
    }
    if (has_more(c, answer->json, cJSON_GetArraySize(result), RECORDS_PER_PAGE)) {
        list_records(c, cloudflare_on_records);
    } else {
        delete_next(c);
    }
}

static void list_records(struct cloudflare *c, cfapi_done_fn *done)
{
    char path[512];
    char what[320];
    c->page++;
    (void)snprintf(path, sizeof path, "/zones/%s/dns_records?type=TXT&name=%s&per_page=%d&page=%u",
                   c->zone, c->record, RECORDS_PER_PAGE, c->page);
    (void)snprintf(what, sizeof what, "listing the TXT records of %s", c->record);
    call(c, "GET", path, NULL, what, done);
}

/* Creating. */

static void cloudflare_on_created(void *arg, const struct cfapi_answer *answer)
{
    struct cloudflare *c = arg;
    CHECK(c->magic == CLOUDFLARE_MAGIC);
    c->call = NULL;
    bool is_there = answer->code == CODE_EXISTS || answer->code == CODE_IDENTICAL;
    finish(c, is_there ? NULL : answer->failure);
}

static void create_record(struct cloudflare *c)
{
    autojson cJSON *body = cJSON_CreateObject();
    json_add_str(body, "type", "TXT");
    json_add_str(body, "name", c->record);
    json_add_str(body, "content", c->value);
    json_add_int(body, "ttl", TTL_SECONDS);
    json_add_bool(body, "proxied", false);
    char path[128];
    char what[320];
    (void)snprintf(path, sizeof path, "/zones/%s/dns_records", c->zone);
    (void)snprintf(what, sizeof what, "creating the TXT record %s", c->record);
    call(c, "POST", path, body, what, cloudflare_on_created);
}

/* Is there a zone of the configured id, and may the token see into it? */
static void cloudflare_on_zone(void *arg, const struct cfapi_answer *answer)
{
    struct cloudflare *c = arg;
    CHECK(c->magic == CLOUDFLARE_MAGIC);
    c->call = NULL;
    finish(c, answer->failure);
}

static void zone_is_known(struct cloudflare *c)
{
    c->page = 0;
    if (c->value == NULL) {
        finish(c, NULL);
    } else if (c->is_delete) {
        list_records(c, cloudflare_on_records);
    } else {
        create_record(c);
    }
}

/* Finding the zone. */

static void list_zones(struct cloudflare *c);

static void fail_no_zone(struct cloudflare *c)
{
    struct failure failure;
    failure_set(&failure, c->phase,
                "Cloudflare shows this API token no zone for %s: give the token Zone:Read and "
                "DNS:Edit for the zone, or set zoneId.",
                c->record);
    failure.is_permanent = true;
    (void)snprintf(failure.type, sizeof failure.type, "noZone"); /* and the token was taken */
    finish(c, &failure);
}

static void cloudflare_on_zones(void *arg, const struct cfapi_answer *answer)
{
    struct cloudflare *c = arg;
    CHECK(c->magic == CLOUDFLARE_MAGIC);
    c->call = NULL;
    if (answer->failure != NULL) {
        finish(c, answer->failure);
        return;
    }
    const cJSON *result = json_get(answer->json, "result");
    const cJSON *one = NULL;
    bool is_active = false;
    cJSON_ArrayForEach(one, result)
    {
        /* The same name may also stand in an account that does not serve it. */
        bool fits = !is_active &&
                    str_eq_nocase(str_of(json_get_str(one, "name", "")), str_of(c->candidate));
        if (fits && copy_id(c->zone, json_get_str(one, "id", ""))) {
            is_active = strcmp(json_get_str(one, "status", "active"), "active") == 0;
        }
    }
    if (!is_active && has_more(c, answer->json, cJSON_GetArraySize(result), ZONES_PER_PAGE)) {
        list_zones(c);
        return;
    }
    if (c->zone[0] != '\0') {
        zone_is_known(c);
        return;
    }
    const char *dot = strchr(c->candidate, '.');
    if (dot == NULL || strchr(dot + 1, '.') == NULL) {
        fail_no_zone(c);
        return;
    }
    c->candidate = dot + 1;
    c->page = 0;
    list_zones(c);
}

static void list_zones(struct cloudflare *c)
{
    char path[512];
    char what[320];
    c->page++;
    (void)snprintf(path, sizeof path, "/zones?name=%s&per_page=%d&page=%u", c->candidate,
                   ZONES_PER_PAGE, c->page);
    (void)snprintf(what, sizeof what, "looking for the zone %s", c->candidate);
    call(c, "GET", path, NULL, what, cloudflare_on_zones);
}

/* Checks what the caller gave and makes the first call. */
static void begin(struct cloudflare *c, const char *zone, const char *record)
{
    const char *given = zone != NULL ? zone : c->spec.settings->zone_id;
    bool has_token = c->spec.settings->api_token != NULL;
    if (c->is_delete && !has_token) {
        loop_timer_set(&c->timer, 0);
    } else if (!dns_name_is_plain(record) || strlen(record) >= sizeof c->record) {
        failure_set(&c->failure, c->phase, "%s is not a name a TXT record can have.", record);
        c->failure.is_permanent = true;
        loop_timer_set(&c->timer, 0);
    } else if (given != NULL && given[0] != '\0' && !copy_id(c->zone, given)) {
        failure_set(&c->failure, c->phase,
                    "The zoneId \"%s\" is no id of a zone: copy it from the "
                    "zone's overview page at Cloudflare.",
                    given);
        c->failure.is_permanent = true;
        loop_timer_set(&c->timer, 0);
    } else {
        memcpy(c->record, record, strlen(record) + 1);
        c->candidate = c->record;
        if (c->zone[0] == '\0') {
            list_zones(c);
        } else if (c->value == NULL) {
            list_records(c, cloudflare_on_zone);
        } else {
            zone_is_known(c);
        }
    }
}

static struct cloudflare *make(const struct cfapi_spec *spec, const char *phase,
                               cloudflare_done_fn *done, void *arg)
{
    struct cloudflare *c = xcalloc(1, sizeof *c);
    c->magic = CLOUDFLARE_MAGIC;
    c->spec = *spec;
    c->phase = phase;
    c->done = done;
    c->arg = arg;
    loop_timer_init(&c->timer, spec->loop, cloudflare_on_timer, c);
    return c;
}

struct cloudflare *cloudflare_create(const struct cfapi_spec *spec, const char *zone,
                                     const char *record, const char *value,
                                     cloudflare_done_fn *done, void *arg)
{
    struct cloudflare *c = make(spec, "cloudflare-create", done, arg);
    c->value = xstrdup(value);
    begin(c, zone, record);
    return c;
}

struct cloudflare *cloudflare_delete(const struct cfapi_spec *spec, const char *zone,
                                     const char *record, const char *value,
                                     cloudflare_done_fn *done, void *arg)
{
    struct cloudflare *c = make(spec, "cloudflare-delete", done, arg);
    c->value = xstrdup(value);
    c->is_delete = true;
    begin(c, zone, record);
    return c;
}

struct cloudflare *cloudflare_find_zone(const struct cfapi_spec *spec, const char *record,
                                        cloudflare_done_fn *done, void *arg)
{
    struct cloudflare *c = make(spec, "cloudflare-create", done, arg);
    begin(c, NULL, record);
    return c;
}

static void cloudflare_on_verified(void *arg, const struct cfapi_answer *answer)
{
    struct cloudflare *c = arg;
    CHECK(c->magic == CLOUDFLARE_MAGIC);
    c->call = NULL;
    const char *status = json_get_str(json_get(answer->json, "result"), "status", "unknown");
    if (answer->failure == NULL && strcmp(status, "active") != 0) {
        failure_set(&c->failure, c->phase,
                    "Cloudflare says the API token is %s: make a new one and configure it.",
                    status);
        c->failure.is_permanent = true;
        finish(c, &c->failure);
        return;
    }
    finish(c, answer->failure);
}

struct cloudflare *cloudflare_verify(const struct cfapi_spec *spec, cloudflare_done_fn *done,
                                     void *arg)
{
    struct cloudflare *c = make(spec, "cloudflare-create", done, arg);
    call(c, "GET", "/user/tokens/verify", NULL, "checking the API token", cloudflare_on_verified);
    return c;
}

void cloudflare_cancel(struct cloudflare *c)
{
    if (c != NULL) {
        CHECK(c->magic == CLOUDFLARE_MAGIC);
        destroy(c);
    }
}
