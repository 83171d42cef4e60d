/* Ticket key sets: when they are due, what a turn does, how they are stored. */
#include "certs/ticket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { START = 1800000000 };

static void test_due(void **state)
{
    (void)state;
    struct ticket_set set = {.count = 0};
    assert_true(ticket_set_is_due(&set, START));
    assert_int_equal(ticket_set_rotate(&set, START, NULL), 0);
    assert_false(ticket_set_is_due(&set, START));
    assert_false(ticket_set_is_due(&set, START + TICKET_ROTATE_SECONDS - 1));
    assert_true(ticket_set_is_due(&set, START + TICKET_ROTATE_SECONDS));
    assert_true(ticket_set_is_due(&set, START - 1));
    ticket_set_wipe(&set);
    assert_int_equal(set.count, 0);
}

static void test_rotate(void **state)
{
    (void)state;
    struct ticket_set set = {.count = 0};
    uint8_t made[5][TICKET_KEY_SIZE];
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(ticket_set_rotate(&set, START + i * TICKET_ROTATE_SECONDS, NULL), 0);
        assert_int_equal(set.count, i < 3 ? i + 1 : 3);
        memcpy(made[i], set.keys[0], TICKET_KEY_SIZE);
        for (uint32_t k = 0; k < set.count; k++) {
            assert_memory_equal(set.keys[k], made[i - k], TICKET_KEY_SIZE);
        }
        if (i > 0) {
            assert_memory_not_equal(made[i], made[i - 1], 16);
        }
    }
    /* after days without a turn nobody has a ticket worth keeping a key for */
    assert_int_equal(ticket_set_rotate(&set, START + 10 * TICKET_ROTATE_SECONDS, NULL), 0);
    assert_int_equal(set.count, 1);
    uint8_t zeros[TICKET_KEY_SIZE] = {0};
    assert_memory_equal(set.keys[1], zeros, TICKET_KEY_SIZE);
    assert_memory_equal(set.keys[2], zeros, TICKET_KEY_SIZE);
}

static void test_stored(void **state)
{
    (void)state;
    struct ticket_set set = {.count = 0};
    assert_int_equal(ticket_set_rotate(&set, START, NULL), 0);
    assert_int_equal(ticket_set_rotate(&set, START + 1, NULL), 0);
    struct buf bytes = {0};
    ticket_set_encode(&set, &bytes);
    struct ticket_set read = {.count = 0};
    struct err err;
    assert_int_equal(ticket_set_decode(buf_str(&bytes), &read, &err), 0);
    assert_memory_equal(&set, &read, sizeof(set));
    for (size_t len = 0; len < bytes.len; len++) {
        assert_int_equal(ticket_set_decode((struct str){bytes.ptr, len}, &read, &err), -1);
    }
    assert_memory_equal(&set, &read, sizeof(set)); /* untouched on failure */
    buf_add_char(&bytes, 'x');
    assert_int_equal(ticket_set_decode(buf_str(&bytes), &read, &err), -1);
    bytes.len--;
    bytes.ptr[4] = 9;
    assert_int_equal(ticket_set_decode(buf_str(&bytes), &read, &err), -1);
    bytes.ptr[4] = 2;
    bytes.ptr[15] = (char)0x80;
    assert_int_equal(ticket_set_decode(buf_str(&bytes), &read, &err), -1);
    buf_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due),
        cmocka_unit_test(test_rotate),
        cmocka_unit_test(test_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
