/* memfile: bytes through a descriptor, and what is refused. */
#include "base/memfile.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 4096, 3000001};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct err err = {.msg = ""};
        autofree char *bytes = xmalloc(sizes[i] + 1);
        for (size_t k = 0; k < sizes[i]; k++) {
            bytes[k] = (char)(k * 7 + k / 256);
        }
        int fd = memfile_new((struct str){bytes, sizes[i]}, &err);
        assert_true(fd >= 0);
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        struct buf out = {0};
        buf_add_text(&out, "before");
        assert_int_equal(memfile_read(fd, sizes[i], &out, &err), 0);
        assert_int_equal(out.len, sizes[i] + 6);
        assert_memory_equal(out.ptr + 6, bytes, sizes[i]);
        buf_fini(&out);
        (void)close(fd);
    }
}

/* Longer, shorter and as long: what is read is the last, from its start, whoever read before. */
static void test_refill(void **state)
{
    (void)state;
    struct err err = {.msg = ""};
    int fd = memfile_new(STR("first"), &err);
    assert_true(fd >= 0);
    static const struct str texts[] = {
        {"longer than that", 16}, {"short", 5}, {"other", 5}, {"", 0}};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        int other = dup(fd); /* as a gateway gets it */
        struct buf out = {0};
        assert_int_equal(memfile_refill(fd, texts[i], &err), 0);
        assert_int_equal(memfile_read(other, 100, &out, &err), 0);
        assert_true(str_eq(buf_str(&out), texts[i]));
        buf_fini(&out);
        (void)close(other);
    }
    (void)close(fd);
    assert_int_equal(memfile_refill(fd, STR("x"), &err), -1);
}

static void test_refused(void **state)
{
    (void)state;
    struct err err = {.msg = ""};
    struct buf out = {0};
    int fd = memfile_new(STR("0123456789"), &err);
    assert_int_equal(memfile_read(fd, 9, &out, &err), -1);
    assert_int_equal(err.code, ERR_REFUSED);
    assert_int_equal(out.len, 0);
    assert_int_equal(lseek(fd, 4, SEEK_SET), 4); /* less than its size says */
    assert_int_equal(memfile_read(fd, 10, &out, &err), -1);
    assert_int_equal(err.code, ERR_REFUSED);
    (void)close(fd);

    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(memfile_read(ends[0], 10, &out, &err), -1);
    assert_int_equal(err.code, ERR_REFUSED);
    (void)close(ends[0]);
    (void)close(ends[1]);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refill),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
