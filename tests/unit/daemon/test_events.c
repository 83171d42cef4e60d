/* events: numbers, frames, bounds of what is kept, where a reader goes on, sessions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/events.h"

struct seen {
    struct events *events;
    uint64_t first;
    uint64_t last;
    size_t count;
    size_t leave_after;
    struct buf text;
};

static void on_frame(void *arg, const char *type, struct str frame)
{
    struct seen *seen = arg;
    struct str rest = frame;
    struct str line;
    uint64_t id;
    assert_true(str_next(&rest, '\n', &line) && str_starts(line, STR("id: ")));
    assert_true(str_to_u64((struct str){line.ptr + 4, line.len - 4}, &id));
    assert_true(seen->count == 0 || id > seen->last);
    seen->first = seen->count == 0 ? id : seen->first;
    seen->last = id;
    seen->count++;
    assert_non_null(memmem(frame.ptr, frame.len, type, strlen(type)));
    assert_true(str_ends(frame, STR("\n\n")));
    buf_fini(&seen->text);
    seen->text = (struct buf){0};
    buf_add_str(&seen->text, frame);
    if (seen->leave_after == seen->count) {
        events_unwatch(seen->events, seen);
    }
}

static cJSON *event_of(const char *type)
{
    return json_add_str(cJSON_CreateObject(), "type", type);
}

static void test_frames(void **state)
{
    (void)state;
    struct events *events = events_new();
    struct seen seen = {.events = events};
    events_watch(events, events_newest(events), NULL, on_frame, &seen);
    const struct event_about about = {.session = "s", .operation_id = "o"};
    cJSON *event = json_add_str(event_of("log.appended"), "chunk", "two\nlines\r\nid: 9\n\n");
    events_emit(events, &about, event);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.first, 1);
    struct str rest = buf_str(&seen.text);
    struct str line;
    (void)str_next(&rest, '\n', &line);
    (void)str_next(&rest, '\n', &line);
    assert_true(str_eq(line, STR("event: log.appended")));
    (void)str_next(&rest, '\n', &line);
    struct err err;
    autojson cJSON *data = json_parse((struct str){line.ptr + 6, line.len - 6}, "data", &err);
    assert_int_equal(json_get_int(data, "id", 0), 1);
    assert_string_equal(json_get_str(data, "sessionName", ""), "s");
    assert_string_equal(json_get_str(data, "operationId", ""), "o");
    assert_null(json_get(data, "projectId"));
    assert_string_equal(json_get_str(json_get(data, "event"), "chunk", ""),
                        "two\nlines\r\nid: 9\n\n");
    buf_fini(&seen.text);
    events_free(events);
}

static void test_history(void **state)
{
    (void)state;
    struct events *events = events_new();
    const struct event_about about[] = {{.session = "a"}, {.session = "b"}};
    for (int i = 0; i < EVENTS_HISTORY_MAX + 10; i++) {
        events_emit(events, &about[i % 2], event_of("x"));
    }
    events_emit(events, NULL, event_of("y"));
    struct seen all = {.events = events};
    events_watch(events, 0, NULL, on_frame, &all);
    assert_int_equal(all.count, EVENTS_HISTORY_MAX);
    assert_int_equal(all.first, 12);
    assert_int_equal(all.last, EVENTS_HISTORY_MAX + 11);
    struct seen some = {.events = events};
    events_watch(events, EVENTS_HISTORY_MAX, "a", on_frame, &some);
    assert_int_equal(some.count, 5);
    events_emit(events, &about[1], event_of("x"));
    assert_int_equal(some.count, 5);
    events_emit(events, &about[0], event_of("x"));
    assert_int_equal(some.count, 6);
    buf_fini(&all.text);
    buf_fini(&some.text);
    events_free(events);
}

static void test_bytes_are_bounded(void **state)
{
    (void)state;
    struct events *events = events_new();
    char *big = calloc(1, 1 << 20);
    memset(big, 'x', (1 << 20) - 1);
    for (int i = 0; i < 20; i++) {
        events_emit(events, NULL, json_add_str(event_of("big"), "chunk", big));
    }
    struct seen seen = {.events = events};
    events_watch(events, 0, NULL, on_frame, &seen);
    assert_int_equal(seen.count, 7);
    assert_int_equal(seen.last, 20);
    buf_fini(&seen.text);
    free(big);
    events_free(events);
}

static void test_a_watcher_may_go(void **state)
{
    (void)state;
    struct events *events = events_new();
    struct seen one = {.events = events, .leave_after = 1};
    struct seen two = {.events = events, .leave_after = 2};
    events_watch(events, 0, NULL, on_frame, &one);
    events_watch(events, 0, NULL, on_frame, &two);
    for (int i = 0; i < 4; i++) {
        events_emit(events, NULL, event_of("x"));
    }
    assert_int_equal(one.count, 1);
    assert_int_equal(two.count, 2);
    buf_fini(&one.text);
    buf_fini(&two.text);
    events_free(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_bytes_are_bounded),
        cmocka_unit_test(test_a_watcher_may_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
