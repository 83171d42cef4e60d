/* config.json: defaults, fail-soft reading, the rules between keys, and what is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/config.h"
#include "daemon/config_keys.h"

static struct config *parse(const char *text)
{
    return config_parse("/nowhere", str_of(text));
}

/* True if a problem of the key says `part`. */
static bool says(const struct config *c, const char *key, const char *part)
{
    for (size_t i = 0; i < c->problem_count; i++) {
        if (strcmp(c->problems[i].key, key) == 0 && strstr(c->problems[i].message, part) != NULL) {
            return true;
        }
    }
    return false;
}

static void test_no_file_is_all_defaults(void **state)
{
    (void)state;
    struct config *c = config_parse("/nowhere", STR_NONE);
    assert_int_equal(c->problem_count, 0);
    assert_false(c->exists);
    assert_int_equal(c->web_port, 4949);
    assert_string_equal(c->web_host, "127.0.0.1");
    assert_int_equal(c->tunnel_port, 5858);
    assert_int_equal(config_public_port(c), 5858);
    assert_false(c->tunnel_enabled);
    assert_false(c->service_tunnels_enabled);
    assert_int_equal(c->service_host_mode, ROUTE_HOST_PRESERVE);
    assert_int_equal(c->health_timeout_ms, 180000);
    assert_int_equal(c->health_retries, 20);
    assert_null(c->service_bind);
    config_free(c);
}

/* The table repeats what routing/snapshot.h promises; they must not drift apart. */
static void test_limits_match_the_snapshot(void **state)
{
    (void)state;
    struct config *c = config_parse("/nowhere", STR_NONE);
    assert_memory_equal(&c->limits, &limits_default, sizeof c->limits);
    config_free(c);
}

/* Encodes and decodes a snapshot with the configuration's limits and proxies. */
static void assert_can_be_published(const struct config *c, const char *what)
{
    struct snapshot_spec spec = {
        .generation = 1,
        .public_port = 5858,
        .tls_min = 2,
        .limits = c->limits,
        .trusted_proxies = {c->trusted_proxies.items, c->trusted_proxies.count},
        .proxy_protocol = {c->proxy_protocol.items, c->proxy_protocol.count}};
    struct buf bytes = {0};
    struct err err = {.msg = ""};
    snapshot_encode(&spec, &bytes);
    struct snapshot *s = snapshot_decode(buf_str(&bytes), &err);
    if (s == NULL) {
        fail_msg("%s: %s", what, err.msg);
    }
    assert_memory_equal(&s->spec.limits, &c->limits, sizeof c->limits);
    snapshot_unref(s);
    buf_fini(&bytes);
}

/* failedSecretsFree 0 could be configured but not published. */
static void test_every_limit_can_be_published_at_both_ends(void **state)
{
    (void)state;
    unsigned seen = 0;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (!str_starts(str_of(key->path), STR("tunnel.limits."))) {
            continue;
        }
        const uint32_t ends[] = {key->min, key->max};
        for (size_t k = 0; k < COUNT_OF(ends); k++) {
            struct config *c = config_parse("/nowhere", STR_NONE);
            autofree char *what = xasprintf("%s = %u", key->path, ends[k]);
            memcpy((char *)c + key->offset, &ends[k], sizeof ends[k]);
            assert_can_be_published(c, what);
            config_free(c);
        }
        seen++;
    }
    assert_int_equal(seen, sizeof(struct limits) / sizeof(uint32_t));
}

/* config.json with a list of that many addresses. */
static struct config *parse_proxies(const char *key, unsigned count)
{
    struct buf text = {0};
    buf_printf(&text, "{\"tunnel\": {\"%s\": [", key);
    for (unsigned i = 0; i < count; i++) {
        buf_printf(&text, "%s\"10.0.%u.%u\"", i == 0 ? "" : ", ", i / 256, i % 256);
    }
    buf_printf(&text, "]}}");
    struct config *c = config_parse("/nowhere", buf_str(&text));
    buf_fini(&text);
    return c;
}

/* Longer lists were taken, and then nothing could be published. */
static void test_lists_of_proxies_are_as_long_as_a_snapshot_holds(void **state)
{
    (void)state;
    const char *const names[] = {"trustedProxies", "proxyProtocol"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct config *c = parse_proxies(names[i], SNAPSHOT_PEERS_MAX);
        autofree char *key = xasprintf("tunnel.%s", names[i]);
        assert_int_equal(c->problem_count, 0);
        assert_int_equal(c->trusted_proxies.count + c->proxy_protocol.count, SNAPSHOT_PEERS_MAX);
        assert_can_be_published(c, key);
        config_free(c);
        c = parse_proxies(names[i], SNAPSHOT_PEERS_MAX + 1);
        assert_true(says(c, key, "has 1001 entries, more than the 1000 there may be"));
        assert_int_equal(c->trusted_proxies.count + c->proxy_protocol.count, 0);
        config_free(c);
    }
}

static void test_not_json_is_one_problem(void **state)
{
    (void)state;
    struct config *c = parse("{\"web\": {\n  \"port\": oops }}");
    assert_int_equal(c->problem_count, 1);
    assert_true(says(c, "", "config.json"));
    assert_true(says(c, "", "all defaults"));
    assert_int_equal(c->web_port, 4949);
    config_free(c);
    c = parse("[1]");
    assert_int_equal(c->problem_count, 1);
    config_free(c);
    c = parse("");
    assert_int_equal(c->problem_count, 1);
    config_free(c);
}

static void test_every_problem_is_named_and_the_rest_works(void **state)
{
    (void)state;
    struct config *c = parse("{\"web\": {\"port\": 70000, \"host\": \" \"}, \"healthcheck\": "
                             "{\"timeout\": \"2x\", \"interval\": \"1.5s\", \"retries\": 1.5},"
                             "\"tunel\": {}, \"tunnel\": {\"port\": 6000, \"limits\": 7}}");
    assert_true(says(c, "web.port", "1 to 65535"));
    assert_true(says(c, "web.port", "using 4949"));
    assert_true(says(c, "web.host", "not blank"));
    assert_true(says(c, "healthcheck.timeout", "duration"));
    assert_true(says(c, "healthcheck.retries", "integer"));
    assert_true(says(c, "tunel", "unknown key"));
    assert_true(says(c, "tunnel.limits", "object"));
    assert_int_equal(c->problem_count, 6);
    assert_int_equal(c->web_port, 4949);
    assert_int_equal(c->health_interval_ms, 1500);
    assert_int_equal(c->tunnel_port, 6000);
    config_free(c);
}

static void test_unknown_keys_name_the_nearest(void **state)
{
    (void)state;
    struct config *c = parse("{\"tunnel\": {\"prot\": 1, \"publicport\": 2}, \"xyzzy\": 1}");
    assert_true(says(c, "tunnel.prot", "tunnel.port"));
    assert_true(says(c, "tunnel.publicport", "tunnel.publicPort"));
    assert_true(says(c, "xyzzy", "ignored"));
    assert_false(says(c, "xyzzy", "did you mean"));
    config_free(c);
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t ms; /* 0: refused, the default stays */
    } cases[] = {
        {"250", 250},       {"\"250\"", 250}, {"\"1.5s\"", 1500}, {"\" 2M \"", 120000},
        {"\"200ms\"", 200}, {"\"0.4ms\"", 0}, {"0", 0},           {"-5", 0},
        {"1.5", 0},         {"\"s\"", 0},     {"\"1.s\"", 0},     {"\"1 s\"", 0},
        {"\"1e3\"", 0},     {"true", 0},      {"1e300", 0},       {"\"99999999999m\"", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        autofree char *text = xasprintf("{\"healthcheck\": {\"interval\": %s}}", cases[i].text);
        struct config *c = parse(text);
        assert_int_equal(c->health_interval_ms, cases[i].ms == 0 ? 5000 : cases[i].ms);
        assert_int_equal(c->problem_count, cases[i].ms == 0 ? 1 : 0);
        config_free(c);
    }
}

/* A second list once leaked the first. */
static void test_a_key_may_stand_twice(void **state)
{
    (void)state;
    struct config *c = parse("{\"tunnel\": {\"serviceTunnels\": {\"whitelistIps\": [\"10.0.0.1\"], "
                             "\"whitelistIps\": [\"10.0.0.2\", \"10.0.0.3\"]}}, "
                             "\"serviceBind\": \"a\", \"serviceBind\": \"b\"}");
    assert_int_equal(c->service_whitelist.count, 2);
    assert_string_equal(c->service_bind, "b");
    config_free(c);
}

static void test_tunnel_needs_a_domain(void **state)
{
    (void)state;
    struct config *c = parse("{\"tunnel\": {\"enabled\": true}}");
    assert_false(c->tunnel_enabled);
    assert_true(says(c, "tunnel.domain", "needed"));
    config_free(c);
    c = parse("{\"tunnel\": {\"enabled\": true, \"domain\": \"a b.example\"}}");
    assert_false(c->tunnel_enabled);
    assert_true(says(c, "tunnel.domain", "not a domain"));
    config_free(c);
    c = parse("{\"tunnel\": {\"enabled\": true, \"domain\": \"Dev.Example.COM\"}}");
    assert_true(c->tunnel_enabled);
    assert_string_equal(c->tunnel_domain, "dev.example.com");
    assert_int_equal(c->problem_count, 0);
    config_free(c);
    c = parse("{\"tunnel\": {\"enabled\": \"yes\", \"domain\": \"dev.example.com\"}}");
    assert_false(c->tunnel_enabled);
    assert_true(says(c, "tunnel.enabled", "true or false"));
    config_free(c);
}

/* A list with a mistake must never become "everyone". */
static void test_bad_whitelist_closes_its_block(void **state)
{
    (void)state;
    struct config *c =
        parse("{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\", \"serviceTunnels\": "
              "{\"enabled\": true, \"whitelistIps\": [\"10.0.0.0/8\", \"10.0.0.1/8\"]},"
              "\"webUi\": {\"enabled\": true, \"subdomain\": \"ui\", \"secret\": \"s\", "
              "\"whitelistIps\": \"10.0.0.1\"}}}");
    assert_true(c->tunnel_enabled);
    assert_false(c->service_tunnels_enabled);
    assert_int_equal(c->service_whitelist.count, 0);
    assert_true(says(c, "tunnel.serviceTunnels.whitelistIps", "entry 2"));
    assert_false(c->web_ui_enabled);
    config_free(c);
    c = parse("{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\", \"serviceTunnels\": "
              "{\"enabled\": true, \"host\": \"rewrite\", \"whitelistIps\": "
              "[\"10.0.0.0/8\", \"2001:db8::/32\", \"::1\"]}}}");
    assert_int_equal(c->problem_count, 0);
    assert_true(c->service_tunnels_enabled);
    assert_int_equal(c->service_whitelist.count, 3);
    assert_int_equal(c->service_host_mode, ROUTE_HOST_REWRITE);
    config_free(c);
}

static struct config *parse_services(const char *block)
{
    autofree char *text = xasprintf("{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\", "
                                    "\"serviceTunnels\": %s}}",
                                    block);
    return parse(text);
}

/* Nor does anything else about who may see services; published ports are of this block too. */
static void test_unknown_access_is_nobody(void **state)
{
    (void)state;
    static const struct {
        const char *block;
        uint32_t access; /* 0 public, 1 secret, 2 private */
    } cases[] = {
        {"{}", 0},
        {"{\"access\": \"secret\"}", 1},
        {"{\"access\": \"private\"}", 2},
        {"{\"access\": \"sercet\"}", 2},
        {"{\"access\": true}", 2},
        {"{\"whitelistIps\": [\"10.0.0.1/8\"]}", 2},
        {"{\"access\": \"secret\", \"whitelistIps\": 7}", 2},
        {"\"public\"", 2},
        {"[]", 2},
        {"{\"secret\": 7, \"access\": \"secret\"}", 1}, /* and no secret: closed */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config *c = parse_services(cases[i].block);
        if (c->service_access != cases[i].access) {
            fail_msg("%s: %u", cases[i].block, c->service_access);
        }
        assert_null(c->service_secret);
        config_free(c);
    }
}

static void test_a_web_host_beyond_loopback_needs_the_secret(void **state)
{
    (void)state;
    static const struct {
        const char *host, *more;
        bool exposed;
        const char *fault; /* part of it; NULL: none */
    } cases[] = {
        {"127.0.0.1", "", false, NULL},
        {"localhost", "", false, NULL},
        {"::1", "", false, NULL},
        {"127.1.2.3", "", false, NULL},
        {"192.0.2.7", "", true, "tunnel.webUi.secret is not set"},
        {"0.0.0.0", "", true, "tunnel.webUi.secret is not set"},
        {"::", "", true, "tunnel.webUi.secret is not set"},
        {"::ffff:127.0.0.1", "", true, "tunnel.webUi.secret is not set"},
        {"example.com", "", false, "is not an IP address"},
        {"127.1", "", false, "is not an IP address"},
        {"192.0.2.7", ", \"tunnel\": {\"webUi\": {\"secret\": \"long enough\"}}", true, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        autofree char *text =
            xasprintf("{\"web\": {\"host\": \"%s\"}%s}", cases[i].host, cases[i].more);
        struct config *c = parse(text);
        assert_int_equal(c->web_is_exposed, cases[i].exposed);
        assert_int_equal(c->web_fault != NULL, cases[i].fault != NULL);
        assert_true(cases[i].fault == NULL || says(c, "web.host", cases[i].fault));
        config_free(c);
    }
}

static void test_warnings_are_no_problems(void **state)
{
    (void)state;
    struct config *c = parse_services("{\"secret\": \"eleven chrs\", \"access\": \"secret\"}");
    assert_true(says(c, "tunnel.serviceTunnels.secret", "less than 12 characters"));
    assert_false(config_has_problem(c, "tunnel.serviceTunnels.secret"));
    assert_int_equal(config_error_count(c), 0);
    config_free(c);
    c = parse_services("{\"secret\": \"twelve chars\", \"access\": \"secret\"}");
    assert_int_equal(c->problem_count, 0);
    config_free(c);
    c = parse_services("{\"secret\": \"a long secret with a space \"}");
    assert_true(says(c, "tunnel.serviceTunnels.secret", "ends with a space"));
    config_free(c);
    c = parse_services("{\"secret\": \"a long secret\\twith a tab\"}");
    assert_true(says(c, "tunnel.serviceTunnels.secret", "control character"));
    config_free(c);
    autofree char *long_one = xasprintf("{\"secret\": \"%01025d\"}", 0);
    c = parse_services(long_one);
    assert_true(says(c, "tunnel.serviceTunnels.secret", "more than 1024 bytes"));
    assert_int_equal(config_error_count(c), 0);
    config_free(c);
    c = parse_services("{\"secret\": \"pass\u00e4 wort \u20ac\"}");
    assert_int_equal(c->problem_count, 0);
    config_free(c);
    c = parse_services("{\"access\": \"secret\"}");
    assert_true(says(c, "tunnel.serviceTunnels.access", "closed to everyone"));
    assert_int_equal(config_error_count(c), 0);
    config_free(c);
}

static struct config *parse_web_ui(const char *block)
{
    autofree char *text = xasprintf(
        "{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\", \"webUi\": %s}}", block);
    return parse(text);
}

static void test_web_ui(void **state)
{
    (void)state;
    static const struct {
        const char *block;
        const char *host; /* NULL: off */
    } cases[] = {
        {"{\"enabled\": true, \"subdomain\": \" UI \", \"secret\": \"s\"}", "ui.d.test"},
        {"{\"enabled\": true, \"subdomain\": \"a.d.test\", \"secret\": \"s\"}", "a.d.test"},
        {"{\"enabled\": true, \"subdomain\": \"d.test\", \"secret\": \"s\"}", NULL},
        {"{\"enabled\": true, \"subdomain\": \"ui.other.test\", \"secret\": \"s\"}", NULL},
        {"{\"enabled\": true, \"subdomain\": \"-ui\", \"secret\": \"s\"}", NULL},
        {"{\"enabled\": true, \"subdomain\": \"ui:80\", \"secret\": \"s\"}", NULL},
        {"{\"enabled\": true, \"subdomain\": \"ui\"}", NULL},
        {"{\"enabled\": true, \"secret\": \"s\"}", NULL},
        {"{\"subdomain\": \"ui\", \"secret\": \"s\"}", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config *c = parse_web_ui(cases[i].block);
        assert_int_equal(c->web_ui_enabled, cases[i].host != NULL);
        if (cases[i].host != NULL) {
            assert_string_equal(c->web_ui_hostname, cases[i].host);
        }
        config_free(c);
    }
}

static void test_web_public_is_an_alias(void **state)
{
    (void)state;
    struct config *c =
        parse("{\"web\": {\"public\": {\"enabled\": true, \"hostname\": \"ui\", \"secret\": "
              "\"s\"}}, \"tunnel\": {\"enabled\": true, \"domain\": \"d.test\"}}");
    assert_true(c->web_ui_enabled);
    assert_string_equal(c->web_ui_hostname, "ui.d.test");
    assert_true(says(c, "web.public", "tunnel.webUi"));
    assert_int_equal(config_error_count(c), 0);
    config_free(c);
}

static void test_one_port_for_two_listeners_is_a_problem(void **state)
{
    (void)state;
    struct config *c = parse("{\"web\": {\"port\": 7000}, \"tunnel\": {\"enabled\": true, "
                             "\"domain\": \"d.test\", \"port\": 7000}}");
    assert_true(says(c, "web.port", "is tunnel.port already"));
    config_free(c);
}

/* Whatever is wrong with the settings of a certificate, TLS stays on. */
static void test_ssl_never_becomes_plaintext(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "{\"enabled\": true, \"source\": \"files\", \"cert\": \"a.pem\"}",
        "{\"enabled\": true, \"source\": \"magic\"}",
        "{\"enabled\": true, \"source\": \"letsencrypt\"}",
        "{\"enabled\": true, \"source\": \"letsencrypt\", \"letsencrypt\": {\"email\": \"a@b\", "
        "\"acceptTerms\": true, \"challenge\": {\"type\": \"dns-01\", \"provider\": \"hook\"}}}",
    };
    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        autofree char *text = xasprintf(
            "{\"tunnel\": {\"enabled\": true, \"domain\": \"d.example.com\", \"ssl\": %s}}",
            broken[i]);
        struct config *c = parse(text);
        assert_true(c->tunnel_ssl.enabled);
        assert_int_equal(c->tunnel_ssl.source, SSL_SELF_SIGNED);
        assert_string_equal(config_scheme(c), "https");
        assert_true(c->problem_count > 0);
        config_free(c);
    }
}

static void test_resolvers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
    } rows[] = {{"9.9.9.9:53", true},      {"[2001:db8::1]:53", true},
                {"dns.example:53", true},  {"localhost:5353", true},
                {"dns.example", false},    {"9.9.9:53", false},
                {"dns example:53", false}, {":53", false}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *text = xasprintf(
            "{\"tunnel\": {\"enabled\": true, \"domain\": \"d.example.com\", \"ssl\": "
            "{\"enabled\": "
            "true, \"source\": \"letsencrypt\", \"letsencrypt\": {\"email\": \"a@b.c\", "
            "\"acceptTerms\": true, \"resolvers\": [\"%s\"], \"challenge\": {\"type\": \"dns-01\", "
            "\"provider\": \"hook\", \"createCommand\": \"a\", \"deleteCommand\": \"b\"}}}}}",
            rows[i].text);
        struct config *c = parse(text);
        assert_int_equal(c->problem_count, rows[i].is_good ? 0 : 1);
        assert_true(rows[i].is_good || says(c, "tunnel.ssl", "letsencrypt.resolvers"));
        config_free(c);
    }
}

static void test_redirect_port(void **state)
{
    (void)state;
    static const struct {
        const char *tunnel;
        const char *problem; /* NULL: none */
    } rows[] = {
        {"\"redirectPort\":8080,\"ssl\":{\"enabled\":true}", NULL},
        {"\"redirectPort\":0", NULL},
        {"\"redirectPort\":8080", "needs tunnel.ssl.enabled"},
        {"\"redirectPort\":5858,\"ssl\":{\"enabled\":true}", "is tunnel.port already"},
        {"\"redirectPort\":4949,\"ssl\":{\"enabled\":true}", "is web.port already"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *text = xasprintf(
            "{\"tunnel\":{\"enabled\":true,\"domain\":\"a.example\",%s}}", rows[i].tunnel);
        struct config *c = parse(text);
        assert_int_equal(c->problem_count, rows[i].problem == NULL ? 0 : 1);
        if (rows[i].problem != NULL) {
            assert_true(says(c, "tunnel.redirectPort", rows[i].problem));
            assert_int_equal(c->redirect_port, 0);
        }
        assert_true(c->tunnel_enabled);
        config_free(c);
    }
}

static void test_second_certificate(void **state)
{
    (void)state;
    static const struct {
        const char *ssl;
        bool is_good;
    } rows[] = {
        {"\"cert\":\"a\",\"key\":\"b\",\"rsaCert\":\"c\",\"rsaKey\":\"d\"", true},
        {"\"cert\":\"a\",\"key\":\"b\",\"rsaCert\":\"c\"", false},
        {"\"cert\":\"a\",\"key\":\"b\",\"rsaKey\":\"d\"", false},
        {"\"rsaCert\":\"c\",\"rsaKey\":\"d\"", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *text = xasprintf("{\"tunnel\":{\"enabled\":true,\"domain\":\"a.example\","
                                        "\"ssl\":{\"enabled\":true,%s}}}",
                                        rows[i].ssl);
        struct config *c = parse(text);
        assert_int_equal(c->problem_count, rows[i].is_good ? 0 : 1);
        assert_true(rows[i].is_good || says(c, "tunnel.ssl", "rsaCert and rsaKey need each other"));
        assert_int_equal(c->tunnel_ssl.rsa_cert != NULL, rows[i].is_good);
        assert_int_equal(c->tunnel_ssl.rsa_key != NULL, rows[i].is_good);
        config_free(c);
    }
}

static void test_ssl_source_is_derived(void **state)
{
    (void)state;
    struct config *c = parse("{\"tunnel\": {\"ssl\": {\"enabled\": true, \"cert\": \"a\", "
                             "\"key\": \"b\"}}}");
    assert_int_equal(c->tunnel_ssl.source, SSL_FILES);
    config_free(c);
    c = parse("{\"tunnel\": {\"ssl\": {\"enabled\": true}}}");
    assert_int_equal(c->tunnel_ssl.source, SSL_SELF_SIGNED);
    config_free(c);
    c = parse("{\"tunnel\": {\"enabled\": true, \"domain\": \"d.example.com\", \"ssl\": "
              "{\"enabled\": true, \"source\": \"letsencrypt\", \"letsencrypt\": {\"email\": "
              "\"a@b.c\", \"acceptTerms\": true, \"challenge\": {\"type\": \"dns-01\", "
              "\"provider\": \"cloudflare\", \"apiToken\": \"t\", \"apiTokenEnv\": \"V\"}}}}}");
    assert_int_equal(c->problem_count, 0);
    assert_int_equal(c->tunnel_ssl.source, SSL_LETSENCRYPT);
    assert_null(c->tunnel_ssl.api_token); /* the environment wins */
    config_free(c);
}

static void test_secrets_are_not_repeated(void **state)
{
    (void)state;
    struct config *c = parse("{\"tunnel\": {\"webUi\": {\"secret\": [\"hunter2\"]}}}");
    assert_true(config_has_problem(c, "tunnel.webUi.secret"));
    assert_false(says(c, "tunnel.webUi.secret", "hunter2"));
    config_free(c);
}

static char *printed(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    print(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* Keys that nothing here uses yet are checked all the same: each text is one problem. */
static void test_keys_of_other_parts_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *key;
    } cases[] = {
        {"{\"terminalBackend\": \"screen\"}", "terminalBackend"},
        {"{\"terminalBackend\": true}", "terminalBackend"},
        {"{\"editorCommand\": 1}", "editorCommand"},
        {"{\"autoInjectAgentPlugins\": \"yes\"}", "autoInjectAgentPlugins"},
        {"{\"firstRunCompleted\": \"\"}", "firstRunCompleted"},
        {"{\"aiProviders\": {}}", "aiProviders"},
        {"{\"aiProviders\": [7]}", "aiProviders"},
        {"{\"aiProviders\": [{\"type\": \"x\", \"apiKey\": \"k\"}]}", "aiProviders"},
        {"{\"aiProviders\": [{\"type\": \"openai\", \"apiKey\": \"\"}]}", "aiProviders"},
        {"{\"aiProviders\": [{\"type\": \"openai\", \"apiKey\": \"k\", \"models\": [1]}]}",
         "aiProviders"},
        {"{\"commitMessages\": []}", "commitMessages"},
        {"{\"commitMessages\": {\"model\": 1}}", "commitMessages.model"},
        {"{\"commitMessages\": {\"provider\": \"mine\"}}", "commitMessages.provider"},
        {"{\"logging\": true}", "logging"},
        {"{\"logging\": {\"enabled\": 1}}", "logging.enabled"},
        {"{\"logging\": {\"level\": \"loud\"}}", "logging.level"},
        {"{\"logging\": {\"modules\": {\"git\": \"loud\"}}}", "logging.modules.git"},
        {"{\"logging\": {\"file\": \" \"}}", "logging.file"},
        {"{\"logging\": {\"perf\": {\"slowMs\": {\"default\": -1}}}}", "logging.perf.slowMs"},
        {"{\"notifications\": 1}", "notifications"},
        {"{\"notifications\": {\"rules\": {\"agent.done\": {\"enabled\": 1}}}}",
         "notifications.rules.agent.done.enabled"},
        {"{\"notifications\": {\"channels\": {\"telegram\": {\"mode\": \"x\"}}}}",
         "notifications.channels.telegram.mode"},
        {"{\"notifications\": {\"pushSubscriptions\": [{\"endpoint\": \"u\"}]}}",
         "notifications.pushSubscriptions"},
        {"{\"web\": {\"ssl\": {\"enabled\": \"no\"}}}", "web.ssl.enabled"},
        {"{\"web\": {\"ssl\": {\"enabled\": true, \"source\": \"files\"}}}", "web.ssl"},
        {"{\"web\": {\"ssl\": true}}", "web.ssl"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config *c = parse(cases[i].text);
        assert_int_equal(c->problem_count, 1);
        assert_string_equal(c->problems[0].key, cases[i].key);
        config_free(c);
    }
    struct config *c =
        parse("{\"terminalBackend\": \"tmux\", \"editorCommand\": \"\", \"logging\": {\"level\": "
              "\"debug\", \"perf\": {\"slowMs\": {\"default\": 5}}}, \"aiProviders\": [{\"type\": "
              "\"openai\", \"apiKey\": \"k\", \"name\": \"mine\"}], \"commitMessages\": "
              "{\"provider\": \"mine\"}, \"web\": {\"ssl\": {\"enabled\": false}}}");
    assert_int_equal(c->problem_count, 0);
    assert_int_equal(c->terminal_backend, TERMINAL_TMUX);
    config_free(c);
}

static void test_defaults_read_back_without_a_problem(void **state)
{
    (void)state;
    autofree char *text = printed(config_print_defaults);
    struct config *c = parse(text);
    assert_int_equal(c->problem_count, 0);
    assert_int_equal(c->tunnel_drain_seconds, 600);
    config_free(c);
}

static void test_docs_have_every_key_and_are_the_page(void **state)
{
    (void)state;
    autofree char *text = printed(config_print_docs);
    for (size_t i = 0; i < config_key_count; i++) {
        autofree char *cell = xasprintf("| `%s` |", config_keys[i].path);
        assert_non_null(strstr(text, cell));
    }
    struct err err;
    struct buf page = {0};
    if (file_read(WOS_SOURCE_DIR "/docs/CONFIG.md", 1 << 20, &page, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    assert_string_equal(buf_cstr(&page), text);
    buf_fini(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_file_is_all_defaults),
        cmocka_unit_test(test_limits_match_the_snapshot),
        cmocka_unit_test(test_every_limit_can_be_published_at_both_ends),
        cmocka_unit_test(test_lists_of_proxies_are_as_long_as_a_snapshot_holds),
        cmocka_unit_test(test_not_json_is_one_problem),
        cmocka_unit_test(test_every_problem_is_named_and_the_rest_works),
        cmocka_unit_test(test_unknown_keys_name_the_nearest),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_a_key_may_stand_twice),
        cmocka_unit_test(test_tunnel_needs_a_domain),
        cmocka_unit_test(test_bad_whitelist_closes_its_block),
        cmocka_unit_test(test_unknown_access_is_nobody),
        cmocka_unit_test(test_a_web_host_beyond_loopback_needs_the_secret),
        cmocka_unit_test(test_warnings_are_no_problems),
        cmocka_unit_test(test_web_ui),
        cmocka_unit_test(test_web_public_is_an_alias),
        cmocka_unit_test(test_one_port_for_two_listeners_is_a_problem),
        cmocka_unit_test(test_ssl_never_becomes_plaintext),
        cmocka_unit_test(test_resolvers),
        cmocka_unit_test(test_redirect_port),
        cmocka_unit_test(test_second_certificate),
        cmocka_unit_test(test_ssl_source_is_derived),
        cmocka_unit_test(test_secrets_are_not_repeated),
        cmocka_unit_test(test_keys_of_other_parts_are_checked),
        cmocka_unit_test(test_defaults_read_back_without_a_problem),
        cmocka_unit_test(test_docs_have_every_key_and_are_the_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
