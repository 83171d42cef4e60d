/* deploy.yaml: what is read, and that every mistake is told with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "daemon/deploy/manifest.h"
#include "daemon/deploy/order.h"

static struct manifest *parse(const char *text)
{
    return manifest_parse(str_of(text), "deploy.yaml");
}

static void assert_errors(const char *text, const char *expected)
{
    struct manifest *m = parse(text);
    autofree char *errors = manifest_errors_text(m);
    assert_string_equal(errors, expected);
    manifest_free(m);
}

static void assert_error_has(const char *text, const char *part)
{
    struct manifest *m = parse(text);
    autofree char *errors = manifest_errors_text(m);
    if (strstr(errors, part) == NULL) {
        fail_msg("\"%s\" not in:\n%s", part, errors);
    }
    manifest_free(m);
}

static void test_clones_and_caches(void **state)
{
    (void)state;
    struct manifest *m =
        parse("mode: shell\n"
              "clone_volumes: [data, 'a:b', 'C:\\x:y', {source: s, destination: /d}]\n"
              "cache:\n"
              "  - {key: k, paths: ['./n*', 'a//b/']}\n"
              "  - {key: {files: [lock]}, paths: [x]}\n"
              "app: {services: {a: {script: [x]}}}\n");
    autofree char *errors = manifest_errors_text(m);
    assert_string_equal(errors, "");
    assert_int_equal(m->clone_count, 4);
    assert_string_equal(m->clones[0].source, "data");
    assert_string_equal(m->clones[0].destination, "data");
    assert_string_equal(m->clones[1].source, "a");
    assert_string_equal(m->clones[1].destination, "b");
    assert_string_equal(m->clones[2].source, "C:\\x");
    assert_string_equal(m->clones[2].destination, "y");
    assert_string_equal(m->clones[3].destination, "/d");
    assert_int_equal(m->kept_count, 2);
    assert_string_equal(m->kept[0].key, "k");
    assert_string_equal(m->kept[0].paths[0], "n*");
    assert_string_equal(m->kept[0].paths[1], "a/b");
    assert_null(m->kept[1].key);
    assert_string_equal(m->kept[1].files[0], "lock");
    manifest_free(m);
    static const char head[] = "mode: shell\napp: {services: {a: {script: [x]}}}\n";
    static const char *const bad[][2] = {
        {"clone_volumes: x\n", "3:16: clone_volumes must be a list"},
        {"clone_volumes: [':b']\n", "3:17: clone_volumes[0]: \":b\" needs a path on both sides"},
        {"clone_volumes: [{source: a}]\n", "clone_volumes[0].destination is missing"},
        {"cache: [{paths: [a]}]\n", "cache[0].key must be a non-empty string or {files"},
        {"cache: [{key: a}]\n", "cache[0].paths must be a"},
        {"cache: [{key: a, paths: [/x]}]\n", "cache[0].paths[0]: \"/x\" must be a relative path"},
        {"cache: [{key: a, paths: [a/../../x]}]\n", "must be a relative path inside"},
        {"cache: [{key: {files: []}, paths: [a]}]\n", "cache[0].key.files must be a non-empty"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        autofree char *text = xasprintf("%s%s", head, bad[i][0]);
        assert_error_has(text, bad[i][1]);
    }
}

static void test_full_file(void **state)
{
    (void)state;
    struct manifest *m = parse("mode: shell\n"
                               "host_ports: {range: {start: 21000, end: 21999}}\n"
                               "dynamic_ports: true\n"
                               "arguments: [REGION]\n"
                               "targets: {front: [web]}\n"
                               "app:\n"
                               "  init_script: [npm ci]\n"
                               "  services:\n"
                               "    web:\n"
                               "      script: [npm run build, npm start]\n"
                               "      cwd: packages/web\n"
                               "      env_file: .env\n"
                               "      dependencies: [api]\n"
                               "      ports:\n"
                               "        - 3000\n"
                               "        - port: 3001\n"
                               "          host: rewrite\n"
                               "          allow_failure: true\n"
                               "          healthcheck: {url: /health, status: 204, timeout: 90s,\n"
                               "                        start_period: 1.5m, interval: 250,\n"
                               "                        retries: 3}\n"
                               "        - {port: 3002, healthcheck: false, host: preserve}\n"
                               "      environment:\n"
                               "        A: text\n"
                               "        B: 12\n"
                               "        C: True\n"
                               "        API: ${app.services.api.url[8000]}\n"
                               "        R: ${REGION:-eu}\n"
                               "    api: {script: [./api], ports: [8000]}\n");
    autofree char *errors = manifest_errors_text(m);
    assert_string_equal(errors, "");
    assert_true(manifest_ok(m));
    assert_int_equal(m->warnings.count, 0);
    assert_int_equal(m->mode, MANIFEST_SHELL);
    assert_int_equal(m->port_start, 21000);
    assert_int_equal(m->port_end, 21999);
    assert_int_equal(m->service_count, 2);
    assert_string_equal(m->services[0].name, "api");
    const struct manifest_service *web = manifest_find(m, "web");
    assert_non_null(web);
    assert_int_equal(web->script_count, 2);
    assert_string_equal(web->cwd, "packages/web");
    assert_int_equal(web->port_count, 3);
    assert_true(web->ports[0].health.enabled);
    assert_string_equal(web->ports[0].health.path, "/");
    assert_int_equal(web->ports[0].health.status, 0);
    const struct manifest_port *port = manifest_service_port(web, 3001);
    assert_int_equal(port->options.host_mode, PUBLISH_HOST_REWRITE);
    assert_true(port->allow_failure);
    assert_string_equal(port->health.path, "/health");
    assert_int_equal(port->health.status, 204);
    assert_int_equal(port->health.timeout_ms, 90000);
    assert_int_equal(port->health.start_period_ms, 90000);
    assert_int_equal(port->health.interval_ms, 250);
    assert_int_equal(port->health.retries, 3);
    assert_false(web->ports[2].health.enabled);
    assert_int_equal(web->environment_count, 5);
    assert_string_equal(web->environment[1].value, "12");
    assert_string_equal(web->environment[2].value, "true");
    assert_int_equal(m->target_count, 1);
    assert_true(manifest_has_argument(m, "REGION"));
    manifest_free(m);
}

static void test_all_errors_at_once(void **state)
{
    (void)state;
    assert_errors(
        "mode: shell\n"
        "deps: {}\n"
        "init_cache: []\n"
        "app:\n"
        "  image: node\n"
        "  services:\n"
        "    web:\n"
        "      ports: [99999, {port: 3000, host: keep}]\n"
        "      dependencies: [nobody]\n"
        "      environment: {X: \"${app.services.api.url[1]}\"}\n",
        "deploy.yaml:2:1: deps is not allowed in mode shell; start what is needed as a "
        "service\n"
        "deploy.yaml:3:1: init_cache was renamed to cache\n"
        "deploy.yaml:5:3: app.image is not allowed in mode shell; remove it\n"
        "deploy.yaml:8:7: app.services.web.script is required in mode shell: a non-empty "
        "list of commands\n"
        "deploy.yaml:8:15: app.services.web.ports[0] must be an integer from 1 to 65535\n"
        "deploy.yaml:8:41: app.services.web.ports[1].host must be preserve or rewrite\n"
        "deploy.yaml:9:22: app.services.web.dependencies[0]: no service named \"nobody\"; "
        "declared: web\n"
        "deploy.yaml:10:24: app.services.web.environment.X: ${app.services.api.url[1]}: "
        "no service named api; declared: web");
}

static void test_route_options(void **state)
{
    (void)state;
    struct manifest *m = parse("mode: shell\n"
                               "app:\n"
                               "  services:\n"
                               "    web:\n"
                               "      script: [./web]\n"
                               "      ports:\n"
                               "        - 3000\n"
                               "        - port: 3001\n"
                               "          access: secret\n"
                               "          backend: https\n"
                               "          insecure: true\n"
                               "          whitelist_ips: [10.0.0.0/8, '::1']\n"
                               "          rate_limit: 20\n"
                               "          max_concurrent: 4\n"
                               "        - port: 3002\n"
                               "          access: private\n"
                               "          backend: h2c\n"
                               "          insecure: false\n"
                               "          whitelistIps: [192.0.2.1]\n"
                               "          rate_limit: {requests_per_second: 5, burst: 9}\n");
    autofree char *errors = manifest_errors_text(m);
    assert_string_equal(errors, "");
    assert_int_equal(m->warnings.count, 0);
    const struct publish_options *o = &m->services[0].ports[0].options;
    assert_int_equal(o->access, PUBLISH_ACCESS_DEFAULT);
    assert_int_equal(o->backend, BACKEND_HTTP);
    assert_int_equal(o->whitelist_count + o->rate_per_second + o->exchanges_max, 0);
    o = &m->services[0].ports[1].options;
    assert_int_equal(o->access, PUBLISH_ACCESS_SECRET);
    assert_int_equal(o->backend, BACKEND_HTTPS_INSECURE);
    assert_int_equal(o->whitelist_count, 2);
    assert_int_equal(o->whitelist[0].bits, 8);
    assert_int_equal(o->whitelist[1].family, 6);
    assert_int_equal(o->rate_per_second, 20);
    assert_int_equal(o->rate_burst, 0);
    assert_int_equal(o->exchanges_max, 4);
    o = &m->services[0].ports[2].options;
    assert_int_equal(o->access, PUBLISH_ACCESS_PRIVATE);
    assert_int_equal(o->backend, BACKEND_H2C);
    assert_int_equal(o->whitelist_count, 1);
    assert_int_equal(o->rate_per_second, 5);
    assert_int_equal(o->rate_burst, 9);
    manifest_free(m);
}

static void test_route_option_errors(void **state)
{
    (void)state;
    assert_errors("mode: shell\n"
                  "app:\n"
                  "  services:\n"
                  "    web:\n"
                  "      script: [./web]\n"
                  "      ports:\n"
                  "        - {port: 1, access: open}\n"
                  "        - {port: 2, backend: http2}\n"
                  "        - {port: 3, insecure: true}\n"
                  "        - {port: 4, whitelist_ips: 10.0.0.1}\n"
                  "        - {port: 5, whitelist_ips: [10.0.0.1/8, 7]}\n"
                  "        - {port: 6, rate_limit: 0}\n"
                  "        - {port: 7, rate_limit: {burst: 3}}\n"
                  "        - {port: 8, max_concurrent: many}\n"
                  "        - {port: 9, whitelist_ips: [], whitelistIps: []}\n",
                  "deploy.yaml:7:29: app.services.web.ports[0].access must be public, secret or "
                  "private\n"
                  "deploy.yaml:8:30: app.services.web.ports[1].backend must be http, https or h2c\n"
                  "deploy.yaml:9:31: app.services.web.ports[2].insecure is for backend: https "
                  "only\n"
                  "deploy.yaml:10:36: app.services.web.ports[3].whitelist_ips must be a list of at "
                  "most 1000 addresses and CIDR prefixes\n"
                  "deploy.yaml:11:37: app.services.web.ports[4].whitelist_ips[0]: 10.0.0.1/8: the "
                  "address has bits set beyond the first 8; write the network's own address\n"
                  "deploy.yaml:11:49: app.services.web.ports[4].whitelist_ips[1] must be a text "
                  "with an address or CIDR prefix\n"
                  "deploy.yaml:12:33: app.services.web.ports[5].rate_limit must be an integer from "
                  "1 to 1000000\n"
                  "deploy.yaml:13:33: app.services.web.ports[6].rate_limit needs "
                  "requests_per_second, an integer from 1 to 1000000\n"
                  "deploy.yaml:14:37: app.services.web.ports[7].max_concurrent must be an integer "
                  "from 1 to 1000000\n"
                  "deploy.yaml:15:54: app.services.web.ports[8].whitelistIps is another spelling "
                  "of whitelist_ips; give one");
}

static void test_generated(void **state)
{
    (void)state;
    struct manifest *m = parse("app:\n"
                               "  image: node:22\n"
                               "  init_script: [npm ci]\n"
                               "  connect_npm_cache: true\n"
                               "  connect_bun_cache: ~/bun\n"
                               "  services:\n"
                               "    web: {ports: [3000], volumes: [\"data:/d\"], environment: {A: "
                               "\"${deps.db.containerName}:${deps.db.hostPort[5432]}\"}}\n"
                               "    api: {image: busybox, dependencies: [db], cwd: /srv}\n"
                               "deps:\n"
                               "  db: {image: postgres, ports: [5432], environment: {P: x}}\n"
                               "targets: {all: [web, db]}\n");
    autofree char *errors = manifest_errors_text(m);
    assert_string_equal(errors, "");
    assert_int_equal(m->mode, MANIFEST_GENERATED);
    assert_int_equal(m->service_count, 3);
    assert_string_equal(manifest_find(m, "web")->image, "node:22");
    assert_string_equal(manifest_find(m, "api")->image, "busybox");
    assert_true(manifest_find(m, "db")->is_dep);
    assert_false(manifest_find(m, "db")->ports[0].health.enabled);
    assert_true(m->caches[CACHE_NPM].enabled && m->caches[CACHE_NPM].path == NULL);
    assert_false(m->caches[CACHE_YARN].enabled);
    assert_string_equal(m->caches[CACHE_BUN].path, "~/bun");
    manifest_free(m);
    assert_errors("",
                  ""); /* generated, with nothing: refused by `up`, which has nothing to start */
    assert_errors("app: {services: {web: null}}\n",
                  "deploy.yaml:1:18: app.services.web needs image, as app.image gives no default");
    assert_errors("app: {services: {web: {image: a, init_script: [x]}}}\n",
                  "deploy.yaml:1:6: app.image is required where there is an init_script: it runs "
                  "there");
    assert_errors("deps: {db: {ports: [{port: 1}]}, db2: {image: x, script: [y]}, a/b: {image: "
                  "z}}\napp: {image: i, connect_npm_cache: rel, services: {wos-init: null}}\n",
                  "deploy.yaml:1:8: deps.db needs image\n"
                  "deploy.yaml:1:21: deps.db.ports[0] must be an integer from 1 to 65535\n"
                  "deploy.yaml:1:64: a name of deps must have 1 to 100 of [A-Za-z0-9._-], begin "
                  "with a letter or digit, and not be wos-init\n"
                  "deploy.yaml:2:36: app.connect_npm_cache must be true, false, an absolute path "
                  "or a path that begins with ~/\n"
                  "deploy.yaml:2:52: a service name must have 1 to 100 of [A-Za-z0-9._-], begin "
                  "with a letter or digit, and not be wos-init");
    assert_error_has(
        "app: {image: i, services: {web: {environment: {A: \"${deps.db.url[1]}\"}}}}\n",
        "deploy.yaml:1:51: app.services.web.environment.A: unknown expression "
        "${deps.db.url[1]}; allowed: app.services.");
    assert_error_has("app: {image: i, services: {db: null}}\ndeps: {db: {image: x}}\n",
                     "deploy.yaml:2:8: deps.db: app.services has a service of that name");
}

static void test_compose(void **state)
{
    (void)state;
    struct manifest *m = parse("mode: compose\n"
                               "compose:\n"
                               "  config: docker/compose.yml\n"
                               "  expose: [\"web:3000\", {name: web, port: 3001, access: private}, "
                               "\"api:80\"]\n"
                               "  env_file: .env\n"
                               "  environment: {URL: \"${expose.web.url[3000]}\"}\n");
    autofree char *errors = manifest_errors_text(m);
    assert_string_equal(errors, "");
    assert_string_equal(m->compose.config, "docker/compose.yml");
    assert_int_equal(m->service_count, 2);
    assert_int_equal(manifest_find(m, "web")->port_count, 2);
    assert_int_equal(m->compose.env_file_count, 1);
    assert_int_equal(m->compose.environment_count, 1);
    manifest_free(m);
    assert_error_has("mode: compose\napp: {}\n", "2:1: app is not allowed in mode compose");
    assert_error_has("mode: compose\n", "mode compose needs compose: a mapping of config and "
                                        "expose");
    assert_errors("mode: compose\ncompose: {expose: [web, {name: a}, \"a:0\", \"a:1\", \"a:1\", "
                  "{name: a, port: 2, healthcheck: false}], environment: {A: \"${X}\"}}\n",
                  "deploy.yaml:2:10: compose.config is required: the path of a compose file\n"
                  "deploy.yaml:2:20: compose.expose[0] must be \"service:port\" or a mapping of "
                  "name and port\n"
                  "deploy.yaml:2:25: compose.expose[1] needs name and port\n"
                  "deploy.yaml:2:36: compose.expose[2] must be \"service:port\" or a mapping of "
                  "name and port\n"
                  "deploy.yaml:2:50: compose.expose[4]: port 1 of a is exposed twice\n"
                  "deploy.yaml:2:76: compose.expose[5].healthcheck is not allowed in mode compose; "
                  "give the service one in its own file\n"
                  "deploy.yaml:2:115: compose.environment.A: unknown expression ${X}; allowed: "
                  "expose.<service>.hostPort[<port>], .hostname[<port>], .url[<port>]");
    assert_errors("mode: docker\n", "deploy.yaml:1:7: mode must be one of: generated, compose, "
                                    "shell, not \"docker\"");
}

static void test_bad_yaml(void **state)
{
    (void)state;
    assert_error_has("mode: shell\napp: [\n", "deploy.yaml:3:1: not valid YAML");
    assert_error_has("mode: shell\nmode: shell\n",
                     "2:1: the document: key \"mode\" is there twice");
    assert_error_has("mode: shell\n---\nmode: shell\n", "a second YAML document");
    assert_error_has("- a\n", "the document must be a mapping");
    assert_error_has("mode: shell\napp: {services: {a: {script: [x], ports: [{port: 1, "
                     "healthcheck: {url: foo}}]}}}\n",
                     "healthcheck.url must be a path that begins with /");
    assert_error_has("mode: shell\napp: {services: {a: {script: [x], ports: [1, 1]}}}\n",
                     "port 1 is declared twice");
    assert_error_has("mode: shell\nhost_ports: {range: {start: 5, end: 4}}\n",
                     "start 5 must not be above end 4");
}

static void test_bounds(void **state)
{
    (void)state;
    struct buf deep = {0};
    for (int i = 0; i < 60; i++) {
        buf_add_text(&deep, "[");
    }
    for (int i = 0; i < 60; i++) {
        buf_add_text(&deep, "]");
    }
    assert_error_has(buf_cstr(&deep), "nested deeper than 32 levels");
    buf_fini(&deep);
    struct buf bomb = {0};
    buf_add_text(&bomb, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++) {
        buf_printf(&bomb, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++) {
            buf_printf(&bomb, "%s*a%d", j == 0 ? "" : ", ", i - 1);
        }
        buf_add_text(&bomb, "]\n");
    }
    assert_error_has(buf_cstr(&bomb), "more than 20000 values");
    buf_fini(&bomb);
    assert_error_has("a: &a [*a]\n", "nested deeper");
    struct buf large = {0};
    while (large.len <= MANIFEST_TEXT_MAX) {
        buf_add_text(&large, "# a comment line that is there to make the file too large\n");
    }
    assert_error_has(buf_cstr(&large), "larger than 1 MiB");
    buf_fini(&large);
}

static void test_merge_keys(void **state)
{
    (void)state;
    struct manifest *m = parse("mode: shell\n"
                               "x-base: &base {script: [run], cwd: a}\n"
                               "app:\n"
                               "  services:\n"
                               "    web: {<<: *base, cwd: b}\n");
    assert_true(manifest_ok(m));
    const struct manifest_service *web = manifest_find(m, "web");
    assert_string_equal(web->cwd, "b");
    assert_string_equal(web->script[0], "run");
    manifest_free(m);
}

static void test_unknown_keys_warn(void **state)
{
    (void)state;
    struct manifest *m =
        parse("mode: shell\napp: {services: {a: {script: [x], enviroment: {}}}}\n");
    assert_true(manifest_ok(m));
    autofree char *warnings = manifest_warnings_text(m);
    assert_string_equal(warnings, "deploy.yaml:2:35: app.services.a: unknown key \"enviroment\" is "
                                  "ignored; did you mean \"environment\"?");
    manifest_free(m);
}

static void test_order(void **state)
{
    (void)state;
    struct manifest *m = parse("mode: shell\n"
                               "app: {services: {a: {script: [x], dependencies: [c]},\n"
                               "  b: {script: [x]}, c: {script: [x], dependencies: [b]}}}\n");
    assert_true(manifest_ok(m));
    autofree const struct manifest_service **sorted = order_services(m, NULL, NULL);
    assert_string_equal(sorted[0]->name, "b");
    assert_string_equal(sorted[1]->name, "c");
    assert_string_equal(sorted[2]->name, "a");
    manifest_free(m);
    assert_error_has("mode: shell\n"
                     "app: {services: {a: {script: [x], dependencies: [b]},\n"
                     "  b: {script: [x], dependencies: [a]}}}\n",
                     "dependency cycle: a -> b -> a");
    assert_error_has("mode: shell\napp: {services: {a: {script: [x], dependencies: [a]}}}\n",
                     "a service cannot depend on itself");
}

static void test_missing_file(void **state)
{
    (void)state;
    struct manifest *m = manifest_load("/nonexistent/.wos/deploy.yaml");
    assert_true(m->missing);
    autofree char *errors = manifest_errors_text(m);
    assert_string_equal(errors, "deploy config not found at /nonexistent/.wos/deploy.yaml");
    manifest_free(m);
    autofree char *path = manifest_path("/src", false);
    assert_string_equal(path, "/src/.wos/deploy.worktree.yaml");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clones_and_caches),
        cmocka_unit_test(test_full_file),
        cmocka_unit_test(test_all_errors_at_once),
        cmocka_unit_test(test_route_options),
        cmocka_unit_test(test_route_option_errors),
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_compose),
        cmocka_unit_test(test_bad_yaml),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_merge_keys),
        cmocka_unit_test(test_unknown_keys_warn),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
