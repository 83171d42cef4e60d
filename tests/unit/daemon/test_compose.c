/* Compose files as they are written, the user's file without ports, containers, conflicts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "daemon/deploy/compose_base.h"
#include "daemon/deploy/compose_hosts.h"
#include "daemon/deploy/compose_published.h"
#include "daemon/deploy/compose_conflict.h"
#include "daemon/deploy/compose_file.h"
#include "daemon/deploy/containers.h"
#include "daemon/deploy/deployment_internal.h"

static void test_file(void **state)
{
    (void)state;
    const char *volumes[] = {"./data:/data", "cache:/cache", "~/m2:/m2", "${HOME}/x:/x", "/anon"};
    const char *depends[] = {"zoo", "api"};
    struct compose_port ports[] = {{20001, 3000}};
    struct compose_service services[] = {{.name = "web",
                                          .image = "node:${TAG}",
                                          .container_name = "p-web",
                                          .working_dir = "/workspace",
                                          .env_file = "/w/.env",
                                          .workspace = "/w/a$b",
                                          .volumes = volumes,
                                          .volume_count = COUNT_OF(volumes),
                                          .volume_root = "/w",
                                          .ports = ports,
                                          .port_count = 1,
                                          .depends_on = depends,
                                          .depends_count = 2,
                                          .script = "echo \"$X\"\nnext\t\x01"},
                                         {.name = "api", .image = "i", .profile = "wos-internal"},
                                         {.name = "zoo"}};
    envlist_set(&services[0].environment, STR("B"), STR("$5"));
    envlist_set(&services[0].environment, STR("A.B"), STR("x"));
    envlist_set(&services[0].environment, STR("A"), STR(""));
    envlist_set(&services[0].labels, STR("dev.wos.managed"), STR("true"));
    struct compose_file file = {
        .services = services, .count = COUNT_OF(services), .service_bind = "fd00::1"};
    struct buf out = {0};
    compose_file_write(&file, &out);
    assert_string_equal(buf_cstr(&out),
                        "# Written by wos for every `up`; changes are lost.\n"
                        "services:\n"
                        "  \"api\":\n"
                        "    image: \"i\"\n"
                        "    profiles: [\"wos-internal\"]\n"
                        "  \"web\":\n"
                        "    image: \"node:${TAG}\"\n"
                        "    container_name: \"p-web\"\n"
                        "    working_dir: \"/workspace\"\n"
                        "    env_file:\n"
                        "      - \"/w/.env\"\n"
                        "    environment:\n"
                        "      \"A\": \"\"\n"
                        "      \"A.B\": \"x\"\n"
                        "      \"B\": \"$$5\"\n"
                        "    labels:\n"
                        "      \"dev.wos.managed\": \"true\"\n"
                        "    volumes:\n"
                        "      - \"/w/a$$b:/workspace\"\n"
                        "      - \"/w/./data:/data\"\n"
                        "      - \"cache:/cache\"\n"
                        "      - \"~/m2:/m2\"\n"
                        "      - \"${HOME}/x:/x\"\n"
                        "      - \"/anon\"\n"
                        "    ports:\n"
                        "      - \"127.0.0.1:20001:3000\"\n"
                        "      - \"[fd00::1]:20001:3000\"\n"
                        "    depends_on:\n"
                        "      - \"api\"\n"
                        "      - \"zoo\"\n"
                        "    command: [\"sh\", \"-c\", \"echo \\\"$$X\\\"\\nnext\\t\\x01\"]\n"
                        "  \"zoo\":\n"
                        "    {}\n"
                        "volumes:\n"
                        "  \"cache\": {}\n");
    buf_fini(&out);
    for (size_t i = 0; i < COUNT_OF(services); i++) {
        envlist_fini(&services[i].environment);
        envlist_fini(&services[i].labels);
    }
}

static void assert_base(const char *text, const char *expected)
{
    struct compose_base base = {0};
    struct err err = {0};
    if (compose_base_make(str_of(text), "c.yml", "/w/docker", &base, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    assert_string_equal(buf_cstr(&base.text), expected);
    compose_base_fini(&base);
}

static void test_base(void **state)
{
    (void)state;
    assert_base("services: {web: {image: a, ports: [\"1:1\"]}}\n",
                "services:\n  web:\n    image: a\n");
    /* An anchor in what is dropped, used elsewhere; merges; a top-level "ports" is no service's. */
    assert_base("x: &x {ports: [1], image: i}\n"
                "services:\n"
                "  a:\n    ports: &p [\"1:1\"]\n    expose: *p\n"
                "  b: {<<: *x, ports: [2]}\n"
                "  c: {<<: [*x, {ports: [3], tty: true}]}\n"
                "  ports: {image: named}\n",
                "x:\n  ports:\n  - 1\n  image: i\n"
                "services:\n"
                "  a:\n    expose:\n    - \"1:1\"\n"
                "  b:\n    <<:\n      image: i\n"
                "  c:\n    <<:\n    - image: i\n    - tty: true\n"
                "  ports:\n    image: named\n");
    /* Values keep their type: what was quoted, tagged or plain stays so. */
    assert_base(
        "services:\n  a:\n    environment: {A: \"010\", B: 010, C: !!str 010, D: &d !!str 1, "
        "E: *d, F: 'on', G: ~, H: !reset null, \xc3\xa4\xc3\xb6: !!str 2}\n"
        "    command: !override [x]\n"
        "    extends: {file: ../base.yml, service: b}\n",
        "services:\n  a:\n    environment:\n      A: \"010\"\n      B: 010\n"
        "      C: !!str 010\n      D: !!str 1\n      E: !!str 1\n      F: 'on'\n      G: ~\n"
        "      H: !reset null\n      \xc3\xa4\xc3\xb6: !!str 2\n"
        "    command: !override\n    - x\n"
        "    extends:\n      file: \"/w/docker/../base.yml\"\n      service: b\n");
}

/* What a service's environment is made of, wherever it is written. */
static void test_base_settings(void **state)
{
    (void)state;
    struct compose_base base = {0};
    struct buf text = {0};
    assert_int_equal(
        compose_base_make(STR("x: &x {environment: {NO: 1}, env_file: no}\n"
                              "e: &e {A: 1, B: {C: 2}}\n"
                              "services:\n"
                              "  a: {environment: {<<: [*e, {D: ~}], E: &v no}, env_file: f}\n"
                              "  b: {environment: [G=1, H], labels: [I=1],\n"
                              "      env_file: [g, {path: h, required: false}]}\n"
                              "  c: {<<: {environment: {J: *v}}, build: {environment: [K]}}\n"),
                          "c.yml", "/w", &base, NULL),
        0);
    for (size_t i = 0; i < base.setting_count; i++) {
        const struct compose_setting *s = &base.settings[i];
        buf_printf(&text, "%s%s:%s ", base.services[s->service], s->is_file ? " file" : "",
                   s->text);
    }
    assert_string_equal(buf_cstr(&text),
                        "a:A a:B a:D a:E a file:f b:G=1 b:H b file:g b file:h c:J ");
    buf_fini(&text);
    compose_base_fini(&base);
}

static void test_base_extensions(void **state)
{
    (void)state;
    struct compose_base base = {0};
    struct buf text = {0};
    assert_int_equal(compose_base_make(STR("x: &x {extends: no}\n"
                                           "e: &e {file: f.yml}\n"
                                           "services:\n"
                                           "  a: {extends: b}\n"
                                           "  b: {extends: {service: c}, build: {extends: no}}\n"
                                           "  c: {<<: *x, extends: {<<: *e, service: d}}\n"
                                           "  d: {extends: {service: e, file: /o/p.yml}}\n"),
                                       "c.yml", "/w", &base, NULL),
                     0);
    for (size_t i = 0; i < base.extension_count; i++) {
        const struct compose_extension *e = &base.extensions[i];
        buf_printf(&text, "%s:%s@%s ", base.services[e->service], e->from,
                   e->file == NULL ? "" : e->file);
    }
    assert_string_equal(buf_cstr(&text), "a:b@ b:c@ c:no@ c:d@/w/f.yml d:e@/o/p.yml ");
    buf_fini(&text);
    compose_base_fini(&base);
}

static void put(const char *root, const char *name, const char *text)
{
    autofree char *path = path_join(root, name);
    autofree char *dir = xstrdup(path);
    *strrchr(dir, '/') = '\0';
    assert_int_equal(dir_make(dir, 0700, NULL), 0);
    assert_int_equal(file_write_atomic(path, str_of(text), 0600, NULL), 0);
}

/* A service that extends another gets its environment and its env files, too. */
static void test_hosts(void **state)
{
    (void)state;
    char dir[] = "/tmp/wos-hosts-XXXXXX";
    assert_non_null(mkdtemp(dir));
    static const char text[] =
        "services:\n"
        "  own: {environment: [" ENVIRONMENT_HOSTS "=x]}\n"
        "  own_file: {env_file: hosts.env}\n"
        "  near: {extends: {service: own}}\n"
        "  short: {extends: near}\n"
        "  far: {extends: {file: ../base/b.yml, service: two}}\n"
        "  far_file: {extends: {file: ../base/b.yml, service: filed}}\n"
        "  not: {environment: {A: b}, extends: {file: ../base/b.yml, service: none}}\n"
        "  round: {extends: round}\n"
        "  outside: {extends: {file: ../../outside.yml, service: own}}\n"
        "  link: {extends: {file: ../link.yml, service: own}}\n"
        "  gone: {extends: {file: nowhere.yml, service: own}}\n"
        "  odd: {extends: {file: x.yml}}\n"
        "  lost: {extends: nobody}\n";
    put(dir, "w/docker/c.yml", text);
    put(dir, "w/docker/hosts.env", ENVIRONMENT_HOSTS "=x\n");
    put(dir, "w/base/b.yml",
        "services: {none: {extends: three}, two: {extends: {file: deep/d.yml, service: three}}, "
        "filed: {env_file: [b.env]}, three: {}}\n");
    put(dir, "w/base/b.env", ENVIRONMENT_HOSTS "\n");
    put(dir, "w/base/deep/d.yml", "services: {three: {environment: {" ENVIRONMENT_HOSTS ": x}}}\n");
    put(dir, "outside.yml", "services: {own: {environment: [" ENVIRONMENT_HOSTS "=x]}}\n");
    autofree char *root = path_join(dir, "w");
    autofree char *docker = path_join(root, "docker");
    autofree char *link = path_join(root, "link.yml");
    assert_int_equal(symlink("../outside.yml", link), 0);
    struct compose_base base = {0};
    assert_int_equal(compose_base_make(str_of(text), "c.yml", docker, &base, NULL), 0);
    assert_int_equal(base.service_count, 13);
    for (size_t i = 0; i < base.service_count; i++) {
        if (compose_hosts_are_decided(&base, docker, root, base.services[i]) != (i < 6)) {
            fail_msg("%s", base.services[i]);
        }
    }
    compose_base_fini(&base);
    assert_int_equal(path_remove_all(dir, NULL), 0);
}

static void assert_base_error(const char *text, const char *expected)
{
    struct compose_base base = {0};
    struct err err = {0};
    assert_int_equal(compose_base_make(str_of(text), "c.yml", "/w", &base, &err), -1);
    assert_string_equal(err.msg, expected);
    compose_base_fini(&base);
}

static void test_base_errors(void **state)
{
    (void)state;
    assert_base_error("", "c.yml: must be a mapping with services");
    assert_base_error("- a\n", "c.yml: must be a mapping with services");
    assert_base_error("a: [\n", "c.yml:2:1: not valid YAML: did not find expected node content");
    assert_base_error("a: &a [*a]\n", "c.yml:1:4: nested more than 64 levels deep");
    assert_base_error("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                      "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                      "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                      "e: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
                      "c.yml:1:14: more than 50,000 values once aliases are followed");
    struct buf big = {0};
    buf_add_text(&big, "a: &a ");
    for (size_t i = 0; i < 100000; i++) {
        buf_add_text(&big, "xxxxx");
    }
    buf_add_text(&big, "\nb: [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n");
    assert_base_error(buf_cstr(&big),
                      "c.yml:1:4: more than 8 MiB of text once aliases are followed");
    buf_fini(&big);
    struct compose_base base = {0};
    struct err err = {0};
    assert_int_equal(
        compose_base_make(STR("version: '3.8'\ninclude: [x, {path: [y, z], env_file: e}]\n"
                              "services: {a: {}, b: {extends: {file: ../o.yml, service: c}}}"),
                          "c.yml", "/w", &base, &err),
        0);
    assert_string_equal(buf_cstr(&base.others), "x, y, z, ../o.yml");
    assert_string_equal(base.version, "3.8");
    assert_true(base.has_include);
    assert_true(compose_base_has(&base, "b"));
    assert_false(compose_base_has(&base, "c"));
    compose_base_fini(&base);
}

static void assert_published(const char *services, const char *bind, const char *expected)
{
    struct err err = {0};
    autofree char *text = xasprintf("services: {%s}\nnetworks: {}\n", services);
    int rc = compose_published_check(str_of(text), bind, &err);
    assert_string_equal(err.msg, expected);
    assert_int_equal(rc, expected[0] == '\0' ? 0 : -1);
}

/* Both ways in which Compose prints ports: v2's and the text of v1. */
static void test_published_ports_of_other_files(void **state)
{
    (void)state;
    assert_published("a: {}, b: {ports: []}, c: {ports: [\"127.0.0.1:1:80/tcp\"]}", NULL, "");
    assert_published("a: {ports: [{host_ip: 127.0.0.1, target: 80, published: \"1\"}]}", NULL, "");
    assert_published("a: {ports: [\"127.0.0.1:1:80\", \"10.0.0.1:1:80\"]}", "10.0.0.1", "");
    assert_published("a: {ports: [\"[fd00::1]:1:80\", \"fd00::1:1:80/tcp\"]}", "fd00::1", "");
    assert_published("a: {}, b: {ports: [\"8080:80/tcp\"]}", NULL,
                     "service b publishes port 8080:80/tcp on every address");
    assert_published("a: {ports: [80]}", NULL, "service a publishes port 80 on every address");
    assert_published("a: {ports: [{target: 80, mode: ingress}]}", NULL,
                     "service a publishes port 80 on every address");
    assert_published("a: {ports: [\"0.0.0.0:1:80\"]}", "10.0.0.1",
                     "service a publishes port 0.0.0.0:1:80 on address 0.0.0.0");
    assert_published("a: {ports: [{host_ip: \"::\", target: 80}]}", NULL,
                     "service a publishes port 80 on address ::");
    struct err err = {0};
    assert_int_equal(compose_published_check(STR("a: ["), NULL, &err), -1);
    assert_int_equal(compose_published_check(STR(""), NULL, &err), 0);
}

static void test_containers(void **state)
{
    (void)state;
    struct containers list = {0};
    struct err err = {0};
    const char *text =
        "[{\"Id\":\"1\",\"State\":{\"Status\":\"exited\",\"ExitCode\":3,\"StartedAt\":"
        "\"2026-01-01T00:00:00Z\"},\"Config\":{\"Labels\":{\"com.docker.compose.service\":\"web\"}}"
        "},"
        "{\"Id\":\"2\",\"RestartCount\":4,\"State\":{\"Status\":\"running\",\"Pid\":71,"
        "\"StartedAt\":"
        "\"0001-01-01T00:00:00Z\"},\"Config\":{\"Labels\":{\"com.docker.compose.service\":\"web\"}}"
        "},"
        "{\"Id\":\"3\",\"Config\":{\"Labels\":{\"com.docker.compose.service\":\"init\","
        "\"com.docker.compose.oneoff\":\"True\"}}},"
        "{\"Id\":\"4\",\"Config\":{\"Labels\":null}},7,null,{\"Id\":5}]";
    assert_int_equal(containers_parse(str_of(text), &list, &err), 0);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.items[0].exit_code, 3);
    assert_string_equal(list.items[0].started_at, "2026-01-01T00:00:00Z");
    const struct container *web = containers_find(&list, "web");
    assert_string_equal(web->id, "2");
    assert_null(web->started_at);
    assert_int_equal(web->restart_count, 4);
    assert_int_equal(web->pid, 71);
    assert_null(containers_find(&list, "init"));
    containers_fini(&list);
    assert_int_equal(containers_parse(STR(""), &list, &err), -1);
    assert_int_equal(containers_parse(STR("{}"), &list, &err), -1);
}

static void test_foreign_containers(void **state)
{
    (void)state;
    const char *text =
        "[{\"Id\":\"1\",\"Config\":{\"Labels\":{\"com.docker.compose.service\":\"a\","
        "\"dev.wos.deployment-id\":\"theirs\"}}},"
        "{\"Id\":\"2\",\"Config\":{\"Labels\":{\"com.docker.compose.service\":\"b\","
        "\"dev.wos.deployment-id\":\"ours\"}}},"
        "{\"Id\":\"3\",\"Config\":{\"Labels\":{\"com.docker.compose.service\":\"c\"}}}]";
    struct containers list = {0};
    assert_int_equal(containers_parse(str_of(text), &list, NULL), 0);
    containers_keep(&list, "");
    assert_int_equal(list.count, 3);
    containers_keep(&list, "ours");
    assert_int_equal(list.count, 2);
    assert_null(containers_find(&list, "a"));
    assert_string_equal(list.items[0].id, "2");
    assert_non_null(containers_find(&list, "c"));
    containers_keep(&list, "another");
    assert_int_equal(list.count, 1);
    containers_fini(&list);
}

static void test_conflict(void **state)
{
    (void)state;
    struct str v2 = STR("Error response from daemon: driver failed programming external "
                        "connectivity on endpoint x: Bind for 127.0.0.1:20017 failed: port is "
                        "already allocated");
    assert_true(conflict_is(v2));
    assert_true(conflict_names_port(v2, 20017));
    assert_false(conflict_names_port(v2, 2001));
    assert_true(conflict_is(STR("listen tcp4 127.0.0.1:80: bind: Address Already In Use")));
    assert_true(conflict_is(STR("Cannot start service web: something with the port")));
    assert_false(conflict_is(STR("Cannot start service web: no such image")));
    assert_false(conflict_is(STR("")));
    assert_false(conflict_is(STR("driver failed programming external connectivity: listen tcp4 "
                                 "192.0.2.9:80: bind: cannot assign requested address")));
}

static void test_wildcard_bind(void **state)
{
    (void)state;
    static const struct {
        const char *bind;
        const char *lines;
    } cases[] = {
        {NULL, "      - \"127.0.0.1:20001:80\"\n"},
        {"127.0.0.1", "      - \"127.0.0.1:20001:80\"\n"},
        {"10.0.0.1", "      - \"127.0.0.1:20001:80\"\n      - \"10.0.0.1:20001:80\"\n"},
        {"0.0.0.0", "      - \"0.0.0.0:20001:80\"\n"},
        {"::", "      - \"127.0.0.1:20001:80\"\n      - \"[::]:20001:80\"\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct compose_port port = {20001, 80};
        struct compose_service service = {.name = "web", .ports = &port, .port_count = 1};
        struct compose_file file = {
            .services = &service, .count = 1, .service_bind = cases[i].bind};
        struct buf out = {0};
        compose_file_write(&file, &out);
        const char *at = strstr(buf_cstr(&out), "    ports:\n");
        assert_non_null(at);
        assert_string_equal(at + strlen("    ports:\n"), cases[i].lines);
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_base),
        cmocka_unit_test(test_base_settings),
        cmocka_unit_test(test_base_extensions),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_base_errors),
        cmocka_unit_test(test_published_ports_of_other_files),
        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_wildcard_bind),
        cmocka_unit_test(test_foreign_containers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
