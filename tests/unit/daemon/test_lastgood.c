/* The last good pair: what is kept, and what is not used again. */
#include "daemon/lastgood.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "certs/issue.h"
#include "tests/unit/certs/pairs.h"

struct fixture {
    char dir[64];
    char *path; /* owned */
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    memcpy(f->dir, "/tmp/wos-lastgood-XXXXXX", sizeof("/tmp/wos-lastgood-XXXXXX"));
    assert_non_null(mkdtemp(f->dir));
    f->path = path_join(f->dir, "files-last-good.pem");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(path_remove_all(f->dir, NULL), 0);
    free(f->path);
    free(f);
    return 0;
}

static void is_refused(const struct fixture *f, const char *domain, int64_t now, const char *why)
{
    struct buf chain = {0};
    struct buf key = {0};
    struct err err = {.msg = ""};
    assert_null(lastgood_load(f->dir, "tunnel", domain, now, &chain, &key, &err));
    assert_non_null(strstr(err.msg, why));
    assert_int_equal(chain.len + key.len, 0);
}

static void test_kept_as_it_was(void **state)
{
    const struct fixture *f = *state;
    struct err err = {.msg = ""};
    struct pair pair = pair_for("*.example.com");
    struct buf chain = {0};
    struct buf key = {0};
    assert_null(lastgood_load(f->dir, "tunnel", "example.com", NOW, &chain, &key, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_int_equal(
        lastgood_save(f->dir, "tunnel", buf_str(&pair.chain), buf_str(&pair.key), &err), 0);
    struct stat before;
    struct stat after;
    assert_int_equal(stat(f->path, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0600);
    assert_int_equal(
        lastgood_save(f->dir, "tunnel", buf_str(&pair.chain), buf_str(&pair.key), &err), 0);
    assert_int_equal(stat(f->path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino); /* the same pair is not written again */
    struct cert *cert = lastgood_load(f->dir, "tunnel", "example.com", NOW, &chain, &key, &err);
    assert_non_null(cert);
    assert_true(str_eq(buf_str(&chain), buf_str(&pair.chain)));
    assert_true(str_eq(buf_str(&key), buf_str(&pair.key)));
    cert_free(cert);
    buf_fini(&chain);
    issue_buf_wipe(&key);
    pair_fini(&pair);
}

/* Both texts may hold key and certificate: people point both settings at one file. */
static void test_one_file_for_both(void **state)
{
    const struct fixture *f = *state;
    struct err err = {.msg = ""};
    struct pair pair = pair_for("example.com");
    struct buf both = {0};
    buf_add_str(&both, buf_str(&pair.chain));
    buf_add_str(&both, buf_str(&pair.key));
    assert_int_equal(lastgood_save(f->dir, "tunnel", buf_str(&both), buf_str(&both), &err), 0);
    struct buf chain = {0};
    struct buf key = {0};
    struct cert *cert = lastgood_load(f->dir, "tunnel", "example.com", NOW, &chain, &key, &err);
    assert_non_null(cert);
    assert_true(str_eq(buf_str(&chain), buf_str(&both)));
    assert_true(str_eq(buf_str(&key), buf_str(&both)));
    cert_free(cert);
    issue_buf_wipe(&chain);
    issue_buf_wipe(&key);
    issue_buf_wipe(&both);
    pair_fini(&pair);
}

static void test_not_used_when_wrong(void **state)
{
    const struct fixture *f = *state;
    struct err err = {.msg = ""};
    struct pair pair = pair_for("*.example.com");
    assert_int_equal(
        lastgood_save(f->dir, "tunnel", buf_str(&pair.chain), buf_str(&pair.key), &err), 0);
    is_refused(f, "other.com", NOW, "no name under other.com");
    is_refused(f, "example.com", NOW + (int64_t)100 * 365 * 86400, "expired");
    const char *const damaged[] = {"", "x", "7\nab", "99999999999999999999\n", "0\n"};
    for (size_t i = 0; i < COUNT_OF(damaged); i++) {
        assert_int_equal(file_write_atomic(f->path, str_of(damaged[i]), 0600, NULL), 0);
        is_refused(f, "example.com", NOW, "files-last-good.pem");
    }
    pair_fini(&pair);
}

static bool is_for(const char *name, const char *domain)
{
    struct pair pair = pair_for(name);
    struct cert *cert = cert_parse(buf_str(&pair.chain), NULL);
    assert_non_null(cert);
    bool is = lastgood_is_for(cert, domain);
    cert_free(cert);
    pair_fini(&pair);
    return is;
}

static void test_whom_it_is_for(void **state)
{
    (void)state;
    assert_true(is_for("example.com", "example.com"));
    assert_true(is_for("*.example.com", "example.com"));
    assert_true(is_for("a.b.example.com", "example.com"));
    assert_true(is_for("*.example.com", "ui.example.com")); /* covers it, lies above it */
    assert_true(is_for("example.com", ""));                 /* web.ssl without web.hostname */
    assert_false(is_for("other.com", "example.com"));
    assert_false(is_for("notexample.com", "example.com"));
    assert_false(is_for("*.com", "a.example.com"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_file_for_both, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_used_when_wrong, setup, teardown),
        cmocka_unit_test(test_whom_it_is_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
