/* notice: see notice.h. The notice_* functions run in a worker's thread, the
 * rest in the main one. */
#include "gateway/notice.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/json_text.h"
#include "base/log.h"
#include "gateway/admit.h"
#include "gateway/gateway.h"
#include "gateway/link_protocol.h"
#include "gateway/seen.h"

struct notice {
    struct mail_letter letter;
    struct gateway *gateway; /* borrowed: it outlives its workers */
    const char *event;
    const char *why;  /* NULL but for "denied" */
    bool is_logged;   /* a secret that was wrong, or */
    uint32_t refused; /* the how manieth that was not looked at; 0: it was */
    bool is_told;     /* to the daemon; else only logged */
    uint64_t id;
    uint32_t missed;
    char host[HOST_MAX + 1];
    char address[INET6_ADDRSTRLEN];
    char agent[NOTICE_AGENT_MAX + 1];
};

/* Logins that came with requests, of one worker since its last tick. */
struct notice_seen {
    struct mail_letter letter;
    struct gateway *gateway; /* borrowed */
    size_t count;
    uint64_t ids[NOTICE_SEEN_MAX];
};

static void notice_log(const struct notice *n)
{
    char line[64 + HOST_MAX + INET6_ADDRSTRLEN];
    if (n->refused == 0) {
        (void)snprintf(line, sizeof line, "failed secret from %s for %s", n->address, n->host);
        log_warn("wos-access", line);
    } else {
        (void)snprintf(line, sizeof line, "refused secret from %s for %s", n->address, n->host);
        log_warn("wos-access", line, LOG_INT("tries", n->refused));
    }
}

static void put_id(struct buf *text, const char *name, uint64_t id)
{
    char hex[17];
    (void)snprintf(hex, sizeof hex, "%016" PRIx64, id);
    json_text_str(text, name, hex);
}

static void notice_tell(const struct notice *n)
{
    struct buf text = {.may_fail = true};
    json_text_begin(&text, NULL);
    json_text_str(&text, "event", n->event);
    if (n->id != 0) {
        put_id(&text, "id", n->id);
    }
    if (n->host[0] != '\0') {
        json_text_str(&text, "host", n->host);
        json_text_str(&text, "address", n->address);
    }
    if (n->why != NULL) {
        json_text_str(&text, "why", n->why);
        json_text_uint(&text, "missed", n->missed);
    } else if (n->host[0] != '\0') {
        json_text_str(&text, "agent", n->agent);
    }
    json_text_end(&text);
    link_send(n->gateway, LINK_EVENT, &text);
}

/* Main thread. */
static void notice_on_letter(void *arg)
{
    struct notice *n = arg;
    if (n->is_logged) {
        notice_log(n);
    }
    if (n->is_told) {
        notice_tell(n);
    }
    free(n);
}

/* Main thread. */
static void notice_on_seen(void *arg)
{
    struct notice_seen *n = arg;
    struct gateway *g = n->gateway;
    struct buf text = {.may_fail = true};
    size_t told = 0;
    json_text_begin(&text, NULL);
    json_text_str(&text, "event", "seen");
    json_text_array(&text, "ids");
    if (g->seen == NULL) {
        g->seen = seen_new();
    }
    for (size_t i = 0; g->seen != NULL && i < n->count; i++) {
        if (seen_is_due(g->seen, n->ids[i], loop_now_ms(g->loop))) {
            put_id(&text, NULL, n->ids[i]);
            told++;
        }
    }
    json_text_array_end(&text);
    json_text_end(&text);
    if (told > 0) {
        link_send(g, LINK_EVENT, &text);
    } else {
        buf_fini(&text);
    }
    free(n);
}

static struct notice *notice_new(struct exchange *x, const char *event)
{
    struct notice *n = try_zalloc(sizeof *n);
    if (n == NULL) {
        admit_out_of_memory(x->worker);
        return NULL;
    }
    const struct host *host = &x->request.host;
    n->gateway = x->worker->gateway;
    n->event = event;
    n->is_told = true;
    memcpy(n->host, host->name, host->len);
    peer_format(exchange_client(x), n->address, sizeof n->address);
    return n;
}

static void notice_post(struct notice *n)
{
    mail_post(n->gateway->mail, &n->letter, notice_on_letter, n);
}

void notice_login(struct exchange *x, uint64_t id)
{
    struct notice *n = notice_new(x, "login");
    const struct head_field *agent = head_find(&x->request, STR("user-agent"));
    if (n == NULL) {
        return;
    }
    n->id = id;
    for (size_t i = 0; agent != NULL && i < agent->value.len && i < NOTICE_AGENT_MAX; i++) {
        char c = agent->value.ptr[i];
        n->agent[i] = c >= ' ' && c < 0x7f ? c : '?';
    }
    notice_post(n);
}

void notice_logout(struct exchange *x, uint64_t id)
{
    struct notice *n = notice_new(x, "logout");
    if (n == NULL) {
        return;
    }
    n->id = id;
    n->host[0] = '\0';
    notice_post(n);
}

void notice_seen(struct worker *w, uint64_t id)
{
    if (w->seen == NULL) {
        w->seen = seen_new();
    }
    if (w->seen_batch == NULL) {
        w->seen_batch = try_zalloc(sizeof *w->seen_batch);
    }
    if (w->seen == NULL || w->seen_batch == NULL) {
        return; /* out of memory: a later request tells */
    }
    w->seen_batch->gateway = w->gateway;
    struct notice_seen *batch = w->seen_batch;
    if (batch->count < NOTICE_SEEN_MAX && seen_is_due(w->seen, id, loop_now_ms(w->loop))) {
        batch->ids[batch->count++] = id;
    }
}

void notice_on_tick(struct worker *w)
{
    if (w->seen_batch != NULL && w->seen_batch->count > 0) {
        mail_post(w->gateway->mail, &w->seen_batch->letter, notice_on_seen, w->seen_batch);
        w->seen_batch = NULL;
    }
}

void notice_fini(struct worker *w)
{
    free(w->seen_batch);
    seen_free(w->seen);
    w->seen_batch = NULL;
    w->seen = NULL;
}

/* True while this second has room; else counted. */
static bool may_tell(struct worker *w)
{
    uint64_t second = loop_now_ms(w->loop) / 1000;
    if (second != w->denied.second) {
        w->denied.second = second;
        w->denied.told = 0;
    }
    if (w->denied.told == NOTICE_DENIED_PER_SECOND) {
        w->denied.missed++;
        return false;
    }
    w->denied.told++;
    return true;
}

static void denied(struct exchange *x, enum notice_why why, uint32_t refused)
{
    static const char *const whys[] = {
        [NOTICE_ADDRESS] = "address",
        [NOTICE_SECRET] = "secret",
        [NOTICE_WAIT] = "wait",
        [NOTICE_ORIGIN] = "origin",
    };
    static const enum exchange_deny denies[] = {
        [NOTICE_ADDRESS] = EXCHANGE_DENY_WHITELIST,
        [NOTICE_SECRET] = EXCHANGE_DENY_SECRET,
        [NOTICE_WAIT] = EXCHANGE_DENY_THROTTLE,
        [NOTICE_ORIGIN] = EXCHANGE_DENY_ORIGIN,
    };
    struct worker *w = x->worker;
    bool told = may_tell(w);
    /* As many as gateway/throttle lets happen; of those refused, each power of two. */
    bool logged = refused > 0 ? (refused & (refused - 1)) == 0 : why == NOTICE_SECRET;
    exchange_deny(x, denies[why]);
    if (!told && !logged) {
        return;
    }
    struct notice *n = notice_new(x, "denied");
    if (n == NULL) {
        w->denied.missed++;
        return;
    }
    n->why = whys[why];
    n->is_logged = logged;
    n->refused = refused;
    n->is_told = told;
    if (told) {
        n->missed = w->denied.missed;
        w->denied.missed = 0;
    }
    notice_post(n);
}

void notice_denied(struct exchange *x, enum notice_why why)
{
    denied(x, why, 0);
}

void notice_refused(struct exchange *x, uint32_t count)
{
    denied(x, NOTICE_WAIT, count);
}
