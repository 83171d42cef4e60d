/* Tests of base/loop: order within a turn, timers, signals, the end. */
#include "base/loop.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#include "base/auto.h"
#include "base/str.h"

static struct loop *loop;
static struct buf trace;

static int set_up(void **state)
{
    (void)state;
    loop = loop_new(NULL);
    return loop == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(loop);
    loop = NULL;
    buf_fini(&trace);
    return 0;
}

static void note(void *arg)
{
    buf_add_text(&trace, arg);
}

static void note_and_defer(void *arg)
{
    buf_add_text(&trace, arg);
    loop_defer(loop, note, "nested ");
}

static void stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void test_order_of_a_turn(void **state)
{
    (void)state;
    loop_add_flush(loop, note, "flush ");
    loop_defer(loop, note_and_defer, "first ");
    loop_defer(loop, note, "second ");
    loop_turn(loop, true); /* does not block: something is deferred */
    assert_string_equal(buf_cstr(&trace), "flush first second nested flush ");
    loop_turn(loop, false);
    assert_string_equal(buf_cstr(&trace), "flush first second nested flush flush ");
}

static void test_many_deferred(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        loop_defer(loop, note, "x");
    }
    loop_turn(loop, true);
    assert_int_equal(trace.len, 1000);
}

struct piece {
    struct loop_call call;
    const char *name;
    unsigned rounds;
};

static void again_and_free(struct loop_call *call)
{
    struct piece *piece = OWNER_OF(call, struct piece, call);
    buf_add_text(&trace, piece->name);
    if (++piece->rounds == 2) {
        free(piece);
        return;
    }
    loop_defer_call(loop, &piece->call, again_and_free);
}

static void note_after(struct loop_call *call)
{
    (void)call;
    note("after ");
}

/* Calls with and without memory of their own run in one order, and are their owner's again. */
static void test_embedded_calls(void **state)
{
    (void)state;
    struct piece *piece = calloc(1, sizeof *piece);
    struct loop_call last = {0};
    assert_non_null(piece);
    piece->name = "piece ";
    loop_defer(loop, note, "before ");
    loop_defer_call(loop, &piece->call, again_and_free);
    loop_defer_call(loop, &last, note_after);
    assert_true(last.fn != NULL);
    loop_turn(loop, true);
    assert_string_equal(buf_cstr(&trace), "before piece after piece ");
    assert_true(last.fn == NULL);
}

static void test_timers_in_order_and_never_early(void **state)
{
    (void)state;
    struct loop_timer late;
    struct loop_timer soon;
    struct loop_timer never;
    struct loop_timer moved;
    loop_timer_init(&late, loop, stop, NULL);
    loop_timer_init(&soon, loop, note, "soon ");
    loop_timer_init(&never, loop, note, "never ");
    loop_timer_init(&moved, loop, note, "moved ");
    uint64_t begin_us = clock_now_us();
    loop_timer_set(&late, 60);
    loop_timer_set(&moved, 1);
    loop_timer_set(&moved, 30);
    loop_timer_set(&soon, 5);
    loop_timer_set(&never, 10);
    loop_timer_clear(&never);
    assert_false(loop_timer_is_set(&never));
    assert_true(loop_timer_is_set(&late));
    loop_run(loop);
    assert_true(clock_now_us() - begin_us >= 60000);
    assert_false(loop_timer_is_set(&late));
    assert_string_equal(buf_cstr(&trace), "soon moved ");
    loop_timer_set(&late, UINT64_MAX); /* "never" must not overflow into "now" */
    loop_turn(loop, false);
    assert_true(loop_timer_is_set(&late));
    loop_timer_fini(&late);
    loop_timer_fini(&late);
    loop_timer_fini(&soon);
    loop_timer_fini(&never);
    loop_timer_fini(&moved);
}

struct due {
    struct loop_timer timer;
    uint64_t deadline;
    int rounds;
};

/* A deadline computed from loop_now_ms has passed when its timer fires. */
static void check_due(void *arg)
{
    struct due *due = arg;
    assert_true(loop_now_ms(loop) >= due->deadline);
    if (++due->rounds == 20) {
        loop_stop(loop);
        return;
    }
    due->deadline = loop_now_ms(loop) + 3;
    loop_timer_set(&due->timer, 3);
}

static void test_a_timer_finds_its_deadline_passed(void **state)
{
    (void)state;
    struct due due = {.deadline = 0};
    loop_timer_init(&due.timer, loop, check_due, &due);
    loop_timer_set(&due.timer, 0);
    loop_run(loop);
    assert_int_equal(due.rounds, 20);
    loop_timer_fini(&due.timer);
}

static void fini_itself(void *arg)
{
    loop_timer_fini(arg);
    loop_stop(loop);
}

static void test_a_timer_may_end_itself(void **state)
{
    (void)state;
    struct loop_timer t;
    loop_timer_init(&t, loop, fini_itself, &t);
    loop_timer_set(&t, 0);
    loop_run(loop);
    assert_false(loop_timer_is_set(&t));
}

static void test_run_ends_without_events(void **state)
{
    (void)state;
    loop_defer(loop, note, "x");
    loop_run(loop); /* returns: nothing could ever happen */
    assert_string_equal(buf_cstr(&trace), "x");
}

static struct loop_timer armed_late;

static void arm(void *arg)
{
    (void)arg;
    loop_timer_set(&armed_late, 1);
}

/* The only event appears at the end of the last turn that had one. */
static void test_run_goes_on_when_a_deferred_call_adds_an_event(void **state)
{
    (void)state;
    struct loop_timer t;
    loop_timer_init(&t, loop, note, "timer ");
    loop_timer_init(&armed_late, loop, note, "late ");
    loop_timer_set(&t, 0);
    loop_turn(loop, true);
    loop_defer(loop, arm, NULL);
    loop_run(loop);
    assert_string_equal(buf_cstr(&trace), "timer late ");
    loop_timer_fini(&t);
    loop_timer_fini(&armed_late);
}

static void on_signal(int signo, void *arg)
{
    int *last = arg;
    *last = signo;
    loop_stop(loop);
}

static void test_signals(void **state)
{
    (void)state;
    int last = 0;
    const int signals[] = {SIGUSR1, SIGUSR2};
    assert_int_equal(loop_watch_signals(loop, signals, 2, on_signal, &last, NULL), 0);
    assert_int_equal(kill(getpid(), SIGUSR2), 0);
    loop_run(loop);
    assert_int_equal(last, SIGUSR2);
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigaddset(&set, SIGUSR2);
    assert_int_equal(sigprocmask(SIG_UNBLOCK, &set, NULL), 0);
}

static void test_free_runs_what_is_left(void **state)
{
    (void)state;
    struct loop *other = loop_new(NULL);
    assert_non_null(other);
    loop_at_free(other, note, "a ");
    loop_at_free(other, note, "b ");
    loop_at_free(other, note, "c ");
    loop_at_free_cancel(other, note, "b ");
    loop_defer(other, note, "deferred ");
    loop_free(other);
    loop_free(NULL);
    assert_string_equal(buf_cstr(&trace), "deferred c a ");
}

static void test_the_clock_is_read_once_a_turn(void **state)
{
    (void)state;
    uint64_t first = loop_now_ms(loop);
    while (clock_now_ms() == first) {
        /* until the real clock has moved on */
    }
    assert_int_equal(loop_now_ms(loop), first);
    loop_turn(loop, false);
    assert_true(loop_now_ms(loop) > first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order_of_a_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_deferred, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_embedded_calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_timers_in_order_and_never_early, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_timer_finds_its_deadline_passed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_timer_may_end_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_run_ends_without_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_run_goes_on_when_a_deferred_call_adds_an_event, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_signals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_free_runs_what_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_clock_is_read_once_a_turn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
