/* Waits after wrong secrets: growing, per network, for everybody, forgotten. */
#include "gateway/throttle.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MINUTE = 60000, HOUR = 3600000 };

static struct throttle *throttle;
static struct limits limits;
static uint64_t now;

static const struct sockaddr *address(const char *text)
{
    static struct sockaddr_in6 six;
    static struct sockaddr_in four;
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
        four.sin_family = AF_INET;
        return (const struct sockaddr *)&four;
    }
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    six.sin6_family = AF_INET6;
    return (const struct sockaddr *)&six;
}

static uint64_t wait_of(const char *text)
{
    return throttle_wait(throttle, &limits, address(text), now);
}

static void wrong(const char *text)
{
    throttle_failed(throttle, &limits, address(text), now);
}

static uint32_t refused(const char *text)
{
    return throttle_refused(throttle, address(text), now + wait_of(text));
}

static int set_up(void **state)
{
    (void)state;
    throttle = throttle_new();
    limits = limits_default;
    limits.failed_secrets_per_minute = 1000000;
    now = 1000;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    throttle_free(throttle);
    return 0;
}

static void test_refused_tries_are_counted_in_each_wait(void **state)
{
    (void)state;
    limits.failed_secrets_free = 0;
    wrong("192.0.2.1");
    assert_int_equal(refused("192.0.2.1"), 1);
    now += 10;
    assert_int_equal(refused("192.0.2.1"), 2);
    wrong("192.0.2.2");
    assert_int_equal(refused("192.0.2.2"), 1);
    now += HOUR;
    wrong("192.0.2.1");
    assert_int_equal(refused("192.0.2.1"), 1); /* another wait */
    limits.failed_secrets_per_minute = 1;
    assert_int_equal(refused("192.0.2.3"), 1); /* for the others' failures: together */
    assert_int_equal(refused("192.0.2.4"), 2);
}

static void test_waits_double(void **state)
{
    (void)state;
    for (unsigned i = 0; i < limits.failed_secrets_free; i++) {
        wrong("192.0.2.1");
        assert_int_equal(wait_of("192.0.2.1"), 0);
    }
    for (uint64_t wait = 1000; wait < limits.failed_secrets_delay_max_ms; wait *= 2) {
        wrong("192.0.2.1");
        assert_int_equal(wait_of("192.0.2.1"), wait);
        now += wait - 1;
        assert_int_equal(wait_of("192.0.2.1"), 1);
        now += 1;
        assert_int_equal(wait_of("192.0.2.1"), 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        wrong("192.0.2.1");
        assert_int_equal(wait_of("192.0.2.1"), limits.failed_secrets_delay_max_ms);
    }
    assert_int_equal(wait_of("192.0.2.2"), 0);
}

static void test_limits_are_kept(void **state)
{
    (void)state;
    limits.failed_secrets_free = 0;
    limits.failed_secrets_delay_max_ms = 1500;
    wrong("192.0.2.1");
    assert_int_equal(wait_of("192.0.2.1"), 1000);
    wrong("192.0.2.1");
    assert_int_equal(wait_of("192.0.2.1"), 1500);
}

static void test_networks(void **state)
{
    (void)state;
    limits.failed_secrets_free = 0;
    wrong("2001:db8:1:2::1");
    assert_int_equal(wait_of("2001:db8:1:2:ffff::9"), 1000);
    assert_int_equal(wait_of("2001:db8:1:3::1"), 0);
    wrong("::ffff:192.0.2.9");
    assert_int_equal(wait_of("192.0.2.9"), 1000);
    assert_int_equal(wait_of("::ffff:192.0.2.8"), 0);
    assert_int_equal(throttle_wait(throttle, &limits, NULL, now), 0);
}

static void test_success_and_time_forget(void **state)
{
    (void)state;
    limits.failed_secrets_free = 0;
    wrong("192.0.2.1");
    throttle_passed(throttle, address("192.0.2.1"), now);
    assert_int_equal(wait_of("192.0.2.1"), 0);
    wrong("192.0.2.1");
    assert_int_equal(wait_of("192.0.2.1"), 1000);
    wrong("192.0.2.1");
    now += 23 * (uint64_t)HOUR;
    wrong("192.0.2.1");
    assert_int_equal(wait_of("192.0.2.1"), 4000);
    now += 25 * (uint64_t)HOUR;
    wrong("192.0.2.1");
    assert_int_equal(wait_of("192.0.2.1"), 1000);
}

static void test_everybody(void **state)
{
    (void)state;
    limits.failed_secrets_per_minute = 3;
    throttle_passed(throttle, address("198.51.100.1"), now);
    wrong("192.0.2.1");
    now += MINUTE / 2;
    wrong("192.0.2.2");
    assert_int_equal(wait_of("192.0.2.4"), 0);
    wrong("192.0.2.3");
    assert_int_equal(wait_of("192.0.2.4"), MINUTE / 2);
    assert_int_equal(wait_of("2001:db8::1"), MINUTE / 2);
    assert_int_equal(wait_of("198.51.100.1"), 0); /* was right lately */
    now += MINUTE / 2;
    assert_int_equal(wait_of("192.0.2.4"), 0);
    wrong("192.0.2.4"); /* a new minute */
    assert_int_equal(wait_of("192.0.2.5"), 0);
}

/* Each worker's clock is as old as its turn: an older one forgets nothing. */
static void test_clocks_differ(void **state)
{
    (void)state;
    limits.failed_secrets_free = 0;
    limits.failed_secrets_per_minute = 4;
    for (unsigned i = 0; i < 4; i++) {
        now += i % 2 == 0 ? 5 : (uint64_t)-5;
        wrong("192.0.2.1");
    }
    assert_int_equal(wait_of("192.0.2.1"), MINUTE + 5); /* of all; its own is 8 s */
    assert_int_equal(wait_of("192.0.2.2"), MINUTE + 5);
}

/* More networks than the table has room for: it stays as it is, and who fails now is known. */
static void test_full_table(void **state)
{
    (void)state;
    limits.failed_secrets_free = 0;
    for (unsigned i = 0; i < 20000; i++) {
        struct sockaddr_in6 six = {.sin6_family = AF_INET6};
        six.sin6_addr.s6_addr[0] = 0x20;
        six.sin6_addr.s6_addr[5] = (uint8_t)(i >> 8);
        six.sin6_addr.s6_addr[6] = (uint8_t)i;
        now++;
        throttle_failed(throttle, &limits, (const struct sockaddr *)&six, now);
        assert_int_equal(throttle_wait(throttle, &limits, (const struct sockaddr *)&six, now),
                         1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refused_tries_are_counted_in_each_wait, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_waits_double, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_networks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_success_and_time_forget, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_everybody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clocks_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_table, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
