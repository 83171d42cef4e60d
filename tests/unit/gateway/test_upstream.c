/* The pool of connections to services. */
#include "gateway/upstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"

enum { PORT = 4000 };

static void drop(void *owner)
{
    upstream_remove(owner);
}

static void link_init(struct upstream_link *link, enum route_backend backend)
{
    *link = (struct upstream_link){.owner = link, .drop = drop, .backend = backend};
}

static struct worker *worker_init(struct worker *w)
{
    *w = (struct worker){.pools = xcalloc(65536, sizeof(struct pool *))};
    return w;
}

static void worker_fini(struct worker *w)
{
    upstream_free_all(w);
    free(w->pools);
}

static void test_last_in_first_out(void **state)
{
    (void)state;
    struct worker w;
    struct upstream_link links[3];
    worker_init(&w);
    for (size_t i = 0; i < COUNT_OF(links); i++) {
        link_init(&links[i], BACKEND_HTTP);
        assert_true(upstream_put(&w, &links[i], PORT, 3));
    }
    assert_ptr_equal(upstream_take(&w, PORT, BACKEND_HTTP), &links[2]);
    upstream_remove(&links[1]);
    upstream_remove(&links[1]); /* once is enough */
    assert_ptr_equal(upstream_take(&w, PORT, BACKEND_HTTP), &links[0]);
    assert_null(upstream_take(&w, PORT, BACKEND_HTTP));
    assert_null(upstream_take(&w, PORT + 1, BACKEND_HTTP));
    worker_fini(&w);
}

/* What was not checked never serves a route that has to be. */
static void test_kinds_are_apart(void **state)
{
    (void)state;
    struct worker w;
    struct upstream_link links[3];
    worker_init(&w);
    link_init(&links[0], BACKEND_HTTP);
    link_init(&links[1], BACKEND_HTTPS_INSECURE);
    link_init(&links[2], BACKEND_H2C);
    assert_true(upstream_put(&w, &links[0], PORT, 9));
    assert_true(upstream_put(&w, &links[1], PORT, 9));
    upstream_share(&w, &links[2], PORT);
    assert_null(upstream_take(&w, PORT, BACKEND_HTTPS));
    assert_ptr_equal(upstream_take(&w, PORT, BACKEND_HTTPS_INSECURE), &links[1]);
    assert_ptr_equal(upstream_shared(&w, PORT), &links[2]);
    assert_ptr_equal(upstream_take(&w, PORT, BACKEND_HTTP), &links[0]);
    worker_fini(&w);
    assert_null(links[2].prev);
}

static void test_at_most(void **state)
{
    (void)state;
    struct worker w;
    struct upstream_link links[3];
    worker_init(&w);
    for (size_t i = 0; i < COUNT_OF(links); i++) {
        link_init(&links[i], BACKEND_HTTP);
        assert_int_equal(upstream_put(&w, &links[i], PORT, 2), i < 2);
    }
    (void)upstream_take(&w, PORT, BACKEND_HTTP);
    assert_true(upstream_put(&w, &links[2], PORT, 2));
    worker_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_in_first_out),
        cmocka_unit_test(test_kinds_are_apart),
        cmocka_unit_test(test_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
