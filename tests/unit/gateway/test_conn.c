/* What leaves a connection in which turn. */
#include "gateway/conn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "gateway/conn_private.h"
#include "gateway/limit.h"

enum { MANY = 70000, PIECE = 65000 };

struct fixture {
    struct limit *limit;
    struct worker *worker;
    struct conn *conn;
    int peer;
    bool waits; /* on_flush puts the bytes off */
    char bytes[2 * MANY];
};

static size_t on_data(struct conn *c, const char *data, size_t len)
{
    (void)c;
    (void)data;
    return len;
}

static void on_event(struct conn *c, enum conn_event event)
{
    (void)c;
    (void)event;
}

/* The connection is read again in the next turn, as after a batch that was not the last. */
static void on_flush(struct conn *c)
{
    const struct fixture *f = c->owner;
    conn_put_off(c, NULL);
    if (f->waits) {
        conn_mark_again(c);
        conn_put_off(c, c);
    }
}

static const struct conn_ops ops = {on_data, on_event, on_flush};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct err err = {0};
    int fds[2];
    const struct sockaddr_in peer = {.sin_family = AF_INET};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    f->peer = fds[1];
    f->limit = limit_new(100);
    assert_true(limit_enter(f->limit, 1)); /* as who accepts it does */
    f->worker = worker_new(0, NULL, f->limit, &err);
    assert_non_null(f->worker);
    f->conn = conn_accept(f->worker, fds[0], (const struct sockaddr *)(const void *)&peer,
                          sizeof peer, false, &ops, f);
    assert_non_null(f->conn);
    for (size_t i = 0; i < sizeof f->bytes; i++) {
        f->bytes[i] = (char)(i * 31 >> 3);
    }
    loop_turn(f->worker->loop, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    conn_abort(f->conn);
    (void)close(f->peer);
    loop_turn(f->worker->loop, false);
    worker_free(f->worker);
    limit_free(f->limit);
    free(f);
    return 0;
}

/* Bytes that are there now; they are those from `at` on. */
static size_t arrived(const struct fixture *f, size_t at)
{
    static char got[2 * MANY];
    size_t have = 0;
    ssize_t n;
    while ((n = recv(f->peer, got + have, sizeof got - have, 0)) > 0) {
        have += (size_t)n;
    }
    assert_true(n < 0 && errno == EAGAIN);
    assert_memory_equal(got, f->bytes + at, have);
    return have;
}

/* Few bytes leave at the end of the turn. */
static void test_end_of_turn(void **state)
{
    struct fixture *f = *state;
    conn_write(f->conn, f->bytes, 10);
    assert_int_equal(arrived(f, 0), 0);
    loop_turn(f->worker->loop, false);
    assert_int_equal(arrived(f, 0), 10);
}

/* … or with those of the next, and never later. */
static void test_put_off(void **state)
{
    struct fixture *f = *state;
    f->waits = true;
    conn_write(f->conn, f->bytes, 10);
    loop_turn(f->worker->loop, false);
    assert_int_equal(arrived(f, 0), 0);
    conn_write(f->conn, f->bytes + 10, 10);
    loop_turn(f->worker->loop, false);
    assert_int_equal(arrived(f, 0), 20);
    conn_write(f->conn, f->bytes + 20, 10);
    loop_turn(f->worker->loop, false);
    assert_int_equal(arrived(f, 20), 0);
    loop_turn(f->worker->loop, false); /* nothing more was written */
    assert_int_equal(arrived(f, 20), 10);
}

/* Many leave at once, but for what would be a small segment of its own. */
static void test_early(void **state)
{
    struct fixture *f = *state;
    conn_write(f->conn, f->bytes, 10);
    conn_write(f->conn, f->bytes + 10, MANY - 10);
    assert_int_equal(arrived(f, 0), PIECE);
    assert_int_equal(conn_pending(f->conn), MANY - PIECE);
    loop_turn(f->worker->loop, false);
    assert_int_equal(arrived(f, PIECE), MANY - PIECE);
    conn_write(f->conn, f->bytes, MANY + 10000); /* no small rest */
    assert_int_equal(arrived(f, 0), MANY + 10000);
    assert_int_equal(conn_pending(f->conn), 0);
}

/* The peer takes less than that: nothing is lost, doubled or turned round. */
static void test_early_to_full_socket(void **state)
{
    struct fixture *f = *state;
    int small = 4096;
    assert_int_equal(setsockopt(f->conn->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    conn_write(f->conn, f->bytes, 60000);
    conn_write(f->conn, f->bytes + 60000, 60000);
    size_t at = arrived(f, 0);
    assert_in_range(at, 1, 119999);
    for (int turn = 0; turn < 1000 && at < 120000; turn++) {
        loop_turn(f->worker->loop, false);
        at += arrived(f, at);
    }
    assert_int_equal(at, 120000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_end_of_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_early, setup, teardown),
        cmocka_unit_test_setup_teardown(test_early_to_full_socket, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
