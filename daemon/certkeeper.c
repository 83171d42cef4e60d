/* certkeeper: see certkeeper.h. Made by daemon.c. */
#include "daemon/certkeeper.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "certs/issue.h"
#include "certs/ticket.h"
#include "daemon/certsource.h"
#include "daemon/second_pair.h"

enum { CERTKEEPER_MAGIC = 0x63657274, LOOK_MS = 2000, TICKET_FILE_MAX = 4096 };

struct certkeeper {
    uint32_t magic;
    struct certkeeper_spec spec;
    struct loop_timer timer;
    char *ticket_path;         /* owned */
    struct ticket_set tickets; /* secret */
    struct certsource *tunnel; /* owned; NULL: off */
    struct certsource *web;    /* owned; NULL: off */
    struct second_pair tunnel_second;
    struct second_pair web_second;
};

static int64_t wall_seconds(void)
{
    return clock_wall_ms() / 1000;
}

static uint32_t add_pair(struct snapshot_cert *certs, uint32_t count, struct str chain,
                         struct str key)
{
    if (chain.len > 0) {
        certs[count++] = (struct snapshot_cert){chain, key};
    }
    return count;
}

static uint32_t add_second(struct snapshot_cert *certs, uint32_t count,
                           const struct second_pair *second)
{
    return add_pair(certs, count, buf_str(&second->chain_pem), buf_str(&second->key_pem));
}

static void keeper_publish(struct certkeeper *k)
{
    struct snapshot_cert certs[PUBLISHER_CERTS_MAX];
    uint32_t count = 0;
    if (k->tunnel == NULL) {
        return;
    }
    count = add_pair(certs, count, certsource_chain(k->tunnel), certsource_key(k->tunnel));
    if (count > 0) { /* the first is the default: nothing else may take its place */
        count = add_second(certs, count, &k->tunnel_second);
        if (k->web != NULL && k->spec.config->web_ui_enabled) {
            count = add_pair(certs, count, certsource_chain(k->web), certsource_key(k->web));
            count = add_second(certs, count, &k->web_second);
        }
    }
    const struct publisher_tls tls = {
        .certs = certs,
        .cert_count = count,
        .ticket_keys = (const uint8_t(*)[80])k->tickets.keys,
        .ticket_key_count = k->tickets.count,
    };
    publisher_set_tls(k->spec.publisher, &tls);
}

static void keeper_tell_web(struct certkeeper *k)
{
    if (k->spec.on_web != NULL) {
        k->spec.on_web(k->spec.arg);
    }
}

static void keeper_on_tunnel(void *arg)
{
    struct certkeeper *k = arg;
    CHECK(k->magic == CERTKEEPER_MAGIC);
    keeper_publish(k);
}

static void keeper_on_web(void *arg)
{
    struct certkeeper *k = arg;
    CHECK(k->magic == CERTKEEPER_MAGIC);
    keeper_publish(k);
    keeper_tell_web(k);
}

static void keeper_on_event(void *arg, cJSON *event)
{
    struct certkeeper *k = arg;
    CHECK(k->magic == CERTKEEPER_MAGIC);
    if (k->spec.on_event != NULL) {
        k->spec.on_event(k->spec.arg, event);
    } else {
        cJSON_Delete(event);
    }
}

/* --- ticket keys -------------------------------------------------------------------- */

static void tickets_load(struct certkeeper *k)
{
    struct err err = {.msg = ""};
    struct buf bytes = {0};
    if (file_read(k->ticket_path, TICKET_FILE_MAX, &bytes, &err) < 0) {
        if (err.code != ERR_NOT_FOUND) {
            log_warn("certificate", "ticket keys start anew", LOG_STR("error", err.msg));
        }
    } else if (ticket_set_decode(buf_str(&bytes), &k->tickets, &err) < 0) {
        log_warn("certificate", "ticket keys start anew", LOG_STR("error", err.msg));
    }
    issue_buf_wipe(&bytes);
}

/* True when there are new keys to publish. */
static bool tickets_rotate(struct certkeeper *k)
{
    struct err err = {.msg = ""};
    int64_t now = wall_seconds();
    if (!ticket_set_is_due(&k->tickets, now)) {
        return false;
    }
    if (ticket_set_rotate(&k->tickets, now, &err) < 0) {
        log_warn("certificate", "no new ticket key", LOG_STR("error", err.msg));
        return false;
    }
    struct buf bytes = {0};
    ticket_set_encode(&k->tickets, &bytes);
    if (file_write_atomic(k->ticket_path, buf_str(&bytes), 0600, &err) < 0) {
        log_warn("certificate", "ticket keys are not kept", LOG_STR("error", err.msg));
    }
    issue_buf_wipe(&bytes);
    return true;
}

/* --- life ----------------------------------------------------------------------------- */

static void certkeeper_on_timer(void *arg)
{
    struct certkeeper *k = arg;
    CHECK(k->magic == CERTKEEPER_MAGIC);
    bool is_news = false;
    if (k->tunnel != NULL) {
        is_news = tickets_rotate(k);
        is_news = second_pair_look(&k->tunnel_second, wall_seconds()) || is_news;
        is_news = certsource_look(k->tunnel) || is_news;
    }
    if (k->web != NULL) {
        bool is_web_news = second_pair_look(&k->web_second, wall_seconds());
        if (certsource_look(k->web) || is_web_news) {
            is_news = true;
            keeper_tell_web(k);
        }
    }
    if (is_news) {
        keeper_publish(k);
    }
    loop_timer_set(&k->timer, LOOK_MS);
}

static struct certsource *source_new(struct certkeeper *k, const char *kind,
                                     const struct config_ssl *ssl, const char *domain,
                                     const char *const *names, size_t name_count,
                                     void (*on_change)(void *arg))
{
    const struct certsource_spec spec = {
        .loop = k->spec.loop,
        .fetch = k->spec.fetch,
        .config = k->spec.config,
        .ssl = ssl,
        .kind = kind,
        .domain = domain,
        .names = names,
        .name_count = name_count,
        .on_change = on_change,
        .on_event = keeper_on_event,
        .arg = k,
    };
    return certsource_new(&spec);
}

/* The domain, all names one label below it, and the UI's name where it lies deeper. */
static struct certsource *tunnel_new(struct certkeeper *k)
{
    const struct config *c = k->spec.config;
    const char *ui = c->web_ui_enabled ? c->web_ui_hostname : NULL;
    autofree char *wildcard = xasprintf("*.%s", c->tunnel_domain);
    size_t prefix = ui == NULL ? 0 : strlen(ui) - strlen(c->tunnel_domain) - 1;
    bool is_deep = ui != NULL && memchr(ui, '.', prefix) != NULL;
    const char *const names[] = {c->tunnel_domain, wildcard, ui};
    return source_new(k, "tunnel", &c->tunnel_ssl, c->tunnel_domain, names, is_deep ? 3 : 2,
                      keeper_on_tunnel);
}

static struct certsource *web_new(struct certkeeper *k)
{
    const struct config *c = k->spec.config;
    const char *name = c->web_ui_hostname != NULL ? c->web_ui_hostname : "";
    const char *const names[] = {name};
    return source_new(k, "web", &c->web_ssl, name, names, *name == '\0' ? 0 : 1, keeper_on_web);
}

struct certkeeper *certkeeper_new(const struct certkeeper_spec *spec)
{
    struct certkeeper *k = xcalloc(1, sizeof *k);
    struct err err = {.msg = ""};
    const struct config *c = spec->config;
    k->magic = CERTKEEPER_MAGIC;
    k->spec = *spec;
    autofree char *dir = path_join(c->home, "certs");
    k->ticket_path = path_join(dir, "ticket.keys");
    if (dir_make(dir, 0700, &err) < 0) {
        log_error("certificate", "no place for certificates", LOG_STR("error", err.msg));
    }
    second_pair_init(&k->tunnel_second, &c->tunnel_ssl, c->home);
    second_pair_init(&k->web_second, &c->web_ssl, c->home);
    if (publisher_is_enabled(spec->publisher) && c->tunnel_ssl.enabled) {
        (void)second_pair_look(&k->tunnel_second, wall_seconds()); /* published below in any case */
        tickets_load(k);
        (void)tickets_rotate(k);
        k->tunnel = tunnel_new(k);
    }
    if (c->web_ssl.enabled) {
        (void)second_pair_look(&k->web_second, wall_seconds());
        k->web = web_new(k);
    }
    keeper_publish(k);
    loop_timer_init(&k->timer, spec->loop, certkeeper_on_timer, k);
    loop_timer_set(&k->timer, LOOK_MS);
    return k;
}

void certkeeper_free(struct certkeeper *k)
{
    if (k == NULL) {
        return;
    }
    CHECK(k->magic == CERTKEEPER_MAGIC);
    loop_timer_fini(&k->timer);
    second_pair_fini(&k->tunnel_second);
    second_pair_fini(&k->web_second);
    certsource_free(k->tunnel);
    certsource_free(k->web);
    ticket_set_wipe(&k->tickets);
    free(k->ticket_path);
    k->magic = 0;
    free(k);
}

struct certsource *certkeeper_source(const struct certkeeper *k, const char *kind)
{
    if (k == NULL) {
        return NULL;
    }
    return strcmp(kind, "web") == 0 ? k->web : k->tunnel;
}

size_t certkeeper_web(const struct certkeeper *k, struct snapshot_cert out[CERTKEEPER_WEB_MAX])
{
    struct certsource *s = certkeeper_source(k, "web");
    if (s == NULL || certsource_cert(s) == NULL) {
        return 0;
    }
    uint32_t count = add_pair(out, 0, certsource_chain(s), certsource_key(s));
    if (second_pair_fits(&k->web_second, certsource_cert(s))) {
        count = add_second(out, count, &k->web_second);
    }
    return count;
}

struct renewer *certkeeper_renewer(const struct certkeeper *k, const char *kind)
{
    struct certsource *s = certkeeper_source(k, kind);
    return s == NULL ? NULL : certsource_renewer(s);
}

cJSON *certkeeper_json(const struct certkeeper *k, const char *kind)
{
    struct certsource *s = certkeeper_source(k, kind);
    cJSON *out = certsource_json(s, kind);
    if (s != NULL) {
        const struct second_pair *second = s == k->tunnel ? &k->tunnel_second : &k->web_second;
        const char *fault = second_pair_fault(second, certsource_cert(s));
        if (fault != NULL) {
            (void)json_add_str(out, "rsaError", fault);
        }
    }
    return out;
}

cJSON *certkeeper_list_json(const struct certkeeper *k)
{
    cJSON *list = cJSON_CreateArray();
    (void)cJSON_AddItemToArray(list, certkeeper_json(k, "tunnel"));
    (void)cJSON_AddItemToArray(list, certkeeper_json(k, "web"));
    return list;
}
