/* deployment_forward: serviceBind in shell mode. At the end of an up the daemon binds the services'
 * ports on that address and gives the sockets to a process of the session's own (daemon/forward.h):
 * bytes from elsewhere never pass through the daemon. Called by the other deployment files; loop
 * thread.
 *
 * A port that is taken on that address belongs to the service itself, which listens on all
 * addresses: nothing is to be done then. An address this machine does not have (yet) is said and
 * does not fail the up. A process that dies is started again: at once, and after longer and longer
 * pauses when the next one does not live long either. A failed up whose services stay binds them,
 * too: they have their names then, and may still become healthy. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fault.h"
#include "base/json.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/runid.h"
#include "daemon/forward.h"

enum {
    ADDRESSES_MAX = 16,
    BACKLOG = 511,
    ENV_MAX = 16,
    STEADY_MS = 10000, /* who lived that long did not die of how it was started */
    AGAIN_MIN_MS = 100,
    AGAIN_DOUBLINGS_MAX = 8, /* 25.6 s */
};

struct address {
    struct sockaddr_storage at;
    socklen_t len;
};

struct plan {
    int fds[FORWARD_PORTS_MAX]; /* owned */
    uint16_t ports[FORWARD_PORTS_MAX];
    size_t count;
};

static void forward_say(struct deployment *d, const char *text)
{
    if (d->up == NULL) {
        return; /* started again: nobody reads along */
    }
    autofree char *line = xasprintf("serviceBind: %s\n", text);
    event_log(d, "deployment", "stderr", str_of(line));
}

static bool is_loopback(const struct address *a)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&a->at;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&a->at;
    return a->at.ss_family == AF_INET ? ntohl(v4->sin_addr.s_addr) >> 24 == 127
                                      : IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) != 0;
}

static bool is_wildcard(const struct address *a)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&a->at;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&a->at;
    return a->at.ss_family == AF_INET ? v4->sin_addr.s_addr == htonl(INADDR_ANY)
                                      : IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr) != 0;
}

static bool parse_address(const char *text, struct address *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    *out = (struct address){0};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(&out->at, &v4, sizeof(v4));
        out->len = sizeof(v4);
    } else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memcpy(&out->at, &v6, sizeof(v6));
        out->len = sizeof(v6);
    }
    return out->len != 0;
}

/* "All addresses" would collide with the services' own loopback sockets: each one then. */
static size_t expand_wildcard(int family, struct address *out)
{
    struct ifaddrs *list = NULL;
    size_t count = 0;
    if (getifaddrs(&list) != 0) {
        return 0;
    }
    for (struct ifaddrs *i = list; i != NULL && count < ADDRESSES_MAX; i = i->ifa_next) {
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != family ||
            (i->ifa_flags & IFF_LOOPBACK) != 0) {
            continue;
        }
        struct address a = {.len = family == AF_INET ? sizeof(struct sockaddr_in)
                                                     : sizeof(struct sockaddr_in6)};
        memcpy(&a.at, i->ifa_addr, a.len);
        out[count++] = a;
    }
    freeifaddrs(list);
    return count;
}

static int listen_at(const struct address *address, uint16_t port)
{
    struct address a = *address;
    if (a.at.ss_family == AF_INET) {
        ((struct sockaddr_in *)(void *)&a.at)->sin_port = htons(port);
    } else {
        ((struct sockaddr_in6 *)(void *)&a.at)->sin6_port = htons(port);
    }
    int on = 1;
    int fd = socket(a.at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a.at.ss_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (bind(fd, (const struct sockaddr *)&a.at, a.len) < 0 || listen(fd, BACKLOG) < 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static void plan_add(struct deployment *d, const char *where, struct plan *plan,
                     const struct address *address, const struct service_run *s, uint16_t port)
{
    if (plan->count == FORWARD_PORTS_MAX) {
        return;
    }
    int fd = listen_at(address, port);
    if (fd >= 0) {
        plan->fds[plan->count] = fd;
        plan->ports[plan->count++] = port;
        return;
    }
    if (errno != EADDRINUSE) {
        autofree char *text = xasprintf("service %s port %u is not reachable at %s: %s", s->name,
                                        (unsigned)port, where, strerror(errno));
        forward_say(d, text);
    }
}

static void plan_make(struct deployment *d, const char *where, struct plan *plan)
{
    struct address addresses[ADDRESSES_MAX];
    size_t count = 1;
    if (!parse_address(where, &addresses[0])) {
        forward_say(d, "not an IPv4 or IPv6 address; services are reachable on the loopback only");
        return;
    }
    if (is_wildcard(&addresses[0])) {
        count = expand_wildcard(addresses[0].at.ss_family, addresses);
    }
    for (size_t a = 0; a < count; a++) {
        for (size_t i = 0; i < d->service_count && !is_loopback(&addresses[a]); i++) {
            const struct service_run *s = d->services[i];
            for (size_t j = 0; j < s->port_count; j++) {
                plan_add(d, where, plan, &addresses[a], s, s->ports[j].host_port);
            }
        }
    }
}

static cJSON *forward_entry(const struct deployment *d)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(d->state, "shell"),
                                            "forward");
}

static void start_later(struct deployment *d)
{
    unsigned deaths = d->forward_deaths;
    unsigned doublings = deaths < AGAIN_DOUBLINGS_MAX ? deaths : AGAIN_DOUBLINGS_MAX;
    d->forward_deaths += deaths < AGAIN_DOUBLINGS_MAX ? 1 : 0;
    loop_timer_set(&d->forward_again, deaths == 0 ? 0 : (uint64_t)AGAIN_MIN_MS << doublings);
}

static void forward_on_exit(void *arg, int status)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    subprocess_release(d->forward);
    d->forward = NULL;
    loop_fn *then = d->forward_stopped;
    d->forward_stopped = NULL;
    if (then != NULL) {
        then(d);
    } else if (forward_entry(d) != NULL) {
        char text[64];
        d->ops.on_crash(d->arg, "(serviceBind)", subprocess_status_text(status, text, sizeof text));
        if (clock_now_ms() - d->forward_started_ms >= STEADY_MS) {
            d->forward_deaths = 0;
        }
        start_later(d);
    }
}

static struct subprocess *plan_start(struct deployment *d, const struct plan *plan, const char *id,
                                     struct err *err)
{
    autofree const char **argv = xcalloc(plan->count + 3, sizeof(*argv));
    autofree struct subprocess_fd *fds = xcalloc(plan->count, sizeof(*fds));
    char(*texts)[8] = xcalloc(plan->count, sizeof(*texts));
    argv[0] = "/proc/self/exe";
    argv[1] = "forward";
    for (size_t i = 0; i < plan->count; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "%u", (unsigned)plan->ports[i]);
        argv[i + 2] = texts[i];
        fds[i] = (struct subprocess_fd){plan->fds[i], FORWARD_FIRST_FD + (int)i};
    }
    autofree char *home = xasprintf("WOS_HOME=%s", d->env.home);
    autofree char *run = xasprintf(RUNID_VARIABLE "=%s", id);
    const char *env[ENV_MAX] = {home, run}; /* no secrets where strangers' bytes pass */
    size_t used = 2;
    for (char **at = environ; *at != NULL && used + 1 < ENV_MAX; at++) {
        if (strncmp(*at, "ASAN_OPTIONS=", 13) == 0 || strncmp(*at, "UBSAN_OPTIONS=", 14) == 0) {
            env[used++] = *at;
        }
    }
    struct subprocess_spec spec = {.argv = argv,
                                   .env = env,
                                   .cwd = "/",
                                   .stdin_fd = -1,
                                   .stdout_fd = -1,
                                   .stderr_fd = -1,
                                   .fds = fds,
                                   .fd_count = plan->count};
    struct subprocess *p = subprocess_start(d->env.loop, &spec, forward_on_exit, d, err);
    free(texts);
    return p;
}

static void start_at(struct deployment *d, const char *where)
{
    struct plan plan = {.count = 0};
    struct err err = {0};
    plan_make(d, where, &plan);
    if (plan.count > 0) {
        autofree char *id = runid_new();
        cJSON *entry = cJSON_CreateObject();
        json_add_str(entry, "runId", id);
        json_add_str(entry, "address", where);
        state_set(state_object(d->state, "shell"), "forward", entry);
        if (state_save(d, &err) == 0) { /* first: see runid.h */
            d->forward = plan_start(d, &plan, id, &err);
        }
        fault_point("forward.spawned");
        if (d->forward == NULL) {
            forward_say(d, err.msg);
        } else {
            d->forward_started_ms = clock_now_ms();
            json_add_int(entry, "pid", subprocess_pid(d->forward));
            json_add_int(entry, "startTicks", (int64_t)subprocess_start_ticks(d->forward));
        }
    }
    for (size_t i = 0; i < plan.count; i++) {
        (void)close(plan.fds[i]);
    }
}

void forward_start(struct deployment *d)
{
    if (d->up->service_bind != NULL && d->forward == NULL) {
        loop_timer_clear(&d->forward_again);
        d->forward_deaths = 0;
        start_at(d, d->up->service_bind);
    }
}

static bool anything_runs(const struct deployment *d)
{
    for (size_t i = 0; i < d->service_count; i++) {
        if (service_is_running(d->services[i])) {
            return true;
        }
    }
    return false;
}

void forward_on_again(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    autofree char *where = NULL;
    const char *text = json_get_str(forward_entry(d), "address", NULL);
    if (text == NULL || d->forward != NULL || d->up != NULL || d->is_down || !anything_runs(d)) {
        return; /* an up starts it itself */
    }
    where = xstrdup(text); /* the entry is made anew */
    start_at(d, where);
    if (d->forward == NULL) {
        start_later(d);
    } else {
        (void)state_save(d, NULL); /* its run id is in the file already */
    }
}

static enum process_answer forward_seek(void *arg, struct process_info *out_leader)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    return runid_find_leader(d->forward_id, out_leader);
}

void forward_restore(struct deployment *d)
{
    cJSON *shell = cJSON_GetObjectItemCaseSensitive(d->state, "shell");
    const cJSON *entry = json_get(shell, "forward");
    const char *id = json_get_str(entry, "runId", NULL);
    if (id == NULL) {
        return;
    }
    pid_t pid = (pid_t)json_get_int(entry, "pid", 0);
    uint64_t ticks = (uint64_t)json_get_int(entry, "startTicks", 0);
    if (pid == 0) { /* it may have been started, and that not written down any more */
        d->forward_id = xstrdup(id);
        d->forward = subprocess_seek(d->env.loop, forward_seek, forward_on_exit, d, NULL);
    } else {
        d->forward = subprocess_adopt(d->env.loop, pid, ticks, forward_on_exit, d, NULL);
    }
    if (d->forward == NULL) {
        start_later(d); /* it died while there was no daemon */
    }
}

void forward_stop(struct deployment *d, loop_fn *then)
{
    cJSON *shell = cJSON_GetObjectItemCaseSensitive(d->state, "shell");
    cJSON_DeleteItemFromObjectCaseSensitive(shell, "forward");
    loop_timer_clear(&d->forward_again);
    if (d->forward == NULL) {
        then(d);
        return;
    }
    d->forward_stopped = then;
    subprocess_stop(d->forward, 1000);
}
