/* narrowing: which snapshots let in less than the one before. */
#include "routing/narrowing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"

enum { ROUTES = 3, POLICIES = 2 };

struct fixture {
    struct ip_prefix list[2];
    struct policy policies[POLICIES];
    struct route routes[ROUTES + 1]; /* one to spare */
    uint64_t revoked[2];
    struct snapshot_spec spec;
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){
        .list = {{.family = 4, .bits = 32, .bytes = {192, 0, 2, 1}},
                 {.family = 4, .bits = 32, .bytes = {192, 0, 2, 2}}},
        .revoked = {7, 9},
    };
    f->policies[1] = (struct policy){.access = POLICY_SECRET,
                                     .allow = f->list,
                                     .allow_count = 2,
                                     .route_allow = f->list,
                                     .route_allow_count = 1};
    f->routes[0] = (struct route){.host = STR("a.test"), .service = STR("a"), .port = 1};
    f->routes[1] = (struct route){
        .host = STR("b.test"), .service = STR("b"), .worktree = STR("w"), .port = 2, .policy = 1};
    f->routes[2] = (struct route){.host = STR("c.test"), .service = STR("c"), .port = 3};
    f->routes[3] = (struct route){.host = STR("d.test"), .service = STR("d"), .port = 4};
    f->spec = (struct snapshot_spec){
        .tls_min = 2,
        .limits = limits_default,
        .access = {.has_secret = true, .revoked = f->revoked, .revoked_count = 1},
        .routes = f->routes,
        .route_count = ROUTES,
        .policies = f->policies,
        .policy_count = POLICIES,
    };
}

static struct snapshot *take(const struct fixture *f)
{
    struct buf bytes = {0};
    struct err err = {.msg = ""};
    snapshot_encode(&f->spec, &bytes);
    struct snapshot *s = snapshot_decode(buf_str(&bytes), &err);
    buf_fini(&bytes);
    if (s == NULL) {
        fail_msg("%s", err.msg);
    }
    return s;
}

typedef void change_fn(struct fixture *f);

static bool is_needed_after(change_fn *change)
{
    struct fixture f;
    fixture_init(&f);
    struct snapshot *before = take(&f);
    change(&f);
    struct snapshot *now = take(&f);
    bool needed = narrowing_between(before, now);
    snapshot_unref(before);
    snapshot_unref(now);
    return needed;
}

static void nothing(struct fixture *f)
{
    f->spec.generation++;
}

static void another_port(struct fixture *f)
{
    f->routes[1].port = 99;
}

static void another_state(struct fixture *f)
{
    f->routes[0].state = ROUTE_STOPPED;
}

static void one_more(struct fixture *f)
{
    f->spec.route_count++;
}

static void one_more_in_front(struct fixture *f)
{
    struct route last = f->routes[3];
    memmove(&f->routes[1], &f->routes[0], ROUTES * sizeof f->routes[0]);
    f->routes[0] = last;
    f->spec.route_count++;
}

static void another_order(struct fixture *f)
{
    struct route first = f->routes[0];
    f->routes[0] = f->routes[2];
    f->routes[2] = first;
}

static void another_rate(struct fixture *f)
{
    f->policies[0].rate_per_second = 5;
    f->policies[0].rate_burst = 5;
}

static void one_less(struct fixture *f)
{
    f->spec.route_count--;
}

static void first_removed(struct fixture *f)
{
    f->spec.routes++;
    f->spec.route_count--;
}

static void none(struct fixture *f)
{
    f->spec.route_count = 0;
}

static void replaced(struct fixture *f)
{
    f->routes[2] = f->routes[3];
}

static void another_service(struct fixture *f)
{
    f->routes[0].service = STR("z");
}

static void another_worktree(struct fixture *f)
{
    f->routes[1].worktree = STR("z");
}

static void another_policy(struct fixture *f)
{
    f->routes[0].policy = 1;
}

static void secret_wanted(struct fixture *f)
{
    f->policies[0].access = POLICY_SECRET;
}

static void class_list(struct fixture *f)
{
    f->policies[1].allow_count = 1;
}

static void route_list(struct fixture *f)
{
    f->policies[1].route_allow = &f->list[1];
}

static void one_policy_more(struct fixture *f)
{
    static struct policy three[POLICIES + 1];
    memcpy(three, f->policies, sizeof f->policies);
    f->spec.policies = three;
    f->spec.policy_count = POLICIES + 1;
}

static void policies_in_another_order(struct fixture *f)
{
    struct policy first = f->policies[0];
    f->policies[0] = f->policies[1];
    f->policies[1] = first;
    for (size_t i = 0; i < COUNT_OF(f->routes); i++) {
        f->routes[i].policy = 1 - f->routes[i].policy;
    }
}

static void no_secret(struct fixture *f)
{
    f->spec.access.has_secret = false;
}

static void another_secret(struct fixture *f)
{
    f->spec.access.digest[SNAPSHOT_ACCESS_KEY - 1] = 1;
}

static void another_key(struct fixture *f)
{
    f->spec.access.key[0] = 1;
}

static void one_revoked(struct fixture *f)
{
    f->spec.access.revoked_count = 2;
}

static void another_revoked(struct fixture *f)
{
    f->revoked[0] = 8;
}

/* Whose word about its client counts: a whitelist lets in others than before. */
static void another_trusted_proxy(struct fixture *f)
{
    f->spec.trusted_proxies = (struct peer_list){f->list, 1};
}

static void another_proxy_protocol(struct fixture *f)
{
    f->spec.proxy_protocol = (struct peer_list){f->list, 2};
}

static void test_harmless(void **state)
{
    (void)state;
    change_fn *const changes[] = {nothing,      another_port,      another_state,
                                  one_more,     one_more_in_front, another_order,
                                  another_rate, one_policy_more,   policies_in_another_order};
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        if (is_needed_after(changes[i])) {
            fail_msg("harmless change %zu", i);
        }
    }
}

static void test_needed(void **state)
{
    (void)state;
    change_fn *const changes[] = {one_less,
                                  first_removed,
                                  none,
                                  replaced,
                                  another_service,
                                  another_worktree,
                                  another_policy,
                                  secret_wanted,
                                  class_list,
                                  route_list,
                                  no_secret,
                                  another_secret,
                                  another_key,
                                  one_revoked,
                                  another_revoked,
                                  another_trusted_proxy,
                                  another_proxy_protocol};
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        if (!is_needed_after(changes[i])) {
            fail_msg("change %zu", i);
        }
    }
}

/* Nobody was in by a secret, so a first one takes nothing away. */
static void test_a_first_secret_is_no_narrowing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    no_secret(&f);
    struct snapshot *before = take(&f);
    f.spec.access.has_secret = true;
    another_key(&f);
    struct snapshot *now = take(&f);
    assert_false(narrowing_between(before, now));
    assert_true(narrowing_between(now, before));
    snapshot_unref(before);
    snapshot_unref(now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_harmless),
        cmocka_unit_test(test_needed),
        cmocka_unit_test(test_a_first_secret_is_no_narrowing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
