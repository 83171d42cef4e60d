/* owner: routes are replaced, those that stay keep what was noted of them. */
#include "daemon/owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"

enum { MOST = 50 };

struct set {
    char hosts[MOST][16];
    struct publish_route routes[MOST];
};

/* Routes named by the letters of `names`, all on port 80. */
static size_t set_fill(struct set *s, const char *names)
{
    size_t count = strlen(names);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(s->hosts[i], sizeof s->hosts[i], "%c.d.test", names[i]);
        s->routes[i] = (struct publish_route){
            .host = s->hosts[i], .service = "web", .port = 80, .state = ROUTE_LIVE};
    }
    return count;
}

static void set_to(struct owner *owner, const char *names, uint64_t now_ms)
{
    struct set s;
    size_t count = set_fill(&s, names);
    owner_set(owner, s.routes, count, now_ms);
    assert_int_equal(owner->count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(owner->entries[i].host[0], names[i]);
        assert_string_equal(owner->entries[i].service, "web");
        assert_string_equal(owner->entries[i].worktree, "");
    }
}

static uint64_t since(const struct owner *owner, char name)
{
    for (size_t i = 0; i < owner->count; i++) {
        if (owner->entries[i].host[0] == name) {
            return owner->entries[i].since_ms;
        }
    }
    fail_msg("no route %c", name);
    return 0;
}

/* Whatever the order: at the front, in the middle, at the end, turned around. */
static void test_kept(void **state)
{
    (void)state;
    static const char *const steps[] = {"bcdefg",  "abcdefg", "abcdefgh", "acdefgh", "hgfedca",
                                        "abhgfdc", "h",       "",         "ah"};
    struct owner *owner = owner_new("publish");
    set_to(owner, "bcdefg", 1);
    for (size_t i = 1; i < COUNT_OF(steps); i++) {
        uint64_t before[128] = {0};
        for (size_t k = 0; k < owner->count; k++) {
            before[(unsigned char)owner->entries[k].host[0]] = owner->entries[k].since_ms;
            owner->entries[k].noted.is_capped = true;
        }
        set_to(owner, steps[i], i + 1);
        for (const char *name = steps[i]; *name != '\0'; name++) {
            uint64_t then = before[(unsigned char)*name];
            assert_int_equal(since(owner, *name), then == 0 ? i + 1 : then);
        }
        for (size_t k = 0; k < owner->count; k++) {
            bool was = before[(unsigned char)owner->entries[k].host[0]] != 0;
            assert_int_equal(owner->entries[k].noted.is_capped, was);
        }
    }
    owner_free(owner);
}

static void test_changed(void **state)
{
    (void)state;
    struct ip_prefix one = {.family = 4, .bits = 32, .bytes = {192, 0, 2, 1}};
    struct ip_prefix two = {.family = 4, .bits = 32, .bytes = {192, 0, 2, 2}};
    struct set s;
    size_t count = set_fill(&s, "abc");
    struct owner *owner = owner_new("a-session");
    s.routes[1].options = (struct publish_options){.whitelist = &one, .whitelist_count = 1};
    owner_set(owner, s.routes, count, 1);

    s.routes[0].port = 81;
    s.routes[1].options.whitelist = &two;
    s.routes[2].state = ROUTE_FAILING;
    s.routes[2].worktree = "tree";
    owner_set(owner, s.routes, count, 2);
    const struct entry *e = owner->entries;
    assert_int_equal(e[0].port, 81);
    assert_int_equal(e[0].since_ms, 1); /* the state began then */
    assert_int_equal(e[1].options.whitelist[0].bytes[3], 2);
    assert_ptr_not_equal(e[1].options.whitelist, &two);
    assert_int_equal(e[1].since_ms, 1);
    assert_int_equal(e[2].since_ms, 2);
    assert_string_equal(e[2].worktree, "tree");

    const struct ip_prefix *kept = e[1].options.whitelist;
    owner_set(owner, s.routes, count, 3); /* the same: not copied again */
    assert_ptr_equal(owner->entries[1].options.whitelist, kept);
    s.routes[2].service = "other";
    owner_set(owner, s.routes, count, 4);
    assert_string_equal(owner->entries[2].service, "other");
    assert_int_equal(owner->entries[2].since_ms, 2);
    owner_free(owner);
}

/* One at a time, in between all at once: as if all had been given. */
static void test_put(void **state)
{
    (void)state;
    struct ip_prefix one = {.family = 4, .bits = 32, .bytes = {192, 0, 2, 1}};
    struct owner *owner = owner_new("publish");
    struct set s;
    (void)set_fill(&s, "abcdefgh");
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(owner_put(owner, &s.routes[i], i + 1)->since_ms, i + 1);
        assert_int_equal(owner->count, i + 1);
    }
    owner->entries[3].noted.is_capped = true;
    s.routes[3].port = 81;
    s.routes[3].options = (struct publish_options){.whitelist = &one, .whitelist_count = 1};
    const struct entry *e = owner_put(owner, &s.routes[3], 20);
    assert_ptr_equal(e, &owner->entries[3]);
    assert_int_equal(e->port, 81);
    assert_int_equal(e->since_ms, 4); /* the state began then */
    assert_true(e->noted.is_capped);
    const struct ip_prefix *kept = e->options.whitelist;
    assert_ptr_equal(owner_put(owner, &s.routes[3], 21)->options.whitelist, kept); /* the same */
    assert_int_equal(owner->count, 8);

    set_to(owner, "hxa", 30);
    (void)set_fill(&s, "ya");
    assert_int_equal(owner_put(owner, &s.routes[0], 40)->since_ms, 40);
    assert_int_equal(owner_put(owner, &s.routes[1], 41)->since_ms, 1);
    assert_int_equal(owner->count, 4);
    set_to(owner, "ayh", 50);
    assert_int_equal(since(owner, 'y'), 40);
    assert_int_equal(since(owner, 'h'), 8);
    assert_ptr_equal(owner_find(owner, s.routes[0].host), &owner->entries[1]); /* y */
    set_to(owner, "h", 60);
    assert_null(owner_find(owner, s.routes[0].host));
    owner_free(owner);
}

static void test_class(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum route_class route_class;
    } rows[] = {{"publish", ROUTE_PUBLISHED}, {"daemon", ROUTE_WEB_UI}, {"tree", ROUTE_SERVICE}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct owner *owner = owner_new(rows[i].name);
        assert_int_equal(owner->route_class, rows[i].route_class);
        owner_free(owner);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
