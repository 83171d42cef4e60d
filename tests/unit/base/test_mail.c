/* Tests of base/mail: order, several threads, freeing with letters unread. */
#include "base/mail.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
// clang-format off
#include <cmocka.h>
// clang-format on

enum { POSTERS = 4, LETTERS = 5000 };

static struct loop *loop;
static struct mailbox *box;
static unsigned next_of[POSTERS];
static unsigned total;

static int set_up(void **state)
{
    (void)state;
    loop = loop_new(NULL);
    box = loop == NULL ? NULL : mail_new(loop, NULL);
    total = 0;
    for (int i = 0; i < POSTERS; i++) {
        next_of[i] = 0;
    }
    return box == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    mail_free(box);
    box = NULL;
    loop_free(loop);
    return 0;
}

static void on_letter(void *arg)
{
    uintptr_t value = (uintptr_t)arg;
    unsigned poster = (unsigned)(value % POSTERS);
    assert_int_equal(value / POSTERS, next_of[poster]);
    next_of[poster]++;
    total++;
    if (total == POSTERS * LETTERS) {
        loop_stop(loop);
    }
}

static void *post_all(void *arg)
{
    static struct mail_letter letters[POSTERS][LETTERS];
    uintptr_t poster = (uintptr_t)arg;
    for (uintptr_t i = 0; i < LETTERS; i++) {
        mail_post(box, &letters[poster][i], on_letter, (void *)(i * POSTERS + poster));
    }
    return NULL;
}

static void test_threads_keep_their_order(void **state)
{
    (void)state;
    pthread_t threads[POSTERS];
    for (uintptr_t i = 0; i < POSTERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, post_all, (void *)i), 0);
    }
    loop_run(loop);
    for (int i = 0; i < POSTERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(next_of[i], LETTERS);
    }
}

static void count_up(void *arg)
{
    unsigned *count = arg;
    (*count)++;
}

static struct mail_letter again;

static void post_again(void *arg)
{
    mail_post(box, &again, count_up, arg);
}

/* A letter that posts a letter must not keep one turn going for ever. */
static void test_a_letter_may_post(void **state)
{
    (void)state;
    unsigned count = 0;
    struct mail_letter letter = {0};
    mail_post(box, &letter, post_again, &count);
    assert_int_equal(count, 0); /* never from inside mail_post */
    loop_turn(loop, true);
    assert_int_equal(count, 0);
    loop_turn(loop, true);
    assert_int_equal(count, 1);
}

static void test_unread_letters_are_run_at_the_end(void **state)
{
    (void)state;
    unsigned count = 0;
    struct mail_letter letters[2] = {0};
    mail_post(box, &letters[0], count_up, &count);
    mail_post(box, &letters[1], post_again, &count);
    mail_free(box);
    box = NULL;
    assert_int_equal(count, 2);
}

struct parcel {
    struct mail_letter letter;
    unsigned rounds;
};

static void send_back(void *arg)
{
    struct parcel *parcel = arg;
    if (++parcel->rounds == 3) {
        free(parcel);
        loop_stop(loop);
        return;
    }
    mail_post(box, &parcel->letter, send_back, parcel);
}

/* It is its receiver's as soon as it was opened: to be posted again, or freed. */
static void test_a_letter_is_used_again(void **state)
{
    (void)state;
    struct parcel *parcel = calloc(1, sizeof *parcel);
    assert_non_null(parcel);
    mail_post(box, &parcel->letter, send_back, parcel);
    loop_run(loop);
}

static void free_box(void *arg)
{
    mail_free(arg);
    box = NULL;
}

static void test_a_letter_may_free_the_box(void **state)
{
    (void)state;
    unsigned count = 0;
    struct mail_letter letters[3] = {0};
    mail_post(box, &letters[0], count_up, &count);
    mail_post(box, &letters[1], free_box, box);
    mail_post(box, &letters[2], count_up, &count);
    loop_turn(loop, true);
    assert_int_equal(count, 2);
    assert_null(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_threads_keep_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_letter_may_post, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_letter_is_used_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unread_letters_are_run_at_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_letter_may_free_the_box, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
