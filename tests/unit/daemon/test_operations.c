/* operations: the busy rule, history and live lines, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/operations.h"

struct seen {
    size_t lines;
    int64_t first;
    int64_t last;
    bool ended;
    bool in_order;
    char terminal[64];
};

static void on_line(void *arg, struct str line, bool is_last)
{
    struct seen *seen = arg;
    struct err err;
    assert_false(seen->ended);
    assert_int_equal(line.ptr[line.len - 1], '\n');
    autojson cJSON *envelope = json_parse(line, "line", &err);
    assert_non_null(envelope);
    int64_t sequence = json_get_int(envelope, "sequence", -1);
    seen->in_order = seen->lines == 0 || sequence == seen->last + 1;
    assert_true(seen->in_order);
    seen->first = seen->lines == 0 ? sequence : seen->first;
    seen->last = sequence;
    seen->lines++;
    seen->ended = is_last;
    assert_int_equal(json_get(envelope, "terminal") != NULL, is_last);
    assert_int_equal(json_get(envelope, "event") == NULL, is_last);
    if (is_last) {
        (void)snprintf(seen->terminal, sizeof seen->terminal, "%s",
                       json_get_str(json_get(envelope, "terminal"), "status", ""));
    }
}

static void test_one_operation_per_session(void **state)
{
    (void)state;
    struct operations *ops = operations_new();
    struct err err = {.msg = ""};
    struct operation *up = operation_begin(ops, "up", "s", &err);
    assert_non_null(up);
    assert_null(operation_begin(ops, "down", "s", &err));
    assert_int_equal(err.code, ERR_BUSY);
    autofree char *expected = xasprintf("session s is busy (active op %s)", operation_id(up));
    assert_string_equal(err.msg, expected);
    assert_non_null(operation_begin(ops, "up", "other", &err));
    operation_finish(up, NULL, NULL);
    assert_null(operations_active(ops, "s"));
    struct operation *down = operation_begin(ops, "down", "s", &err);
    assert_ptr_equal(operations_active(ops, "s"), down);
    assert_ptr_equal(operations_latest(ops, "s"), down);
    operations_free(ops);
}

/* A down may be begun over an up; once the up has ended only it is active. */
static void test_down_over_up(void **state)
{
    (void)state;
    struct operations *ops = operations_new();
    struct err err = {.msg = ""};
    struct operation *up = operation_begin(ops, "up", "s", &err);
    struct operation *down = operation_begin_over(ops, "down", "s");
    assert_ptr_equal(operations_active(ops, "s"), down);
    operation_finish(up, NULL, NULL);
    assert_ptr_equal(operations_active(ops, "s"), down);
    operation_finish(down, NULL, NULL);
    assert_null(operations_active(ops, "s"));
    operations_free(ops);
}

static void test_history_then_live_then_end(void **state)
{
    (void)state;
    struct operations *ops = operations_new();
    struct err err = {.msg = ""};
    struct operation *op = operation_begin(ops, "up", "s", &err);
    struct seen early = {0};
    struct seen gone = {0};
    struct seen late = {0};
    operation_watch(op, on_line, &early);
    operation_watch(op, on_line, &gone);
    operation_step(op, "prepare", "running", NULL);
    operation_unwatch(op, &gone);
    operation_log(op, "init", "stdout", STR("a \"quoted\"\nchunk"));
    operation_watch(op, on_line, &late);
    assert_int_equal(late.lines, 2);
    operation_step(op, "prepare", "done", NULL);
    operation_finish(op, "config-invalid", "it broke");
    assert_int_equal(early.lines, 4);
    assert_int_equal(late.lines, 4);
    assert_int_equal(gone.lines, 1);
    assert_true(early.ended && late.ended && !gone.ended);
    assert_string_equal(early.terminal, "failed");
    struct seen replay = {0};
    operation_watch(operations_latest(ops, "s"), on_line, &replay);
    assert_int_equal(replay.lines, 4);
    assert_true(replay.ended);
    autojson cJSON *meta = operation_json(operations_latest(ops, "s"));
    assert_string_equal(json_get_str(meta, "status", ""), "failed");
    assert_string_equal(json_get_str(meta, "failureMessage", ""), "it broke");
    operations_free(ops);
}

static void test_history_is_bounded(void **state)
{
    (void)state;
    struct operations *ops = operations_new();
    struct err err = {.msg = ""};
    struct operation *op = operation_begin(ops, "up", "s", &err);
    enum { EXTRA = 321 };
    for (size_t i = 0; i < OPERATION_HISTORY_MAX + EXTRA; i++) {
        operation_log(op, "init", "stdout", STR("x"));
    }
    struct seen seen = {0};
    operation_watch(op, on_line, &seen);
    assert_int_equal(seen.lines, OPERATION_HISTORY_MAX);
    assert_int_equal(seen.first, EXTRA + 1);
    operation_unwatch(op, &seen);
    operations_free(ops);
}

static void test_history_is_bounded_in_bytes(void **state)
{
    (void)state;
    struct operations *ops = operations_new();
    struct err err = {.msg = ""};
    struct operation *op = operation_begin(ops, "up", "s", &err);
    enum { CHUNK = 1 << 20, COUNT = 20 };
    char *chunk = xcalloc(1, CHUNK + 1);
    memset(chunk, 'x', CHUNK);
    for (size_t i = 0; i < COUNT; i++) {
        operation_log(op, "init", "stdout", (struct str){chunk, CHUNK});
    }
    free(chunk);
    struct seen seen = {0};
    operation_watch(op, on_line, &seen);
    assert_true(seen.lines < OPERATION_HISTORY_BYTES_MAX / CHUNK + 1);
    assert_int_equal(seen.last, COUNT);
    operation_unwatch(op, &seen);
    operations_free(ops);
}

static void test_old_operations_are_dropped(void **state)
{
    (void)state;
    struct operations *ops = operations_new();
    struct err err = {.msg = ""};
    struct operation *running = operation_begin(ops, "up", "long", &err);
    autofree char *running_id = xstrdup(operation_id(running));
    autofree char *first_id = NULL;
    for (int i = 0; i < OPERATION_KEEP_MAX + 1; i++) {
        struct operation *op = operation_begin(ops, "up", "s", &err);
        if (i == 0) {
            first_id = xstrdup(operation_id(op));
        }
        operation_finish(op, NULL, NULL);
    }
    assert_null(operations_find(ops, first_id));
    assert_ptr_equal(operations_find(ops, running_id), running);
    operations_free(ops);
}

static void test_time_and_uuid(void **state)
{
    (void)state;
    autofree char *time = time_text(1795000000123);
    assert_string_equal(time, "2026-11-18T11:06:40.123Z");
    autofree char *a = uuid_text();
    autofree char *b = uuid_text();
    assert_int_equal(strlen(a), 36);
    assert_int_equal(a[14], '4');
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_operation_per_session),
        cmocka_unit_test(test_down_over_up),
        cmocka_unit_test(test_history_then_live_then_end),
        cmocka_unit_test(test_history_is_bounded),
        cmocka_unit_test(test_history_is_bounded_in_bytes),
        cmocka_unit_test(test_old_operations_are_dropped),
        cmocka_unit_test(test_time_and_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
