/* daemon: see daemon.h. Start-up and end of the control process; everything in between happens in
 * the parts it makes. */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/build.h"
#include "base/descriptors.h"
#include "base/file.h"
#include "base/json.h"
#include "base/libevent_log.h"
#include "base/log.h"
#include "daemon/access_log_file.h"
#include "daemon/api/api.h"
#include "daemon/api/login.h"
#include "daemon/certjobs.h"
#include "daemon/certkeeper.h"
#include "daemon/certmodes.h"
#include "daemon/changes.h"
#include "daemon/channel_logs.h"
#include "daemon/events.h"
#include "daemon/gitfacts.h"
#include "daemon/json_log.h"
#include "daemon/logins.h"
#include "daemon/projects.h"
#include "daemon/published.h"
#include "daemon/sessions.h"
#include "daemon/shells.h"
#include "daemon/statuses.h"
#include "daemon/supervisor.h"
#include "daemon/terminal.h"
#include "daemon/usage.h"
#include "daemon/worktree_changes.h"

enum { END_DELAY_MS = 50, LOCK_TRIES = 150, LOCK_PAUSE_MS = 20 };

/* --- the home directory ------------------------------------------------------------ */

/* Makes H, for nobody else's eyes, and goes there. */
static char *home_enter(const char *home, struct err *err)
{
    struct stat st;
    if (dir_make(home, 0700, err) < 0) {
        return NULL;
    }
    char *real = path_real(home, err);
    if (real == NULL) {
        return NULL;
    }
    if (stat(real, &st) < 0 || chdir(real) < 0) {
        (void)err_set_sys(err, "%s", real);
    } else if (st.st_uid != geteuid() || (st.st_mode & (S_ISVTX | S_IWOTH)) != 0) {
        (void)err_set(err, ERR_REFUSED,
                      "%s must be a directory of your own that nobody else can write to", real);
    } else if ((st.st_mode & 077) != 0 && chmod(real, 0700) < 0) {
        (void)err_set_sys(err, "cannot make %s private", real);
    } else {
        return real;
    }
    free(real);
    return NULL;
}

/* True when a daemon listens in this home. One that is ending closes its socket first. */
static bool daemon_is_serving(void)
{
    const struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "daemon.sock"};
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 && (connect(fd, (const struct sockaddr *)&addr, sizeof addr) == 0 ||
                       errno == EAGAIN); /* its backlog is full */
}

/* The lock that makes one daemon per home; held until the process ends. A daemon that is just
 * ending gets a moment; one that serves does not: who waited for it would come up as soon as
 * somebody stops it. */
static int lock_take(struct err *err)
{
    int fd = open("daemon.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set_sys(err, "cannot open daemon.lock");
    }
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return fd;
        }
        if (daemon_is_serving()) {
            break;
        }
        const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
    (void)close(fd);
    return err_set(err, ERR_BUSY, "a daemon is already running for this home");
}

/* --- daemon.json -------------------------------------------------------------------- */

void daemon_write_metadata(const struct daemon *d)
{
    struct err err = {.msg = ""};
    autojson cJSON *out = cJSON_CreateObject();
    autofree char *socket_path = path_join(d->home, "daemon.sock");
    (void)json_add_int(out, "pid", getpid());
    (void)json_add_str(out, "startedAt", d->started_at);
    (void)json_add_str(out, "protocol", DAEMON_PROTOCOL);
    (void)json_add_str(out, "daemonId", d->daemon_id);
    (void)json_add_str(out, "webUrl", api_web_url(d->api));
    (void)json_add_str(out, "webHost", d->config->web_host);
    (void)json_add_int(out, "webPort", d->config->web_port);
    (void)json_add_str(out, "webScheme", config_web_scheme(d->config));
    (void)json_add_str(out, "socketPath", socket_path);
    autofree char *text = json_print(out);
    if (file_write_atomic("daemon.json", str_of(text), 0600, &err) < 0) {
        log_warn("daemon", "daemon.json is not written", LOG_STR("error", err.msg));
    }
}

static void metadata_remove(void)
{
    struct err err;
    struct buf text = {0};
    if (file_read("daemon.json", 65536, &text, &err) == 0) {
        autojson cJSON *old = json_parse(buf_str(&text), "daemon.json", &err);
        if (json_get_int(old, "pid", 0) == getpid()) {
            (void)unlink("daemon.json");
        }
    }
    buf_fini(&text);
}

/* --- the parts ------------------------------------------------------------------------ */

static void daemon_on_end(void *arg)
{
    struct daemon *d = arg;
    loop_stop(d->loop);
}

void daemon_end(struct daemon *d, enum daemon_end how)
{
    d->end = how;
    if (!loop_timer_is_set(&d->end_timer)) {
        loop_timer_set(&d->end_timer, END_DELAY_MS);
    }
}

static void daemon_on_signal(int signo, void *arg)
{
    struct daemon *d = arg;
    if (signo == SIGHUP && !d->on_terminal) {
        log_info("daemon", "opening the access log anew on a signal");
        access_log_file_reopen(d->access_log);
        return;
    }
    log_info("daemon", "ending on a signal", LOG_STR("signal", strsignal(signo)));
    daemon_end(d, DAEMON_END_STOP);
}

static void daemon_on_snapshot(void *arg, uint64_t generation, struct str snapshot)
{
    struct daemon *d = arg;
    (void)generation;
    (void)snapshot; /* the supervisor asks for the newest when a gateway can take it */
    if (d->supervisor != NULL) {
        supervisor_publish(d->supervisor);
    }
    changes_certificate(d->changes);
}

static void daemon_on_fault(void *arg)
{
    struct daemon *d = arg;
    changes_tunnels(d->changes);
}

static void log_problems(const struct config *c)
{
    for (size_t i = 0; i < c->problem_count; i++) {
        log_warn("config", "a problem in config.json", LOG_STR("key", c->problems[i].key),
                 LOG_STR("problem", c->problems[i].message));
    }
}

cJSON *daemon_restart_keys(const struct daemon *d)
{
    struct config *fresh = config_load(d->home);
    cJSON *keys =
        config_has_problem(fresh, "") ? cJSON_CreateArray() : config_restart_json(d->config, fresh);
    config_free(fresh);
    return keys;
}

void daemon_reload_config(struct daemon *d)
{
    struct config *fresh = config_load(d->home);
    autojson cJSON *restart = config_restart_json(d->config, fresh);
    bool served = publisher_serves_services(d->publisher);
    config_adopt(d->config, fresh);
    config_free(fresh);
    json_log_config_changed(d->json_log);
    log_info("config", "config.json was saved; what can be applies now");
    log_problems(d->config);
    if (served != publisher_serves_services(d->publisher)) {
        sessions_tunnels_changed(d->sessions);
    }
    publisher_config_changed(d->publisher);
    changes_config(d->changes, restart);
}

static void daemon_on_event(void *arg, const cJSON *event)
{
    struct daemon *d = arg;
    logins_on_event(d->logins, event);
}

static void daemon_on_web_pair(void *arg)
{
    struct daemon *d = arg;
    if (d->api != NULL) {
        api_set_web_pair(d->api);
    }
    changes_certificate(d->changes);
}

static void daemon_on_certificate(void *arg, cJSON *event)
{
    struct daemon *d = arg;
    certjobs_on_event(d->certjobs, event);
}

static void daemon_on_access_log(void *arg, int fd)
{
    struct daemon *d = arg;
    supervisor_set_access_log(d->supervisor, fd);
}

/* True when a terminal's end would send SIGHUP to this process. */
static bool has_terminal(void)
{
    autoclose int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    return fd >= 0;
}

/* Somebody who saw the old facts in a list may fetch it again. */
static void daemon_on_gitfacts(void *arg, const char *root)
{
    struct daemon *d = arg;
    const struct session *session = sessions_find_root(d->sessions, root);
    changes_worktree(d->changes, "worktree.updated", NULL,
                     session == NULL ? NULL : session_name(session), root);
}

static void web_ui_publish(struct daemon *d)
{
    struct err err = {.msg = ""};
    const struct config *c = d->config;
    if (!c->web_ui_enabled) {
        return;
    }
    if (publisher_keep_name(d->publisher, PUBLISHER_OWNER_DAEMON, "web-ui", 0, c->web_ui_hostname,
                            &err) < 0) {
        log_error("publish", "the public UI is off", LOG_STR("error", err.msg));
        return;
    }
    const struct publish_route route = {
        .host = c->web_ui_hostname,
        .service = "web-ui",
        .port = (uint16_t)c->web_port,
        .state = ROUTE_LIVE,
        .options = {.host_mode = PUBLISH_HOST_PRESERVE,
                    .backend = c->web_ssl.enabled ? BACKEND_HTTPS_INSECURE : BACKEND_HTTP},
    };
    publisher_set_routes(d->publisher, PUBLISHER_OWNER_DAEMON, &route, 1, NULL, NULL);
}

/* First what owns names (the UI, published ports, sessions as they were), then what serves
 * them: a gateway that was kept never sees a snapshot with routes missing. */
static int daemon_start(struct daemon *d, struct err *err)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    d->loop = loop_new(err);
    if (d->loop == NULL ||
        loop_watch_signals(d->loop, signals, COUNT_OF(signals), daemon_on_signal, d, err) < 0) {
        return -1;
    }
    loop_timer_init(&d->end_timer, d->loop, daemon_on_end, d);
    d->fetch = fetch_client_new(d->loop, err);
    if (d->fetch == NULL) {
        return -1;
    }
    d->operations = operations_new();
    d->events = events_new();
    d->channel_logs = channel_logs_new();
    d->changes = changes_new(d);
    d->worktree_changes = worktree_changes_new(d);
    d->projects = projects_new(d->home);
    d->statuses = statuses_new(d->home);
    d->gitfacts = gitfacts_new(d->loop, daemon_on_gitfacts, d);
    d->usage = usage_new();
    d->terminals = terminals_new(d->loop, d->home);
    d->shells = shells_new(d);
    d->publisher = publisher_new(d->loop, d->config, daemon_on_snapshot, d);
    publisher_on_fault(d->publisher, daemon_on_fault, d);
    d->certjobs = certjobs_new(d);
    certmodes_check(d->config);
    const struct certkeeper_spec certs = {.loop = d->loop,
                                          .fetch = d->fetch,
                                          .config = d->config,
                                          .publisher = d->publisher,
                                          .on_web = daemon_on_web_pair,
                                          .on_event = daemon_on_certificate,
                                          .arg = d};
    d->certkeeper = certkeeper_new(&certs);
    changes_certificate(d->changes);
    d->logins = logins_new(d->loop, d->home, d->publisher);
    web_ui_publish(d);
    d->published = published_new(d->home, d->publisher);
    d->sessions = sessions_new(d);
    sessions_restore(d->sessions);
    d->login = login_new(d);
    d->api = api_new(d, err);
    if (d->api == NULL) {
        return -1;
    }
    d->supervisor = supervisor_new(d->loop, d->config, d->publisher);
    supervisor_on_event(d->supervisor, daemon_on_event, d);
    d->access_log = access_log_file_new(d->loop, d->config, daemon_on_access_log, d);
    supervisor_set_access_log(d->supervisor, access_log_file_fd(d->access_log));
    daemon_write_metadata(d);
    return 0;
}

static void daemon_fini(struct daemon *d)
{
    api_free(d->api);
    login_free(d->login);
    d->api = NULL;
    if (d->supervisor != NULL && d->end == DAEMON_END_STOP) {
        supervisor_shutdown(d->supervisor);
        while (!supervisor_is_down(d->supervisor)) {
            loop_turn(d->loop, true);
        }
        (void)unlink("gateway.sock");
    }
    sessions_free(d->sessions);
    supervisor_free(d->supervisor);
    access_log_file_free(d->access_log);
    published_free(d->published);
    certjobs_free(d->certjobs);
    certkeeper_free(d->certkeeper);
    logins_free(d->logins);
    publisher_free(d->publisher);
    worktree_changes_free(d->worktree_changes);
    changes_free(d->changes);
    channel_logs_free(d->channel_logs);
    operations_free(d->operations);
    events_free(d->events);
    projects_free(d->projects);
    statuses_free(d->statuses);
    gitfacts_free(d->gitfacts);
    usage_free(d->usage);
    shells_free(d->shells);
    terminals_free(d->terminals);
    fetch_client_free(d->fetch);
    loop_timer_fini(&d->end_timer);
    loop_free(d->loop);
    json_log_free(d->json_log);
    config_free(d->config);
    free(d->daemon_id);
    free(d->started_at);
    metadata_remove();
}

static void print_where(const struct daemon *d)
{
    const char *url = api_web_url(d->api);
    autofree char *metadata = path_join(d->home, "daemon.json");
    if (url != NULL) {
        (void)printf("wos daemon listening on %s\n", url);
    } else {
        (void)printf("wos daemon listening on %s/daemon.sock\n", d->home);
    }
    (void)printf("metadata: %s\n", metadata);
    (void)fflush(stdout);
}

int daemon_main(const char *home, bool foreground)
{
    struct err err = {.msg = ""};
    enum log_level level;
    if (getenv("WOS_LOG") != NULL && log_level_parse(getenv("WOS_LOG"), &level)) {
        log_set_level(level);
    }
    autofree char *real = home_enter(home, &err);
    autoclose int lock = real == NULL ? -1 : lock_take(&err);
    if (lock < 0) {
        (void)fprintf(stderr, "wos start failed: %s\n", err.msg);
        return 1;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)descriptors_raise();
    libevent_log_init();
    struct daemon d = {.home = real, .lock_fd = lock};
    d.on_terminal = has_terminal();
    d.daemon_id = uuid_text();
    d.started_ms = clock_wall_ms();
    d.started_at = time_text(d.started_ms);
    d.config = config_load(real);
    d.json_log = json_log_new(d.config);
    log_problems(d.config);
    int rc = daemon_start(&d, &err);
    if (rc < 0) {
        (void)fprintf(stderr, "wos start failed: %s\n", err.msg);
        d.end = DAEMON_END_RESTART; /* a gateway that serves is left alone */
    } else {
        log_info("daemon", "started", LOG_INT("pid", getpid()), LOG_STR("build", build_id()),
                 LOG_STR("home", d.home));
        if (foreground) {
            print_where(&d);
        }
        loop_run(d.loop);
        log_info("daemon", d.end == DAEMON_END_STOP ? "stopping" : "restarting");
    }
    daemon_fini(&d);
    return rc < 0 ? 1 : 0;
}
