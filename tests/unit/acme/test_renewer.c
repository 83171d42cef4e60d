/* Who may write to DNS when, and what is said of it: a renewer beside a CA that takes connections
 * and says nothing. Orders themselves are tested against pebble (tests/integration). */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "acme/renewer.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"

enum { TURNS = 50 };

struct world {
    char dir[32];
    char url[64];
    int fd; /* the CA: listens, and nobody accepts */
    struct loop *loop;
    struct fetch_client *fetch;
    struct acme_settings settings;
    struct renewer *renewer;
    unsigned steps;    /* of orders */
    unsigned failures; /* orders that ended */
    unsigned begun;
    unsigned failures_at_begin;
    unsigned dones;
    struct loop_timer asks; /* right after a failure's event */
    unsigned asked;
    char word[16];
};

static void on_nothing(void *arg)
{
    (void)arg;
}

static void on_event(void *arg, cJSON *event)
{
    struct world *w = arg;
    const char *type = json_get_str(event, "type", "");
    w->steps += strcmp(type, "certificate.step") == 0;
    if (strcmp(type, "certificate.failed") == 0) {
        w->failures++;
        loop_timer_set(&w->asks, 0);
    }
    cJSON_Delete(event);
}

static void on_asks(void *arg)
{
    struct world *w = arg;
    autojson cJSON *json = renewer_json(w->renewer);
    (void)snprintf(w->word, sizeof w->word, "%s", json_get_str(json, "state", ""));
    w->asked++;
}

static void on_begun(void *arg, const struct failure *failure)
{
    struct world *w = arg;
    assert_null(failure);
    w->begun++;
    w->failures_at_begin = w->failures;
}

static void on_done(void *arg, const struct failure *failure)
{
    struct world *w = arg;
    (void)failure;
    w->dones++;
}

static int setup(void **state)
{
    static const char *const names[] = {"example.test"};
    struct world *w = xcalloc(1, sizeof *w);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    *state = w;
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/wos-renewer-XXXXXX");
    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (mkdtemp(w->dir) == NULL || bind(w->fd, (struct sockaddr *)&at, len) < 0 ||
        listen(w->fd, 16) < 0 || getsockname(w->fd, (struct sockaddr *)&at, &len) < 0) {
        return -1;
    }
    (void)snprintf(w->url, sizeof w->url, "https://127.0.0.1:%u/dir", (unsigned)ntohs(at.sin_port));
    w->loop = loop_new(NULL);
    w->fetch = fetch_client_new(w->loop, NULL);
    loop_timer_init(&w->asks, w->loop, on_asks, w);
    w->settings = (struct acme_settings){.directory = w->url,
                                         .directory_url = w->url,
                                         .email = "a@example.test",
                                         .create_command = "true",
                                         .delete_command = "true"};
    const struct renewer_spec spec = {
        .loop = w->loop,
        .fetch = w->fetch,
        .settings = &w->settings,
        .dir = w->dir,
        .kind = "tunnel",
        .names = names,
        .name_count = 1,
        .on_settings = on_nothing,
        .on_certificate = on_nothing,
        .on_event = on_event,
        .arg = w,
    };
    w->renewer = renewer_new(&spec);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    renewer_free(w->renewer);
    loop_timer_fini(&w->asks);
    fetch_client_free(w->fetch);
    loop_free(w->loop);
    close(w->fd);
    (void)path_remove_all(w->dir, NULL);
    free(w);
    return 0;
}

static void until(struct world *w, const unsigned *count)
{
    while (*count == 0) {
        loop_turn(w->loop, true);
    }
}

/* Enough for whatever is due to begin. */
static void turn(struct world *w)
{
    for (int i = 0; i < TURNS; i++) {
        loop_turn(w->loop, false);
    }
}

/* The first order is due at once, and yet it waits. */
static void test_nothing_begins_during_a_hold(void **state)
{
    struct world *w = *state;
    renewer_hold(w->renewer, on_begun, w);
    renewer_start(w->renewer);
    until(w, &w->begun);
    renewer_renew(w->renewer, true, on_done, w);
    turn(w);
    assert_int_equal(w->steps, 0);
    assert_false(renewer_is_busy(w->renewer));
    renewer_release(w->renewer);
    until(w, &w->steps);
    assert_true(renewer_is_busy(w->renewer));
    assert_int_equal(w->begun, 1);
}

static void test_a_hold_waits_for_the_order(void **state)
{
    struct world *w = *state;
    renewer_start(w->renewer);
    until(w, &w->steps);
    renewer_hold(w->renewer, on_begun, w);
    turn(w);
    assert_int_equal(w->begun, 0);
    assert_true(renewer_cancel(w->renewer));
    until(w, &w->begun);
    assert_int_equal(w->failures_at_begin, 1);
}

/* Whoever waited for it has gone: nothing waits for a release that nobody would ask for. */
static void test_a_hold_that_was_forgotten(void **state)
{
    struct world *w = *state;
    renewer_start(w->renewer);
    until(w, &w->steps);
    renewer_hold(w->renewer, on_begun, w);
    renewer_forget(w->renewer, w);
    renewer_release(w->renewer);
    assert_true(renewer_cancel(w->renewer));
    until(w, &w->failures);
    renewer_renew(w->renewer, true, on_done, w);
    w->steps = 0;
    until(w, &w->steps);
    assert_true(renewer_cancel(w->renewer));
    until(w, &w->dones);
    assert_int_equal(w->begun, 0);
}

static void test_a_failure_that_was_told_is_not_under_way(void **state)
{
    struct world *w = *state;
    renewer_start(w->renewer);
    until(w, &w->steps);
    assert_true(renewer_cancel(w->renewer));
    until(w, &w->asked);
    assert_string_equal(w->word, "failed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_begins_during_a_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_hold_waits_for_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_hold_that_was_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_failure_that_was_told_is_not_under_way, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
