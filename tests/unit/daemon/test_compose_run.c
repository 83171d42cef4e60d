/* The Docker runner against a script in place of `docker`: what is asked, and what follows from
 * the answers. The real engine is in tests/integration/test_docker.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/deploy/compose_exec.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/runid.h"
#include "daemon/deploy/runner_compose.h"
#include "tests/unit/daemon/want.h"

struct world {
    char root[32];
    char *home;
    struct worktree wt;
    struct deployment_env env;
    struct deployment *d;
    struct health_settings health;
    struct buf route_states;
    unsigned dones;
    bool failed;
    char message[512];
    bool has_looked;
    bool expects_crash;
};

/* One container; "state" holds its state, "calls" what was asked. `events` goes on for ever. */
static const char script[] = "#!/bin/sh\n"
                             "cd \"${0%/*}\"\n"
                             "case \"$*\" in\n"
                             "*version*) exit 0;;\n"
                             "events*) exec sleep 1000;;\n"
                             "ps*) echo c1; exit 0;;\n"
                             "inspect*) printf '[{\"Id\":\"c1\",\"RestartCount\":2,\"State\":"
                             "{\"Status\":\"%s\",\"ExitCode\":0,\"StartedAt\":\"2026\"},\"Config\":"
                             "{\"Labels\":{\"com.docker.compose.service\":\"web\"}}}]' "
                             "\"$(cat state)\"; exit 0;;\n"
                             "esac\n"
                             "echo \"$*\" >> calls\n"
                             "case \"$*\" in\n"
                             "stop*|*' rm '*) printf exited > state;;\n"
                             "start*|*' up '*) [ ! -e broken ] || { echo no luck >&2; exit 9; }\n"
                             "          printf running > state\n"
                             "          [ ! -e brief ] || printf exited > state;;\n"
                             "logs*) touch asked; echo its last words\n"
                             "       while [ ! -e answer ]; do sleep 0.01; done;;\n"
                             "esac\n";

static void on_event(void *arg, const cJSON *event)
{
    (void)arg;
    (void)event;
}

static void on_publish(void *arg, const struct deployment_port *ports, size_t count)
{
    struct world *w = arg;
    deployment_published(w->d, ports, count);
}

static void on_drop(void *arg)
{
    (void)arg;
}

static void on_port_state(void *arg, const char *service, uint16_t port, enum route_state state)
{
    struct world *w = arg;
    buf_printf(&w->route_states, "%s:%u=%s ", service, (unsigned)port, route_state_name(state));
}

static void on_crash(void *arg, const char *service, const char *status)
{
    struct world *w = arg;
    if (!w->expects_crash) {
        fail_msg("crash of %s: %s", service, status);
    }
    w->expects_crash = false;
}

static void on_done(void *arg, enum deployment_outcome outcome, enum err_code code,
                    const char *message)
{
    struct world *w = arg;
    (void)code;
    (void)snprintf(w->message, sizeof(w->message), "%s", message == NULL ? "" : message);
    w->dones++;
    w->failed = outcome == DEPLOYMENT_FAILED;
}

static const struct deployment_ops ops = {.on_event = on_event,
                                          .on_publish = on_publish,
                                          .on_drop = on_drop,
                                          .on_port_state = on_port_state,
                                          .on_crash = on_crash,
                                          .on_done = on_done};

static void put(const struct world *w, const char *name, const char *text, mode_t mode)
{
    autofree char *path = path_join(w->root, name);
    assert_int_equal(file_write_atomic(path, str_of(text), mode, NULL), 0);
}

static char *calls(const struct world *w)
{
    autofree char *path = path_join(w->root, "calls");
    struct buf text = {0};
    (void)file_read(path, 65536, &text, NULL);
    (void)unlink(path);
    return buf_take(&text);
}

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    *state = w;
    (void)snprintf(w->root, sizeof(w->root), "/tmp/wos-compose-XXXXXX");
    if (mkdtemp(w->root) == NULL) {
        return -1;
    }
    w->home = path_join(w->root, "home");
    put(w, "docker", script, 0700);
    put(w, "state", "running", 0600);
    autofree char *docker = path_join(w->root, "docker");
    autofree char *file = path_join(w->root, "compose.yaml");
    put(w, "compose.yaml", "services: {}\n", 0600);
    autofree char *text = xasprintf(
        "{\"initialized\":true,\"projectName\":\"p\",\"backend\":\"docker\",\"mode\":\"generated\","
        "\"worktreeRoot\":\"%s\",\"composeFile\":\"%s\",\"docker\":{\"projectDirectory\":\"%s\","
        "\"environment\":{\"WOS_DOCKER_BIN\":\"%s\"},\"services\":{\"web\":{\"ports\":{\"3000\":"
        "20001},\"checks\":{\"3000\":{\"enabled\":false}}}}}}",
        w->root, file, w->root, docker);
    autojson cJSON *tree = json_parse(str_of(text), "state", NULL);
    assert_int_equal(store_save_state(w->home, "tree", tree, NULL), 0);
    w->env.loop = loop_new(NULL);
    w->env.fetch = fetch_client_new(w->env.loop, NULL);
    w->env.home = w->home;
    w->env.docker_events = docker_events_new(w->env.loop);
    w->d = deployment_restore(&w->env, "tree", &w->health, &ops, w, NULL);
    return w->d == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    deployment_free(w->d);
    docker_events_free(w->env.docker_events);
    fetch_client_free(w->env.fetch);
    loop_free(w->env.loop);
    (void)path_remove_all(w->root, NULL);
    buf_fini(&w->route_states);
    free(w->home);
    free(w);
    return 0;
}

static void wait_container(struct world *w, enum service_state wanted)
{
    struct service_run *s = deployment_find(w->d, "web");
    while (s->container == NULL || s->state != wanted) {
        loop_turn(w->env.loop, true);
    }
}

static void on_service_done(struct deployment *d, const struct err *err)
{
    struct world *w = d->arg;
    w->dones++;
    w->failed = err != NULL;
}

static void wait_done(struct world *w)
{
    unsigned before = w->dones;
    while (w->dones == before) {
        loop_turn(w->env.loop, true);
    }
}

static void test_restore_and_plans(void **state)
{
    struct world *w = *state;
    assert_string_equal(deployment_status(w->d), "running");
    wait_container(w, SERVICE_RUNNING);
    autojson cJSON *rows = deployment_services_json(w->d);
    assert_int_equal(json_get_int(cJSON_GetArrayItem(rows, 0), "restartCount", 0), 2);
    struct exec_plan plan = {0};
    static const char *const command[] = {"echo", "a b", NULL};
    assert_true(compose_exec_applies(w->d));
    assert_int_equal(compose_exec_plan(w->d, "web", command, true, &plan, NULL), 0);
    const char *mark = plan.argv[3];
    assert_int_equal(strncmp(mark, "WOS_EXEC_ID=", 12), 0);
    const char *const expected[] = {"exec", "-e", mark, "-it", "c1", "echo", "a b"};
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        assert_string_equal(plan.argv[i + 1], expected[i]);
    }
    assert_null(plan.argv[COUNT_OF(expected) + 1]);
    char **hangup = plan.hangup; /* env A=b … docker exec c1 sh -c … mark */
    assert_string_equal(*hangup++, "env");
    while (strchr(*hangup, '=') != NULL) {
        assert_null(strstr(*hangup++, "WOS_DOCKER_BIN"));
    }
    assert_string_equal(hangup[2], "c1");
    assert_string_equal(hangup[6], mark);
    assert_null(hangup[7]);
    struct err err = {0};
    assert_int_equal(compose_exec_plan(w->d, "api", command, true, &plan, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    exec_plan_fini(&plan);
}

static void on_left_exit(void *arg, int status)
{
    (void)arg;
    (void)status;
}

/* What a daemon that was killed left at work, as this state says. */
static pid_t leave_at_work(struct world *w, const char *id, const char *key)
{
    autofree char *variable = xasprintf(RUNID_VARIABLE "=%s", id);
    const char *const env[] = {variable, "PATH=/usr/bin:/bin", NULL};
    const char *const argv[] = {"sleep", "1000", NULL};
    struct subprocess_spec spec = {
        .argv = argv, .env = env, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
    struct subprocess *p = subprocess_start(w->env.loop, &spec, on_left_exit, NULL, NULL);
    assert_non_null(p);
    pid_t pid = subprocess_pid(p);
    autojson cJSON *state = store_load_state(w->home, "tree", NULL);
    cJSON *docker = cJSON_GetObjectItemCaseSensitive(state, "docker");
    if (key == NULL) {
        json_add_str(docker, "runId", id);
    } else {
        cJSON_DeleteItemFromObjectCaseSensitive(docker, key);
        cJSON *entry = cJSON_AddObjectToObject(docker, key);
        json_add_int(entry, "pid", pid);
        json_add_int(entry, "startTicks", (int64_t)subprocess_start_ticks(p));
    }
    assert_int_equal(store_save_state(w->home, "tree", state, NULL), 0);
    subprocess_release(p);
    return pid;
}

/* The one that is left is for the state's file, then for looks at processes; the former limit. */
static struct rlimit restore_in_want(struct world *w)
{
    struct rlimit before = want_all_but_one();
    w->d = deployment_restore(&w->env, "tree", &w->health, &ops, w, NULL);
    assert_non_null(w->d);
    return before;
}

/* Out of descriptors they cannot be ended: they stay written down and are, later. */
static void test_what_was_left_at_work_ends_without_descriptors(void **state)
{
    struct world *w = *state;
    wait_container(w, SERVICE_RUNNING);
    deployment_free(w->d);
    w->d = NULL;
    const pid_t events = leave_at_work(w, "none", "events");
    autofree char *id = xasprintf("%s-command", w->root); /* all the machine is searched for it */
    const pid_t command = leave_at_work(w, id, NULL);
    autojson cJSON *state_before = store_load_state(w->home, "tree", NULL);
    assert_string_equal(json_get_str(json_get(state_before, "docker"), "runId", ""), id);
    struct rlimit before = restore_in_want(w);
    for (int i = 0; i < 3; i++) {
        loop_turn(w->env.loop, true);
    }
    assert_int_equal(state_save(w->d, NULL), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    autojson cJSON *after = store_load_state(w->home, "tree", NULL);
    assert_string_equal(json_get_str(json_get(after, "docker"), "runId", ""), id);
    assert_int_equal(json_get_int(json_get(json_get(after, "docker"), "events"), "pid", 0), events);
    while (process_members(events, NULL, NULL) > 0 || process_members(command, NULL, NULL) > 0) {
        loop_turn(w->env.loop, true);
    }
    wait_container(w, SERVICE_RUNNING);
    assert_null(w->d->compose->orphan);
}

static void test_one_service(void **state)
{
    struct world *w = *state;
    wait_container(w, SERVICE_RUNNING);
    struct service_run *s = deployment_find(w->d, "web");
    compose_service_stop(w->d, s, on_service_done);
    wait_done(w);
    assert_false(w->failed);
    assert_int_equal(s->state, SERVICE_STOPPED);
    autofree char *stop = calls(w);
    assert_string_equal(stop, "stop c1\n");
    /* Since the daemon was restarted nobody knows the variables of the caller of the last up. */
    compose_service_start(w->d, s, on_service_done);
    wait_done(w);
    assert_false(w->failed);
    assert_int_equal(s->state, SERVICE_RUNNING);
    autofree char *again = calls(w);
    assert_string_equal(again, "start c1\n");
    w->d->compose->knows_caller = true;
    compose_service_start(w->d, s, on_service_done);
    wait_done(w);
    assert_false(w->failed);
    assert_int_equal(s->state, SERVICE_RUNNING);
    autofree char *start = calls(w);
    autofree char *expected =
        xasprintf("compose -p p --project-directory %s -f %s/compose.yaml rm -f -s web\n"
                  "compose -p p --project-directory %s -f %s/compose.yaml up -d --no-deps web\n",
                  w->root, w->root, w->root, w->root);
    assert_string_equal(start, expected);
    put(w, "broken", "", 0600);
    compose_service_start(w->d, s, on_service_done);
    wait_done(w);
    assert_true(w->failed);
}

/* An env file that is gone is told before the container is. */
static void test_a_restart_looks_before_it_stops(void **state)
{
    struct world *w = *state;
    wait_container(w, SERVICE_RUNNING);
    w->d->compose->knows_caller = true;
    autofree char *env_file = path_join(w->root, "web.env");
    autofree char *text =
        xasprintf("services: {other: {env_file: [/none]}, web: {env_file: [\"%s\"]}}\n", env_file);
    put(w, "compose.yaml", text, 0600);
    free(calls(w));
    const struct deployment_service_request request = {.service = "web", .is_restart = true};
    assert_int_equal(deployment_service(w->d, &request, NULL), 0);
    wait_done(w);
    assert_true(w->failed);
    assert_non_null(strstr(w->message, env_file));
    autofree char *none = calls(w);
    assert_string_equal(none, "");
    assert_int_equal(deployment_find(w->d, "web")->state, SERVICE_RUNNING);
    assert_string_equal(buf_cstr(&w->route_states), "");
    put(w, "web.env", "", 0600);
    assert_int_equal(deployment_service(w->d, &request, NULL), 0);
    wait_done(w);
    assert_false(w->failed);
}

static void test_down(void **state)
{
    struct world *w = *state;
    wait_container(w, SERVICE_RUNNING);
    struct err err = {0};
    assert_int_equal(deployment_down(w->d, &err), 0);
    wait_done(w);
    assert_false(w->failed);
    assert_string_equal(buf_cstr(&w->route_states), "web:3000=stopped ");
    autofree char *said = calls(w);
    autofree char *expected =
        xasprintf("compose -p p --project-directory %s -f %s/compose.yaml down --remove-orphans\n",
                  w->root, w->root);
    assert_string_equal(said, expected);
    assert_string_equal(deployment_status(w->d), "stopped");
}

/* Wherever the restart is: before a command, at one, at a look, at the search for the tools. */
static void test_a_down_ends_the_operation_of_a_service(void **state)
{
    struct world *w = *state;
    wait_container(w, SERVICE_RUNNING);
    w->d->compose->knows_caller = true;
    for (unsigned turns = 0; turns < 12; turns++) {
        const struct deployment_service_request request = {.service = "web", .is_restart = true};
        struct err err = {.msg = ""};
        unsigned before = w->dones;
        if (deployment_service(w->d, &request, &err) < 0) {
            fail_msg("%s", err.msg);
        }
        for (unsigned i = 0; i < turns && w->dones == before; i++) {
            loop_turn(w->env.loop, true);
        }
        assert_int_equal(deployment_down(w->d, &err), 0);
        while (deployment_is_busy(w->d)) {
            loop_turn(w->env.loop, true);
        }
        assert_false(w->failed);
        assert_int_equal(w->dones, before + 2);
        assert_string_equal(deployment_status(w->d), "stopped");
        (void)service_run_new(w->d, "web", 0);
        deployment_find(w->d, "web")->container = xstrdup("c1");
        deployment_find(w->d, "web")->state = SERVICE_RUNNING;
    }
}

static void on_looked(struct compose_run *c)
{
    struct world *w = c->d->arg;
    w->has_looked = true;
}

/* The engine may have started it again until its log is there. */
static void test_an_up_ends_when_what_failed_runs_again(void **state)
{
    struct world *w = *state;
    wait_container(w, SERVICE_RUNNING);
    autofree char *config_dir = path_join(w->root, ".wos");
    autofree char *docker = xasprintf("WOS_DOCKER_BIN=%s/docker", w->root);
    autofree char *asked = path_join(w->root, "asked");
    assert_int_equal(dir_make(config_dir, 0700, NULL), 0);
    put(w, ".wos/deploy.yaml",
        "mode: generated\napp: {services: {web: {image: x, ports: [3000]}}}\n", 0600);
    put(w, "brief", "", 0600);
    const char *const env[] = {"PATH=/usr/bin:/bin", docker, NULL};
    const struct deployment_request request = {.env = env, .health = w->health};
    struct err err = {.msg = ""};
    if (deployment_up(w->d, &request, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    while (!file_exists(asked) && w->dones == 0) {
        loop_turn(w->env.loop, true);
    }
    put(w, "state", "running", 0600);
    compose_look(w->d->compose, on_looked);
    while (!w->has_looked) {
        loop_turn(w->env.loop, true);
    }
    assert_int_equal(deployment_find(w->d, "web")->state, SERVICE_RUNNING);
    assert_int_equal(w->dones, 0);
    put(w, "answer", "", 0600);
    wait_done(w);
    assert_true(w->failed);
    assert_string_equal(w->message, "service web ended during up (exit 0):\nits last words");
    assert_false(deployment_is_busy(w->d));
}

static void begin_up_with_caches(struct world *w)
{
    autofree char *config_dir = path_join(w->root, ".wos");
    autofree char *docker = xasprintf("WOS_DOCKER_BIN=%s/docker", w->root);
    autofree char *path = xasprintf("PATH=%s:/usr/bin:/bin", w->root);
    autofree char *home = xasprintf("HOME=%s", w->root);
    assert_int_equal(dir_make(config_dir, 0700, NULL), 0);
    put(w, ".wos/deploy.yaml",
        "mode: generated\napp: {image: x, init_script: ['true'], connect_npm_cache: true, "
        "connect_yarn_cache: true, connect_bun_cache: true, services: {web: {ports: "
        "[{port: 3000, healthcheck: false}]}}}\n",
        0600);
    put(w, "npm", "#!/bin/sh\necho \"${0%/*}/npm-$*\" | tr ' ' -; echo more\n", 0700);
    put(w, "yarn", "#!/bin/sh\n[ \"$1\" = config ] || { echo /nowhere; exit 1; }\npwd\n", 0700);
    const char *const env[] = {path, docker, home, NULL};
    const struct deployment_request request = {.env = env, .health = w->health, .force = true};
    struct err err = {.msg = ""};
    if (deployment_up(w->d, &request, &err) < 0) {
        fail_msg("%s", err.msg);
    }
}

/* npm says where, yarn's second version does, bun does not. */
static void test_tools_are_asked_for_their_caches(void **state)
{
    struct world *w = *state;
    wait_container(w, SERVICE_RUNNING);
    autofree char *usual = path_join(w->root, ".bun/install/cache");
    assert_int_equal(dir_make(usual, 0700, NULL), 0);
    put(w, "bun", "#!/bin/sh\necho not a path\n", 0700);
    begin_up_with_caches(w);
    wait_done(w);
    if (w->failed) {
        fail_msg("%s", w->message);
    }
    autofree char *file = path_join(w->d->wt.session_dir, "compose.yaml");
    autofree char *npm = xasprintf("\"%s/npm-config-get-cache:/wos-cache/npm\"", w->root);
    autofree char *yarn = xasprintf("\"%s:/wos-cache/yarn\"", w->root);
    autofree char *bun = xasprintf("\"%s:/wos-cache/bun\"", usual);
    struct buf text = {0};
    assert_int_equal(file_read(file, 65536, &text, NULL), 0);
    assert_non_null(strstr(buf_cstr(&text), npm));
    assert_non_null(strstr(buf_cstr(&text), yarn));
    assert_non_null(strstr(buf_cstr(&text), bun));
    buf_fini(&text);
    /* Docker would have made it, as root. */
    autofree char *place = path_join(w->root, "npm-config-get-cache");
    assert_true(file_exists(place));
}

static void test_a_down_does_not_wait_for_a_tool(void **state)
{
    struct world *w = *state;
    autofree char *asked = path_join(w->root, "bun-asked");
    wait_container(w, SERVICE_RUNNING);
    put(w, "bun", "#!/bin/sh\ntouch \"${0%/*}/bun-asked\"\nexec sleep 1000\n", 0700);
    begin_up_with_caches(w);
    while (!file_exists(asked)) {
        loop_turn(w->env.loop, true);
    }
    assert_non_null(w->d->compose->caches);
    struct err err = {.msg = ""};
    assert_int_equal(deployment_down(w->d, &err), 0);
    while (deployment_is_busy(w->d)) {
        loop_turn(w->env.loop, true);
    }
    assert_null(w->d->compose->caches);
}

static void test_a_service_ends_during_the_operation_of_another(void **state)
{
    struct world *w = *state;
    wait_container(w, SERVICE_RUNNING);
    (void)service_run_new(w->d, "other", 0);
    w->d->compose->knows_caller = true;
    w->expects_crash = true;
    put(w, "brief", "", 0600); /* web ends while other is made anew */
    const struct deployment_service_request request = {.service = "other", .is_restart = true};
    struct err err = {.msg = ""};
    if (deployment_service(w->d, &request, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    wait_done(w);
    assert_false(w->failed);
    assert_false(w->expects_crash);
    assert_int_equal(deployment_find(w->d, "web")->state, SERVICE_EXITED);
    assert_string_equal(buf_cstr(&w->route_states), "web:3000=stopped ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_restore_and_plans, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_left_at_work_ends_without_descriptors, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_one_service, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_restart_looks_before_it_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_down_ends_the_operation_of_a_service, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_tools_are_asked_for_their_caches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_down_does_not_wait_for_a_tool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_service_ends_during_the_operation_of_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_an_up_ends_when_what_failed_runs_again, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
