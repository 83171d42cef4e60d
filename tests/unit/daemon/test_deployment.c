/* Whole deployments: services are this program itself, run as `--serve`, a small
 * HTTP server on WOS_SERVICE_PORT. Nothing here waits for a fixed time. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "daemon/deploy/deployment.h"
#include "daemon/deploy/ports.h"
#include "daemon/deploy/runid.h"
#include "daemon/store/store.h"
#include "tests/unit/daemon/want.h"

struct world {
    char root[32]; /* holds home/ and tree/ */
    char *home;
    struct worktree wt;
    struct deployment_env env;
    struct deployment *d;
    struct health_settings health;
    /* what the callbacks saw */
    struct buf steps; /* "prepare:running prepare:done …" */
    struct buf init_log;
    struct buf route_states; /* "web:3000=live " */
    size_t published;        /* ports in the last on_publish */
    struct buf publishes; /* "starting:alive live:gone …": its state, whether `watched` lived */
    pid_t watched;
    char previous_name[64];
    bool answer; /* on_publish is answered */
    unsigned drops;
    unsigned dones;
    enum deployment_outcome outcome;
    enum err_code code;
    char *message;
    char crashed[64];
};

static char self[4096];

static void on_event(void *arg, const cJSON *event)
{
    struct world *w = arg;
    const char *type = json_get_str(event, "type", "");
    if (strcmp(type, "step") == 0) {
        buf_printf(&w->steps, "%s:%s ", json_get_str(event, "id", ""),
                   json_get_str(event, "state", ""));
    } else if (strcmp(type, "log") == 0 &&
               strcmp(json_get_str(event, "channel", ""), "init") == 0) {
        buf_add_text(&w->init_log, json_get_str(event, "chunk", ""));
    }
}

static void on_publish(void *arg, const struct deployment_port *ports, size_t count)
{
    struct world *w = arg;
    w->published = count;
    (void)snprintf(w->previous_name, sizeof(w->previous_name), "%s",
                   ports[0].hostname == NULL ? "" : ports[0].hostname);
    if (w->watched != 0) {
        buf_printf(&w->publishes, "%s:%s ", route_state_name(ports[0].state),
                   kill(w->watched, 0) == 0 ? "alive" : "gone");
    }
    if (!w->answer) {
        return;
    }
    autofree struct deployment_port *answer = xcalloc(count, sizeof(*answer));
    for (size_t i = 0; i < count; i++) {
        answer[i] = ports[i];
        answer[i].hostname = "tree-web.example.com";
        answer[i].url = "https://tree-web.example.com";
    }
    deployment_published(w->d, answer, count);
}

static void on_drop(void *arg)
{
    struct world *w = arg;
    w->drops++;
}

static void on_port_state(void *arg, const char *service, uint16_t port, enum route_state state)
{
    struct world *w = arg;
    buf_printf(&w->route_states, "%s:%u=%s ", service, (unsigned)port, route_state_name(state));
}

static void on_crash(void *arg, const char *service, const char *status)
{
    struct world *w = arg;
    (void)snprintf(w->crashed, sizeof(w->crashed), "%s %s", service, status);
}

static void on_done(void *arg, enum deployment_outcome outcome, enum err_code code,
                    const char *message)
{
    struct world *w = arg;
    w->dones++;
    w->outcome = outcome;
    w->code = code;
    free(w->message);
    w->message = message == NULL ? NULL : xstrdup(message);
}

static const struct deployment_ops ops = {.on_event = on_event,
                                          .on_publish = on_publish,
                                          .on_drop = on_drop,
                                          .on_port_state = on_port_state,
                                          .on_crash = on_crash,
                                          .on_done = on_done};

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    *state = w;
    (void)snprintf(w->root, sizeof(w->root), "/tmp/wos-deploy-XXXXXX");
    if (mkdtemp(w->root) == NULL) {
        return -1;
    }
    w->home = path_join(w->root, "home");
    w->answer = true;
    w->wt = (struct worktree){.root = path_join(w->root, "tree"),
                              .source = path_join(w->root, "tree"),
                              .session_name = xstrdup("tree"),
                              .session_dir = store_session_dir(w->home, "tree"),
                              .project_name = xstrdup("wos-tree-00000000"),
                              .label = xstrdup("tree"),
                              .is_source = true};
    autofree char *config_dir = path_join(w->wt.root, ".wos");
    assert_int_equal(dir_make(config_dir, 0700, NULL), 0);
    w->env.loop = loop_new(NULL);
    w->env.fetch = fetch_client_new(w->env.loop, NULL);
    w->env.home = w->home;
    w->health = (struct health_settings){.timeout_ms = 60000,
                                         .start_period_set = true,
                                         .interval_ms = 20,
                                         .request_timeout_ms = 10000,
                                         .retries = 2000};
    w->d = deployment_new(&w->env, &w->wt, &ops, w);
    return 0;
}

static void wait_dones(struct world *w, unsigned count)
{
    while (w->dones < count) {
        loop_turn(w->env.loop, true);
    }
}

static int teardown(void **state)
{
    struct world *w = *state;
    unsigned before = w->dones;
    if (deployment_down(w->d, NULL) == 0) {
        wait_dones(w, before + 1);
        while (deployment_is_busy(w->d)) {
            loop_turn(w->env.loop, true);
        }
    }
    deployment_free(w->d);
    fetch_client_free(w->env.fetch);
    loop_free(w->env.loop);
    (void)path_remove_all(w->root, NULL);
    worktree_fini(&w->wt);
    buf_fini(&w->steps);
    buf_fini(&w->init_log);
    buf_fini(&w->route_states);
    buf_fini(&w->publishes);
    free(w->message);
    free(w->home);
    free(w);
    return 0;
}

static void write_config(struct world *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char text[8192];
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    autofree char *path = manifest_path(w->wt.source, true);
    assert_int_equal(file_write_atomic(path, str_of(text), 0600, NULL), 0);
}

static void up(struct world *w, struct deployment_request request)
{
    unsigned before = w->dones;
    request.health = w->health;
    struct err err = {0};
    if (deployment_up(w->d, &request, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    wait_dones(w, before + 1);
}

static void up_ok(struct world *w, struct deployment_request request)
{
    up(w, request);
    if (w->outcome != DEPLOYMENT_SUCCEEDED) {
        fail_msg("%s", w->message);
    }
}

static void down(struct world *w)
{
    unsigned before = w->dones;
    assert_int_equal(deployment_down(w->d, NULL), 0);
    wait_dones(w, before + 1);
    assert_int_equal(w->outcome, DEPLOYMENT_SUCCEEDED);
}

static pid_t service_pid(struct world *w, const char *name)
{
    autojson cJSON *rows = deployment_services_json(w->d);
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
    {
        if (strcmp(json_get_str(row, "service", ""), name) == 0) {
            return (pid_t)json_get_int(row, "pid", 0);
        }
    }
    return 0;
}

static uint16_t host_port(struct world *w)
{
    autofree struct deployment_port *ports = NULL;
    assert_true(deployment_ports(w->d, &ports) > 0);
    return ports[0].host_port;
}

static void test_up_and_down(void **state)
{
    struct world *w = *state;
    write_config(w,
                 "mode: shell\n"
                 "app:\n"
                 "  init_script: [echo init-ran]\n"
                 "  services:\n"
                 "    web:\n"
                 "      script: ['echo \"$NAME $WOS_SERVICE_HOSTNAME $URL\"', exec %s --serve]\n"
                 "      ports: [3000]\n"
                 "      dependencies: [task]\n"
                 "      environment:\n"
                 "        NAME: ${WHO:-nobody}\n"
                 "        URL: ${app.services.web.url[3000]}\n"
                 "    task: {script: [sleep 1000]}\n"
                 "arguments: [WHO]\n",
                 self);
    assert_string_equal(deployment_status(w->d), "not_started");
    const struct template_argument who = {"WHO", "me"};
    up_ok(w, (struct deployment_request){.arguments = &who, .argument_count = 1});
    assert_string_equal(buf_cstr(&w->steps),
                        "prepare:running prepare:done release-ports:running release-ports:done "
                        "init-script:running init-script:done compose-up:running compose-up:done "
                        "status:running status:done healthcheck:running healthcheck:done ");
    assert_string_equal(buf_cstr(&w->init_log), "init-ran\n");
    assert_string_equal(buf_cstr(&w->route_states), "web:3000=live ");
    assert_int_equal(w->published, 1);
    assert_string_equal(w->previous_name, "");
    assert_string_equal(deployment_status(w->d), "running");
    autofree char *log = deployment_log_path(w->d, "web", "stdout");
    struct buf text = {0};
    assert_int_equal(file_read(log, 1000, &text, NULL), 0);
    assert_string_equal(buf_cstr(&text), "me tree-web.example.com https://tree-web.example.com\n");
    buf_fini(&text);
    pid_t pid = service_pid(w, "web");
    pid_t task = service_pid(w, "task");
    uint64_t pid_ticks = process_start_ticks(pid);
    uint64_t task_ticks = process_start_ticks(task);
    assert_true(pid_ticks != 0 && task_ticks != 0);
    uint16_t port = host_port(w);
    assert_false(ports_can_bind(port));
    down(w);
    assert_true(process_start_ticks(pid) != pid_ticks);
    assert_true(process_start_ticks(task) != task_ticks);
    assert_true(ports_can_bind(port));
    assert_int_equal(w->drops, 1);
    assert_string_equal(deployment_status(w->d), "stopped");
    /* Again: same port, same name offered, no init script. */
    buf_consume(&w->init_log, w->init_log.len);
    up_ok(w, (struct deployment_request){0});
    assert_int_equal(host_port(w), port);
    assert_string_equal(w->previous_name, "tree-web.example.com");
    assert_int_equal(w->init_log.len, 0);
}

/* Nobody is sent to a service that is being stopped: its routes say so first. */
static void test_routes_change_before_services_stop(void **state)
{
    struct world *w = *state;
    write_config(
        w, "mode: shell\napp: {services: {web: {script: [exec %s --serve], ports: [3000]}}}\n",
        self);
    up_ok(w, (struct deployment_request){0});
    w->watched = service_pid(w, "web");
    up_ok(w, (struct deployment_request){0});
    assert_string_equal(buf_cstr(&w->publishes), "starting:alive starting:gone ");
    buf_consume(&w->publishes, w->publishes.len);
    w->watched = service_pid(w, "web");
    down(w);
    assert_string_equal(buf_cstr(&w->publishes), "stopped:alive ");
}

static void restart_web(struct world *w)
{
    const struct deployment_service_request request = {.service = "web", .is_restart = true};
    unsigned before = w->dones;
    assert_int_equal(deployment_service(w->d, &request, NULL), 0);
    wait_dones(w, before + 1);
}

/* What the service needs is looked for while it still runs. */
static void test_a_restart_looks_before_it_stops(void **state)
{
    struct world *w = *state;
    static const char config[] =
        "mode: shell\napp: {services: {web: {script: [exec %s --serve], ports: [3000], env_file: "
        ".env, cwd: sub, environment: {URL: '${app.services.web.url[3000]}', X: '${%s}'}}}}\n";
    autofree char *env_file = path_join(w->wt.root, ".env");
    autofree char *sub = path_join(w->wt.root, "sub");
    assert_int_equal(file_write_atomic(env_file, STR("A=1\n"), 0600, NULL), 0);
    assert_int_equal(dir_make(sub, 0700, NULL), 0);
    write_config(w, config, self, "app.services.web.hostPort[3000]");
    up_ok(w, (struct deployment_request){0});
    pid_t web = service_pid(w, "web");
    assert_int_equal(rmdir(sub) + unlink(env_file), 0);
    const char *const faults[] = {".env", "cwd", "environment.X", "deploy.yaml"};
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        if (i == 1) {
            assert_int_equal(file_write_atomic(env_file, STR("A=1\n"), 0600, NULL), 0);
        } else if (i == 2) {
            assert_int_equal(dir_make(sub, 0700, NULL), 0);
            write_config(w, config, self, "app.services.other.hostPort[1]");
        } else if (i == 3) {
            write_config(w, "mode: shell\napp: [%s]\n", self);
        }
        restart_web(w);
        assert_int_equal(w->outcome, DEPLOYMENT_FAILED);
        if (strstr(w->message, faults[i]) == NULL) {
            fail_msg("%s: not in: %s", faults[i], w->message);
        }
        assert_int_equal(service_pid(w, "web"), web);
        assert_string_equal(buf_cstr(&w->route_states), "web:3000=live ");
        assert_string_equal(deployment_status(w->d), "running");
    }
    write_config(w, config, self, "app.services.web.hostPort[3000]");
    restart_web(w);
    assert_int_equal(w->outcome, DEPLOYMENT_SUCCEEDED);
    assert_int_not_equal(service_pid(w, "web"), web);
}

static void test_restore(void **state)
{
    struct world *w = *state;
    write_config(w,
                 "mode: shell\napp: {services: {web: {script: [exec %s --serve], ports: "
                 "[{port: 3000, host: rewrite}]}, dead: {script: [sleep 1000]}}}\n",
                 self);
    up_ok(w, (struct deployment_request){0});
    pid_t web = service_pid(w, "web");
    pid_t dead = service_pid(w, "dead");
    deployment_free(w->d);
    w->d = NULL;
    assert_int_equal(kill(-dead, SIGKILL), 0);
    struct err err = {0};
    assert_null(deployment_restore(&w->env, "nobody", &w->health, &ops, w, &err));
    w->d = deployment_restore(&w->env, "tree", &w->health, &ops, w, &err);
    assert_non_null(w->d);
    assert_true(deployment_wants_routes(w->d));
    assert_string_equal(deployment_worktree(w->d)->root, w->wt.root);
    assert_int_equal(service_pid(w, "web"), web);
    while (service_pid(w, "dead") != 0) {
        loop_turn(w->env.loop, true); /* its end may be seen only after the restore */
    }
    autofree struct deployment_port *ports = NULL;
    assert_int_equal(deployment_ports(w->d, &ports), 1);
    assert_string_equal(ports[0].hostname, "tree-web.example.com");
    assert_int_equal(ports[0].state, ROUTE_LIVE);
    assert_int_equal(ports[0].options.host_mode, PUBLISH_HOST_REWRITE);
    uint64_t ticks = process_start_ticks(web);
    down(w);
    assert_true(process_start_ticks(web) != ticks);
}

static void test_bad_config_starts_nothing(void **state)
{
    struct world *w = *state;
    up(w, (struct deployment_request){0});
    assert_int_equal(w->outcome, DEPLOYMENT_FAILED);
    assert_int_equal(w->code, ERR_CONFIG);
    assert_non_null(strstr(w->message, "deploy config not found at "));
    write_config(w, "mode: shell\napp: {services: {a: {ports: [0]}}}\n");
    up(w, (struct deployment_request){0});
    assert_int_equal(w->code, ERR_CONFIG);
    assert_non_null(strstr(w->message, ":2:21: "));
    assert_non_null(strstr(w->message, ":2:30: "));
    assert_string_equal(deployment_status(w->d), "failed");
    assert_int_equal(w->published, 0);
    assert_int_equal(w->drops, 0);
    autojson cJSON *failure = store_load_failure(w->home, "tree");
    assert_non_null(failure);
    write_config(w, "mode: shell\napp: {services: {a: {script: [x]}}}\n");
    const char *const wrong[] = {"b", NULL};
    up(w, (struct deployment_request){.services = wrong});
    assert_int_equal(w->code, ERR_USAGE);
    assert_string_equal(w->message, "no service named b; services: a");
}

static void test_service_that_ends_fails_up(void **state)
{
    struct world *w = *state;
    write_config(w, "mode: shell\napp: {services: {web: {script: [echo no such thing >&2; exit 7],"
                    " ports: [3000]}, other: {script: [sleep 1000]}}}\n");
    up(w, (struct deployment_request){0});
    assert_int_equal(w->outcome, DEPLOYMENT_FAILED);
    assert_string_equal(w->message, "service web ended during up (exit 7):\nno such thing");
    autojson cJSON *tail = deployment_failure_log_json(w->d);
    assert_int_equal(cJSON_GetArraySize(tail), 1);
    assert_string_equal(cJSON_GetArrayItem(tail, 0)->valuestring, "no such thing");
    assert_int_equal(w->drops, 0);
    assert_string_equal(deployment_status(w->d), "running_partial");
    assert_string_equal(buf_cstr(&w->route_states), "web:3000=stopped ");
}

static void test_failed_health_leaves_services(void **state)
{
    struct world *w = *state;
    w->health.retries = 2;
    w->health.interval_ms = 1;
    write_config(w,
                 "mode: shell\napp: {services: {web: {script: [exec %s --serve], ports: [{port: "
                 "3000, healthcheck: {status: 418, start_period: 100ms}}]}}}\n",
                 self);
    up(w, (struct deployment_request){0});
    assert_int_equal(w->outcome, DEPLOYMENT_FAILED);
    assert_non_null(strstr(w->message, "health check of service web port 3000 failed: "));
    assert_true(service_pid(w, "web") != 0);
    assert_int_equal(w->drops, 0);
    assert_string_equal(buf_cstr(&w->route_states), "web:3000=failing ");
    autojson cJSON *rows = deployment_health_json(w->d);
    assert_string_equal(json_get_str(cJSON_GetArrayItem(rows, 0), "state", ""), "failed");
}

static void test_failed_init_keeps_its_last_lines(void **state)
{
    struct world *w = *state;
    write_config(w,
                 "mode: shell\napp: {init_script: ['for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "
                 "line $i; done; exit 3'], services: {web: {script: [sleep 1000]}}}\n");
    up(w, (struct deployment_request){0});
    assert_int_equal(w->outcome, DEPLOYMENT_FAILED);
    autojson cJSON *tail = deployment_failure_log_json(w->d);
    assert_int_equal(cJSON_GetArraySize(tail), 10);
    assert_string_equal(cJSON_GetArrayItem(tail, 0)->valuestring, "line 3");
    assert_string_equal(cJSON_GetArrayItem(tail, 9)->valuestring, "line 12");
}

static void test_launch_failure_stops_the_rest(void **state)
{
    struct world *w = *state;
    /* The init script might have made it. */
    write_config(w, "mode: shell\napp: {init_script: ['true'], services: {a: {script: "
                    "[sleep 1000], ports: [1]}, b: {script: [x], cwd: missing}}}\n");
    up(w, (struct deployment_request){0});
    assert_int_equal(w->outcome, DEPLOYMENT_FAILED);
    assert_non_null(strstr(w->message, "service b: cwd "));
    assert_int_equal(w->drops, 1);
    assert_int_equal(service_pid(w, "a"), 0);
}

static void test_crash_after_up(void **state)
{
    struct world *w = *state;
    write_config(
        w, "mode: shell\napp: {services: {web: {script: [exec %s --serve], ports: [3000]}}}\n",
        self);
    up_ok(w, (struct deployment_request){.no_tunnel = true});
    assert_int_equal(w->published, 0);
    assert_int_equal(w->drops, 1);
    assert_false(deployment_wants_routes(w->d));
    assert_int_equal(kill(-service_pid(w, "web"), SIGKILL), 0);
    while (w->crashed[0] == '\0') {
        loop_turn(w->env.loop, true);
    }
    assert_string_equal(w->crashed, "web signal 9 (Killed)");
    assert_string_equal(buf_cstr(&w->route_states), "web:3000=live web:3000=stopped ");
    assert_string_equal(deployment_status(w->d), "failed");
}

static void restore_as_of_boot(struct world *w, const char *boot_id)
{
    deployment_free(w->d);
    autojson cJSON *state = store_load_state(w->home, "tree", NULL);
    cJSON_DeleteItemFromObjectCaseSensitive(state, "bootId");
    if (boot_id != NULL) {
        (void)json_add_str(state, "bootId", boot_id);
    }
    assert_int_equal(store_save_state(w->home, "tree", state, NULL), 0);
    w->d = deployment_restore(&w->env, "tree", &w->health, &ops, w, NULL);
    assert_non_null(w->d);
}

/* The pid and start time of a service may be those of an unrelated process after a boot. */
static void test_no_process_of_another_boot_is_adopted(void **state)
{
    struct world *w = *state;
    write_config(w, "mode: shell\napp: {services: {a: {script: [sleep 1000]}}}\n");
    up_ok(w, (struct deployment_request){0});
    pid_t pid = service_pid(w, "a");
    autojson cJSON *saved = store_load_state(w->home, "tree", NULL);
    assert_int_equal(strlen(json_get_str(saved, "bootId", "")), 36);
    restore_as_of_boot(w, NULL); /* a file of an older version */
    assert_int_equal(service_pid(w, "a"), pid);
    restore_as_of_boot(w, "00000000-0000-4000-8000-000000000000");
    assert_int_equal(service_pid(w, "a"), 0);
    assert_string_equal(deployment_status(w->d), "failed");
    down(w);
    assert_true(process_members(pid, NULL, NULL) > 0);
    assert_int_equal(kill(-pid, SIGKILL), 0);
}

static void on_stubborn_exit(void *arg, int status)
{
    (void)arg;
    (void)status;
}

/* In the state, as the process that passes serviceBind on: one that answers SIGTERM by ending the
 * service, and stays until it is killed. */
static pid_t add_stubborn_forwarder(struct world *w)
{
    autofree char *ready = path_join(w->root, "ready");
    autofree char *port = xasprintf("%u", (unsigned)host_port(w));
    deployment_free(w->d);
    w->d = NULL;
    const char *const argv[] = {self, "--stubborn", port, ready, NULL};
    struct subprocess_spec spec = {.argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
    struct subprocess *p = subprocess_start(w->env.loop, &spec, on_stubborn_exit, NULL, NULL);
    assert_non_null(p);
    while (!file_exists(ready)) {
        (void)usleep(1000);
    }
    autofree char *text =
        xasprintf("{\"runId\":\"none\",\"address\":\"192.0.2.1\",\"pid\":%d,\"startTicks\":%llu}",
                  (int)subprocess_pid(p), (unsigned long long)subprocess_start_ticks(p));
    pid_t pid = subprocess_pid(p);
    subprocess_release(p);
    autojson cJSON *state = store_load_state(w->home, "tree", NULL);
    cJSON *shell = cJSON_GetObjectItemCaseSensitive(state, "shell");
    assert_true(cJSON_AddItemToObject(shell, "forward", cJSON_Parse(text)));
    assert_int_equal(store_save_state(w->home, "tree", state, NULL), 0);
    w->d = deployment_restore(&w->env, "tree", &w->health, &ops, w, NULL);
    assert_non_null(w->d);
    return pid;
}

static void test_a_service_that_ends_while_its_forwarder_is_stopped(void **state)
{
    struct world *w = *state;
    write_config(
        w, "mode: shell\napp: {services: {web: {script: [exec %s --serve], ports: [3000]}}}\n",
        self);
    up_ok(w, (struct deployment_request){0});
    pid_t pid = service_pid(w, "web");
    uint64_t ticks = process_start_ticks(pid);
    pid_t forwarder = add_stubborn_forwarder(w);
    assert_int_equal(service_pid(w, "web"), pid);
    down(w);
    assert_int_equal(process_members(forwarder, NULL, NULL), 0);
    assert_int_equal(w->dones, 2);
    assert_true(process_start_ticks(pid) != ticks);
    assert_string_equal(deployment_status(w->d), "stopped");
}

/* Of this test alone: all processes of the machine are searched for it. */
static char *id_of(const struct world *w, const char *what)
{
    return xasprintf("%s-%s", w->root, what);
}

/* What a daemon that died just then started: in a session of its own, with an id. */
static pid_t start_carrier(struct world *w, const char *what)
{
    autofree char *id = id_of(w, what);
    autofree char *variable = xasprintf(RUNID_VARIABLE "=%s", id);
    const char *const env[] = {variable, "PATH=/usr/bin:/bin", NULL};
    const char *const argv[] = {"sleep", "1000", NULL};
    struct subprocess_spec spec = {
        .argv = argv, .env = env, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
    struct subprocess *p = subprocess_start(w->env.loop, &spec, on_stubborn_exit, NULL, NULL);
    assert_non_null(p);
    pid_t pid = subprocess_pid(p);
    subprocess_release(p);
    return pid;
}

struct unrecorded {
    pid_t service;
    pid_t init;
    pid_t forwarder;
};

/* A state of which only the ids lead to what runs; the deployment is gone. */
static struct unrecorded make_unrecorded(struct world *w)
{
    write_config(w, "mode: shell\napp: {services: {a: {script: [sleep 1000]}}}\n");
    up_ok(w, (struct deployment_request){0});
    pid_t known = service_pid(w, "a");
    deployment_free(w->d);
    w->d = NULL;
    assert_int_equal(kill(-known, SIGKILL), 0);
    while (process_start_ticks(known) != 0) { /* its descriptor would be free later */
        loop_turn(w->env.loop, true);
    }
    autojson cJSON *state = store_load_state(w->home, "tree", NULL);
    cJSON *shell = cJSON_GetObjectItemCaseSensitive(state, "shell");
    cJSON *services = cJSON_DetachItemFromObjectCaseSensitive(shell, "services");
    cJSON *entry = cJSON_GetObjectItemCaseSensitive(services, "a");
    cJSON_DeleteItemFromObjectCaseSensitive(entry, "pid");
    autofree char *of_a = id_of(w, "a");
    autofree char *of_init = id_of(w, "init");
    autofree char *of_forward = id_of(w, "forward");
    (void)json_add_str(entry, "runId", of_a);
    cJSON_DeleteItemFromObjectCaseSensitive(shell, "launching");
    assert_true(cJSON_AddItemToObject(shell, "launching", services));
    (void)json_add_str(shell, "initRunId", of_init);
    (void)json_add_str(cJSON_AddObjectToObject(shell, "forward"), "runId", of_forward);
    assert_int_equal(store_save_state(w->home, "tree", state, NULL), 0);
    return (struct unrecorded){start_carrier(w, "a"), start_carrier(w, "init"),
                               start_carrier(w, "forward")};
}

/* One descriptor is left for the state's file, and none after it; the former limit. */
static struct rlimit restore_in_want(struct world *w)
{
    struct rlimit before = want_all_but_one();
    w->d = deployment_restore(&w->env, "tree", &w->health, &ops, w, NULL);
    assert_non_null(w->d);
    const struct rlimit none = {STDERR_FILENO + 1, before.rlim_max}; /* whatever is closed now */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    return before;
}

static void assert_ids_are_saved(const struct world *w)
{
    autojson cJSON *state = store_load_state(w->home, "tree", NULL);
    autofree char *of_a = id_of(w, "a");
    autofree char *of_init = id_of(w, "init");
    autofree char *of_forward = id_of(w, "forward");
    const cJSON *shell = json_get(state, "shell");
    assert_string_equal(json_get_str(json_get(json_get(shell, "launching"), "a"), "runId", ""),
                        of_a);
    assert_string_equal(json_get_str(shell, "initRunId", ""), of_init);
    assert_string_equal(json_get_str(json_get(shell, "forward"), "runId", ""), of_forward);
}

/* Out of descriptors nobody is found: nobody is forgotten for that. */
static void test_a_restore_without_descriptors_forgets_nobody(void **state)
{
    struct world *w = *state;
    struct unrecorded run = make_unrecorded(w);
    struct rlimit before = restore_in_want(w);
    for (int i = 0; i < 3; i++) {
        loop_turn(w->env.loop, true);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before),
                     0); /* first: a failed test needs them too */
    assert_ids_are_saved(w);
    assert_string_equal(deployment_status(w->d), "running");
    while (service_pid(w, "a") != run.service || process_members(run.init, NULL, NULL) > 0) {
        loop_turn(w->env.loop, true);
    }
    autojson cJSON *saved = store_load_state(w->home, "tree", NULL);
    const cJSON *shell = json_get(saved, "shell");
    assert_int_equal(json_get_int(json_get(json_get(shell, "services"), "a"), "pid", 0),
                     run.service);
    assert_null(json_get(json_get(shell, "launching"), "a"));
    while (json_get(shell, "initRunId") != NULL) {
        loop_turn(w->env.loop, true);
        cJSON_Delete(saved);
        saved = store_load_state(w->home, "tree", NULL);
        shell = json_get(saved, "shell");
    }
    down(w);
    assert_int_equal(process_members(run.service, NULL, NULL), 0);
    assert_int_equal(process_members(run.forwarder, NULL, NULL), 0);
    assert_string_equal(deployment_status(w->d), "stopped");
}

/* A down waits until it is known what there is to be stopped. */
static void test_a_down_without_descriptors_stops_all(void **state)
{
    struct world *w = *state;
    struct unrecorded run = make_unrecorded(w);
    struct rlimit before = restore_in_want(w);
    unsigned dones = w->dones;
    assert_int_equal(deployment_down(w->d, NULL), 0);
    for (int i = 0; i < 5; i++) {
        loop_turn(w->env.loop, true);
    }
    assert_int_equal(w->dones, dones);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    wait_dones(w, dones + 1);
    assert_int_equal(w->outcome, DEPLOYMENT_SUCCEEDED);
    assert_int_equal(process_members(run.service, NULL, NULL), 0);
    assert_int_equal(process_members(run.forwarder, NULL, NULL), 0);
    while (process_members(run.init, NULL, NULL) > 0) {
        loop_turn(w->env.loop, true);
    }
}

static void test_down_cancels_up(void **state)
{
    struct world *w = *state;
    write_config(w, "mode: shell\napp: {init_script: ['echo here; sleep 1000'], services: {web: "
                    "{script: [sleep 1000], ports: [3000]}}}\n");
    struct deployment_request request = {.health = w->health};
    assert_int_equal(deployment_up(w->d, &request, NULL), 0);
    struct err err = {0};
    assert_int_equal(deployment_up(w->d, &request, &err), -1);
    assert_int_equal(err.code, ERR_BUSY);
    while (w->init_log.len == 0) {
        loop_turn(w->env.loop, true);
    }
    assert_string_equal(deployment_status(w->d), "pending");
    assert_int_equal(deployment_down(w->d, NULL), 0);
    wait_dones(w, 1);
    assert_int_equal(w->outcome, DEPLOYMENT_CANCELLED);
    wait_dones(w, 2);
    assert_int_equal(w->outcome, DEPLOYMENT_SUCCEEDED);
    assert_false(deployment_is_busy(w->d));
    assert_string_equal(deployment_status(w->d), "not_started");
}

static void test_down_while_waiting_for_routes(void **state)
{
    struct world *w = *state;
    w->answer = false;
    write_config(w, "mode: shell\napp: {services: {web: {script: [x], ports: [3000]}}}\n");
    struct deployment_request request = {.health = w->health};
    assert_int_equal(deployment_up(w->d, &request, NULL), 0);
    while (w->published == 0) {
        loop_turn(w->env.loop, true);
    }
    assert_int_equal(deployment_down(w->d, NULL), 0);
    wait_dones(w, 2);
    deployment_published(w->d, NULL, 0); /* too late: nothing happens */
    assert_int_equal(w->drops, 1);
}

static void test_selection_and_environment(void **state)
{
    struct world *w = *state;
    autofree char *env_path = path_join(w->wt.root, ".env");
    assert_int_equal(file_write_atomic(env_path, STR("A=file\nB=file\n"), 0600, NULL), 0);
    write_config(w, "mode: shell\n"
                    "targets: {only: [one]}\n"
                    "app:\n"
                    "  services:\n"
                    "    one:\n"
                    "      script: ['echo $A $B $C $__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS', "
                    "sleep 1000]\n"
                    "      env_file: .env\n"
                    "      environment: {B: own}\n"
                    "    two: {script: [sleep 1000]}\n");
    const char *const env[] = {"PATH=/usr/bin:/bin", "A=caller", "C=caller", NULL};
    up_ok(w, (struct deployment_request){.target = "only", .env = env, .domain = "example.com"});
    assert_true(service_pid(w, "one") != 0);
    assert_int_equal(service_pid(w, "two"), 0);
    autofree char *log = deployment_log_path(w->d, "one", "stdout");
    struct buf text = {0};
    while (text.len == 0) {
        assert_int_equal(file_read(log, 1000, &text, NULL), 0);
    }
    assert_string_equal(buf_cstr(&text), "file own caller .example.com\n");
    buf_fini(&text);
}

/* A service: answers 200 to everything, for ever. */
static int serve(void)
{
    const char *port = getenv("WOS_SERVICE_PORT");
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0) {
        perror("bind");
        return 1;
    }
    for (;;) {
        static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                                     "Connection: close\r\n\r\n";
        char request[4096];
        int conn = accept(fd, NULL, NULL);
        if (conn < 0) {
            return 1;
        }
        ssize_t got = read(conn, request, sizeof(request));
        if (got == 1) {
            return 0; /* what stubborn() says */
        }
        if (got > 0) {
            (void)!write(conn, answer, sizeof(answer) - 1);
        }
        (void)close(conn);
    }
}

static int stubborn(const char *port, const char *ready)
{
    sigset_t term;
    int signo;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    (void)sigemptyset(&term);
    (void)sigaddset(&term, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &term, NULL);
    if (file_write_atomic(ready, STR(""), 0600, NULL) < 0 || sigwait(&term, &signo) != 0) {
        return 1;
    }
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
        (void)!write(fd, "!", 1);
    }
    for (;;) {
        (void)pause();
    }
}

#define DEPLOYMENT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--serve") == 0) {
        return serve();
    }
    if (argc > 3 && strcmp(argv[1], "--stubborn") == 0) {
        return stubborn(argv[2], argv[3]);
    }
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len <= 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        DEPLOYMENT_TEST(test_up_and_down),
        DEPLOYMENT_TEST(test_routes_change_before_services_stop),
        DEPLOYMENT_TEST(test_a_restart_looks_before_it_stops),
        DEPLOYMENT_TEST(test_restore),
        DEPLOYMENT_TEST(test_bad_config_starts_nothing),
        DEPLOYMENT_TEST(test_service_that_ends_fails_up),
        DEPLOYMENT_TEST(test_failed_health_leaves_services),
        DEPLOYMENT_TEST(test_failed_init_keeps_its_last_lines),
        DEPLOYMENT_TEST(test_launch_failure_stops_the_rest),
        DEPLOYMENT_TEST(test_crash_after_up),
        DEPLOYMENT_TEST(test_no_process_of_another_boot_is_adopted),
        DEPLOYMENT_TEST(test_a_service_that_ends_while_its_forwarder_is_stopped),
        DEPLOYMENT_TEST(test_a_restore_without_descriptors_forgets_nobody),
        DEPLOYMENT_TEST(test_a_down_without_descriptors_stops_all),
        DEPLOYMENT_TEST(test_down_cancels_up),
        DEPLOYMENT_TEST(test_down_while_waiting_for_routes),
        DEPLOYMENT_TEST(test_selection_and_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
