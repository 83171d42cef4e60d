/* When a certificate is due: lives from minutes to years, suggestions, failures, wrong clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "acme/schedule.h"
#include "base/auto.h"

enum { DAY = 86400, HOUR = 3600 };
static const int64_t T0 = 1800000000;

static struct schedule_input cert_of(int64_t life)
{
    return (struct schedule_input){
        .is_usable = true, .not_before = T0, .not_after = T0 + life, .issued_at = T0 + 5};
}

static void test_by_age(void **state)
{
    (void)state;
    static const struct {
        int64_t life;
        int64_t due;
    } table[] = {
        {90 * DAY, 60 * DAY},
        {45 * DAY, 30 * DAY},
        {10 * DAY, 10 * DAY * 2 / 3},
        {6 * DAY, 3 * DAY},
        {160 * HOUR, 80 * HOUR},
        {HOUR, HOUR / 2},
        {398 * DAY, 398 * DAY - 398 * DAY / 3},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct schedule_input in = cert_of(table[i].life);
        struct schedule next = schedule_next(&in, T0 + 10);
        assert_int_equal(next.at - T0, table[i].due);
        assert_int_equal(next.reason, SCHEDULE_AGE);
        /* Due then, and a new one is not due again. */
        assert_true(schedule_next(&in, next.at).at <= next.at);
        in = (struct schedule_input){.is_usable = true,
                                     .not_before = next.at,
                                     .not_after = next.at + table[i].life,
                                     .issued_at = next.at};
        assert_true(schedule_next(&in, next.at).at > next.at + table[i].life / 3);
    }
}

static void test_nothing_to_serve(void **state)
{
    (void)state;
    struct schedule_input in = {.is_usable = false};
    assert_int_equal(schedule_next(&in, T0).at, T0);
    assert_int_equal(schedule_next(&in, T0).reason, SCHEDULE_NONE_USABLE);
    in = cert_of(90 * DAY);
    assert_int_equal(schedule_next(&in, T0 + 91 * DAY).reason, SCHEDULE_EXPIRED);
    in = cert_of(90 * DAY);
    in.is_resumable = true;
    assert_int_equal(schedule_next(&in, T0 + 10).at, T0 + 10);
}

static void test_suggestion(void **state)
{
    (void)state;
    struct schedule_input in = cert_of(90 * DAY);
    in.ari_start = T0 + 40 * DAY;
    in.ari_end = T0 + 42 * DAY;
    in.ari_selected = T0 + 41 * DAY;
    assert_int_equal(schedule_next(&in, T0 + DAY).at, T0 + 41 * DAY);
    assert_int_equal(schedule_next(&in, T0 + DAY).reason, SCHEDULE_SUGGESTED);
    /* Later than dates alone would have it: the CA knows better, up to a tenth of the life. */
    in.ari_selected = T0 + 75 * DAY;
    in.ari_end = T0 + 76 * DAY;
    assert_int_equal(schedule_next(&in, T0 + DAY).at, T0 + 75 * DAY);
    in.ari_selected = T0 + 500 * DAY;
    in.ari_end = T0 + 501 * DAY;
    assert_int_equal(schedule_next(&in, T0 + DAY).at, T0 + 81 * DAY);
    /* At once: revocation is near. */
    in.ari_start = T0 + 9 * DAY;
    in.ari_end = T0 + 9 * DAY + 1;
    in.ari_selected = T0 + 9 * DAY;
    assert_true(schedule_next(&in, T0 + 10 * DAY).at <= T0 + 10 * DAY);
    /* A window from before it was issued is not about it. */
    in.ari_start = T0 - 2 * DAY;
    in.ari_end = T0 - DAY;
    in.ari_selected = T0 - DAY - 1;
    assert_int_equal(schedule_next(&in, T0 + 10).at, T0 + 60 * DAY);
}

static void test_no_loop(void **state)
{
    (void)state;
    /* A CA that always says "now" for what it has just made. */
    struct schedule_input in = cert_of(90 * DAY);
    in.ari_start = T0;
    in.ari_end = T0 + HOUR;
    in.ari_selected = T0 + 1;
    assert_int_equal(schedule_next(&in, T0 + 10).at, T0 + 5 + 6 * HOUR);
    in.not_after = T0 + 8 * HOUR;
    assert_int_equal(schedule_next(&in, T0 + 10).at, T0 + 5 + 2 * HOUR);
    /* A CA that dates what it makes back by most of its life. */
    in = cert_of(90 * DAY);
    in.issued_at = T0 + 80 * DAY;
    assert_int_equal(schedule_next(&in, T0 + 80 * DAY).at, T0 + 80 * DAY + 6 * HOUR);
}

static void test_failures(void **state)
{
    (void)state;
    struct schedule_input in = {.is_usable = false, .not_until = T0 + 100};
    struct schedule next = schedule_next(&in, T0);
    assert_int_equal(next.at, T0 + 100);
    assert_true(next.is_waiting);
    assert_int_equal(schedule_next(&in, T0 + 100).at, T0 + 100);
    assert_false(schedule_next(&in, T0 + 101).is_waiting);
    /* Not due yet: a failed attempt by hand does not make it sooner or later. */
    in = cert_of(90 * DAY);
    in.not_until = T0 + DAY;
    assert_int_equal(schedule_next(&in, T0 + 10).at, T0 + 60 * DAY);
    assert_false(schedule_next(&in, T0 + 10).is_waiting);
    /* The CA's limit holds for resuming, too. */
    in.is_resumable = true;
    assert_int_equal(schedule_next(&in, T0 + 10).at, T0 + DAY);
}

static void test_wrong_clocks(void **state)
{
    (void)state;
    /* Written when the clock was a year ahead: not waited for. */
    struct schedule_input in = {.is_usable = false, .not_until = T0 + 365 * DAY};
    assert_int_equal(schedule_next(&in, T0).at, T0);
    /* The clock stands before the certificate: nothing is gained by getting another one. */
    in = cert_of(90 * DAY);
    assert_int_equal(schedule_next(&in, T0 - 1000 * DAY).at, T0 + 60 * DAY);
}

static void test_backoff(void **state)
{
    (void)state;
    for (uint32_t failures = 1; failures < 40; failures++) {
        int64_t full = 60;
        for (uint32_t i = 1; i < failures && full < 6 * HOUR; i++) {
            full *= 2;
        }
        full = full > 6 * HOUR ? 6 * HOUR : full;
        int64_t low = schedule_backoff(failures, 0);
        for (uint32_t random = 0; random < 5000; random += 7) {
            int64_t pause = schedule_backoff(failures, random * 2654435761U);
            assert_true(pause >= 60);
            assert_true(pause <= (failures == 1 ? 80 : full));
            assert_true(pause >= low);
        }
    }
    assert_int_not_equal(schedule_backoff(5, 1), schedule_backoff(5, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_age),     cmocka_unit_test(test_nothing_to_serve),
        cmocka_unit_test(test_suggestion), cmocka_unit_test(test_no_loop),
        cmocka_unit_test(test_failures),   cmocka_unit_test(test_wrong_clocks),
        cmocka_unit_test(test_backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
