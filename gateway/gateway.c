/* gateway: the data process: main thread, link to the daemon, workers.
 *
 * The main thread never touches a client's bytes. It accepts the daemon on
 * the inherited Unix socket, decodes snapshots, hands every worker its view
 * by mail, and acknowledges when all have it. It outlives the daemon: the last
 * snapshot is served until another daemon connects. */
#include "gateway/gateway.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/build.h"
#include "base/descriptors.h"
#include "base/file.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/memfile.h"
#include "gateway/link_protocol.h"
#include "gateway/route_stats.h"
#include "gateway/seen.h"
#include "gateway/throttle.h"
#include "gateway/tls.h"
#include "routing/narrowing.h"

struct view_letter {
    struct mail_letter mail;
    struct worker *worker;
    struct view *view;
    struct publish *publish;
};

/* One publish on its way through the workers. */
struct publish {
    struct gateway *gateway;
    uint64_t generation;
    unsigned waiting;
    struct view_letter letters[]; /* one per worker */
};

struct listener_letter {
    struct mail_letter mail;
    struct worker *worker;
    int fd;
    bool redirect;
};

static void on_applied(void *arg)
{
    struct publish *p = arg;
    if (--p->waiting > 0) {
        return;
    }
    struct gateway *g = p->gateway;
    CHECK(g->magic == GATEWAY_MAGIC);
    if (g->link != NULL) {
        char ack[64];
        int len = snprintf(ack, sizeof ack, "{\"generation\":%" PRIu64 "}", p->generation);
        frame_send(g->link, LINK_ACK, (struct str){ack, (size_t)len}, NULL, 0);
    }
    free(p);
}

static void worker_on_view(void *arg)
{
    struct view_letter *letter = arg;
    worker_set_view(letter->worker, letter->view);
    mail_post(letter->publish->gateway->mail, &letter->mail, on_applied, letter->publish);
}

/* The daemon tries again: that is no news. */
static void nack(struct gateway *g, uint64_t generation, const struct err *err)
{
    if (strcmp(g->refusal.msg, err->msg) != 0) {
        log_error("gateway", "refused a snapshot; the old one stays", LOG_STR("error", err->msg));
        g->refusal = *err;
    }
    struct buf text = {.may_fail = true};
    json_text_begin(&text, NULL);
    json_text_uint(&text, "generation", generation);
    json_text_str(&text, "error", err->msg);
    json_text_end(&text);
    if (!link_send(g, LINK_NACK, &text) && g->link != NULL) {
        frame_send(g->link, LINK_NACK, STR("{\"generation\":0,\"error\":\"out of memory\"}"), NULL,
                   0);
    }
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_FAILED, "snapshot: out of memory");
}

static struct certset *make_certs(struct gateway *g, const struct snapshot_spec *spec,
                                  struct err *err)
{
    struct certset_pair *pairs = try_alloc(spec->cert_count * sizeof *pairs);
    if (pairs == NULL) {
        (void)no_memory(err); /* NULL tells the caller */
        return NULL;
    }
    for (uint32_t i = 0; i < spec->cert_count; i++) {
        pairs[i].chain_pem = spec->certs[i].chain_pem;
        pairs[i].key_pem = spec->certs[i].key_pem;
    }
    struct certset *set = certset_new(pairs, spec->cert_count, g->certs, err);
    free(pairs);
    return set;
}

/* The old context where nothing changed: reading a hundred authorities takes a while. Where they
 * cannot be read only the services that need them are not served. */
static SSL_CTX *make_client(const struct gateway *g, const struct snapshot_spec *spec)
{
    struct err err = {0};
    if (spec->ca_pem.len == 0) {
        return NULL;
    }
    if (g->client != NULL && str_eq(g->snapshot->spec.ca_pem, spec->ca_pem)) {
        CHECK(SSL_CTX_up_ref(g->client) == 1);
        return g->client;
    }
    SSL_CTX *client = tlsctx_client_new(spec->ca_pem, &err);
    if (client == NULL) {
        log_error("gateway", "services with TLS cannot be checked", LOG_STR("error", err.msg));
    }
    return client;
}

/* Once for each value that the operator set. */
static void warn_if_capped(struct gateway *g, const struct limits *limits)
{
    uint64_t cap = limit_connections_cap(g->limit);
    if (limits->connections_max > cap && limits->connections_max != g->capped) {
        g->capped = limits->connections_max;
        log_warn("gateway",
                 "the limit of file descriptors (ulimit -n) allows fewer connections than "
                 "tunnel.limits.connectionsMax",
                 LOG_INT("connections_max", limits->connections_max), LOG_INT("allowed", cap));
    }
}

/* All that changes with a snapshot: made whole before any of it is taken. */
struct publication {
    struct snapshot *snapshot; /* shared; so are the others */
    struct certset *certs;     /* NULL without TLS */
    SSL_CTX *client;           /* NULL without CAs */
    struct quota_set *quotas;  /* NULL: no route has a limit */
    struct publish *publish;   /* owned: with a view for each worker */
};

static void publication_fini(struct publication *p)
{
    for (unsigned i = 0; p->publish != NULL && i < p->publish->waiting; i++) {
        view_unpin(p->publish->letters[i].view);
    }
    free(p->publish);
    snapshot_unref(p->snapshot);
    certset_unref(p->certs);
    SSL_CTX_free(p->client);
    quota_set_unref(p->quotas);
}

static int make_views(const struct gateway *g, struct publication *p, struct err *err)
{
    bool needs_review = g->snapshot != NULL && narrowing_between(g->snapshot, p->snapshot);
    p->publish = try_zalloc(sizeof *p->publish + g->worker_count * sizeof p->publish->letters[0]);
    if (p->publish == NULL) {
        return no_memory(err);
    }
    for (unsigned i = 0; i < g->worker_count; i++) {
        struct view *view = view_new(p->snapshot, p->certs, p->client, p->quotas);
        if (view == NULL) {
            return no_memory(err);
        }
        view->needs_review = needs_review;
        p->publish->letters[p->publish->waiting++].view = view;
    }
    return 0;
}

static int publication_init(struct publication *p, struct gateway *g, struct str bytes,
                            struct err *err)
{
    p->snapshot = snapshot_decode_after(bytes, g->snapshot, err);
    if (p->snapshot == NULL) {
        return -1;
    }
    const struct snapshot_spec *spec = &p->snapshot->spec;
    if (spec->tls) {
        p->certs = make_certs(g, spec, err);
        if (p->certs == NULL) {
            return -1;
        }
    }
    p->client = make_client(g, spec);
    if (!quota_set_new(p->snapshot, g->snapshot, g->quotas, &p->quotas)) {
        return no_memory(err);
    }
    return make_views(g, p, err);
}

/* Nothing here can fail. */
static void publication_take(struct publication *p, struct gateway *g)
{
    const struct snapshot_spec *spec = &p->snapshot->spec;
    if (spec->tls) {
        tlsctx_set_ticket_keys(g->tlsctx, spec->ticket_keys, spec->ticket_key_count);
        tlsctx_set_min_version(g->tlsctx, spec->tls_min == 3 ? TLS1_3_VERSION : TLS1_2_VERSION);
        tlsctx_set_tickets(g->tlsctx, !spec->no_tickets);
    }
    warn_if_capped(g, &spec->limits);
    struct publish *publish = p->publish;
    publish->gateway = g;
    publish->generation = spec->generation;
    for (unsigned i = 0; i < g->worker_count; i++) {
        struct view_letter *letter = &publish->letters[i];
        letter->worker = g->workers[i];
        letter->view->home = g->mail;
        letter->publish = publish;
    }
    for (unsigned i = 0; i < g->worker_count; i++) {
        struct view_letter *letter = &publish->letters[i];
        mail_post(letter->worker->mail, &letter->mail, worker_on_view, letter);
    }
    g->refusal = (struct err){0};
    g->published_ms = clock_wall_ms();
    struct publication old = {.snapshot = g->snapshot,
                              .certs = g->certs,
                              .client = g->client,
                              .quotas = g->quotas,
                              .publish = g->worker_count == 0 ? publish : NULL};
    g->snapshot = p->snapshot;
    g->certs = p->certs;
    g->client = p->client;
    g->quotas = p->quotas;
    publication_fini(&old);
}

void gateway_publish(struct gateway *g, struct str bytes)
{
    struct err err = {0};
    struct publication p = {0};
    if (publication_init(&p, g, bytes, &err) == 0) {
        publication_take(&p, g);
        return;
    }
    nack(g, p.snapshot == NULL ? 0 : p.snapshot->spec.generation, &err); /* 0: not to be read */
    publication_fini(&p);
}

void gateway_publish_file(struct gateway *g, int fd)
{
    struct err err = {0};
    struct buf bytes = {.may_fail = true};
    if (memfile_read(fd, LINK_FRAME_MAX, &bytes, &err) == 0) {
        gateway_publish(g, buf_str(&bytes));
    } else {
        nack(g, 0, &err);
    }
    if (bytes.len > 0) {
        OPENSSL_cleanse(bytes.ptr, bytes.len);
    }
    buf_fini(&bytes);
}

/* Writes what the workers have handed over. */
static void write_access_lines(struct gateway *g)
{
    uint64_t dropped = 0;
    struct str lines;
    for (unsigned i = 0; i < WORKERS_MAX && g->access_logs[i] != NULL; i++) {
        struct access_log *log = g->access_logs[i];
        while (access_log_next(log, &lines)) {
            access_writer_put(&g->access, lines);
            access_log_done(log);
        }
        dropped += __atomic_load_n(&log->dropped, __ATOMIC_RELAXED);
    }
    access_writer_report(&g->access, dropped);
}

static void on_access_lines(void *arg)
{
    struct gateway_letters *letters = arg;
    CHECK(letters->gateway->magic == GATEWAY_MAGIC);
    /* First: what is handed over from here on is told again. */
    (void)__atomic_exchange_n(&letters->lines_told, false, __ATOMIC_ACQ_REL);
    write_access_lines(letters->gateway);
}

/* In the worker's thread. */
static void worker_on_access_lines(void *arg)
{
    struct gateway_letters *letters = arg;
    if (!__atomic_exchange_n(&letters->lines_told, true, __ATOMIC_ACQ_REL)) {
        mail_post(letters->gateway->mail, &letters->lines, on_access_lines, letters);
    }
}

void gateway_set_access_log(struct gateway *g, int fd)
{
    write_access_lines(g);
    access_writer_set_fd(&g->access, fd);
    for (unsigned i = 0; i < g->worker_count; i++) {
        access_log_enable(g->access_logs[i], fd >= 0);
    }
}

void gateway_setup(struct gateway *g, unsigned workers)
{
    struct err err = {0};
    if (g->worker_count > 0) {
        return;
    }
    workers = workers < 1 ? 1 : workers > WORKERS_MAX ? WORKERS_MAX : workers;
    for (unsigned i = 0; i < workers; i++) {
        g->workers[i] = worker_new(i, g->tlsctx, g->limit, &err);
        if (g->workers[i] != NULL) {
            g->letters[i] = (struct gateway_letters){.gateway = g, .worker = g->workers[i]};
            g->workers[i]->gateway = g;
            g->workers[i]->throttle = g->throttle;
            g->access_logs[i] = access_log_new(worker_on_access_lines, &g->letters[i]);
            access_log_enable(g->access_logs[i], g->access.fd >= 0);
            g->workers[i]->access = g->access_logs[i];
        }
        if (g->workers[i] == NULL || worker_start(g->workers[i], &err) < 0) {
            log_error("gateway", "cannot start a worker", LOG_STR("error", err.msg));
            exit(EXIT_FAILURE); /* the supervisor starts another gateway */
        }
        g->worker_count++;
    }
}

static void worker_on_listener(void *arg)
{
    struct listener_letter *letter = arg;
    worker_add_listener(letter->worker, letter->fd, letter->redirect);
    free(letter);
}

void gateway_add_listeners(struct gateway *g, unsigned worker, const cJSON *addresses,
                           const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const cJSON *address = cJSON_GetArrayItem(addresses, (int)i);
        if (worker >= g->worker_count || !cJSON_IsString(address) ||
            fd_set_nonblock(fds[i], NULL) < 0) {
            log_error("gateway", "cannot use a listening socket", LOG_INT("worker", worker));
            (void)close(fds[i]);
            continue;
        }
        g->kept = xrealloc(g->kept, (g->kept_count + 1) * sizeof *g->kept);
        g->kept[g->kept_count++] = (struct kept_listener){
            .fd = fds[i], .address = xstrdup(address->valuestring), .worker = worker};
        struct listener_letter *letter = xcalloc(1, sizeof *letter);
        letter->worker = g->workers[worker];
        letter->fd = fds[i];
        letter->redirect = str_starts(str_of(address->valuestring), STR(LINK_REDIRECT));
        mail_post(g->workers[worker]->mail, &letter->mail, worker_on_listener, letter);
    }
}

static void on_worker_drained(void *arg)
{
    struct gateway *g = arg;
    CHECK(g->magic == GATEWAY_MAGIC);
    if (++g->idle_count == g->worker_count) {
        log_info("gateway", "drained");
        loop_stop(g->loop);
    }
}

/* In the worker's thread. */
static void worker_on_idle(void *arg)
{
    struct gateway_letters *letters = arg;
    mail_post(letters->gateway->mail, &letters->drained, on_worker_drained, letters->gateway);
}

static void worker_on_drain(void *arg)
{
    struct gateway_letters *letters = arg;
    letters->worker->on_idle = worker_on_idle;
    letters->worker->on_idle_arg = letters;
    worker_drain(letters->worker, letters->drain_limit_ms);
}

void gateway_drain(struct gateway *g, uint64_t limit_ms)
{
    if (g->draining) {
        return;
    }
    g->draining = true;
    log_info("gateway", "draining", LOG_INT("limit_ms", limit_ms));
    for (unsigned i = 0; i < g->worker_count; i++) {
        g->letters[i].drain_limit_ms = limit_ms;
        mail_post(g->workers[i]->mail, &g->letters[i].drain, worker_on_drain, &g->letters[i]);
    }
    if (g->worker_count == 0) {
        loop_stop(g->loop);
    }
}

static void worker_on_stop(void *arg)
{
    worker_stop(arg);
}

static void on_signal(int signo, void *arg)
{
    struct gateway *g = arg;
    enum { SIGNAL_DRAIN_MS = 30000 };
    if (signo == SIGTERM || signo == SIGINT) {
        gateway_drain(g, SIGNAL_DRAIN_MS);
    }
}

/* Freed buffers stay with the allocator, scattered; after a burst of connections they are
 * worth returning. Here, as a worker would stop for it. */
static void on_trim_due(void *arg)
{
    struct gateway *g = arg;
    CHECK(g->magic == GATEWAY_MAGIC);
    enum { TRIM_EVERY_MS = 5000, BURST_MIN = 128 };
    uint64_t peak = limit_take_peak(g->limit);
    g->peak = g->peak > peak ? g->peak : peak;
    if (g->peak >= BURST_MIN && limit_connections(g->limit) < g->peak / 2) {
        (void)malloc_trim(0);
        g->peak = limit_connections(g->limit);
    }
    loop_timer_set(&g->trim, TRIM_EVERY_MS);
}

static void gateway_fini(struct gateway *g)
{
    for (unsigned i = 0; i < g->worker_count; i++) {
        mail_post(g->workers[i]->mail, &g->letters[i].stop, worker_on_stop, g->workers[i]);
    }
    for (unsigned i = 0; i < g->worker_count; i++) {
        worker_join(g->workers[i]);
        g->access_logs[i]->notify = on_access_lines; /* its end is ours to run */
        worker_free(g->workers[i]);
        access_log_publish(g->access_logs[i]);
    }
    link_close(g);             /* says to the daemon that nothing is let in any more */
    g->access.reported_ms = 0; /* the last report does not wait for its time */
    write_access_lines(g);
    for (unsigned i = 0; i < g->worker_count; i++) {
        access_log_free(g->access_logs[i]);
        g->access_logs[i] = NULL;
    }
    g->worker_count = 0; /* letters that are left look for nothing */
    for (size_t i = 0; i < g->kept_count; i++) {
        (void)close(g->kept[i].fd);
        free(g->kept[i].address);
    }
    free(g->kept);
    snapshot_unref(g->snapshot);
    g->snapshot = NULL;
    certset_unref(g->certs);
    SSL_CTX_free(g->client);
    quota_set_unref(g->quotas);
    limit_free(g->limit);
    loop_timer_fini(&g->trim);
    mail_free(g->mail);
    route_stats_free(g->routes);
    throttle_free(g->throttle);
    seen_free(g->seen);
    access_writer_fini(&g->access);
    tlsctx_free(g->tlsctx);
    loop_free(g->loop);
}

static int gateway_init(struct gateway *g, struct err *err)
{
    const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    g->loop = loop_new(err);
    if (g->loop == NULL ||
        loop_watch_signals(g->loop, signals, COUNT_OF(signals), on_signal, g, err) < 0) {
        return -1;
    }
    g->throttle = throttle_new();
    g->mail = mail_new(g->loop, err);
    loop_timer_init(&g->trim, g->loop, on_trim_due, g);
    on_trim_due(g);
    g->tlsctx = g->mail == NULL ? NULL : tlsctx_new(tls_find_context, err);
    return g->tlsctx == NULL ? -1 : link_open(g, err);
}

/* A worker's heap ends where its buffers come and go: given back at once, as glibc does from 128
 * KiB on, their pages fault in again with the next transfer or handshake. Setting one threshold
 * ends glibc's own adapting of both. */
static void tune_allocator(void)
{
    enum { KEPT_BYTES = 4 << 20, MAPPED_BYTES = 1 << 20 };
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES); /* of each worker; without it only slower */
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
}

int gateway_main(void)
{
    struct gateway g = {.magic = GATEWAY_MAGIC};
    struct err err = {0};
    (void)prctl(PR_SET_NAME, "wos-gateway"); /* what ps and top show */
    tune_allocator();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* the access log may not grow: lines are lost, not we */
    access_writer_init(&g.access);
    g.started_ms = clock_wall_ms();
    g.limit = limit_new(descriptors_raise());
    (void)build_id();
    if (gateway_init(&g, &err) < 0) {
        log_error("gateway", "cannot start", LOG_STR("error", err.msg));
        return EXIT_FAILURE;
    }
    g.sandbox = sandbox_enter(); /* from here on nothing needs a file */
    log_info("gateway", "started", LOG_STR("build", build_id()), LOG_INT("pid", getpid()));
    loop_run(g.loop);
    gateway_fini(&g);
    return EXIT_SUCCESS;
}
