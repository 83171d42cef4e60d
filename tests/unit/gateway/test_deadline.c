/* The timing wheel, against a clock that the test moves. */
#include "gateway/deadline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"

enum { START = 1000003 };

struct entry {
    struct deadline d;
    uint64_t due_ms; /* the model's; 0: none */
    unsigned fired;
};

static struct deadline_wheel wheel;
static uint64_t now;

static struct entry *entry_of(struct deadline *d)
{
    return (struct entry *)(void *)((char *)d - offsetof(struct entry, d));
}

static void on_due(struct deadline *d, void *arg)
{
    struct entry *e = entry_of(d);
    assert_ptr_equal(arg, &wheel);
    assert_null(d->prev); /* out of the wheel */
    assert_int_equal(d->at_ms, 0);
    assert_int_not_equal(e->due_ms, 0);
    assert_true(e->due_ms <= now); /* never early */
    assert_true(now - e->due_ms <= 2 * DEADLINE_TICK_MS);
    e->due_ms = 0;
    e->fired++;
}

static void set(struct entry *e, uint64_t after_ms)
{
    e->due_ms = after_ms == 0 ? 0 : now + after_ms;
    deadline_set(&wheel, &e->d, now, after_ms);
}

static void run(uint64_t to)
{
    while (now < to) {
        now = to - now > DEADLINE_TICK_MS ? now + DEADLINE_TICK_MS : to;
        deadline_wheel_run(&wheel, now, on_due, &wheel);
    }
}

static void begin(void)
{
    now = START;
    deadline_wheel_init(&wheel, now);
}

static void test_fires_once(void **state)
{
    (void)state;
    static const uint64_t waits[] = {1, 127, 128, 129, 1000, 65407, 65408, 65536, 70000, 3600000};
    for (size_t i = 0; i < COUNT_OF(waits); i++) {
        begin();
        struct entry e = {.due_ms = 0};
        set(&e, waits[i]);
        assert_int_equal(wheel.count, 1);
        run(START + waits[i] - 1);
        assert_int_equal(e.fired, 0);
        run(START + waits[i] + 2 * DEADLINE_TICK_MS);
        assert_int_equal(e.fired, 1);
        assert_int_equal(wheel.count, 0);
        run(now + 100000);
        assert_int_equal(e.fired, 1);
    }
}

static void test_clear(void **state)
{
    (void)state;
    begin();
    struct entry a = {.due_ms = 0};
    struct entry b = {.due_ms = 0};
    deadline_clear(&wheel, &a.d); /* never set */
    set(&a, 500);
    set(&b, 500);
    deadline_clear(&wheel, &a.d);
    a.due_ms = 0;
    set(&b, 0);
    assert_int_equal(wheel.count, 0);
    run(START + 2000);
    assert_int_equal(a.fired + b.fired, 0);
    set(&a, 500);
    run(START + 4000);
    assert_int_equal(a.fired, 1);
}

static void test_moved(void **state)
{
    (void)state;
    begin();
    struct entry e = {.due_ms = 0};
    set(&e, 1000);
    for (int i = 0; i < 50; i++) {
        run(now + 900);
        set(&e, 1000); /* later each time: a busy connection */
    }
    assert_int_equal(e.fired, 0);
    assert_int_equal(wheel.count, 1);
    set(&e, 3600000);
    set(&e, 10); /* earlier */
    run(now + 300);
    assert_int_equal(e.fired, 1);
}

/* A turn that took long, or a machine that slept. */
static void test_late_run(void **state)
{
    (void)state;
    static const uint64_t sleeps[] = {1000, 65536, 65536 + 128, 1000000, 100000000};
    for (size_t i = 0; i < COUNT_OF(sleeps); i++) {
        begin();
        struct entry soon = {.due_ms = 0};
        struct entry never = {.due_ms = 0};
        deadline_set(&wheel, &soon.d, now, 500);
        deadline_set(&wheel, &never.d, now, sleeps[i] + 5000);
        never.due_ms = now + sleeps[i] + 5000;
        now += sleeps[i];
        soon.due_ms = now; /* the model's bound on lateness counts from here */
        deadline_wheel_run(&wheel, now, on_due, &wheel);
        assert_int_equal(soon.fired, 1);
        assert_int_equal(never.fired, 0);
        assert_int_equal(wheel.count, 1);
        run(now + 5000 + 2 * DEADLINE_TICK_MS);
        assert_int_equal(never.fired, 1);
    }
}

/* Callbacks clear others that are due in the same slot, and set themselves again. */
static struct entry *victim;

static void on_due_clears(struct deadline *d, void *arg)
{
    (void)arg;
    entry_of(d)->fired++;
    if (victim != NULL && entry_of(d) != victim) {
        deadline_clear(&wheel, &victim->d);
    }
    if (entry_of(d)->fired < 5) {
        deadline_set(&wheel, d, now, 1);
    }
}

static void test_callback_changes_the_wheel(void **state)
{
    (void)state;
    begin();
    struct entry all[3] = {{.due_ms = 0}};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        deadline_set(&wheel, &all[i].d, now, 200);
    }
    victim = &all[0]; /* last in first out: the others come before it */
    for (int i = 0; i < 20; i++) {
        now += DEADLINE_TICK_MS;
        deadline_wheel_run(&wheel, now, on_due_clears, NULL);
    }
    assert_int_equal(all[0].fired, 0);
    assert_int_equal(all[1].fired, 5);
    assert_int_equal(all[2].fired, 5);
    assert_int_equal(wheel.count, 0);
}

static void test_against_a_model(void **state)
{
    (void)state;
    begin();
    struct entry *all = xcalloc(200, sizeof *all);
    uint32_t seed = 7;
    for (int step = 0; step < 20000; step++) {
        seed = seed * 1664525u + 1013904223u;
        struct entry *e = &all[(seed >> 8) % 200];
        seed = seed * 1664525u + 1013904223u;
        uint64_t wait = (seed >> 8) % 3 == 0 ? (seed >> 10) % 300000 : (seed >> 10) % 3000;
        set(e, wait);
        seed = seed * 1664525u + 1013904223u;
        run(now + (seed >> 8) % 60);
    }
    unsigned waiting = 0;
    unsigned fired = 0;
    for (size_t i = 0; i < 200; i++) {
        waiting += all[i].due_ms != 0;
        fired += all[i].fired;
        assert_true(all[i].due_ms == 0 || all[i].due_ms + 2 * DEADLINE_TICK_MS > now);
    }
    assert_int_equal(wheel.count, waiting);
    assert_true(fired > 1000);
    run(now + 400000);
    assert_int_equal(wheel.count, 0);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fires_once),
        cmocka_unit_test(test_clear),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_late_run),
        cmocka_unit_test(test_callback_changes_the_wheel),
        cmocka_unit_test(test_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
